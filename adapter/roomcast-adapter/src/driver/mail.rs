//! What the rest of the program wants.
//!
//! Owns: HTTP requests and commands on their way into the core. Must never know: how they came.

use bytes::Bytes;
use bytestring::ByteString;
use futures_channel::oneshot;
use roomcast_core::server::{
    AckRequest, App, ClusterCommand, Command, Emit, EmitId, EndpointId, FetchId, Head, Input, RequestId, SessionId,
    Target, Upgrade,
};
use roomcast_core::time::Instant;

use super::jobs::Ask;
use super::slice::{self, TimeSlice};
use super::{Driver, PendingResponse};
use crate::acks::Acks;
use crate::mailbox::{HttpRequest, HttpTicket, Mail, RequestBody, UpgradeRequest};
use crate::presence::Snapshot;
use crate::runtime::Runtime;

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    /// Delivers mail for as long as there is time.
    pub(super) fn handle_mail(&mut self, slice: &mut TimeSlice, now: Instant) {
        while !slice.is_over()
            && let Some(letter) = self.mail.pop_front()
        {
            self.handle_letter(letter, now);
            slice.spend(slice::STEP);
        }
    }

    fn handle_letter(&mut self, letter: Mail, now: Instant) {
        match letter {
            Mail::Command(Command::Handled { session }) if self.repay(session) => {}
            Mail::Command(command) => self.command(command, now),
            Mail::Paced(command, session, flow) => {
                self.command(command, now);
                if self.stack.server.is_congested(session) && flow.set_congested() {
                    self.congested.entry(session).or_default().push(flow);
                }
            }
            Mail::LeaveAll(socket) => {
                let rooms: Vec<ByteString> = self.stack.server.rooms(socket).map(ByteString::from).collect();
                for room in rooms {
                    self.command(Command::Leave { target: Target::Socket(socket), room }, now);
                }
            }
            Mail::Ask(emit, timeout, acks) => self.ask(emit, timeout, acks, now),
            Mail::Fetch(target, timeout, sockets) => {
                let fetch = FetchId(self.fetches.insert(sockets).as_u64());
                self.command(Command::Cluster(ClusterCommand::FetchSockets { fetch, target, timeout }), now);
            }
            Mail::AskServers(question) => self.ask_servers(*question, now),
            Mail::Http(request) => self.http(*request, now),
            Mail::Body(request, body) => self.stack.server.handle_http_body(request, body, now),
            Mail::Aborted(ticket) => self.aborted(ticket, now),
            Mail::Upgrade(request) => self.upgrade(*request, now),
            Mail::Query(look) => look(Snapshot { server: &self.stack.server, presences: &self.presences }),
            Mail::Cluster(input, held) => {
                self.stack.server.handle_input(Input::Cluster(*input), now);
                self.held.extend(held);
            }
            Mail::App => self.handle_app_letters(now),
            Mail::Shutdown(grace, waiter) => self.end(grace, Some(waiter), now),
            Mail::SiblingEnded => self.end_with_sibling(now),
            Mail::Nudge => {}
        }
    }

    pub(super) fn command(&mut self, command: Command, now: Instant) {
        self.stack.server.handle_input(Input::Command(command), now);
    }

    fn ask(&mut self, mut emit: Emit, timeout: std::time::Duration, acks: oneshot::Sender<Acks>, now: Instant) {
        let asked = if let Target::Socket(socket) = &emit.target { self.presence(*socket).cloned() } else { None };
        let session = asked.as_ref().map(|presence| presence.connect.session);
        let id = self.asks.insert(Ask { acks, answers: Vec::new(), remote: Vec::new(), session });
        emit.ack = Some(AckRequest { emit: EmitId(id.as_u64()), timeout });
        self.command(Command::Emit(emit), now);
        if let Some(presence) = asked {
            self.lending.entry(presence.connect.session).or_default().asks += 1;
            for _ in 0..presence.queue.waiting() {
                self.lend(presence.connect.session, 0, now);
            }
        }
    }

    /// Lets the core read on behind an event that waits, if an ack may come there.
    pub(super) fn lend(&mut self, session: SessionId, bytes: usize, now: Instant) {
        if self.lending.get_mut(&session).is_some_and(|lending| lending.lend(bytes)) {
            self.command(Command::Handled { session }, now);
        }
    }

    /// An event was handled; `true` if the core knows that already.
    fn repay(&mut self, session: SessionId) -> bool {
        let Some(lending) = self.lending.get_mut(&session) else { return false };
        let is_known = lending.repay();
        self.end_lending(session, 0);
        is_known
    }

    /// Fewer acks are awaited.
    pub(super) fn end_lending(&mut self, session: SessionId, asks: u32) {
        if let Some(lending) = self.lending.get_mut(&session) {
            lending.asks = lending.asks.saturating_sub(asks);
            if lending.is_over() {
                self.lending.remove(&session);
            }
        }
    }

    fn http(&mut self, request: HttpRequest, now: Instant) {
        let HttpRequest { ticket, endpoint, request, body, response } = request;
        if response.is_canceled() {
            return;
        }
        match self.stack.server.handle_http_head(endpoint, request, now) {
            Head::Refuse(refusal) => {
                self.log_refusal(endpoint, &refusal);
                let _ = response.send(refusal);
            }
            Head::Continue(id) => {
                self.requests.insert(id, PendingResponse { ticket, sender: response });
                self.tickets.insert(ticket, id);
                match body {
                    RequestBody::Complete(body) => self.stack.server.handle_http_body(id, body, now),
                    // If the client has gone away since, that is told by a letter of its own.
                    RequestBody::Pending(accepted) => drop(accepted.send(id)),
                }
            }
        }
    }

    pub(super) fn respond(&mut self, request: RequestId, response: Box<http::Response<Bytes>>) {
        if let Some(PendingResponse { ticket, sender }) = self.requests.remove(&request) {
            self.tickets.remove(&ticket);
            let _ = sender.send(response);
        }
    }

    fn aborted(&mut self, ticket: HttpTicket, now: Instant) {
        if let Some(request) = self.tickets.remove(&ticket) {
            self.requests.remove(&request);
            self.stack.server.handle_input(Input::HttpAborted { request }, now);
        }
    }

    fn upgrade(&mut self, request: UpgradeRequest, now: Instant) {
        let UpgradeRequest { endpoint, request, stream, home, guard, response } = request;
        if response.is_canceled() {
            return;
        }
        match self.stack.server.handle_upgrade(endpoint, &request, now) {
            Upgrade::Accept(conn, accepted) => {
                tracing::debug!(
                    endpoint = self.shared.endpoints.path(endpoint),
                    conn = conn.as_u64(),
                    "WebSocket accepted"
                );
                self.conns.insert(conn, (stream, home), guard);
                let _ = response.send(Box::new(accepted.map(|()| Bytes::new())));
                self.ready.extend(self.conns.list(conn));
            }
            Upgrade::Refuse(refusal) => {
                self.log_refusal(endpoint, &refusal);
                let _ = response.send(refusal);
            }
        }
    }

    /// The body of a refusal says why, in the server's own words.
    fn log_refusal(&self, endpoint: EndpointId, refusal: &http::Response<Bytes>) {
        let reason = String::from_utf8_lossy(refusal.body());
        let endpoint = self.shared.endpoints.path(endpoint);
        tracing::debug!(endpoint, status = refusal.status().as_u16(), %reason, "request refused");
    }
}
