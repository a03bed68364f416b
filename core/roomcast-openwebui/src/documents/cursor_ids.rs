//! Which awareness ids are whose: of a socket here, or of another node.
//!
//! Owns: the ids of one document, and which of them are gone. Must never know: what stands in an awareness
//! state, or how others are told.
//!
//! A browser keeps its id when it comes back on another connection, perhaps at another node, before the old one is known
//! to be gone. So an id is withdrawn only when no other holds it.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use roomcast_core::cluster::NodeId;
use roomcast_core::server::SocketId;

/// The awareness ids of one document.
#[derive(Debug, Default)]
pub(super) struct CursorIds {
    here: BTreeMap<SocketId, BTreeSet<u64>>,
    /// With the user of each.
    elsewhere: BTreeMap<NodeId, BTreeMap<u64, ByteString>>,
}

impl CursorIds {
    /// A socket here has announced these. Those that are new of it.
    pub(super) fn announced(&mut self, socket: SocketId, clients: impl Iterator<Item = u64>) -> Vec<u64> {
        let own = self.here.entry(socket).or_default();
        clients.filter(|client| own.len() < CURSORS_PER_SOCKET_MAX && own.insert(*client)).collect()
    }

    /// A socket here has left: the ids that no other socket here holds, and those of them that no node holds either.
    pub(super) fn left(&mut self, socket: SocketId) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let mut own = self.here.remove(&socket).unwrap_or_default();
        own.retain(|client| !self.is_held_here(*client));
        let gone = own.iter().copied().filter(|client| !self.is_held_elsewhere(*client)).collect();
        (own, gone)
    }

    /// Sockets of another node have announced these.
    pub(super) fn announced_elsewhere(&mut self, node: &NodeId, user: &ByteString, clients: &[u64]) {
        let theirs = self.elsewhere.entry(node.clone()).or_default();
        for client in clients {
            if theirs.len() < CURSORS_PER_NODE_MAX {
                theirs.insert(*client, user.clone());
            }
        }
    }

    /// Another node holds these no more, and has told its own sockets and those here.
    pub(super) fn left_elsewhere(&mut self, node: &NodeId, clients: &[u64]) {
        let Some(theirs) = self.elsewhere.get_mut(node) else { return };
        for client in clients {
            theirs.remove(client);
        }
        if theirs.is_empty() {
            self.elsewhere.remove(node);
        }
    }

    /// Another node is gone: the ids that no one holds any more, by user.
    pub(super) fn node_left(&mut self, node: &NodeId) -> BTreeMap<ByteString, BTreeSet<u64>> {
        let mut gone: BTreeMap<ByteString, BTreeSet<u64>> = BTreeMap::new();
        for (client, user) in self.elsewhere.remove(node).unwrap_or_default() {
            if !self.is_held_here(client) && !self.is_held_elsewhere(client) {
                gone.entry(user).or_default().insert(client);
            }
        }
        gone
    }

    /// The ids of all sockets here.
    pub(super) fn here(&self) -> impl Iterator<Item = (SocketId, Vec<u64>)> {
        self.here.iter().map(|(socket, clients)| (*socket, clients.iter().copied().collect()))
    }

    fn is_held_here(&self, client: u64) -> bool {
        self.here.values().any(|clients| clients.contains(&client))
    }

    fn is_held_elsewhere(&self, client: u64) -> bool {
        self.elsewhere.values().any(|clients| clients.contains_key(&client))
    }
}

/// A browser has one.
const CURSORS_PER_SOCKET_MAX: usize = 16;
/// As many as members of one document may bring on one node, by far.
const CURSORS_PER_NODE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn an_id_is_gone_with_the_last_that_holds_it() {
        let (mut ids, [a, b]) = (CursorIds::default(), [1, 2].map(|name| NodeId::from_random([name; 16])));
        assert_eq!(ids.announced(socket(1), [7, 8].into_iter()), [7, 8]);
        assert_eq!(ids.announced(socket(1), [7, 9].into_iter()), [9], "once");
        ids.announced(socket(2), [8].into_iter());
        ids.announced_elsewhere(&a, &"ann".into(), &[9, 20, 21]);
        ids.announced_elsewhere(&b, &"ben".into(), &[21]);
        let (told, gone) = ids.left(socket(1));
        assert_eq!((told, gone), ([7, 9].into(), [7].into()), "8 is of another socket, 9 of another node as well");
        assert_eq!(ids.node_left(&a), [("ann".into(), [9, 20].into())].into(), "21 has moved to another node");
        assert_eq!(ids.node_left(&a), BTreeMap::new());
        ids.left_elsewhere(&b, &[21, 22]);
        assert_eq!(ids.node_left(&b), BTreeMap::new());
        assert_eq!(ids.here().collect::<Vec<_>>(), [(socket(2), vec![8])]);
    }

    #[test]
    fn ids_are_bounded_for_each_socket_and_each_node() {
        let (mut ids, node) = (CursorIds::default(), NodeId::from_random([1; 16]));
        assert_eq!(ids.announced(socket(1), 0..100).len(), CURSORS_PER_SOCKET_MAX);
        ids.announced_elsewhere(&node, &"ann".into(), &(0..10_000).collect::<Vec<_>>());
        assert_eq!(
            ids.node_left(&node).values().map(BTreeSet::len).sum::<usize>(),
            CURSORS_PER_NODE_MAX - CURSORS_PER_SOCKET_MAX
        );
    }
}
