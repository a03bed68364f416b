//! Acks of updates that wait until the store has these.
//!
//! Owns: which ack waits for how many changes of its document, and how many may wait. Must never know: how a document is
//! stored, or what an ack says.
//!
//! The others in the document are told of an update at once. Its sender's ack is a promise that it survives a crash.

use std::collections::{BTreeMap, VecDeque};

use roomcast_core::server::{AckId, SocketId};
use roomcast_core::socket_io::Args;
use roomcast_documents::DocumentId;

/// An ack that is to be sent later.
#[derive(Debug)]
pub(crate) struct HeldAck {
    pub(crate) socket: SocketId,
    pub(crate) ack: AckId,
    pub(crate) args: Args,
}

/// All acks that wait for the store.
#[derive(Debug, Default)]
pub(crate) struct UnstoredAcks {
    /// With the number of changes of the document that have to be stored first, which never falls.
    documents: BTreeMap<DocumentId, VecDeque<(u64, HeldAck)>>,
    /// Number of acks, and bytes of their arguments.
    by_socket: BTreeMap<SocketId, (usize, usize)>,
}

impl UnstoredAcks {
    /// Holds an ack until so many changes are stored. What is above the limits is never sent: its sender takes the event
    /// for lost, and brings it again.
    pub(super) fn hold(&mut self, document: DocumentId, changes: u64, held: HeldAck) {
        let (acks, bytes) = self.by_socket.entry(held.socket).or_default();
        let added = held.args.json_bytes();
        if *acks > 0 && (*acks >= ACKS_PER_SOCKET_MAX || *bytes + added > BYTES_PER_SOCKET_MAX) {
            return;
        }
        (*acks, *bytes) = (*acks + 1, *bytes + added);
        self.documents.entry(document).or_default().push_back((changes, held));
    }

    /// The next ack that was held until at most so many changes are stored.
    pub(super) fn pop(&mut self, document: DocumentId, changes: u64) -> Option<HeldAck> {
        let queue = self.documents.get_mut(&document)?;
        let (_, held) = queue.pop_front_if(|(after, _)| *after <= changes)?;
        if queue.is_empty() {
            self.documents.remove(&document);
        }
        self.released(&held);
        Some(held)
    }

    /// A socket is gone.
    pub(crate) fn forget_socket(&mut self, socket: SocketId) {
        if self.by_socket.remove(&socket).is_some() {
            self.documents.retain(|_, queue| {
                queue.retain(|(_, held)| held.socket != socket);
                !queue.is_empty()
            });
        }
    }

    /// A document is not in memory any more.
    pub(super) fn forget_document(&mut self, document: DocumentId) {
        for (_, held) in self.documents.remove(&document).unwrap_or_default() {
            self.released(&held);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.documents.values().map(VecDeque::len).sum()
    }

    fn released(&mut self, held: &HeldAck) {
        let Some((acks, bytes)) = self.by_socket.get_mut(&held.socket) else { return };
        (*acks, *bytes) = (*acks - 1, *bytes - held.args.json_bytes());
        if *acks == 0 {
            self.by_socket.remove(&held.socket);
        }
    }
}

/// Acks of one socket that wait at a time.
const ACKS_PER_SOCKET_MAX: usize = 1000;
/// Bytes of their arguments, where there are several.
const BYTES_PER_SOCKET_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;
    use roomcast_core::id::SlabKey as _;

    #[test]
    fn acks_come_in_order_and_none_before_its_changes_are_stored() {
        let (mut acks, [one, two]) = (UnstoredAcks::default(), documents());
        for (document, changes, ack) in [(one, 1, 1), (one, 3, 2), (two, 1, 3), (one, 3, 4)] {
            acks.hold(document, changes, held(7, ack, "[]"));
        }
        let expected: [(u64, Vec<u64>); 4] = [(0, vec![]), (2, vec![1]), (2, vec![]), (3, vec![2, 4])];
        for (changes, ids) in expected {
            let popped: Vec<u64> = std::iter::from_fn(|| acks.pop(one, changes)).map(|held| held.ack.0).collect();
            assert_eq!(popped, ids, "{changes}");
        }
        acks.forget_document(two);
        assert_eq!((acks.len(), acks.by_socket.len()), (0, 0));
    }

    #[test]
    fn one_socket_holds_a_bounded_number_of_acks_and_bytes() {
        let (mut acks, [one, _]) = (UnstoredAcks::default(), documents());
        for ack in 0..2 * ACKS_PER_SOCKET_MAX as u64 {
            acks.hold(one, 1, held(1, ack, "[]"));
        }
        let long = format!("[\"{}\"]", "x".repeat(BYTES_PER_SOCKET_MAX));
        for ack in 0..3 {
            acks.hold(one, 1, held(2, ack, &long));
        }
        assert_eq!(acks.len(), ACKS_PER_SOCKET_MAX + 1, "and one that is long by itself");
        acks.forget_socket(socket(1));
        assert_eq!(acks.len(), 1);
        assert_eq!(acks.pop(one, 1).map(|held| held.socket), Some(socket(2)));
        assert_eq!((acks.len(), acks.by_socket.len()), (0, 0));
    }

    fn documents() -> [DocumentId; 2] {
        [0, 1].map(|index| DocumentId::from_parts(index, 0))
    }

    fn held(of: u32, ack: u64, json: &str) -> HeldAck {
        let args = Args::from_checked(json.into(), Vec::new());
        HeldAck { socket: socket(of), ack: AckId(ack), args }
    }
}
