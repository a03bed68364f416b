//! What documents ask of their store, and what it answers.
//!
//! Owns: the vocabulary. Must never know: SQL, files, or how an answer is found.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

/// A question to the store of documents. There are three, and three more that are asked only where
/// [several programs](crate::yjs::journal::Writers::Several) write to one document: then the store is what they share, and
/// decides between them.
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
    /// document, and is answered by [`DocumentStoreError::Conflict`]. A store for several programs answers the same if the
    /// number of the first update is not the one behind the last entry, or a snapshot has cut the log there.
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
    /// What the log has behind an entry, with the snapshot if that has cut the log there. Says as well that this program
    /// has the document in memory, if it does, for some time. Answered by [`DocumentAnswer::Loaded`].
    Since {
        /// The document's name.
        document: ByteString,
        /// The number of the last entry that is known.
        after_sequence: u64,
        /// Whether others are told that this program has the document in memory.
        presence: Holding,
    },
    /// May this program write the first content of the document, and no other one for a while? Answered by
    /// [`DocumentAnswer::Claimed`], or by [`DocumentStoreError::Conflict`] if this is not the last entry of the log.
    Claim {
        /// The document's name.
        document: ByteString,
        /// The number of the last entry that is known.
        after_sequence: u64,
        /// How long the claim lasts unless it is renewed by asking again.
        span: Duration,
    },
    /// This program does not have the document in memory any more. Answered by [`DocumentAnswer::Done`].
    Release {
        /// The document's name.
        document: ByteString,
    },
}

/// Whether other programs are told that this one has a document in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// The others are told so, for some time.
    Told,
    /// The others are not told: it is empty.
    Untold,
}

/// Whether a program may write the first content of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It may, and no other.
    Granted,
    /// Another program may.
    Taken,
}

impl DocumentQuestion {
    /// What the answer is for. To be kept with the question, and given back by
    /// [`Documents::handle_answer`](crate::Documents::handle_answer).
    pub const fn asked(&self) -> QuestionKind {
        match self {
            Self::Load { .. } => QuestionKind::Load,
            Self::Append { .. } => QuestionKind::Append,
            Self::Snapshot { .. } => QuestionKind::Snapshot,
            Self::Since { .. } => QuestionKind::Since,
            Self::Claim { .. } => QuestionKind::Claim,
            Self::Release { .. } => QuestionKind::Release,
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
    /// [`DocumentQuestion::Since`].
    Since,
    /// [`DocumentQuestion::Claim`].
    Claim,
    /// [`DocumentQuestion::Release`].
    Release,
}

/// An answer of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentAnswer {
    /// What is stored of the document; empty if nothing is.
    Loaded(StoredDocument),
    /// It is written, and survives a crash.
    Done,
    /// Who may begin the document.
    Claimed(Claimed),
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
    /// Whether another program has told that it has the document in memory.
    pub is_held: bool,
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
