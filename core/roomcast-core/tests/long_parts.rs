//! What a long message costs on its way out, counted: its bytes stay where the application has them, and members are sent
//! the same as if they were copied.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use bytestring::ByteString;
use http::{Request, Response};
use roomcast_core::server::config::{Compression, ConnectionRecovery, EndpointKind};
use roomcast_core::server::{
    AckId, Command, Config, ConnId, Delivery, Emit, Endpoint, EndpointId, Event, Head, Input, Message, RequestId,
    Server, SessionId, SocketId, Stack, Start, Target, Transmit, Upgrade,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{
    ClientHandshake, Decoder, Fin, FrameLimits, Opcode, Role, WsMessage, encode_frame, server_header,
};
use roomcast_testkit::{Hooks, Kit};

#[test]
fn a_long_event_is_not_copied() {
    let mut world = World::new(Endpoint::socket_io("/io"));
    let (conn, socket) = (world.open_web_socket(), world.hooks().sockets[0]);
    let value = long_array(7);
    let around = [r#"{"of":"plan","update":"#.into(), value.clone(), r#","by":"x"}"#.into()];
    let in_pieces = Args::from_checked_pieces(around.to_vec(), Vec::new());
    let payload = format!(r#"42["long",{{"of":"plan","update":{value},"by":"x"}}]"#);
    let command = emit(socket, in_pieces);
    assert_eq!(world.sends(conn, command), [text_frame(&payload)].concat());

    let whole = Args::from_json_values(value.clone()).unwrap();
    assert_eq!(world.sends(conn, emit(socket, whole.clone())), text_frame(&format!(r#"42["long",{value}]"#)));
    let ack = Command::Ack { socket, ack: AckId(7), args: whole };
    assert_eq!(world.sends(conn, ack), text_frame(&format!("437[{value}]")));
}

#[test]
fn long_attachments_are_not_copied() {
    let mut world = World::new(Endpoint::socket_io("/io"));
    let (conn, socket) = (world.open_web_socket(), world.hooks().sockets[0]);
    let (long, short, longer) = (long_bytes(1), Bytes::from_static(b"short"), long_bytes(2));
    let json = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}"#;
    let attachments = vec![long.clone(), short.clone(), longer.clone()];
    let args = Args::from_received(json.into(), attachments).unwrap();
    let text = text_frame(&format!(r#"453-["long",{json}]"#));
    let expected = [text, binary_frame(&long), binary_frame(&short), binary_frame(&longer)].concat();
    assert_eq!(world.sends(conn, emit(socket, args)), expected);
}

#[test]
fn long_messages_without_socket_io_are_not_copied() {
    for (endpoint, prefix) in [(Endpoint::engine_io("/io"), "4"), (Endpoint::web_socket("/io"), "")] {
        let mut world = World::new(endpoint);
        let conn = world.open_web_socket();
        let (session, text, bytes) = (world.hooks().sessions[0], long_array(3), long_bytes(4));
        let send = |message| Command::Send { session, message };
        let expected = text_frame(&format!("{prefix}{text}"));
        assert_eq!(world.sends(conn, send(Message::Text(text.clone()))), expected);
        assert_eq!(world.sends(conn, send(Message::Binary(bytes.clone()))), binary_frame(&bytes));
    }
}

/// The log keeps the packet, not a copy of what is in it.
#[test]
fn a_long_event_that_may_be_missed_is_not_copied() {
    let mut endpoint = Endpoint::socket_io("/io");
    let EndpointKind::SocketIo(_, socket_io) = &mut endpoint.kind else { panic!("Socket.IO") };
    socket_io.recovery = Some(ConnectionRecovery::default());
    let mut world = World::new(endpoint);
    let (conn, socket, value) = (world.open_web_socket(), world.hooks().sockets[0], long_array(5));
    let sent = world.sends(conn, emit(socket, Args::from_json_values(value.clone()).unwrap()));
    let (begin, end) = (text_frame("")[2..].len() + 10, sent.len());
    let payload = std::str::from_utf8(&sent[begin..end]).unwrap();
    let offset = payload.strip_prefix(&format!(r#"42["long",{value},""#)).unwrap().strip_suffix(r#""]"#).unwrap();
    assert!(!offset.is_empty() && offset.len() < 50, "{offset}");
}

#[test]
fn a_poll_is_answered_with_the_whole_text() {
    let mut world = World::new(Endpoint::socket_io("/io"));
    let sid = world.open_polling();
    let socket = world.hooks().sockets[0];
    let value = long_array(6);
    let attachment = long_bytes(7);
    let json = format!(r#"{value},{{"_placeholder":true,"num":0}}"#);
    let pieces = vec![value, r#",{"_placeholder":true,"num":0}"#.into()];
    world.kit.command(emit(socket, Args::from_checked_pieces(pieces, vec![attachment.clone()])));
    world.kit.drain();
    // What is so long is an answer by itself.
    let (text, binary) = (world.poll(&sid), world.poll(&sid));
    assert_eq!(text, format!(r#"451-["long",{json}]"#));
    assert_eq!((binary[0], binary.len()), (b'b', 1 + attachment.len().div_ceil(3) * 4));
}

/// Compression looks at the whole message, however many pieces it is in.
#[test]
fn a_long_event_is_compressed_where_the_setting_allows_its_length() {
    for (bytes_max, is_compressed) in [(1 << 20, false), (1 << 24, true)] {
        let mut endpoint = Endpoint::socket_io("/io");
        let EndpointKind::SocketIo(engine, _) = &mut endpoint.kind else { panic!("Socket.IO") };
        engine.compression = Some(Compression { bytes_max, ..Compression::default() });
        let mut world = World::new(endpoint);
        let (conn, value) = (world.open_web_socket_that_inflates(), long_array(8));
        let socket = world.hooks().sockets[0];
        world.kit.command(emit(socket, Args::from_checked_pieces(vec!["1,".into(), value.clone()], Vec::new())));
        world.kit.drain();
        let sent = world.take_written(conn);
        assert_eq!((sent[0], sent.len() < value.len()), if is_compressed { (0xc1, true) } else { (0x81, false) });
        let mut decoder = Decoder::inflating(Role::Client);
        let limits = FrameLimits { message_bytes_max: 1 << 24, fragments_max: 1 };
        let mut rest = &sent[..];
        let message = loop {
            if let Some(message) = decoder.decode(&limits, &mut rest).unwrap() {
                break message;
            }
        };
        assert_eq!(message, WsMessage::Text(format!(r#"42["long",1,{value}]"#).into()));
    }
}

/// Receivers of one endpoint, whose sockets take everything.
struct World {
    kit: Kit<(), Receivers>,
}

#[derive(Default)]
struct Receivers {
    sessions: Vec<SessionId>,
    sockets: Vec<SocketId>,
    answers: Vec<(RequestId, Bytes)>,
    written: Vec<(ConnId, Vec<u8>)>,
}

impl Hooks<()> for Receivers {
    fn event(&mut self, event: Event, _stack: &mut Stack<()>, _now: Instant) {
        match event {
            Event::Connected(connect) => self.sockets.push(connect.socket),
            Event::Opened { session, .. } => self.sessions.push(session),
            event => panic!("{event:?}"),
        }
    }

    fn respond(&mut self, request: RequestId, response: Response<Bytes>) {
        self.answers.push((request, response.into_body()));
    }

    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize {
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let count = transmit.slices(&mut slices);
        let Some((_, written)) = self.written.iter_mut().find(|(other, _)| *other == conn) else { return 0 };
        // What the test keeps is not the server's.
        let counted = ALLOCATED_BYTES.get();
        slices[..count].iter().for_each(|slice| written.extend_from_slice(slice));
        ALLOCATED_BYTES.set(counted);
        slices[..count].iter().map(|slice| slice.len()).sum()
    }

    fn close(&mut self, conn: ConnId) {
        panic!("{conn:?} is closed");
    }
}

impl World {
    fn new(endpoint: Endpoint) -> Self {
        let start = Start { node: 0, now: NOW, wall: WallTime::default(), seed: [1; 32] };
        let server = Server::new(Config::new([endpoint]), start).unwrap();
        Self { kit: Kit::new(Stack::new(server, ()), Receivers::default(), NOW) }
    }

    fn hooks(&self) -> &Receivers {
        &self.kit.hooks
    }

    fn open_web_socket(&mut self) -> ConnId {
        self.upgrade(ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target("websocket")))
    }

    fn open_web_socket_that_inflates(&mut self) -> ConnId {
        let handshake = ClientHandshake::new([0; 16]);
        let mut request = handshake.request(&"localhost".parse().unwrap(), &target("websocket"));
        request.headers_mut().insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
        self.upgrade(request)
    }

    fn upgrade(&mut self, request: Request<()>) -> ConnId {
        let Upgrade::Accept(conn, _) = self.kit.server().handle_upgrade(ENDPOINT, &request, NOW) else {
            panic!("refused")
        };
        self.kit.hooks.written.push((conn, Vec::new()));
        self.kit.drain();
        if self.hooks().sessions.is_empty() {
            let mut frame = Vec::new();
            encode_frame(&mut frame, Fin::Final, Opcode::Text, b"40", Some([1, 2, 3, 4]));
            self.kit.input(Input::WsBytes { conn, bytes: &frame });
            self.kit.drain();
        }
        self.take_written(conn);
        conn
    }

    /// The sid of a polling client that has joined.
    fn open_polling(&mut self) -> String {
        let open = self.request(&format!("{}", target("polling")), None);
        let sid = std::str::from_utf8(&open).unwrap().split('"').nth(3).unwrap().to_owned();
        self.request(&format!("{}&sid={sid}", target("polling")), Some("40"));
        self.poll(&sid);
        sid
    }

    fn poll(&mut self, sid: &str) -> Bytes {
        self.request(&format!("{}&sid={sid}", target("polling")), None)
    }

    fn request(&mut self, target: &str, body: Option<&'static str>) -> Bytes {
        let method = if body.is_some() { "POST" } else { "GET" };
        let request = Request::builder().method(method).uri(target).body(()).unwrap();
        let Head::Continue(id) = self.kit.server().handle_http_head(ENDPOINT, request, NOW) else { panic!("refused") };
        self.kit.server().handle_http_body(id, body.unwrap_or("").into(), NOW);
        self.kit.settle();
        let (last, body) = self.kit.hooks.answers.pop().unwrap();
        assert_eq!(last, id);
        body
    }

    /// What a command sends to a connection, without an allocation of its length.
    fn sends(&mut self, conn: ConnId, command: Command) -> Vec<u8> {
        let before = ALLOCATED_BYTES.get();
        self.kit.command(command);
        self.kit.drain();
        let allocated = ALLOCATED_BYTES.get() - before;
        assert!(allocated < LONG_BYTES / 100, "{allocated} bytes were allocated");
        self.take_written(conn)
    }

    fn take_written(&mut self, conn: ConnId) -> Vec<u8> {
        let (_, written) = self.kit.hooks.written.iter_mut().find(|(other, _)| *other == conn).unwrap();
        std::mem::take(written)
    }
}

fn target(transport: &str) -> http::uri::PathAndQuery {
    format!("/io?EIO=4&transport={transport}").parse().unwrap()
}

fn emit(socket: SocketId, args: Args) -> Command {
    let (target, name) = (Target::Socket(socket), ByteString::from_static("long"));
    Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None })
}

fn long_array(number: u8) -> ByteString {
    format!("[{}{number}]", "12,".repeat(LONG_BYTES / 3)).into()
}

fn long_bytes(byte: u8) -> Bytes {
    vec![byte; LONG_BYTES].into()
}

fn text_frame(payload: &str) -> Vec<u8> {
    [server_header(Opcode::Text, payload.len()).as_slice(), payload.as_bytes()].concat()
}

fn binary_frame(payload: &[u8]) -> Vec<u8> {
    [server_header(Opcode::Binary, payload.len()).as_slice(), payload].concat()
}

const ENDPOINT: EndpointId = EndpointId::new(0);
const NOW: Instant = Instant::from_millis(1000);
const LONG_BYTES: usize = 4 << 20;

struct CountingAllocator;

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds, since the
// thread-local cell is a constant without a destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.set(ALLOCATED_BYTES.get() + layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED_BYTES.set(ALLOCATED_BYTES.get() + size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

thread_local! {
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
