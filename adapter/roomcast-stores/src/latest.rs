//! Which save of a note's content is the latest.
//!
//! A save whose time ran out may be carried out behind the one that was asked for in its place. `updated_at` of the row
//! does not tell: others write it too, by clocks of their own, and what a user wrote must not be passed over for that.
//!
//! Owns: the moments of the saves that this process has carried out lately. Must never know: what was saved.

use std::collections::BTreeMap;

use bytestring::ByteString;

/// The latest save of each note.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// Nanoseconds since the epoch.
    at_nanos: BTreeMap<ByteString, u64>,
    newest_nanos: u64,
    /// How many there may be before those are forgotten that no save can be behind any more.
    notes_max: usize,
}

impl Latest {
    /// Whether a save comes behind one with a later time.
    pub(super) fn is_past(&self, note: &str, at_nanos: u64) -> bool {
        self.at_nanos.get(note).is_some_and(|latest| at_nanos < *latest)
    }

    /// A save is being carried out.
    pub(super) fn put(&mut self, note: &ByteString, at_nanos: u64) {
        self.at_nanos.insert(note.clone(), at_nanos);
        self.newest_nanos = self.newest_nanos.max(at_nanos);
        if self.at_nanos.len() > self.notes_max.max(NOTES_MAX) {
            let since = self.newest_nanos.saturating_sub(LATE_NANOS_MAX);
            self.at_nanos.retain(|_, at_nanos| *at_nanos >= since);
            self.notes_max = self.at_nanos.len() * 2;
        }
    }
}

/// No question is under way for so long.
const LATE_NANOS_MAX: u64 = 10 * 60 * 1_000_000_000;
const NOTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_counts_note_by_note() {
        let mut latest = Latest::default();
        latest.put(&"a".into(), 5);
        latest.put(&"b".into(), 3);
        assert!(latest.is_past("a", 4) && !latest.is_past("a", 5) && !latest.is_past("b", 4));
        assert!(!latest.is_past("c", 0));
    }

    #[test]
    fn old_ones_are_forgotten() {
        let mut latest = Latest::default();
        for second in 0..10_000u64 {
            latest.put(&second.to_string().into(), second * 1_000_000_000);
            assert!(latest.at_nanos.len() <= 2 * NOTES_MAX);
            assert!(latest.is_past(&second.saturating_sub(600).to_string(), 0) || second <= 600);
        }
    }
}
