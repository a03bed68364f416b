//! What carries messages between the nodes of a fleet, and what it carries.
//!
//! Owns: which contract holds. Must never know: how it is carried out.

use bytes::Bytes;
use roomcast_core::cluster::{ClusterMessage, RoomChannel, RoomChannels};

/// What carries messages, and what it does to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BusKind {
    /// Through memory, as between the shards of a process: nothing is lost.
    Memory,
    /// Loses messages.
    Lossy(RoomChannels),
    /// Loses messages and brings some again.
    Repeating(RoomChannels),
    /// Nodes crash and lose the bus.
    Crashing(RoomChannels),
}

impl BusKind {
    pub(super) const fn room_channels(self) -> RoomChannels {
        match self {
            Self::Memory => RoomChannels::Shared,
            Self::Lossy(channels) | Self::Repeating(channels) | Self::Crashing(channels) => channels,
        }
    }
}

/// What is under way.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    Message {
        from: usize,
        channel: String,
        payload: Bytes,
    },
    Typed(Box<ClusterMessage>),
    /// The bus has subscribed a node, or not any more.
    Subscription(RoomChannel, bool),
}
