//! The document machine with providers, a store in memory, and a clock of the test's.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod anonymous;
mod work;
mod world;

use std::time::Duration;

use bytes::Bytes;
use roomcast_documents::yjs::{ProtocolMessage, Source, Verdict};
use roomcast_documents::{
    Access, Brings, Close, DocumentCounts, DocumentNotice, DocumentStoreError, Entered, Flow, Form, Joining, NotLoaded,
    QuestionKind, StoredDocument, Taken,
};

use roomcast_testkit::yjs_update::text_update;
use world::{World, step_1};

#[test]
fn a_member_that_reads_slowly_is_told_one_state_whatever_it_asks() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    world.edit(1, 1, 0, &"x".repeat(20_000));
    world.join(2, "plan", Access::Read);
    world.sent.clear();
    world.handled.clear();
    for _ in 0..5000 {
        world.machine.handle_message(2, step_1(), Flow::Congested, world.now);
        world.run();
    }
    assert!(world.sent.is_empty(), "nothing is sent to a connection that piles up");
    assert_eq!(world.handled[&2], 5000);
    world.machine.handle_relieved(2, world.now);
    world.run();
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.machine.counters().states_delayed, 5000);
    // Nor does it help to ask before one is let in.
    world.machine.handle_opened(3, "plan".into());
    for _ in 0..100 {
        world.machine.handle_message(3, step_1(), Flow::Free, world.now);
    }
    world.sent.clear();
    world.machine.let_in(3, "carol".into(), Access::Read, world.now);
    world.run();
    assert_eq!(world.steps_2(3), 1);
}

#[test]
fn all_who_join_share_one_encoding_of_the_state() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    world.edit(1, 1, 0, &"x".repeat(20_000));
    world.sent.clear();
    for member in 2..50 {
        world.join(member, "plan", Access::Read);
    }
    let states: Vec<&Bytes> = world.sent.iter().map(|(_, message)| message).filter(|m| m.len() > 20_000).collect();
    assert_eq!(states.len(), 48);
    assert!(states.iter().all(|state| state.as_ptr() == states[0].as_ptr()));
}

/// What is known does not count: the document itself may be longer than what a member may bring.
#[test]
fn a_whole_document_over_the_limit_is_taken_if_little_of_it_is_new() {
    let mut world = World::new(|config| {
        (config.limits.update_bytes_max, config.limits.resync_bytes_max) = (1100, 3000);
    });
    world.join(1, "plan", Access::Write);
    for part in 0..4 {
        world.edit(1, 1, part * 1000, &"x".repeat(1000));
    }
    let mut offline = world.doc(1);
    assert!(offline.state().len() > 3000);
    assert_eq!(offline.apply(&text_update(2, 0, "typed offline"), Source::Live), Verdict::Applied);
    // A member of the application has no word for what it knows.
    let joining = Joining { member: 2, user: "bob".into(), access: Access::Write, form: Form::Application };
    let Entered::Now(document) = world.machine.enter(&"plan".into(), joining.clone(), world.now) else { panic!() };
    world.machine.admit(document, joining, world.now);
    let bring = |world: &mut World, update: Bytes| {
        let taken = world.machine.handle_update(document, 2, update, Brings::Everything, world.now);
        world.run();
        taken
    };
    assert_eq!(bring(&mut world, offline.state()), Taken::Applied);
    assert_eq!(world.doc(1).store().state_vector(), offline.store().state_vector());
    // And the edits behind it arrive.
    assert_eq!(bring(&mut world, text_update(2, 13, " and online").into()), Taken::Applied);
    assert_eq!(world.machine.counters().updates_refused, 0);
    // What is new is bounded as before.
    assert_eq!(offline.apply(&text_update(3, 0, &"y".repeat(9000)), Source::Stored), Verdict::Applied);
    assert_eq!(bring(&mut world, offline.state()), Taken::Refused);
}

#[test]
fn leaving_and_joining_does_not_load_a_document_again() {
    let mut world = World::new(|_| {});
    for round in 0..10 {
        world.join(round, "plan", Access::Write);
        world.edit(round, u8::try_from(round + 1).unwrap(), 0, "text");
        world.leave(round);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!((world.asked(QuestionKind::Load), world.machine.counters().kept_joins), (1, 9));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.machine.audit(), DocumentCounts::default());
    world.join(11, "plan", Access::Write);
    assert_eq!(world.asked(QuestionKind::Load), 2);
    assert_eq!(world.doc(11).store().state_vector().iter().count(), 10);
}

#[test]
fn all_documents_together_are_bounded() {
    let mut world = World::new(|config| config.documents_bytes_max = 10_000);
    world.join(1, "left", Access::Write);
    world.edit(1, 1, 0, &"x".repeat(6000));
    world.leave(1);
    world.join(2, "plan", Access::Write);
    world.edit(2, 1, 0, &"x".repeat(6000));
    // The document without members makes room.
    world.join(3, "another", Access::Write);
    assert_eq!((world.machine.named("left"), world.machine.counts().open), (None, 2));
    world.edit(3, 1, 0, &"x".repeat(6000));
    assert!(world.machine.counts().bytes > 10_000);
    world.machine.handle_opened(4, "one more".into());
    world.machine.let_in(4, "carol".into(), Access::Write, world.now);
    world.run();
    let full = DocumentNotice::NotLoaded { name: "one more".into(), why: NotLoaded::Full };
    assert_eq!((world.closed.get(&4), world.notices.pop()), (Some(&Close::Again), Some(full)));
    // Nor does a document grow any more, and its member is not punished for it.
    let before = world.machine.counts().bytes;
    for _ in 0..20 {
        world.say(3, ProtocolMessage::Update(&text_update(9, 0, "more")).encode().into());
    }
    assert_eq!((world.machine.counts().bytes, world.closed.get(&3)), (before, None));
}

#[test]
fn a_failed_load_closes_counts_and_is_told() {
    for (answer, why) in [
        (Err(DocumentStoreError::Unavailable), NotLoaded::Unavailable),
        (Err(DocumentStoreError::Corrupt), NotLoaded::Corrupt),
        (Ok(StoredDocument { updates: vec![Bytes::from_static(&[9, 9])], ..Default::default() }), NotLoaded::Corrupt),
    ] {
        let mut world = World::new(|_| {});
        world.loads.push_back(answer);
        world.join(1, "plan", Access::Write);
        assert_eq!(world.notices, [DocumentNotice::NotLoaded { name: "plan".into(), why }]);
        assert_eq!((world.closed.get(&1), world.machine.counters().loads_failed), (Some(&Close::Again), 1));
        world.machine.handle_closed(1, world.now);
        world.run();
        assert_eq!(world.machine.audit(), DocumentCounts::default());
        // The next one tries again.
        world.join(2, "plan", Access::Write);
        assert_eq!(world.closed.get(&2), None);
    }
}

#[test]
fn a_conflict_is_told_and_nothing_is_dropped() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    world.append_error = Some(DocumentStoreError::Conflict);
    world.edit(1, 1, 0, "kept");
    world.pass(Duration::from_millis(100));
    assert_eq!(world.notices, [DocumentNotice::Conflict { name: "plan".into() }]);
    assert_eq!((world.machine.counters().conflicts, world.machine.unstored().count()), (1, 1));
    world.append_error = None;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.machine.unstored().count(), 0);
}

#[test]
fn who_says_too_much_before_it_is_let_in_is_closed() {
    let mut world = World::new(|config| config.held_messages_max = 3);
    world.machine.handle_opened(1, "plan".into());
    for count in 0..5 {
        world.run();
        assert_eq!(world.closed.contains_key(&1), count == 4);
        world.machine.handle_message(1, step_1(), Flow::Free, world.now);
    }
    world.run();
    assert_eq!(world.handled[&1], 5, "each message is handled once");
    world.machine.let_in(1, "alice".into(), Access::Write, world.now);
    world.machine.handle_closed(1, world.now);
    world.run();
    assert_eq!(world.machine.audit(), DocumentCounts::default());
}
