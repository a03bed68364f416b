//! Cursors that sockets announce, and their withdrawal.
//!
//! Owns: what nodes tell each other of awareness ids, and the update that takes them back. Must never know: what stands
//! in an awareness state.
//!
//! The front end's awareness is no y-protocols: an update is UTF-8 JSON, an object of states by client id. There is no
//! word for "gone", and a state of `null` makes the cursor plugin throw. An empty state has no cursor, and is taken.

//!
//! A node that is lost withdraws nothing. So each node tells the others which ids its sockets have announced, and these
//! tell their own sockets when it is gone. What the bus loses of that leaves a cursor until the page is loaded again.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use roomcast_documents::DocumentId;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::frame::{self, ArgumentWriter, Blob};
use super::names::MemberKey;
use crate::{OpenWebUi, wire};
use roomcast_core::cluster::NodeId;
use roomcast_core::server::{ClusterCommand, Command, Cx, Reach, SocketId};
use roomcast_core::socket_io::Args;

/// What nodes tell each other.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum CursorNews {
    /// Sockets of the sender have announced these.
    Here { document: String, user: String, clients: Vec<u64> },
    /// None of the sender's sockets holds these any more.
    Gone { document: String, clients: Vec<u64> },
    /// The sender has a document now, and wants to know those of all nodes.
    AskedFor { document: String },
    /// The sender has heard of this node, and wants to know all that it has.
    AskedOf { node: String },
}

impl OpenWebUi {
    /// Remembers which ids a socket has announced.
    pub(super) fn cursors_announced(&mut self, document: DocumentId, socket: SocketId, update: &[u8], cx: &mut Cx<'_>) {
        let Ok(states) = serde_json::from_slice::<BTreeMap<u64, Option<IgnoredAny>>>(update) else { return };
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        let clients = note.cursors.announced(socket, states.into_keys());
        self.tell_cursors(document, socket, clients, cx);
    }

    /// A socket has left: the ids that it alone has announced have no cursor any more.
    pub(super) fn withdraw_cursors(&mut self, document: DocumentId, socket: SocketId, user: &str, cx: &mut Cx<'_>) {
        let Some(document_name) = self.documents.name(document) else { return };
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        let (own, gone) = note.cursors.left(socket);
        if !own.is_empty() {
            let clients = own.into_iter().collect();
            self.tell_cursor_news(&CursorNews::Gone { document: document_name.to_string(), clients }, cx);
        }
        self.tell_withdrawn(document, user, &gone, Reach::Cluster, cx);
    }

    /// A document is in memory now: what its members on other nodes have announced is asked for.
    pub(super) fn ask_for_cursors(&self, document: DocumentId, cx: &mut Cx<'_>) {
        if let Some(document) = self.documents.name(document) {
            self.tell_cursor_news(&CursorNews::AskedFor { document: document.to_string() }, cx);
        }
    }

    /// Another node is there, or there again.
    pub(super) fn ask_node_for_cursors(&self, node: &NodeId, cx: &mut Cx<'_>) {
        if !self.documents.notes.is_empty() {
            self.tell_cursor_news(&CursorNews::AskedOf { node: node.as_str().into() }, cx);
        }
    }

    /// Another node is gone, with the cursors of its sockets: each node tells its own.
    pub(super) fn withdraw_cursors_of(&mut self, node: &NodeId, cx: &mut Cx<'_>) {
        let documents: Vec<DocumentId> = self.documents.notes.keys().copied().collect();
        for document in documents {
            let Some(note) = self.documents.notes.get_mut(&document) else { continue };
            for (user, gone) in note.cursors.node_left(node) {
                self.tell_withdrawn(document, &user, &gone, Reach::Local, cx);
            }
        }
    }

    /// Another node says something of cursors.
    pub(super) fn hear_of_cursors(&mut self, node: &NodeId, args: &Args, cx: &mut Cx<'_>) {
        match args.parse::<CursorNews>() {
            Ok(CursorNews::Here { document, user, clients }) => {
                if let Some(note) = self.documents.note_named(&document) {
                    note.cursors.announced_elsewhere(node, &user.into(), &clients);
                }
            }
            Ok(CursorNews::Gone { document, clients }) => {
                if let Some(note) = self.documents.note_named(&document) {
                    note.cursors.left_elsewhere(node, &clients);
                }
            }
            Ok(CursorNews::AskedFor { document }) => {
                if let Some(document) = self.documents.machine.named(&document) {
                    self.tell_all_cursors(document, cx);
                }
            }
            Ok(CursorNews::AskedOf { node }) => {
                if cx.server.node_id().is_some_and(|own| own.as_str() == &*node) {
                    let documents: Vec<DocumentId> = self.documents.notes.keys().copied().collect();
                    documents.into_iter().for_each(|document| self.tell_all_cursors(document, cx));
                }
            }
            // Of a later version.
            Err(_) => {}
        }
    }

    fn tell_all_cursors(&self, document: DocumentId, cx: &mut Cx<'_>) {
        let Some(note) = self.documents.notes.get(&document) else { return };
        for (socket, clients) in note.cursors.here() {
            self.tell_cursors(document, socket, clients, cx);
        }
    }

    fn tell_cursors(&self, document: DocumentId, socket: SocketId, clients: Vec<u64>, cx: &mut Cx<'_>) {
        let Some(open) = self.documents.machine.get(document).filter(|_| !clients.is_empty()) else { return };
        let Some(member) = open.member(MemberKey::Socket(socket)) else { return };
        let (document, user) = (open.name().to_string(), member.user().to_string());
        self.tell_cursor_news(&CursorNews::Here { document, user, clients }, cx);
    }

    fn tell_cursor_news(&self, news: &CursorNews, cx: &mut Cx<'_>) {
        if cx.server.node_id().is_some() {
            let namespace = self.settings.scope.namespace.clone();
            let emit = ClusterCommand::ServerEmit { namespace, name: CURSORS, args: wire::args(news), ack: None };
            cx.command(Command::Cluster(emit));
        }
    }

    fn tell_withdrawn(&self, document: DocumentId, user: &str, gone: &BTreeSet<u64>, reach: Reach, cx: &mut Cx<'_>) {
        let Some(document_name) = self.documents.name(document).filter(|_| !gone.is_empty()) else { return };
        let blob = Blob::new(empty_states(gone).into(), self.settings.documents.array_bytes_max);
        let args = ArgumentWriter::of(&document_name).text("user_id", user).blob("update", &blob).finish();
        self.tell_those(document, None, reach, (frame::AWARENESS, args), cx);
    }
}

fn empty_states(clients: &BTreeSet<u64>) -> String {
    let states: Vec<String> = clients.iter().map(|client| format!("\"{client}\":{{}}")).collect();
    format!("{{{}}}", states.join(","))
}

/// What nodes tell each other of cursors, in the namespace of the application.
pub(super) const CURSORS: ByteString = ByteString::from_static("roomcast:cursors");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_state_for_each_client() {
        assert_eq!(empty_states(&BTreeSet::from([7, 12])), r#"{"7":{},"12":{}}"#);
    }
}
