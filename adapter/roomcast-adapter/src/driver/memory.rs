//! Memory that a burst took.
//!
//! Owns: when the driver's lists give it back. Must never know: what is in them.

use std::collections::VecDeque;

/// Gives back what a list has not used since it was last this short.
pub(super) fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > KEPT && queue.len() < queue.capacity() / 4 {
        queue.shrink_to(KEPT.max(2 * queue.len()));
    }
}

/// As [`shrink_queue`].
pub(super) fn shrink_list<T>(list: &mut Vec<T>) {
    if list.capacity() > KEPT && list.len() < list.capacity() / 4 {
        list.shrink_to(KEPT.max(2 * list.len()));
    }
}

/// Cuts empty slots off the end, and gives back what they took.
pub(super) fn shrink_slots<T>(slots: &mut Vec<Option<T>>) {
    if slots.capacity() > KEPT {
        while slots.pop_if(|last| last.is_none()).is_some() {}
        shrink_list(slots);
    }
}

/// Places that are kept, however few are used: a burst of so many costs no allocation.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_what_a_burst_took() {
        let mut queue: VecDeque<u8> = (0..100_000_u32).map(|_| 0).collect();
        queue.drain(10..);
        shrink_queue(&mut queue);
        assert!(queue.capacity() < 3000, "{}", queue.capacity());
        assert_eq!(queue.len(), 10);

        let mut slots: Vec<Option<u8>> = vec![Some(1); 100_000];
        slots.iter_mut().skip(5).for_each(|slot| *slot = None);
        shrink_slots(&mut slots);
        assert_eq!(slots.len(), 5);
        assert!(slots.capacity() < 3000, "{}", slots.capacity());
    }

    #[test]
    fn what_is_used_is_kept() {
        let mut slots: Vec<Option<u8>> = vec![None; 100_000];
        *slots.last_mut().unwrap() = Some(1);
        let before = slots.capacity();
        shrink_slots(&mut slots);
        assert_eq!((slots.len(), slots.capacity()), (100_000, before));
    }
}
