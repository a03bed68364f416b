//! What a crate draws in.
//!
//! Owns: reading `cargo tree`. Must never know: the limits.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;

/// Runtimes, and the randomness of the operating system.
const RUNTIMES: &[&str] = &["async-io", "async-std", "getrandom", "hyper", "mio", "polling", "rand", "smol", "tokio"];

/// The dependencies of a package without its tests, as `cargo tree --prefix depth` prints them. Uses no network:
/// `cargo fetch` has been there.
///
/// # Errors
///
/// Cargo cannot be started, or it refuses.
pub fn tree(root: &Path, package: &str) -> io::Result<String> {
    let arguments = ["tree", "-p", package, "-e", "normal,build", "--prefix", "depth", "--no-dedupe", "--offline"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// The packages of a tree, each version once, the root among them.
pub fn names(tree: &str) -> BTreeSet<String> {
    let packages = tree.lines().map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit()));
    packages.map(|package| package.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// Runtimes in a tree, with the direct dependency that brings each.
pub fn runtimes(tree: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by = "";
    for line in tree.lines() {
        let package = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let name = package.split(' ').next().unwrap_or_default();
        if line.strip_suffix(package) == Some("1") {
            by = name;
        }
        if RUNTIMES.contains(&name) {
            faults.push(format!("{name} by way of {by}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_found() {
        let tree = "0roomcast-core v0.1.0 (/x)\n1base64 v0.23.1\n1jwt v1.0.0\n2rand_core v0.6.4\n";
        assert_eq!(runtimes(tree).len(), 0);
        assert_eq!(runtimes(&format!("{tree}3getrandom v0.2.17\n")), ["getrandom by way of jwt"]);
        assert_eq!(runtimes(&format!("{tree}1other v1.0.0\n2tokio v1.0.0\n1mio v1.0.0\n")).len(), 2);
    }

    #[test]
    fn each_version_counts_once() {
        let tree = "0a v0.1.0 (/x)\n1b v1.0.0\n2c v1.0.0 (proc-macro)\n1c v1.0.0 (proc-macro)\n1c v2.0.0\n";
        assert_eq!(names(tree).len(), 4);
    }
}
