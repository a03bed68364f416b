//! Several programs on one Redis, and the Redis going away.

mod common;
mod fleet;

use common::get;
use fleet::Fleet;

#[test]
fn what_one_node_or_open_webui_emits_reaches_the_clients_of_all() {
    let fleet = Fleet::start(2, &[]);
    let (mut one, mut two) = (fleet.client(0), fleet.client(1));
    let (of_one, of_two) = (one.sid.clone(), two.sid.clone());
    fleet.emit(0, &of_two, "across");
    assert_eq!(two.next(), r#"42["across",1]"#);
    fleet.emit(1, &of_one, "back");
    assert_eq!(one.next(), r#"42["back",1]"#);
    for (client, sid) in [(&mut one, &of_one), (&mut two, &of_two)] {
        assert_eq!(fleet.publish("socketio", sid, "events"), 2, "both nodes listen");
        assert_eq!(client.next(), r#"42["events",{"n": 1}]"#);
    }
}

/// Open WebUI 0.12 publishes for one room on a channel of that room.
#[test]
fn with_room_channels_a_socket_is_subscribed_to_before_it_is_connected() {
    let fleet = Fleet::start(2, &[("WEBSOCKET_REDIS_ROOM_CHANNELS", "True")]);
    for round in 0..20 {
        let mut client = fleet.client(round % 2);
        let sid = client.sid.clone();
        assert_eq!(fleet.publish(&format!("socketio#/#{sid}"), &sid, "events"), 1);
        assert_eq!(client.next(), r#"42["events",{"n": 1}]"#);
        fleet.emit((round + 1) % 2, &sid, "across");
        assert_eq!(client.next(), r#"42["across",1]"#);
    }
}

#[test]
fn without_redis_a_node_serves_its_own_clients_and_comes_back_by_itself() {
    let mut fleet = Fleet::start(2, &[]);
    let (mut one, mut two) = (fleet.client(0), fleet.client(1));
    let (of_one, of_two) = (one.sid.clone(), two.sid.clone());
    fleet.redis.kill();
    (0..2).for_each(|node| fleet.until(node, "roomcast_redis_receiving 0"));
    fleet.emit(0, &of_one, "local");
    assert_eq!(one.next(), r#"42["local",1]"#);
    // Clients come and go meanwhile.
    let mut late = fleet.client(0);
    let of_late = late.sid.clone();
    fleet.emit(0, &of_late, "late");
    assert_eq!(late.next(), r#"42["late",1]"#);
    let said = fleet.nodes[0].0.stderr.until("cannot receive from other nodes");
    assert!(said.contains("WARN") && said.contains("what they say is missed"), "{said}");
    fleet.redis.run();
    for node in 0..2 {
        fleet.until(node, "roomcast_redis_receiving 1");
        fleet.until(node, "roomcast_redis_publishing 1");
        fleet.until(node, "roomcast_redis_gaps_total 1");
    }
    fleet.emit(0, &of_two, "again");
    assert_eq!(two.next(), r#"42["again",1]"#);
    assert_eq!(get(fleet.nodes[0].1, "/health").status, 200);
}

/// Section 2.5, item 22: the original has every process decode every message.
#[test]
fn a_message_for_a_room_without_members_is_passed_over_unread_and_one_with_members_never() {
    let fleet = Fleet::start(2, &[]);
    let mut client = fleet.join(0, "ada");
    for round in 0..30 {
        // Right after it has entered, and not after it has left.
        let (sid, room) = (client.sid.clone(), format!("den-{round}"));
        let to = format!(r#"{{"to":{{"session":"{sid}"}},"room":"{room}"}}"#);
        assert_eq!(fleet.api(0, "/api/enter_room", &to).status, 200);
        assert_eq!(fleet.publish("socketio", &room, "in"), 2, "both nodes hear it");
        assert_eq!(client.next(), r#"42["in",{"n": 1}]"#);
        assert_eq!(fleet.api(0, "/api/leave_room", &to).status, 200);
        assert_eq!(fleet.publish("socketio", &room, "out"), 2);
        assert_eq!(fleet.publish("socketio", &sid, "own"), 2);
        assert_eq!(client.next(), r#"42["own",{"n": 1}]"#);
    }
    fleet.until(0, "roomcast_redis_passed_over_total 30");
    fleet.until(1, "roomcast_redis_passed_over_total 90");
    // What nodes say to each other goes another way.
    fleet.emit(1, "user:ada", "across");
    assert_eq!(client.next(), r#"42["across",1]"#);
}
