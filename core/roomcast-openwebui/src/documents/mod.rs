//! Documents: `ydoc:*` of the application protocol, and y-protocols over plain WebSocket.
//!
//! Owns: who is in a document and what it may do there, relaying, and when a document is stored. Must never know: how
//! updates are put together, which [`yjs`](roomcast_yjs) does, or how a store writes.
//!
//! | file | what |
//! |---|---|
//! | `settings` | what it is told before it starts |
//! | `room` | the records |
//! | `frame` | names and payloads as they go over the wire |
//! | `join` | from `ydoc:document:join` to the state, parked joins, leaving |
//! | `rights` | whether members may still do what they could |
//! | `load`, `persist` | from the stores, and to them |
//! | `content` | the rendered content of notes |
//! | `update` | what members send, and who is told |
//! | `peers`, `protocol` | members by y-protocols |
//! | `visits` | what the rest of the program reads and writes |
//!
//! A document is a note's: its id is `note:` and the note's. It is loaded with its first member, and leaves memory once
//! its last member has left and everything is stored.

mod content;
mod frame;
mod join;
mod load;
mod peers;
mod persist;
mod protocol;
mod rights;
mod room;
mod settings;
mod update;
mod visits;

use bytestring::ByteString;

pub(super) use self::join::{Joiner, Parked};
pub(super) use self::room::{Aim, Documents, RoomId};
pub use self::room::{DocumentCounters, DocumentCounts};
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
            Aim::Load(room) => self.document_loaded(room, reply, cx),
            Aim::LoadContent(room) => self.content_loaded(room, reply, cx),
            Aim::Append { room, first, end } => self.appended(room, (first, end), reply.is_ok(), cx),
            Aim::Snapshot { room, up_to } => self.snapshotted(room, up_to, reply.is_ok(), cx),
            Aim::SaveContent(room) => self.content_saved(room, reply.map(drop), cx),
            Aim::Rights { room, socket, epoch } => {
                self.document_rights_answered(room, (socket, epoch), note(reply), cx)
            }
            Aim::Peer(session) => self.peer_answered(id, session, reply, cx),
            Aim::Visit(ticket) => self.visit_answered(ticket, reply, cx),
        }
    }

    /// What is due of documents.
    pub(super) fn documents_timeout(&mut self, cx: &mut Cx<'_>) {
        while let Some(socket) = self.documents.parked.pop_due(cx.now) {
            self.parked_overdue(socket, cx);
        }
        while let Some(room) = self.documents.due.pop_due(cx.now) {
            self.room_due(room, cx);
        }
        while let Some(session) = self.documents.peers.pop_due(cx.now) {
            self.peer_due(session, cx);
        }
    }

    /// What has happened to documents since the start.
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
