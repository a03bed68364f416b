//! Updates that came before what they build on.
//!
//! Owns: [`Pending`], bounded in number, bytes, time and attempts. Must never know: what a sender is.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::store::StructStore;
use super::wire::Id;
use roomcast_time::Instant;

/// What may wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingLimits {
    /// Updates: 256.
    pub updates_max: usize,
    /// Their bytes: 1 MiB.
    pub update_bytes_max: usize,
    /// How long each waits: 10 s.
    pub span: Duration,
    /// How often each is tried again: 8 times, for each try reads all of it.
    pub attempts_max: u32,
}

impl Default for PendingLimits {
    fn default() -> Self {
        Self { updates_max: 256, update_bytes_max: 1 << 20, span: Duration::from_secs(10), attempts_max: 8 }
    }
}

/// An update that waits, or has waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<S> {
    /// The sender, as it was given to [`Pending::hold`].
    pub sender: S,
    /// The update, in the sender's own bytes.
    pub update: Bytes,
    missing: Id,
    attempts: u32,
    deadline: Instant,
}

/// Updates that miss something, outside the document. `S` names a sender.
///
/// After each change of the document, [`Self::take_ready`] until it gives nothing: apply what it gives, and
/// [`Self::put_back`] what still misses something. A sender that [`Self::poll_dropped`] names must be brought up to date, for
/// one of its updates was given up.
#[derive(Clone, Debug)]
pub struct Pending<S> {
    limits: PendingLimits,
    /// In the order of their deadlines.
    held: VecDeque<Held<S>>,
    bytes: usize,
    dropped: VecDeque<S>,
}

impl<S: Copy + Eq> Pending<S> {
    /// Nothing waits.
    pub const fn new(limits: PendingLimits) -> Self {
        Self { limits, held: VecDeque::new(), bytes: 0, dropped: VecDeque::new() }
    }

    /// Holds an update that misses `missing`. If there is no room, it and all of the sender's are dropped.
    pub fn hold(&mut self, sender: S, update: Bytes, missing: Id, now: Instant) {
        let held = Held { sender, update, missing, attempts: 0, deadline: now + self.limits.span };
        self.insert(held);
    }

    /// Holds again what still misses something, until its first deadline.
    pub fn put_back(&mut self, held: Held<S>, missing: Id) {
        self.insert(Held { missing, attempts: held.attempts + 1, ..held });
    }

    /// Takes out an update of which the store now knows what it missed.
    pub fn take_ready(&mut self, store: &StructStore) -> Option<Held<S>> {
        let at = self.held.iter().position(|held| store.contains(held.missing))?;
        let held = self.held.remove(at)?;
        self.bytes -= held.update.len();
        shrink(&mut self.held);
        Some(held)
    }

    /// Forgets everything of a sender that has left.
    pub fn forget(&mut self, sender: S) {
        self.held.retain(|held| held.sender != sender);
        self.bytes = self.held.iter().map(|held| held.update.len()).sum();
        self.dropped.retain(|&dropped| dropped != sender);
        shrink(&mut self.held);
        shrink(&mut self.dropped);
    }

    /// Drops what has waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(first) = self.held.front().filter(|held| held.deadline <= now) {
            let sender = first.sender;
            self.give_up(sender);
        }
    }

    /// A sender that lost an update here since it was last named.
    pub fn poll_dropped(&mut self) -> Option<S> {
        let dropped = self.dropped.pop_front();
        shrink(&mut self.dropped);
        dropped
    }

    /// When the first update has waited too long.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.held.front().map(|held| held.deadline)
    }

    /// The number of updates that wait.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Places that are kept for updates and senders, used or not.
    pub fn capacity(&self) -> usize {
        self.held.capacity() + self.dropped.capacity()
    }

    fn insert(&mut self, held: Held<S>) {
        let full = self.held.len() >= self.limits.updates_max
            || self.bytes + held.update.len() > self.limits.update_bytes_max
            || held.attempts > self.limits.attempts_max;
        if full {
            self.give_up(held.sender);
            return;
        }
        self.bytes += held.update.len();
        let at = self.held.partition_point(|other| other.deadline <= held.deadline);
        self.held.insert(at, held);
    }

    fn give_up(&mut self, sender: S) {
        self.forget(sender);
        self.dropped.push_back(sender);
    }
}

/// Gives back most of what a burst took. Halving at a quarter keeps what moves between the two from being copied again
/// and again.
fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > CAPACITY_KEPT && queue.len() < queue.capacity() / 4 {
        queue.shrink_to((queue.capacity() / 2).max(CAPACITY_KEPT));
    }
    if queue.is_empty() {
        queue.shrink_to(CAPACITY_KEPT);
    }
}

/// Places that are kept after a burst.
const CAPACITY_KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, UpdateLimits, Verdict};

    #[test]
    fn what_was_missing_releases_what_waits() {
        let (mut store, mut pending) = (StructStore::new(), Pending::new(PendingLimits::default()));
        for clock in [2, 1] {
            let Verdict::Missing(missing) = store.apply(&letter(clock), &LIMITS) else { panic!("nothing is missing") };
            pending.hold('a', letter(clock), missing, at(0));
        }
        assert_eq!(pending.take_ready(&store), None);
        assert_eq!(store.apply(&letter(0), &LIMITS), Verdict::Applied);
        let mut released = Vec::new();
        while let Some(held) = pending.take_ready(&store) {
            assert_eq!(store.apply(&held.update, &LIMITS), Verdict::Applied);
            released.push(held.update);
        }
        assert_eq!(released, [letter(1), letter(2)]);
        assert!(pending.is_empty() && pending.poll_timeout().is_none());
    }

    #[test]
    fn time_number_bytes_and_attempts_are_bounded() {
        let limits = PendingLimits { updates_max: 2, update_bytes_max: 20, ..PendingLimits::default() };
        let mut pending = Pending::new(limits);
        pending.hold('a', letter(1), MISSING, at(0));
        pending.hold('b', letter(1), MISSING, at(5));
        assert_eq!(pending.poll_timeout(), Some(at(10)));
        pending.hold('b', letter(1), MISSING, at(6));
        assert_eq!((pending.poll_dropped(), pending.poll_dropped(), pending.len()), (Some('b'), None, 1));
        pending.hold('c', Bytes::from(vec![0; 20]), MISSING, at(6));
        assert_eq!(pending.poll_dropped(), Some('c'));
        pending.handle_timeout(at(9));
        assert_eq!(pending.len(), 1);
        pending.handle_timeout(at(10));
        assert_eq!((pending.poll_dropped(), pending.len()), (Some('a'), 0));

        let mut store = StructStore::new();
        store.apply(&letter(0), &LIMITS);
        pending.hold('d', letter(9), MISSING, at(20));
        let mut attempts = 0;
        while let Some(held) = pending.take_ready(&store) {
            assert_eq!(held.deadline, at(30));
            pending.put_back(held, MISSING);
            attempts += 1;
        }
        assert_eq!((attempts, pending.poll_dropped()), (9, Some('d')));
    }

    #[test]
    fn what_a_burst_took_is_given_back() {
        let limits = PendingLimits { updates_max: 100_000, update_bytes_max: 1 << 30, ..PendingLimits::default() };
        let (mut store, mut pending) = (StructStore::new(), Pending::new(limits));
        store.apply(&letter(0), &LIMITS);
        for sender in 0..10_000 {
            pending.hold(sender, letter(9), MISSING, at(0));
        }
        assert!(pending.capacity() >= 10_000);
        for left in (0..10_000).rev() {
            assert!(pending.take_ready(&store).is_some());
            assert!(pending.capacity() <= 4 * left + 32, "{} for {left}", pending.capacity());
        }
        for sender in 0..1000 {
            pending.hold(sender, letter(9), MISSING, at(0));
        }
        pending.handle_timeout(at(60));
        while pending.poll_dropped().is_some() {}
        assert!(pending.is_empty() && pending.capacity() <= 32, "{}", pending.capacity());
    }

    #[test]
    fn what_is_put_back_waits_for_what_it_misses_now_and_leaves_room_while_it_is_out() {
        let limits = PendingLimits { update_bytes_max: 20, ..PendingLimits::default() };
        let mut pending = Pending::new(limits);
        let mut store = StructStore::new();
        store.apply(&letter(0), &LIMITS);
        let id = |clock| Id { client: MISSING.client, clock };
        pending.hold('a', Bytes::from(vec![0; 15]), id(0), at(0));
        let held = pending.take_ready(&store).unwrap();
        pending.hold('b', Bytes::from(vec![0; 20]), id(7), at(0));
        assert_eq!((pending.len(), pending.poll_dropped()), (1, None), "there is room for twenty bytes");
        pending.forget('b');
        pending.put_back(held, id(1));
        assert_eq!(pending.take_ready(&store), None, "it was put back for another");
        store.apply(&letter(1), &LIMITS);
        assert!(pending.take_ready(&store).is_some());
    }

    #[test]
    fn limits_are_what_may_wait_and_not_one_less() {
        let limits = PendingLimits { updates_max: 2, update_bytes_max: 20, ..PendingLimits::default() };
        let mut pending = Pending::new(limits);
        pending.hold('a', Bytes::from(vec![0; 10]), MISSING, at(1));
        pending.hold('b', Bytes::from(vec![0; 10]), MISSING, at(0));
        assert_eq!((pending.len(), pending.is_empty(), pending.poll_dropped()), (2, false, None));
        assert_eq!(pending.poll_timeout(), Some(at(10)), "that of the one which came first");
        // One byte more is too much, and so is a third update without any.
        pending.hold('c', Bytes::new(), MISSING, at(2));
        assert_eq!((pending.len(), pending.poll_dropped()), (2, Some('c')));
        pending.forget('b');
        pending.hold('c', Bytes::from(vec![0; 11]), MISSING, at(2));
        assert_eq!(pending.poll_dropped(), Some('c'));
        pending.hold('c', Bytes::from(vec![0; 10]), MISSING, at(2));
        assert_eq!((pending.len(), pending.poll_dropped()), (2, None));
        // Two that are due at once are dropped in the order in which they came; a sender that leaves is not named.
        pending.hold('d', Bytes::from(vec![0; 11]), MISSING, at(2));
        pending.hold('e', Bytes::from(vec![0; 11]), MISSING, at(2));
        pending.forget('d');
        assert_eq!((pending.poll_dropped(), pending.poll_dropped()), (Some('e'), None));
    }

    #[test]
    fn who_left_is_forgotten() {
        let mut pending = Pending::new(PendingLimits::default());
        pending.hold('a', letter(1), MISSING, at(0));
        pending.hold('b', letter(1), MISSING, at(0));
        pending.forget('a');
        assert_eq!((pending.len(), pending.poll_dropped()), (1, None));
    }

    const fn at(secs: u64) -> Instant {
        Instant::from_millis(secs * 1000)
    }

    fn letter(clock: u8) -> Bytes {
        if clock == 0 {
            Bytes::from_static(&[1, 1, 0, 0, 4, 1, 1, b't', 1, b'x', 0])
        } else {
            Bytes::from(vec![1, 1, 0, clock, 0x84, 0, clock - 1, 1, b'x', 0])
        }
    }

    const MISSING: Id = Id { client: ClientId::new(0).unwrap(), clock: 0 };
    const LIMITS: UpdateLimits = UpdateLimits { structs_max: 10, footprint_bytes_max: 1 << 20 };
}
