//! A document in memory: its snapshot and the log of what came after it.
//!
//! The rules are those of every store of documents. Updates have numbers; whoever asked and had no answer asks again with
//! the same ones. Questions overtake each other, so that a number is new if neither the log nor the snapshot has it, and a
//! snapshot older than the one that is there comes to nothing.
//!
//! Owns: those rules. Must never know: what is in an update.

use std::collections::BTreeMap;

use bytes::Bytes;
use roomcast_openwebui::query::{ContentHash, StoredDocument};

/// A document.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    snapshot: Option<Bytes>,
    content_hash: Option<ContentHash>,
    up_to_sequence: u64,
    log: BTreeMap<u64, Bytes>,
    last_sequence: u64,
}

impl Document {
    pub(super) fn append(&mut self, first_sequence: u64, updates: Vec<Bytes>) {
        for (sequence, update) in (first_sequence..).zip(updates) {
            self.last_sequence = self.last_sequence.max(sequence);
            if sequence > self.up_to_sequence {
                self.log.entry(sequence).or_insert(update);
            }
        }
    }

    pub(super) fn save(&mut self, snapshot: Bytes, content_hash: Option<ContentHash>, up_to_sequence: u64) {
        if up_to_sequence < self.up_to_sequence {
            return;
        }
        self.snapshot = Some(snapshot);
        self.content_hash = content_hash;
        self.up_to_sequence = up_to_sequence;
        self.last_sequence = self.last_sequence.max(up_to_sequence);
        self.log.retain(|sequence, _| *sequence > up_to_sequence);
    }

    pub(super) fn load(&self) -> StoredDocument {
        StoredDocument {
            snapshot: self.snapshot.clone(),
            content_hash: self.content_hash,
            updates: self.log.values().cloned().collect(),
            last_sequence: self.last_sequence,
        }
    }
}
