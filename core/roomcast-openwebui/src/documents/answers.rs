//! Which part of documents an answer or a deadline belongs to.
//!
//! Owns: the way from a store's answer, and from a timer, to what waits for it. Must never know: what is done with it.

use super::counts::AppDocumentCounters;
use super::names::{Aim, note};
use crate::OpenWebUi;
use crate::query::{QueryId, StoreAnswer, StoreError};
use roomcast_core::server::Cx;

impl OpenWebUi {
    /// A store answered a question about documents, or its deadline passed.
    pub(crate) fn document_answered(
        &mut self,
        id: QueryId,
        aim: Aim,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        match aim {
            Aim::Load(document) => self.document_loaded(document, reply, cx),
            Aim::LoadContent(document) => self.content_loaded(document, reply, cx),
            Aim::Open(document) => self.document_read(document, computed(reply), cx),
            Aim::Work(document) => self.document_worked(document, computed(reply), cx),
            Aim::Read(socket) => self.long_update_read(socket, computed(reply).flatten(), cx),
            Aim::Mark(document) => self.content_marked(document, computed(reply).flatten(), cx),
            Aim::MarkFound { document, query } => {
                self.found_marked(query, document, computed(reply).flatten(), cx);
            }
            Aim::Append { document, first, end } => self.appended(document, (first, end), reply.map(drop), cx),
            Aim::Snapshot { document, up_to } => self.snapshotted(document, up_to, reply.map(drop), cx),
            Aim::Shared { document, asked } => self.shared_answered(document, asked, reply, cx),
            Aim::SaveContent(document) => self.content_saved(document, reply.map(drop), cx),
            Aim::SaveFields(document) => self.fields_saved(document, reply.map(drop), cx),
            Aim::SaveRights(document) => self.save_rights_answered(document, note(reply), cx),
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
    pub(crate) fn documents_timeout(&mut self, cx: &mut Cx<'_>) {
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
    pub fn document_counters(&self) -> AppDocumentCounters {
        self.documents.counters()
    }
}

fn computed<T: std::any::Any>(reply: Result<StoreAnswer, StoreError>) -> Option<T> {
    match reply {
        Ok(StoreAnswer::Computed(computed)) => computed.take(),
        Ok(_) | Err(_) => None,
    }
}
