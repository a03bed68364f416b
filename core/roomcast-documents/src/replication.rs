//! A document on several nodes: keeping it in step with the log that they share.
//!
//! Owns: what is taken from other nodes and told them, when the store is asked, and who begins an empty document. Must
//! never know: a bus, a store, or what is in an update. The rules are in [`replica`](crate::replica).

use std::time::Duration;

use bytes::Bytes;
use roomcast_core::time::Instant;
use roomcast_yjs::journal::{Moved, Writers};
use roomcast_yjs::{Source, Verdict};

use crate::document::{Live, Stage};
use crate::machine::Documents;
use crate::node_message::{NodeMessage, Says};
use crate::output::{DocumentNotice, Output};
use crate::question::{Claimed, DocumentQuestion, DocumentStoreError, Holding, StoredDocument};
use crate::replica::{Begin, Incoming, Integrity, Knowledge};
use crate::vocabulary::{DocumentId, Taken};
use crate::work::{DocumentWork, Task, Trial};
use crate::work_queue::AtWork;

/// Whether the first content of a document may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayBegin {
    /// It may, or the document has content.
    Now,
    /// The store has to be asked first, or another node may. [`Output::MayBegin`] follows when this node may.
    Later,
}

impl<M: Copy + Ord> Documents<M> {
    /// Another node has [published](Output::Publish) this. Messages about documents that are not in memory are ignored,
    /// and so is what cannot be read.
    pub fn handle_node_message(&mut self, message: Bytes, now: Instant) {
        let form = message.first().copied().unwrap_or_default();
        let Some(NodeMessage { document: name, says }) = NodeMessage::decode(message) else {
            if self.counters.node_messages_unreadable == 0 {
                self.output(Output::Notice(DocumentNotice::NodeMessageUnreadable { form }));
            }
            self.counters.node_messages_unreadable += 1;
            return;
        };
        let Some(document) = self.named(&name) else { return };
        let Some(open) = self.documents.get_mut(document) else { return };
        let live = match &mut open.stage {
            Stage::Live(live) => live,
            Stage::Loading(_) => {
                open.heard_sequence = open.heard_sequence.max(says.last_sequence());
                return;
            }
        };
        let logged = live.journal.logged_sequence();
        let Some(replica) = &mut live.replica else { return };
        match says {
            Says::Appended { first_sequence, entries } => {
                let is_known = first_sequence.saturating_add(entries.len() as u64) <= logged + 1;
                replica.take(first_sequence, entries.clone(), logged);
                if is_known {
                    self.compare(document, entries, now);
                }
            }
            Says::Grown { last_sequence } => replica.heard(last_sequence),
            Says::Snapshotted { up_to_sequence } => live.journal.handle_others_snapshot(up_to_sequence, now),
            Says::Awareness(update) => {
                // Another node has looked at it.
                if let Ok(roomcast_yjs::Heard::All | roomcast_yjs::Heard::Part(_)) =
                    replica.awareness.handle_update((), &(), &update, now)
                {
                    self.tell_awareness_here(document, &update);
                }
            }
            Says::QueryAwareness => {
                if let Some(state) = live.awareness.state() {
                    self.publish(document, Says::Awareness(state.into()));
                }
            }
        }
        self.advance(document, now);
    }

    /// Whether a member of this node may write the first content of a document. Of several nodes one may at a time: the
    /// store is asked, and asked again until it allows it, until the document has content, or the last member has left.
    pub fn begin(&mut self, document: DocumentId, now: Instant) -> MayBegin {
        let Some(live) = self.live_mut(document) else { return MayBegin::Later };
        let is_empty = live.document.store().is_empty();
        let Some(replica) = live.replica.as_ref().filter(|_| is_empty) else { return MayBegin::Now };
        if replica.may_begin(now) {
            return MayBegin::Now;
        }
        if replica.begin == Begin::Unasked {
            self.claim(document, now);
        }
        MayBegin::Later
    }

    /// The store has said what is behind an entry of the log.
    pub(crate) fn handle_since(
        &mut self,
        document: DocumentId,
        answer: Result<StoredDocument, DocumentStoreError>,
        now: Instant,
    ) {
        let check_after = self.config.check_after;
        let Some(live) = self.live_mut(document) else { return };
        let logged = live.journal.logged_sequence();
        let is_appending = live.journal.is_appending();
        let Some(replica) = &mut live.replica else { return };
        let Some(after) = replica.asked_after.take() else { return };
        replica.check_at = now + check_after;
        let Ok(StoredDocument { snapshot, tag, updates, last_sequence, .. }) = answer else {
            replica.knowledge = Knowledge::Failed;
            return self.advance(document, now);
        };
        replica.knowledge = Knowledge::Fresh;
        let first = last_sequence + 1 - (updates.len() as u64).min(last_sequence);
        if last_sequence < after {
            if is_appending {
                // The answer to that tells more.
                replica.knowledge = Knowledge::Stale;
            } else {
                self.log_lost(document, now);
            }
            return self.advance(document, now);
        }
        if let Some(snapshot) = snapshot {
            replica.take_snapshot(first - 1, snapshot);
            self.output(Output::Tagged { document, tag, up_to_sequence: first - 1 });
        }
        if let Some(replica) = self.live_mut(document).and_then(|live| live.replica.as_mut()) {
            replica.take(first, updates, logged);
        }
        self.advance(document, now);
    }

    /// The store has said who may begin a document.
    pub(crate) fn handle_claimed(
        &mut self,
        document: DocumentId,
        answer: Result<Claimed, DocumentStoreError>,
        now: Instant,
    ) {
        let claim_span = self.config.claim_span;
        let Some(live) = self.live_mut(document) else { return };
        let Some(replica) = &mut live.replica else { return };
        let Begin::Asked { at } = replica.begin else { return };
        match answer {
            Ok(Claimed::Granted) => {
                replica.begin = Begin::Granted { until: at + claim_span / 2 };
                for member in std::mem::take(&mut live.kept_out) {
                    self.ask_resync(document, member);
                }
                self.output(Output::MayBegin { document });
            }
            Ok(Claimed::Taken) | Err(DocumentStoreError::Unavailable | DocumentStoreError::Corrupt) => {
                replica.begin = Begin::Refused { again_at: now + CLAIM_AGAIN_AFTER };
            }
            // The log has more than was known.
            Err(DocumentStoreError::Conflict) => {
                replica.begin = Begin::Refused { again_at: now + CLAIM_SOON_AFTER };
                replica.knowledge = Knowledge::Stale;
            }
        }
        self.advance(document, now);
    }

    /// The log has entries that are not known.
    pub(crate) fn note_behind(&mut self, document: DocumentId, error: DocumentStoreError) {
        let replica = self.live_mut(document).and_then(|live| live.replica.as_mut());
        if let Some(replica) = replica.filter(|_| error == DocumentStoreError::Conflict) {
            replica.knowledge = Knowledge::Stale;
        }
    }

    /// A member of the application writes the first content of a document, which is not this node's to begin. It is asked
    /// for it later.
    pub(crate) fn too_early(&mut self, document: DocumentId, member: M, update: &[u8], now: Instant) -> Taken {
        let quick_bytes_max = self.config.quick_update_bytes_max;
        let Some(live) = self.live(document) else { return Taken::Refused };
        let is_short = update.len() <= quick_bytes_max;
        match is_short.then(|| live.document.check(update, Source::Whole)) {
            Some(Verdict::NothingNew) => {
                self.counters.updates_known += 1;
                return Taken::Known;
            }
            Some(Verdict::Bad(_)) => self.handle_bad(document, member, now),
            Some(Verdict::Applied | Verdict::Missing(_)) | None => {
                self.keep_out(document, member);
                self.begin(document, now);
            }
        }
        Taken::Refused
    }

    /// Takes what others have written, asks for what is missing, and renews the claim to begin.
    pub(crate) fn advance_replica(&mut self, document: DocumentId, now: Instant) {
        if self.config.writers == Writers::One {
            return;
        }
        self.take_logged(document, now);
        let Some(live) = self.live_mut(document) else { return };
        let (logged, is_behind) = (live.journal.logged_sequence(), live.journal.is_behind());
        let (is_over, has_members) = (live.is_over(), !live.members.is_empty());
        let is_empty = live.document.store().is_empty();
        let Some(replica) = &mut live.replica else { return };
        if is_behind && replica.knowledge == Knowledge::Fresh && replica.asked_after.is_none() && !replica.is_taking() {
            live.journal.handle_current(now);
        }
        let wants = match replica.knowledge {
            Knowledge::Fresh => replica.is_behind(logged),
            Knowledge::Stale => true,
            Knowledge::Failed => false,
        };
        let is_claim_due = match replica.begin {
            Begin::Unasked | Begin::Asked { .. } => false,
            Begin::Refused { again_at: at } | Begin::Granted { until: at } => at <= now || !is_empty || !has_members,
        };
        if replica.asked_after.is_none() && !is_over && (wants || replica.check_at <= now) {
            self.ask_since(document, now);
        }
        if is_claim_due {
            match is_empty && has_members {
                true => self.claim(document, now),
                false => self.set_begin(document, Begin::Unasked),
            }
        }
    }

    /// A long entry of another node is in the copy of the document, which has taken its place.
    pub(crate) fn end_logged(&mut self, document: DocumentId, trial: Trial, now: Instant) {
        let Some(live) = self.live_mut(document) else { return };
        let logged = live.journal.logged_sequence();
        let Some(replica) = &mut live.replica else { return };
        let Some(incoming) = replica.front(logged).cloned() else { return };
        self.logged_entry_tried(document, &incoming, trial, now);
    }

    /// Tells the other nodes something about a document, if there may be any.
    pub(crate) fn publish(&mut self, document: DocumentId, says: Says) {
        let Some(open) = self.documents.get(document) else { return };
        if open.live().is_some_and(|live| live.replica.is_some()) {
            let message = NodeMessage { document: open.name.clone(), says }.encode();
            self.output(Output::Publish { message });
        }
    }

    /// Entries of this node are in the log.
    pub(crate) fn publish_appended(&mut self, document: DocumentId, (first, entries): (u64, Vec<Bytes>)) {
        let Some(open) = self.documents.get_mut(document) else { return };
        let name = open.name.clone();
        if let Some(replica) = open.live_mut().and_then(|live| live.replica.as_mut()) {
            replica.preamble = None;
        }
        let message = NodeMessage::appended(name, first, entries).encode();
        self.output(Output::Publish { message });
    }

    pub(crate) fn publish_snapshotted(&mut self, document: DocumentId) {
        let Some(live) = self.live(document).filter(|live| live.replica.is_some()) else { return };
        let up_to_sequence = live.journal.snapshot_sequence();
        self.publish(document, Says::Snapshotted { up_to_sequence });
    }

    /// A document leaves memory.
    pub(crate) fn release_replica(&mut self, document: DocumentId) {
        let Some(open) = self.documents.get(document) else { return };
        if open.live().is_some_and(|live| live.replica.is_some()) {
            let question = DocumentQuestion::Release { document: open.name.clone() };
            self.output(Output::Ask { document, question });
        }
    }

    /// Numbers that are known are told once more. Should the store have lost what had them, and have given them again, there
    /// is something new under them, which is appended behind what is known.
    fn compare(&mut self, document: DocumentId, entries: Vec<Bytes>, now: Instant) {
        let config = self.config;
        for update in entries.into_iter().filter(|entry| (config.is_update)(entry)) {
            let Some(live) = self.live_mut(document).filter(|live| live.is_quick(&update, &config)) else { return };
            if live.document.apply(&update, Source::Stored) == Verdict::Applied {
                live.record(update.clone(), now);
                self.tell_applied(document, None, update);
            }
        }
    }

    /// Takes what others have written, as far as that is soon done.
    fn take_logged(&mut self, document: DocumentId, now: Instant) {
        let config = self.config;
        let mut quick_bytes_left = QUICK_BYTES_MAX;
        while let Some(live) = self.live_mut(document) {
            let logged = live.journal.logged_sequence();
            let is_appending = live.journal.is_appending();
            let is_at_work = matches!(live.work_queue.at_work, Some(AtWork::Logged));
            let Some(replica) = live.replica.as_mut().filter(|_| !is_appending && !is_at_work) else { return };
            let Some(incoming) = replica.front(logged).cloned() else { return };
            let trial = match &incoming {
                Incoming::Entry(_, entry) if !(config.is_update)(entry) => None,
                Incoming::Entry(_, update) | Incoming::Snapshot(_, update) => {
                    if quick_bytes_left == 0 || !live.is_quick(update, &config) {
                        return self.work_on_logged(document, update.clone());
                    }
                    quick_bytes_left = quick_bytes_left.saturating_sub(update.len());
                    Some(Trial::of_logged(&mut live.document, update.clone()))
                }
            };
            match trial {
                Some(trial) => self.logged_entry_tried(document, &incoming, trial, now),
                None => self.annotated(document, &incoming, now),
            }
        }
    }

    fn work_on_logged(&mut self, document: DocumentId, update: Bytes) {
        let Some(live) = self.live_mut(document) else { return };
        // What is at work comes to its end, and this is called again.
        if live.work_queue.at_work.is_none() {
            let copy = live.document.clone();
            live.work_queue.start(AtWork::Logged);
            self.work.push_back((document, DocumentWork(Task::Add { document: copy, update })));
        }
    }

    /// What another node has written was applied, or could not be.
    fn logged_entry_tried(&mut self, document: DocumentId, incoming: &Incoming, trial: Trial, now: Instant) {
        match trial.verdict {
            Verdict::Applied | Verdict::NothingNew => {}
            Verdict::Missing(_) | Verdict::Bad(_) => self.log_unreadable(document),
        }
        self.number(document, incoming, now);
        if let Some(news) = trial.news {
            self.counters.updates_from_nodes += 1;
            self.tell_applied(document, None, news);
            self.release(document, now);
        }
    }

    fn annotated(&mut self, document: DocumentId, incoming: &Incoming, now: Instant) {
        self.number(document, incoming, now);
        if let Incoming::Entry(sequence, entry) = incoming {
            self.output(Output::Annotated { document, sequence: *sequence, entry: entry.clone() });
        }
    }

    /// The document has what others have written: its own changes go behind it.
    fn number(&mut self, document: DocumentId, incoming: &Incoming, now: Instant) {
        let Some(live) = self.live_mut(document) else { return };
        let moved = match incoming {
            Incoming::Entry(_, entry) => live.journal.handle_others(entry, now),
            Incoming::Snapshot(up_to, _) => {
                live.journal.handle_others_cut(*up_to, now);
                Moved::No
            }
        };
        if let Some(replica) = &mut live.replica {
            replica.pop();
        }
        if moved == Moved::ByOne {
            forget_preamble(live);
            self.output(Output::Renumbered { document });
        }
    }

    fn ask_since(&mut self, document: DocumentId, now: Instant) {
        let check_after = self.config.check_after;
        let Some(open) = self.documents.get_mut(document) else { return };
        let name = open.name.clone();
        let Some(live) = open.live_mut() else { return };
        let logged = live.journal.logged_sequence();
        let presence = if live.document.store().is_empty() { Holding::Untold } else { Holding::Told };
        let Some(replica) = &mut live.replica else { return };
        let after_sequence = replica.end(logged);
        (replica.asked_after, replica.check_at) = (Some(after_sequence), now + check_after);
        let question = DocumentQuestion::Since { document: name, after_sequence, presence };
        self.output(Output::Ask { document, question });
    }

    fn claim(&mut self, document: DocumentId, now: Instant) {
        let span = self.config.claim_span;
        let Some(open) = self.documents.get(document) else { return };
        let name = open.name.clone();
        let Some(live) = open.live() else { return };
        let after_sequence = live.journal.logged_sequence();
        self.set_begin(document, Begin::Asked { at: now });
        let question = DocumentQuestion::Claim { document: name, after_sequence, span };
        self.output(Output::Ask { document, question });
    }

    fn set_begin(&mut self, document: DocumentId, begin: Begin) {
        if let Some(replica) = self.live_mut(document).and_then(|live| live.replica.as_mut()) {
            replica.begin = begin;
        }
    }

    /// The store has less than it had.
    fn log_lost(&mut self, document: DocumentId, now: Instant) {
        let Some(open) = self.documents.get_mut(document) else { return };
        let name = open.name.clone();
        let Some(live) = open.live_mut() else { return };
        live.journal.handle_lost(now);
        if let Some(replica) = &mut live.replica {
            replica.forget_heard();
        }
        self.counters.logs_lost += 1;
        self.output(Output::Notice(DocumentNotice::LogLost { name }));
    }

    fn log_unreadable(&mut self, document: DocumentId) {
        let Some(open) = self.documents.get_mut(document) else { return };
        let name = open.name.clone();
        let Some(replica) = open.live_mut().and_then(|live| live.replica.as_mut()) else { return };
        if std::mem::replace(&mut replica.integrity, Integrity::Broken) == Integrity::Whole {
            self.output(Output::Notice(DocumentNotice::Unreadable { name }));
        }
    }
}

/// Another node has begun the document: what this one was to put in front of its first change is not wanted any more.
fn forget_preamble<M>(live: &mut Live<M>) {
    live.preamble = None;
    if let Some(preamble) = live.replica.as_mut().and_then(|replica| replica.preamble.take()) {
        live.journal.withdraw(&preamble);
    }
}

/// Time after which a claim that another node has is asked for again.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Time after which it is asked for again when the log has been read.
const CLAIM_SOON_AFTER: Duration = Duration::from_millis(50);
/// Bytes of entries of other nodes that are applied at once. Those behind them go to work.
const QUICK_BYTES_MAX: usize = 32 << 10;
