//! Hooks that keep what the server writes and answers until a test takes it.
//!
//! Owns: byte streams that take as much as a test allows, responses by request, and the trace of both directions. Must
//! never know: what clients are.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;

use bytes::Bytes;
use http::{Request, Response};
use roomcast_core::server::{
    After, App, Audit, ConnId, EndpointId, Event, Head, Input, RequestId, Stack, Transmit, Upgrade,
};
use roomcast_core::time::Instant;

use crate::kit::{Hooks, Kit, Reading};
use crate::trace::Trace;

/// The far ends of a server's streams and requests.
#[derive(Debug, Default)]
pub struct Network {
    streams: BTreeMap<ConnId, Stream>,
    answers: BTreeMap<RequestId, Response<Bytes>>,
    /// Streams that the server reads again, and that have not been read since.
    resumed: VecDeque<ConnId>,
    trace: Trace,
    /// How often the server has stopped reading a stream.
    pub pauses: u64,
}

/// The far end of a WebSocket's byte stream.
#[derive(Debug)]
pub struct Stream {
    /// What the server has written and the test has not taken.
    pub sent: Vec<u8>,
    /// How many more bytes the socket takes before it refuses.
    pub room: usize,
    /// The most that one write takes.
    pub write_bytes_max: usize,
    /// How the server or the client has ended the stream.
    pub end: Option<StreamEnd>,
    /// The size in bytes of each write that took any.
    pub writes: Vec<usize>,
    /// Whether the socket has refused bytes, so that the driver waits until it takes some again.
    refused: bool,
    reading: Reading,
    backlog: VecDeque<Vec<u8>>,
}

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The server writes no more and still reads.
    HalfClosed,
    /// Both directions are closed.
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
            reading: Reading::Resumed,
            backlog: VecDeque::new(),
        }
    }

    /// Whether the server has asked for no more bytes.
    pub fn is_paused(&self) -> bool {
        self.reading == Reading::Paused
    }

    fn is_closed(&self) -> bool {
        self.end == Some(StreamEnd::Closed)
    }
}

impl<A: App> Kit<A, Network> {
    /// Sends the head of a request.
    ///
    /// # Errors
    ///
    /// The response, if the server wants no body.
    pub fn head(&mut self, endpoint: EndpointId, request: Request<()>) -> Result<RequestId, Box<Response<Bytes>>> {
        self.hooks.trace.say("head", &[request.method().as_str().as_bytes(), target(&request)]);
        let now = self.now();
        match self.stack.server.handle_http_head(endpoint, request, now) {
            Head::Continue(id) => Ok(id),
            Head::Refuse(response) => {
                self.hooks.trace_response(&response);
                Err(response)
            }
        }
    }

    /// Sends the body of a request.
    pub fn body(&mut self, request: RequestId, body: Bytes) {
        self.hooks.trace.say("body", &[&request.as_u64().to_le_bytes(), &body]);
        let now = self.now();
        self.stack.server.handle_http_body(request, body, now);
    }

    /// Ends a request from the client's side.
    pub fn abort(&mut self, request: RequestId) {
        self.hooks.trace.say("abort", &[&request.as_u64().to_le_bytes()]);
        self.input(Input::HttpAborted { request });
    }

    /// Asks for a WebSocket.
    ///
    /// # Errors
    ///
    /// The response of a server that refuses.
    ///
    /// # Panics
    ///
    /// If the server gives out a handle that is in use.
    pub fn upgrade(
        &mut self,
        endpoint: EndpointId,
        request: &Request<()>,
    ) -> Result<(ConnId, Response<()>), Box<Response<Bytes>>> {
        self.hooks.trace.say("upgrade", &[target(request)]);
        let now = self.now();
        match self.stack.server.handle_upgrade(endpoint, request, now) {
            Upgrade::Accept(conn, response) => {
                let before = self.hooks.streams.insert(conn, Stream::new());
                assert!(before.is_none_or(|stream| stream.is_closed()), "{conn:?} is in use");
                Ok((conn, response))
            }
            Upgrade::Refuse(response) => {
                self.hooks.trace_response(&response);
                Err(response)
            }
        }
    }

    /// Sends bytes of a WebSocket's client; they are kept back while the server does not read.
    pub fn ws_bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(stream) = self.hooks.streams.get_mut(&conn).filter(|stream| !stream.is_closed()) else { return };
        stream.backlog.push_back(bytes.to_vec());
        self.read_backlog(conn);
    }

    /// Ends a WebSocket from the client's side; what the server has not read is lost.
    pub fn ws_ended(&mut self, conn: ConnId) {
        let Some(stream) = self.hooks.streams.get_mut(&conn).filter(|stream| !stream.is_closed()) else { return };
        stream.end = Some(StreamEnd::Closed);
        self.hooks.trace.say("ended", &[&conn.as_u64().to_le_bytes()]);
        self.input(Input::WsEnded { conn });
    }

    /// Lets a WebSocket's socket take this many more bytes.
    pub fn give_room(&mut self, conn: ConnId, bytes: usize) {
        let Some(stream) = self.hooks.streams.get_mut(&conn) else { return };
        stream.room = stream.room.saturating_add(bytes);
        if bytes > 0 && std::mem::take(&mut stream.refused) {
            self.transmit(conn);
        }
    }

    /// Like [`settle`](Kit::settle), and sends what was kept back on streams that the server reads again.
    pub fn run(&mut self) {
        loop {
            while self.run_one() {}
            match self.next_deadline() {
                Some((deadline, _)) if deadline <= self.now() => self.time(self.now()),
                Some(_) | None => return,
            }
        }
    }

    /// Carries out one output; if it resumes reading, sends what was kept back. `false`: the machines are quiet.
    pub fn run_one(&mut self) -> bool {
        let any = self.drain_one();
        while let Some(conn) = self.hooks.resumed.pop_front() {
            self.read_backlog(conn);
        }
        any
    }

    /// Takes the response to a request, once.
    pub fn take_answer(&mut self, request: RequestId) -> Option<Response<Bytes>> {
        self.hooks.answers.remove(&request)
    }

    /// A stream, open or ended.
    ///
    /// # Panics
    ///
    /// If there never was such a stream.
    pub fn stream(&mut self, conn: ConnId) -> &mut Stream {
        self.hooks.stream(conn)
    }

    /// What the server still holds.
    pub fn audit(&self) -> Audit {
        self.stack.server.audit()
    }

    fn read_backlog(&mut self, conn: ConnId) {
        let Some(stream) = self.hooks.streams.get_mut(&conn) else { return };
        if stream.is_paused() || stream.is_closed() {
            return;
        }
        if let Some(bytes) = stream.backlog.pop_front() {
            self.hooks.trace.say("bytes", &[&conn.as_u64().to_le_bytes(), &bytes]);
            self.input(Input::WsBytes { conn, bytes: &bytes });
            // Whether the server still reads shows in its outputs: the rest waits for them.
            if self.hooks.streams.get(&conn).is_some_and(|stream| !stream.backlog.is_empty()) {
                self.run();
                self.read_backlog(conn);
            }
        }
    }
}

impl Network {
    /// The hash of everything that went over these streams and requests, in both directions.
    pub const fn trace(&self) -> Trace {
        self.trace
    }

    /// The streams that neither side has closed.
    pub fn open_streams(&self) -> impl Iterator<Item = ConnId> {
        self.streams.iter().filter(|(_, stream)| !stream.is_closed()).map(|(conn, _)| *conn)
    }

    fn stream(&mut self, conn: ConnId) -> &mut Stream {
        match self.streams.get_mut(&conn) {
            Some(stream) => stream,
            None => panic!("no stream {conn:?}"),
        }
    }

    fn trace_response(&mut self, response: &Response<Bytes>) {
        self.trace.say("answer", &[response.status().as_str().as_bytes(), response.body()]);
        for (name, value) in response.headers() {
            self.trace.say(name.as_str(), &[value.as_bytes()]);
        }
    }
}

impl<A: App> Hooks<A> for Network {
    /// Does nothing: an application of these tests keeps the events that it wants to look at.
    fn event(&mut self, _event: Event, _stack: &mut Stack<A>, _now: Instant) {}

    fn respond(&mut self, request: RequestId, response: Response<Bytes>) {
        self.trace_response(&response);
        let before = self.answers.insert(request, response);
        assert!(before.is_none(), "{request:?} is answered twice");
    }

    fn is_writable(&mut self, conn: ConnId) -> bool {
        self.streams.get(&conn).is_some_and(|stream| !stream.refused && !stream.is_closed())
    }

    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize {
        let Some(stream) = self.streams.get_mut(&conn) else { return 0 };
        let mut slices = [IoSlice::new(&[]); 16];
        let count = transmit.slices(&mut slices);
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
        } else {
            self.trace.say("write", &[&conn.as_u64().to_le_bytes(), stream.sent.get(begin..).unwrap_or(&[])]);
            stream.room = stream.room.saturating_sub(written);
            stream.writes.push(written);
        }
        written
    }

    fn sent(&mut self, conn: ConnId, after: After) {
        match after {
            After::Keep => {}
            After::CloseWrite => self.stream(conn).end = Some(StreamEnd::HalfClosed),
            After::Close => {
                self.stream(conn).end = Some(StreamEnd::Closed);
                self.trace.say("closed", &[&conn.as_u64().to_le_bytes()]);
            }
        }
    }

    fn read(&mut self, conn: ConnId, reading: Reading) {
        self.trace.say("pause", &[&conn.as_u64().to_le_bytes(), &[u8::from(reading == Reading::Paused)]]);
        if let Some(stream) = self.streams.get_mut(&conn).filter(|stream| !stream.is_closed()) {
            assert_ne!(stream.reading, reading, "{conn:?} is told twice");
            stream.reading = reading;
        }
        match reading {
            Reading::Paused => self.pauses += 1,
            Reading::Resumed => self.resumed.push_back(conn),
        }
    }

    fn close(&mut self, conn: ConnId) {
        self.trace.say("close", &[&conn.as_u64().to_le_bytes()]);
        self.stream(conn).end = Some(StreamEnd::Closed);
    }

    fn time(&mut self, now: Instant) {
        self.trace.say("time", &[&now.as_nanos().to_le_bytes()]);
    }
}

fn target<T>(request: &Request<T>) -> &[u8] {
    request.uri().path_and_query().map_or(&[], |target| target.as_str().as_bytes())
}
