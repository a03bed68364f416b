//! What the server remembers of each session.
//!
//! Owns: the record and nothing it does. Must never know: a transition.

use std::sync::Arc;

use bytes::Bytes;

use super::config::EndpointId;
use super::deadlines::DeadlineKey;
use super::event::{ConnId, Handshake, Sid};
use crate::engine_io::session::State;
use crate::socket_io::{PackedPacketCheck, Packet, PacketCheck};

/// The state of one session: its endpoint, its handshake and its transports.
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
    pub(super) connect_deadline: Option<DeadlineKey>,
    pub(super) upgrade_deadline: Option<DeadlineKey>,
    pub(super) close_deadline: Option<DeadlineKey>,
    pub(super) partial: Option<Box<PartialPacket>>,
    /// A long packet that is being checked. What came behind it waits.
    pub(super) check: Option<Box<LongPacket>>,
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

/// A packet that takes a while to check.
#[derive(Debug)]
pub(super) enum LongPacket {
    Text(PacketCheck),
    Packed(PackedPacketCheck),
}

/// A binary packet whose attachments are coming.
#[derive(Debug)]
pub(super) struct PartialPacket {
    pub(super) packet: Packet,
    pub(super) attachments: Vec<Bytes>,
    pub(super) bytes: usize,
    pub(super) deadline: Option<DeadlineKey>,
}
