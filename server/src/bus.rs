//! The bus to other nodes and to Open WebUI's own processes.
//!
//! Owns: which dialect is spoken, and the bus's metrics. Must never know: what is said.

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use roomcast_openwebui::Release;
use roomcast_tokio::core::cluster::{ClusterSettings, Python, RoomChannels, Subscriptions};
use roomcast_tokio::redis::{BusStats, RedisConfig};
use roomcast_tokio::{RedisMonitor, RedisNodes};

use crate::settings::BusSettings;

/// This node, and how it takes part.
#[derive(Debug)]
pub struct Bus {
    /// How it takes part.
    pub settings: ClusterSettings,
    /// The Redis and the dialect.
    pub nodes: RedisNodes,
}

impl Bus {
    /// The bus of these settings: python-socketio's, which this release of Open WebUI speaks.
    pub fn new(settings: &BusSettings, release: Release) -> Self {
        let has_room_channels = settings.has_room_channels(release);
        let mut cluster = ClusterSettings::default();
        cluster.watches = release.watches();
        cluster.subscriptions = Subscriptions::Filtered;
        let mut codec = Python::default();
        if has_room_channels {
            cluster.subscriptions = Subscriptions::PerRoom;
            codec = codec.room_channels(RoomChannels::Own);
        }
        Self { settings: cluster, nodes: RedisNodes::new(RedisConfig::new(settings.url.clone()), codec) }
    }
}

/// What several connections have done together. That all are there is said if all are.
fn sum(monitors: &[RedisMonitor]) -> BusStats {
    let mut sum = BusStats::default();
    (sum.is_publishing, sum.is_receiving) = (true, true);
    for stats in monitors.iter().map(|monitor| monitor.stats().unwrap_or_default()) {
        sum.is_publishing &= stats.is_publishing;
        sum.is_receiving &= stats.is_receiving;
        sum.queued += stats.queued;
        sum.queued_bytes += stats.queued_bytes;
        sum.inbound_bytes += stats.inbound_bytes;
        sum.subscriptions += stats.subscriptions;
        sum.connections_lost += stats.connections_lost;
        sum.gaps += stats.gaps;
        sum.published += stats.published;
        sum.published_unheard += stats.published_unheard;
        sum.dropped_full += stats.dropped_full;
        sum.dropped_large += stats.dropped_large;
        sum.dropped_late += stats.dropped_late;
        sum.lost_in_flight += stats.lost_in_flight;
        sum.denied += stats.denied;
        sum.received += stats.received;
        sum.received_dropped += stats.received_dropped;
        sum.gap_span += stats.gap_span;
    }
    sum
}

/// Registers what the connections to Redis have done, one of each shard.
pub fn register(registry: &mut Registry, monitors: &[RedisMonitor]) {
    let stats = sum(monitors);
    let total = |count: fn(&RedisMonitor) -> u64| monitors.iter().map(count).sum();
    let BusStats { is_publishing, is_receiving, queued, queued_bytes, inbound_bytes, subscriptions, .. } = stats;
    for (name, help, value) in [
        ("publishing", "1 while messages can be published", usize::from(is_publishing)),
        ("receiving", "1 while messages of others are received", usize::from(is_receiving)),
        ("queued", "Messages that wait to be published", queued),
        ("queued_bytes", "Bytes of these", queued_bytes),
        ("inbound_bytes", "Bytes of received messages that are not dealt with", inbound_bytes),
        ("subscriptions", "Channels subscribed to", subscriptions),
    ] {
        registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
    }
    for (name, help, value) in [
        ("connections_lost", "Connections to Redis that were lost", stats.connections_lost),
        ("gaps", "Times in which messages of others were missed", stats.gaps),
        ("published", "Messages published", stats.published),
        ("published_unheard", "Messages published without any subscriber", stats.published_unheard),
        ("dropped_full", "Messages dropped for a full queue", stats.dropped_full),
        ("dropped_large", "Messages dropped for their size", stats.dropped_large),
        ("dropped_late", "Messages dropped after waiting too long for Redis", stats.dropped_late),
        ("lost_in_flight", "Messages on their way when a connection was lost", stats.lost_in_flight),
        ("denied", "Messages and subscriptions that the ACL does not allow", stats.denied),
        ("received", "Messages received, this node's own among them", stats.received),
        ("received_dropped", "Messages received and dropped, as too many were not dealt with", stats.received_dropped),
        ("passed_over", "Messages for rooms without members here, dropped unread", total(RedisMonitor::passed_over)),
        ("unreadable", "Messages that cannot be read or written in the dialect", total(RedisMonitor::unreadable)),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
    let help = "Time in which messages of others were missed";
    registry.register_with_unit("gap", help, Unit::Seconds, ConstCounter::new(stats.gap_span.as_secs_f64()));
}
