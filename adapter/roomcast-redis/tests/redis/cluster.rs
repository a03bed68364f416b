//! A Redis Cluster of three primaries.

use std::process::Command;
use std::time::Duration;

use roomcast_redis::RedisUrl;

use crate::ear::{Ear, limits};
use crate::server::{RedisServer, free_port, path_of};

/// Three nodes that agree on who has which slots.
pub fn cluster() -> Vec<RedisServer> {
    let nodes: Vec<RedisServer> = (0..3)
        .map(|_| {
            let bus = free_port().to_string();
            // The rest of the cluster serves on when one node is gone.
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-require-full-coverage", "no"];
            RedisServer::start(&options)
        })
        .collect();
    let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
    let made = Command::new(path_of("redis-cli"))
        .args(["--cluster", "create"])
        .args(addresses)
        .args(["--cluster-yes"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    for node in &nodes {
        let mut admin = node.admin();
        while !redis::cmd("CLUSTER").arg("INFO").query::<String>(&mut admin).unwrap().contains("cluster_state:ok") {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    nodes
}

fn on(node: &RedisServer) -> Ear {
    let url = RedisUrl::parse(&node.url()).unwrap().as_cluster().unwrap();
    Ear::with(url, limits())
}

#[test]
fn a_message_reaches_subscribers_at_every_node_and_a_dead_node_is_left() {
    let mut nodes = cluster();
    let ears: Vec<Ear> = nodes.iter().map(on).collect();
    ears.iter().for_each(|ear| ear.subscribe("room"));
    ears[1].bus.publish("room", "to all").unwrap();
    assert!(ears.iter().all(|ear| ear.message() == "to all"));
    // The only node that the setting names: the others were found by asking it.
    ears[0].stats_when(|stats| stats.is_publishing);
    nodes[0].kill();
    ears[0].until_down();
    assert!(ears[0].until_up().is_some());
    ears[0].stats_when(|stats| stats.is_publishing);
    ears[2].bus.publish("room", "to those that are left").unwrap();
    assert!(ears.iter().all(|ear| ear.message() == "to those that are left"));
    ears[0].bus.publish("room", "from there").unwrap();
    assert!(ears.iter().all(|ear| ear.message() == "from there"));
}
