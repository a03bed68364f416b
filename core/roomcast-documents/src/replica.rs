//! What one node knows of a document that other nodes have in memory as well: the record.
//!
//! Owns: entries of others on their way into the document, when the store is asked for them, and the claim to begin an
//! empty document. Must never know: the document, a bus, or a store.
//!
//! The log in the shared store is the one order of a document. A node appends at a number only if it has all entries
//! before it, which the store checks, so that what is written is never written over, and a snapshot up to a number holds
//! all of them. What others append is told by a bus, which is fast and may lose anything. Each entry has a number, so that
//! a gap is seen, and what is missing is read from the store: also after a while without news.

use std::collections::VecDeque;

use bytes::Bytes;
use roomcast_core::time::Instant;
use roomcast_yjs::{Awareness, AwarenessLimits};

/// A document's part in what other nodes do with it.
#[derive(Debug)]
pub(crate) struct Replica {
    /// What others have written, in order and without gaps, behind what the document has.
    incoming: VecDeque<Incoming>,
    /// The number of the last entry that was heard of.
    heard: u64,
    /// The last entry that was known when the store was asked for those behind it.
    pub(crate) asked_after: Option<u64>,
    /// When to ask in any case.
    pub(crate) check_at: Instant,
    pub(crate) begin: Begin,
    /// The entry in front of the first change, if this node has put it there and it is not stored yet.
    pub(crate) preamble: Option<Bytes>,
    /// Whether all that others have written is in the document.
    pub(crate) integrity: Integrity,
    /// Whether the store has answered since it refused an append.
    pub(crate) knowledge: Knowledge,
    /// What providers of other nodes have announced.
    pub(crate) awareness: Awareness<(), ()>,
}

/// What the store has said of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knowledge {
    Fresh,
    /// It is to be asked.
    Stale,
    /// It had no answer, and is asked again at the next check.
    Failed,
}

/// Something that others have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Entry(u64, Bytes),
    /// All up to this number in one update.
    Snapshot(u64, Bytes),
}

/// Whether this node may write the first content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It was not asked for.
    Unasked,
    Asked {
        at: Instant,
    },
    /// Another node may, or the store has no answer: asked again then.
    Refused {
        again_at: Instant,
    },
    Granted {
        until: Instant,
    },
}

/// Whether a document has all that is in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integrity {
    Whole,
    /// An entry could not be applied. A snapshot would lose it.
    Broken,
}

impl Replica {
    pub(crate) fn new(mut limits: AwarenessLimits, now: Instant) -> Self {
        limits.clients_per_session_max = CLIENTS_MAX;
        Self {
            incoming: VecDeque::new(),
            heard: 0,
            asked_after: None,
            // Others are to know of it soon.
            check_at: now,
            begin: Begin::Unasked,
            preamble: None,
            integrity: Integrity::Whole,
            knowledge: Knowledge::Fresh,
            awareness: Awareness::new(limits),
        }
    }

    /// The log goes up to here, as another node says.
    pub(crate) fn heard(&mut self, last_sequence: u64) {
        self.heard = self.heard.max(last_sequence);
    }

    /// Entries of the log. The document has it up to `logged`. What leaves a gap is dropped, and will be asked for.
    pub(crate) fn take(&mut self, first_sequence: u64, entries: Vec<Bytes>, logged: u64) {
        let end = self.end(logged);
        for (sequence, entry) in (first_sequence..).zip(entries) {
            self.heard(sequence);
            if sequence == self.end(logged) + 1 {
                self.incoming.push_back(Incoming::Entry(sequence, entry));
            }
        }
        debug_assert!(self.end(logged) >= end);
    }

    /// A snapshot that holds the log up to here, and what comes behind it. It takes the place of all that waits.
    pub(crate) fn take_snapshot(&mut self, up_to: u64, snapshot: Bytes) {
        self.incoming.clear();
        self.heard(up_to);
        self.incoming.push_back(Incoming::Snapshot(up_to, snapshot));
    }

    /// The next that the document, which has the log up to `logged`, has to take.
    pub(crate) fn front(&mut self, logged: u64) -> Option<&Incoming> {
        while self.incoming.front().is_some_and(|incoming| incoming.sequence() <= logged) {
            self.incoming.pop_front();
        }
        let is_next = match self.incoming.front()? {
            Incoming::Entry(sequence, _) => *sequence == logged + 1,
            Incoming::Snapshot(..) => true,
        };
        if !is_next {
            self.incoming.clear();
        }
        self.incoming.front()
    }

    pub(crate) fn pop(&mut self) {
        self.incoming.pop_front();
        if self.incoming.is_empty() {
            self.incoming = VecDeque::new();
        }
    }

    /// Whether there is something to take.
    pub(crate) fn is_taking(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// The store has lost what was there.
    pub(crate) fn forget_heard(&mut self) {
        (self.heard, self.incoming) = (0, VecDeque::new());
    }

    /// Whether an entry of the log could not be applied.
    pub(crate) fn is_broken(&self) -> bool {
        self.integrity == Integrity::Broken
    }

    /// Whether the store has more than is known.
    pub(crate) fn is_behind(&self, logged: u64) -> bool {
        self.heard > self.end(logged)
    }

    /// The last entry of those that wait, or that the document has.
    pub(crate) fn end(&self, logged: u64) -> u64 {
        self.incoming.back().map_or(logged, |incoming| incoming.sequence().max(logged))
    }

    /// Whether the first content may be written now.
    pub(crate) fn may_begin(&self, now: Instant) -> bool {
        match self.begin {
            Begin::Granted { until } => now < until,
            Begin::Unasked | Begin::Asked { .. } | Begin::Refused { .. } => false,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let begin = match self.begin {
            Begin::Refused { again_at: at } | Begin::Granted { until: at } => Some(at),
            Begin::Unasked | Begin::Asked { .. } => None,
        };
        let check = self.asked_after.is_none().then_some(self.check_at);
        [begin, check, self.awareness.poll_timeout()].into_iter().flatten().min()
    }
}

/// Ids that providers of all other nodes may announce in one document.
const CLIENTS_MAX: usize = 4096;

impl Incoming {
    pub(crate) const fn sequence(&self) -> u64 {
        match self {
            Self::Entry(sequence, _) | Self::Snapshot(sequence, _) => *sequence,
        }
    }
}
