//! How a document comes from the store and goes back to it.
//!
//! Owns: that a document is loaded once for all who wait, never served unless all of it could be read, and when it leaves
//! memory. Must never know: how a store keeps it.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::time::Instant;
use roomcast_yjs::journal::{Journal, Write, Written};
use roomcast_yjs::{Awareness, Document, Pending, Source, Verdict, merge_updates};

use crate::config::DocumentsConfig;
use crate::document::{Beginning, DocumentId, Form, Idle, Joining, Live, Stage};
use crate::machine::{Documents, Pace};
use crate::output::{DocumentNotice, NotLoaded, Output};
use crate::question::{Asked, DocumentAnswer, DocumentQuestion, DocumentStoreError, StoredDocument};

/// What an owner makes of a [`StoredDocument`] before the machine opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The snapshot, unless it counts no more.
    pub snapshot: Option<Bytes>,
    /// Yjs updates that count: entries of the owner's own are taken out.
    pub updates: Vec<Bytes>,
    /// The number of the last entry of the log: [`StoredDocument::last_sequence`].
    pub last_sequence: u64,
    /// Entries in the log since the snapshot. With any, a new snapshot is due after a while.
    pub log_len: usize,
    /// An entry of the owner's own that goes into the log in front of the first change.
    pub preamble: Option<Bytes>,
}

impl From<StoredDocument> for Opening {
    fn from(stored: StoredDocument) -> Self {
        let StoredDocument { snapshot, tag: _, updates, last_sequence } = stored;
        Self { snapshot, log_len: updates.len(), updates, last_sequence, preamble: None }
    }
}

/// A document that is read, but not open yet.
#[derive(Debug)]
pub struct Opened(Document, Opening);

impl Opened {
    /// The structs that were read.
    pub const fn content(&self) -> &Document {
        &self.0
    }

    /// Leaves away what was stored: the document begins again, with this entry in front of its first change.
    #[must_use]
    pub fn begin_again(self, config: &DocumentsConfig, preamble: Bytes) -> Self {
        let opening = Opening {
            snapshot: None,
            updates: Vec::new(),
            last_sequence: self.1.last_sequence,
            log_len: 0,
            preamble: Some(preamble),
        };
        Self(Document::new(config.limits), opening)
    }

    /// The same document with an entry of the owner's own in front of its first change.
    #[must_use]
    pub fn with_preamble(mut self, preamble: Bytes) -> Self {
        self.1.preamble = Some(preamble);
        self
    }
}

/// Reads what is stored of a document.
///
/// # Errors
///
/// [`NotLoaded::Corrupt`]: an update cannot be read.
pub fn read_stored(opening: Opening, config: &DocumentsConfig) -> Result<Opened, NotLoaded> {
    let mut document = Document::new(config.limits);
    let mut late: Vec<&[u8]> = Vec::new();
    for update in opening.snapshot.iter().chain(&opening.updates) {
        match document.apply(update, Source::Stored) {
            Verdict::Applied | Verdict::NothingNew => {}
            Verdict::Missing(_) => late.push(update),
            Verdict::Bad(_) => return Err(NotLoaded::Corrupt),
        }
    }
    // A store that failed for long may lack what was given up for a snapshot that never came. What does not depend on
    // that is taken.
    if !late.is_empty() {
        let merged = merge_updates(late).map_err(|_| NotLoaded::Corrupt)?;
        match document.split(&merged, Source::Stored) {
            Some(split) => document.apply(&split.now, Source::Stored),
            None => document.apply(&merged, Source::Stored),
        };
    }
    Ok(Opened(document, opening))
}

impl<M: Copy + Ord> Documents<M> {
    /// The store has answered a question, or its deadline has passed ([`DocumentStoreError::Unavailable`]).
    pub fn handle_answer(
        &mut self,
        document: DocumentId,
        asked: Asked,
        answer: Result<DocumentAnswer, DocumentStoreError>,
        now: Instant,
    ) {
        match (asked, answer) {
            (Asked::Load, Ok(DocumentAnswer::Loaded(stored))) => {
                let opened = read_stored(stored.into(), &self.config);
                self.handle_loaded(document, opened, now);
            }
            (Asked::Load, Ok(DocumentAnswer::Done) | Err(DocumentStoreError::Corrupt)) => {
                self.handle_loaded(document, Err(NotLoaded::Corrupt), now);
            }
            (Asked::Load, Err(DocumentStoreError::Unavailable | DocumentStoreError::Conflict)) => {
                self.handle_loaded(document, Err(NotLoaded::Unavailable), now);
            }
            (Asked::Append, answer) => self.handle_appended(document, answer.map(drop), now),
            (Asked::Snapshot, answer) => self.handle_snapshotted(document, answer.map(drop), now),
        }
    }

    /// A document has been read, or could not be. For owners who read the log themselves; others use
    /// [`handle_answer`](Self::handle_answer).
    pub fn handle_loaded(&mut self, document: DocumentId, opened: Result<Opened, NotLoaded>, now: Instant) {
        let Some(open) = self.documents.get_mut(document) else { return };
        let Stage::Loading(waiting) = &mut open.stage else { return };
        let waiting = std::mem::take(waiting);
        match opened {
            Ok(opened) => {
                open.stage = Stage::Live(Box::new(live(opened, &self.config, self.pace, now)));
                self.counters.loads += 1;
                self.count_bytes(document);
                self.output(Output::Loaded { document, waiting });
            }
            Err(why) => {
                let Some(open) = self.remove(document) else { return };
                self.refuse_load(open.name, why, waiting, now);
            }
        }
    }

    /// An append has come to its end.
    pub fn handle_appended(&mut self, document: DocumentId, result: Result<(), DocumentStoreError>, now: Instant) {
        match result {
            Ok(()) => self.counters.appends += 1,
            Err(error) => {
                self.counters.appends_failed += 1;
                self.note_conflict(document, error);
            }
        }
        let Some(live) = self.live_mut(document) else { return };
        live.journal.handle_appended(written(result), now);
        self.advance(document, now);
    }

    /// A snapshot has come to its end.
    pub fn handle_snapshotted(&mut self, document: DocumentId, result: Result<(), DocumentStoreError>, now: Instant) {
        match result {
            Ok(()) => self.counters.snapshots += 1,
            Err(error) => {
                self.counters.snapshots_failed += 1;
                self.note_conflict(document, error);
            }
        }
        let Some(live) = self.live_mut(document) else { return };
        live.journal.handle_snapshotted(written(result), now);
        self.advance(document, now);
    }

    /// Puts an entry of the owner's own into a document's log, where the machine never looks at it. Returns its number,
    /// or `None` if the document is not loaded.
    pub fn annotate(&mut self, document: DocumentId, entry: Bytes, now: Instant) -> Option<u64> {
        let live = self.live_mut(document)?;
        live.record(entry, now);
        let sequence = live.journal.last_sequence();
        self.advance(document, now);
        Some(sequence)
    }

    /// How soon changes are stored from now on.
    pub fn set_pace(&mut self, pace: Pace, now: Instant) {
        self.pace = pace;
        let documents: Vec<DocumentId> = self.documents.iter().map(|(document, _)| document).collect();
        for document in documents {
            if let Some(live) = self.live_mut(document) {
                match pace {
                    Pace::Hurried => live.journal.close(),
                    Pace::Spaced if !live.members.is_empty() => live.journal.reopen(),
                    Pace::Spaced => {}
                }
            }
            self.advance(document, now);
        }
    }

    /// Refuses those who wait for a document.
    pub(crate) fn refuse_load(&mut self, name: ByteString, why: NotLoaded, waiting: Vec<Joining<M>>, now: Instant) {
        match why {
            NotLoaded::Full => self.counters.refused_full += 1,
            NotLoaded::Unavailable | NotLoaded::Corrupt => self.counters.loads_failed += 1,
        }
        self.output(Output::Notice(DocumentNotice::NotLoaded { name: name.clone(), why }));
        for joining in &waiting {
            if joining.form == Form::Protocol {
                self.close(joining.member, now);
            }
        }
        self.output(Output::NotLoaded { name, why, waiting });
    }

    /// Asks what is due of a document, and arms its next deadline.
    pub(crate) fn advance(&mut self, document: DocumentId, now: Instant) {
        self.advance_journal(document, now);
        let keep_for = self.config.keep_for;
        let Some(live) = self.live(document) else { return };
        let is_over = live.members.is_empty() && live.journal.is_stored();
        let idle_at = (is_over && live.idle == Idle::No).then(|| live.left_at + keep_for);
        let due = [
            live.journal.poll_timeout(),
            live.pending.poll_timeout(),
            live.awareness.poll_timeout().filter(|_| !is_over),
            idle_at,
        ];
        let due = due.into_iter().flatten().min();
        if idle_at.is_some_and(|at| at <= now) {
            if let Some(live) = self.live_mut(document) {
                live.idle = Idle::Told;
            }
            self.output(Output::Idle { document });
            return self.advance(document, now);
        }
        self.arm(document, due);
    }

    /// A deadline of a document has passed.
    pub(crate) fn document_due(&mut self, document: DocumentId, now: Instant) {
        let Some(live) = self.live_mut(document) else { return };
        live.pending.handle_timeout(now);
        if let Some(gone) = live.awareness.handle_timeout(now) {
            self.tell_awareness(document, &gone);
        }
        self.resync_dropped(document, now);
        self.advance(document, now);
    }

    fn advance_journal(&mut self, document: DocumentId, now: Instant) {
        while let Some(open) = self.documents.get_mut(document) {
            let name = open.name.clone();
            let Some(live) = open.live_mut() else { return };
            let Some(write) = live.journal.poll_write(now) else { return };
            let question = match write {
                Write::Append { first_sequence, updates } => {
                    DocumentQuestion::Append { document: name, first_sequence, updates }
                }
                Write::Snapshot { up_to_sequence } => {
                    let snapshot = live.document.state();
                    DocumentQuestion::Snapshot { document: name, snapshot, tag: None, up_to_sequence }
                }
            };
            self.output(Output::Ask { document, question });
        }
    }

    fn arm(&mut self, document: DocumentId, due: Option<Instant>) {
        let Some(open) = self.documents.get_mut(document) else { return };
        if open.timer.map(|(at, _)| at) == due {
            return;
        }
        if let Some((_, timer)) = open.timer.take() {
            self.due.cancel(timer);
        }
        open.timer = due.map(|at| (at, self.due.arm(at, document)));
    }

    fn note_conflict(&mut self, document: DocumentId, error: DocumentStoreError) {
        match error {
            DocumentStoreError::Conflict => {
                self.counters.conflicts += 1;
                if let Some(open) = self.documents.get(document) {
                    let name = open.name.clone();
                    self.output(Output::Notice(DocumentNotice::Conflict { name }));
                }
            }
            DocumentStoreError::Unavailable | DocumentStoreError::Corrupt => {}
        }
    }
}

fn live<M: Copy + Ord>(opened: Opened, config: &DocumentsConfig, pace: Pace, now: Instant) -> Live<M> {
    let Opened(document, Opening { last_sequence, log_len, preamble, .. }) = opened;
    let mut journal = Journal::new(config.journal, last_sequence, log_len, now);
    match pace {
        Pace::Hurried => journal.close(),
        Pace::Spaced => {}
    }
    Live {
        document,
        pending: Pending::new(config.pending),
        awareness: Awareness::new(config.awareness),
        journal,
        members: Vec::new(),
        beginning: Beginning::ByAnyone,
        kept_out: Vec::new(),
        preamble,
        whole: None,
        left_at: Instant::default(),
        idle: Idle::No,
        counted_bytes: 0,
    }
}

const fn written(result: Result<(), DocumentStoreError>) -> Written {
    match result {
        Ok(()) => Written::Stored,
        Err(_) => Written::Failed,
    }
}
