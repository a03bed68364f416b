//! The errors of reading and editing documents.
//!
//! Owns: one variant per cause. Must never know: threads or yrs.

use std::fmt;

use roomcast_openwebui::DocumentRefusal;

/// Why a document was not read, or not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentError {
    /// The server has refused.
    Refused(DocumentRefusal),
    /// The server has ended. Whether an edit was made is unknown.
    Stopped,
    /// The document is over [`ContentLimits::state_bytes_max`](super::ContentLimits::state_bytes_max).
    TooLong,
    /// Too many calls wait, or no thread can be started.
    Busy,
    /// It took longer than [`ContentLimits::deadline`](super::ContentLimits::deadline).
    Overdue,
    /// yrs, or the caller's function, panicked.
    Broken,
    /// yrs cannot read the document, or not all of it.
    Unreadable,
    /// The operating system gives no random numbers.
    NoRandomness,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Stopped => f.write_str("the server has ended"),
            Self::TooLong => f.write_str("the document is too long"),
            Self::Busy => f.write_str("too many documents are being read"),
            Self::Overdue => f.write_str("the document was not read in time"),
            Self::Broken => f.write_str("the document, or who looked at it, panicked"),
            Self::Unreadable => f.write_str("yrs cannot read the document"),
            Self::NoRandomness => f.write_str("the operating system gives no random numbers"),
        }
    }
}

impl std::error::Error for ContentError {}
