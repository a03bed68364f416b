//! How a document comes from the store and goes back to it.
//!
//! Owns: that a document is loaded once for all who wait, never served unless all of it could be read, and when it leaves
//! memory. Must never know: how a store keeps it.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::time::Instant;
use roomcast_yjs::journal::{Journal, Write, Writers, Written};
use roomcast_yjs::{Awareness, Pending};

use crate::config::DocumentsConfig;
use crate::document::{Idle, Live, Stage};
use crate::machine::{Documents, Pace};
use crate::node_message::Says;
use crate::output::{DocumentNotice, NotLoaded, Output};
use crate::question::{DocumentAnswer, DocumentQuestion, DocumentStoreError, QuestionKind};
use crate::replica::Replica;
use crate::stored::{Opening, ReadDocument, read_stored};
use crate::vocabulary::{Beginning, DocumentId, Form, Joining};
use crate::work::{DocumentWork, Task};
use crate::work_queue::WorkQueue;

impl<M: Copy + Ord> Documents<M> {
    /// The store has answered a question, or its deadline has passed ([`DocumentStoreError::Unavailable`]).
    pub fn handle_answer(
        &mut self,
        document: DocumentId,
        asked: QuestionKind,
        answer: Result<DocumentAnswer, DocumentStoreError>,
        now: Instant,
    ) {
        match (asked, answer) {
            (QuestionKind::Load, Ok(DocumentAnswer::Loaded(stored))) => {
                let opening = Opening::from(stored);
                if opening.bytes() > self.config.quick_update_bytes_max {
                    let work = DocumentWork(Task::Read(opening, self.config));
                    return self.work.push_back((document, work));
                }
                self.handle_loaded(document, read_stored(opening, &self.config), now);
            }
            (
                QuestionKind::Load,
                Ok(DocumentAnswer::Done | DocumentAnswer::Claimed(_)) | Err(DocumentStoreError::Corrupt),
            ) => {
                self.handle_loaded(document, Err(NotLoaded::Corrupt), now);
            }
            (QuestionKind::Load, Err(DocumentStoreError::Unavailable | DocumentStoreError::Conflict)) => {
                self.handle_loaded(document, Err(NotLoaded::Unavailable), now);
            }
            (QuestionKind::Append, answer) => self.handle_appended(document, answer.map(drop), now),
            (QuestionKind::Snapshot, answer) => self.handle_snapshotted(document, answer.map(drop), now),
            (QuestionKind::Since, Ok(DocumentAnswer::Loaded(stored))) => self.handle_since(document, Ok(stored), now),
            (QuestionKind::Since, Ok(DocumentAnswer::Done | DocumentAnswer::Claimed(_))) => {
                self.handle_since(document, Err(DocumentStoreError::Corrupt), now);
            }
            (QuestionKind::Since, Err(error)) => self.handle_since(document, Err(error), now),
            (QuestionKind::Claim, Ok(DocumentAnswer::Claimed(claimed))) => {
                self.handle_claimed(document, Ok(claimed), now)
            }
            (QuestionKind::Claim, Ok(DocumentAnswer::Done | DocumentAnswer::Loaded(_))) => {
                self.handle_claimed(document, Err(DocumentStoreError::Corrupt), now);
            }
            (QuestionKind::Claim, Err(error)) => self.handle_claimed(document, Err(error), now),
            // It ends by itself.
            (QuestionKind::Release, _) => {}
        }
    }

    /// A document has been read, or could not be. For owners who read the log themselves; others use
    /// [`handle_answer`](Self::handle_answer).
    pub fn handle_loaded(&mut self, document: DocumentId, opened: Result<ReadDocument, NotLoaded>, now: Instant) {
        let Some(open) = self.documents.get_mut(document) else { return };
        let Stage::Loading(waiting) = &mut open.stage else { return };
        let waiting = std::mem::take(waiting);
        match opened {
            Ok(opened) => {
                let (name, unsound) = (open.name.clone(), opened.content().unsound());
                let mut live = live(opened, &self.config, self.pace, now);
                if let Some(replica) = &mut live.replica {
                    replica.heard(open.heard_sequence);
                }
                open.stage = Stage::Live(Box::new(live));
                self.counters.loads += 1;
                self.count_bytes(document);
                if let Some(why) = unsound {
                    self.output(Output::Notice(DocumentNotice::Unsound { name, why }));
                }
                self.publish(document, Says::QueryAwareness);
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
                self.note_behind(document, error);
            }
        }
        let Some(live) = self.live_mut(document) else { return };
        let appended = live.replica.as_ref().map(|_| live.journal.appending());
        live.journal.handle_appended(written(result, live.replica.is_some()), now);
        if let Some(appended) = appended.filter(|_| result.is_ok()) {
            self.publish_appended(document, appended);
        }
        self.advance(document, now);
    }

    /// A snapshot has come to its end.
    pub fn handle_snapshotted(&mut self, document: DocumentId, result: Result<(), DocumentStoreError>, now: Instant) {
        match result {
            Ok(()) => self.counters.snapshots += 1,
            Err(error) => {
                self.counters.snapshots_failed += 1;
                self.note_conflict(document, error);
                self.note_behind(document, error);
            }
        }
        let Some(live) = self.live_mut(document) else { return };
        live.journal.handle_snapshotted(written(result, live.replica.is_some()), now);
        if result.is_ok() {
            self.publish_snapshotted(document);
        }
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
                    Pace::Hurried | Pace::Final => live.journal.close(),
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
        self.start_work(document, now);
        self.advance_replica(document, now);
        self.advance_journal(document, now);
        self.start_work(document, now);
        self.tell_stored(document);
        let keep_for = match self.pace {
            Pace::Spaced | Pace::Hurried => self.config.keep_for,
            Pace::Final => Duration::ZERO,
        };
        let Some(live) = self.live(document) else { return };
        let is_over = live.is_over();
        let idle_at = (is_over && live.idle == Idle::No).then(|| live.left_at + keep_for);
        let due = [
            live.journal.poll_timeout(),
            live.pending.poll_timeout(),
            live.awareness.poll_timeout().filter(|_| !is_over),
            live.replica.as_ref().filter(|_| !is_over).and_then(Replica::next_deadline),
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
        let gone_elsewhere = live.replica.as_mut().and_then(|replica| replica.awareness.handle_timeout(now));
        if let Some(gone) = live.awareness.handle_timeout(now) {
            self.tell_awareness(document, &gone);
        }
        if let Some(gone) = gone_elsewhere {
            self.tell_awareness_here(document, &gone);
        }
        self.resync_dropped(document, now);
        self.advance(document, now);
    }

    fn advance_journal(&mut self, document: DocumentId, now: Instant) {
        let config = self.config;
        while let Some(open) = self.documents.get_mut(document) {
            let name = open.name.clone();
            let Some(live) = open.live_mut() else { return };
            let Some(write) = live.journal.poll_write(now) else { return };
            let question = match write {
                Write::Append { first_sequence, updates } => {
                    DocumentQuestion::Append { document: name, first_sequence, updates }
                }
                Write::Snapshot { .. } if live.replica.as_ref().is_some_and(Replica::is_broken) => {
                    live.journal.handle_snapshotted(Written::Failed, now);
                    continue;
                }
                Write::Snapshot { up_to_sequence } => {
                    if !live.is_state_quick(&config) {
                        live.work_queue.snapshot = Some(up_to_sequence);
                        continue;
                    }
                    let snapshot = live.document.state();
                    DocumentQuestion::Snapshot { document: name, snapshot, tag: None, up_to_sequence }
                }
            };
            self.output(Output::Ask { document, question });
        }
    }

    fn tell_stored(&mut self, document: DocumentId) {
        let Some(live) = self.live_mut(document) else { return };
        let changes = live.journal.stored_changes();
        if std::mem::replace(&mut live.stored_told, changes) < changes {
            self.output(Output::Stored { document, changes });
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
            // Between several writers it is an ordinary thing.
            DocumentStoreError::Conflict if self.config.writers == Writers::Several => self.counters.conflicts += 1,
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

fn live<M: Copy + Ord>(opened: ReadDocument, config: &DocumentsConfig, pace: Pace, now: Instant) -> Live<M> {
    let ReadDocument(document, Opening { last_sequence, log_len, preamble, .. }) = opened;
    let mut journal = Journal::new(config.journal, last_sequence, log_len, now).with_writers(config.writers);
    let replica = match config.writers {
        Writers::One => None,
        Writers::Several => Some(Replica::new(config.awareness, now)),
    };
    match pace {
        Pace::Hurried | Pace::Final => journal.close(),
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
        work_queue: WorkQueue::new(),
        preamble,
        whole: None,
        stored_told: 0,
        left_at: Instant::default(),
        idle: Idle::No,
        counted_bytes: 0,
        replica,
    }
}

const fn written(result: Result<(), DocumentStoreError>, is_shared: bool) -> Written {
    match result {
        Ok(()) => Written::Stored,
        Err(DocumentStoreError::Conflict) if is_shared => Written::Behind,
        Err(_) => Written::Failed,
    }
}
