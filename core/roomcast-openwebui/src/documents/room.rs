//! One document and who is in it: the records.
//!
//! Owns: rooms, members and the table of both. Must never know: how somebody gets in, or what is sent.

use bytestring::ByteString;

use super::content::{self, Content};
use super::peers::Peers;
use super::visits::Visits;
use crate::access::Access;
use crate::query::{QueryId, StoredDocument};
use roomcast_core::rng::{KeyedHash, KeyedMap};
use roomcast_core::server::{AppRequestId, SessionId, Sid, SocketId};
use roomcast_core::slab::Slab;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::timer::{Fifo, TimerKey, Timers};
use roomcast_yjs::journal::Journal;
use roomcast_yjs::{Awareness, Document, Pending};

roomcast_core::slab_key! {
    /// A document that is loaded, or being loaded.
    pub struct RoomId;
}

/// All documents.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(super) rooms: Slab<RoomId, Room>,
    by_id: KeyedMap<ByteString, RoomId>,
    pub(super) peers: Peers,
    pub(super) visits: Visits,
    /// Joins that wait for the session of their socket.
    pub(super) parked: Fifo<SocketId>,
    pub(super) due: Timers<RoomId>,
    pub(super) counters: DocumentCounters,
    /// When a content was last sent to be saved, in nanoseconds since the epoch.
    saved_at_nanos: u64,
}

impl Documents {
    pub(crate) fn new(hash: KeyedHash) -> Self {
        Self {
            rooms: Slab::new(),
            by_id: KeyedMap::with_hasher(hash),
            peers: Peers::default(),
            visits: Visits::default(),
            parked: Fifo::new(),
            due: Timers::new(),
            counters: DocumentCounters::default(),
            saved_at_nanos: 0,
        }
    }

    /// The moment of a save. A store passes over what is behind a later one, so that it goes on even if the calendar is
    /// set back.
    pub(super) fn save_moment(&mut self, wall: WallTime) -> u64 {
        let at_nanos = wall.as_unix_millis().saturating_mul(1_000_000);
        self.saved_at_nanos = at_nanos.max(self.saved_at_nanos.saturating_add(1));
        self.saved_at_nanos
    }

    pub(super) fn insert(&mut self, room: Room) -> RoomId {
        let id = room.id.clone();
        let handle = self.rooms.insert(room);
        self.by_id.insert(id, handle);
        handle
    }

    pub(super) fn remove(&mut self, handle: RoomId) -> Option<Room> {
        let room = self.rooms.remove(handle)?;
        self.by_id.remove(&room.id);
        if let Some((_, timer)) = room.timer {
            self.due.cancel(timer);
        }
        Some(room)
    }

    pub(super) fn named(&self, document: &str) -> Option<RoomId> {
        self.by_id.get(document).copied()
    }

    pub(super) fn live(&self, room: RoomId) -> Option<&Live> {
        match &self.rooms.get(room)?.stage {
            Stage::Live(live) => Some(live),
            Stage::Loading(_) => None,
        }
    }

    pub(super) fn live_mut(&mut self, room: RoomId) -> Option<&mut Live> {
        match &mut self.rooms.get_mut(room)?.stage {
            Stage::Live(live) => Some(live),
            Stage::Loading(_) => None,
        }
    }

    /// The room of a document that somebody is in.
    pub(super) fn joined(&self, document: &str, member: MemberId) -> Option<(RoomId, &Member)> {
        let room = self.named(document)?;
        Some((room, self.live(room)?.member(member)?))
    }

    pub(super) fn member_mut(&mut self, room: RoomId, member: MemberId) -> Option<&mut Member> {
        self.live_mut(room)?.members.iter_mut().find(|other| other.id == member)
    }

    /// The socket of a parked join is gone.
    pub(crate) fn unpark_timer(&mut self, parked: &super::Parked) {
        self.parked.cancel(parked.timer);
    }

    pub(crate) fn counts(&self) -> DocumentCounts {
        let lives = || self.rooms.iter().filter_map(|(room, _)| self.live(room));
        DocumentCounts {
            rooms: self.rooms.len(),
            members: lives().map(|live| live.members.len()).sum(),
            pending_updates: lives().map(|live| live.pending.len()).sum(),
            parked_joins: self.parked.len(),
            peers: self.peers.len(),
            visits: self.visits.len(),
            timers: self.due.len() + self.peers.armed(),
        }
    }

    pub(crate) fn counters(&self) -> DocumentCounters {
        self.counters
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let own = [self.parked.next_deadline(), self.due.next_deadline(), self.peers.next_deadline()];
        own.into_iter().flatten().min()
    }
}

/// A document.
#[derive(Debug)]
pub(super) struct Room {
    /// As peers name it: `note:` and the note's id.
    pub(super) id: ByteString,
    pub(super) note: ByteString,
    pub(super) stage: Stage,
    pub(super) timer: Option<(Instant, TimerKey)>,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Both stores have been asked.
    Loading(Loading),
    Live(Box<Live>),
}

#[derive(Debug)]
pub(super) struct Loading {
    pub(super) queries: [QueryId; 2],
    pub(super) stored: Option<StoredDocument>,
    /// `content` of the note's data, which may be none.
    pub(super) content: Option<Option<ByteString>>,
    pub(super) waiting: Vec<Joining>,
}

/// Somebody who may join, and waits for the document.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub(super) id: MemberId,
    /// The id of its user.
    pub(super) user: ByteString,
    /// The user's name.
    pub(super) name: ByteString,
    pub(super) access: Access,
    pub(super) color: ByteString,
}

/// A document that was loaded.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) document: Document,
    pub(super) pending: Pending<MemberId>,
    pub(super) awareness: Awareness<SessionId>,
    pub(super) journal: Journal,
    pub(super) content: Content,
    /// In the order in which they came.
    pub(super) members: Vec<Member>,
    /// Who has been asked to load the note's content into the empty document.
    pub(super) seeder: Option<MemberId>,
    /// Providers that have written while nobody had loaded the note's content: they are asked for it again afterwards.
    pub(super) kept_out: Vec<SessionId>,
    /// What goes into the log before the first change.
    pub(super) opening: Option<bytes::Bytes>,
}

impl Live {
    pub(super) fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Whether the document is empty and its note is not. What is written then would stand in the way of whoever loads
    /// the note's content, which would be lost with the next save.
    pub(super) fn is_unseeded(&self) -> bool {
        self.document.store().is_empty() && self.content.current().is_some_and(|json| !content::says_nothing(json))
    }

    /// Whether everything is stored.
    pub(super) fn is_stored(&self) -> bool {
        self.journal.is_stored() && self.content.is_saved()
    }
}

/// Somebody in a document.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    /// Whose updates and cursors are relayed under this name, whatever the peer says.
    pub(super) user: ByteString,
    /// The name of a socket among sockets.
    pub(super) sid: Option<Sid>,
    pub(super) access: Access,
    /// Whether it was asked for all that it has, which may be long.
    pub(super) resync: Resync,
    pub(super) bad_updates: u32,
}

/// Whether somebody was asked for all that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resync {
    No,
    /// On joining.
    Invited,
    /// Because it built on something that is missing: not to be asked twice for that.
    Asked,
}

/// Who somebody is: a socket of the application protocol, a session of y-protocols, or a request of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MemberId {
    Socket(SocketId),
    Peer(SessionId),
    /// A member for one moment.
    Visitor(AppRequestId),
}

/// What a question about documents was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// To load one: its own store.
    Load(RoomId),
    /// To load one: the note.
    LoadContent(RoomId),
    /// To append to its log.
    Append { room: RoomId, first: u64, end: u64 },
    /// To store a snapshot.
    Snapshot { room: RoomId, up_to: u64 },
    /// To save the note's content.
    SaveContent(RoomId),
    /// To see what a socket, as it was then, may still do.
    Rights { room: RoomId, socket: SocketId, epoch: u64 },
    /// A session of y-protocols waits for it, or its rights are looked at again.
    Peer(SessionId),
    /// A request waits for it.
    Visit(AppRequestId),
}

/// How much there is of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DocumentCounts {
    /// Documents that are loaded or being loaded.
    pub rooms: usize,
    /// Who is in them, each once per document.
    pub members: usize,
    /// Updates that wait for something that is missing.
    pub pending_updates: usize,
    /// Joins that wait for the session of their socket.
    pub parked_joins: usize,
    /// Sessions of y-protocols, let in or not.
    pub peers: usize,
    /// Requests about documents that have no answer yet.
    pub visits: usize,
    /// Deadlines.
    pub timers: usize,
}

/// What has happened to documents since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DocumentCounters {
    /// Documents loaded.
    pub loads: u64,
    /// Loads that failed.
    pub loads_failed: u64,
    /// Documents that began again because their note was changed elsewhere.
    pub resets: u64,
    /// Updates that were applied.
    pub updates_applied: u64,
    /// Updates that brought nothing new: echoes.
    pub updates_known: u64,
    /// Updates that missed something.
    pub updates_held: u64,
    /// Updates that were no updates, over a limit, or from somebody who may not write.
    pub updates_refused: u64,
    /// Frames made to relay updates, whatever the number of their recipients.
    pub frames_encoded: u64,
    /// Members who were asked for what they have, because they built on what is missing.
    pub resyncs: u64,
    /// Contents of notes saved.
    pub contents_saved: u64,
    /// Contents of notes given up: the note is gone.
    pub contents_lost: u64,
}
