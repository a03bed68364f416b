//! Whether members may still do what they could when they joined.
//!
//! Owns: asking about the notes of a session's documents, and what follows. Must never know: how members join.

use roomcast_documents::DocumentId;

use super::names::{Aim, MemberKey};
use crate::OpenWebUi;
use crate::access::{self, Access};
use crate::purpose::Purpose;
use crate::query::{Note, Question, StoreError, User};
use roomcast_core::server::{Cx, SocketId};

impl OpenWebUi {
    /// Asks about the documents of a session.
    pub(crate) fn recheck_documents(&mut self, socket: SocketId, cx: &Cx<'_>) {
        let Some(record) = self.sockets.get(socket) else { return };
        let Some(epoch) = record.login.as_ref().map(|login| login.epoch) else { return };
        let documents = record.documents.clone();
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return };
        for document in documents {
            let Some(note) = self.documents.notes.get(&document).map(|note| note.id.clone()) else { continue };
            let question = Question::Note { note, user: user.clone() };
            self.ask(question, Purpose::Document(Aim::Rights { document, socket, epoch }), cx);
        }
    }

    pub(super) fn document_rights_answered(
        &mut self,
        document: DocumentId,
        (socket, epoch): (SocketId, u64),
        found: Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let is_same = self.sockets.get(socket).and_then(|record| record.login.as_ref());
        let Some(user) = is_same.filter(|login| login.epoch == epoch).and_then(|_| self.user_of(socket)) else {
            return;
        };
        // Without an answer everything stays until the next time.
        let Ok(found) = found else { return };
        match rights(user, found.as_ref()) {
            Some(access) => self.set_rights(document, MemberKey::Socket(socket), access, cx),
            None => {
                self.leave_document(document, MemberKey::Socket(socket), cx);
                self.refuse_join(socket, cx);
            }
        }
    }

    /// What a member may do from now on. A member without the right to write loads no note either.
    pub(super) fn set_rights(&mut self, document: DocumentId, id: MemberKey, access: Access, cx: &mut Cx<'_>) {
        let member = self.documents.machine.get(document).and_then(|open| open.member(id));
        if member.is_none_or(|member| member.access() == access) {
            return;
        }
        self.documents.machine.set_access(document, id, access);
        let is_empty = self.documents.is_empty(document);
        if let Some(note) = self.documents.notes.get_mut(&document)
            && note.seeder == Some(id)
            && is_empty
        {
            note.seeder = None;
            self.choose_seeder(document, cx);
        }
    }
}

/// The most that a user may do with a note.
pub(super) fn rights(user: &User, note: Option<&Note>) -> Option<Access> {
    let note = note?;
    [Access::Write, Access::Read].into_iter().find(|access| access::may(user, note, *access))
}
