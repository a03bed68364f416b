//! Figures of documents: how many there are, and totals since startup.
//!
//! Owns: the numbers that metrics and tests see. Must never know: how they are counted.

use std::ops::AddAssign;

use roomcast_documents as machine;

/// How much there is of documents now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct AppDocumentCounts {
    /// Documents that are loaded or being loaded.
    pub open: usize,
    /// Members, each once per document.
    pub members: usize,
    /// Updates that wait for something that is missing.
    pub pending_updates: usize,
    /// Bytes of all documents, as their structs are counted.
    pub bytes: usize,
    /// Joins that wait for the login of their socket.
    pub parked_joins: usize,
    /// Sessions of y-protocols, let in or not.
    pub peers: usize,
    /// Requests about documents that have no answer yet.
    pub visits: usize,
    /// Members and states that wait.
    pub waiting: usize,
    /// Armed deadlines.
    pub timers: usize,
}

/// Totals of documents since startup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct AppDocumentCounters {
    /// What the document machine has counted.
    pub documents: machine::DocumentCounters,
    /// Documents that began again because their note was changed elsewhere.
    pub resets: u64,
    /// Contents of notes saved.
    pub contents_saved: u64,
    /// Among these, contents that were saved once more since an earlier one had been written over them.
    pub contents_saved_again: u64,
    /// Contents of notes given up: the note is gone.
    pub contents_lost: u64,
}

impl AddAssign for AppDocumentCounts {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a field more does not go unseen.
        let Self { open, members, pending_updates, bytes, parked_joins, peers, visits, waiting, timers } = other;
        self.open += open;
        self.members += members;
        self.pending_updates += pending_updates;
        self.bytes += bytes;
        self.parked_joins += parked_joins;
        self.peers += peers;
        self.visits += visits;
        self.waiting += waiting;
        self.timers += timers;
    }
}

impl AddAssign for AppDocumentCounters {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a field more does not go unseen.
        let Self { documents, resets, contents_saved, contents_saved_again, contents_lost } = other;
        self.documents += documents;
        self.resets += resets;
        self.contents_saved += contents_saved;
        self.contents_saved_again += contents_saved_again;
        self.contents_lost += contents_lost;
    }
}
