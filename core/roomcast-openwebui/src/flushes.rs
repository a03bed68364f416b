//! Requests that wait until everything is stored.
//!
//! Owns: the requests that wait, their deadlines, and whether other writes may be delayed meanwhile. Must never know:
//! what there is to store.

use roomcast_core::server::AppRequestId;
use roomcast_core::time::Instant;
use roomcast_core::timer::Timers;

/// The requests that wait. While there is one, and when the server ends, nothing is kept back before it is stored.
#[derive(Debug)]
pub(crate) struct Flushes {
    waiting: Timers<AppRequestId>,
    is_ending: bool,
}

impl Flushes {
    pub(crate) const fn new() -> Self {
        Self { waiting: Timers::new(), is_ending: false }
    }

    /// A request waits, until this deadline at most.
    pub(crate) fn handle_request(&mut self, request: AppRequestId, deadline: Instant) {
        self.waiting.arm(deadline, request);
    }

    /// The server ends.
    pub(crate) fn handle_end(&mut self) {
        self.is_ending = true;
    }

    /// The next request whose deadline has passed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<AppRequestId> {
        self.waiting.pop_due(now)
    }

    /// The next request, all of which are done: everything is stored.
    pub(crate) fn pop_done(&mut self) -> Option<AppRequestId> {
        self.waiting.pop_due(END_OF_TIME)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.next_deadline()
    }

    /// Whether nothing is to be kept back before it is stored.
    pub(crate) fn is_hurried(&self) -> bool {
        self.is_ending || !self.waiting.is_empty()
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

const END_OF_TIME: Instant = Instant::from_nanos(u64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_back_while_a_request_waits_or_the_server_ends() {
        let mut flushes = Flushes::new();
        assert!(!flushes.is_hurried());
        for (request, deadline) in [(1, 5), (2, 9)] {
            flushes.handle_request(AppRequestId(request), Instant::from_nanos(deadline));
        }
        assert_eq!(flushes.pop_due(Instant::from_nanos(5)), Some(AppRequestId(1)));
        assert_eq!((flushes.pop_due(Instant::from_nanos(5)), flushes.is_hurried()), (None, true));
        assert_eq!((flushes.pop_done(), flushes.is_hurried(), flushes.len()), (Some(AppRequestId(2)), false, 0));
        flushes.handle_end();
        assert!(flushes.is_hurried());
    }
}
