//! Three Sentinels, a primary and a replica.

use std::time::Duration;

use roomcast_redis::RedisUrl;

use crate::ear::{Ear, limits};
use crate::server::RedisServer;

struct Watched {
    primary: RedisServer,
    replica: RedisServer,
    sentinels: Vec<RedisServer>,
}

impl Watched {
    fn start() -> Self {
        let primary = RedisServer::start(&[]);
        let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port())]);
        let config = format!(
            "sentinel monitor room 127.0.0.1 {} 2\nsentinel down-after-milliseconds room 500\n\
             sentinel failover-timeout room 3000\n",
            primary.port()
        );
        let sentinels = (0..3).map(|_| RedisServer::sentinel(&config)).collect();
        let watched = Self { primary, replica, sentinels };
        watched.wait();
        watched
    }

    /// Until all Sentinels know each other and the replica, without which there is no failover.
    fn wait(&self) {
        for sentinel in &self.sentinels {
            let mut admin = sentinel.admin();
            loop {
                let list = |what: &str, admin: &mut redis::Connection| {
                    let list: Vec<redis::Value> = redis::cmd("SENTINEL").arg(what).arg("room").query(admin).unwrap();
                    list.len()
                };
                let quorum = redis::cmd("SENTINEL").arg("CKQUORUM").arg("room").query::<String>(&mut admin);
                if list("SENTINELS", &mut admin) == 2 && list("REPLICAS", &mut admin) == 1 && quorum.is_ok() {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
        }
    }

    fn url(&self) -> RedisUrl {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        RedisUrl::parse("redis://room/0").unwrap().with_sentinels(&hosts.join(","), 26379).unwrap()
    }
}

/// The primary is killed while messages are sent, and one Sentinel with it.
#[test]
fn a_failover_while_messages_are_sent_loses_a_bounded_and_counted_number() {
    let mut watched = Watched::start();
    let mut limits = limits();
    limits.queue_span_max = Duration::from_secs(60);
    let (sender, ear) = (Ear::with(watched.url(), limits), Ear::with(watched.url(), limits));
    ear.subscribe("room");
    sender.subscribe("other");
    for number in 1..=500_u64 {
        sender.bus.publish("room", number.to_string()).unwrap();
    }
    sender.stats_when(|stats| stats.published == 500);
    ear.stats_when(|stats| stats.received == 500);
    watched.sentinels.pop();
    watched.primary.kill();
    ear.until_down();
    for number in 501..=1_000_u64 {
        sender.bus.publish("room", number.to_string()).unwrap();
    }
    assert!(ear.until_up().is_some());
    sender.stats_when(|stats| stats.published + stats.publish_losses() == 1_000);
    for number in 1_001..=1_500_u64 {
        sender.bus.publish("room", number.to_string()).unwrap();
    }
    let numbers = ear.numbers_until(1_500);
    assert!((1_001..=1_500).all(|number| numbers.contains(&number)));
    let stats = sender.stats_when(|stats| stats.published + stats.publish_losses() == 1_500);
    // Missing are those that were under way, and those that the new primary took before the ear was back.
    let missing = 1_500 - numbers.len() as u64;
    assert!(missing <= stats.lost_in_flight + stats.published_unheard, "{missing} of {stats:?}");
    let role: Vec<redis::Value> = redis::cmd("ROLE").query(&mut watched.replica.admin()).unwrap();
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
}

/// An orderly switch: the old primary lives on as a replica, where published messages reach no node.
#[test]
fn a_primary_that_becomes_a_replica_is_left() {
    let watched = Watched::start();
    let ear = Ear::with(watched.url(), limits());
    ear.subscribe("room");
    ear.stats_when(|stats| stats.is_publishing);
    redis::cmd("SENTINEL").arg("FAILOVER").arg("room").query::<()>(&mut watched.sentinels[0].admin()).unwrap();
    ear.until_down();
    ear.until_up();
    let replica_clients = || redis::cmd("PUBSUB").arg("CHANNELS").query::<Vec<String>>(&mut watched.replica.admin());
    assert!(replica_clients().unwrap().contains(&"room".to_owned()));
    ear.stats_when(|stats| stats.is_publishing && stats.connections_lost == 2);
    ear.bus.publish("room", "on the new primary").unwrap();
    assert_eq!(ear.message(), "on the new primary");
}
