//! Which packages a program gets, by the features that it asks for.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn databases_and_yrs_are_off_by_default() {
    for (package, features, has_sql, has_yrs) in [
        ("roomcast-tokio", "", false, false),
        ("roomcast-async-std", "", false, false),
        ("roomcast-tokio", "stores", false, false),
        ("roomcast-tokio", "sqlite", true, false),
        ("roomcast-tokio", "postgres-tls", true, false),
        ("roomcast-tokio", "yrs", false, true),
        ("roomcast-tokio", "redis", false, false),
        ("roomcast-async-std", "smol,sqlite,yrs", true, true),
        ("roomcast-async-std", "async-std,postgres", true, false),
        ("roomcast-adapter", "", false, false),
        ("roomcast-stores", "sqlite", true, false),
        ("roomcast-stores", "postgres", true, false),
        ("roomcast-stores", "yrs", false, true),
        ("roomcast-core", "", false, false),
    ] {
        let tree = tree(package, features);
        let has = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
        assert!(has("roomcast-core"), "{tree}");
        assert_eq!((has("sqlx"), has("redis")), (has_sql, features == "redis"), "{package} with {features:?}");
        assert_eq!(has("yrs"), has_yrs, "{package} with {features:?}");
    }
}

#[test]
fn documents_come_without_the_application() {
    for (package, features, has_application) in [
        ("roomcast-stores", "", false),
        ("roomcast-stores", "sqlite", false),
        ("roomcast-tokio", "documents,sqlite", false),
        ("roomcast-async-std", "smol,documents,sqlite", false),
        ("roomcast-tokio", "openwebui", true),
        ("roomcast-stores", "postgres", true),
    ] {
        let tree = tree(package, features);
        assert!(tree.contains("roomcast-stores v"), "{tree}");
        assert_eq!(tree.contains("roomcast-openwebui v"), has_application, "{package} with {features:?}");
    }
}

#[test]
fn socket_io_alone_on_tokio_takes_few_packages() {
    let tree = tree("roomcast-tokio", "");
    let packages: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let foreign = packages.iter().filter(|package| !package.starts_with("roomcast-")).count();
    assert!((20..=60).contains(&foreign), "{foreign} packages:\n{tree}");
}

fn tree(package: &str, features: &str) -> String {
    let tree = ["tree", "--offline", "-e", "normal", "--prefix", "none", "-p", package, "--features", features];
    let output = Command::new(env!("CARGO")).args(tree).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
