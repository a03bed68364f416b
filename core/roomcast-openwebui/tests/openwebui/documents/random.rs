//! After any operations of members in any order, and any behaviour of stores: members that received everything have the
//! same document, and so has the store in the end.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use roomcast_openwebui::Request;
use roomcast_testkit::yjs_update::text_update;
use roomcast_yjs::{Source, Verdict};

use super::super::store::Manner;
use super::super::world::World;
use super::browser::{Browser, settle};
use super::storing::crash;
use super::visits::{read_request, write_request};

proptest! {
    #[test]
    fn members_and_store_end_with_the_same_document(
        steps in vec(steps(), 1..50),
        quick in select(vec![0, 60, 16 << 10]),
    ) {
        // Most of what is done is handed out, and takes its time.
        let mut world = World::with(|settings| {
            let documents = &mut settings.documents.machine;
            (documents.quick_update_bytes_max, documents.quick_state_bytes_max) = (quick, quick);
        });
        world.is_busy = quick < 1000;
        let mut browsers: Vec<(Browser, bool)> =
            (0..MEMBERS).map(|_| (Browser::open(&mut world, "alice"), true)).collect();
        for step in steps {
            take(&mut world, &mut browsers, step);
        }
        // At rest.
        world.store.manner = Manner::AtOnce;
        world.is_busy = false;
        while world.work_one() {}
        world.answer_waiting();
        world.pass_ms(60_000);
        for (browser, is_online) in &mut browsers {
            if !*is_online {
                browser.reconnect(&mut world);
            }
        }
        // Whose join was refused by a failing store tries again.
        for (browser, _) in &mut browsers {
            browser.reconnect(&mut world);
        }
        let mut all: Vec<&mut Browser> = browsers.iter_mut().map(|(browser, _)| browser).collect();
        settle(&mut world, &mut all);
        world.pass_ms(60_000);
        settle(&mut world, &mut all);
        let state = all[0].doc.state();
        for browser in &mut all {
            prop_assert_eq!(browser.doc.state(), state.clone());
        }
        prop_assert_eq!(world.stack.app.audit().documents.pending_updates, 0);
        let mut crashed = crash(&world);
        let mut fresh = Browser::look(&mut crashed, "alice");
        fresh.pump(&mut crashed);
        prop_assert_eq!(fresh.doc.state(), state);
        for browser in all {
            world.leave(browser.client);
        }
        world.pass_ms(60_000);
        prop_assert_eq!(world.stack.app.audit(), Default::default());
        prop_assert_eq!(world.stack.server.audit(), Default::default());
    }
}

proptest! {
    /// Two stores answer in any order, late, or report a failure although the write succeeded. Whenever the process
    /// crashes, the note's own content is not mistaken for content of another writer, and the document is
    /// restored as it was.
    #[test]
    fn a_crash_at_any_time_resets_nothing(steps in vec(troubles(), 1..60)) {
        // However long the log takes, contents wait for it.
        let mut world = World::with(|settings| settings.documents.save_after_most = Duration::from_secs(1_000_000));
        let mut alice = Browser::look(&mut world, "alice");
        alice.type_text(&mut world, "begin");
        world.pass_ms(3000);
        world.store.manner = Manner::Later;
        for step in steps {
            trouble(&mut world, &mut alice, step);
        }
        let mut crashed = crash(&world);
        let mut other = Browser::look(&mut crashed, "alice");
        other.pump(&mut crashed);
        prop_assert_eq!(crashed.stack.app.document_counters().resets, 0);
        let known = alice.doc.check(&other.doc.state(), Source::Stored);
        prop_assert_eq!(known, Verdict::NothingNew);

        world.store.manner = Manner::AtOnce;
        world.answer_waiting();
        let last = r#"{"md":"last"}"#;
        alice.render(&mut world, last);
        world.leave(alice.client);
        world.pass_ms(60_000);
        prop_assert_eq!(&world.store.contents()["plan"], last);
        prop_assert_eq!(world.stack.app.audit(), Default::default());
    }
}

#[derive(Clone, Debug)]
enum Trouble {
    Render(usize),
    Type,
    Pass(u64),
    Answer(Index),
    /// It is carried out, and said to have failed.
    Mute(Index),
    /// It is not carried out.
    Fail(Index),
}

fn troubles() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        4 => (0..CONTENTS.len()).prop_map(Trouble::Render),
        2 => Just(Trouble::Type),
        4 => select(vec![40, 500, 2000, 6000]).prop_map(Trouble::Pass),
        8 => any::<Index>().prop_map(Trouble::Answer),
        1 => any::<Index>().prop_map(Trouble::Mute),
        1 => any::<Index>().prop_map(Trouble::Fail),
    ]
}

fn trouble(world: &mut World, alice: &mut Browser, step: Trouble) {
    let which = match step {
        Trouble::Render(which) => return alice.render(world, CONTENTS[which]),
        Trouble::Type => return alice.type_text(world, "x"),
        Trouble::Pass(millis) => return world.pass_ms(millis),
        Trouble::Answer(which) => which,
        Trouble::Mute(which) => {
            world.store.mutes = Some(|_| true);
            which
        }
        Trouble::Fail(which) => {
            world.store.refuses = Some(|_| true);
            which
        }
    };
    if !world.waiting.is_empty() {
        let index = which.index(world.waiting.len());
        let query = world.waiting.remove(index).unwrap();
        world.answer(query);
    }
    (world.store.mutes, world.store.refuses) = (None, None);
}

const CONTENTS: [&str; 3] = [r#"{"md":"a"}"#, r#"{"md":"b"}"#, r#"{"md":"c"}"#];

#[derive(Clone, Debug)]
enum Step {
    Type(usize),
    Pump(usize),
    Cut(usize),
    Reconnect(usize),
    Manner(Manner),
    Answer,
    Flush,
    Pass(u64),
    /// What was handed out first is done.
    Work,
    /// The program reads, and writes as this client.
    Visit(u8),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..MEMBERS).prop_map(Step::Type),
        4 => (0..MEMBERS).prop_map(Step::Pump),
        1 => (0..MEMBERS).prop_map(Step::Cut),
        2 => (0..MEMBERS).prop_map(Step::Reconnect),
        1 => select(vec![Manner::AtOnce, Manner::Later, Manner::Failing]).prop_map(Step::Manner),
        2 => Just(Step::Answer),
        1 => Just(Step::Flush),
        4 => Just(Step::Work),
        3 => select(vec![1, 50, 600, 2500, 12_000]).prop_map(Step::Pass),
        1 => (200..210u8).prop_map(Step::Visit),
    ]
}

fn take(world: &mut World, browsers: &mut [(Browser, bool)], step: Step) {
    match step {
        Step::Type(which) => {
            let (browser, is_online) = &mut browsers[which];
            if *is_online {
                browser.type_text(world, "ab");
            } else {
                browser.edit("cd");
            }
        }
        Step::Pump(which) => browsers[which].0.pump(world),
        Step::Cut(which) => {
            let (browser, is_online) = &mut browsers[which];
            world.leave(browser.client);
            world.read(browser.client);
            while world.read_binary(browser.client).is_some() {}
            *is_online = false;
        }
        Step::Reconnect(which) => {
            let (browser, is_online) = &mut browsers[which];
            if !*is_online {
                browser.reconnect(world);
                *is_online = true;
            }
        }
        Step::Manner(manner) => world.store.manner = manner,
        Step::Answer => {
            if let Some(query) = world.waiting.pop_front() {
                world.answer(query);
            }
        }
        Step::Flush => drop(world.request(Request::Flush { timeout: Duration::from_secs(2) })),
        Step::Pass(millis) => world.pass_ms(millis),
        Step::Work => drop(world.work_one()),
        Step::Visit(client) => {
            world.request(read_request(Some("alice")));
            world.request(write_request(None, &text_update(client, 0, "visited")));
        }
    }
}

const MEMBERS: usize = 4;
