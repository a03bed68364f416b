//! How much the receiver may hold.
//!
//! Owns: the budget of bytes that were received and not dropped yet. Must never know: what the bytes say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A budget that all received messages share.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    max: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { used: Arc::default(), max }
    }

    /// Space for this many bytes, given back when the result is dropped. A single message always fits into an empty
    /// budget.
    pub(crate) fn take(&self, bytes: usize) -> Option<BudgetShare> {
        let fits =
            |used: usize| (used == 0 || used.saturating_add(bytes) <= self.max).then(|| used.saturating_add(bytes));
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        Some(BudgetShare { used: self.used.clone(), bytes })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

/// A message's share of a [`Budget`].
#[derive(Debug)]
pub(crate) struct BudgetShare {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_until_something_is_given_back() {
        let budget = Budget::new(10);
        let large = budget.take(100).unwrap();
        assert!(budget.take(1).is_none());
        drop(large);
        let (first, _second) = (budget.take(6).unwrap(), budget.take(4).unwrap());
        assert!(budget.take(1).is_none());
        drop(first);
        assert!(budget.take(6).is_some());
        assert_eq!(budget.used(), 4);
    }
}
