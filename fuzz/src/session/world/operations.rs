//! What the bytes of an input can make happen, at any time and with operands that choose among what there is.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use http::{Method, StatusCode};
use roomcast_core::server::{AckRequest, Command, Delivery, Emit, EmitId, EndpointId, Extent, Head, Input, Message};
use roomcast_core::socket_io::Args;
use roomcast_core::time::WallTime;

use super::super::client::{Client, Speech, frames, packet};
use super::{Stage, World, args, pick, request, room as place};

impl World {
    pub(in super::super) fn open(&mut self, how: u8) {
        let client = self.kit.hooks.clients.len();
        let (speech, polls) = match how % 5 {
            0 => (Speech::SocketIo, true),
            1 => (Speech::SocketIo, false),
            2 => (Speech::EngineIo, true),
            3 => (Speech::EngineIo, false),
            _ => (Speech::WebSocket, false),
        };
        self.kit.hooks.clients.push(Client::new(speech));
        if polls {
            self.request(client, Method::GET, Bytes::new(), how & 0x80 != 0);
        } else {
            let window = if how & 0x40 == 0 { usize::MAX } else { 0 };
            self.stream(client, window);
        }
    }

    pub(in super::super) fn get(&mut self, which: u8) {
        if let Some(client) = usize::from(which & 0x7f).checked_rem(self.kit.hooks.clients.len()) {
            self.request(client, Method::GET, Bytes::new(), which & 0x80 != 0);
        }
    }

    pub(in super::super) fn post(&mut self, which: u8, first: u8, second: u8) {
        if let Some(client) = usize::from(which & 0x7f).checked_rem(self.kit.hooks.clients.len()) {
            let body = [packet(first), packet(second)].join(&0x1e);
            self.request(client, Method::POST, body.into(), which & 0x80 != 0);
        }
    }

    pub(in super::super) fn upgrade(&mut self, which: u8) {
        if let Some(client) = usize::from(which).checked_rem(self.kit.hooks.clients.len()) {
            self.stream(client, usize::MAX);
        }
    }

    pub(in super::super) fn odd_request(&mut self, which: u8, method: u8) {
        let (path, query) = ODD[usize::from(which) % ODD.len()];
        let methods = [Method::GET, Method::POST, Method::PUT, Method::OPTIONS];
        let method = methods[usize::from(method) % methods.len()].clone();
        let request = request(method, &format!("{path}?{query}"));
        let endpoint = EndpointId::new(which.into());
        let endpoint = self.kit.stack.server.route(path).unwrap_or(endpoint);
        match self.kit.stack.server.handle_http_head(endpoint, request, self.kit.now()) {
            Head::Continue(_) => panic!("{path}?{query} is refused"),
            Head::Refuse(response) => assert_ne!(response.status(), StatusCode::OK),
        }
    }

    pub(in super::super) fn give_body(&mut self, which: u8, saying: u8) {
        if let Some(request) = pick(&self.all_requests, which) {
            self.give(request, packet(saying).into());
        }
    }

    pub(in super::super) fn abort(&mut self, which: u8) {
        let Some(request) = pick(&self.all_requests, which) else { return };
        if let Some(asked) = self.kit.hooks.requests.remove(&request) {
            self.kit.hooks.freed_requests.insert(request, asked);
        }
        self.kit.input(Input::HttpAborted { request });
    }

    pub(in super::super) fn send_raw(&mut self, which: u8, bytes: &[u8]) {
        if let Some(conn) = pick(&self.all_streams, which) {
            self.send(conn, bytes);
        }
    }

    /// A frame, or its first `cut` bytes and the rest before the next bytes of the client.
    pub(in super::super) fn send_packet(&mut self, which: u8, saying: u8, cut: u8) {
        let Some(conn) = pick(&self.all_streams, which) else { return };
        let bytes = frames(saying);
        let cut = if cut == 0 { bytes.len() } else { usize::from(cut).min(bytes.len()) };
        let (now, later) = bytes.split_at(cut);
        self.send(conn, now);
        if let Some(stream) = self.kit.hooks.streams.get_mut(&conn) {
            stream.unread.extend_from_slice(later);
        }
    }

    pub(in super::super) fn end_stream(&mut self, which: u8) {
        let Some(conn) = pick(&self.all_streams, which) else { return };
        if self.kit.hooks.streams.remove(&conn).is_some() {
            self.kit.hooks.freed_streams.insert(conn);
        }
        self.kit.input(Input::WsEnded { conn });
    }

    /// The socket of a stream takes this many bytes more; all from 128 on.
    pub(in super::super) fn take(&mut self, which: u8, window: u8) {
        let Some(conn) = pick(&self.all_streams, which) else { return };
        let Some(stream) = self.kit.hooks.streams.get_mut(&conn) else { return };
        stream.window = if window >= 128 { usize::MAX } else { usize::from(window) };
        self.kit.transmit(conn);
    }

    pub(in super::super) fn admit(&mut self, which: u8, how: u8) {
        let Some(socket) = pick(&self.kit.hooks.all_sockets, which) else { return };
        // The server's word, since its events may still be on their way.
        let is_there = self.kit.stack.server.session(socket).is_some();
        let presence =
            self.kit.hooks.sockets.get_mut(&socket).filter(|presence| presence.stage == Stage::Asking && is_there);
        if how & 1 == 0 {
            if let Some(presence) = presence {
                presence.stage = Stage::Accepted;
            }
            self.command(Command::Accept { socket });
        } else {
            if presence.is_some() {
                self.kit.hooks.sockets.remove(&socket);
            }
            self.command(Command::Refuse { socket, data: ByteString::from_static(r#"{"message":"no"}"#) });
        }
    }

    pub(in super::super) fn join(&mut self, which: u8, room: u8) {
        let target = self.target(which >> 5, which & 0x1f);
        self.command(Command::Join { target, room: place(room) });
    }

    pub(in super::super) fn leave(&mut self, which: u8, room: u8) {
        let target = self.target(which >> 5, which & 0x1f);
        self.command(Command::Leave { target, room: place(room) });
    }

    pub(in super::super) fn disconnect(&mut self, which: u8, how: u8) {
        let target = self.target(how >> 5, which);
        let extent = if how & 1 == 0 { Extent::Namespace } else { Extent::Connection };
        self.command(Command::Disconnect { target, extent });
    }

    pub(in super::super) fn close(&mut self, which: u8) {
        if let Some(session) = pick(&self.kit.hooks.all_sessions, which) {
            self.command(Command::Close { session });
        }
    }

    pub(in super::super) fn handled(&mut self, _which: u8) {
        if let Some(session) = self.kit.hooks.unhandled.pop_front() {
            self.command(Command::Handled { session });
        }
    }

    pub(in super::super) fn ack(&mut self, _which: u8) {
        if let Some((socket, ack)) = self.kit.hooks.ack_wanted.pop_front() {
            self.command(Command::Ack { socket, ack, args: Args::empty() });
        }
    }

    pub(in super::super) fn ask_congestion(&mut self, which: u8) {
        let Some(session) = pick(&self.kit.hooks.all_sessions, which) else { return };
        if self.kit.stack.server.is_congested(session) {
            self.kit.hooks.congested.insert(session);
        }
    }

    pub(in super::super) fn shut_down(&mut self) {
        self.command(Command::Shutdown);
    }

    pub(in super::super) fn tell_wall_clock(&mut self, secs: u8) {
        let wall = WallTime::from_unix_millis(1_000_000_000_000 + u64::from(secs) * 1000);
        self.kit.input(Input::WallClock(wall));
    }

    pub(in super::super) fn wait_ms(&mut self, ms: u64) {
        self.wait_until(self.kit.now() + Duration::from_millis(ms));
    }

    pub(in super::super) fn wait_for_timeout(&mut self) {
        if let Some((deadline, _)) = self.kit.stack.server.poll_timeout() {
            self.wait_until(deadline);
        }
    }

    /// An event with a number of its own. `how`: 1 volatile, 2 with ack, 4 with an attachment, the upper bits its size.
    pub(in super::super) fn emit(&mut self, target: u8, which: u8, how: u8) {
        let target = self.target(target, which);
        let number = self.number;
        self.number += 1;
        let delivery = if how & 1 == 0 { Delivery::Reliable } else { Delivery::Volatile };
        let ack = (how & 2 != 0).then(|| AckRequest { emit: EmitId(number), timeout: Duration::from_secs(3) });
        if ack.is_some() {
            self.kit.hooks.acks.insert(EmitId(number), 0);
        }
        if delivery == Delivery::Reliable {
            for socket in self.meant(&target) {
                self.sent_to_sockets.entry(socket).or_default().push(number);
            }
        }
        let args = args(number, how & 4 != 0, [0, 30, 300, 1500][usize::from(how >> 6)]);
        self.command(Command::Emit(Emit { target, name: ByteString::from_static("e"), args, delivery, ack }));
    }

    /// A message to a bare peer.
    pub(in super::super) fn message(&mut self, which: u8, how: u8) {
        let Some(session) = pick(&self.kit.hooks.all_sessions, which) else { return };
        if !self.kit.hooks.bare.contains_key(&session) {
            return;
        }
        let number = self.number;
        self.number += 1;
        self.sent_to_bare.entry(session).or_default().push(number);
        let text = ByteString::from(number.to_string());
        self.command(Command::Send { session, message: Message::Text(text) });
        if how & 1 == 1 {
            let bytes = Bytes::from(vec![how; usize::from(how)]);
            self.command(Command::Send { session, message: Message::Binary(bytes) });
        }
    }
}

/// What no client asks for: path and query.
const ODD: &[(&str, &str)] = &[
    ("/socket.io", "transport=polling"),
    ("/socket.io", "EIO=3&transport=polling"),
    ("/socket.io", "EIO=4"),
    ("/socket.io", "EIO=4&transport=telegraph"),
    ("/socket.io", "EIO=4&transport=polling&sid=nobody"),
    ("/socket.io", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA"),
    ("/socket.io", "EIO=4&transport=websocket"),
    ("/engine.io", "EIO=4&transport=polling&transport=websocket&sid=%%%"),
    ("/websocket", ""),
    ("/nowhere", "EIO=4&transport=polling"),
];
