//! A server with the application, clients over WebSocket and a store, in one thread under a clock of the test's.
//!
//! Owns: turning the machines' outputs into what clients and stores see, and back. Must never know: what a test is
//! about.

use std::collections::{BTreeSet, VecDeque};
use std::io::IoSlice;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytes::Bytes;

use roomcast_auth::sign_hs256;
use roomcast_core::cluster::{ClusterBody, ClusterMessage, NodeId};
use roomcast_core::server::{
    After, AppRequestId, ClusterConfig, ClusterInput, Command, Config, ConnId, EndpointId, Event, Input, RequestId,
    Server, SocketId, Stack, Start, TimerKind, Transmit, Upgrade, Work,
};
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Decoder, Fin, FrameLimits, Opcode, Role, WsMessage, encode_frame};
use roomcast_openwebui::query::{Query, Question, Reply};
use roomcast_openwebui::{AuthRequirement, Notice, Notices, OpenWebUi, Request, Response, Settings};
use roomcast_testkit::{Hooks, Reading, drain_one};

use super::store::{Manner, Store};

pub const SECRET: &[u8] = b"a secret of the tests alone";
/// The calendar at the start: a round second.
pub const START_MILLIS: u64 = 1_800_000_000_000;
pub const START_SECS: u64 = START_MILLIS / 1000;

pub struct World {
    pub stack: Stack<OpenWebUi>,
    pub now: Instant,
    /// How far the calendar is ahead of the clock, besides [`START_MILLIS`].
    pub wall_step: Duration,
    outside: Outside,
    tickets: u64,
}

/// What carries out the outputs of the machines: clients, a store, and the rest of the program.
pub struct Outside {
    pub store: Store,
    pub clients: Vec<Client>,
    /// What the application gave back, except for comings and goings.
    pub given_back: Vec<(SocketId, String)>,
    pub answers: Vec<(AppRequestId, Response)>,
    pub notices: Vec<Notice>,
    /// Questions that the store has not answered.
    pub waiting: VecDeque<Query>,
    /// Every question that was ever asked.
    pub asked: Vec<Question>,
    /// Connections that are not read, as far as the server is asked.
    pub paused: BTreeSet<ConnId>,
    /// What clients answer at once, without being asked by the test.
    replies: VecDeque<(ConnId, Vec<u8>)>,
    /// Whether what takes long is held back until [`World::work_one`].
    pub is_busy: bool,
    pub work: VecDeque<Work<Reply>>,
    /// What was said to other nodes.
    pub published: Vec<ClusterMessage>,
}

impl Deref for World {
    type Target = Outside;

    fn deref(&self) -> &Outside {
        &self.outside
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Outside {
        &mut self.outside
    }
}

/// The browser side of one WebSocket connection.
pub struct Client {
    pub conn: ConnId,
    decoder: Decoder,
    unread: Vec<String>,
    blobs: VecDeque<Vec<u8>>,
    pub sid: String,
    pub is_closed: bool,
    /// Takes no bytes.
    is_deaf: bool,
    /// What the server's close frame said.
    pub close_code: Option<u16>,
}

impl Client {
    /// What was read comes again.
    pub fn put_back(&mut self, said: Vec<String>) {
        self.unread.splice(..0, said);
    }
}

impl World {
    /// Alice the admin, bob, carol, and pending pete; one channel for alice and bob, a note of alice's.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::built(change, None, 1)
    }

    /// The same on a bus, on which [`hear`](Self::hear) is what another node says.
    pub fn on_bus(change: impl FnOnce(&mut Settings)) -> Self {
        Self::node(1, change)
    }

    /// One of several on a bus: its messages are [`published`](Outside::published), and [heard](Self::hear_all) by others.
    pub fn node(number: u8, change: impl FnOnce(&mut Settings)) -> Self {
        Self::built(change, Some(ClusterConfig::new(EndpointId::new(0))), number)
    }

    /// Takes what other nodes have published.
    pub fn hear_all(&mut self, messages: &[ClusterMessage]) {
        for message in messages {
            let input = Input::Cluster(ClusterInput::Message(Box::new(message.clone())));
            self.stack.server.handle_input(input, self.now);
            self.run();
        }
    }

    fn built(change: impl FnOnce(&mut Settings), cluster: Option<ClusterConfig>, number: u8) -> Self {
        let mut settings = Settings::new(EndpointId::new(0), SECRET).unwrap();
        settings.notices = Notices::On;
        settings.yjs_endpoint = Some(EndpointId::new(1));
        change(&mut settings);
        let cluster = cluster.map(|mut cluster| {
            cluster.settings.watches = settings.release.watches();
            cluster
        });
        let now = Instant::from_millis(1000);
        let endpoints = [settings.endpoint("/ws/socket.io"), settings.protocol_endpoint("/ws/yjs")];
        let config = Config { cluster, ..Config::new(endpoints) };
        let wall = WallTime::from_unix_millis(START_MILLIS);
        let server = Server::new(config, Start { node: 0, now, wall, seed: [number; 32] }).unwrap();
        Self {
            stack: Stack::new(server, OpenWebUi::new(settings, [number + 1; 32])),
            now,
            wall_step: Duration::ZERO,
            outside: Outside {
                store: Store::with_people(),
                clients: Vec::new(),
                given_back: Vec::new(),
                answers: Vec::new(),
                notices: Vec::new(),
                waiting: VecDeque::new(),
                asked: Vec::new(),
                paused: BTreeSet::new(),
                replies: VecDeque::new(),
                is_busy: false,
                work: VecDeque::new(),
                published: Vec::new(),
            },
            tickets: 0,
        }
    }

    pub fn authenticated_only() -> Self {
        Self::with(|settings| settings.auth = AuthRequirement::Required)
    }

    /// A client that has come in with this auth payload (`{}` for none). What it was told of that is read.
    pub fn connect(&mut self, auth: &str) -> usize {
        let client = self.open();
        self.send(client, &format!("0{auth}"));
        let said = self.read(client);
        let sid = said.iter().find_map(|text| text.strip_prefix(r#"0{"sid":""#)?.strip_suffix(r#""}"#));
        self.clients[client].sid = sid.unwrap_or_default().to_owned();
        self.clients[client].unread = said.into_iter().filter(|text| !text.starts_with(r#"0{"sid""#)).collect();
        client
    }

    /// A client that is in no namespace.
    pub fn open(&mut self) -> usize {
        self.open_at("/ws/socket.io/?EIO=4&transport=websocket")
    }

    /// A provider of y-websocket.
    pub fn open_provider(&mut self, document: &str, token: &str) -> usize {
        self.open_at(&format!("/ws/yjs/{document}?token={token}"))
    }

    fn open_at(&mut self, target: &str) -> usize {
        let key = u8::try_from(self.clients.len() % 256).unwrap();
        let endpoint = self.stack.server.route(target.split('?').next().unwrap()).unwrap();
        let target = target.parse().unwrap();
        let request = ClientHandshake::new([key; 16]).request(&"a.example".parse().unwrap(), &target);
        let conn = match self.stack.server.handle_upgrade(endpoint, &request, self.now) {
            Upgrade::Accept(conn, _) => conn,
            Upgrade::Refuse(response) => panic!("refused: {response:?}"),
        };
        self.clients.push(Client {
            conn,
            decoder: Decoder::new(Role::Client),
            unread: Vec::new(),
            blobs: VecDeque::new(),
            sid: String::new(),
            is_closed: false,
            is_deaf: false,
            close_code: None,
        });
        self.run();
        let client = self.clients.len() - 1;
        self.clients[client].unread.clear();
        client
    }

    /// A client that has joined as a user, and read all that it was told.
    pub fn join(&mut self, user: &str) -> usize {
        self.join_with(&token(user))
    }

    pub fn join_with(&mut self, token: &str) -> usize {
        let client = self.connect("{}");
        self.send(client, &format!(r#"20["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        self.read(client);
        client
    }

    /// Sends a Socket.IO packet.
    pub fn send(&mut self, client: usize, packet: &str) {
        self.feed(client, packet);
        self.run();
    }

    /// The same, not looking at what comes of it.
    pub fn feed(&mut self, client: usize, packet: &str) {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, Fin::Final, Opcode::Text, format!("4{packet}").as_bytes(), Some([7; 4]));
        self.raw(client, &bytes);
    }

    /// Sends a binary message: an attachment, or one of y-protocols.
    pub fn send_binary(&mut self, client: usize, bytes: &[u8]) {
        let mut frame = Vec::new();
        encode_frame(&mut frame, Fin::Final, Opcode::Binary, bytes, Some([7; 4]));
        self.raw(client, &frame);
        self.run();
    }

    /// A client takes no bytes until it is to [`listen`](Self::listen).
    pub fn stop_listening(&mut self, client: usize) {
        self.clients[client].is_deaf = true;
    }

    /// A client takes what was kept for it, and what comes from then on.
    pub fn listen(&mut self, client: usize) {
        self.clients[client].is_deaf = false;
        let (conn, mut transmit) = (self.clients[client].conn, Transmit::new());
        while self.stack.poll_transmit(conn, &mut transmit) {
            while !transmit.is_empty() {
                let written = self.outside.write(conn, &transmit);
                transmit.advance(written);
            }
            self.outside.sent(conn, transmit.after());
        }
        self.run();
    }

    /// The next binary message that has come and was not read.
    pub fn read_binary(&mut self, client: usize) -> Option<Vec<u8>> {
        self.clients[client].blobs.pop_front()
    }

    fn raw(&mut self, client: usize, bytes: &[u8]) {
        let conn = self.clients[client].conn;
        self.stack.server.handle_input(Input::WsBytes { conn, bytes }, self.now);
    }

    /// The Socket.IO packets that have come since last asked.
    pub fn read(&mut self, client: usize) -> Vec<String> {
        std::mem::take(&mut self.clients[client].unread)
    }

    /// Closes a client's connection as a browser does that goes away.
    pub fn leave(&mut self, client: usize) {
        if !std::mem::replace(&mut self.clients[client].is_closed, true) {
            let conn = self.clients[client].conn;
            self.stack.server.handle_input(Input::WsEnded { conn }, self.now);
        }
        self.run();
    }

    pub fn request(&mut self, request: Request) -> AppRequestId {
        self.tickets += 1;
        let ticket = AppRequestId(self.tickets);
        self.stack.handle_request(ticket, request, self.now);
        self.run();
        ticket
    }

    /// Another node says something to all, as a process of Open WebUI does.
    pub fn hear(&mut self, body: ClusterBody) {
        let message = ClusterMessage { from: NodeId::from_random([7; 16]), seq: None, body };
        let input = Input::Cluster(ClusterInput::Message(Box::new(message)));
        self.stack.server.handle_input(input, self.now);
        self.run();
    }

    /// The one answer to a request, which must have come.
    pub fn ask(&mut self, request: Request) -> Response {
        let ticket = self.request(request);
        self.answer_to(ticket).expect("answered at once")
    }

    pub fn answer_to(&mut self, ticket: AppRequestId) -> Option<Response> {
        let index = self.answers.iter().position(|(other, _)| *other == ticket)?;
        Some(self.answers.remove(index).1)
    }

    pub fn socket(&self, client: usize) -> Option<SocketId> {
        let scope = &self.stack.app.settings().scope;
        self.stack.server.socket(scope, &self.clients[client].sid)
    }

    /// The rooms of a client, in order.
    pub fn rooms(&self, client: usize) -> Vec<String> {
        let Some(socket) = self.socket(client) else { return Vec::new() };
        let mut rooms: Vec<String> = self.stack.server.rooms(socket).map(str::to_owned).collect();
        rooms.sort();
        rooms
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.stack.poll_timeout().map(|(at, _)| at).filter(|at| *at <= end);
            self.now = due.unwrap_or(end).max(self.now);
            self.tell_wall();
            if due.is_none() {
                break;
            }
            self.stack.handle_timeout(self.now);
            self.run();
        }
        self.run();
    }

    pub fn pass_ms(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    pub fn tell_wall(&mut self) {
        let wall = self.wall();
        self.stack.server.handle_input(Input::WallClock(wall), self.now);
    }

    pub fn wall(&self) -> WallTime {
        let since = self.now.saturating_since(Instant::from_millis(1000));
        WallTime::from_unix_millis(START_MILLIS) + since + self.wall_step
    }

    /// The store answers what waits, in order, as it now does.
    pub fn answer_waiting(&mut self) {
        while let Some(query) = self.waiting.pop_front() {
            self.answer(query);
        }
    }

    /// The store answers one question as it now does.
    pub fn answer(&mut self, query: Query) {
        let manner = std::mem::replace(&mut self.store.manner, Manner::AtOnce);
        let reply = self.store.reply(query);
        self.store.manner = manner;
        self.stack.handle_reply(reply, self.now);
        self.run();
    }

    /// The questions since last asked.
    pub fn questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.asked)
    }

    /// Does the first piece of work that was handed out and held back. Whether there was one.
    pub fn work_one(&mut self) -> bool {
        let Some(work) = self.work.pop_front() else { return false };
        self.stack.handle_reply(work.run(), self.now);
        self.run();
        true
    }

    /// Runs everything until it is quiet.
    pub fn run(&mut self) {
        let Self { stack, outside, now, .. } = self;
        let mut transmit = Transmit::new();
        loop {
            while drain_one(stack, outside, &mut transmit, *now) {
                while let Some((conn, bytes)) = outside.replies.pop_front() {
                    stack.server.handle_input(Input::WsBytes { conn, bytes: &bytes }, *now);
                }
            }
            // More was read of a client than was taken: it has its turn.
            let Some((at, TimerKind::Intake)) = stack.poll_timeout() else { return };
            stack.handle_timeout(at.max(*now));
        }
    }
}

impl Hooks<OpenWebUi> for Outside {
    fn event(&mut self, event: Event, stack: &mut Stack<OpenWebUi>, now: Instant) {
        if let Event::Received { session, socket, name, args, .. } = event {
            self.given_back.push((socket, format!("{name} {}", args.json())));
            stack.server.handle_input(Input::Command(Command::Handled { session }), now);
        }
    }

    fn respond(&mut self, _request: RequestId, _response: http::Response<Bytes>) {}

    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize {
        if self.clients.iter().any(|client| client.conn == conn && client.is_deaf) {
            return 0;
        }
        let mut slices = [IoSlice::new(&[]); 8];
        let count = transmit.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        let client = self.clients.iter_mut().find(|client| client.conn == conn && !client.is_closed);
        self.replies.extend(client.map(|client| (conn, client.hear(&bytes))).filter(|(_, reply)| !reply.is_empty()));
        bytes.len()
    }

    fn sent(&mut self, conn: ConnId, after: After) {
        if after == After::Close {
            self.close(conn);
        }
    }

    fn read(&mut self, conn: ConnId, reading: Reading) {
        match reading {
            Reading::Paused => self.paused.insert(conn),
            Reading::Resumed => self.paused.remove(&conn),
        };
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.conn == conn) {
            client.is_closed = true;
        }
    }

    fn query(&mut self, query: Query) -> Option<Reply> {
        self.asked.push(query.question.clone());
        match self.store.manner {
            Manner::AtOnce | Manner::Failing => Some(self.store.reply(query)),
            Manner::Later => {
                self.waiting.push_back(query);
                None
            }
        }
    }

    fn work(&mut self, work: Work<Reply>) -> Option<Reply> {
        if self.is_busy {
            self.work.push_back(work);
            return None;
        }
        Some(work.run())
    }

    fn publish(&mut self, message: ClusterMessage) {
        self.published.push(message);
    }

    fn app_response(&mut self, id: AppRequestId, response: Response) {
        self.answers.push((id, response));
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}

impl Client {
    /// Takes what the server has written. What a browser answers to it by itself.
    fn hear(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut reply = Vec::new();
        while let Some(message) = self.decoder.decode(&LIMITS, &mut bytes).unwrap() {
            match message {
                WsMessage::Text(text) if &*text == "2" => {
                    encode_frame(&mut reply, Fin::Final, Opcode::Text, b"3", Some([7; 4]));
                }
                WsMessage::Text(text) => self.unread.extend(text.strip_prefix('4').map(str::to_owned)),
                WsMessage::Binary(bytes) => self.blobs.push_back(bytes.to_vec()),
                WsMessage::Ping(bytes) => {
                    encode_frame(&mut reply, Fin::Final, Opcode::Pong, &bytes, Some([7; 4]));
                }
                WsMessage::Pong(_) => {}
                WsMessage::Close(frame) => {
                    self.close_code = frame.map(|frame| frame.code.as_u16());
                    encode_frame(&mut reply, Fin::Final, Opcode::Close, &[], Some([7; 4]));
                }
            }
        }
        reply
    }
}

/// A token without an end.
pub fn token(user: &str) -> String {
    sign_hs256(SECRET, &format!(r#"{{"id":"{user}","jti":"of-{user}"}}"#))
}

/// A token with these claims.
pub fn token_of(claims: &str) -> String {
    sign_hs256(SECRET, claims)
}

const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 64 << 20, fragments_max: 1000 };
