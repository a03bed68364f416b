//! What this node has asked of others: acks for emits, sockets, replies of applications.
//!
//! Owns: pending requests, who still has to answer, and their deadlines. Must never know: what the answers say.

use std::collections::{BTreeMap, VecDeque};

use super::message::NodeId;
use super::settings::Strangers;
use crate::time::Instant;
use crate::timer::{TimerKey, Timers};

/// The machine of requests. Each method that can end one leaves it for [`poll_ended`](Self::poll_ended).
#[derive(Debug)]
pub(super) struct ClusterRequests {
    next: u64,
    pending: BTreeMap<u64, PendingRequest>,
    deadlines: Timers<u64>,
    strangers: Strangers,
    pending_max: usize,
    ended: VecDeque<Ended>,
}

/// What was asked for, with the number by which the caller knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// Acks of a single socket, on any node.
    AckOfOne(u64),
    /// Acks of any number of sockets.
    Acks(u64),
    /// Sockets of a target on all nodes.
    Sockets(u64),
    /// Replies of applications.
    Replies(u64),
}

/// A request that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What was asked for.
    pub asked: Requested,
    /// How many were asked, as far as is known: sockets for acks, nodes otherwise.
    pub asked_count: u32,
    /// How many answered.
    pub answered_count: u32,
    /// Why it ended.
    pub end: RequestEnd,
}

/// Why a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// All answered.
    Complete,
    /// The deadline passed before.
    TimedOut,
    /// The ones without an answer are gone, or there were none to ask.
    Gone,
}

/// How the sockets of this node took part in an emit with ack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalShare {
    /// Sockets asked.
    pub asked: u32,
    /// Sockets that answered.
    pub answered: u32,
}

#[derive(Debug)]
struct PendingRequest {
    asked: Requested,
    timer: TimerKey,
    /// `None` while sockets here still have to answer.
    local: Option<LocalShare>,
    nodes: BTreeMap<NodeId, NodeShare>,
    /// Answers of nodes that were not known when they were asked.
    strangers: u32,
    /// What these have said of how many they asked.
    counted: StrangerCounts,
    /// How many others the bus has brought it to, if it has said so.
    reached: Option<u32>,
    /// Sockets or nodes that went without an answer.
    gone: u32,
}

/// What nodes without a name have said together.
#[derive(Clone, Copy, Debug, Default)]
struct StrangerCounts {
    nodes: u32,
    asked: u32,
}

/// What is known of one node.
#[derive(Clone, Copy, Debug, Default)]
struct NodeShare {
    /// How many it asked, if it has said so.
    counted: Option<u32>,
    answered: u32,
}

impl ClusterRequests {
    pub(super) const fn new(strangers: Strangers, pending_max: usize) -> Self {
        Self {
            next: 1,
            pending: BTreeMap::new(),
            deadlines: Timers::new(),
            strangers,
            pending_max,
            ended: VecDeque::new(),
        }
    }

    /// Asks these nodes, until `deadline`. The number goes out with the request. `None` if too many wait already: then
    /// nothing is to be asked.
    pub(super) fn open<'a>(
        &mut self,
        asked: Requested,
        nodes: impl Iterator<Item = &'a NodeId>,
        deadline: Instant,
    ) -> Option<u64> {
        if self.pending.len() >= self.pending_max {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let local = match asked {
            Requested::AckOfOne(_) | Requested::Acks(_) => None,
            Requested::Sockets(_) | Requested::Replies(_) => Some(LocalShare::default()),
        };
        let nodes = nodes.map(|node| (node.clone(), NodeShare::default())).collect();
        let timer = self.deadlines.arm(deadline, id);
        let counted = StrangerCounts::default();
        self.pending
            .insert(id, PendingRequest { asked, timer, local, nodes, strangers: 0, counted, reached: None, gone: 0 });
        self.settle(id);
        Some(id)
    }

    /// The sockets of this node have answered, or will not.
    pub(super) fn handle_local_end(&mut self, id: u64, share: LocalShare) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.local = Some(share);
            self.settle(id);
        }
    }

    /// The bus has brought a request to this many other nodes.
    pub(super) fn handle_reached(&mut self, id: u64, nodes: u32) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.reached = Some(nodes);
            self.settle(id);
        }
    }

    /// A node has said how many sockets it asked. `false`: nothing waits for that.
    pub(super) fn handle_count(&mut self, from: &NodeId, id: u64, count: u32) -> bool {
        let Some(pending) = self.pending.get_mut(&id) else { return false };
        match pending.nodes.get_mut(from) {
            Some(share) => share.counted = Some(count),
            None if self.strangers == Strangers::Counted => {
                pending.counted.nodes = pending.counted.nodes.saturating_add(1);
                pending.counted.asked = pending.counted.asked.saturating_add(count);
            }
            None => return false,
        }
        self.settle(id);
        true
    }

    /// A node has answered. `false`: nothing waits for it any more, or it has answered before.
    pub(super) fn handle_answer(&mut self, from: &NodeId, id: u64) -> bool {
        let Some(pending) = self.pending.get_mut(&id) else { return false };
        match (pending.asked, pending.nodes.get_mut(from)) {
            (Requested::AckOfOne(_) | Requested::Acks(_), Some(share)) => {
                share.answered = share.answered.saturating_add(1)
            }
            (Requested::Sockets(_) | Requested::Replies(_), Some(share)) if share.answered == 0 => share.answered = 1,
            (Requested::Sockets(_) | Requested::Replies(_), Some(_)) => return false,
            (_, None) => pending.strangers = pending.strangers.saturating_add(1),
        }
        self.settle(id);
        true
    }

    /// What a request is for; `None` if it is over.
    pub(super) fn asked(&self, id: u64) -> Option<Requested> {
        self.pending.get(&id).map(|pending| pending.asked)
    }

    /// A node is gone and answers nothing any more.
    pub(super) fn handle_gone(&mut self, node: &NodeId) {
        let mut touched = Vec::new();
        for (id, pending) in &mut self.pending {
            if let Some(share) = pending.nodes.remove(node) {
                let owed = match pending.asked {
                    Requested::AckOfOne(_) | Requested::Acks(_) => share.counted.unwrap_or(0).max(share.answered),
                    Requested::Sockets(_) | Requested::Replies(_) => 1,
                };
                // What it has answered stays answered.
                pending.strangers = pending.strangers.saturating_add(share.answered);
                pending.counted.nodes = pending.counted.nodes.saturating_add(1);
                pending.counted.asked = pending.counted.asked.saturating_add(share.answered);
                pending.gone = pending.gone.saturating_add(owed.saturating_sub(share.answered));
                touched.push(*id);
            }
        }
        touched.into_iter().for_each(|id| self.settle(id));
    }

    /// Ends the requests whose deadline has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.deadlines.pop_due(now) {
            self.end(id, true);
        }
    }

    /// The next request that is over.
    pub(super) fn poll_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next_deadline()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    fn settle(&mut self, id: u64) {
        if self.pending.get(&id).is_some_and(|pending| pending.is_over(self.strangers)) {
            self.end(id, false);
        }
    }

    fn end(&mut self, id: u64, is_late: bool) {
        let Some(pending) = self.pending.remove(&id) else { return };
        self.deadlines.cancel(pending.timer);
        let (asked_count, answered_count) = pending.totals();
        let end = match (answered_count >= asked_count && answered_count > 0, is_late) {
            (true, _) => RequestEnd::Complete,
            (false, true) => RequestEnd::TimedOut,
            (false, false) => RequestEnd::Gone,
        };
        self.ended.push_back(Ended { asked: pending.asked, asked_count, answered_count, end });
    }
}

impl PendingRequest {
    fn is_over(&self, strangers: Strangers) -> bool {
        if self.local.is_none() {
            return false;
        }
        let are_done = |share: &NodeShare| share.counted.is_some_and(|count| share.answered >= count);
        let (asked_count, answered_count) = self.totals();
        match (self.asked, strangers) {
            (Requested::Sockets(_) | Requested::Replies(_), Strangers::Counted) => {
                self.reached.is_some_and(|reached| answered_count.saturating_add(self.gone) >= reached)
            }
            (Requested::Sockets(_) | Requested::Replies(_), Strangers::Wait | Strangers::Ignore) => {
                self.nodes.values().all(|share| share.answered > 0)
            }
            (Requested::AckOfOne(_), _) if answered_count > 0 && asked_count <= 1 => true,
            (Requested::AckOfOne(_) | Requested::Acks(_), Strangers::Ignore) => self.nodes.values().all(are_done),
            (Requested::AckOfOne(_) | Requested::Acks(_), Strangers::Wait) => false,
            (Requested::AckOfOne(_) | Requested::Acks(_), Strangers::Counted) => {
                self.reached.is_some_and(|reached| self.counts() >= reached)
                    && answered_count.saturating_add(self.gone) >= asked_count
            }
        }
    }

    /// How many nodes have said how many sockets they asked, or will not any more.
    fn counts(&self) -> u32 {
        let named = self.nodes.values().filter(|share| share.counted.is_some()).count();
        u32::try_from(named).unwrap_or(u32::MAX).saturating_add(self.counted.nodes)
    }

    /// How many were asked and how many answered, as far as is known.
    fn totals(&self) -> (u32, u32) {
        let local = self.local.unwrap_or_default();
        let answered: u32 = self.nodes.values().map(|share| share.answered).sum();
        let asked: u32 = match self.asked {
            Requested::AckOfOne(_) | Requested::Acks(_) => {
                self.nodes.values().map(|share| share.counted.unwrap_or(0).max(share.answered)).sum()
            }
            Requested::Sockets(_) | Requested::Replies(_) => u32::try_from(self.nodes.len()).unwrap_or(u32::MAX),
        };
        let answered = answered.saturating_add(self.strangers);
        let asked = match self.asked {
            Requested::AckOfOne(_) | Requested::Acks(_) => asked.saturating_add(self.counted.asked.max(self.strangers)),
            Requested::Sockets(_) | Requested::Replies(_) => asked.saturating_add(self.strangers),
        };
        let asked = asked.saturating_add(self.gone);
        let asked = match self.asked {
            Requested::AckOfOne(_) | Requested::Acks(_) => asked,
            Requested::Sockets(_) | Requested::Replies(_) => asked.max(self.reached.unwrap_or_default()),
        };
        (asked.saturating_add(local.asked), answered.saturating_add(local.answered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_end_when_every_known_node_has_counted_and_all_have_answered() {
        let mut requests = ClusterRequests::new(Strangers::Ignore, 9);
        let id = open(&mut requests, Requested::Acks(7), &["a", "b"]);
        requests.handle_local_end(id, LocalShare { asked: 1, answered: 1 });
        assert!(requests.handle_count(&node("a"), id, 2) && requests.handle_count(&node("b"), id, 0));
        assert_eq!((requests.asked(id), requests.handle_answer(&node("a"), id)), (Some(Requested::Acks(7)), true));
        assert_eq!(requests.poll_ended(), None);
        requests.handle_answer(&node("a"), id);
        let end = RequestEnd::Complete;
        assert_eq!(
            requests.poll_ended(),
            Some(Ended { asked: Requested::Acks(7), asked_count: 3, answered_count: 3, end })
        );
        assert!(!requests.handle_answer(&node("a"), id), "too late");
        assert_eq!((requests.len(), requests.poll_timeout()), (0, None));
    }

    #[test]
    fn acks_of_strangers_are_waited_for_until_the_deadline_unless_one_socket_is_meant() {
        let mut requests = ClusterRequests::new(Strangers::Wait, 9);
        let many = open(&mut requests, Requested::Acks(1), &[]);
        let one = open(&mut requests, Requested::AckOfOne(2), &["a"]);
        for id in [many, one] {
            requests.handle_local_end(id, LocalShare::default());
            requests.handle_answer(&node("stranger"), id);
        }
        let ended = |asked| Ended { asked, asked_count: 1, answered_count: 1, end: RequestEnd::Complete };
        assert_eq!((requests.poll_ended(), requests.poll_ended()), (Some(ended(Requested::AckOfOne(2))), None));
        requests.handle_timeout(at(100));
        assert_eq!(requests.poll_ended(), Some(ended(Requested::Acks(1))));
    }

    #[test]
    fn each_node_answers_a_question_once() {
        let mut requests = ClusterRequests::new(Strangers::Wait, 9);
        let id = open(&mut requests, Requested::Sockets(1), &["a", "b"]);
        assert!(requests.handle_answer(&node("a"), id) && !requests.handle_answer(&node("a"), id));
        requests.handle_gone(&node("b"));
        let end = RequestEnd::Gone;
        let ended = Ended { asked: Requested::Sockets(1), asked_count: 2, answered_count: 1, end };
        assert_eq!(requests.poll_ended(), Some(ended));
        open(&mut requests, Requested::Replies(2), &[]);
        assert_eq!(requests.poll_ended().unwrap().end, RequestEnd::Gone, "there is no other node");
    }

    #[test]
    fn a_node_that_goes_leaves_what_it_has_answered() {
        let mut requests = ClusterRequests::new(Strangers::Ignore, 9);
        let id = open(&mut requests, Requested::Acks(1), &["a", "b"]);
        requests.handle_local_end(id, LocalShare::default());
        requests.handle_count(&node("a"), id, 3);
        requests.handle_answer(&node("a"), id);
        requests.handle_gone(&node("a"));
        requests.handle_count(&node("b"), id, 0);
        let end = RequestEnd::Gone;
        assert_eq!(
            requests.poll_ended(),
            Some(Ended { asked: Requested::Acks(1), asked_count: 3, answered_count: 1, end })
        );
    }

    #[test]
    fn a_request_above_the_limit_is_refused_and_others_end_at_their_deadline() {
        let mut requests = ClusterRequests::new(Strangers::Wait, 1);
        open(&mut requests, Requested::Replies(1), &["a"]);
        assert_eq!(requests.open(Requested::Replies(2), [].iter(), at(100)), None);
        requests.handle_timeout(at(99));
        assert_eq!(requests.poll_ended(), None);
        requests.handle_timeout(at(100));
        assert_eq!(requests.poll_ended().unwrap().end, RequestEnd::TimedOut);
    }

    #[test]
    fn a_question_to_counted_strangers_ends_with_the_answer_of_the_last_that_it_has_reached() {
        let mut requests = ClusterRequests::new(Strangers::Counted, 9);
        let id = open(&mut requests, Requested::Sockets(1), &["a"]);
        let stranger = NodeId::unnamed();
        assert!(requests.handle_answer(&stranger, id) && requests.handle_answer(&node("a"), id));
        assert_eq!(requests.poll_ended(), None, "there may be any number of them");
        requests.handle_reached(id, 3);
        assert_eq!(requests.poll_ended(), None);
        requests.handle_answer(&stranger, id);
        let end = RequestEnd::Complete;
        let ended = Ended { asked: Requested::Sockets(1), asked_count: 3, answered_count: 3, end };
        assert_eq!(requests.poll_ended(), Some(ended));
        let silent = open(&mut requests, Requested::Replies(2), &["a"]);
        requests.handle_reached(silent, 2);
        requests.handle_answer(&node("a"), silent);
        requests.handle_timeout(at(100));
        let end = RequestEnd::TimedOut;
        let ended = Ended { asked: Requested::Replies(2), asked_count: 2, answered_count: 1, end };
        assert_eq!(requests.poll_ended(), Some(ended));
        let alone = open(&mut requests, Requested::Sockets(3), &[]);
        requests.handle_reached(alone, 0);
        assert_eq!(requests.poll_ended().unwrap().end, RequestEnd::Gone);
    }

    #[test]
    fn acks_of_counted_strangers_end_when_as_many_have_answered_as_they_have_asked() {
        let mut requests = ClusterRequests::new(Strangers::Counted, 9);
        let id = open(&mut requests, Requested::Acks(1), &["a", "b"]);
        let stranger = NodeId::unnamed();
        requests.handle_local_end(id, LocalShare { asked: 1, answered: 1 });
        requests.handle_reached(id, 3);
        assert!(requests.handle_count(&stranger, id, 2) && requests.handle_count(&node("a"), id, 0));
        requests.handle_answer(&stranger, id);
        requests.handle_answer(&stranger, id);
        assert_eq!(requests.poll_ended(), None, "one has not said how many it asked");
        // It goes without having said it.
        requests.handle_gone(&node("b"));
        let end = RequestEnd::Complete;
        assert_eq!(
            requests.poll_ended(),
            Some(Ended { asked: Requested::Acks(1), asked_count: 3, answered_count: 3, end })
        );
    }

    fn open(requests: &mut ClusterRequests, asked: Requested, nodes: &[&str]) -> u64 {
        let nodes: Vec<_> = nodes.iter().map(|name| node(name)).collect();
        requests.open(asked, nodes.iter(), at(100)).unwrap()
    }

    fn node(name: &str) -> NodeId {
        NodeId::parse(name).unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
