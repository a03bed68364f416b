//! Whether members may still do what they could when they joined.
//!
//! Owns: asking about the notes of a session's documents, and what follows. Must never know: how somebody joined.

use super::room::{Aim, MemberId, RoomId};
use crate::OpenWebUi;
use crate::access::{self, Access};
use crate::queries::Purpose;
use crate::query::{Note, Question, StoreError, User};
use roomcast_core::server::{Cx, SocketId};

impl OpenWebUi {
    /// Asks about the documents of a session.
    pub(crate) fn recheck_documents(&mut self, socket: SocketId, cx: &Cx<'_>) {
        let Some(record) = self.sockets.get(socket) else { return };
        let Some(epoch) = record.login.as_ref().map(|login| login.epoch) else { return };
        let rooms = record.documents.clone();
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return };
        for room in rooms {
            let Some(note) = self.documents.rooms.get(room).map(|room| room.note.clone()) else { continue };
            let question = Question::Note { note, user: user.clone() };
            self.ask(question, Purpose::Document(Aim::Rights { room, socket, epoch }), cx);
        }
    }

    pub(super) fn document_rights_answered(
        &mut self,
        room: RoomId,
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
            Some(access) => self.set_rights(room, MemberId::Socket(socket), access, cx),
            None => {
                self.leave_document(room, MemberId::Socket(socket), cx);
                self.refuse_join(socket, cx);
            }
        }
    }

    /// What a member may do from now on. Who may not write any more loads no note either.
    pub(super) fn set_rights(&mut self, room: RoomId, id: MemberId, access: Access, cx: &mut Cx<'_>) {
        let Some(live) = self.documents.live_mut(room) else { return };
        let Some(member) = live.members.iter_mut().find(|member| member.id == id) else { return };
        if std::mem::replace(&mut member.access, access) == access {
            return;
        }
        if live.seeder == Some(id) && live.document.store().is_empty() {
            live.seeder = None;
            self.choose_seeder(room, cx);
        }
    }
}

/// The most that somebody may do with a note.
pub(super) fn rights(user: &User, note: Option<&Note>) -> Option<Access> {
    let note = note?;
    [Access::Write, Access::Read].into_iter().find(|access| access::may(user, note, *access))
}
