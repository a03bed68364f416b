//! What was observed with the real front end, by its numbers.

use std::time::Duration;

use roomcast_openwebui::query::Question;
use roomcast_openwebui::{LogoutReason, Notice};

use super::world::{START_MILLIS, START_SECS, World, token, token_of};

const TYPING: &str =
    r#"2["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#;

// Section 2.7, item 1.
#[test]
fn user_join_is_the_real_authentication() {
    let mut world = World::new();
    // The login page's socket, and one with a token that has been replaced since.
    for auth in ["{}".to_owned(), r#"{"token":"old"}"#.to_owned()] {
        let client = world.connect(&auth);
        world.send(client, r#"20["heartbeat",{}]"#);
        world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
        assert_eq!(world.read(client), ["30[]", r#"31[{"id":"bob","name":"Bob User"}]"#], "{auth}");
    }
}

// Section 2.7, item 1.
#[test]
fn where_a_login_is_required_a_bad_token_is_refused_at_connect() {
    let mut world = World::authenticated_only();
    for auth in ["", "{}", r#"{"token":"x"}"#] {
        let client = world.open();
        world.send(client, &format!("0{auth}"));
        assert_eq!(world.read(client), [r#"4{"message":"Not authenticated"}"#], "{auth}");
    }
    let client = world.open();
    world.send(client, &format!(r#"0{{"token":"{}"}}"#, token("pete")));
    assert_eq!(world.read(client), [r#"4{"message":"Not authenticated"}"#]);
    let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
    assert_eq!(world.rooms(client), ["user:bob"]);
    // A store that fails refuses too, and says why.
    world.store.manner = super::store::Manner::Failing;
    let client = world.open();
    world.send(client, &format!(r#"0{{"token":"{}"}}"#, token("bob")));
    assert_eq!(world.read(client), [r#"4{"message":"The store is unavailable, please try again later"}"#]);
    assert_eq!(world.stack.app.audit().sockets, 1);
    // Nor does one stay whose session ends.
    world.store.manner = super::store::Manner::AtOnce;
    world.store.revoke("of-bob");
    world.ask(roomcast_openwebui::Request::Refresh { user: "bob".into() });
    let bob = world.clients.len() - 2;
    assert_eq!((world.read(bob), world.socket(bob)), (vec!["1".to_owned()], None));
    assert_eq!(world.stack.app.audit().sockets, 0);
}

// Section 2.7, item 7.
#[test]
fn refusals_are_silent_and_acknowledged() {
    let mut world = World::new();
    let (alice, bob) = (world.join("alice"), world.join("bob"));
    // No access to a note.
    world.send(bob, r#"2["join-note",{"note_id":"plan"}]"#);
    assert_eq!(world.read(bob), Vec::<String>::new());
    // An unknown event is not the application's to acknowledge.
    world.send(bob, r#"21["no-such-event",1]"#);
    assert_eq!((world.read(bob), world.given_back.len()), (vec![], 1));
    // A handler that returns nothing.
    for event in ["heartbeat", "usage", "join-channels", "join-note", "events:channel", "events:chat", "user-join"] {
        world.send(bob, &format!(r#"21["{event}"]"#));
        assert_eq!(world.read(bob), ["31[]"], "{event}");
        world.send(bob, &format!(r#"2["{event}",[[],{{}}]]"#));
        assert_eq!(world.read(bob), Vec::<String>::new(), "{event}");
    }
    assert_eq!(world.read(alice), Vec::<String>::new());
}

// Section 2.7, item 8.
#[test]
fn typing_once_per_keystroke() {
    let mut world = World::new();
    let (alice, bob) = (world.join("alice"), world.join("bob"));
    // Twenty keystrokes in two seconds, then the end of it.
    let mut told = Vec::new();
    for _ in 0..20 {
        world.send(bob, TYPING);
        told.extend(world.read(alice).iter().map(|_| world.now));
        world.pass_ms(100);
    }
    world.send(bob, &TYPING.replace("true", "false"));
    let mut last = String::new();
    for _ in 0..10 {
        world.pass_ms(100);
        for text in world.read(alice) {
            told.push(world.now);
            last = text;
        }
    }
    assert!(last.contains(r#"{"typing":false}"#), "{last}");
    assert!((4..=6).contains(&told.len()), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1].saturating_since(pair[0]) >= Duration::from_millis(400)));
    assert_eq!(world.read(bob).len(), told.len(), "the sender hears as much");
    // Others' typing is not slowed down by it, nor the same user's elsewhere.
    world.send(bob, TYPING);
    world.send(alice, TYPING);
    let tab = world.join("bob");
    world.send(tab, TYPING);
    assert_eq!(world.read(alice).len(), 3);
    // A pending end of typing is still delivered when its sender disconnects.
    world.send(tab, &TYPING.replace("true", "false"));
    world.leave(tab);
    assert!(world.read(alice)[0].contains(r#"{"typing":false}"#));
    world.pass_ms(1000);
    assert_eq!(world.read(alice), Vec::<String>::new());
    assert_eq!(world.stack.app.audit().typing, 0);
}

// Section 2.7, item 8.
#[test]
fn last_read_at_once_per_keystroke() {
    let mut world = World::new();
    let bob = world.join("bob");
    world.questions();
    let event = r#"2["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"last_read_at"}}]"#;
    for _ in 0..20 {
        world.send(bob, event);
        world.pass_ms(100);
    }
    let writes = |world: &mut World| {
        let asked = world.questions();
        asked.iter().filter(|question| matches!(question, Question::ReadChannel { .. })).count()
    };
    assert!((2..=3).contains(&writes(&mut world)));
    world.pass_ms(5000);
    writes(&mut world);
    // What waits is written when the socket goes.
    world.send(bob, event);
    world.pass_ms(100);
    world.send(bob, event);
    let expected = (world.wall().as_unix_millis()) * 1_000_000;
    assert!(expected > START_MILLIS * 1_000_000);
    assert_eq!(writes(&mut world), 1);
    world.leave(bob);
    assert_eq!((writes(&mut world), world.store.read_at()[&("general".into(), "bob".into())]), (1, expected));
}

// Section 2.7, item 10.
#[test]
fn tokens_are_judged_by_their_dates_without_leeway() {
    let mut world = World::new();
    let is_good = |world: &mut World, token: &str| {
        let client = world.connect("{}");
        world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        let joined = world.read(client) == [r#"31[{"id":"bob","name":"Bob User"}]"#];
        assert_eq!(joined, !world.rooms(client).is_empty());
        joined
    };
    let (now, later) = (START_SECS, START_SECS + 1);
    for claims in [
        r#"{"id":"bob"}"#.to_owned(),
        format!(r#"{{"id":"bob","exp":{later}}}"#),
        format!(r#"{{"id":"bob","exp":"{later}"}}"#),
        format!(r#"{{"id":"bob","exp":{later},"iat":{now},"nbf":{now},"jti":"j"}}"#),
    ] {
        assert!(is_good(&mut world, &token_of(&claims)), "{claims}");
    }
    for claims in [
        "{}".to_owned(),
        r#"{"id":7}"#.to_owned(),
        r#"{"id":""}"#.to_owned(),
        format!(r#"{{"id":"{}"}}"#, "b".repeat(257)),
        format!(r#"{{"id":"bob","exp":{now}}}"#),
        format!(r#"{{"id":"bob","exp":"{now}"}}"#),
        format!(r#"{{"id":"bob","iat":{later}}}"#),
        format!(r#"{{"id":"bob","nbf":{later}}}"#),
        r#"{"id":"bob","aud":"x"}"#.to_owned(),
        r#"{"id":"bob","exp":null}"#.to_owned(),
    ] {
        assert!(!is_good(&mut world, &token_of(&claims)), "{claims}");
    }
    assert!(!is_good(&mut world, &roomcast_auth::sign_hs256(b"another secret", r#"{"id":"bob"}"#)));
    assert!(!is_good(&mut world, "sk-0123456789"));
}

// Section 2.7, item 10.
#[test]
fn a_login_ends_with_its_token() {
    let until = |secs: u64| token_of(&format!(r#"{{"id":"bob","exp":{}}}"#, START_SECS + secs));
    let mut world = World::new();
    let bob = world.join_with(&until(30));
    world.pass_ms(29_999);
    assert_eq!(world.rooms(bob), ["channel:general", "user:bob"]);
    world.pass_ms(1);
    let socket = world.socket(bob).expect("the socket stays");
    assert_eq!((world.rooms(bob), world.read(bob)), (vec![], vec![]));
    let ended = Notice::LoggedOut { socket, user: "bob".into(), why: LogoutReason::Token };
    assert_eq!(world.notices.last(), Some(&ended));
    // A new token prolongs it.
    let bob = world.join_with(&until(60));
    world.send(bob, &format!(r#"2["user-join",{{"auth":{{"token":"{}"}}}}]"#, until(90)));
    world.pass(Duration::from_secs(35));
    assert_eq!(world.rooms(bob).len(), 2);
    // The calendar is set back: not yet.
    world.wall_step = Duration::ZERO;
    let carol = world.join_with(&token_of(&format!(r#"{{"id":"carol","exp":{}}}"#, START_SECS + 3600)));
    world.pass(Duration::from_secs(60));
    // And forward: at the latest a minute later, or with the next event.
    world.wall_step = Duration::from_secs(4000);
    world.tell_wall();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.rooms(carol), Vec::<String>::new());
    world.wall_step = Duration::ZERO;
    world.tell_wall();
    let carol = world.join_with(&token_of(&format!(r#"{{"id":"carol","exp":{}}}"#, START_SECS + 3600)));
    world.wall_step = Duration::from_secs(4000);
    world.tell_wall();
    world.send(carol, r#"2["heartbeat",{}]"#);
    assert_eq!(world.rooms(carol), Vec::<String>::new());
    // A token whose expiry lies beyond the range of the clock does not expire.
    let carol = world.join_with(&token_of(r#"{"id":"carol","exp":99999999999999999999}"#));
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.rooms(carol), ["user:carol"]);
}

// Section 2.7, item 10.
#[test]
fn a_clock_set_back_makes_a_token_last() {
    let mut world = World::new();
    world.wall_step = Duration::from_secs(3600);
    world.tell_wall();
    let bob = world.join_with(&token_of(&format!(r#"{{"id":"bob","exp":{}}}"#, START_SECS + 3610)));
    world.wall_step = Duration::ZERO;
    world.tell_wall();
    world.pass(Duration::from_secs(20));
    assert_eq!(world.rooms(bob).len(), 2, "the timer has fired, and the calendar says that it is not time");
    world.pass(Duration::from_secs(3590));
    assert_eq!(world.rooms(bob).len(), 0);
}
