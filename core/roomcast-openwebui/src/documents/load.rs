//! How a note's document comes from the stores.
//!
//! Owns: asking both stores, and what the log of a document says beside updates. Must never know: how it is stored while
//! members are in it.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_documents::{Beginning, DocumentId, Joining, NotLoaded, Opening, ReadDocument, read_stored};
use serde_json::value::RawValue;

use super::content::{Content, LogEntry, Mark, marks_of, says_nothing};
use super::names::PREFIX;
use super::names::{Aim, MemberKey};
use super::records;
use super::records::{Loading, OpenNote};
use super::settings::DocumentSettings;
use crate::OpenWebUi;
use crate::purpose::Purpose;
use crate::query::{Question, StoreAnswer, StoreError, StoredNoteDocument};
use crate::requests::DocumentRefusal;
use crate::turn::Outcome;
use roomcast_core::server::Cx;

impl OpenWebUi {
    /// Asks both stores; the own one alone about a document that is no note's.
    pub(super) fn load_document(&mut self, document: DocumentId, name: ByteString, cx: &Cx<'_>) {
        let note = name.strip_prefix(PREFIX).map(ByteString::from);
        let load = Question::LoadDocument { document: name };
        let mut queries = vec![self.ask(load, Purpose::Document(Aim::Load(document)), cx)];
        if let Some(note) = note.clone() {
            queries.push(self.ask(Question::NoteContent { note }, Purpose::Document(Aim::LoadContent(document)), cx));
        }
        self.documents.notes.insert(document, OpenNote::loading(note, queries));
    }

    pub(super) fn document_loaded(
        &mut self,
        document: DocumentId,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let keep = |loading: &mut Loading, answer| {
            let StoreAnswer::Document(stored) = answer else { return Err(StoreError::Corrupt) };
            loading.stored = Some(stored);
            Ok(())
        };
        self.loaded(document, reply, keep, cx);
    }

    pub(super) fn content_loaded(
        &mut self,
        document: DocumentId,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let keep = |loading: &mut Loading, answer| {
            let StoreAnswer::NoteContent(content) = answer else { return Err(StoreError::Corrupt) };
            loading.content = Some(content);
            Ok(())
        };
        self.loaded(document, reply, keep, cx);
    }

    /// One of both stores has answered.
    fn loaded(
        &mut self,
        document: DocumentId,
        reply: Result<StoreAnswer, StoreError>,
        keep: impl FnOnce(&mut Loading, StoreAnswer) -> Result<(), StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(loading) = self.loading(document) else { return };
        match reply.and_then(|answer| keep(loading, answer)) {
            Ok(()) => self.open_document(document, cx),
            Err(StoreError::Corrupt) => self.fail_load(document, NotLoaded::Corrupt, cx),
            Err(_) => self.fail_load(document, NotLoaded::Unavailable, cx),
        }
    }

    /// Opens a document once both stores have answered.
    fn open_document(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        let Some(loading) = self.loading(document) else { return };
        let (Some(_), Some(_)) = (&loading.stored, &loading.content) else { return };
        let stored = loading.stored.take().unwrap_or_default();
        let content = loading.content.take().flatten();
        let bytes = stored.snapshot.iter().chain(&stored.updates).map(Bytes::len).sum::<usize>();
        let settings = self.settings.documents.clone();
        if bytes + content.as_ref().map_or(0, |content| content.len()) > settings.machine.quick_update_bytes_max {
            self.hand_out(Aim::Open(document), move || open(stored, content, &settings));
        } else {
            self.document_read(document, Some(open(stored, content, &settings)), cx);
        }
    }

    /// What the stores have said of a document has been read.
    pub(super) fn document_read(&mut self, document: DocumentId, read: Option<ReadResult>, cx: &mut Cx<'_>) {
        if self.loading(document).is_none() {
            return;
        }
        match read.unwrap_or(Err(NotLoaded::Unavailable)) {
            Ok((opened, content, how)) => {
                match how {
                    How::AsStored => {}
                    How::Again => self.documents.resets += 1,
                }
                let beginning = match content.current().is_some_and(|json| !says_nothing(json)) {
                    true => Beginning::ByApplication,
                    false => Beginning::ByAnyone,
                };
                if let Some(note) = self.documents.notes.get_mut(&document) {
                    (note.loading, note.content) = (None, content);
                }
                self.documents.machine.handle_loaded(document, Ok(opened), cx.now);
                self.documents.machine.set_beginning(document, beginning);
                self.pump_documents(cx);
            }
            Err(why) => self.fail_load(document, why, cx),
        }
    }

    /// A document is there for all who have waited for it.
    pub(super) fn document_open(&mut self, document: DocumentId, waiting: Vec<Joining<MemberKey>>, cx: &mut Cx<'_>) {
        for joining in waiting {
            self.waiter_admitted(document, joining, cx);
        }
        self.end_visits(document, cx);
        self.ask_for_cursors(document, cx);
        self.documents.machine.settle(document, cx.now);
    }

    /// A member has waited, which may have left or become another user's since.
    fn waiter_admitted(&mut self, document: DocumentId, joining: Joining<MemberKey>, cx: &mut Cx<'_>) {
        match joining.member {
            MemberKey::Socket(socket) => {
                let is_same = self.user_of(socket).is_some_and(|user| user.id == joining.user);
                let outcome = if is_same {
                    self.admit(document, joining, cx);
                    Outcome::nothing()
                } else {
                    self.documents.introductions.remove(&joining.member);
                    self.refuse_join(socket, cx)
                };
                self.resume_load(socket, outcome, cx);
            }
            MemberKey::Peer(_) | MemberKey::Visitor(_) => self.admit(document, joining, cx),
        }
    }

    /// A document that cannot be loaded is refused to all who wait: it is not an empty one.
    fn fail_load(&mut self, document: DocumentId, why: NotLoaded, cx: &mut Cx<'_>) {
        if let Some(records::OpenNote { loading: Some(Loading { queries, .. }), .. }) = self.documents.forget(document)
        {
            for query in queries {
                self.queries.forget(query);
            }
        }
        self.documents.machine.handle_loaded(document, Err(why), cx.now);
        self.pump_documents(cx);
    }

    pub(super) fn refuse_waiting(&mut self, waiting: Vec<Joining<MemberKey>>, cx: &mut Cx<'_>) {
        for joining in waiting {
            self.documents.introductions.remove(&joining.member);
            match joining.member {
                MemberKey::Socket(socket) => {
                    let outcome = self.refuse_join(socket, cx);
                    self.resume_load(socket, outcome, cx);
                }
                // The machine has closed it.
                MemberKey::Peer(_) => {}
                MemberKey::Visitor(ticket) => self.refuse_visit(ticket, DocumentRefusal::Unavailable),
            }
        }
    }

    fn loading(&mut self, document: DocumentId) -> Option<&mut Loading> {
        self.documents.notes.get_mut(&document)?.loading.as_mut()
    }
}

/// How a document was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    AsStored,
    /// Its note was changed elsewhere: it is empty, and a member loads the note.
    Again,
}

/// What is to be served of a document, or why nothing is.
pub(super) type ReadResult = Result<(ReadDocument, Content, How), NotLoaded>;

fn open(stored: StoredNoteDocument, content: Option<ByteString>, settings: &DocumentSettings) -> ReadResult {
    let config = settings.machine;
    // A store that hands out no JSON has nothing that a front end could load.
    let content = content.filter(|text| is_json(text));
    let is_held = stored.is_held;
    let (opening, marks) = replay(stored);
    let opened = read_stored(opening, &config)?;
    let mark = content.as_deref().and_then(Mark::of);
    // A note without content is not a change: what was saved is never replaced by nothing.
    let foreign = mark.filter(|mark| !marks.contains(mark));
    Ok(match foreign {
        Some(mark) if opened.content().store().is_empty() => {
            let opened = opened.with_preamble(LogEntry::Content(mark).write());
            (opened, Content::loaded(content, marks), How::AsStored)
        }
        // Members of another node are in it.
        Some(_) if is_held => (opened, Content::loaded(content, marks), How::AsStored),
        // Behind the reset the marks of before count no more. Nothing is stored before a member has loaded the note:
        // until then the old log is as good as before.
        Some(mark) => {
            let opened = opened.begin_again(&config, LogEntry::Reset(mark).write());
            (opened, Content::loaded(content, Vec::new()), How::Again)
        }
        None => (opened, Content::loaded(content, marks), How::AsStored),
    })
}

/// What of a log is updates, and the marks of contents that the note may have, if only the document has changed it.
fn replay(stored: StoredNoteDocument) -> (Opening, Vec<Mark>) {
    let mut marks = stored.content_hash.as_ref().map(marks_of).unwrap_or_default();
    // Those of the log follow: the oldest comes first.
    marks.reverse();
    let mut opening = Opening {
        snapshot: stored.snapshot,
        updates: Vec::new(),
        last_sequence: stored.last_sequence,
        log_len: stored.updates.len(),
        preamble: None,
    };
    for update in stored.updates {
        match LogEntry::read(&update) {
            LogEntry::Content(mark) => marks.push(mark),
            LogEntry::Reset(mark) => {
                (opening.snapshot, marks) = (None, vec![mark]);
                opening.updates.clear();
            }
            LogEntry::Update(_) => opening.updates.push(update),
        }
    }
    (opening, marks)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}
