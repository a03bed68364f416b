//! What requests are known by.
//!
//! A JavaScript server draws six characters; a node of roomcast writes its own name and a number, `node:7`, so that all
//! nodes know from an answer alone whose it is. As a [`RequestToken`] a request of another node has the whole id for its key
//! and says by its number how to answer: the place of its namespace in the settings, and whether sids are enough.
//!
//! Owns: these forms. Must never know: the messages that they are in.

use crate::cluster::message::{NodeId, RequestToken};

/// More than any id has; it comes back with each answer.
pub(super) const BYTES_MAX: usize = 256;
/// The asker wants sids, not sockets with their rooms.
pub(super) const SIDS_ALONE: u64 = 1 << 32;

/// The id of a request of this node.
pub(super) fn write(node: &NodeId, number: u64) -> String {
    format!("{node}:{number}")
}

/// The node of roomcast that asked, and its number.
pub(super) fn parse(id: &str) -> Option<(NodeId, u64)> {
    let (node, number) = id.rsplit_once(':')?;
    Some((NodeId::parse(node)?, number.parse().ok()?))
}

/// As it goes back to the asker.
pub(super) fn of_answer(to: &NodeId, token: &RequestToken) -> String {
    if token.key.is_empty() { write(to, token.id) } else { token.key.to_string() }
}

/// The place of the asker's namespace in the settings.
pub(super) fn place(token: &RequestToken) -> usize {
    if token.key.is_empty() { 0 } else { usize::try_from(token.id & (SIDS_ALONE - 1)).unwrap_or_default() }
}
