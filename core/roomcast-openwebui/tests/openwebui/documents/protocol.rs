//! y-protocols over plain WebSocket.

use roomcast_testkit::yjs_update::text_update;
use std::time::Duration;

use super::super::store::{Manner, PRIVATE, PUBLIC};
use super::super::world::{START_SECS, World, token_of};
use super::browser::{Browser, NOTE, settle, token_for};
use roomcast_openwebui::{Request, Response};
use roomcast_yjs::{Document, DocumentLimits, ProtocolMessage, Source, StateVector, Verdict};

/// What a provider of y-websocket does.
struct Provider {
    client: usize,
    doc: Document,
    /// Awareness updates that came.
    awareness: Vec<Vec<u8>>,
    denied: usize,
}

impl Provider {
    fn open(world: &mut World, user: &str) -> Self {
        Self::with(world, &token_for(user), Document::new(DocumentLimits::default()))
    }

    fn with(world: &mut World, token: &str, mut doc: Document) -> Self {
        let client = world.open_provider(NOTE, token);
        if !world.clients[client].is_closed {
            world.send_binary(client, &ProtocolMessage::SyncStep1(&doc.state_vector()).encode());
        }
        let mut provider = Self { client, doc, awareness: Vec::new(), denied: 0 };
        provider.pump(world);
        provider
    }

    fn pump(&mut self, world: &mut World) {
        while let Some(bytes) = world.read_binary(self.client) {
            match ProtocolMessage::decode(&bytes).unwrap() {
                ProtocolMessage::SyncStep1(vector) => {
                    let difference = self.doc.difference(&StateVector::decode(vector).unwrap());
                    world.send_binary(self.client, &ProtocolMessage::SyncStep2(&difference).encode());
                }
                ProtocolMessage::SyncStep2(update) | ProtocolMessage::Update(update) => {
                    let verdict = self.doc.apply(update, Source::Stored);
                    assert!(matches!(verdict, Verdict::Applied | Verdict::NothingNew), "{verdict:?}");
                }
                ProtocolMessage::Awareness(update) => self.awareness.push(update.to_vec()),
                ProtocolMessage::PermissionDenied(_) => self.denied += 1,
                ProtocolMessage::QueryAwareness => {}
            }
        }
    }

    fn write(&mut self, world: &mut World, id: u8, clock: u32, text: &str) {
        let update = text_update(id, clock, text);
        self.doc.apply(&update, Source::Stored);
        world.send_binary(self.client, &ProtocolMessage::Update(&update).encode());
    }
}

#[test]
fn both_protocols_are_in_one_document() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let mut provider = Provider::open(&mut world, "alice");
    assert_eq!(provider.doc.state(), alice.doc.state());
    alice.type_text(&mut world, "from the browser ");
    provider.pump(&mut world);
    provider.write(&mut world, 100, 0, "from the provider");
    settle(&mut world, &mut [&mut alice]);
    assert_eq!(provider.doc.state(), alice.doc.state());
    assert!(alice.has_event("ydoc:user:joined"));
    let relayed = alice.events.iter().find(|event| event.starts_with("ydoc:document:update")).unwrap();
    assert!(relayed.contains(r#""user_id":"alice""#) && relayed.contains(r#""socket_id":"""#), "{relayed}");
    world.leave(provider.client);
    alice.pump(&mut world);
    assert!(alice.has_event("ydoc:user:left"));
    // What a provider did while it was away comes with step 2.
    let mut doc = std::mem::take(&mut provider.doc);
    doc.apply(&text_update(100, 17, "offline"), Source::Stored);
    let mut provider = Provider::with(&mut world, &token_for("alice"), doc);
    provider.pump(&mut world);
    alice.pump(&mut world);
    assert_eq!(provider.doc.state(), alice.doc.state());
    world.leave(provider.client);
    world.leave(alice.client);
    world.pass_ms(10_000);
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

#[test]
fn a_provider_does_not_begin_a_document_whose_note_is_not_loaded_yet() {
    let mut world = World::with(|settings| settings.documents.machine.limits.update_bytes_max = 60);
    world.store.write_content("plan", Some(r#"{"md":"written before there were documents"}"#));
    let (mut first, mut second) = (Provider::open(&mut world, "alice"), Provider::open(&mut world, "alice"));
    first.write(&mut world, 100, 0, &"an edit, longer than updates may be ".repeat(2));
    first.pump(&mut world);
    assert_eq!(first.denied, 1);
    first.write(&mut world, 100, 72, "and another");
    first.pump(&mut world);
    second.pump(&mut world);
    assert_eq!((first.denied, second.denied, &second.doc.state()[..]), (1, 0, &[0, 0][..]));
    // The front end comes, is asked to load the note, and does; then comes what was kept out.
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    for _ in 0..2 {
        first.pump(&mut world);
        second.pump(&mut world);
    }
    settle(&mut world, &mut [&mut alice]);
    assert_eq!(first.doc.state(), alice.doc.state());
    assert_eq!(second.doc.state(), alice.doc.state());
    assert!(alice.doc.store().clock(roomcast_yjs::ClientId::new(100).unwrap()) > 0, "the edits are there");
    assert_eq!(first.denied, 1);
}

#[test]
fn providers_see_each_other_and_ghosts_vanish() {
    let mut world = World::new();
    let (mut one, mut two) = (Provider::open(&mut world, "alice"), Provider::open(&mut world, "alice"));
    let mut alice = Browser::open(&mut world, "alice");
    let present = |id: u8, clock: u8| vec![1, id, clock, 7, b'{', b'"', b'a', b'"', b':', b'1', b'}'];
    world.send_binary(one.client, &ProtocolMessage::Awareness(&present(7, 1)).encode());
    one.pump(&mut world);
    two.pump(&mut world);
    // To its sender too, which takes a silent connection for dead.
    assert_eq!((&one.awareness, &two.awareness), (&vec![present(7, 1)], &vec![present(7, 1)]));
    let mut three = Provider::open(&mut world, "alice");
    three.pump(&mut world);
    assert_eq!(three.awareness, [present(7, 1)]);
    // A provider cannot set the awareness state of another provider.
    world.send_binary(two.client, &ProtocolMessage::Awareness(&present(7, 2)).encode());
    three.pump(&mut world);
    assert_eq!(three.awareness.len(), 1);
    world.leave(one.client);
    three.pump(&mut world);
    assert_eq!(three.awareness.pop(), Some(vec![1, 7, 1, 4, b'n', b'u', b'l', b'l']));
    // One that is silent expires.
    world.send_binary(two.client, &ProtocolMessage::Awareness(&present(8, 1)).encode());
    three.pump(&mut world);
    world.pass(Duration::from_secs(31));
    three.pump(&mut world);
    assert_eq!(three.awareness.pop(), Some(vec![1, 8, 1, 4, b'n', b'u', b'l', b'l']));
    alice.pump(&mut world);
    assert!(!alice.has_event("ydoc:awareness"));
}

#[test]
fn who_may_not_read_is_told_and_closed() {
    let mut world = World::new();
    for token in [token_for("bob"), token_for("pete"), "x".to_owned(), String::new()] {
        let provider = Provider::with(&mut world, &token, Document::new(DocumentLimits::default()));
        assert_eq!((provider.denied, world.clients[provider.client].is_closed), (1, true), "{token}");
        // After this a provider does not come back by itself.
        assert_eq!(world.clients[provider.client].close_code, Some(4403));
    }
    let other = world.open_provider("plan", &token_for("alice"));
    assert!(world.clients[other].is_closed);
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

#[test]
fn who_may_only_read_gets_everything_and_writes_nothing() {
    let mut world = World::new();
    world.store.put_note("plan", "alice", PUBLIC);
    let mut alice = Provider::open(&mut world, "alice");
    let mut bob = Provider::open(&mut world, "bob");
    alice.write(&mut world, 100, 0, "by alice");
    bob.pump(&mut world);
    assert_eq!((bob.doc.state(), bob.denied), (alice.doc.state(), 0));
    bob.write(&mut world, 101, 0, "by bob");
    bob.pump(&mut world);
    alice.pump(&mut world);
    assert_eq!((bob.denied, alice.doc.store().clock(roomcast_yjs::ClientId::new(101).unwrap())), (1, 0));
    assert!(!world.clients[bob.client].is_closed);
    // Access that is taken away ends it, at once when told.
    world.store.put_note("plan", "alice", PRIVATE);
    assert!(matches!(world.ask(Request::Refresh { user: "bob".into() }), Response::Done { sockets: 1 }));
    assert!(world.clients[bob.client].is_closed);
    // So does a token that is revoked, within a minute, or at its end.
    world.store.revoke("of-alice");
    world.pass(Duration::from_secs(61));
    assert!(world.clients[alice.client].is_closed);
    let short = token_of(&format!(r#"{{"id":"alice","exp":{}}}"#, START_SECS + 70));
    let provider = Provider::with(&mut world, &short, Document::new(DocumentLimits::default()));
    assert!(!world.clients[provider.client].is_closed);
    world.pass(Duration::from_secs(10));
    assert!(world.clients[provider.client].is_closed);
}

/// A store that was asked before a change may answer behind it, and of what was.
#[test]
fn an_answer_of_before_a_change_does_not_count_for_long() {
    let questions = 2;
    for changed_at in 0..questions {
        for is_in in [false, true] {
            let mut world = World::new();
            if !is_in {
                world.store.manner = Manner::Later;
            }
            let client = world.open_provider(NOTE, &token_for("alice"));
            world.store.manner = Manner::Later;
            while world.waiting.is_empty() {
                world.pass_ms(1000);
            }
            for question in 0..questions {
                let query = world.waiting.pop_front().unwrap();
                let reply = world.store.reply(query);
                if question == changed_at {
                    world.store.revoke("of-alice");
                    world.ask(Request::Refresh { user: "alice".into() });
                }
                world.stack.handle_reply(reply, world.now);
                world.run();
            }
            world.store.manner = Manner::AtOnce;
            world.answer_waiting();
            world.pass_ms(1);
            assert!(world.clients[client].is_closed, "{changed_at}, {is_in}");
        }
    }
}

#[test]
fn what_is_too_long_for_an_update_comes_with_everything() {
    let mut world = World::with(|settings| settings.documents.machine.limits.update_bytes_max = 60);
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let mut tab = Browser::open(&mut world, "alice");
    let mut provider = Provider::open(&mut world, "alice");
    // Both have brought what they had.
    tab.reconnect(&mut world);
    provider.write(&mut world, 100, 0, "short");
    settle(&mut world, &mut [&mut alice, &mut tab]);
    let refused = |world: &World| world.stack.app.document_counters().documents.updates_refused;

    provider.write(&mut world, 100, 5, &"x".repeat(100));
    assert_eq!(refused(&world), 1);
    provider.pump(&mut world);
    settle(&mut world, &mut [&mut alice, &mut tab]);
    assert_eq!((provider.doc.state(), tab.doc.state()), (alice.doc.state(), alice.doc.state()));

    tab.type_text(&mut world, &"y".repeat(100));
    assert_eq!(refused(&world), 2);
    settle(&mut world, &mut [&mut alice, &mut tab]);
    provider.pump(&mut world);
    assert_eq!((provider.doc.state(), tab.doc.state()), (alice.doc.state(), alice.doc.state()));

    // What is too long even for that is asked for once.
    let resyncs = world.stack.app.document_counters().documents.resyncs;
    let bytes_max = DocumentLimits::default().resync_bytes_max;
    let head = text_update(100, 105, "").len() + 3;
    provider.write(&mut world, 100, 105, &"z".repeat(bytes_max - head + 1));
    assert_eq!((refused(&world), world.stack.app.document_counters().documents.resyncs), (3, resyncs + 1));
    provider.pump(&mut world);
    assert_eq!((refused(&world), world.stack.app.document_counters().documents.resyncs), (4, resyncs + 1));
    assert!(!world.clients[provider.client].is_closed);
}

#[test]
fn what_comes_too_early_is_held_and_what_is_wrong_is_closed() {
    let mut world = World::new();
    world.store.manner = Manner::Later;
    let client = world.open_provider(NOTE, &token_for("alice"));
    world.send_binary(client, &ProtocolMessage::Update(&text_update(100, 0, "early")).encode());
    world.send_binary(client, &ProtocolMessage::SyncStep1(&[0]).encode());
    assert!(world.read_binary(client).is_none());
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    let said: Vec<_> = std::iter::from_fn(|| world.read_binary(client)).collect();
    assert_eq!(
        said,
        [ProtocolMessage::SyncStep1(&[0]).encode(), ProtocolMessage::SyncStep2(&text_update(100, 0, "early")).encode()]
    );
    for count in 0..10 {
        assert!(!world.clients[client].is_closed, "{count}");
        world.send_binary(client, &[9, 9, 9]);
    }
    assert!(world.clients[client].is_closed);
    world.pass_ms(10_000);
    assert_eq!(world.stack.app.audit().documents, Default::default());
}
