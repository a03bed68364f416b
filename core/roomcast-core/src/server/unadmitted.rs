//! What peers that are not admitted yet pin in memory together.
//!
//! Owns: the bytes of each unadmitted session and their sum. Must never know: what these bytes are, or what admits a peer.

use super::event::SessionId;

/// The machine of unadmitted sessions.
#[derive(Debug)]
pub(super) struct Unadmitted {
    /// By the slot of the session; `None` for one that is admitted.
    pinned_bytes: Vec<Option<usize>>,
    total_bytes: usize,
    total_bytes_max: usize,
}

/// Whether all unadmitted peers together keep their budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum UnadmittedBudget {
    Kept,
    /// This session made it exceed.
    Exceeded,
}

impl Unadmitted {
    /// A machine with a budget for all unadmitted sessions together.
    pub(super) const fn new(total_bytes_max: usize) -> Self {
        Self { pinned_bytes: Vec::new(), total_bytes: 0, total_bytes_max }
    }

    /// A session begins, not admitted.
    pub(super) fn start(&mut self, session: SessionId) {
        if self.pinned_bytes.len() <= session.slot() {
            self.pinned_bytes.resize(session.slot() + 1, None);
        }
        self.stop(session);
        if let Some(place) = self.pinned_bytes.get_mut(session.slot()) {
            *place = Some(0);
        }
    }

    /// A session is admitted, or gone.
    pub(super) fn stop(&mut self, session: SessionId) {
        if let Some(bytes) = self.pinned_bytes.get_mut(session.slot()).and_then(Option::take) {
            self.total_bytes -= bytes;
        }
    }

    /// Notes how much a session pins by now. Nothing is noted of admitted ones.
    pub(super) fn set(&mut self, session: SessionId, bytes: usize) -> UnadmittedBudget {
        let Some(Some(pinned)) = self.pinned_bytes.get_mut(session.slot()) else { return UnadmittedBudget::Kept };
        let before = std::mem::replace(pinned, bytes);
        self.total_bytes = self.total_bytes - before + bytes;
        // Only what grows is to blame.
        if bytes > before && self.total_bytes > self.total_bytes_max {
            UnadmittedBudget::Exceeded
        } else {
            UnadmittedBudget::Kept
        }
    }

    /// Whether a session is still to be admitted.
    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.pinned_bytes.get(session.slot()).is_some_and(Option::is_some)
    }

    /// What all unadmitted sessions pin together.
    pub(super) const fn total_bytes(&self) -> usize {
        self.total_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;

    #[test]
    fn the_one_that_exceeds_the_budget_is_to_blame() {
        let mut unadmitted = Unadmitted::new(100);
        [0, 1].into_iter().for_each(|slot| unadmitted.start(session(slot)));
        assert_eq!(unadmitted.set(session(0), 60), UnadmittedBudget::Kept);
        assert_eq!(unadmitted.set(session(1), 40), UnadmittedBudget::Kept);
        assert_eq!(unadmitted.set(session(1), 41), UnadmittedBudget::Exceeded);
        assert_eq!(unadmitted.set(session(0), 59), UnadmittedBudget::Kept, "shrinking is no fault");
        assert_eq!(unadmitted.total_bytes(), 100);
    }

    #[test]
    fn what_is_admitted_or_gone_does_not_count() {
        let mut unadmitted = Unadmitted::new(100);
        unadmitted.start(session(0));
        assert_eq!(unadmitted.set(session(0), 100), UnadmittedBudget::Kept);
        assert!(unadmitted.contains(session(0)));
        unadmitted.stop(session(0));
        unadmitted.stop(session(0));
        assert!(!unadmitted.contains(session(0)) && unadmitted.total_bytes() == 0);
        assert_eq!(unadmitted.set(session(0), 1000), UnadmittedBudget::Kept);
        assert_eq!((unadmitted.set(session(9), 1000), unadmitted.total_bytes()), (UnadmittedBudget::Kept, 0));
        unadmitted.start(session(0));
        assert_eq!(unadmitted.set(session(0), 101), UnadmittedBudget::Exceeded);
    }

    #[test]
    fn a_session_begins_with_nothing_in_the_place_of_another() {
        let mut unadmitted = Unadmitted::new(100);
        unadmitted.start(session(0));
        assert_eq!(unadmitted.set(session(0), 60), UnadmittedBudget::Kept);
        unadmitted.start(session(0));
        assert_eq!(unadmitted.total_bytes(), 0);
        assert_eq!(unadmitted.set(session(0), 100), UnadmittedBudget::Kept, "as much as the budget");
    }

    #[test]
    fn what_stays_as_it_is_over_the_budget_is_no_fault() {
        let mut unadmitted = Unadmitted::new(100);
        unadmitted.start(session(0));
        assert_eq!(unadmitted.set(session(0), 101), UnadmittedBudget::Exceeded);
        assert_eq!(unadmitted.set(session(0), 101), UnadmittedBudget::Kept);
        assert_eq!(unadmitted.set(session(0), 102), UnadmittedBudget::Exceeded);
    }

    fn session(slot: u32) -> SessionId {
        SessionId::from_parts(slot, 0)
    }
}
