//! Emits that ask for acks: the packet ids under which they go out, the sockets that still have to answer, and deadlines.
//!
//! Owns: pending emits and their deadlines. Must never know: packets, queues, namespaces or sessions.
//!
//! Socket.IO protocol revision 5, section
//! ["Acknowledgement"](https://github.com/socketio/socket.io-protocol#acknowledgement).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::event::{AckEnd, EmitId, SocketId};
use crate::socket_io::Args;
use crate::time::Instant;
use crate::timer::{TimerKey, Timers};

/// The machine of acks. Each method that can end an emit leaves news for [`poll_news`](Self::poll_news).
#[derive(Debug)]
pub(super) struct PendingAcks {
    next_packet_id: u64,
    pending: BTreeMap<u64, PendingEmit>,
    /// Per socket the packet ids that it has not answered, ascending. Sockets that owe nothing are absent.
    awaited: BTreeMap<SocketId, VecDeque<u64>>,
    per_socket_max: usize,
    deadlines: Timers<u64>,
    news: VecDeque<AckNews>,
}

/// The requester of the acks of an emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The application, of sockets here alone.
    App(EmitId),
    /// The application, of sockets on all nodes: this is the share of those here in a request to the cluster.
    Shared(EmitId, u64),
    /// Another node.
    Relay(RelayId),
}

/// An emit of another node with acks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RelayId(pub(super) u64);

/// What came of an emit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AckNews {
    /// A socket acknowledged.
    Acked { asker: Asker, socket: SocketId, args: Args },
    /// No further acks.
    Ended { asker: Asker, asked: u32, answered: u32, end: AckEnd },
}

/// An emit whose acks are awaited.
#[derive(Debug)]
struct PendingEmit {
    asker: Asker,
    timer: TimerKey,
    /// The sockets that were asked, sorted.
    asked: Vec<(SocketId, AckState)>,
    waiting: u32,
    answered: u32,
}

/// Whether an answer can still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckState {
    Awaited,
    Over,
}

impl PendingAcks {
    /// A machine that awaits at most `per_socket_max` answers of one socket; above, it gives up the oldest.
    pub(super) const fn new(per_socket_max: usize) -> Self {
        Self {
            next_packet_id: 0,
            pending: BTreeMap::new(),
            awaited: BTreeMap::new(),
            per_socket_max,
            deadlines: Timers::new(),
            news: VecDeque::new(),
        }
    }

    /// The number of the next emit, the same for all its recipients so that they share the packet.
    pub(super) fn next_packet_id(&mut self) -> u64 {
        let packet_id = self.next_packet_id;
        self.next_packet_id += 1;
        packet_id
    }

    /// Awaits an answer of each socket in `asked`, which names each once, in any order.
    pub(super) fn ask(
        &mut self,
        packet_id: u64,
        asker: Asker,
        timeout: Duration,
        mut asked: Vec<SocketId>,
        now: Instant,
    ) {
        let waiting = u32::try_from(asked.len()).unwrap_or(u32::MAX);
        if waiting == 0 {
            return self.end_without_recipients(asker);
        }
        asked.sort_unstable();
        let mut given_up = Vec::new();
        for socket in &asked {
            let awaited = self.awaited.entry(*socket).or_default();
            awaited.push_back(packet_id);
            if awaited.len() > self.per_socket_max
                && let Some(oldest) = awaited.pop_front()
            {
                given_up.push((oldest, *socket));
            }
        }
        let timer = self.deadlines.arm(now + timeout, packet_id);
        let asked = asked.into_iter().map(|socket| (socket, AckState::Awaited)).collect();
        self.pending.insert(packet_id, PendingEmit { asker, timer, asked, waiting, answered: 0 });
        for (packet_id, socket) in given_up {
            self.give_up(packet_id, socket);
        }
    }

    /// Ends an emit that reaches no socket.
    pub(super) fn end_without_recipients(&mut self, asker: Asker) {
        self.news.push_back(AckNews::Ended { asker, asked: 0, answered: 0, end: AckEnd::Gone });
    }

    /// A socket answers. An id that is not awaited of it is ignored: the answer crossed the deadline, or is made up.
    pub(super) fn handle_ack(&mut self, socket: SocketId, packet_id: u64, args: Args) {
        let Some(pending) = self.pending.get_mut(&packet_id) else { return };
        if !pending.close(socket) {
            return;
        }
        pending.answered += 1;
        let (asker, is_complete) = (pending.asker, pending.waiting == 0);
        self.news.push_back(AckNews::Acked { asker, socket, args });
        self.forget(socket, packet_id);
        if is_complete {
            self.end(packet_id, AckEnd::Complete);
        }
    }

    /// A socket is gone and answers nothing any more.
    pub(super) fn handle_gone(&mut self, socket: SocketId) {
        for packet_id in self.awaited.remove(&socket).unwrap_or_default() {
            self.give_up(packet_id, socket);
        }
    }

    /// Ends the emits whose deadline has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(packet_id) = self.deadlines.pop_due(now) {
            self.end(packet_id, AckEnd::TimedOut);
        }
    }

    /// The next thing that came of an emit.
    pub(super) fn poll_news(&mut self) -> Option<AckNews> {
        self.news.pop_front()
    }

    /// The next deadline of an emit.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next_deadline()
    }

    /// How many emits are pending.
    pub(super) fn len(&self) -> usize {
        debug_assert!(!self.pending.is_empty() || self.awaited.is_empty(), "no socket owes an answer to no emit");
        self.pending.len()
    }

    /// How many deadlines are armed.
    pub(super) fn armed(&self) -> usize {
        self.deadlines.len()
    }

    fn give_up(&mut self, packet_id: u64, socket: SocketId) {
        if let Some(pending) = self.pending.get_mut(&packet_id)
            && pending.close(socket)
            && pending.waiting == 0
        {
            self.end(packet_id, AckEnd::Gone);
        }
    }

    fn end(&mut self, packet_id: u64, end: AckEnd) {
        let Some(pending) = self.pending.remove(&packet_id) else { return };
        self.deadlines.cancel(pending.timer);
        for (socket, state) in &pending.asked {
            match state {
                AckState::Awaited => self.forget(*socket, packet_id),
                AckState::Over => {}
            }
        }
        let asked = u32::try_from(pending.asked.len()).unwrap_or(u32::MAX);
        self.news.push_back(AckNews::Ended { asker: pending.asker, asked, answered: pending.answered, end });
    }

    /// Removes an id from what a socket owes.
    fn forget(&mut self, socket: SocketId, packet_id: u64) {
        let Some(awaited) = self.awaited.get_mut(&socket) else { return };
        if let Ok(index) = awaited.binary_search(&packet_id) {
            awaited.remove(index);
        }
        if awaited.is_empty() {
            self.awaited.remove(&socket);
        }
    }
}

impl PendingEmit {
    /// Awaits no answer of a socket any more; `false` if none was awaited.
    fn close(&mut self, socket: SocketId) -> bool {
        let Ok(index) = self.asked.binary_search_by_key(&socket, |(asked, _)| *asked) else { return false };
        let Some((_, state)) = self.asked.get_mut(index) else { return false };
        if std::mem::replace(state, AckState::Over) == AckState::Over {
            return false;
        }
        self.waiting -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;

    #[test]
    fn everybody_answers_whatever_the_order_of_the_sockets() {
        let mut acks = PendingAcks::new(10);
        let id = ask(&mut acks, 7, &[3, 1, 2], 0);
        for n in [2, 3, 1] {
            acks.handle_ack(socket(n), id, args());
        }
        assert_eq!(told(&mut acks), ["7: socket 2", "7: socket 3", "7: socket 1", "7: 3 of 3 Complete"]);
        assert_eq!(left(&acks), (0, 0, 0));
    }

    #[test]
    fn an_answer_counts_once_and_only_of_a_socket_that_was_asked() {
        let mut acks = PendingAcks::new(10);
        let id = ask(&mut acks, 7, &[1, 2], 0);
        acks.handle_ack(socket(9), id, args());
        acks.handle_ack(socket(1), id + 1, args());
        acks.handle_ack(socket(1), id, args());
        acks.handle_ack(socket(1), id, args());
        assert_eq!(told(&mut acks), ["7: socket 1"]);
        acks.handle_timeout(at(100));
        assert_eq!(told(&mut acks), ["7: 1 of 2 TimedOut"]);
        acks.handle_ack(socket(2), id, args());
        assert_eq!((told(&mut acks), left(&acks)), (vec![], (0, 0, 0)));
    }

    #[test]
    fn a_deadline_is_kept_to_the_nanosecond() {
        let mut acks = PendingAcks::new(10);
        ask(&mut acks, 1, &[1], 50);
        ask(&mut acks, 2, &[1], 0);
        assert_eq!(acks.poll_timeout(), Some(at(100)));
        acks.handle_timeout(at(100) - Duration::from_nanos(1));
        assert_eq!(told(&mut acks), [""; 0]);
        acks.handle_timeout(at(100));
        assert_eq!((told(&mut acks), acks.poll_timeout()), (vec!["2: 0 of 1 TimedOut".to_owned()], Some(at(150))));
    }

    #[test]
    fn who_is_gone_is_not_waited_for() {
        let mut acks = PendingAcks::new(10);
        let (first, second) = (ask(&mut acks, 1, &[1, 2], 0), ask(&mut acks, 2, &[1], 0));
        acks.handle_ack(socket(2), first, args());
        acks.handle_gone(socket(1));
        assert_eq!(told(&mut acks), ["1: socket 2", "1: 1 of 2 Gone", "2: 0 of 1 Gone"]);
        acks.handle_gone(socket(1));
        acks.handle_ack(socket(1), second, args());
        assert_eq!((told(&mut acks), left(&acks)), (vec![], (0, 0, 0)));
    }

    #[test]
    fn the_oldest_is_given_up_above_the_limit_and_answered_ones_do_not_count() {
        let mut acks = PendingAcks::new(2);
        let first = ask(&mut acks, 1, &[1], 0);
        ask(&mut acks, 2, &[1], 0);
        acks.handle_ack(socket(1), first, args());
        ask(&mut acks, 3, &[1], 0);
        assert_eq!(told(&mut acks), ["1: socket 1", "1: 1 of 1 Complete"], "two are awaited: as many as may be");
        ask(&mut acks, 4, &[1], 0);
        assert_eq!(told(&mut acks), ["2: 0 of 1 Gone"]);
        acks.handle_timeout(at(100));
        assert_eq!(told(&mut acks), ["3: 0 of 1 TimedOut", "4: 0 of 1 TimedOut"]);
        ask(&mut acks, 5, &[1], 0);
        ask(&mut acks, 6, &[1], 0);
        assert_eq!(told(&mut acks), [""; 0], "what timed out is not counted against the socket");
    }

    #[test]
    fn an_emit_to_no_socket_ends_at_once() {
        let mut acks = PendingAcks::new(2);
        ask(&mut acks, 1, &[], 0);
        assert_eq!((told(&mut acks), left(&acks)), (vec!["1: 0 of 0 Gone".to_owned()], (0, 0, 0)));
    }

    fn ask(acks: &mut PendingAcks, emit: u64, sockets: &[u32], from: u64) -> u64 {
        let packet_id = acks.next_packet_id();
        let (asker, timeout) = (Asker::App(EmitId(emit)), Duration::from_millis(100));
        acks.ask(packet_id, asker, timeout, sockets.iter().map(|n| socket(*n)).collect(), at(from));
        packet_id
    }

    fn told(acks: &mut PendingAcks) -> Vec<String> {
        std::iter::from_fn(|| acks.poll_news())
            .map(|news| match news {
                AckNews::Acked { asker: Asker::App(emit), socket, .. } => {
                    format!("{}: socket {}", emit.0, socket.slot())
                }
                AckNews::Ended { asker: Asker::App(emit), asked, answered, end } => {
                    format!("{}: {answered} of {asked} {end:?}", emit.0)
                }
                AckNews::Acked { .. } | AckNews::Ended { .. } => panic!("{news:?}"),
            })
            .collect()
    }

    /// Pending emits, sockets that owe an answer, deadlines.
    fn left(acks: &PendingAcks) -> (usize, usize, usize) {
        (acks.len(), acks.awaited.len(), acks.armed())
    }

    fn socket(slot: u32) -> SocketId {
        SocketId::from_parts(slot, 0)
    }

    fn args() -> Args {
        Args::from_json_values("").unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
