//! What the core tells, on its way to handlers.
//!
//! Owns: which socket or peer an event is of, and handlers at work. Must never know: what handlers do.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use roomcast_core::id::SlabKey as _;
use roomcast_core::server::{App, Command, Connect, EmitId, Event, SessionId, SocketId};
use roomcast_core::socket_io::Args;

use super::Driver;
use crate::acks::Acks;
use crate::handler::{Closed, Connected, Connecting, Disconnected, Incoming, Opened, Received};
use crate::lane::{Job, Lane};
use crate::peer::Peer;
use crate::promise::Debt;
use crate::runtime::Runtime;
use crate::socket::Socket;

roomcast_core::slab_key! {
    /// An emit whose acks somebody waits for.
    pub struct AskId;
}

/// An emit whose acks somebody waits for.
pub(super) struct Ask {
    pub(super) debt: Debt<Acks>,
    pub(super) answers: Vec<(SocketId, Args)>,
}

/// A handler that has not ended yet.
pub(super) struct Running {
    owner: Owner,
    job: Job,
}

/// Whose events a handler keeps in order.
#[derive(Clone)]
enum Owner {
    Socket(Socket),
    Peer(Peer),
}

impl Owner {
    fn lane(&self) -> &Lane {
        match self {
            Self::Socket(socket) => socket.lane(),
            Self::Peer(peer) => peer.lane(),
        }
    }
}

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    pub(super) fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connecting(connect) => self.connecting(connect),
            Event::Connected(connect) => self.connected(connect),
            Event::Received { session, socket, name, args, ack } => {
                let Some(socket) = self.socket(socket).cloned() else { return self.handled(session) };
                let shared = self.shared.clone();
                let routes = shared.routes.namespace(socket.scope().endpoint, socket.rule());
                let call = routes.and_then(|routes| routes.events.get(&*name).or(routes.any.as_ref()));
                match call {
                    Some(call) => {
                        let job = call.job(Received { socket: socket.clone(), name, args, ack });
                        self.run(Owner::Socket(socket), job);
                    }
                    None => self.handled(session),
                }
            }
            Event::Acked { emit, socket, args } => {
                if let Some(ask) = self.asks.get_mut(ask_id(emit)) {
                    ask.answers.push((socket, args));
                }
            }
            Event::AcksEnded { emit, asked, answered: _, end } => {
                if let Some(Ask { debt, answers }) = self.asks.remove(ask_id(emit)) {
                    debt.pay(Acks { answers, asked, end });
                }
            }
            Event::Disconnected { socket, reason } => {
                let Some(socket) = self.remove_socket(socket) else { return };
                let shared = self.shared.clone();
                let routes = shared.routes.namespace(socket.scope().endpoint, socket.rule());
                if socket.end()
                    && let Some(call) = routes.and_then(|routes| routes.disconnected.as_ref())
                {
                    let job = call.job(Disconnected(socket.clone(), reason));
                    self.run(Owner::Socket(socket), job);
                }
            }
            Event::Opened { .. } | Event::Message { .. } | Event::Closed { .. } => self.handle_peer_event(event),
            Event::Relieved { session } => self.relieve(session),
        }
    }

    fn handle_peer_event(&mut self, event: Event) {
        let shared = self.shared.clone();
        match event {
            Event::Opened { session, endpoint, request } => {
                let peer = Peer::new(shared.clone(), session, endpoint, request);
                put(&mut self.peers, session.slot(), peer.clone());
                let routes = shared.routes.peer(endpoint);
                if let Some(call) = routes.and_then(|routes| routes.opened.as_ref()) {
                    let job = call.job(Opened(peer.clone()));
                    self.run(Owner::Peer(peer), job);
                }
            }
            Event::Message { session, message } => {
                let Some(peer) = self.peer(session).cloned() else { return self.handled(session) };
                let routes = shared.routes.peer(peer.endpoint());
                match routes.and_then(|routes| routes.message.as_ref()) {
                    Some(call) => {
                        let job = call.job(Incoming(peer.clone(), message));
                        self.run(Owner::Peer(peer), job);
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
                let routes = shared.routes.peer(peer.endpoint());
                if let Some(call) = routes.and_then(|routes| routes.closed.as_ref()) {
                    let job = call.job(Closed(peer.clone(), reason));
                    self.run(Owner::Peer(peer), job);
                }
            }
            Event::Connecting(_)
            | Event::Connected(_)
            | Event::Received { .. }
            | Event::Acked { .. }
            | Event::AcksEnded { .. }
            | Event::Disconnected { .. }
            | Event::Relieved { .. } => {}
        }
    }

    fn connecting(&mut self, connect: Box<Connect>) {
        let socket = self.add_socket(connect);
        let shared = self.shared.clone();
        let routes = shared.routes.namespace(socket.scope().endpoint, socket.rule());
        match routes.and_then(|routes| routes.admit.as_ref()) {
            Some(call) => {
                let job = call.job(Connecting(socket.clone()));
                self.run(Owner::Socket(socket), job);
            }
            None => {
                shared.command(Command::Accept { socket: socket.id() });
            }
        }
    }

    fn connected(&mut self, connect: Box<Connect>) {
        let socket = match self.socket(connect.socket) {
            Some(socket) => socket.clone(),
            None => self.add_socket(connect),
        };
        socket.begin();
        let shared = self.shared.clone();
        let routes = shared.routes.namespace(socket.scope().endpoint, socket.rule());
        if let Some(call) = routes.and_then(|routes| routes.connected.as_ref()) {
            let job = call.job(Connected(socket.clone()));
            self.run(Owner::Socket(socket), job);
        }
    }

    fn add_socket(&mut self, connect: Box<Connect>) -> Socket {
        let rule = self.shared.routes.rule(connect.endpoint, &connect.namespace);
        let slot = connect.socket.slot();
        let socket = Socket::new(self.shared.clone(), connect, rule);
        put(&mut self.sockets, slot, socket.clone());
        socket
    }

    fn remove_socket(&mut self, id: SocketId) -> Option<Socket> {
        let socket = self.sockets.get_mut(id.slot())?.take_if(|socket| socket.id() == id)?;
        if let Some(flows) = self.congested.get_mut(&socket.session()) {
            flows.retain(|flow| !std::ptr::eq(&**flow, socket.flow()));
            if flows.is_empty() {
                self.congested.remove(&socket.session());
            }
        }
        Some(socket)
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
    fn run(&mut self, owner: Owner, job: Job) {
        let mut next = owner.lane().enter(job);
        while let Some(mut job) = next {
            if poll_once(&mut job).is_pending() {
                self.running.push(Running { owner, job });
                return;
            }
            next = owner.lane().next();
        }
    }

    /// Handlers that wait for what the core has said since go on; the others get tasks of their own.
    pub(super) fn resume_handlers(&mut self) {
        for Running { owner, mut job } in std::mem::take(&mut self.running) {
            if poll_once(&mut job).is_ready() {
                if let Some(next) = owner.lane().next() {
                    self.run_next(owner, next);
                }
                continue;
            }
            self.runtime.spawn(async move {
                job.await;
                while let Some(next) = owner.lane().next() {
                    next.await;
                }
            });
        }
    }

    /// As [`run`](Self::run), where the lane is taken already.
    fn run_next(&mut self, owner: Owner, job: Job) {
        let mut next = Some(job);
        while let Some(mut job) = next {
            if poll_once(&mut job).is_pending() {
                self.running.push(Running { owner, job });
                return;
            }
            next = owner.lane().next();
        }
    }

    fn socket(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(id.slot())?.as_ref().filter(|socket| socket.id() == id)
    }

    fn peer(&self, session: SessionId) -> Option<&Peer> {
        self.peers.get(session.slot())?.as_ref().filter(|peer| peer.session() == session)
    }
}

/// Nobody is woken: a job that is not ready is polled again in any case.
fn poll_once(job: &mut Job) -> Poll<()> {
    Pin::new(job).poll(&mut Context::from_waker(Waker::noop()))
}

fn put<T>(slots: &mut Vec<Option<T>>, slot: usize, value: T) {
    if slots.len() <= slot {
        slots.resize_with(slot + 1, || None);
    }
    if let Some(place) = slots.get_mut(slot) {
        *place = Some(value);
    }
}

fn ask_id(emit: EmitId) -> AskId {
    let EmitId(number) = emit;
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    AskId::from_parts(low, u32::try_from(number >> 32).unwrap_or(u32::MAX))
}
