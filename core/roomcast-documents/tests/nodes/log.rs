//! A store that several nodes share, by the rules of [`DocumentQuestion`].

use std::collections::BTreeMap;

use bytes::Bytes;
use roomcast_core::time::Instant;
use roomcast_documents::{Claimed, DocumentAnswer, DocumentQuestion, DocumentStoreError, Holding, StoredDocument};

#[derive(Default)]
pub struct LogOfAll {
    snapshot: Option<Bytes>,
    up_to: u64,
    pub entries: BTreeMap<u64, Bytes>,
    pub last: u64,
    claim: Option<(u64, Instant)>,
    holders: BTreeMap<u64, Instant>,
}

impl LogOfAll {
    pub fn answer(
        &mut self,
        node: u64,
        question: DocumentQuestion,
        now: Instant,
    ) -> Result<DocumentAnswer, DocumentStoreError> {
        match question {
            DocumentQuestion::Load { .. } => Ok(DocumentAnswer::Loaded(self.since(0, node, now))),
            DocumentQuestion::Since { after_sequence, presence, .. } => {
                if presence == Holding::Told {
                    self.holders.insert(node, now + std::time::Duration::from_secs(30));
                }
                Ok(DocumentAnswer::Loaded(self.since(after_sequence, node, now)))
            }
            DocumentQuestion::Append { first_sequence, updates, .. } => self.append(first_sequence, updates),
            DocumentQuestion::Snapshot { snapshot, up_to_sequence, .. } => {
                if up_to_sequence >= self.up_to {
                    (self.snapshot, self.up_to) = (Some(snapshot), up_to_sequence);
                    self.entries.retain(|sequence, _| *sequence > up_to_sequence);
                    self.last = self.last.max(up_to_sequence);
                }
                Ok(DocumentAnswer::Done)
            }
            DocumentQuestion::Claim { after_sequence, span, .. } => {
                if after_sequence != self.last {
                    return Err(DocumentStoreError::Conflict);
                }
                let is_taken = self.claim.is_some_and(|(other, until)| other != node && until > now);
                if !is_taken {
                    self.claim = Some((node, now + span));
                }
                Ok(DocumentAnswer::Claimed(if is_taken { Claimed::Taken } else { Claimed::Granted }))
            }
            DocumentQuestion::Release { .. } => {
                self.holders.remove(&node);
                self.claim.take_if(|(owner, _)| *owner == node);
                Ok(DocumentAnswer::Done)
            }
        }
    }

    /// Nodes that have the document in memory, and whether one may begin it.
    pub fn held(&self) -> (usize, bool) {
        (self.holders.len(), self.claim.is_some())
    }

    /// The store crashes, and comes back without its last entries.
    pub fn lose(&mut self, entries: u64) {
        let last = self.last.saturating_sub(entries).max(self.up_to);
        self.entries.retain(|sequence, _| *sequence <= last);
        self.last = last;
    }

    /// The store comes back without anything.
    pub fn lose_all(&mut self) {
        *self = Self::default();
    }

    fn append(&mut self, first: u64, updates: Vec<Bytes>) -> Result<DocumentAnswer, DocumentStoreError> {
        if first <= self.up_to || first > self.last + 1 {
            return Err(DocumentStoreError::Conflict);
        }
        let is_known =
            |(sequence, update): (u64, &Bytes)| self.entries.get(&sequence).is_none_or(|known| known == update);
        let numbered = || (first..).zip(&updates);
        let overlap = usize::try_from(self.last + 1 - first).unwrap();
        // Of a repetition all is there; of anything else nothing.
        if !numbered().all(is_known) || (overlap > 0 && overlap < updates.len()) {
            return Err(DocumentStoreError::Conflict);
        }
        for (sequence, update) in (first..).zip(updates) {
            self.entries.insert(sequence, update);
            self.last = self.last.max(sequence);
        }
        Ok(DocumentAnswer::Done)
    }

    fn since(&self, after: u64, node: u64, now: Instant) -> StoredDocument {
        StoredDocument {
            snapshot: self.snapshot.clone().filter(|_| self.up_to > after),
            updates: self.entries.range(after + 1..).map(|(_, update)| update.clone()).collect(),
            last_sequence: self.last,
            is_held: self.holders.iter().any(|(other, until)| *other != node && *until > now),
            ..StoredDocument::default()
        }
    }
}
