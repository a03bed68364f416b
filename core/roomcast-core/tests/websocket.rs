//! The WebSocket codec against itself and against tungstenite.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::{self, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use roomcast_core::websocket::{
    ClientHandshake, CloseCode, CloseFrame, Decoder, Fin, FrameLimits, Opcode, Role, WsError, WsMessage, encode_close,
    encode_frame, handshake, server_header,
};
use tungstenite::protocol as theirs;

proptest! {
    /// Everything that may be sent arrives, in both roles.
    #[test]
    fn round_trip(role in roles(), frames in vec(sent(), 0..12)) {
        let mut expected = Vec::new();
        let stream = encode(role, &frames, &mut expected);
        prop_assert_eq!(decode(role, &stream, &[]), FramesRead { messages: expected, error: None });
    }

    /// How a stream is cut makes no difference, for good streams and bad ones.
    #[test]
    fn split_anywhere(role in roles(), stream in streams(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let stream = stream.bytes(role);
        let cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(stream.len() + 1)).collect();
        let whole = decode(role, &stream, &[]);
        prop_assert_eq!(&decode(role, &stream, &cuts), &whole);
        let everywhere: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(&decode(role, &stream, &everywhere), &whole);
    }

    /// The same messages and the same close code as tungstenite, for good streams and bad ones, however they are cut.
    #[test]
    fn agrees_with_tungstenite(role in roles(), stream in streams(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let stream = stream.bytes(role);
        let cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(stream.len() + 1)).collect();
        agree(role, &stream, &cuts)?;
    }

    /// What this side encodes tungstenite reads, and it finds nothing to object to.
    #[test]
    fn tungstenite_reads_what_is_encoded(role in roles(), frames in vec(sent(), 0..12)) {
        let mut expected = Vec::new();
        let stream = encode(role, &frames, &mut expected);
        let theirs = tungstenite_decode(role, &stream, &[], &[]);
        prop_assert_eq!(theirs, TheirOutcome { messages: expected, close_code: None });
    }

    /// What tungstenite encodes is read here.
    #[test]
    fn reads_what_tungstenite_encodes(role in roles(), messages in vec(whole_messages(), 0..12)) {
        let peer = match role {
            Role::Server => theirs::Role::Client,
            Role::Client => theirs::Role::Server,
        };
        let mut socket = theirs::WebSocket::from_raw_socket(MemoryWire::default(), peer, None);
        for message in &messages {
            socket.send(message.clone().into_theirs()).unwrap();
        }
        let stream = std::mem::take(&mut socket.get_mut().written);
        let expected = messages.into_iter().map(Whole::into_ours).collect();
        prop_assert_eq!(decode(role, &stream, &[]), FramesRead { messages: expected, error: None });
    }

    /// Bytes of any kind bring no panic; an error stays; every byte is taken.
    #[test]
    fn garbage_is_survived(role in roles(), garbage in vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(role);
        let mut input = &garbage[..];
        let outcome = loop {
            match decoder.decode(&LIMITS, &mut input) {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(None),
                Err(error) => break Err(error),
            }
        };
        prop_assert!(input.is_empty());
        prop_assert!(decoder.buffered_bytes() <= garbage.len());
        if outcome.is_err() {
            prop_assert_eq!(decoder.decode(&LIMITS, &mut &garbage[..]), outcome);
        }
    }

    /// A request with any headers changed is judged as tungstenite judges it.
    #[test]
    fn accepts_what_tungstenite_accepts(changes in vec((0..REQUEST_HEADERS.len(), 0..6usize), 0..3)) {
        let request = changed_request(&changes);
        let theirs = tungstenite::handshake::server::create_response(&request);
        match (handshake::accept(&request), theirs) {
            (Ok(ours), Ok(theirs)) => {
                for name in ["upgrade", "connection", "sec-websocket-accept"] {
                    prop_assert_eq!(&ours.headers()[name], &theirs.headers()[name]);
                }
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => {
                prop_assert!(tungstenite_deviates(&request), "{ours:?} but {theirs:?} for {request:?}");
            }
        }
    }

    /// tungstenite's client accepts this server's response, and this client accepts its server's.
    #[test]
    fn handshakes_with_tungstenite(key: [u8; 16]) {
        let request = tungstenite::client::IntoClientRequest::into_client_request("ws://a.example/chat").unwrap();
        let accepted = handshake::accept(&request).unwrap();
        let key_sent = request.headers()["sec-websocket-key"].as_bytes();
        let derived = tungstenite::handshake::derive_accept_key(key_sent);
        prop_assert_eq!(accepted.headers()["sec-websocket-accept"].as_bytes(), derived.as_bytes());

        let client = ClientHandshake::new(key);
        let request = client.request(&"a.example".parse().unwrap(), &"/chat?x=y".parse().unwrap());
        let response = tungstenite::handshake::server::create_response(&request).unwrap();
        prop_assert_eq!(client.verify(&response), Ok(()));
        let other = ClientHandshake::new(key.map(|byte| byte ^ 1));
        prop_assert_eq!(other.verify(&response), Err(handshake::HandshakeError::AcceptWrong));
    }
}

/// Handshake and frames with tungstenite's own client and server over bytes in memory.
#[test]
fn speaks_with_tungstenite_from_the_first_byte() {
    // Its client, this server: the request is known only once the client has drawn its key.
    let tungstenite::HandshakeError::Interrupted(mid) =
        tungstenite::client("ws://a.example/chat", MemoryWire::default()).unwrap_err()
    else {
        panic!("waits for the response")
    };
    let mut mid = mid;
    let sent = mid.get_mut().get_mut().take_written();
    let request = parse_request(&sent);
    let mut answer = write_response(&handshake::accept(&request).unwrap());
    encode_frame(&mut answer, Fin::Final, Opcode::Text, b"at once", None);
    mid.get_mut().get_mut().feed(&answer);
    let (mut socket, _) = mid.handshake().unwrap();
    assert_eq!(socket.read().unwrap(), tungstenite::Message::text("at once"));

    // Its server, this client.
    let client = ClientHandshake::new(*b"0123456789abcdef");
    let request = client.request(&"a.example".parse().unwrap(), &"/chat".parse().unwrap());
    let mut wire = MemoryWire::default();
    wire.feed(&write_request(&request));
    let mut socket = tungstenite::accept(wire).unwrap();
    let response = parse_response(&socket.get_mut().take_written());
    assert_eq!(client.verify(&response), Ok(()));
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Binary, &[1, 2, 3], Some([9, 8, 7, 6]));
    socket.get_mut().feed(&frame);
    assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(vec![1, 2, 3]));
}

/// A message in as many fragments as conformance suites send: it would take minutes if each cost what came before it.
#[test]
fn a_hundred_thousand_fragments() {
    let limits = FrameLimits { message_bytes_max: 64 << 20, fragments_max: 100_000 };
    let text = "κόσμε".repeat(30_000);
    let fragments: Vec<&[u8]> = text.as_bytes().chunks(3).collect();
    assert_eq!(fragments.len(), 100_000);
    let mut stream = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
        let fin = if index + 1 == fragments.len() { Fin::Final } else { Fin::More };
        encode_frame(&mut stream, fin, opcode, fragment, Some([1, 2, 3, 4]));
    }
    for chunk_bytes in [stream.len(), 1000, 1] {
        let mut decoder = Decoder::new(Role::Server);
        let messages: Vec<WsMessage> =
            stream.chunks(chunk_bytes).filter_map(|mut chunk| decoder.decode(&limits, &mut chunk).unwrap()).collect();
        assert!(messages == [WsMessage::Text(text.as_str().into())] && decoder.is_idle());
    }
}

#[test]
fn server_headers_go_in_front_of_any_payload() {
    for len in [0, 125, 126, 65_535, 65_536] {
        let payload = vec![5; len];
        let stream = [server_header(Opcode::Binary, len).as_slice(), &payload].concat();
        let expected = vec![WsMessage::Binary(payload.into())];
        let limits = FrameLimits { message_bytes_max: len, fragments_max: 1 };
        let mut decoder = Decoder::new(Role::Client);
        let mut input = &stream[..];
        assert_eq!(decoder.decode(&limits, &mut input).map(|message| message.into_iter().collect()), Ok(expected));
    }
}

#[test]
fn close_frames_of_both_roles_are_read() {
    for (role, key) in [(Role::Server, Some([1, 2, 3, 4])), (Role::Client, None)] {
        let mut stream = Vec::new();
        encode_close(&mut stream, Some((CloseCode::GOING_AWAY, "restart")), key);
        let close = CloseFrame { code: CloseCode::GOING_AWAY, reason: "restart".into() };
        let expected = FramesRead { messages: vec![WsMessage::Close(Some(close))], error: None };
        assert_eq!(decode(role, &stream, &[]), expected);
    }
}

const LIMITS: FrameLimits = FrameLimits { message_bytes_max: MESSAGE_BYTES_MAX, fragments_max: u32::MAX };
const MESSAGE_BYTES_MAX: usize = 400;

#[derive(Debug, PartialEq)]
struct FramesRead {
    messages: Vec<WsMessage>,
    error: Option<WsError>,
}

fn decode(role: Role, stream: &[u8], cuts: &[usize]) -> FramesRead {
    let mut decoder = Decoder::new(role);
    let mut messages = Vec::new();
    for mut chunk in cut_up(stream, cuts) {
        loop {
            match decoder.decode(&LIMITS, &mut chunk) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return FramesRead { messages, error: Some(error) },
            }
        }
        assert!(chunk.is_empty());
    }
    FramesRead { messages, error: None }
}

fn cut_up<'s>(stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    cuts.push(stream.len());
    let mut start = 0;
    cuts.into_iter().map(|end| &stream[std::mem::replace(&mut start, end)..end]).collect()
}

#[derive(Debug, PartialEq)]
struct TheirOutcome {
    messages: Vec<WsMessage>,
    /// What tungstenite's error means on the wire.
    close_code: Option<CloseCode>,
}

/// Both decoders over one stream. Where tungstenite departs from RFC 6455, or judges the same fault by another rule, it
/// is named here; nothing else may differ.
fn agree(role: Role, stream: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let ours = decode(role, stream, cuts);
    // tungstenite judges a frame when all of it has come: where this decoder has found a fault before, it gets more.
    let filler = if ours.error.is_some() { vec![0; MESSAGE_BYTES_MAX + 14] } else { Vec::new() };
    let theirs = tungstenite_decode(role, stream, cuts, &filler);
    let same_until_here = theirs.messages.get(..ours.messages.len()) == Some(&ours.messages[..]);
    match ours.error {
        // §5.2: "the minimal number of bytes MUST be used to encode the length" is not checked by tungstenite, not even in
        // a control frame, where the longer forms prove it too long; and "the most significant bit MUST be 0" is to it
        // a message too big.
        Some(WsError::LengthNotMinimal | WsError::LengthTopBit | WsError::ControlTooLong) => {
            prop_assert!(same_until_here)
        }
        Some(error) => {
            prop_assert_eq!(&theirs.messages, &ours.messages);
            // The RFC sets no order among the faults of one frame. tungstenite looks at the size of any frame first (but
            // after the opcode), so one that is too big besides fails with 1009.
            let expected = [Some(error.close_code()), Some(CloseCode::TOO_BIG)];
            let also_too_big = announces_too_much(&[stream, &filler].concat()) && error != WsError::ReservedOpcode;
            prop_assert!(
                expected[..1 + usize::from(also_too_big)].contains(&theirs.close_code),
                "{error:?} {theirs:?}"
            );
        }
        None => {
            let mut expected = TheirOutcome { messages: ours.messages, close_code: None };
            // §11.7 leaves the codes below 3000 to a registry at IANA, which has got 1014 since. tungstenite lacks it.
            let newer = |message: &mut WsMessage| match message {
                WsMessage::Close(Some(close)) => close.code == CloseCode::BAD_GATEWAY,
                WsMessage::Text(_)
                | WsMessage::Binary(_)
                | WsMessage::Ping(_)
                | WsMessage::Pong(_)
                | WsMessage::Close(None) => false,
            };
            if expected.messages.pop_if(newer).is_some() {
                expected.close_code = Some(CloseCode::PROTOCOL);
            }
            prop_assert_eq!(theirs, expected);
        }
    }
    Ok(())
}

/// Whether some bytes of the stream could be the length of a frame over the limit. Only those streams excuse a 1009.
fn announces_too_much(stream: &[u8]) -> bool {
    stream.windows(4).any(|bytes| match bytes[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) > MESSAGE_BYTES_MAX,
        127 => true,
        _ => false,
    })
}

fn tungstenite_decode(role: Role, stream: &[u8], cuts: &[usize], filler: &[u8]) -> TheirOutcome {
    let mut wire = MemoryWire::default();
    for chunk in cut_up(stream, cuts) {
        wire.feed(chunk);
    }
    wire.feed(filler);
    let config = theirs::WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let role = match role {
        Role::Server => theirs::Role::Server,
        Role::Client => theirs::Role::Client,
    };
    let mut socket = theirs::WebSocket::from_raw_socket(wire, role, Some(config));
    let mut messages = Vec::new();
    loop {
        let close_code = match socket.read() {
            Ok(message) => match from_theirs(message) {
                // A code that must not be sent (§7.4.1) reaches its user as a close with 1002.
                WsMessage::Close(Some(close)) if close.reason == "Protocol violation" => Some(close.code),
                // Nothing is read after a close.
                close @ WsMessage::Close(_) => {
                    messages.push(close);
                    None
                }
                message @ (WsMessage::Text(_) | WsMessage::Binary(_) | WsMessage::Ping(_) | WsMessage::Pong(_)) => {
                    messages.push(message);
                    continue;
                }
            },
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(tungstenite::Error::Protocol(_)) => Some(CloseCode::PROTOCOL),
            Err(tungstenite::Error::Utf8(_)) => Some(CloseCode::INVALID_DATA),
            Err(tungstenite::Error::Capacity(_)) => Some(CloseCode::TOO_BIG),
            Err(error) => panic!("{error}"),
        };
        return TheirOutcome { messages, close_code };
    }
}

fn from_theirs(message: tungstenite::Message) -> WsMessage {
    match message {
        tungstenite::Message::Text(text) => WsMessage::Text(text.as_str().into()),
        tungstenite::Message::Binary(payload) => WsMessage::Binary(payload),
        tungstenite::Message::Ping(payload) => WsMessage::Ping(payload),
        tungstenite::Message::Pong(payload) => WsMessage::Pong(payload),
        tungstenite::Message::Close(close) => WsMessage::Close(close.map(|close| CloseFrame {
            code: CloseCode::new(close.code.into()).unwrap(),
            reason: close.reason.as_str().into(),
        })),
        tungstenite::Message::Frame(_) => unreachable!("never read"),
    }
}

/// Bytes in memory for tungstenite: read in the pieces they were fed in, then "would block".
#[derive(Default, Debug)]
struct MemoryWire {
    to_read: std::collections::VecDeque<Vec<u8>>,
    written: Vec<u8>,
}

impl MemoryWire {
    fn feed(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.to_read.push_back(bytes.to_vec());
        }
    }

    fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }
}

impl Read for MemoryWire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.to_read.front_mut() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let taken = piece.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&piece[..taken]);
        piece.drain(..taken);
        if piece.is_empty() {
            self.to_read.pop_front();
        }
        Ok(taken)
    }
}

impl Write for MemoryWire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

/// A step of a peer that keeps the rules.
#[derive(Clone, Debug)]
enum PeerStep {
    /// A message, cut into frames at these places, with pings in between.
    Data {
        whole: Whole,
        cuts: Vec<prop::sample::Index>,
        pings: Vec<Vec<u8>>,
        key: [u8; 4],
    },
    Pong(Vec<u8>, [u8; 4]),
}

#[derive(Clone, Debug)]
enum Whole {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
}

impl Whole {
    fn into_theirs(self) -> tungstenite::Message {
        match self {
            Self::Text(text) => tungstenite::Message::text(text),
            Self::Binary(payload) => tungstenite::Message::binary(payload),
            Self::Ping(payload) => tungstenite::Message::Ping(payload.into()),
        }
    }

    fn into_ours(self) -> WsMessage {
        match self {
            Self::Text(text) => WsMessage::Text(text.into()),
            Self::Binary(payload) => WsMessage::Binary(payload.into()),
            Self::Ping(payload) => WsMessage::Ping(payload.into()),
        }
    }
}

fn whole_messages() -> impl Strategy<Value = Whole> {
    prop_oneof![
        "\\PC{0,20}".prop_map(Whole::Text),
        vec(any::<char>(), 0..60).prop_map(|characters| Whole::Text(characters.into_iter().collect())),
        vec(any::<u8>(), 0..300).prop_map(Whole::Binary),
        vec(any::<u8>(), 0..=125).prop_map(Whole::Ping),
    ]
}

fn sent() -> impl Strategy<Value = PeerStep> {
    prop_oneof![
        4 => (whole_messages(), vec(any::<prop::sample::Index>(), 0..4), vec(vec(any::<u8>(), 0..5), 0..3), any::<[u8; 4]>())
            .prop_map(|(whole, cuts, pings, key)| PeerStep::Data { whole, cuts, pings, key }),
        1 => (vec(any::<u8>(), 0..=125), any::<[u8; 4]>()).prop_map(|(payload, key)| PeerStep::Pong(payload, key)),
    ]
}

/// What a peer of `role` writes, and what should arrive.
fn encode(role: Role, steps: &[PeerStep], expected: &mut Vec<WsMessage>) -> Vec<u8> {
    let mask = |key| match role {
        Role::Server => Some(key),
        Role::Client => None,
    };
    let mut out = Vec::new();
    for step in steps {
        match step {
            PeerStep::Pong(payload, key) => {
                encode_frame(&mut out, Fin::Final, Opcode::Pong, payload, mask(*key));
                expected.push(WsMessage::Pong(payload.clone().into()));
            }
            PeerStep::Data { whole: whole @ Whole::Ping(payload), cuts: _, pings: _, key } => {
                encode_frame(&mut out, Fin::Final, Opcode::Ping, payload, mask(*key));
                expected.push(whole.clone().into_ours());
            }
            PeerStep::Data { whole, cuts, pings, key } => {
                let (first, payload) = match whole {
                    Whole::Text(text) => (Opcode::Text, text.as_bytes()),
                    Whole::Binary(payload) | Whole::Ping(payload) => (Opcode::Binary, &payload[..]),
                };
                let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
                let fragments = cut_up(payload, &cuts);
                for (index, fragment) in fragments.iter().enumerate() {
                    let opcode = if index == 0 { first } else { Opcode::Continuation };
                    let fin = if index + 1 == fragments.len() { Fin::Final } else { Fin::More };
                    encode_frame(&mut out, fin, opcode, fragment, mask(*key));
                    if let (Fin::More, Some(ping)) = (fin, pings.get(index)) {
                        encode_frame(&mut out, Fin::Final, Opcode::Ping, ping, mask(*key));
                        expected.push(WsMessage::Ping(ping.clone().into()));
                    }
                }
                expected.push(whole.clone().into_ours());
            }
        }
    }
    out
}

/// A stream as a peer of either role would send it: good, damaged, made of odd frames, or noise.
#[derive(Clone, Debug)]
enum Stream {
    Good { steps: Vec<PeerStep>, close: Option<(u16, Vec<u8>)> },
    Damaged { steps: Vec<PeerStep>, damage: Vec<(prop::sample::Index, u8)> },
    OddFrames(Vec<OddFrame>),
    Noise(Vec<u8>),
}

/// A frame whose header may be anything.
#[derive(Clone, Debug)]
struct OddFrame {
    first: u8,
    length: OddLength,
    other_mask: bool,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
enum OddLength {
    Shortest,
    In2Bytes,
    In8Bytes,
    Announced(u64),
}

impl OddFrame {
    fn write(&self, role: Role, out: &mut Vec<u8>) {
        let masked = (role == Role::Server) != self.other_mask;
        let mask_bit = if masked { 0x80 } else { 0 };
        out.push(self.first);
        let len = self.payload.len() as u64;
        let (form, len) = match self.length {
            OddLength::Shortest if len < 126 => (len as u8, len),
            OddLength::Shortest | OddLength::In2Bytes => (126, len),
            OddLength::In8Bytes => (127, len),
            OddLength::Announced(len) => (127, len),
        };
        out.push(form | mask_bit);
        match form {
            126 => out.extend_from_slice(&(len as u16).to_be_bytes()),
            127 => out.extend_from_slice(&len.to_be_bytes()),
            _ => {}
        }
        if masked {
            out.extend_from_slice(&[0; 4]);
        }
        out.extend_from_slice(&self.payload);
    }
}

impl Stream {
    fn bytes(&self, role: Role) -> Vec<u8> {
        match self {
            Self::Good { steps, close } => {
                let mut out = encode(role, steps, &mut Vec::new());
                if let Some((code, reason)) = close {
                    let payload = [&code.to_be_bytes()[..], reason].concat();
                    let key = Some([4, 3, 2, 1]).filter(|_| role == Role::Server);
                    encode_frame(&mut out, Fin::Final, Opcode::Close, &payload, key);
                }
                out
            }
            Self::Damaged { steps, damage } => {
                let mut out = encode(role, steps, &mut Vec::new());
                for (at, bits) in damage.iter().filter(|_| !out.is_empty()).collect::<Vec<_>>() {
                    let at = at.index(out.len());
                    out[at] ^= bits;
                }
                out
            }
            Self::OddFrames(frames) => {
                let mut out = Vec::new();
                frames.iter().for_each(|frame| frame.write(role, &mut out));
                out
            }
            Self::Noise(noise) => noise.clone(),
        }
    }
}

fn streams() -> impl Strategy<Value = Stream> {
    let codes = prop_oneof![995..1020u16, 2995..3005u16, 4995..5005u16, any::<u16>()];
    let reasons = prop_oneof![3 => "\\PC{0,20}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..20)];
    prop_oneof![
        (vec(sent(), 0..6), prop::option::of((codes, reasons)))
            .prop_map(|(steps, close)| Stream::Good { steps, close }),
        (
            vec(sent(), 1..6),
            vec((any::<prop::sample::Index>(), prop_oneof![(0..8u8).prop_map(|bit| 1 << bit), any::<u8>()]), 1..4)
        )
            .prop_map(|(steps, damage)| Stream::Damaged { steps, damage }),
        vec(odd_frames(), 1..8).prop_map(Stream::OddFrames),
        vec(any::<u8>(), 0..60).prop_map(Stream::Noise),
    ]
}

fn odd_frames() -> impl Strategy<Value = OddFrame> {
    let opcodes = prop_oneof![
        6 => prop::sample::select(vec![0x00u8, 0x80, 0x01, 0x81, 0x02, 0x82, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    let lengths = prop_oneof![
        12 => Just(OddLength::Shortest),
        1 => Just(OddLength::In2Bytes),
        1 => Just(OddLength::In8Bytes),
        1 => any::<u64>().prop_map(OddLength::Announced),
    ];
    let payloads = prop_oneof![
        3 => "\\PC{0,8}".prop_map(String::into_bytes),
        // Pieces of characters, whole and cut.
        3 => vec(prop::sample::select(vec![0x41u8, 0x80, 0x90, 0xa0, 0xbf, 0xc3, 0xe0, 0xe2, 0xed, 0xf0, 0xf4]), 0..4),
        1 => vec(any::<u8>(), 0..140),
        1 => (390..410usize).prop_map(|len| vec![b'x'; len]),
    ];
    (opcodes, lengths, prop::bool::weighted(0.03), payloads).prop_map(|(first, length, other_mask, payload)| OddFrame {
        first,
        length,
        other_mask,
        payload,
    })
}

const REQUEST_HEADERS: [(&str, &str); 6] = [
    ("host", "a.example"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-version", "13"),
    ("origin", "http://a.example"),
];

/// A good request, some of whose headers are left out, emptied, spelt otherwise, wrong or doubled.
fn changed_request(changes: &[(usize, usize)]) -> http::Request<()> {
    let mut request = http::Request::new(());
    let headers = request.headers_mut();
    for (name, value) in REQUEST_HEADERS {
        headers.insert(name, value.parse().unwrap());
    }
    for (header, change) in changes {
        let (name, value) = REQUEST_HEADERS[*header];
        headers.remove(name);
        match change {
            0 => {}
            1 => drop(headers.insert(name, http::HeaderValue::from_static(""))),
            2 => drop(headers.insert(name, value.to_ascii_uppercase().parse().unwrap())),
            3 => drop(headers.insert(name, format!("{value}x").parse().unwrap())),
            4 => drop(headers.insert(name, format!("other, {value}").parse().unwrap())),
            _ => {
                headers.append(name, value.parse().unwrap());
                headers.append(name, value.parse().unwrap());
            }
        }
    }
    request
}

/// Where tungstenite departs from §4.2.1, item by item.
fn tungstenite_deviates(request: &http::Request<()>) -> bool {
    let headers = request.headers();
    let values = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    // Item 2: it does not look at Host.
    let host = values("host");
    (host.len() != 1 || ["", "other, a.example"].contains(&host[0]))
        // Item 3: Upgrade "containing the value websocket"; it wants nothing beside it.
        || values("upgrade") == ["other, websocket"]
        // §11.3.1 and §11.3.5: key and version "MUST NOT appear more than once"; it takes the first.
        || values("sec-websocket-key").len() > 1
        || values("sec-websocket-version").len() > 1
}

fn parse_request(bytes: &[u8]) -> http::Request<()> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut headers);
    assert_eq!(parsed.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    let builder = http::Request::builder().method(parsed.method.unwrap()).uri(parsed.path.unwrap());
    let builder = parsed.headers.iter().fold(builder, |builder, header| builder.header(header.name, header.value));
    builder.body(()).unwrap()
}

fn parse_response(bytes: &[u8]) -> http::Response<()> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Response::new(&mut headers);
    assert_eq!(parsed.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    let builder = http::Response::builder().status(parsed.code.unwrap());
    let builder = parsed.headers.iter().fold(builder, |builder, header| builder.header(header.name, header.value));
    builder.body(()).unwrap()
}

fn write_request(request: &http::Request<()>) -> Vec<u8> {
    let mut out = format!("GET {} HTTP/1.1\r\n", request.uri()).into_bytes();
    write_headers(&mut out, request.headers());
    out
}

fn write_response(response: &http::Response<()>) -> Vec<u8> {
    let mut out = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    write_headers(&mut out, response.headers());
    out
}

fn write_headers(out: &mut Vec<u8>, headers: &http::HeaderMap) {
    for (name, value) in headers {
        out.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
}
