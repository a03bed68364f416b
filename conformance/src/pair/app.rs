//! What the conformance server does, as a pure handler over events.
//!
//! Owns: the namespaces and events that the suites check, and what ends with a token. Must never know: transports, or
//! how a driver runs.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;
use roomcast_auth::{Algorithm, Claim, Key, Policy, Verifier, sign_hs256};
use roomcast_core::server::config::{
    Admission, Config, Endpoint, EndpointKind, EngineIo, NamespaceRule, Pattern, SocketIo, WebSocket,
};
use roomcast_core::server::{
    AckId, AckRequest, App, Command, Connect, Cx, Delivery, Emit, EmitId, Event, Extent, Scope, Selection, Server,
    SocketId, Target,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::Instant;
use serde_json::Value;

/// The suites' server: `/engine.io` and `/websocket` echo, `/socket.io` knows some namespaces and events.
#[derive(Debug)]
pub struct Conformance {
    verifier: Verifier,
    asks: BTreeMap<EmitId, SocketId>,
    next_emit: u64,
    /// The subject of the token that admitted a socket, until the socket is connected.
    subjects: BTreeMap<SocketId, String>,
    /// When a token ends.
    expiries: BTreeMap<(Instant, SocketId), ()>,
    /// The namespaces of connected sockets.
    scopes: BTreeMap<SocketId, Scope>,
}

impl Conformance {
    /// The secret of `/jwt`.
    pub const SECRET: &'static [u8] = b"conformance-secret-conformance-secret";

    /// Creates the application with the key of `/jwt`.
    ///
    /// # Panics
    ///
    /// Never: the policy has its key.
    pub fn new() -> Self {
        let policy = Policy {
            algorithms: vec![Algorithm::Hs256],
            required: vec![Claim::Expiry, Claim::Subject],
            token_bytes_max: 16_384,
            ..Policy::default()
        };
        let verifier = Key::hmac(Self::SECRET).and_then(|key| Verifier::new(policy, vec![key]));
        let Ok(verifier) = verifier else { panic!("the policy has its key") };
        Self {
            verifier,
            asks: BTreeMap::new(),
            next_emit: 0,
            subjects: BTreeMap::new(),
            expiries: BTreeMap::new(),
            scopes: BTreeMap::new(),
        }
    }

    /// A token of these claims that the server takes.
    pub fn token(claims_json: &str) -> String {
        sign_hs256(Self::SECRET, claims_json)
    }

    /// The endpoints and namespaces, with times from `profile`.
    pub fn config(profile: Profile) -> Config {
        let engine = EngineIo {
            ping_interval: profile.ping_interval,
            ping_timeout: profile.ping_timeout,
            ..EngineIo::default()
        };
        let rule = |pattern, admission| NamespaceRule { pattern, admission };
        let socket = SocketIo {
            namespaces: vec![
                rule(Pattern::Exact("/".into()), Admission::Open),
                rule(Pattern::Exact("/custom".into()), Admission::Open),
                rule(Pattern::Digits("/dyn-".into()), Admission::Open),
                rule(Pattern::Exact("/deny".into()), Admission::Ask),
                rule(Pattern::Exact("/jwt".into()), Admission::Ask),
            ],
            connect_timeout: profile.connect_timeout,
            ..SocketIo::default()
        };
        let web_socket = WebSocket {
            message_bytes_max: 64 << 20,
            ping_interval: profile.ping_interval,
            ping_timeout: profile.ping_timeout,
            ..WebSocket::default()
        };
        Config::new([
            Endpoint { kind: EndpointKind::EngineIo(engine.clone()), ..Endpoint::engine_io("/engine.io") },
            Endpoint { kind: EndpointKind::SocketIo(engine, socket), ..Endpoint::socket_io("/socket.io") },
            Endpoint { kind: EndpointKind::WebSocket(web_socket), ..Endpoint::web_socket("/websocket") },
        ])
    }

    /// Whether it holds no state of any client.
    pub fn is_idle(&self) -> bool {
        self.asks.is_empty() && self.subjects.is_empty() && self.expiries.is_empty() && self.scopes.is_empty()
    }

    fn connecting(&mut self, connect: &Connect, server: &Server, now: Instant) -> Command {
        let socket = connect.socket;
        let refuse = |data: &'static str| Command::Refuse { socket, data: ByteString::from_static(data) };
        if &*connect.namespace != "/jwt" {
            return refuse(r#"{"message":"not authorized","data":{"code":"E_AUTH"}}"#);
        }
        let auth: Value = serde_json::from_str(&connect.auth).unwrap_or(Value::Null);
        let token = auth.get("token").and_then(Value::as_str).unwrap_or("");
        let Ok(claims) = self.verifier.verify(token, server.wall()) else {
            return refuse(r#"{"message":"unauthorized"}"#);
        };
        if let Some(exp) = claims.exp() {
            let left = exp.as_unix_millis().saturating_sub(server.wall().as_unix_millis());
            self.expiries.insert((now + Duration::from_millis(left), socket), ());
        }
        self.subjects.insert(socket, claims.subject().unwrap_or("").to_owned());
        Command::Accept { socket }
    }

    fn connected(&mut self, connect: &Connect) -> Command {
        self.scopes.insert(
            connect.socket,
            Scope { endpoint: connect.endpoint, namespace: ByteString::from(&*connect.namespace) },
        );
        let args = match self.subjects.remove(&connect.socket) {
            Some(subject) => serialized(&(serde_json::json!({ "sub": subject }),)),
            None if connect.auth.is_empty() => checked("{}"),
            None => checked(&connect.auth),
        };
        emit(Target::Socket(connect.socket), "auth", args)
    }

    fn received(&mut self, call: &TestEvent, cx: &mut Cx<'_>) {
        if matches!(&*call.name, "room-cast" | "flood" | "whoami") {
            return Self::received_of_rooms(call, cx);
        }
        let mut tell = |command| cx.command(command);
        let args = call.args.clone();
        let first = args.get(0).unwrap_or("null").to_owned();
        let room = call.room();
        let scope = call.scope.clone();
        match &*call.name {
            "message" => tell(emit(Target::Socket(call.socket), "message-back", args)),
            "message-with-ack" | "echo" => call.answer(args, &mut tell),
            "ask" => {
                let id = EmitId(self.next_emit);
                self.next_emit += 1;
                self.asks.insert(id, call.socket);
                let ack = Some(AckRequest { emit: id, timeout: ASK_TIMEOUT });
                let Command::Emit(plain) = emit(Target::Socket(call.socket), "ask", args) else { return };
                tell(Command::Emit(Emit { ack, ..plain }));
            }
            "join" | "leave" => {
                let Some(room) = room else { return call.answer(serialized(&("error",)), &mut tell) };
                let target = Target::Socket(call.socket);
                let (command, done) = if &*call.name == "join" {
                    (Command::Join { target, room: room.clone() }, "joined")
                } else {
                    (Command::Leave { target, room: room.clone() }, "left")
                };
                tell(command);
                call.answer(serialized(&(done, &*room)), &mut tell);
            }
            "broadcast" => tell(emit(Target::everyone(scope), "broadcast", args)),
            "typing" => {
                if let Some(room) = room {
                    let others =
                        Selection { rooms: vec![room], except_sockets: vec![call.socket], ..Selection::of(scope) };
                    tell(emit(Target::Select(Box::new(others)), "typing", args.slice_from(1)));
                }
            }
            "burst" => {
                for index in 0..first.parse().unwrap_or(0).min(100_000u32) {
                    tell(emit(Target::Socket(call.socket), "seq", serialized(&(index,))));
                }
            }
            "volatile" => {
                let count = first.parse().unwrap_or(0u32);
                for index in 0..count {
                    let Command::Emit(plain) = emit(Target::Socket(call.socket), "vol", serialized(&(index,))) else {
                        return;
                    };
                    tell(Command::Emit(Emit { delivery: Delivery::Volatile, ..plain }));
                }
                tell(emit(Target::Socket(call.socket), "vol-done", serialized(&(count,))));
            }
            "kick" => {
                let extent = if first == "true" { Extent::Connection } else { Extent::Namespace };
                tell(Command::Disconnect { target: Target::Socket(call.socket), extent });
            }
            _ => {}
        }
    }

    fn received_of_rooms(call: &TestEvent, cx: &mut Cx<'_>) {
        let room: Option<ByteString> = call.room();
        let joined = room.as_ref().is_some_and(|room| cx.server.is_in(call.socket, room));
        let rooms = cx.server.rooms(call.socket).count();
        let sid = cx.server.sid(call.socket);
        let mut tell = |command| cx.command(command);
        let namespace = call.scope.clone();
        match (&*call.name, room) {
            ("whoami", _) => {
                let sid = sid.map(|sid| sid.as_str().to_owned());
                let nsp = namespace.namespace.to_string();
                call.answer(serialized(&(serde_json::json!({ "sid": sid, "rooms": rooms, "nsp": nsp }),)), &mut tell);
            }
            ("room-cast", Some(room)) if joined => {
                tell(emit(Target::Room { namespace, room }, "room-event", call.args.clone()));
                call.answer(serialized(&("sent",)), &mut tell);
            }
            ("flood", Some(room)) => {
                let number = |index| call.args.get(index).and_then(|text| text.parse().ok()).unwrap_or(0usize);
                let (count, text) = (number(1).min(20_000), "x".repeat(number(2).min(200_000)));
                for index in 0..count {
                    let target = Target::Room { namespace: namespace.clone(), room: room.clone() };
                    tell(emit(target, "flood", serialized(&(index, &text))));
                }
                call.answer(serialized(&(count,)), &mut tell);
            }
            ("room-cast", _) => call.answer(serialized(&("denied",)), &mut tell),
            (_, _) => {}
        }
    }
}

impl Default for Conformance {
    fn default() -> Self {
        Self::new()
    }
}

impl App for Conformance {
    roomcast_testkit::without_stores!();

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        let command = match event {
            Event::Opened { .. }
            | Event::Closed { .. }
            | Event::Relieved { .. }
            | Event::RoomJoined { .. }
            | Event::RoomLeft { .. }
            | Event::Cluster(_) => return None,
            Event::Message { session, message } => {
                cx.command(Command::Send { session, message });
                Command::Handled { session }
            }
            Event::Connecting(connect) => self.connecting(&connect, &cx.server, cx.now),
            Event::Connected(connect) => self.connected(&connect),
            Event::Received { session, socket, name, args, ack } => {
                if let Some(scope) = self.scopes.get(&socket).cloned() {
                    self.received(&TestEvent { socket, scope, name, args, ack }, cx);
                }
                Command::Handled { session }
            }
            Event::Acked { socket, args, .. } => emit(Target::Socket(socket), "ask-result", args),
            Event::AcksEnded { emit, .. } => {
                self.asks.remove(&emit);
                return None;
            }
            Event::Disconnected { socket, .. } => {
                self.scopes.remove(&socket);
                self.subjects.remove(&socket);
                self.expiries.retain(|(_, other), ()| *other != socket);
                return None;
            }
            _ => return None,
        };
        cx.command(command);
        None
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        while let Some(entry) = self.expiries.first_entry().filter(|entry| entry.key().0 <= cx.now) {
            let ((_, socket), ()) = entry.remove_entry();
            let target = Target::Socket(socket);
            cx.command(Command::Disconnect { target, extent: Extent::Namespace });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.expiries.first_key_value().map(|((at, _), ())| *at)
    }
}

/// The times of a server.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// How long joining a namespace may take.
    pub connect_timeout: Duration,
}

impl Profile {
    /// As the official suites want it.
    pub const SUITE: Self = Self {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(1),
    };
    /// The defaults of Socket.IO: a ping every 25 s, 20 s for its answer, 45 s for joining a namespace.
    pub const APP: Self = Self {
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(45),
    };
}

/// An event of a client.
struct TestEvent {
    socket: SocketId,
    scope: Scope,
    name: ByteString,
    args: Args,
    ack: Option<AckId>,
}

impl TestEvent {
    /// The first argument, if it is a string.
    fn room(&self) -> Option<ByteString> {
        let first = self.args.get(0).and_then(|text| serde_json::from_str::<String>(text).ok());
        first.map(ByteString::from)
    }

    fn answer(&self, args: Args, tell: &mut impl FnMut(Command)) {
        if let Some(ack) = self.ack {
            tell(Command::Ack { socket: self.socket, ack, args });
        }
    }
}

/// An emit that must arrive and asks for no ack.
pub fn emit(target: Target, name: &str, args: Args) -> Command {
    Command::Emit(Emit { target, name: name.into(), args, delivery: Delivery::Reliable, ack: None })
}

fn checked(json: &str) -> Args {
    match Args::from_json_values(json) {
        Ok(args) => args,
        Err(error) => panic!("{json}: {error}"),
    }
}

fn serialized<T: serde::Serialize>(value: &T) -> Args {
    match Args::from_serialize(value) {
        Ok(args) => args,
        Err(error) => panic!("{error}"),
    }
}

const ASK_TIMEOUT: Duration = Duration::from_secs(5);
