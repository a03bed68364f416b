//! The store in memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};
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
                tokio::spawn(async move { memory.ask(Question::Chat { chat: "c".into() }).await })
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
