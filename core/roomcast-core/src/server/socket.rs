//! Socket.IO: admission to namespaces, events and acks in both directions, and disconnection.
//!
//! Owns: packets' meaning for sockets. Must never know: transports.
//!
//! Socket.IO protocol revision 5, sections "Connection to a namespace", "Sending and receiving data" and
//! "Disconnection from a namespace".

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::Server;
use super::config::{Admission, AdmittedBy, EndpointKind};
use super::deadlines::{DeadlineKind, DeadlineSubject};
use super::encoded::Encoded;
use super::event::{AckId, Connect, Event, Reason, Scope, SessionId, Sid, SocketId, Target};
use super::fault::PeerError;
use super::held_answers::HeldAnswer;
use super::namespaces::SocketStage;
use super::state::{LongPacket, PartialPacket};
use crate::socket_io::{
    self, Args, OutgoingPacket, PackedPacketCheck, Packet, PacketCheck, PacketForm, PacketType, Parser,
};
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
        match self.config.parser(record.endpoint) {
            Parser::Json => {}
            Parser::Other(parser) if parser.form() == PacketForm::Text => {
                let decoded = socket_io::decode_by(&**parser, text.into_bytes(), &limits);
                let (packet, attachments) = decoded.map_err(|_| PeerError::BadSocketPacket)?;
                return self.handle_socket_packet(session, packet, attachments, now);
            }
            Parser::Other(_) | Parser::MessagePack => return Err(PeerError::BadSocketPacket),
        }
        if record.partial.is_some() {
            return Err(PeerError::BadSocketPacket);
        }
        let bytes = text.len();
        if bytes > CHECK_SLICE_BYTES {
            let check = PacketCheck::begin(text, &limits).map_err(|_| PeerError::BadSocketPacket)?;
            record.check = Some(Box::new(LongPacket::Text(check)));
            return Ok(());
        }
        let packet = Packet::decode(text, &limits).map_err(|_| PeerError::BadSocketPacket)?;
        self.take_packet(session, packet, bytes, now)
    }

    /// Whether a long packet of a session is being checked, so that what came behind it has to wait.
    pub(super) fn is_checking(&self, session: SessionId) -> bool {
        self.sessions.get(session).is_some_and(|record| record.check.is_some())
    }

    /// Goes on with the check of a session's long packet, if there is one. `false`: that has ended the session.
    pub(super) fn check_on(&mut self, session: SessionId, now: Instant) -> bool {
        let Some(record) = self.sessions.get_mut(session) else { return false };
        let Some(mut check) = record.check.take() else { return true };
        let step = match &mut *check {
            LongPacket::Text(check) => check.step(CHECK_SLICE_BYTES).map(|packet| packet.map(|packet| (packet, None))),
            LongPacket::Packed(check) => check
                .step(CHECK_SLICE_BYTES)
                .map(|whole| whole.map(|(packet, attachments)| (packet, Some(attachments)))),
        };
        let taken = match step {
            // The application has been told that the session ended.
            _ if record.gone => Ok(()),
            Ok(None) => {
                record.check = Some(check);
                return true;
            }
            Ok(Some((packet, Some(attachments)))) => self.handle_socket_packet(session, packet, attachments, now),
            Ok(Some((packet, None))) => {
                let bytes = match &*check {
                    LongPacket::Text(check) => check.len(),
                    LongPacket::Packed(check) => check.len(),
                };
                self.take_packet(session, packet, bytes, now)
            }
            Err(_) => Err(PeerError::BadSocketPacket),
        };
        let goes_on = taken.is_ok();
        if let Err(fault) = taken {
            self.fault(session, fault, now);
        }
        let conn = self.sessions.get(session).and_then(|record| record.conn);
        if let Some(conn) = conn.filter(|conn| self.streams.has_ended(*conn)) {
            self.handle_ws_ended(conn, now);
        }
        goes_on && self.sessions.contains(session)
    }

    fn take_packet(&mut self, session: SessionId, packet: Packet, bytes: usize, now: Instant) -> Result<(), PeerError> {
        let Some(record) = self.sessions.get_mut(session) else { return Ok(()) };
        if packet.attachments == 0 {
            return self.handle_socket_packet(session, packet, Vec::new(), now);
        }
        let deadline =
            self.deadlines.arm(DeadlineKind::Partial, record.endpoint, DeadlineSubject::Session(session), now);
        record.partial = Some(Box::new(PartialPacket { packet, attachments: Vec::new(), bytes, deadline }));
        Ok(())
    }

    /// A binary message of a Socket.IO session: a packet, or the next attachment of the packet that announced it.
    pub(super) fn handle_socket_binary(
        &mut self,
        session: SessionId,
        bytes: Bytes,
        now: Instant,
    ) -> Result<(), PeerError> {
        let limits = self.socket_limits();
        let Some(record) = self.sessions.get_mut(session) else { return Ok(()) };
        let decoded = match self.config.parser(record.endpoint) {
            Parser::Json => return self.handle_attachment(session, bytes, now),
            Parser::MessagePack => {
                let mut check = PackedPacketCheck::begin(bytes, &limits).map_err(|_| PeerError::BadSocketPacket)?;
                match check.step(CHECK_SLICE_BYTES) {
                    Ok(None) => {
                        record.check = Some(Box::new(LongPacket::Packed(check)));
                        return Ok(());
                    }
                    Ok(Some(whole)) => Ok(whole),
                    Err(error) => Err(error),
                }
            }
            Parser::Other(parser) if parser.form() == PacketForm::Binary => {
                socket_io::decode_by(&**parser, bytes, &limits)
            }
            Parser::Other(_) => return Err(PeerError::BadSocketPacket),
        };
        let (packet, attachments) = decoded.map_err(|_| PeerError::BadSocketPacket)?;
        self.handle_socket_packet(session, packet, attachments, now)
    }

    /// The next attachment of the packet that announced it.
    fn handle_attachment(&mut self, session: SessionId, bytes: Bytes, now: Instant) -> Result<(), PeerError> {
        let packet_bytes_max = self.message_bytes_max(session, self.config.limits.packet_bytes_max);
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
            Some(whole) => {
                self.deadlines.cancel(whole.deadline);
                self.handle_socket_packet(session, whole.packet, whole.attachments, now)
            }
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
            PacketType::Connect => self.handle_connect(session, packet.namespace, packet.data, now),
            PacketType::ConnectError => return Err(PeerError::BadSocketPacket),
            PacketType::Disconnect => {
                if let Some(socket) = self.namespaces.socket_of(session, &packet.namespace) {
                    self.end_socket(socket, Reason::ClientDisconnect);
                }
            }
            PacketType::Event | PacketType::BinaryEvent => {
                let (name, json) = socket_io::split_event(&packet.data).map_err(|_| PeerError::BadSocketPacket)?;
                if socket_io::is_reserved_event(&name) {
                    return Err(PeerError::BadSocketPacket);
                }
                // A packet for a namespace that the server has just ended crosses our DISCONNECT: no fault.
                if let Some(socket) = self.connected_in(session, &packet.namespace) {
                    let bytes = json.len() + attachments.iter().map(Bytes::len).sum::<usize>();
                    let args = Args::from_checked(json, attachments);
                    self.intake.add(session, bytes);
                    self.event(Event::Received { session, socket, name, args, ack: packet.ack_id.map(AckId) });
                }
            }
            PacketType::Ack | PacketType::BinaryAck => {
                let json = socket_io::ack_args(&packet.data).map_err(|_| PeerError::BadSocketPacket)?;
                if let (Some(socket), Some(id)) = (self.connected_in(session, &packet.namespace), packet.ack_id) {
                    self.acks.handle_ack(socket, id, Args::from_checked(json, attachments));
                    self.forward_acks();
                }
            }
        }
        Ok(())
    }

    fn handle_connect(&mut self, session: SessionId, namespace: ByteString, auth: ByteString, now: Instant) {
        let Some(record) = self.sessions.get(session) else { return };
        let endpoint = record.endpoint;
        if let Some(socket) = self.namespaces.socket_of(session, &namespace) {
            let bytes = auth.len();
            if self.namespaces.wait_for(socket, auth) {
                // It is answered once the first is decided. Until then it is work that the application has not done.
                self.intake.add(session, bytes);
            }
            return;
        }
        let (admission, timeout) = match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(_, settings)) => {
                let rule = settings.namespaces.iter().find(|rule| rule.pattern.matches(&namespace));
                (rule.map_or(Admission::Closed, |rule| rule.admission), settings.connect_timeout)
            }
            Some(EndpointKind::EngineIo(_) | EndpointKind::WebSocket(_)) | None => return,
        };
        if admission == Admission::Closed {
            return self.send_connect_error(session, &namespace, INVALID_NAMESPACE);
        }
        if self.namespaces.of(session).len() >= self.config.limits.namespaces_per_session_max {
            return self.send_connect_error(session, &namespace, TOO_MANY_NAMESPACES);
        }
        let sid = self.new_sid();
        let scope = Scope { endpoint, namespace };
        let socket = self.namespaces.open(session, scope, sid, now + timeout);
        let is_returning = self.handle_return(socket, &auth, now);
        match admission {
            Admission::Ask if is_returning && self.skips_readmission(endpoint) => self.let_in(socket, auth),
            Admission::Open => self.let_in(socket, auth),
            Admission::Ask | Admission::Closed => {
                if let Some(connect) = self.connect(socket, auth) {
                    self.event(Event::Connecting(Box::new(connect)));
                }
            }
        }
    }

    /// The application lets a socket in.
    pub(super) fn accept(&mut self, socket: SocketId) {
        match self.namespaces.stage(socket) {
            Some(SocketStage::Connecting) => self.let_in(socket, ByteString::new()),
            Some(SocketStage::Connected) => {}
            None => self.stale(),
        }
    }

    fn let_in(&mut self, socket: SocketId, auth: ByteString) {
        let Some(waiting) = self.namespaces.let_in(socket) else { return };
        let Some(connect) = self.connect(socket, auth) else { return };
        let session = connect.session;
        let missed = self.restore(socket);
        if self.cluster.is_some() {
            let sid = ByteString::from(connect.sid.as_str());
            self.await_channel(&Target::Socket(socket), &sid, self.now);
        }
        self.cancel_connect_deadline(session);
        if self.config.limits.unadmitted.admitted_by == AdmittedBy::Connect {
            self.unadmitted.stop(session);
        }
        self.counters.sockets_connected += 1;
        // Each CONNECT that was repeated before the decision is answered with the same socket.
        for _ in 0..=waiting.len() {
            if self.holds_back(socket, HeldAnswer::Connected).is_some() {
                self.send_connected(socket);
            }
        }
        self.send_missed(session, &missed);
        let is_back = connect.recovered.is_some();
        self.event(Event::Connected(Box::new(connect)));
        if is_back {
            self.tell_restored_rooms(socket);
        }
        for _ in waiting {
            self.handled(session);
        }
    }

    /// The application refuses a socket, which is gone then.
    pub(super) fn refuse(&mut self, socket: SocketId, data: &str, now: Instant) {
        match self.namespaces.stage(socket) {
            Some(SocketStage::Connecting) => self.turn_away(socket, data, now),
            Some(SocketStage::Connected) => {}
            None => self.stale(),
        }
    }

    /// The application was asked and did not answer.
    pub(super) fn connecting_overdue(&mut self, socket: SocketId, now: Instant) {
        self.event(Event::Disconnected { socket, reason: Reason::ConnectTimeout, rooms: Box::default() });
        self.turn_away(socket, CONNECT_TIMEOUT, now);
    }

    /// Removes a connecting socket and says why. The next CONNECT for the same namespace, which waited, has its turn.
    fn turn_away(&mut self, socket: SocketId, data: &str, now: Instant) {
        let Some(session) = self.namespaces.session(socket) else { return };
        self.forget_recovery(socket);
        let Some(removed) = self.namespaces.remove(socket) else { return };
        self.send_connect_error(session, &removed.scope.namespace, data);
        for auth in removed.waiting {
            self.handled(session);
            self.handle_connect(session, removed.scope.namespace.clone(), auth, now);
        }
    }

    fn connect(&self, socket: SocketId, auth: ByteString) -> Option<Connect> {
        let (session, sid) = (self.namespaces.session(socket)?, self.namespaces.sid(socket)?);
        let scope = self.namespaces.scope(socket)?;
        let request = Arc::clone(&self.sessions.get(session)?.handshake);
        Some(Connect {
            socket,
            session,
            sid,
            endpoint: scope.endpoint,
            namespace: scope.namespace.clone(),
            auth,
            recovered: self.recovered_state(socket),
            request,
        })
    }

    pub(super) fn send_connected(&mut self, socket: SocketId) {
        let (Some(session), Some(sid)) = (self.namespaces.session(socket), self.namespaces.sid(socket)) else { return };
        let Some(scope) = self.namespaces.scope(socket).cloned() else { return };
        let data = match self.pid(socket) {
            Some(pid) => format!(r#"{{"sid":"{}","pid":"{}"}}"#, sid.as_str(), pid.as_str()),
            None => format!(r#"{{"sid":"{}"}}"#, sid.as_str()),
        };
        self.send_packet(session, &OutgoingPacket::Connect { namespace: &scope.namespace, data: &data });
    }

    /// DISCONNECT, for a socket that was let in.
    pub(super) fn send_disconnect(&mut self, session: SessionId, socket: SocketId) {
        if self.namespaces.stage(socket) != Some(SocketStage::Connected) {
            return;
        }
        let Some(name) = self.namespaces.scope(socket).map(|scope| scope.namespace.clone()) else { return };
        self.send_packet(session, &OutgoingPacket::Disconnect { namespace: &name });
    }

    fn send_connect_error(&mut self, session: SessionId, namespace: &str, data: &str) {
        self.send_packet(session, &OutgoingPacket::ConnectError { namespace, data });
    }

    /// A packet to one session.
    fn send_packet(&mut self, session: SessionId, packet: &OutgoingPacket<'_>) {
        let Some(record) = self.sessions.get(session) else { return };
        let packet = Encoded::socket_packet(self.config.parser(record.endpoint), packet);
        self.send(session, &packet);
    }

    /// Answers a client's event.
    pub(super) fn send_ack(&mut self, socket: SocketId, ack: AckId, args: Args) {
        if self.cluster.is_none() {
            return self.send_ack_now(socket, ack, &args);
        }
        if let Some(HeldAnswer::Ack(ack, args)) = self.holds_back(socket, HeldAnswer::Ack(ack, args)) {
            self.send_ack_now(socket, ack, &args);
        }
    }

    /// Keeps an answer until the rooms of its socket are live, or gives it back.
    fn holds_back(&mut self, socket: SocketId, answer: HeldAnswer) -> Option<HeldAnswer> {
        match self.cluster.as_deref_mut() {
            Some(link) => link.held.hold(socket, answer),
            None => Some(answer),
        }
    }

    /// Answers a client's event, ahead of events that are held back.
    pub(super) fn send_ack_now(&mut self, socket: SocketId, ack: AckId, args: &Args) {
        let Some(session) = self.namespaces.session(socket) else { return self.stale() };
        let Some(scope) = self.namespaces.scope(socket) else { return };
        let packet = OutgoingPacket::Ack { namespace: &scope.namespace, ack_id: ack.0, args };
        let packet = Encoded::socket_packet(self.config.parser(scope.endpoint), &packet);
        self.send(session, &packet);
    }

    /// A socket's sid.
    pub fn sid(&self, socket: SocketId) -> Option<Sid> {
        self.namespaces.sid(socket)
    }

    /// A socket's session.
    pub fn session(&self, socket: SocketId) -> Option<SessionId> {
        self.namespaces.session(socket)
    }

    /// A socket's namespace.
    pub fn scope(&self, socket: SocketId) -> Option<&Scope> {
        self.namespaces.scope(socket)
    }

    /// The connected socket of a sid in a namespace.
    pub fn socket(&self, scope: &Scope, sid: &str) -> Option<SocketId> {
        self.namespaces.socket(scope, sid)
    }

    /// The rooms a socket is in by joining; its sid, a room of its own, is not among them.
    pub fn rooms(&self, socket: SocketId) -> impl Iterator<Item = &str> {
        self.namespaces.rooms(socket)
    }

    /// Whether a socket is in a room.
    pub fn is_in(&self, socket: SocketId, room: &str) -> bool {
        self.namespaces.is_in(socket, room)
    }

    /// The sockets in a room, in no particular order.
    pub fn members(&self, scope: &Scope, room: &str) -> impl Iterator<Item = SocketId> {
        self.namespaces.members(scope, room)
    }

    /// The sockets in a namespace, in no particular order.
    pub fn everyone(&self, scope: &Scope) -> impl Iterator<Item = SocketId> {
        self.namespaces.everyone(scope)
    }

    fn connected_in(&self, session: SessionId, namespace: &str) -> Option<SocketId> {
        let socket = self.namespaces.socket_of(session, namespace)?;
        (self.namespaces.stage(socket) == Some(SocketStage::Connected)).then_some(socket)
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

/// Bytes of a packet that are checked at a time: a quarter of a millisecond. The simulator has few that are long.
const CHECK_SLICE_BYTES: usize = if cfg!(feature = "test-hooks") { 64 } else { 128 << 10 };
const INVALID_NAMESPACE: &str = r#"{"message":"Invalid namespace"}"#;
const TOO_MANY_NAMESPACES: &str = r#"{"message":"Too many namespaces"}"#;
const CONNECT_TIMEOUT: &str = r#"{"message":"Connect timeout"}"#;
