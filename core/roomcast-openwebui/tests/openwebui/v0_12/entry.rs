//! Who may send events, what is acknowledged, and how long a token is believed.

use std::time::Duration;

use roomcast_openwebui::query::Question;
use roomcast_openwebui::{Request, Response};

use super::super::store::Manner;
use super::super::world::{World, token, token_of};
use super::{connect, world};

const EVENTS_THAT_END: [&str; 7] = [
    r#""heartbeat",{}"#,
    r#""usage",{"action":"chat","model":"m","chat_id":"c"}"#,
    r#""events:chat",{"chat_id":"talk","data":{"type":"join"}}"#,
    r#""ydoc:document:join",{"document_id":"note:plan","user_id":"alice"}"#,
    r#""ydoc:document:leave",{"document_id":"note:plan"}"#,
    r#""ydoc:awareness:update",{"document_id":"note:plan","update":[1]}"#,
    r#""bob:sid:uuid",{"done":true}"#,
];

#[test]
fn a_socket_without_a_login_may_stay_as_long_as_it_says_nothing() {
    for event in EVENTS_THAT_END {
        let mut world = world();
        let client = world.connect("{}");
        world.pass(Duration::from_secs(29));
        world.send(client, &format!("21[{event}]"));
        assert_eq!(world.read(client), ["1"], "{event}");
        assert!(world.given_back.is_empty() && world.socket(client).is_none());
        world.leave(client);
        assert_eq!(world.stack.app.audit(), Default::default());
    }
    let mut world = world();
    let client = world.connect("{}");
    let bad = r#"{"auth":{"token":"no.such.token"}}"#;
    for event in [
        format!(r#""user-join",{bad}"#),
        format!(r#""join-channels",{bad}"#),
        r#""join-note",{"note_id":"plan","auth":{"token":"no.such.token"}}"#.to_owned(),
        r#""events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}"#
            .to_owned(),
        r#""ydoc:document:update",{"document_id":"note:plan","update":[0,0]}"#.to_owned(),
        r#""ydoc:document:state",{"document_id":"note:plan"}"#.to_owned(),
    ] {
        world.send(client, &format!("21[{event}]"));
        assert_eq!(world.read(client), ["31[]"], "{event}");
    }
    // All else is the program's, which acknowledges it.
    world.send(client, r#"21["no-such",1]"#);
    world.send(client, r#"2["a:b:c"]"#);
    assert_eq!(world.given_back.iter().map(|(_, event)| &**event).collect::<Vec<_>>(), ["no-such 1", "a:b:c "]);
}

#[test]
fn an_encrypted_channel_is_refused_with_its_ack_before_the_socket_has_to_go() {
    let mut world = world();
    let (stranger, bob) = (world.connect("{}"), connect(&mut world, "bob"));
    let refused = r#"31[{"ok":false,"error":"Private chat is unavailable or the session changed."}]"#;
    for (client, said) in [(stranger, vec![refused, "1"]), (bob, vec![refused])] {
        world.send(client, r#"21["encryption:start",{"channel":"general"}]"#);
        assert_eq!(world.read(client), said);
    }
}

#[test]
fn what_was_sent_behind_the_event_that_ended_a_socket_comes_to_nothing() {
    let mut world = world();
    let client = world.connect("{}");
    world.feed(client, r#"21["heartbeat",{}]"#);
    world.feed(client, &format!(r#"22["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    world.feed(client, r#"23["no-such",1]"#);
    world.run();
    assert_eq!((world.read(client), world.given_back.len()), (vec!["1".to_owned()], 0));
    assert!(world.questions().is_empty() && world.stack.app.active_users().is_empty());
}

#[test]
fn a_handler_that_would_fail_gives_no_ack() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    for event in [
        r#""heartbeat""#,
        r#""user-join",7"#,
        r#""user-join""#,
        r#""join-channels",["auth"]"#,
        r#""usage","m""#,
        r#""usage",{"chat_id":"c"}"#,
        r#""events:chat",null"#,
        r#""events:channel",{"data":{"type":"typing"}}"#,
        r#""ydoc:document:leave""#,
    ] {
        world.send(bob, &format!("21[{event}]"));
        assert_eq!(world.read(bob), Vec::<String>::new(), "{event}");
    }
    for event in [r#""heartbeat",7"#, r#""ydoc:document:state",7"#, r#""ydoc:document:leave",{"document_id":7}"#] {
        world.send(bob, &format!("21[{event}]"));
        assert_eq!(world.read(bob), ["31[]"], "{event}");
    }
}

#[test]
fn connect_is_the_login_and_the_events_behind_it_wait() {
    let mut world = world();
    world.store.manner = Manner::Later;
    let client = world.open();
    world.feed(client, &format!(r#"0{{"token":"{}"}}"#, token("bob")));
    world.feed(client, r#"21["events:chat",{"chat_id":"talk","data":{"type":"join"}}]"#);
    world.feed(client, &format!(r#"22["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    world.run();
    assert_eq!(world.read(client).len(), 1, "it is in at once");
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    let said = world.read(client);
    let acks: Vec<_> = said.iter().filter(|text| text.starts_with('3')).collect();
    assert_eq!(acks, ["31[true]", r#"32[{"id":"bob","name":"Bob User"}]"#]);
    assert_eq!(world.stack.app.active_users(), ["bob"]);
}

#[test]
fn the_account_of_a_user_join_is_gone() {
    let mut world = world();
    let client = world.connect("{}");
    world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("ghost")));
    assert_eq!(world.read(client), Vec::<String>::new());
    world.send(client, &format!(r#"22["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("pete")));
    assert_eq!((world.read(client), world.socket(client).is_some()), (vec!["32[]".to_owned()], true));
}

#[test]
fn a_token_is_looked_up_again_before_an_event_and_then_believed_for_a_moment() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    world.questions();
    let usage = r#"21["usage",{"action":"chat","model":"m","chat_id":"c"}]"#;
    for (seconds, expected) in [(0, 0), (4, 0), (1, 1), (1, 0), (4, 1)] {
        world.pass(Duration::from_secs(seconds));
        world.send(bob, usage);
        assert_eq!((lookups(&mut world), world.read(bob)), (expected, vec!["31[]".to_owned()]), "{seconds}");
    }
    world.store.revoke("of-bob");
    world.send(bob, usage);
    assert_eq!(world.read(bob), ["31[]"], "believed");
    world.pass(Duration::from_secs(5));
    world.send(bob, r#"22["events:chat",{"chat_id":"talk","data":{"type":"join"}}]"#);
    assert_eq!((world.read(bob), world.socket(bob)), (vec!["1".to_owned()], None));
    assert!(world.stack.app.active_users().is_empty());
}

#[test]
fn each_event_that_counts_on_a_login_finds_a_refused_token_out() {
    let own = r#""bob:sid:uuid",{"done":true}"#;
    let channel = r#""events:channel",{"channel_id":"general","data":{"type":"last_read_at"}}"#;
    for event in EVENTS_THAT_END[..6].iter().copied().chain([own, channel]) {
        let mut world = world();
        let bob = connect(&mut world, "bob");
        world.pass(Duration::from_secs(6));
        world.store.set_role("bob", "pending");
        world.send(bob, &format!("21[{event}]"));
        assert_eq!(world.read(bob), ["1"], "{event}");
    }
}

#[test]
fn a_silent_socket_is_found_out_within_half_a_minute_and_at_once_when_it_is_told() {
    let mut world = world();
    let (bob, carol) = (connect(&mut world, "bob"), connect(&mut world, "carol"));
    world.store.remove_user("bob");
    world.pass(Duration::from_secs(30));
    assert_eq!((world.read(bob), world.socket(bob)), (vec!["1".to_owned()], None));
    world.store.revoke("of-carol");
    assert!(matches!(world.ask(Request::Refresh { user: "carol".into() }), Response::Done { sockets: 1 }));
    assert_eq!((world.read(carol), world.socket(carol)), (vec!["1".to_owned()], None));
    // A token that has come to its end.
    let brief = token_of(r#"{"id":"alice","exp":1800000060}"#);
    let alice = world.connect(&format!(r#"{{"token":"{brief}"}}"#));
    world.pass(Duration::from_secs(29));
    assert!(world.socket(alice).is_some());
    world.pass(Duration::from_secs(2));
    assert_eq!((world.read(alice), world.socket(alice)), (vec!["1".to_owned()], None));
}

#[test]
fn a_change_that_is_told_while_the_store_is_slow_lets_no_event_through() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    world.store.manner = Manner::Later;
    world.request(Request::Refresh { user: "bob".into() });
    world.store.set_role("bob", "pending");
    world.send(bob, r#"21["heartbeat",{}]"#);
    assert_eq!((world.read(bob), world.waiting.len()), (vec![], 2));
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    assert_eq!(world.read(bob), ["1"]);
}

#[test]
fn while_the_store_is_away_a_login_stands_as_it_was_found_last() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    world.pass(Duration::from_secs(6));
    world.store.manner = Manner::Failing;
    world.send(bob, r#"21["heartbeat",{}]"#);
    assert_eq!(world.read(bob), ["31[]"]);
    world.store.manner = Manner::AtOnce;
    world.store.set_role("bob", "pending");
    world.pass(Duration::from_secs(5));
    world.send(bob, r#"22["heartbeat",{}]"#);
    assert_eq!(world.read(bob), ["1"]);
}

fn lookups(world: &mut World) -> usize {
    world.questions().iter().filter(|asked| matches!(asked, Question::Authenticate { .. })).count()
}
