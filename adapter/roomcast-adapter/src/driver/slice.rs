//! The time that the driver may take before others get theirs.
//!
//! Owns: when a slice of time is over. Must never know: what it is spent on.

use std::time::Duration;

use roomcast_core::time::Instant;

use crate::clock::Clock;

/// A slice of time. The clock is looked at once in a while, after work that may have taken some time.
pub(super) struct TimeSlice {
    clock: Clock,
    begun: Instant,
    spent: usize,
    is_over: bool,
}

impl TimeSlice {
    pub(super) fn begin(clock: Clock) -> Self {
        Self { clock, begun: clock.now(), spent: 0, is_over: false }
    }

    /// Something was done: [`STEP`] for anything, more for what is known to be more.
    pub(super) fn spend(&mut self, work: usize) {
        self.spent += work;
        if self.spent >= WORK_PER_LOOK {
            self.look();
        }
    }

    /// Looks at the clock.
    pub(super) fn look(&mut self) {
        self.spent = 0;
        self.is_over = self.is_over || self.clock.now().saturating_since(self.begun) >= SPAN;
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock.now().saturating_since(self.begun)
    }

    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }
}

/// What costs about as much as a tiny event: a quarter of a microsecond and more.
pub(super) const STEP: usize = 1 << 10;
/// A look at the clock costs 25 ns: not much beside 16 events.
const WORK_PER_LOOK: usize = 16 * STEP;
/// While the driver is busy, other tasks wait for so long, and for a few of these if they need several turns: a request
/// over HTTP takes about five. Shorter ones cost more: each ends with a look for events of sockets, at about 5 µs.
const SPAN: Duration = Duration::from_millis(3);
