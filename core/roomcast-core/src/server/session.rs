//! Engine.IO sessions, and bare WebSockets as sessions without a choice of transport.
//!
//! Owns: opening, upgrading and ending; carries out what the table in
//! [`engine_io::session`](crate::engine_io::session) says. Must never know: what brings the events of the table about.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::config::{EndpointId, EndpointKind};
use super::deadlines::{DeadlineKind, DeadlineSubject};
use super::event::{ConnId, Event, Handshake, Reason, SessionId, Sid, SocketId};
use super::fault::PeerError;
use super::heartbeats::HeartbeatDue;
use super::outbound::SessionFlow;
use super::state::{Session, SessionKind};
use super::{Server, outbound_of};
use crate::engine_io;
use crate::engine_io::session::{Action, SessionEvent, State, Transition, step};
use crate::time::Instant;
use crate::websocket::{CloseCode, WsError};

impl Server {
    /// Whether the transport of a session is a WebSocket by now, from its beginning or after an upgrade.
    pub fn is_by_websocket(&self, session: SessionId) -> bool {
        self.sessions.get(session).is_some_and(|record| record.state == State::WebSocket)
    }

    /// A new session. The application hears of it by [`announce_session`](Self::announce_session).
    pub(super) fn open_session(
        &mut self,
        endpoint: EndpointId,
        state: State,
        handshake: Arc<Handshake>,
        now: Instant,
    ) -> SessionId {
        let sid = self.new_sid();
        let kind = match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(..)) => SessionKind::SocketIo,
            Some(EndpointKind::EngineIo(_)) => SessionKind::EngineIo,
            Some(EndpointKind::WebSocket(_)) | None => SessionKind::WebSocket,
        };
        let session = self.sessions.insert(Session {
            endpoint,
            kind,
            state,
            sid,
            conn: None,
            probe: None,
            connect_deadline: None,
            upgrade_deadline: None,
            close_deadline: None,
            partial: None,
            check: None,
            gone: false,
            handshake,
        });
        self.queues.open(outbound_of(session)).flow =
            if state == State::WebSocket { SessionFlow::Open } else { SessionFlow::NoPoll };
        self.requests.start(session);
        self.intake.start(session);
        self.heartbeats.start(session, endpoint, now);
        if kind == SessionKind::SocketIo {
            self.unadmitted.start(session);
            let deadline = self.deadlines.arm(DeadlineKind::Connect, endpoint, DeadlineSubject::Session(session), now);
            if let Some(record) = self.sessions.get_mut(session) {
                record.connect_deadline = deadline;
            }
        }
        if kind != SessionKind::WebSocket {
            self.session_sids.insert(sid, session);
        }
        self.counters.sessions_opened += 1;
        session
    }

    /// Tells the application of a bare session; after the open packet is queued.
    pub(super) fn announce_session(&mut self, session: SessionId) {
        let Some(record) = self.sessions.get(session) else { return };
        if record.kind != SessionKind::SocketIo {
            let request = Arc::clone(&record.handshake);
            self.event(Event::Opened { session, endpoint: record.endpoint, request });
        }
    }

    /// `0` and the handshake's JSON (Engine.IO protocol, "Handshake").
    pub(super) fn open_packet(&self, session: SessionId) -> Bytes {
        let Some(record) = self.sessions.get(session) else { return Bytes::new() };
        let Some(endpoint) = self.endpoint(record.endpoint) else { return Bytes::new() };
        let (EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) = &endpoint.kind else {
            return Bytes::new();
        };
        let can_upgrade = record.state == State::Polling && engine.transports.can_upgrade();
        let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let handshake = engine_io::OpenData {
            sid: record.sid.as_str(),
            upgrades: if can_upgrade { &["websocket"] } else { &[] },
            ping_interval_ms: millis(engine.ping_interval),
            ping_timeout_ms: millis(engine.ping_timeout),
            max_payload_bytes: engine.max_payload_bytes,
        };
        Bytes::from(format!("0{}", handshake.encode()))
    }

    /// Which transport a session is on, and its sid; `None` if it has ended.
    pub fn session_state(&self, session: SessionId) -> Option<(State, Sid)> {
        self.sessions.get(session).map(|record| (record.state, record.sid))
    }

    /// The cookie of a session by long polling, if its endpoint has one.
    pub(super) fn cookie(&self, session: SessionId) -> Option<HeaderValue> {
        let record = self.sessions.get(session)?;
        let (EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) =
            &self.endpoint(record.endpoint)?.kind
        else {
            return None;
        };
        engine.cookie.as_ref()?.header(record.sid.as_str())
    }

    /// Takes a step of the table and carries out what concerns the session; what concerns the request or the WebSocket
    /// that brought it is the caller's, by the action returned.
    pub(super) fn advance(&mut self, session: SessionId, event: SessionEvent, reason: Reason, now: Instant) -> Action {
        let Some(record) = self.sessions.get_mut(session) else { return Action::RefuseRequest };
        let taken = step(record.state, event);
        #[cfg(feature = "test-hooks")]
        let taken = self.test_hooks.step(record.state, event, taken);
        let Transition { next, action } = taken;
        record.state = next;
        match action {
            Action::Ignore
            | Action::HoldPoll
            | Action::AnswerNoop
            | Action::TakePost
            | Action::RefuseRequest
            | Action::AttachProbe
            | Action::CloseNewcomer
            | Action::DeliverClose => {}
            Action::AnswerProbe => self.answer_probe(session),
            Action::DropProbe => self.drop_probe(session, now),
            Action::Switch => self.switch(session),
            Action::EndByPeer => self.end_session(session, b"6", reason, now),
            Action::EndByOverlap | Action::End => self.end_session(session, b"1", reason, now),
            Action::SendClose => self.send_close(session, reason, now),
        }
        action
    }

    /// A peer's fault ends its session.
    pub(super) fn fault(&mut self, session: SessionId, fault: PeerError, now: Instant) {
        self.counters.peer_faults += 1;
        self.advance(session, SessionEvent::Fault, Reason::Fault(fault), now);
    }

    /// Ends sessions whose queues ran over. Called last by every method that may queue packets.
    pub(super) fn end_too_slow(&mut self, now: Instant) {
        while let Some(index) = self.queues.poll_too_slow() {
            if let Some(session) = self.sessions.handle_at(index.0) {
                self.counters.too_slow += 1;
                self.advance(session, SessionEvent::Fault, Reason::TooSlow, now);
            }
        }
    }

    /// A heartbeat is due or missing.
    pub(super) fn handle_heartbeat(&mut self, due: HeartbeatDue, now: Instant) {
        match due {
            HeartbeatDue::Ping(session) => {
                let Some(record) = self.sessions.get(session) else { return };
                match (record.kind, record.conn) {
                    (SessionKind::WebSocket, Some(conn)) => {
                        self.heartbeats.handle_ping_sent(session, self.progress(session));
                        self.send_control(conn, Arc::clone(&self.constant.ws_ping));
                    }
                    (SessionKind::SocketIo | SessionKind::EngineIo | SessionKind::WebSocket, _) => {
                        self.heartbeats.handle_ping_sent(session, self.progress(session));
                        let ping = Arc::clone(&self.constant.ping);
                        self.send(session, &ping);
                    }
                }
            }
            HeartbeatDue::Overdue { session, progress } => {
                if !self.sessions.contains(session) {
                    return;
                }
                // Where we do not read, a pong cannot be seen: that the peer took bytes since the ping, or has taken all
                // there are, is as good a sign.
                let is_alive = self.progress(session) > progress || self.unsent_bytes(session) == 0;
                if self.intake.is_behind(session) && is_alive {
                    return self.heartbeats.ping_again(session, now);
                }
                self.counters.pings_unanswered += 1;
                self.advance(session, SessionEvent::Fault, Reason::PingTimeout, now);
            }
        }
    }

    /// A deadline was missed.
    pub(super) fn handle_missed(&mut self, kind: DeadlineKind, subject: DeadlineSubject, now: Instant) {
        match (kind, subject) {
            (DeadlineKind::Connect, DeadlineSubject::Session(session)) => {
                self.advance(session, SessionEvent::CloseCommand, Reason::ConnectTimeout, now);
            }
            (DeadlineKind::Upgrade, DeadlineSubject::Session(session)) => {
                self.advance(session, SessionEvent::ProbeEnded, Reason::TransportClose, now);
            }
            (DeadlineKind::Close, DeadlineSubject::Session(session)) => {
                self.advance(session, SessionEvent::CloseTimeout, Reason::TransportClose, now);
            }
            (DeadlineKind::Close, DeadlineSubject::Conn(conn)) => self.drop_conn(conn),
            (DeadlineKind::Partial, subject) => self.handle_unfinished(subject, now),
            (DeadlineKind::Connect | DeadlineKind::Upgrade, DeadlineSubject::Conn(_)) => {}
        }
    }

    /// A frame, a message or a packet is not whole in time. Where reading is paused, that is not the peer's fault.
    fn handle_unfinished(&mut self, subject: DeadlineSubject, now: Instant) {
        match subject {
            DeadlineSubject::Session(session) => {
                let is_behind = self.intake.is_behind(session);
                let Some(record) = self.sessions.get_mut(session) else { return };
                let Some(partial) = record.partial.as_mut() else { return };
                partial.deadline = None;
                if is_behind {
                    partial.deadline = self.deadlines.arm(DeadlineKind::Partial, record.endpoint, subject, now);
                    return;
                }
                self.fault(session, PeerError::Unfinished, now);
            }
            DeadlineSubject::Conn(conn) => {
                let Some(session) = self.streams.session(conn) else { return };
                if let Some(deadline) = self.streams.partial_deadline(conn) {
                    *deadline = None;
                }
                if self.intake.is_behind(session) || self.streams.has_rest(conn) {
                    return self.settle_partial(conn, now);
                }
                match self.streams.is_own(conn) {
                    Some(true) => self.fault(session, PeerError::Unfinished, now),
                    Some(false) => {
                        let reason = Reason::Fault(PeerError::Unfinished);
                        self.advance(session, SessionEvent::ProbeEnded, reason, now);
                    }
                    None => {}
                }
            }
        }
    }

    /// Arms the deadline of a message that is under way, and forgets that of one that is whole.
    pub(super) fn settle_partial(&mut self, conn: ConnId, now: Instant) {
        let is_partial = self.streams.is_partial(conn);
        let Some(endpoint) = self.streams.endpoint(conn) else { return };
        let Some(deadline) = self.streams.partial_deadline(conn) else { return };
        match (is_partial, deadline.is_some()) {
            (true, false) => {
                *deadline = self.deadlines.arm(DeadlineKind::Partial, endpoint, DeadlineSubject::Conn(conn), now);
            }
            (false, true) => self.deadlines.cancel(deadline.take()),
            (true, true) | (false, false) => {}
        }
    }

    /// A WebSocket has come for this session: it probes from now on.
    pub(super) fn attach_probe(&mut self, session: SessionId, conn: ConnId, now: Instant) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        record.probe = Some(conn);
        let subject = DeadlineSubject::Session(session);
        record.upgrade_deadline = self.deadlines.arm(DeadlineKind::Upgrade, record.endpoint, subject, now);
    }

    /// The stream of a session, or the one that probes for it, is gone.
    pub(super) fn detach_conn(&mut self, session: SessionId, conn: ConnId, reason: Reason, now: Instant) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        if record.conn == Some(conn) {
            record.conn = None;
            let event = if reason.fault().is_some() { SessionEvent::Fault } else { SessionEvent::WsEnded };
            self.advance(session, event, reason, now);
        } else if record.probe == Some(conn) {
            record.probe = None;
            self.advance(session, SessionEvent::ProbeEnded, reason, now);
        }
    }

    /// A stream broke the rules of RFC 6455. What is queued still goes out, then the close frame that says why.
    pub(super) fn fail_conn(&mut self, conn: ConnId, error: WsError, now: Instant) {
        let Some(session) = self.streams.session(conn) else { return };
        let is_own = self.sessions.get(session).is_some_and(|record| record.conn == Some(conn));
        if is_own {
            self.counters.peer_faults += 1;
            if let Some(queue) = self.queues.get_mut(outbound_of(session)) {
                self.streams.move_queue_to_conn(conn, queue);
            }
        }
        let was_closing = self.streams.is_closing(conn);
        let announce = self.streams.fail(conn, error);
        self.announce_conn(conn, announce);
        if !was_closing {
            self.arm_close_deadline(conn, now);
        }
        self.detach_conn(session, conn, Reason::Fault(PeerError::BadFrame(error.close_code())), now);
    }

    /// The peer sent a close frame.
    pub(super) fn conn_closed_by_peer(&mut self, conn: ConnId, code: Option<CloseCode>, now: Instant) {
        let Some(session) = self.streams.session(conn) else { return };
        let was_closing = self.streams.is_closing(conn);
        let Some(announce) = self.streams.closed_by_peer(conn, code) else { return self.drop_conn(conn) };
        self.announce_conn(conn, announce);
        if !was_closing {
            self.arm_close_deadline(conn, now);
            self.detach_conn(session, conn, Reason::TransportClose, now);
        }
    }

    /// Begins to close a stream: the close frame goes behind what is queued, and the peer has a while to answer it.
    pub(super) fn close_conn(&mut self, conn: ConnId, code: Option<CloseCode>, now: Instant) {
        let Some(announce) = self.streams.close(conn, code) else { return };
        self.announce_conn(conn, announce);
        self.arm_close_deadline(conn, now);
        // The peer's close frame may stand behind what was not taken.
        self.settle_reading(conn);
    }

    /// Tells the application that a socket, detached or not, is gone: it leaves its rooms and answers no acks any more.
    pub(super) fn end_socket(&mut self, socket: SocketId, reason: Reason) {
        let session = self.namespaces.session(socket);
        self.lose(socket, reason);
        let Some(removed) = self.namespaces.remove(socket) else { return };
        self.acks.handle_gone(socket);
        self.forward_acks();
        if let Some(link) = self.cluster.as_deref_mut() {
            link.held.handle_gone(socket);
        }
        self.event(Event::Disconnected { socket, reason, rooms: removed.rooms });
        // CONNECT packets that waited for the decision on this socket end with it, and count as handled.
        for _ in removed.waiting {
            session.into_iter().for_each(|session| self.intake.handle_handled(session));
        }
    }

    /// The time in which a namespace must be joined is kept.
    pub(super) fn cancel_connect_deadline(&mut self, session: SessionId) {
        let deadline = self.sessions.get_mut(session).and_then(|record| record.connect_deadline.take());
        self.deadlines.cancel(deadline);
    }

    /// Grows whenever the peer takes bytes, on any transport.
    fn progress(&self, session: SessionId) -> u64 {
        let conn = self.sessions.get(session).and_then(|record| record.conn);
        self.requests.polls_answered(session) + conn.map_or(0, |conn| self.streams.progress(conn))
    }

    /// Bytes that the peer could still take.
    fn unsent_bytes(&self, session: SessionId) -> usize {
        let conn = self.sessions.get(session).and_then(|record| record.conn);
        self.queues.bytes(outbound_of(session)) + conn.map_or(0, |conn| self.streams.priority_bytes(conn))
    }

    fn answer_probe(&mut self, session: SessionId) {
        let Some(probe) = self.sessions.get(session).and_then(|record| record.probe) else { return };
        let answer = Arc::clone(&self.constant.probe_answer);
        self.send_control(probe, answer);
        if let Some(queue) = self.queues.get_mut(outbound_of(session)) {
            queue.flow = SessionFlow::Held;
        }
        self.answer_poll_with(session, b"6");
    }

    fn drop_probe(&mut self, session: SessionId, now: Instant) {
        self.cancel_upgrade_deadline(session);
        let waits = self.requests.is_polled(session);
        if let Some(queue) = self.queues.get_mut(outbound_of(session)) {
            queue.flow = if waits { SessionFlow::PollWaits } else { SessionFlow::NoPoll };
        }
        self.queues.announce(outbound_of(session));
        let probe = self.sessions.get_mut(session).and_then(|record| record.probe.take());
        if let Some(probe) = probe {
            self.close_conn(probe, Some(CloseCode::NORMAL), now);
        }
    }

    fn switch(&mut self, session: SessionId) {
        self.cancel_upgrade_deadline(session);
        let Some(record) = self.sessions.get_mut(session) else { return };
        let Some(conn) = record.probe.take() else { return };
        record.conn = Some(conn);
        let Some(takes_bytes) = self.streams.take_over(conn) else { return };
        if let Some(queue) = self.queues.get_mut(outbound_of(session)) {
            queue.attach(conn, if takes_bytes { SessionFlow::Open } else { SessionFlow::Blocked });
        }
        self.queues.announce(outbound_of(session));
        self.settle_reading(conn);
        self.counters.upgrades += 1;
    }

    /// The server closes: what is queued still goes out.
    fn send_close(&mut self, session: SessionId, reason: Reason, now: Instant) {
        self.leave_application(session, reason);
        let Some(record) = self.sessions.get_mut(session) else { return };
        let (endpoint, probe) = (record.endpoint, record.probe.take());
        if record.conn.is_some() {
            // The stream closes by itself from now on.
            self.advance(session, SessionEvent::CloseDelivered, reason, now);
            return;
        }
        self.heartbeats.stop(session);
        self.cancel_upgrade_deadline(session);
        if let Some(probe) = probe {
            self.close_conn(probe, Some(reason.close_code()), now);
        }
        let deadline = self.deadlines.arm(DeadlineKind::Close, endpoint, DeadlineSubject::Session(session), now);
        if let Some(record) = self.sessions.get_mut(session) {
            record.close_deadline = deadline;
        }
        if self.requests.is_polled(session) {
            self.deliver_close(session, reason, now);
        }
    }

    /// Gives the waiting poll of a closing session what is queued and, behind all of it, the `1`. With that the session is
    /// over; if more is queued than one answer takes, the next poll gets the rest.
    pub(super) fn deliver_close(&mut self, session: SessionId, reason: Reason, now: Instant) {
        if self.answer_poll(session, b"1") {
            self.advance(session, SessionEvent::CloseDelivered, reason, now);
        }
    }

    fn end_session(&mut self, session: SessionId, last: &'static [u8], reason: Reason, now: Instant) {
        self.answer_poll_with(session, last);
        self.leave_application(session, reason);
        self.free_session(session, reason, now);
    }

    /// Tells the application that a peer is gone; once.
    fn leave_application(&mut self, session: SessionId, reason: Reason) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        if std::mem::replace(&mut record.gone, true) {
            return;
        }
        let kind = record.kind;
        let partial = record.partial.take();
        self.deadlines.cancel(partial.and_then(|partial| partial.deadline));
        let held = self.intake.release(session);
        self.put_back(held);
        while let Some(socket) = self.namespaces.any_of(session) {
            self.end_socket(socket, reason);
        }
        self.cancel_connect_deadline(session);
        if kind != SessionKind::SocketIo {
            self.event(Event::Closed { session, reason });
        }
    }

    /// Frees a session and everything that belongs to it. Its WebSocket stays open until the queued frames and the
    /// close frame have been written.
    fn free_session(&mut self, session: SessionId, reason: Reason, now: Instant) {
        self.heartbeats.stop(session);
        self.cancel_upgrade_deadline(session);
        self.cancel_connect_deadline(session);
        let broke_off = (reason == Reason::TransportError).then_some(PeerError::BadRequest);
        let fault = reason.fault().or(broke_off);
        for output in self.requests.close(session, fault) {
            self.output(output);
        }
        self.intake.stop(session);
        self.unadmitted.stop(session);
        let Some(record) = self.sessions.remove(session) else { return };
        self.deadlines.cancel(record.close_deadline);
        self.session_sids.remove(&record.sid);
        if let Some(conn) = record.conn {
            if let Some(queue) = self.queues.get_mut(outbound_of(session)) {
                self.streams.move_queue_to_conn(conn, queue);
            }
            self.close_conn(conn, Some(reason.close_code()), now);
        }
        if let Some(probe) = record.probe {
            self.close_conn(probe, Some(reason.close_code()), now);
        }
        self.queues.close(outbound_of(session));
    }

    fn cancel_upgrade_deadline(&mut self, session: SessionId) {
        let deadline = self.sessions.get_mut(session).and_then(|record| record.upgrade_deadline.take());
        self.deadlines.cancel(deadline);
    }

    fn arm_close_deadline(&mut self, conn: ConnId, now: Instant) {
        let Some(endpoint) = self.streams.endpoint(conn) else { return };
        let deadline = self.deadlines.arm(DeadlineKind::Close, endpoint, DeadlineSubject::Conn(conn), now);
        self.streams.set_close_deadline(conn, deadline);
    }
}
