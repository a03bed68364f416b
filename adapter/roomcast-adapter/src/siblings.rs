//! The other shards of this process, for the bus to other processes.
//!
//! Owns: their names, and whether that bus is away. Must never know: a message's content, or how either bus works.

use std::sync::atomic::{AtomicBool, Ordering};

use roomcast_core::cluster::NodeId;

/// What the inbox of an outer bus knows of the shards of this process.
#[derive(Debug)]
pub(crate) struct Siblings {
    names: Vec<NodeId>,
    is_outer_down: AtomicBool,
}

impl Siblings {
    pub(crate) fn new(names: Vec<NodeId>) -> Self {
        Self { names, is_outer_down: AtomicBool::new(false) }
    }

    /// Whether a message of this node has come through memory already.
    pub(crate) fn have(&self, node: &NodeId) -> bool {
        self.names.contains(node)
    }

    /// Whether the outer bus is away.
    pub(crate) fn is_outer_down(&self) -> bool {
        self.is_outer_down.load(Ordering::Acquire)
    }

    pub(crate) fn set_outer_down(&self, is_down: bool) {
        self.is_outer_down.store(is_down, Ordering::Release);
    }
}
