//! Nodes on tokio and smol that meet at a Redis.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not a text is a failure, whatever it is")]

mod nodes;
#[path = "../../roomcast-redis/tests/redis/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the bus, which use all of it")]
mod server;

use std::time::Duration;

use roomcast_adapter::core::cluster::{
    ClusterSettings, Codec, JavaScript, Python, RoomChannels, Strangers, Subscriptions,
};
use roomcast_adapter::redis::{BusStats, RedisConfig, RedisUrl};
use roomcast_adapter::{AckEnd, RedisMonitor, RedisNodes};

use self::nodes::{Node, builder, find_each_other, hear_each_other, in_hall, servers_hear_each_other};
use self::server::RedisServer;

struct Fleet {
    redis: RedisServer,
    nodes: [Node; 2],
    monitors: [RedisMonitor; 2],
}

impl Fleet {
    fn start(room_channels: RoomChannels) -> Self {
        let mut settings = ClusterSettings::default();
        settings.strangers = Strangers::Ignore;
        if room_channels == RoomChannels::Own {
            settings.subscriptions = Subscriptions::PerRoom;
        }
        Self::with(&settings, &Python::default().room_channels(room_channels))
    }

    fn with<C: Codec + Clone + 'static>(settings: &ClusterSettings, codec: &C) -> Self {
        let redis = RedisServer::start(&[]);
        let config = RedisConfig::new(RedisUrl::parse(&redis.url()).unwrap());
        let setting = || RedisNodes::new(config.clone(), codec.clone());
        let settings_of_nodes = [setting(), setting()];
        let monitors = [settings_of_nodes[0].monitor(), settings_of_nodes[1].monitor()];
        let [first, second] = settings_of_nodes.map(|nodes| builder().redis(settings.clone(), nodes));
        let fleet = Self { redis, nodes: [Node::on_tokio(first), Node::on_smol(second)], monitors };
        fleet.until(|stats| stats.is_receiving && stats.is_publishing);
        fleet
    }

    /// Until both connections are as this wants them.
    fn until(&self, accept: impl Fn(&BusStats) -> bool) {
        for monitor in &self.monitors {
            while !monitor.stats().is_some_and(|stats| accept(&stats)) {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn an_emit_of_any_node_reaches_the_members_on_all() {
    let python = [RoomChannels::Shared, RoomChannels::Own, RoomChannels::Pattern].map(Fleet::start);
    let javascript = [Subscriptions::Everything, Subscriptions::PerRoom].map(|subscriptions| {
        let mut settings = ClusterSettings::default();
        // How many nodes have to answer, Redis says.
        (settings.strangers, settings.subscriptions) = (Strangers::Counted, subscriptions);
        Fleet::with(&settings, &JavaScript::default().subscriptions(subscriptions))
    });
    for Fleet { redis: _redis, nodes, .. } in python.into_iter().chain(javascript) {
        let [mut one, mut two] = in_hall(&nodes);
        hear_each_other(&nodes, [&mut one, &mut two]);
        let asking = nodes[0].ask("hall", "well?", Duration::from_secs(60));
        assert_eq!((one.next(), two.next()), (r#"420["well?"]"#.to_owned(), r#"420["well?"]"#.to_owned()));
        one.send(r#"430["here"]"#);
        two.send(r#"430["there"]"#);
        let acks = asking.join().unwrap();
        assert_eq!((acks.asked, acks.end, acks.remote[0].json()), (2, AckEnd::Complete, r#""there""#));
        let mut clients = [one, two];
        find_each_other(&nodes, &clients);
        servers_hear_each_other(&nodes, &mut clients);
    }
}

/// `kill -9` of Redis while numbered events are emitted: each node goes on serving its own, and what others missed is
/// counted.
#[test]
fn redis_may_go_and_come_back_while_events_are_emitted() {
    let mut fleet = Fleet::start(RoomChannels::Own);
    let [mut one, mut two] = in_hall(&fleet.nodes);
    fleet.nodes[0].emit("hall", "before", "x");
    assert_eq!((one.next(), two.next()), (r#"42["before","x"]"#.to_owned(), r#"42["before","x"]"#.to_owned()));
    fleet.redis.kill();
    for _ in 0..500 {
        fleet.nodes[0].emit("hall", "while", "x");
        assert_eq!(one.next(), r#"42["while","x"]"#, "a client of the node itself");
    }
    fleet.until(|stats| !stats.is_receiving);
    // A new client joins without waiting for what cannot come.
    let mut late = fleet.nodes[0].client();
    assert_eq!(late.ask(r#"421["join","hall"]"#), "431[]");
    fleet.redis.run();
    fleet.until(|stats| stats.is_receiving && stats.is_publishing && stats.queued == 0);
    fleet.nodes[0].emit("hall", "after", "x");
    assert_eq!(late.next(), r#"42["after","x"]"#);
    let mut missed = 500;
    loop {
        match two.next().as_str() {
            r#"42["while","x"]"# => missed -= 1,
            r#"42["after","x"]"# => break,
            other => panic!("{other}"),
        }
    }
    let (sent, heard) = (fleet.monitors[0].stats().unwrap(), fleet.monitors[1].stats().unwrap());
    assert!(heard.gaps == 1 && heard.gap_span > Duration::ZERO, "{heard:?}");
    // Lost on the way, never published as the bus was down, or published before the other was back.
    let core = smol::block_on(fleet.nodes[0].handle.query(|view| view.server.cluster_counters())).unwrap().unwrap();
    let counted = sent.publish_losses() + sent.published_unheard + core.unpublished;
    assert!(missed <= counted, "{missed} missed, {sent:?}, {core:?}");
}
