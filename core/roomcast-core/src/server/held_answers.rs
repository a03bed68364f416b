//! Answers to clients that wait until the bus brings the messages of a room: a join that is acknowledged is live.
//!
//! Owns: which sockets wait for which channels, their answers in order, and the deadlines. Must never know: packets, or
//! how channels are subscribed to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::event::{AckId, SocketId};
use crate::cluster::RoomChannel;
use crate::socket_io::Args;
use crate::time::Instant;
use crate::timer::{TimerKey, Timers};

/// The machine of held answers.
#[derive(Debug, Default)]
pub(super) struct HeldAnswers {
    sockets: BTreeMap<SocketId, SocketAnswers>,
    channels: BTreeMap<RoomChannel, BTreeSet<SocketId>>,
    deadlines: Timers<SocketId>,
    released: VecDeque<(SocketId, HeldAnswer)>,
}

#[derive(Debug)]
struct SocketAnswers {
    channels: BTreeSet<RoomChannel>,
    answers: Vec<HeldAnswer>,
    timer: TimerKey,
}

/// What a client is told once its rooms are live.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum HeldAnswer {
    /// That it is connected.
    Connected,
    /// An ack of its event.
    Ack(AckId, Args),
}

impl HeldAnswers {
    /// Holds the answers of a socket until a channel is live, or until `deadline` if it waits for no other yet.
    pub(super) fn wait(&mut self, socket: SocketId, channel: RoomChannel, deadline: Instant) {
        let Self { sockets, deadlines, .. } = self;
        let held = sockets.entry(socket).or_insert_with(|| SocketAnswers {
            channels: BTreeSet::new(),
            answers: Vec::new(),
            timer: deadlines.arm(deadline, socket),
        });
        held.channels.insert(channel.clone());
        self.channels.entry(channel).or_default().insert(socket);
    }

    /// Keeps an answer, or gives it back if the socket waits for nothing.
    pub(super) fn hold(&mut self, socket: SocketId, answer: HeldAnswer) -> Option<HeldAnswer> {
        let Some(held) = self.sockets.get_mut(&socket) else { return Some(answer) };
        held.answers.push(answer);
        None
    }

    /// A channel is live.
    pub(super) fn handle_live(&mut self, channel: &RoomChannel) {
        for socket in self.channels.remove(channel).unwrap_or_default() {
            let Some(held) = self.sockets.get_mut(&socket) else { continue };
            held.channels.remove(channel);
            if held.channels.is_empty() {
                self.release(socket);
            }
        }
    }

    /// A socket is gone.
    pub(super) fn handle_gone(&mut self, socket: SocketId) {
        self.forget(socket);
    }

    /// Lets go what has waited for too long; how many sockets that concerns.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> u64 {
        let mut count = 0;
        while let Some(socket) = self.deadlines.pop_due(now) {
            self.release(socket);
            count += 1;
        }
        count
    }

    /// Lets everything go: nothing will be confirmed. How many sockets that concerns.
    pub(super) fn release_all(&mut self) -> u64 {
        let sockets: Vec<_> = self.sockets.keys().copied().collect();
        sockets.iter().for_each(|socket| self.release(*socket));
        sockets.len() as u64
    }

    /// The next answer to send.
    pub(super) fn poll_released(&mut self) -> Option<(SocketId, HeldAnswer)> {
        self.released.pop_front()
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next_deadline()
    }

    /// How many sockets wait.
    pub(super) fn len(&self) -> usize {
        self.sockets.len() + self.released.len()
    }

    fn release(&mut self, socket: SocketId) {
        if let Some(held) = self.forget(socket) {
            self.released.extend(held.answers.into_iter().map(|answer| (socket, answer)));
        }
    }

    fn forget(&mut self, socket: SocketId) -> Option<SocketAnswers> {
        let held = self.sockets.remove(&socket)?;
        self.deadlines.cancel(held.timer);
        for channel in &held.channels {
            if let Some(waiting) = self.channels.get_mut(channel) {
                waiting.remove(&socket);
                if waiting.is_empty() {
                    self.channels.remove(channel);
                }
            }
        }
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;

    #[test]
    fn answers_go_out_in_order_once_every_channel_is_live() {
        let mut held = HeldAnswers::default();
        assert!(held.hold(socket(1), ack(0)).is_some(), "it waits for nothing");
        held.wait(socket(1), channel("a"), at(10));
        held.wait(socket(1), channel("b"), at(20));
        assert!(held.hold(socket(1), HeldAnswer::Connected).is_none() && held.hold(socket(1), ack(1)).is_none());
        held.handle_live(&channel("a"));
        assert_eq!(held.poll_released(), None);
        held.handle_live(&channel("b"));
        let released: Vec<_> = std::iter::from_fn(|| held.poll_released()).collect();
        assert_eq!(released, [(socket(1), HeldAnswer::Connected), (socket(1), ack(1))]);
        assert_eq!((held.len(), held.poll_timeout()), (0, None));
    }

    #[test]
    fn what_is_not_confirmed_is_let_go_at_the_deadline_and_dropped_with_its_socket() {
        let mut held = HeldAnswers::default();
        for n in [1, 2, 3] {
            held.wait(socket(n), channel("a"), at(10 * u64::from(n)));
            held.hold(socket(n), ack(n.into()));
        }
        held.handle_gone(socket(2));
        assert_eq!((held.handle_timeout(at(9)), held.handle_timeout(at(10))), (0, 1));
        assert_eq!(held.poll_released(), Some((socket(1), ack(1))));
        assert_eq!((held.release_all(), held.poll_released()), (1, Some((socket(3), ack(3)))));
        assert!(held.channels.is_empty() && held.poll_timeout().is_none());
    }

    #[test]
    fn what_waits_and_what_was_let_go_and_not_polled_is_counted() {
        let mut held = HeldAnswers::default();
        for n in [1, 2] {
            held.wait(socket(n), channel("a"), at(10 * u64::from(n)));
            held.hold(socket(n), ack(0));
            held.hold(socket(n), ack(1));
        }
        assert_eq!((held.len(), held.poll_timeout()), (2, Some(at(10))));
        assert_eq!(held.handle_timeout(at(10)), 1);
        assert_eq!((held.len(), held.poll_timeout()), (3, Some(at(20))), "one waits, and two answers are due");
        while held.poll_released().is_some() {}
        assert_eq!(held.len(), 1);
    }

    fn socket(slot: u32) -> SocketId {
        SocketId::from_parts(slot, 0)
    }

    fn channel(room: &'static str) -> RoomChannel {
        RoomChannel { namespace: "/".into(), room: room.into() }
    }

    fn ack(id: u64) -> HeldAnswer {
        HeldAnswer::Ack(AckId(id), Args::empty())
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
