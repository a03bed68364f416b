//! The files of the workspace.
//!
//! Owns: which files are sources, and where the crates are. Must never know: the rules.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A member of the workspace.
#[derive(Clone, Debug)]
pub struct WorkspaceMember {
    /// The name in its manifest.
    pub name: String,
    /// The folder, from the root of the workspace.
    pub folder: String,
    /// Other members in its `[dependencies]`, whether optional or not.
    pub dependencies: Vec<String>,
    /// The text of its manifest.
    pub manifest: String,
}

impl WorkspaceMember {
    /// Whether a registry may get it.
    pub fn is_published(&self) -> bool {
        !self.manifest.lines().any(|line| line == "publish = false")
    }

    /// What a registry would miss: fields of the manifest, and files beside it.
    pub fn missing_for_a_registry(&self, root: &Path) -> Vec<String> {
        let has_field = |field: &str| {
            let begins = |line: &str| line.strip_prefix(field).is_some_and(|rest| rest.starts_with([' ', '.']));
            self.manifest.lines().any(begins)
        };
        let fields = ["description", "license", "rust-version", "documentation", "keywords", "categories"];
        let files = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];
        let fields = fields.iter().filter(|field| !has_field(field));
        let files = files.iter().filter(|file| !root.join(&self.folder).join(file).exists());
        fields.chain(files).map(|what| format!("{}: no {what}", self.folder)).collect()
    }

    /// Members in its `[dev-dependencies]` that have a version there. `cargo publish` leaves out those that are named by
    /// path alone; any other would have to be in the registry before this one, which a circle makes impossible.
    pub fn versioned_dev_dependencies(&self) -> Vec<String> {
        let table = table(&self.manifest, "[dev-dependencies]");
        let versioned = table.filter(|line| line.starts_with("roomcast-"));
        let versioned = versioned.filter(|line| line.contains("workspace = true") || line.contains("version"));
        versioned.map(|line| format!("{}: {line}", self.folder)).collect()
    }
}

/// The root of this workspace.
pub fn root() -> PathBuf {
    // Read when the test runs: a target directory that was copied keeps the paths it was built with.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).join("../..")
}

/// Every member, read from the manifests.
///
/// # Errors
///
/// A manifest cannot be read.
pub fn members(root: &Path) -> io::Result<Vec<WorkspaceMember>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let list = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    let folders = list.split('"').skip(1).step_by(2);
    folders
        .map(|folder| {
            let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml"))?;
            Ok(WorkspaceMember {
                name: name_of(&manifest),
                folder: folder.to_owned(),
                dependencies: dependencies_of(&manifest, "roomcast-"),
                manifest,
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
    let is_source = |name: &str| name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs");
    files(folder, &["tests", "benches", "examples"], is_source)
}

/// Every Rust file and Markdown document below `folder`, tests among them, with its path from there.
///
/// # Errors
///
/// A folder or file cannot be read.
pub fn texts(folder: &Path) -> io::Result<Vec<(String, String)>> {
    files(folder, &[], |name| name.ends_with(".rs") || name.ends_with(".md"))
}

/// Every script, configuration and conversation below `folder`, with its path from there.
///
/// # Errors
///
/// A folder or file cannot be read.
pub fn scripts(folder: &Path) -> io::Result<Vec<(String, String)>> {
    const ENDINGS: [&str; 7] = [".js", ".mjs", ".py", ".sh", ".toml", ".txt", ".yml"];
    files(folder, &["corpus"], |name| ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

fn files(folder: &Path, left_out: &[&str], is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<(String, String)>> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at)? {
            let path: PathBuf = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                let is_left_out = ["target", "node_modules", "__pycache__"].contains(&name) || left_out.contains(&name);
                if !is_left_out && !name.starts_with('.') {
                    open.push(path);
                }
            } else if is_wanted(name) {
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
    let keys = table(manifest, "[dependencies]").filter_map(|line| line.split(['.', ' ', '=']).next());
    keys.filter(|key| key.starts_with(prefix)).map(str::to_owned).collect()
}

/// The lines below a heading of a manifest.
fn table<'a>(manifest: &'a str, heading: &'a str) -> impl Iterator<Item = &'a str> {
    manifest.lines().skip_while(move |line| *line != heading).skip(1).take_while(|line| !line.starts_with('['))
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
    fn what_a_registry_would_miss_is_found() {
        let member = |manifest: &str| WorkspaceMember {
            name: "a".to_owned(),
            folder: "no-such-folder".to_owned(),
            dependencies: Vec::new(),
            manifest: manifest.to_owned(),
        };
        let manifest = "publish = false\ndescription = \"x\"\nlicense.workspace = true\nkeywords = []\n\n\
                        [dev-dependencies]\nroomcast-x.workspace = true\nroomcast-y = { path = \"..\" }\n\
                        roomcast-z = { version = \"1\" }\nserde.workspace = true\n";
        let found = member(manifest);
        assert!(!found.is_published());
        assert_eq!(found.missing_for_a_registry(&root()).len(), 6, "{:?}", found.missing_for_a_registry(&root()));
        assert_eq!(found.versioned_dev_dependencies().len(), 2);
        assert!(member("description = \"x\"\n").is_published());
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
