//! Files that come attached to a note.
//!
//! Owns: that who attaches a file may read it. Must never know: what is done with the update that brings it.
//!
//! Files that are attached already may be another's, and stay.

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::fields::AttachedFiles;
use super::frame::{self, FilesTurn, ReadUpdate};
use crate::OpenWebUi;
use crate::query::{Question, StoreAnswer, StoreError};
use crate::turn::{Outcome, TurnStep};
use crate::wire;
use roomcast_core::server::{Cx, SocketId};

/// What the files of an update mean for it.
pub(super) enum FilesVerdict {
    /// There is nothing against it.
    Pass(ReadUpdate),
    /// It was refused, or has to wait for a store.
    Instead(Outcome),
}

impl OpenWebUi {
    /// Looks at the files of an update for a note.
    pub(super) fn pass_files(
        &self,
        socket: SocketId,
        note: ByteString,
        mut read: ReadUpdate,
        cx: &mut Cx<'_>,
    ) -> FilesVerdict {
        let is_admin = self.user_of(socket).is_some_and(|user| &*user.role == "admin");
        match std::mem::replace(&mut read.files, AttachedFiles::Listed(BTreeSet::new())) {
            AttachedFiles::Unreadable => FilesVerdict::Instead(self.refuse_files(socket, cx)),
            AttachedFiles::Listed(files) if files.is_empty() || is_admin => FilesVerdict::Pass(read),
            AttachedFiles::Listed(files) => {
                let turn = Box::new(FilesTurn { read, files });
                FilesVerdict::Instead(Outcome::Ask(Question::NoteFiles { note }, TurnStep::DocumentFiles(turn)))
            }
        }
    }

    /// A store said which files the note has, or which the user may read.
    pub(crate) fn document_files_answered(
        &mut self,
        socket: SocketId,
        turn: Box<FilesTurn>,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let FilesTurn { read, mut files } = *turn;
        let user = self.user_of(socket).map(|user| user.id.clone());
        match (reply, user) {
            (Ok(StoreAnswer::NoteFiles(attached)), Some(user)) => {
                files.retain(|file| !attached.contains(file));
                if files.is_empty() {
                    return self.update_read(socket, read, cx);
                }
                let question = Question::Files { user, files: files.iter().cloned().collect() };
                Outcome::Ask(question, TurnStep::DocumentFiles(Box::new(FilesTurn { read, files })))
            }
            (Ok(StoreAnswer::Files(may_read)), Some(_)) => {
                if may_read.len() == files.len() && may_read.iter().all(|may| *may) {
                    return self.update_read(socket, read, cx);
                }
                self.refuse_files(socket, cx)
            }
            (Ok(_) | Err(_), _) => {
                self.tell_error(socket, wire::UNAVAILABLE, cx);
                Outcome::nothing()
            }
        }
    }

    fn refuse_files(&self, socket: SocketId, cx: &mut Cx<'_>) -> Outcome {
        self.tell_error(socket, frame::FILES_REFUSED, cx);
        Outcome::nothing()
    }
}
