//! Logins that begin late, are doubted, or change what they may do.

use std::time::Duration;

use roomcast_openwebui::query::Question;
use roomcast_openwebui::{Request, Response};

use super::store::{Manner, PRIVATE};
use super::world::{World, token, token_of};

// Section 3.1.
#[test]
fn a_token_that_came_with_an_event_gives_a_login_once_the_store_answers() {
    for (event, rooms) in [
        (r#""join-channels",{"auth":{"token":"$"}}"#, &["channel:general", "user:alice"][..]),
        (r#""join-note",{"note_id":"plan","auth":{"token":"$"}}"#, &["user:alice"]),
        (r#""user-join",{"auth":{"token":"$"}}"#, &["channel:general", "user:alice"]),
    ] {
        let mut world = World::new();
        let client = world.connect("{}");
        world.store.manner = Manner::Failing;
        world.send(client, &format!("21[{}]", event.replace('$', &token("alice"))));
        assert_eq!((world.read(client).len(), world.rooms(client)), (2, vec![]), "an error, and the ack");
        world.store.manner = Manner::AtOnce;
        world.pass(Duration::from_secs(5));
        assert_eq!(world.rooms(client), rooms, "{event}");
        world.leave(client);
        world.pass(Duration::from_secs(30));
        assert_eq!(world.stack.app.audit(), Default::default());
    }
}

// Section 2.1, `join-note`.
#[test]
fn a_note_that_is_joined_by_token_gives_a_login() {
    let mut world = World::new();
    let client = world.connect("{}");
    world.send(client, &format!(r#"21["join-note",{{"note_id":"plan","auth":{{"token":"{}"}}}}]"#, token("alice")));
    assert_eq!(world.rooms(client), ["note:plan", "user:alice"]);
}

// Section 3.1.
#[test]
fn a_token_that_the_store_refuses_makes_the_login_of_the_same_user_be_checked() {
    let mut world = World::new();
    let bob = world.join("bob");
    world.questions();
    // Of another user: nothing is said of this one.
    world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("ghost")));
    assert_eq!((world.questions().len(), world.rooms(bob).len()), (1, 2));
    // Of the same one, and the login's own token stands.
    world.store.revoke("other");
    world.send(
        bob,
        &format!(r#"22["user-join",{{"auth":{{"token":"{}"}}}}]"#, token_of(r#"{"id":"bob","jti":"other"}"#)),
    );
    let asked = world.questions();
    assert_eq!(asked.iter().filter(|asked| matches!(asked, Question::Authenticate { .. })).count(), 2, "{asked:?}");
    assert_eq!(world.rooms(bob).len(), 2);
    // And the user is gone.
    world.store.remove_user("bob");
    world.send(bob, &format!(r#"23["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    assert_eq!(world.rooms(bob), Vec::<String>::new());
}

// Section 2.1, `join-note`.
#[test]
fn a_socket_is_in_a_bounded_number_of_notes() {
    let mut world = World::with(|settings| settings.limits.notes_per_socket_max = 2);
    let alice = world.join("alice");
    for note in ["a", "b", "c"] {
        world.store.put_note(note, "alice", PRIVATE);
        world.send(alice, &format!(r#"2["join-note",{{"note_id":"{note}"}}]"#));
    }
    assert_eq!(world.rooms(alice), ["channel:general", "note:a", "note:b", "user:alice"]);
}

// Section 2.3, `events:chat`.
#[test]
fn what_a_login_may_do_in_a_chat_follows_its_owner() {
    let mut world = World::new();
    world.store.put_chat("shared", "bob");
    let alice = world.join("alice");
    world.send(alice, r#"21["events:chat",{"chat_id":"shared","data":{"type":"join"}}]"#);
    let typing = r#"22["events:chat",{"chat_id":"shared","data":{"type":"typing","data":{"typing":true}}}]"#;
    world.send(alice, typing);
    assert_eq!(world.read(alice).last().map(String::as_str), Some("32[false]"), "an admin looks on");
    world.store.put_chat("shared", "alice");
    assert!(matches!(world.ask(Request::Refresh { user: "alice".into() }), Response::Done { sockets: 1 }));
    world.send(alice, typing);
    assert_eq!(world.read(alice).last().map(String::as_str), Some("32[true]"));
}

// Section 3.1.
#[test]
fn logins_that_begin_at_once_are_checked_over_a_quarter_of_the_interval() {
    let mut world = World::new();
    for _ in 0..40 {
        world.join("bob");
    }
    world.questions();
    world.pass(Duration::from_secs(44));
    let asked = |world: &mut World| {
        world.questions().iter().filter(|asked| matches!(asked, Question::Authenticate { .. })).count()
    };
    assert_eq!(asked(&mut world), 0);
    world.pass(Duration::from_secs(8));
    let first_half = asked(&mut world);
    world.pass(Duration::from_secs(8));
    assert!((8..=32).contains(&first_half), "{first_half} of 40");
    assert_eq!(first_half + asked(&mut world), 40);
}
