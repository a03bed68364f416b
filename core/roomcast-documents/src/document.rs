//! A document in memory and its members: the records.
//!
//! Owns: [`OpenDocument`], [`Member`] and the table of both. Must never know: how a member gets in, or what is sent.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::time::Instant;
use roomcast_core::timer::TimerKey;
use roomcast_yjs::journal::Journal;
use roomcast_yjs::{Awareness, Document, Pending, ProtocolMessage, StateVector};

use crate::config::DocumentsConfig;
use crate::replica::Replica;
use crate::vocabulary::{Access, Beginning, Form, Joining, Resync};
use crate::work;
use crate::work_queue::WorkQueue;

/// A document in memory.
#[derive(Debug)]
pub struct OpenDocument<M> {
    pub(crate) name: ByteString,
    pub(crate) stage: Stage<M>,
    pub(crate) timer: Option<(Instant, TimerKey)>,
    /// The last entry of the log that other nodes have spoken of while it was being loaded.
    pub(crate) heard_sequence: u64,
}

impl<M: Copy + Ord> OpenDocument<M> {
    /// The name that members know it by.
    pub const fn name(&self) -> &ByteString {
        &self.name
    }

    /// The structs, once they are loaded.
    pub fn content(&self) -> Option<&Document> {
        self.live().map(|live| &live.document)
    }

    /// The members in the order in which they came; none while it is being loaded.
    pub fn members(&self) -> &[Member<M>] {
        self.live().map_or(&[], |live| &live.members)
    }

    /// A member, if it is in.
    pub fn member(&self, member: M) -> Option<&Member<M>> {
        self.live()?.member(member)
    }

    /// Whether the store has everything. A document that is being loaded has nothing to store.
    pub fn is_stored(&self) -> bool {
        self.live().is_none_or(|live| live.journal.is_stored() && live.work_queue.is_clear())
    }

    /// The number of the last entry of the log.
    pub fn last_sequence(&self) -> u64 {
        self.live().map_or(0, |live| live.journal.last_sequence())
    }

    /// How many changes this program has made since the document was loaded: those of its members, not those of other
    /// nodes. After an update was taken, it is stored once so many are.
    pub fn changes(&self) -> u64 {
        self.live().map_or(0, |live| live.journal.changes())
    }

    /// How many of the [changes](Self::changes), from the first on, are known to be stored.
    /// [`Output::Stored`](crate::Output::Stored) says when there are more.
    pub fn stored_changes(&self) -> u64 {
        self.live().map_or(0, |live| live.journal.stored_changes())
    }

    pub(crate) fn live(&self) -> Option<&Live<M>> {
        match &self.stage {
            Stage::Live(live) => Some(live),
            Stage::Loading(_) => None,
        }
    }

    pub(crate) fn live_mut(&mut self) -> Option<&mut Live<M>> {
        match &mut self.stage {
            Stage::Live(live) => Some(live),
            Stage::Loading(_) => None,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Stage<M> {
    /// The store has been asked; these wait for its answer.
    Loading(Vec<Joining<M>>),
    Live(Box<Live<M>>),
}

/// A document that was loaded.
#[derive(Debug)]
pub(crate) struct Live<M> {
    pub(crate) document: Document,
    pub(crate) pending: Pending<M>,
    pub(crate) awareness: Awareness<M, Owner<M>>,
    pub(crate) journal: Journal,
    pub(crate) members: Vec<Member<M>>,
    pub(crate) beginning: Beginning,
    /// Providers that have written before the document has begun: they are asked for it again afterwards.
    pub(crate) kept_out: Vec<M>,
    pub(crate) work_queue: WorkQueue<M>,
    /// An entry of the owner's own that goes into the log in front of the first change.
    pub(crate) preamble: Option<Bytes>,
    /// Step 2 with the whole state, made once for all members that ask for it. Taken back by each change.
    pub(crate) whole: Option<Bytes>,
    /// How many changes the owner knows to be stored.
    pub(crate) stored_told: u64,
    /// When the last member left.
    pub(crate) left_at: Instant,
    pub(crate) idle: Idle,
    /// Its part of the bytes of all documents.
    pub(crate) counted_bytes: usize,
    /// What other nodes have to do with it, if there may be any.
    pub(crate) replica: Option<Replica>,
}

/// The owner of an awareness id after its session has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner<M> {
    User(ByteString),
    /// A member without a user: no other is known to be the same.
    Member(M),
}

/// Whether the owner knows that a document is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    No,
    Told,
}

impl<M: Copy + Ord> Live<M> {
    pub(crate) fn member(&self, id: M) -> Option<&Member<M>> {
        self.members.iter().find(|member| member.id == id)
    }

    pub(crate) fn member_mut(&mut self, id: M) -> Option<&mut Member<M>> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    pub(crate) fn providers(&self) -> Vec<M> {
        let providers = self.members.iter().filter(|member| member.form == Form::Protocol);
        providers.map(|member| member.id).collect()
    }

    /// Whether nothing may be written into the document yet, except by the application.
    pub(crate) fn is_unbegun(&self) -> bool {
        self.beginning == Beginning::ByApplication && self.document.store().is_empty()
    }

    /// Whether no one is in it, and the store has everything.
    pub(crate) fn is_over(&self) -> bool {
        self.members.is_empty() && self.journal.is_stored() && self.work_queue.is_clear()
    }

    /// Step 2 for a provider that knows this much.
    pub(crate) fn step_2(&mut self, known: &StateVector) -> Bytes {
        if known.iter().next().is_some() {
            return work::step_2(&mut self.document, known);
        }
        let document = &mut self.document;
        self.whole.get_or_insert_with(|| ProtocolMessage::SyncStep2(&document.state()).encode().into()).clone()
    }

    /// Whether an update is tried so soon that no other connection notices.
    pub(crate) fn is_quick(&self, update: &[u8], config: &DocumentsConfig) -> bool {
        update.len() <= config.quick_update_bytes_max
            && (self.is_small(config) || self.document.deletion_reach(update) <= QUICK_STRUCTS_MAX)
    }

    /// The same of encoding the state.
    pub(crate) fn is_state_quick(&self, config: &DocumentsConfig) -> bool {
        self.document.has_state() || self.is_small(config)
    }

    /// The same of step 2 for a provider that knows this much.
    pub(crate) fn is_step_2_quick(&self, known: &StateVector, config: &DocumentsConfig) -> bool {
        (self.whole.is_some() && known.iter().next().is_none()) || self.is_small(config)
    }

    /// Whether the first content may come from members of this node.
    pub(crate) fn may_begin(&self, now: Instant) -> bool {
        !self.is_unbegun() || self.replica.as_ref().is_none_or(|replica| replica.may_begin(now))
    }

    fn is_small(&self, config: &DocumentsConfig) -> bool {
        self.document.store().footprint() <= config.quick_state_bytes_max
    }

    /// Puts an entry into the log, behind what has to come first.
    pub(crate) fn record(&mut self, entry: Bytes, now: Instant) {
        if let Some(preamble) = self.preamble.take() {
            if let Some(replica) = &mut self.replica {
                replica.preamble = Some(preamble.clone());
            }
            self.journal.handle_change(preamble, now);
        }
        self.journal.handle_change(entry, now);
    }
}

/// Structs that a small update may look at: a millisecond.
const QUICK_STRUCTS_MAX: usize = 10_000;

/// A member of a document.
#[derive(Clone, Debug)]
pub struct Member<M> {
    pub(crate) id: M,
    pub(crate) user: ByteString,
    pub(crate) access: Access,
    pub(crate) form: Form,
    pub(crate) resync: Resync,
    pub(crate) bad_updates: u32,
}

impl<M: Copy> Member<M> {
    /// The key that the owner gave it.
    pub const fn id(&self) -> M {
        self.id
    }

    /// Its user, as the owner named it.
    pub const fn user(&self) -> &ByteString {
        &self.user
    }

    /// What it may do.
    pub const fn access(&self) -> Access {
        self.access
    }

    /// The form in which it receives changes.
    pub const fn form(&self) -> Form {
        self.form
    }
}
