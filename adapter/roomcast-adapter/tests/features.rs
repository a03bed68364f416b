//! What a program gets that asks for no stores and no documents.

use std::process::Command;

#[test]
fn databases_and_yrs_are_off_by_default() {
    for (package, features, has_sql, has_yrs) in [
        ("roomcast-tokio", "", false, false),
        ("roomcast-async-std", "", false, false),
        ("roomcast-adapter", "", false, false),
        ("roomcast-stores", "sqlite", true, false),
        ("roomcast-stores", "postgres", true, false),
        ("roomcast-stores", "yrs", false, true),
        ("roomcast-core", "", false, false),
    ] {
        let tree = ["tree", "--offline", "-e", "normal", "--prefix", "none", "-p", package, "--features", features];
        let output = Command::new(env!("CARGO")).args(tree).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let has = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
        assert!(has("roomcast-core"), "{tree}");
        assert_eq!((has("sqlx"), has("redis")), (has_sql, false), "{package} with {features:?}");
        assert_eq!(has("yrs"), has_yrs, "{package} with {features:?}");
    }
}
