//! Which sockets a command is about, and what is asked of them.
//!
//! Owns: targets and requests for acks. Must never know: how a target is looked up.

use std::time::Duration;

use bytestring::ByteString;

use super::config::EndpointId;
use super::handles::{EmitId, SocketId};

/// The sockets that a command addresses.
#[derive(Clone, Debug)]
pub enum Target {
    /// A single socket.
    Socket(SocketId),
    /// The members of one room of a namespace; none if there is no such room. Each socket is the
    /// only member of a room named by its sid.
    Room {
        /// The namespace of the room.
        namespace: Scope,
        /// The room's name.
        room: ByteString,
    },
    /// A union of rooms and sockets, less exceptions.
    Select(Box<Selection>),
}

impl Target {
    /// Addresses every socket of a namespace.
    pub fn everyone(namespace: Scope) -> Self {
        Self::Select(Box::new(Selection::of(namespace)))
    }
}

/// A namespace of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Which namespace there.
    pub namespace: ByteString,
}

/// The union of rooms and sockets, or all of a namespace, less exceptions. Each socket is addressed once.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The namespace.
    pub scope: Scope,
    /// Includes the members of these rooms. If `rooms` and `sockets` are both empty, all of the namespace.
    pub rooms: Vec<ByteString>,
    /// Includes these sockets, regardless of their rooms; those of another namespace are ignored.
    pub sockets: Vec<SocketId>,
    /// Excludes the members of these rooms.
    pub except_rooms: Vec<ByteString>,
    /// Excludes these sockets.
    pub except_sockets: Vec<SocketId>,
    /// Whether sockets on other nodes are meant as well.
    pub reach: Reach,
}

/// Which nodes a [`Selection`] is about. A [`Target::Socket`] is always on this node, a [`Target::Room`] on all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// All nodes of the cluster. Without a cluster, this one.
    #[default]
    Cluster,
    /// The sockets of this node alone.
    Local,
}

impl Selection {
    /// Selects every socket of a namespace.
    pub fn of(scope: Scope) -> Self {
        Self {
            scope,
            rooms: Vec::new(),
            sockets: Vec::new(),
            except_rooms: Vec::new(),
            except_sockets: Vec::new(),
            reach: Reach::Cluster,
        }
    }
}

/// What is asked of the recipients of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRequest {
    /// Comes back with [`Event::Acked`](super::Event::Acked) and [`Event::AcksEnded`](super::Event::AcksEnded).
    pub emit: EmitId,
    /// How long to wait.
    pub timeout: Duration,
}

/// Why an emit with ack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckEnd {
    /// All recipients answered.
    Complete,
    /// The deadline passed.
    TimedOut,
    /// The last recipient without an answer disconnected, or there was no recipient at all.
    Gone,
}
