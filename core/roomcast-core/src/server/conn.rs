//! WebSockets: their handshakes, what comes and goes on them, and how they close.
//!
//! Owns: a stream from its handshake to its end. Must never know: Socket.IO, or what a session does with a message.
//!
//! RFC 6455 sections 4.2, 5.5 and 7; Engine.IO protocol revision 4, section "WebSocket".

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, ORIGIN};
use http::{Request, Response};

use super::config::{EndpointId, EndpointKind, Transports};
use super::encoded::{Encoded, Slice};
use super::event::{ConnId, Handshake, Message, Output, Reason, SessionId, Upgrade};
use super::fault::PeerError;
use super::http::Query;
use super::outbound::Flow;
use super::state::{Closing, Conn, ConnRole, SessionKind};
use super::transmit::{After, Transmit};
use super::{Deferral, Deferred, Due, Running, Server};
use crate::engine_io::Packet;
use crate::engine_io::session::{Action, SessionEvent, State};
use crate::time::Instant;
use crate::websocket::{self, CloseCode, CloseFrame, Opcode, WsError};

impl Server {
    /// A request that asks for a WebSocket.
    pub fn handle_upgrade(&mut self, endpoint: EndpointId, request: &Request<()>, now: Instant) -> Upgrade {
        let origin = request.headers().get(ORIGIN);
        let refused = match self.admit_upgrade(endpoint, request, origin) {
            Ok(existing) => match websocket::handshake::accept(request) {
                Ok(response) => return self.accept_upgrade(endpoint, request, existing, response, now),
                Err(error) => {
                    self.counters.peer_faults += 1;
                    let mut response = self.fault_response(endpoint, PeerError::BadHandshake, origin);
                    *response.status_mut() = error.status();
                    for (name, value) in error.headers() {
                        let name = HeaderName::from_static(name);
                        response.headers_mut().insert(name, HeaderValue::from_static(value));
                    }
                    response
                }
            },
            Err(fault) => {
                self.counters.peer_faults += 1;
                self.fault_response(endpoint, fault, origin)
            }
        };
        Upgrade::Refuse(Box::new(refused))
    }

    /// The socket has taken a part of a transmit and refuses the rest for now. Poll transmits again when it is ready.
    pub fn handle_refused(&mut self, conn: ConnId, rest: &mut Transmit, _now: Instant) {
        let Some(stream) = self.conns.get_mut(conn) else {
            rest.discard();
            return self.stale();
        };
        if !rest.was_advanced() {
            stream.progress = stream.progress.saturating_sub(1);
        }
        while let Some(slice) = rest.take_back() {
            stream.priority.push_front(slice);
        }
        stream.blocked = true;
        let (session, role) = (stream.session, stream.role);
        if role == ConnRole::Own
            && let Some(out) = self.outbounds.get_mut(session.slot())
        {
            out.fall_behind(Flow::Blocked);
        }
    }

    /// Some frames for one write. `false`: nothing to send.
    pub fn poll_transmit(&mut self, conn: ConnId, transmit: &mut Transmit) -> bool {
        transmit.begin();
        let Self { conns, outbounds, .. } = self;
        let Some(stream) = conns.get_mut(conn) else { return false };
        stream.blocked = false;
        while !transmit.is_full()
            && let Some(slice) = stream.priority.pop_front()
        {
            transmit.push(slice);
        }
        let mut watched = None;
        if stream.priority.is_empty() {
            stream.announced = false;
            match stream.role {
                ConnRole::Own => {
                    if !transmit.is_full()
                        && let Some(out) = outbounds.get_mut(stream.session.slot())
                    {
                        out.pop_transmit(transmit);
                        watched = out.watched.then_some(stream.session);
                    }
                }
                ConnRole::Closed => transmit.then(After::Close),
                ConnRole::Failed if !stream.half_closed => {
                    stream.half_closed = true;
                    transmit.then(After::CloseWrite);
                }
                ConnRole::Probe | ConnRole::Closing | ConnRole::Failed => {}
            }
        }
        let any = !transmit.is_empty();
        stream.progress += u64::from(any);
        if let Some(session) = watched {
            self.relieve(session);
        }
        any || transmit.after() != After::Keep
    }

    /// Bytes from a WebSocket.
    pub(super) fn handle_ws_bytes(&mut self, conn: ConnId, mut bytes: &[u8], now: Instant) {
        let Some(stream) = self.conns.get(conn) else { return self.stale() };
        let (endpoint, session) = (stream.endpoint, stream.session);
        let Some(limits) = self.endpoints.get(endpoint.index()).map(|timers| timers.ws_limits) else { return };
        loop {
            let Some(stream) = self.conns.get_mut(conn) else { return };
            match stream.role {
                ConnRole::Own | ConnRole::Probe | ConnRole::Closing => {}
                // Nothing more is of interest; the peer's end of the stream is.
                ConnRole::Closed | ConnRole::Failed => return,
            }
            match stream.decoder.decode(&limits, &mut bytes) {
                Ok(Some(message)) => self.handle_ws_message(conn, message, now),
                Ok(None) => break,
                Err(error) => return self.defer(conn, Deferral::Fail(error), now),
            }
        }
        self.pause_if_behind(session);
    }

    /// Does something about a peer's bytes once the application has seen the events of the bytes before, so that an
    /// echo of a whole message goes out before the close frame for the broken one behind it, and a pong in its turn.
    fn defer(&mut self, conn: ConnId, what: Deferral, now: Instant) {
        self.deferred.push_back(Deferred { conn, since: now, what });
        if self.outputs.is_empty() {
            self.handle_deferred(now);
        }
    }

    /// What was deferred, unless outputs are still unpolled.
    pub(super) fn handle_deferred(&mut self, now: Instant) {
        while self.outputs.is_empty()
            && let Some(Deferred { conn, what, .. }) = self.deferred.pop_front()
        {
            match what {
                Deferral::Pong(payload) => self.send_pong(conn, &payload),
                Deferral::Fail(error) => self.fail_conn(conn, error, now),
            }
        }
        self.end_too_slow(now);
    }

    fn send_pong(&mut self, conn: ConnId, payload: &[u8]) {
        let Some(stream) = self.conns.get(conn) else { return };
        let pong = Encoded::frame(Opcode::Pong, payload);
        match stream.role {
            ConnRole::Own => {
                let session = stream.session;
                self.send_encoded(session, &pong);
            }
            ConnRole::Probe => self.send_control(conn, pong),
            ConnRole::Closing | ConnRole::Failed | ConnRole::Closed => {}
        }
    }

    /// A stream has ended or broken.
    pub(super) fn handle_ws_ended(&mut self, conn: ConnId, now: Instant) {
        let Some(stream) = self.remove_conn(conn) else { return self.stale() };
        let session = stream.session;
        let Some(record) = self.sessions.get_mut(session) else { return };
        if record.conn == Some(conn) {
            record.conn = None;
            self.advance(session, SessionEvent::WsEnded, Reason::TransportClose, now);
        } else if record.probe == Some(conn) {
            record.probe = None;
            self.advance(session, SessionEvent::ProbeEnded, Reason::TransportClose, now);
        }
    }

    /// Sends something ahead of the session's queue.
    pub(super) fn send_control(&mut self, conn: ConnId, packet: Arc<Encoded>) {
        let Some(stream) = self.conns.get_mut(conn) else { return };
        stream.priority.push_back(Slice::whole(packet));
        if !stream.blocked && !std::mem::replace(&mut stream.announced, true) {
            self.writable.push_back(Due::Conn(conn));
        }
    }

    /// Begins to close: the close frame goes behind what is queued, and the peer has a while to answer it.
    pub(super) fn close_conn(&mut self, conn: ConnId, code: Option<CloseCode>, now: Instant) {
        let Some(stream) = self.conns.get_mut(conn) else { return };
        match stream.role {
            ConnRole::Own | ConnRole::Probe => {}
            ConnRole::Closing | ConnRole::Closed | ConnRole::Failed => return,
        }
        stream.role = ConnRole::Closing;
        self.begin_closing(conn, code, now);
    }

    /// Grows whenever the peer takes bytes, by whatever transport.
    pub(super) fn progress(&self, session: SessionId) -> u64 {
        let Some(record) = self.sessions.get(session) else { return 0 };
        let stream = record.conn.and_then(|conn| self.conns.get(conn));
        record.polls_answered + stream.map_or(0, |stream| stream.progress)
    }

    /// Bytes that the peer could still take.
    pub(super) fn unsent_bytes(&self, session: SessionId) -> usize {
        let stream = self.sessions.get(session).and_then(|record| record.conn).and_then(|conn| self.conns.get(conn));
        let queued = self.outbounds.get(session.slot()).map_or(0, super::Outbound::bytes);
        queued + stream.map_or(0, |stream| stream.priority.bytes())
    }

    /// What an ended session left to be sent belongs to its WebSocket now.
    pub(super) fn move_queue_to_conn(&mut self, conn: ConnId, session: SessionId) {
        let (Some(stream), Some(out)) = (self.conns.get_mut(conn), self.outbounds.get_mut(session.slot())) else {
            return;
        };
        while let Some(slice) = out.pop() {
            stream.priority.push_back(slice);
        }
    }

    /// Time is up for a closing stream.
    pub(super) fn close_conn_now(&mut self, conn: ConnId) {
        if let Some(stream) = self.conns.get_mut(conn) {
            stream.close_timer = None;
            self.drop_conn(conn);
        }
    }

    fn drop_conn(&mut self, conn: ConnId) {
        if self.remove_conn(conn).is_some() {
            self.outputs.push_back(Output::Close(conn));
        }
    }

    fn remove_conn(&mut self, conn: ConnId) -> Option<Conn> {
        let stream = self.conns.remove(conn)?;
        if let Some(key) = stream.close_timer {
            self.closings.cancel(key);
        }
        Some(stream)
    }

    fn begin_closing(&mut self, conn: ConnId, code: Option<CloseCode>, now: Instant) {
        let mut frame = Vec::new();
        websocket::encode_close(&mut frame, code.map(|code| (code, "")), None);
        self.send_control(conn, Encoded::frames(frame));
        let key = self.closings.arm(now + self.config.limits.close_timeout, Closing::Conn(conn));
        if let Some(stream) = self.conns.get_mut(conn) {
            stream.close_timer = Some(key);
        }
    }

    /// RFC 6455 section 7.1.7: a stream that broke the rules is failed. The close frame tells why, then our half is
    /// shut, and what still comes is discarded: closing at once could reset the connection under the close frame.
    fn fail_conn(&mut self, conn: ConnId, error: WsError, now: Instant) {
        let fault = PeerError::BadFrame(error.close_code());
        let Some(stream) = self.conns.get_mut(conn) else { return };
        let (session, role) = (stream.session, stream.role);
        stream.role = ConnRole::Failed;
        match role {
            ConnRole::Own => {
                self.move_queue_to_conn(conn, session);
                self.begin_closing(conn, Some(error.close_code()), now);
                if let Some(record) = self.sessions.get_mut(session) {
                    record.conn = None;
                }
                self.fault(session, fault, now);
            }
            ConnRole::Probe => {
                self.begin_closing(conn, Some(error.close_code()), now);
                if let Some(record) = self.sessions.get_mut(session) {
                    record.probe = None;
                }
                self.advance(session, SessionEvent::ProbeEnded, Reason::Fault(fault), now);
            }
            // Our close frame is on its way already.
            ConnRole::Closing | ConnRole::Closed | ConnRole::Failed => self.announce_conn(conn),
        }
    }

    fn announce_conn(&mut self, conn: ConnId) {
        if let Some(stream) = self.conns.get_mut(conn)
            && !stream.blocked
            && !std::mem::replace(&mut stream.announced, true)
        {
            self.writable.push_back(Due::Conn(conn));
        }
    }

    fn handle_ws_message(&mut self, conn: ConnId, message: websocket::Message, now: Instant) {
        let Some(stream) = self.conns.get(conn) else { return };
        let (session, role) = (stream.session, stream.role);
        let kind = self.sessions.get(session).map(|record| record.kind);
        match (message, role) {
            (websocket::Message::Close(frame), _) => self.closed_by_peer(conn, frame, now),
            (_, ConnRole::Closing | ConnRole::Closed | ConnRole::Failed) => {}
            (websocket::Message::Ping(payload), ConnRole::Own | ConnRole::Probe) => {
                // Section 5.5.3: of several pings only the last needs its pong.
                let queued =
                    stream.priority.bytes() + self.outbounds.get(session.slot()).map_or(0, super::Outbound::bytes);
                if queued <= self.config.limits.queue_soft_bytes && self.deferred.len() < DEFERRED_MAX {
                    self.defer(conn, Deferral::Pong(payload), now);
                }
            }
            (websocket::Message::Pong(_), ConnRole::Own) if kind == Some(SessionKind::WebSocket) => {
                self.handle_pong(session, now);
            }
            (websocket::Message::Pong(_), ConnRole::Own | ConnRole::Probe) => {}
            (message, ConnRole::Own) if kind == Some(SessionKind::WebSocket) => {
                self.counters.packets_received += 1;
                self.handle_pong(session, now);
                match message {
                    websocket::Message::Text(text) => self.deliver(session, Message::Text(text)),
                    websocket::Message::Binary(bytes) => self.deliver(session, Message::Binary(bytes)),
                    websocket::Message::Ping(_) | websocket::Message::Pong(_) | websocket::Message::Close(_) => {}
                }
            }
            (websocket::Message::Text(text), ConnRole::Own) => match Packet::decode_text(text) {
                Ok(packet) => {
                    if let Err(fault) = self.handle_packet(session, packet, now) {
                        self.fault(session, fault, now);
                    }
                }
                Err(_) => self.fault(session, PeerError::BadEnginePacket, now),
            },
            (websocket::Message::Binary(bytes), ConnRole::Own) => {
                if let Err(fault) = self.handle_packet(session, Packet::Binary(bytes), now) {
                    self.fault(session, fault, now);
                }
            }
            (websocket::Message::Text(text), ConnRole::Probe) => {
                let event = match Packet::decode_text(text) {
                    Ok(Packet::Ping(data)) if &*data == "probe" => SessionEvent::ProbePing,
                    Ok(Packet::Upgrade) => SessionEvent::UpgradePacket,
                    Ok(_) | Err(_) => SessionEvent::ProbeEnded,
                };
                self.advance(session, event, Reason::TransportClose, now);
            }
            (websocket::Message::Binary(_), ConnRole::Probe) => {
                self.advance(session, SessionEvent::ProbeEnded, Reason::TransportClose, now);
            }
        }
    }

    /// Section 5.5.1: a close frame is answered with one, which echoes the code.
    fn closed_by_peer(&mut self, conn: ConnId, frame: Option<CloseFrame>, now: Instant) {
        let Some(stream) = self.conns.get_mut(conn) else { return };
        let (session, role) = (stream.session, stream.role);
        match role {
            ConnRole::Closing => {
                if stream.priority.is_empty() && !stream.blocked {
                    self.drop_conn(conn);
                } else {
                    stream.role = ConnRole::Closed;
                    self.announce_conn(conn);
                }
            }
            ConnRole::Own | ConnRole::Probe => {
                stream.role = ConnRole::Closed;
                let code = frame.map(|frame| frame.code);
                self.begin_closing(conn, code, now);
                let Some(record) = self.sessions.get_mut(session) else { return };
                if role == ConnRole::Own {
                    record.conn = None;
                    self.advance(session, SessionEvent::WsEnded, Reason::TransportClose, now);
                } else {
                    record.probe = None;
                    self.advance(session, SessionEvent::ProbeEnded, Reason::TransportClose, now);
                }
            }
            ConnRole::Closed | ConnRole::Failed => {}
        }
    }

    fn admit_upgrade(
        &self,
        endpoint: EndpointId,
        request: &Request<()>,
        origin: Option<&HeaderValue>,
    ) -> Result<Option<SessionId>, PeerError> {
        let settings = self.endpoint(endpoint).ok_or(PeerError::BadRequest)?;
        self.check_origin(endpoint, origin)?;
        let existing = match &settings.kind {
            EndpointKind::WebSocket(_) => None,
            EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => {
                let query = Query::of(request);
                query.check()?;
                match (query.transport, engine.transports) {
                    (Some("websocket"), Transports::Both | Transports::WebSocket) => {}
                    (Some("polling"), Transports::Both | Transports::Polling) => return Err(PeerError::BadRequest),
                    (_, Transports::Both | Transports::Polling | Transports::WebSocket) => {
                        return Err(PeerError::UnknownTransport);
                    }
                }
                self.session_of_query(endpoint, &query)?
            }
        };
        if existing.is_none() && !self.takes_sessions() {
            return Err(PeerError::Unavailable);
        }
        Ok(existing)
    }

    fn accept_upgrade(
        &mut self,
        endpoint: EndpointId,
        request: &Request<()>,
        existing: Option<SessionId>,
        response: Response<()>,
        now: Instant,
    ) -> Upgrade {
        let conn = match existing {
            Some(session) => {
                let conn = self.conns.insert(Conn::new(endpoint, session, ConnRole::Probe));
                let action = self.advance(session, SessionEvent::WsArrived, Reason::TransportClose, now);
                if action == Action::AttachProbe {
                    self.attach_probe(session, conn, now);
                } else {
                    // The session has its WebSocket, or is ending: this one is not part of it.
                    self.close_conn(conn, Some(CloseCode::POLICY), now);
                }
                conn
            }
            None => {
                let handshake = Arc::new(Handshake::of(request));
                let session = self.open_session(endpoint, State::WebSocket, handshake, now);
                let conn = self.conns.insert(Conn::new(endpoint, session, ConnRole::Own));
                if let (Some(record), Some(out)) =
                    (self.sessions.get_mut(session), self.outbounds.get_mut(session.slot()))
                {
                    record.conn = Some(conn);
                    out.attach(conn, Flow::Open);
                }
                let open = self.open_packet(session);
                if !open.is_empty() {
                    let packet = Encoded::packet(open.len(), |out| out.extend_from_slice(&open), &[]);
                    self.send_encoded(session, &packet);
                }
                self.announce_session(session);
                conn
            }
        };
        Upgrade::Accept(conn, response)
    }

    /// Whether there is room for one more.
    pub(super) fn takes_sessions(&self) -> bool {
        self.running == Running::Yes && self.sessions.len() < self.config.limits.sessions_max
    }
}

/// Deferred answers above which pings are no longer answered: one read of the smallest ping frames.
const DEFERRED_MAX: usize = 16 * 1024;
