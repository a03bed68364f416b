//! What is left behind.
//!
//! Owns: the sums of what all machines still hold. Must never know: what it is held for.

use super::OpenWebUi;
use crate::documents::AppDocumentCounts;

impl OpenWebUi {
    /// What must be all zeros once all sockets have left and the store has answered.
    pub fn audit(&self) -> Audit {
        Audit {
            sockets: self.sockets.len(),
            logins: self.sockets.logins(),
            users: self.sockets.users(),
            models: self.usage.models().count(),
            typing: self.typing.len(),
            held_events: self.turns.held(),
            queries: self.queries.len(),
            writes: self.writes.len() + self.touches.len(),
            change_bytes: self.writes.change_bytes(),
            calls: self.calls.len(),
            fetches: self.elsewhere.len() + self.pool.len() + self.talks.len(),
            documents: self.documents.counts(),
            timers: self.sockets.armed()
                + self.activity.armed()
                + self.channel_reads.armed()
                + self.typing.armed()
                + self.usage.armed()
                + self.flushes.len()
                + self.pool.armed()
                + self.talks.armed()
                + self.writes.armed()
                + self.touches.armed(),
            outputs: self.queries.unpolled() + self.given_back.len() + self.answers.len() + self.notices.len(),
        }
    }
}

/// What must be all zeros once all sockets have left and the store has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Audit {
    /// Sockets of the application, logged in or not.
    pub sockets: usize,
    /// Logged-in sockets.
    pub logins: usize,
    /// Users with at least one login.
    pub users: usize,
    /// Models in use.
    pub models: usize,
    /// Places where typing was told within the span.
    pub typing: usize,
    /// Events that wait for the one before them.
    pub held_events: usize,
    /// Questions to stores without an answer.
    pub queries: usize,
    /// Rows that are being written, wait to be, or were within their span.
    pub writes: usize,
    /// Bytes of changes to messages among them.
    pub change_bytes: usize,
    /// Calls without an answer.
    pub calls: usize,
    /// Requests that wait for other nodes, and what is under way about encrypted channels.
    pub fetches: usize,
    /// Documents and their members.
    pub documents: AppDocumentCounts,
    /// Armed deadlines.
    pub timers: usize,
    /// Outputs that have not been polled.
    pub outputs: usize,
}
