//! Many users at once, dear events, and what is told of refused tokens.

use std::time::Duration;

use roomcast_openwebui::query::{Permission, Question};
use roomcast_openwebui::{Notice, Request, Response, To};

use super::events::{call, emit};
use super::store::Manner;
use super::world::{START_SECS, World, token, token_of};

const TYPING: &str = r#""data":{"type":"typing","data":{"typing":true}}"#;

// Section 3.3.
#[test]
fn heartbeats_of_many_users_are_one_write_at_a_time() {
    let mut world = crowd(100);
    let clients: Vec<usize> = (0..100).map(|user| world.join(&format!("user-{user:02}"))).collect();
    world.store.manner = Manner::Later;
    world.questions();
    for client in clients {
        world.send(client, r#"2["heartbeat",{}]"#);
    }
    let mut sizes = Vec::new();
    while let Some(query) = world.waiting.pop_front() {
        assert!(world.waiting.is_empty(), "one at a time");
        let Question::TouchUsers { touches } = &query.question else { panic!("{query:?}") };
        sizes.push(touches.len());
        world.answer(query);
    }
    assert_eq!(sizes, [1, 64, 35]);
    assert_eq!(world.store.active_at().len(), 100);
}

// Sections 2.4, 2.5 item 23, and 3.3.
#[test]
fn users_who_come_back_at_once_are_read_with_few_questions() {
    let mut world = crowd(500);
    let clients: Vec<usize> = (0..500).map(|_| world.connect("{}")).collect();
    world.store.manner = Manner::Later;
    for (user, client) in clients.iter().enumerate() {
        let token = token(&format!("user-{user:02}"));
        world.feed(*client, &format!(r#"21["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
    }
    world.run();
    let mut reads = 0;
    while let Some(query) = world.waiting.pop_front() {
        reads += usize::from(matches!(query.question, Question::Channels { .. }));
        world.answer(query);
    }
    assert!(reads < 30, "{reads} questions for 500 users");
    for (user, client) in clients.into_iter().enumerate() {
        let id = format!("user-{user:02}");
        assert_eq!(world.read(client), [format!(r#"31[{{"id":"{id}","name":"User"}}]"#)]);
        assert_eq!(world.rooms(client), ["channel:general".into(), format!("user:{id}")]);
    }
}

// Sections 2.4, 2.5 item 23, and 3.3.
#[test]
fn an_admin_is_in_channels_where_the_permission_is_denied_by_default() {
    let mut world = World::new();
    for user in ["alice", "bob"] {
        world.store.set_permission(user, Permission::Denied);
    }
    let (alice, bob) = (world.join("alice"), world.join("bob"));
    assert_eq!(world.rooms(alice), ["channel:general", "user:alice"]);
    assert_eq!(world.rooms(bob), ["user:bob"]);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.rooms(alice), ["channel:general", "user:alice"]);
}

// Sections 2.4, 2.5 item 23, and 3.3.
#[test]
fn a_direct_message_that_is_opened_again_has_its_room_within_seconds() {
    // Open WebUI tells of it first, and writes that it is open then.
    let mut world = World::new();
    let bob = world.join("bob");
    world.ask(emit(To::User("bob".into()), "events:channel", r#"{"data":{"type":"channel:created"}}"#));
    world.store.enter_channel("bob", "direct");
    world.pass_ms(1000);
    assert_eq!(world.rooms(bob), ["channel:direct", "channel:general", "user:bob"]);

    // Where it does not tell, the front end looks at it.
    let mut world = World::new();
    let bob = world.join("bob");
    world.pass(Duration::from_secs(6));
    world.store.enter_channel("bob", "direct");
    let look = r#"2["events:channel",{"channel_id":"direct","message_id":null,"data":{"type":"last_read_at"}}]"#;
    world.send(bob, look);
    assert_eq!(world.rooms(bob), ["channel:direct", "channel:general", "user:bob"]);
    // Looking at what is not there does not ask the store each time.
    world.questions();
    for _ in 0..100 {
        world.send(bob, &look.replace("direct", "nonsense"));
    }
    world.pass(Duration::from_secs(4));
    assert_eq!(world.questions(), []);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.questions(), [Question::Channels { users: vec!["bob".into()] }]);
}

// Section 2.1, `events:channel`.
#[test]
fn typing_in_a_thread_is_told_beside_typing_in_its_channel() {
    let mut world = World::new();
    let (alice, bob) = (world.join("alice"), world.join("bob"));
    for message in ["null", r#""m1""#, r#""m2""#, "null"] {
        world.send(bob, &format!(r#"2["events:channel",{{"channel_id":"general","message_id":{message},{TYPING}}}]"#));
    }
    let told = world.read(alice);
    let named = |message: &str| told.iter().filter(|text| text.contains(&format!(r#""message_id":{message}"#))).count();
    assert_eq!((named("null"), named(r#""m1""#), named(r#""m2""#), told.len()), (1, 1, 1, 3));
}

// Section 2.2, `events` with ack.
#[test]
fn a_call_that_would_wait_for_too_long_is_refused_and_not_cut_short() {
    let mut world = World::with(|settings| settings.call_timeout_max = Duration::from_secs(700));
    let bob = world.join("bob");
    let sid = world.clients[bob].sid.clone();
    let within = |secs| {
        let Request::Call { sid, user, event, args, .. } = call(&sid, "{}") else { panic!("a call") };
        Request::Call { sid, user, event, args, timeout: Duration::from_secs(secs) }
    };
    let max = Duration::from_secs(700);
    assert!(matches!(world.ask(within(701)), Response::TimeoutTooLong { max: told } if told == max));
    assert_eq!(world.read(bob), Vec::<String>::new(), "it was not made");
    let ticket = world.request(within(700));
    world.pass(Duration::from_secs(699));
    assert!(world.answer_to(ticket).is_none());
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.answer_to(ticket), Some(Response::TimedOut)));
}

// Section 3.2.
#[test]
fn without_a_login_a_payload_is_not_looked_at() {
    let mut world = World::new();
    let stranger = world.connect("{}");
    // A payload that cannot be parsed is answered like any other.
    for (id, payload) in [(1, r#"{"chat_id":7}"#), (2, r#"{"chat_id":"talk","data":{"type":"last_read_at"}}"#)] {
        world.send(stranger, &format!(r#"2{id}["events:chat",{payload}]"#));
        assert_eq!(world.read(stranger), [format!("3{id}[false]")]);
    }
    for (id, name) in ["events:channel", "usage", "ydoc:document:update", "ydoc:awareness:update"].iter().enumerate() {
        world.send(stranger, &format!(r#"2{id}["{name}",[{{"x":1}}]]"#));
        assert_eq!(world.read(stranger), [format!("3{id}[]")]);
    }
    assert_eq!(world.questions(), []);
}

// Section 3.2.
#[test]
fn a_payload_longer_than_any_of_a_front_end_is_not_looked_at() {
    let mut world = World::new();
    let (alice, bob) = (world.join("alice"), world.connect("{}"));
    let junk = "x".repeat(64 << 10);
    world.send(
        alice,
        &format!(r#"21["events:channel",{{"channel_id":"general","message_id":null,{TYPING},"j":"{junk}"}}]"#),
    );
    assert_eq!(world.read(alice), ["31[]"]);
    world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}},"j":"{junk}"}}]"#, token("bob")));
    assert_eq!((world.read(bob), world.rooms(bob)), (vec!["31[]".into()], vec![]));
    let late = world.connect(&format!(r#"{{"token":"{}","j":"{junk}"}}"#, token("bob")));
    assert_eq!(world.rooms(late), Vec::<String>::new());
}

// Section 3.2.
#[test]
fn events_that_ask_a_store_are_rationed() {
    let mut world = World::new();
    let alice = world.join("alice");
    world.pass(Duration::from_secs(5));
    world.questions();
    for _ in 0..300 {
        world.send(alice, r#"21["join-note",{"note_id":"plan"}]"#);
    }
    assert_eq!((world.questions().len(), world.read(alice).len()), (100, 300), "each is acknowledged");
    world.pass(Duration::from_secs(1));
    world.questions();
    for _ in 0..300 {
        world.send(alice, r#"2["events:chat",{"chat_id":"talk","data":{"type":"join"}}]"#);
    }
    assert_eq!(world.questions().len(), 20);
    // What is cheap goes on.
    world.send(alice, r#"27["heartbeat",{}]"#);
    assert_eq!(world.read(alice).last().map(String::as_str), Some("37[]"));
}

// Section 3.1.
#[test]
fn refused_tokens_are_counted_by_reason() {
    let mut world = World::new();
    world.store.revoke("of-carol");
    let wrong = roomcast_auth::sign_hs256(b"another secret", r#"{"id":"bob"}"#);
    let ended = token_of(&format!(r#"{{"id":"bob","exp":{}}}"#, START_SECS - 1));
    let later = token_of(&format!(r#"{{"id":"bob","nbf":{}}}"#, START_SECS + 9));
    let nameless = token_of(r#"{"id":""}"#);
    for token in [wrong, ended, later, "nonsense".into(), nameless, token("ghost"), token("pete"), token("carol")] {
        let client = world.connect("{}");
        world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        assert_eq!((world.read(client), world.rooms(client)), (vec!["31[]".into()], vec![]));
    }
    world.store.manner = Manner::Failing;
    world.join("bob");
    let counted = world.stack.app.token_refusals();
    assert_eq!(counted.by_reason().map(|(_, count)| count), [1, 1, 1, 2, 1, 1, 1, 0, 0, 1], "{counted:?}");
    let Response::Counts(pool) = world.ask(Request::Counts) else { panic!("pool") };
    assert_eq!(pool.token_refusals, counted);
}

// Section 3.1.
#[test]
fn a_wrong_secret_is_told_once_a_minute_with_how_many_tokens_it_refused() {
    let mut world = World::new();
    let wrong = roomcast_auth::sign_hs256(b"another secret", r#"{"id":"bob"}"#);
    let client = world.connect("{}");
    let present = |world: &mut World, token: &str| {
        world.send(client, &format!(r#"2["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        let notices = std::mem::take(&mut world.notices);
        notices.into_iter().filter(|notice| matches!(notice, Notice::WrongSecret { .. })).collect::<Vec<_>>()
    };
    let told = |refused| vec![Notice::WrongSecret { refused }];
    assert_eq!(present(&mut world, "nonsense"), []);
    assert_eq!(present(&mut world, &wrong), told(1));
    for _ in 0..3 {
        assert_eq!(present(&mut world, &wrong), []);
    }
    world.pass_ms(59_999);
    assert_eq!(present(&mut world, &wrong), []);
    world.pass_ms(1);
    assert_eq!(present(&mut world, &wrong), told(5));
    assert_eq!(present(&mut world, &wrong), []);
}

// Section 3.1.
#[test]
fn a_login_counts_as_expired_when_its_token_ends() {
    let mut world = World::new();
    let bob = world.join_with(&token_of(&format!(r#"{{"id":"bob","exp":{}}}"#, START_SECS + 10)));
    world.pass_ms(9999);
    assert_eq!((world.rooms(bob).len(), world.stack.app.token_refusals().expired), (2, 0));
    world.pass_ms(1);
    assert_eq!((world.rooms(bob).len(), world.stack.app.token_refusals().expired), (0, 1));
}

// Section 2.5, item 24: the tokens of 0.6.41 carry no `iat`.
#[test]
fn a_store_is_told_when_a_token_ends() {
    let mut world = World::new();
    world.join_with(&token_of(&format!(r#"{{"id":"bob","jti":"j","exp":{}}}"#, START_SECS + 10)));
    let (user, jti, ends_at_secs) = ("bob".into(), Some("j".into()), Some(START_SECS + 10));
    let asked = Question::Authenticate { user, jti, issued_at_secs: None, ends_at_secs };
    assert_eq!(world.questions().first(), Some(&asked));
}

// Section 3.2.
#[test]
fn a_login_that_ends_while_its_channels_are_read_does_not_hold_its_socket_up() {
    let mut world = World::new();
    let bob = world.connect("{}");
    world.store.manner = Manner::Later;
    let token = token_of(&format!(r#"{{"id":"bob","exp":{}}}"#, START_SECS + 2));
    world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
    let query = world.waiting.pop_front().unwrap();
    world.answer(query);
    world.send(bob, r#"22["usage",{"model":"small"}]"#);
    assert_eq!(world.read(bob), Vec::<String>::new());
    world.pass(Duration::from_secs(2));
    assert_eq!(world.read(bob), ["31[]", "32[]"]);
    world.answer_waiting();
    assert_eq!((world.read(bob), world.rooms(bob)), (vec![], vec![]));
    world.leave(bob);
    world.pass(Duration::from_secs(30));
    assert_eq!(world.stack.app.audit(), Default::default());
}

/// Users who are all in one channel.
fn crowd(count: usize) -> World {
    let world = World::new();
    for user in 0..count {
        let id = format!("user-{user:02}");
        world.store.put_user(&id, "User", "user");
        world.store.enter_channel(&id, "general");
    }
    world
}
