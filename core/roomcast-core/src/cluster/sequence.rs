//! Which numbered messages of one node have been heard.
//!
//! Owns: the window of recent numbers, and how many are missing. Must never know: messages.

/// The numbers heard of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequence {
    highest: u64,
    /// Bit `n`: `highest - n` was heard.
    heard: u128,
}

/// What a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberHeard {
    /// The next one, behind this many that are missing.
    Next { missing: u64 },
    /// One that was counted as missing.
    Late,
    /// Heard before, or too old to tell.
    Again,
}

impl Sequence {
    /// Takes the next message of a node. The first number that is heard says nothing about those before it.
    pub(super) fn hear(&mut self, seq: u64) -> NumberHeard {
        if self.heard == 0 {
            *self = Self { highest: seq, heard: 1 };
            return NumberHeard::Next { missing: 0 };
        }
        let Some(ahead) = seq.checked_sub(self.highest).filter(|ahead| *ahead > 0) else {
            let bit = u32::try_from(self.highest - seq).ok().and_then(|behind| 1_u128.checked_shl(behind));
            let Some(bit) = bit.filter(|bit| self.heard & bit == 0) else { return NumberHeard::Again };
            self.heard |= bit;
            return NumberHeard::Late;
        };
        let shifted = u32::try_from(ahead).ok().and_then(|ahead| self.heard.checked_shl(ahead)).unwrap_or(0);
        *self = Self { highest: seq, heard: shifted | 1 };
        NumberHeard::Next { missing: ahead - 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_is_missing_until_it_is_filled_and_a_repetition_is_noticed() {
        let mut heard = Sequence::default();
        let told = [7, 8, 11, 9, 9, 8, 12, 10, 6].map(|seq| heard.hear(seq));
        let next = |missing| NumberHeard::Next { missing };
        assert_eq!(
            told,
            [
                next(0),
                next(0),
                next(2),
                NumberHeard::Late,
                NumberHeard::Again,
                NumberHeard::Again,
                next(0),
                NumberHeard::Late,
                NumberHeard::Late
            ]
        );
    }

    #[test]
    fn what_is_too_old_to_tell_counts_as_heard() {
        let mut heard = Sequence::default();
        assert_eq!(
            [1, 1000, 873, 872].map(|seq| heard.hear(seq)),
            [
                NumberHeard::Next { missing: 0 },
                NumberHeard::Next { missing: 998 },
                NumberHeard::Late,
                NumberHeard::Again,
            ]
        );
        assert_eq!(heard.hear(u64::MAX), NumberHeard::Next { missing: u64::MAX - 1001 });
        assert_eq!(heard.hear(0), NumberHeard::Again);
    }

    proptest! {
        /// Against a set: each number passes once while it is within the window.
        #[test]
        fn agrees_with_a_set(seqs in prop::collection::vec(100..200_u64, 1..60)) {
            let (mut heard, mut set) = (Sequence::default(), BTreeSet::new());
            for seq in seqs {
                prop_assert_eq!(heard.hear(seq) != NumberHeard::Again, set.insert(seq));
            }
        }
    }
}
