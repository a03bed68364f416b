//! A Redis that stops answering, and one that ends connections.

use roomcast_redis::RedisFault;

use crate::ear::Ear;
use crate::server::RedisServer;

/// The machine of Redis hangs, or the network swallows everything: no connection ends by itself.
#[test]
fn a_redis_that_does_not_answer_counts_as_lost_until_it_does() {
    let server = RedisServer::start(&[]);
    let ear = Ear::on(&server.url(), "room");
    ear.stats_when(|stats| stats.is_publishing);
    server.signal("STOP");
    // Nothing of this blocks.
    for _ in 0..1_000 {
        ear.bus.publish("room", "into the void").unwrap();
    }
    assert_eq!(ear.until_down(), RedisFault::TimedOut);
    server.signal("CONT");
    assert!(ear.until_up().is_some());
    ear.stats_when(|stats| stats.is_publishing && stats.queued == 0);
    ear.bus.publish("room", "after").unwrap();
    while ear.message() != "after" {}
    let stats = ear.stats_when(|stats| stats.published + stats.publish_losses() == 1_001);
    assert!(stats.lost_in_flight > 0, "{stats:?}");
}

/// `client-output-buffer-limit pubsub`: Redis ends subscribers whose output grows too large.
#[test]
fn a_subscriber_that_redis_cuts_off_comes_back_and_counts_the_gap() {
    let server = RedisServer::start(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let (ear, other) = (Ear::on(&server.url(), "room"), Ear::on(&server.url(), "other"));
    other.bus.publish("room", "before").unwrap();
    assert_eq!(ear.message(), "before");
    other.bus.publish("room", vec![b'x'; 3 << 20]).unwrap();
    ear.until_down();
    assert!(ear.until_up().is_some());
    other.bus.publish("room", "after").unwrap();
    assert_eq!(ear.message(), "after");
    assert_eq!((ear.bus.stats().gaps, other.bus.stats().publish_losses()), (1, 0));
}

/// `CLIENT KILL`, which Sentinel does at a failover and operators do by hand.
#[test]
fn connections_that_are_killed_come_back() {
    let server = RedisServer::start(&[]);
    let ear = Ear::on(&server.url(), "room");
    ear.stats_when(|stats| stats.is_publishing);
    for kind in ["normal", "pubsub"] {
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", kind]).query::<()>(&mut server.admin()).unwrap();
    }
    ear.until_down();
    ear.until_up();
    ear.stats_when(|stats| stats.is_publishing && stats.connections_lost == 2);
    ear.bus.publish("room", "after").unwrap();
    assert_eq!(ear.message(), "after");
}
