//! How a document comes from the stores.
//!
//! Owns: that it is loaded once for all who wait, and never served unless all of it could be read. Must never know: how
//! it is stored while somebody is in it.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::content::{Content, Entry, Mark, marks_of};
use super::room::{Aim, Joining, Live, Loading, MemberId, Room, RoomId, Stage};
use super::settings::DocumentSettings;
use crate::OpenWebUi;
use crate::queries::Purpose;
use crate::query::{Question, StoreAnswer, StoreError, StoredDocument};
use crate::requests::DocumentRefusal;
use crate::turn::Outcome;
use roomcast_core::server::Cx;
use roomcast_core::time::Instant;
use roomcast_yjs::journal::Journal;
use roomcast_yjs::{Awareness, Document, Pending, Source, Verdict, merge_updates};

impl OpenWebUi {
    /// Asks both stores.
    pub(super) fn load_document(&mut self, id: ByteString, note: ByteString, cx: &Cx<'_>) -> RoomId {
        let room = self.documents.insert(Room {
            id: id.clone(),
            note: note.clone(),
            stage: Stage::Loading(Loading {
                queries: [crate::query::QueryId(0); 2],
                stored: None,
                content: None,
                waiting: Vec::new(),
            }),
            timer: None,
        });
        let load = self.ask(Question::LoadDocument { document: id }, Purpose::Document(Aim::Load(room)), cx);
        let content = self.ask(Question::NoteContent { note }, Purpose::Document(Aim::LoadContent(room)), cx);
        if let Some(Stage::Loading(loading)) = self.documents.rooms.get_mut(room).map(|room| &mut room.stage) {
            loading.queries = [load, content];
        }
        room
    }

    pub(super) fn document_loaded(&mut self, room: RoomId, reply: Result<StoreAnswer, StoreError>, cx: &mut Cx<'_>) {
        let Some(loading) = self.loading(room) else { return };
        match reply {
            Ok(StoreAnswer::Document(stored)) => loading.stored = Some(stored),
            Ok(_) | Err(_) => return self.fail_load(room, cx),
        }
        self.open_document(room, cx);
    }

    pub(super) fn content_loaded(&mut self, room: RoomId, reply: Result<StoreAnswer, StoreError>, cx: &mut Cx<'_>) {
        let Some(loading) = self.loading(room) else { return };
        match reply {
            // A store that hands out no JSON has nothing that a front end could load.
            Ok(StoreAnswer::NoteContent(content)) => loading.content = Some(content.filter(|text| is_json(text))),
            Ok(_) | Err(_) => return self.fail_load(room, cx),
        }
        self.open_document(room, cx);
    }

    /// Opens a document once both stores have answered.
    fn open_document(&mut self, room: RoomId, cx: &mut Cx<'_>) {
        let Some(loading) = self.loading(room) else { return };
        let (Some(_), Some(_)) = (&loading.stored, &loading.content) else { return };
        let stored = loading.stored.take().unwrap_or_default();
        let content = loading.content.take().flatten();
        let waiting = std::mem::take(&mut loading.waiting);
        match open(&stored, content, &self.settings.documents, cx.now) {
            Ok((mut live, opened)) => {
                if self.is_hurried() {
                    live.journal.close();
                }
                self.documents.counters.loads += 1;
                match opened {
                    Opened::AsStored => {}
                    Opened::Again => self.documents.counters.resets += 1,
                }
                if let Some(room) = self.documents.rooms.get_mut(room) {
                    room.stage = Stage::Live(Box::new(live));
                }
                for joining in waiting {
                    self.waiter_admitted(room, joining, cx);
                }
                self.end_visits(room, cx);
            }
            Err(_) => {
                if let Some(loading) = self.loading(room) {
                    loading.waiting = waiting;
                }
                self.fail_load(room, cx);
            }
        }
    }

    /// Somebody has waited, who may have left or become somebody else since.
    fn waiter_admitted(&mut self, room: RoomId, joining: Joining, cx: &mut Cx<'_>) {
        match joining.id {
            MemberId::Socket(socket) => {
                let is_same = self.user_of(socket).is_some_and(|user| user.id == joining.user);
                let outcome = if is_same {
                    self.admit(room, joining, cx);
                    Outcome::nothing()
                } else {
                    self.refuse_join(socket, cx)
                };
                self.resume_load(socket, outcome, cx);
            }
            MemberId::Peer(session) => self.peer_admitted(room, session, joining, cx),
            MemberId::Visitor(_) => self.admit(room, joining, cx),
        }
    }

    /// A document that cannot be had is refused to all who wait: it is not an empty one.
    fn fail_load(&mut self, room: RoomId, cx: &mut Cx<'_>) {
        let Some(Room { stage: Stage::Loading(loading), .. }) = self.documents.remove(room) else { return };
        self.documents.counters.loads_failed += 1;
        for query in loading.queries {
            self.queries.answered(query);
        }
        for joining in loading.waiting {
            match joining.id {
                MemberId::Socket(socket) => {
                    let outcome = self.refuse_join(socket, cx);
                    self.resume_load(socket, outcome, cx);
                }
                MemberId::Peer(session) => self.close_peer(session, cx),
                MemberId::Visitor(ticket) => self.refuse_visit(ticket, DocumentRefusal::Unavailable),
            }
        }
    }

    fn loading(&mut self, room: RoomId) -> Option<&mut Loading> {
        match &mut self.documents.rooms.get_mut(room)?.stage {
            Stage::Loading(loading) => Some(loading),
            Stage::Live(_) => None,
        }
    }
}

/// How a document was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    AsStored,
    /// Its note was changed elsewhere: it is empty, and whoever is in it loads the note.
    Again,
}

fn open(
    stored: &StoredDocument,
    content: Option<ByteString>,
    settings: &DocumentSettings,
    now: Instant,
) -> Result<(Live, Opened), StoreError> {
    let mut replayed = replay(stored, settings)?;
    let mark = content.as_deref().and_then(Mark::of);
    // A note without content is not a change: what was saved is never replaced by nothing.
    let foreign = mark.filter(|mark| !replayed.marks.contains(mark));
    let (opening, opened) = match foreign {
        Some(mark) if replayed.document.store().is_empty() => (Some(Entry::Content(mark)), Opened::AsStored),
        Some(mark) => {
            // Behind the reset the marks of before count no more.
            (replayed.document, replayed.marks) = (Document::new(settings.limits), Vec::new());
            (Some(Entry::Reset(mark)), Opened::Again)
        }
        None => (None, Opened::AsStored),
    };
    let log_len = match opened {
        Opened::AsStored => stored.updates.len(),
        // Nothing is stored before somebody has loaded the note: until then the old log is as good as before.
        Opened::Again => 0,
    };
    let live = Live {
        document: replayed.document,
        pending: Pending::new(settings.pending),
        awareness: Awareness::new(settings.awareness),
        journal: Journal::new(settings.journal, stored.last_sequence, log_len, now),
        content: Content::loaded(content, replayed.marks),
        members: Vec::new(),
        seeder: None,
        kept_out: Vec::new(),
        opening: opening.map(|entry| entry.write()),
    };
    Ok((live, opened))
}

struct Replayed {
    document: Document,
    /// Of contents that the note may have, if only the document has changed it.
    marks: Vec<Mark>,
}

fn replay(stored: &StoredDocument, settings: &DocumentSettings) -> Result<Replayed, StoreError> {
    let mut document = Document::new(settings.limits);
    let mut marks = stored.content_hash.as_ref().map(marks_of).unwrap_or_default();
    let mut late: Vec<&[u8]> = Vec::new();
    let snapshot = stored.snapshot.as_ref().map(|snapshot| Entry::Update(snapshot));
    for entry in snapshot.into_iter().chain(stored.updates.iter().map(|entry| Entry::read(entry))) {
        match entry {
            Entry::Content(mark) => marks.push(mark),
            Entry::Reset(mark) => {
                document = Document::new(settings.limits);
                marks = vec![mark];
                late.clear();
            }
            Entry::Update(update) => match document.apply(update, Source::Stored) {
                Verdict::Applied | Verdict::NothingNew => {}
                Verdict::Missing(_) => late.push(update),
                Verdict::Bad(_) => return Err(StoreError::Corrupt),
            },
        }
    }
    // A store that failed for long may lack what was given up for a snapshot that never came. What does not depend on
    // that is taken.
    if !late.is_empty() {
        let merged = merge_updates(late).map_err(|_| StoreError::Corrupt)?;
        match document.split(&merged, Source::Stored) {
            Some(split) => document.apply(&split.now, Source::Stored),
            None => document.apply(&merged, Source::Stored),
        };
    }
    Ok(Replayed { document, marks })
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}
