//! Compressed messages between a server and clients that offer permessage-deflate, without a driver.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use bytestring::ByteString;
use http::header::{HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use roomcast_core::server::config::{Compression, EndpointKind};
use roomcast_core::server::{
    App, Command, Config, ConnId, Cx, Delivery, Emit, Endpoint, EndpointId, Event, Input, Scope, Server, Stack, Start,
    Target,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{
    ClientHandshake, Decoder, Deflater, Fin, FrameLimits, Opcode, Role, WsMessage, encode_frame,
};
use roomcast_testkit::{Kit, Network, Stream};

#[test]
fn a_broadcast_is_compressed_for_those_who_agreed_and_plain_for_others() {
    let mut world = World::new(Some(Compression::default()));
    let offers =
        [Some("permessage-deflate; client_max_window_bits"), None, Some("permessage-deflate"), Some("x-other")];
    let clients = offers.map(|offer| world.join(offer));
    let answers = clients.map(|client| world.clients[client].answer.clone());
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answers, [Some(agreed.to_owned()), None, Some(agreed.to_owned()), None]);
    let long = "word ".repeat(4000);
    world.emit(&long);
    let sent = clients.map(|client| std::mem::take(&mut world.stream(client).sent));
    assert!(sent[0].len() < long.len() / 20 && sent[0] == sent[2], "one frame for both");
    assert!(sent[1].len() > long.len() && sent[1] == sent[3]);
    for (client, bytes) in clients.into_iter().zip(sent) {
        assert_eq!(world.clients[client].read(&bytes), [format!(r#"42["event","{long}"]"#)]);
    }
}

#[test]
fn what_is_short_or_longer_than_the_limit_or_the_window_goes_out_as_it_is() {
    let settings = Compression { threshold_bytes: 1000, bytes_max: 10_000 };
    let mut world = World::new(Some(settings));
    let clients =
        ["permessage-deflate", "permessage-deflate; server_max_window_bits=11"].map(|offer| world.join(Some(offer)));
    for (letters, compressed) in
        [(900, [false, false]), (1000, [true, true]), (3000, [true, false]), (10_001, [false, false])]
    {
        world.emit(&"a".repeat(letters));
        let found = clients.map(|client| {
            let sent = std::mem::take(&mut world.stream(client).sent);
            assert_eq!(world.clients[client].read(&sent).len(), 1);
            sent[0] & 0x40 != 0
        });
        assert_eq!(found, compressed, "{letters}");
    }
}

#[test]
fn nothing_is_agreed_to_unless_the_endpoint_compresses() {
    let mut world = World::new(None);
    let client = world.join(Some("permessage-deflate"));
    assert_eq!(world.clients[client].answer, None);
    world.send_compressed(client, r#"42["event"]"#);
    assert_eq!(world.close_code(client), Some(1002), "RSV1 means nothing then");
}

#[test]
fn what_clients_compress_is_taken_up_to_the_largest_message() {
    let mut world = World::new(Some(Compression::default()));
    let client = world.join(Some("permessage-deflate"));
    // Longer than a slice, so that others have their turn in between; a second one waits behind it.
    let long = format!(r#"42["long","{}"]"#, "z".repeat(900_000));
    world.send_compressed(client, &long);
    world.send_compressed(client, r#"42["behind"]"#);
    assert_eq!(world.events(), ["long 900002", "behind 0"]);
    // A few bytes that stand for more than is allowed.
    world.send_compressed(client, &format!(r#"42["bomb","{}"]"#, "z".repeat(1_000_000)));
    assert_eq!((world.events(), world.close_code(client)), (vec![], Some(1009)));
}

#[test]
fn an_expanded_message_lets_others_have_their_turn() {
    let mut world = World::new(Some(Compression::default()));
    let (client, other) = (world.join(Some("permessage-deflate")), world.join(None));
    let text = format!(r#"42["long","{}"]"#, "z".repeat(990_000));
    let bytes = compressed(&text);
    let conn = world.clients[client].conn;
    world.kit.input(Input::WsBytes { conn, bytes: &bytes });
    world.kit.drain();
    assert!(world.stream(client).is_paused(), "no more is read before the rest is expanded");
    let mut plain = Vec::new();
    encode_frame(&mut plain, Fin::Final, Opcode::Text, br#"42["other"]"#, Some([1; 4]));
    let conn = world.clients[other].conn;
    world.kit.input(Input::WsBytes { conn, bytes: &plain });
    world.kit.drain();
    assert_eq!(world.taken(), ["other 0"]);
    assert_eq!(world.events(), ["long 990002"]);
    assert!(!world.stream(client).is_paused());
}

#[test]
fn a_message_that_is_no_deflate_stream_fails_the_connection() {
    let mut world = World::new(Some(Compression::default()));
    let client = world.join(Some("permessage-deflate"));
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Text, &[0xff; 20], Some([1; 4]));
    frame[0] |= 0x40;
    world.send(client, &frame);
    assert_eq!(world.close_code(client), Some(1007));
}

/// RFC 7692 section 6.1: the first fragment says that all of the message is compressed, and control frames come between.
#[test]
fn a_compressed_message_may_come_in_fragments_cut_anywhere() {
    let mut world = World::new(Some(Compression::default()));
    let client = world.join(Some("permessage-deflate"));
    let text = format!(r#"42["event","{}"]"#, "äöü ".repeat(500));
    let mut payload = Vec::new();
    assert!(Deflater::default().deflate(text.as_bytes(), &mut payload));
    let mut bytes = Vec::new();
    let chunks: Vec<_> = payload.chunks(7).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
        let fin = if index + 1 == chunks.len() { Fin::Final } else { Fin::More };
        let begin = bytes.len();
        encode_frame(&mut bytes, fin, opcode, chunk, Some([9, 8, 7, 6]));
        bytes[begin] |= if index == 0 { 0x40 } else { 0 };
        encode_frame(&mut bytes, Fin::Final, Opcode::Ping, b"?", Some([1; 4]));
    }
    for byte in bytes {
        world.send(client, &[byte]);
    }
    assert_eq!(world.events(), [format!("event {}", text.len() - 12)]);
}

struct World {
    kit: Kit<Arrivals, Network>,
    clients: Vec<Client>,
}

struct Client {
    conn: ConnId,
    answer: Option<String>,
    decoder: Decoder,
}

/// Keeps what arrived, as the event's name and the length of its arguments.
#[derive(Default)]
struct Arrivals(Vec<String>);

impl App for Arrivals {
    roomcast_testkit::without_stores!();

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        if let Event::Received { name, args, session, .. } = event {
            self.0.push(format!("{name} {}", args.json().len()));
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
    fn new(compression: Option<Compression>) -> Self {
        let mut config = Config::new([Endpoint::socket_io("/io")]);
        let EndpointKind::SocketIo(engine, _) = &mut config.endpoints[0].kind else { panic!("Socket.IO") };
        engine.compression = compression;
        let start = Start { node: 0, now: NOW, wall: WallTime::from_unix_millis(1_800_000_000_000), seed: [3; 32] };
        let server = Server::new(config, start).unwrap();
        Self { kit: Kit::new(Stack::new(server, Arrivals::default()), Network::default(), NOW), clients: Vec::new() }
    }

    /// A client that offers this and is in the namespace. What it was told of that is read.
    fn join(&mut self, offer: Option<&str>) -> usize {
        let target = "/io/?EIO=4&transport=websocket".parse().unwrap();
        let mut request = ClientHandshake::new([5; 16]).request(&"a.example".parse().unwrap(), &target);
        if let Some(offer) = offer {
            request.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(offer).unwrap());
        }
        let (conn, response) = self.kit.upgrade(EndpointId::new(0), &request).unwrap();
        let answer = response.headers().get(SEC_WEBSOCKET_EXTENSIONS).map(|value| value.to_str().unwrap().to_owned());
        let decoder = if answer.is_some() { Decoder::inflating(Role::Client) } else { Decoder::new(Role::Client) };
        self.clients.push(Client { conn, answer, decoder });
        let client = self.clients.len() - 1;
        let mut frame = Vec::new();
        encode_frame(&mut frame, Fin::Final, Opcode::Text, b"40", Some([1; 4]));
        self.send(client, &frame);
        self.stream(client).sent.clear();
        client
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        let conn = self.clients[client].conn;
        self.kit.ws_bytes(conn, bytes);
        self.kit.run();
    }

    fn send_compressed(&mut self, client: usize, text: &str) {
        self.send(client, &compressed(text));
    }

    /// Sends `["event",text]` to all.
    fn emit(&mut self, text: &str) {
        let args = Args::from_json_values(ByteString::from(format!("\"{text}\""))).unwrap();
        let target = Target::everyone(Scope { endpoint: EndpointId::new(0), namespace: "/".into() });
        self.kit.command(Command::Emit(Emit {
            target,
            name: "event".into(),
            args,
            delivery: Delivery::Reliable,
            ack: None,
        }));
        self.kit.run();
    }

    /// What has arrived once the machines are quiet.
    fn events(&mut self) -> Vec<String> {
        self.kit.run();
        self.taken()
    }

    fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.kit.stack.app.0)
    }

    fn stream(&mut self, client: usize) -> &mut Stream {
        let conn = self.clients[client].conn;
        self.kit.stream(conn)
    }

    fn close_code(&mut self, client: usize) -> Option<u16> {
        let sent = std::mem::take(&mut self.stream(client).sent);
        let mut input = &sent[..];
        let mut code = None;
        while let Some(message) = self.clients[client].decoder.decode(&LIMITS, &mut input).unwrap() {
            if let WsMessage::Close(Some(close)) = message {
                code = Some(close.code.as_u16());
            }
        }
        code
    }
}

impl Client {
    fn read(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            match self.decoder.decode(&LIMITS, &mut bytes).unwrap() {
                Some(WsMessage::Text(text)) => texts.push(text.to_string()),
                Some(_) => {}
                None if self.decoder.is_inflating() => {}
                None => return texts,
            }
        }
    }
}

/// A client's frame with a compressed text.
fn compressed(text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if !Deflater::default().deflate(text.as_bytes(), &mut payload) {
        // A block without compression (RFC 7692 section 7.2.3.3).
        let len = u16::try_from(text.len()).unwrap();
        payload.push(0);
        payload.extend_from_slice(&len.to_le_bytes());
        payload.extend_from_slice(&(!len).to_le_bytes());
        payload.extend_from_slice(text.as_bytes());
        payload.push(0);
    }
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Text, &payload, Some([4, 3, 2, 1]));
    frame[0] |= 0x40;
    frame
}

const NOW: Instant = Instant::from_millis(0);
const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 1 << 24, fragments_max: 1000 };
