//! The outbound queues of all sessions, and the order in which they are announced to the driver.
//!
//! Owns: every [`Outbound`], which connections are announced as writable, and which sessions ran over the hard limit.
//! Must never know: rooms, packets' meaning, or the connections that take the bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::encoded::Encoded;
use super::event::{ConnId, Delivery, SessionId};
use super::outbound::{Outbound, Pushed, SessionFlow};
use crate::queue::shrink_after_burst;
use crate::rooms::OutboundIdx;

/// The machine of outbound queues.
#[derive(Debug)]
pub(super) struct OutboundQueues {
    queues: Vec<Outbound>,
    writable: VecDeque<DueOutput>,
    /// Queues of which something belongs into the answer of a poll that waits.
    answerable: Vec<OutboundIdx>,
    /// Queues that ran over the hard limit, to be ended after the walk that found them.
    too_slow: Vec<OutboundIdx>,
    limits: QueueLimits,
    counts: Counts,
}

/// Something that has output of its own pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DueOutput {
    /// A session's queue. Whose it is by the time it is polled does not matter.
    Outbound(OutboundIdx),
    /// A connection's priority queue.
    Conn(ConnId),
    /// The answer of a session's poll.
    Answer(SessionId),
}

/// Packets since startup, once per recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) queued: u64,
    pub(super) dropped: u64,
}

/// Bytes of one queue.
#[derive(Clone, Copy, Debug)]
struct QueueLimits {
    soft: usize,
    hard: usize,
}

impl OutboundQueues {
    /// A machine that drops volatile packets above `soft` bytes and reports a peer that takes nothing above `hard`.
    pub(super) fn new(soft: usize, hard: usize) -> Self {
        Self {
            queues: Vec::new(),
            writable: VecDeque::new(),
            answerable: Vec::new(),
            too_slow: Vec::new(),
            limits: QueueLimits { soft, hard },
            counts: Counts::default(),
        }
    }

    /// An empty queue in a place that a new session takes.
    pub(super) fn open(&mut self, index: OutboundIdx) -> &mut Outbound {
        let place = index.0 as usize;
        if self.queues.len() <= place {
            self.queues.resize_with(place + 1, Outbound::default);
        }
        // In bounds by the line above; the first is never asked for otherwise.
        let queue = &mut self.queues[place];
        queue.reset();
        queue
    }

    /// The queue at a place.
    #[inline]
    pub(super) fn get(&self, index: OutboundIdx) -> Option<&Outbound> {
        self.queues.get(index.0 as usize)
    }

    /// The queue at a place, to change its flow or to take from it.
    #[inline]
    pub(super) fn get_mut(&mut self, index: OutboundIdx) -> Option<&mut Outbound> {
        self.queues.get_mut(index.0 as usize)
    }

    /// How many bytes wait at a place.
    pub(super) fn bytes(&self, index: OutboundIdx) -> usize {
        self.get(index).map_or(0, Outbound::bytes)
    }

    /// Whether more waits at a place than the soft limit.
    pub(super) fn is_congested(&self, index: OutboundIdx) -> bool {
        self.bytes(index) > self.limits.soft
    }

    /// Queues a packet for one.
    pub(super) fn push(&mut self, index: OutboundIdx, packet: &Arc<Encoded>, delivery: Delivery) {
        let mut fan = self.fan(packet, delivery);
        fan.push(index);
        fan.finish();
    }

    /// Begins to queue a packet for many. To be ended by [`Fan::finish`].
    pub(super) fn fan<'a>(&'a mut self, packet: &'a Arc<Encoded>, delivery: Delivery) -> Fan<'a> {
        let Self { queues, writable, answerable, too_slow, limits, counts } = self;
        let new = Counts::default();
        Fan { queues, packet, delivery, limits: *limits, writable, answerable, too_slow, new, total: counts }
    }

    /// Tells the driver of what waits at a place.
    pub(super) fn announce(&mut self, index: OutboundIdx) {
        if let Some(queue) = self.queues.get_mut(index.0 as usize)
            && !queue.is_empty()
        {
            queue.announced = true;
            match queue.flow {
                SessionFlow::PollWaits => self.answerable.push(index),
                SessionFlow::Open | SessionFlow::Blocked | SessionFlow::NoPoll | SessionFlow::Held => {
                    self.writable.push_back(DueOutput::Outbound(index))
                }
            }
        }
    }

    /// Tells the driver of an answer.
    pub(super) fn announce_answer(&mut self, session: SessionId) {
        self.writable.push_back(DueOutput::Answer(session));
    }

    /// The next queue of which something belongs into the answer of a poll.
    #[inline]
    pub(super) fn poll_answerable(&mut self) -> Option<OutboundIdx> {
        self.answerable.pop()
    }

    /// Tells the driver of a connection that has something in its priority queue.
    pub(super) fn announce_conn(&mut self, conn: ConnId) {
        self.writable.push_back(DueOutput::Conn(conn));
    }

    /// Empties a queue whose session is gone.
    pub(super) fn close(&mut self, index: OutboundIdx) {
        if let Some(queue) = self.queues.get_mut(index.0 as usize) {
            queue.reset();
        }
    }

    /// The next that was announced.
    #[inline]
    pub(super) fn poll_due(&mut self) -> Option<DueOutput> {
        let due = self.writable.pop_front();
        if due.is_none() {
            shrink_after_burst(&mut self.writable);
        }
        due
    }

    /// The next queue that ran over the hard limit. It is emptied.
    pub(super) fn poll_too_slow(&mut self) -> Option<OutboundIdx> {
        loop {
            let index = self.too_slow.pop()?;
            // The session may have ended since, and another have its place.
            if let Some(queue) = self.queues.get_mut(index.0 as usize)
                && queue.bytes() > self.limits.hard
            {
                queue.reset();
                return Some(index);
            }
        }
    }

    /// Packets since startup.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes in all queues.
    pub(super) fn total_bytes(&self) -> usize {
        self.queues.iter().map(Outbound::bytes).sum()
    }

    /// How many announcements have not been polled.
    pub(super) fn unpolled(&self) -> usize {
        self.writable.len() + self.answerable.len()
    }
}

/// A packet on its way to many.
pub(super) struct Fan<'a> {
    queues: &'a mut [Outbound],
    packet: &'a Arc<Encoded>,
    delivery: Delivery,
    limits: QueueLimits,
    writable: &'a mut VecDeque<DueOutput>,
    answerable: &'a mut Vec<OutboundIdx>,
    too_slow: &'a mut Vec<OutboundIdx>,
    new: Counts,
    total: &'a mut Counts,
}

impl Fan<'_> {
    /// Queues the packet for one recipient.
    #[inline]
    pub(super) fn push(&mut self, index: OutboundIdx) {
        let Some(queue) = self.queues.get_mut(index.0 as usize) else { return };
        let pushed = match self.delivery {
            Delivery::Reliable => queue.push(self.packet, self.limits.hard),
            Delivery::Volatile => queue.push_volatile(self.packet, self.limits.soft),
        };
        match pushed {
            Pushed::Queued => self.new.queued += 1,
            Pushed::Announce => {
                self.new.queued += 1;
                self.writable.push_back(DueOutput::Outbound(index));
            }
            Pushed::Answer => {
                self.new.queued += 1;
                self.answerable.push(index);
            }
            Pushed::Dropped => self.new.dropped += 1,
            Pushed::TooSlow => self.too_slow.push(index),
        }
    }

    /// Counts what was queued and dropped.
    pub(super) fn finish(self) {
        self.total.queued += self.new.queued;
        self.total.dropped += self.new.dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::outbound::SessionFlow;

    #[test]
    fn a_queue_is_announced_once_until_it_is_taken() {
        let mut queues = OutboundQueues::new(100, 200);
        open(&mut queues, 2, SessionFlow::Open);
        for _ in 0..3 {
            queues.push(OutboundIdx(2), &packet(10), Delivery::Reliable);
        }
        assert_eq!((queues.poll_due(), queues.poll_due()), (Some(DueOutput::Outbound(OutboundIdx(2))), None));
        assert_eq!(queues.counts(), Counts { queued: 3, dropped: 0 });
        while queues.get_mut(OutboundIdx(2)).unwrap().pop().is_some() {}
        assert_eq!(queues.total_bytes(), 0);
    }

    #[test]
    fn a_fan_counts_each_recipient_and_passes_over_places_that_are_not() {
        let mut queues = OutboundQueues::new(10, 20);
        open(&mut queues, 0, SessionFlow::Open);
        open(&mut queues, 1, SessionFlow::NoPoll);
        let packet = packet(4);
        let mut fan = queues.fan(&packet, Delivery::Volatile);
        [0, 1, 7].into_iter().for_each(|index| fan.push(OutboundIdx(index)));
        fan.finish();
        assert_eq!(queues.counts(), Counts { queued: 1, dropped: 1 });
    }

    #[test]
    fn who_takes_nothing_is_reported_once_over_the_hard_limit() {
        let mut queues = OutboundQueues::new(10, 20);
        open(&mut queues, 0, SessionFlow::Blocked);
        queues.push(OutboundIdx(0), &packet(16), Delivery::Reliable);
        assert_eq!(queues.poll_too_slow(), None);
        queues.push(OutboundIdx(0), &packet(16), Delivery::Reliable);
        queues.push(OutboundIdx(0), &packet(16), Delivery::Reliable);
        assert_eq!((queues.poll_too_slow(), queues.poll_too_slow()), (Some(OutboundIdx(0)), None));
        assert_eq!(queues.bytes(OutboundIdx(0)), 0);
    }

    #[test]
    fn limits_of_a_queue_are_exceeded_above_them_and_not_at_them() {
        let packet = packet(10);
        for less in [0, 1] {
            let limit = 2 * packet.len() - less;
            let mut queues = OutboundQueues::new(limit, limit);
            open(&mut queues, 0, SessionFlow::Blocked);
            (0..2).for_each(|_| queues.push(OutboundIdx(0), &packet, Delivery::Reliable));
            assert_eq!(queues.is_congested(OutboundIdx(0)), less == 1);
            assert_eq!(queues.poll_too_slow().is_some(), less == 1);
        }
    }

    #[test]
    fn a_new_session_does_not_pay_for_the_one_before() {
        let mut queues = OutboundQueues::new(10, 20);
        open(&mut queues, 0, SessionFlow::Blocked);
        (0..3).for_each(|_| queues.push(OutboundIdx(0), &packet(16), Delivery::Reliable));
        queues.close(OutboundIdx(0));
        open(&mut queues, 0, SessionFlow::Open);
        queues.push(OutboundIdx(0), &packet(16), Delivery::Reliable);
        assert_eq!(queues.poll_too_slow(), None);
        assert!(queues.is_congested(OutboundIdx(0)) && !queues.is_congested(OutboundIdx(1)));
    }

    #[test]
    fn a_queue_that_was_emptied_since_is_not_too_slow() {
        let mut queues = OutboundQueues::new(10, 20);
        let packet = packet(8);
        open(&mut queues, 0, SessionFlow::Blocked);
        (0..3).for_each(|_| queues.push(OutboundIdx(0), &packet, Delivery::Reliable));
        let queue = queues.get_mut(OutboundIdx(0)).unwrap();
        while queue.bytes() > 20 {
            queue.pop();
        }
        // Filled up to the limit exactly, by what the limit allows.
        assert_eq!((queues.bytes(OutboundIdx(0)), queues.poll_too_slow()), (20, None));
        assert_eq!(queues.bytes(OutboundIdx(0)), 20, "nothing is lost");
    }

    #[test]
    fn announcements_of_a_burst_leave_no_large_memory_behind() {
        let mut queues = OutboundQueues::new(100, 200);
        for index in 0..20_000 {
            open(&mut queues, index, SessionFlow::Open);
            queues.push(OutboundIdx(index), &packet(10), Delivery::Reliable);
        }
        while queues.poll_due().is_some() {}
        assert!(queues.writable.capacity() < 20_000, "{}", queues.writable.capacity());
    }

    #[test]
    fn what_belongs_into_the_answer_of_a_poll_is_counted_as_queued() {
        let mut queues = OutboundQueues::new(100, 200);
        open(&mut queues, 0, SessionFlow::PollWaits);
        (0..2).for_each(|_| queues.push(OutboundIdx(0), &packet(10), Delivery::Reliable));
        assert_eq!(queues.counts().queued, 2);
        assert_eq!((queues.poll_answerable(), queues.poll_answerable()), (Some(OutboundIdx(0)), None));
    }

    fn open(queues: &mut OutboundQueues, index: u32, flow: SessionFlow) {
        queues.open(OutboundIdx(index)).flow = flow;
    }

    fn packet(payload_bytes: usize) -> Arc<Encoded> {
        Encoded::text(&"4".repeat(payload_bytes))
    }
}
