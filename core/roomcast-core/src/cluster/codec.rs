//! How messages are written for a bus of bytes.
//!
//! Owns: what every codec offers, and its errors. Must never know: a particular codec, or a bus.

use bytes::Bytes;

use super::message::{ClusterMessage, NodeId, RoomChannel};

/// A dialect of the bus: channels, and messages as bytes.
pub trait Codec: Send + Sync {
    /// What a node of this name subscribes to at its start. Rooms are subscribed to as they come, where each has a channel.
    fn channels(&self, own: &NodeId) -> Vec<BusChannel>;

    /// The channel of a room.
    fn room_channel(&self, room: &RoomChannel) -> BusChannel;

    /// Writes a message.
    ///
    /// # Errors
    ///
    /// It has no form in this dialect: [`EncodeError`].
    fn encode(&self, message: &ClusterMessage) -> Result<Envelope, EncodeError>;

    /// Reads a message. Payloads stay bytes. `None`: of no concern to this node.
    ///
    /// # Errors
    ///
    /// It is no message of this dialect: [`DecodeError`].
    fn decode(&self, channel: &str, payload: Bytes) -> Result<Option<ClusterMessage>, DecodeError>;

    /// The room that a message is for, if it says nothing to a node without members there: an event for one room, without
    /// an ack, of a sender that does not number its messages. It costs the same however long the message is. `None`: it
    /// has to be decoded. Always by default.
    fn glance<'a>(&self, _channel: &str, _payload: &'a [u8]) -> Option<Glance<'a>> {
        None
    }
}

/// The room that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The namespace of the room.
    pub namespace: &'a str,
    /// The room's name.
    pub room: &'a str,
}

/// A message, ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where it is published.
    pub channel: String,
    /// What is published.
    pub payload: Bytes,
}

/// Something to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BusChannel {
    /// The channel of this name.
    Exact(String),
    /// All channels that match a pattern in the sense of Redis.
    Pattern(String),
}

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The dialect has no word for it.
    Unsupported,
    /// Its payload came from another node and is not what may be sent.
    Payload,
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "the dialect has no such message",
            Self::Payload => "the payload is not valid",
        })
    }
}

impl std::error::Error for EncodeError {}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Python's pickle, as python-socketio up to 5.13 publishes: it is never decoded, because it can run code. The sender
    /// has to be updated.
    Pickle,
    /// Not UTF-8, where text is expected.
    NotUtf8,
    /// Not an object of the format.
    Malformed,
    /// A later version of roomcast says it in a form of its own, with this number. This node has to be updated.
    Form(u64),
    /// This field is missing or of the wrong type.
    Field(&'static str),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pickle => f.write_str("a pickle: python-socketio before 5.14 publishes there and must be updated"),
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::Malformed => f.write_str("not a message of the dialect"),
            Self::Form(form) => {
                write!(f, "a later version of roomcast says it in form {form}: this node must be updated")
            }
            Self::Field(name) => write!(f, "field {name} is missing or of the wrong type"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The form in which nodes of roomcast say things. Nodes pass over members and words that they do not know; what they would
/// misread has another number, as a member `form`.
pub(super) const FORM: u64 = 1;

/// Names of channels are text; a pattern has `*`, `?`, `[` and `\`.
pub(super) fn escape_pattern(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for char in name.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
