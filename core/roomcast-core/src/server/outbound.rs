//! What waits for one session.
//!
//! Owns: its queue, and how the peer takes it. Must never know: what is sent, or why.

use std::collections::VecDeque;
use std::sync::Arc;

use super::encoded::{Encoded, Slice};
use super::event::ConnId;
use super::poll_body::PollBody;
use super::transmit::Transmit;
use crate::engine_io::PACKETS_PER_ANSWER_MAX;
use crate::id::SlabKey as _;
use crate::queue::Queue;

/// Slices in front of a queue. Most streams have none, and pay for a pointer.
#[derive(Debug, Default)]
pub(super) struct PriorityQueue(Option<Box<Slices>>);

#[derive(Debug, Default)]
struct Slices {
    /// Never empty outside of a method.
    queue: VecDeque<Slice>,
    bytes: usize,
}

impl PriorityQueue {
    pub(super) fn push_front(&mut self, slice: Slice) {
        let slices = self.0.get_or_insert_default();
        slices.bytes += slice.len();
        slices.queue.push_front(slice);
    }

    pub(super) fn push_back(&mut self, slice: Slice) {
        let slices = self.0.get_or_insert_default();
        slices.bytes += slice.len();
        slices.queue.push_back(slice);
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<Slice> {
        let slices = self.0.as_mut()?;
        let slice = slices.queue.pop_front()?;
        slices.bytes -= slice.len();
        if slices.queue.is_empty() {
            self.0 = None;
        }
        Some(slice)
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |slices| slices.bytes)
    }
}

/// How a session takes what is sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SessionFlow {
    /// Nothing goes out now: an upgrade is between its two transports.
    #[default]
    Held,
    /// Long polling, and no poll waits.
    NoPoll,
    /// Long polling, and a poll waits.
    PollWaits,
    /// A WebSocket whose socket takes bytes, as far as is known.
    Open,
    /// A WebSocket whose socket has refused bytes.
    Blocked,
}

/// What waits for one session. Small and dense, a cache line each: a broadcast touches one of these per recipient and
/// nothing else, as long as each takes what it gets.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Outbound {
    queue: Queue<Arc<Encoded>>,
    bytes: usize,
    /// What had piled up already when the peer last fell behind, in bytes: the hard limit does not count it.
    forgiven: usize,
    /// Its WebSocket, if the flow is that of one.
    conn: ConnId,
    /// Packets of the first in the queue that an earlier poll has taken.
    parts_taken: u32,
    pub(super) flow: SessionFlow,
    /// Whether the driver has been told that there is something.
    pub(super) announced: bool,
    /// Whether something is to be done when it shrinks.
    pub(super) watched: bool,
}

const _: () = assert!(size_of::<Outbound>() == 64);

impl Default for Outbound {
    fn default() -> Self {
        Self {
            queue: Queue::new(),
            bytes: 0,
            forgiven: 0,
            conn: ConnId::from_parts(u32::MAX, 0),
            parts_taken: 0,
            flow: SessionFlow::default(),
            announced: false,
            watched: false,
        }
    }
}

/// What came of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits behind others.
    Queued,
    /// It is the first that the driver does not know of.
    Announce,
    /// It belongs into the answer of the poll that waits.
    Answer,
    /// Volatile, and the peer is behind.
    Dropped,
    /// It waits, and the queue is over its hard limit while the peer takes nothing.
    TooSlow,
}

impl Outbound {
    /// Appends a packet that must arrive.
    #[inline]
    pub(super) fn push(&mut self, packet: &Arc<Encoded>, queue_bytes_max: usize) -> Pushed {
        // A single packet of any size is accepted: the limit is on what piles up.
        let first = self.queue.is_empty();
        self.bytes += packet.len();
        self.queue.push_back(Arc::clone(packet));
        if self.bytes > queue_bytes_max
            && !first
            && matches!(self.flow, SessionFlow::Blocked | SessionFlow::NoPoll | SessionFlow::Held)
            && self.bytes - self.forgiven.min(self.bytes) > queue_bytes_max
        {
            return Pushed::TooSlow;
        }
        match (std::mem::replace(&mut self.announced, true), self.flow) {
            (true, _) => Pushed::Queued,
            (false, SessionFlow::PollWaits) => Pushed::Answer,
            (false, SessionFlow::Open | SessionFlow::Blocked | SessionFlow::Held | SessionFlow::NoPoll) => {
                Pushed::Announce
            }
        }
    }

    /// Appends a packet that may be lost, unless the peer is behind.
    #[inline]
    pub(super) fn push_volatile(&mut self, packet: &Arc<Encoded>, queue_soft_bytes: usize) -> Pushed {
        if self.bytes > queue_soft_bytes || matches!(self.flow, SessionFlow::NoPoll | SessionFlow::Held) {
            return Pushed::Dropped;
        }
        self.push(packet, usize::MAX)
    }

    /// The peer takes no more for now. What was queued while it took all that there was is forgiven until it has caught
    /// up: a burst alone makes no peer too slow. It does not grow meanwhile, however little the peer takes.
    pub(super) fn fall_behind(&mut self, flow: SessionFlow) {
        self.flow = flow;
        if self.forgiven == 0 {
            self.forgiven = self.bytes;
        }
    }

    /// This WebSocket is the transport from now on.
    pub(super) fn attach(&mut self, conn: ConnId, flow: SessionFlow) {
        self.conn = conn;
        self.flow = flow;
    }

    /// The WebSocket that should take it now.
    #[inline]
    pub(super) fn due(&self) -> Option<ConnId> {
        match self.flow {
            SessionFlow::Open if !self.queue.is_empty() => Some(self.conn),
            // A peer that has refused bytes is polled when it is ready, one between transports when its upgrade is done, and
            // the answer of a poll is announced by itself.
            SessionFlow::Open
            | SessionFlow::PollWaits
            | SessionFlow::Blocked
            | SessionFlow::NoPoll
            | SessionFlow::Held => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next packet for a WebSocket.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Slice> {
        self.pop_as(Slice::rest)
    }

    /// The same, in the form that `slice` gives to a packet of which so many parts were taken.
    #[inline]
    fn pop_as(&mut self, slice: impl FnOnce(Arc<Encoded>, usize) -> Slice) -> Option<Slice> {
        let packet = self.queue.pop_front()?;
        self.bytes -= packet.len();
        let slice = slice(packet, std::mem::take(&mut self.parts_taken) as usize);
        self.caught_up();
        Some(slice)
    }

    /// Fills a transmit with packets in the form that `slice` gives them.
    #[inline]
    pub(super) fn pop_transmit(
        &mut self,
        transmit: &mut Transmit,
        mut slice: impl FnMut(Arc<Encoded>, usize) -> Slice,
    ) {
        self.flow = SessionFlow::Open;
        while !transmit.is_full()
            && let Some(slice) = self.pop_as(&mut slice)
        {
            transmit.push(slice);
        }
        self.announced = !self.queue.is_empty();
    }

    /// Takes packets for the answer of the waiting poll, which may get more until it goes out.
    pub(super) fn take_for_poll(&mut self, reserved: usize, bytes_max: usize, body: &mut PollBody) {
        self.pop_polling(reserved, bytes_max, body);
        // What did not fit waits for the next poll. Until this one is answered, nothing says that the peer takes no more.
        self.announced = !self.queue.is_empty();
    }

    /// The answer of the waiting poll goes out.
    pub(super) fn end_poll(&mut self) {
        self.announced = false;
        if self.flow == SessionFlow::PollWaits {
            self.fall_behind(SessionFlow::NoPoll);
        }
    }

    /// Takes packets for the answer of a poll: until it is full, leaving room for `reserved` more, or has about
    /// `bytes_max`; at least one.
    fn pop_polling(&mut self, reserved: usize, bytes_max: usize, body: &mut PollBody) {
        let packets_max = PACKETS_PER_ANSWER_MAX - reserved;
        while let Some(packet) = self.queue.front() {
            while body.packets() < packets_max
                && (body.is_empty() || body.bytes() < bytes_max)
                && (self.parts_taken as usize) < packet.part_count()
            {
                body.push_part(packet, self.parts_taken as usize);
                self.parts_taken += 1;
            }
            if (self.parts_taken as usize) < packet.part_count() {
                break;
            }
            self.bytes -= packet.len();
            self.parts_taken = 0;
            self.queue.pop_front();
        }
        self.caught_up();
    }

    /// Empty again, for the next session in this place.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// A queue that was long once does not stay large; the usual small one stays and is used again.
    #[inline]
    fn caught_up(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        self.forgiven = 0;
        if self.queue.capacity() > KEPT_CAPACITY_MAX {
            self.queue = Queue::new();
        }
    }
}

/// Places in an empty queue that are kept: 64 packets are what a busy room coalesces in a turn.
const KEPT_CAPACITY_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_poll_takes_part_of_a_packet_and_a_websocket_the_rest() {
        let mut outbound = Outbound { flow: SessionFlow::NoPoll, ..Outbound::default() };
        let attachments = [Bytes::from_static(b"\x01\x02"), Bytes::from_static(b"\x03")];
        let packet = Encoded::packet(8, |out| out.extend_from_slice(b"452-[\"x\"]"), &attachments);
        assert_eq!(outbound.push(&packet, 100), Pushed::Announce);
        let mut body = PollBody::default();
        outbound.pop_polling(PACKETS_PER_ANSWER_MAX - 2, 1000, &mut body);
        assert_eq!(body.finish(), &b"452-[\"x\"]\x1ebAQI="[..]);
        assert_eq!(outbound.pop().unwrap().single().unwrap(), b"\x82\x01\x03");
        assert_eq!((outbound.bytes(), outbound.is_empty()), (0, true));
    }

    #[test]
    fn limits_are_judged_only_where_the_peer_takes_nothing() {
        let packet = Encoded::text("4abcdefgh");
        let mut outbound = Outbound { flow: SessionFlow::Open, ..Outbound::default() };
        for _ in 0..10 {
            assert_ne!(outbound.push(&packet, 20), Pushed::TooSlow);
        }
        assert_eq!(outbound.push_volatile(&packet, 20), Pushed::Dropped);
        outbound.flow = SessionFlow::Blocked;
        assert_eq!(outbound.push(&packet, 20), Pushed::TooSlow);
        let mut empty = Outbound { flow: SessionFlow::Blocked, ..Outbound::default() };
        assert_eq!(empty.push(&packet, 1), Pushed::Announce, "the first of an empty queue is never refused");
    }

    #[test]
    fn what_was_queued_before_a_peer_fell_behind_is_not_counted_against_it() {
        let packet = Encoded::text("4abcdefgh");
        let mut outbound = Outbound { flow: SessionFlow::Open, ..Outbound::default() };
        outbound.push(&packet, packet.len());
        outbound.fall_behind(SessionFlow::Blocked);
        assert_ne!(outbound.push(&packet, packet.len()), Pushed::TooSlow, "the limit, beside what was there");
        assert_eq!(outbound.push(&packet, packet.len()), Pushed::TooSlow);
    }

    #[test]
    fn a_priority_queue_is_empty_until_there_is_something_in_it() {
        let mut queue = PriorityQueue::default();
        assert!(queue.is_empty() && queue.bytes() == 0 && queue.pop_front().is_none());
        queue.push_back(Slice::whole(Encoded::frames(b"second".to_vec())));
        queue.push_front(Slice::whole(Encoded::frames(b"first".to_vec())));
        assert!(!queue.is_empty() && queue.bytes() == 11);
        assert_eq!(queue.pop_front().unwrap().single().unwrap(), b"first");
        assert!(!queue.is_empty() && queue.bytes() == 6);
        assert_eq!(queue.pop_front().unwrap().single().unwrap(), b"second");
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn an_answer_of_a_poll_ends_with_the_packet_that_reaches_the_limit() {
        let mut outbound = Outbound { flow: SessionFlow::NoPoll, ..Outbound::default() };
        ["4abcd", "4e", "4f"]
            .iter()
            .for_each(|text| assert_ne!(outbound.push(&Encoded::text(text), 100), Pushed::TooSlow));
        let mut body = PollBody::default();
        outbound.pop_polling(0, 5, &mut body);
        assert_eq!(body.finish(), &b"4abcd"[..]);
        let mut body = PollBody::default();
        outbound.pop_polling(0, 3, &mut body);
        assert_eq!(body.finish(), &b"4e\x1e4f"[..], "the first of them is below the limit");
    }

    #[test]
    fn what_a_poll_has_taken_is_queued_no_more() {
        let mut outbound = Outbound { flow: SessionFlow::NoPoll, ..Outbound::default() };
        let packets = ["4a", "4bcd", "4efghi"].map(Encoded::text);
        packets.iter().for_each(|packet| assert_ne!(outbound.push(packet, 100), Pushed::TooSlow));
        for left in [packets[1].len() + packets[2].len(), packets[2].len(), 0] {
            outbound.pop_polling(0, 1, &mut PollBody::default());
            assert_eq!(outbound.bytes(), left);
        }
    }

    #[test]
    fn a_burst_is_forgiven_until_the_queue_is_empty_by_either_transport() {
        type Take = fn(&mut Outbound);
        let by_poll: Take = |outbound| {
            while !outbound.is_empty() {
                outbound.pop_polling(0, usize::MAX, &mut PollBody::default());
            }
        };
        let by_stream: Take = |outbound| while outbound.pop().is_some() {};
        for take in [by_poll, by_stream] {
            let mut outbound = Outbound { flow: SessionFlow::Open, ..Outbound::default() };
            let packet = Encoded::text("4abcdefgh");
            for _ in 0..100 {
                assert_ne!(outbound.push(&packet, 20), Pushed::TooSlow);
            }
            outbound.fall_behind(SessionFlow::Blocked);
            assert_ne!(outbound.push(&packet, 20), Pushed::TooSlow, "the burst is forgiven");
            assert!(outbound.queue.capacity() > KEPT_CAPACITY_MAX);
            take(&mut outbound);
            assert!(outbound.queue.capacity() <= KEPT_CAPACITY_MAX, "{}", outbound.queue.capacity());
            outbound.fall_behind(SessionFlow::Blocked);
            assert_ne!(outbound.push(&packet, 20), Pushed::TooSlow);
            assert_eq!(outbound.push(&packet, 20), Pushed::TooSlow, "and forgotten with its last packet");
        }
    }

    #[test]
    fn limits_are_met_by_what_reaches_them_and_passed_by_what_is_over() {
        let packet = Encoded::text("4abcdefgh");
        let mut outbound = Outbound { flow: SessionFlow::Blocked, ..Outbound::default() };
        outbound.push(&packet, 100);
        assert_eq!(outbound.push(&packet, 2 * packet.len()), Pushed::Queued, "exactly the limit");
        assert_eq!(outbound.push(&packet, 3 * packet.len() - 1), Pushed::TooSlow);
        let mut outbound = Outbound { flow: SessionFlow::Open, ..Outbound::default() };
        outbound.push(&packet, 100);
        assert_eq!(outbound.push_volatile(&packet, packet.len()), Pushed::Queued, "exactly the soft limit");
        assert_eq!(outbound.push_volatile(&packet, packet.len()), Pushed::Dropped);
    }
}
