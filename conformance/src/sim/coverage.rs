//! What a run has met: reasons, faults, limits, statuses, and cells of the session table.
//!
//! Owns: counts by name, and the list of what a run of many seeds must meet. Must never know: what ought to have
//! happened.

use std::collections::BTreeMap;

/// How often each thing was met, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    met: BTreeMap<String, u64>,
}

impl Coverage {
    /// Counts one meeting.
    pub fn meet(&mut self, name: impl Into<String>) {
        self.add(name, 1);
    }

    /// Counts some meetings.
    pub fn add(&mut self, name: impl Into<String>, count: u64) {
        if count > 0 {
            *self.met.entry(name.into()).or_default() += count;
        }
    }

    /// Adds what another run has met.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.met {
            *self.met.entry(name.clone()).or_default() += count;
        }
    }

    /// What of [`REACHABLE`] was never met.
    pub fn missing(&self) -> Vec<&'static str> {
        REACHABLE.iter().copied().filter(|name| !self.met.contains_key(*name)).collect()
    }

    /// Names and counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.met.iter().map(|(name, count)| (name.as_str(), *count))
    }
}

/// What every run of [`SEEDS`](super::SEEDS) seeds must meet.
pub const REACHABLE: &[&str] = &[];
