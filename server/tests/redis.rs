//! Several programs on one Redis, and the Redis going away.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[expect(dead_code, reason = "shared with the tests of the bus, which use all of it")]
#[path = "../../adapter/roomcast-redis/tests/redis/server.rs"]
mod server;

use std::net::SocketAddr;

use common::{Client, Program, api, get};
use server::RedisServer;

const KEY: &str = "the-key-of-the-http-api";

struct Fleet {
    redis: RedisServer,
    nodes: Vec<(Program, SocketAddr)>,
}

impl Fleet {
    fn start(nodes: usize, more: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start(&[]);
        let url = redis.url();
        let variables = [
            &[
                ("WEBUI_SECRET_KEY", "the-secret-of-a-test"),
                ("ROOMCAST_API_KEY", KEY),
                ("WEBSOCKET_MANAGER", "redis"),
                ("WEBSOCKET_REDIS_URL", url.as_str()),
            ],
            more,
        ]
        .concat();
        let nodes = (0..nodes).map(|_| Program::serve(&["--store", "own"], &variables)).collect();
        let fleet = Self { redis, nodes };
        (0..fleet.nodes.len()).for_each(|node| fleet.until(node, "roomcast_redis_receiving 1"));
        fleet
    }

    fn client(&self, node: usize) -> Client {
        Client::connect(self.nodes[node].1)
    }

    fn emit(&self, node: usize, room: &str, event: &str) {
        let body = format!(r#"{{"to":{{"room":"{room}"}},"event":"{event}","data":1}}"#);
        assert_eq!(api(self.nodes[node].1, "/api/emit", KEY, &body).status, 200);
    }

    /// As Open WebUI 0.6.41 publishes it.
    fn publish(&self, channel: &str, room: &str, event: &str) -> i64 {
        let message = format!(
            r#"{{"method": "emit", "event": "{event}", "data": {{"n": 1}}, "binary": false, "namespace": "/", "room": "{room}", "skip_sid": null, "callback": null, "host_id": "e3d0"}}"#
        );
        redis::cmd("PUBLISH").arg(channel).arg(message).query(&mut self.redis.admin()).unwrap()
    }

    /// Until a line stands among the metrics of a node.
    fn until(&self, node: usize, line: &str) {
        while !get(self.nodes[node].1, "/metrics").body.lines().any(|found| found == line) {}
    }
}

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
