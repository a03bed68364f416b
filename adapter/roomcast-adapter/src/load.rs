//! How busy the driver is.
//!
//! Owns: [`DriverLoad`] and what it is made from. Must never know: what the driver does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How busy the one task is that serves all connections. While it is at work on one client's bytes, the others wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverLoad {
    /// How often it has run since the start.
    pub turns: u64,
    /// How long it has run, all turns together.
    pub busy: Duration,
    /// The longest turn since this was asked last: at most about 3 ms, unless a handler blocks or one thing takes longer.
    pub longest_turn: Duration,
    /// The longest delay between a deadline and its service since the last call, including the delay that the runtime
    /// and the machine cause.
    pub lag: Duration,
}

#[derive(Default)]
pub(crate) struct LoadMeter {
    turns: AtomicU64,
    busy_ns: AtomicU64,
    longest_ns: AtomicU64,
    lag_ns: AtomicU64,
}

impl LoadMeter {
    pub(crate) fn add_turn(&self, span: Duration) {
        let span = nanos(span);
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.busy_ns.fetch_add(span, Ordering::Relaxed);
        if span > self.longest_ns.load(Ordering::Relaxed) {
            self.longest_ns.fetch_max(span, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_lag(&self, late: Duration) {
        self.lag_ns.fetch_max(nanos(late), Ordering::Relaxed);
    }

    pub(crate) fn take(&self) -> DriverLoad {
        DriverLoad {
            turns: self.turns.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_ns.load(Ordering::Relaxed)),
            longest_turn: Duration::from_nanos(self.longest_ns.swap(0, Ordering::Relaxed)),
            lag: Duration::from_nanos(self.lag_ns.swap(0, Ordering::Relaxed)),
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
