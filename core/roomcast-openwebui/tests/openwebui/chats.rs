//! What 0.12.4 added: `events:chat`, whose sessions may be called, and sessions that are heard of no more.

use std::time::Duration;

use roomcast_openwebui::query::Question;
use roomcast_openwebui::{LogoutReason, Notice, Request, Response, To};

use super::events::{active, call};
use super::world::{START_SECS, World};

// Section 2.3, `events:chat`.
#[test]
fn a_chat_is_joined_by_its_owner_and_by_admins() {
    let mut world = World::new();
    let (bob, tab, carol) = (world.join("bob"), world.join("bob"), world.join("carol"));
    world.send(bob, &chat("1", "talk", r#"{"type":"join"}"#));
    assert_eq!(world.read(bob), [presence(&[("bob", "Bob User")]), "31[true]".into()]);
    assert_eq!(world.rooms(bob), ["channel:general", "chat:talk", "user:bob"]);
    // Another tab of the same user is no other user.
    world.send(tab, &chat("1", "talk", r#"{"type":"join"}"#));
    assert_eq!(world.read(bob), [presence(&[("bob", "Bob User")])]);
    // No access, no such chat, none that is saved, none at all.
    for id in ["talk", "no-such", "local:1", ""] {
        world.send(carol, &chat("1", id, r#"{"type":"join"}"#));
        assert_eq!((world.read(carol), world.rooms(carol)), (vec!["31[false]".into()], vec!["user:carol".into()]));
    }
    world.send(carol, r#"21["events:chat",{"chat_id":7,"data":{"type":"join"}}]"#);
    world.send(carol, r#"21["events:chat",{"data":{"type":"join"}}]"#);
    let anonymous = world.connect("{}");
    world.send(anonymous, &chat("1", "talk", r#"{"type":"join"}"#));
    assert_eq!(
        (world.read(carol), world.read(anonymous)),
        (vec!["31[]".into(), "31[false]".into()], vec!["31[false]".to_owned()])
    );

    world.send(tab, &chat("2", "talk", r#"{"type":"leave"}"#));
    assert!(world.read(tab).contains(&"32[true]".to_owned()));
    assert_eq!((world.read(bob), world.rooms(tab).len()), (vec![presence(&[("bob", "Bob User")])], 2));
    for id in ["local:1", ""] {
        world.send(tab, &chat("2", id, r#"{"type":"leave"}"#));
        assert_eq!(world.read(tab), ["32[false]"], "{id}");
    }
}

// Section 2.3, `events:chat`.
#[test]
fn presence_names_each_active_user_once() {
    let mut world = World::new();
    let (bob, alice) = (world.join("bob"), world.join("alice"));
    world.send(bob, &chat("", "talk", r#"{"type":"join"}"#));
    world.read(bob);
    // An admin may look at it.
    world.send(alice, &chat("1", "talk", r#"{"type":"join"}"#));
    let both = presence(&[("alice", "Alice Admin"), ("bob", "Bob User")]);
    assert_eq!(world.read(bob), std::slice::from_ref(&both));
    assert_eq!(world.read(alice), [both.clone(), "31[true]".into()]);
    world.leave(alice);
    assert_eq!(world.read(bob), [presence(&[("bob", "Bob User")])]);
    // A user without a sign of life expires from the presence list, and reappears with the next one.
    let alice = world.join("alice");
    world.send(alice, &chat("", "talk", r#"{"type":"join"}"#));
    world.read(bob);
    for _ in 0..4 {
        world.pass(Duration::from_secs(30));
        world.send(bob, r#"2["heartbeat",{}]"#);
    }
    assert_eq!(world.read(bob), [presence(&[("bob", "Bob User")])]);
    world.send(alice, r#"2["heartbeat",{}]"#);
    assert_eq!(world.read(bob), [both]);
}

// Section 2.3, `events:chat`.
#[test]
fn typing_in_a_chat_is_told_to_the_others() {
    let mut world = World::new();
    let (bob, tab, alice) = (world.join("bob"), world.join("bob"), world.join("alice"));
    let typing = |typing: &str| chat("1", "talk", &format!(r#"{{"type":"typing","data":{{"typing":{typing}}}}}"#));
    world.send(bob, &typing("true"));
    assert_eq!(world.read(bob), ["31[false]"], "not in the room");
    for client in [bob, tab, alice] {
        world.send(client, &chat("", "talk", r#"{"type":"join"}"#));
    }
    for client in [bob, tab, alice] {
        world.read(client);
    }
    world.send(bob, &typing("true"));
    assert_eq!(world.read(bob), ["31[true]"], "not to the sender");
    let told = r#"2["events",{"chat_id":"talk","user_id":"bob","user":{"id":"bob","name":"Bob User"},"shared":true,"data":{"type":"typing","data":{"typing":true}}}]"#;
    assert_eq!((world.read(tab), world.read(alice)), (vec![told.into()], vec![told.to_owned()]));
    // Who may only look may not type; and typing is true or false.
    world.send(alice, &typing("true"));
    world.send(bob, &typing("7"));
    assert_eq!((world.read(alice), world.read(bob)), (vec!["31[false]".into()], vec!["31[false]".to_owned()]));
    // The last state comes, half a second later.
    world.send(bob, &typing("false"));
    assert_eq!((world.read(bob), world.read(tab)), (vec!["31[true]".into()], vec![]));
    world.pass_ms(500);
    assert!(world.read(tab)[0].contains(r#"{"typing":false}"#));
}

// Section 2.3, `events:chat`.
#[test]
fn what_was_read_of_a_chat_is_written_and_told() {
    let mut world = World::new();
    let (bob, tab, alice) = (world.join("bob"), world.join("bob"), world.join("alice"));
    world.send(bob, &chat("1", "talk", r#"{"type":"last_read_at"}"#));
    let told = format!(
        r#"2["events",{{"chat_id":"talk","data":{{"type":"chat:list","data":{{"chat_id":"talk","last_read_at":{START_SECS}}}}}}}]"#
    );
    assert_eq!(world.read(tab), [told]);
    assert_eq!(world.store.read_at().get(&("talk".into(), "bob".into())), Some(&START_SECS));
    // A chat is read by its owner.
    world.send(alice, &chat("1", "talk", r#"{"type":"last_read_at"}"#));
    world.send(alice, &chat("1", "local:1", r#"{"type":"last_read_at"}"#));
    world.send(alice, &chat("1", "talk", r#"{"type":"no-such"}"#));
    assert_eq!((world.read(alice), world.store.read_at().len()), (vec!["31[]".to_owned(); 3], 1));
    // Once a second.
    world.questions();
    for _ in 0..5 {
        world.pass_ms(100);
        world.send(bob, &chat("", "talk", r#"{"type":"last_read_at"}"#));
    }
    world.pass_ms(2000);
    let writes = world.questions().iter().filter(|question| matches!(question, Question::ReadChat { .. })).count();
    assert_eq!((writes, world.read(tab).len()), (1, 1));
}

// Section 2.3, `events:chat`.
#[test]
fn a_socket_is_in_a_bounded_number_of_chats() {
    let mut world = World::with(|settings| settings.limits.chats_per_socket_max = 2);
    for id in ["a", "b", "c"] {
        world.store.put_chat(id, "bob");
    }
    let bob = world.join("bob");
    for id in ["a", "b", "c"] {
        world.send(bob, &chat("1", id, r#"{"type":"join"}"#));
    }
    let acks: Vec<_> = world.read(bob).into_iter().filter(|text| text.starts_with('3')).collect();
    assert_eq!(acks, ["31[true]", "31[true]", "31[false]"]);
    // Ids that no database has room for are none.
    world.send(bob, &chat("1", &"x".repeat(257), r#"{"type":"leave"}"#));
    assert_eq!(world.read(bob), ["31[false]"]);
}

// Section 2.3.
#[test]
fn a_call_reaches_the_named_users_login_only() {
    let mut world = World::new();
    let (bob, carol, stranger) = (world.join("bob"), world.join("carol"), world.connect("{}"));
    let data = r#"{"chat_id":"talk","message_id":"m","data":{"type":"execute","data":{"code":"1"}}}"#;
    let sid = |world: &World, client: usize| world.clients[client].sid.clone();
    let (to_carol, to_stranger) = (sid(&world, carol), sid(&world, stranger));
    assert!(matches!(world.ask(call(&to_carol, data)), Response::NotOwner));
    assert!(matches!(world.ask(call(&to_stranger, data)), Response::Gone));
    assert_eq!((world.read(carol), world.read(stranger)), (vec![], vec![]));
    // A pending call does not pass to the next user of the same socket.
    let to_bob = sid(&world, bob);
    let ticket = world.request(call(&to_bob, data));
    world.send(bob, &format!(r#"2["user-join",{{"auth":{{"token":"{}"}}}}]"#, super::world::token("carol")));
    assert!(matches!(world.answer_to(ticket), Some(Response::Gone)));
    let told = world.read(bob);
    let id = told[0].strip_prefix('2').and_then(|text| text.split_once('[')).unwrap().0.to_owned();
    world.send(bob, &format!("3{id}[1]"));
    assert!(world.answers.is_empty());
}

// Section 2.3, idle logins.
#[test]
fn a_login_is_idle_after_two_minutes() {
    let mut world = World::new();
    let (bob, _alice) = (world.join("bob"), world.join("alice"));
    assert_eq!(active(&mut world), ["alice", "bob"]);
    world.notices.clear();
    for _ in 0..8 {
        world.pass(Duration::from_secs(30));
        world.send(bob, r#"2["heartbeat",{}]"#);
    }
    // Alice's socket answers pings, but nothing else has come from it for two minutes.
    assert_eq!(active(&mut world), ["bob"]);
    assert_eq!(world.notices, [Notice::UserIdle { user: "alice".into() }]);
    // A socket that is cut is gone with all that it had, at the latest when its ping is not answered.
    world.clients[bob].is_closed = true;
    world.pass(Duration::from_secs(46));
    assert_eq!(active(&mut world), Vec::<String>::new());
    let ended = |notice: &Notice| matches!(notice, Notice::LoggedOut { user, why: LogoutReason::Disconnected, .. } if &**user == "bob");
    assert!(world.notices.iter().any(ended));
    assert!(matches!(
        world
            .ask(Request::Disconnect { to: To::User("bob".into()), extent: roomcast_core::server::Extent::Connection }),
        Response::Done { sockets: 0 }
    ));
}

fn chat(ack: &str, id: &str, data: &str) -> String {
    format!(r#"2{ack}["events:chat",{{"chat_id":"{id}","data":{data}}}]"#)
}

fn presence(users: &[(&str, &str)]) -> String {
    let users: Vec<_> = users.iter().map(|(id, name)| format!(r#"{{"id":"{id}","name":"{name}"}}"#)).collect();
    format!(
        r#"2["events",{{"chat_id":"talk","shared":true,"data":{{"type":"chat:presence","data":{{"users":[{}]}}}}}}]"#,
        users.join(",")
    )
}
