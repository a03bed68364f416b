//! Golden conversations: what goes over the wire between browsers, the program and its database.
//!
//! The synthetic ones stand in `conversations/` and always run, on each kind of database. Recorded ones run where
//! `ROOMCAST_TRANSCRIPTS` names their folder.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod conversation;
mod database;
mod pattern;
mod peer;
mod play;
mod recorded;
#[allow(dead_code, reason = "the stores' tests need more of it")]
#[path = "../../../adapter/roomcast-stores/tests/stores/server.rs"]
mod server;
mod transcript;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use self::conversation::{By, Conversation};
use self::database::{Database, StoreKind};
use self::peer::{Peer, ReceivedFrame};
use self::play::{eventually, play_all, signed, start};

#[test]
fn conversations_on_a_file_of_its_own() {
    play_all(&conversations(""), &mut Database::new(StoreKind::Own));
}

#[test]
fn conversations_on_open_webuis_file() {
    play_all(&conversations(""), &mut Database::new(StoreKind::Sqlite));
}

#[test]
fn conversations_on_open_webuis_server() {
    play_all(&conversations(""), &mut Database::new(StoreKind::Postgres));
}

#[test]
fn faults_of_open_webuis_file() {
    play_all(&conversations("faults"), &mut Database::new(StoreKind::Sqlite));
}

#[test]
fn faults_of_open_webuis_server() {
    play_all(&conversations("faults"), &mut Database::new(StoreKind::Postgres));
}

/// A client connects within milliseconds of signing in, and the check of its token allows no leeway (2.7 item 10).
#[test]
fn a_token_of_this_very_second_is_good() {
    let mut database = Database::new(StoreKind::Own);
    database.create();
    let (_program, address) = start(&database, &[]);
    database.started();
    let (mut peer, _) = Peer::open(address, By::WebSocket);
    peer.send("40{}");
    assert!(matches!(peer.next(), ReceivedFrame::Text(text) if text.starts_with("40{")));
    let secs = || roomcast_tokio::wall_now().as_unix_secs();
    for _ in 0..2 {
        let before = secs();
        assert!(eventually(|| secs() != before));
        let token = signed(&serde_json::json!({ "id": "bob", "iat": secs() }));
        peer.send(&format!(r#"420["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        assert_eq!(peer.next(), ReceivedFrame::Text(r#"430[{"id":"bob","name":"Bob"}]"#.to_owned()));
    }
}

#[test]
fn recorded_conversations_on_open_webuis_file() {
    recorded_conversations(StoreKind::Sqlite);
}

#[test]
fn recorded_conversations_on_open_webuis_server() {
    recorded_conversations(StoreKind::Postgres);
}

fn recorded_conversations(kind: StoreKind) {
    let Some(folder) = std::env::var_os("ROOMCAST_TRANSCRIPTS") else {
        // Past the harness, which keeps the output of a test that passes; `./test.sh` repeats the line in its summary.
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "not run: {test}: ROOMCAST_TRANSCRIPTS is not set");
        return;
    };
    let mut database = Database::new(kind);
    let outcomes = ["session_websocket.jsonl", "session_polling.jsonl"]
        .map(|name| recorded::replay(&Path::new(&folder).join(name), &mut database));
    compare::check(&outcomes, &folder_of("deviations.txt"));
}

fn conversations(folder: &str) -> Vec<Conversation> {
    Conversation::all(&folder_of("conversations").join(folder))
}

fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A folder that goes away again.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // PostgreSQL runs as another user here and must have access.
        let path = std::env::temp_dir().join(format!("roomcast-golden-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SECRET: &str = "the-secret-of-the-conversations";
