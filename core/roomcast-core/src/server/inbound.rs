//! What peers send: bytes of WebSockets and bodies of POSTs, packet by packet, as fast as it is dealt with.
//!
//! Owns: the way from bytes to packets and messages, and its limits: it stops where a session is behind, or after a slice,
//! keeps what is left, and goes on in its turn. Must never know: what a Socket.IO packet means.

use bytes::Bytes;

use super::encoded::Encoded;
use super::event::{ConnId, Event, Message, Reason, RequestId, SessionId};
use super::fault::PeerError;
use super::intake::Rest;
use super::outbound::SessionFlow;
use super::requests::{Aborted, RequestKind};
use super::state::SessionKind;
use super::streams::{Decoded, StreamRole};
use super::unadmitted::UnadmittedBudget;
use super::{Queued, Server, outbound_of};
use crate::engine_io::session::{Action, SessionEvent, State};
use crate::engine_io::{Packet, decode_payload};
use crate::time::Instant;
use crate::websocket::{FrameLimits, Opcode, WsMessage};

impl Server {
    /// The body of a request whose head was answered by [`Head::Continue`](super::Head::Continue). The answer is an
    /// [`Output::Respond`](super::Output::Respond), perhaps much later.
    pub fn handle_http_body(&mut self, request: RequestId, body: Bytes, now: Instant) {
        self.now = now;
        self.take_body(request, body, now);
        self.finish(now);
    }

    fn take_body(&mut self, request: RequestId, body: Bytes, now: Instant) {
        let Some((endpoint, kind)) = self.requests.get(request) else { return self.stale() };
        match kind {
            RequestKind::Open(handshake) => {
                // Asked at the head too; others may have come since, or the server's end.
                if !self.takes_sessions() {
                    return self.respond_fault(request, PeerError::Unavailable);
                }
                let session = self.open_session(endpoint, State::Polling, handshake, now);
                let open = self.open_packet(session);
                let cookie = self.cookie(session);
                self.respond_opening(request, open, cookie);
                self.announce_session(session);
            }
            RequestKind::Poll(session) => self.handle_poll(request, session, now),
            RequestKind::Post(session) => self.handle_post(request, session, body, now),
        }
    }

    /// The client went away before the answer.
    pub(super) fn handle_http_aborted(&mut self, request: RequestId, now: Instant) {
        match self.requests.handle_aborted(request) {
            Some(Aborted::WaitingPoll(session)) => {
                self.advance(session, SessionEvent::PollAborted, Reason::TransportError, now);
            }
            Some(Aborted::Other) => {}
            None => self.stale(),
        }
    }

    /// Bytes from a WebSocket.
    pub(super) fn handle_ws_bytes(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        if !self.streams.contains(conn) {
            return self.stale();
        }
        if self.streams.has_rest(conn) {
            // It has its turn, or its session is behind.
            return self.streams.keep(conn, bytes);
        }
        self.read_stream(conn, bytes, now);
    }

    /// A stream has ended or broken.
    pub(super) fn handle_ws_ended(&mut self, conn: ConnId, now: Instant) {
        let Some(session) = self.streams.session(conn) else { return self.stale() };
        if self.streams.is_own(conn) == Some(true) && self.is_checking(session) {
            // What was sent before is not lost.
            return self.streams.end_later(conn);
        }
        self.remove_conn(conn);
        self.detach_conn(session, conn, Reason::TransportClose, now);
    }

    /// The application has dealt with something of this session's.
    pub(super) fn handled(&mut self, session: SessionId) {
        if !self.sessions.contains(session) {
            return;
        }
        self.intake.handle_handled(session);
        if self.intake.is_behind(session) {
            self.relieve(session);
            if !self.intake.is_behind(session) && !self.requests.has_packets(session) && !self.is_checking(session) {
                self.finish_post(session);
            }
        }
    }

    /// Goes on with what was read and not taken: of each peer whose turn it is, a slice. Waits until what has been said to
    /// the application is polled.
    pub(super) fn handle_rests(&mut self, now: Instant) {
        for _ in 0..self.intake.ready_count().min(SLICES_MAX) {
            if !self.outputs.is_empty() {
                return;
            }
            match self.intake.pop_ready() {
                Some(Rest::Conn(conn)) => self.read_stream(conn, &[], now),
                Some(Rest::Post(session)) => self.read_post(session, now),
                None => return,
            }
        }
    }

    /// Takes a slice of a stream.
    fn read_stream(&mut self, conn: ConnId, mut input: &[u8], now: Instant) {
        let Some(endpoint) = self.streams.endpoint(conn) else { return };
        let Some(limits) = self.frame_limits.get(endpoint.index()).copied() else { return };
        let Some(session) = self.streams.session(conn) else { return };
        if self.streams.is_own(conn) == Some(true) {
            self.check_on(session, now);
        }
        for _ in 0..SLICE_PACKETS {
            // A stream becomes its session's own in between.
            let waits = self.streams.is_own(conn) == Some(true) && self.is_checking(session);
            if waits || self.is_behind(conn) {
                break;
            }
            let message_bytes_max = self.message_bytes_max(session, limits.message_bytes_max);
            let limits = FrameLimits { message_bytes_max, ..limits };
            match self.streams.decode(conn, &limits, &mut input) {
                Decoded::Message(role, message) => {
                    // The next message has a time of its own.
                    let deadline = self.streams.partial_deadline(conn).and_then(Option::take);
                    self.deadlines.cancel(deadline);
                    self.handle_ws_message(conn, role, message, now);
                }
                Decoded::Nothing => break,
                // An echo of a whole message goes out before the close frame for the broken one behind it.
                Decoded::Failed(_) if !self.outputs.is_empty() => break,
                Decoded::Failed(error) => {
                    self.fail_conn(conn, error, now);
                    break;
                }
            }
        }
        self.streams.keep(conn, input);
        self.is_behind(conn);
        self.settle_reading(conn);
        self.settle_partial(conn, now);
        self.settle_budget(session, now);
    }

    /// Largest message of a session, in bytes, where `bytes_max` is that of an admitted one.
    pub(super) fn message_bytes_max(&self, session: SessionId, bytes_max: usize) -> usize {
        if self.unadmitted.contains(session) {
            bytes_max.min(self.config.limits.unadmitted.message_bytes_max)
        } else {
            bytes_max
        }
    }

    /// Ends an unadmitted session that makes all of them together pin more than they may.
    fn settle_budget(&mut self, session: SessionId, now: Instant) {
        if !self.unadmitted.contains(session) {
            return;
        }
        let Some(record) = self.sessions.get(session) else { return };
        let streams = [record.conn, record.probe].into_iter().flatten().map(|conn| self.streams.pinned_bytes(conn));
        let pinned = streams.sum::<usize>()
            + record.partial.as_ref().map_or(0, |partial| partial.bytes)
            + self.requests.pinned_bytes(session)
            + record.handshake.len().saturating_sub(HANDSHAKE_BYTES_FREE);
        match self.unadmitted.set(session, pinned) {
            UnadmittedBudget::Kept => {}
            UnadmittedBudget::Exceeded => self.fault(session, PeerError::OverLimit, now),
        }
    }

    /// Whether no more is to be taken of a stream for now.
    fn is_behind(&mut self, conn: ConnId) -> bool {
        if self.streams.is_own(conn) != Some(true) {
            return false;
        }
        let Some(session) = self.streams.session(conn) else { return false };
        let is_behind = self.intake.judge(session, self.unread_bytes(session));
        if is_behind {
            self.watch(session);
        }
        is_behind
    }

    /// Takes a slice of a POST.
    fn read_post(&mut self, session: SessionId, now: Instant) {
        if !self.sessions.contains(session) {
            return;
        }
        if !self.check_on(session, now) {
            return;
        }
        for _ in 0..SLICE_PACKETS {
            if self.is_checking(session) {
                break;
            }
            // A client that polls reads and writes by turns: to hold its POST until it polls could wait for ever.
            if self.intake.judge(session, 0) {
                return self.watch(session);
            }
            let Some(packet) = self.requests.packets(session).and_then(Iterator::next) else { break };
            let taken = packet.map_err(|_| PeerError::BadEnginePacket);
            if let Err(fault) = taken.and_then(|packet| self.handle_packet(session, packet, now)) {
                return self.fault(session, fault, now);
            }
        }
        if self.requests.has_packets(session) || self.is_checking(session) {
            self.intake.push_ready(Rest::Post(session));
        } else if !self.intake.judge(session, 0) {
            self.finish_post(session);
        }
        self.settle_budget(session, now);
    }

    fn handle_poll(&mut self, request: RequestId, session: SessionId, now: Instant) {
        if !self.sessions.contains(session) {
            return self.respond_fault(request, PeerError::UnknownSession);
        }
        let event = if self.requests.is_polled(session) { SessionEvent::PollTwice } else { SessionEvent::Poll };
        match self.advance(session, event, Reason::TransportError, now) {
            Action::HoldPoll => {
                self.requests.hold_poll(session, request);
                if let Some(queue) = self.queues.get_mut(outbound_of(session)) {
                    queue.flow = SessionFlow::PollWaits;
                }
                self.queues.announce(outbound_of(session));
            }
            Action::AnswerNoop => self.respond(request, Bytes::from_static(b"6")),
            Action::DeliverClose => {
                self.requests.hold_poll(session, request);
                self.deliver_close(session, Reason::TransportClose, now);
            }
            Action::Ignore
            | Action::TakePost
            | Action::RefuseRequest
            | Action::EndByOverlap
            | Action::AttachProbe
            | Action::CloseNewcomer
            | Action::AnswerProbe
            | Action::DropProbe
            | Action::Switch
            | Action::EndByPeer
            | Action::SendClose
            | Action::End => self.respond_fault(request, PeerError::BadRequest),
        }
    }

    fn handle_post(&mut self, request: RequestId, session: SessionId, body: Bytes, now: Instant) {
        let Some((endpoint, _)) = self.requests.get(request) else { return };
        if body.len() > self.message_bytes_max(session, self.body_bytes_max(endpoint)) {
            self.requests.forget_post(session, request);
            return self.respond_fault(request, PeerError::PayloadTooLarge);
        }
        if !self.sessions.contains(session) {
            return self.respond_fault(request, PeerError::UnknownSession);
        }
        if !self.requests.handle_body(session, request, decode_payload(body)) {
            // A second body of one request is the caller's mistake.
            return self.stale();
        }
        self.read_post(session, now);
    }

    fn handle_ws_message(&mut self, conn: ConnId, role: StreamRole, message: WsMessage, now: Instant) {
        let Some(session) = self.streams.session(conn) else { return };
        match (message, role) {
            (WsMessage::Close(frame), _) => {
                self.conn_closed_by_peer(conn, frame.map(|frame| frame.code), now);
            }
            (_, StreamRole::Closing | StreamRole::Closed | StreamRole::Failed) => {}
            (WsMessage::Ping(payload), StreamRole::Own) => {
                self.outputs.push_back(Queued::Pong(conn, Encoded::control(Opcode::Pong, &payload)));
            }
            (WsMessage::Ping(payload), StreamRole::Probe) => {
                self.send_pong(conn, Encoded::control(Opcode::Pong, &payload));
            }
            (message, StreamRole::Own) => self.handle_own_message(session, message, now),
            (WsMessage::Pong(_), StreamRole::Probe) => {}
            (WsMessage::Text(text), StreamRole::Probe) => {
                let event = match Packet::decode_text(text) {
                    Ok(Packet::Ping(data)) if &*data == "probe" => SessionEvent::ProbePing,
                    Ok(Packet::Upgrade) => SessionEvent::UpgradePacket,
                    Ok(_) | Err(_) => SessionEvent::ProbeEnded,
                };
                self.advance(session, event, Reason::TransportClose, now);
            }
            (WsMessage::Binary(_), StreamRole::Probe) => {
                self.advance(session, SessionEvent::ProbeEnded, Reason::TransportClose, now);
            }
        }
    }

    /// A message on a session's own WebSocket.
    fn handle_own_message(&mut self, session: SessionId, message: WsMessage, now: Instant) {
        let Some(kind) = self.sessions.get(session).map(|record| record.kind) else { return };
        if kind == SessionKind::WebSocket {
            // Any input shows that the peer is alive.
            self.heartbeats.handle_pong(session, now);
            return match message {
                WsMessage::Text(text) => self.deliver(session, Message::Text(text)),
                WsMessage::Binary(bytes) => self.deliver(session, Message::Binary(bytes)),
                WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Close(_) => {}
            };
        }
        let packet = match message {
            WsMessage::Text(text) => Packet::decode_text(text).map_err(|_| PeerError::BadEnginePacket),
            WsMessage::Binary(bytes) => Ok(Packet::Binary(bytes)),
            WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Close(_) => return,
        };
        if let Err(fault) = packet.and_then(|packet| self.handle_packet(session, packet, now)) {
            self.fault(session, fault, now);
        }
    }

    /// An Engine.IO packet on a session's transport.
    fn handle_packet(&mut self, session: SessionId, packet: Packet, now: Instant) -> Result<(), PeerError> {
        let Some((kind, gone)) = self.sessions.get(session).map(|record| (record.kind, record.gone)) else {
            return Ok(());
        };
        self.counters.packets_received += 1;
        #[cfg(feature = "test-hooks")]
        if self.loses_packet(session, &packet) {
            return Ok(());
        }
        // The application has already been told that the session ended: later packets have no recipient.
        if gone && packet != Packet::Close {
            return Ok(());
        }
        match packet {
            Packet::Pong(_) => self.heartbeats.handle_pong(session, now),
            Packet::Close => {
                self.advance(session, SessionEvent::ClosePacket, Reason::TransportClose, now);
            }
            Packet::Message(text) => match kind {
                SessionKind::SocketIo => self.handle_socket_text(session, text, now)?,
                SessionKind::EngineIo | SessionKind::WebSocket => self.deliver_packet(session, Message::Text(text)),
            },
            Packet::Binary(bytes) => match kind {
                SessionKind::SocketIo => self.handle_socket_binary(session, bytes, now)?,
                SessionKind::EngineIo | SessionKind::WebSocket => self.deliver_packet(session, Message::Binary(bytes)),
            },
            Packet::Noop => {}
            // The server pings, opens and is upgraded on the probing WebSocket alone.
            Packet::Open(_) | Packet::Ping(_) | Packet::Upgrade => return Err(PeerError::BadEnginePacket),
        }
        Ok(())
    }

    /// A message of a bare WebSocket.
    fn deliver(&mut self, session: SessionId, message: Message) {
        self.counters.packets_received += 1;
        self.deliver_packet(session, message);
    }

    /// A bare message, to the application.
    fn deliver_packet(&mut self, session: SessionId, message: Message) {
        let bytes = match &message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        };
        self.intake.add(session, bytes);
        self.event(Event::Message { session, message });
    }
}

/// Packets of one peer that are taken at a time. More than a peer in a hurry sends in one read, and well below a
/// millisecond of work.
const SLICE_PACKETS: usize = 512;
/// What is not counted of the request that opened a session: an ordinary head.
const HANDSHAKE_BYTES_FREE: usize = 2048;
/// Slices that one timeout takes.
const SLICES_MAX: usize = 8;
