//! Documents: `ydoc:*` of the application protocol, and y-protocols over plain WebSocket.
//!
//! Owns: what is Open WebUI's about documents: their names, rights by notes, the notes' contents, who loads them into
//! empty documents, and the remedy for offline edits. Must never know: how a document is kept, relayed and stored, which
//! [`roomcast_documents`] does.
//!
//! | file | what |
//! |---|---|
//! | `settings` | what it is told before it starts |
//! | `records` | the records |
//! | `frame` | names and payloads as they go over the wire |
//! | `pump` | carries out what the document machine says |
//! | `join` | from `ydoc:document:join` to leaving, parked joins |
//! | `state` | what members are told of the state, and who loads a note |
//! | `rights` | whether members may still do what they could |
//! | `load`, `persist` | a note's content and its document from the stores, and to them |
//! | `content` | the rendered content of notes |
//! | `update`, `cursors` | what sockets send |
//! | `peers`, `protocol` | members by y-protocols |
//! | `visits` | what the rest of the program reads and writes |
//!
//! A document is a note's: its id is `note:` and the note's. It is loaded with its first member, and leaves memory a while
//! after its last member has left and everything is stored.

mod content;
mod cursors;
mod frame;
mod join;
mod load;
mod peers;
mod persist;
mod protocol;
mod pump;
mod records;
mod rights;
mod settings;
mod state;
mod update;
mod visits;

use bytestring::ByteString;

pub(super) use self::join::{Joiner, Parked};
pub(super) use self::records::{Aim, Documents};
pub use self::records::{DocumentCounters, DocumentCounts};
pub use self::settings::{Compat, DocumentSettings};
pub(super) use self::visits::Task;
use super::query::{QueryId, StoreAnswer, StoreError};
use super::{AppLimits, OpenWebUi};
use roomcast_core::server::Cx;

impl OpenWebUi {
    /// A store answered a question about documents, or its deadline passed.
    pub(super) fn document_answered(
        &mut self,
        id: QueryId,
        aim: Aim,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        match aim {
            Aim::Load(document) => self.document_loaded(document, reply, cx),
            Aim::LoadContent(document) => self.content_loaded(document, reply, cx),
            Aim::Append { document, first, end } => self.appended(document, (first, end), reply.map(drop), cx),
            Aim::Snapshot { document, up_to } => self.snapshotted(document, up_to, reply.map(drop), cx),
            Aim::SaveContent(document) => self.content_saved(document, reply.map(drop), cx),
            Aim::Verify(document) => self.content_verified(id, document, reply, cx),
            Aim::Rights { document, socket, epoch } => {
                self.document_rights_answered(document, (socket, epoch), note(reply), cx)
            }
            Aim::Peer(session) => self.peer_answered(id, session, reply, cx),
            Aim::Visit(ticket) => self.visit_answered(ticket, reply, cx),
        }
        self.pump_documents(cx);
    }

    /// What is due of documents.
    pub(super) fn documents_timeout(&mut self, cx: &mut Cx<'_>) {
        while let Some(socket) = self.documents.parked.pop_due(cx.now) {
            self.parked_overdue(socket, cx);
        }
        while let Some(document) = self.documents.due.pop_due(cx.now) {
            self.content_due(document, cx);
        }
        self.documents.machine.handle_timeout(cx.now);
        self.pump_documents(cx);
        while let Some(session) = self.documents.peers.pop_due(cx.now) {
            self.peer_due(session, cx);
        }
    }

    /// Totals of documents since startup.
    pub fn document_counters(&self) -> DocumentCounters {
        self.documents.counters()
    }
}

/// The one id of a document, whatever alias it came under, and the note's. `None`: there is no such document.
fn canonical(document: &str, limits: &AppLimits) -> Option<(ByteString, ByteString)> {
    let note = document.strip_prefix(PREFIX).or_else(|| document.strip_prefix(ALIAS))?;
    if note.is_empty() || document.len() > limits.id_bytes_max {
        return None;
    }
    Some(([PREFIX, note].concat().into(), note.into()))
}

/// What a store says of a note.
fn note(reply: Result<StoreAnswer, StoreError>) -> Result<Option<super::query::Note>, StoreError> {
    match reply {
        Ok(StoreAnswer::Note(found)) => Ok(found),
        Ok(_) => Err(StoreError::Corrupt),
        Err(error) => Err(error),
    }
}

const PREFIX: &str = "note:";
/// As the original names it in Redis; it must not be a second document.
const ALIAS: &str = "note_";
