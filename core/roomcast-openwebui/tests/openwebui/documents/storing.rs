//! Documents and the stores: loads that fail, crashes, notes that were changed elsewhere, and the end.

use std::time::Duration;

use super::super::store::{Manner, PUBLIC};
use super::super::world::World;
use super::browser::{Browser, NOTE, settle};
use roomcast_core::server::App;
use roomcast_openwebui::query::Question;
use roomcast_openwebui::{Request, Response};
use roomcast_testkit::yjs_update::text_update;
use roomcast_yjs::{Document, DocumentLimits, Source, int_array};

#[test]
fn a_failed_load_refuses_and_never_serves_an_empty_document() {
    let failures: [fn(&Question) -> bool; 2] = [
        |question| matches!(question, Question::LoadDocument { .. }),
        |question| matches!(question, Question::NoteContent { .. }),
    ];
    for failure in failures {
        let mut world = World::new();
        let mut alice = Browser::open(&mut world, "alice");
        alice.pump(&mut world);
        world.leave(alice.client);
        world.pass_ms(10_000);
        world.store.refuses = Some(failure);
        let mut tab = Browser::open(&mut world, "alice");
        tab.pump(&mut world);
        assert_eq!(tab.events, [r#"error {"message":"Failed to join document"}"#]);
        let provider = world.open_provider(NOTE, &super::browser::token_for("alice"));
        assert!(world.clients[provider].is_closed);
        assert_eq!(world.stack.app.audit().documents.open, 0);
        world.store.refuses = None;
        tab.join(&mut world);
        assert_eq!(tab.doc.state(), alice.doc.state());
    }
    // What the store holds and cannot be read is no empty document either.
    let mut world = World::new();
    let updates = vec![vec![255, 255, 255].into()];
    world.store.answer(Question::AppendUpdates { document: NOTE.into(), first_sequence: 1, updates }).unwrap();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    assert_eq!(alice.events, [r#"error {"message":"Failed to join document"}"#]);
    assert_eq!(world.store.stored(NOTE).updates.len(), 1);
}

/// The others hear of an update at once; its sender is told that it is taken when it survives a crash.
#[test]
fn an_update_is_relayed_at_once_and_acknowledged_when_it_is_stored() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    let mut other = Browser::look(&mut world, "alice");
    alice.pump(&mut world);
    other.pump(&mut world);
    let edit = |id: u8| String::from_utf8(int_array::encode(&text_update(id, 0, "x"))).unwrap();
    let update = |ack: u32, id: u8| {
        format!(r#"2{ack}["ydoc:document:update",{{"document_id":"{NOTE}","update":{}}}]"#, edit(id))
    };
    let acks = |world: &mut World, client: usize| {
        let said = world.read(client).into_iter();
        said.filter(|said| said.starts_with('3')).collect::<Vec<_>>()
    };
    world.pass_ms(100);
    world.store.manner = Manner::Later;
    world.waiting.clear();
    world.send(alice.client, &update(1, 90));
    let heard = world.read(other.client);
    assert!(heard.iter().any(|said| said.starts_with(r#"2["ydoc:document:update""#)), "{heard:?}");
    // The same once more is known, and no more stored than the first.
    world.send(other.client, &update(5, 90));
    // What comes behind an update does not wait for its ack.
    world.send(alice.client, r#"22["ydoc:document:state",{"document_id":"note:plan"}]"#);
    world.pass_ms(100);
    assert_eq!((acks(&mut world, alice.client), acks(&mut world, other.client)), (vec!["32[]".to_owned()], vec![]));
    // While the store has it on its way, more comes: that is another append.
    world.send(alice.client, &update(3, 91));
    let append = world.waiting.iter().position(|query| matches!(query.question, Question::AppendUpdates { .. }));
    let append = world.waiting.remove(append.unwrap()).unwrap();
    world.answer(append);
    assert_eq!(
        (acks(&mut world, alice.client), acks(&mut world, other.client)),
        (vec!["31[]".to_owned()], vec!["35[]".to_owned()])
    );
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    world.pass_ms(100);
    assert_eq!(acks(&mut world, alice.client), ["33[]"]);
    // All of it is stored: nothing new is acknowledged at once.
    world.send(alice.client, &update(4, 91));
    assert_eq!(acks(&mut world, alice.client), ["34[]"]);
}

/// While the store fails, nothing is acknowledged; when it is well again, everything is, also what was given up for a
/// snapshot.
#[test]
fn no_update_is_acknowledged_while_the_store_fails() {
    for unstored_bytes_max in [100, 4 << 20] {
        let mut world =
            World::with(|settings| settings.documents.machine.journal.unstored_bytes_max = unstored_bytes_max);
        let alice = Browser::open(&mut world, "alice");
        world.pass_ms(3000);
        world.read(alice.client);
        world.store.manner = Manner::Failing;
        for id in 90..100 {
            let update = String::from_utf8(int_array::encode(&text_update(id, 0, "some text"))).unwrap();
            let payload = format!(r#"{{"document_id":"{NOTE}","update":{update}}}"#);
            world.send(alice.client, &format!(r#"2{id}["ydoc:document:update",{payload}]"#));
            world.pass_ms(500);
            assert_eq!(world.read(alice.client), [""; 0]);
        }
        let state = world.stack.app.audit().documents.waiting;
        world.store.manner = Manner::AtOnce;
        world.pass_ms(60_000);
        let acks: Vec<String> = (90..100).map(|id| format!("3{id}[]")).collect();
        assert_eq!(world.read(alice.client), acks);
        assert_eq!((state, world.stack.app.audit().documents.waiting), (10, 0));
        let mut crashed = crash(&world);
        let read = || Request::DocumentState { document: NOTE.into(), user: None };
        let states = [world.ask(read()), {
            crashed.request(read());
            crashed.answers.remove(0).1
        }];
        let [Response::Document(Ok(lived)), Response::Document(Ok(stored))] = states else { panic!("{states:?}") };
        assert_eq!(lived.state, stored.state);
    }
}

#[test]
fn a_store_that_does_not_answer_is_not_waited_for() {
    let mut world = World::new();
    let mut alice = Browser::new(&mut world, "alice");
    world.store.refuses = Some(|question| matches!(question, Question::LoadDocument { .. }));
    world.store.manner = Manner::Later;
    alice.emit(&mut world, "ydoc:document:join", "");
    world.store.manner = Manner::AtOnce;
    let note = world.waiting.pop_front().unwrap();
    world.store.manner = Manner::Later;
    world.answer(note);
    world.pass_ms(5000);
    alice.pump(&mut world);
    assert_eq!(alice.events, [r#"error {"message":"Failed to join document"}"#]);
    assert_eq!(world.stack.app.audit().documents.open, 0);
}

#[test]
fn what_is_older_than_100_ms_survives_a_crash() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    for millis in [0, 100, 450, 600, 900, 2500, 9000] {
        alice.type_text(&mut world, "more ");
        world.pass_ms(100);
        let state = alice.doc.state();
        world.pass_ms(millis);
        let mut crashed = crash(&world);
        let mut other = Browser::look(&mut crashed, "alice");
        other.pump(&mut crashed);
        assert_eq!(other.doc.state(), state, "{millis}");
        assert_eq!(crashed.stack.app.document_counters().resets, 0, "{millis}");
    }
}

#[test]
fn a_crash_between_any_two_writes_loses_nothing_and_resets_nothing() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    // What the store did is known after each question, also where its answer is an error: that is where the power goes.
    world.store.manner = Manner::Later;
    let mut crashes = 0;
    for round in 0..40 {
        if round % 3 == 0 {
            alice.type_text(&mut world, "x");
        }
        world.pass_ms(300);
        while let Some(query) = world.waiting.pop_front() {
            let is_write = matches!(
                query.question,
                Question::AppendUpdates { .. } | Question::SaveSnapshot { .. } | Question::SaveNoteData { .. }
            );
            world.answer(query);
            if is_write {
                crashes += 1;
                let mut crashed = crash(&world);
                let mut other = Browser::look(&mut crashed, "alice");
                other.pump(&mut crashed);
                assert_eq!(crashed.stack.app.document_counters().resets, 0, "round {round}");
                let known = alice.doc.check(&other.doc.state(), roomcast_yjs::Source::Stored);
                assert_eq!(known, roomcast_yjs::Verdict::NothingNew);
            }
        }
    }
    assert!(crashes > 20, "{crashes}");
}

#[test]
fn a_crash_while_somebody_types_on_resets_nothing_that_is_logged() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let mut saves = 0;
    // At first everything is well; then the stores fail for long, and come back.
    for (manner, span_ms) in [(Manner::AtOnce, 12_000), (Manner::Failing, 40_000), (Manner::AtOnce, 60_000)] {
        world.store.manner = manner;
        for millis in 0..span_ms {
            if millis % 300 == 0 {
                alice.type_text(&mut world, "on ");
            }
            let before = world.store.contents().remove("plan");
            world.pass_ms(1);
            if world.store.contents().remove("plan") == before {
                continue;
            }
            saves += 1;
            let mut crashed = crash(&world);
            let mut other = Browser::look(&mut crashed, "alice");
            other.pump(&mut crashed);
            // The note counts for more than a log that lacks something.
            let stored = world.store.stored(NOTE);
            let mut logged = Document::new(DocumentLimits::default());
            for entry in stored.snapshot.iter().chain(&stored.updates) {
                logged.apply(entry, Source::Stored);
            }
            let is_reset = crashed.stack.app.document_counters().resets > 0;
            assert!(!is_reset || logged.state() != alice.doc.state(), "{manner:?}, after {millis} ms");
        }
    }
    assert!(saves > 5, "{saves}");
}

#[test]
fn the_snapshot_comes_before_the_cut_and_follows_quiet() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    world.pass_ms(3000);
    let kept = world.store.stored(NOTE);
    assert!(kept.updates.is_empty() && kept.snapshot.is_some());
    // During continuous typing there is one snapshot every ten seconds.
    world.questions();
    for _ in 0..220 {
        alice.type_text(&mut world, "x");
        world.pass_ms(100);
    }
    let snapshots = world.questions().into_iter().filter(|question| matches!(question, Question::SaveSnapshot { .. }));
    assert_eq!(snapshots.count(), 2);
    world.leave(alice.client);
    world.pass_ms(1);
    assert!(world.store.stored(NOTE).updates.is_empty(), "and one at the end");
    world.pass_ms(5000);
    assert_eq!(world.stack.app.audit().documents.open, 0);
}

#[test]
fn a_note_that_was_changed_elsewhere_begins_again() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    world.pass_ms(1000);
    let content = world.store.contents()["plan"].clone();
    world.leave(alice.client);
    world.pass_ms(5000);
    // The same value in other words is no change; neither is none at all.
    let value: serde_json::Value = serde_json::from_str(&content).unwrap();
    for same in [Some(serde_json::to_string_pretty(&value).unwrap()), None] {
        let store = world.store.reopened();
        store.write_content("plan", same.as_deref());
        let mut world = World::new();
        world.store = store;
        let mut tab = Browser::look(&mut world, "alice");
        tab.pump(&mut world);
        assert_eq!(tab.doc.state(), alice.doc.state());
    }
    world.store.write_content("plan", Some(r#"{"md":"from elsewhere"}"#));
    let before = world.store.stored(NOTE).snapshot;
    let (mut tab, mut other) = (Browser::new(&mut world, "alice"), Browser::new(&mut world, "alice"));
    tab.seeds = false;
    tab.join(&mut world);
    other.seeds = false;
    other.join(&mut world);
    assert_eq!((tab.doc.state(), other.doc.state()), (vec![0, 0].into(), vec![0, 0].into()));
    assert!(tab.events[0].contains(&format!(r#""sessions":["{}"]"#, world.clients[tab.client].sid)));
    world.pass_ms(20_000);
    assert_eq!(world.store.stored(NOTE).snapshot, before, "the old one stays until the note was loaded");
    tab.type_text(&mut world, "from elsewhere");
    settle(&mut world, &mut [&mut tab, &mut other]);
    // A crash right behind it does not bring the old text back.
    world.pass_ms(100);
    let mut crashed = crash(&world);
    let mut later = Browser::look(&mut crashed, "alice");
    later.pump(&mut crashed);
    assert_eq!(later.doc.state(), tab.doc.state());
    world.pass_ms(5000);
    assert!(world.store.stored(NOTE).updates.is_empty());
    assert_eq!(world.stack.app.document_counters().resets, 1);
}

#[test]
fn contents_are_saved_once_while_somebody_types_and_again_after_a_failure() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    world.pass_ms(3000);
    world.questions();
    for _ in 0..120 {
        alice.type_text(&mut world, "x");
        world.pass_ms(100);
    }
    let saves = |world: &mut World| {
        let all = world.questions();
        all.into_iter().filter(|question| matches!(question, Question::SaveNoteData { .. })).count()
    };
    assert_eq!(saves(&mut world), 2);
    world.pass_ms(1000);
    assert_eq!((saves(&mut world), world.store.contents()["plan"].clone()), (1, alice.content()));
    // One that fails is tried again, even if it was carried out.
    world.store.mutes = Some(|question| matches!(question, Question::SaveNoteData { .. }));
    alice.type_text(&mut world, "x");
    world.pass_ms(1000);
    assert_eq!(saves(&mut world), 1);
    world.pass_ms(1000);
    assert_eq!(saves(&mut world), 1);
    world.store.mutes = None;
    world.pass_ms(10_000);
    assert_eq!((saves(&mut world), world.store.contents()["plan"].clone()), (1, alice.content()));
    // Of a note that is gone nothing is kept.
    world.store.edit(|rows| rows.notes.clear());
    alice.type_text(&mut world, "x");
    world.leave(alice.client);
    world.pass_ms(5000);
    assert_eq!(world.stack.app.audit().documents, Default::default());
    assert_eq!(world.stack.app.document_counters().contents_lost, 1);
}

#[test]
fn what_comes_while_a_flush_lasts_does_not_wait_either() {
    let mut world = World::new();
    world.store.put_note("other", "alice", PUBLIC);
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let mut late = Browser::new(&mut world, "alice");
    world.store.manner = Manner::Later;
    let ticket = world.request(Request::Flush { timeout: Duration::from_secs(3) });
    // A member edits, and another document is opened and edited.
    alice.type_text(&mut world, "x");
    world.send(late.client, r#"2["ydoc:document:join",{"document_id":"note:other"}]"#);
    for _ in 0..3 {
        let query = world.waiting.pop_back().unwrap();
        world.answer(query);
    }
    late.pump(&mut world);
    let update = r#"{"document_id":"note:other","update":[1,1,9,0,4,1,1,116,1,97,0],"data":{"content":{"md":"a"}}}"#;
    world.send(late.client, &format!(r#"2["ydoc:document:update",{update}]"#));
    while let Some(query) = world.waiting.pop_front() {
        assert!(world.answer_to(ticket).is_none());
        world.answer(query);
    }
    assert!(matches!(world.answer_to(ticket), Some(Response::Flushed { unstored: 0 })));
    assert_eq!(world.store.contents()["plan"], alice.content());
    assert_eq!(world.store.contents()["other"], r#"{"md":"a"}"#);
    for document in ["note:plan", "note:other"] {
        let kept = world.store.stored(document);
        assert!(kept.updates.is_empty() && kept.snapshot.is_some(), "{document}");
    }
}

#[test]
fn at_the_end_everything_is_written() {
    for store_fails in [false, true] {
        let mut world = World::new();
        let mut alice = Browser::open(&mut world, "alice");
        alice.pump(&mut world);
        world.pass_ms(5000);
        assert!(world.stack.app.is_settled());
        world.send(alice.client, r#"2["heartbeat",{}]"#);
        world.pass_ms(2000);
        world.tell_wall();
        world.send(alice.client, r#"2["heartbeat",{}]"#);
        alice.type_text(&mut world, "x");
        assert!(!world.stack.app.is_settled());
        if store_fails {
            world.store.manner = Manner::Failing;
        }
        world.stack.handle_end(world.now);
        world.run();
        if store_fails {
            assert!(!world.stack.app.is_settled());
            world.store.manner = Manner::AtOnce;
            world.pass_ms(3000);
        }
        assert!(world.stack.app.is_settled());
        let kept = world.store.stored(NOTE);
        assert!(kept.updates.is_empty() && kept.snapshot.is_some());
        assert_eq!(world.store.contents()["plan"], alice.content());
        assert_eq!(world.store.active_at()["alice"], super::super::world::START_SECS + 7);
    }
}

/// Clients that are cut off because the time is over: other nodes would wait for a document until a claim has expired.
#[test]
fn at_the_end_no_document_has_members_that_are_left() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "bob"));
    settle(&mut world, &mut [&mut alice, &mut bob]);
    alice.type_text(&mut world, "x");
    world.stack.handle_end(world.now);
    world.run();
    while world.work_one() {}
    assert!(world.stack.app.is_settled());
    let documents = world.stack.app.audit().documents;
    assert_eq!((documents.open, documents.members), (0, 0));
    assert_eq!(world.store.contents()["plan"], alice.content());
}

#[test]
fn a_calendar_set_back_keeps_no_content_from_the_store() {
    let mut world = World::new();
    world.wall_step = Duration::from_secs(3600);
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    world.pass_ms(3000);
    let saved_at = world.store.saved_at()["plan"];
    for _ in 0..3 {
        world.wall_step = Duration::ZERO;
        alice.type_text(&mut world, "x");
        world.pass_ms(3000);
        assert_eq!(world.store.contents()["plan"], alice.content());
    }
    assert_eq!(world.store.saved_at()["plan"], saved_at + 3);
}

#[test]
fn a_save_that_fails_keeps_the_document_and_is_tried_again_at_growing_intervals() {
    let kinds: [fn(&Question) -> bool; 3] = [
        |question| matches!(question, Question::AppendUpdates { .. }),
        |question| matches!(question, Question::SaveSnapshot { .. }),
        |question| matches!(question, Question::SaveNoteData { .. }),
    ];
    for fails in kinds {
        let mut world = World::new();
        let mut alice = Browser::open(&mut world, "alice");
        alice.pump(&mut world);
        world.pass_ms(5000);
        world.store.refuses = Some(fails);
        world.questions();
        for _ in 0..600 {
            alice.type_text(&mut world, "x");
            world.pass_ms(100);
        }
        let tries = world.questions().iter().filter(|question| fails(question)).count();
        assert!((4..=8).contains(&tries), "{tries} within a minute");
        world.leave(alice.client);
        world.pass_ms(60_000);
        assert_eq!(world.stack.app.audit().documents.open, usize::from(!fails(&APPEND)), "kept until it is stored");
        world.store.refuses = None;
        world.pass_ms(60_000);
        assert_eq!(world.stack.app.audit(), Default::default());
        assert_eq!(world.store.contents()["plan"], alice.content());
        let mut later = Browser::look(&mut world, "alice");
        later.pump(&mut world);
        assert_eq!(later.doc.state(), alice.doc.state());
        assert_eq!(world.stack.app.document_counters().resets, 0);
    }
}

/// Each answer takes nearly as long as it may.
#[test]
fn a_slow_store_gets_one_write_of_each_kind_at_a_time() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    world.pass_ms(5000);
    world.store.manner = Manner::Later;
    let writes =
        |world: &World, is: fn(&Question) -> bool| world.waiting.iter().filter(|query| is(&query.question)).count();
    for _ in 0..10 {
        for _ in 0..49 {
            alice.type_text(&mut world, "x");
            world.pass_ms(100);
            assert!(writes(&world, |question| matches!(question, Question::AppendUpdates { .. })) <= 1);
            assert!(writes(&world, |question| matches!(question, Question::SaveSnapshot { .. })) <= 1);
            assert!(writes(&world, |question| matches!(question, Question::SaveNoteData { .. })) <= 1);
        }
        for query in std::mem::take(&mut world.waiting) {
            world.answer(query);
        }
    }
    assert_eq!(world.stack.app.pool().queries_overdue, 0);
    world.leave(alice.client);
    for _ in 0..5 {
        world.pass_ms(4900);
        for query in std::mem::take(&mut world.waiting) {
            world.answer(query);
        }
    }
    assert_eq!(world.stack.app.audit().documents, Default::default());
    assert_eq!(world.store.contents()["plan"], alice.content());
    let mut crashed = crash(&world);
    let mut later = Browser::look(&mut crashed, "alice");
    later.pump(&mut crashed);
    assert_eq!(later.doc.state(), alice.doc.state());
}

/// The store fails in every other second, and in some of the rest carries writes out but reports a failure.
#[test]
fn a_store_that_restarts_again_and_again_loses_and_doubles_nothing() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    for round in 0..60 {
        world.store.manner = if round % 2 == 0 { Manner::AtOnce } else { Manner::Failing };
        world.store.mutes = (round % 3 == 0).then_some(|_| true);
        for _ in 0..5 {
            alice.type_text(&mut world, "ab");
            world.pass_ms(200);
        }
    }
    (world.store.manner, world.store.mutes) = (Manner::AtOnce, None);
    world.pass_ms(60_000);
    let kept = world.store.stored(NOTE);
    assert!(kept.updates.is_empty(), "a snapshot has taken its place");
    assert_eq!(world.store.contents()["plan"], alice.content());
    let mut crashed = crash(&world);
    let mut later = Browser::look(&mut crashed, "alice");
    later.pump(&mut crashed);
    assert_eq!(later.doc.state(), alice.doc.state());
    assert_eq!(crashed.stack.app.document_counters().resets, 0);
}

#[test]
fn a_flush_is_answered_when_everything_is_stored() {
    let mut world = World::new();
    let flush = || Request::Flush { timeout: Duration::from_secs(3) };
    assert!(matches!(world.ask(flush()), Response::Flushed { unstored: 0 }));
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let content = alice.content();
    let ticket = world.request(flush());
    world.pass_ms(1);
    assert!(matches!(world.answer_to(ticket), Some(Response::Flushed { unstored: 0 })));
    assert_eq!(world.store.contents()["plan"], content);
    assert!(world.store.stored(NOTE).updates.is_empty() && world.store.stored(NOTE).snapshot.is_some());
    world.store.manner = Manner::Failing;
    alice.type_text(&mut world, "x");
    let ticket = world.request(flush());
    world.pass_ms(2999);
    assert!(world.answer_to(ticket).is_none());
    world.pass_ms(1);
    assert!(matches!(world.answer_to(ticket), Some(Response::Flushed { unstored: 1 })));
    // It is tried on.
    world.store.manner = Manner::AtOnce;
    world.pass_ms(40_000);
    assert_eq!(world.store.contents()["plan"], alice.content());
}

/// A new machine with what the store was told.
pub fn crash(world: &World) -> World {
    let mut after = World::new();
    after.store = world.store.reopened();
    after
}

const APPEND: Question =
    Question::AppendUpdates { document: bytestring::ByteString::new(), first_sequence: 0, updates: Vec::new() };
