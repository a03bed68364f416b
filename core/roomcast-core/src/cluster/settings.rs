//! How a node takes part in a cluster.
//!
//! Owns: settings and their defaults. Must never know: a message, or a bus.

use std::time::Duration;

use bytestring::ByteString;

/// How a node takes part in a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterSettings {
    /// Time between two heartbeats. 5 s.
    pub heartbeat_interval: Duration,
    /// Time without any message after which a node is gone. 15 s.
    pub node_timeout: Duration,
    /// Time in which sockets here must acknowledge an emit of another node, which does not say how long it waits. 60 s,
    /// as python-socketio's `call`.
    pub relayed_ack_timeout: Duration,
    /// Whether nodes that send no heartbeats may have sockets.
    pub strangers: Strangers,
    /// What the node is subscribed to.
    pub subscriptions: Subscriptions,
    /// Time after which a join is acknowledged although the subscription to its room is not confirmed. 2 s.
    pub subscribe_timeout: Duration,
    /// Emits of other nodes that the application is told of, beside the sockets that get them. None.
    pub watches: Vec<EmitWatch>,
    /// Nodes that are known at most; the heartbeats of further ones are ignored. 1,024.
    pub nodes_max: usize,
    /// Requests to other nodes that wait at most; one more ends at once. 100,000.
    pub requests_max: usize,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            node_timeout: Duration::from_secs(15),
            relayed_ack_timeout: Duration::from_secs(60),
            strangers: Strangers::Wait,
            subscriptions: Subscriptions::Everything,
            subscribe_timeout: Duration::from_secs(2),
            watches: Vec::new(),
            nodes_max: 1024,
            requests_max: 100_000,
        }
    }
}

/// Emits of other nodes to one room with members here, of which the application is told by
/// [`ClusterEvent::Emitted`](crate::server::ClusterEvent::Emitted): all that have both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmitWatch {
    /// The event's name.
    pub name: ByteString,
    /// What the room's name begins with.
    pub room_start: ByteString,
}

/// Nodes that send no heartbeats: Python and JavaScript servers on the same bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    /// They may have sockets. An emit with ack to several sockets then waits for its deadline: how many were asked there is
    /// unknown. One to a single socket ends with its ack.
    #[default]
    Wait,
    /// They only emit. An emit with ack ends when every known node has said how many it asked and these have answered.
    Ignore,
    /// They may have sockets, and answer every question as nodes do, without saying who they are: JavaScript servers. How
    /// many servers a question has reached, the bus says; it ends when as many have answered. Where the bus does not say
    /// it, a question waits for its deadline.
    Counted,
}

/// What the bus brings to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subscriptions {
    /// Every message.
    #[default]
    Everything,
    /// Every message reaches the connection of the bus, which passes over those for a room without members here: it is told
    /// of these rooms as with `PerRoom`. No join waits for it.
    Filtered,
    /// Beside messages to several rooms and to all, those to rooms with members here: each has a channel of its own. A
    /// join is acknowledged to the client when the bus has confirmed the subscription.
    PerRoom,
}
