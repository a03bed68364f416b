//! Which batches have been taken.
//!
//! Owns: the number of the last batch of each client. Must never know: what is in a batch.

use std::collections::{BTreeMap, VecDeque};

/// The last number of each client, of as many clients as came last.
#[derive(Debug, Default)]
pub struct LastNumbers {
    last: BTreeMap<String, u64>,
    order: VecDeque<String>,
}

impl LastNumbers {
    /// The number of a client's last batch; 0 before the first.
    pub fn last(&self, client: &str) -> u64 {
        self.last.get(client).copied().unwrap_or_default()
    }

    /// Whether a batch is to be carried out: it was not taken before.
    pub fn take(&mut self, client: &str, number: u64) -> bool {
        match self.last.get_mut(client) {
            Some(last) if number <= *last => return false,
            Some(last) => *last = number,
            None => {
                if self.order.len() >= CLIENTS_MAX
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.last.remove(&oldest);
                }
                self.order.push_back(client.to_owned());
                self.last.insert(client.to_owned(), number);
            }
        }
        true
    }
}

/// Clients whose numbers are kept.
const CLIENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_taken_once() {
        let mut taken = LastNumbers::default();
        assert_eq!(
            (taken.last("a"), taken.take("a", 1), taken.take("a", 1), taken.take("a", 2)),
            (0, true, false, true)
        );
        assert_eq!((taken.last("a"), taken.take("a", 1), taken.take("b", 1)), (2, false, true));
        for client in 0..CLIENTS_MAX {
            assert!(taken.take(&format!("c{client}"), 1));
        }
        assert_eq!((taken.last("a"), taken.last.len(), taken.order.len()), (0, CLIENTS_MAX, CLIENTS_MAX));
    }
}
