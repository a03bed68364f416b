//! What other nodes are told.
//!
//! Owns: which commands of the application concern other nodes, and handing on what the cluster machine says. Must never
//! know: how a message is carried.

use bytestring::ByteString;

use super::acks::Asker;
use super::cluster_event::{ClusterCommand, ClusterEvent, FetchId, FetchedSocket};
use super::cluster_link::{ClusterLink, Fetching};
use super::event::{AckEnd, AckRequest, Emit, EmitId, Event, Output, Reach, Scope, Target};
use super::held_answers::HeldAnswer;
use super::namespaces::Namespaces;
use super::recovery::Recovery;
use super::{Queued, Server, Sid};
use crate::cluster::{
    BusPayload, ClusterBody, ClusterEmit, Ended, Membership, Recipients, RequestEnd, RequestToken, Requested,
    RoomChannel, Subscribing, Subscriptions, Wanted,
};
use crate::socket_io::{Args, Extent};
use crate::time::Instant;

impl Server {
    /// The sockets of a target that may be on other nodes; `None` if there are none: no cluster, another
    /// endpoint, sockets of this node.
    pub(super) fn recipients_of(&self, target: &Target) -> Option<Recipients> {
        let link = self.cluster.as_deref()?;
        match target {
            Target::Socket(_) => None,
            Target::Room { namespace, room } => {
                let is_shared = namespace.endpoint == link.endpoint && self.socket(namespace, room).is_none();
                is_shared.then(|| Recipients::room(namespace.namespace.clone(), room.clone()))
            }
            Target::Select(selection) => {
                let scope = &selection.scope;
                let is_local = selection.rooms.is_empty() && !selection.sockets.is_empty();
                if scope.endpoint != link.endpoint || selection.reach == Reach::Local || is_local {
                    return None;
                }
                let elsewhere = selection.rooms.iter().filter(|room| self.socket(scope, room).is_none());
                let rooms: Vec<_> = elsewhere.cloned().collect();
                if rooms.is_empty() && !selection.rooms.is_empty() {
                    return None;
                }
                let sids = selection.except_sockets.iter().filter_map(|socket| self.sid(*socket));
                let sids = sids.map(|sid| ByteString::from(sid.as_str()));
                let except = selection.except_rooms.iter().cloned().chain(sids).collect();
                Some(Recipients { namespace: scope.namespace.clone(), rooms, except })
            }
        }
    }

    /// An emit of the application that concerns other nodes as well.
    pub(super) fn emit_to_cluster(&mut self, emit: &Emit, recipients: Recipients, now: Instant) {
        let Some(link) = self.cluster.as_deref_mut() else { return };
        let mut token = None;
        let asker = emit.ack.map(|AckRequest { emit, timeout }| {
            let of_one = matches!(&recipients.rooms[..], [room] if is_sid(room));
            let asked = if of_one { Requested::AckOfOne(emit.0) } else { Requested::Acks(emit.0) };
            let request = link.cluster.ask(asked, now + timeout);
            token = request.map(|id| RequestToken { key: recipients.rooms.first().cloned().unwrap_or_default(), id });
            (request.map_or(Asker::App(emit), |id| Asker::Shared(emit, id)), timeout)
        });
        link.cluster.publish(ClusterBody::Emit(ClusterEmit {
            recipients,
            name: emit.name.clone(),
            args: BusPayload::from(emit.args.clone()),
            delivery: emit.delivery,
            ack: token,
        }));
        self.emit_here(emit, asker, now);
    }

    /// Sockets on other nodes join a room as well.
    pub(super) fn publish_join(&mut self, target: &Target, room: &ByteString) {
        if let Some(recipients) = self.recipients_of(target) {
            self.publish(ClusterBody::Join { recipients, room: room.clone() });
        }
    }

    /// Sockets on other nodes leave a room as well.
    pub(super) fn publish_leave(&mut self, target: &Target, room: &ByteString) {
        let Some(recipients) = self.recipients_of(target) else { return };
        let closes = recipients.except.is_empty() && recipients.rooms.as_slice() == std::slice::from_ref(room);
        self.publish(if closes {
            ClusterBody::CloseRoom { namespace: recipients.namespace, room: room.clone() }
        } else {
            ClusterBody::Leave { recipients, room: room.clone() }
        });
    }

    /// Sockets on other nodes are disconnected as well.
    pub(super) fn publish_disconnect(&mut self, target: &Target, extent: Extent) {
        if let Some(recipients) = self.recipients_of(target) {
            self.publish(ClusterBody::Disconnect { recipients, extent });
        }
    }

    /// The server ends: no answers are to be expected of it.
    pub(super) fn publish_goodbye(&mut self) {
        if let Some(link) = self.cluster.as_deref_mut() {
            link.cluster.leave();
        }
    }

    /// What concerns other nodes alone.
    pub(super) fn handle_cluster_command(&mut self, command: ClusterCommand, now: Instant) {
        match command {
            ClusterCommand::FetchSockets { fetch, target, timeout } => self.fetch(fetch, &target, now + timeout),
            ClusterCommand::ServerEmit { namespace, name, args, ack } => {
                self.server_emit(namespace, name, args, ack, now)
            }
            ClusterCommand::ServerReply { reply, args } => {
                let (to, token) = (reply.node, reply.token);
                self.publish(ClusterBody::ServerReply { to, token, args: BusPayload::from(args) });
            }
        }
    }

    fn fetch(&mut self, fetch: FetchId, target: &Target, deadline: Instant) {
        let fetched = |sid: ByteString, rooms| FetchedSocket { node: None, sid, rooms };
        let sockets = self.described(target).into_iter().map(|socket| fetched(socket.sid, socket.rooms)).collect();
        let fetching = Fetching { fetch, sockets };
        if let (Some(recipients), Some(link)) = (self.recipients_of(target), self.cluster.as_deref_mut()) {
            let number = link.open_fetch(fetching);
            if let Some(id) = link.cluster.ask(Requested::Sockets(number), deadline) {
                let token = RequestToken { key: ByteString::new(), id };
                return link.cluster.publish(ClusterBody::FetchSockets { recipients, token });
            }
            let nodes_missing = u32::try_from(link.cluster.nodes().count()).unwrap_or(u32::MAX);
            if let Some(fetching) = link.close_fetch(number) {
                self.sockets_fetched(fetching, nodes_missing);
            }
        } else {
            self.sockets_fetched(fetching, 0);
        }
    }

    fn server_emit(
        &mut self,
        namespace: ByteString,
        name: ByteString,
        args: Args,
        ack: Option<AckRequest>,
        now: Instant,
    ) {
        let ended = |emit| ClusterEvent::ServerRepliesEnded { emit, asked: 0, answered: 0, end: AckEnd::Gone };
        let mut token = None;
        if let Some(AckRequest { emit, timeout }) = ack {
            let link = self.cluster.as_deref_mut();
            match link.and_then(|link| link.cluster.ask(Requested::Replies(emit.0), now + timeout)) {
                Some(id) => token = Some(RequestToken { key: ByteString::new(), id }),
                None => self.cluster_event(ended(emit)),
            }
        }
        self.publish(ClusterBody::ServerEmit { namespace, name, args: BusPayload::from(args), token });
    }

    /// Tells all other nodes something.
    pub(super) fn publish(&mut self, body: ClusterBody) {
        if let Some(link) = self.cluster.as_deref_mut() {
            link.cluster.publish(body);
        }
    }

    pub(super) fn cluster_event(&mut self, event: ClusterEvent) {
        self.event(Event::Cluster(Box::new(event)));
    }

    /// A socket has entered a room, its own or one it joined: its answers wait until messages to the room arrive.
    pub(super) fn await_channel(&mut self, target: &Target, room: &ByteString, now: Instant) {
        let Some(link) = self.cluster.as_deref_mut() else { return };
        if link.cluster.settings().subscriptions != Subscriptions::PerRoom {
            return;
        }
        follow_rooms(link, &mut self.namespaces, &mut self.recoveries);
        for socket in self.namespaces.select(target).unwrap_or_default() {
            let Some(scope) = self.namespaces.scope(socket).filter(|scope| scope.endpoint == link.endpoint) else {
                continue;
            };
            let channel = RoomChannel { namespace: scope.namespace.clone(), room: room.clone() };
            // It may have been refused for being in too many rooms.
            let is_in = self.namespaces.is_in(socket, room)
                || self.namespaces.sid(socket).is_some_and(|sid| sid.as_str() == &**room);
            if !is_in || link.cluster.is_live(&channel) {
                continue;
            }
            if link.cluster.bus() == crate::cluster::BusState::Down {
                link.cluster.counters_mut().joins_unconfirmed += 1;
                continue;
            }
            let deadline = now + link.cluster.settings().subscribe_timeout;
            link.held.wait(socket, channel, deadline);
        }
    }

    /// Hands on what the machines of the cluster have to say.
    pub(super) fn settle_cluster(&mut self, now: Instant) {
        let Some(link) = self.cluster.as_deref_mut() else { return };
        follow_rooms(link, &mut self.namespaces, &mut self.recoveries);
        let late = link.held.handle_timeout(now);
        link.cluster.counters_mut().joins_unconfirmed += late;
        while let Some(membership) = self.cluster.as_deref_mut().and_then(|link| link.cluster.poll_membership()) {
            self.cluster_event(match membership {
                Membership::Joined(node) => ClusterEvent::NodeJoined { node },
                Membership::Left(node, leaving) => ClusterEvent::NodeLeft { node, leaving },
            });
        }
        while let Some(ended) = self.cluster.as_deref_mut().and_then(|link| link.cluster.poll_ended()) {
            self.request_ended(ended);
        }
        while let Some((socket, answer)) = self.cluster.as_deref_mut().and_then(|link| link.held.poll_released()) {
            match answer {
                HeldAnswer::Connected => self.send_connected(socket),
                HeldAnswer::Ack(ack, args) => self.send_ack_now(socket, ack, &args),
            }
        }
        let Some(link) = self.cluster.as_deref_mut() else { return };
        while let Some(request) = link.cluster.poll_subscribing() {
            self.outputs.push_back(Queued::Output(match request {
                Subscribing::Start(channel) => Output::Subscribe(Box::new(channel)),
                Subscribing::Stop(channel) => Output::Unsubscribe(Box::new(channel)),
            }));
        }
        while let Some(message) = link.cluster.poll_publication() {
            self.outputs.push_back(Queued::Output(Output::Publish(Box::new(message))));
        }
    }

    fn request_ended(&mut self, ended: Ended) {
        let Ended { asked, asked_count, answered_count, end } = ended;
        let ack_end = match end {
            RequestEnd::Complete => AckEnd::Complete,
            RequestEnd::TimedOut => AckEnd::TimedOut,
            RequestEnd::Gone => AckEnd::Gone,
        };
        match asked {
            Requested::AckOfOne(emit) | Requested::Acks(emit) => {
                let emit = EmitId(emit);
                self.event(Event::AcksEnded { emit, asked: asked_count, answered: answered_count, end: ack_end });
            }
            Requested::Sockets(number) => {
                let fetching = self.cluster.as_deref_mut().and_then(|link| link.close_fetch(number));
                if let Some(fetching) = fetching {
                    self.sockets_fetched(fetching, asked_count - answered_count);
                }
            }
            Requested::Replies(emit) => self.cluster_event(ClusterEvent::ServerRepliesEnded {
                emit: EmitId(emit),
                asked: asked_count,
                answered: answered_count,
                end: ack_end,
            }),
        }
    }

    fn sockets_fetched(&mut self, fetching: Fetching, nodes_missing: u32) {
        let Fetching { fetch, sockets } = fetching;
        self.cluster_event(ClusterEvent::SocketsFetched { fetch, sockets, nodes_missing });
    }
}

/// Subscribes to rooms that have members here, or had when a member's connection was lost that may come back, and to no
/// others.
fn follow_rooms(link: &mut ClusterLink, namespaces: &mut Namespaces, recoveries: &mut [Option<Box<Recovery>>]) {
    let mut recovery = recoveries.get_mut(link.endpoint.index()).and_then(|recovery| recovery.as_deref_mut());
    while let Some((channel, is_there)) = namespaces.poll_room_change() {
        let is_awaited = |recovery: &Recovery| recovery.is_awaited(&channel.namespace, Some(&channel.room));
        let is_wanted = is_there || recovery.as_deref().is_some_and(is_awaited);
        link.cluster.set_wanted(channel, if is_wanted { Wanted::Yes } else { Wanted::No });
    }
    while let Some(channel) = recovery.as_deref_mut().and_then(Recovery::poll_released) {
        let scope = Scope { endpoint: link.endpoint, namespace: channel.namespace.clone() };
        if link.cluster.settings().subscriptions != Subscriptions::Everything
            && !namespaces.is_occupied(&scope, &channel.room)
        {
            link.cluster.set_wanted(channel, Wanted::No);
        }
    }
}

/// Whether a room is, by its name, a socket's own.
fn is_sid(room: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    room.len() == Sid::LEN && room.bytes().all(is_base64url)
}
