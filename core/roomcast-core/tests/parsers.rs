//! Endpoints with other parsers than JSON's: MessagePack, and one that an application brings.
//!
//! Owns: what a parser changes for a server, and what it does not. Must never know: the forms beyond a packet or two.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use std::sync::Arc;

use bytes::Bytes;
use roomcast_core::server::config::{Compression, EndpointKind};
use roomcast_core::server::{
    App, Command, Config, ConnId, Cx, Delivery, Emit, Endpoint, EndpointId, Event, Scope, Server, Stack, Start, Target,
};
use roomcast_core::socket_io::{
    Args, OutgoingPacket, Packet, PacketError, PacketForm, PacketLimits, PacketParser, PacketType, Parser,
};
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Decoder, Fin, FrameLimits, Opcode, Role, WsMessage, encode_frame};
use roomcast_testkit::{Kit, Network};

/// Socket.IO protocol, "Connection to a namespace" and "Acknowledgement", in one binary message each.
#[test]
fn a_client_of_messagepack_connects_speaks_and_is_answered() {
    let mut world = World::new();
    let client = world.join(PACKED, &WsMessage::Binary(Bytes::from_static(CONNECT)));
    let answer = world.read(client);
    assert!(
        matches!(&answer[..], [WsMessage::Binary(bytes)] if bytes.starts_with(b"\x83\xa4type\x00\xa4data\x81\xa3sid"))
    );
    let said = b"\x84\xa4type\x02\xa4data\x93\xa3say\xa2hi\xc4\x02ab\xa2id\x05\xa3nsp\xa1/";
    world.send(client, &WsMessage::Binary(Bytes::from_static(said)));
    assert_eq!(world.taken(), [r#"say "hi",{"_placeholder":true,"num":0} 1"#]);
    let ack = b"\x84\xa4type\x03\xa4data\x92\xa2hi\xc4\x02ab\xa2id\x05\xa3nsp\xa1/";
    assert_eq!(world.read(client), [WsMessage::Binary(Bytes::from_static(ack))]);
    world.emit(PACKED, r#""x",1"#);
    let event = b"\x83\xa4type\x02\xa4data\x93\xa5event\xa1x\x01\xa3nsp\xa1/";
    assert_eq!(world.read(client), [WsMessage::Binary(Bytes::from_static(event))]);
}

#[test]
fn what_is_no_packet_of_the_parser_ends_its_own_connection_alone() {
    let mut world = World::new();
    for bad in [
        WsMessage::Text("42[\"say\"]".into()),
        WsMessage::Binary(Bytes::from_static(b"\xc1")),
        // Reserved names (socket.io-parser 4.2, `RESERVED_EVENTS`), and a server's own packet.
        WsMessage::Binary(Bytes::from_static(b"\x83\xa4type\x02\xa4data\x91\xaadisconnect\xa3nsp\xa1/")),
        WsMessage::Binary(Bytes::from_static(b"\x83\xa4type\x04\xa4data\x80\xa3nsp\xa1/")),
    ] {
        let [bystander, client] = [0, 1].map(|_| world.join(PACKED, &WsMessage::Binary(Bytes::from_static(CONNECT))));
        world.read(client);
        world.read(bystander);
        world.send(client, &bad);
        assert!(matches!(world.read(client)[..], [WsMessage::Close(_)]), "{bad:?}");
        world.emit(PACKED, "1");
        assert_eq!(world.read(bystander).len(), 1);
    }
}

/// A megabyte of `nil` is five of JSON: it is taken in slices, and what comes behind it waits.
#[test]
fn a_long_packet_lets_others_have_their_turn_and_keeps_its_place() {
    let mut world = World::new();
    let client = world.join(PACKED, &WsMessage::Binary(Bytes::from_static(CONNECT)));
    let list = [&b"\xdd\x00\x0e\x00\x00"[..], &vec![0xc0; 0xe_0000]].concat();
    let long = [&b"\x83\xa4type\x02\xa4data\x92\xa4long"[..], &list, b"\xa3nsp\xa1/"].concat();
    let short = b"\x83\xa4type\x02\xa4data\x91\xa5short\xa3nsp\xa1/";
    let mut frames = Vec::new();
    encode_frame(&mut frames, Fin::Final, Opcode::Binary, &long, Some([1; 4]));
    encode_frame(&mut frames, Fin::Final, Opcode::Binary, short, Some([1; 4]));
    let conn = world.clients[client].0;
    world.kit.ws_bytes(conn, &frames);
    assert_eq!(world.taken(), [""; 0], "one slice is not all of it");
    world.kit.run();
    let taken = world.taken();
    assert_eq!(taken.iter().map(|event| event.split(' ').next().unwrap()).collect::<Vec<_>>(), ["long", "short"]);
    assert_eq!(taken[0].len(), "long [] 0".len() + 0xe_0000 * 5 - 1);
}

#[test]
fn an_application_may_bring_a_parser() {
    let mut world = World::new();
    let client = world.join(FOREIGN, &WsMessage::Text("4CONNECT".into()));
    assert!(matches!(&world.read(client)[..], [WsMessage::Text(text)] if text.starts_with("4CONNECT {\"sid\"")));
    world.send(client, &WsMessage::Text("4say \"hi\",1".into()));
    assert_eq!(world.taken(), [r#"say "hi",1 0"#]);
    world.emit(FOREIGN, "[2]");
    assert_eq!(world.read(client), [WsMessage::Text("4event [2]".into())]);
    // What a parser returns is not trusted: this one would hand on what is no JSON.
    world.send(client, &WsMessage::Text("4say [".into()));
    assert!(matches!(world.read(client)[..], [WsMessage::Close(_)]));
    let client = world.join(FOREIGN, &WsMessage::Text("4CONNECT".into()));
    world.read(client);
    world.send(client, &WsMessage::Text("4REFUSED".into()));
    assert!(matches!(world.read(client)[..], [WsMessage::Close(_)]));
}

/// `NAME JSON,JSON`, and no acks.
#[derive(Debug)]
struct LineParser;

impl PacketParser for LineParser {
    fn form(&self) -> PacketForm {
        PacketForm::Text
    }

    fn decode(&self, message: Bytes, _limits: &PacketLimits) -> Result<(Packet, Vec<Bytes>), PacketError> {
        let text = std::str::from_utf8(&message).map_err(|_| PacketError::Foreign)?;
        let (kind, data) = match text.split_once(' ') {
            None if text == "CONNECT" => (PacketType::Connect, String::new()),
            None => return Err(PacketError::Foreign),
            Some((name, args)) => (PacketType::Event, format!("[\"{name}\",{args}]")),
        };
        let packet = Packet { kind, attachments: 0, namespace: "/".into(), ack_id: None, data: data.into() };
        Ok((packet, Vec::new()))
    }

    fn encode(&self, packet: &OutgoingPacket<'_>, out: &mut Vec<u8>) {
        let text = match packet {
            OutgoingPacket::Connect { data, .. } => format!("CONNECT {data}"),
            OutgoingPacket::Event { name, args, .. } => format!("{name} {}", args.json()),
            OutgoingPacket::Disconnect { .. } | OutgoingPacket::ConnectError { .. } | OutgoingPacket::Ack { .. } => {
                format!("{packet:?}")
            }
        };
        out.extend_from_slice(text.as_bytes());
    }
}

struct World {
    kit: Kit<AckingApp, Network>,
    clients: Vec<(ConnId, Decoder)>,
}

/// Keeps what arrived, and acks with it.
#[derive(Default)]
struct AckingApp(Vec<String>);

impl App for AckingApp {
    roomcast_testkit::without_stores!();

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        if let Event::Received { socket, name, args, ack, session } = event {
            self.0.push(format!("{name} {} {}", args.json(), args.attachments().len()));
            if let Some(ack) = ack {
                cx.command(Command::Ack { socket, ack, args });
            }
            cx.command(Command::Handled { session });
        }
        None
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

impl World {
    fn new() -> Self {
        let endpoint = |path: &str, parser: Parser| {
            let mut endpoint = Endpoint::socket_io(path);
            let EndpointKind::SocketIo(engine, socket) = &mut endpoint.kind else { panic!("Socket.IO") };
            socket.parser = parser;
            engine.compression = Some(Compression { threshold_bytes: 1 << 20, ..Compression::default() });
            endpoint
        };
        let mut config = Config::new([
            endpoint("/packed", Parser::MessagePack),
            endpoint("/own", Parser::Other(Arc::new(LineParser))),
        ]);
        // Long ones, before they are let in.
        config.limits.unadmitted.message_bytes_max = 1 << 20;
        let start = Start { node: 0, now: NOW, wall: WallTime::from_unix_millis(1_800_000_000_000), seed: [3; 32] };
        let server = Server::new(config, start).unwrap();
        Self { kit: Kit::new(Stack::new(server, AckingApp::default()), Network::default(), NOW), clients: Vec::new() }
    }

    /// A client that has said this first; the open packet is read.
    fn join(&mut self, endpoint: u16, first: &WsMessage) -> usize {
        let path = if endpoint == PACKED { "/packed" } else { "/own" };
        let target = format!("{path}/?EIO=4&transport=websocket").parse().unwrap();
        let request = ClientHandshake::new([5; 16]).request(&"a.example".parse().unwrap(), &target);
        let (conn, _) = self.kit.upgrade(EndpointId::new(endpoint), &request).unwrap();
        self.clients.push((conn, Decoder::new(Role::Client)));
        let client = self.clients.len() - 1;
        self.kit.run();
        assert!(matches!(&self.read(client)[..], [WsMessage::Text(open)] if open.starts_with('0')));
        self.send(client, first);
        client
    }

    fn send(&mut self, client: usize, message: &WsMessage) {
        let mut frame = Vec::new();
        let (opcode, payload): (_, &[u8]) = match message {
            WsMessage::Text(text) => (Opcode::Text, text.as_bytes()),
            WsMessage::Binary(bytes) => (Opcode::Binary, bytes),
            WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Close(_) => panic!("no message"),
        };
        encode_frame(&mut frame, Fin::Final, opcode, payload, Some([1; 4]));
        let conn = self.clients[client].0;
        self.kit.ws_bytes(conn, &frame);
        self.kit.run();
    }

    fn emit(&mut self, endpoint: u16, args: &'static str) {
        let args = Args::from_json_values(args).unwrap();
        let target = Target::everyone(Scope { endpoint: EndpointId::new(endpoint), namespace: "/".into() });
        let (name, delivery) = ("event".into(), Delivery::Reliable);
        self.kit.command(Command::Emit(Emit { target, name, args, delivery, ack: None }));
        self.kit.run();
    }

    fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.kit.stack.app.0)
    }

    fn read(&mut self, client: usize) -> Vec<WsMessage> {
        let (conn, decoder) = &mut self.clients[client];
        let sent = std::mem::take(&mut self.kit.stream(*conn).sent);
        let mut input = &sent[..];
        std::iter::from_fn(|| decoder.decode(&LIMITS, &mut input).unwrap()).collect()
    }
}

const NOW: Instant = Instant::from_millis(0);
const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 1 << 24, fragments_max: 1000 };
const PACKED: u16 = 0;
const FOREIGN: u16 = 1;
const CONNECT: &[u8] = b"\x82\xa4type\x00\xa3nsp\xa1/";
