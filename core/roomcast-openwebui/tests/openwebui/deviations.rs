//! Defects of 0.6.41 that are not built again, by their numbers.

use std::time::Duration;

use roomcast_auth::SetupError;
use roomcast_core::server::EndpointId;
use roomcast_openwebui::query::{Permission, Question};
use roomcast_openwebui::{LogoutReason, Notice, Request, Response, Settings, SettingsError};

use super::events::{active, call, models};
use super::store::{Manner, PRIVATE};
use super::world::{START_SECS, World, token, token_of};

// Section 2.5, item 5.
#[test]
fn revoked_tokens_and_pending_users_have_no_login() {
    let mut world = World::new();
    world.store.revoke("of-carol");
    for user in ["pete", "carol", "nobody"] {
        let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token(user)));
        world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token(user)));
        world.send(client, &format!(r#"22["join-channels",{{"auth":{{"token":"{}"}}}}]"#, token(user)));
        assert_eq!((world.read(client), world.rooms(client)), (vec!["31[]".into(), "32[]".into()], vec![]), "{user}");
    }
}

// Section 2.5, item 5.
#[test]
fn revocation_and_a_changed_role_end_the_login() {
    let revoke: fn(&mut World) = |world| {
        world.store.revoke("of-bob");
    };
    let demote: fn(&mut World) = |world| world.store.set_role("bob", "pending");
    let delete: fn(&mut World) = |world| {
        world.store.remove_user("bob");
    };
    for change in [revoke, demote, delete] {
        // At once when told, within a minute otherwise.
        for is_told in [true, false] {
            let mut world = World::new();
            let bob = world.join("bob");
            world.send(bob, r#"2["usage",{"model":"small"}]"#);
            change(&mut world);
            if is_told {
                assert!(matches!(world.ask(Request::Refresh { user: "bob".into() }), Response::Done { sockets: 1 }));
            } else {
                world.pass(Duration::from_secs(60));
            }
            assert_eq!((world.rooms(bob), models(&mut world), active(&mut world)), (vec![], vec![], vec![]));
            let socket = world.socket(bob).expect("the socket stays");
            let ended = Notice::LoggedOut { socket, user: "bob".into(), why: LogoutReason::Revoked };
            assert_eq!(world.notices.last(), Some(&ended));
            // It says nothing any more, and hears nothing.
            world.send(bob, r#"21["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#);
            assert_eq!(world.read(bob), ["31[]"]);
        }
    }
    // A new name or a better role reaches the session.
    let mut world = World::new();
    let bob = world.join("bob");
    world.store.put_user("bob", "Robert", "admin");
    world.ask(Request::Refresh { user: "bob".into() });
    let socket = world.socket(bob).unwrap();
    let Response::Login(Some(session)) = world.ask(Request::Login { socket }) else { panic!("has a session") };
    assert_eq!((&*session.user.name, &*session.user.role), ("Robert", "admin"));
}

// Section 2.5, item 5.
#[test]
fn an_answer_older_than_the_revocation_gives_no_lasting_login() {
    for request in [Request::Refresh { user: "bob".into() }, Request::RefreshToken { jti: "of-bob".into() }] {
        let mut world = World::new();
        let bob = world.connect("{}");
        world.store.manner = Manner::Later;
        world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
        let question = world.waiting.pop_front().unwrap();
        assert!(matches!(world.ask(request), Response::Done { sockets: 1 }));
        // Answered as things were before.
        world.answer(question);
        assert_eq!(world.rooms(bob), ["user:bob"]);
        world.store.revoke("of-bob");
        world.answer_waiting();
        assert!(matches!(world.notices.last(), Some(Notice::LoggedOut { why: LogoutReason::Revoked, .. })));
        assert_eq!(world.rooms(bob), Vec::<String>::new());
    }
}

// Section 2.5, item 5.
#[test]
fn revocation_is_of_one_token() {
    let mut world = World::new();
    let bob = world.join("bob");
    for (request, asked) in
        [(Request::Refresh { user: "bob".into() }, 2), (Request::RefreshToken { jti: "phone".into() }, 1)]
    {
        world.store.restore("phone");
        let phone = world.join_with(&token_of(r#"{"id":"bob","jti":"phone"}"#));
        world.store.revoke("phone");
        assert!(matches!(world.ask(request), Response::Done { sockets } if sockets == asked));
        assert_eq!((world.rooms(bob).len(), world.rooms(phone).len()), (2, 0));
    }
    // What a store needs to see whether all tokens up to a moment are revoked.
    world.questions();
    world.join_with(&token_of(&format!(r#"{{"id":"bob","iat":{}.5}}"#, START_SECS - 10)));
    let question = world.questions().swap_remove(0);
    let asked = Question::Authenticate {
        user: "bob".into(),
        jti: None,
        issued_at_secs: Some(START_SECS - 10),
        ends_at_secs: None,
    };
    assert_eq!(question, asked);
}

// Section 2.5, item 6.
#[test]
fn only_ones_own_login_may_be_called() {
    let mut world = World::new();
    let (_bob, carol) = (world.join("bob"), world.join("carol"));
    let sid = world.clients[carol].sid.clone();
    for kind in ["execute", "execute:python", "confirmation"] {
        let data = format!(r#"{{"chat_id":"talk","message_id":"m","data":{{"type":"{kind}","data":{{}}}}}}"#);
        assert!(matches!(world.ask(call(&sid, &data)), Response::NotOwner));
    }
    assert_eq!(world.read(carol), Vec::<String>::new());
    // The session that is named in the data is the one that is called.
    let bob = world.join("bob");
    let own = world.clients[bob].sid.clone();
    let named = |sid: &str| {
        format!(
            r#"{{"chat_id":"talk","message_id":"m","data":{{"type":"execute:tool","data":{{"session_id":"{sid}"}}}}}}"#
        )
    };
    assert!(matches!(world.ask(call(&own, &named(&sid))), Response::Malformed));
    let ticket = world.request(call(&own, &named(&own)));
    assert!(world.answer_to(ticket).is_none() && world.read(bob).len() == 1);
}

// Section 2.5, item 7.
#[test]
fn channels_need_the_permission_and_are_left_without_it() {
    let mut world = World::new();
    world.store.set_permission("bob", Permission::Denied);
    let bob = world.join("bob");
    assert_eq!(world.rooms(bob), ["user:bob"]);
    world.store.set_permission("bob", Permission::Granted);
    world.ask(Request::Refresh { user: "bob".into() });
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);
    // Taken away again, or the membership: the rooms are left, at the latest a minute later.
    world.store.set_permission("bob", Permission::Denied);
    world.ask(Request::Refresh { user: "bob".into() });
    assert_eq!(world.rooms(bob), ["user:bob"]);
    world.store.set_permission("bob", Permission::Granted);
    world.ask(Request::ReadChannels { user: "bob".into() });
    world.store.leave_channels("bob");
    let typing = r#"2["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#;
    let alice = world.join("alice");
    world.send(bob, typing);
    world.send(bob, typing);
    world.ask(Request::ReadChannels { user: "bob".into() });
    world.pass(Duration::from_secs(1));
    assert_eq!(world.read(alice).len(), 1, "what was held back is not told by one who is not in the room");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.rooms(bob), ["user:bob"]);
}

// Section 2.5, item 7.
#[test]
fn notes_and_chats_are_left_without_access() {
    let mut world = World::new();
    let (bob, alice) = (world.join("bob"), world.join("alice"));
    world.send(alice, r#"2["join-note",{"note_id":"plan"}]"#);
    world.send(bob, r#"2["events:chat",{"chat_id":"talk","data":{"type":"join"}}]"#);
    world.send(alice, r#"2["events:chat",{"chat_id":"talk","data":{"type":"join"}}]"#);
    assert!(
        world.rooms(alice).contains(&"note:plan".to_owned()) && world.rooms(alice).contains(&"chat:talk".to_owned())
    );
    world.store.set_role("alice", "user");
    world.store.put_note("plan", "carol", PRIVATE);
    world.ask(Request::Refresh { user: "alice".into() });
    assert_eq!(world.rooms(alice), ["channel:general", "user:alice"]);
    assert_eq!(world.rooms(bob), ["channel:general", "chat:talk", "user:bob"]);
    world.store.edit(|rows| rows.chats.clear());
    world.pass(Duration::from_secs(60));
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);
}

// Section 2.5, item 9.
#[test]
fn there_is_no_default_secret() {
    let new = |secret: &[u8]| Settings::new(EndpointId::new(0), secret).map(drop);
    assert_eq!(new(b""), Err(SettingsError::Secret(SetupError::SecretEmpty)));
    assert_eq!(new(b"t0p-s3cr3t"), Err(SettingsError::SecretPublished));
    assert_eq!(new(b"one's own"), Ok(()));
}

// Section 2.5, item 15.
#[test]
fn usage_goes_with_its_login() {
    let mut world = World::new();
    let (bob, tab) = (world.join("bob"), world.join("bob"));
    for client in [bob, tab] {
        world.send(client, r#"2["usage",{"model":"small"}]"#);
    }
    world.send(bob, r#"2["usage",{"model":"large"}]"#);
    world.leave(bob);
    assert_eq!(models(&mut world), ["small"]);
    world.leave(tab);
    assert_eq!(models(&mut world), Vec::<String>::new());
    // What one socket says cannot make it grow.
    let bob = world.join("bob");
    for number in 0..100 {
        world.send(bob, &format!(r#"2["usage",{{"model":"m{number}"}}]"#));
    }
    assert_eq!(models(&mut world).len(), 16);
}

// Section 2.5, item 16.
#[test]
fn sockets_without_a_login_are_nobody() {
    let mut world = World::new();
    let (bob, anonymous) = (world.join("bob"), world.connect("{}"));
    let room = roomcast_core::server::Target::Socket(world.socket(anonymous).unwrap());
    let join = roomcast_core::server::Command::Join { target: room, room: "channel:general".into() };
    world.stack.server.handle_input(roomcast_core::server::Input::Command(join), world.now);
    let Response::Users(users) = world.ask(Request::RoomUsers { room: "channel:general".into() }) else {
        panic!("users")
    };
    assert_eq!(users, ["bob"]);
    // Nor does it speak there.
    world.send(anonymous, r#"21["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#);
    assert_eq!((world.read(anonymous), world.read(bob)), (vec!["31[]".to_owned()], vec![]));
}

// Section 2.5, item 20.
#[test]
fn messages_beyond_a_megabyte_pass() {
    let mut world = World::new();
    let bob = world.join("bob");
    let bytes = "1,".repeat(1 << 20);
    world.send(bob, &format!(r#"2["an-event-of-others",{{"bytes":[{bytes}1]}}]"#));
    assert!(world.given_back[0].1.len() > 2 << 20);
    assert!(!world.clients[bob].is_closed);
}
