//! The end: everything arrives, everybody goes, nothing is left.

use bytes::Bytes;
use http::Method;
use roomcast_core::server::{Audit, Input};

use super::super::Ending;
use super::{Asked, Asking, Body, Stage, World};

impl World {
    /// Lets everything arrive, ends everybody, and looks at what is left.
    pub(in super::super) fn end(mut self, ending: Ending) {
        self.drain();
        // Upgrades that nobody goes on with are given up, and their clients poll again.
        self.wait_ms(11_000);
        self.settle();
        for request in self.requests.keys().copied().collect::<Vec<_>>() {
            self.give(request, Bytes::from_static(b"6"));
        }
        self.settle();
        for client in 0..self.clients.len() {
            self.poll_out(client);
        }
        self.assert_arrived();
        if ending == Ending::Hangup {
            for conn in std::mem::take(&mut self.streams).into_keys() {
                self.freed_streams.insert(conn);
                self.server.handle_input(Input::WsEnded { conn }, self.now);
            }
            for (request, asked) in std::mem::take(&mut self.requests) {
                self.freed_requests.insert(request, asked);
                self.server.handle_input(Input::HttpAborted { request }, self.now);
            }
        }
        let mut beats = 0;
        self.settle();
        while self.server.poll_timeout().is_some() {
            self.wait_for_timeout();
            self.settle();
            beats += 1;
            assert!(beats < 10_000, "silence ends everybody");
        }
        assert_eq!(self.server.audit(), Audit::default());
        assert!(self.requests.is_empty(), "not answered: {:?}", self.requests);
        assert!(self.streams.is_empty() && self.sockets.is_empty() && self.bare.is_empty() && self.acks.is_empty());
    }

    /// Takes, reads and handles until nothing is left.
    fn settle(&mut self) {
        self.drain();
        loop {
            for conn in self.streams.keys().copied().collect::<Vec<_>>() {
                let Some(stream) = self.streams.get_mut(&conn) else { continue };
                if std::mem::replace(&mut stream.window, usize::MAX) != usize::MAX {
                    self.write(conn);
                }
                if self.streams.get(&conn).is_some_and(|stream| !stream.unread.is_empty()) {
                    self.send(conn, &[]);
                }
            }
            self.drain();
            if self.unhandled.is_empty() {
                break;
            }
            while !self.unhandled.is_empty() {
                self.handled(0);
            }
            self.drain();
        }
    }

    /// A client without a stream polls until an answer waits.
    fn poll_out(&mut self, client: usize) {
        if self.streams.values().any(|stream| stream.client == client && !stream.closed)
            || self.clients[client].sid.is_none()
        {
            return;
        }
        for _ in 0..POLLS_MAX {
            let waits =
                |asked: &Asked| asked.client == client && asked.kind == Asking::Get && asked.body == Body::Given;
            if self.requests.values().any(waits) {
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
        for (socket, presence) in &self.sockets {
            let client = &self.clients[presence.client];
            if let (Stage::Connected, Some(sent)) = (presence.stage, self.sent_to_sockets.get(socket)) {
                assert!(client.lost_an_answer || client.has(sent), "{socket:?} misses some of {sent:?}: {client:?}");
            }
        }
        for (session, client) in &self.bare {
            let client = &self.clients[*client];
            if let Some(sent) = self.sent_to_bare.get(session) {
                assert!(client.lost_an_answer || client.has(sent), "{session:?} misses some of {sent:?}: {client:?}");
            }
        }
        for conn in self.streams.keys() {
            assert!(!self.server.poll_transmit(*conn, &mut self.transmit), "{conn:?} has more that nobody told of");
        }
    }
}

/// Far more than any queue of this world holds.
const POLLS_MAX: usize = 200;
