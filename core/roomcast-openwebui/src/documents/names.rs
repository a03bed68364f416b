//! The words by which the other rooms of the crate speak of documents.
//!
//! Owns: names and keys of documents, members and questions, and joins that wait. Must never know: what is in a document.

use bytestring::ByteString;
use roomcast_documents::{DocumentId, QuestionKind};

use crate::query::{Note, QueryId, StoreAnswer, StoreError};
use crate::settings::{AppLimits, Release};
use crate::turns::HeldEvent;
use roomcast_core::server::{AppRequestId, SessionId, SocketId};
use roomcast_core::timer::FifoKey;

/// The key of a member: a socket of the application protocol, a session of y-protocols, or a request of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MemberKey {
    Socket(SocketId),
    Peer(SessionId),
    /// A member for one moment.
    Visitor(AppRequestId),
}

/// What a question about documents was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// To load one: its own store.
    Load(DocumentId),
    /// To load one: the note.
    LoadContent(DocumentId),
    /// It is being opened elsewhere, from what both stores have said.
    Open(DocumentId),
    /// Something else is being computed from it.
    Work(DocumentId),
    /// A long update of a socket is being read.
    Read(SocketId),
    /// The mark of a long content is being made.
    Mark(DocumentId),
    /// The same of what the note has, as a store has said it to this question.
    MarkFound { document: DocumentId, query: QueryId },
    /// To append to its log.
    Append { document: DocumentId, first: u64, end: u64 },
    /// To store a snapshot.
    Snapshot { document: DocumentId, up_to: u64 },
    /// To save the note's content.
    SaveContent(DocumentId),
    /// To save other members of the note's data.
    SaveFields(DocumentId),
    /// To see whether the author of what is to be saved may still write.
    SaveRights(DocumentId),
    /// What nodes ask who share a document.
    Shared { document: DocumentId, asked: QuestionKind },
    /// To see whether the note still has the content that was saved.
    Verify(DocumentId),
    /// To see what a socket, as it was then, may still do.
    Rights { document: DocumentId, socket: SocketId, epoch: u64 },
    /// A session of y-protocols waits for it, or its rights are looked at again.
    Peer(SessionId),
    /// A request waits for it.
    Visit(AppRequestId),
}

/// A join whose note has been asked for.
#[derive(Debug)]
pub(crate) struct Joiner {
    pub(super) document: ByteString,
    pub(super) user: ByteString,
    pub(super) color: ByteString,
}

/// A join that arrived before the login of its socket.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) event: HeldEvent,
    pub(crate) timer: FifoKey,
}

/// A document's one id, under any of its aliases, and its note's.
#[derive(Clone, Debug)]
pub(super) struct CanonicalName {
    pub(super) id: ByteString,
    /// `None`: it is no note's. Such documents are there with 0.12 alone, for all who have a login.
    pub(super) note: Option<ByteString>,
}

impl CanonicalName {
    /// `None`: there is no such document.
    pub(super) fn of(document: &str, limits: &AppLimits, release: Release) -> Option<Self> {
        let is_of_note = document.starts_with(PREFIX) || document.starts_with(ALIAS);
        match release {
            Release::V0_12 if !is_of_note => {
                let is_sound = !document.is_empty() && !document.contains(char::is_control);
                (is_sound && document.len() <= limits.id_bytes_max).then(|| Self { id: document.into(), note: None })
            }
            Release::V0_6 | Release::V0_12 => {
                let (id, note) = canonical(document, limits)?;
                Some(Self { id, note: Some(note) })
            }
        }
    }
}

/// The same of a document that is a note's.
pub(super) fn canonical(document: &str, limits: &AppLimits) -> Option<(ByteString, ByteString)> {
    let note = document.strip_prefix(PREFIX).or_else(|| document.strip_prefix(ALIAS))?;
    if note.is_empty() || document.len() > limits.id_bytes_max {
        return None;
    }
    Some(([PREFIX, note].concat().into(), note.into()))
}

/// What a store says of a note.
pub(super) fn note(reply: Result<StoreAnswer, StoreError>) -> Result<Option<Note>, StoreError> {
    match reply {
        Ok(StoreAnswer::Note(found)) => Ok(found),
        Ok(_) => Err(StoreError::Corrupt),
        Err(error) => Err(error),
    }
}

pub(super) const PREFIX: &str = "note:";
/// As the original names it in Redis; it must not be a second document.
const ALIAS: &str = "note_";
