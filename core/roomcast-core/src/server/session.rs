//! Engine.IO sessions, and bare WebSockets as sessions without a choice of transport.
//!
//! Owns: opening, heartbeat, upgrade, pausing and ending; carries out what the table in
//! [`engine_io::session`](crate::engine_io::session) says. Must never know: HTTP's or WebSocket's forms.

use std::sync::Arc;
use std::time::Duration;

use super::config::{EndpointId, EndpointKind, EngineIo, WebSocket};
use super::encoded::Encoded;
use super::event::{ConnId, Event, Handshake, Message, Output, Reason, SessionId};
use super::fault::PeerError;
use super::outbound::{DueAs, Flow, Pushed};
use super::state::{Closing, ConnRole, Heartbeat, Session, SessionKind};
use super::{Due, Server};
use crate::engine_io::Packet;
use crate::engine_io::session::{Action, SessionEvent, State, Step, step};
use crate::id::SlabKey as _;
use crate::time::Instant;
use crate::websocket::CloseCode;

impl Server {
    /// A new session; the application hears of it if it is a bare one.
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
        let record = Session {
            endpoint,
            kind,
            state,
            sid,
            conn: None,
            probe: None,
            poll: None,
            post: None,
            polls_answered: 0,
            heartbeat: Heartbeat::Off,
            connect_timer: None,
            upgrade_timer: None,
            close_timer: None,
            sockets: Vec::new(),
            partial: None,
            unanswered: 0,
            paused: false,
            relief_wanted: false,
            spread: false,
            gone: false,
            handshake: Arc::clone(&handshake),
        };
        let session = self.sessions.insert(record);
        if self.outbounds.len() <= session.slot() {
            self.outbounds.resize_with(session.slot() + 1, Default::default);
        }
        if let Some(out) = self.outbounds.get_mut(session.slot()) {
            out.reset();
            out.flow = if state == State::WebSocket { Flow::Open } else { Flow::NoPoll };
        }
        self.counters.sessions_opened += 1;
        self.arm_ping(session, now);
        match kind {
            SessionKind::SocketIo => self.arm_connect(session, now),
            SessionKind::EngineIo | SessionKind::WebSocket => {}
        }
        if kind != SessionKind::WebSocket {
            self.session_sids.insert(sid, session);
        }
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

    /// Takes a step of the table and carries out what concerns the session; what concerns the request or the WebSocket
    /// that brought it is the caller's, by the action returned.
    pub(super) fn advance(&mut self, session: SessionId, event: SessionEvent, reason: Reason, now: Instant) -> Action {
        let Some(record) = self.sessions.get_mut(session) else { return Action::RefuseRequest };
        let taken = step(record.state, event);
        #[cfg(feature = "test-hooks")]
        let taken = self.test_hooks.step(record.state, event, taken);
        let Step { next, action } = taken;
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
            Action::AnswerProbe => self.answer_probe(session, now),
            Action::DropProbe => self.drop_probe(session, now),
            Action::Switch => self.switch(session),
            Action::EndByPeer => {
                self.answer_poll_with(session, b"6");
                self.leave_application(session, reason);
                self.free_session(session, Some(reason), now);
            }
            Action::EndByOverlap | Action::End => {
                self.answer_poll_with(session, b"1");
                self.leave_application(session, reason);
                self.free_session(session, Some(reason), now);
            }
            Action::SendClose => {
                self.leave_application(session, reason);
                self.send_close(session, reason, now);
            }
        }
        action
    }

    /// A peer's fault ends its session.
    pub(super) fn fault(&mut self, session: SessionId, fault: PeerError, now: Instant) {
        self.counters.peer_faults += 1;
        self.advance(session, SessionEvent::Fault, Reason::Fault(fault), now);
    }

    /// An Engine.IO packet on a session's transport.
    pub(super) fn handle_packet(&mut self, session: SessionId, packet: Packet, now: Instant) -> Result<(), PeerError> {
        self.counters.packets_received += 1;
        #[cfg(feature = "test-hooks")]
        if self.loses_packet(session, &packet) {
            return Ok(());
        }
        let Some((kind, gone)) = self.sessions.get(session).map(|record| (record.kind, record.gone)) else {
            return Ok(());
        };
        // The application has been told of its end: what was on its way is for nobody.
        if gone && packet != Packet::Close {
            return Ok(());
        }
        match packet {
            Packet::Pong(_) => self.handle_pong(session, now),
            Packet::Close => {
                self.advance(session, SessionEvent::ClosePacket, Reason::TransportClose, now);
            }
            Packet::Message(text) => match kind {
                SessionKind::SocketIo => self.handle_socket_text(session, text, now)?,
                SessionKind::EngineIo | SessionKind::WebSocket => self.deliver(session, Message::Text(text)),
            },
            Packet::Binary(bytes) => match kind {
                SessionKind::SocketIo => self.handle_attachment(session, bytes, now)?,
                SessionKind::EngineIo | SessionKind::WebSocket => self.deliver(session, Message::Binary(bytes)),
            },
            Packet::Noop => {}
            // The server pings, opens and is upgraded on the probing WebSocket alone.
            Packet::Open(_) | Packet::Ping(_) | Packet::Upgrade => return Err(PeerError::BadEnginePacket),
        }
        Ok(())
    }

    /// A bare message, to the application.
    pub(super) fn deliver(&mut self, session: SessionId, message: Message) {
        if let Some(record) = self.sessions.get_mut(session) {
            record.unanswered += 1;
            self.event(Event::Message { session, message });
        }
    }

    /// What becomes of a push: see [`Pushed`].
    pub(super) fn pushed(&mut self, session: SessionId, pushed: Pushed) {
        match pushed {
            Pushed::Queued => self.counters.packets_queued += 1,
            Pushed::Announce => {
                self.counters.packets_queued += 1;
                self.writable.push_back(Due::Outbound(session.index()));
            }
            Pushed::Dropped => self.counters.volatile_dropped += 1,
            Pushed::TooSlow => self.too_slow.push(session),
        }
    }

    /// Ends those whose queues ran over, after the walk that found them.
    pub(super) fn end_too_slow(&mut self, now: Instant) {
        while let Some(session) = self.too_slow.pop() {
            if let Some(out) = self.outbounds.get_mut(session.slot())
                && self.sessions.contains(session)
            {
                out.reset();
                self.counters.too_slow += 1;
                self.advance(session, SessionEvent::Fault, Reason::TooSlow, now);
            }
        }
    }

    /// A outbound is due for output: its WebSocket is writable, or its poll is answered. Whatever has become of it since.
    #[inline]
    pub(super) fn outbound_due(&mut self, outbound: u32) -> Option<Output> {
        match self.outbounds.get(outbound as usize)?.due()? {
            DueAs::Writable(conn) => Some(Output::Writable(conn)),
            DueAs::Answer => self.poll_due(self.sessions.handle_at(outbound)?),
        }
    }

    /// Has the driver told of what waits for a session.
    pub(super) fn announce(&mut self, session: SessionId) {
        if let Some(out) = self.outbounds.get_mut(session.slot())
            && !out.is_empty()
        {
            out.announced = true;
            self.writable.push_back(Due::Outbound(session.index()));
        }
    }

    /// Whether a session's queue is over the soft limit: whoever emits to it alone should wait for
    /// [`Event::Relieved`], which will come.
    pub fn is_congested(&mut self, session: SessionId) -> bool {
        let soft = self.config.limits.queue_soft_bytes;
        let congested = self.outbounds.get(session.slot()).is_some_and(|out| out.bytes() > soft);
        match (self.sessions.get_mut(session), self.outbounds.get_mut(session.slot())) {
            (Some(record), Some(out)) if congested => {
                record.relief_wanted = true;
                out.watched = true;
                true
            }
            (Some(_) | None, Some(_) | None) => false,
        }
    }

    /// The queue has shrunk.
    pub(super) fn relieve(&mut self, session: SessionId) {
        let soft = self.config.limits.queue_soft_bytes;
        let bytes = self.outbounds.get(session.slot()).map_or(0, super::Outbound::bytes);
        let Some(record) = self.sessions.get_mut(session) else { return };
        if record.relief_wanted && bytes <= soft {
            record.relief_wanted = false;
            self.event(Event::Relieved { session });
        }
        self.resume_if_relieved(session);
        if let (Some(record), Some(out)) = (self.sessions.get(session), self.outbounds.get_mut(session.slot())) {
            out.watched = record.relief_wanted || record.paused;
        }
    }

    /// Stops reading a peer whose events the application has not handled, or that does not read what it is sent.
    pub(super) fn pause_if_behind(&mut self, session: SessionId) {
        let limits = &self.config.limits;
        let bytes = self.outbounds.get(session.slot()).map_or(0, super::Outbound::bytes);
        let Some(record) = self.sessions.get_mut(session) else { return };
        // A client that polls reads and writes by turns: to hold its POST until it polls could wait for ever.
        let unread = record.conn.is_some() && bytes > limits.queue_soft_bytes;
        if !record.paused && (record.unanswered > limits.unanswered_max || unread) {
            record.paused = true;
            if let Some(conn) = record.conn {
                self.outputs.push_back(Output::ReadPaused(conn));
            }
            if let Some(out) = self.outbounds.get_mut(session.slot()) {
                out.watched = true;
            }
        }
    }

    /// Reads a paused peer again once both have fallen to half.
    pub(super) fn resume_if_relieved(&mut self, session: SessionId) {
        let limits = &self.config.limits;
        let bytes = self.outbounds.get(session.slot()).map_or(0, super::Outbound::bytes);
        let Some(record) = self.sessions.get_mut(session) else { return };
        if record.paused && record.unanswered <= limits.unanswered_max / 2 && bytes <= limits.queue_soft_bytes / 2 {
            record.paused = false;
            if let Some(conn) = record.conn {
                self.outputs.push_back(Output::ReadResumed(conn));
            }
            self.finish_post(session);
        }
    }

    /// The application has dealt with something of this session's.
    pub(super) fn handled(&mut self, session: SessionId) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        record.unanswered = record.unanswered.saturating_sub(1);
        if record.paused {
            self.resume_if_relieved(session);
        }
    }

    /// Deadlines of one endpoint.
    pub(super) fn handle_endpoint_timeout(&mut self, index: usize, now: Instant) {
        while let Some((session, due)) = self.endpoints.get_mut(index).and_then(|timers| {
            let due = timers.ping.next_deadline()?;
            Some((timers.ping.pop_due(now)?, due))
        }) {
            self.ping_due(session, due, now);
        }
        while let Some(session) = self.endpoints.get_mut(index).and_then(|timers| timers.pong.pop_due(now)) {
            self.pong_overdue(session, now);
        }
        while let Some(session) = self.endpoints.get_mut(index).and_then(|timers| timers.connect.pop_due(now)) {
            if let Some(record) = self.sessions.get_mut(session) {
                record.connect_timer = None;
                self.advance(session, SessionEvent::CloseCommand, Reason::ConnectTimeout, now);
            }
        }
        while let Some(session) = self.endpoints.get_mut(index).and_then(|timers| timers.upgrade.pop_due(now)) {
            if let Some(record) = self.sessions.get_mut(session) {
                record.upgrade_timer = None;
                self.advance(session, SessionEvent::ProbeEnded, Reason::TransportClose, now);
            }
        }
    }

    /// The time for a ping has come: `due` was it, so that a driver's timer that fires late does not add to the timeout.
    pub(super) fn ping_due(&mut self, session: SessionId, due: Instant, now: Instant) {
        let Some(record) = self.sessions.get(session) else { return };
        let (endpoint, kind, conn) = (record.endpoint, record.kind, record.conn);
        let timeout = self.beat(endpoint).1;
        let Some(timers) = self.timers(endpoint) else { return };
        // A driver that was held up for long leaves its peers at least half of the time.
        let key = timers.pong.arm((due + timeout).max(now + timeout / 2), session);
        let progress = self.progress(session);
        if let Some(record) = self.sessions.get_mut(session) {
            record.heartbeat = Heartbeat::Pong { key, progress };
        }
        match (kind, conn) {
            (SessionKind::WebSocket, Some(conn)) => {
                let ping = Arc::clone(&self.constant.ws_ping);
                self.send_control(conn, ping);
            }
            (SessionKind::SocketIo | SessionKind::EngineIo | SessionKind::WebSocket, _) => {
                let ping = Arc::clone(&self.constant.ping);
                self.send_encoded(session, &ping);
                self.end_too_slow(now);
            }
        }
    }

    /// A pong, or a bare WebSocket's message, which says as much.
    pub(super) fn handle_pong(&mut self, session: SessionId, now: Instant) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        let Heartbeat::Pong { key, .. } = record.heartbeat else { return };
        record.heartbeat = Heartbeat::Off;
        let (endpoint, spread) = (record.endpoint, std::mem::replace(&mut record.spread, true));
        if let Some(timers) = self.timers(endpoint) {
            timers.pong.cancel(key);
        }
        if spread {
            return self.arm_ping(session, now);
        }
        // Clients that came all at once, after a restart, would beat in step for ever: the second ping comes up to 5 %
        // early, and from then on each keeps the phase it has.
        let interval = self.beat(endpoint).0;
        let most = u64::try_from(interval.as_nanos() / 20).unwrap_or(0);
        let early = Duration::from_nanos(self.rng.below(most));
        let key = self.spread_pings.arm(now + (interval - early), session);
        if let Some(record) = self.sessions.get_mut(session) {
            record.heartbeat = Heartbeat::SpreadPing(key);
        }
    }

    fn pong_overdue(&mut self, session: SessionId, now: Instant) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        let Heartbeat::Pong { progress, .. } = record.heartbeat else { return };
        record.heartbeat = Heartbeat::Off;
        let paused = record.paused;
        // Where we do not read, a pong cannot be seen: that the peer took bytes since the ping, or has taken all there
        // are, is as good a sign.
        let now_at = self.progress(session);
        if paused && (now_at > progress || self.unsent_bytes(session) == 0) {
            // Another ping: without one for so long, the client would give up on us.
            return self.ping_due(session, now, now);
        }
        self.counters.pings_unanswered += 1;
        self.advance(session, SessionEvent::Fault, Reason::PingTimeout, now);
    }

    fn arm_ping(&mut self, session: SessionId, now: Instant) {
        let Some(endpoint) = self.sessions.get(session).map(|record| record.endpoint) else { return };
        let interval = self.beat(endpoint).0;
        let key = self.timers(endpoint).map(|timers| timers.ping.arm(now + interval, session));
        if let (Some(key), Some(record)) = (key, self.sessions.get_mut(session)) {
            record.heartbeat = Heartbeat::Ping(key);
        }
    }

    /// Ping interval and timeout.
    fn beat(&self, endpoint: EndpointId) -> (Duration, Duration) {
        match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(
                EndpointKind::SocketIo(EngineIo { ping_interval, ping_timeout, .. }, _)
                | EndpointKind::EngineIo(EngineIo { ping_interval, ping_timeout, .. })
                | EndpointKind::WebSocket(WebSocket { ping_interval, ping_timeout, .. }),
            ) => (*ping_interval, *ping_timeout),
            None => (Duration::MAX, Duration::MAX),
        }
    }

    fn stop_heartbeat(&mut self, session: SessionId) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        let endpoint = record.endpoint;
        match std::mem::replace(&mut record.heartbeat, Heartbeat::Off) {
            Heartbeat::Off => {}
            Heartbeat::SpreadPing(key) => {
                self.spread_pings.cancel(key);
            }
            Heartbeat::Ping(key) => {
                self.timers(endpoint).and_then(|timers| timers.ping.cancel(key));
            }
            Heartbeat::Pong { key, .. } => {
                self.timers(endpoint).and_then(|timers| timers.pong.cancel(key));
            }
        }
    }

    /// A WebSocket has come for this session: it probes from now on.
    pub(super) fn attach_probe(&mut self, session: SessionId, conn: ConnId, now: Instant) {
        let Some(endpoint) = self.sessions.get(session).map(|record| record.endpoint) else { return };
        let limit = match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) => engine.upgrade_timeout,
            Some(EndpointKind::WebSocket(_)) | None => return,
        };
        let key = self.timers(endpoint).map(|timers| timers.upgrade.arm(now + limit, session));
        if let Some(record) = self.sessions.get_mut(session) {
            record.probe = Some(conn);
            record.upgrade_timer = key;
        }
    }

    fn cancel_upgrade_timer(&mut self, session: SessionId) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        let (endpoint, key) = (record.endpoint, record.upgrade_timer.take());
        if let (Some(key), Some(timers)) = (key, self.timers(endpoint)) {
            timers.upgrade.cancel(key);
        }
    }

    fn answer_probe(&mut self, session: SessionId, _now: Instant) {
        let Some(probe) = self.sessions.get(session).and_then(|record| record.probe) else { return };
        let answer = Arc::clone(&self.constant.probe_answer);
        self.send_control(probe, answer);
        if let Some(out) = self.outbounds.get_mut(session.slot()) {
            out.flow = Flow::Held;
        }
        self.answer_poll_with(session, b"6");
    }

    fn drop_probe(&mut self, session: SessionId, now: Instant) {
        self.cancel_upgrade_timer(session);
        let Some(record) = self.sessions.get_mut(session) else { return };
        let probe = record.probe.take();
        let waits = record.poll.is_some();
        if let Some(out) = self.outbounds.get_mut(session.slot()) {
            out.flow = if waits { Flow::PollWaits } else { Flow::NoPoll };
        }
        self.announce(session);
        if let Some(probe) = probe {
            self.close_conn(probe, Some(CloseCode::NORMAL), now);
        }
    }

    fn switch(&mut self, session: SessionId) {
        self.cancel_upgrade_timer(session);
        let Some(record) = self.sessions.get_mut(session) else { return };
        let Some(conn) = record.probe.take() else { return };
        record.conn = Some(conn);
        let paused = record.paused;
        let Some(stream) = self.conns.get_mut(conn) else { return };
        stream.role = ConnRole::Own;
        let blocked = stream.blocked;
        if let Some(out) = self.outbounds.get_mut(session.slot()) {
            out.attach(conn, if blocked { Flow::Blocked } else { Flow::Open });
        }
        self.announce(session);
        if paused {
            self.outputs.push_back(Output::ReadPaused(conn));
        }
        self.counters.upgrades += 1;
    }

    /// The server closes: what is queued still goes out.
    fn send_close(&mut self, session: SessionId, reason: Reason, now: Instant) {
        let Some(record) = self.sessions.get(session) else { return };
        if record.conn.is_some() {
            return self.free_session(session, Some(reason), now);
        }
        self.stop_heartbeat(session);
        self.cancel_upgrade_timer(session);
        let probe = self.sessions.get_mut(session).and_then(|record| record.probe.take());
        if let Some(probe) = probe {
            self.close_conn(probe, Some(reason.close_code()), now);
        }
        let waits = self.sessions.get(session).is_some_and(|record| record.poll.is_some());
        if waits && self.answer_poll(session, Some(b"1")) {
            return self.free_session(session, Some(reason), now);
        }
        let key = self.closings.arm(now + self.config.limits.close_timeout, Closing::Session(session));
        if let Some(record) = self.sessions.get_mut(session) {
            record.close_timer = Some(key);
        }
    }

    /// A closing session whose client has not fetched the end in time.
    pub(super) fn close_overdue(&mut self, session: SessionId, now: Instant) {
        if let Some(record) = self.sessions.get_mut(session) {
            record.close_timer = None;
            self.advance(session, SessionEvent::CloseTimeout, Reason::TransportClose, now);
        }
    }

    /// Tells the application that a peer is gone; once.
    pub(super) fn leave_application(&mut self, session: SessionId, reason: Reason) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        if std::mem::replace(&mut record.gone, true) {
            return;
        }
        let kind = record.kind;
        record.partial = None;
        for (_, socket) in std::mem::take(&mut record.sockets) {
            self.end_socket(socket, reason);
        }
        self.cancel_connect(session);
        if kind != SessionKind::SocketIo {
            self.event(Event::Closed { session, reason });
        }
    }

    /// Frees a session and all that belongs to it. Its WebSocket lives on until what is queued and the close frame are
    /// out.
    pub(super) fn free_session(&mut self, session: SessionId, reason: Option<Reason>, now: Instant) {
        self.stop_heartbeat(session);
        self.cancel_upgrade_timer(session);
        self.cancel_connect(session);
        if let Some(request) = self.sessions.get_mut(session).and_then(|record| record.poll.take()) {
            self.respond_fault(request, PeerError::BadRequest);
        }
        let fault = match reason {
            Some(Reason::Fault(fault)) => fault,
            Some(Reason::TransportError) => PeerError::BadRequest,
            Some(_) | None => {
                self.finish_post(session);
                PeerError::BadRequest
            }
        };
        if let Some(request) = self.sessions.get_mut(session).and_then(|record| record.post.take()) {
            self.respond_fault(request, fault);
        }
        let Some(record) = self.sessions.remove(session) else { return };
        if let Some(key) = record.close_timer {
            self.closings.cancel(key);
        }
        self.session_sids.remove(&record.sid);
        let code = reason.unwrap_or(Reason::ForcedClose).close_code();
        if let Some(conn) = record.conn {
            self.move_queue_to_conn(conn, session);
            self.close_conn(conn, Some(code), now);
        }
        if let Some(probe) = record.probe {
            self.close_conn(probe, Some(code), now);
        }
        if let Some(out) = self.outbounds.get_mut(session.slot()) {
            out.reset();
        }
    }

    /// An Engine.IO message or a bare one.
    pub(super) fn send_message(&mut self, session: SessionId, message: &Message, now: Instant) {
        let Some(record) = self.sessions.get(session) else { return self.stale() };
        let packet = match (record.kind, message) {
            (SessionKind::WebSocket, Message::Text(text)) => {
                Encoded::frame(crate::websocket::Opcode::Text, text.as_bytes())
            }
            (SessionKind::WebSocket, Message::Binary(bytes)) => Encoded::frame(crate::websocket::Opcode::Binary, bytes),
            (SessionKind::SocketIo | SessionKind::EngineIo, Message::Text(text)) => Encoded::packet(
                1 + text.len(),
                |out| {
                    out.push(b'4');
                    out.extend_from_slice(text.as_bytes());
                },
                &[],
            ),
            (SessionKind::SocketIo | SessionKind::EngineIo, Message::Binary(bytes)) => Encoded::binary(bytes),
        };
        self.send_encoded(session, &packet);
        self.end_too_slow(now);
    }
}
