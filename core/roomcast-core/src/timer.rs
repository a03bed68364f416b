//! Deadlines: a FIFO per constant length, a heap for the others.
//!
//! Owns: arming, cancelling and popping deadlines. Must never know: what happens when one passes.

use std::collections::BTreeMap;

use crate::slab::Slab;
use crate::time::Instant;

crate::slab_key! {
    /// An armed deadline of a [`Fifo`].
    pub struct FifoKey;
}

/// Deadlines of one constant length: armed in order, so that the first armed is the first due.
///
/// A doubly linked list through a slab: arm, cancel and pop are a few stores each, and nothing stale stays behind (a
/// lazily cleaned queue would hold one entry per connection that left within the last interval).
#[derive(Debug)]
pub struct Fifo<T> {
    nodes: Slab<FifoKey, WheelNode<T>>,
    ends: Option<(FifoKey, FifoKey)>,
}

#[derive(Debug)]
struct WheelNode<T> {
    deadline: Instant,
    previous: Option<FifoKey>,
    next: Option<FifoKey>,
    value: T,
}

impl<T> Fifo<T> {
    /// An empty queue; allocates nothing.
    pub const fn new() -> Self {
        Self { nodes: Slab::new(), ends: None }
    }

    /// Arms a deadline. One earlier than the last armed (a clock that steps back, another length) is moved up to it:
    /// late by that much, never lost.
    pub fn arm(&mut self, deadline: Instant, value: T) -> FifoKey {
        let last = self.ends.map(|(_, last)| last);
        let deadline = match last.and_then(|last| self.nodes.get(last)) {
            Some(node) => deadline.max(node.deadline),
            None => deadline,
        };
        let key = self.nodes.insert(WheelNode { deadline, previous: last, next: None, value });
        if let Some(node) = last.and_then(|last| self.nodes.get_mut(last)) {
            node.next = Some(key);
        }
        self.ends = Some((self.ends.map_or(key, |(first, _)| first), key));
        key
    }

    /// Forgets a deadline; `None` if it has passed or was cancelled.
    pub fn cancel(&mut self, key: FifoKey) -> Option<T> {
        let node = self.nodes.remove(key)?;
        if let Some(previous) = node.previous.and_then(|key| self.nodes.get_mut(key)) {
            previous.next = node.next;
        }
        if let Some(next) = node.next.and_then(|key| self.nodes.get_mut(key)) {
            next.previous = node.previous;
        }
        self.ends = self.ends.and_then(|(first, last)| {
            let first = if first == key { node.next? } else { first };
            let last = if last == key { node.previous? } else { last };
            Some((first, last))
        });
        Some(node.value)
    }

    /// Takes the first one that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let (first, _) = self.ends?;
        if self.nodes.get(first)?.deadline > now {
            return None;
        }
        self.cancel(first)
    }

    /// The next deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (first, _) = self.ends?;
        Some(self.nodes.get(first)?.deadline)
    }

    /// How many are armed.
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is armed.
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// An armed deadline of [`Timers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    deadline: Instant,
    sequence: u64,
}

/// Deadlines of any length: acks, queries, spread pings. Two of the same moment are due in the order armed.
#[derive(Debug)]
pub struct Timers<T> {
    armed: BTreeMap<TimerKey, T>,
    sequence: u64,
}

impl<T> Timers<T> {
    /// No deadlines; allocates nothing.
    pub const fn new() -> Self {
        Self { armed: BTreeMap::new(), sequence: 0 }
    }

    /// Arms a deadline.
    pub fn arm(&mut self, deadline: Instant, value: T) -> TimerKey {
        self.sequence += 1;
        let key = TimerKey { deadline, sequence: self.sequence };
        self.armed.insert(key, value);
        key
    }

    /// Forgets a deadline; `None` if it has passed or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.armed.remove(&key)
    }

    /// Takes the first one that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let entry = self.armed.first_entry()?;
        (entry.key().deadline <= now).then(|| entry.remove())
    }

    /// The next deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.armed.first_key_value().map(|(key, _)| key.deadline)
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.armed.len()
    }

    /// Whether none is armed.
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum RandomOperation {
        Arm { length_ms: u64 },
        Cancel { which: usize },
        Advance { by_ms: u64 },
    }

    fn operations() -> impl Strategy<Value = Vec<RandomOperation>> {
        let one = prop_oneof![
            (1u64..50).prop_map(|length_ms| RandomOperation::Arm { length_ms }),
            (0usize..64).prop_map(|which| RandomOperation::Cancel { which }),
            (0u64..40).prop_map(|by_ms| RandomOperation::Advance { by_ms }),
        ];
        prop::collection::vec(one, 0..200)
    }

    proptest! {
        /// Both against a plain list: the same values fall due at the same steps, in the same order.
        #[test]
        fn agree_with_a_list(operations in operations(), fifo_length_ms in 1u64..50) {
            let (mut fifo, mut timers) = (Fifo::new(), Timers::new());
            let (mut fifo_list, mut timer_list) = (Vec::new(), Vec::<(Instant, u32, TimerKey)>::new());
            let (mut now, mut value) = (Instant::default(), 0u32);
            let ms = std::time::Duration::from_millis;
            for operation in operations {
                match operation {
                    RandomOperation::Arm { length_ms } => {
                        let deadline = now + ms(fifo_length_ms);
                        fifo_list.push((deadline, value, fifo.arm(deadline, value)));
                        let deadline = now + ms(length_ms);
                        timer_list.push((deadline, value, timers.arm(deadline, value)));
                        value += 1;
                    }
                    RandomOperation::Cancel { which } => {
                        if which < fifo_list.len() {
                            let (_, value, key) = fifo_list.remove(which);
                            prop_assert_eq!(fifo.cancel(key), Some(value));
                            prop_assert_eq!(fifo.cancel(key), None);
                        }
                        if which < timer_list.len() {
                            let (_, value, key) = timer_list.remove(which);
                            prop_assert_eq!(timers.cancel(key), Some(value));
                        }
                    }
                    RandomOperation::Advance { by_ms } => {
                        now = now + ms(by_ms);
                        let mut due: Vec<_> = timer_list.iter().filter(|t| t.0 <= now).map(|t| (t.0, t.1)).collect();
                        due.sort();
                        timer_list.retain(|t| t.0 > now);
                        for (_, value) in due {
                            prop_assert_eq!(timers.pop_due(now), Some(value));
                        }
                        prop_assert_eq!(timers.pop_due(now), None);
                        while fifo_list.first().is_some_and(|t| t.0 <= now) {
                            prop_assert_eq!(fifo.pop_due(now), Some(fifo_list.remove(0).1));
                        }
                        prop_assert_eq!(fifo.pop_due(now), None);
                    }
                }
                prop_assert_eq!(fifo.len(), fifo_list.len());
                prop_assert_eq!(timers.len(), timer_list.len());
                prop_assert_eq!(fifo.next_deadline(), fifo_list.first().map(|t| t.0));
                prop_assert_eq!(timers.next_deadline(), timer_list.iter().map(|t| t.0).min());
            }
        }
    }
}
