//! How long to wait before the next try.
//!
//! Owns: the growth of the pause and its jitter. Must never know: what is tried, a clock.

use std::time::Duration;

/// Pauses that double from one try to the next, each shortened by up to a half at random, so that many nodes do not
/// come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(PAUSE_MIN);
        Self { min, max: max.max(min), next: min }
    }

    /// The pause before the next try; `random` is uniform over its range.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.max);
        let half = full / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// A try has succeeded.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

/// A setting of zero would try without a pause.
const PAUSE_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        let longest: Vec<u128> = (0..5).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 500, 500]);
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(50));
    }

    #[test]
    fn a_pause_of_zero_is_none() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(backoff.next(u32::MAX), PAUSE_MIN);
    }
}
