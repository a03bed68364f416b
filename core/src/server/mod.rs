//! The composition root: [`Server`].

pub mod app;
pub mod config;
pub mod event;
pub mod fault;

use bytes::Bytes;
use std::io::IoSlice;

pub use self::app::{App, Cx, Stack};
pub use self::config::{Config, ConfigError, Endpoint, EndpointId};
pub use self::event::*;
pub use self::fault::PeerError;
use crate::time::{Instant, WallTime};

/// What a server is started with: all that is not deterministic about it.
#[derive(Clone, Debug)]
pub struct Start {
    /// The number of this node among those that share clients: session ids begin with it.
    pub node: u8,
    /// Monotonic time.
    pub now: Instant,
    /// Calendar time.
    pub wall: WallTime,
    /// 32 bytes from the operating system's generator: session ids come from it.
    pub seed: [u8; 32],
}

/// Why a deadline was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerKind {
    /// Output is queued: drain it now.
    Drain,
    /// A ping is due.
    Ping,
    /// The application's.
    App,
}

/// What an HTTP request's head is answered with before its body is read.
#[derive(Debug)]
pub enum Head {
    /// Read the body (at most [`Server::body_bytes_max`]) and give it to [`Server::handle_http_body`].
    Continue(RequestId),
    /// Answer this; the body is of no interest.
    Refuse(Box<http::Response<Bytes>>),
}

/// The server.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// A server.
    pub fn new(config: Config, start: Start) -> Result<Self, ConfigError> {
        config.check()?;
        let _ = start;
        Ok(Self {})
    }
    /// The endpoint that serves `path`, if any.
    pub fn route(&self, path: &str) -> Option<EndpointId> {
        let _ = path;
        None
    }
    /// Largest body of an HTTP request to an endpoint, in bytes.
    pub fn body_bytes_max(&self, endpoint: EndpointId) -> usize {
        let _ = endpoint;
        0
    }
    /// The head of a request that does not ask for a WebSocket. The uri and headers are kept if it opens a session.
    pub fn handle_http_head(&mut self, endpoint: EndpointId, request: http::Request<()>, now: Instant) -> Head {
        let _ = (endpoint, request, now);
        unreachable!()
    }
    /// Its body. The answer is an [`Output::Respond`], perhaps much later.
    pub fn handle_http_body(&mut self, request: RequestId, body: Bytes, now: Instant) {
        let _ = (request, body, now);
    }
    /// A request that asks for a WebSocket.
    pub fn handle_upgrade(&mut self, endpoint: EndpointId, request: &http::Request<()>, now: Instant) -> Upgrade {
        let _ = (endpoint, request, now);
        unreachable!()
    }
    /// Everything else.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let _ = (input, now);
    }
    /// The socket has taken a part of a transmit and refuses the rest for now.
    pub fn handle_refused(&mut self, conn: ConnId, rest: &mut Transmit, now: Instant) {
        let _ = (conn, rest, now);
    }
    /// Time has passed. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }
    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
    /// Some frames for one write. `false`: nothing to send.
    pub fn poll_transmit(&mut self, conn: ConnId, transmit: &mut Transmit) -> bool {
        let _ = (conn, transmit);
        false
    }
    /// When to call `handle_timeout`, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        None
    }
    /// Whether a session's queue is over the soft limit: who emits to it alone should wait for [`Event::Relieved`].
    pub fn is_congested(&mut self, session: SessionId) -> bool {
        let _ = session;
        false
    }
    /// A socket's sid.
    pub fn sid(&self, socket: SocketId) -> Option<Sid> {
        let _ = socket;
        None
    }
    /// The socket of a sid.
    pub fn socket(&self, scope: &Scope, sid: &str) -> Option<SocketId> {
        let _ = (scope, sid);
        None
    }
    /// A socket's session.
    pub fn session(&self, socket: SocketId) -> Option<SessionId> {
        let _ = socket;
        None
    }
    /// The rooms a socket is in, by joining.
    pub fn rooms(&self, socket: SocketId) -> impl Iterator<Item = &str> {
        let _ = socket;
        std::iter::empty()
    }
    /// The sockets in a room.
    pub fn members(&self, scope: &Scope, room: &str) -> impl Iterator<Item = SocketId> {
        let _ = (scope, room);
        std::iter::empty()
    }
    /// What must be all zeros once everybody has left.
    pub fn audit(&self) -> Audit {
        Audit::default()
    }
}

/// What must be all zeros once everybody has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Sessions.
    pub sessions: usize,
}

/// Frames for one write. The driver keeps one and uses it for all connections.
#[derive(Debug, Default)]
pub struct Transmit {}

impl Transmit {
    /// Empty; allocates nothing.
    pub const fn new() -> Self {
        Self {}
    }
    /// Fills `slices` from the front with what is to be written; how many. Large and few: 16 are plenty.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let _ = slices;
        0
    }
    /// If all of it is one piece (the common case): that piece.
    pub fn single(&self) -> Option<&[u8]> {
        None
    }
    /// The socket took this many bytes.
    pub fn advance(&mut self, written: usize) {
        let _ = written;
    }
    /// Whether all was taken.
    pub fn is_empty(&self) -> bool {
        true
    }
    /// What to do once all is written.
    pub fn after(&self) -> After {
        After::Keep
    }
}

/// What follows a transmit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// Go on.
    #[default]
    Keep,
    /// Close the stream: the close handshake is done. The [`ConnId`] is free.
    Close,
}
