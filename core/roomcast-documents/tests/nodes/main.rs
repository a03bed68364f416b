//! Several nodes with one document: a bus that loses, delays and repeats, a store that is late and fails, and processes
//! that end without a word. From seeds, under a clock of the test's.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod log;
mod world;

use std::time::Duration;

use roomcast_documents::DocumentNotice;
use world::{Conditions, World};

const FAIR: Conditions =
    Conditions { lost: 0, repeated: 0, bus_delay_max_ms: 0, store_fails: 0, store_delay_max_ms: 2 };
const FOUL: Conditions =
    Conditions { lost: 300, repeated: 200, bus_delay_max_ms: 300, store_fails: 150, store_delay_max_ms: 80 };

/// Chaos, then fair weather: all browsers and the store end with the same, and with all that was acknowledged.
fn play(seed: u64, is_to_begin: bool) -> World {
    let mut world = World::new(seed, 3, is_to_begin);
    world.weather = FOUL;
    for node in 0..3 {
        world.join(node);
    }
    for _ in 0..150 {
        let node = usize::try_from(world.rng.below(3)).unwrap();
        let ids: Vec<u32> = world.clients.keys().copied().collect();
        let place = usize::try_from(world.rng.below(ids.len().max(1) as u64)).unwrap();
        let id = ids.get(place).copied();
        match (world.rng.below(100), id) {
            (0..70, Some(id)) => world.edit(id, "word "),
            (70..78, _) if world.clients.len() < 8 => {
                world.join(node);
            }
            (78..84, Some(id)) => world.rejoin(id, node),
            (84..88, Some(id)) => world.leave(id),
            (88..90, _) => world.crash(node),
            _ => world.note_stored(node),
        }
        let span = world.rng.below(400);
        world.pass(Duration::from_millis(span));
    }
    world.weather = FAIR;
    world.pass(Duration::from_secs(100));
    for node in 0..3 {
        world.join(node);
    }
    world.pass(Duration::from_secs(20));
    check(&mut world, seed);
    world
}

fn check(world: &mut World, seed: u64) {
    let stored = world.stored().store().state_vector();
    for (id, client) in &world.clients {
        let own = client.doc.store().state_vector();
        assert_eq!(own, stored, "seed {seed}: client {id} of node {}", client.node);
    }
    for (client, clock) in &world.kept {
        let found = stored.iter().find(|(id, _)| id.as_u64() == u64::from(*client)).map_or(0, |(_, clock)| clock);
        assert!(found >= *clock, "seed {seed}: of client {client} there is {found} of {clock}");
    }
}

#[test]
fn browsers_of_all_nodes_and_the_store_end_with_the_same_and_nothing_acknowledged_is_lost() {
    let (mut dropped, mut conflicts, mut acked) = (0, 0, 0);
    for seed in 0..seeds() {
        let world = play(seed, false);
        (dropped, conflicts, acked) = (dropped + world.dropped, conflicts + world.conflicts, acked + world.acked);
    }
    assert!(acked > 20 * seeds(), "{acked} edits were acknowledged");
    assert!(dropped > 0 && conflicts > 0, "the weather was foul: {dropped} {conflicts}");
}

#[test]
fn a_document_is_begun_once_whatever_the_bus_does() {
    for seed in 0..seeds() {
        let mut world = play(seed, true);
        let stored = world.stored().store().state_vector();
        let begun = stored.iter().filter(|(id, _)| world.seeds.contains(&u8::try_from(id.as_u64()).unwrap())).count();
        assert_eq!(begun, 1, "seed {seed}: {:?}", world.seeds);
    }
}

#[test]
fn an_edit_is_with_the_browsers_of_another_node_as_soon_as_it_is_stored() {
    let mut world = World::new(1, 2, false);
    world.weather = FAIR;
    let (one, two) = (world.join(0), world.join(1));
    world.pass(Duration::from_millis(100));
    world.edit(one, "hello");
    world.pass(Duration::from_millis(50));
    assert_eq!(world.clients[&two].doc.store().state_vector(), world.clients[&one].doc.store().state_vector());
    assert_eq!(world.kept.len(), 1);
}

#[test]
fn without_the_bus_nodes_hear_of_each_other_by_the_store() {
    let mut world = World::new(2, 2, false);
    world.weather = Conditions { lost: 1000, ..FAIR };
    let (one, two) = (world.join(0), world.join(1));
    for _ in 0..20 {
        world.edit(one, "one ");
        world.edit(two, "two ");
        world.pass(Duration::from_secs(1));
    }
    world.pass(Duration::from_secs(6));
    check(&mut world, 2);
    assert!(world.conflicts > 0);
}

/// Updates in thousands, questions for the whole state, and what is no update: those at the other node edit on, and hear
/// of the updates in a bounded number of messages.
#[test]
fn a_flood_at_one_node_keeps_no_editor_at_another_from_its_work() {
    let mut world = World::new(4, 2, false);
    world.weather = FAIR;
    let (flooder, editor) = (world.join(0), world.join(1));
    world.pass(Duration::from_millis(100));
    let before = world.published;
    for round in 0..50 {
        for _ in 0..100 {
            world.edit(flooder, "f");
        }
        for garbage in [&[0, 2, 3, 255, 255, 255][..], &[9, 9, 9], &[0, 0, 255, 255, 255, 255, 255, 255], &[]] {
            world.say(flooder, garbage);
        }
        for _ in 0..10 {
            world.say(flooder, &[0, 0, 1, 0]);
        }
        world.edit(editor, "word ");
        world.pass(Duration::from_millis(100));
        let (flooded, edited) = (world.clients[&flooder].clock, world.clients[&editor].clock);
        assert_eq!((flooded, edited), ((round + 1) * 100, (round + 1) * 5));
        let seen = world.clients[&editor].doc.store().state_vector();
        assert!(seen.iter().any(|(id, clock)| id.as_u64() == 1 && clock == flooded), "round {round}: {seen:?}");
    }
    let published = world.published - before;
    assert!(published < 1000, "{published} messages");
    world.pass(Duration::from_secs(20));
    check(&mut world, 4);
    assert_eq!(world.stored().store().state_vector().iter().map(|(_, clock)| clock).sum::<u32>(), 5000 + 250);
}

/// The next one does not wait until its claim and its presence have expired.
#[test]
fn a_node_that_ends_in_order_keeps_no_other_waiting() {
    let mut world = World::new(3, 2, true);
    world.weather = FAIR;
    let one = world.join(0);
    world.pass(Duration::from_secs(3));
    world.edit(one, "more");
    world.pass(Duration::from_secs(7));
    assert_eq!(world.log.held(), (1, true), "it has begun the document, and has it in memory");
    world.end(0);
    world.pass(Duration::from_millis(100));
    assert_eq!((world.log.held(), world.nodes[0].machine.counts().open), ((0, false), 0));
    check(&mut world, 3);
}

/// Two versions on one Redis: the message is not understood by halves, an operator is told once, and the log has what it said.
#[test]
fn a_message_of_another_version_is_refused_and_told_once() {
    let mut world = World::new(3, 2, false);
    world.weather = FAIR;
    let one = world.join(0);
    world.join(1);
    world.pass(Duration::from_secs(3));
    for _ in 0..3 {
        world.hear_node(1, &[2, 0, 0, 0, 4, b'p', b'l', b'a', b'n', 5]);
    }
    world.hear_node(1, &[]);
    assert_eq!(world.nodes[1].notices, [DocumentNotice::NodeMessageUnreadable { form: 2 }]);
    assert_eq!(world.nodes[1].machine.counters().node_messages_unreadable, 4);
    world.edit(one, "more");
    world.pass(Duration::from_secs(10));
    check(&mut world, 3);
}

/// What the bus has lost shows with the next message, and is read then, and not at the next look without news.
#[test]
fn a_lost_message_is_made_up_for_as_soon_as_the_next_one_comes() {
    let mut world = World::new(5, 2, false);
    world.weather = FAIR;
    let (one, two) = (world.join(0), world.join(1));
    world.pass(Duration::from_millis(100));
    world.weather = Conditions { lost: 1000, ..FAIR };
    world.edit(one, "lost ");
    world.pass(Duration::from_millis(60));
    assert!(world.dropped > 0 && world.clients[&two].doc.store().is_empty());
    world.weather = FAIR;
    world.edit(one, "heard");
    world.pass(Duration::from_millis(60));
    assert_eq!(world.clients[&two].doc.store().state_vector(), world.clients[&one].doc.store().state_vector());
}

/// As after `FLUSHALL`, or of a store that keeps nothing on a disk.
#[test]
fn a_store_that_has_lost_everything_is_given_it_again() {
    for millis in [100, 5_000, 20_000] {
        let mut world = World::new(6, 2, false);
        world.weather = FAIR;
        let (one, two) = (world.join(0), world.join(1));
        world.edit(one, "one ");
        world.edit(two, "two ");
        world.pass(Duration::from_millis(millis));
        world.log.lose_all();
        world.pass(Duration::from_secs(30));
        check(&mut world, millis);
        assert_eq!(world.stored().store().state_vector().iter().count(), 2);
    }
}

/// As after a crash of the store that had not written everything to its disk.
#[test]
fn what_a_store_has_lost_is_stored_again_by_the_nodes_that_have_it() {
    for seed in 0..20 {
        let mut world = World::new(seed, 2, false);
        world.weather = FAIR;
        let (one, two) = (world.join(0), world.join(1));
        for _ in 0..5 {
            world.edit(one, "one ");
            world.edit(two, "two ");
            world.pass(Duration::from_millis(300));
        }
        world.note_stored(0);
        let lost = 1 + world.rng.below(8);
        world.log.lose(lost);
        if seed % 2 == 0 {
            world.edit(one, "after");
        }
        world.pass(Duration::from_secs(30));
        check(&mut world, seed);
    }
}

/// How many seeds are played.
fn seeds() -> u64 {
    std::env::var("NODES_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40)
}
