//! Bodies of HTTP long polling: packets parted by U+001E.
//!
//! Owns: splitting and joining
//! ([HTTP long-polling](https://github.com/socketio/engine.io-protocol#http-long-polling-1)). Must never know: HTTP,
//! sessions, how long a body may be; the body is in memory already.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;

use super::packet::{Packet, PacketError, encode_base64};

/// The packets of one polling body, in order; made by [`decode_payload`].
///
/// Ends after the first error.
#[derive(Debug)]
pub struct Payload {
    /// What is not yet decoded: at least one packet, or the fault that ends the iteration.
    rest: Option<Result<ByteString, PayloadError>>,
}

/// Decodes the body of a POST, or of the answer to a GET.
///
/// The texts share the bytes of `body`. The body is checked to be UTF-8 at once, and only here; packets are decoded as
/// they are asked for. Binary packets are padded base64 of the standard alphabet, without stray bits.
pub fn decode_payload(body: Bytes) -> Payload {
    Payload { rest: Some(ByteString::try_from(body).map_err(|_| PayloadError::NotUtf8)) }
}

impl Payload {
    /// Whether every packet, or the fault that ended them, has been taken.
    pub const fn is_finished(&self) -> bool {
        self.rest.is_none()
    }

    /// How many bytes of the body have not been taken.
    pub fn rest_bytes(&self) -> usize {
        self.rest.as_ref().and_then(|rest| rest.as_ref().ok()).map_or(0, |rest| rest.len())
    }
}

impl Iterator for Payload {
    type Item = Result<Packet, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = match self.rest.take()? {
            Ok(text) => text,
            Err(error) => return Some(Err(error)),
        };
        let packet = match memchr::memchr(SEPARATOR, text.as_bytes()) {
            Some(end) => {
                self.rest = Some(Ok(text.slice_ref(&text[end + 1..])));
                text.slice_ref(&text[..end])
            }
            None => text,
        };
        let packet = decode(packet);
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

impl std::iter::FusedIterator for Payload {}

/// Joins packets into one polling body.
///
/// Takes texts as they are: a text that itself contains U+001E would arrive as two packets. JSON never does, since a
/// control character is escaped there.
#[derive(Debug, Default)]
pub struct PayloadWriter {
    body: Vec<u8>,
    packets: usize,
}

impl PayloadWriter {
    /// An empty body; allocates nothing.
    pub const fn new() -> Self {
        Self { body: Vec::new(), packets: 0 }
    }

    /// Appends a packet that is encoded as text already, its type included.
    pub fn push(&mut self, packet: &[u8]) {
        self.separate();
        self.body.extend_from_slice(packet);
    }

    /// Appends a binary message as `b` and base64.
    pub fn push_binary(&mut self, message: &[u8]) {
        self.separate();
        encode_base64(&mut self.body, message);
    }

    /// Appends a packet of either kind.
    pub fn push_packet(&mut self, packet: &Packet) {
        self.separate();
        packet.encode_text(&mut self.body);
    }

    /// Whether the next packet belongs into another answer, see [`PACKETS_PER_ANSWER_MAX`].
    pub const fn is_full(&self) -> bool {
        self.packets >= PACKETS_PER_ANSWER_MAX
    }

    /// Whether nothing was pushed.
    pub const fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// How many packets were pushed.
    pub const fn packets(&self) -> usize {
        self.packets
    }

    /// How long the body is by now.
    pub const fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Returns the complete body, its packets separated by U+001E.
    pub fn finish(self) -> Bytes {
        self.body.into()
    }

    fn separate(&mut self) {
        if self.packets > 0 {
            self.body.push(SEPARATOR);
        }
        self.packets += 1;
    }
}

/// Why a body is no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// The body is empty, or there is nothing between two separators.
    Empty,
    /// The body is not UTF-8.
    NotUtf8,
    /// A binary packet that is not base64.
    Base64,
    /// A text packet that is none.
    Packet(PacketError),
}

impl std::fmt::Display for PayloadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("empty packet in a payload"),
            Self::NotUtf8 => f.write_str("payload is not UTF-8"),
            Self::Base64 => f.write_str("binary packet is not base64"),
            Self::Packet(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PayloadError {}

fn decode(packet: ByteString) -> Result<Packet, PayloadError> {
    match packet.as_bytes().first() {
        None => Err(PayloadError::Empty),
        Some(b'b') => match STANDARD.decode(&packet.as_bytes()[1..]) {
            Ok(message) => Ok(Packet::Binary(message.into())),
            Err(_) => Err(PayloadError::Base64),
        },
        Some(_) => Packet::decode_text(packet).map_err(PayloadError::Packet),
    }
}

/// How many packets go into one answer: python-engineio's client throws an answer with more away. What a client sends
/// is bounded in bytes alone.
pub const PACKETS_PER_ANSWER_MAX: usize = 16;

/// U+001E, the record separator.
const SEPARATOR: u8 = 0x1e;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_protocol() {
        let body = Bytes::from_static(b"4hello\x1e2\x1e4world\x1ebAQIDBA==");
        let packets = [
            Packet::Message("hello".into()),
            Packet::Ping("".into()),
            Packet::Message("world".into()),
            Packet::Binary(Bytes::from_static(&[1, 2, 3, 4])),
        ];
        assert_eq!(decoded(&body), Ok(packets.to_vec()));
        assert_eq!(written(&packets), body);
        let Some(Ok(Packet::Message(hello))) = decode_payload(body.clone()).next() else { panic!("a message") };
        assert_eq!(hello.as_bytes().as_ptr(), body[1..].as_ptr(), "shares the body");
    }

    #[test]
    fn what_is_no_payload() {
        for (body, error) in [
            (&b""[..], PayloadError::Empty),
            (b"\x1e", PayloadError::Empty),
            (b"4a\x1e", PayloadError::Empty),
            (b"\x1e4a", PayloadError::Empty),
            (b"4a\x1e\x1e4b", PayloadError::Empty),
            (b"4\xff", PayloadError::NotUtf8),
            (b"4a\x1e4\xed\xa0\xbd", PayloadError::NotUtf8),
            (b"abc", PayloadError::Packet(PacketError::UnknownType)),
            (b"4a\x1e1x", PayloadError::Packet(PacketError::UnexpectedData)),
            (b"bAQIDBA", PayloadError::Base64),
            (b"bAQIDBA=", PayloadError::Base64),
            (b"bAQIDBB==", PayloadError::Base64),
            (b"bAQIDBA===", PayloadError::Base64),
            (b"b_-8=", PayloadError::Base64),
            (b"bAQID\nBA==", PayloadError::Base64),
            (b"b=", PayloadError::Base64),
        ] {
            assert_eq!(decoded(&Bytes::from_static(body)), Err(error), "{}", body.escape_ascii());
        }
        assert_eq!(decoded(&Bytes::from_static(b"b")), Ok(vec![Packet::Binary(Bytes::new())]));
    }

    #[test]
    fn an_error_ends_the_payload() {
        let mut payload = decode_payload(Bytes::from_static(b"4a\x1ex\x1e4b"));
        assert_eq!(payload.next(), Some(Ok(Packet::Message("a".into()))));
        assert_eq!(payload.next(), Some(Err(PayloadError::Packet(PacketError::UnknownType))));
        assert_eq!((payload.next(), payload.next()), (None, None));
    }

    #[test]
    fn sixteen_packets_fill_an_answer() {
        let mut writer = PayloadWriter::new();
        assert!(writer.is_empty());
        for pushed in 0..16_usize {
            assert!(!writer.is_full());
            assert_eq!((writer.packets(), writer.bytes()), (pushed, (3 * pushed).saturating_sub(1)));
            writer.push(b"4a");
        }
        assert!(writer.is_full());
        writer.push_binary(b"a");
        assert_eq!(decode_payload(writer.finish()).count(), 17, "many packets of a client are no fault");
    }

    proptest! {
        #[test]
        fn what_was_written_decodes(packets in prop::collection::vec(any_packet(), 1..20)) {
            prop_assert_eq!(decoded(&written(&packets)), Ok(packets));
        }

        #[test]
        fn any_bytes_are_a_payload_or_an_error(body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            "([0-7b]?[a-zA-Z0-9+/=é]{0,6}\u{1e}?){0,6}".prop_map(String::into_bytes),
        ]) {
            if let Ok(packets) = decoded(&body.clone().into()) {
                prop_assert_eq!(written(&packets), body);
            }
        }
    }

    fn any_packet() -> impl Strategy<Value = Packet> {
        prop_oneof![
            "[^\u{1e}]{0,20}".prop_map(|text| Packet::Message(text.into())),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Packet::Binary(bytes.into())),
            Just(Packet::Close),
            Just(Packet::Ping("probe".into())),
        ]
    }

    fn decoded(body: &Bytes) -> Result<Vec<Packet>, PayloadError> {
        decode_payload(body.clone()).collect()
    }

    fn written(packets: &[Packet]) -> Bytes {
        let mut writer = PayloadWriter::new();
        packets.iter().for_each(|packet| writer.push_packet(packet));
        writer.finish()
    }
}
