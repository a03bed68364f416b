//! Open WebUI's server.

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;

use roomcast_openwebui::query::{MessageChange, Question, StoreAnswer, StoreError};
use roomcast_stores::{DatabaseOptions, DatabaseUrl, OpenError, Store, WebUi};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::server::{PASSWORD, PostgresServer};
use crate::suite::{self, Cell, Peek, StoreUnderTest, change, suite};
use crate::tables::{SETTINGS, TABLES, inserts, select, touch_note};
use crate::world::{CHAT, world};
use crate::{eventually, hasty, own, patient, run, unavailable};

#[test]
fn it_answers_like_the_others() {
    run(async {
        let server = webui_server().await;
        let own = own();
        let place = StoreUnderTest {
            store: Arc::new(WebUi::open(&url(&server), patient(), own.clone()).unwrap()),
            revocations: own,
            peek: Box::new(InspectedServer(connect_options(&server))),
            of_several_groups: &["two-groups"],
            read_mark: None,
        };
        profiles(&server).await;
        schemas(&server).await;
        suite(&place).await;
    });
}

async fn profiles(server: &PostgresServer) {
    let expected = format!(
        r#"{{"id":"ann","name":"ann \"O'Née\" {}","email":"ann@localhost","role":"user","created_at":1,"updated_at":1,"last_active_at":1,"username":null,"oauth":null,"info":null,"settings":{SETTINGS}}}"#,
        '\u{1f600}',
    );
    assert_eq!(profile(&open(server, patient())).await, expected);
    let options = DatabaseOptions { profile_without: vec!["settings".into()], ..patient() };
    let found: serde_json::Value = serde_json::from_str(&profile(&open(server, options)).await).unwrap();
    assert_eq!(found["date_of_birth"], "2000-01-02");
    assert_eq!(found.get("settings"), None);
}

/// The tables may stand in a schema of their own.
async fn schemas(server: &PostgresServer) {
    let mut conn = connect(server).await;
    let sql = format!("CREATE SCHEMA \"web ui\"; SET search_path = \"web ui\"; {TABLES}{}", inserts(&world()));
    execute(&mut conn, sql).await;
    execute(&mut conn, "UPDATE \"web ui\".\"user\" SET email = 'elsewhere'").await;
    let options = DatabaseOptions { schema: Some("\"web ui\"".into()), ..patient() };
    assert!(profile(&open(server, options)).await.contains("elsewhere"));
    let parsed = DatabaseUrl::parse(&format!("{}?options=-csearch_path%3Dnowhere", server.url())).unwrap();
    let store = WebUi::open(&parsed, patient(), own()).unwrap();
    assert_eq!(store.examine().await, Err(OpenError::NoTables));
}

#[test]
fn it_comes_back_after_a_kill() {
    run(async {
        let mut server = webui_server().await;
        let store = Arc::new(open(&server, hasty()));
        let writer = open(&server, patient());
        let append = |text: &'static str| change("c", "m", vec![MessageChange::AppendContent(text.into())]);
        assert!(matches!(writer.ask(append("1")).await, Ok(StoreAnswer::Done)));
        assert!(matches!(eventually(&*store, authenticate()).await, StoreAnswer::User(Some(_))));
        for _ in 0..2 {
            server.kill();
            unavailable(&store, [append("lost"), authenticate(), touch()]).await;
            assert!(matches!(store.examine().await, Err(OpenError::Unreachable(_))));
            server.run();
            assert!(matches!(eventually(&*store, authenticate()).await, StoreAnswer::User(Some(_))));
            assert!(matches!(eventually(&*store, touch()).await, StoreAnswer::Done));
            assert!(matches!(writer.ask(append("2")).await, Ok(StoreAnswer::Done)), "its connection was lost");
        }
        let chat = value(&mut connect(&server).await, Cell::Chat("c")).await;
        assert_eq!(chat, Some(CHAT.replace("caf\\u00e9", "caf\\u00e9122")));
    });
}

#[test]
fn what_is_too_late_is_given_up_and_nothing_is_lost() {
    run(async {
        let server = webui_server().await;
        locked_rows(&server).await;
        stopped_processes(&server).await;
        few_connections(&server).await;
        refusals(&server).await;
    });
}

/// Another connection holds a lock on the row of the same chat.
async fn locked_rows(server: &PostgresServer) {
    let append = || change("c", "m", vec![MessageChange::AppendContent("x".into())]);
    let mut other = connect(server).await;
    execute(&mut other, "BEGIN; SELECT id FROM chat WHERE id = 'c' FOR UPDATE").await;
    let store = Arc::new(open(server, hasty()));
    unavailable(&store, [append()]).await;
    assert!(matches!(eventually(&*store, authenticate()).await, StoreAnswer::User(Some(_))), "readers read");
    execute(&mut other, "ROLLBACK").await;
    assert_eq!(value(&mut other, Cell::Chat("c")).await.as_deref(), Some(CHAT));
    assert!(matches!(eventually(&*store, touch()).await, StoreAnswer::Done));

    let store = Arc::new(open(server, patient()));
    assert!(matches!(store.ask(append()).await, Ok(StoreAnswer::Done)));
    let once = CHAT.replace("caf\\u00e9", "caf\\u00e9x");
    assert_eq!(value(&mut other, Cell::Chat("c")).await, Some(once.clone()));

    execute(&mut other, "BEGIN; UPDATE chat SET title = 'T' WHERE id = 'c'").await;
    let waiting = tokio::spawn(async move { store.ask(append()).await });
    let mut observer = connect(server).await;
    while texts(&mut observer, "SELECT pid::text FROM pg_locks WHERE NOT granted").await.is_empty() {
        tokio::task::yield_now().await;
    }
    execute(&mut other, "COMMIT").await;
    assert!(matches!(waiting.await.unwrap(), Ok(StoreAnswer::Done)));
    assert_eq!(value(&mut other, Cell::Chat("c")).await, Some(once.replace("e9x", "e9xx")));
}

/// The server's processes are there, and do not answer.
async fn stopped_processes(server: &PostgresServer) {
    let parsed = DatabaseUrl::parse(&format!("{}?application_name=stopped", server.url())).unwrap();
    let store = Arc::new(WebUi::open(&parsed, hasty(), own()).unwrap());
    assert!(matches!(eventually(&*store, authenticate()).await, StoreAnswer::User(Some(_))));
    let mut observer = connect(server).await;
    let mut tries = 0;
    let pids = loop {
        let list = "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'stopped'";
        let pids = texts(&mut observer, list).await;
        signal("-STOP", &pids);
        match store.ask(authenticate()).await {
            Err(StoreError::Unavailable) => break pids,
            // A connection that was still being made when the list was read has answered.
            answer => assert!(tries < 20, "{answer:?}"),
        }
        signal("-CONT", &pids);
        tries += 1;
    };
    assert!(matches!(eventually(&*store, authenticate()).await, StoreAnswer::User(Some(_))), "over another connection");
    signal("-CONT", &pids);
}

/// Many questions share few connections, and each is answered.
async fn few_connections(server: &PostgresServer) {
    let parsed = DatabaseUrl::parse(&format!("{}?application_name=few", server.url())).unwrap();
    let options = DatabaseOptions { connections_max: 2, ..patient() };
    let store = Arc::new(WebUi::open(&parsed, options, own()).unwrap());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.ask(authenticate()).await })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Ok(StoreAnswer::User(Some(_)))));
    }
    let mut observer = connect(server).await;
    let pids = texts(&mut observer, "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'few'").await;
    assert!((1..=2).contains(&pids.len()), "{pids:?}");
}

/// Not let in, not there, not built.
async fn refusals(server: &PostgresServer) {
    let port = server.port();
    for text in
        [format!("postgresql://room:wrong@127.0.0.1:{port}/postgres"), server.url().replace("/postgres", "/elsewhere")]
    {
        let store = open_url(&text);
        assert!(matches!(store.ask(authenticate()).await, Err(StoreError::Unavailable)), "{text}");
        let Err(OpenError::Unreachable(why)) = store.examine().await else { panic!("{text}") };
        assert!(!why.contains("wrong") && !why.contains(PASSWORD), "{why}");
    }
    let url = DatabaseUrl::parse(&format!("{}?sslmode=require", server.url())).unwrap();
    let result = WebUi::open(&url, hasty(), own()).map(drop);
    if cfg!(feature = "postgres-tls") {
        assert_eq!(result, Ok(()));
    } else {
        assert_eq!(result, Err(OpenError::NoEncryption));
    }
}

/// A server that is looked into over connections of its own.
struct InspectedServer(PgConnectOptions);

impl Peek for InspectedServer {
    fn peek(&self, cell: Cell) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(async move { value(&mut self.0.connect().await.unwrap(), cell).await })
    }

    fn touch_note(&self, note: &'static str, at_nanos: u64) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move { execute(&mut self.0.connect().await.unwrap(), touch_note(note, at_nanos)).await })
    }
}

async fn webui_server() -> PostgresServer {
    let server = PostgresServer::start();
    let sql = format!("{TABLES}{}", inserts(&world()));
    execute(&mut connect(&server).await, sql).await;
    server
}

fn url(server: &PostgresServer) -> DatabaseUrl {
    DatabaseUrl::parse(&server.url()).unwrap()
}

fn open(server: &PostgresServer, options: DatabaseOptions) -> WebUi {
    WebUi::open(&url(server), options, own()).unwrap()
}

fn open_url(text: &str) -> WebUi {
    WebUi::open(&DatabaseUrl::parse(text).unwrap(), hasty(), own()).unwrap()
}

fn connect_options(server: &PostgresServer) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.port())
        .username("room")
        .password(PASSWORD)
        .database("postgres")
}

pub async fn connect(server: &PostgresServer) -> PgConnection {
    connect_options(server).connect().await.unwrap()
}

async fn execute(conn: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(conn).await.unwrap();
}

async fn texts(conn: &mut PgConnection, sql: &'static str) -> Vec<String> {
    sqlx::raw_sql(sql).fetch_all(conn).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn value(conn: &mut PgConnection, cell: Cell) -> Option<String> {
    let row = sqlx::raw_sql(AssertSqlSafe(select(cell))).fetch_optional(conn).await;
    row.ok()?.and_then(|row| row.get(0))
}

fn signal(signal: &str, pids: &[String]) {
    assert!(Command::new("kill").arg(signal).args(pids).status().unwrap().success());
}

fn touch() -> Question {
    suite::touch("ann", 9)
}

fn authenticate() -> Question {
    Question::Authenticate { user: "ann".into(), jti: None, issued_at_secs: None, ends_at_secs: None }
}

async fn profile(store: &WebUi) -> String {
    match store.ask(authenticate()).await {
        Ok(StoreAnswer::User(Some(user))) => user.profile.to_string(),
        other => panic!("{other:?}"),
    }
}
