//! What the server remembers of each session, connection, socket, request and namespace.
//!
//! Owns: the records and nothing they do. Must never know: a transition.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::config::EndpointId;
use super::event::{ConnId, EmitId, Handshake, RequestId, Scope, SessionId, Sid, SocketId};
use super::outbound::PriorityQueue;
use crate::engine_io::session::State;
use crate::rooms::Rooms;
use crate::socket_io::Packet;
use crate::timer::{FifoKey, TimerKey};
use crate::websocket::{Decoder, Role};

crate::slab_key! {
    /// A namespace that somebody is in.
    pub struct NamespaceId;
}

/// A peer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) endpoint: EndpointId,
    pub(super) kind: SessionKind,
    pub(super) state: State,
    pub(super) sid: Sid,
    /// Its own WebSocket.
    pub(super) conn: Option<ConnId>,
    /// A WebSocket that probes.
    pub(super) probe: Option<ConnId>,
    /// The GET that waits.
    pub(super) poll: Option<RequestId>,
    /// The POST whose body is awaited, or whose answer waits for the application.
    pub(super) post: Option<RequestId>,
    pub(super) polls_answered: u64,
    pub(super) heartbeat: Heartbeat,
    pub(super) connect_timer: Option<FifoKey>,
    pub(super) upgrade_timer: Option<FifoKey>,
    pub(super) close_timer: Option<FifoKey>,
    pub(super) sockets: Vec<(NamespaceId, SocketId)>,
    pub(super) partial: Option<Box<Partial>>,
    /// Events and messages that the application has not handled.
    pub(super) unanswered: u32,
    /// Whether its reading is paused.
    pub(super) paused: bool,
    /// Whether somebody waits for its queue to shrink.
    pub(super) relief_wanted: bool,
    /// Whether its pings have been given a phase of their own.
    pub(super) spread: bool,
    /// Whether the application has been told of its end.
    pub(super) gone: bool,
    pub(super) handshake: Arc<Handshake>,
}

/// What a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionKind {
    SocketIo,
    EngineIo,
    WebSocket,
}

/// The next beat.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heartbeat {
    Off,
    /// A ping is due then.
    Ping(FifoKey),
    /// A ping is due then, at a phase of its own.
    SpreadPing(TimerKey),
    /// A pong must come by then.
    Pong {
        key: FifoKey,
        /// How much the peer had taken when the ping went into the queue.
        progress: u64,
    },
}

/// A binary packet whose attachments are coming.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) packet: Packet,
    pub(super) attachments: Vec<Bytes>,
    pub(super) bytes: usize,
}

/// A WebSocket's byte stream.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) session: SessionId,
    pub(super) endpoint: EndpointId,
    pub(super) role: ConnRole,
    pub(super) decoder: Decoder,
    /// What goes out before the session's queue: a rest, control frames, and all that an ended session left.
    pub(super) priority: PriorityQueue,
    pub(super) announced: bool,
    pub(super) blocked: bool,
    /// Whether our half has been shut, or is about to be.
    pub(super) half_closed: bool,
    /// Grows whenever the socket takes bytes.
    pub(super) progress: u64,
    pub(super) close_timer: Option<FifoKey>,
}

impl Conn {
    pub(super) fn new(endpoint: EndpointId, session: SessionId, role: ConnRole) -> Self {
        Self {
            session,
            endpoint,
            role,
            decoder: Decoder::new(Role::Server),
            priority: PriorityQueue::default(),
            announced: false,
            blocked: false,
            half_closed: false,
            progress: 0,
            close_timer: None,
        }
    }
}

/// What a WebSocket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnRole {
    /// It is its session's transport.
    Own,
    /// It probes for its session.
    Probe,
    /// Our close frame is in its queue: what comes is discarded until the peer's close frame.
    Closing,
    /// It broke the rules of RFC 6455. Our close frame is in its queue, behind which our half is shut; what comes is
    /// discarded until the peer ends the stream.
    Failed,
    /// Both close frames are there, ours perhaps still queued: nothing more is read.
    Closed,
}

/// A presence in a namespace.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) session: SessionId,
    pub(super) namespace: NamespaceId,
    pub(super) sid: Sid,
    pub(super) stage: Stage,
    /// Packet ids of the emits it still has to acknowledge.
    pub(super) acks: Vec<u64>,
}

/// How far a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The application has been asked, and must answer by then.
    Connecting(TimerKey),
    Connected,
}

/// A namespace that somebody is in.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) scope: Scope,
    pub(super) rooms: Rooms<SocketId>,
    /// Sockets, connecting ones too; with the last one it goes.
    pub(super) sockets: usize,
}

/// An HTTP request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) endpoint: EndpointId,
    pub(super) kind: RequestKind,
    /// The browser's origin, if one asks.
    pub(super) origin: Option<HeaderValue>,
}

#[derive(Debug)]
pub(super) enum RequestKind {
    /// Opens a session.
    Open(Arc<Handshake>),
    Poll(SessionId),
    /// A POST whose body is awaited.
    Post(SessionId),
    /// A POST whose packets are taken; its answer may wait for the application.
    TakenPost(SessionId),
}

/// An emit whose acks are awaited.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) emit: EmitId,
    pub(super) timer: TimerKey,
    /// Who was asked, sorted, and whether the answer is still to come.
    pub(super) asked: Vec<(SocketId, AckState)>,
    pub(super) waiting: u32,
    pub(super) answered: u32,
}

/// Whether a socket has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckState {
    Awaited,
    Over,
}

/// Whom a deadline of a closing transport is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Closing {
    Conn(ConnId),
    Session(SessionId),
}
