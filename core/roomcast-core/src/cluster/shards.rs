//! Several shards of one process on one bus: who gets a message, without anything being encoded on the way.
//!
//! Owns: the names of the shards and the routes of messages. Must never know: how shards are told, threads, or the bus.

use super::message::{ClusterMessage, NodeId};

/// The shards of a process, each a node of its own, as a switch between them and an outer bus.
///
/// A message of a shard goes to the others through memory, and to the bus if it concerns other processes. What comes back
/// from the bus of a shard's own is dropped, since the others have had it.
///
/// ```
/// # use roomcast_core::cluster::{Beat, ClusterBody, ClusterMessage, NodeId, Origin, Route, Shards};
/// # let [a, b, c] = ["a", "b", "c"].map(|name| NodeId::parse(name).unwrap());
/// let shards = Shards::new([a.clone(), b]);
/// let message = ClusterMessage { from: a, seq: Some(1), body: ClusterBody::Heartbeat(Beat::First) };
/// assert_eq!(shards.route(Origin::Shard, &message), Route { shards: vec![1], to_bus: true });
/// assert_eq!(shards.route(Origin::Bus, &message), Route { shards: vec![], to_bus: false });
/// let foreign = ClusterMessage { from: c, ..message };
/// assert_eq!(shards.route(Origin::Bus, &foreign), Route { shards: vec![0, 1], to_bus: false });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    nodes: Vec<NodeId>,
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One of the shards of this process.
    Shard,
    /// The outer bus, or what comes back from it.
    Bus,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The shards that get it, by their place in the list.
    pub shards: Vec<usize>,
    /// Whether it is published.
    pub to_bus: bool,
}

impl Shards {
    /// Shards by their names, see [`Server::node_id`](crate::server::Server::node_id).
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }

    /// Where a message goes: to the node that it is addressed to, or to all but its sender.
    pub fn route(&self, origin: Origin, message: &ClusterMessage) -> Route {
        let nowhere = Route { shards: Vec::new(), to_bus: false };
        if origin == Origin::Bus && self.nodes.contains(&message.from) {
            return nowhere;
        }
        if let Some(to) = message.body.addressee() {
            return match self.nodes.iter().position(|node| node == to) {
                Some(shard) => Route { shards: vec![shard], ..nowhere },
                None => Route { to_bus: origin == Origin::Shard, ..nowhere },
            };
        }
        let others = self.nodes.iter().enumerate().filter(|(_, node)| **node != message.from);
        Route { shards: others.map(|(shard, _)| shard).collect(), to_bus: origin == Origin::Shard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ClusterBody, RequestToken};

    #[test]
    fn an_answer_goes_to_its_addressee_alone() {
        let [a, b, far] = ["a", "b", "far"].map(|name| NodeId::parse(name).unwrap());
        let shards = Shards::new([a.clone(), b.clone()]);
        let count = |from: &NodeId, to: &NodeId| ClusterMessage {
            from: from.clone(),
            seq: None,
            body: ClusterBody::AckCount { to: to.clone(), token: RequestToken { key: "".into(), id: 1 }, asked: 0 },
        };
        let route = |origin, from: &NodeId, to: &NodeId| shards.route(origin, &count(from, to));
        assert_eq!(route(Origin::Shard, &a, &b), Route { shards: vec![1], to_bus: false }, "not published");
        assert_eq!(route(Origin::Shard, &a, &far), Route { shards: vec![], to_bus: true });
        assert_eq!(route(Origin::Bus, &far, &a), Route { shards: vec![0], to_bus: false });
        assert_eq!(route(Origin::Bus, &a, &b), Route { shards: vec![], to_bus: false }, "b has had it");
    }
}
