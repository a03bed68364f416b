//! Conversations of encrypted channels. Section 2.3, `encryption:*`.

use std::time::Duration;

use roomcast_openwebui::query::{Question, TalkRation};
use roomcast_openwebui::{EncryptedChannels, Request, Response, Settings, StoreChange, To};
use serde_json::{Value, json};

use super::super::store::Manner;
use super::super::world::World;
use super::{connect, newer, world, world_with};

const REFUSED: &str = r#"{"ok":false,"error":"Private chat is unavailable or the session changed."}"#;
const ENDED: &str = r#"{"ok":false,"error":"Private chat ended."}"#;
/// A public key in base64, which has to be of this length.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn a_conversation_from_its_start_to_its_end() {
    let mut world = peopled(|_| {});
    let (alice, bob) = (connect(&mut world, "alice"), connect(&mut world, "bob"));
    join_room(&mut world, &[alice, bob]);
    assert_eq!(call(&mut world, alice, "status", json!({})), json!({"ok": true, "available": false, "session": null}));

    let started = call(&mut world, alice, "start", json!({}));
    let (session, host) = (text(&started["session"]), text(&started["host"]));
    assert_eq!(
        started,
        json!({"ok": true, "channel": "dm", "session": session, "host": host, "bindings": [], "participation": host,
               "participants": [{"participation": host, "user": "alice", "name": "Alice Admin"}]})
    );
    // Not before it can be called.
    assert_eq!(call(&mut world, bob, "join", json!({"session": session})), refused());
    let bound = call(&mut world, alice, "bind", json!({"session": session, "participation": host, "key": KEY}));
    let binding =
        json!({"identity": {"channel": "dm", "session": session, "user": "alice", "participation": host}, "key": KEY});
    assert_eq!(bound["bindings"], json!([binding]));
    let available = json!({"channel": "dm", "session": session});
    assert_eq!(events(&mut world, bob), [("encryption:available".into(), available.clone())]);
    assert_eq!(events(&mut world, alice), [("encryption:available".into(), available)]);
    assert_eq!(call(&mut world, bob, "status", json!({})), json!({"ok": true, "available": true, "session": session}));

    let joined = call(&mut world, bob, "join", json!({"session": session}));
    let guest = text(&joined["participation"]);
    assert_eq!(joined["participants"].as_array().unwrap().len(), 2);
    // A guest who is not admitted neither hears nor speaks.
    let says = |participation: &str, packet: &str| json!({"session": session, "participation": participation, "kind": "mls", "packet": packet});
    assert_eq!(call(&mut world, bob, "packet", says(&guest, "AAAA")), refused());
    call(&mut world, bob, "bind", json!({"session": session, "participation": guest, "key": KEY, "packet": "S1AA"}));
    let (name, candidate) = events(&mut world, alice).pop().unwrap();
    assert_eq!(
        (&*name, &candidate["kind"], &candidate["sender"]),
        ("encryption:event", &json!("candidate"), &json!(guest))
    );
    assert_eq!((&candidate["packet"], &candidate["sequence"]), (&json!("S1AA"), &json!(1)));
    assert_eq!(candidate["bindings"].as_array().unwrap().len(), 2);
    assert_eq!(call(&mut world, alice, "packet", says(&host, "AAAA"))["ok"], json!(true));
    assert_eq!((events(&mut world, bob), events(&mut world, alice)), (vec![], vec![]));

    let admit = json!({"session": session, "participation": host, "kind": "admit", "packet": "QUFB", "target": guest, "welcome": "V1dX"});
    assert_eq!(call(&mut world, alice, "packet", admit.clone())["ok"], json!(true));
    let (_, welcome) = events(&mut world, bob).pop().unwrap();
    assert_eq!(
        (&welcome["kind"], &welcome["packet"], &welcome["sequence"]),
        (&json!("welcome"), &json!("V1dX"), &json!(1))
    );
    assert_eq!(call(&mut world, alice, "packet", admit), refused(), "it is in");
    call(&mut world, bob, "packet", says(&guest, "Qk9C"));
    let (_, heard) = events(&mut world, alice).pop().unwrap();
    assert_eq!((&heard["kind"], &heard["packet"], &heard["sequence"]), (&json!("mls"), &json!("Qk9C"), &json!(2)));

    // The guest leaves and the host is told; the host leaves, and it ends.
    assert_eq!(
        call(&mut world, bob, "leave", json!({"session": session, "participation": guest})),
        json!({"ok": true})
    );
    assert_eq!(kinds(&mut world, bob), ["ended"]);
    let (_, departed) = events(&mut world, alice).pop().unwrap();
    assert_eq!(
        (&departed["kind"], &departed["participation"], &departed["admitted"]),
        (&json!("departed"), &json!(guest), &json!(true))
    );
    world.leave(alice);
    assert_eq!(events(&mut world, bob), [("encryption:available".into(), json!({"channel": "dm", "session": null}))]);
    assert!(world.store.talks.stored.is_empty() && world.store.talks.locked() == 0);
    world.leave(bob);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.stack.app.audit(), Default::default());
}

#[test]
fn only_members_with_the_right_may_call_and_only_by_websocket_and_tls() {
    let mut world = peopled(|_| {});
    let carol = connect(&mut world, "carol");
    assert_eq!(call(&mut world, carol, "start", json!({})), refused());
    // Others do not so much as lock it.
    let asked = world.questions();
    assert!(!asked.iter().any(|question| matches!(question, Question::Encryption(_))), "{asked:?}");
    for payload in ["", r#"7"#, r#"{"channel":""}"#, r#"{"channel":["dm"]}"#] {
        world.send(carol, &format!(r#"21["encryption:status"{}{payload}]"#, if payload.is_empty() { "" } else { "," }));
        assert_eq!(world.read(carol), [format!("31[{REFUSED}]")], "{payload}");
    }
    let anonymous = world.connect("{}");
    world.send(anonymous, r#"21["encryption:status",{"channel":"dm"}]"#);
    assert_eq!(world.read(anonymous), [format!("31[{REFUSED}]"), "1".into()]);
    for kind in [EncryptedChannels::ServedByTls, EncryptedChannels::Refused] {
        let mut world = peopled(|settings| settings.encrypted_channels = kind);
        let alice = connect(&mut world, "alice");
        assert_eq!(call(&mut world, alice, "start", json!({})), refused());
    }
    // 0.6 has no such events: they are the program's.
    let mut world = World::new();
    let bob = world.join("bob");
    world.send(bob, r#"2["encryption:status",{"channel":"dm"}]"#);
    assert_eq!(world.given_back.len(), 1);
}

#[test]
fn a_member_that_is_not_what_it_says_is_refused() {
    let (mut world, at) = talking();
    let Talking { alice, bob, session, host, guest } = &at;
    let (carol, tab) = (connect(&mut world, "carol"), connect(&mut world, "bob"));
    world.store.talks.admit("dm", "carol", "Carol");
    world.store.talks.admit("other", "bob", "Bob");
    let say = |session: &str, participation: &str, more: Value| {
        let mut said = json!({"session": session, "participation": participation, "kind": "mls", "packet": "AAAA"});
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        said
    };
    // To a device that is another's, by one that is no member, in a session of before, for a second time.
    for (client, action, said) in [
        (*bob, "packet", say(session, host, json!({}))),
        (tab, "packet", say(session, guest, json!({}))),
        (carol, "packet", say(session, guest, json!({}))),
        (*bob, "packet", say("earlier", guest, json!({}))),
        (*bob, "packet", say(session, guest, json!({"kind": "admit", "target": host, "welcome": "AAAA"}))),
        (*bob, "packet", say(session, guest, json!({"kind": "candidate"}))),
        (*bob, "packet", say(session, guest, json!({"packet": "no base64"}))),
        (*bob, "packet", say(session, guest, json!({"packet": ""}))),
        (*bob, "bind", say(session, guest, json!({"key": KEY}))),
        (*alice, "packet", say(session, host, json!({"kind": "admit", "target": "no-such", "welcome": "AAAA"}))),
        (*bob, "join", json!({"session": session})),
        (tab, "join", json!({"session": session})),
        (carol, "join", json!({"session": "earlier"})),
        (carol, "start", json!({})),
        // One conversation at a time.
        (*bob, "start", json!({"channel": "other"})),
    ] {
        let before = world.store.talks.stored.clone();
        assert_eq!(call(&mut world, client, action, said.clone()), refused(), "{action} {said}");
        assert_eq!(before, world.store.talks.stored, "{action} {said}");
        for client in [*alice, *bob, tab, carol] {
            assert_eq!(events(&mut world, client), [], "{action} {said}");
        }
    }
    assert_eq!(world.store.talks.locked(), 0);
}

#[test]
fn who_may_take_part_no_more_hears_no_more() {
    let (mut world, at) = talking();
    world.store.talks.expel("dm", "bob");
    let said = json!({"session": at.session, "participation": at.host, "kind": "mls", "packet": "AAAA"});
    assert_eq!(call(&mut world, at.alice, "packet", said.clone())["ok"], json!(true));
    assert_eq!(
        (kinds(&mut world, at.bob), kinds(&mut world, at.alice)),
        (vec!["ended".to_owned()], vec!["departed".to_owned()])
    );
    // Without the host, and by itself within half a minute.
    world.store.talks.expel("dm", "alice");
    world.pass(Duration::from_secs(30));
    assert_eq!(kinds(&mut world, at.alice), ["ended", "encryption:available"]);
    assert!(world.store.talks.stored.is_empty());
    assert_eq!(call(&mut world, at.alice, "packet", said), refused());
}

#[test]
fn a_member_is_out_that_is_not_heard_of_for_45_seconds() {
    let (mut world, at) = talking();
    let ping = |participation: &str| json!({"session": at.session, "participation": participation});
    for _ in 0..2 {
        world.pass(Duration::from_secs(20));
        assert_eq!(call(&mut world, at.alice, "ping", ping(&at.host))["ok"], json!(true));
    }
    assert!(kinds(&mut world, at.bob).is_empty());
    world.pass(Duration::from_secs(20));
    assert_eq!(kinds(&mut world, at.bob), ["ended"]);
    assert_eq!(call(&mut world, at.bob, "ping", ping(&at.guest)), refused());
    // Nothing is heard of any of them.
    world.pass(Duration::from_secs(60));
    assert_eq!(kinds(&mut world, at.alice), ["departed", "ended", "encryption:available"]);
}

#[test]
fn what_is_too_often_or_too_long_comes_to_nothing() {
    let (mut world, at) = talking();
    assert!(world.store.talks.charges.iter().any(|charge| charge.ration == TalkRation::Admission));
    world.store.talks.charges.clear();
    let said = json!({"session": at.session, "participation": at.guest, "kind": "mls", "packet": "AAAA"});
    call(&mut world, at.bob, "packet", said.clone());
    let charge = world.store.talks.charges.pop().unwrap();
    assert_eq!((&*charge.user, charge.ration, charge.bytes > 90), ("bob", TalkRation::Traffic, true));
    world.store.talks.is_over_ration = true;
    events(&mut world, at.alice);
    assert_eq!(call(&mut world, at.bob, "packet", said.clone()), refused());
    world.store.talks.is_over_ration = false;
    let long = |bytes: usize| {
        let mut said = said.clone();
        said["packet"] = "AAAA".repeat(bytes / 3).into();
        said
    };
    assert_eq!(call(&mut world, at.bob, "packet", long((1 << 20) + 3)), refused());
    assert_eq!(events(&mut world, at.alice), []);
    assert_eq!(call(&mut world, at.bob, "packet", long((1 << 20) - 1))["ok"], json!(true));
    assert_eq!(kinds(&mut world, at.alice), ["mls"]);
    // One that takes no part asks the store for each of its calls, of which it has few.
    let carol = connect(&mut world, "carol");
    world.questions();
    for _ in 0..300 {
        world.send(carol, r#"2["encryption:status",{"channel":"dm"}]"#);
    }
    assert!(world.questions().len() <= 110);
}

#[test]
fn what_keeps_conversations_fails_and_members_are_told() {
    for fault in 0..4 {
        let (mut world, at) = talking();
        match fault {
            0 => world.store.refuses = Some(|question| matches!(question, Question::Encryption(_))),
            1 => world.store.refuses = Some(|question| matches!(question, Question::EncryptionUsers { .. })),
            2 => world.store.talks.loses_locks = true,
            _ => drop(world.store.talks.stored.insert("dm".into(), "{".into())),
        }
        let said = json!({"session": at.session, "participation": at.guest, "kind": "mls", "packet": "AAAA"});
        let answer = call(&mut world, at.bob, "packet", said);
        assert_eq!(answer, serde_json::from_str::<Value>(ENDED).unwrap(), "{fault}");
        for client in [at.alice, at.bob] {
            let told = events(&mut world, client);
            assert_eq!(told, [("encryption:event".into(), json!({"kind": "ended", "channel": "dm"}))], "{fault}");
        }
        world.store.refuses = None;
        assert_eq!(world.store.talks.locked(), 0, "{fault}");
    }
}

#[test]
fn calls_of_one_channel_wait_for_each_other_and_a_socket_that_goes_leaves_nothing() {
    let (mut world, at) = talking();
    world.store.manner = Manner::Later;
    let said = |packet: &str| json!({"channel": "dm", "session": at.session, "participation": at.guest, "kind": "mls", "packet": packet});
    let (one, two) = (said("AAAA"), said("BBBB"));
    world.send(at.bob, &format!(r#"27["encryption:packet",{one}]"#));
    world.send(at.alice, r#"28["encryption:status",{"channel":"dm"}]"#);
    world.send(at.bob, &format!(r#"29["encryption:packet",{two}]"#));
    assert_eq!(world.waiting.len(), 1, "one of them has begun");
    world.leave(at.bob);
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    // The first had not begun to be carried out, and its sender is gone; the status is told, and then that it is gone.
    assert_eq!(kinds(&mut world, at.alice), ["departed"]);
    assert!(world.store.talks.stored["dm"].matches("\"sid\"").count() == 1 && world.store.talks.locked() == 0);
    world.leave(at.alice);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.stack.app.audit(), Default::default());
}

#[test]
fn a_process_without_redis_ends_a_conversation_by_telling_that_there_is_none() {
    let (mut world, at) = talking();
    let args = roomcast_core::socket_io::Args::from_json_values(r#"{"channel":"dm","session":null}"#).unwrap();
    let (to, event) = (To::Room("channel:dm".into()), "encryption:available".into());
    let request = Request::Emit { to, skip: vec![], event, args, change: StoreChange::Nothing };
    assert!(matches!(world.ask(request), Response::Emitted));
    assert_eq!(kinds(&mut world, at.bob)[..2], ["encryption:available", "ended"]);
    assert!(world.store.talks.stored.is_empty());
}

#[test]
fn members_of_two_nodes_talk_and_one_that_is_killed_ends_it() {
    let node = |number| {
        let mut world = World::node(number, newer);
        people(&mut world);
        world
    };
    let (mut one, mut two) = (node(1), node(2));
    one.pass_ms(1);
    two.pass_ms(1);
    exchange(&mut one, &mut two);
    let alice = connect(&mut one, "alice");
    let started = call(&mut one, alice, "start", json!({}));
    let (session, host) = (text(&started["session"]), text(&started["host"]));
    call(&mut one, alice, "bind", json!({"session": session, "participation": host, "key": KEY}));
    two.store.talks.stored = one.store.talks.stored.clone();
    let bob = connect(&mut two, "bob");
    exchange(&mut one, &mut two);
    let guest = text(&call(&mut two, bob, "join", json!({"session": session}))["participation"]);
    let bound =
        call(&mut two, bob, "bind", json!({"session": session, "participation": guest, "key": KEY, "packet": "S1AA"}));
    assert_eq!(bound["ok"], json!(true));
    exchange(&mut one, &mut two);
    assert_eq!(kinds(&mut one, alice), ["candidate"]);
    // The first node is gone without a word: the other one ends it.
    two.pass(Duration::from_secs(60));
    assert_eq!(kinds(&mut two, bob), ["ended"]);
    assert!(two.store.talks.stored.is_empty());
}

/// What one node says the other hears, until both are quiet.
fn exchange(one: &mut World, two: &mut World) {
    while !(one.published.is_empty() && two.published.is_empty()) {
        let (first, second) = (std::mem::take(&mut one.published), std::mem::take(&mut two.published));
        two.hear_all(&first);
        one.hear_all(&second);
    }
}

/// Two who talk.
struct Talking {
    alice: usize,
    bob: usize,
    session: String,
    host: String,
    guest: String,
}

fn talking() -> (World, Talking) {
    let mut world = peopled(|_| {});
    let (alice, bob) = (connect(&mut world, "alice"), connect(&mut world, "bob"));
    join_room(&mut world, &[alice, bob]);
    let started = call(&mut world, alice, "start", json!({}));
    let (session, host) = (text(&started["session"]), text(&started["host"]));
    call(&mut world, alice, "bind", json!({"session": session, "participation": host, "key": KEY}));
    let guest = text(&call(&mut world, bob, "join", json!({"session": session}))["participation"]);
    call(&mut world, bob, "bind", json!({"session": session, "participation": guest, "key": KEY, "packet": "S1AA"}));
    let admit = json!({"session": session, "participation": host, "kind": "admit", "packet": "QUFB", "target": guest, "welcome": "V1dX"});
    assert_eq!(call(&mut world, alice, "packet", admit)["ok"], json!(true));
    for client in [alice, bob] {
        events(&mut world, client);
    }
    (world, Talking { alice, bob, session, host, guest })
}

fn peopled(change: impl FnOnce(&mut Settings)) -> World {
    let mut world = world_with(change);
    people(&mut world);
    world
}

fn people(world: &mut World) {
    world.store.talks.admit("dm", "alice", "Alice Admin");
    world.store.talks.admit("dm", "bob", "Bob User");
}

/// As a process does for a new direct message.
fn join_room(world: &mut World, clients: &[usize]) {
    for client in clients {
        let sid = world.clients[*client].sid.clone();
        world.request(Request::Enter { to: To::Socket(sid.into()), room: "channel:dm".into() });
    }
}

/// What a call is acknowledged with. Events that come before it stay unread.
fn call(world: &mut World, client: usize, action: &str, said: Value) -> Value {
    let mut payload = json!({"channel": "dm"});
    payload.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    let before = world.read(client);
    world.send(client, &format!(r#"21["encryption:{action}",{payload}]"#));
    let (acks, events): (Vec<_>, Vec<_>) = world.read(client).into_iter().partition(|text| text.starts_with("31["));
    world.clients[client].put_back(before.into_iter().chain(events).collect());
    let [ack] = &acks[..] else { panic!("{action}: {acks:?}") };
    serde_json::from_str::<Value>(&ack[2..]).unwrap()[0].clone()
}

fn refused() -> Value {
    serde_json::from_str(REFUSED).unwrap()
}

/// Names and first arguments of what a client was told since.
fn events(world: &mut World, client: usize) -> Vec<(String, Value)> {
    let event = |text: String| {
        let [name, data]: [Value; 2] = serde_json::from_str(text.strip_prefix('2')?).ok()?;
        Some((name.as_str()?.to_owned(), data))
    };
    world.read(client).into_iter().filter_map(event).collect()
}

fn kinds(world: &mut World, client: usize) -> Vec<String> {
    let kind = |(name, data): (String, Value)| data["kind"].as_str().map_or(name, str::to_owned);
    events(world, client).into_iter().map(kind).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn the_plain_world_has_no_conversation() {
    let mut world = world();
    let alice = connect(&mut world, "alice");
    assert_eq!(call(&mut world, alice, "start", json!({})), refused());
}
