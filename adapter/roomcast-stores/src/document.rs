//! A document in memory: its snapshot and the log of what came after it.
//!
//! The rules are those of every store of documents. Updates have numbers; a question without an answer is asked again with
//! the same numbers and bytes. Questions overtake each other, so that a number is new if neither the log nor the snapshot
//! has it, and a snapshot older than the one that is there comes to nothing. Other bytes under a number that the log has
//! are another program's: a conflict, and nothing is written.
//!
//! Owns: those rules. Must never know: what is in an update.

use std::collections::BTreeMap;

use bytes::Bytes;
use roomcast_documents::{DocumentStoreError, StoredDocument};

/// One stored document: a snapshot, and the log of the updates after it, by sequence number.
#[derive(Clone, Debug, Default)]
pub(super) struct SnapshotAndLog {
    snapshot: Option<Bytes>,
    tag: Option<Bytes>,
    up_to_sequence: u64,
    log: BTreeMap<u64, Bytes>,
    last_sequence: u64,
}

impl SnapshotAndLog {
    pub(super) fn append(&mut self, first_sequence: u64, updates: Vec<Bytes>) -> Result<(), DocumentStoreError> {
        let known = |sequence: u64, update: &Bytes| self.log.get(&sequence).is_none_or(|known| known == update);
        if !(first_sequence..).zip(&updates).all(|(sequence, update)| known(sequence, update)) {
            return Err(DocumentStoreError::Conflict);
        }
        for (sequence, update) in (first_sequence..).zip(updates) {
            self.last_sequence = self.last_sequence.max(sequence);
            if sequence > self.up_to_sequence {
                self.log.entry(sequence).or_insert(update);
            }
        }
        Ok(())
    }

    /// As [`append`](Self::append), where several write to one document: behind the last entry, or where the same is.
    #[cfg(feature = "openwebui")]
    pub(super) fn append_behind(&mut self, first_sequence: u64, updates: Vec<Bytes>) -> Result<(), DocumentStoreError> {
        let ends_at = first_sequence.saturating_add(updates.len() as u64);
        let is_next = first_sequence == self.last_sequence + 1;
        let is_there = first_sequence > self.up_to_sequence && ends_at <= self.last_sequence + 1;
        if is_next || is_there { self.append(first_sequence, updates) } else { Err(DocumentStoreError::Conflict) }
    }

    /// What is behind an entry.
    #[cfg(feature = "openwebui")]
    pub(super) fn since(&self, after_sequence: u64) -> StoredDocument {
        let whole = self.load();
        if after_sequence < self.up_to_sequence {
            return whole;
        }
        let updates = self.log.range(after_sequence.saturating_add(1)..).map(|(_, update)| update.clone()).collect();
        StoredDocument { snapshot: None, tag: None, updates, ..whole }
    }

    pub(super) fn save(&mut self, snapshot: Bytes, tag: Option<Bytes>, up_to_sequence: u64) {
        if up_to_sequence < self.up_to_sequence {
            return;
        }
        self.snapshot = Some(snapshot);
        self.tag = tag;
        self.up_to_sequence = up_to_sequence;
        self.last_sequence = self.last_sequence.max(up_to_sequence);
        self.log.retain(|sequence, _| *sequence > up_to_sequence);
    }

    pub(super) fn load(&self) -> StoredDocument {
        StoredDocument {
            snapshot: self.snapshot.clone(),
            tag: self.tag.clone(),
            updates: self.log.values().cloned().collect(),
            last_sequence: self.last_sequence,
            is_held: false,
        }
    }
}
