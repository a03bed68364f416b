//! The sockets of all nodes that a selection means.
//!
//! Owns: [`FetchedSockets`]. Must never know: how other nodes are asked.

use roomcast_core::server::FetchedSocket;

/// Sockets of this node and of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedSockets {
    /// Ids, nodes and rooms of the sockets, those of this node first.
    pub sockets: Vec<FetchedSocket>,
    /// How many of the known nodes have not answered in time.
    pub nodes_missing: u32,
}
