//! Whatever members do in whatever order, and whatever stores do: everybody who has heard everything has the same
//! document, and so has the store in the end.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use roomcast_core::openwebui::Request;

use super::super::store::Manner;
use super::super::world::World;
use super::browser::{Browser, settle, text_update};
use super::storing::crash;
use super::visits::{read_request, write_request};

proptest! {
    #[test]
    fn members_and_store_end_with_the_same_document(steps in vec(steps(), 1..50)) {
        let mut world = World::new();
        let mut browsers: Vec<(Browser, bool)> =
            (0..MEMBERS).map(|_| (Browser::open(&mut world, "alice"), true)).collect();
        for step in steps {
            take(&mut world, &mut browsers, step);
        }
        // At rest.
        world.store.manner = Manner::AtOnce;
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
        Step::Visit(client) => {
            world.request(read_request(Some("alice")));
            world.request(write_request(None, &text_update(client, 0, "visited")));
        }
    }
}

const MEMBERS: usize = 4;
