//! What every store must do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_openwebui::access::{AccessControl, Grants};
use roomcast_openwebui::query::{
    ContentHash, MessageChange, Note, Permission, Question, StoreAnswer, StoreError, StoredNoteDocument, Touch, User,
};
use roomcast_stores::{Revocations, Store};

use crate::world::{CHAT, NOTE};

/// A store that holds the world, and another way to see what it wrote.
pub struct StoreUnderTest {
    pub store: Arc<dyn Store>,
    pub revocations: Arc<dyn Revocations>,
    pub peek: Box<dyn Peek>,
    /// The channels that ann and bob get because their group is one of several that are let in.
    pub of_several_groups: &'static [&'static str],
    /// What stays of it that ann reads a chat at 1700000001: nothing, where there is no place for it.
    pub read_mark: Option<&'static str>,
}

/// Looks past the store.
pub trait Peek {
    /// The value, or nothing if there is no row, no value or no such column.
    fn peek(&self, cell: Cell) -> Pin<Box<dyn Future<Output = Option<String>> + '_>>;

    /// Writes to a note as another program does, with `at_nanos` (nanoseconds) as the time of the change.
    fn touch_note(&self, note: &'static str, at_nanos: u64) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// A value in a row.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    LastActiveAt(&'static str),
    LastReadAt { channel: &'static str, user: &'static str },
    Chat(&'static str),
    Note(&'static str),
    NoteUpdatedAt(&'static str),
    ChatReadAt(&'static str),
}

pub async fn suite(place: &StoreUnderTest) {
    assert_eq!(place.store.ready().await, Ok(()));
    users(place).await;
    revocations(place).await;
    channels(place).await;
    notes(place).await;
    chats(place).await;
    marks(place).await;
    messages(place).await;
    note_contents(place).await;
    documents(place).await;
    nothing_is_lost(place).await;
    what_is_not_there(place).await;
    questions_given_up(place).await;
    place.store.close().await;
    assert!(matches!(
        ask(place, Question::Chat { chat: "c".into(), user: "ann".into() }).await,
        Err(StoreError::Unavailable)
    ));
    assert_eq!(place.store.ready().await, Err(StoreError::Unavailable));
}

async fn users(place: &StoreUnderTest) {
    for (id, role) in [("root", "admin"), ("ann", "user"), ("pat", "pending")] {
        let user = authenticate(place, id, None, None).await.unwrap();
        let name = format!("{id} \"O'Née\" \u{1f600}");
        assert_eq!((&*user.id, &*user.name, &*user.role), (id, name.as_str(), role));
        let profile: serde_json::Value = serde_json::from_str(&user.profile).unwrap();
        assert_eq!(profile["id"], id);
        assert_eq!(profile["name"], name);
        assert_eq!(profile["role"], role);
        assert_eq!(profile["email"], format!("{id}@localhost"));
        assert_eq!(profile["last_active_at"], 1);
        for left_out in ["profile_image_url", "profile_banner_image_url", "date_of_birth", "bio", "gender"] {
            assert_eq!(profile.get(left_out), None, "{left_out}");
        }
    }
    assert_eq!(authenticate(place, "nobody", None, None).await, None);
    assert_eq!(authenticate(place, "ANN", None, None).await, None);
}

async fn revocations(place: &StoreUnderTest) {
    let revoked = &place.revocations;
    revoked.revoke_token("old".into(), Some(100), 50).await.unwrap();
    revoked.revoke_token("t".into(), None, 200).await.unwrap();
    revoked.revoke_token("t".into(), Some(300), 200).await.unwrap();
    assert_eq!(authenticate(place, "ann", Some("t"), Some(9)).await, None);
    assert!(authenticate(place, "ann", Some("old"), Some(9)).await.is_some(), "it has ended by itself");
    assert!(authenticate(place, "ann", Some("other"), None).await.is_some());
    revoked.revoke_user("bob".into(), 20, Some(90)).await.unwrap();
    revoked.revoke_user("bob".into(), 10, Some(80)).await.unwrap();
    assert_eq!(authenticate(place, "bob", None, Some(20)).await, None);
    assert_eq!(authenticate(place, "bob", Some("x"), None).await, None);
    assert!(authenticate(place, "bob", Some("x"), Some(21)).await.is_some());
    assert_eq!(authenticate_ending(place, "bob", 90).await, None);
    assert!(authenticate_ending(place, "bob", 91).await.is_some(), "it was issued after the revocation");
    revoked.revoke_user("bob".into(), 1, None).await.unwrap();
    assert_eq!(authenticate_ending(place, "bob", 91).await, None);
    revoked.restore_user("bob".into()).await.unwrap();
    revoked.restore_user("nobody".into()).await.unwrap();
    revoked.restore_token("t".into()).await.unwrap();
    assert!(authenticate(place, "ann", Some("t"), Some(9)).await.is_some());
    revoked.revoke_token("t".into(), Some(300), 200).await.unwrap();
    assert_eq!(authenticate(place, "ann", Some("t"), Some(9)).await, None);
    assert!(authenticate(place, "bob", None, None).await.is_some());
    revoked.revoke_user("bob".into(), 20, Some(90)).await.unwrap();
    assert!(authenticate(place, "ann", None, Some(0)).await.is_some());
}

async fn channels(place: &StoreUnderTest) {
    let everybodys = &["public-null", "public-text"][..];
    for (user, own, permission) in [
        ("ann", &["one-group", "owned", "pair", "team"][..], Permission::Denied),
        ("bob", &["one-group", "pair"], Permission::Granted),
        ("root", &[], Permission::Denied),
        ("nobody", &[], Permission::Denied),
    ] {
        let in_groups = if ["ann", "bob"].contains(&user) { place.of_several_groups } else { &[] };
        let mut expected = [everybodys, own, in_groups].concat();
        expected.sort_unstable();
        // Alone, and among others.
        for users in [vec![user], vec!["pat", user, "c\0"]] {
            let (at, count) = (users.iter().position(|other| *other == user).unwrap(), users.len());
            let users = users.into_iter().map(ByteString::from).collect();
            let Ok(StoreAnswer::Channels(answered)) = ask(place, Question::Channels { users }).await else {
                panic!("{user}");
            };
            assert_eq!(answered.len(), count);
            let mut channels: Vec<&str> = answered[at].channels.iter().map(|id| &**id).collect();
            channels.sort_unstable();
            assert_eq!((channels, answered[at].permission), (expected.clone(), permission), "{user}");
        }
    }
}

async fn notes(place: &StoreUnderTest) {
    let closed = AccessControl::Listed { read: Grants::default(), write: Grants::default() };
    let listed = AccessControl::Listed {
        read: Grants { user_ids: vec!["bob".into()], group_ids: vec!["g1".into()], ..Grants::default() },
        write: Grants { user_ids: Vec::new(), group_ids: vec!["g2".into()], ..Grants::default() },
    };
    for (note, access) in [
        ("public-null", AccessControl::Public),
        ("public-text", AccessControl::Public),
        ("private", closed),
        ("listed", listed),
    ] {
        for (user, groups) in [("ann", &["g1", "g2"][..]), ("bob", &["g1", "g3"]), ("nobody", &[])] {
            let question = Question::Note { note: note.into(), user: user.into() };
            let Ok(StoreAnswer::Note(Some(found))) = ask(place, question).await else { panic!("{note}") };
            let groups = groups.iter().map(|id| ByteString::from(*id)).collect();
            assert_eq!(found, Note { owner: "ann".into(), access: access.clone(), groups });
        }
    }
}

async fn chats(place: &StoreUnderTest) {
    for chat in ["c", "empty", "null"] {
        let Ok(StoreAnswer::Chat(Some(found))) =
            ask(place, Question::Chat { chat: chat.into(), user: "ann".into() }).await
        else {
            panic!("{chat}");
        };
        assert_eq!(&*found.owner, "ann");
    }
}

async fn marks(place: &StoreUnderTest) {
    done(place, touch("pat", 1_700_000_000)).await;
    assert_eq!(place.peek.peek(Cell::LastActiveAt("pat")).await.as_deref(), Some("1700000000"));
    assert_eq!(place.peek.peek(Cell::LastActiveAt("ann")).await.as_deref(), Some("1"));

    let read = |channel: &'static str, user: &'static str, at_nanos| Question::ReadChannel {
        channel: channel.into(),
        user: user.into(),
        at_nanos,
    };
    done(place, read("pair", "ann", 1_700_000_000_123_456_789)).await;
    done(place, read("public-null", "ann", 5)).await;
    let at = |channel, user| place.peek.peek(Cell::LastReadAt { channel, user });
    assert_eq!(at("pair", "ann").await.as_deref(), Some("1700000000123456789"));
    for (channel, user) in [("pair", "bob"), ("team", "ann"), ("public-null", "ann")] {
        assert_eq!(at(channel, user).await, None, "{channel}");
    }

    let read = |user: &'static str, at_secs| Question::ReadChat { chat: "c".into(), user: user.into(), at_secs };
    done(place, read("ann", 1_700_000_001)).await;
    done(place, read("bob", 1_700_000_002)).await;
    assert_eq!(place.peek.peek(Cell::ChatReadAt("c")).await.as_deref(), place.read_mark);
}

async fn messages(place: &StoreUnderTest) {
    let changes = vec![
        MessageChange::AppendContent("\u{1f600}\0\"".into()),
        MessageChange::AppendStatus(r#"{"done":false,"at":1e400,"x":"a\u0000b"}"#.into()),
        MessageChange::ExtendFiles("[{\"id\":2}]".into()),
        MessageChange::AppendSource(r#"{"u":"\ud83d"}"#.into()),
    ];
    done(place, change("c", "m", changes)).await;
    let expected = CHAT
        .replace(r#"caf\u00e9""#, "caf\\u00e9\u{1f600}\\\"\"")
        .replace(r#"[{"done": true}]"#, r#"[{"done": true},{"done":false,"at":1e400,"x":"ab"}]"#)
        .replace(r#"[{"id": 1}]}"#, r#"[{"id":2},{"id": 1}],"sources":[{"u":"\ud83d"}]}"#);
    assert_eq!(place.peek.peek(Cell::Chat("c")).await, Some(expected));

    for chat in ["empty", "null"] {
        done(place, change(chat, "m", vec![MessageChange::AppendContent("nowhere to go".into())])).await;
        done(place, change(chat, "m", vec![MessageChange::ReplaceContent("new".into())])).await;
        let made = r#"{"history":{"messages":{"m":{"id":"m","content":"new"}},"currentId":"m"}}"#;
        assert_eq!(place.peek.peek(Cell::Chat(chat)).await.as_deref(), Some(made));
    }

    let before = place.peek.peek(Cell::Chat("c")).await;
    for broken in ["", "{", "[1", "{} {}", "NaN"] {
        let changes =
            vec![MessageChange::AppendContent("x".into()), MessageChange::AppendSource(ByteString::from(broken))];
        let answer = ask(place, change("c", "m", changes)).await;
        assert!(matches!(answer, Err(StoreError::Corrupt)), "{broken}");
    }
    assert_eq!(place.peek.peek(Cell::Chat("c")).await, before, "one question, one transaction");

    // Long enough to be worked on elsewhere.
    let long = "0123456789".repeat(20_000);
    done(place, change("empty", "m", vec![MessageChange::ReplaceContent(long.clone().into())])).await;
    done(place, change("empty", "m", vec![MessageChange::AppendContent("end".into())])).await;
    let stored = place.peek.peek(Cell::Chat("empty")).await.unwrap();
    assert!(stored.contains(&format!("{long}end\"")));
}

async fn note_contents(place: &StoreUnderTest) {
    let content = async |note: &str| match ask(place, Question::NoteContent { note: note.into() }).await {
        Ok(StoreAnswer::NoteContent(content)) => content,
        other => panic!("{other:?}"),
    };
    assert_eq!(content("listed").await.as_deref(), Some(r#"{"md": "caf\u00e9", "json": null}"#));
    assert_eq!(content("private").await, None);
    let put =
        |note: &str, data: &str, at_nanos| Question::SaveNoteData { note: note.into(), data: data.into(), at_nanos };
    let save = |note: &str, content: &str| put(note, &content_alone(content), 1_700_000_000_123_456_789);
    done(place, save("listed", r#"{"md":"é\u0000"}"#)).await;
    done(place, save("private", "{}")).await;
    let after = NOTE.replace(r#"{"md": "caf\u00e9", "json": null}"#, r#"{"md":"é"}"#);
    assert_eq!(place.peek.peek(Cell::Note("listed")).await, Some(after));
    assert_eq!(place.peek.peek(Cell::Note("private")).await.as_deref(), Some(r#"{"content":{}}"#));
    assert_eq!(place.peek.peek(Cell::Note("public-null")).await, None);
    assert_eq!(place.peek.peek(Cell::NoteUpdatedAt("listed")).await.as_deref(), Some("1700000000123456789"));
    assert!(matches!(ask(place, save("listed", "[]")).await, Err(StoreError::Corrupt)));
    let updated_at = async |note| place.peek.peek(Cell::NoteUpdatedAt(note)).await.unwrap();
    // Other members of the data; what is there already is no change.
    let files = r#"{"files":[{"type":"file","id":"f1"},{"type":"note","id":"n"}]}"#;
    done(place, put("listed", files, 1_700_000_000_123_456_790)).await;
    assert_eq!(updated_at("listed").await, "1700000000123456790");
    let same = r#"{"content":{"md":"\u00e9"},"files":[{"id":"f1","type":"file"},{"type":"note","id":"n"}]}"#;
    done(place, put("listed", same, 1_700_000_000_123_456_791)).await;
    assert_eq!(updated_at("listed").await, "1700000000123456790");
    assert_eq!(content("listed").await.as_deref(), Some(r#"{"md":"é"}"#));
    for (note, attached) in [("listed", vec!["f1"]), ("private", vec![]), ("nothing", vec![]), ("c\0", vec![])] {
        let Ok(StoreAnswer::NoteFiles(files)) = ask(place, Question::NoteFiles { note: note.into() }).await else {
            panic!("{note}")
        };
        assert_eq!(files, attached, "{note}");
    }
    late_note_contents(place).await;
    for id in ["nothing", "c\0"] {
        assert_eq!(content(id).await, None);
        assert!(matches!(ask(place, save(id, "{}")).await, Err(StoreError::NotFound)));
    }
}

/// Data with this content and nothing else.
fn content_alone(content: &str) -> String {
    format!(r#"{{"content":{content}}}"#)
}

/// A save that was given up may be carried out behind the one in its place. Of two of one moment the second counts, and
/// the moment at which others wrote to the row says nothing.
async fn late_note_contents(place: &StoreUnderTest) {
    let note = async || place.peek.peek(Cell::Note("private")).await.unwrap();
    let updated_at = async || place.peek.peek(Cell::NoteUpdatedAt("private")).await.unwrap();
    let save = |content: &'static str, at_nanos| {
        let data = content_alone(content).into();
        Question::SaveNoteData { note: "private".into(), data, at_nanos }
    };
    let first = 1_700_000_000_123_456_789;
    for (content, at_nanos, stored, stored_at) in [
        (r#"{"md":"2"}"#, first + 2, "2", first + 2),
        (r#"{"md":"1"}"#, first + 1, "2", first + 2),
        (r#"{"md":"again"}"#, first + 2, "again", first + 2),
        (r#"{"md":"4"}"#, first + 4, "4", first + 4),
    ] {
        done(place, save(content, at_nanos)).await;
        assert_eq!(note().await, format!(r#"{{"content":{{"md":"{stored}"}}}}"#));
        assert_eq!(updated_at().await, stored_at.to_string());
    }
    place.peek.touch_note("private", first + 1_000_000_000_000).await;
    done(place, save(r#"{"md":"5"}"#, first + 5)).await;
    assert_eq!(note().await, r#"{"content":{"md":"5"}}"#, "another clock is ahead");

    // Many at once, carried out in any order: the last one stays.
    let tasks: Vec<_> = (6..40)
        .rev()
        .map(|at| {
            let store = place.store.clone();
            let data = content_alone(&format!(r#"{{"md":"{at}"}}"#)).into();
            let question = Question::SaveNoteData { note: "private".into(), data, at_nanos: first + at };
            tokio::spawn(async move { store.ask(question).await })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Ok(StoreAnswer::Done)));
    }
    assert_eq!(note().await, r#"{"content":{"md":"39"}}"#);
}

async fn documents(place: &StoreUnderTest) {
    let stored = |snapshot: Option<&'static [u8]>, hash: Option<u8>, updates: &[&'static [u8]], last_sequence| {
        StoredNoteDocument {
            snapshot: snapshot.map(Bytes::from_static),
            content_hash: hash.map(|byte| ContentHash(vec![byte; 20 * usize::from(byte)].into())),
            updates: updates.iter().map(|update| Bytes::from_static(update)).collect(),
            last_sequence,
            is_held: false,
        }
    };
    let load = async |document: &str| match ask(place, Question::LoadDocument { document: document.into() }).await {
        Ok(StoreAnswer::Document(document)) => document,
        other => panic!("{other:?}"),
    };
    let append = |first_sequence, updates: &[&'static [u8]]| Question::AppendUpdates {
        document: "note:d".into(),
        first_sequence,
        updates: updates.iter().map(|update| Bytes::from_static(update)).collect(),
    };
    let save = |snapshot: &'static [u8], hash: Option<u8>, up_to_sequence| Question::SaveSnapshot {
        document: "note:d".into(),
        snapshot: Bytes::from_static(snapshot),
        content_hash: hash.map(|byte| ContentHash(vec![byte; 20 * usize::from(byte)].into())),
        up_to_sequence,
    };
    assert_eq!(load("note:d").await, StoredNoteDocument::default());
    done(place, append(3, &[b"3", b"\0\xff", b""])).await;
    done(place, append(9, &[])).await;
    assert_eq!(load("note:d").await, stored(None, None, &[b"3", b"\0\xff", b""], 5));
    // One question overtook another, and one is asked again with more behind it.
    done(place, append(1, &[b"1", b"2", b"3"])).await;
    done(place, append(5, &[b"", b"6"])).await;
    // Other bytes under a number are another program's: nothing of the question is written.
    for conflict in [append(1, &[b"1", b"2", b"other"]), append(6, &[b"other", b"7"])] {
        assert!(matches!(ask(place, conflict).await, Err(StoreError::Conflict)));
    }
    assert_eq!(load("note:d").await, stored(None, None, &[b"1", b"2", b"3", b"\0\xff", b"", b"6"], 6));

    done(place, save(b"s4", Some(4), 4)).await;
    assert_eq!(load("note:d").await, stored(Some(b"s4"), Some(4), &[b"", b"6"], 6));
    done(place, append(4, &[b"held by the snapshot", b"", b"6", b"7"])).await;
    assert_eq!(load("note:d").await, stored(Some(b"s4"), Some(4), &[b"", b"6", b"7"], 7));
    done(place, save(b"s9", None, 9)).await;
    done(place, save(b"too late", Some(8), 8)).await;
    assert_eq!(load("note:d").await, stored(Some(b"s9"), None, &[], 9));
    done(place, save(b"", Some(9), 9)).await;
    assert_eq!(load("note:d").await, stored(Some(b""), Some(9), &[], 9));
    done(place, append(10, &[b"10"])).await;
    assert_eq!(load("note:d").await, stored(Some(b""), Some(9), &[b"10"], 10));
    assert_eq!(load("note:e").await, StoredNoteDocument::default());
}

/// Writers of one chat take turns.
async fn nothing_is_lost(place: &StoreUnderTest) {
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = place.store.clone();
            let append = vec![MessageChange::AppendContent("+".into())];
            tokio::spawn(async move { store.ask(change("c", "o", append)).await })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Ok(StoreAnswer::Done)));
    }
    let stored = place.peek.peek(Cell::Chat("c")).await.unwrap();
    assert!(stored.contains(&format!("\"other{}\"", "+".repeat(20))), "{stored}");
}

async fn what_is_not_there(place: &StoreUnderTest) {
    for id in ["nothing", "", "c\0", "'; --"] {
        let id = ByteString::from(id);
        assert_eq!(authenticate(place, &id, None, None).await, None);
        assert!(matches!(
            ask(place, Question::Chat { chat: id.clone(), user: "ann".into() }).await,
            Ok(StoreAnswer::Chat(None))
        ));
        let note = Question::Note { note: id.clone(), user: "ann".into() };
        assert!(matches!(ask(place, note).await, Ok(StoreAnswer::Note(None))));
        assert!(matches!(
            ask(place, Question::Channels { users: vec![id.clone()] }).await,
            Ok(StoreAnswer::Channels(_))
        ));
        done(place, touch(id.clone(), 5)).await;
        done(place, Question::ReadChannel { channel: id.clone(), user: "ann".into(), at_nanos: 5 }).await;
        done(place, Question::ReadChat { chat: id.clone(), user: "ann".into(), at_secs: 5 }).await;
        let answer = ask(place, change(&id, "m", vec![MessageChange::ReplaceContent("x".into())])).await;
        assert!(matches!(answer, Err(StoreError::NotFound)), "{id:?}");
    }
    done(place, touch("pat", u64::MAX)).await;
    done(place, touch("pat", 1)).await;
}

/// A caller that drops its question, after any number of polls, leaves a store that still answers and an intact chat.
async fn questions_given_up(place: &StoreUnderTest) {
    let before = place.peek.peek(Cell::Chat("null")).await.unwrap();
    let mut appended = 0;
    for polls in 0..12 {
        let mut asked = place.store.ask(change("null", "m", vec![MessageChange::AppendContent("+".into())]));
        let mut is_ready = false;
        for _ in 0..polls {
            if asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                is_ready = true;
                break;
            }
            tokio::task::yield_now().await;
        }
        appended += usize::from(is_ready);
        drop(asked);
        done(place, change("null", "m", vec![MessageChange::AppendContent("|".into())])).await;
    }
    let after = place.peek.peek(Cell::Chat("null")).await.unwrap();
    assert_eq!(after.matches('|').count(), 12, "{after}");
    let written = after.matches('+').count();
    assert!((appended..=12).contains(&written), "{after}");
    assert_eq!(after.replace(['|', '+'], ""), before);
}

pub async fn ask(place: &StoreUnderTest, question: Question) -> Result<StoreAnswer, StoreError> {
    place.store.ask(question).await
}

pub async fn done(place: &StoreUnderTest, question: Question) {
    let answer = ask(place, question.clone()).await;
    assert!(matches!(answer, Ok(StoreAnswer::Done)), "{question:?}: {answer:?}");
}

pub fn change(chat: &str, message: &'static str, changes: Vec<MessageChange>) -> Question {
    Question::ChangeMessage { chat: chat.into(), message: message.into(), changes }
}

pub fn touch(user: impl Into<ByteString>, at_secs: u64) -> Question {
    Question::TouchUsers { touches: vec![Touch { user: user.into(), at_secs }] }
}

async fn authenticate(
    place: &StoreUnderTest,
    user: &str,
    jti: Option<&str>,
    issued_at_secs: Option<u64>,
) -> Option<User> {
    let jti = jti.map(ByteString::from);
    authenticated(place, Question::Authenticate { user: user.into(), jti, issued_at_secs, ends_at_secs: None }).await
}

/// By a token that does not say when it was issued.
async fn authenticate_ending(place: &StoreUnderTest, user: &str, ends_at_secs: u64) -> Option<User> {
    let ends_at_secs = Some(ends_at_secs);
    let user = user.into();
    authenticated(place, Question::Authenticate { user, jti: None, issued_at_secs: None, ends_at_secs }).await
}

async fn authenticated(place: &StoreUnderTest, question: Question) -> Option<User> {
    match ask(place, question).await {
        Ok(StoreAnswer::User(user)) => user,
        Ok(StoreAnswer::Revoked) => None,
        other => panic!("{other:?}"),
    }
}
