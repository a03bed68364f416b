//! Requests of the program about documents: the records.
//!
//! Owns: what is asked of which document, and whose rights count. Must never know: how a request is carried out.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use crate::access::Access;
use crate::query::User;
use crate::requests::{DocumentRefusal, Intent, Response};
use roomcast_core::server::AppRequestId;

/// Requests about documents that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Visits(pub(super) BTreeMap<AppRequestId, Visit>);

impl Visits {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A request about a document.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) document: ByteString,
    /// The id of its note.
    pub(super) note: ByteString,
    /// Whose rights count.
    pub(super) asks: RightsFor,
    pub(super) task: VisitTask,
}

/// Whose rights count, as far as that is known.
#[derive(Debug)]
pub(super) enum RightsFor {
    /// No user's: the program has checked the rights itself.
    Program,
    /// The rights of a user whose record has been requested from the store.
    Asked,
    /// The rights of this user.
    Known(User),
}

/// What is to be done in a document.
#[derive(Debug)]
pub(crate) enum VisitTask {
    Read,
    Write { update: Bytes, content: Option<ByteString>, intent: Intent },
}

impl VisitTask {
    pub(super) fn refusal(&self, refusal: DocumentRefusal) -> Response {
        match self {
            Self::Read => Response::Document(Err(refusal)),
            Self::Write { .. } => Response::DocumentUpdated(Err(refusal)),
        }
    }

    pub(super) const fn access(&self) -> Access {
        match self {
            Self::Read => Access::Read,
            Self::Write { .. } => Access::Write,
        }
    }
}
