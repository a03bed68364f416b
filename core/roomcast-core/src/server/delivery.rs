//! What goes out: by which queue, in whose answer, and what follows from a queue that has become shorter.
//!
//! Owns: the ways between the machines that hold output. Must never know: what is sent, or what a session is doing.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::encoded::Encoded;
use super::event::{ConnId, Delivery, Event, Output, RequestId, SessionId};
use super::fault::PeerError;
use super::intake::Rest;
use super::outbound::SessionFlow;
use super::queues::DueOutput;
use super::requests::Filled;
use super::streams::Announce;
use super::transmit::Transmit;
use super::{Queued, Server, outbound_of};
use crate::rooms::OutboundIdx;
use crate::time::Instant;

impl Server {
    /// The socket has taken a part of a transmit and refuses the rest for now. Poll transmits again when it is ready.
    pub fn handle_refused(&mut self, conn: ConnId, rest: &mut Transmit, _now: Instant) {
        let Some(is_own) = self.streams.handle_refused(conn, rest) else {
            rest.discard();
            return self.stale();
        };
        if is_own
            && let Some(session) = self.streams.session(conn)
            && let Some(queue) = self.queues.get_mut(outbound_of(session))
        {
            queue.fall_behind(SessionFlow::Blocked);
        }
    }

    /// The driver has something else to do first: the rest goes with the next [`poll_transmit`](Self::poll_transmit), which the
    /// driver calls by itself. Unlike [`handle_refused`](Self::handle_refused) this says nothing of the peer, which is no
    /// nearer to being too slow.
    pub fn handle_postponed(&mut self, conn: ConnId, rest: &mut Transmit, _now: Instant) {
        if self.streams.take_back(conn, rest).is_none() {
            rest.discard();
            self.stale();
        }
    }

    /// Some frames for one write. `false`: nothing to send.
    pub fn poll_transmit(&mut self, conn: ConnId, transmit: &mut Transmit) -> bool {
        transmit.begin();
        let Self { streams, queues, .. } = self;
        let watched = streams.pop_transmit(conn, transmit, |session| queues.get_mut(outbound_of(session)));
        if let Some(session) = watched {
            self.relieve(session);
        }
        !transmit.is_empty() || transmit.after() != super::After::Keep
    }

    /// Whether a session's queue is over the soft limit: the application should wait for [`Event::Relieved`], which will
    /// come, before it sends more to this session alone.
    pub fn is_congested(&mut self, session: SessionId) -> bool {
        if !self.sessions.contains(session) || !self.queues.is_congested(outbound_of(session)) {
            return false;
        }
        self.intake.want_relief(session);
        self.watch(session);
        true
    }

    /// Queues a packet for a session on its transport of the moment.
    pub(super) fn send(&mut self, session: SessionId, packet: &Arc<Encoded>) {
        self.queues.push(outbound_of(session), packet, Delivery::Reliable);
    }

    /// Sends something before the session's queue.
    pub(super) fn send_control(&mut self, conn: ConnId, packet: Arc<Encoded>) {
        let announce = self.streams.push_priority(conn, packet);
        self.announce_conn(conn, announce);
    }

    pub(super) fn announce_conn(&mut self, conn: ConnId, announce: Announce) {
        match announce {
            Announce::Yes => self.queues.announce_conn(conn),
            Announce::No => {}
        }
    }

    /// Queues a pong in its turn: behind what the application said to the messages before the ping.
    pub(super) fn send_pong(&mut self, conn: ConnId, pong: Arc<Encoded>) {
        let Some(session) = self.streams.session(conn) else { return };
        // RFC 6455 section 5.5.3: of several pings only the last needs its pong.
        let queued = self.streams.priority_bytes(conn) + self.queues.bytes(outbound_of(session));
        if queued > self.config.limits.queue_soft_bytes {
            return;
        }
        match self.streams.is_own(conn) {
            Some(true) => self.send(session, &pong),
            Some(false) => self.send_control(conn, pong),
            None => {}
        }
    }

    /// Ends a stream at once; what is unsent is lost.
    pub(super) fn drop_conn(&mut self, conn: ConnId) {
        if self.remove_conn(conn) {
            self.output(Some(Output::Close(conn)));
        }
    }

    /// Forgets a stream; `false` for a stale handle.
    pub(super) fn remove_conn(&mut self, conn: ConnId) -> bool {
        let Some(deadlines) = self.streams.remove(conn) else { return false };
        deadlines.into_iter().for_each(|deadline| self.deadlines.cancel(deadline));
        self.intake.forget_rest(Rest::Conn(conn));
        true
    }

    pub(super) fn respond(&mut self, request: RequestId, body: Bytes) {
        let response = self.requests.respond(request, body);
        self.output(response);
    }

    /// As [`respond`](Self::respond), with the cookie of the session that the request opened.
    pub(super) fn respond_opening(&mut self, request: RequestId, body: Bytes, cookie: Option<HeaderValue>) {
        let response = self.requests.respond_opening(request, body, cookie);
        self.output(response);
    }

    pub(super) fn respond_fault(&mut self, request: RequestId, fault: PeerError) {
        let response = self.requests.respond_fault(request, fault);
        self.output(response);
    }

    /// The waiting poll, answered with this one packet and nothing of the queue.
    pub(super) fn answer_poll_with(&mut self, session: SessionId, packet: &'static [u8]) {
        let response = self.requests.answer_poll_with(session, packet);
        self.output(response);
    }

    /// Answers the waiting poll with the queued packets, followed by `last` at the end of a session. Returns whether
    /// all of them fitted into the answer.
    pub(super) fn answer_poll(&mut self, session: SessionId, last: &[u8]) -> bool {
        let Some(queue) = self.queues.get_mut(outbound_of(session)) else { return true };
        let Some((output, is_complete)) = self.requests.answer_poll(session, queue, last) else {
            return queue.is_empty();
        };
        self.output(Some(output));
        self.relieve(session);
        is_complete
    }

    /// Answers the POST of a session, if all of it is taken.
    pub(super) fn finish_post(&mut self, session: SessionId) {
        let response = self.requests.finish_post(session);
        self.output(response);
    }

    /// Puts what was queued for polls that wait into their answers. What is queued before an answer is polled is still
    /// added to it.
    #[inline]
    pub(super) fn fill_answers(&mut self) {
        while let Some(index) = self.queues.poll_answerable() {
            self.fill_answer(index);
        }
    }

    fn fill_answer(&mut self, index: OutboundIdx) {
        let Some(session) = self.sessions.handle_at(index.0) else { return };
        let Some(queue) = self.queues.get_mut(index).filter(|queue| queue.flow == SessionFlow::PollWaits) else {
            return;
        };
        let filled = self.requests.fill_answer(session, queue);
        let is_watched = queue.watched;
        match filled {
            Filled::First => self.queues.announce_answer(session),
            Filled::More => {}
            Filled::Nothing => return,
        }
        if is_watched {
            self.relieve(session);
        }
    }

    /// The next queue that its WebSocket takes, or the answer of a poll.
    #[inline]
    pub(super) fn poll_due(&mut self) -> Option<Output> {
        loop {
            match self.queues.poll_due()? {
                // It may have been closed since.
                DueOutput::Conn(conn) if self.streams.contains(conn) => return Some(Output::Writable(conn)),
                DueOutput::Conn(_) => {}
                DueOutput::Outbound(index) => {
                    if let Some(conn) = self.queues.get(index).and_then(|queue| queue.due()) {
                        return Some(Output::Writable(conn));
                    }
                }
                DueOutput::Answer(session) => {
                    if let Some(output) = self.pop_answer(session) {
                        return Some(output);
                    }
                }
            }
        }
    }

    fn pop_answer(&mut self, session: SessionId) -> Option<Output> {
        self.sessions.get(session)?;
        let output = self.requests.pop_answer(session)?;
        self.queues.get_mut(outbound_of(session))?.end_poll();
        Some(output)
    }

    /// The queue of a session has become shorter, or the application has dealt with something of it.
    pub(super) fn relieve(&mut self, session: SessionId) {
        let bytes = self.queues.bytes(outbound_of(session));
        let relief = self.intake.relieve(session, bytes, self.unread_bytes(session));
        if relief.tell {
            self.event(Event::Relieved { session });
        }
        if self.intake.holds(session) && !self.is_held_up(session) {
            let held = self.intake.release(session);
            self.put_back(held);
        }
        if relief.resume {
            if self.requests.is_posting(session) {
                self.intake.push_ready(Rest::Post(session));
            }
            if let Some(conn) = self.sessions.get(session).and_then(|record| record.conn) {
                self.settle_reading(conn);
            }
        }
        self.watch(session);
    }

    /// The bytes that a session has not taken and for which it is not read. None where it reads and writes by turns: a
    /// client that upgrades polls no more and waits for the answer of its POST, which must not wait for a poll.
    pub(super) fn unread_bytes(&self, session: SessionId) -> usize {
        let has_stream = self.sessions.get(session).is_some_and(|record| record.conn.is_some());
        if has_stream { self.queues.bytes(outbound_of(session)) } else { 0 }
    }

    /// Whether the application is to hear nothing of a session for now: it does not take what it is sent. A client that
    /// polls reads and writes by turns, so that only the hard limit holds it up.
    pub(super) fn is_held_up(&self, session: SessionId) -> bool {
        let Some(queue) = self.queues.get(outbound_of(session)) else { return false };
        let limits = &self.config.limits;
        let bytes_max = match queue.flow {
            SessionFlow::Open | SessionFlow::Blocked => limits.queue_soft_bytes,
            SessionFlow::Held | SessionFlow::NoPoll | SessionFlow::PollWaits => limits.queue_bytes_max,
        };
        queue.bytes() > bytes_max && self.sessions.contains(session)
    }

    /// Has the driver read a stream, or not, as its session and what is kept of it demand.
    pub(super) fn settle_reading(&mut self, conn: ConnId) {
        let session = self.streams.session(conn).filter(|_| self.streams.is_own(conn) == Some(true));
        let is_behind = session.is_some_and(|session| self.intake.is_behind(session));
        let has_rest = self.streams.has_rest(conn) || session.is_some_and(|session| self.is_checking(session));
        if has_rest && !is_behind {
            self.intake.push_ready(Rest::Conn(conn));
        }
        let is_paused = has_rest || is_behind;
        if self.streams.set_read_paused(conn, is_paused) {
            self.output(Some(if is_paused { Output::ReadPaused(conn) } else { Output::ReadResumed(conn) }));
        }
    }

    /// Events that were held back come before those that are queued.
    pub(super) fn put_back(&mut self, events: std::collections::VecDeque<Event>) {
        for event in events.into_iter().rev() {
            self.outputs.push_front(Queued::Output(Output::Event(event)));
        }
    }

    /// Notes whether something follows once a queue is shorter.
    pub(super) fn watch(&mut self, session: SessionId) {
        let is_watched = self.intake.is_watched(session);
        if let Some(queue) = self.queues.get_mut(outbound_of(session)) {
            queue.watched = is_watched;
        }
    }
}
