//! The clocks of the operating system, for the core.
//!
//! Owns: the one place that reads them. Must never know: what a time is for.

use std::time::{Duration, SystemTime};

use roomcast_core::time::{Instant, WallTime};

/// Monotonic time since the server's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the adapter is who tells the core the time")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::default() + self.0.elapsed()
    }
}

/// Wall-clock time, for programs that check a token themselves.
#[expect(clippy::disallowed_methods, reason = "the adapter is who tells the core the time")]
pub fn wall_now() -> WallTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
