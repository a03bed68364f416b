//! Every target's body over the committed corpus, and the four places that a target is named in.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use roomcast_fuzz::TARGETS;

#[test]
fn every_input_holds() {
    for (name, body) in TARGETS {
        body(&[]);
        for path in files(&root().join("corpus").join(name)) {
            // Shown with a failure only: it names the input.
            println!("{}", path.display());
            let input = fs::read(&path).unwrap();
            body(&input);
            body(&input[..input.len() / 2]);
        }
    }
}

#[test]
fn a_target_is_complete() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a target is listed once");
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let binaries: BTreeSet<_> = files(&root().join("src/bin")).into_iter().map(stem).collect();
    assert_eq!(binaries, targets, "src/bin");
    let folders: BTreeSet<_> = files(&root().join("corpus")).into_iter().map(stem).collect();
    assert_eq!(folders, targets, "corpus");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let entries: BTreeSet<_> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|entry| {
            assert!(entry.contains("required-features = [\"libfuzzer\"]"), "stable cannot link this one: {entry}");
            entry.split('"').nth(1).unwrap().to_owned()
        })
        .collect();
    assert_eq!(entries, targets, "[[bin]] in Cargo.toml");
    for name in targets {
        assert!(!files(&root().join("corpus").join(&name)).is_empty(), "corpus/{name} is empty");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
