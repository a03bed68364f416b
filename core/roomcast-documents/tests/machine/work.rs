//! What takes long is handed out, and nothing else waits for it.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use roomcast_documents::yjs::{Document, ProtocolMessage, Source, StateVector, Unsound, merge_updates};
use roomcast_documents::{
    Access, Brings, DocumentCounts, DocumentId, DocumentNotice, DocumentQuestion, DocumentsConfig, Entered, Flow, Form,
    Joining, Taken,
};
use roomcast_testkit::yjs_update::{text_update, write_var_uint};

use super::world::{World, step_1};

#[test]
fn a_long_document_is_read_elsewhere_while_others_are_edited() {
    let mut world = World::new(|_| {});
    world.put_snapshot("long", text_update(9, 0, &"x".repeat(100_000)));
    world.works = false;
    world.join(1, "long", Access::Write);
    assert_eq!((world.work.len(), world.machine.counters().loads), (1, 0), "it is handed out");
    world.join(2, "plan", Access::Write);
    world.join(3, "plan", Access::Read);
    world.edit(2, 1, 0, "at once");
    assert_eq!(world.doc(3).store().state_vector(), world.doc(2).store().state_vector());
    assert!(world.work_one());
    while world.work_one() {}
    assert_eq!(world.machine.counters().loads, 2);
    assert_eq!(world.doc(1).store().clock(client(9)), 100_000);
}

#[test]
fn a_stored_document_that_cannot_be_read_is_refused_as_before() {
    let mut world = World::new(|_| {});
    world.put_snapshot("plan", vec![9; 100_000]);
    world.join(1, "plan", Access::Write);
    assert_eq!((world.worked, world.machine.counters().loads_failed, world.closed.len()), (1, 1, 1));
}

#[test]
fn what_stores_hold_since_before_it_was_refused_is_served_and_told() {
    let mut world = World::new(|_| {});
    let poison = vec![1, 3, 1, 0, 4, 1, 1, b't', 1, b'a', 4, 1, 1, b'm', 1, b'c', 0xc4, 1, 0, 1, 1, 1, b'b', 0];
    let (document, updates) = ("plan".into(), vec![poison.into()]);
    world.store.answer(DocumentQuestion::Append { document, first_sequence: 1, updates }).unwrap();
    world.join(1, "plan", Access::Write);
    assert_eq!((world.machine.counters().loads, world.closed.len()), (1, 0));
    assert_eq!(world.notices, [DocumentNotice::Unsound { name: "plan".into(), why: Unsound::Parents }]);
}

#[test]
fn a_long_update_is_tried_elsewhere_and_small_ones_pass_it() {
    let mut world = World::new(|_| {});
    for member in 1..4 {
        world.join(member, "plan", Access::Write);
    }
    world.works = false;
    world.handled.clear();
    let long = "y".repeat(100_000);
    world.edit(1, 1, 0, &long);
    assert_eq!((world.work.len(), world.handled.get(&1)), (1, None), "its sender is not read on behalf of it");
    // What its sender writes behind it waits as well; another member's edit does not.
    world.edit(1, 1, 100_000, " and more");
    world.edit(2, 2, 0, "meanwhile");
    assert_eq!((world.handled.get(&1), world.handled[&2]), (None, 1));
    assert_eq!(world.doc(3).store().clock(client(2)), 9);
    assert_eq!(world.doc(3).store().clock(client(1)), 0);
    while world.work_one() {}
    assert_eq!(world.handled[&1], 2);
    for member in 1..4 {
        assert_eq!(clocks(&world.doc(member)), [(1, 100_009), (2, 9)]);
    }
    // And what is stored is the same.
    world.works = true;
    world.pass(Duration::from_secs(5));
    let stored = world.store.stored("plan");
    let mut read = Document::default();
    for update in stored.snapshot.iter().chain(&stored.updates) {
        read.apply(update, Source::Stored);
    }
    assert_eq!(clocks(&read), [(1, 100_009), (2, 9)]);
}

#[test]
fn a_member_that_leaves_has_sent_its_long_update_all_the_same() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    world.join(2, "plan", Access::Read);
    world.works = false;
    world.edit(1, 1, 0, &"y".repeat(50_000));
    world.leave(1);
    world.leave(2);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.machine.counts().open, 1, "a document at work stays in memory");
    while world.work_one() {}
    world.works = true;
    world.pass(Duration::from_secs(60));
    assert_eq!(world.machine.audit(), DocumentCounts::default());
    world.join(3, "plan", Access::Read);
    assert_eq!(clocks(&world.doc(3)), [(1, 50_000)]);
}

#[test]
fn an_update_of_the_application_is_answered_when_it_has_been_tried() {
    let mut world = World::new(|_| {});
    let document = enter(&mut world, 1, Access::Write);
    let reader = enter(&mut world, 2, Access::Read);
    assert_eq!(document, reader);
    let long = Bytes::from(text_update(1, 0, &"z".repeat(30_000)));
    let mut say = |member, update: &Bytes| {
        let taken = world.machine.handle_update(document, member, update.clone(), Brings::Edit, world.now);
        world.run();
        (taken, std::mem::take(&mut world.taken))
    };
    assert_eq!(say(1, &long), (Taken::Later, vec![(1, Taken::Applied)]));
    assert_eq!(say(1, &long), (Taken::Later, vec![(1, Taken::Known)]));
    // A reader's browser sends back what it gets, and may not write.
    assert_eq!(say(2, &long), (Taken::Later, vec![(2, Taken::Known)]));
    assert_eq!(say(2, &text_update(2, 0, &"z".repeat(30_000)).into()), (Taken::Later, vec![(2, Taken::Refused)]));
    // Beyond what can be an edit, a reader's bytes are not looked at.
    let before = world.worked;
    let whole = Bytes::from(text_update(2, 0, &"z".repeat(300_000)));
    let taken = world.machine.handle_update(document, 2, whole, Brings::Everything, world.now);
    world.run();
    assert_eq!((taken, world.worked), (Taken::Refused, before));
}

#[test]
fn who_asks_for_a_long_state_is_told_what_was_there_when_it_asked() {
    let mut world = World::new(|config| config.quick_state_bytes_max = 1000);
    let document = enter(&mut world, 1, Access::Write);
    let mut clock = 0;
    let mut edit = |world: &mut World| {
        let update = text_update(1, clock, &"w".repeat(2000));
        clock += 2000;
        let taken = world.machine.handle_update(document, 1, update.into(), Brings::Edit, world.now);
        assert_eq!(taken, Taken::Applied);
        world.run();
    };
    edit(&mut world);
    edit(&mut world);
    world.works = false;
    for member in 2..6 {
        enter(&mut world, member, Access::Read);
        assert_eq!(world.machine.request_state(document, member, world.now), None);
        world.run();
        edit(&mut world);
    }
    assert_eq!(world.work.len(), 1, "one at a time");
    while world.work_one() {}
    // The first state is of before the others have come, and theirs is one encoding.
    assert_eq!(world.states.len(), 4);
    for (member, state) in &world.states {
        let mut read = Document::default();
        read.apply(state, Source::Stored);
        assert!(read.store().clock(client(1)) >= member * 2000, "{member}");
    }
    let [_, (_, second), .., (_, last)] = &world.states[..] else { panic!() };
    assert_eq!(second.as_ptr(), last.as_ptr());
    assert_eq!(world.worked, 2);
    // Without a change nothing is encoded again.
    assert!(world.machine.request_state(document, 2, world.now).is_some());
}

#[test]
fn providers_that_return_are_told_differences_of_a_long_document() {
    let mut world = World::new(|config| config.quick_state_bytes_max = 1000);
    world.join(1, "plan", Access::Write);
    for part in 0..10u32 {
        world.edit(1, 1, part * 2000, &"v".repeat(2000));
    }
    for member in 2..6 {
        let knows = StateVector::from_iter([(client(1), (member - 1) * 1000)]);
        world.machine.handle_opened(member, "plan".into());
        world.machine.let_in(member, "bob".into(), Access::Read, world.now);
        world.run();
        world.sent.clear();
        world.say(member, ProtocolMessage::SyncStep1(&knows.encode()).encode().into());
        let [(_, message)] = &world.sent[..] else { panic!("{:?}", world.sent.len()) };
        let Ok(ProtocolMessage::SyncStep2(difference)) = ProtocolMessage::decode(message) else { panic!() };
        let mut fresh = Document::default();
        fresh.apply(&text_update(1, 0, &"v".repeat((member as usize - 1) * 1000)), Source::Stored);
        fresh.apply(difference, Source::Stored);
        assert_eq!(clocks(&fresh), [(1, 20_000)]);
    }
    assert!(world.worked >= 4);
}

/// A byte may delete a whole document: what it looks at is bounded, not only its length.
#[test]
fn a_short_update_that_deletes_much_is_tried_elsewhere() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    // Every second character is deleted, which leaves tens of thousands of structs.
    for part in 0..8u32 {
        let from = part * 7500;
        let structs = text_update(1, from, &"u".repeat(7500));
        let mut deletions = vec![1, 1];
        write_var_uint(&mut deletions, 3750);
        for at in 0..3750 {
            write_var_uint(&mut deletions, from + at * 2);
            write_var_uint(&mut deletions, 1);
        }
        let update = [&structs[..structs.len() - 1], &deletions].concat();
        world.say(1, ProtocolMessage::Update(&update).encode().into());
    }
    assert!(world.machine.counts().bytes > 512 << 10, "{:?}", world.machine.counts());
    let before = world.worked;
    let mut all = vec![0, 1, 1, 1, 0];
    write_var_uint(&mut all, 60_000);
    assert!(all.len() < 10);
    world.say(1, ProtocolMessage::Update(&all).encode().into());
    assert_eq!(world.worked, before + 1);
    // A letter is not.
    world.say(1, ProtocolMessage::Update(&text_update(2, 0, "t")).encode().into());
    assert_eq!(world.worked, before + 1);
}

#[test]
fn long_updates_that_wait_are_bounded_and_come_again() {
    let mut world = World::new(|config| config.waiting_bytes_max = 50_000);
    world.works = false;
    let document = enter(&mut world, 1, Access::Write);
    for member in 2..5 {
        enter(&mut world, member, Access::Write);
    }
    let long = |client| Bytes::from(text_update(client, 0, &"z".repeat(30_000)));
    let taken: Vec<Taken> = (1..5u8)
        .map(|client| {
            let update = long(client);
            world.machine.handle_update(document, u32::from(client), update, Brings::Edit, world.now)
        })
        .collect();
    // One is at work, one waits, and for the others there is no room.
    assert_eq!(taken, [Taken::Later, Taken::Later, Taken::Refused, Taken::Refused]);
    assert_eq!(world.machine.counters().resyncs, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// With any work handed out and for any time, members and the store end with what they would have without.
    #[test]
    fn work_changes_nothing_but_the_moment(
        steps in prop::collection::vec((0..6u8, 1..5u32, 1..3000usize), 1..60),
        quick in prop::sample::select(vec![0, 300, 1500]),
    ) {
        let mut ends = Vec::new();
        for works in [true, false] {
            let mut world = World::new(|config: &mut DocumentsConfig| {
                if !works {
                    (config.quick_update_bytes_max, config.quick_state_bytes_max) = (quick, quick);
                }
            });
            let mut clocks_of = [0u32; 5];
            for member in 1..5 {
                world.join(member, "plan", Access::Write);
            }
            world.works = works;
            for &(what, member, len) in &steps {
                match what {
                    0 | 1 => {
                        let at = &mut clocks_of[member as usize];
                        let clock = *at;
                        *at += u32::try_from(len).unwrap();
                        world.edit(member, u8::try_from(member).unwrap(), clock, &"e".repeat(len));
                    }
                    2 => world.say(member, step_1()),
                    3 => {
                        world.work_one();
                    }
                    4 => world.pass(Duration::from_millis(u64::try_from(len).unwrap())),
                    _ => {
                        let all = world.doc(member).state();
                        world.machine.handle_message(member, ProtocolMessage::SyncStep2(&all).encode().into(), Flow::Free, world.now);
                        world.run();
                    }
                }
            }
            while world.work_one() {}
            world.works = true;
            let state = world.doc(1).state();
            for member in 1..5 {
                prop_assert_eq!(clocks(&world.doc(member)), clocks(&world.doc(1)));
                world.leave(member);
            }
            world.pass(Duration::from_secs(120));
            prop_assert_eq!(world.machine.audit(), DocumentCounts::default());
            let stored = world.store.stored("plan");
            let parts: Vec<Bytes> = stored.snapshot.into_iter().chain(stored.updates).collect();
            let stored = merge_updates(parts.iter().map(|part| &part[..])).unwrap();
            ends.push((state.clone(), if stored.is_empty() || state == [0, 0][..] { state.to_vec() } else { stored }));
        }
        let (first, second) = (ends.remove(0), ends.remove(0));
        prop_assert_eq!(first, second);
    }
}

/// A member of the application.
fn enter(world: &mut World, member: u32, access: Access) -> DocumentId {
    let joining = Joining { member, user: "alice".into(), access, form: Form::Application };
    let document = match world.machine.enter(&"plan".into(), joining.clone(), world.now) {
        Entered::Now(document) => {
            world.machine.admit(document, joining, world.now);
            document
        }
        Entered::Later => {
            world.run();
            world.machine.named("plan").unwrap()
        }
    };
    world.run();
    document
}

fn client(id: u64) -> roomcast_documents::yjs::ClientId {
    roomcast_documents::yjs::ClientId::new(id).unwrap()
}

fn clocks(document: &Document) -> Vec<(u64, u32)> {
    document.store().state_vector().iter().map(|(client, clock)| (client.as_u64(), clock)).collect()
}
