//! What a program gets that asks for no stores.

use std::process::Command;

#[test]
fn databases_are_off_by_default() {
    for (package, features, has_sql) in [
        ("roomcast-tokio", "", false),
        ("roomcast-async-std", "", false),
        ("roomcast-adapter", "", false),
        ("roomcast-adapter", "sqlite", true),
        ("roomcast-adapter", "postgres", true),
    ] {
        let tree = ["tree", "--offline", "-e", "normal", "--prefix", "none", "-p", package, "--features", features];
        let output = Command::new(env!("CARGO")).args(tree).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let has = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
        assert!(has("roomcast-core"), "{tree}");
        assert_eq!((has("sqlx"), has("redis")), (has_sql, false), "{package} with {features:?}");
    }
}
