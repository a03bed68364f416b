//! Storing everything now: for requests that wait for it, and when the server ends.
//!
//! Owns: who waits, and how long nothing else does. Must never know: what there is to store.

use std::time::Duration;

use super::writes::Pace;
use super::{OpenWebUi, Response};
use roomcast_core::server::{AppRequestId, Cx};
use roomcast_core::time::Instant;

impl OpenWebUi {
    /// Stores everything now, and what comes meanwhile. Answered when that is done, or after `timeout`.
    pub(super) fn flush(&mut self, ticket: AppRequestId, timeout: Duration, cx: &mut Cx<'_>) {
        self.flushes.arm(cx.now + timeout, ticket);
        self.writes.hurry(&mut self.queries, &self.settings, cx.now);
        self.flush_documents(cx);
        self.end_flushes(cx);
    }

    /// The server ends: everything is stored now, and whatever comes of that.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>) {
        self.life = Life::Ending;
        self.writes.hurry(&mut self.queries, &self.settings, cx.now);
        self.flush_documents(cx);
    }

    pub(super) fn is_all_stored(&self) -> bool {
        self.writes.unwritten() == 0 && self.unstored_documents() == 0
    }

    /// Whether nothing is to wait before it is stored.
    pub(super) fn is_hurried(&self) -> bool {
        match self.life {
            Life::Serving => !self.flushes.is_empty(),
            Life::Ending => true,
        }
    }

    /// Whether the server ends.
    pub(super) fn life_is_ending(&self) -> bool {
        self.life == Life::Ending
    }

    /// Answers those who wait once everything is stored.
    pub(super) fn end_flushes(&mut self, cx: &mut Cx<'_>) {
        if self.flushes.is_empty() || !self.is_all_stored() {
            return;
        }
        while let Some(ticket) = self.flushes.pop_due(END_OF_TIME) {
            self.answers.push_back((ticket, Response::Flushed { unstored: 0 }));
        }
        self.flushes_over(cx);
    }

    /// Answers those whose time is over.
    pub(super) fn flushes_timeout(&mut self, cx: &mut Cx<'_>) {
        while let Some(ticket) = self.flushes.pop_due(cx.now) {
            let unstored = self.writes.unwritten() + self.unstored_documents();
            self.answers.push_back((ticket, Response::Flushed { unstored }));
            if self.flushes.is_empty() {
                self.flushes_over(cx);
            }
        }
    }

    /// Nobody waits any more: everything is stored at its own pace again.
    fn flushes_over(&mut self, cx: &mut Cx<'_>) {
        match self.life {
            Life::Serving => {
                self.writes.set_pace(Pace::Spaced);
                self.reopen_journals(cx);
            }
            Life::Ending => {}
        }
    }
}

/// Whether the server goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Serving,
    Ending,
}

const END_OF_TIME: Instant = Instant::from_nanos(u64::MAX);
