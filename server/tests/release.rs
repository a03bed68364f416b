//! Which release of Open WebUI is beside the program: what its tables tell. docs/operation.md, "Releases".
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod common;

use std::path::Path;

use common::{Client, Folder, Program};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

const SECRET: &str = "a secret that is long enough for this";
const OLD: &str = include_str!("golden/webui.sql");
const NEW: &str = include_str!("webui-0.12.4.sql");

#[test]
fn the_tables_tell_the_release() {
    for (tables, release, is_acknowledged) in [(OLD, "0.6", false), (NEW, "0.12", true)] {
        let folder = Folder::new();
        execute(folder.path(), tables);
        let (mut program, address) = Program::serve(&[], &variables(&folder));
        let line = program.stderr.until("the store is Open WebUI's database");
        assert!(line.contains(&format!("release=\"{release}\"")), "{line}");
        let mut client = Client::connect(address);
        client.send(r#"421["no-such",{"a":1}]"#);
        client.send(r#"422["user-join",{"auth":{"token":"none"}}]"#);
        let expected: &[&str] = if is_acknowledged { &["431[]", "432[]"] } else { &["432[]"] };
        for ack in expected {
            assert_eq!(client.next(), *ack, "{release}");
        }
    }
}

#[test]
fn a_database_that_is_not_there_yet_is_waited_for() {
    let folder = Folder::new();
    execute(folder.path(), "SELECT 1");
    let mut program = Program::spawn(&["--port", "0"], &variables(&folder));
    program.stderr.until("waiting for Open WebUI's database");
    execute(folder.path(), NEW);
    let line = program.stderr.until("the store is Open WebUI's database");
    assert!(line.contains("release=\"0.12\""), "{line}");
    program.stdout.until("roomcast listens on http://");
}

#[test]
fn a_signal_ends_the_wait() {
    let folder = Folder::new();
    execute(folder.path(), "SELECT 1");
    let mut program = Program::spawn(&["--port", "0"], &variables(&folder));
    program.stderr.until("waiting for Open WebUI's database");
    program.signal("TERM");
    let (status, said) = program.end();
    assert!(status.success() && said.contains("SIGTERM"), "{status} {said}");
}

#[test]
fn with_a_release_that_is_named_nothing_is_waited_for() {
    let folder = Folder::new();
    execute(folder.path(), "SELECT 1");
    let (_program, address) = Program::serve(&["--release", "0.12"], &variables(&folder));
    assert_eq!(common::get(address, "/ready").status, 503);
    // Those of another release are not what is waited for.
    execute(folder.path(), OLD);
    assert_eq!(common::get(address, "/ready").status, 503);
}

/// An upgrade of Open WebUI beneath the program.
#[test]
fn tables_that_become_those_of_another_release_are_not_served() {
    let folder = Folder::new();
    execute(folder.path(), OLD);
    let (mut program, address) = Program::serve(&[], &variables(&folder));
    let names = OLD.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split(' ').next());
    execute(folder.path(), &names.map(|name| format!("DROP TABLE {name};")).collect::<String>());
    execute(folder.path(), NEW);
    assert_eq!(common::get(address, "/ready").status, 503);
    let line = program.stderr.until("has become another");
    assert!(line.contains("0.12") && line.contains("started again"), "{line}");
}

fn variables(folder: &Folder) -> [(&'static str, &str); 2] {
    [("WEBUI_SECRET_KEY", SECRET), ("DATA_DIR", folder.path().to_str().unwrap())]
}

fn execute(folder: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("webui.db")).create_if_missing(true);
        let mut conn = file.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    });
}
