//! The cluster as one node sees it.
//!
//! Owns: its name, the numbering of what it publishes, and the composition of membership, requests and subscriptions.
//! Must never know: sockets, rooms, or how the bus works.

use std::collections::VecDeque;

use super::members::{Freshness, Leaving, Members, MembershipChange, SaidTo};
use super::message::{ClusterBody, ClusterMessage, NodeId, RoomChannel};
use super::requests::{ClusterRequests, Ended, LocalShare, Requested};
use super::settings::{ClusterSettings, Strangers};
use super::subscriptions::{RoomSubscriptions, Subscribing};
use crate::time::Instant;

/// What one node knows of the others, as a machine: see the [module](super) for the contract.
#[derive(Debug)]
pub struct Cluster {
    own: NodeId,
    settings: ClusterSettings,
    published: u64,
    bus: BusState,
    members: Members,
    requests: ClusterRequests,
    subscriptions: RoomSubscriptions,
    publications: VecDeque<ClusterMessage>,
    counters: ClusterCounters,
}

/// Whether the bus takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusState {
    /// It does. What was subscribed to is subscribed to again.
    Up,
    /// It does not. Nothing is published, and what others say is not heard.
    Down,
}

/// What there is to carry out of a message.
#[derive(Debug, PartialEq)]
pub enum ClusterHeard {
    /// Carry this out on behalf of that node.
    Act(NodeId, ClusterBody),
    /// Carry this out: it answers a request of this node, which asked for that.
    Answer(NodeId, ClusterBody, Requested),
    /// Nothing is left to do.
    Nothing,
}

/// A change of membership, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// A node is there.
    Joined(NodeId),
    /// A node is gone.
    Left(NodeId, Leaving),
}

/// Totals since startup, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ClusterCounters {
    /// Messages given to the bus.
    pub published: u64,
    /// Messages that were not published because the bus was down.
    pub unpublished: u64,
    /// Messages of other nodes.
    pub received: u64,
    /// Messages of this node that came back to it.
    pub own: u64,
    /// Messages that came twice, of nodes that number theirs.
    pub duplicates: u64,
    /// Messages that were published and did not come, of nodes that number theirs. A loss shows with the next message:
    /// after a heartbeat interval at the latest, for what is said to all nodes. Not known where each room has a channel.
    pub lost: u64,
    /// Emits that were dropped after a look at their rooms: no socket here is meant.
    pub without_recipients: u64,
    /// Messages whose payload is not what may be sent to clients.
    pub bad_payloads: u64,
    /// Answers to requests that are over, unknown, or of another node.
    pub stale_answers: u64,
    /// Requests that were not made because too many wait.
    pub requests_refused: u64,
    /// Nodes that went without a goodbye.
    pub nodes_silent: u64,
    /// Joins that were acknowledged although their subscription was not confirmed in time, or the bus was down.
    pub joins_unconfirmed: u64,
}

impl Cluster {
    /// A node that knows no other.
    pub fn new(own: NodeId, settings: ClusterSettings, now: Instant) -> Self {
        Self {
            own,
            published: 0,
            bus: BusState::Up,
            members: Members::new(&settings, now),
            requests: ClusterRequests::new(settings.strangers, settings.requests_max),
            subscriptions: RoomSubscriptions::default(),
            publications: VecDeque::new(),
            counters: ClusterCounters::default(),
            settings,
        }
    }

    /// Another node said something.
    pub fn handle_message(&mut self, message: ClusterMessage, now: Instant) -> ClusterHeard {
        let ClusterMessage { from, seq, body } = message;
        if from == self.own {
            self.counters.own += 1;
            return ClusterHeard::Nothing;
        }
        self.counters.received += 1;
        let said_to = match body.addressee() {
            None => SaidTo::All,
            Some(to) if *to == self.own => SaidTo::This,
            Some(_) => return ClusterHeard::Nothing,
        };
        match self.members.hear(&from, said_to, seq, now) {
            Freshness::New { missing } => self.count_missing(missing),
            Freshness::Late => self.counters.lost = self.counters.lost.saturating_sub(1),
            Freshness::Duplicate => {
                self.counters.duplicates += 1;
                return ClusterHeard::Nothing;
            }
        }
        match body {
            ClusterBody::Heartbeat(beat) => self.members.handle_heartbeat(&from, beat, seq, now),
            ClusterBody::Goodbye => self.members.handle_goodbye(&from),
            ClusterBody::AckCount { token, asked, .. } => {
                let is_known = self.requests.handle_count(&from, token.id, asked);
                self.counters.stale_answers += u64::from(!is_known);
            }
            ClusterBody::Ack { ref token, .. }
            | ClusterBody::Sockets { ref token, .. }
            | ClusterBody::Rooms { ref token, .. }
            | ClusterBody::ServerReply { ref token, .. } => {
                let asked = self.requests.asked(token.id).filter(|asked| asked.is_for(&body));
                let Some(asked) = asked.filter(|_| self.requests.handle_answer(&from, token.id)) else {
                    self.counters.stale_answers += 1;
                    return ClusterHeard::Nothing;
                };
                return ClusterHeard::Answer(from, body, asked);
            }
            body @ (ClusterBody::Emit(_)
            | ClusterBody::Join { .. }
            | ClusterBody::JoinRooms { .. }
            | ClusterBody::Leave { .. }
            | ClusterBody::LeaveRooms { .. }
            | ClusterBody::CloseRoom { .. }
            | ClusterBody::Disconnect { .. }
            | ClusterBody::FetchSockets { .. }
            | ClusterBody::FetchRooms { .. }
            | ClusterBody::ServerEmit { .. }) => return ClusterHeard::Act(from, body),
        }
        self.settle();
        ClusterHeard::Nothing
    }

    /// The bus is there, or not.
    pub fn handle_bus(&mut self, state: BusState, now: Instant) {
        if state == BusState::Up && std::mem::replace(&mut self.bus, state) == BusState::Down {
            self.members.handle_bus_up(now);
            self.subscriptions.handle_bus_up();
        }
        self.bus = state;
        self.settle();
    }

    /// The bus has confirmed a subscription. Whether messages of the channel arrive from now on.
    pub fn handle_subscribed(&mut self, channel: &RoomChannel) -> bool {
        self.subscriptions.handle_subscribed(channel)
    }

    /// The bus has brought a request of this node to this many others.
    pub fn handle_reached(&mut self, request: u64, nodes: u32) {
        self.requests.handle_reached(request, nodes);
    }

    /// The sockets here that were asked for acks have answered, or will not.
    pub fn handle_local_end(&mut self, request: u64, share: LocalShare) {
        self.requests.handle_local_end(request, share);
    }

    /// Time has passed. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.members.handle_timeout(now);
        self.requests.handle_timeout(now);
        self.settle();
    }

    /// Tells all other nodes something.
    pub fn publish(&mut self, body: ClusterBody) {
        match self.bus {
            BusState::Up => {
                self.counters.published += 1;
                let seq = match body.addressee() {
                    Some(to) => self.members.next_to(to),
                    None => {
                        self.published += 1;
                        Some(self.published)
                    }
                };
                let from = self.own.clone();
                self.publications.push_back(ClusterMessage { from, seq, body });
            }
            BusState::Down => self.counters.unpublished += 1,
        }
    }

    /// Begins a request to all nodes, which ends at `deadline` at the latest. The number to publish it with; `None` if too
    /// many wait.
    pub fn ask(&mut self, asked: Requested, deadline: Instant) -> Option<u64> {
        let id = self.requests.open(asked, self.members.nodes(), deadline);
        self.counters.requests_refused += u64::from(id.is_none());
        id
    }

    /// A room has its first member here, or its last one has left.
    pub fn set_wanted(&mut self, channel: RoomChannel, wanted: Wanted) {
        match wanted {
            Wanted::Yes => self.subscriptions.want(channel),
            Wanted::No => self.subscriptions.unwant(&channel),
        }
    }

    /// Tells the others that this node answers nothing any more, and stops the heartbeats.
    pub fn leave(&mut self) {
        if self.members.leave() {
            self.publish(ClusterBody::Goodbye);
        }
    }

    /// The next message for all other nodes.
    pub fn poll_publication(&mut self) -> Option<ClusterMessage> {
        self.publications.pop_front()
    }

    /// The next thing to ask of the bus.
    pub fn poll_subscribing(&mut self) -> Option<Subscribing> {
        self.subscriptions.poll_request()
    }

    /// The next request that is over.
    pub fn poll_ended(&mut self) -> Option<Ended> {
        self.requests.poll_ended()
    }

    /// The next change of membership.
    pub fn poll_membership(&mut self) -> Option<Membership> {
        Some(match self.members.poll_change()? {
            MembershipChange::Joined(node) => Membership::Joined(node),
            MembershipChange::Left(node, leaving) => {
                self.counters.nodes_silent += u64::from(leaving == Leaving::Silent);
                self.requests.handle_gone(&node);
                Membership::Left(node, leaving)
            }
        })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.requests.poll_timeout(), self.members.poll_timeout()].into_iter().flatten().min()
    }

    /// This node's name.
    pub const fn own(&self) -> &NodeId {
        &self.own
    }

    /// How it takes part.
    pub const fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// Whether the bus takes messages.
    pub const fn bus(&self) -> BusState {
        self.bus
    }

    /// The other nodes that are known.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.members.nodes()
    }

    /// Whether a node wants to be told how many sockets were asked for acks on its behalf.
    pub fn counts_answers(&self, node: &NodeId) -> bool {
        self.settings.strangers == Strangers::Counted || self.knows(node)
    }

    /// Whether a node is among them.
    pub fn knows(&self, node: &NodeId) -> bool {
        self.members.knows(node)
    }

    /// Whether messages of a room's channel arrive.
    pub fn is_live(&self, channel: &RoomChannel) -> bool {
        self.subscriptions.is_live(channel)
    }

    /// Requests, subscriptions and messages that are not done with: none where all clients are gone.
    pub fn live(&self) -> usize {
        self.requests.len() + self.subscriptions.len() + self.publications.len()
    }

    /// Totals since startup.
    pub const fn counters(&self) -> &ClusterCounters {
        &self.counters
    }

    /// The same, to count what only the owner sees.
    pub const fn counters_mut(&mut self) -> &mut ClusterCounters {
        &mut self.counters
    }

    /// Publishes heartbeats that are due.
    fn settle(&mut self) {
        while let Some(beat) = self.members.poll_beat() {
            self.publish(ClusterBody::Heartbeat(beat));
        }
    }

    fn count_missing(&mut self, missing: u64) {
        match self.settings.subscriptions {
            // What is numbered is passed over by no connection.
            super::Subscriptions::Everything | super::Subscriptions::Filtered => self.counters.lost += missing,
            // Messages for rooms without members here do not come, and should not.
            super::Subscriptions::PerRoom => {}
        }
    }
}

impl Requested {
    /// Whether a message answers it.
    const fn is_for(self, body: &ClusterBody) -> bool {
        matches!(
            (self, body),
            (Self::AckOfOne(_) | Self::Acks(_), ClusterBody::Ack { .. })
                | (Self::Sockets(_), ClusterBody::Sockets { .. })
                | (Self::Replies(_), ClusterBody::ServerReply { .. })
        )
    }
}

/// Whether messages of a room's channel are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It has members here.
    Yes,
    /// It has none any more.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Beat, BusPayload, ClusterEmit, Recipients, RequestEnd, RequestToken};
    use crate::socket_io::{Args, Delivery};

    #[test]
    fn a_node_says_that_it_is_there_and_answers_a_new_one() {
        let (mut a, mut b) = (node("a"), node("b"));
        a.handle_timeout(at(0));
        let first = a.poll_publication().unwrap();
        assert_eq!((first.seq, &first.body), (Some(1), &ClusterBody::Heartbeat(Beat::First)));
        assert_eq!(b.handle_message(first, at(0)), ClusterHeard::Nothing);
        assert_eq!(b.poll_membership(), Some(Membership::Joined(id("a"))));
        // Its own first heartbeat has not gone out yet: that is answer enough.
        assert_eq!(b.poll_publication().unwrap().body, ClusterBody::Heartbeat(Beat::First));
        assert_eq!(b.poll_publication(), None);
    }

    #[test]
    fn own_messages_and_duplicates_are_passed_over_and_losses_are_counted() {
        let (mut a, mut b) = pair();
        let emits: Vec<_> = (0..4).map(|_| published(&mut a)).collect();
        assert_eq!(a.handle_message(emits[0].clone(), at(0)), ClusterHeard::Nothing);
        assert_eq!(a.counters().own, 1);
        for (n, is_new) in [(0, true), (3, true), (3, false), (1, true)] {
            let heard = b.handle_message(emits[n].clone(), at(0));
            assert_eq!(matches!(heard, ClusterHeard::Act(..)), is_new, "{n}");
        }
        assert_eq!((b.counters().duplicates, b.counters().lost), (1, 1));
    }

    #[test]
    fn an_answer_of_the_wrong_kind_or_for_another_node_is_stale() {
        let (mut a, mut b) = pair();
        let request = a.ask(Requested::Sockets(5), at(9)).unwrap();
        let token = RequestToken { key: "".into(), id: request };
        b.publish(ClusterBody::Sockets { to: id("c"), token: token.clone(), sockets: Vec::new() });
        b.publish(ClusterBody::Sockets { to: id("a"), token: token.clone(), sockets: Vec::new() });
        b.publish(ClusterBody::Sockets { to: id("a"), token, sockets: Vec::new() });
        let heard = [(); 3].map(|()| a.handle_message(b.poll_publication().unwrap(), at(0)));
        assert!(matches!(
            &heard[..],
            [ClusterHeard::Nothing, ClusterHeard::Answer(_, _, Requested::Sockets(5)), ClusterHeard::Nothing]
        ));
        assert_eq!((a.poll_ended().unwrap().end, a.counters().stale_answers), (RequestEnd::Complete, 1));
    }

    #[test]
    fn nothing_is_published_while_the_bus_is_down_and_the_gap_is_counted() {
        let (mut a, _) = pair();
        a.handle_bus(BusState::Down, at(1));
        a.publish(ClusterBody::Goodbye);
        assert_eq!((a.poll_publication(), a.counters().unpublished), (None, 1));
        a.handle_bus(BusState::Up, at(60));
        assert_eq!(a.poll_publication().unwrap().body, ClusterBody::Heartbeat(Beat::First));
        a.handle_timeout(at(65));
        assert_eq!(a.nodes().count(), 1, "no node could be heard");
    }

    fn pair() -> (Cluster, Cluster) {
        let (mut a, mut b) = (node("a"), node("b"));
        a.handle_timeout(at(0));
        b.handle_message(a.poll_publication().unwrap(), at(0));
        a.handle_message(b.poll_publication().unwrap(), at(0));
        while let Some(message) = a.poll_publication() {
            b.handle_message(message, at(0));
        }
        assert_eq!((a.poll_membership(), b.poll_membership()).1, Some(Membership::Joined(id("a"))));
        (a, b)
    }

    fn published(node: &mut Cluster) -> ClusterMessage {
        node.publish(ClusterBody::Emit(ClusterEmit {
            recipients: Recipients::everyone("/".into()),
            name: "x".into(),
            args: BusPayload::from(Args::empty()),
            delivery: Delivery::Reliable,
            ack: None,
        }));
        node.poll_publication().unwrap()
    }

    fn node(name: &str) -> Cluster {
        Cluster::new(id(name), ClusterSettings { strangers: Strangers::Ignore, ..ClusterSettings::default() }, at(0))
    }

    fn id(name: &str) -> NodeId {
        NodeId::parse(name).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }
}
