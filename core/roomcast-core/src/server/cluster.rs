//! What other nodes say.
//!
//! Owns: carrying it out among the sockets of this node. Must never know: how a message came here.

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::Server;
use super::acks::{AckNews, Asker};
use super::cluster_event::{ClusterEvent, ClusterInput, FetchedSocket, ReplyTo};
use super::cluster_link::AckRelay;
use super::event::{Emit, EmitId, Event, Reach, Scope, Selection, Target};
use crate::cluster::{
    BusPayload, BusState, ClusterBody, ClusterCounters, ClusterEmit, ClusterHeard, ClusterMessage, LocalShare, NodeId,
    Recipients, RemoteSocket, RequestToken, Requested,
};
use crate::socket_io::{self, Args};
use crate::time::Instant;

impl Server {
    /// The bus has something to say.
    pub(super) fn handle_cluster(&mut self, input: ClusterInput, now: Instant) {
        let Some(link) = self.cluster.as_deref_mut() else { return };
        match input {
            ClusterInput::Message(message) => self.handle_cluster_message(*message, now),
            ClusterInput::Reached { request, nodes } => link.cluster.handle_reached(request, nodes),
            ClusterInput::Subscribed(channel) => {
                if link.cluster.handle_subscribed(&channel) {
                    link.held.handle_live(&channel);
                }
            }
            ClusterInput::Bus(state) => {
                link.cluster.handle_bus(state, now);
                if state == BusState::Down {
                    let unconfirmed = link.held.release_all();
                    link.cluster.counters_mut().joins_unconfirmed += unconfirmed;
                }
            }
        }
    }

    fn handle_cluster_message(&mut self, message: ClusterMessage, now: Instant) {
        let Some(link) = self.cluster.as_deref_mut() else { return };
        match link.cluster.handle_message(message, now) {
            ClusterHeard::Act(from, body) => self.act_for(from, body, now),
            ClusterHeard::Answer(from, body, asked) => self.take_answer(from, body, asked),
            ClusterHeard::Nothing => {}
        }
    }

    /// Does what another node wants done.
    fn act_for(&mut self, from: NodeId, body: ClusterBody, now: Instant) {
        match body {
            ClusterBody::Emit(emit) => self.emit_for(from, emit, now),
            ClusterBody::Join { recipients, room } => {
                let target = self.target_of(recipients);
                self.join_here(&target, &room, now);
            }
            ClusterBody::JoinRooms { recipients, rooms } => {
                let target = self.target_of(recipients);
                rooms.iter().for_each(|room| self.join_here(&target, room, now));
            }
            ClusterBody::LeaveRooms { recipients, rooms } => {
                let target = self.target_of(recipients);
                rooms.iter().for_each(|room| self.leave_for(&target, room));
            }
            ClusterBody::Leave { recipients, room } => {
                let target = self.target_of(recipients);
                self.leave_for(&target, &room);
            }
            ClusterBody::CloseRoom { namespace, room } => {
                let target = self.target_of(Recipients::room(namespace, room.clone()));
                self.leave_for(&target, &room);
            }
            ClusterBody::Disconnect { recipients, extent } => {
                let target = self.target_of(recipients);
                self.disconnect_here(&target, extent, now);
            }
            ClusterBody::FetchSockets { recipients, token } => {
                let target = self.target_of(recipients);
                let sockets = self.described(&target);
                self.publish(ClusterBody::Sockets { to: from, token, sockets });
            }
            ClusterBody::FetchRooms { namespace, token } => {
                let rooms = self.rooms_here(namespace);
                self.publish(ClusterBody::Rooms { to: from, token, rooms });
            }
            ClusterBody::ServerEmit { namespace, name, args, token } => {
                let Some(args) = self.checked(args) else { return };
                let reply = token.map(|token| Box::new(ReplyTo { node: from.clone(), token }));
                self.cluster_event(ClusterEvent::ServerReceived { node: from, namespace, name, args, reply });
            }
            ClusterBody::AckCount { .. }
            | ClusterBody::Ack { .. }
            | ClusterBody::Sockets { .. }
            | ClusterBody::Rooms { .. }
            | ClusterBody::ServerReply { .. }
            | ClusterBody::Heartbeat(_)
            | ClusterBody::Goodbye => debug_assert!(false, "invariant: the cluster machine deals with these"),
        }
    }

    /// Takes sockets of this node out of a room, of which the application has no other sign.
    fn leave_for(&mut self, target: &Target, room: &ByteString) {
        let mut inside = self.namespaces.select(target).unwrap_or_default();
        inside.retain(|socket| self.is_in(*socket, room));
        self.leave_here(target, room);
        for socket in inside {
            self.cluster_event(ClusterEvent::RoomLeft { socket, room: room.clone() });
        }
    }

    /// An event of another node for sockets here. Nothing of its payload is read where none is meant.
    fn emit_for(&mut self, from: NodeId, emit: ClusterEmit, now: Instant) {
        let ClusterEmit { recipients, name, args, delivery, ack } = emit;
        let Some(endpoint) = self.cluster.as_deref().map(|link| link.endpoint) else { return };
        let scope = Scope { endpoint, namespace: recipients.namespace.clone() };
        let is_meant =
            |room: &ByteString| self.namespaces.is_occupied(&scope, room) || self.is_awaited(&scope, Some(room));
        let is_there = || self.namespaces.is_there(&scope) || self.is_awaited(&scope, None);
        if !(recipients.rooms.iter().any(is_meant) || recipients.rooms.is_empty() && is_there()) {
            if let Some(link) = self.cluster.as_deref_mut() {
                link.cluster.counters_mut().without_recipients += 1;
            }
            return self.tell_count(&from, ack, 0);
        }
        if socket_io::is_reserved_event(&name) {
            self.counters.reserved_refused += 1;
            return;
        }
        let Some(args) = self.checked(args) else { return };
        self.tell_watched(&recipients, &name, &args);
        let target = self.target_of(recipients);
        let emit = Emit { target, name, args, delivery, ack: None };
        let Some(token) = ack else { return self.emit_here(&emit, None, now) };
        let Some(link) = self.cluster.as_deref_mut() else { return };
        let timeout = link.cluster.settings().relayed_ack_timeout;
        let relay = AckRelay { to: from.clone(), token: token.clone(), namespace: scope.namespace };
        let asker = Asker::Relay(link.open_relay(relay));
        let asked = self.emit_asking(&emit, asker, timeout, now);
        self.tell_count(&from, Some(token), asked);
    }

    /// Tells the application of an emit that it watches for.
    fn tell_watched(&mut self, recipients: &Recipients, name: &ByteString, args: &Args) {
        let [room] = &recipients.rooms[..] else { return };
        let Some(link) = self.cluster.as_deref() else { return };
        let watches = &link.cluster.settings().watches;
        if watches.iter().any(|watch| watch.name == *name && room.starts_with(&*watch.room_start)) {
            let (room, name, args) = (room.clone(), name.clone(), args.clone());
            self.cluster_event(ClusterEvent::Emitted { room, name, args });
        }
    }

    /// Says how many sockets were asked for acks, to a node that listens to that.
    fn tell_count(&mut self, to: &NodeId, token: Option<RequestToken>, asked: u32) {
        if let Some((token, link)) = token.zip(self.cluster.as_deref_mut())
            && link.cluster.counts_answers(to)
        {
            link.cluster.publish(ClusterBody::AckCount { to: to.clone(), token, asked });
        }
    }

    /// An answer to a request of this node.
    fn take_answer(&mut self, from: NodeId, body: ClusterBody, asked: Requested) {
        match (body, asked) {
            (ClusterBody::Ack { args, .. }, Requested::AckOfOne(emit) | Requested::Acks(emit)) => {
                if let Some(args) = self.checked(args) {
                    self.cluster_event(ClusterEvent::Acked { emit: EmitId(emit), node: from, args });
                }
            }
            (ClusterBody::Sockets { sockets, .. }, Requested::Sockets(number)) => {
                let fetching = self.cluster.as_deref_mut().and_then(|link| link.fetch_mut(number));
                let here = |RemoteSocket { sid, rooms }| FetchedSocket { node: Some(from.clone()), sid, rooms };
                if let Some(fetching) = fetching {
                    fetching.sockets.extend(sockets.into_iter().map(here));
                }
            }
            (ClusterBody::ServerReply { args, .. }, Requested::Replies(emit)) => {
                if let Some(args) = self.checked(args) {
                    self.cluster_event(ClusterEvent::ServerReplied { emit: EmitId(emit), node: from, args });
                }
            }
            (_, Requested::AckOfOne(_) | Requested::Acks(_) | Requested::Sockets(_) | Requested::Replies(_)) => {
                debug_assert!(false, "invariant: the cluster machine has compared them");
            }
        }
    }

    /// Hands on what the acks have to say.
    pub(super) fn forward_acks(&mut self) {
        while let Some(news) = self.acks.poll_news() {
            match news {
                AckNews::Acked { asker: Asker::App(emit) | Asker::Shared(emit, _), socket, args } => {
                    self.event(Event::Acked { emit, socket, args });
                }
                AckNews::Acked { asker: Asker::Relay(id), args, .. } => {
                    let Some(link) = self.cluster.as_deref_mut() else { continue };
                    let Some(AckRelay { to, token, namespace }) = link.relay(id).cloned() else { continue };
                    link.cluster.publish(ClusterBody::Ack { to, token, namespace, args: BusPayload::from(args) });
                }
                AckNews::Ended { asker: Asker::App(emit), asked, answered, end } => {
                    self.event(Event::AcksEnded { emit, asked, answered, end });
                }
                AckNews::Ended { asker: Asker::Shared(_, request), asked, answered, .. } => {
                    if let Some(link) = self.cluster.as_deref_mut() {
                        link.cluster.handle_local_end(request, LocalShare { asked, answered });
                    }
                }
                AckNews::Ended { asker: Asker::Relay(id), .. } => {
                    if let Some(link) = self.cluster.as_deref_mut() {
                        link.close_relay(id);
                    }
                }
            }
        }
    }

    /// The sockets here that a target means, as other nodes are told of them.
    pub(super) fn described(&mut self, target: &Target) -> Vec<RemoteSocket> {
        let selected = self.namespaces.select(target).unwrap_or_default();
        let describe = |socket| {
            let sid = ByteString::from(self.namespaces.sid(socket)?.as_str());
            Some(RemoteSocket { sid, rooms: self.namespaces.rooms(socket).map(ByteString::from).collect() })
        };
        selected.into_iter().filter_map(describe).collect()
    }

    /// The rooms that have members here, sockets' own ones among them.
    fn rooms_here(&self, namespace: ByteString) -> Vec<ByteString> {
        let endpoint = self.cluster.as_deref().map_or(super::EndpointId::new(0), |link| link.endpoint);
        let scope = Scope { endpoint, namespace };
        let mut rooms = BTreeSet::new();
        for socket in self.namespaces.everyone(&scope) {
            rooms.extend(self.namespaces.rooms(socket).map(ByteString::from));
            rooms.extend(self.namespaces.sid(socket).map(|sid| ByteString::from(sid.as_str())));
        }
        rooms.into_iter().collect()
    }

    /// Among the sockets here, those that another node means.
    fn target_of(&self, recipients: Recipients) -> Target {
        let endpoint = self.cluster.as_deref().map_or(super::EndpointId::new(0), |link| link.endpoint);
        let Recipients { namespace, mut rooms, except } = recipients;
        let namespace = Scope { endpoint, namespace };
        if let ([_], []) = (&rooms[..], &except[..])
            && let Some(room) = rooms.pop()
        {
            return Target::Room { namespace, room };
        }
        let selection = Selection { rooms, except_rooms: except, reach: Reach::Local, ..Selection::of(namespace) };
        Target::Select(Box::new(selection))
    }

    fn checked(&mut self, payload: BusPayload) -> Option<Args> {
        let attachments_max = self.config.limits.attachments_max as usize;
        // Clients stop at a number of attachments, as with what other clients send.
        let args = payload.args().ok().filter(|args| args.attachments().len() <= attachments_max);
        if let (None, Some(link)) = (&args, self.cluster.as_deref_mut()) {
            link.cluster.counters_mut().bad_payloads += 1;
        }
        args
    }

    /// The name of this node in its cluster.
    pub fn node_id(&self) -> Option<&NodeId> {
        self.cluster.as_deref().map(|link| link.cluster.own())
    }

    /// The other nodes of the cluster that are known.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.cluster.as_deref().into_iter().flat_map(|link| link.cluster.nodes())
    }

    /// What the cluster has carried and lost since startup, for metrics. `None` without a cluster.
    pub fn cluster_counters(&self) -> Option<ClusterCounters> {
        self.cluster.as_deref().map(|link| *link.cluster.counters())
    }
}
