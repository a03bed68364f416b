//! The store in memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use roomcast_openwebui::query::{ContentHash, Question, StoreAnswer, StoreError, StoredNoteDocument};
use roomcast_stores::{Memory, Moment, Store};

use crate::run;
use crate::suite::{Cell, Peek, StoreUnderTest, suite, touch};
use crate::world::world;

#[test]
fn it_answers_like_the_others() {
    let memory = Memory::new(world());
    let place = StoreUnderTest {
        store: Arc::new(memory.clone()),
        revocations: Arc::new(memory.clone()),
        peek: Box::new(memory),
        of_several_groups: &["two-groups"],
        read_mark: Some("1700000001"),
    };
    run(suite(&place));
}

#[test]
fn tasks_wait_at_a_gate() {
    run(async {
        let memory = Memory::new(world());
        let gate = memory.hold(Moment::BeforeWork);
        let asked: Vec<_> = (0..3)
            .map(|_| {
                let memory = memory.clone();
                tokio::spawn(async move { memory.ask(Question::Chat { chat: "c".into(), user: "ann".into() }).await })
            })
            .collect();
        gate.reached(3).await;
        memory.edit(|rows| rows.chats.clear());
        gate.open();
        for task in asked {
            assert!(matches!(task.await.unwrap(), Ok(StoreAnswer::Chat(None))));
        }

        let gate = memory.hold(Moment::AfterWork);
        let asker = memory.clone();
        let asked = tokio::spawn(async move { asker.ask(touch("ann", 9)).await });
        gate.reached(1).await;
        memory.restart();
        assert!(matches!(asked.await.unwrap(), Err(StoreError::Unavailable)));
        assert_eq!(memory.rows().users[1].last_active_at_secs, 9, "written, without an answer");
    });
}

#[test]
fn a_copy_has_what_was_stored_and_goes_its_own_way() {
    let memory = Memory::new(world());
    let (document, note) = (|| "note:d".into(), || "private".into());
    let updates = vec!["a".into(), "b".into()];
    memory.answer(Question::AppendUpdates { document: document(), first_sequence: 1, updates }).unwrap();
    let save = |memory: &Memory, content: &'static str, at_nanos| {
        memory
            .answer(Question::SaveNoteData {
                note: note(),
                data: format!(r#"{{"content":{content}}}"#).into(),
                at_nanos,
            })
            .unwrap();
        value(memory, Cell::Note("private"))
    };
    let saved = save(&memory, r#"{"md":"first"}"#, 9);
    memory.revoke("lost");
    memory.fail(StoreError::Unavailable);
    let copy = memory.copy();

    // What is done to one of them is not done to the other.
    memory.restore("lost");
    let snapshot = Question::SaveSnapshot {
        document: document(),
        snapshot: "ab".into(),
        content_hash: Some(ContentHash(vec![7; 20].into())),
        up_to_sequence: 2,
    };
    memory.answer(snapshot).unwrap();
    let logged = StoredNoteDocument { updates: vec!["a".into(), "b".into()], last_sequence: 2, ..Default::default() };
    assert_eq!(copy.stored("note:d"), logged);
    let kept = StoredNoteDocument {
        snapshot: Some("ab".into()),
        content_hash: Some(ContentHash(vec![7; 20].into())),
        last_sequence: 2,
        ..Default::default()
    };
    assert_eq!((memory.stored("note:d"), memory.stored("note:e")), (kept, StoredNoteDocument::default()));
    let login = |memory: &Memory| {
        let (user, jti) = ("ann".into(), Some("lost".into()));
        memory.answer(Question::Authenticate { user, jti, issued_at_secs: None, ends_at_secs: None }).unwrap()
    };
    assert!(matches!((login(&memory), login(&copy)), (StoreAnswer::User(Some(_)), StoreAnswer::Revoked)));
    // It has no faults, and knows nothing of the saves that were under way.
    run(async { assert_eq!((memory.ready().await, copy.ready().await), (Err(StoreError::Unavailable), Ok(()))) });
    assert_eq!(save(&memory, r#"{"md":"earlier"}"#, 8), saved);
    assert_eq!(value(&copy, Cell::Note("private")), saved);
    assert_ne!(save(&copy, r#"{"md":"earlier"}"#, 8), saved);
}

impl Peek for Memory {
    fn peek(&self, cell: Cell) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(std::future::ready(value(self, cell)))
    }

    fn touch_note(&self, note: &'static str, at_nanos: u64) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        self.edit(|rows| {
            let row = rows.notes.iter_mut().find(|row| row.id == *note).unwrap();
            row.updated_at_nanos = Some(at_nanos);
        });
        Box::pin(std::future::ready(()))
    }
}

fn value(memory: &Memory, cell: Cell) -> Option<String> {
    let rows = memory.rows();
    let chat = |id: &str| rows.chats.iter().find(|row| row.id == *id);
    let note = |id: &str| rows.notes.iter().find(|row| row.id == *id);
    match cell {
        Cell::LastActiveAt(id) => {
            rows.users.iter().find(|row| row.id == *id).map(|row| row.last_active_at_secs.to_string())
        }
        Cell::LastReadAt { channel, user } => {
            let channel = rows.channels.iter().find(|row| row.id == *channel)?;
            let member = channel.members.iter().find(|row| row.user == *user)?;
            member.last_read_at_nanos.map(|nanos| nanos.to_string())
        }
        Cell::Chat(id) => chat(id)?.chat.as_ref().map(ToString::to_string),
        Cell::Note(id) => note(id)?.data.as_ref().map(ToString::to_string),
        Cell::NoteUpdatedAt(id) => note(id)?.updated_at_nanos.map(|nanos| nanos.to_string()),
        Cell::ChatReadAt(id) => chat(id)?.last_read_at_secs.map(|secs| secs.to_string()),
    }
}
