//! The composition root: [`Server`] puts WebSocket, Engine.IO, Socket.IO, rooms and timers together.
//!
//! Owns: sessions and what they are made of, and the order in which outputs come. Must never know: sockets of the
//! operating system, a clock, or what an application does with its events.
//!
//! | file | what |
//! |---|---|
//! | [`config`], [`event`], [`fault`] | vocabulary: settings, inputs and outputs, faults and what peers are told |
//! | [`app`] | a machine on top, run together with the server |
//! | `http` | polling requests: head, body, answers, CORS |
//! | `conn` | WebSockets: handshake, messages, closing |
//! | `session` | Engine.IO sessions: open, heartbeat, upgrade, end |
//! | `socket` | Socket.IO: connect, events, acks, disconnect |
//! | `emit` | targets, fan-out, rooms |
//! | `encoded`, `outbound`, `transmit` | what is sent, where it waits, and how it goes out |
//! | `state` | the records that the others work on |

pub mod app;
pub mod config;
mod conn;
mod emit;
mod encoded;
pub mod event;
pub mod fault;
mod http;
mod outbound;
mod session;
mod socket;
mod state;
#[cfg(feature = "test-hooks")]
pub mod test_hooks;
mod transmit;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

pub use self::app::{App, AppRequestId, Cx, Stack};
pub use self::config::{Config, ConfigError, Endpoint, EndpointId};
use self::encoded::Encoded;
pub use self::event::*;
pub use self::fault::PeerError;
use self::outbound::Outbound;
use self::state::{Closing, Conn, Namespace, NamespaceId, Pending, Request, Session, Socket};
pub use self::transmit::{After, Transmit};
use crate::rng::{KeyedMap, Rng};
use crate::slab::Slab;
use crate::time::{Instant, WallTime};
use crate::timer::{Fifo, Timers};
use crate::websocket;

/// What a server is started with: all that is not deterministic about it.
#[derive(Clone, Debug)]
pub struct Start {
    /// The number of this node among those that share clients: session ids begin with it.
    pub node: u16,
    /// Monotonic time.
    pub now: Instant,
    /// Calendar time.
    pub wall: WallTime,
    /// 32 bytes from the operating system's generator: session ids come from it.
    pub seed: [u8; 32],
}

/// Engine.IO and Socket.IO sessions, bare WebSockets, their rooms and their timers, as one machine.
///
/// Four kinds of method:
///
/// * **Getters** take `&self`.
/// * **`handle_*`**: the world tells the machine something, `now` last. Each runs to completion, never fails because of
///   a peer, and any number may be called before draining: that is what makes writes coalesce.
/// * **Commands**: the application tells it to do something, as [`Input::Command`].
/// * **`poll_*`**: the machine tells the world.
///
/// The loop of a driver:
///
/// 1. Feed what has come: [`handle_upgrade`](Self::handle_upgrade), [`handle_http_head`](Self::handle_http_head),
///    [`handle_input`](Self::handle_input), [`handle_timeout`](Self::handle_timeout).
/// 2. [`poll_output`](Self::poll_output) until `None`. Events come before answers and writes, so that what the
///    application does about them goes out in the same write. At [`Output::Writable`], call
///    [`poll_transmit`](Self::poll_transmit) and write, until it says `false` or the socket takes no more; then give
///    the rest to [`handle_refused`](Self::handle_refused), and poll transmits again when the socket is ready.
/// 3. Sleep until [`poll_timeout`](Self::poll_timeout) or until something comes. Every `handle_*` and `poll_*` may
///    change the timeout.
///
/// A stale handle is ignored and counted: a close that crosses a read on its way is normal.
#[derive(Debug)]
pub struct Server {
    config: Config,
    endpoints: Vec<EndpointState>,
    node: u16,
    rng: Rng,
    wall: WallTime,
    running: Running,

    sessions: Slab<SessionId, Session>,
    /// What waits for each session, by its slot.
    outbounds: Vec<Outbound>,
    conns: Slab<ConnId, Conn>,
    requests: Slab<RequestId, Request>,
    sockets: Slab<SocketId, Socket>,
    namespaces: Slab<NamespaceId, Namespace>,
    session_sids: KeyedMap<Sid, SessionId>,
    socket_sids: KeyedMap<Sid, SocketId>,
    namespace_names: KeyedMap<Scope, NamespaceId>,
    pending: BTreeMap<u64, Pending>,
    next_packet_id: u64,

    spread_pings: Timers<SessionId>,
    ack_deadlines: Timers<u64>,
    closings: Fifo<Closing>,
    connectings: Timers<SocketId>,

    outputs: VecDeque<Output>,
    writable: VecDeque<Due>,
    /// What a peer's bytes ask for behind events that the application has not seen: see [`Server::defer`].
    deferred: VecDeque<Deferred>,
    /// Sessions whose queue ran over, to be ended after the walk that found them.
    too_slow: Vec<SessionId>,
    /// Scratch of the fan-out: outbound queues that ran over.
    slow: Vec<u32>,
    constant: Constants,
    counters: Counters,
    #[cfg(feature = "test-hooks")]
    test_hooks: test_hooks::TestHooks,
}

impl Server {
    /// A server of these endpoints.
    pub fn new(config: Config, start: Start) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = Rng::from_seed(start.seed);
        Ok(Self {
            endpoints: config.endpoints.iter().map(EndpointState::new).collect(),
            config,
            node: start.node,
            wall: start.wall,
            running: Running::Yes,
            sessions: Slab::new(),
            outbounds: Vec::new(),
            conns: Slab::new(),
            requests: Slab::new(),
            sockets: Slab::new(),
            namespaces: Slab::new(),
            session_sids: KeyedMap::with_hasher(rng.keyed_hash()),
            socket_sids: KeyedMap::with_hasher(rng.keyed_hash()),
            namespace_names: KeyedMap::with_hasher(rng.keyed_hash()),
            pending: BTreeMap::new(),
            next_packet_id: 0,
            spread_pings: Timers::new(),
            ack_deadlines: Timers::new(),
            closings: Fifo::new(),
            connectings: Timers::new(),
            outputs: VecDeque::new(),
            writable: VecDeque::new(),
            deferred: VecDeque::new(),
            too_slow: Vec::new(),
            slow: Vec::new(),
            constant: Constants::new(),
            counters: Counters::default(),
            #[cfg(feature = "test-hooks")]
            test_hooks: test_hooks::TestHooks::default(),
            rng,
        })
    }

    /// What the world has to say, except for requests.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        #[cfg(feature = "test-hooks")]
        let Some(input) = self.spoil_input(input) else { return };
        match input {
            Input::WsBytes { conn, bytes } => self.handle_ws_bytes(conn, bytes, now),
            Input::WsEnded { conn } => self.handle_ws_ended(conn, now),
            Input::HttpAborted { request } => self.handle_http_aborted(request, now),
            Input::WallClock(wall) => self.wall = wall,
            Input::Command(command) => self.handle_command(command, now),
        }
    }

    /// Time has passed. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.handle_deferred(now);
        for index in 0..self.endpoints.len() {
            self.handle_endpoint_timeout(index, now);
        }
        while let Some(due) = self.spread_pings.next_deadline()
            && let Some(session) = self.spread_pings.pop_due(now)
        {
            self.ping_due(session, due, now);
        }
        while let Some(packet_id) = self.ack_deadlines.pop_due(now) {
            self.end_pending(packet_id, AckEnd::TimedOut);
        }
        while let Some(socket) = self.connectings.pop_due(now) {
            self.connecting_overdue(socket, now);
        }
        while let Some(closing) = self.closings.pop_due(now) {
            match closing {
                Closing::Conn(conn) => self.close_conn_now(conn),
                Closing::Session(session) => self.close_overdue(session, now),
            }
        }
    }

    /// The next thing to do. `None`: sleep.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                #[cfg(feature = "test-hooks")]
                let Some(output) = self.spoil_output(output) else { continue };
                return Some(output);
            }
            match self.writable.pop_front()? {
                Due::Conn(conn) => {
                    // It may have been closed since.
                    if self.conns.contains(conn) {
                        return Some(Output::Writable(conn));
                    }
                }
                Due::Outbound(outbound) => {
                    if let Some(output) = self.outbound_due(outbound) {
                        return Some(output);
                    }
                }
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        let own = [
            self.deferred
                .front()
                .filter(|_| self.outputs.is_empty())
                .map(|deferred| (deferred.since, TimerKind::Deferred)),
            self.spread_pings.next_deadline().map(|at| (at, TimerKind::Ping)),
            self.ack_deadlines.next_deadline().map(|at| (at, TimerKind::Ack)),
            self.connectings.next_deadline().map(|at| (at, TimerKind::Connect)),
            self.closings.next_deadline().map(|at| (at, TimerKind::Close)),
        ];
        let endpoints = self.endpoints.iter().flat_map(EndpointState::deadlines);
        endpoints.chain(own).flatten().min_by_key(|(at, _)| *at)
    }

    /// The endpoint that serves `path`, with or without a slash at its end: the one of the longest path, and of these the
    /// one that is exactly it.
    pub fn route(&self, path: &str) -> Option<EndpointId> {
        self.config.route(path)
    }

    /// Largest body of an HTTP request to an endpoint, in bytes.
    pub fn body_bytes_max(&self, endpoint: EndpointId) -> usize {
        self.config.endpoints.get(endpoint.index()).map_or(0, Endpoint::body_bytes_max)
    }

    /// Calendar time, as last told by [`Input::WallClock`].
    pub fn wall(&self) -> WallTime {
        self.wall
    }

    /// What must be all zeros once everybody has left.
    pub fn audit(&self) -> Audit {
        let endpoint_timers: usize = self.endpoints.iter().map(EndpointState::armed).sum();
        Audit {
            sessions: self.sessions.len(),
            conns: self.conns.len(),
            requests: self.requests.len(),
            sockets: self.sockets.len(),
            namespaces: self.namespaces.len(),
            rooms: self.namespaces.iter().map(|(_, namespace)| namespace.rooms.room_count()).sum(),
            session_sids: self.session_sids.len(),
            socket_sids: self.socket_sids.len(),
            acks: self.pending.len(),
            timers: endpoint_timers
                + self.spread_pings.len()
                + self.ack_deadlines.len()
                + self.closings.len()
                + self.connectings.len(),
            queued_bytes: self.outbounds.iter().map(Outbound::bytes).sum::<usize>()
                + self.conns.iter().map(|(_, conn)| conn.priority.bytes()).sum::<usize>(),
            outputs: self.outputs.len() + self.writable.len(),
            deferred: self.deferred.len(),
        }
    }

    /// What has happened since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn endpoint(&self, endpoint: EndpointId) -> Option<&Endpoint> {
        self.config.endpoints.get(endpoint.index())
    }

    fn timers(&mut self, endpoint: EndpointId) -> Option<&mut EndpointState> {
        self.endpoints.get_mut(endpoint.index())
    }

    fn event(&mut self, event: Event) {
        #[cfg(feature = "test-hooks")]
        let Some(event) = self.spoil_event(event) else { return };
        self.outputs.push_back(Output::Event(event));
    }

    fn stale(&mut self) {
        self.counters.stale_handles += 1;
    }

    /// A new session id: the node, and 104 random bits.
    fn new_sid(&mut self) -> Sid {
        let mut raw = [0; 15];
        self.rng.fill(&mut raw);
        let [high, low] = self.node.to_be_bytes();
        raw[0] = high;
        raw[1] = low;
        Sid::from_bytes(raw)
    }
}

/// Why a deadline was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerKind {
    /// Something waits until the outputs before it are polled: due at once.
    Deferred,
    /// A ping is due.
    Ping,
    /// A pong is overdue.
    Pong,
    /// A namespace must be joined, or an application must have answered who asks to.
    Connect,
    /// An upgrade must be done.
    Upgrade,
    /// A closing transport must be gone.
    Close,
    /// An ack is overdue.
    Ack,
    /// The application's.
    App,
}

/// What an HTTP request's head is answered with before its body is read.
#[derive(Debug)]
pub enum Head {
    /// Read the body (at most [`Server::body_bytes_max`]) and give it to [`Server::handle_http_body`].
    Continue(RequestId),
    /// Answer this; the body is of no interest.
    Refuse(Box<::http::Response<Bytes>>),
}

/// What must be all zeros once everybody has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Peers.
    pub sessions: usize,
    /// WebSocket streams.
    pub conns: usize,
    /// HTTP requests under way.
    pub requests: usize,
    /// Presences in namespaces.
    pub sockets: usize,
    /// Namespaces that somebody is in.
    pub namespaces: usize,
    /// Rooms that somebody is in.
    pub rooms: usize,
    /// Engine.IO session ids that are known.
    pub session_sids: usize,
    /// Socket.IO ids that are known.
    pub socket_sids: usize,
    /// Emits whose acks are awaited.
    pub acks: usize,
    /// Deadlines.
    pub timers: usize,
    /// Bytes that wait to be sent.
    pub queued_bytes: usize,
    /// Outputs that have not been polled.
    pub outputs: usize,
    /// Answers to peers that come after the outputs before them, at the next timeout, which is due at once.
    pub deferred: usize,
}

/// What has happened since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sockets connected to a namespace.
    pub sockets_connected: u64,
    /// Engine.IO packets and bare messages received.
    pub packets_received: u64,
    /// Packets put into queues, once per recipient.
    pub packets_queued: u64,
    /// Volatile packets dropped, once per recipient.
    pub volatile_dropped: u64,
    /// Upgrades from polling to WebSocket that were completed.
    pub upgrades: u64,
    /// Sessions closed as too slow.
    pub too_slow: u64,
    /// Sessions ended for a missing pong.
    pub pings_unanswered: u64,
    /// Sessions and requests ended for a fault of the peer.
    pub peer_faults: u64,
    /// Inputs and commands with a stale handle.
    pub stale_handles: u64,
}

/// Whether new peers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Yes,
    Ending,
}

/// Something that has output of its own pace: told when the events are out.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// A session's queue, by its slot. Whose it is by the time it is polled does not matter.
    Outbound(u32),
    /// What stands ahead of a queue.
    Conn(ConnId),
}

/// An answer to a peer's bytes that must not overtake the application's.
#[derive(Debug)]
struct Deferred {
    conn: ConnId,
    since: Instant,
    what: Deferral,
}

#[derive(Debug)]
enum Deferral {
    Pong(Bytes),
    /// The stream broke the rules behind messages that were whole.
    Fail(websocket::WsError),
}

/// Deadlines of one constant length each.
#[derive(Debug)]
struct EndpointState {
    ws_limits: websocket::FrameLimits,
    ping: Fifo<SessionId>,
    pong: Fifo<SessionId>,
    connect: Fifo<SessionId>,
    upgrade: Fifo<SessionId>,
}

impl EndpointState {
    fn new(endpoint: &Endpoint) -> Self {
        let (message_bytes_max, fragments_max) = match &endpoint.kind {
            config::EndpointKind::SocketIo(engine, _) | config::EndpointKind::EngineIo(engine) => {
                (engine.max_payload_bytes, u32::MAX)
            }
            config::EndpointKind::WebSocket(ws) => (ws.message_bytes_max, ws.fragments_max),
        };
        Self {
            ws_limits: websocket::FrameLimits { message_bytes_max, fragments_max },
            ping: Fifo::new(),
            pong: Fifo::new(),
            connect: Fifo::new(),
            upgrade: Fifo::new(),
        }
    }

    fn deadlines(&self) -> [Option<(Instant, TimerKind)>; 4] {
        [
            self.ping.next_deadline().map(|at| (at, TimerKind::Ping)),
            self.pong.next_deadline().map(|at| (at, TimerKind::Pong)),
            self.connect.next_deadline().map(|at| (at, TimerKind::Connect)),
            self.upgrade.next_deadline().map(|at| (at, TimerKind::Upgrade)),
        ]
    }

    fn armed(&self) -> usize {
        self.ping.len() + self.pong.len() + self.connect.len() + self.upgrade.len()
    }
}

/// Packets that are always the same.
#[derive(Debug)]
struct Constants {
    ping: Arc<Encoded>,
    probe_answer: Arc<Encoded>,
    ws_ping: Arc<Encoded>,
}

impl Constants {
    fn new() -> Self {
        Self {
            ping: Encoded::packet(1, |out| out.push(b'2'), &[]),
            probe_answer: Encoded::packet(6, |out| out.extend_from_slice(b"3probe"), &[]),
            ws_ping: Encoded::frame(websocket::Opcode::Ping, &[]),
        }
    }
}
