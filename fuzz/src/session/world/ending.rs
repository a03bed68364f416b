//! The end of a world: everything arrives, all clients go, nothing is left.

use bytes::Bytes;
use http::Method;
use roomcast_core::server::{Audit, Input, Transmit};

use super::super::ClientsLeave;
use super::{AwaitedRequest, BodyGiven, RequestMethod, Stage, World};

impl World {
    /// Lets everything arrive, ends all clients, and looks at what is left.
    pub(in super::super) fn end(mut self, ending: ClientsLeave) {
        self.drain();
        // Unfinished upgrades are given up, and their clients poll again.
        self.wait_ms(11_000);
        self.settle();
        for request in self.kit.hooks.requests.keys().copied().collect::<Vec<_>>() {
            self.give(request, Bytes::from_static(b"6"));
        }
        self.settle();
        for client in 0..self.kit.hooks.clients.len() {
            self.poll_out(client);
        }
        self.assert_arrived();
        if ending == ClientsLeave::Hangup {
            for conn in std::mem::take(&mut self.kit.hooks.streams).into_keys() {
                self.kit.hooks.freed_streams.insert(conn);
                self.kit.input(Input::WsEnded { conn });
            }
            for (request, asked) in std::mem::take(&mut self.kit.hooks.requests) {
                self.kit.hooks.freed_requests.insert(request, asked);
                self.kit.input(Input::HttpAborted { request });
            }
        }
        let mut beats = 0;
        self.settle();
        while self.kit.stack.server.poll_timeout().is_some() {
            self.wait_for_timeout();
            self.settle();
            beats += 1;
            assert!(beats < 10_000, "silence ends every session");
        }
        assert_eq!(self.kit.stack.server.audit(), Audit::default());
        assert!(self.kit.hooks.requests.is_empty(), "not answered: {:?}", self.kit.hooks.requests);
        assert!(
            self.kit.hooks.streams.is_empty()
                && self.kit.hooks.sockets.is_empty()
                && self.kit.hooks.bare.is_empty()
                && self.kit.hooks.acks.is_empty()
        );
    }

    /// Takes, reads and handles until nothing is left.
    fn settle(&mut self) {
        self.drain();
        loop {
            for conn in self.kit.hooks.streams.keys().copied().collect::<Vec<_>>() {
                let Some(stream) = self.kit.hooks.streams.get_mut(&conn) else { continue };
                if std::mem::replace(&mut stream.window, usize::MAX) != usize::MAX {
                    self.kit.transmit(conn);
                }
                if self.kit.hooks.streams.get(&conn).is_some_and(|stream| !stream.unread.is_empty()) {
                    self.send(conn, &[]);
                }
            }
            self.drain();
            if self.kit.hooks.unhandled.is_empty() {
                break;
            }
            while !self.kit.hooks.unhandled.is_empty() {
                self.handled(0);
            }
            self.drain();
        }
    }

    /// A client without a stream polls until an answer waits.
    fn poll_out(&mut self, client: usize) {
        if self.kit.hooks.streams.values().any(|stream| stream.client == client && !stream.closed)
            || self.kit.hooks.clients[client].sid.is_none()
        {
            return;
        }
        for _ in 0..POLLS_MAX {
            let waits = |asked: &AwaitedRequest| {
                asked.client == client && asked.kind == RequestMethod::Get && asked.body == BodyGiven::Given
            };
            if self.kit.hooks.requests.values().any(waits) {
                return;
            }
            let before = self.all_requests.len();
            self.request(client, Method::GET, Bytes::new(), false);
            self.drain();
            if self.all_requests.len() == before {
                return;
            }
        }
        panic!("client {client} polls for ever");
    }

    fn assert_arrived(&mut self) {
        for (socket, presence) in &self.kit.hooks.sockets {
            let client = &self.kit.hooks.clients[presence.client];
            if let (Stage::Connected, Some(sent)) = (presence.stage, self.sent_to_sockets.get(socket)) {
                assert!(client.lost_an_answer || client.has(sent), "{socket:?} misses some of {sent:?}: {client:?}");
            }
        }
        for (session, client) in &self.kit.hooks.bare {
            let client = &self.kit.hooks.clients[*client];
            if let Some(sent) = self.sent_to_bare.get(session) {
                assert!(client.lost_an_answer || client.has(sent), "{session:?} misses some of {sent:?}: {client:?}");
            }
        }
        for conn in self.kit.hooks.streams.keys() {
            assert!(
                !self.kit.stack.poll_transmit(*conn, &mut Transmit::new()),
                "{conn:?} has more that no output announced"
            );
        }
    }
}

/// Far more than any queue of this world holds.
const POLLS_MAX: usize = 200;
