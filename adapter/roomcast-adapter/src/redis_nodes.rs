//! A cluster over Redis: a dialect, and the connection of `roomcast-redis` beneath it.
//!
//! Owns: which message goes to which channel and back. Must never know: the driver, how a dialect writes a message.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use roomcast_core::cluster::{
    BusChannel, BusState, ClusterMessage, ClusterSettings, Codec, DecodeError, Envelope, NodeId, OccupiedRooms,
    RoomChannel, Strangers, Subscriptions,
};
use roomcast_core::server::App;
use roomcast_redis::{BusEvent, BusStats, Channel, Delivered, RedisBus, RedisConfig};

use crate::builder::Builder;
use crate::cluster::{ClusterBus, ClusterInbox};
use crate::sync::lock;

/// The Redis that joins the nodes of a cluster, and the dialect that they speak there.
///
/// ```no_run
/// use roomcast_adapter::core::cluster::{ClusterSettings, Python};
/// use roomcast_adapter::{Builder, RedisNodes};
/// use roomcast_adapter::redis::{RedisConfig, RedisUrl};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// // Together with Python processes that emit through python-socketio's `AsyncRedisManager`.
/// let config = RedisConfig::new(RedisUrl::parse("redis://127.0.0.1:6379/0")?);
/// let nodes = RedisNodes::new(config, Python::default());
/// let builder = Builder::new()
///     .socket_io("/socket.io", |io| io.namespace("/", |_| {}))
///     .redis(ClusterSettings::default(), nodes);
/// # let _ = builder;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisNodes {
    config: RedisConfig,
    codec: Arc<dyn Codec>,
    monitor: RedisMonitor,
}

impl RedisNodes {
    /// Nodes at this Redis, which speak this dialect.
    pub fn new(config: RedisConfig, codec: impl Codec + 'static) -> Self {
        Self { config, codec: Arc::new(codec), monitor: RedisMonitor::default() }
    }

    /// Looks at the connection from elsewhere in the program.
    pub fn monitor(&self) -> RedisMonitor {
        self.monitor.clone()
    }

    fn connect(self, node: &NodeId, inbox: ClusterInbox, settings: NodeSettings) -> Result<RedisLink, String> {
        let NodeSettings { subscriptions, strangers } = settings;
        let Self { config, codec, monitor } = self;
        let occupied = match subscriptions {
            Subscriptions::Everything | Subscriptions::PerRoom => None,
            Subscriptions::Filtered => Some(Arc::new(Mutex::new(occupied()?))),
        };
        let rooms = Arc::new(Mutex::new(UnconfirmedRooms::default()));
        let receiver = Receiver {
            own: node.clone(),
            codec: codec.clone(),
            inbox: inbox.clone(),
            rooms: rooms.clone(),
            occupied: occupied.clone(),
            counters: monitor.counters.clone(),
        };
        let bus = RedisBus::start(config, move |event| receiver.handle(event)).map_err(|fault| fault.to_string())?;
        for channel in codec.channels(node) {
            bus.subscribe(to_redis(channel));
        }
        // One server for each: a second one of the same setting is not watched.
        let _ = monitor.bus.set(bus.clone());
        Ok(RedisLink { bus, codec, rooms, occupied, inbox, counters: monitor.counters, strangers })
    }
}

impl std::fmt::Debug for RedisNodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisNodes").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a node's connection to Redis has done. It keeps no server alive.
#[derive(Clone, Debug, Default)]
pub struct RedisMonitor {
    bus: Arc<OnceLock<RedisBus>>,
    counters: Arc<NodeCounters>,
}

impl RedisMonitor {
    /// Totals since the start; `None` before it.
    pub fn stats(&self) -> Option<BusStats> {
        self.bus.get().map(RedisBus::stats)
    }

    /// Messages that could not be read, or not be written in the dialect.
    pub fn unreadable(&self) -> u64 {
        self.counters.unreadable.load(Ordering::Relaxed)
    }

    /// Messages for rooms without members here that were dropped unread.
    pub fn passed_over(&self) -> u64 {
        self.counters.passed_over.load(Ordering::Relaxed)
    }

    /// Resolves when what was published before the end of the server has reached Redis, or a second later.
    pub async fn closed(&self) {
        if let Some(bus) = self.bus.get() {
            bus.close().await;
        }
    }
}

#[derive(Debug, Default)]
struct NodeCounters {
    unreadable: AtomicU64,
    passed_over: AtomicU64,
}

impl<A: App> Builder<A> {
    /// Makes this server one node of several that meet at a Redis. As [`cluster`](Self::cluster) otherwise.
    #[must_use]
    pub fn redis(self, settings: ClusterSettings, nodes: RedisNodes) -> Self {
        let of_node = NodeSettings { subscriptions: settings.subscriptions, strangers: settings.strangers };
        self.cluster(settings, move |node, inbox| nodes.connect(node, inbox, of_node))
    }
}

/// What the connection has to know of how its node takes part.
#[derive(Clone, Copy)]
struct NodeSettings {
    subscriptions: Subscriptions,
    strangers: Strangers,
}

/// The way out, in the driver.
struct RedisLink {
    bus: RedisBus,
    codec: Arc<dyn Codec>,
    rooms: Arc<Mutex<UnconfirmedRooms>>,
    /// With [`Subscriptions::Filtered`]: the rooms whose messages are read.
    occupied: Option<Arc<Mutex<OccupiedRooms>>>,
    inbox: ClusterInbox,
    counters: Arc<NodeCounters>,
    strangers: Strangers,
}

impl ClusterBus for RedisLink {
    fn publish(&mut self, message: ClusterMessage) {
        let question = message.body.question().filter(|_| self.strangers == Strangers::Counted);
        match self.codec.encode(&message) {
            Ok(Envelope { channel, payload }) => {
                // What is dropped is counted by the bus.
                let _ = match question {
                    Some(question) => self.bus.publish_question(channel, payload, question),
                    None => self.bus.publish(channel, payload),
                };
            }
            Err(error) => {
                self.counters.unreadable.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "a message for other nodes cannot be written");
            }
        }
    }

    fn subscribe(&mut self, room: RoomChannel) {
        if let Some(occupied) = &self.occupied {
            lock(occupied).begin(room.clone());
            return self.inbox.subscribed(room);
        }
        let channel = to_redis(self.codec.room_channel(&room));
        lock(&self.rooms).expect(channel.clone(), room);
        self.bus.subscribe(channel);
    }

    fn unsubscribe(&mut self, room: RoomChannel) {
        if let Some(occupied) = &self.occupied {
            return lock(occupied).end(&room);
        }
        self.bus.unsubscribe(to_redis(self.codec.room_channel(&room)));
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        self.bus.stop();
    }
}

/// The way in, on the thread of the bus.
struct Receiver {
    own: NodeId,
    codec: Arc<dyn Codec>,
    inbox: ClusterInbox,
    rooms: Arc<Mutex<UnconfirmedRooms>>,
    occupied: Option<Arc<Mutex<OccupiedRooms>>>,
    counters: Arc<NodeCounters>,
}

impl Receiver {
    fn handle(&self, event: BusEvent) {
        match event {
            BusEvent::Message(delivered) => self.deliver(delivered),
            BusEvent::Subscribed(channel) => {
                if let Some(room) = lock(&self.rooms).confirmed(&channel) {
                    self.inbox.subscribed(room);
                }
            }
            // The operator has been told. Clients that join should not wait for what does not come.
            BusEvent::SubscriptionRefused(channel, _) => {
                for room in lock(&self.rooms).refused(&channel) {
                    self.inbox.subscribed(room);
                }
            }
            // This node hears itself.
            BusEvent::Reached { question, subscribers } => self.inbox.reached(question, subscribers.saturating_sub(1)),
            BusEvent::Down(_) => self.inbox.bus(BusState::Down),
            BusEvent::Up(_) => self.inbox.bus(BusState::Up),
            // An event that is new changes nothing here.
            _ => {}
        }
    }

    fn deliver(&self, delivered: Delivered) {
        let (channel, payload, held) = delivered.into_parts();
        if self.is_for_others(&channel, &payload) {
            self.counters.passed_over.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match self.decode(&channel, payload) {
            // Half of all messages, where few nodes talk much: the driver need not wake up for them.
            Ok(Some(message)) if message.from == self.own => {}
            Ok(Some(message)) => self.inbox.message(message, Some(Box::new(held))),
            Ok(None) => {}
            Err(error) => {
                let channel = String::from_utf8_lossy(&channel);
                if self.counters.unreadable.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(%channel, %error, "a message on the bus cannot be read; further ones are counted only");
                } else {
                    tracing::debug!(%channel, %error, "a message on the bus cannot be read");
                }
            }
        }
    }

    /// Whether a message is for a room without members here: then nothing is built of it, and the driver need not wake up.
    fn is_for_others(&self, channel: &Bytes, payload: &Bytes) -> bool {
        let Some(occupied) = &self.occupied else { return false };
        let room = std::str::from_utf8(channel).ok().and_then(|channel| self.codec.glance(channel, payload));
        room.is_some_and(|room| !lock(occupied).concerns(room))
    }

    fn decode(&self, channel: &Bytes, payload: Bytes) -> Result<Option<ClusterMessage>, DecodeError> {
        let channel = std::str::from_utf8(channel).map_err(|_| DecodeError::NotUtf8)?;
        self.codec.decode(channel, payload)
    }
}

fn occupied() -> Result<OccupiedRooms, String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
    Ok(OccupiedRooms::new(seed))
}

/// Rooms whose subscriptions are not confirmed, and how often each was asked for.
#[derive(Default)]
struct UnconfirmedRooms(BTreeMap<Channel, (RoomChannel, u32)>);

impl UnconfirmedRooms {
    fn expect(&mut self, channel: Channel, room: RoomChannel) {
        self.0.entry(channel).or_insert((room, 0)).1 += 1;
    }

    fn confirmed(&mut self, channel: &Channel) -> Option<RoomChannel> {
        let (room, owed) = self.0.get_mut(channel)?;
        *owed = owed.saturating_sub(1);
        let room = room.clone();
        if *owed == 0 {
            self.0.remove(channel);
        }
        Some(room)
    }

    fn refused(&mut self, channel: &Channel) -> Vec<RoomChannel> {
        let Some((room, owed)) = self.0.remove(channel) else { return Vec::new() };
        (0..owed).map(|_| room.clone()).collect()
    }
}

fn to_redis(channel: BusChannel) -> Channel {
    match channel {
        BusChannel::Exact(name) => Channel::exact(name),
        BusChannel::Pattern(pattern) => Channel::pattern(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subscription_of_a_room_is_confirmed_once() {
        let room = RoomChannel { namespace: "/".into(), room: "a".into() };
        let channel = Channel::exact("a");
        let mut rooms = UnconfirmedRooms::default();
        rooms.expect(channel.clone(), room.clone());
        rooms.expect(channel.clone(), room.clone());
        assert_eq!(rooms.confirmed(&channel), Some(room.clone()));
        assert_eq!(rooms.refused(&channel), [room]);
        assert_eq!(rooms.confirmed(&channel), None);
    }
}
