//! Which nodes there are.
//!
//! Owns: the known nodes, when each was last heard, the numbers of their messages, and when to send a heartbeat. Must
//! never know: what messages say beyond that.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::message::{Beat, NodeId};
use super::sequence::{NumberHeard, Sequence};
use super::settings::ClusterSettings;
use crate::time::Instant;

/// The machine of membership. A node is known from its first heartbeat until its goodbye, or until nothing was heard of
/// it for the timeout.
#[derive(Debug)]
pub(super) struct Members {
    nodes: BTreeMap<NodeId, Node>,
    nodes_max: usize,
    heartbeat_interval: Duration,
    node_timeout: Duration,
    next_beat: Instant,
    beats: VecDeque<Beat>,
    changes: VecDeque<MembershipChange>,
    has_left: bool,
}

#[derive(Debug)]
struct Node {
    last_heard: Instant,
    /// What it says to all.
    sequence: Sequence,
    /// What it says to this node alone.
    direct: Sequence,
    /// How many messages were sent to it alone.
    sent: u64,
}

/// A change of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MembershipChange {
    Joined(NodeId),
    Left(NodeId, Leaving),
}

/// How a node went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It said goodbye.
    Announced,
    /// Nothing was heard of it for the timeout.
    Silent,
}

/// To which nodes a message is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaidTo {
    All,
    This,
}

/// What is known of a message by its sender and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Not heard before, behind this many that are missing.
    New { missing: u64 },
    /// Not heard before; it was counted as missing.
    Late,
    /// Heard before.
    Duplicate,
}

impl Members {
    /// Alone, and about to say so.
    pub(super) fn new(settings: &ClusterSettings, now: Instant) -> Self {
        Self {
            nodes: BTreeMap::new(),
            nodes_max: settings.nodes_max,
            heartbeat_interval: settings.heartbeat_interval,
            node_timeout: settings.node_timeout,
            next_beat: now,
            beats: VecDeque::from([Beat::First]),
            changes: VecDeque::new(),
            has_left: false,
        }
    }

    /// A message of another node came.
    pub(super) fn hear(&mut self, from: &NodeId, said_to: SaidTo, seq: Option<u64>, now: Instant) -> Freshness {
        let Some(node) = self.nodes.get_mut(from) else { return Freshness::New { missing: 0 } };
        node.last_heard = now;
        let sequence = match said_to {
            SaidTo::All => &mut node.sequence,
            SaidTo::This => &mut node.direct,
        };
        match seq.map(|seq| sequence.hear(seq)) {
            Some(NumberHeard::Next { missing }) => Freshness::New { missing },
            Some(NumberHeard::Late) => Freshness::Late,
            Some(NumberHeard::Again) => Freshness::Duplicate,
            None => Freshness::New { missing: 0 },
        }
    }

    /// A node says that it is there.
    pub(super) fn handle_heartbeat(&mut self, from: &NodeId, beat: Beat, seq: Option<u64>, now: Instant) {
        if !self.nodes.contains_key(from) {
            if self.nodes.len() >= self.nodes_max {
                return;
            }
            let mut sequence = Sequence::default();
            if let Some(seq) = seq {
                sequence.hear(seq);
            }
            let node = Node { last_heard: now, sequence, direct: Sequence::default(), sent: 0 };
            self.nodes.insert(from.clone(), node);
            self.changes.push_back(MembershipChange::Joined(from.clone()));
        }
        if beat == Beat::First && self.beats.is_empty() {
            self.beats.push_back(Beat::Regular);
        }
    }

    /// A node says that it goes.
    pub(super) fn handle_goodbye(&mut self, from: &NodeId) {
        if self.nodes.remove(from).is_some() {
            self.changes.push_back(MembershipChange::Left(from.clone(), Leaving::Announced));
        }
    }

    /// The bus is there again: nodes that came meanwhile are to be heard of at once. None could be heard while it was
    /// not.
    pub(super) fn handle_bus_up(&mut self, now: Instant) {
        self.nodes.values_mut().for_each(|node| node.last_heard = now);
        self.beats = VecDeque::from([Beat::First]);
        self.next_beat = now + self.heartbeat_interval;
    }

    /// Sends the next heartbeat and gives up silent nodes.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_beat {
            return;
        }
        self.next_beat = now + self.heartbeat_interval;
        if self.beats.is_empty() {
            self.beats.push_back(Beat::Regular);
        }
        let Self { nodes, changes, node_timeout, .. } = self;
        nodes.retain(|id, node| {
            let is_there = now.saturating_since(node.last_heard) < *node_timeout;
            if !is_there {
                changes.push_back(MembershipChange::Left(id.clone(), Leaving::Silent));
            }
            is_there
        });
    }

    /// No heartbeats any more. `false`: there were none before.
    pub(super) fn leave(&mut self) -> bool {
        !std::mem::replace(&mut self.has_left, true)
    }

    /// The next heartbeat to publish.
    pub(super) fn poll_beat(&mut self) -> Option<Beat> {
        self.beats.pop_front().filter(|_| !self.has_left)
    }

    /// The next change.
    pub(super) fn poll_change(&mut self) -> Option<MembershipChange> {
        self.changes.pop_front()
    }

    /// When the next heartbeat is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (!self.has_left).then_some(self.next_beat)
    }

    /// The number of the next message to this node alone; `None` if it is not known.
    pub(super) fn next_to(&mut self, node: &NodeId) -> Option<u64> {
        let node = self.nodes.get_mut(node)?;
        node.sent += 1;
        Some(node.sent)
    }

    /// Whether a node is known.
    pub(super) fn knows(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node)
    }

    /// The nodes that are known, this one not among them.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.nodes.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_from_its_heartbeat_until_it_is_silent_for_the_timeout() {
        let mut members = members();
        assert_eq!(members.poll_timeout(), Some(at(0)), "at once");
        members.handle_timeout(at(0));
        assert_eq!((members.poll_beat(), members.poll_beat()), (Some(Beat::First), None));
        members.handle_heartbeat(&node("a"), Beat::First, Some(3), at(1));
        assert_eq!((members.poll_beat(), members.poll_beat()), (Some(Beat::Regular), None), "a new one is answered");
        assert_eq!(members.poll_change(), Some(MembershipChange::Joined(node("a"))));
        assert_eq!(members.hear(&node("a"), SaidTo::All, Some(4), at(4)), Freshness::New { missing: 0 });
        for seconds in [5, 10, 15] {
            assert_eq!(members.poll_timeout(), Some(at(seconds)));
            members.handle_timeout(at(seconds));
            assert_eq!(members.poll_beat(), Some(Beat::Regular));
        }
        assert_eq!(members.nodes().count(), 1);
        members.handle_timeout(at(20));
        assert_eq!(members.poll_change(), Some(MembershipChange::Left(node("a"), Leaving::Silent)));
    }

    #[test]
    fn a_goodbye_ends_a_node_at_once_and_only_a_known_one() {
        let mut members = members();
        members.handle_goodbye(&node("a"));
        members.handle_heartbeat(&node("a"), Beat::Regular, None, at(1));
        members.handle_goodbye(&node("a"));
        assert_eq!(members.poll_change(), Some(MembershipChange::Joined(node("a"))));
        assert_eq!(members.poll_change(), Some(MembershipChange::Left(node("a"), Leaving::Announced)));
        assert_eq!(members.poll_change(), None);
    }

    #[test]
    fn only_the_messages_of_known_nodes_are_numbered() {
        let mut members = members();
        let hear = |members: &mut Members, seq| members.hear(&node("a"), SaidTo::All, Some(seq), at(0));
        assert_eq!([hear(&mut members, 1), hear(&mut members, 1)], [Freshness::New { missing: 0 }; 2]);
        members.handle_heartbeat(&node("a"), Beat::Regular, Some(2), at(0));
        assert_eq!(hear(&mut members, 2), Freshness::Duplicate);
        assert_eq!(hear(&mut members, 5), Freshness::New { missing: 2 });
        assert_eq!(hear(&mut members, 4), Freshness::Late);
        let direct = [1, 1].map(|seq| members.hear(&node("a"), SaidTo::This, Some(seq), at(0)));
        assert_eq!(direct, [Freshness::New { missing: 0 }, Freshness::Duplicate], "numbers of their own");
        assert_eq!([members.next_to(&node("a")), members.next_to(&node("b"))], [Some(1), None]);
    }

    #[test]
    fn an_outage_of_the_bus_is_not_taken_for_silence_and_the_number_of_nodes_is_bounded() {
        let mut members = members();
        for name in ["a", "b", "c"] {
            members.handle_heartbeat(&node(name), Beat::Regular, None, at(0));
        }
        assert_eq!(members.nodes().count(), 2);
        members.handle_bus_up(at(60));
        members.handle_timeout(at(65));
        assert_eq!(members.nodes().count(), 2);
    }

    fn members() -> Members {
        Members::new(&ClusterSettings { nodes_max: 2, ..ClusterSettings::default() }, at(0))
    }

    fn node(name: &str) -> NodeId {
        NodeId::parse(name).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }
}
