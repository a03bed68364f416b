//! Records of the documents of notes, and of their members.
//!
//! Owns: what Open WebUI keeps beside each document of the machine, and the members' keys. Must never know: how a
//! member gets in, or what is sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_documents as machine;
use roomcast_documents::{Brings, DocumentId};

use super::content::{Content, is_update};
use super::counts::{AppDocumentCounters, AppDocumentCounts};
use super::cursor_ids::CursorIds;
use super::fields::{DataFields, UnsavedFields};
use super::frame::Blob;
use super::names::{MemberKey, Parked};
use super::peers::Peers;
use super::settings::DocumentSettings;
use super::unstored_acks::UnstoredAcks;
use super::visit::Visits;
use crate::query::{QueryId, Reply, StoredNoteDocument, User};
use roomcast_core::rng::KeyedHash;
use roomcast_core::server::{SessionId, Sid, SocketId, Work};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::timer::{Fifo, TimerKey, Timers};

/// All documents.
#[derive(Debug)]
pub(crate) struct DocumentRecords {
    pub(super) machine: machine::Documents<MemberKey>,
    pub(super) notes: BTreeMap<DocumentId, OpenNote>,
    pub(super) peers: Peers,
    pub(super) visits: Visits,
    /// Joins that wait for the session of their socket.
    pub(super) parked: Fifo<SocketId>,
    /// When something is due of a note's content.
    pub(super) due: Timers<DocumentId>,
    /// What the others will be told of members that wait for their document.
    pub(super) introductions: BTreeMap<MemberKey, Introduction>,
    /// The update that is being handled, in the form in which it came.
    pub(super) relayed: Option<Relayed>,
    /// The member that is about to leave because it said so.
    pub(super) says_goodbye: Option<MemberKey>,
    /// States that sockets are told once they have taken what was sent to them before.
    pub(super) owed_states: BTreeMap<SessionId, BTreeMap<(DocumentId, SocketId), ToldFor>>,
    /// What takes long, on its way to another thread.
    pub(crate) work: VecDeque<Work<Reply>>,
    /// Long updates that are being tried elsewhere, and what is to be done afterwards.
    pub(super) trying: BTreeMap<MemberKey, Trying>,
    /// Long updates of sockets that are being read elsewhere.
    pub(super) reading: BTreeSet<SocketId>,
    /// Those of them that have left meanwhile. They are members until what they sent is read.
    pub(super) leaving: BTreeMap<SocketId, LeavingSocket>,
    /// Sockets that are told the state once it is encoded, and why.
    pub(super) requested: BTreeMap<(DocumentId, SocketId), ToldFor>,
    /// Sockets whose first update came too late, and is acknowledged with the state once that is encoded.
    pub(super) beginners: BTreeSet<(DocumentId, SocketId)>,
    /// Acks of updates that are not stored yet.
    pub(crate) unstored_acks: UnstoredAcks,
    pub(super) resets: u64,
    pub(super) contents_saved: u64,
    pub(super) contents_saved_again: u64,
    pub(super) contents_lost: u64,
    /// When a content was last sent to be saved, in nanoseconds since the epoch.
    saved_at_nanos: u64,
}

impl DocumentRecords {
    pub(crate) fn new(settings: &DocumentSettings, hash: KeyedHash) -> Self {
        let config = machine::DocumentsConfig { is_update, ..settings.machine };
        Self {
            machine: machine::Documents::new(config, hash),
            notes: BTreeMap::new(),
            peers: Peers::default(),
            visits: Visits::default(),
            parked: Fifo::new(),
            due: Timers::new(),
            introductions: BTreeMap::new(),
            relayed: None,
            says_goodbye: None,
            owed_states: BTreeMap::new(),
            work: VecDeque::new(),
            trying: BTreeMap::new(),
            reading: BTreeSet::new(),
            leaving: BTreeMap::new(),
            requested: BTreeMap::new(),
            beginners: BTreeSet::new(),
            unstored_acks: UnstoredAcks::default(),
            resets: 0,
            contents_saved: 0,
            contents_saved_again: 0,
            contents_lost: 0,
            saved_at_nanos: 0,
        }
    }

    /// Returns the time of a save, in nanoseconds since the Unix epoch. Each value is greater than the one before, even
    /// if the wall clock is set back, because a store ignores a save that is older than the stored one.
    pub(super) fn save_moment(&mut self, wall: WallTime) -> u64 {
        let at_nanos = wall.as_unix_millis().saturating_mul(1_000_000);
        self.saved_at_nanos = at_nanos.max(self.saved_at_nanos.saturating_add(1));
        self.saved_at_nanos
    }

    /// A document is not in memory any more.
    pub(super) fn forget(&mut self, document: DocumentId) -> Option<OpenNote> {
        self.unstored_acks.forget_document(document);
        let note = self.notes.remove(&document)?;
        if let Some((_, timer)) = note.timer {
            self.due.cancel(timer);
        }
        Some(note)
    }

    pub(super) fn name(&self, document: DocumentId) -> Option<ByteString> {
        self.machine.get(document).map(|open| open.name().clone())
    }

    /// What is kept of a note whose document is in memory under this name.
    pub(super) fn note_named(&mut self, document: &str) -> Option<&mut OpenNote> {
        self.notes.get_mut(&self.machine.named(document)?)
    }

    /// Whether a document has nothing in it, as far as it is loaded.
    pub(super) fn is_empty(&self, document: DocumentId) -> bool {
        let content = self.machine.get(document).and_then(|open| open.content());
        content.is_none_or(|content| content.store().is_empty())
    }

    /// A document and its member.
    pub(super) fn joined(
        &self,
        document: &str,
        member: MemberKey,
    ) -> Option<(DocumentId, &machine::Member<MemberKey>)> {
        let document = self.machine.named(document)?;
        Some((document, self.machine.get(document)?.member(member)?))
    }

    /// The socket of a parked join is gone.
    pub(crate) fn unpark_timer(&mut self, parked: &Parked) {
        self.parked.cancel(parked.timer);
    }

    /// Documents that hold something which the stores do not have. Before the server ends, a note whose content was saved
    /// is looked at once more, for which there is no time later, and a document leaves memory, so that other nodes hear of
    /// it.
    pub(crate) fn unstored(&self, ending: Ending) -> usize {
        let is_stored = |document: &DocumentId| self.machine.get(*document).is_none_or(|open| open.is_stored());
        let is_looked_at = |content: &Content| ending == Ending::No || content.is_verified();
        let is_over = |note: &OpenNote| note.is_saved() && is_looked_at(&note.content);
        let is_kept = |document: &DocumentId| {
            ending == Ending::Yes && self.machine.get(*document).is_some_and(|open| open.members().is_empty())
        };
        let is_unstored =
            |(document, note): &(&DocumentId, &OpenNote)| !is_over(note) || !is_stored(document) || is_kept(document);
        self.notes.iter().filter(is_unstored).count() + self.leaving.len()
    }

    pub(crate) fn counts(&self) -> AppDocumentCounts {
        let machine = self.machine.counts();
        AppDocumentCounts {
            open: machine.open,
            members: machine.members,
            pending_updates: machine.pending_updates,
            bytes: machine.bytes,
            parked_joins: self.parked.len(),
            peers: self.peers.len(),
            visits: self.visits.len(),
            waiting: self.introductions.len()
                + self.owed_states.len()
                + self.trying.len()
                + self.reading.len()
                + self.requested.len()
                + self.beginners.len()
                + self.unstored_acks.len()
                + self.work.len()
                + machine.outputs,
            timers: machine.timers + self.due.len() + self.peers.armed(),
        }
    }

    pub(crate) fn counters(&self) -> AppDocumentCounters {
        AppDocumentCounters {
            documents: self.machine.counters(),
            resets: self.resets,
            contents_saved: self.contents_saved,
            contents_saved_again: self.contents_saved_again,
            contents_lost: self.contents_lost,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let own = [
            self.parked.next_deadline(),
            self.due.next_deadline(),
            self.peers.next_deadline(),
            self.machine.next_deadline(),
        ];
        own.into_iter().flatten().min()
    }
}

/// What is kept of a note while its document is in memory.
#[derive(Debug)]
pub(super) struct OpenNote {
    /// The note's id; `None` of a document that is no note's, which has no content.
    pub(super) id: Option<ByteString>,
    /// What the stores have said of it, until the document is open.
    pub(super) loading: Option<Loading>,
    pub(super) content: Content,
    /// Other members of the note's data that are to be saved.
    pub(super) fields: UnsavedFields,
    /// What is saved once it is known that its author still may.
    pub(super) checking: Option<CheckedSave>,
    /// The state's bytes are this many or fewer. `None`: they have not been counted.
    pub(super) state_bytes: Option<usize>,
    /// The member that was asked to load the note's content into the empty document.
    pub(super) seeder: Option<MemberKey>,
    /// Whose long update is being tried that is to be the first one.
    pub(super) initializer: Option<MemberKey>,
    /// Updates that count only as the first one, while another node may begin the document.
    pub(super) postponed: Vec<(MemberKey, Trying)>,
    /// The last long state that sockets were told, for all who are told the same.
    pub(super) told: Option<ToldState>,
    /// Awareness ids that sockets have announced.
    pub(super) cursors: CursorIds,
    pub(super) timer: Option<(Instant, TimerKey)>,
    pub(super) end: End,
}

impl OpenNote {
    pub(super) fn loading(id: Option<ByteString>, queries: Vec<QueryId>) -> Self {
        let content = if id.is_some() { None } else { Some(None) };
        Self {
            id,
            loading: Some(Loading { queries, stored: None, content }),
            content: Content::default(),
            fields: UnsavedFields::default(),
            checking: None,
            state_bytes: None,
            seeder: None,
            initializer: None,
            postponed: Vec::new(),
            told: None,
            cursors: CursorIds::default(),
            timer: None,
            end: End::NotYet,
        }
    }

    /// Whether all is saved that members have sent for the note.
    pub(super) fn is_saved(&self) -> bool {
        self.content.is_saved() && self.fields.is_saved()
    }
}

/// An update as it is relayed.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) blob: Blob,
    pub(super) initializes: bool,
}

/// Data of a note, before they are saved.
#[derive(Debug)]
pub(super) struct CheckedSave {
    pub(super) data: ByteString,
    pub(super) part: SavedPart,
    /// Who sent it, with the role of that time.
    pub(super) author: User,
}

/// Which part of a note's data is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SavedPart {
    Content,
    Fields,
}

/// A state as sockets were told it.
#[derive(Debug)]
pub(super) struct ToldState {
    pub(super) state: Bytes,
    /// The note's content, if it stands beside the state.
    pub(super) content: Option<ByteString>,
    pub(super) args: Args,
}

/// Whether the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    No,
    Yes,
}

/// How far a document without members is on its way out of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    NotYet,
    /// The machine does not need it any more.
    Idle,
    /// The note has been read once more, to see whether the content that was saved is still there.
    Verifying(QueryId),
}

/// What the stores have said of a note and its document.
#[derive(Debug)]
pub(super) struct Loading {
    pub(super) queries: Vec<QueryId>,
    pub(super) stored: Option<StoredNoteDocument>,
    /// `content` of the note's data, which may be none.
    pub(super) content: Option<Option<ByteString>>,
}

/// An update of a socket that takes long.
#[derive(Debug)]
pub(super) struct Trying {
    /// The bytes of the update, as the socket sent them.
    pub(super) blob: Blob,
    /// Whether it counts only as the first one, and is then acknowledged with itself.
    pub(super) initializes: bool,
    /// Whether it is all that its sender has.
    pub(super) brings: Brings,
    /// The note's content that came with it.
    pub(super) content: Option<ByteString>,
    /// And other members of its data.
    pub(super) fields: DataFields,
}

/// A socket that left while its long update was being read.
#[derive(Debug)]
pub(super) struct LeavingSocket {
    /// What it was in.
    pub(super) documents: Vec<DocumentId>,
    /// What the others know it by.
    pub(super) sid: Sid,
}

/// What the others are told of a member.
#[derive(Clone, Debug, Default)]
pub(super) struct Introduction {
    pub(super) name: ByteString,
    pub(super) color: ByteString,
}

/// Why a state is told. A state that is told later is told for the greatest of the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ToldFor {
    /// The member has asked.
    Asked,
    /// It is to load the note's content, as the member that was to do so has left.
    Seed,
    /// It is to bring all that it has.
    Resync,
    /// It has joined.
    Joined,
}
