//! What nodes say to each other.
//!
//! Owns: the vocabulary of the bus, independent of its transport. Must never know: how a message is written on a wire,
//! sockets, or who is in a room.

use bytestring::ByteString;

use super::payload::BusPayload;
use crate::socket_io::{Delivery, Extent};

/// The name of a node on the bus: 1 to 64 visible ASCII characters. Each process, or each shard of one, draws its own at
/// startup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(ByteString);

impl NodeId {
    /// The longest name in bytes.
    pub const BYTES_MAX: usize = 64;

    /// 32 hexadecimal digits, as Python's `uuid4().hex`.
    pub fn from_random(bits: [u8; 16]) -> Self {
        let digits = bits.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let text: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
        Self(text.into())
    }

    /// From text; `None` if it is empty, too long, or has blanks, control or other than ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        // Not a slice of the message, all of which it would keep in memory.
        fits.then(|| Self(ByteString::from(text)))
    }

    /// A sender that does not say its name.
    pub fn unnamed() -> Self {
        Self(ByteString::from_static("-"))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message of one node to the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterMessage {
    /// The node that says it.
    pub from: NodeId,
    /// Its place, from 1, among what that node has published to all nodes, or, where it is addressed to one, among what it
    /// has sent to that one. Nodes of other makes give none: then neither losses nor duplicates are noticed.
    pub seq: Option<u64>,
    /// What it says.
    pub body: ClusterBody,
}

/// What a [`ClusterMessage`] says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClusterBody {
    /// Send an event to those of the recipients that are yours.
    Emit(ClusterEmit),
    /// How many sockets a node has asked for acks on behalf of another.
    AckCount {
        /// The node that published the emit.
        to: NodeId,
        /// As it came with the emit.
        token: RequestToken,
        /// How many sockets of the sender were asked.
        asked: u32,
    },
    /// A socket acknowledged an emit that another node published.
    Ack {
        /// The node that published the emit.
        to: NodeId,
        /// As it came with the emit.
        token: RequestToken,
        /// The namespace of the emit.
        namespace: ByteString,
        /// The arguments of the ack.
        args: BusPayload,
    },
    /// Put sockets into a room.
    Join {
        /// The sockets that join.
        recipients: Recipients,
        /// The room that they join.
        room: ByteString,
    },
    /// Put sockets into several rooms. Only servers of other makes say it in one message.
    JoinRooms {
        /// The sockets that join.
        recipients: Recipients,
        /// The rooms that they join.
        rooms: Vec<ByteString>,
    },
    /// Take sockets out of a room.
    Leave {
        /// The sockets that leave.
        recipients: Recipients,
        /// The room that they leave.
        room: ByteString,
    },
    /// Take sockets out of several rooms. Only servers of other makes say it in one message.
    LeaveRooms {
        /// The sockets that leave.
        recipients: Recipients,
        /// The rooms that they leave.
        rooms: Vec<ByteString>,
    },
    /// Take every socket out of a room.
    CloseRoom {
        /// The namespace of the room.
        namespace: ByteString,
        /// The room that all of them leave.
        room: ByteString,
    },
    /// End sockets' presence in their namespace, or their connections.
    Disconnect {
        /// The sockets that are disconnected.
        recipients: Recipients,
        /// How much ends.
        extent: Extent,
    },
    /// Which sockets of yours are these?
    FetchSockets {
        /// The sockets that are meant.
        recipients: Recipients,
        /// Comes back with the answer.
        token: RequestToken,
    },
    /// The answer to [`FetchSockets`](Self::FetchSockets).
    Sockets {
        /// The node that asked.
        to: NodeId,
        /// As it came with the question.
        token: RequestToken,
        /// Sockets of the sender.
        sockets: Vec<RemoteSocket>,
    },
    /// Which rooms have members of yours? Only servers of other makes ask that.
    FetchRooms {
        /// The namespace of the rooms.
        namespace: ByteString,
        /// Comes back with the answer.
        token: RequestToken,
    },
    /// The answer to [`FetchRooms`](Self::FetchRooms).
    Rooms {
        /// The node that asked.
        to: NodeId,
        /// As it came with the question.
        token: RequestToken,
        /// Rooms that have sockets of the sender, their own ones among them.
        rooms: Vec<ByteString>,
    },
    /// An event for the applications of the other nodes, not for clients.
    ServerEmit {
        /// The namespace it is said in.
        namespace: ByteString,
        /// The event's name.
        name: ByteString,
        /// Its arguments.
        args: BusPayload,
        /// Given if each node is to reply.
        token: Option<RequestToken>,
    },
    /// The reply to a [`ServerEmit`](Self::ServerEmit).
    ServerReply {
        /// The node that asked.
        to: NodeId,
        /// As it came with the event.
        token: RequestToken,
        /// The arguments of the reply.
        args: BusPayload,
    },
    /// The sender is there.
    Heartbeat(Beat),
    /// The sender goes, and answers nothing any more.
    Goodbye,
}

impl ClusterBody {
    /// The one node that a message is for; `None`: it is for all.
    pub const fn addressee(&self) -> Option<&NodeId> {
        match self {
            Self::AckCount { to, .. }
            | Self::Ack { to, .. }
            | Self::Sockets { to, .. }
            | Self::Rooms { to, .. }
            | Self::ServerReply { to, .. } => Some(to),
            Self::Emit(_)
            | Self::Join { .. }
            | Self::JoinRooms { .. }
            | Self::Leave { .. }
            | Self::LeaveRooms { .. }
            | Self::CloseRoom { .. }
            | Self::Disconnect { .. }
            | Self::FetchSockets { .. }
            | Self::FetchRooms { .. }
            | Self::ServerEmit { .. }
            | Self::Heartbeat(_)
            | Self::Goodbye => None,
        }
    }

    /// The number of the request that it makes of all nodes, if it makes one.
    pub const fn question(&self) -> Option<u64> {
        match self {
            Self::Emit(ClusterEmit { ack: Some(token), .. })
            | Self::FetchSockets { token, .. }
            | Self::FetchRooms { token, .. }
            | Self::ServerEmit { token: Some(token), .. } => Some(token.id),
            Self::Emit(ClusterEmit { ack: None, .. })
            | Self::ServerEmit { token: None, .. }
            | Self::AckCount { .. }
            | Self::Ack { .. }
            | Self::Join { .. }
            | Self::JoinRooms { .. }
            | Self::Leave { .. }
            | Self::LeaveRooms { .. }
            | Self::CloseRoom { .. }
            | Self::Disconnect { .. }
            | Self::Sockets { .. }
            | Self::Rooms { .. }
            | Self::ServerReply { .. }
            | Self::Heartbeat(_)
            | Self::Goodbye => None,
        }
    }
}

/// Which heartbeat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The first: others answer with one of theirs, so that a new node knows them at once.
    First,
    /// One of those that follow at each interval.
    Regular,
}

/// An event for sockets on other nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterEmit {
    /// The sockets that get it.
    pub recipients: Recipients,
    /// The event's name.
    pub name: ByteString,
    /// Its arguments, not looked at until a recipient is found.
    pub args: BusPayload,
    /// Whether it may be dropped on the last stretch.
    pub delivery: Delivery,
    /// Given if the sender wants acks.
    pub ack: Option<RequestToken>,
}

/// Sockets of a namespace, wherever they are: the union of rooms less the members of others. A socket's id is a room of
/// its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipients {
    /// The namespace.
    pub namespace: ByteString,
    /// Members of any of these rooms; if there are none, every socket of the namespace.
    pub rooms: Vec<ByteString>,
    /// Less the members of these.
    pub except: Vec<ByteString>,
}

impl Recipients {
    /// Every socket of a namespace.
    pub const fn everyone(namespace: ByteString) -> Self {
        Self { namespace, rooms: Vec::new(), except: Vec::new() }
    }

    /// The members of one room.
    pub fn room(namespace: ByteString, room: ByteString) -> Self {
        Self { namespace, rooms: vec![room], except: Vec::new() }
    }
}

/// How the origin of a request knows it again. Other nodes send it back unchanged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestToken {
    /// What the dialect of the origin needs beside the number: a room in python-socketio's, the whole id in
    /// `@socket.io/redis-adapter`'s. May be empty.
    pub key: ByteString,
    /// The number of the request.
    pub id: u64,
}

/// A socket on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSocket {
    /// Its Socket.IO id.
    pub sid: ByteString,
    /// The rooms that it is in, its own id not among them.
    pub rooms: Vec<ByteString>,
}

/// A room, as something to subscribe to where each has a channel of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomChannel {
    /// The namespace of the room.
    pub namespace: ByteString,
    /// The room, or a socket's id.
    pub room: ByteString,
}
