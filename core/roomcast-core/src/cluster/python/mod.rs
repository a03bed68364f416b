//! The dialect of python-socketio's Redis managers, so that Python processes and roomcast share clients.
//!
//! One channel, `socketio` by default, one JSON object per message, whose `method` says what it is. `host_id` names the
//! sender, except in a `callback`, where it names the node that asked. What python-socketio has no word for goes over a
//! channel of its own, `socketio#roomcast`, in the same form: heartbeats, sockets, counts of acks, server-side emits, joins
//! and disconnections of more than one socket. Members that python-socketio does not know (`seq`, `volatile`,
//! `args_count`, `attachments`) are passed over there.
//!
//! Owns: these forms. Must never know: what a message brings about.

pub(super) mod data;
mod decode;
mod encode;

use bytes::Bytes;

use super::codec::{BusChannel, Codec, DecodeError, EncodeError, Envelope, Glance, escape_pattern};
use super::message::{ClusterMessage, NodeId, RoomChannel};

/// The codec of python-socketio's dialect (versions 5.14 and later; what 5.13 publishes is a pickle and refused, what it
/// receives it reads).
///
/// An exception that is a room, not a socket, is honoured by nodes of roomcast alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    channel: String,
    room_channels: RoomChannels,
}

/// Whether an emit to one room goes over a channel of that room, as Open WebUI 0.12 has it. All nodes and all Python
/// processes must agree; a node that subscribes to both scheme's channels reads both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomChannels {
    /// Everything goes over one channel.
    #[default]
    Shared,
    /// `socketio#/#room`. Nodes subscribe to the rooms of their members
    /// ([`Subscriptions::PerRoom`](super::Subscriptions::PerRoom)).
    Own,
    /// The same, and nodes subscribe to all of them at once by the pattern `socketio#*`: a join waits for nothing, and each
    /// node gets every message.
    Pattern,
}

impl Python {
    /// The dialect over this channel; python-socketio's default is `socketio`.
    pub fn new(channel: impl Into<String>) -> Self {
        Self { channel: channel.into(), room_channels: RoomChannels::Shared }
    }

    /// Has emits to one room go over channels of their own, or not.
    #[must_use]
    pub fn room_channels(self, room_channels: RoomChannels) -> Self {
        Self { room_channels, ..self }
    }

    /// Where python-socketio's messages go.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    fn nodes_channel(&self) -> String {
        format!("{}#roomcast", self.channel)
    }

    fn name_of_room(&self, room: &RoomChannel) -> String {
        format!("{}#{}#{}", self.channel, room.namespace, room.room)
    }
}

impl Default for Python {
    fn default() -> Self {
        Self::new("socketio")
    }
}

impl Codec for Python {
    fn channels(&self, _own: &NodeId) -> Vec<BusChannel> {
        let common = BusChannel::Exact(self.channel.clone());
        match self.room_channels {
            RoomChannels::Shared | RoomChannels::Own => vec![common, BusChannel::Exact(self.nodes_channel())],
            RoomChannels::Pattern => vec![common, BusChannel::Pattern(format!("{}#*", escape_pattern(&self.channel)))],
        }
    }

    fn room_channel(&self, room: &RoomChannel) -> BusChannel {
        BusChannel::Exact(self.name_of_room(room))
    }

    fn encode(&self, message: &ClusterMessage) -> Result<Envelope, EncodeError> {
        let (way, payload) = encode::encode(message)?;
        let channel = match way {
            encode::BusWay::Nodes => self.nodes_channel(),
            encode::BusWay::Room(room) if self.room_channels != RoomChannels::Shared => self.name_of_room(&room),
            encode::BusWay::Room(_) | encode::BusWay::All => self.channel.clone(),
        };
        Ok(Envelope { channel, payload })
    }

    fn decode(&self, _channel: &str, payload: Bytes) -> Result<Option<ClusterMessage>, DecodeError> {
        decode::decode(payload)
    }

    fn glance<'a>(&self, _channel: &str, payload: &'a [u8]) -> Option<Glance<'a>> {
        decode::glance(payload)
    }
}
