//! Cursors that sockets announce, and their withdrawal.
//!
//! Owns: which awareness ids belong to which socket, and the update that takes them back. Must never know: what stands
//! in an awareness state.
//!
//! The front end's awareness is no y-protocols: an update is UTF-8 JSON, an object of states by client id. There is no
//! word for "gone", and a state of `null` makes the cursor plugin throw. An empty state has no cursor, and is taken.

use std::collections::{BTreeMap, BTreeSet};

use roomcast_documents::DocumentId;
use serde::de::IgnoredAny;

use super::frame::{self, ArgumentWriter, Blob};
use crate::OpenWebUi;
use roomcast_core::server::{Cx, SocketId};

impl OpenWebUi {
    /// Remembers which ids a socket has announced.
    pub(super) fn cursors_announced(&mut self, document: DocumentId, socket: SocketId, update: &[u8]) {
        let Ok(states) = serde_json::from_slice::<BTreeMap<u64, Option<IgnoredAny>>>(update) else { return };
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        let own = note.cursors.entry(socket).or_default();
        for client in states.into_keys() {
            if own.len() < CURSORS_PER_SOCKET_MAX {
                own.insert(client);
            }
        }
    }

    /// A socket has left: the ids that it alone has announced have no cursor any more.
    pub(super) fn withdraw_cursors(&mut self, document: DocumentId, socket: SocketId, user: &str, cx: &mut Cx<'_>) {
        let Some(name) = self.documents.name(document) else { return };
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        let mut own = note.cursors.remove(&socket).unwrap_or_default();
        for others in note.cursors.values() {
            own.retain(|client| !others.contains(client));
        }
        if own.is_empty() {
            return;
        }
        let blob = Blob::new(empty_states(&own).into(), self.settings.documents.array_bytes_max);
        let args = ArgumentWriter::of(&name).text("user_id", user).blob("update", &blob).finish();
        self.tell_others(document, None, frame::AWARENESS, args, cx);
    }
}

fn empty_states(clients: &BTreeSet<u64>) -> String {
    let states: Vec<String> = clients.iter().map(|client| format!("\"{client}\":{{}}")).collect();
    format!("{{{}}}", states.join(","))
}

/// A browser has one.
const CURSORS_PER_SOCKET_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_state_for_each_client() {
        assert_eq!(empty_states(&BTreeSet::from([7, 12])), r#"{"7":{},"12":{}}"#);
    }
}
