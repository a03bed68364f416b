//! How a note's document and its content go to the stores.
//!
//! Owns: carrying out what the journal and the content ask for, and what is looked at before a document leaves memory.
//! Must never know: what is in a document.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_documents::{DocumentId, DocumentStoreError, Pace};

use super::content::{ContentFound, DueSave, LogEntry, Mark};
use super::names::{Aim, MemberKey};
use super::records::{End, Ending, OpenNote, SavedPart};
use super::unstored_acks::HeldAck;
use crate::OpenWebUi;
use crate::purpose::Purpose;
use crate::query::{QueryId, Question, StoreAnswer, StoreError};
use roomcast_core::server::{Command, Cx};

impl OpenWebUi {
    pub(super) fn append_updates(
        &mut self,
        document: DocumentId,
        name: ByteString,
        first_sequence: u64,
        updates: Vec<Bytes>,
        cx: &Cx<'_>,
    ) {
        let end = first_sequence + u64::try_from(updates.len()).unwrap_or(0);
        let question = Question::AppendUpdates { document: name, first_sequence, updates };
        self.ask(question, Purpose::Document(Aim::Append { document, first: first_sequence, end }), cx);
    }

    /// A snapshot carries the marks of all contents that the note may have by then.
    pub(super) fn save_snapshot(
        &mut self,
        document: DocumentId,
        name: ByteString,
        snapshot: Bytes,
        up_to_sequence: u64,
        cx: &Cx<'_>,
    ) {
        let note = self.documents.notes.get_mut(&document);
        let content_hash = note.and_then(|note| note.content.snapshot(up_to_sequence));
        let question = Question::SaveSnapshot { document: name, snapshot, content_hash, up_to_sequence };
        self.ask(question, Purpose::Document(Aim::Snapshot { document, up_to: up_to_sequence }), cx);
    }

    /// An append has come to its end.
    pub(super) fn appended(
        &mut self,
        document: DocumentId,
        (first, end): (u64, u64),
        result: Result<(), StoreError>,
        cx: &mut Cx<'_>,
    ) {
        if let Some(note) = self.documents.notes.get_mut(&document).filter(|_| result.is_ok()) {
            note.content.appended(first, end);
        }
        self.documents.machine.handle_appended(document, result.map_err(store_error), cx.now);
        self.advance_content(document, cx);
    }

    /// Acknowledges an event once all is stored that its document has now.
    pub(crate) fn ack_when_stored(&mut self, document: DocumentId, held: HeldAck, cx: &mut Cx<'_>) {
        let Some(open) = self.documents.machine.get(document) else { return };
        let (changes, stored) = (open.changes(), open.stored_changes());
        self.documents.unstored_acks.hold(document, changes, held);
        self.ack_stored(document, stored, cx);
    }

    /// So many changes of a document are stored.
    pub(super) fn ack_stored(&mut self, document: DocumentId, changes: u64, cx: &mut Cx<'_>) {
        while let Some(HeldAck { socket, ack, args }) = self.documents.unstored_acks.pop(document, changes) {
            cx.command(Command::Ack { socket, ack, args });
        }
    }

    /// A snapshot has come to its end.
    pub(super) fn snapshotted(
        &mut self,
        document: DocumentId,
        up_to: u64,
        result: Result<(), StoreError>,
        cx: &mut Cx<'_>,
    ) {
        if let Some(note) = self.documents.notes.get_mut(&document).filter(|_| result.is_ok()) {
            note.content.snapshotted(up_to);
        }
        self.documents.machine.handle_snapshotted(document, result.map_err(store_error), cx.now);
        self.advance_content(document, cx);
    }

    /// A save of a note's content has come to its end.
    pub(super) fn content_saved(&mut self, document: DocumentId, result: Result<(), StoreError>, cx: &mut Cx<'_>) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        match result {
            Ok(()) => {
                note.content.saved();
                self.documents.contents_saved += 1;
            }
            // The note is gone, and what was rendered of it has no place any more.
            Err(StoreError::NotFound | StoreError::Corrupt) => {
                note.content.give_up();
                self.documents.contents_lost += 1;
            }
            Err(_) => note.content.failed(&self.settings.documents, cx.now),
        }
        self.advance_content(document, cx);
    }

    /// A member is about to leave, or has left: what it rendered is saved without delay.
    pub(super) fn author_leaves(&mut self, document: DocumentId, id: MemberKey, cx: &mut Cx<'_>) {
        let members = self.documents.machine.get(document).map_or(&[][..], |open| open.members());
        let is_last = members.iter().all(|member| member.id() == id);
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.content.author_left(id, cx.now);
            if is_last {
                note.content.flush(cx.now);
                note.fields.flush(cx.now);
            }
        }
        self.advance_content(document, cx);
    }

    /// A document has no members, and its log is stored. Before it leaves memory its note is looked at once more: a
    /// front end that has read the note earlier may have written back an old content with a new title.
    pub(super) fn document_idle(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        note.end = End::Idle;
        if !note.is_saved() {
            return;
        }
        if note.content.is_verified() {
            return self.end_document(document);
        }
        self.verify_content(document, cx);
    }

    /// Reads a note once more.
    fn verify_content(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        let Some(note) = self.documents.notes.get(&document).and_then(|note| note.id.clone()) else { return };
        let question = Question::NoteContent { note };
        let query = self.ask(question, Purpose::Document(Aim::Verify(document)), cx);
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.end = End::Verifying(query);
        }
    }

    /// The note of a document without members has been read once more.
    pub(super) fn content_verified(
        &mut self,
        query: QueryId,
        document: DocumentId,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        if note.end != End::Verifying(query) {
            return;
        }
        match reply {
            Ok(StoreAnswer::NoteContent(Some(content)))
                if content.len() > self.settings.documents.quick_json_bytes() =>
            {
                self.hand_out(Aim::MarkFound { document, query }, move || Mark::of(&content));
            }
            Ok(StoreAnswer::NoteContent(content)) => {
                self.found_marked(query, document, content.as_deref().and_then(Mark::of), cx);
            }
            // Whether it was changed cannot be found out.
            Ok(_) | Err(_) => {
                note.end = End::Idle;
                let found = note.content.give_verification_up();
                self.content_found(document, found, cx);
            }
        }
    }

    /// The content that a note has, when it is read once more, is known by its mark.
    pub(super) fn found_marked(&mut self, query: QueryId, document: DocumentId, found: Option<Mark>, cx: &mut Cx<'_>) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        if note.end != End::Verifying(query) {
            return;
        }
        note.end = End::Idle;
        let found = note.content.verify(found, cx.now);
        self.content_found(document, found, cx);
    }

    /// The mark of a long content is made.
    pub(super) fn content_marked(&mut self, document: DocumentId, mark: Option<Mark>, cx: &mut Cx<'_>) {
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.content.marked(mark, &self.settings.documents, cx.now);
        }
        self.advance_content(document, cx);
    }

    fn content_found(&mut self, document: DocumentId, found: ContentFound, cx: &mut Cx<'_>) {
        match found {
            ContentFound::AsSaved | ContentFound::Foreign => self.end_document(document),
            ContentFound::Earlier => {
                self.documents.contents_saved_again += 1;
                self.advance_content(document, cx);
            }
        }
    }

    /// Stores everything now.
    pub(crate) fn flush_documents(&mut self, cx: &mut Cx<'_>) {
        let documents: Vec<DocumentId> = self.documents.notes.keys().copied().collect();
        for document in documents {
            if let Some(note) = self.documents.notes.get_mut(&document) {
                note.content.flush(cx.now);
                note.fields.flush(cx.now);
            }
            self.advance_content(document, cx);
        }
        let pace = if self.flushes.is_ending() { Pace::Final } else { Pace::Hurried };
        self.documents.machine.set_pace(pace, cx.now);
        self.pump_documents(cx);
    }

    pub(crate) fn unstored_documents(&self) -> usize {
        let ending = if self.flushes.is_ending() { Ending::Yes } else { Ending::No };
        self.documents.unstored(ending)
    }

    /// No request waits any more: documents with members are stored at their own pace again.
    pub(crate) fn reopen_journals(&mut self, cx: &mut Cx<'_>) {
        self.documents.machine.set_pace(Pace::Spaced, cx.now);
        self.pump_documents(cx);
    }

    /// Does what is due of a note's content, and arms its next deadline.
    pub(super) fn advance_content(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        while let Some(note) = self.documents.notes.get_mut(&document) {
            // One save at a time, so that none comes late behind another.
            if note.fields.is_flying() {
                break;
            }
            match note.content.poll(&self.settings.documents, cx.now) {
                Some(DueSave::Mark(json)) => self.hand_out(Aim::Mark(document), move || Mark::of(&json)),
                Some(DueSave::Log(mark)) => {
                    let entry = LogEntry::Content(mark).write();
                    let sequence = self.documents.machine.annotate(document, entry, cx.now);
                    if let (Some(note), Some(sequence)) = (self.documents.notes.get_mut(&document), sequence) {
                        note.content.logged(mark, sequence);
                    }
                }
                Some(DueSave::Save(content)) => {
                    let author = note.content.author();
                    let data = format!(r#"{{"content":{content}}}"#).into();
                    self.save_data(document, (data, SavedPart::Content), author, cx);
                }
                None => break,
            }
        }
        self.advance_fields(document, cx);
        // Nothing stays in memory for a while before the server ends.
        let is_due =
            |note: &OpenNote| note.is_saved() && !note.content.is_verified() && !matches!(note.end, End::Verifying(_));
        if self.flushes.is_ending() && self.documents.notes.get(&document).is_some_and(is_due) {
            self.verify_content(document, cx);
        }
        self.arm_content(document);
        self.pump_documents(cx);
        let is_over = self.documents.notes.get(&document);
        if is_over.is_some_and(|note| note.end == End::Idle && note.is_saved()) {
            self.document_idle(document, cx);
        }
    }

    /// Something is due of a note's content.
    pub(super) fn content_due(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.timer = None;
        }
        self.advance_content(document, cx);
    }

    fn end_document(&mut self, document: DocumentId) {
        if self.documents.machine.drop_idle(document) {
            self.documents.forget(document);
        } else if let Some(note) = self.documents.notes.get_mut(&document) {
            note.end = End::NotYet;
        }
    }

    pub(super) fn arm_content(&mut self, document: DocumentId) {
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        let due = match (note.content.is_flying(), note.fields.is_flying()) {
            (false, false) => {
                let content = note.content.timeout(&self.settings.documents);
                content.into_iter().chain(note.fields.timeout()).min()
            }
            // What comes behind a save waits for it.
            (true, _) | (_, true) => None,
        };
        if note.timer.map(|(at, _)| at) == due {
            return;
        }
        if let Some((_, timer)) = note.timer.take() {
            self.documents.due.cancel(timer);
        }
        note.timer = due.map(|at| (at, self.documents.due.arm(at, document)));
    }
}

pub(super) const fn store_error(error: StoreError) -> DocumentStoreError {
    match error {
        StoreError::NotFound | StoreError::Unavailable => DocumentStoreError::Unavailable,
        StoreError::Corrupt => DocumentStoreError::Corrupt,
        StoreError::Conflict => DocumentStoreError::Conflict,
    }
}
