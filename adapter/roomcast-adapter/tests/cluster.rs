//! Servers that act as one, on several runtimes.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not a text is a failure, whatever it is")]

mod nodes;

use std::time::Duration;

use roomcast_adapter::core::cluster::{ClusterSettings, Strangers, Subscriptions};
use roomcast_adapter::{AckEnd, AckError, Builder, EmitError, MemoryBus};

use self::nodes::{Node, PATIENCE, builder, find_each_other, hear_each_other, in_hall, servers_hear_each_other};

/// A node on tokio and one on smol, which know each other.
fn pair(settings: &ClusterSettings) -> [Node; 2] {
    let bus = MemoryBus::new();
    let on = |number: u16| -> Builder {
        let bus = bus.clone();
        builder().node(number).cluster(settings.clone(), move |_, inbox| Ok(bus.join(inbox)))
    };
    [Node::on_tokio(on(0)), Node::on_smol(on(1))]
}

fn settings(subscriptions: Subscriptions) -> ClusterSettings {
    let mut settings = ClusterSettings::default();
    settings.strangers = Strangers::Ignore;
    settings.subscriptions = subscriptions;
    settings
}

#[test]
fn an_emit_of_any_node_reaches_the_members_on_all() {
    for subscriptions in [Subscriptions::Everything, Subscriptions::PerRoom] {
        let nodes = pair(&settings(subscriptions));
        let [mut one, mut two] = in_hall(&nodes);
        hear_each_other(&nodes, [&mut one, &mut two]);
        let mut clients = [one, two];
        find_each_other(&nodes, &clients);
        servers_hear_each_other(&nodes, &mut clients);
    }
}

/// The handler does not reply, and its node ends: what there is is told. Arguments that do not fit are answered.
#[test]
fn replies_of_servers_end_without_those_that_do_not_come() {
    let bus = MemoryBus::new();
    let on = |number: u16| {
        let bus = bus.clone();
        let settings = settings(Subscriptions::Everything);
        builder().node(number).cluster(settings, move |_, inbox| Ok(bus.join(inbox)))
    };
    let [first, second, third] = [0, 1, 2].map(|number| Node::on_smol(on(number)));
    let mut one = second.client();
    let fetched = smol::block_on(first.handle.of("/").fetch_sockets(PATIENCE)).unwrap();
    assert_eq!((fetched.sockets.len(), fetched.nodes_missing), (1, 0), "all know each other");
    let asked = first.handle.of("/").server_side_emit_with_ack("double", "no number", PATIENCE);
    let replies = smol::block_on(asked).unwrap().replies;
    assert!(replies.len() == 2 && replies[0].1.json().starts_with(r#"{"error":"invalid arguments: "#), "{replies:?}");
    for name in ["silence", "unheard"] {
        let asked = first.handle.of("/").server_side_emit_with_ack(name, 1, Duration::from_millis(200));
        let answer = smol::block_on(asked).unwrap();
        assert_eq!((answer.replies, answer.asked, answer.end), (vec![], 2, AckEnd::TimedOut), "{name}");
    }
    assert_eq!(one.next(), r#"42["silent"]"#);
    let asking = first.handle.of("/").server_side_emit_with_ack("silence", (), PATIENCE);
    assert_eq!(one.next(), r#"42["silent"]"#, "it has been heard");
    drop(one);
    second.end();
    third.end();
    let answer = smol::block_on(asking).unwrap();
    assert_eq!((answer.replies.len(), answer.asked, answer.end), (0, 2, AckEnd::Gone));
}

#[test]
fn servers_are_not_told_what_they_cannot_hear() {
    let node = Node::on_tokio(builder().socket_io("/other", |io| io.namespace("/", |_| {})));
    let (all, other) = (node.handle.of("/"), node.handle.of_endpoint("/other", "/").unwrap());
    for narrow in [all.clone().to("hall"), all.clone().except("hall"), all.clone().local(), other] {
        assert_eq!(narrow.clone().server_side_emit("tell", 1).checked().unwrap_err(), EmitError::NotOfServers);
        let asked = smol::block_on(narrow.server_side_emit_with_ack("tell", 1, PATIENCE));
        assert_eq!(asked, Err(AckError::Emit(EmitError::NotOfServers)));
    }
    for name in ["connect", "connection", "new_namespace"] {
        assert_eq!(all.clone().server_side_emit(name, 1).checked().unwrap_err(), EmitError::ReservedByServers);
    }
    // Without a cluster there are no others.
    let alone = node.ask_servers("double", 1);
    assert_eq!((alone.replies.len(), alone.asked, alone.end), (0, 0, AckEnd::Gone));
    node.end();
    let asked = smol::block_on(all.server_side_emit_with_ack("tell", 1, PATIENCE));
    assert_eq!(asked, Err(AckError::ServerEnded));
}

#[test]
fn a_room_that_was_left_gets_nothing_from_any_node() {
    for subscriptions in [Subscriptions::Everything, Subscriptions::PerRoom] {
        let nodes = pair(&settings(subscriptions));
        let [mut one, mut two] = in_hall(&nodes);
        assert_eq!(one.ask(r#"422["leave","hall"]"#), "432[]");
        nodes[1].emit("hall", "news", "tea");
        assert_eq!(two.next(), r#"42["news","tea"]"#);
        nodes[1].emit_to_all("news", "end");
        assert_eq!(one.next(), r#"42["news","end"]"#, "it has left the room");
    }
}

#[test]
fn acks_of_all_nodes_are_gathered() {
    let nodes = pair(&settings(Subscriptions::Everything));
    let [mut one, mut two] = in_hall(&nodes);
    // They know each other once a message has come through.
    nodes[1].emit("hall", "news", "first");
    one.next();
    two.next();
    let asking = nodes[0].ask("hall", "well?", Duration::from_secs(60));
    assert_eq!(one.next(), r#"420["well?"]"#);
    assert_eq!(two.next(), r#"420["well?"]"#);
    one.send(r#"430["here"]"#);
    two.send(r#"430["there"]"#);
    let acks = asking.join().unwrap();
    assert_eq!((acks.asked, acks.end), (2, AckEnd::Complete));
    assert_eq!(acks.answers[0].1.json(), r#""here""#);
    assert_eq!(acks.remote[0].json(), r#""there""#);
}

/// Without other nodes the question is answered at once; after the end of the server it has no answer.
#[test]
fn sockets_are_fetched_on_one_node_as_well() {
    let node = Node::on_tokio(builder());
    let mut one = node.client();
    assert_eq!(one.ask(r#"421["join","hall"]"#), "431[]");
    assert_eq!(node.fetch("hall"), (vec![one.sid.clone()], 0));
    let handle = node.handle.clone();
    drop(one);
    node.end();
    assert_eq!(smol::block_on(handle.of("/").to("hall").fetch_sockets(Duration::from_secs(60))), None);
}

#[test]
fn a_node_that_ends_leaves_the_others_as_they_are() {
    let [first, second] = pair(&settings(Subscriptions::PerRoom));
    let mut one = first.client();
    assert_eq!(one.ask(r#"421["join","hall"]"#), "431[]");
    second.end();
    first.emit("hall", "news", "alone");
    assert_eq!(one.next(), r#"42["news","alone"]"#);
}
