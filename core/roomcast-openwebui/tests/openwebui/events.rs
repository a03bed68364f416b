//! Each row of the tables of 0.6.41: what clients send, and what they are sent.

use std::time::Duration;

use bytestring::ByteString;
use roomcast_core::socket_io::Args;
use roomcast_openwebui::query::{MessageChange, Question};
use roomcast_openwebui::{Notice, Request, Response, StoreChange, To};

use super::world::{START_MILLIS, START_SECS, World, token};

// Section 2.1, CONNECT.
#[test]
fn a_connect_with_a_good_token_is_a_login_and_any_other_is_let_in() {
    let mut world = World::new();
    let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
    assert_eq!(world.rooms(client), ["user:bob"], "no channels before user-join");
    let socket = world.socket(client).unwrap();
    let session = world.stack.app.login(socket).unwrap();
    assert_eq!((&*session.user.id, &*session.user.name, &*session.user.role), ("bob", "Bob User", "user"));
    let bob = world.store.user("bob").unwrap();
    assert!(bob.profile.contains(r#""email":"bob@localhost""#), "{}", bob.profile);
    assert_eq!((&*session.sid, &session.user), (&*world.clients[client].sid, &bob));

    // A connection without a token, or with a bad one, is accepted without a session.
    for auth in ["{}", r#"{"token":"x"}"#, r#"{"token":7}"#, r#"{"token":null}"#] {
        let client = world.connect(auth);
        assert!(world.socket(client).is_some_and(|socket| world.stack.app.login(socket).is_none()), "{auth}");
        assert_eq!((world.rooms(client), world.read(client)), (vec![], vec![]), "{auth}");
    }
}

// Section 2.1, `user-join`.
#[test]
fn user_join_gives_a_login_and_the_channels() {
    let mut world = World::new();
    let client = world.connect("{}");
    world.send(client, &format!(r#"27["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    assert_eq!(world.read(client), [r#"37[{"id":"bob","name":"Bob User"}]"#]);
    assert_eq!(world.rooms(client), ["channel:general", "user:bob"]);

    // Another user on the same socket: nothing of the first is left.
    world.send(client, &format!(r#"28["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("carol")));
    assert_eq!(world.read(client), [r#"38[{"id":"carol","name":"Carol User"}]"#]);
    assert_eq!(world.rooms(client), ["user:carol"]);
    assert_eq!(active(&mut world), ["carol"]);

    // A malformed token, or one of an unknown user, is acked without a value and leaves the session as it is.
    for payload in [
        r#"{"auth":{"token":"x"}}"#,
        r#"{"auth":{"token":7}}"#,
        r#"{"auth":{}}"#,
        r#"{"auth":null}"#,
        "{}",
        "null",
        "7",
        &format!(r#"{{"auth":{{"token":"{}"}}}}"#, token("nobody")),
    ] {
        world.send(client, &format!(r#"29["user-join",{payload}]"#));
        assert_eq!(world.read(client), ["39[]"], "{payload}");
        assert_eq!(world.rooms(client), ["user:carol"], "{payload}");
    }
    world.send(client, r#"29["user-join"]"#);
    assert_eq!(world.read(client), ["39[]"]);
}

// Section 2.1, `heartbeat`.
#[test]
fn a_heartbeat_is_written_once_in_its_span() {
    let mut world = World::new();
    let (bob, again) = (world.join("bob"), world.join("bob"));
    world.questions();
    world.send(bob, r#"21["heartbeat",{}]"#);
    assert_eq!(world.read(bob), ["31[]"]);
    assert_eq!(world.store.active_at().get("bob"), Some(&START_SECS));
    // The second connection's, and those that come too fast, are one write.
    world.pass_ms(2000);
    for client in [again, bob, again] {
        world.send(client, r#"2["heartbeat",{}]"#);
    }
    let touches = |world: &mut World| {
        world.questions().iter().filter(|question| matches!(question, Question::TouchUsers { .. })).count()
    };
    assert_eq!(touches(&mut world), 1);
    world.pass_ms(9000);
    assert_eq!((touches(&mut world), world.store.active_at().get("bob")), (1, Some(&(START_SECS + 2))));
    // What waits is written when the last of the user's sockets goes.
    world.pass_ms(1000);
    world.send(bob, r#"2["heartbeat",{}]"#);
    world.leave(bob);
    assert_eq!(touches(&mut world), 0);
    world.leave(again);
    assert_eq!((touches(&mut world), world.store.active_at().get("bob")), (1, Some(&(START_SECS + 12))));
    // Without a session nothing is written.
    let anonymous = world.connect("{}");
    world.send(anonymous, r#"21["heartbeat",{}]"#);
    assert_eq!((world.read(anonymous), touches(&mut world)), (vec!["31[]".to_owned()], 0));
}

// Section 2.1, `usage`.
#[test]
fn a_model_is_in_use_for_three_seconds() {
    let mut world = World::new();
    let (bob, carol) = (world.join("bob"), world.join("carol"));
    world.send(bob, r#"21["usage",{"action":"chat","model":"small","chat_id":"talk"}]"#);
    assert_eq!(world.read(bob), ["31[]"]);
    world.send(carol, r#"2["usage",{"action":"chat","model":"large","chat_id":"x"}]"#);
    assert_eq!(models(&mut world), ["large", "small"]);
    // Said again once a second, it stays; 3 s after the last it is over.
    for _ in 0..4 {
        world.pass_ms(1000);
        world.send(bob, r#"2["usage",{"action":"chat","model":"small","chat_id":"talk"}]"#);
    }
    assert_eq!(models(&mut world), ["small"]);
    world.pass_ms(2999);
    assert_eq!(models(&mut world), ["small"]);
    world.pass_ms(1);
    assert_eq!(models(&mut world), Vec::<String>::new());
    // Usage from a client without a session does not count.
    let anonymous = world.connect("{}");
    for payload in [r#"{"model":"small"}"#, r#"{"model":7}"#, "{}", "null"] {
        world.send(anonymous, &format!(r#"21["usage",{payload}]"#));
        assert_eq!(world.read(anonymous), ["31[]"]);
    }
    assert_eq!(models(&mut world), Vec::<String>::new());
}

// Section 2.1, `join-channels`.
#[test]
fn join_channels_joins_by_login_or_by_token() {
    let mut world = World::new();
    let bob = world.join("bob");
    world.store.enter_channel("bob", "new");
    world.send(bob, &format!(r#"21["join-channels",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    assert_eq!(world.read(bob), ["31[]"]);
    assert_eq!(world.rooms(bob), ["channel:general", "channel:new", "user:bob"]);
    // The token of another user does not grant that user's rooms.
    let carol = world.join("carol");
    world.send(carol, &format!(r#"21["join-channels",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    assert_eq!((world.read(carol), world.rooms(carol)), (vec!["31[]".to_owned()], vec!["user:carol".to_owned()]));
    // Without a session a good token makes one: rooms belong to sessions.
    let client = world.connect("{}");
    world.send(client, &format!(r#"21["join-channels",{{"auth":{{"token":"{}"}}}}]"#, token("alice")));
    assert_eq!(world.rooms(client), ["channel:general", "user:alice"]);
    let client = world.connect("{}");
    world.send(client, r#"21["join-channels",{}]"#);
    assert_eq!((world.rooms(client), world.read(client)), (vec![], vec!["31[]".to_owned()]));
}

// Section 2.1, `join-note`.
#[test]
fn join_note_needs_read_access() {
    let mut world = World::new();
    let join = |world: &mut World, user: &str, note: &str| {
        let client = world.join(user);
        world.send(client, &format!(r#"21["join-note",{{"note_id":"{note}","auth":{{"token":"{}"}}}}]"#, token(user)));
        (world.read(client), world.rooms(client).contains(&format!("note:{note}")))
    };
    let acked = vec!["31[]".to_owned()];
    assert_eq!(join(&mut world, "alice", "plan"), (acked.clone(), true), "the owner, an admin");
    assert_eq!(join(&mut world, "bob", "plan"), (acked.clone(), false), "silence");
    assert_eq!(join(&mut world, "alice", "no-such"), (acked.clone(), false));
    world.store.put_note("shared", "alice", Some(r#"{"read":{"user_ids":["bob"]}}"#));
    world.store.put_note("own", "carol", super::store::PRIVATE);
    world.store.put_note("public", "alice", Some("null"));
    assert!(join(&mut world, "bob", "shared").1 && !join(&mut world, "carol", "shared").1);
    assert!(join(&mut world, "carol", "own").1 && !join(&mut world, "bob", "own").1);
    assert!(join(&mut world, "bob", "public").1 && join(&mut world, "alice", "own").1, "an admin reads all");
    // With the token of a user other than the session's.
    let bob = world.join("bob");
    world.send(bob, &format!(r#"2["join-note",{{"note_id":"public","auth":{{"token":"{}"}}}}]"#, token("alice")));
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);
    // Malformed, or without a session.
    let client = world.connect("{}");
    for payload in [r#"{"note_id":"public"}"#, r#"{"note_id":7}"#, "{}", r#"{"note_id":"public","auth":{"token":"x"}}"#]
    {
        world.send(client, &format!(r#"21["join-note",{payload}]"#));
        assert_eq!((world.read(client), world.rooms(client)), (acked.clone(), vec![]), "{payload}");
    }
}

// Section 2.1, `events:channel`.
#[test]
fn typing_is_told_to_the_channel_and_its_sender() {
    let mut world = World::new();
    let (alice, bob, carol) = (world.join("alice"), world.join("bob"), world.join("carol"));
    let event = r#"["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#;
    world.send(bob, &format!("21{event}"));
    let told = r#"2["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}},"user":{"id":"bob","name":"Bob User","role":"user"}}]"#;
    assert_eq!(world.read(alice), [told]);
    assert_eq!(world.read(bob), [told, "31[]"], "its sender too");
    // A socket outside the room cannot send to it, and receives nothing from it.
    world.send(carol, &format!("21{event}"));
    assert_eq!(world.read(carol), ["31[]"]);
    assert_eq!((world.read(alice), world.read(bob)), (vec![], vec![]));
    // In a thread the message is named.
    world.pass_ms(1000);
    world.send(bob, r#"2["events:channel",{"channel_id":"general","message_id":"m1","data":{"type":"typing","data":{"typing":false}}}]"#);
    assert!(world.read(alice)[0].contains(r#""message_id":"m1","data":{"type":"typing","data":{"typing":false}}"#));
    // Other types are not for clients to send.
    world.pass_ms(1000);
    for data in [
        r#"{"type":"message","data":{"content":"x"}}"#,
        r#"{"type":"typing","data":{"typing":"x"}}"#,
        r#"{"type":"typing"}"#,
        "{}",
        "null",
    ] {
        world.send(bob, &format!(r#"2["events:channel",{{"channel_id":"general","message_id":null,"data":{data}}}]"#));
    }
    assert_eq!((world.read(alice), world.given_back.len()), (vec![], 0));
}

// Section 2.1, `events:channel`.
#[test]
fn what_was_read_of_a_channel_is_written() {
    let mut world = World::new();
    let (bob, carol) = (world.join("bob"), world.join("carol"));
    let event = r#"21["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"last_read_at"}}]"#;
    world.send(bob, event);
    world.send(carol, event);
    assert_eq!((world.read(bob), world.read(carol)), (vec!["31[]".to_owned()], vec!["31[]".to_owned()]));
    let key = ("general".to_owned(), "bob".to_owned());
    assert_eq!(world.store.read_at().into_iter().collect::<Vec<_>>(), [(key, START_MILLIS * 1_000_000)]);
}

// Section 2.1, direct connections.
#[test]
fn events_of_direct_connections_are_given_back() {
    let mut world = World::new();
    let bob = world.join("bob");
    let socket = world.socket(bob).unwrap();
    let name = format!("bob:{}:request", world.clients[bob].sid);
    world.send(bob, &format!(r#"2["{name}","data: x"]"#));
    world.send(bob, &format!(r#"2["{name}",{{"done":true}}]"#));
    let expected = [(socket, format!(r#"{name} "data: x""#)), (socket, format!(r#"{name} {{"done":true}}"#))];
    assert_eq!(world.given_back, expected);
}

// Section 2.1, disconnect.
#[test]
fn a_disconnect_ends_what_the_login_gave() {
    let mut world = World::new();
    let bob = world.join("bob");
    let sid = world.clients[bob].sid.clone();
    world.send(bob, r#"2["usage",{"model":"small"}]"#);
    world.send(bob, r#"2["heartbeat",{}]"#);
    world.leave(bob);
    assert_eq!((models(&mut world), active(&mut world)), (vec![], vec![]));
    let data = r#"{"chat_id":"talk","message_id":"m","data":{"type":"input","data":{}}}"#;
    assert!(matches!(world.ask(call(&sid, data)), Response::Gone));
    assert!(matches!(world.notices.last(), Some(Notice::LoggedOut { user, .. }) if &**user == "bob"));
    world.pass(Duration::from_secs(20));
    assert_eq!(world.stack.app.audit(), Default::default());
}

// Section 2.2, `events`.
#[test]
fn emitted_events_reach_their_user_and_change_messages() {
    let mut world = World::new();
    let (bob, tab, carol) = (world.join("bob"), world.join("bob"), world.join("carol"));
    let data =
        r#"{"chat_id":"talk","message_id":"m","data":{"type":"status","data":{"description":"d","done":false}}}"#;
    let answer = world.ask(emit(To::User("bob".into()), "events", data));
    assert!(matches!(answer, Response::Emitted));
    let told = [format!(r#"2["events",{data}]"#)];
    assert_eq!((world.read(bob), world.read(tab), world.read(carol)), (told.to_vec(), told.to_vec(), vec![]));
    let key = ("talk".to_owned(), "m".to_owned());
    let written = MessageChange::AppendStatus(r#"{"description":"d","done":false}"#.into());
    assert_eq!(world.store.changes.get(&key), Some(&vec![written]));
    // Other types are told and change nothing.
    let data = r#"{"chat_id":"talk","message_id":"m","data":{"type":"chat:completion","data":{"content":"x"}}}"#;
    world.ask(emit(To::User("bob".into()), "events", data));
    world.pass_ms(1000);
    assert_eq!((world.read(bob).len(), world.store.changes[&key].len()), (1, 1));
    // Nor does one of a chat that is not saved, nor one that does not go to a user.
    let local = r#"{"chat_id":"local:1","message_id":"m","data":{"type":"replace","data":{"content":"x"}}}"#;
    world.ask(emit(To::User("bob".into()), "events", local));
    let sid = world.clients[bob].sid.clone();
    let other = r#"{"chat_id":"talk","message_id":"m","data":{"type":"replace","data":{"content":"x"}}}"#;
    world.ask(emit(To::Socket(sid.into()), "events", other));
    assert_eq!((world.read(bob).len(), world.store.writes), (2, 1));
    // What is no event is not sent, nor one that would end the connections of JavaScript clients.
    assert!(matches!(world.ask(emit(To::User("bob".into()), "", "{}")), Response::Malformed));
    for event in ["connect", "disconnect", "disconnecting", "connect_error", "newListener", "removeListener"] {
        assert!(matches!(world.ask(emit(To::User("bob".into()), event, "{}")), Response::Reserved), "{event}");
        let Request::Call { sid, user, args, timeout, .. } = call(&world.clients[bob].sid, "{}") else { panic!() };
        let reserved = Request::Call { sid, user, event: event.into(), args, timeout };
        assert!(matches!(world.ask(reserved), Response::Reserved), "{event}");
    }
    assert_eq!(world.read(bob), Vec::<String>::new());
    assert!(matches!(world.ask(emit(To::Socket("no-such".into()), "events", "{}")), Response::Gone));
}

// Section 2.2: the requester has stored the message already, unless it says otherwise.
#[test]
fn an_emit_changes_the_store_only_if_it_says_so() {
    let mut world = World::new();
    let bob = world.join("bob");
    let data = r#"{"chat_id":"talk","message_id":"m","data":{"type":"message","data":{"content":"x"}}}"#;
    let Request::Emit { to, skip, event, args, .. } = emit(To::User("bob".into()), "events", data) else { panic!() };
    world.ask(Request::Emit { to, skip, event, args, change: StoreChange::Nothing });
    world.pass_ms(1000);
    assert_eq!((world.read(bob).len(), world.store.changes.len()), (1, 0));
}

// Section 2.4: targets of the program's own requests.
#[test]
fn a_request_means_all_or_several_rooms_less_some_sockets() {
    let mut world = World::new();
    let (bob, tab, carol, anonymous) = (world.join("bob"), world.join("bob"), world.join("carol"), world.connect("{}"));
    let sid = |world: &World, client: usize| ByteString::from(world.clients[client].sid.as_str());
    let reached = |world: &mut World, to: To, skip: &[ByteString]| {
        let Request::Emit { event, args, change, .. } = emit(to.clone(), "e", "1") else { panic!() };
        world.ask(Request::Emit { to, skip: skip.to_vec(), event, args, change });
        [bob, tab, carol, anonymous].map(|client| world.read(client).len())
    };
    let rooms = To::Rooms(vec!["user:bob".into(), "user:carol".into(), "channel:general".into()]);
    assert_eq!(reached(&mut world, To::All, &[]), [1, 1, 1, 1]);
    assert_eq!(reached(&mut world, rooms.clone(), &[]), [1, 1, 1, 0], "each once");
    let skip = [sid(&world, tab)];
    assert_eq!(reached(&mut world, rooms.clone(), &skip), [1, 0, 1, 0]);
    assert_eq!(reached(&mut world, To::User("bob".into()), &skip), [1, 0, 0, 0]);
    assert_eq!(reached(&mut world, To::Socket(skip[0].clone()), &skip), [0, 0, 0, 0]);
    assert_eq!(reached(&mut world, To::All, &["user:bob".into()]), [0, 0, 1, 1]);
    let by_sid = To::Rooms(vec![sid(&world, anonymous)]);
    assert_eq!(reached(&mut world, by_sid, &[]), [0, 0, 0, 1]);
    assert_eq!(reached(&mut world, To::Rooms(Vec::new()), &[]), [0, 0, 0, 0], "no room is not all");

    // Into a room and out of it, and who is there.
    let members = |world: &mut World, to: To| {
        let Response::Members(members) = world.ask(Request::Members { to }) else { panic!("members") };
        members.iter().map(|member| member.user.as_ref().map(|user| user.id.to_string())).collect::<Vec<_>>()
    };
    let room = ByteString::from("plugin:1");
    assert!(matches!(
        world.ask(Request::Enter { to: To::User("bob".into()), room: room.clone() }),
        Response::Done { sockets: 2 }
    ));
    let to = To::Socket(sid(&world, anonymous));
    assert!(matches!(world.ask(Request::Enter { to, room: room.clone() }), Response::Done { sockets: 1 }));
    assert_eq!(members(&mut world, To::Room(room.clone())), [Some("bob".into()), Some("bob".into()), None]);
    assert_eq!(members(&mut world, To::All).len(), 4);
    let to = To::Socket(sid(&world, bob));
    assert!(matches!(world.ask(Request::Leave { to, room: room.clone() }), Response::Done { sockets: 1 }));
    assert_eq!(members(&mut world, To::Room(room.clone())).len(), 2);
    assert!(matches!(
        world.ask(Request::Leave { to: To::Room(room.clone()), room: room.clone() }),
        Response::Done { sockets: 2 }
    ));
    assert_eq!(members(&mut world, To::Room(room)), Vec::<Option<String>>::new());
    assert!(matches!(world.ask(Request::Enter { to: To::All, room: "".into() }), Response::Malformed));
    assert!(matches!(
        world.ask(Request::Enter { to: To::Socket("no-such".into()), room: "r".into() }),
        Response::Done { sockets: 0 }
    ));
}

#[test]
fn the_active_users_are_those_of_all_nodes_that_answer() {
    let mut nodes = [1, 2].map(|number| World::node(number, |_| {}));
    let exchange = |nodes: &mut [World; 2]| {
        while nodes.iter().any(|node| !node.published.is_empty()) {
            for (from, to) in [(0, 1), (1, 0)] {
                let published = std::mem::take(&mut nodes[from].published);
                nodes[to].hear_all(&published);
            }
        }
    };
    nodes.iter_mut().for_each(|node| node.pass_ms(1));
    exchange(&mut nodes);
    let clients = [nodes[0].join("alice"), nodes[1].join("bob")];
    nodes[1].join("alice");
    let users = |nodes: &mut [World; 2]| {
        let ticket = nodes[0].request(Request::ActiveUsers);
        exchange(nodes);
        nodes[0].answer_to(ticket)
    };
    let Some(Response::Users(found)) = users(&mut nodes) else { panic!("no answer") };
    assert_eq!(found, ["alice", "bob"]);
    nodes[1].leave(clients[1]);
    let Some(Response::Users(found)) = users(&mut nodes) else { panic!("no answer") };
    assert_eq!(found, ["alice"]);
    // One that is gone, and not known to be, is waited for in bounds.
    let ticket = nodes[0].request(Request::ActiveUsers);
    assert!(nodes[0].answer_to(ticket).is_none());
    nodes[0].pass_ms(2000);
    assert!(matches!(nodes[0].answer_to(ticket), Some(Response::Users(found)) if found == ["alice"]));
    assert_eq!(nodes[0].stack.app.audit().fetches, 0);
}

/// A session that is not here may be on another node; what cannot be a session's id is on none.
#[test]
fn on_a_bus_a_room_as_long_as_a_session_id_is_taken_for_no_session() {
    let mut world = World::on_bus(|_| {});
    let bob = world.join("bob");
    let room = "channel:0123456789ab";
    assert_eq!(room.len(), world.clients[bob].sid.len());
    world.ask(Request::Enter { to: To::Socket(world.clients[bob].sid.as_str().into()), room: room.into() });
    assert!(matches!(world.ask(emit(To::Socket(room.into()), "events", "{}")), Response::Gone));
    assert_eq!(world.read(bob), [""; 0]);
    let elsewhere = "abcdefghij0123456789";
    assert!(matches!(world.ask(emit(To::Socket(elsewhere.into()), "events", "{}")), Response::Emitted));
}

// Section 2.2, `events` with ack.
#[test]
fn a_call_is_answered_by_the_ack_or_says_why_not() {
    let mut world = World::new();
    let (bob, tab) = (world.join("bob"), world.join("bob"));
    let sid = world.clients[bob].sid.clone();
    let data = r#"{"chat_id":"talk","message_id":"m","data":{"type":"execute","data":{"code":"1"}}}"#;
    let ticket = world.request(call(&sid, data));
    assert!(world.answer_to(ticket).is_none() && world.read(tab).is_empty());
    let told = world.read(bob);
    let id = told[0].strip_prefix('2').and_then(|text| text.strip_suffix(&format!(r#"["events",{data}]"#))).unwrap();
    let id: u64 = id.parse().unwrap();
    world.send(tab, &format!("3{id}[1]"));
    assert!(world.answer_to(ticket).is_none(), "it is not the other tab's to answer");
    world.send(bob, &format!("3{id}[42]"));
    assert!(matches!(world.answer_to(ticket), Some(Response::Called(args)) if args.json() == "42"));
    world.send(bob, &format!("3{id}[43]"));
    assert!(world.answers.is_empty(), "once");

    // Too late is too late.
    let ticket = world.request(call(&sid, data));
    world.pass_ms(59_999);
    assert!(world.answer_to(ticket).is_none());
    world.pass_ms(1);
    assert!(matches!(world.answer_to(ticket), Some(Response::TimedOut)));
    // And with the session goes the call, at once.
    let ticket = world.request(call(&sid, data));
    world.leave(bob);
    assert!(matches!(world.answer_to(ticket), Some(Response::Gone)));
    assert!(matches!(world.ask(call("nonsense", data)), Response::Gone));
}

// Section 2.2, `events:channel`.
#[test]
fn a_channel_that_was_made_is_joined_by_its_users() {
    let mut world = World::new();
    let (alice, bob) = (world.join("alice"), world.join("bob"));
    let data = r#"{"channel_id":"general","message_id":"m","data":{"type":"message","data":{"temp_id":"t"}},"user":{},"channel":{}}"#;
    world.ask(emit(To::Room("channel:general".into()), "events:channel", data));
    let told = [format!(r#"2["events:channel",{data}]"#)];
    assert_eq!((world.read(alice), world.read(bob)), (told.to_vec(), told.to_vec()));
    // A new channel: the sign to put its members' sockets into its room.
    world.store.enter_channel("bob", "dm");
    world.questions();
    let data = r#"{"data":{"type":"channel:created"}}"#;
    world.ask(emit(To::User("bob".into()), "events:channel", data));
    assert_eq!(world.read(bob), [format!(r#"2["events:channel",{data}]"#)]);
    assert_eq!(world.rooms(bob), ["channel:dm", "channel:general", "user:bob"]);
    assert_eq!(world.rooms(alice), ["channel:general", "user:alice"]);
    assert_eq!(world.questions().len(), 1);
    // The same on request, for when another process has sent the event.
    world.store.enter_channel("bob", "group");
    world.ask(Request::ReadChannels { user: "bob".into() });
    assert!(world.rooms(bob).contains(&"channel:group".to_owned()));
}

// Section 2.2, `note-events`.
#[test]
fn note_events_reach_the_notes_room() {
    let mut world = World::new();
    let (alice, bob) = (world.join("alice"), world.join("bob"));
    world.send(alice, r#"2["join-note",{"note_id":"plan"}]"#);
    world.ask(emit(To::Room("note:plan".into()), "note-events", r#"{"id":"plan","title":"t"}"#));
    assert_eq!(world.read(alice), [r#"2["note-events",{"id":"plan","title":"t"}]"#]);
    assert_eq!(world.read(bob), Vec::<String>::new());
}

// Section 2.2, `error`.
#[test]
fn a_store_that_fails_is_told_by_an_error_event() {
    let mut world = World::new();
    world.store.manner = super::store::Manner::Failing;
    let client = world.connect("{}");
    world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    let error = r#"2["error",{"message":"The store is unavailable, please try again later"}]"#;
    assert_eq!(world.read(client), [error, "31[]"]);
}

pub fn emit(to: To, event: &str, data: &str) -> Request {
    Request::Emit { to, skip: Vec::new(), event: event.into(), args: args(data), change: StoreChange::Message }
}

/// A call of `events` for bob, for a minute.
pub fn call(sid: &str, data: &str) -> Request {
    Request::Call {
        sid: sid.into(),
        user: Some("bob".into()),
        event: "events".into(),
        args: args(data),
        timeout: Duration::from_secs(60),
    }
}

fn args(json: &str) -> Args {
    Args::from_json_values(json).expect("JSON")
}

pub fn models(world: &mut World) -> Vec<String> {
    let Response::Models(models) = world.ask(Request::ModelsInUse) else { panic!("models") };
    models.iter().map(ToString::to_string).collect()
}

pub fn active(world: &mut World) -> Vec<String> {
    let Response::Users(users) = world.ask(Request::ActiveUsers) else { panic!("users") };
    users.iter().map(ToString::to_string).collect()
}
