//! Open WebUI's file.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use roomcast_openwebui::Release;
use roomcast_openwebui::query::{MessageChange, Question, StoreAnswer, StoreError};
use roomcast_stores::{DatabaseOptions, DatabaseUrl, OpenError, Store, WebUi};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use crate::suite::{Cell, Peek, StoreUnderTest, change, suite, touch};
use crate::tables::{SETTINGS, TABLES, inserts, select, touch_note};
use crate::world::{CHAT, world};
use crate::{Folder, eventually, hasty, own, patient, run, unavailable};

#[test]
fn it_answers_like_the_others() {
    run(async {
        let (folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let own = own();
        let place = StoreUnderTest {
            store: Arc::new(WebUi::open(&url(&path), patient(), own.clone()).unwrap()),
            revocations: own,
            peek: Box::new(InspectedFile(path)),
            of_several_groups: &[],
            read_mark: None,
        };
        suite(&place).await;
        drop(folder);
    });
}

#[test]
fn a_chat_is_marked_as_read_where_there_is_a_place_for_it() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let store = open(&path, patient());
        let read = Question::ReadChat { chat: "c".into(), user: "ann".into(), at_secs: 7 };
        assert!(matches!(store.ask(read.clone()).await, Ok(StoreAnswer::Done)));
        execute(&path, "ALTER TABLE chat ADD COLUMN last_read_at BIGINT").await;
        assert!(matches!(open(&path, patient()).ask(read).await, Ok(StoreAnswer::Done)));
        assert_eq!(value(&path, Cell::ChatReadAt("c")).await.as_deref(), Some("7"));
    });
}

#[test]
fn the_journal_stays_as_it_is() {
    run(async {
        for (mode, version) in [(SqliteJournalMode::Delete, 1), (SqliteJournalMode::Wal, 2)] {
            let (_folder, path) = webui_db(mode).await;
            let store = open(&path, patient());
            let append = change("c", "m", vec![MessageChange::AppendContent("x".into())]);
            assert!(matches!(store.ask(append).await, Ok(StoreAnswer::Done)));
            assert!(matches!(store.ask(authenticate("ann")).await, Ok(StoreAnswer::User(Some(_)))));
            // <https://www.sqlite.org/fileformat.html#the_database_header>: the versions to write and to read it with.
            let header = std::fs::read(&path).unwrap();
            assert_eq!(header[18..20], [version, version]);
        }
    });
}

#[test]
fn a_profile_is_the_row_without_what_shall_be_left_out() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let expected = format!(
            r#"{{"id":"ann","name":"ann \"O'Née\" {}","email":"ann@localhost","role":"user","created_at":1,"updated_at":1,"last_active_at":1,"username":null,"oauth":null,"info":null,"settings":{}}}"#,
            '\u{1f600}',
            SETTINGS.replace(": ", ":").replace(", ", ",")
        );
        assert_eq!(profile(&open(&path, patient())).await, expected);
        let options = DatabaseOptions { profile_without: vec!["settings".into(), "no such".into()], ..patient() };
        let found: serde_json::Value = serde_json::from_str(&profile(&open(&path, options)).await).unwrap();
        assert_eq!(found["profile_image_url"], "data:image/png;base64,AAAA");
        assert_eq!(found["date_of_birth"], "2000-01-02");
        assert_eq!(found.get("settings"), None);
    });
}

/// The original asks whether the text of the list is like `%["<group>"]%`.
#[test]
fn a_group_lets_in_by_the_text_of_the_list() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        for (rules, lets_in) in [
            (r#"{"read":{"group_ids":["g1"]}}"#, true),
            (r#"{ "read" : { "group_ids" : [ "g1" ] } }"#, true),
            (r#"{"read":{"group_ids":["G1"]}}"#, true),
            (r#"{"read":{"group_ids":[["g1"],"g9"]}}"#, true),
            (r#"{"read":{"group_ids":["g1","g1"]}}"#, false),
            (r#"{"read":{"group_ids":["g11"]}}"#, false),
            (r#"{"read":{"group_ids":null}}"#, false),
            (r#"{"read":["g1"]}"#, false),
            (r#"["g1"]"#, false),
            ("{", false),
            ("", false),
        ] {
            execute(&path, format!("UPDATE channel SET access_control = '{rules}' WHERE id = 'one-group'")).await;
            let answer = open(&path, patient()).ask(Question::Channels { users: vec!["bob".into()] }).await;
            let Ok(StoreAnswer::Channels(found)) = answer else { panic!("{answer:?}") };
            assert_eq!(found[0].channels.iter().any(|id| id == "one-group"), lets_in, "{rules}");
            assert!(found[0].channels.iter().any(|id| id == "public-null"), "others are not disturbed");
        }
    });
}

#[test]
fn what_cannot_be_read_is_corrupt() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let store = open(&path, patient());
        execute(&path, "UPDATE chat SET chat = '{\"history\": {' WHERE id = 'c'").await;
        let append = change("c", "m", vec![MessageChange::AppendContent("x".into())]);
        assert!(matches!(store.ask(append).await, Err(StoreError::Corrupt)));
        assert_eq!(value(&path, Cell::Chat("c")).await.as_deref(), Some("{\"history\": {"));

        execute(&path, "UPDATE \"user\" SET settings = '{' WHERE id = 'ann'").await;
        assert!(matches!(store.ask(authenticate("ann")).await, Err(StoreError::Corrupt)));
        assert!(matches!(store.ask(authenticate("bob")).await, Ok(StoreAnswer::User(Some(_)))));

        execute(&path, "UPDATE \"group\" SET permissions = '[' WHERE id = 'g2'").await;
        let channels = |user: &'static str| store.ask(Question::Channels { users: vec![user.into()] });
        assert!(matches!(channels("ann").await, Err(StoreError::Corrupt)));
        assert!(matches!(channels("bob").await, Ok(StoreAnswer::Channels(_))));

        execute(&path, "UPDATE note SET access_control = '{' WHERE id = 'public-null'").await;
        let note = Question::Note { note: "public-null".into(), user: "bob".into() };
        let Ok(StoreAnswer::Note(Some(note))) = store.ask(note).await else { panic!("a note") };
        assert_ne!(note.access, Default::default(), "a rule that cannot be read opens no door");

        std::fs::write(&path, "This is no database at all, although it is long enough to be one.".repeat(99)).unwrap();
        let store = open(&path, patient());
        assert!(matches!(store.ask(authenticate("bob")).await, Err(StoreError::Corrupt)));
        assert!(matches!(store.examine().await, Err(OpenError::Unreadable(_))));
    });
}

#[test]
fn a_locked_file_is_waited_for_and_nothing_is_lost() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let append = || change("c", "m", vec![MessageChange::AppendContent("x".into())]);
        let touch = || touch("ann", 9);
        let mut other = connect(&path).await;

        sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
        let store = Arc::new(open(&path, hasty()));
        unavailable(&store, [append(), touch(), authenticate("ann")]).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        assert_eq!(value(&path, Cell::Chat("c")).await.as_deref(), Some(CHAT));
        assert!(matches!(eventually(&*store, touch()).await, StoreAnswer::Done));

        let store = Arc::new(open(&path, patient()));
        assert!(matches!(store.ask(append()).await, Ok(StoreAnswer::Done)));
        let once = CHAT.replace("caf\\u00e9", "caf\\u00e9x");
        assert_eq!(value(&path, Cell::Chat("c")).await, Some(once.clone()));

        sqlx::raw_sql("BEGIN IMMEDIATE; UPDATE chat SET title = 'T' WHERE id = 'c'").execute(&mut other).await.unwrap();
        let waiting: Vec<_> = [append(), touch()]
            .map(|question| {
                let store = store.clone();
                tokio::spawn(async move { store.ask(question).await })
            })
            .into();
        assert!(matches!(store.ask(authenticate("ann")).await, Ok(StoreAnswer::User(Some(_)))), "readers read");
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        for task in waiting {
            assert!(matches!(task.await.unwrap(), Ok(StoreAnswer::Done)));
        }
        assert_eq!(value(&path, Cell::Chat("c")).await, Some(once.replace("e9x", "e9xx")));
    });
}

/// One row that cannot be read spoils nothing for those who ask at the same time.
#[test]
fn users_who_ask_together_are_answered_apart() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        execute(&path, "UPDATE \"group\" SET permissions = '[' WHERE id = 'g2'").await;
        execute(&path, "UPDATE \"user\" SET settings = '{' WHERE id = 'pat'").await;
        let store = Arc::new(open(&path, patient()));
        let ask = |question: Question| {
            let store = store.clone();
            tokio::spawn(async move { store.ask(question).await })
        };
        let users = ["bob", "ann", "root", "nobody", "a\0", "bob", "pat"];
        let channels: Vec<_> =
            users.iter().map(|user| ask(Question::Channels { users: vec![(*user).into()] })).collect();
        let found: Vec<_> = users.iter().map(|user| ask(authenticate(user))).collect();
        for (user, task) in users.iter().zip(channels) {
            let answer = task.await.unwrap();
            // The group is that of ann.
            let is_as_expected = match *user {
                "ann" => matches!(answer, Err(StoreError::Corrupt)),
                "a\0" => matches!(&answer, Ok(StoreAnswer::Channels(found)) if found[0].channels.is_empty()),
                _ => matches!(&answer, Ok(StoreAnswer::Channels(found)) if found[0].channels.len() >= 2),
            };
            assert!(is_as_expected, "{user:?}: {answer:?}");
        }
        for (user, task) in users.iter().zip(found) {
            let answer = task.await.unwrap();
            let is_as_expected = match *user {
                "pat" => matches!(answer, Err(StoreError::Corrupt)),
                "nobody" | "a\0" => matches!(answer, Ok(StoreAnswer::User(None))),
                user => matches!(&answer, Ok(StoreAnswer::User(Some(found))) if found.id == user),
            };
            assert!(is_as_expected, "{user:?}: {answer:?}");
        }
    });
}

/// With a rollback journal, each transaction keeps all other writers out of the file.
#[test]
fn heartbeats_of_many_users_share_transactions() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let store = Arc::new(open(&path, patient()));
        let before = transactions(&path);
        let tasks: Vec<_> = (0..500)
            .map(|second| {
                let (store, user) = (store.clone(), ["ann", "bob", "nobody"][second % 3]);
                tokio::spawn(async move { store.ask(touch(user, second as u64)).await })
            })
            .collect();
        for task in tasks {
            assert!(matches!(task.await.unwrap(), Ok(StoreAnswer::Done)));
        }
        let count = transactions(&path) - before;
        assert!((1..=3).contains(&count), "{count} transactions");
        assert_eq!(value(&path, Cell::LastActiveAt("ann")).await.as_deref(), Some("498"));
        assert_eq!(value(&path, Cell::LastActiveAt("bob")).await.as_deref(), Some("499"));
        // Closing hurries what is spaced out.
        assert!(matches!(store.ask(touch("ann", 1000)).await, Ok(StoreAnswer::Done)));
        let late = tokio::spawn({
            let store = store.clone();
            async move { store.ask(touch("ann", 1001)).await }
        });
        tokio::task::yield_now().await;
        store.close().await;
        assert!(matches!(late.await.unwrap(), Ok(StoreAnswer::Done)));
        assert_eq!(value(&path, Cell::LastActiveAt("ann")).await.as_deref(), Some("1001"));
    });
}

/// A message in a channel is read at once by all who look at it.
#[test]
fn what_many_users_have_read_shares_transactions() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let store = Arc::new(open(&path, patient()));
        let before = transactions(&path);
        let tasks: Vec<_> = (0..300)
            .map(|second: u64| {
                let (store, user) = (store.clone(), ["ann", "bob", "nobody"][second as usize % 3]);
                let question = match second % 2 {
                    0 => Question::ReadChannel { channel: "pair".into(), user: user.into(), at_nanos: second },
                    _ => Question::ReadChat { chat: "c".into(), user: user.into(), at_secs: second },
                };
                tokio::spawn(async move { store.ask(question).await })
            })
            .collect();
        for task in tasks {
            assert!(matches!(task.await.unwrap(), Ok(StoreAnswer::Done)));
        }
        let count = transactions(&path) - before;
        assert!((1..=4).contains(&count), "{count} transactions");
        for (user, latest) in [("ann", "294"), ("bob", "298")] {
            assert_eq!(value(&path, Cell::LastReadAt { channel: "pair", user }).await.as_deref(), Some(latest));
        }
        store.close().await;
    });
}

/// How many transactions have written to a file: the counter in its header.
/// <https://www.sqlite.org/fileformat.html#file_change_counter>
fn transactions(path: &Path) -> u32 {
    let header = std::fs::read(path).unwrap();
    u32::from_be_bytes(header[24..28].try_into().unwrap())
}

#[test]
fn a_file_that_comes_later_is_found_and_none_is_made() {
    run(async {
        let folder = Folder::new();
        let path = folder.path().join("webui.db");
        let store = open(&path, patient());
        assert!(matches!(store.ask(authenticate("ann")).await, Err(StoreError::Unavailable)));
        assert!(matches!(store.examine().await, Err(OpenError::Unreachable(_))));
        assert_eq!(store.ready().await, Err(StoreError::Unavailable));
        assert!(!path.exists());

        create(&path, SqliteJournalMode::Delete, "CREATE TABLE first (id TEXT)").await;
        assert_eq!(store.examine().await, Err(OpenError::NoTables));
        assert!(matches!(store.ask(authenticate("ann")).await, Err(StoreError::Unavailable)));

        execute(&path, format!("{TABLES}{}", inserts(&world()))).await;
        assert_eq!(store.examine().await, Ok(Release::V0_6));
        assert!(matches!(store.ask(authenticate("ann")).await, Ok(StoreAnswer::User(Some(_)))));
    });
}

#[test]
fn tables_that_change_are_looked_at_again() {
    run(async {
        let (_folder, path) = webui_db(SqliteJournalMode::Delete).await;
        let store = open(&path, patient());
        assert!(profile(&store).await.contains("settings"));
        execute(&path, "ALTER TABLE \"user\" RENAME COLUMN settings TO preferences").await;
        assert!(matches!(store.ask(authenticate("ann")).await, Err(StoreError::Corrupt)));
        assert!(profile(&store).await.contains("preferences"));

        execute(&path, "ALTER TABLE note DROP COLUMN access_control").await;
        let missing = OpenError::Missing { table: "note", column: "access_control" };
        assert_eq!(store.examine().await, Err(missing.clone()));
        assert!(missing.to_string().contains("Open WebUI 0.6.41 to 0.7.x"), "{missing}");
        let note = Question::Note { note: "private".into(), user: "bob".into() };
        assert!(matches!(store.ask(note).await, Err(StoreError::Unavailable)));
    });
}

/// A file that is looked into over a connection of its own.
pub struct InspectedFile(pub PathBuf);

impl Peek for InspectedFile {
    fn peek(&self, cell: Cell) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(value(&self.0, cell))
    }

    fn touch_note(&self, note: &'static str, at_nanos: u64) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(execute(&self.0, touch_note(note, at_nanos)))
    }
}

async fn webui_db(mode: SqliteJournalMode) -> (Folder, PathBuf) {
    let folder = Folder::new();
    let path = folder.path().join("webui.db");
    create(&path, mode, &format!("{TABLES}{}", inserts(&world()))).await;
    (folder, path)
}

async fn create(path: &Path, mode: SqliteJournalMode, sql: &str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(mode);
    let mut conn = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

fn url(path: &Path) -> DatabaseUrl {
    DatabaseUrl::parse(&format!("sqlite:///{}", path.display())).unwrap()
}

fn open(path: &Path, options: DatabaseOptions) -> WebUi {
    WebUi::open(&url(path), options, own()).unwrap()
}

pub async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

pub async fn execute(path: &Path, sql: impl Into<String>) {
    let mut conn = connect(path).await;
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

pub async fn value(path: &Path, cell: Cell) -> Option<String> {
    let mut conn = connect(path).await;
    let row = sqlx::raw_sql(AssertSqlSafe(select(cell))).fetch_optional(&mut conn).await;
    let found = row.ok()?.and_then(|row| row.get(0));
    conn.close().await.unwrap();
    found
}

fn authenticate(user: &'static str) -> Question {
    Question::Authenticate { user: user.into(), jti: None, issued_at_secs: None, ends_at_secs: None }
}

async fn profile(store: &WebUi) -> String {
    match store.ask(authenticate("ann")).await {
        Ok(StoreAnswer::User(Some(user))) => user.profile.to_string(),
        other => panic!("{other:?}"),
    }
}
