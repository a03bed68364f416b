//! A store that fails, is slow, or answers late; and the order of events meanwhile.

use std::time::Duration;

use roomcast_openwebui::query::{MessageChange, Question};
use roomcast_openwebui::{Request, Response, To};

use super::events::emit;
use super::store::Manner;
use super::world::{START_SECS, World, token};

const ERROR: &str = r#"2["error",{"message":"The store is unavailable, please try again later"}]"#;

#[test]
fn events_of_one_socket_wait_for_its_query_and_nobody_else_does() {
    let mut world = World::new();
    let (alice, bob) = (world.join("alice"), world.connect("{}"));
    world.store.manner = Manner::Later;
    world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    world.send(bob, r#"2["feature:subscribe",{"feature_id":"f"}]"#);
    world.send(bob, r#"22["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#);
    world.send(bob, r#"23["usage",{"model":"small"}]"#);
    world.send(bob, r#"24["heartbeat",{}]"#);
    assert_eq!((world.read(bob), world.given_back.len()), (vec![], 0), "the heartbeat has no user yet");
    // Others go on.
    world.send(alice, r#"21["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#);
    assert_eq!(world.read(alice).len(), 2);
    let query = world.waiting.pop_front().unwrap();
    world.answer(query);
    assert_eq!((world.read(bob), world.given_back.len()), (vec![], 0), "the channels are yet to come");
    let query = world.waiting.pop_front().unwrap();
    world.answer(query);
    // All of them, in order: the session was there when each was looked at.
    let acks: Vec<_> = world.read(bob).iter().filter_map(|text| text.strip_prefix('3').map(str::to_owned)).collect();
    assert_eq!(acks, [r#"1[{"id":"bob","name":"Bob User"}]"#, "2[]", "3[]", "4[]"]);
    assert!(world.waiting.iter().any(|query| matches!(query.question, Question::TouchUsers { .. })));
    assert_eq!((world.given_back.len(), world.read(alice).len(), super::events::models(&mut world).len()), (1, 1, 1));
}

#[test]
fn a_heartbeat_waits_for_nobody_but_its_session() {
    let mut world = World::new();
    let alice = world.join("alice");
    world.store.manner = Manner::Later;
    world.send(alice, r#"21["join-note",{"note_id":"plan"}]"#);
    world.send(alice, r#"22["heartbeat",{}]"#);
    assert_eq!(world.read(alice), ["32[]"]);
}

#[test]
fn a_query_that_is_not_answered_is_refused_in_time() {
    for manner in [Manner::Failing, Manner::Later] {
        let mut world = World::new();
        let (alice, bob) = (world.join("alice"), world.join("bob"));
        world.store.manner = manner;
        world.send(alice, r#"21["join-note",{"note_id":"plan"}]"#);
        world.send(bob, r#"21["join-channels"]"#);
        world.send(bob, r#"22["events:chat",{"chat_id":"talk","data":{"type":"join"}}]"#);
        world.send(bob, r#"23["events:chat",{"chat_id":"talk","data":{"type":"last_read_at"}}]"#);
        world.pass(Duration::from_secs(15));
        assert_eq!(world.read(alice), [ERROR, "31[]"]);
        assert_eq!(world.read(bob), [ERROR, "31[]", ERROR, "32[false]", ERROR, "33[]"], "{manner:?}");
        assert_eq!(world.rooms(bob), ["channel:general", "user:bob"], "what it had it has");
    }
}

#[test]
fn a_late_answer_is_ignored() {
    let mut world = World::new();
    let alice = world.join("alice");
    world.store.manner = Manner::Later;
    world.send(alice, r#"21["join-note",{"note_id":"plan"}]"#);
    world.pass_ms(4999);
    assert_eq!(world.read(alice), Vec::<String>::new());
    world.pass_ms(1);
    assert_eq!(world.read(alice), [ERROR, "31[]"]);
    world.answer_waiting();
    assert_eq!((world.read(alice), world.rooms(alice).len()), (vec![], 2));
    // Nor does an answer to nothing, or of the wrong kind, do any harm.
    world.send(alice, r#"22["join-note",{"note_id":"plan"}]"#);
    let mut query = world.waiting.pop_front().unwrap();
    query.question = Question::Chat { chat: "talk".into(), user: "bob".into() };
    world.answer(query);
    assert_eq!(world.read(alice), [ERROR, "32[]"]);
}

#[test]
fn a_session_stands_while_the_store_is_away() {
    let mut world = World::new();
    let bob = world.join("bob");
    world.store.revoke("of-bob");
    world.store.manner = Manner::Failing;
    world.pass(Duration::from_secs(600));
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);
    world.store.manner = Manner::AtOnce;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.rooms(bob), Vec::<String>::new());
}

#[test]
fn a_login_that_the_store_could_not_answer_is_made_up_for() {
    let mut world = World::new();
    world.store.manner = Manner::Failing;
    let bob = world.connect("{}");
    world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    assert_eq!(world.read(bob), [ERROR, "31[]"]);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.rooms(bob), Vec::<String>::new());
    world.store.manner = Manner::AtOnce;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);

    // The same if only the channels could not be read.
    let mut world = World::new();
    let bob = world.connect("{}");
    world.store.manner = Manner::Later;
    world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    let query = world.waiting.pop_front().unwrap();
    world.answer(query);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.read(bob), [ERROR, r#"31[{"id":"bob","name":"Bob User"}]"#]);
    assert_eq!(world.rooms(bob), ["user:bob"]);
    world.store.manner = Manner::AtOnce;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);
}

#[test]
fn writes_are_tried_again_until_they_are_done() {
    let mut world = World::new();
    let bob = world.join("bob");
    world.store.manner = Manner::Failing;
    world.send(bob, r#"2["heartbeat",{}]"#);
    world.send(bob, r#"2["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"last_read_at"}}]"#);
    for word in ["one ", "two "] {
        world.ask(emit(To::User("bob".into()), "events", &message("m", word)));
    }
    world.pass(Duration::from_secs(100));
    world.ask(emit(To::User("bob".into()), "events", &message("m", "three")));
    world.leave(bob);
    assert!(world.questions().len() > 10);
    assert_eq!((world.store.writes, world.stack.app.audit().change_bytes > 0), (0, true));
    world.store.manner = Manner::AtOnce;
    world.pass(Duration::from_secs(31));
    assert_eq!(world.store.active_at().get("bob"), Some(&START_SECS));
    assert_eq!(world.store.read_at().len(), 1);
    assert_eq!(world.store.content("talk", "m"), "one two three");
    world.pass(Duration::from_secs(20));
    assert_eq!(world.stack.app.audit(), Default::default());
    assert_eq!(world.stack.app.pool().writes_lost, 0);
}

#[test]
fn a_write_that_was_done_late_is_not_done_twice() {
    let mut world = World::new();
    world.store.manner = Manner::Later;
    world.ask(emit(To::User("bob".into()), "events", &message("m", "once ")));
    world.pass_ms(5500);
    // In doubt: what comes now is written by itself.
    world.ask(emit(To::User("bob".into()), "events", &message("m", "again")));
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.store.content("talk", "m"), "once again");
    assert_eq!(world.stack.app.audit(), Default::default());
}

#[test]
fn a_write_that_is_never_answered_is_asked_again() {
    let mut world = World::new();
    world.store.manner = Manner::Later;
    world.ask(emit(To::User("bob".into()), "events", &message("m", "once")));
    world.pass_ms(5500);
    world.waiting.clear();
    world.store.manner = Manner::AtOnce;
    world.pass(Duration::from_secs(60));
    assert_eq!((&*world.store.content("talk", "m"), world.stack.app.audit()), ("once", Default::default()));
}

#[test]
fn an_answer_about_an_earlier_session_is_no_answer_about_this_one() {
    let mut world = World::new();
    let socket = world.join("bob");
    world.store.manner = Manner::Later;
    world.ask(Request::Refresh { user: "bob".into() });
    let about_bob = world.waiting.pop_front().unwrap();
    world.store.manner = Manner::AtOnce;
    world.send(socket, &format!(r#"2["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("carol")));
    world.store.remove_user("bob");
    world.answer(about_bob);
    assert_eq!(world.rooms(socket), ["user:carol"]);
}

#[test]
fn channels_that_change_while_they_are_read_are_read_again() {
    let mut world = World::new();
    let bob = world.join("bob");
    world.store.manner = Manner::Later;
    for _ in 0..3 {
        world.ask(Request::ReadChannels { user: "bob".into() });
    }
    assert_eq!(world.waiting.len(), 1);
    let query = world.waiting.pop_front().unwrap();
    world.answer(query);
    assert_eq!(world.waiting.len(), 1);
    world.answer_waiting();
    assert_eq!(world.waiting.len(), 0);
    // And if the store does not answer, a little later.
    world.store.enter_channel("bob", "new");
    world.store.manner = Manner::Failing;
    world.ask(Request::ReadChannels { user: "bob".into() });
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);
    world.store.manner = Manner::AtOnce;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.rooms(bob), ["channel:general", "channel:new", "user:bob"]);
}

#[test]
fn changes_to_one_chat_are_in_order_and_together() {
    let mut world = World::new();
    world.store.manner = Manner::Later;
    for (message_id, word) in [("m", "a"), ("m", "b"), ("m", "c"), ("n", "d"), ("m", "e"), ("m", "f")] {
        world.ask(emit(To::User("bob".into()), "events", &message(message_id, word)));
    }
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    world.pass(Duration::from_secs(10));
    let text = |text: &str| vec![MessageChange::AppendContent(text.into())];
    let asked: Vec<_> = world
        .questions()
        .into_iter()
        .filter_map(|question| {
            let Question::ChangeMessage { message, changes, .. } = question else { return None };
            Some((message.to_string(), changes))
        })
        .collect();
    let expected = [("m", "a"), ("m", "bc"), ("n", "d"), ("m", "ef")];
    assert_eq!(asked, expected.map(|(message, word)| (message.to_owned(), text(word))));
    // What replaces the content makes what came before it needless; the lists are not touched by that.
    world.store.manner = Manner::Later;
    let status = r#"{"chat_id":"talk","message_id":"r","data":{"type":"status","data":{}}}"#;
    let replace = r#"{"chat_id":"talk","message_id":"r","data":{"type":"replace","data":{"content":"new"}}}"#;
    let first = message("q", "x");
    for data in [&*first, &*message("r", "old"), status, replace, &*message("r", " end")] {
        world.ask(emit(To::User("bob".into()), "events", data));
    }
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    world.pass(Duration::from_secs(10));
    let changes = world.store.changes[&("talk".into(), "r".into())].clone();
    let expected = [MessageChange::AppendStatus("{}".into()), MessageChange::ReplaceContent("new end".into())];
    assert_eq!(changes, expected);
}

#[test]
fn a_flush_writes_what_waits_and_what_comes_meanwhile() {
    let mut world = World::new();
    let flush = || Request::Flush { timeout: Duration::from_secs(3) };
    let bob = world.join("bob");
    let act = |world: &mut World, text: &str| {
        world.send(bob, r#"2["heartbeat",{}]"#);
        world.send(
            bob,
            r#"2["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"last_read_at"}}]"#,
        );
        world.ask(emit(To::User("bob".into()), "events", &message("m", text)));
    };
    act(&mut world, "a");
    // The first of each is written at once, the second waits.
    world.pass_ms(1);
    world.wall_step = Duration::from_secs(5);
    world.tell_wall();
    act(&mut world, "b");
    let now = START_SECS + 5;
    assert_ne!(world.store.active_at()["bob"], now);
    assert_eq!(world.store.content("talk", "m"), "a");
    assert!(matches!(world.ask(flush()), Response::Flushed { unstored: 0 }));
    let read_at = |world: &World| world.store.read_at()[&("general".to_owned(), "bob".to_owned())];
    assert_eq!((world.store.active_at()["bob"], read_at(&world) / 1_000_000_000), (now, now));
    assert_eq!(world.store.content("talk", "m"), "ab");

    // What comes while it lasts does not wait either, and is waited for.
    world.store.manner = Manner::Later;
    act(&mut world, "c");
    let ticket = world.request(flush());
    act(&mut world, "d");
    assert!(world.answer_to(ticket).is_none());
    while let Some(query) = world.waiting.pop_front() {
        assert!(world.answer_to(ticket).is_none());
        world.answer(query);
    }
    assert!(matches!(world.answer_to(ticket), Some(Response::Flushed { unstored: 0 })));
    assert_eq!(world.store.content("talk", "m"), "abcd");

    // One that fails is tried again at once, then at its own pace; in time there is an answer.
    world.store.manner = Manner::Failing;
    act(&mut world, "e");
    world.pass_ms(20_000);
    world.questions();
    let ticket = world.request(flush());
    assert_eq!(world.questions().len(), 3);
    world.pass_ms(2999);
    assert!(world.answer_to(ticket).is_none());
    world.pass_ms(1);
    assert!(matches!(world.answer_to(ticket), Some(Response::Flushed { unstored: 3 })));
    world.store.manner = Manner::AtOnce;
    world.pass_ms(60_000);
    assert_eq!(world.store.content("talk", "m"), "abcde");
    assert!(matches!(world.ask(flush()), Response::Flushed { unstored: 0 }));
    world.leave(bob);
    world.pass_ms(60_000);
    assert_eq!(world.stack.app.audit(), Default::default());
}

#[test]
fn a_chat_that_is_not_there_is_not_tried_again() {
    let mut world = World::new();
    let data = r#"{"chat_id":"no-such","message_id":"m","data":{"type":"replace","data":{"content":"x"}}}"#;
    assert!(matches!(world.ask(emit(To::User("bob".into()), "events", data)), Response::Emitted));
    world.pass(Duration::from_secs(60));
    assert_eq!((world.questions().len(), world.stack.app.audit()), (1, Default::default()));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let mut world = World::with(|settings| settings.limits.change_bytes_per_chat_max = 1000);
    let bob = world.join("bob");
    world.store.manner = Manner::Later;
    world.ask(emit(To::User("bob".into()), "events", &message("m", &"x".repeat(800))));
    assert!(matches!(
        world.ask(emit(To::User("bob".into()), "events", &message("m", &"y".repeat(800)))),
        Response::Overloaded
    ));
    assert_eq!(world.read(bob).len(), 1, "the refused event is not delivered");
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    world.ask(emit(To::User("bob".into()), "events", &message("m", &"z".repeat(800))));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.store.content("talk", "m").len(), 1600);

    // Given up after an hour, and counted.
    world.store.manner = Manner::Failing;
    world.ask(emit(To::User("bob".into()), "events", &message("m", "lost")));
    world.leave(bob);
    world.pass(Duration::from_secs(3700));
    assert_eq!((world.stack.app.pool().writes_lost, world.stack.app.audit()), (1, Default::default()));
}

#[test]
fn what_waits_for_a_query_goes_with_its_socket() {
    let mut world = World::new();
    world.store.manner = Manner::Later;
    let bob = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
    for _ in 0..300 {
        world.feed(bob, r#"21["usage",{"model":"small"}]"#);
    }
    world.run();
    let Response::Counts(pool) = world.ask(Request::Counts) else { panic!("pool") };
    assert_eq!(
        (pool.sockets, pool.logins, pool.held_events, pool.queries),
        (1, 0, 257, 1),
        "one over what may be unanswered"
    );
    world.leave(bob);
    world.answer_waiting();
    assert_eq!((world.stack.app.audit(), world.read(bob)), (Default::default(), vec![]));
    assert_eq!(world.stack.server.audit(), Default::default());
}

#[test]
fn every_event_is_handled_once_it_is_done() {
    let mut world = World::new();
    let bob = world.join("bob");
    world.store.manner = Manner::Later;
    world.send(bob, r#"2["join-note",{"note_id":"plan"}]"#);
    for _ in 0..300 {
        world.send(bob, r#"2["usage",{"model":"small"}]"#);
    }
    assert_eq!(world.paused.len(), 1, "its reading is paused while so many wait");
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    assert_eq!(world.paused.len(), 0);
    for event in ["user-join", "heartbeat", "usage", "join-channels", "join-note", "events:channel", "events:chat"] {
        for _ in 0..300 {
            world.send(bob, &format!(r#"2["{event}",{{"note_id":"plan","chat_id":"talk","data":{{"type":"join"}}}}]"#));
        }
        assert_eq!(world.paused.len(), 0, "{event}");
    }
}

#[test]
fn a_socket_that_sends_on_and_on_while_the_store_is_slow_is_ended() {
    let mut world = World::with(|settings| settings.limits.held_events_max = 100);
    world.store.manner = Manner::Later;
    let bob = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
    for _ in 0..102 {
        world.feed(bob, r#"21["usage",{"model":"small"}]"#);
    }
    world.run();
    assert!(world.clients[bob].is_closed);
    world.answer_waiting();
    assert_eq!(world.stack.app.audit(), Default::default());
}

fn message(id: &str, content: &str) -> String {
    format!(r#"{{"chat_id":"talk","message_id":"{id}","data":{{"type":"message","data":{{"content":"{content}"}}}}}}"#)
}
