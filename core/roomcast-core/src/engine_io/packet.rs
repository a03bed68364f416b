//! One Engine.IO packet and the JSON of the open packet.
//!
//! Owns: the seven packet types of [the protocol](https://github.com/socketio/engine.io-protocol#protocol) as text, and
//! binary messages in their text form. Must never know: transports, sessions, what a message means.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// An Engine.IO packet ([Protocol](https://github.com/socketio/engine.io-protocol#protocol)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// `0`: the server's handshake as JSON, see [`OpenData`].
    Open(ByteString),
    /// `1`: this transport can be closed.
    Close,
    /// `2`: the server asks for a sign of life; with the data `probe` a client probes an upgrade.
    Ping(ByteString),
    /// `3`: the answer to a ping, with its data.
    Pong(ByteString),
    /// `4`: a text message.
    Message(ByteString),
    /// A binary message: a binary frame on WebSocket, `b` and base64 where only text goes.
    Binary(Bytes),
    /// `5`: the client moves to the transport that it probed.
    Upgrade,
    /// `6`: releases a waiting poll.
    Noop,
}

impl Packet {
    /// Decodes a text packet: a text frame, or one packet of a polling payload that does not begin with `b`.
    ///
    /// The data shares the bytes of `text`; nothing is allocated.
    ///
    /// # Errors
    ///
    /// A packet that is not one of the seven types, or carries data where its type has none.
    pub fn decode_text(text: ByteString) -> Result<Self, PacketError> {
        let Some(kind) = text.as_bytes().first() else {
            return Err(PacketError::Empty);
        };
        match kind {
            b'0' => Ok(Self::Open(data(&text))),
            b'1' => bare(&text, Self::Close),
            b'2' => Ok(Self::Ping(data(&text))),
            b'3' => Ok(Self::Pong(data(&text))),
            b'4' => Ok(Self::Message(data(&text))),
            b'5' => bare(&text, Self::Upgrade),
            b'6' => bare(&text, Self::Noop),
            _ => Err(PacketError::UnknownType),
        }
    }

    /// Appends the text form; for [`Binary`](Self::Binary) that is `b` and base64, as long polling needs it.
    pub fn encode_text(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open(data) => encode(out, b'0', data),
            Self::Close => out.push(b'1'),
            Self::Ping(data) => encode(out, b'2', data),
            Self::Pong(data) => encode(out, b'3', data),
            Self::Message(data) => encode(out, b'4', data),
            Self::Binary(bytes) => encode_base64(out, bytes),
            Self::Upgrade => out.push(b'5'),
            Self::Noop => out.push(b'6'),
        }
    }
}

/// What a server tells in the open packet ([Handshake](https://github.com/socketio/engine.io-protocol#handshake)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenData<'a> {
    /// The session id: a bearer secret.
    pub sid: &'a str,
    /// The transports that this session may move to.
    pub upgrades: &'a [&'a str],
    /// From one ping to the next.
    #[serde(rename = "pingInterval")]
    pub ping_interval_ms: u64,
    /// How long a pong may take.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout_ms: u64,
    /// How long a polling body or a WebSocket message to the server may be.
    #[serde(rename = "maxPayload")]
    pub max_payload_bytes: usize,
}

impl OpenData<'_> {
    /// The JSON of the open packet, keys in the order of the fields, without blanks.
    #[expect(clippy::expect_used, reason = "the type cannot fail to serialise")]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("invariant: strings and integers always serialise")
    }

    /// Reads the JSON of an open packet, as a client does. Unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// [`PacketError::Handshake`] if a key is missing or has the wrong type.
    pub fn decode(json: &str) -> Result<PeerHandshake, PacketError> {
        serde_json::from_str(json).map_err(|_| PacketError::Handshake)
    }
}

/// What a client learns from an open packet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PeerHandshake {
    /// The session id.
    pub sid: String,
    /// The transports that this session may move to.
    pub upgrades: Vec<String>,
    /// From one ping to the next.
    #[serde(rename = "pingInterval")]
    pub ping_interval_ms: u64,
    /// How long a pong may take.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout_ms: u64,
    /// How long a message to the server may be; older servers do not say.
    #[serde(rename = "maxPayload")]
    pub max_payload_bytes: Option<u64>,
}

/// Why a text is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketError {
    /// No characters.
    Empty,
    /// The first character names no packet type.
    UnknownType,
    /// Data behind a type that has none.
    UnexpectedData,
    /// The JSON of an open packet has not the right shape.
    Handshake,
}

impl std::fmt::Display for PacketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty packet",
            Self::UnknownType => "unknown packet type",
            Self::UnexpectedData => "data behind a packet type that has none",
            Self::Handshake => "malformed handshake",
        })
    }
}

impl std::error::Error for PacketError {}

/// Appends `b` and the base64 of `bytes`.
#[expect(clippy::expect_used, reason = "the length is computed by the same library")]
pub(super) fn encode_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len() + 1;
    let encoded = base64::encoded_len(bytes.len(), true).expect("invariant: base64 of what is in memory has a length");
    out.reserve(1 + encoded);
    out.push(b'b');
    out.resize(start + encoded, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("invariant: the buffer has the encoded length");
}

fn encode(out: &mut Vec<u8>, kind: u8, data: &str) {
    out.reserve(1 + data.len());
    out.push(kind);
    out.extend_from_slice(data.as_bytes());
}

/// A packet of a type that has no data.
fn bare(text: &str, packet: Packet) -> Result<Packet, PacketError> {
    if text.len() == 1 { Ok(packet) } else { Err(PacketError::UnexpectedData) }
}

/// What follows the type, which is one byte long.
fn data(text: &ByteString) -> ByteString {
    text.slice_ref(&text[1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_texts_of_the_protocol() {
        for (text, packet) in [
            ("0{}", Packet::Open("{}".into())),
            ("1", Packet::Close),
            ("2", Packet::Ping("".into())),
            ("2probe", Packet::Ping("probe".into())),
            ("3", Packet::Pong("".into())),
            ("3probe", Packet::Pong("probe".into())),
            ("4", Packet::Message("".into())),
            ("4hello", Packet::Message("hello".into())),
            ("4€ 😀", Packet::Message("€ 😀".into())),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
        ] {
            assert_eq!(Packet::decode_text(text.into()), Ok(packet.clone()), "{text}");
            assert_eq!(encoded(&packet), text.as_bytes());
        }
        assert_eq!(encoded(&Packet::Binary(Bytes::from_static(&[1, 2, 3, 4]))), b"bAQIDBA==");
    }

    #[test]
    fn what_is_no_packet() {
        for (text, error) in [
            ("", PacketError::Empty),
            ("abc", PacketError::UnknownType),
            ("7", PacketError::UnknownType),
            (" 4", PacketError::UnknownType),
            ("é", PacketError::UnknownType),
            ("bAQIDBA==", PacketError::UnknownType),
            ("1x", PacketError::UnexpectedData),
            ("55", PacketError::UnexpectedData),
            ("6 ", PacketError::UnexpectedData),
        ] {
            assert_eq!(Packet::decode_text(text.into()), Err(error), "{text:?}");
        }
    }

    #[test]
    fn data_shares_the_bytes_of_the_text() {
        let text = ByteString::from("4hello");
        let Ok(Packet::Message(data)) = Packet::decode_text(text.clone()) else { panic!("a message") };
        assert_eq!(data.as_bytes().as_ptr(), text.as_bytes()[1..].as_ptr());
    }

    #[test]
    fn the_handshake_to_the_letter() {
        let handshake = OpenData {
            sid: "lv_VI97HAXpY6yYWAAAC",
            upgrades: &["websocket"],
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload_bytes: 1_000_000,
        };
        let json = r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        assert_eq!(handshake.encode(), json);
        let peer = PeerHandshake {
            sid: "lv_VI97HAXpY6yYWAAAC".into(),
            upgrades: vec!["websocket".into()],
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload_bytes: Some(1_000_000),
        };
        assert_eq!(OpenData::decode(json), Ok(peer.clone()));
        let of_before =
            r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingTimeout":20000,"pingInterval":25000,"x":1}"#;
        assert_eq!(OpenData::decode(of_before), Ok(PeerHandshake { max_payload_bytes: None, ..peer }));
        assert_eq!(OpenData { upgrades: &[], ..handshake }.encode(), json.replace(r#""websocket""#, ""));
        for bad in ["", "{}", "[]", r#"{"sid":1,"upgrades":[],"pingInterval":1,"pingTimeout":1}"#] {
            assert_eq!(OpenData::decode(bad), Err(PacketError::Handshake), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(packet in any_text_packet()) {
            let text = ByteString::try_from(encoded(&packet)).unwrap();
            prop_assert_eq!(Packet::decode_text(text), Ok(packet));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_text(text in "[0-7]?(?s:.{0,20})") {
            if let Ok(packet) = Packet::decode_text(text.as_str().into()) {
                prop_assert_eq!(encoded(&packet), text.into_bytes());
            }
        }

        #[test]
        fn handshakes_survive(sid in "(?s:.{0,20})", upgrades in prop::collection::vec("(?s:.{0,8})", 0..3), ms: (u64, u64)) {
            let names: Vec<&str> = upgrades.iter().map(String::as_str).collect();
            let handshake = OpenData {
                sid: &sid, upgrades: &names, ping_interval_ms: ms.0, ping_timeout_ms: ms.1, max_payload_bytes: 5,
            };
            let peer = OpenData::decode(&handshake.encode());
            prop_assert_eq!(peer, Ok(PeerHandshake {
                sid, upgrades: upgrades.clone(), ping_interval_ms: ms.0, ping_timeout_ms: ms.1, max_payload_bytes: Some(5),
            }));
        }
    }

    fn any_text_packet() -> impl Strategy<Value = Packet> {
        let data = || "(?s:.{0,20})".prop_map(ByteString::from);
        prop_oneof![
            data().prop_map(Packet::Open),
            Just(Packet::Close),
            data().prop_map(Packet::Ping),
            data().prop_map(Packet::Pong),
            data().prop_map(Packet::Message),
            Just(Packet::Upgrade),
            Just(Packet::Noop),
        ]
    }

    fn encoded(packet: &Packet) -> Vec<u8> {
        let mut out = Vec::new();
        packet.encode_text(&mut out);
        out
    }
}
