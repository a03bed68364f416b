//! Socket.IO: who comes into a namespace, events and acks both ways, and leaving.
//!
//! Owns: packets' meaning for sockets. Must never know: transports.
//!
//! Socket.IO protocol revision 5, sections "Connection to a namespace", "Sending and receiving data" and
//! "Disconnection from a namespace".

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::config::{Admission, EndpointKind};
use super::encoded::Encoded;
use super::event::{AckEnd, AckId, Connect, Event, Extent, Reason, Scope, SessionId, Sid, SocketId};
use super::fault::PeerError;
use super::state::{AckState, Namespace, NamespaceId, Partial, Socket, Stage};
use super::{Server, Target};
use crate::engine_io::session::SessionEvent;
use crate::rooms::Rooms;
use crate::socket_io::{self, Args, Packet, PacketType};
use crate::time::Instant;

impl Server {
    /// A text message of a Socket.IO session.
    pub(super) fn handle_socket_text(
        &mut self,
        session: SessionId,
        text: ByteString,
        now: Instant,
    ) -> Result<(), PeerError> {
        let limits = self.socket_limits();
        let Some(record) = self.sessions.get_mut(session) else { return Ok(()) };
        if record.partial.is_some() {
            return Err(PeerError::BadSocketPacket);
        }
        let bytes = text.len();
        let packet = Packet::decode(text, &limits).map_err(|_| PeerError::BadSocketPacket)?;
        if packet.attachments == 0 {
            return self.handle_socket_packet(session, packet, Vec::new(), now);
        }
        record.partial = Some(Box::new(Partial { packet, attachments: Vec::new(), bytes }));
        Ok(())
    }

    /// A binary message of a Socket.IO session: the next attachment of the packet that announced it.
    pub(super) fn handle_attachment(
        &mut self,
        session: SessionId,
        bytes: Bytes,
        now: Instant,
    ) -> Result<(), PeerError> {
        let packet_bytes_max = self.config.limits.packet_bytes_max;
        let Some(record) = self.sessions.get_mut(session) else { return Ok(()) };
        let partial = record.partial.as_mut().ok_or(PeerError::BadSocketPacket)?;
        partial.bytes += bytes.len();
        if partial.bytes > packet_bytes_max {
            return Err(PeerError::PayloadTooLarge);
        }
        partial.attachments.push(bytes);
        if partial.attachments.len() < partial.packet.attachments as usize {
            return Ok(());
        }
        match record.partial.take() {
            Some(whole) => self.handle_socket_packet(session, whole.packet, whole.attachments, now),
            None => Ok(()),
        }
    }

    fn handle_socket_packet(
        &mut self,
        session: SessionId,
        packet: Packet,
        attachments: Vec<Bytes>,
        now: Instant,
    ) -> Result<(), PeerError> {
        match packet.kind {
            PacketType::Connect => self.handle_connect(session, packet, now),
            PacketType::ConnectError => return Err(PeerError::BadSocketPacket),
            PacketType::Disconnect => {
                if let Some(socket) = self.socket_in(session, &packet.namespace) {
                    self.detach(session, socket);
                    self.end_socket(socket, Reason::ClientDisconnect);
                }
            }
            PacketType::Event | PacketType::BinaryEvent => {
                let (name, json) = socket_io::split_event(&packet.data).map_err(|_| PeerError::BadSocketPacket)?;
                // A packet for a namespace that the server has just ended crosses our DISCONNECT: no fault.
                if let Some(socket) = self.connected_in(session, &packet.namespace) {
                    let args = Args::from_checked(json, attachments);
                    if let Some(record) = self.sessions.get_mut(session) {
                        record.unanswered += 1;
                    }
                    self.event(Event::Received { session, socket, name, args, ack: packet.ack_id.map(AckId) });
                }
            }
            PacketType::Ack | PacketType::BinaryAck => {
                let json = socket_io::ack_args(&packet.data).map_err(|_| PeerError::BadSocketPacket)?;
                if let (Some(socket), Some(id)) = (self.connected_in(session, &packet.namespace), packet.ack_id) {
                    self.handle_ack(socket, id, Args::from_checked(json, attachments));
                }
            }
        }
        Ok(())
    }

    fn handle_connect(&mut self, session: SessionId, packet: Packet, now: Instant) {
        let Some(record) = self.sessions.get(session) else { return };
        let endpoint = record.endpoint;
        if self.socket_in(session, &packet.namespace).is_some() {
            // Twice: the first stands.
            return;
        }
        let admission = match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(_, settings)) => settings
                .namespaces
                .iter()
                .find(|rule| rule.pattern.matches(&packet.namespace))
                .map_or(Admission::Closed, |rule| rule.admission),
            Some(EndpointKind::EngineIo(_) | EndpointKind::WebSocket(_)) | None => Admission::Closed,
        };
        if admission == Admission::Closed {
            return self.send_connect_error(session, &packet.namespace, INVALID_NAMESPACE, now);
        }
        if record.sockets.len() >= self.config.limits.namespaces_per_session_max {
            return self.send_connect_error(session, &packet.namespace, TOO_MANY_NAMESPACES, now);
        }
        let connect = self.open_socket(session, packet, now);
        match admission {
            Admission::Open => self.let_in(connect, now),
            Admission::Ask | Admission::Closed => self.event(Event::Connecting(Box::new(connect))),
        }
    }

    /// A socket that is not connected yet.
    fn open_socket(&mut self, session: SessionId, packet: Packet, now: Instant) -> Connect {
        let sid = self.new_sid();
        let (endpoint, request) = match self.sessions.get(session) {
            Some(record) => (record.endpoint, Arc::clone(&record.handshake)),
            None => unreachable!("invariant: the packet is of a live session"),
        };
        let scope = Scope { endpoint, namespace: packet.namespace.clone() };
        let namespace = self.namespace_for(scope);
        let limit = match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(_, settings)) => settings.connect_timeout,
            Some(EndpointKind::EngineIo(_) | EndpointKind::WebSocket(_)) | None => std::time::Duration::ZERO,
        };
        let Self { sockets, connectings, .. } = self;
        let socket = sockets.insert_with(|own| Socket {
            session,
            namespace,
            sid,
            stage: Stage::Connecting(connectings.arm(now + limit, own)),
            acks: Vec::new(),
        });
        self.socket_sids.insert(sid, socket);
        if let Some(record) = self.sessions.get_mut(session) {
            record.sockets.push((namespace, socket));
        }
        Connect { socket, session, sid, endpoint, namespace: packet.namespace, auth: packet.data, request }
    }

    fn namespace_for(&mut self, scope: Scope) -> NamespaceId {
        let known = self.namespace_names.get(&scope).copied();
        let namespace = known.unwrap_or_else(|| {
            let rooms = Rooms::new(self.rng.keyed_hash());
            let namespace = self.namespaces.insert(Namespace { scope: scope.clone(), rooms, sockets: 0 });
            self.namespace_names.insert(scope, namespace);
            namespace
        });
        if let Some(entry) = self.namespaces.get_mut(namespace) {
            entry.sockets += 1;
        }
        namespace
    }

    /// The application lets a socket in.
    pub(super) fn accept(&mut self, socket: SocketId, now: Instant) {
        let Some(record) = self.sockets.get(socket) else { return self.stale() };
        if record.stage == Stage::Connected {
            return;
        }
        let (session, sid, namespace) = (record.session, record.sid, record.namespace);
        let (Some(peer), Some(namespace)) = (self.sessions.get(session), self.namespaces.get(namespace)) else {
            return;
        };
        let connect = Connect {
            socket,
            session,
            sid,
            endpoint: peer.endpoint,
            namespace: namespace.scope.namespace.clone(),
            auth: ByteString::new(),
            request: Arc::clone(&peer.handshake),
        };
        self.let_in(connect, now);
    }

    fn let_in(&mut self, connect: Connect, now: Instant) {
        let Some(record) = self.sockets.get_mut(connect.socket) else { return };
        if let Stage::Connecting(key) = std::mem::replace(&mut record.stage, Stage::Connected) {
            self.connectings.cancel(key);
        }
        if let Some(namespace) = self.namespaces.get_mut(record.namespace) {
            namespace.rooms.enter(connect.socket, u32::try_from(connect.session.slot()).unwrap_or(u32::MAX));
        }
        self.cancel_connect(connect.session);
        self.counters.sockets_connected += 1;
        let sid = connect.sid;
        self.send_packet(connect.session, 32, |out| {
            socket_io::encode_header(out, PacketType::Connect, 0, &connect.namespace, None);
            out.extend_from_slice(br#"{"sid":""#);
            out.extend_from_slice(sid.as_str().as_bytes());
            out.extend_from_slice(br#""}"#);
        });
        self.end_too_slow(now);
        self.event(Event::Connected(Box::new(connect)));
    }

    /// The application refuses a socket, which is gone then.
    pub(super) fn refuse(&mut self, socket: SocketId, data: &str, now: Instant) {
        let Some(record) = self.sockets.get(socket) else { return self.stale() };
        if record.stage == Stage::Connected {
            return;
        }
        let (session, namespace) = (record.session, record.namespace);
        let Some(name) = self.namespaces.get(namespace).map(|entry| entry.scope.namespace.clone()) else { return };
        self.detach(session, socket);
        self.free_socket(socket);
        self.send_connect_error(session, &name, data, now);
    }

    /// The application was asked and did not answer.
    pub(super) fn connecting_overdue(&mut self, socket: SocketId, now: Instant) {
        let Some(record) = self.sockets.get(socket) else { return };
        let (session, namespace) = (record.session, record.namespace);
        let Some(name) = self.namespaces.get(namespace).map(|entry| entry.scope.namespace.clone()) else { return };
        self.detach(session, socket);
        self.end_socket(socket, Reason::ConnectTimeout);
        self.send_connect_error(session, &name, CONNECT_TIMEOUT, now);
    }

    /// Ends a socket that is detached from its session: it leaves its rooms, its acks are given up, and the
    /// application is told.
    pub(super) fn end_socket(&mut self, socket: SocketId, reason: Reason) {
        if self.free_socket(socket) {
            self.event(Event::Disconnected { socket, reason });
        }
    }

    fn free_socket(&mut self, socket: SocketId) -> bool {
        let Some(record) = self.sockets.remove(socket) else { return false };
        self.socket_sids.remove(&record.sid);
        match record.stage {
            Stage::Connecting(key) => {
                self.connectings.cancel(key);
            }
            Stage::Connected => {
                if let Some(namespace) = self.namespaces.get_mut(record.namespace) {
                    namespace.rooms.exit(socket);
                }
            }
        }
        for packet_id in record.acks {
            self.give_up_ack(packet_id, socket);
        }
        if let Some(namespace) = self.namespaces.get_mut(record.namespace) {
            namespace.sockets -= 1;
            if namespace.sockets == 0
                && let Some(gone) = self.namespaces.remove(record.namespace)
            {
                self.namespace_names.remove(&gone.scope);
            }
        }
        true
    }

    fn detach(&mut self, session: SessionId, socket: SocketId) {
        if let Some(record) = self.sessions.get_mut(session) {
            record.sockets.retain(|(_, other)| *other != socket);
        }
    }

    /// The application disconnects somebody.
    pub(super) fn disconnect(&mut self, target: &Target, extent: Extent, now: Instant) {
        for socket in self.select(target) {
            let Some(record) = self.sockets.get(socket) else { continue };
            let session = record.session;
            match extent {
                Extent::Namespace => {
                    self.send_disconnect(session, socket);
                    self.detach(session, socket);
                    self.end_socket(socket, Reason::ServerDisconnect);
                }
                Extent::Connection => {
                    let sockets = self.sessions.get(session).map(|record| record.sockets.clone()).unwrap_or_default();
                    for (_, socket) in sockets {
                        self.send_disconnect(session, socket);
                    }
                    self.advance(session, SessionEvent::CloseCommand, Reason::ForcedClose, now);
                }
            }
        }
        self.end_too_slow(now);
    }

    fn send_disconnect(&mut self, session: SessionId, socket: SocketId) {
        let Some(record) = self.sockets.get(socket) else { return };
        let Some(name) = self.namespaces.get(record.namespace).map(|entry| entry.scope.namespace.clone()) else {
            return;
        };
        self.send_packet(session, 8 + name.len(), |out| {
            socket_io::encode_header(out, PacketType::Disconnect, 0, &name, None);
        });
    }

    fn send_connect_error(&mut self, session: SessionId, namespace: &str, data: &str, now: Instant) {
        self.send_packet(session, 8 + namespace.len() + data.len(), |out| {
            socket_io::encode_header(out, PacketType::ConnectError, 0, namespace, None);
            out.extend_from_slice(data.as_bytes());
        });
        self.end_too_slow(now);
    }

    /// An Engine.IO message packet to one session.
    fn send_packet(&mut self, session: SessionId, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let packet = Encoded::packet(
            capacity + 1,
            |out| {
                out.push(b'4');
                write(out);
            },
            &[],
        );
        self.send_encoded(session, &packet);
    }

    /// Answers a client's event.
    pub(super) fn send_ack(&mut self, socket: SocketId, ack: AckId, args: &Args, now: Instant) {
        let Some(record) = self.sockets.get(socket) else { return self.stale() };
        let session = record.session;
        let Some(namespace) = self.namespaces.get(record.namespace) else { return };
        let name = &namespace.scope.namespace;
        let packet = Encoded::packet(
            1 + socket_io::HEADER_BYTES_MAX + name.len() + args.json().len(),
            |out| {
                out.push(b'4');
                socket_io::encode_ack(out, name, ack.0, args);
            },
            args.attachments(),
        );
        self.send_encoded(session, &packet);
        self.end_too_slow(now);
    }

    /// A client answers an emit; an id that nobody waits for is nothing.
    fn handle_ack(&mut self, socket: SocketId, packet_id: u64, args: Args) {
        let Some(pending) = self.pending.get_mut(&packet_id) else { return };
        let Ok(index) = pending.asked.binary_search_by_key(&socket, |(asked, _)| *asked) else { return };
        let Some((_, answer)) = pending.asked.get_mut(index) else { return };
        if std::mem::replace(answer, AckState::Over) == AckState::Over {
            return;
        }
        pending.waiting -= 1;
        pending.answered += 1;
        let (emit, complete) = (pending.emit, pending.waiting == 0);
        self.event(Event::Acked { emit, socket, args });
        if let Some(record) = self.sockets.get_mut(socket) {
            record.acks.retain(|other| *other != packet_id);
        }
        if complete {
            self.end_pending(packet_id, AckEnd::Complete);
        }
    }

    /// A socket will not answer any more.
    pub(super) fn give_up_ack(&mut self, packet_id: u64, socket: SocketId) {
        let Some(pending) = self.pending.get_mut(&packet_id) else { return };
        let Ok(index) = pending.asked.binary_search_by_key(&socket, |(asked, _)| *asked) else { return };
        let Some((_, answer)) = pending.asked.get_mut(index) else { return };
        if std::mem::replace(answer, AckState::Over) == AckState::Over {
            return;
        }
        pending.waiting -= 1;
        if pending.waiting == 0 {
            self.end_pending(packet_id, AckEnd::Gone);
        }
    }

    /// No more acks for an emit.
    pub(super) fn end_pending(&mut self, packet_id: u64, end: AckEnd) {
        let Some(pending) = self.pending.remove(&packet_id) else { return };
        self.ack_deadlines.cancel(pending.timer);
        for (socket, answer) in &pending.asked {
            if *answer == AckState::Awaited
                && let Some(record) = self.sockets.get_mut(*socket)
            {
                record.acks.retain(|other| *other != packet_id);
            }
        }
        let asked = u32::try_from(pending.asked.len()).unwrap_or(u32::MAX);
        self.event(Event::AcksEnded { emit: pending.emit, asked, answered: pending.answered, end });
    }

    /// The time in which a namespace must be joined begins.
    pub(super) fn arm_connect(&mut self, session: SessionId, now: Instant) {
        let Some(endpoint) = self.sessions.get(session).map(|record| record.endpoint) else { return };
        let Some(EndpointKind::SocketIo(_, settings)) = self.endpoint(endpoint).map(|endpoint| &endpoint.kind) else {
            return;
        };
        let deadline = now + settings.connect_timeout;
        let key = self.timers(endpoint).map(|timers| timers.connect.arm(deadline, session));
        if let Some(record) = self.sessions.get_mut(session) {
            record.connect_timer = key;
        }
    }

    pub(super) fn cancel_connect(&mut self, session: SessionId) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        let (endpoint, key) = (record.endpoint, record.connect_timer.take());
        if let (Some(key), Some(timers)) = (key, self.timers(endpoint)) {
            timers.connect.cancel(key);
        }
    }

    /// A socket's sid.
    pub fn sid(&self, socket: SocketId) -> Option<Sid> {
        self.sockets.get(socket).map(|record| record.sid)
    }

    /// A socket's session.
    pub fn session(&self, socket: SocketId) -> Option<SessionId> {
        self.sockets.get(socket).map(|record| record.session)
    }

    /// A socket's namespace.
    pub fn scope(&self, socket: SocketId) -> Option<&Scope> {
        let namespace = self.sockets.get(socket)?.namespace;
        self.namespaces.get(namespace).map(|entry| &entry.scope)
    }

    /// The connected socket of a sid in a namespace.
    pub fn socket(&self, scope: &Scope, sid: &str) -> Option<SocketId> {
        let socket = *self.socket_sids.get(&Sid::parse(sid)?)?;
        let record = self.sockets.get(socket)?;
        let here = self.namespaces.get(record.namespace).is_some_and(|entry| entry.scope == *scope);
        (here && record.stage == Stage::Connected).then_some(socket)
    }

    fn socket_in(&self, session: SessionId, namespace: &str) -> Option<SocketId> {
        let sockets = &self.sessions.get(session)?.sockets;
        let is_named =
            |id: &NamespaceId| self.namespaces.get(*id).is_some_and(|entry| &*entry.scope.namespace == namespace);
        sockets.iter().find(|(id, _)| is_named(id)).map(|(_, socket)| *socket)
    }

    fn connected_in(&self, session: SessionId, namespace: &str) -> Option<SocketId> {
        let socket = self.socket_in(session, namespace)?;
        let connected = self.sockets.get(socket).is_some_and(|record| record.stage == Stage::Connected);
        connected.then_some(socket)
    }

    fn socket_limits(&self) -> socket_io::PacketLimits {
        let limits = &self.config.limits;
        socket_io::PacketLimits {
            attachments_max: limits.attachments_max,
            json_depth_max: limits.json_depth_max,
            namespace_bytes_max: limits.namespace_bytes_max,
            ..socket_io::PacketLimits::default()
        }
    }
}

const INVALID_NAMESPACE: &str = r#"{"message":"Invalid namespace"}"#;
const TOO_MANY_NAMESPACES: &str = r#"{"message":"Too many namespaces"}"#;
const CONNECT_TIMEOUT: &str = r#"{"message":"Connect timeout"}"#;
