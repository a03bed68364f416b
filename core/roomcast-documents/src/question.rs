//! What documents ask of their store, and what it answers.
//!
//! Owns: the vocabulary. Must never know: SQL, files, or how an answer is found.

use bytes::Bytes;
use bytestring::ByteString;

/// A question to the store of documents. There are three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentQuestion {
    /// The last snapshot, and the updates that were appended after it. Answered by [`DocumentAnswer::Loaded`].
    Load {
        /// The document's name.
        document: ByteString,
    },
    /// Append updates to the log. Answered by [`DocumentAnswer::Done`] once they survive a crash.
    ///
    /// After a failure the question is asked again with the same numbers and the same bytes: an entry that is there
    /// already is passed over. A different entry under the same number means that another program writes the same
    /// document, and is answered by [`DocumentStoreError::Conflict`].
    Append {
        /// The document's name.
        document: ByteString,
        /// The number of the first update; the others follow without gaps.
        first_sequence: u64,
        /// Yjs updates, version 1, and entries of the owner's own: bytes to a store.
        updates: Vec<Bytes>,
    },
    /// Store a snapshot, then cut from the log what the snapshot holds. A snapshot that comes late, behind one with a
    /// higher number, is passed over. Answered by [`DocumentAnswer::Done`].
    Snapshot {
        /// The document's name.
        document: ByteString,
        /// The whole state as one Yjs update, version 1.
        snapshot: Bytes,
        /// Bytes of the owner's own, which [`StoredDocument::tag`] gives back.
        tag: Option<Bytes>,
        /// The number of the last update that the snapshot holds.
        up_to_sequence: u64,
    },
}

impl DocumentQuestion {
    /// What the answer is for. To be kept with the question, and given back by
    /// [`Documents::handle_answer`](crate::Documents::handle_answer).
    pub const fn asked(&self) -> QuestionKind {
        match self {
            Self::Load { .. } => QuestionKind::Load,
            Self::Append { .. } => QuestionKind::Append,
            Self::Snapshot { .. } => QuestionKind::Snapshot,
        }
    }
}

/// The kind of a [`DocumentQuestion`]. A document has at most one question of each kind under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// [`DocumentQuestion::Load`].
    Load,
    /// [`DocumentQuestion::Append`].
    Append,
    /// [`DocumentQuestion::Snapshot`].
    Snapshot,
}

/// An answer of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentAnswer {
    /// What is stored of the document; empty if nothing is.
    Loaded(StoredDocument),
    /// It is written, and survives a crash.
    Done,
}

/// A document as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredDocument {
    /// The last snapshot: one Yjs update, version 1.
    pub snapshot: Option<Bytes>,
    /// As it was stored with the snapshot.
    pub tag: Option<Bytes>,
    /// The updates after the snapshot, in the order of their numbers.
    pub updates: Vec<Bytes>,
    /// The number of the last update that was ever appended; 0 if there was none.
    pub last_sequence: u64,
}

/// Why a store has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentStoreError {
    /// The store cannot be reached, or took too long. Something may have been written all the same.
    Unavailable,
    /// The store holds something that cannot be read.
    Corrupt,
    /// Another program has written to the same document. Nothing was written.
    Conflict,
}

impl std::fmt::Display for DocumentStoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the store is unavailable",
            Self::Corrupt => "the store holds something that cannot be read",
            Self::Conflict => "another program has written to the same document",
        })
    }
}

impl std::error::Error for DocumentStoreError {}
