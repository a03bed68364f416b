//! How the data of a note are saved.
//!
//! Owns: that their author may still write, and members of the data other than the content. Must never know: when a
//! content is due.

use bytestring::ByteString;
use roomcast_documents::DocumentId;

use super::fields::DataFields;
use super::names::{Aim, MemberKey};
use super::records::{CheckedSave, SavedPart};
use crate::OpenWebUi;
use crate::access::{Access, may};
use crate::purpose::Purpose;
use crate::query::{Note, Question, StoreError, User};
use crate::settings::Release;
use roomcast_core::server::Cx;

impl OpenWebUi {
    /// Members of the note's data that a member has sent that may write.
    pub(super) fn put_fields(&mut self, document: DocumentId, id: MemberKey, fields: DataFields, cx: &mut Cx<'_>) {
        let (author, is_hurried) = (self.author_of(id), self.is_hurried());
        let settings = &self.settings.documents;
        let Some(note) = self.documents.notes.get_mut(&document).filter(|note| note.id.is_some()) else { return };
        note.fields.put(fields, author, settings.content_bytes_max, cx.now + settings.save_after);
        if is_hurried {
            note.fields.flush(cx.now);
        }
        self.advance_content(document, cx);
    }

    /// Who a member is, whose rights are looked at when what it sent is saved. A request of the program is not kept.
    pub(super) fn author_of(&self, id: MemberKey) -> Option<User> {
        match id {
            MemberKey::Socket(socket) => self.user_of(socket).cloned(),
            MemberKey::Peer(session) => self.documents.peers.get(session)?.user.clone(),
            MemberKey::Visitor(_) => None,
        }
    }

    /// Saves what is due of the other members of a note's data.
    pub(super) fn advance_fields(&mut self, document: DocumentId, cx: &Cx<'_>) {
        let Some(note) = self.documents.notes.get_mut(&document).filter(|note| !note.content.is_flying()) else {
            return;
        };
        if let Some((data, author)) = note.fields.poll(cx.now) {
            self.save_data(document, (data, SavedPart::Fields), author, cx);
        }
    }

    /// Saves a part of a note's data. With 0.12, once it is known that its author may still write.
    pub(super) fn save_data(
        &mut self,
        document: DocumentId,
        (data, part): (ByteString, SavedPart),
        author: Option<User>,
        cx: &Cx<'_>,
    ) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        match (self.settings.release, author, note.id.clone()) {
            (Release::V0_12, Some(author), Some(id)) => {
                let question = Question::Note { note: id, user: author.id.clone() };
                note.checking = Some(CheckedSave { data, part, author });
                self.ask(question, Purpose::Document(Aim::SaveRights(document)), cx);
            }
            (Release::V0_6, _, _) | (Release::V0_12, None, _) | (Release::V0_12, _, None) => {
                self.save_at_once(document, (data, part), cx);
            }
        }
    }

    /// The store said what the author of what is to be saved may do.
    pub(super) fn save_rights_answered(
        &mut self,
        document: DocumentId,
        found: Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        let Some(CheckedSave { data, part, author }) = note.checking.take() else { return };
        let is_granted = found.map(|found| found.map(|note| may(&author, &note, Access::Write)));
        match (is_granted, part) {
            (Ok(Some(true)), part) => self.save_at_once(document, (data, part), cx),
            (Ok(Some(false)), part) => {
                match part {
                    SavedPart::Content => note.content.refused(),
                    SavedPart::Fields => note.fields.refused(),
                }
                self.documents.contents_lost += 1;
                self.recheck_user(document, &author.id, cx);
                self.advance_content(document, cx);
            }
            (Ok(None), SavedPart::Content) => self.content_saved(document, Err(StoreError::NotFound), cx),
            (Err(error), SavedPart::Content) => self.content_saved(document, Err(error), cx),
            (Ok(None), SavedPart::Fields) => self.fields_saved(document, Err(StoreError::NotFound), cx),
            (Err(error), SavedPart::Fields) => self.fields_saved(document, Err(error), cx),
        }
    }

    /// A save of other members of the data has come to its end.
    pub(super) fn fields_saved(&mut self, document: DocumentId, result: Result<(), StoreError>, cx: &mut Cx<'_>) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        match result {
            Ok(()) => note.fields.saved(),
            Err(StoreError::NotFound | StoreError::Corrupt) => note.fields.give_up(),
            Err(StoreError::Unavailable | StoreError::Conflict) => {
                note.fields.failed(self.settings.documents.save_retry, cx.now);
            }
        }
        self.advance_content(document, cx);
    }

    fn save_at_once(&mut self, document: DocumentId, (data, part): (ByteString, SavedPart), cx: &Cx<'_>) {
        let Some(note) = self.documents.notes.get(&document).and_then(|note| note.id.clone()) else { return };
        let at_nanos = self.documents.save_moment(cx.server.wall());
        let aim = match part {
            SavedPart::Content => Aim::SaveContent(document),
            SavedPart::Fields => Aim::SaveFields(document),
        };
        self.ask(Question::SaveNoteData { note, data, at_nanos }, Purpose::Document(aim), cx);
    }
}
