//! The machine: all documents, who is in them, and what is to be done about them.
//!
//! Owns: the table of documents, outputs, deadlines, counts, and the bound on all documents together. Must never know:
//! the application that owns the documents, or a transport.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::rng::{KeyedHash, KeyedMap};
use roomcast_core::slab::Slab;
use roomcast_core::time::Instant;
use roomcast_core::timer::Timers;

use crate::config::DocumentsConfig;
use crate::counters::{DocumentCounters, DocumentCounts};
use crate::document::{Live, Member, OpenDocument, Stage};
use crate::output::Output;
use crate::provider::Provider;
use crate::vocabulary::DocumentId;
use crate::work::DocumentWork;

/// Documents with their members. The [crate's page](crate) has the contract.
///
/// `M` is the owner's key for a member: a session, a socket. It is not to be used again for another member before
/// the first one has been taken out by [`leave`](Self::leave) or [`handle_closed`](Self::handle_closed).
///
/// ```
/// use roomcast_core::rng::Rng;
/// use roomcast_core::time::Instant;
/// use roomcast_documents::{Access, Documents, DocumentsConfig, Output};
///
/// let hash = Rng::from_seed([0; 32]).keyed_hash();
/// let mut documents: Documents<&str> = Documents::new(DocumentsConfig::default(), hash);
/// documents.handle_opened("session 7", "plan".into());
/// assert_eq!(documents.poll_output(), Some(Output::Authorize { member: "session 7", name: "plan".into() }));
/// documents.let_in("session 7", "alice".into(), Access::Read, Instant::from_millis(1));
/// // The first member of a document has it loaded.
/// assert!(matches!(documents.poll_output(), Some(Output::Ask { .. })));
/// ```
#[derive(Debug)]
pub struct Documents<M> {
    pub(crate) config: DocumentsConfig,
    pub(crate) documents: Slab<DocumentId, OpenDocument<M>>,
    pub(crate) by_name: KeyedMap<ByteString, DocumentId>,
    pub(crate) providers: BTreeMap<M, Provider>,
    pub(crate) due: Timers<DocumentId>,
    pub(crate) outputs: VecDeque<Output<M>>,
    pub(crate) work: VecDeque<(DocumentId, DocumentWork)>,
    pub(crate) counters: DocumentCounters,
    pub(crate) pace: Pace,
    /// Bytes of all loaded documents.
    pub(crate) bytes: usize,
}

/// How soon changes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At the intervals of [`DocumentsConfig::journal`], and at once when the last member has left.
    Spaced,
    /// At once: a request waits for it.
    Hurried,
    /// At once, and a document without members does not stay in memory: the server ends, and other nodes are not to wait
    /// for it.
    Final,
}

impl<M: Copy + Ord> Documents<M> {
    /// No documents. `hash` is drawn from the owner's generator: names of documents are chosen by peers.
    pub fn new(config: DocumentsConfig, hash: KeyedHash) -> Self {
        Self {
            config,
            documents: Slab::new(),
            by_name: KeyedMap::with_hasher(hash),
            providers: BTreeMap::new(),
            due: Timers::new(),
            outputs: VecDeque::new(),
            work: VecDeque::new(),
            counters: DocumentCounters::default(),
            pace: Pace::Spaced,
            bytes: 0,
        }
    }

    /// Time has passed. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(document) = self.due.pop_due(now) {
            if let Some(open) = self.documents.get_mut(document) {
                open.timer = None;
            }
            self.document_due(document, now);
        }
    }

    /// The next thing to carry out.
    pub fn poll_output(&mut self) -> Option<Output<M>> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() && self.outputs.capacity() > OUTPUTS_KEPT {
            self.outputs.shrink_to(OUTPUTS_KEPT);
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.next_deadline()
    }

    /// The document of this name, if it is in memory.
    pub fn named(&self, name: &str) -> Option<DocumentId> {
        self.by_name.get(name).copied()
    }

    /// A document in memory.
    pub fn get(&self, document: DocumentId) -> Option<&OpenDocument<M>> {
        self.documents.get(document)
    }

    /// All documents in memory.
    pub fn iter(&self) -> impl Iterator<Item = (DocumentId, &OpenDocument<M>)> {
        self.documents.iter()
    }

    /// A document's whole state as one Yjs update, encoded at most once per change, now if it is not yet. `None` while it
    /// is being loaded. [`request_state`](Self::request_state) does not hold the caller up.
    pub fn state(&mut self, document: DocumentId) -> Option<Bytes> {
        Some(self.live_mut(document)?.document.state())
    }

    /// [`state`](Self::state) as the text of a JSON array of integers.
    pub fn state_array(&mut self, document: DocumentId) -> Option<Bytes> {
        Some(self.live_mut(document)?.document.state_array())
    }

    /// Totals since startup.
    pub const fn counters(&self) -> DocumentCounters {
        self.counters
    }

    /// How much there is now.
    pub fn counts(&self) -> DocumentCounts {
        let lives = || self.documents.iter().filter_map(|(_, open)| open.live());
        DocumentCounts {
            open: self.documents.len(),
            members: lives().map(|live| live.members.len()).sum(),
            pending_updates: lives().map(|live| live.pending.len()).sum(),
            providers: self.providers.len(),
            bytes: self.bytes,
            timers: self.due.len(),
            outputs: self.outputs.len() + self.work.len(),
        }
    }

    /// What must be all zeros once every member has left, the store has answered, and
    /// [`DocumentsConfig::keep_for`] has passed.
    pub fn audit(&self) -> DocumentCounts {
        self.counts()
    }

    /// Documents that hold something which the store does not have.
    pub fn unstored(&self) -> impl Iterator<Item = DocumentId> {
        self.documents.iter().filter(|(_, open)| !open.is_stored()).map(|(document, _)| document)
    }

    pub(crate) fn live(&self, document: DocumentId) -> Option<&Live<M>> {
        self.documents.get(document)?.live()
    }

    pub(crate) fn live_mut(&mut self, document: DocumentId) -> Option<&mut Live<M>> {
        self.documents.get_mut(document)?.live_mut()
    }

    pub(crate) fn member_mut(&mut self, document: DocumentId, member: M) -> Option<&mut Member<M>> {
        self.live_mut(document)?.member_mut(member)
    }

    pub(crate) fn output(&mut self, output: Output<M>) {
        self.outputs.push_back(output);
    }

    pub(crate) fn insert(&mut self, name: ByteString) -> DocumentId {
        let open =
            OpenDocument { name: name.clone(), stage: Stage::Loading(Vec::new()), timer: None, heard_sequence: 0 };
        let document = self.documents.insert(open);
        self.by_name.insert(name, document);
        document
    }

    pub(crate) fn remove(&mut self, document: DocumentId) -> Option<OpenDocument<M>> {
        let open = self.documents.remove(document)?;
        self.by_name.remove(&open.name);
        if let Some((_, timer)) = open.timer {
            self.due.cancel(timer);
        }
        if let Some(live) = open.live() {
            self.bytes = self.bytes.saturating_sub(live.counted_bytes);
        }
        Some(open)
    }

    /// Counts the bytes of a document anew, after it has changed.
    pub(crate) fn count_bytes(&mut self, document: DocumentId) {
        let Some(live) = self.documents.get_mut(document).and_then(OpenDocument::live_mut) else { return };
        let bytes = live.document.store().footprint();
        let before = std::mem::replace(&mut live.counted_bytes, bytes);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(bytes);
    }
}

/// Outputs for which there stays room after a burst.
const OUTPUTS_KEPT: usize = 64;
