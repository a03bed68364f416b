//! A server's driver without a socket.
//!
//! Owns: the loop that the server's documentation asks for, byte streams that take as much as a test allows, answers by
//! request, and the trace of all that went in and out. Must never know: what clients are.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;

use bytes::Bytes;
use http::{Request, Response};
use roomcast_core::server::{
    After, Audit, Command, Config, ConnId, EndpointId, Event, Head, Input, Output, RequestId, Server, Start, TimerKind,
    Transmit, Upgrade,
};
use roomcast_core::time::{Instant, WallTime};

/// What a test puts on top of the server.
pub trait Application {
    /// Something happened.
    fn handle_event(&mut self, event: Event, server: &mut Server, now: Instant);

    /// Time has passed. Spurious calls do nothing.
    fn handle_timeout(&mut self, _server: &mut Server, _now: Instant) {}

    /// When to call [`handle_timeout`](Self::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A server, its application, and the far ends of their sockets.
#[derive(Debug)]
pub struct Host<A> {
    server: Server,
    /// The application.
    pub app: A,
    now: Instant,
    wall_offset_ms: u64,
    streams: BTreeMap<ConnId, Stream>,
    answers: BTreeMap<RequestId, Response<Bytes>>,
    transmit: Transmit,
    trace: Trace,
}

/// The far end of a WebSocket's byte stream, as the network sees it.
#[derive(Debug)]
pub struct Stream {
    /// What the server has written and nobody has taken yet.
    pub sent: Vec<u8>,
    /// How many more bytes the socket takes before it refuses.
    pub room: usize,
    /// The most that one write takes.
    pub write_bytes_max: usize,
    /// How far the stream is.
    pub end: Option<StreamEnd>,
    /// Bytes in each write that took any.
    pub writes: Vec<usize>,
    /// Whether the socket has refused bytes, so that the driver waits until it takes some again.
    refused: bool,
    paused: bool,
    backlog: VecDeque<Vec<u8>>,
}

/// How the server has ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// It writes no more and still reads.
    HalfClosed,
    /// It is closed.
    Closed,
}

impl Stream {
    fn new() -> Self {
        Self {
            sent: Vec::new(),
            room: usize::MAX,
            write_bytes_max: usize::MAX,
            end: None,
            writes: Vec::new(),
            refused: false,
            paused: false,
            backlog: VecDeque::new(),
        }
    }

    /// Whether the server has asked for no more bytes.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }
}

impl<A: Application> Host<A> {
    /// A server at time zero of the monotonic clock. `seed` is all that differs between two of the same configuration.
    ///
    /// # Panics
    ///
    /// If the configuration is refused.
    pub fn new(config: Config, app: A, seed: u64, wall: WallTime) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let start = Start { node: 7, now: Instant::default(), wall, seed: bytes };
        let server = match Server::new(config, start) {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        };
        Self {
            server,
            app,
            now: Instant::default(),
            wall_offset_ms: wall.as_unix_millis(),
            streams: BTreeMap::new(),
            answers: BTreeMap::new(),
            transmit: Transmit::new(),
            trace: Trace::default(),
        }
    }

    /// The head of a request; its answer, if the body is of no interest.
    pub fn head(&mut self, endpoint: EndpointId, request: Request<()>) -> Result<RequestId, Box<Response<Bytes>>> {
        self.trace.say("head", &[request.method().as_str().as_bytes(), target(&request)]);
        match self.server.handle_http_head(endpoint, request, self.now) {
            Head::Continue(id) => Ok(id),
            Head::Refuse(response) => {
                self.trace.answer(&response);
                Err(response)
            }
        }
    }

    /// The body of a request.
    pub fn body(&mut self, request: RequestId, body: Bytes) {
        self.trace.say("body", &[&request.as_u64().to_le_bytes(), &body]);
        self.server.handle_http_body(request, body, self.now);
    }

    /// The client of a request has gone away.
    pub fn abort(&mut self, request: RequestId) {
        self.trace.say("abort", &[&request.as_u64().to_le_bytes()]);
        self.server.handle_input(Input::HttpAborted { request }, self.now);
    }

    /// A request for a WebSocket.
    pub fn upgrade(
        &mut self,
        endpoint: EndpointId,
        request: &Request<()>,
    ) -> Result<(ConnId, Response<()>), Box<Response<Bytes>>> {
        self.trace.say("upgrade", &[target(request)]);
        match self.server.handle_upgrade(endpoint, request, self.now) {
            Upgrade::Accept(conn, response) => {
                let before = self.streams.insert(conn, Stream::new());
                assert!(before.is_none_or(|stream| stream.end == Some(StreamEnd::Closed)), "{conn:?} is in use");
                Ok((conn, response))
            }
            Upgrade::Refuse(response) => {
                self.trace.answer(&response);
                Err(response)
            }
        }
    }

    /// Bytes from a WebSocket's client; kept back while the server does not read.
    pub fn ws_bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        if stream.end == Some(StreamEnd::Closed) {
            return;
        }
        stream.backlog.push_back(bytes.to_vec());
        self.read_backlog(conn);
    }

    /// A WebSocket's client is gone; what the server has not read is lost.
    pub fn ws_ended(&mut self, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        if stream.end != Some(StreamEnd::Closed) {
            stream.end = Some(StreamEnd::Closed);
            self.trace.say("ended", &[&conn.as_u64().to_le_bytes()]);
            self.server.handle_input(Input::WsEnded { conn }, self.now);
        }
    }

    /// A WebSocket's socket takes this many more bytes.
    pub fn give_room(&mut self, conn: ConnId, bytes: usize) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        stream.room = stream.room.saturating_add(bytes);
        if bytes > 0 && std::mem::take(&mut stream.refused) {
            self.flush(conn);
        }
    }

    /// The application says something outside of an event.
    pub fn command(&mut self, command: Command) {
        self.trace.say("command", &[format!("{command:?}").as_bytes()]);
        self.server.handle_input(Input::Command(command), self.now);
    }

    /// It is `now`. The calendar goes along.
    pub fn time(&mut self, now: Instant) {
        assert!(now >= self.now, "time goes forward");
        self.now = now;
        self.trace.say("time", &[&now.as_nanos().to_le_bytes()]);
        let wall = WallTime::from_unix_millis(self.wall_offset_ms + now.as_nanos() / 1_000_000);
        self.server.handle_input(Input::WallClock(wall), now);
        self.server.handle_timeout(now);
        if self.app.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.app.handle_timeout(&mut self.server, now);
        }
    }

    /// Does all that the server wants, until it is quiet.
    pub fn drain(&mut self) {
        loop {
            while self.drain_one() {}
            // What had to wait for the outputs before it is due at once.
            match self.next_deadline() {
                Some((deadline, _)) if deadline <= self.now => self.time(self.now),
                Some(_) | None => return,
            }
        }
    }

    /// Does one thing that the server wants. `false`: it is quiet.
    pub fn drain_one(&mut self) -> bool {
        let Some(output) = self.server.poll_output() else { return false };
        match output {
            Output::Event(event) => {
                self.trace.say("event", &[format!("{event:?}").as_bytes()]);
                self.app.handle_event(event, &mut self.server, self.now);
            }
            Output::Respond(request, response) => {
                self.trace.answer(&response);
                let before = self.answers.insert(request, *response);
                assert!(before.is_none(), "{request:?} is answered twice");
            }
            Output::Writable(conn) => self.flush(conn),
            Output::ReadPaused(conn) => self.pause(conn, true),
            Output::ReadResumed(conn) => {
                self.pause(conn, false);
                self.read_backlog(conn);
            }
            Output::Close(conn) => {
                self.trace.say("close", &[&conn.as_u64().to_le_bytes()]);
                self.stream(conn).end = Some(StreamEnd::Closed);
            }
        }
        true
    }

    /// The answer to a request, once.
    pub fn take_answer(&mut self, request: RequestId) -> Option<Response<Bytes>> {
        self.answers.remove(&request)
    }

    /// A stream, open or ended.
    ///
    /// # Panics
    ///
    /// If there never was such a stream.
    pub fn stream(&mut self, conn: ConnId) -> &mut Stream {
        match self.streams.get_mut(&conn) {
            Some(stream) => stream,
            None => panic!("no stream {conn:?}"),
        }
    }

    /// The server, to look at it.
    pub const fn server_ref(&self) -> &Server {
        &self.server
    }

    /// The server, to ask it something.
    pub const fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// When something is due next, and what.
    pub fn next_deadline(&self) -> Option<(Instant, TimerKind)> {
        let app = self.app.poll_timeout().map(|deadline| (deadline, TimerKind::App));
        [self.server.poll_timeout(), app].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }

    /// What the server still holds.
    pub fn audit(&self) -> Audit {
        self.server.audit()
    }

    /// A hash of all that went in and came out, in order.
    pub const fn trace(&self) -> u64 {
        self.trace.0
    }

    fn pause(&mut self, conn: ConnId, paused: bool) {
        self.trace.say("pause", &[&conn.as_u64().to_le_bytes(), &[u8::from(paused)]]);
        if let Some(stream) = self.streams.get_mut(&conn).filter(|stream| stream.end != Some(StreamEnd::Closed)) {
            assert_ne!(stream.paused, paused, "{conn:?} is told twice");
            stream.paused = paused;
        }
    }

    fn read_backlog(&mut self, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        if stream.paused || stream.end == Some(StreamEnd::Closed) {
            return;
        }
        if let Some(bytes) = stream.backlog.pop_front() {
            self.trace.say("bytes", &[&conn.as_u64().to_le_bytes(), &bytes]);
            self.server.handle_input(Input::WsBytes { conn, bytes: &bytes }, self.now);
            // Whether the server still reads shows in its outputs: the rest waits for them.
            if self.streams.get(&conn).is_some_and(|stream| !stream.backlog.is_empty()) {
                self.drain();
                self.read_backlog(conn);
            }
        }
    }

    /// Writes while the socket takes bytes.
    fn flush(&mut self, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        if stream.refused || stream.end == Some(StreamEnd::Closed) {
            return;
        }
        while self.server.poll_transmit(conn, &mut self.transmit) {
            while !self.transmit.is_empty() {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = self.transmit.slices(&mut slices);
                let mut left = stream.room.min(stream.write_bytes_max);
                let begin = stream.sent.len();
                for slice in slices.get(..count).unwrap_or(&[]) {
                    let taken = slice.get(..slice.len().min(left)).unwrap_or(&[]);
                    left -= taken.len();
                    stream.sent.extend_from_slice(taken);
                }
                let written = stream.sent.len() - begin;
                if written == 0 {
                    stream.refused = true;
                    self.trace.say("refused", &[&conn.as_u64().to_le_bytes()]);
                    self.server.handle_refused(conn, &mut self.transmit, self.now);
                    assert!(self.transmit.is_empty(), "all of the rest is taken back");
                    return;
                }
                self.trace.say("write", &[&conn.as_u64().to_le_bytes(), stream.sent.get(begin..).unwrap_or(&[])]);
                stream.room = stream.room.saturating_sub(written);
                stream.writes.push(written);
                self.transmit.advance(written);
            }
            match self.transmit.after() {
                After::Keep => {}
                After::CloseWrite => stream.end = Some(StreamEnd::HalfClosed),
                After::Close => {
                    stream.end = Some(StreamEnd::Closed);
                    self.trace.say("closed", &[&conn.as_u64().to_le_bytes()]);
                    return self.server.handle_input(Input::WsEnded { conn }, self.now);
                }
            }
        }
    }
}

/// FNV-1a over all inputs and outputs, each part with its length.
#[derive(Debug)]
struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    fn say(&mut self, what: &str, parts: &[&[u8]]) {
        self.put(what.as_bytes());
        parts.iter().for_each(|part| self.put(part));
    }

    fn answer(&mut self, response: &Response<Bytes>) {
        self.say("answer", &[response.status().as_str().as_bytes(), response.body()]);
        for (name, value) in response.headers() {
            self.say(name.as_str(), &[value.as_bytes()]);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_le_bytes();
        for byte in length.iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

fn target<T>(request: &Request<T>) -> &[u8] {
    request.uri().path_and_query().map_or(&[], |target| target.as_str().as_bytes())
}
