//! The other side of a session: what a client sends, and what it must understand of what it receives.

use std::collections::BTreeSet;

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::engine_io::{OpenData, Packet, decode_payload};
use roomcast_core::socket_io::{self, PacketType, split_event};
use roomcast_core::websocket::{Decoder, Fin, FrameLimits, Opcode, Role, WsMessage, encode_close, encode_frame};
use roomcast_testkit::Reading;

/// What is spoken with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    SocketIo,
    EngineIo,
    WebSocket,
}

/// A client, over any transports.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) speech: Speech,
    pub(super) sid: Option<String>,
    /// Whether it has asked for its session.
    pub(super) has_asked: bool,
    /// The numbers of the events it got: strictly rising.
    pub(super) received: Vec<u64>,
    /// Attachments that must come before anything else.
    attachments: u32,
    /// Whether an answer was on its way when it gave the request up.
    pub(super) lost_an_answer: bool,
}

impl Client {
    pub(super) const fn new(speech: Speech) -> Self {
        Self { speech, sid: None, has_asked: false, received: Vec::new(), attachments: 0, lost_an_answer: false }
    }

    /// The 200 of a GET.
    pub(super) fn handle_payload(&mut self, body: Bytes) {
        let mut packets = 0;
        for packet in decode_payload(body) {
            let Ok(packet) = packet else { panic!("a server's payload is well-formed: {packet:?}") };
            self.handle_packet(packet);
            packets += 1;
        }
        assert!((1..=16).contains(&packets), "Python clients drop an answer of {packets} packets");
    }

    pub(super) fn handle_message(&mut self, message: WsMessage) {
        match (self.speech, message) {
            (Speech::SocketIo | Speech::EngineIo, WsMessage::Text(text)) => match Packet::decode_text(text) {
                Ok(packet) => self.handle_packet(packet),
                Err(error) => panic!("a server's packet is well-formed: {error:?}"),
            },
            (Speech::SocketIo | Speech::EngineIo, WsMessage::Binary(bytes)) => {
                self.handle_packet(Packet::Binary(bytes))
            }
            (Speech::WebSocket, WsMessage::Text(text)) => self.count(&text),
            (Speech::WebSocket, WsMessage::Binary(_))
            | (_, WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Close(_)) => {}
        }
    }

    fn handle_packet(&mut self, packet: Packet) {
        match packet {
            Packet::Open(json) => {
                let Ok(handshake) = OpenData::decode(&json) else { panic!("an open packet: {json}") };
                assert!(self.sid.replace(handshake.sid).is_none(), "a session is opened once");
            }
            Packet::Message(text) => self.handle_text(text),
            Packet::Binary(_) if self.speech == Speech::SocketIo => {
                assert!(self.attachments > 0, "an attachment has its packet");
                self.attachments -= 1;
            }
            // A noop answers a poll within an upgrade, in the middle of a packet too.
            Packet::Binary(_) | Packet::Ping(_) | Packet::Noop | Packet::Close => {}
            Packet::Pong(data) => assert_eq!(&*data, "probe"),
            Packet::Upgrade => panic!("only clients say upgrade"),
        }
    }

    fn handle_text(&mut self, text: ByteString) {
        if self.speech == Speech::EngineIo {
            return self.count(&text);
        }
        assert_eq!(self.attachments, 0, "attachments come before {text}");
        let packet = match socket_io::Packet::decode(text, &socket_io::PacketLimits::default()) {
            Ok(packet) => packet,
            Err(error) => panic!("a server's packet is well-formed: {error:?}"),
        };
        self.attachments = packet.attachments;
        match packet.kind {
            PacketType::Event | PacketType::BinaryEvent => match split_event(&packet.data) {
                Ok((_, args)) => self.count(args.split(',').next().unwrap_or("")),
                Err(error) => panic!("an event: {error:?}"),
            },
            PacketType::Connect
            | PacketType::Disconnect
            | PacketType::Ack
            | PacketType::BinaryAck
            | PacketType::ConnectError => {}
        }
    }

    fn count(&mut self, number: &str) {
        let Ok(number) = number.parse() else { panic!("every event carries its number: {number}") };
        assert!(self.received.last().is_none_or(|last| *last < number), "once and in order: {number}");
        self.received.push(number);
    }

    /// Whether all of these have come.
    pub(super) fn has(&self, numbers: &[u64]) -> bool {
        let received: BTreeSet<_> = self.received.iter().collect();
        numbers.iter().all(|number| received.contains(number))
    }
}

/// One WebSocket of a client.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) client: usize,
    /// What the client has sent and the server not yet read.
    pub(super) unread: Vec<u8>,
    /// Bytes that the server may write before it is refused.
    pub(super) window: usize,
    pub(super) reading: Reading,
    decoder: Decoder,
    pub(super) closed: bool,
    /// Whether the server's half is shut.
    pub(super) half_closed: bool,
}

impl Stream {
    pub(super) fn new(client: usize, window: usize) -> Self {
        Self {
            client,
            unread: Vec::new(),
            window,
            reading: Reading::Resumed,
            decoder: Decoder::new(Role::Client),
            closed: false,
            half_closed: false,
        }
    }

    /// Bytes from the server.
    pub(super) fn handle_bytes(&mut self, client: &mut Client, mut bytes: &[u8]) {
        assert!(!self.half_closed && !self.closed || bytes.is_empty(), "nothing follows a close frame");
        let limits = FrameLimits { message_bytes_max: 1 << 20, fragments_max: 1 };
        loop {
            match self.decoder.decode(&limits, &mut bytes) {
                Ok(Some(WsMessage::Close(_))) => self.closed = true,
                Ok(Some(message)) => client.handle_message(message),
                Ok(None) => return,
                Err(error) => panic!("a server's frames are well-formed: {error:?}"),
            }
        }
    }
}

/// The bytes of one of the things that clients say, and some that they should not.
pub(super) fn frames(which: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let (first, rest) = CONTROLS;
    match usize::from(which).checked_rem(SAYINGS.len() + 1 + rest.len()).unwrap_or(0) {
        index if index < SAYINGS.len() => match SAYINGS[index] {
            Saying::Text(text) => encode_frame(&mut out, Fin::Final, Opcode::Text, text.as_bytes(), MASK),
            Saying::Binary(bytes) => encode_frame(&mut out, Fin::Final, Opcode::Binary, bytes, MASK),
        },
        index if index == SAYINGS.len() => encode_close(&mut out, first, MASK),
        index => {
            let (fin, opcode, payload) = rest[index - SAYINGS.len() - 1];
            encode_frame(&mut out, fin, opcode, payload.as_bytes(), MASK);
        }
    }
    out
}

/// The same for the body of a POST.
pub(super) fn packet(which: u8) -> Vec<u8> {
    match SAYINGS[usize::from(which) % SAYINGS.len()] {
        Saying::Text(text) => text.as_bytes().to_vec(),
        Saying::Binary(bytes) => {
            let mut out = Vec::new();
            Packet::Binary(Bytes::from_static(bytes)).encode_text(&mut out);
            out
        }
    }
}

#[derive(Clone, Copy)]
enum Saying {
    Text(&'static str),
    Binary(&'static [u8]),
}

/// By index: the operand of an operation chooses among them.
const SAYINGS: &[Saying] = &[
    Saying::Text("40"),
    Saying::Text("42[\"x\",1]"),
    Saying::Text("3"),
    Saying::Text("2probe"),
    Saying::Text("5"),
    Saying::Text("40/ask,"),
    Saying::Text("40/n1,{\"a\":1}"),
    Saying::Text("421[\"x\"]"),
    Saying::Text("430[]"),
    Saying::Text("431[1]"),
    Saying::Text("432[2]"),
    Saying::Text("451-[\"b\",{\"_placeholder\":true,\"num\":0}]"),
    Saying::Binary(b"\x01\x02"),
    Saying::Text("41"),
    Saying::Text("41/n1,"),
    Saying::Text("42/n1,9[\"y\",null]"),
    Saying::Text("461-0[{\"_placeholder\":true,\"num\":0}]"),
    Saying::Text("40/nowhere,"),
    Saying::Text("43/n1,1[]"),
    Saying::Text("42/ask,[\"z\"]"),
    Saying::Text("1"),
    Saying::Text("6"),
    Saying::Text("4"),
    Saying::Text("4abc"),
    Saying::Text("2"),
    Saying::Text("0{}"),
    Saying::Text("40/n2,"),
    Saying::Text("44{}"),
    Saying::Text(""),
];

/// A close, and then fragments, pings and pongs.
#[expect(clippy::type_complexity, reason = "one table")]
const CONTROLS: (Option<(roomcast_core::websocket::CloseCode, &str)>, &[(Fin, Opcode, &str)]) = (
    Some((roomcast_core::websocket::CloseCode::NORMAL, "bye")),
    &[
        (Fin::Final, Opcode::Ping, "?"),
        (Fin::Final, Opcode::Pong, "!"),
        (Fin::More, Opcode::Text, "42[\"x\","),
        (Fin::Final, Opcode::Continuation, "1]"),
        (Fin::Final, Opcode::Close, ""),
    ],
);

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);
