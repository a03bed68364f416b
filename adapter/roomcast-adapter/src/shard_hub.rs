//! The bus between the shards of one server, through memory.
//!
//! Nothing is encoded, nothing is late, and a message for rooms wakes no shard without members of them. Messages of the
//! shards go to an outer bus as well, if there is one; an outage of that is none between shards.
//!
//! Owns: which shard gets which message, and how much may be under way. Must never know: what an outer bus is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytestring::ByteString;
use roomcast_core::cluster::{
    ClusterBody, ClusterEmit, ClusterMessage, Glance, NodeId, OccupiedRooms, Origin, RoomChannel, Route, Shards,
    Subscriptions,
};

use crate::cluster::{ClusterBus, ClusterInbox};
use crate::siblings::Siblings;
use crate::sync::lock;

/// The shards of a server on one bus.
pub(crate) struct ShardHub {
    shards: Shards,
    places: Vec<HubPlace>,
}

/// One shard, as the others reach it.
struct HubPlace {
    inbox: OnceLock<ClusterInbox>,
    /// The rooms that have members there; `None` if it does not say.
    occupied: Option<Mutex<OccupiedRooms>>,
    backlog: Arc<ShardBacklog>,
}

/// What was sent to a shard and is not dealt with.
#[derive(Default)]
struct ShardBacklog {
    bytes: AtomicUsize,
    /// Messages after which rooms may have members there that have none yet.
    joins: AtomicUsize,
}

/// A shard's way to the others.
pub(crate) struct ShardLink {
    hub: Arc<ShardHub>,
    own: usize,
    /// How much was sent to each of the others: to all, and to it alone.
    sent: Vec<[u64; 2]>,
    outer: Option<OuterLink>,
    has_dropped: bool,
}

/// The way to other processes.
pub(crate) struct OuterLink {
    pub(crate) bus: Box<dyn ClusterBus>,
    pub(crate) siblings: Arc<Siblings>,
}

impl ShardHub {
    /// Shards with these names. `seed`: 32 random bytes.
    pub(crate) fn new(names: &[NodeId], subscriptions: Subscriptions, seed: [u8; 32]) -> Arc<Self> {
        let occupied = || match subscriptions {
            Subscriptions::Everything => None,
            Subscriptions::Filtered | Subscriptions::PerRoom => Some(Mutex::new(OccupiedRooms::new(seed))),
        };
        let place = |_| HubPlace { inbox: OnceLock::new(), occupied: occupied(), backlog: Arc::default() };
        Arc::new(Self { shards: Shards::new(names.iter().cloned()), places: names.iter().map(place).collect() })
    }

    /// Brings a shard its messages from now on.
    pub(crate) fn join(self: &Arc<Self>, own: usize, inbox: ClusterInbox, outer: Option<OuterLink>) -> ShardLink {
        if let Some(place) = self.places.get(own) {
            let first = place.inbox.set(inbox).is_ok();
            debug_assert!(first, "a shard joins once");
        }
        ShardLink { hub: self.clone(), own, sent: vec![[0; 2]; self.places.len()], outer, has_dropped: false }
    }
}

impl HubPlace {
    fn is_concerned(&self, message: &ClusterMessage) -> bool {
        let Some(occupied) = &self.occupied else { return true };
        // Of an emit that asks for acks, every shard says how many sockets it has asked.
        let ClusterBody::Emit(ClusterEmit { recipients, ack: None, .. }) = &message.body else { return true };
        if self.backlog.joins.load(Ordering::Acquire) > 0 {
            return true;
        }
        let occupied = lock(occupied);
        let namespace = &*recipients.namespace;
        let concerns = |room: &ByteString| occupied.concerns(Glance { namespace, room });
        recipients.rooms.is_empty() || recipients.rooms.iter().any(concerns)
    }
}

impl ShardLink {
    fn deliver(&mut self, shard: usize, message: &ClusterMessage) {
        let Some((place, sent)) = self.hub.places.get(shard).zip(self.sent.get_mut(shard)) else { return };
        let Some(inbox) = place.inbox.get().filter(|_| place.is_concerned(message)) else { return };
        // Numbered anew: what does not concern the other shard is not missing there, and what is dropped is.
        let number = match message.body.addressee() {
            None => &mut sent[0],
            Some(_) => &mut sent[1],
        };
        *number += 1;
        let bytes = MESSAGE_BYTES + own_bytes(message);
        if place.backlog.bytes.load(Ordering::Relaxed) > BACKLOG_BYTES_MAX {
            if !std::mem::replace(&mut self.has_dropped, true) {
                tracing::warn!(
                    shard,
                    "a shard is behind: messages of others are dropped; further ones are counted only"
                );
            }
            return;
        }
        let joins = usize::from(matches!(message.body, ClusterBody::Join { .. } | ClusterBody::JoinRooms { .. }));
        let held = BacklogMessage::new(place.backlog.clone(), bytes, joins);
        inbox.message(ClusterMessage { seq: Some(*number), ..message.clone() }, Some(Box::new(held)));
    }

    fn inbox(&self) -> Option<&ClusterInbox> {
        self.hub.places.get(self.own)?.inbox.get()
    }
}

impl ClusterBus for ShardLink {
    fn publish(&mut self, message: ClusterMessage) {
        let Route { shards, to_bus } = self.hub.shards.route(Origin::Shard, &message);
        for shard in shards {
            self.deliver(shard, &message);
        }
        if let Some(outer) = self.outer.as_mut().filter(|_| to_bus) {
            outer.bus.publish(message);
        }
    }

    fn subscribe(&mut self, channel: RoomChannel) {
        if let Some(occupied) = self.hub.places.get(self.own).and_then(|place| place.occupied.as_ref()) {
            lock(occupied).begin(channel.clone());
        }
        match &mut self.outer {
            Some(outer) => {
                // No client waits for a bus that is away.
                let is_down = outer.siblings.is_outer_down();
                outer.bus.subscribe(channel.clone());
                if is_down && let Some(inbox) = self.inbox() {
                    inbox.subscribed(channel);
                }
            }
            None => {
                if let Some(inbox) = self.inbox() {
                    inbox.subscribed(channel);
                }
            }
        }
    }

    fn unsubscribe(&mut self, channel: RoomChannel) {
        if let Some(occupied) = self.hub.places.get(self.own).and_then(|place| place.occupied.as_ref()) {
            lock(occupied).end(&channel);
        }
        if let Some(outer) = &mut self.outer {
            outer.bus.unsubscribe(channel);
        }
    }
}

/// A message until it has been dealt with.
struct BacklogMessage {
    all: Arc<ShardBacklog>,
    bytes: usize,
    joins: usize,
}

impl BacklogMessage {
    fn new(all: Arc<ShardBacklog>, bytes: usize, joins: usize) -> Self {
        all.bytes.fetch_add(bytes, Ordering::Relaxed);
        all.joins.fetch_add(joins, Ordering::Release);
        Self { all, bytes, joins }
    }
}

impl Drop for BacklogMessage {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.all.joins.fetch_sub(self.joins, Ordering::Release);
    }
}

/// Bytes that a message keeps in memory beside names and rooms. Copies share them.
fn own_bytes(message: &ClusterMessage) -> usize {
    let (ClusterBody::Emit(ClusterEmit { args, .. })
    | ClusterBody::Ack { args, .. }
    | ClusterBody::ServerEmit { args, .. }
    | ClusterBody::ServerReply { args, .. }) = &message.body
    else {
        return 0;
    };
    args.own_bytes()
}

/// What a message counts for itself.
const MESSAGE_BYTES: usize = 512;
/// Bytes of messages that one shard has not dealt with. It is that far behind only if it is blocked.
const BACKLOG_BYTES_MAX: usize = 256 << 20;
