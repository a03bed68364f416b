//! What the rest of the program wants.
//!
//! Owns: HTTP requests and commands on their way into the core. Must never know: how they came.

use bytes::Bytes;
use roomcast_core::server::{AckRequest, App, Command, Emit, EmitId, Head, Input, RequestId, Upgrade};
use roomcast_core::time::Instant;

use super::Driver;
use super::events::Ask;
use super::slice::{self, Slice};
use crate::mailbox::{Incoming, Mail, Upgrading};
use crate::promise::Debt;
use crate::runtime::Runtime;
use crate::view::View;

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    /// Delivers mail for as long as there is time.
    pub(super) fn handle_mail(&mut self, slice: &mut Slice, now: Instant) {
        while !slice.is_over()
            && let Some(letter) = self.mail.pop_front()
        {
            self.handle_letter(letter, now);
            slice.spend(slice::STEP);
        }
    }

    fn handle_letter(&mut self, letter: Mail, now: Instant) {
        match letter {
            Mail::Command(command) => self.command(command, now),
            Mail::Paced(command, session, flow) => {
                self.command(command, now);
                if self.stack.server.is_congested(session) && flow.set_congested() {
                    self.congested.entry(session).or_default().push(flow);
                }
            }
            Mail::Ask(emit, timeout, debt) => self.ask(emit, timeout, debt, now),
            Mail::Http(incoming) => self.http(*incoming, now),
            Mail::Body(request, body) => self.stack.server.handle_http_body(request, body, now),
            Mail::Aborted(request) => self.aborted(request, now),
            Mail::Upgrade(upgrading) => self.upgrade(*upgrading, now),
            Mail::Query(look) => look(&View { server: &self.stack.server, sockets: &self.sockets }),
            Mail::App => self.handle_app_letters(now),
            Mail::Shutdown(grace, debt) => self.end(grace, Some(debt), now),
            Mail::Nudge => {}
        }
    }

    pub(super) fn command(&mut self, command: Command, now: Instant) {
        self.stack.server.handle_input(Input::Command(command), now);
    }

    fn ask(&mut self, mut emit: Emit, timeout: std::time::Duration, debt: Debt<crate::acks::Acks>, now: Instant) {
        let id = self.asks.insert(Ask { debt, answers: Vec::new() });
        emit.ack = Some(AckRequest { emit: EmitId(id.as_u64()), timeout });
        self.command(Command::Emit(emit), now);
    }

    fn http(&mut self, incoming: Incoming, now: Instant) {
        let Incoming { endpoint, request, body, answer } = incoming;
        if !answer.is_wanted() {
            return;
        }
        match self.stack.server.handle_http_head(endpoint, request, now) {
            Head::Refuse(response) => answer.answer(response),
            Head::Continue(id) => {
                if answer.begin(id).is_err() {
                    self.stack.server.handle_input(Input::HttpAborted { request: id }, now);
                    return;
                }
                if body.is_none() {
                    answer.ask_for_body(id);
                }
                self.requests.insert(id, answer);
                if let Some(body) = body {
                    self.stack.server.handle_http_body(id, body, now);
                }
            }
        }
    }

    pub(super) fn respond(&mut self, request: RequestId, response: Box<http::Response<Bytes>>) {
        if let Some(owed) = self.requests.remove(&request) {
            owed.answer(response);
        }
    }

    fn aborted(&mut self, request: RequestId, now: Instant) {
        if self.requests.remove(&request).is_some() {
            self.stack.server.handle_input(Input::HttpAborted { request }, now);
        }
    }

    fn upgrade(&mut self, upgrading: Upgrading, now: Instant) {
        let Upgrading { endpoint, request, stream, answer } = upgrading;
        if !answer.is_wanted() {
            return;
        }
        match self.stack.server.handle_upgrade(endpoint, &request, now) {
            Upgrade::Accept(conn, response) => {
                self.conns.insert(conn, stream);
                answer.answer(Box::new(response.map(|()| Bytes::new())));
                self.ready.extend(self.conns.list(conn));
            }
            Upgrade::Refuse(response) => answer.answer(response),
        }
    }
}
