//! What the core tells, on its way to handlers.
//!
//! Owns: which socket or peer an event is of, and handlers at work. Must never know: what handlers do.

use std::sync::Arc;

use roomcast_core::server::{App, ClusterEvent, Command, Connect, Event, SessionId, SocketId};
use roomcast_core::time::Instant;
use tracing::Span;

use super::Driver;
use super::jobs::{Ask, HandlerOwner, RunningHandler, ask_id, fetch_key, poll_once};
use crate::acks::Acks;
use crate::args::weight;
use crate::fetched::FetchedSockets;
use crate::handler::{Closed, Connected, Connecting, Disconnected, MessageReceived, Opened, Received};
use crate::handler_queue::HandlerJob;
use crate::own_handlers::own_handler;
use crate::peer::Peer;
use crate::presence::Presence;
use crate::runtime::Runtime;
use crate::server_side::ServerSideReceived;
use crate::socket::Socket;

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    pub(super) fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connecting(connect) => self.connecting(connect),
            Event::Connected(connect) => self.connected(connect),
            Event::Received { session, socket, name, args, ack } => {
                let Some(presence) = self.presence(socket).cloned() else { return self.handled(session) };
                let routes = self.routes.namespace(presence.scope.endpoint, presence.rule);
                let own = own_handler(&presence, &name);
                let call = own.as_deref().or_else(|| routes?.events.get(&*name).or(routes?.any.as_ref()));
                match call.zip(routes) {
                    Some((call, routes)) => {
                        let socket = Socket::new(self.shared.clone(), presence.clone());
                        let bytes = if self.lending.is_empty() { 0 } else { weight(&args) };
                        let span = self.span(&presence, &name);
                        let job = routes.job(call, Received { socket, name, args, ack }).in_span(span);
                        self.run(HandlerOwner::Socket(presence), job);
                        if !self.lending.is_empty() {
                            self.lend(session, bytes, now);
                        }
                    }
                    None => self.handled(session),
                }
            }
            Event::Acked { emit, socket, args } => {
                if let (Some(ask), Some(sid)) = (self.asks.get_mut(ask_id(emit)), self.stack.server.sid(socket)) {
                    ask.answers.push((sid, args));
                }
            }
            Event::AcksEnded { emit, asked, answered: _, end } => {
                if let Some(Ask { acks, answers, remote, session }) = self.asks.remove(ask_id(emit)) {
                    session.into_iter().for_each(|session| self.end_lending(session, 1));
                    // Dropped by a task that waits no longer.
                    let _ = acks.send(Acks { answers, remote, asked, end });
                }
            }
            Event::Disconnected { socket, reason, rooms } => {
                let Some(presence) = self.remove_presence(socket) else { return };
                self.span(&presence, "disconnect").in_scope(|| tracing::debug!(?reason, "disconnected"));
                let routes = self.routes.namespace(presence.scope.endpoint, presence.rule);
                if presence.end()
                    && let Some(call) = routes.and_then(|routes| routes.disconnected.as_ref())
                {
                    let socket = Socket::new(self.shared.clone(), presence.clone());
                    let job =
                        call.job(Disconnected { socket, reason, rooms }).in_span(self.span(&presence, "disconnect"));
                    self.run(HandlerOwner::Socket(presence), job);
                }
            }
            Event::Opened { .. } | Event::Message { .. } | Event::Closed { .. } => self.handle_peer_event(event),
            Event::Relieved { session } => self.relieve(session),
            Event::Cluster(event) => self.handle_cluster_event(*event),
            // No handler can be registered for an event that is new, or that is said for the log.
            Event::RoomJoined { .. } | Event::RoomLeft { .. } | _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "handlers have no part in the others; an application does")]
    fn handle_cluster_event(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Acked { emit, node: _, args } => {
                if let Some(ask) = self.asks.get_mut(ask_id(emit)) {
                    ask.remote.push(args);
                }
            }
            ClusterEvent::SocketsFetched { fetch, sockets, nodes_missing } => {
                if let Some(asked) = self.fetches.remove(fetch_key(fetch)) {
                    // Dropped by a task that waits no longer.
                    let _ = asked.send(FetchedSockets { sockets, nodes_missing });
                }
            }
            ClusterEvent::ServerReceived { node, namespace, name, args, reply } => {
                let shared = self.shared.clone();
                self.server_said(&namespace, ServerSideReceived { shared, node, name, args, reply });
            }
            ClusterEvent::ServerReplied { emit, node, args } => self.server_replied(emit, node, args),
            ClusterEvent::ServerRepliesEnded { emit, asked, answered: _, end } => self.servers_asked(emit, asked, end),
            ClusterEvent::NodeJoined { node } => tracing::info!(%node, "another node is there"),
            ClusterEvent::NodeLeft { node, leaving } => tracing::info!(%node, ?leaving, "another node is gone"),
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives it events of peers")]
    fn handle_peer_event(&mut self, event: Event) {
        match event {
            Event::Opened { session, endpoint, request } => {
                let peer = Peer::new(self.shared.clone(), session, endpoint, request);
                put(&mut self.peers, session.slot(), peer.clone());
                let routes = self.routes.peer(endpoint);
                if let Some(call) = routes.and_then(|routes| routes.opened.as_ref()) {
                    let job = call.job(Opened(peer.clone()));
                    self.run(HandlerOwner::Peer(peer), job);
                }
            }
            Event::Message { session, message } => {
                let Some(peer) = self.peer(session).cloned() else { return self.handled(session) };
                let routes = self.routes.peer(peer.endpoint());
                match routes.and_then(|routes| routes.message.as_ref()) {
                    Some(call) => {
                        let job = call.job(MessageReceived(peer.clone(), message));
                        self.run(HandlerOwner::Peer(peer), job);
                    }
                    None => self.handled(session),
                }
            }
            Event::Closed { session, reason } => {
                let Some(peer) = self.peer(session).cloned() else { return };
                if let Some(place) = self.peers.get_mut(session.slot()) {
                    *place = None;
                }
                self.congested.remove(&session);
                peer.flow().clear();
                let routes = self.routes.peer(peer.endpoint());
                if let Some(call) = routes.and_then(|routes| routes.closed.as_ref()) {
                    let job = call.job(Closed(peer.clone(), reason));
                    self.run(HandlerOwner::Peer(peer), job);
                }
            }
            _ => {}
        }
    }

    fn connecting(&mut self, connect: Box<Connect>) {
        let presence = self.add_presence(connect);
        let routes = self.routes.namespace(presence.scope.endpoint, presence.rule);
        let connecting = Connecting(Socket::new(self.shared.clone(), presence.clone()));
        match routes.and_then(|routes| routes.admission(connecting)) {
            Some(job) => {
                presence.hold_joins();
                let job = job.in_span(self.span(&presence, "admit"));
                self.run(HandlerOwner::Socket(presence), job);
            }
            None => {
                self.shared.command(Command::Accept { socket: presence.id() });
            }
        }
    }

    fn connected(&mut self, connect: Box<Connect>) {
        let presence = match self.presence(connect.socket) {
            Some(presence) => presence.clone(),
            None => self.add_presence(connect),
        };
        presence.begin();
        self.span(&presence, "connect").in_scope(|| tracing::debug!("connected"));
        let routes = self.routes.namespace(presence.scope.endpoint, presence.rule);
        if let Some(call) = routes.and_then(|routes| routes.connected.as_ref()) {
            let job = call.job(Connected(Socket::new(self.shared.clone(), presence.clone())));
            let job = job.in_span(self.span(&presence, "connect"));
            self.run(HandlerOwner::Socket(presence), job);
        }
    }

    fn add_presence(&mut self, connect: Box<Connect>) -> Arc<Presence> {
        let rule = self.routes.rule(connect.endpoint, &connect.namespace);
        let slot = connect.socket.slot();
        let routes = self.routes.namespace(connect.endpoint, rule);
        let params = routes.map_or_else(Box::default, |routes| {
            routes.pattern.params(&connect.namespace).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        });
        let presence = Arc::new(Presence::new(connect, rule, params));
        put(&mut self.presences, slot, presence.clone());
        presence
    }

    fn remove_presence(&mut self, id: SocketId) -> Option<Arc<Presence>> {
        let presence = self.presences.get_mut(id.slot())?.take_if(|presence| presence.id() == id)?;
        let session = presence.connect.session;
        if let Some(flows) = self.congested.get_mut(&session) {
            flows.retain(|flow| !Arc::ptr_eq(flow, &presence.flow));
            if flows.is_empty() {
                self.congested.remove(&session);
            }
        }
        Some(presence)
    }

    fn relieve(&mut self, session: SessionId) {
        for flow in self.congested.remove(&session).unwrap_or_default() {
            flow.clear();
        }
    }

    fn handled(&self, session: SessionId) {
        self.shared.command(Command::Handled { session });
    }

    /// Runs a handler: at once if that is all it takes, and after those before it.
    pub(super) fn run(&mut self, owner: HandlerOwner, job: HandlerJob) {
        let mut next = owner.queue().enter(job);
        while let Some(mut job) = next {
            if poll_once(&mut job).is_pending() {
                self.running.push(RunningHandler { owner, job });
                return;
            }
            next = owner.queue().next();
        }
    }

    /// Handlers that wait for what the core has said since go on; the others get tasks of their own.
    pub(super) fn resume_handlers(&mut self) {
        for RunningHandler { owner, mut job } in std::mem::take(&mut self.running) {
            if poll_once(&mut job).is_ready() {
                if let Some(next) = owner.queue().next() {
                    self.run_next(owner, next);
                }
                continue;
            }
            let busy = self.shared.busy();
            self.runtime.spawn(async move {
                let _busy = busy;
                job.await;
                while let Some(next) = owner.queue().next() {
                    next.await;
                }
            });
        }
    }

    /// As [`run`](Self::run), where the queue is taken already.
    fn run_next(&mut self, owner: HandlerOwner, job: HandlerJob) {
        let mut next = Some(job);
        while let Some(mut job) = next {
            if poll_once(&mut job).is_pending() {
                self.running.push(RunningHandler { owner, job });
                return;
            }
            next = owner.queue().next();
        }
    }

    /// Disabled, it costs a comparison.
    fn span(&self, presence: &Presence, event: &str) -> Span {
        let endpoint = self.shared.endpoints.path(presence.scope.endpoint);
        let (namespace, sid) = (&*presence.scope.namespace, presence.connect.sid);
        tracing::debug_span!("socket", endpoint, namespace, event, %sid)
    }

    pub(super) fn presence(&self, id: SocketId) -> Option<&Arc<Presence>> {
        self.presences.get(id.slot())?.as_ref().filter(|presence| presence.id() == id)
    }

    fn peer(&self, session: SessionId) -> Option<&Peer> {
        self.peers.get(session.slot())?.as_ref().filter(|peer| peer.session() == session)
    }
}

fn put<T>(slots: &mut Vec<Option<T>>, slot: usize, value: T) {
    if slots.len() <= slot {
        slots.resize_with(slot + 1, || None);
    }
    if let Some(place) = slots.get_mut(slot) {
        *place = Some(value);
    }
}
