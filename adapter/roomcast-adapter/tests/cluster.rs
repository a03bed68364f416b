//! Servers that act as one, on several runtimes.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not a text is a failure, whatever it is")]

mod nodes;

use std::time::Duration;

use roomcast_adapter::core::cluster::{ClusterSettings, Strangers, Subscriptions};
use roomcast_adapter::{AckEnd, Builder, MemoryBus};

use self::nodes::{Node, builder, find_each_other, hear_each_other, in_hall};

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
        find_each_other(&nodes, &[one, two]);
    }
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
