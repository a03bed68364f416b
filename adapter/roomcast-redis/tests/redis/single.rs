//! A bus on a single Redis server.

use std::time::Duration;

use roomcast_redis::{BusEvent, Channel, NotPublished, RedisUrl};

use crate::ear::{Ear, block_on, limits};
use crate::server::RedisServer;

#[test]
fn what_one_node_publishes_the_others_receive_in_order() {
    let server = RedisServer::start(&[]);
    let (one, two) = (Ear::on(&server.url(), "room"), Ear::on(&server.url(), "room"));
    for number in 0..5_000_u64 {
        one.bus.publish("room", number.to_string()).unwrap();
    }
    for ear in [&one, &two] {
        for number in 0..5_000_u64 {
            assert_eq!(ear.message(), number.to_string());
        }
    }
    let stats = one.stats_when(|stats| stats.published == 5_000);
    assert_eq!((stats.publish_losses(), stats.published_unheard, stats.queued), (0, 0, 0));
    assert_eq!(two.bus.stats().received, 5_000);
    assert_eq!(two.stats_when(|stats| stats.inbound_bytes == 0).received_dropped, 0);
}

#[test]
fn bytes_pass_as_they_are() {
    let server = RedisServer::start(&[]);
    let ear = Ear::on(&server.url(), "room");
    let payload: Vec<u8> = (0..=255).collect();
    ear.bus.publish("room", payload.clone()).unwrap();
    let BusEvent::Message(message) = ear.until(|event| matches!(event, BusEvent::Message(_))) else { unreachable!() };
    assert_eq!((&message.channel[..], &message.payload[..]), (&b"room"[..], &payload[..]));
}

#[test]
fn patterns_and_sharded_channels_are_received_until_they_are_given_up() {
    let server = RedisServer::start(&[]);
    let ear = Ear::on(&server.url(), "plain");
    for channel in [Channel::pattern("chat#*"), Channel::sharded("shard")] {
        ear.bus.subscribe(channel.clone());
        ear.until(|event| matches!(event, BusEvent::Subscribed(found) if *found == channel));
    }
    ear.bus.publish("chat#1", "by pattern").unwrap();
    ear.bus.publish_sharded("shard", "by shard").unwrap();
    ear.bus.publish("other", "to none").unwrap();
    let BusEvent::Message(message) = ear.until(|event| matches!(event, BusEvent::Message(_))) else { unreachable!() };
    assert_eq!(message.pattern.as_deref(), Some(&b"chat#*"[..]));
    assert_eq!(&message.channel[..], b"chat#1");
    drop(message);
    assert_eq!(ear.message(), "by shard");
    ear.stats_when(|stats| stats.published_unheard == 1);
    ear.bus.unsubscribe(Channel::pattern("chat#*"));
    ear.stats_when(|stats| stats.subscriptions == 2);
    ear.bus.publish("chat#1", "unheard").unwrap();
    ear.bus.publish("plain", "heard").unwrap();
    assert_eq!(ear.message(), "heard");
}

/// A join is acknowledged only when its channel is live.
#[test]
fn a_confirmed_subscription_misses_nothing_from_then_on() {
    let server = RedisServer::start(&[]);
    let (ear, other) = (Ear::on(&server.url(), "a"), Ear::on(&server.url(), "a"));
    for round in 0..200 {
        let room = format!("room {round}");
        ear.subscribe(&room);
        other.bus.publish(room, round.to_string()).unwrap();
        assert_eq!(ear.message(), round.to_string());
    }
}

/// The cluster counts confirmations: one that is missing would hold joins back for good.
#[test]
fn every_subscription_is_confirmed_once_whatever_comes_in_between() {
    let mut server = RedisServer::start(&[]);
    let ear = Ear::on(&server.url(), "other");
    let room = Channel::exact("room");
    let count = |times: u32| {
        for _ in 0..times {
            ear.until(|event| matches!(event, BusEvent::Subscribed(channel) if *channel == room));
        }
    };
    for _ in 0..3 {
        ear.bus.subscribe(room.clone());
        ear.bus.unsubscribe(room.clone());
    }
    ear.bus.subscribe(room.clone());
    count(4);
    server.kill();
    ear.until_down();
    ear.bus.subscribe(room.clone());
    server.run();
    count(1);
    ear.until_up();
    // One more would come before this.
    ear.bus.subscribe(Channel::exact("end"));
    let next = ear.until(|event| matches!(event, BusEvent::Subscribed(_)));
    assert!(matches!(next, BusEvent::Subscribed(channel) if channel == Channel::exact("end")));
}

#[test]
fn thousands_of_subscriptions_are_confirmed_and_restored() {
    let mut server = RedisServer::start(&[]);
    let ear = Ear::on(&server.url(), "last");
    for number in 0..5_000 {
        ear.bus.subscribe(Channel::exact(format!("room {number}")));
    }
    ear.stats_when(|stats| stats.subscriptions == 5_001);
    server.kill();
    ear.until_down();
    server.run();
    assert!(ear.until_up().is_some());
    assert_eq!(ear.bus.stats().subscriptions, 5_001);
    ear.stats_when(|stats| stats.is_publishing);
    ear.bus.publish("room 4999", "after").unwrap();
    assert_eq!(ear.message(), "after");
}

/// Numbered messages through a `kill -9` of Redis: each is received, or its loss is counted.
#[test]
fn losses_through_a_restart_are_bounded_counted_and_told() {
    let mut server = RedisServer::start(&[]);
    let (sender, ear) = (Ear::on(&server.url(), "other"), Ear::on(&server.url(), "room"));
    let mut accepted = 0_u64;
    let mut number = 0_u64;
    let mut publish = |count: u64| {
        for _ in 0..count {
            number += 1;
            accepted += u64::from(sender.bus.publish("room", number.to_string()).is_ok());
        }
    };
    publish(1_000);
    server.kill();
    assert!(!ear.until_down().is_setting());
    sender.until_down();
    // While it is away nothing blocks, and the queue keeps what it can.
    publish(1_000);
    server.run();
    let missed = ear.until_up().expect("a gap");
    assert!(missed > Duration::ZERO);
    sender.stats_when(|stats| stats.is_publishing && stats.queued == 0);
    publish(1_000);
    let numbers = ear.numbers_until(3_000);
    let sent = sender.stats_when(|stats| stats.published + stats.publish_losses() == 3_000);
    let heard = ear.bus.stats();
    assert_eq!((accepted, heard.gaps, heard.connections_lost > 0), (3_000, 1, true));
    assert_eq!(sent.dropped_full + sent.dropped_large + sent.dropped_late, 0);
    let missing =
        |range: std::ops::RangeInclusive<u64>| range.filter(|number| !numbers.contains(number)).count() as u64;
    // Redis ended before it had passed them on: one pipeline at most.
    assert!(missing(1..=1_000) <= 512 + sent.lost_in_flight, "{sent:?}");
    // Redis took them before the ear was back.
    assert!(missing(1_001..=2_000) <= sent.published_unheard + sent.lost_in_flight, "{sent:?}");
    assert!((2_001..=3_000).all(|number| numbers.contains(&number)), "what is sent after the gap arrives");
    assert!(heard.gap_span > Duration::ZERO);
}

#[test]
fn a_redis_that_is_away_blocks_nothing_and_the_queue_is_bounded() {
    let port = crate::server::free_port();
    let mut limits = limits();
    limits.queue_messages_max = 100;
    limits.message_bytes_max = 1_000;
    limits.queue_span_max = Duration::from_millis(200);
    let ear = Ear::with(RedisUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap(), limits);
    ear.until_down();
    for _ in 0..100 {
        ear.bus.publish("room", "kept for a while").unwrap();
    }
    assert_eq!(ear.bus.publish("room", "one too many"), Err(NotPublished::Full));
    assert_eq!(ear.bus.publish("room", vec![0; 1_001]), Err(NotPublished::TooLarge));
    let stats = ear.stats_when(|stats| stats.dropped_late == 100);
    assert_eq!((stats.dropped_full, stats.dropped_large, stats.publish_losses()), (1, 1, 102));
    assert_eq!((stats.queued, stats.queued_bytes, stats.published), (0, 0, 0));
}

#[test]
fn a_receiver_that_falls_behind_loses_what_does_not_fit_and_not_its_connection() {
    let server = RedisServer::start(&[]);
    let mut limits = limits();
    limits.inbound_bytes_max = 10_000;
    let ear = Ear::with(RedisUrl::parse(&server.url()).unwrap(), limits);
    ear.subscribe("room");
    for _ in 0..100 {
        ear.bus.publish("room", vec![b'x'; 1_000]).unwrap();
    }
    // The events lie in the channel of the test, which has no reader.
    let stats = ear.stats_when(|stats| stats.received + stats.received_dropped == 100);
    assert_eq!((stats.received, stats.received_dropped), (9, 91));
    for _ in 0..9 {
        ear.message();
    }
    ear.bus.publish("room", "fits again").unwrap();
    assert_eq!(ear.message(), "fits again");
    assert_eq!(ear.bus.stats().connections_lost, 0);
}

#[test]
fn closing_publishes_what_waits() {
    let server = RedisServer::start(&[]);
    let (ear, other) = (Ear::on(&server.url(), "room"), Ear::on(&server.url(), "other"));
    other.stats_when(|stats| stats.is_publishing);
    for number in 1..=2_000_u64 {
        other.bus.publish("room", number.to_string()).unwrap();
    }
    block_on(other.bus.close());
    assert_eq!(ear.numbers_until(2_000).len(), 2_000);
    assert_eq!(other.bus.publish("room", "late"), Err(NotPublished::Stopped));
}
