//! The composition root: [`Server`] puts WebSocket, Engine.IO, Socket.IO, rooms and timers together.
//!
//! Owns: sessions and what they are made of, and the order in which outputs come. Must never know: sockets of the
//! operating system, a clock, or what an application does with its events.
//!
//! Machines, each with a state and a clock of its own; none knows another:
//!
//! | file | what |
//! |---|---|
//! | `acks` | emits that await acks |
//! | `heartbeats` | pings and pongs |
//! | `deadlines` | what peers must have done by when |
//! | `queues`, `outbound`, `encoded`, `transmit` | what waits to be sent, and how it goes out |
//! | `streams` | WebSockets: their bytes and how they close |
//! | `requests` | HTTP requests of long polling and the form of their answers |
//! | `namespaces` | sockets, rooms, targets |
//! | `intake` | what the application has not dealt with |
//! | `unadmitted` | what peers pin that are not admitted yet |
//! | `recovery`, `remembered`, `packet_log`, `position` | sockets that may come back, and what they may have missed |
//! | `held_answers`, `../cluster` | answers that wait for the bus; the other nodes |
//!
//! The composition, each file using those above it:
//!
//! | file | what |
//! |---|---|
//! | [`config`], [`event`], `handles`, `target`, [`cluster_event`], [`fault`] | vocabulary: settings, inputs and outputs, faults and what peers are told |
//! | `counts` | what is counted, for tests and metrics |
//! | `delivery` | what goes out by which machine |
//! | `session` | Engine.IO sessions: open, upgrade, end |
//! | `restore` | sockets that come back; events that are kept for them |
//! | `socket` | Socket.IO: connect, events, acks, disconnect |
//! | `emit` | commands of the application |
//! | `cluster_link`, `publish`, `cluster` | what other nodes are told and say |
//! | `http`, `upgrade`, `inbound` | requests, handshakes, bytes and bodies that come in |
//! | [`app`] | a machine on top, run together with the server |

mod acks;
pub mod app;
mod cluster;
pub mod cluster_event;
mod cluster_link;
pub mod config;
mod connection_recovery;
mod cookie;
mod counts;
mod deadlines;
mod delivery;
mod emit;
mod encoded;
pub mod event;
pub mod fault;
mod handles;
mod handshake;
mod heartbeats;
mod held_answers;
mod http;
mod inbound;
mod intake;
mod namespaces;
mod outbound;
mod packet_bytes;
mod packet_log;
mod pattern;
#[cfg(feature = "test-hooks")]
mod planted;
mod poll_body;
mod position;
mod publish;
mod queues;
mod recovery;
mod remembered;
mod requests;
mod restore;
mod session;
mod shared_frame;
mod socket;
mod state;
mod streams;
mod sums;
mod target;
#[cfg(feature = "test-hooks")]
pub mod test_hooks;
mod timer_kind;
mod transmit;
mod transports;
mod unadmitted;
mod upgrade;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::acks::PendingAcks;
pub use self::app::{App, AppRequestId, Cx, ServerView, Stack, Work};
pub use self::cluster_event::{ClusterCommand, ClusterEvent, ClusterInput, FetchId, FetchedSocket, ReplyTo};
use self::cluster_link::ClusterLink;
pub use self::config::{ClusterConfig, Config, ConfigError, Endpoint, EndpointId};
use self::config::{Compression, EndpointKind, EngineIo, WebSocket};
pub use self::counts::{Audit, Counters};
use self::deadlines::Deadlines;
use self::encoded::Encoded;
pub use self::event::*;
pub use self::fault::PeerError;
use self::heartbeats::Heartbeats;
use self::intake::{Intake, IntakeLimits};
use self::namespaces::Namespaces;
use self::queues::OutboundQueues;
use self::recovery::Recovery;
use self::requests::Requests;
use self::shared_frame::{SharedEvent, SharedFrame};
use self::state::Session;
use self::streams::Streams;
pub use self::timer_kind::TimerKind;
pub use self::transmit::{After, Transmit};
use self::unadmitted::Unadmitted;
use crate::cluster::{Cluster, NodeId, Subscriptions};
use crate::id::SlabKey as _;
use crate::queue::shrink_after_burst;
use crate::rng::{KeyedMap, Rng};
use crate::rooms::OutboundIdx;
use crate::slab::Slab;
use crate::time::{Instant, WallTime};
use crate::websocket::{self, FrameLimits};

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
/// 1. Feed new input: [`handle_upgrade`](Self::handle_upgrade), [`handle_http_head`](Self::handle_http_head),
///    [`handle_input`](Self::handle_input), [`handle_timeout`](Self::handle_timeout).
/// 2. [`poll_output`](Self::poll_output) until `None`. Events come before answers and writes, so that what the
///    application does about them goes out in the same write. At [`Output::Writable`], call
///    [`poll_transmit`](Self::poll_transmit) and write, until it says `false` or the socket takes no more; then give
///    the rest to [`handle_refused`](Self::handle_refused), and poll transmits again when the socket is ready.
/// 3. Sleep until [`poll_timeout`](Self::poll_timeout) or until something comes. Every `handle_*` and `poll_*` may
///    change the timeout.
///
/// A stale handle is ignored and counted: a close that crosses a read on its way is normal.
///
/// ```
/// use roomcast_core::server::{Command, Config, Endpoint, Event, Input, Output, Server, Start, Transmit};
/// use roomcast_core::time::{Instant, WallTime};
///
/// /// What a driver does after everything that it feeds.
/// fn drain(server: &mut Server, transmit: &mut Transmit, now: Instant) {
///     while let Some(output) = server.poll_output() {
///         match output {
///             // The application: it answers by commands, and says when it has dealt with an event.
///             Output::Event(Event::Received { session, .. }) => {
///                 server.handle_input(Input::Command(Command::Handled { session }), now);
///             }
///             Output::Event(_) => {}
///             Output::Respond(_request, _response) => { /* answer the HTTP request */ }
///             Output::Writable(conn) => {
///                 while server.poll_transmit(conn, transmit) {
///                     // Write `transmit.slices(..)`; here the socket takes everything.
///                     transmit.advance(usize::MAX);
///                 }
///             }
///             Output::ReadPaused(_conn) | Output::ReadResumed(_conn) => { /* read the socket, or not */ }
///             Output::Close(_conn) => { /* close the socket */ }
///             Output::Publish(_) | Output::Subscribe(_) | Output::Unsubscribe(_) => { /* none without a cluster */ }
///         }
///     }
/// }
///
/// let now = Instant::from_millis(0);
/// let start = Start { node: 0, now, wall: WallTime::from_unix_millis(1_700_000_000_000), seed: [7; 32] };
/// let mut server = Server::new(Config::new([Endpoint::socket_io("/socket.io/")]), start)?;
/// let mut transmit = Transmit::new();
/// server.handle_timeout(now);
/// drain(&mut server, &mut transmit, now);
/// assert_eq!(server.poll_timeout(), None, "sleep until something comes");
/// # Ok::<(), roomcast_core::server::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Server {
    config: Config,
    frame_limits: Vec<FrameLimits>,
    node: u16,
    rng: Rng,
    now: Instant,
    wall: WallTime,
    running: NewPeers,

    sessions: Slab<SessionId, Session>,
    session_sids: KeyedMap<Sid, SessionId>,
    queues: OutboundQueues,
    streams: Streams,
    requests: Requests,
    namespaces: Namespaces,
    acks: PendingAcks,
    heartbeats: Heartbeats,
    deadlines: Deadlines,
    intake: Intake,
    unadmitted: Unadmitted,
    /// By endpoint; empty if none has it.
    recoveries: Vec<Option<Box<Recovery>>>,
    cluster: Option<Box<ClusterLink>>,

    outputs: VecDeque<Queued>,
    constant: Constants,
    shared_frame: SharedFrame,
    shared_event: SharedEvent,
    room_events: RoomEvents,
    counters: Counters,
    #[cfg(feature = "test-hooks")]
    test_hooks: test_hooks::TestHooks,
}

impl Server {
    /// A server of these endpoints.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the configuration, see [`Config::check`].
    pub fn new(config: Config, start: Start) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = Rng::from_seed(start.seed);
        let limits = &config.limits;
        let cluster = config.cluster.as_ref().map(|cluster| Box::new(link_to(cluster, &mut rng, start.now)));
        let watched =
            config.cluster.as_ref().filter(|cluster| cluster.settings.subscriptions != Subscriptions::Everything);
        Ok(Self {
            cluster,
            frame_limits: config.endpoints.iter().map(frame_limits).collect(),
            node: start.node,
            now: start.now,
            wall: start.wall,
            running: NewPeers::Yes,
            sessions: Slab::new(),
            session_sids: KeyedMap::with_hasher(rng.keyed_hash()),
            queues: OutboundQueues::new(limits.queue_soft_bytes, limits.queue_bytes_max),
            streams: Streams::new(config.endpoints.iter().map(compression).collect()),
            requests: Requests::new(&config.endpoints),
            namespaces: Namespaces::new(rng.fork(), watched.map(|cluster| cluster.endpoint)),
            acks: PendingAcks::new(limits.acks_per_socket_max),
            heartbeats: Heartbeats::new(config.endpoints.iter().map(rhythm), rng.fork()),
            deadlines: Deadlines::new(&config.endpoints, limits),
            intake: Intake::new(IntakeLimits {
                unanswered_max: limits.unanswered_max,
                unanswered_bytes_max: limits.unanswered_bytes_max,
                queue_soft_bytes: limits.queue_soft_bytes,
            }),
            unadmitted: Unadmitted::new(limits.unadmitted.pinned_bytes_max),
            recoveries: Recovery::of_endpoints(&config, &mut rng),
            outputs: VecDeque::new(),
            constant: Constants::new(),
            shared_frame: SharedFrame::default(),
            shared_event: SharedEvent::default(),
            room_events: RoomEvents::default(),
            counters: Counters::default(),
            #[cfg(feature = "test-hooks")]
            test_hooks: test_hooks::TestHooks::default(),
            config,
            rng,
        })
    }

    /// What the world has to say, except for requests.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.now = now;
        #[cfg(feature = "test-hooks")]
        let Some(input) = self.spoil_input(input) else { return };
        match input {
            Input::WsBytes { conn, bytes } => self.handle_ws_bytes(conn, bytes, now),
            Input::WsEnded { conn } => self.handle_ws_ended(conn, now),
            Input::HttpAborted { request } => self.handle_http_aborted(request, now),
            Input::WallClock(wall) => self.wall = wall,
            Input::Cluster(input) => self.handle_cluster(input, now),
            Input::Command(command) => self.handle_command(command, now),
        }
        self.finish(now);
    }

    /// Time has passed. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.handle_rests(now);
        self.heartbeats.handle_timeout(now);
        while let Some(due) = self.heartbeats.poll_due() {
            self.handle_heartbeat(due, now);
        }
        self.acks.handle_timeout(now);
        self.forward_acks();
        while let Some(socket) = self.namespaces.poll_overdue(now) {
            self.connecting_overdue(socket, now);
        }
        while let Some((kind, subject)) = self.deadlines.poll_missed(now) {
            self.handle_missed(kind, subject, now);
        }
        for recovery in self.recoveries.iter_mut().flatten() {
            recovery.handle_timeout(now);
        }
        if let Some(link) = self.cluster.as_deref_mut() {
            link.cluster.handle_timeout(now);
        }
        self.finish(now);
    }

    /// What is left to do at the end of everything that the world says.
    #[inline]
    fn finish(&mut self, now: Instant) {
        self.end_too_slow(now);
        if self.cluster.is_some() {
            self.settle_cluster(now);
        }
        self.fill_answers();
    }

    /// The next thing to do. `None`: sleep.
    #[inline]
    pub fn poll_output(&mut self) -> Option<Output> {
        while let Some(queued) = self.outputs.pop_front() {
            match queued {
                Queued::Output(Output::Event(event)) => {
                    if let Some(event) = self.pass(event) {
                        return Some(Output::Event(event));
                    }
                }
                Queued::Output(output) => {
                    #[cfg(feature = "test-hooks")]
                    let Some(output) = self.spoil_output(output) else { continue };
                    return Some(output);
                }
                Queued::Pong(conn, pong) => self.send_pong(conn, pong),
            }
        }
        shrink_after_burst(&mut self.outputs);
        self.poll_due()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        let is_ready = self.intake.ready_count() > 0 && self.outputs.is_empty();
        [
            is_ready.then_some((self.now, TimerKind::Intake)),
            self.heartbeats.poll_timeout(),
            self.acks.poll_timeout().map(|at| (at, TimerKind::Ack)),
            self.namespaces.poll_timeout().map(|at| (at, TimerKind::Connect)),
            self.deadlines.poll_timeout(),
            self.recovery_timeout().map(|at| (at, TimerKind::Recovery)),
            self.cluster.as_deref().and_then(ClusterLink::poll_timeout).map(|at| (at, TimerKind::Cluster)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
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

    /// Returns counts of live state, all of which are zero once every session has ended.
    pub fn audit(&self) -> Audit {
        let totals = self.namespaces.totals();
        Audit {
            sessions: self.sessions.len(),
            conns: self.streams.len(),
            requests: self.requests.len(),
            sockets: totals.sockets,
            namespaces: totals.namespaces,
            rooms: totals.rooms,
            session_sids: self.session_sids.len(),
            socket_sids: totals.sids,
            acks: self.acks.len(),
            timers: self.heartbeats.armed() + self.acks.armed() + self.deadlines.armed() + totals.armed,
            queued_bytes: self.queues.total_bytes() + self.streams.total_bytes(),
            unadmitted_bytes: self.unadmitted.total_bytes(),
            outputs: self.outputs.len() + self.queues.unpolled(),
            unread: self.intake.ready_count() + self.intake.held_count(),
            cluster: self.cluster.as_deref().map_or(0, ClusterLink::live),
            recovery: self.recoveries.iter().flatten().map(|recovery| recovery.live()).sum(),
            recovery_bytes: self.recoveries.iter().flatten().map(|recovery| recovery.bytes()).sum(),
        }
    }

    /// Totals since startup.
    pub fn counters(&self) -> Counters {
        let queued = self.queues.counts();
        Counters {
            packets_queued: queued.queued,
            volatile_dropped: queued.dropped,
            peer_faults: self.counters.peer_faults + self.requests.faults(),
            ..self.counters
        }
    }

    fn endpoint(&self, endpoint: EndpointId) -> Option<&Endpoint> {
        self.config.endpoints.get(endpoint.index())
    }

    fn event(&mut self, event: Event) {
        #[cfg(feature = "test-hooks")]
        let Some(event) = self.spoil_event(event) else { return };
        self.outputs.push_back(Queued::Output(Output::Event(event)));
    }

    fn output(&mut self, output: Option<Output>) {
        self.outputs.extend(output.map(Queued::Output));
    }

    /// An event on its way to the application, unless it is to be held back.
    #[inline]
    fn pass(&mut self, event: Event) -> Option<Event> {
        let session = match &event {
            Event::Received { session, .. } | Event::Message { session, .. } if self.is_held_up(*session) => *session,
            Event::Received { session, .. } | Event::Message { session, .. } if self.intake.holds(*session) => *session,
            Event::Disconnected { socket, .. } => match self.intake.holder_of(*socket) {
                Some(session) => session,
                None => return Some(event),
            },
            Event::Received { .. }
            | Event::Message { .. }
            | Event::Opened { .. }
            | Event::Closed { .. }
            | Event::Connecting(_)
            | Event::Connected(_)
            | Event::Acked { .. }
            | Event::AcksEnded { .. }
            | Event::RoomJoined { .. }
            | Event::RoomLeft { .. }
            | Event::Relieved { .. }
            | Event::Cluster(_) => return Some(event),
        };
        self.intake.hold(session, event);
        self.watch(session);
        None
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

/// What an HTTP request's head is answered with before its body is read.
#[derive(Debug)]
pub enum Head {
    /// Read the body (at most [`Server::body_bytes_max`]) and give it to [`Server::handle_http_body`].
    Continue(RequestId),
    /// Answer this; the body is of no interest.
    Refuse(Box<::http::Response<Bytes>>),
}

/// Whether new peers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewPeers {
    Yes,
    Ending,
}

/// What is to be polled, in order.
#[derive(Debug)]
enum Queued {
    Output(Output),
    /// The answer to a ping goes out behind what the application says to the messages before the ping.
    Pong(ConnId, Arc<Encoded>),
}

fn link_to(config: &ClusterConfig, rng: &mut Rng, now: Instant) -> ClusterLink {
    let node = config.node.clone().unwrap_or_else(|| {
        let mut bits = [0; 16];
        rng.fill(&mut bits);
        NodeId::from_random(bits)
    });
    ClusterLink::new(config.endpoint, Cluster::new(node, config.settings.clone(), now))
}

/// A session's queue has the number of its slot.
fn outbound_of(session: SessionId) -> OutboundIdx {
    OutboundIdx(session.index())
}

fn frame_limits(endpoint: &Endpoint) -> FrameLimits {
    match &endpoint.kind {
        EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => {
            FrameLimits { message_bytes_max: engine.max_payload_bytes, fragments_max: u32::MAX }
        }
        EndpointKind::WebSocket(ws) => {
            FrameLimits { message_bytes_max: ws.message_bytes_max, fragments_max: ws.fragments_max }
        }
    }
}

fn compression(endpoint: &Endpoint) -> Option<Compression> {
    match &endpoint.kind {
        EndpointKind::SocketIo(EngineIo { compression, .. }, _)
        | EndpointKind::EngineIo(EngineIo { compression, .. })
        | EndpointKind::WebSocket(WebSocket { compression, .. }) => *compression,
    }
}

/// Ping interval and timeout.
fn rhythm(endpoint: &Endpoint) -> (Duration, Duration) {
    match &endpoint.kind {
        EndpointKind::SocketIo(EngineIo { ping_interval, ping_timeout, .. }, _)
        | EndpointKind::EngineIo(EngineIo { ping_interval, ping_timeout, .. })
        | EndpointKind::WebSocket(WebSocket { ping_interval, ping_timeout, .. }) => (*ping_interval, *ping_timeout),
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
            ws_ping: Encoded::control(websocket::Opcode::Ping, &[]),
        }
    }
}
