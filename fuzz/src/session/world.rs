//! A driver, an application and the clients of one server, and what they know: which handles are theirs to name.

mod ending;
mod operations;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;

use bytes::Bytes;
use bytestring::ByteString;
use http::{Method, Request, Response, StatusCode};
use roomcast_core::server::config::{Admission, EndpointKind, NamespaceRule, Pattern, ServerLimits};
use roomcast_core::server::{
    AckId, After, Command, Config, ConnId, Connect, EmitId, Endpoint, EndpointId, Event, Head, Input, RequestId, Scope,
    Selection, Server, SessionId, SocketId, Stack, Start, Target, Transmit, Upgrade,
};
use roomcast_core::socket_io::{Args, ArgsBuilder};
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::ClientHandshake;
use roomcast_testkit::{Hooks, Kit, Reading};

use super::client::{Client, Speech, Stream};

pub(super) struct World {
    kit: Kit<(), Outside>,
    /// What was sent reliably, by recipient.
    sent_to_sockets: BTreeMap<SocketId, Vec<u64>>,
    sent_to_bare: BTreeMap<SessionId, Vec<u64>>,
    number: u64,
    /// Every handle that there was, live or stale.
    all_streams: Vec<ConnId>,
    all_requests: Vec<RequestId>,
}

/// What the driver, the application and the clients know of the server.
#[derive(Debug, Default)]
struct Outside {
    clients: Vec<Client>,
    streams: BTreeMap<ConnId, Stream>,
    requests: BTreeMap<RequestId, AwaitedRequest>,
    sockets: BTreeMap<SocketId, ClientSocket>,
    /// Peers of the bare endpoints.
    bare: BTreeMap<SessionId, usize>,
    acks: BTreeMap<EmitId, u32>,
    congested: BTreeSet<SessionId>,
    /// Events to be handled.
    unhandled: VecDeque<SessionId>,
    /// Acks that clients wait for.
    ack_wanted: VecDeque<(SocketId, AckId)>,
    /// Handles that the driver freed itself: outputs on their way may still name them, until all of these are out.
    freed_streams: BTreeSet<ConnId>,
    freed_requests: BTreeMap<RequestId, AwaitedRequest>,
    /// Every handle that there was, live or stale.
    all_sockets: Vec<SocketId>,
    all_sessions: Vec<SessionId>,
}

#[derive(Clone, Copy, Debug)]
struct AwaitedRequest {
    client: usize,
    kind: RequestMethod,
    body: BodyGiven,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestMethod {
    Get,
    Post,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyGiven {
    Awaited,
    Given,
}

#[derive(Clone, Copy, Debug)]
struct ClientSocket {
    client: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asking,
    Accepted,
    Connected,
}

/// The driver and the application.
impl World {
    pub(super) fn new() -> Self {
        let start = Start {
            node: 1,
            now: Instant::default(),
            wall: WallTime::from_unix_millis(1_000_000_000_000),
            seed: [7; 32],
        };
        let now = start.now;
        let Ok(server) = Server::new(config(), start) else { unreachable!("invariant: the configuration is sound") };
        Self {
            kit: Kit::new(Stack::new(server, ()), Outside::default(), now),
            sent_to_sockets: BTreeMap::new(),
            sent_to_bare: BTreeMap::new(),
            number: 0,
            all_streams: Vec::new(),
            all_requests: Vec::new(),
        }
    }

    /// All that the server has to say.
    pub(super) fn drain(&mut self) {
        self.kit.drain();
        let Kit { stack, hooks, .. } = &mut self.kit;
        hooks.freed_streams.clear();
        hooks.freed_requests.clear();
        let audit = stack.server.audit();
        assert_eq!((audit.conns, audit.requests, audit.outputs), (hooks.streams.len(), hooks.requests.len(), 0));
    }

    fn command(&mut self, command: Command) {
        self.kit.command(command);
    }

    fn wait_until(&mut self, now: Instant) {
        self.kit.time(self.kit.now().max(now));
        let next = self.kit.stack.server.poll_timeout();
        assert!(next.is_none_or(|(deadline, _)| deadline > self.kit.now()), "a driver would spin: {next:?}");
    }

    fn target(&self, kind: u8, which: u8) -> Target {
        let scope = |namespace: &'static str| Scope {
            endpoint: EndpointId::new(0),
            namespace: ByteString::from_static(namespace),
        };
        let (main, socket) = (scope("/"), |which| pick(&self.kit.hooks.all_sockets, which));
        match (kind % 7, socket(which)) {
            (0, Some(socket)) => Target::Socket(socket),
            (1, _) => Target::Room { namespace: main, room: room(which) },
            (2, _) => Target::Room { namespace: scope("/n1"), room: room(which) },
            (3, Some(socket)) => {
                let room = self.kit.stack.server.sid(socket).map_or("nobody".into(), |sid| sid.as_str().into());
                Target::Room { namespace: main, room }
            }
            (4, Some(socket)) => Target::Select(Box::new(Selection {
                rooms: vec![room(which), room(which.wrapping_add(1))],
                except_rooms: vec![room(which.wrapping_add(2))],
                except_sockets: vec![socket],
                ..Selection::of(main)
            })),
            (5, Some(first)) => {
                let sockets = [Some(first), socket(which.wrapping_add(1)), Some(first)];
                let sockets = sockets.into_iter().flatten().collect();
                Target::Select(Box::new(Selection { sockets, rooms: vec![room(which)], ..Selection::of(main) }))
            }
            _ => Target::everyone(main),
        }
    }

    /// The connected sockets that a target means, by the getters.
    fn meant(&self, target: &Target) -> Vec<SocketId> {
        let server = &self.kit.stack.server;
        let is_in = |socket: SocketId, room: &ByteString| {
            server.is_in(socket, room) || server.sid(socket).is_some_and(|sid| sid.as_str() == &**room)
        };
        match target {
            Target::Socket(socket) => {
                let scope = server.scope(*socket);
                let connected = scope.and_then(|scope| server.everyone(scope).find(|other| other == socket));
                connected.into_iter().collect()
            }
            Target::Room { namespace, room } => {
                server.everyone(namespace).filter(|socket| is_in(*socket, room)).collect()
            }
            Target::Select(selection) => {
                let everyone = selection.rooms.is_empty() && selection.sockets.is_empty();
                let chosen = |socket: &SocketId| {
                    (everyone
                        || selection.sockets.contains(socket)
                        || selection.rooms.iter().any(|room| is_in(*socket, room)))
                        && !selection.except_sockets.contains(socket)
                        && !selection.except_rooms.iter().any(|room| is_in(*socket, room))
                };
                server.everyone(&selection.scope).filter(chosen).collect()
            }
        }
    }
}

impl Hooks<()> for Outside {
    fn event(&mut self, event: Event, _stack: &mut Stack<()>, _now: Instant) {
        match event {
            Event::Opened { session, request, .. } => {
                self.all_sessions.push(session);
                assert!(self.bare.insert(session, client_of(request.target())).is_none());
            }
            Event::Message { session, .. } => {
                assert!(self.bare.contains_key(&session), "a message of a session that is gone");
                self.unhandled.push_back(session);
            }
            Event::Closed { session, .. } => assert!(self.bare.remove(&session).is_some(), "closed twice"),
            Event::Connecting(connect) => self.came(&connect, Stage::Asking),
            Event::Connected(connect) => match self.sockets.get_mut(&connect.socket) {
                Some(presence) => {
                    assert_eq!(presence.stage, Stage::Accepted);
                    presence.stage = Stage::Connected;
                }
                None => self.came(&connect, Stage::Connected),
            },
            Event::Received { session, socket, name, args, ack } => {
                self.assert_connected(socket);
                assert!(!name.is_empty() && args.attachments().len() <= 1);
                self.unhandled.push_back(session);
                self.ack_wanted.extend(ack.map(|ack| (socket, ack)));
            }
            Event::Acked { emit, socket, .. } => {
                self.assert_connected(socket);
                let Some(answered) = self.acks.get_mut(&emit) else { panic!("{emit:?} has ended") };
                *answered += 1;
            }
            Event::AcksEnded { emit, asked, answered, .. } => {
                assert_eq!(self.acks.remove(&emit), Some(answered));
                assert!(answered <= asked);
            }
            Event::Disconnected { socket, .. } => {
                assert!(self.sockets.remove(&socket).is_some(), "{socket:?} is gone");
            }
            Event::Relieved { session } => assert!(self.congested.remove(&session), "it was asked for"),
            Event::Cluster(_) | _ => panic!("an event without its check: {event:?}"),
        }
    }

    fn respond(&mut self, request: RequestId, response: Response<Bytes>) {
        let freed = self.freed_requests.get(&request).copied();
        let Some(asked) = self.requests.remove(&request).or(freed) else { panic!("{request:?} is answered twice") };
        let Some(client) = self.clients.get_mut(asked.client) else { return };
        if freed.is_some() {
            client.lost_an_answer = true;
        } else if response.status() == StatusCode::OK {
            match asked.kind {
                RequestMethod::Get => client.handle_payload(response.into_body()),
                RequestMethod::Post => assert_eq!(response.body(), "ok"),
            }
        }
    }

    fn is_writable(&mut self, conn: ConnId) -> bool {
        self.assert_named(conn);
        true
    }

    /// As much as the window lets through.
    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize {
        let Some(stream) = self.streams.get_mut(&conn).filter(|stream| stream.window > 0) else { return 0 };
        let mut slices = [IoSlice::new(&[]); 16];
        let count = transmit.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        assert!(count > 1 || transmit.single() == Some(&bytes[..]));
        let taken = bytes.len().min(stream.window);
        stream.handle_bytes(&mut self.clients[stream.client], &bytes[..taken]);
        stream.window -= if stream.window == usize::MAX { 0 } else { taken };
        taken
    }

    fn sent(&mut self, conn: ConnId, after: After) {
        match after {
            After::Keep => {}
            After::CloseWrite => {
                if let Some(stream) = self.streams.get_mut(&conn) {
                    stream.half_closed = true;
                }
            }
            After::Close => {
                self.streams.remove(&conn);
                self.freed_streams.insert(conn);
            }
        }
    }

    fn read(&mut self, conn: ConnId, reading: Reading) {
        self.assert_named(conn);
        if let Some(stream) = self.streams.get_mut(&conn) {
            assert_ne!(stream.reading, reading, "{conn:?} is told twice");
            stream.reading = reading;
        }
    }

    fn close(&mut self, conn: ConnId) {
        self.assert_named(conn);
        self.streams.remove(&conn);
    }
}

impl Outside {
    fn assert_named(&self, conn: ConnId) {
        assert!(self.streams.contains_key(&conn) || self.freed_streams.contains(&conn), "{conn:?} is gone");
    }

    fn came(&mut self, connect: &Connect, stage: Stage) {
        self.all_sockets.push(connect.socket);
        if !self.all_sessions.contains(&connect.session) {
            self.all_sessions.push(connect.session);
        }
        let presence = ClientSocket { client: client_of(connect.request.target()), stage };
        assert!(self.sockets.insert(connect.socket, presence).is_none(), "a socket comes once");
    }

    fn assert_connected(&self, socket: SocketId) {
        let stage = self.sockets.get(&socket).map(|presence| presence.stage);
        assert_eq!(stage, Some(Stage::Connected), "{socket:?}");
    }
}

/// The clients, and the end.
impl World {
    fn request(&mut self, client: usize, method: Method, body: Bytes, body_is_late: bool) {
        let (path, sid) = self.address(client);
        if self.kit.hooks.clients[client].speech == Speech::WebSocket || (sid.is_empty() && method != Method::GET) {
            return;
        }
        if sid.is_empty() && std::mem::replace(&mut self.kit.hooks.clients[client].has_asked, true) {
            return;
        }
        let kind = if method == Method::GET { RequestMethod::Get } else { RequestMethod::Post };
        let uri = format!("{path}?EIO=4&transport=polling&client={client}{sid}");
        let Some(endpoint) = self.kit.stack.server.route(path) else { return };
        if let Head::Continue(id) =
            self.kit.stack.server.handle_http_head(endpoint, request(method, &uri), self.kit.now())
        {
            self.all_requests.push(id);
            assert!(
                self.kit.hooks.requests.insert(id, AwaitedRequest { client, kind, body: BodyGiven::Awaited }).is_none()
            );
            if !body_is_late {
                self.give(id, body);
            }
        }
    }

    fn give(&mut self, request: RequestId, body: Bytes) {
        if let Some(asked) = self.kit.hooks.requests.get_mut(&request) {
            if asked.body == BodyGiven::Given {
                return;
            }
            asked.body = BodyGiven::Given;
        }
        self.kit.stack.server.handle_http_body(request, body, self.kit.now());
    }

    fn stream(&mut self, client: usize, window: usize) {
        let (path, sid) = self.address(client);
        if sid.is_empty() && std::mem::replace(&mut self.kit.hooks.clients[client].has_asked, true) {
            return;
        }
        let Ok(target) = format!("{path}?EIO=4&transport=websocket&client={client}{sid}").parse() else { return };
        let Some(endpoint) = self.kit.stack.server.route(path) else { return };
        let host = http::uri::Authority::from_static("localhost");
        let request = ClientHandshake::new([1; 16]).request(&host, &target);
        match self.kit.stack.server.handle_upgrade(endpoint, &request, self.kit.now()) {
            Upgrade::Accept(conn, response) => {
                assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
                self.all_streams.push(conn);
                assert!(self.kit.hooks.streams.insert(conn, Stream::new(client, window)).is_none());
            }
            Upgrade::Refuse(response) => assert_ne!(response.status(), StatusCode::SWITCHING_PROTOCOLS),
        }
    }

    fn address(&self, client: usize) -> (&'static str, String) {
        let client = &self.kit.hooks.clients[client];
        let sid = client.sid.as_ref().map(|sid| format!("&sid={sid}")).unwrap_or_default();
        match client.speech {
            Speech::SocketIo => ("/socket.io", sid),
            Speech::EngineIo => ("/engine.io/", sid),
            Speech::WebSocket => ("/websocket", sid),
        }
    }

    /// What was kept back comes first. A paused stream is not read.
    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(stream) = self.kit.hooks.streams.get_mut(&conn) else {
            return self.kit.input(Input::WsBytes { conn, bytes });
        };
        stream.unread.extend_from_slice(bytes);
        if stream.reading == Reading::Resumed {
            let bytes = std::mem::take(&mut stream.unread);
            self.kit.input(Input::WsBytes { conn, bytes: &bytes });
        }
    }
}

fn config() -> Config {
    let mut main = Endpoint::socket_io("/socket.io/");
    if let EndpointKind::SocketIo(engine, socket) = &mut main.kind {
        engine.max_payload_bytes = 200;
        socket.namespaces = [
            (Pattern::Exact("/".into()), Admission::Open),
            (Pattern::Exact("/ask".into()), Admission::Ask),
            (Pattern::Digits("/n".into()), Admission::Open),
        ]
        .map(|(pattern, admission)| NamespaceRule { pattern, admission })
        .into();
    }
    let endpoints = [main, Endpoint::engine_io("/engine.io"), Endpoint::web_socket("/websocket")];
    let limits = ServerLimits {
        sessions_max: 12,
        namespaces_per_session_max: 2,
        rooms_per_socket_max: 2,
        room_bytes_max: 20,
        attachments_max: 2,
        packet_bytes_max: 400,
        unanswered_max: 3,
        acks_per_socket_max: 2,
        queue_soft_bytes: 1000,
        queue_bytes_max: 4000,
        ..ServerLimits::default()
    };
    Config { limits, ..Config::new(endpoints) }
}

fn request(method: Method, uri: &str) -> Request<()> {
    let Ok(request) = Request::builder().method(method).uri(uri).header("Origin", "http://localhost").body(()) else {
        unreachable!("invariant: addresses are made here")
    };
    request
}

/// The number that a client puts into the address of all its requests.
fn client_of(target: &str) -> usize {
    let number = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("client="));
    number.and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}

fn args(number: u64, attach: bool, padding: usize) -> Args {
    let mut builder = ArgsBuilder::new();
    let attachment = attach.then(|| builder.attach(Bytes::from_static(b"attachment")));
    let pushed = builder.push(&number).and_then(|()| match attachment {
        Some(attachment) => builder.push(&attachment),
        None => builder.push(&"x".repeat(padding)),
    });
    match (pushed, builder.finish()) {
        (Ok(()), Ok(args)) => args,
        (pushed, args) => unreachable!("invariant: plain values: {pushed:?} {args:?}"),
    }
}

fn room(which: u8) -> ByteString {
    ByteString::from(format!("room {}", which % 3))
}

fn pick<T: Copy>(all: &[T], which: u8) -> Option<T> {
    all.get(usize::from(which).checked_rem(all.len())?).copied()
}
