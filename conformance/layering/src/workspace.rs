//! The files of the workspace.
//!
//! Owns: which files are sources, and where the crates are. Must never know: the rules.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A member of the workspace.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name in its manifest.
    pub name: String,
    /// The folder, from the root of the workspace.
    pub folder: String,
    /// Other members in its `[dependencies]`, whether optional or not.
    pub dependencies: Vec<String>,
}

/// The root of this workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every member, read from the manifests.
///
/// # Errors
///
/// A manifest cannot be read.
pub fn members(root: &Path) -> io::Result<Vec<Member>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let list = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    let folders = list.split('"').skip(1).step_by(2);
    folders
        .map(|folder| {
            let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml"))?;
            Ok(Member {
                name: name_of(&manifest),
                folder: folder.to_owned(),
                dependencies: dependencies_of(&manifest, "roomcast-"),
            })
        })
        .collect()
}

/// Every Rust file below `folder` that is neither generated nor a test, bench or example, with its path from there.
///
/// # Errors
///
/// A folder or file cannot be read.
pub fn sources(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at)? {
            let path: PathBuf = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_left_out = ["target", "node_modules", "tests", "benches", "examples"].contains(&name);
            if path.is_dir() {
                if !is_left_out && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
                let relative = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                found.push((relative, fs::read_to_string(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(manifest: &str) -> String {
    let line = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    line.map(|rest| rest.trim_end_matches('"').to_owned()).unwrap_or_default()
}

/// The keys of `[dependencies]` that begin with `prefix`; those of other tables do not count.
fn dependencies_of(manifest: &str, prefix: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let table = lines.take_while(|line| !line.starts_with('['));
    let keys = table.filter_map(|line| line.split(['.', ' ', '=']).next());
    keys.filter(|key| key.starts_with(prefix)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read() {
        let manifest = "[package]\nname = \"a-b\"\n\n[dependencies]\na-x.workspace = true\n# a-c\nserde = \"1\"\n\
                        a-y = { path = \"..\", optional = true }\n\n[dev-dependencies]\na-z = \"1\"\n";
        assert_eq!(name_of(manifest), "a-b");
        assert_eq!(dependencies_of(manifest, "a-"), ["a-x", "a-y"]);
    }

    #[test]
    fn the_walk_reaches_every_member() {
        let members = members(&root()).unwrap();
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        for name in ["roomcast-core", "roomcast-server", "roomcast-tokio", "roomcast-layering"] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        let files = sources(&root()).unwrap();
        for path in ["server/src/main.rs", "core/roomcast-core/src/lib.rs"] {
            assert!(files.iter().any(|(found, _)| found == path), "{path}");
        }
        assert!(files.iter().all(|(path, _)| !path.starts_with("target/")));
    }
}
