//! Packets in MessagePack: vectors of the real `socket.io-msgpack-parser`, hostile messages, and endpoints that speak it.
//!
//! Owns: `msgpack-parser/vectors.json` and what it pins. Must never know: how MessagePack is read.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use bytes::Bytes;
use roomcast_core::socket_io::{
    Args, OutgoingPacket, PackedPacketCheck, Packet, PacketError, PacketLimits, PacketType, Parser,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    version: String,
    sent: Vec<SentVector>,
    taken: Vec<TakenVector>,
}

#[derive(Deserialize)]
struct SentVector {
    name: String,
    packed: String,
    #[serde(rename = "type")]
    kind: u8,
    nsp: String,
    id: Option<u64>,
    data: String,
    attachments: Vec<String>,
}

#[derive(Deserialize)]
struct TakenVector {
    name: String,
    packed: String,
}

/// What the stock client sends is understood, in one piece and byte by byte.
#[test]
fn packets_of_the_stock_client_are_read() {
    let vectors = vectors();
    assert_eq!((vectors.version.as_str(), vectors.sent.len()), ("3.0.2", 16));
    for sent in vectors.sent {
        let message = bytes_of(&sent.packed);
        let (packet, attachments) = read(&message, usize::MAX).unwrap();
        assert_eq!(read(&message, 1).unwrap(), (packet.clone(), attachments.clone()), "{}", sent.name);
        assert_eq!(packet.kind, KINDS[usize::from(sent.kind)], "{}", sent.name);
        assert_eq!((&*packet.namespace, packet.ack_id), (&*sent.nsp, sent.id), "{}", sent.name);
        assert_eq!(&*packet.data, sent.data, "{}", sent.name);
        assert_eq!(attachments, sent.attachments.iter().map(|hex| bytes_of(hex)).collect::<Vec<_>>(), "{}", sent.name);
    }
}

/// What is written is what the real encoder writes for a server, which the real decoder has read.
#[test]
fn packets_are_written_as_the_stock_server_does() {
    let args = |json: &'static str| Args::from_json_values(json).unwrap();
    let attached = |json: &'static str, attachments: &[&'static [u8]]| {
        Args::from_received(json.into(), attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect()).unwrap()
    };
    let say = args(r#""hi",1,{"a":[null,false,1.5]}"#);
    let hi = args(r#""hi""#);
    let (empty, bytes) = (
        Args::empty(),
        attached(r#"{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}"#, &[b"abc", b""]),
    );
    let answer = attached(r#"{"num":0,"_placeholder":true},65536"#, &[b"x"]);
    let event = |name, args, offset| OutgoingPacket::Event { namespace: "/", ack_id: None, name, args, offset };
    let packets = [
        OutgoingPacket::Connect { namespace: "/", data: r#"{"sid":"s","pid":"p"}"# },
        OutgoingPacket::Disconnect { namespace: "/a" },
        OutgoingPacket::ConnectError { namespace: "/a", data: r#"{"message":"no"}"# },
        OutgoingPacket::ConnectError { namespace: "/", data: r#""no""# },
        event("say", &say, None),
        OutgoingPacket::Event { namespace: "/a", ack_id: Some(256), name: "ask", args: &empty, offset: None },
        event("say", &hi, Some("offset")),
        event("down", &bytes, None),
        OutgoingPacket::Ack { namespace: "/", ack_id: 3, args: &answer },
    ];
    let taken = vectors().taken;
    assert_eq!(taken.len(), packets.len());
    for (packet, taken) in packets.iter().zip(taken) {
        let mut out = Vec::new();
        Parser::MessagePack.encode(packet, &mut out);
        assert_eq!(Bytes::from(out), bytes_of(&taken.packed), "{}", taken.name);
    }
}

#[test]
fn what_is_no_packet_is_refused() {
    let named = |data: &[u8]| [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat();
    let deep = |depth: usize| named(&[&b"\x92\xa1e"[..], &vec![0x91; depth], &[0xc0]].concat());
    for (message, expected) in [
        (b"".to_vec(), PacketError::Empty),
        (b"\x90".to_vec(), PacketError::Packed),
        (b"\xc1".to_vec(), PacketError::Packed),
        (b"\x80".to_vec(), PacketError::UnknownType),
        // Announced and not there: nothing is reserved for it.
        (b"\xdf\xff\xff\xff\xff".to_vec(), PacketError::Packed),
        (b"\x81\xa4type\x05".to_vec(), PacketError::UnknownType),
        (b"\x81\xa4type\xa12".to_vec(), PacketError::UnknownType),
        (b"\x81\xa4type\x00".to_vec(), PacketError::Packed),
        (b"\x82\xa4type\x00\xa3nsp\x01".to_vec(), PacketError::Packed),
        (b"\x82\xa4type\x00\xa3nsp\xa1/x".to_vec(), PacketError::Packed),
        (b"\x83\xa4type\x00\xa4type\x00\xa3nsp\xa1/".to_vec(), PacketError::Packed),
        ([&b"\x82\xa4type\x00\xa3nsp\xd9\xc8"[..], &[b'/'; 200]].concat(), PacketError::NamespaceTooLong),
        // As text it is three times as long.
        ([&b"\x82\xa4type\x00\xa3nsp\xd9\x32"[..], &[0xab; 50]].concat(), PacketError::NamespaceTooLong),
        (b"\x82\xa4type\x02\xa3nsp\xa1/".to_vec(), PacketError::Data),
        (b"\x83\xa4type\x01\xa3nsp\xa1/\xa4data\x80".to_vec(), PacketError::Data),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\xc0".to_vec(), PacketError::Data),
        (b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data\x90".to_vec(), PacketError::AckId),
        (b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1e\xa2id\xff".to_vec(), PacketError::AckId),
        (b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1e\xa2id\xc0".to_vec(), PacketError::AckId),
        (named(b"\x90"), PacketError::Data),
        (named(b"\x91\x01"), PacketError::Data),
        (named(b"\x91\x91\xa1e"), PacketError::Data),
        (named(b"\x81\xa1e\x01"), PacketError::Data),
        (named(b"\x91\xc4\x01e"), PacketError::Data),
        (named(b"\xdd\xff\xff\xff\xff\xa1e"), PacketError::Packed),
        (named(b"\x92\xa1e\xdb\xff\xff\xff\xffx"), PacketError::Packed),
        (named(b"\x92\xa1e\x81\x90\x01"), PacketError::Packed),
        (deep(12), PacketError::Json(roomcast_core::socket_io::JsonError::TooDeep)),
        (deep(100_000), PacketError::Json(roomcast_core::socket_io::JsonError::TooDeep)),
        (named(&[&b"\x96\xa1e"[..], &[0xc4, 0].repeat(5)].concat()), PacketError::TooManyAttachments),
        // Data that would be taken for the attachment beside it.
        (
            named(b"\x93\xa1e\xc4\0\x82\xac_placeholder\xc3\xa3num\x00"),
            PacketError::Json(roomcast_core::socket_io::JsonError::Placeholder),
        ),
        // Data that refers to an attachment which is not there, beside one that is.
        (
            named(b"\x93\xa1e\xc4\0\x82\xac_placeholder\xc3\xa3num\x05"),
            PacketError::Json(roomcast_core::socket_io::JsonError::Placeholder),
        ),
    ] {
        assert_eq!(read(&message, usize::MAX), Err(expected), "{message:x?}");
        assert_eq!(read(&message, 1), Err(expected), "{message:x?}");
    }
    assert!(read(&deep(11), usize::MAX).is_ok());
    assert!(read(&named(b"\x93\xa1e\xc4\0\x81\xac_placeholder\xc2"), 1).is_ok(), "not a placeholder");
    // What the parser does not know, it passes over.
    assert!(read(b"\x83\xa1x\x91\xd4\x05\0\xa4type\x01\xa3nsp\xa1/", 1).is_ok());
}

fn read(message: &[u8], bytes: usize) -> Result<(Packet, Vec<Bytes>), PacketError> {
    let mut check = PackedPacketCheck::begin(Bytes::copy_from_slice(message), &LIMITS)?;
    for _ in 0..=message.len() * 2 {
        if let Some(whole) = check.step(bytes)? {
            return Ok(whole);
        }
    }
    panic!("no end of {message:x?}")
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("msgpack-parser/vectors.json")).unwrap()
}

fn bytes_of(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const KINDS: [PacketType; 5] =
    [PacketType::Connect, PacketType::Disconnect, PacketType::Event, PacketType::Ack, PacketType::ConnectError];

const LIMITS: PacketLimits =
    PacketLimits { attachments_max: 4, namespace_bytes_max: 100, json_depth_max: 12, json_number_bytes_max: 40 };
