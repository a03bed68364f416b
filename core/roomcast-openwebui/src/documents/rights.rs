//! Whether members may still do what they could when they joined.
//!
//! Owns: asking about the notes of a session's documents, and what follows. Must never know: how members join.

use bytestring::ByteString;
use roomcast_documents::DocumentId;

use super::names::{Aim, MemberKey};
use crate::OpenWebUi;
use crate::access::{self, Access};
use crate::purpose::Purpose;
use crate::query::{Note, Permission, Question, StoreError, User};
use crate::settings::Release;
use roomcast_core::server::{Cx, SocketId};

impl OpenWebUi {
    /// Asks about the documents of a session.
    pub(crate) fn recheck_documents(&mut self, socket: SocketId, cx: &Cx<'_>) {
        let Some(record) = self.sockets.get(socket) else { return };
        let Some(epoch) = record.login.as_ref().map(|login| login.epoch) else { return };
        let documents = record.documents.clone();
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return };
        for document in documents {
            self.ask_rights(document, (socket, epoch), user.clone(), cx);
        }
    }

    /// Asks about the sockets of a user in one document: the user may do less than was thought.
    pub(super) fn recheck_user(&mut self, document: DocumentId, user: &ByteString, cx: &Cx<'_>) {
        let members = self.documents.machine.get(document).map_or(&[][..], |open| open.members());
        let sockets = members.iter().filter(|member| member.user() == user).filter_map(|member| match member.id() {
            MemberKey::Socket(socket) => Some(socket),
            MemberKey::Peer(_) | MemberKey::Visitor(_) => None,
        });
        for socket in sockets.collect::<Vec<_>>() {
            let login = self.sockets.get(socket).and_then(|record| record.login.as_ref());
            if let Some(epoch) = login.map(|login| login.epoch) {
                self.ask_rights(document, (socket, epoch), user.clone(), cx);
            }
        }
    }

    /// Of a document that is no note's, there are no rights.
    fn ask_rights(&mut self, document: DocumentId, (socket, epoch): (SocketId, u64), user: ByteString, cx: &Cx<'_>) {
        let Some(note) = self.documents.notes.get(&document).and_then(|note| note.id.clone()) else { return };
        let question = Question::Note { note, user };
        self.ask(question, Purpose::Document(Aim::Rights { document, socket, epoch }), cx);
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
        match rights(user, found.as_ref(), self.settings.release) {
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

/// The most that a user may do in a note's document. With 0.12 a right to write without one to read opens none.
pub(super) fn rights(user: &User, note: Option<&Note>, release: Release) -> Option<Access> {
    let note = note?;
    let may = |access: &Access| access::may(user, note, *access);
    match release {
        Release::V0_12 if !may(&Access::Read) => None,
        Release::V0_6 | Release::V0_12 => [Access::Write, Access::Read].into_iter().find(may),
    }
}

/// Whether a user may open documents of notes at all. Admins always may.
pub(super) fn may_open_notes(user: &User) -> bool {
    let permission = user.account.as_ref().map_or(Permission::Granted, |account| account.features.notes);
    &*user.role == "admin" || permission == Permission::Granted
}
