//! A FIFO whose first value stands inline.
//!
//! Owns: order, and its own memory. Must never know: what waits in it.
//!
//! Most queues hold one value at a time: a lone one touches no memory but that of the [`Queue`] itself, which halves the
//! cache misses of a broadcast.

use std::collections::VecDeque;

/// Values in the order they came.
#[derive(Debug)]
pub struct Queue<T> {
    /// The next value; if there is none, the ring is empty.
    first: Option<T>,
    /// What stands behind the first: from `head` on, around the end.
    ring: Box<[Option<T>]>,
    head: u32,
    ring_len: u32,
}

impl<T> Queue<T> {
    /// Empty; allocates nothing.
    pub fn new() -> Self {
        Self { first: None, ring: Box::default(), head: 0, ring_len: 0 }
    }

    /// Puts a value at the end.
    #[inline]
    pub fn push_back(&mut self, value: T) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.push_ring(value);
        }
    }

    /// Takes the first value.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        let first = self.first.take()?;
        if self.ring_len > 0 {
            self.first = self.pop_ring();
        }
        Some(first)
    }

    /// The first value.
    #[inline]
    pub const fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    /// How many values wait.
    pub const fn len(&self) -> usize {
        self.first.is_some() as usize + self.ring_len as usize
    }

    /// Whether none waits.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many values fit without another allocation.
    pub const fn capacity(&self) -> usize {
        1 + self.ring.len()
    }

    fn push_ring(&mut self, value: T) {
        if self.ring_len as usize == self.ring.len() {
            self.grow();
        }
        let end = self.wrap(self.head + self.ring_len);
        if let Some(place) = self.ring.get_mut(end as usize) {
            *place = Some(value);
            self.ring_len += 1;
        }
    }

    fn pop_ring(&mut self) -> Option<T> {
        let value = self.ring.get_mut(self.head as usize)?.take();
        self.head = self.wrap(self.head + 1);
        self.ring_len -= 1;
        value
    }

    /// The length of the ring is a power of two.
    fn wrap(&self, place: u32) -> u32 {
        place & (u32::try_from(self.ring.len()).unwrap_or(u32::MAX).wrapping_sub(1))
    }

    #[cold]
    fn grow(&mut self) {
        let places = (self.ring.len() * 2).max(PLACES_MIN);
        assert!(u32::try_from(places).is_ok_and(|places| places <= 1 << 31), "invariant: a queue is bounded in bytes");
        let mut ring = Vec::with_capacity(places);
        while let Some(value) = (self.ring_len > 0).then(|| self.pop_ring()).flatten() {
            ring.push(Some(value));
        }
        self.ring_len = u32::try_from(ring.len()).unwrap_or(0);
        ring.resize_with(places, || None);
        self.ring = ring.into();
        self.head = 0;
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Queue<Box<u8>>>() == 32);

/// Gives back the memory of an empty queue that a burst made large. Growing again costs less than the burst did, so that
/// this may be called whenever the queue has run empty.
#[inline]
pub fn shrink_after_burst<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > BURST_PLACES {
        *queue = VecDeque::new();
    }
}

/// Places above which an empty queue is given back: more than a busy turn takes.
const BURST_PLACES: usize = 16 * 1024;

/// Places of the first ring.
const PLACES_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the standard library's.
        #[test]
        fn agrees_with_a_deque(operations in prop::collection::vec(prop_oneof![(1..20usize).prop_map(Some), Just(None)], 0..60)) {
            let (mut queue, mut deque) = (Queue::new(), VecDeque::new());
            let mut next = 0;
            for operation in operations {
                match operation {
                    Some(count) => for _ in 0..count {
                        queue.push_back(next);
                        deque.push_back(next);
                        next += 1;
                    },
                    None => for _ in 0..=deque.len() / 2 {
                        prop_assert_eq!(queue.pop_front(), deque.pop_front());
                    },
                }
                prop_assert_eq!((queue.front(), queue.len(), queue.is_empty()), (deque.front(), deque.len(), deque.is_empty()));
            }
            while let Some(value) = deque.pop_front() {
                prop_assert_eq!(queue.pop_front(), Some(value));
            }
            prop_assert_eq!(queue.pop_front(), None);
        }
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back_and_that_of_a_busy_turn_is_kept() {
        for (len, is_kept) in [(BURST_PLACES / 2, true), (BURST_PLACES * 2, false)] {
            let mut queue: VecDeque<_> = (0..len).collect();
            shrink_after_burst(&mut queue);
            assert_eq!(queue.len(), len, "only an empty queue is touched");
            queue.clear();
            shrink_after_burst(&mut queue);
            assert_eq!(queue.capacity() > 0, is_kept);
        }
    }

    #[test]
    fn a_lone_value_allocates_nothing() {
        let mut queue = Queue::new();
        for value in 0..10 {
            queue.push_back(value);
            assert_eq!((queue.capacity(), queue.pop_front()), (1, Some(value)));
        }
    }
}
