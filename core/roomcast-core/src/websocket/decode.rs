//! Frames as they are received.
//!
//! Owns: the state between two reads, reassembly of fragments, and the limits. Must never know: what answers a message.
//!
//! Two paths lead to a message. A frame that is a message by itself and stands whole in the input takes the short one:
//! one allocation, in which the payload is unmasked while it is copied, and nothing kept. Everything else goes through
//! [`PartialMessage`], which takes payload bytes as they come. Memory follows what was received, never what was announced.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use super::deflate::Inflating;
use super::frame::{FrameHeader, FrameRules, HEADER_BYTES_MAX};
use super::mask::append_masked;
use super::{CloseFrame, Fin, Opcode, Role, WsError};

/// Makes messages out of the bytes of one connection.
///
/// It judges what one peer may send and nothing else: it neither answers pings nor tracks what this side has sent.
///
/// ```
/// use roomcast_core::websocket::{Decoder, FrameLimits, WsMessage, Role};
///
/// let limits = FrameLimits { message_bytes_max: 1_000_000, fragments_max: 1_000 };
/// let mut decoder = Decoder::new(Role::Client);
/// let mut input: &[u8] = b"\x81\x05Hello\x89";
/// assert_eq!(decoder.decode(&limits, &mut input), Ok(Some(WsMessage::Text("Hello".into()))));
/// assert_eq!(decoder.decode(&limits, &mut input), Ok(None));
/// assert_eq!((input, decoder.buffered_bytes()), (&[][..], 1));
/// ```
pub struct Decoder {
    rules: FrameRules,
    state: State,
}

impl Decoder {
    /// A decoder for what the peer of a `role` sends.
    pub const fn new(role: Role) -> Self {
        Self { rules: FrameRules { role, deflate: false }, state: State::Idle }
    }

    /// The same where permessage-deflate was agreed on: messages may be compressed, each by itself. The limit on a message
    /// is one on both forms.
    pub const fn inflating(role: Role) -> Self {
        Self { rules: FrameRules { role, deflate: true }, state: State::Idle }
    }

    /// Takes bytes off the front of `input` up to the end of the next message. `Ok(None)`: more bytes are needed, and all
    /// of `input` was taken, unless [`is_inflating`](Self::is_inflating). Call it until then.
    ///
    /// A compressed message is expanded by about 256 KiB in each call, so that a few bytes that stand for many do not
    /// hold up the caller.
    ///
    /// A [`WsMessage::Close`] is the last message; what comes after it is taken and thrown away
    /// ([RFC 6455 §1.4](https://www.rfc-editor.org/rfc/rfc6455#section-1.4)).
    ///
    /// # Errors
    ///
    /// A fault of the peer. It is final: the input is taken, and every further call returns the same error. Close the
    /// connection with [`WsError::close_code`].
    pub fn decode(&mut self, limits: &FrameLimits, input: &mut &[u8]) -> Result<Option<WsMessage>, WsError> {
        let decoded = match &mut self.state {
            State::Idle => match decode_whole(self.rules, limits, input) {
                Ok(None) if !input.is_empty() => {
                    let mut partial = Box::<PartialMessage>::default();
                    let decoded = partial.decode(self.rules, limits, input);
                    if !partial.is_empty() {
                        self.state = State::Partial(partial);
                    }
                    self.begin_inflating(decoded, limits)
                }
                decoded => decoded,
            },
            State::Partial(partial) => {
                let decoded = partial.decode(self.rules, limits, input);
                if partial.is_empty() {
                    self.state = State::Idle;
                }
                self.begin_inflating(decoded, limits)
            }
            State::Inflating(_) => self.go_on_inflating(limits),
            State::Closed => {
                *input = &[];
                Ok(None)
            }
            State::Failed(error) => Err(*error),
        };
        match &decoded {
            Ok(Some(WsMessage::Close(_))) => self.state = State::Closed,
            Ok(_) => {}
            Err(error) => {
                self.state = State::Failed(*error);
                *input = &[];
            }
        }
        decoded
    }

    fn begin_inflating(
        &mut self,
        decoded: Result<Option<ReceivedMessage>, WsError>,
        limits: &FrameLimits,
    ) -> Result<Option<WsMessage>, WsError> {
        match decoded? {
            None => Ok(None),
            Some(ReceivedMessage::Message(message)) => Ok(Some(message)),
            Some(ReceivedMessage::Compressed(kind, payload)) => {
                self.state = State::Inflating(Box::new((kind, Inflating::new(payload))));
                self.go_on_inflating(limits)
            }
        }
    }

    fn go_on_inflating(&mut self, limits: &FrameLimits) -> Result<Option<WsMessage>, WsError> {
        let State::Inflating(inflating) = &mut self.state else { return Ok(None) };
        let (kind, inflating) = &mut **inflating;
        let Some(payload) = inflating.go_on(limits.message_bytes_max)? else { return Ok(None) };
        let message = data_message(*kind, payload)?;
        self.state = State::Idle;
        Ok(Some(message))
    }

    /// Whether a compressed message is there and not expanded yet, which [`decode`](Self::decode) goes on with, with or
    /// without more bytes.
    pub const fn is_inflating(&self) -> bool {
        matches!(self.state, State::Inflating(_))
    }

    /// Whether nothing has begun: no part of a frame and no fragment of a message is kept.
    pub fn is_idle(&self) -> bool {
        match self.state {
            State::Partial(_) | State::Inflating(_) => false,
            State::Idle | State::Closed | State::Failed(_) => true,
        }
    }

    /// How many received bytes are kept, in bytes of frame header and payload.
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Partial(partial) => partial.buffered_bytes(),
            State::Inflating(inflating) => inflating.1.buffered_bytes(),
            State::Idle | State::Closed | State::Failed(_) => 0,
        }
    }
}

impl fmt::Debug for Decoder {
    /// Shows no payload, which is the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Idle => "Idle",
            State::Partial(_) => "Partial",
            State::Inflating(_) => "Inflating",
            State::Closed => "Closed",
            State::Failed(_) => "Failed",
        };
        f.debug_struct("Decoder")
            .field("role", &self.rules.role)
            .field("state", &state)
            .field("buffered_bytes", &self.buffered_bytes())
            .finish()
    }
}

/// What a peer may send in one message. Checked when a frame's header is read, before its payload is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest message, in bytes of payload over all its fragments.
    pub message_bytes_max: usize,
    /// The most frames of a message. A message in a single frame is always allowed.
    pub fragments_max: u32,
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WsMessage {
    /// A text message, whole.
    Text(ByteString),
    /// A binary message, whole.
    Binary(Bytes),
    /// A ping of at most 125 bytes, to be answered by a pong with the same payload.
    Ping(Bytes),
    /// A pong of at most 125 bytes.
    Pong(Bytes),
    /// The peer's last message, to be answered by a close if none was sent.
    Close(Option<CloseFrame>),
}

enum State {
    Idle,
    Partial(Box<PartialMessage>),
    /// A compressed message is whole.
    Inflating(Box<(DataKind, Inflating)>),
    /// The peer has sent its close.
    Closed,
    Failed(WsError),
}

/// A message of which all bytes have come.
enum ReceivedMessage {
    Message(WsMessage),
    Compressed(DataKind, Vec<u8>),
}

/// The part of a frame or of a fragmented message that has been received.
#[derive(Default)]
struct PartialMessage {
    /// The bytes of an unfinished header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The frame whose payload is under way.
    frame: Option<PartialFrame>,
    /// The payload of that frame, if it is a control frame.
    control: Vec<u8>,
    /// The data message under way. While it is `Some`, control frames may arrive in between.
    kind: Option<DataKind>,
    is_compressed: bool,
    /// How many frames of that message have begun.
    fragments: u32,
    /// The payload of that message.
    payload: Vec<u8>,
    /// How much of a text's payload is known to be UTF-8. At most three bytes of the rest have come.
    text_checked: usize,
}

#[derive(Clone, Copy)]
struct PartialFrame {
    fin: Fin,
    opcode: Opcode,
    /// The mask, turned to the next byte.
    mask: Option<[u8; 4]>,
    remaining: usize,
}

#[derive(Clone, Copy)]
enum DataKind {
    Text,
    Binary,
}

impl PartialMessage {
    fn decode(
        &mut self,
        rules: FrameRules,
        limits: &FrameLimits,
        input: &mut &[u8],
    ) -> Result<Option<ReceivedMessage>, WsError> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.take_header(rules, input)? {
                    Some(header) => self.begin_frame(header, limits)?,
                    None => return Ok(None),
                },
            };
            self.take_payload(&mut frame, input)?;
            if frame.remaining > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(message) = self.end_frame(frame)? {
                return Ok(Some(message));
            }
        }
    }

    fn take_header(&mut self, rules: FrameRules, input: &mut &[u8]) -> Result<Option<FrameHeader>, WsError> {
        let kept = usize::from(self.header_len);
        let copied = input.len().min(HEADER_BYTES_MAX - kept);
        self.header[kept..kept + copied].copy_from_slice(&input[..copied]);
        match FrameHeader::parse(&self.header[..kept + copied], rules)? {
            Some((header, header_len)) => {
                debug_assert!(header_len > kept, "a header that was complete before is not kept");
                self.header_len = 0;
                *input = &input[header_len - kept..];
                Ok(Some(header))
            }
            None => {
                debug_assert_eq!(copied, input.len(), "the longest header fits");
                self.header_len += copied as u8;
                *input = &[];
                Ok(None)
            }
        }
    }

    /// Checks a header against what came before it and against the limits.
    fn begin_frame(&mut self, header: FrameHeader, limits: &FrameLimits) -> Result<PartialFrame, WsError> {
        match (header.opcode, self.kind) {
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(WsError::ContinuationExpected),
            (Opcode::Text, None) => self.kind = Some(DataKind::Text),
            (Opcode::Binary, None) => self.kind = Some(DataKind::Binary),
            (Opcode::Continuation, None) => return Err(WsError::ContinuationUnexpected),
            (Opcode::Continuation, Some(_)) if self.fragments >= limits.fragments_max => {
                return Err(WsError::FragmentsTooMany);
            }
            (Opcode::Continuation, Some(_)) | (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {}
        }
        if !header.opcode.is_control() {
            // Below 2^63 each, so the sum is exact; and once it is within the limit, it is a `usize`.
            if self.payload.len() as u64 + header.payload_len > limits.message_bytes_max as u64 {
                return Err(WsError::MessageTooBig);
            }
            self.fragments += 1;
            self.is_compressed |= header.is_compressed;
        }
        let FrameHeader { fin, opcode, payload_len, mask, is_compressed: _ } = header;
        Ok(PartialFrame { fin, opcode, mask, remaining: payload_len as usize })
    }

    fn take_payload(&mut self, frame: &mut PartialFrame, input: &mut &[u8]) -> Result<(), WsError> {
        let (bytes, rest) = input.split_at(frame.remaining.min(input.len()));
        *input = rest;
        let buffer = if frame.opcode.is_control() { &mut self.control } else { &mut self.payload };
        reserve(buffer, bytes.len(), frame);
        match &mut frame.mask {
            Some(key) => *key = append_masked(buffer, bytes, *key),
            None => buffer.extend_from_slice(bytes),
        }
        frame.remaining -= bytes.len();
        match (frame.opcode.is_control(), self.kind) {
            (false, Some(DataKind::Text)) if !self.is_compressed => self.check_text(),
            (false, Some(DataKind::Text | DataKind::Binary) | None) | (true, _) => Ok(()),
        }
    }

    /// Checks the received part of a text, so that the first byte which cannot belong to UTF-8 fails it
    /// ([RFC 6455 §8.1](https://www.rfc-editor.org/rfc/rfc6455#section-8.1)). Looks at each byte once, but for the at most
    /// three of an unfinished character.
    fn check_text(&mut self) -> Result<(), WsError> {
        match std::str::from_utf8(&self.payload[self.text_checked..]) {
            Ok(text) => self.text_checked += text.len(),
            Err(error) if error.error_len().is_none() => self.text_checked += error.valid_up_to(),
            Err(_) => return Err(WsError::TextInvalid),
        }
        Ok(())
    }

    fn end_frame(&mut self, frame: PartialFrame) -> Result<Option<ReceivedMessage>, WsError> {
        if frame.opcode.is_control() {
            let message = control_message(frame.opcode, std::mem::take(&mut self.control))?;
            return Ok(message.map(ReceivedMessage::Message));
        }
        match (frame.fin, self.kind) {
            (Fin::Final, Some(kind)) => {
                let ended = std::mem::take(self);
                if ended.is_compressed {
                    return Ok(Some(ReceivedMessage::Compressed(kind, ended.payload)));
                }
                data_message(kind, ended.payload).map(|message| Some(ReceivedMessage::Message(message)))
            }
            (Fin::More, _) | (Fin::Final, None) => Ok(None),
        }
    }

    fn is_empty(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.kind.is_none()
    }

    fn buffered_bytes(&self) -> usize {
        usize::from(self.header_len) + self.control.len() + self.payload.len()
    }
}

/// The message that stands whole, in a single frame, at the start of `input`. `Ok(None)`: it is none of that, or against
/// the limits, and nothing was taken.
fn decode_whole(rules: FrameRules, limits: &FrameLimits, input: &mut &[u8]) -> Result<Option<WsMessage>, WsError> {
    let Some((header, header_len)) = FrameHeader::parse(input, rules)? else { return Ok(None) };
    let rest = &input[header_len..];
    if header.fin == Fin::More || header.is_compressed || header.payload_len > rest.len() as u64 {
        return Ok(None);
    }
    let (bytes, rest) = rest.split_at(header.payload_len as usize);
    let kind = match header.opcode {
        Opcode::Continuation => return Ok(None),
        Opcode::Text | Opcode::Binary if bytes.len() > limits.message_bytes_max => return Ok(None),
        Opcode::Text => Some(DataKind::Text),
        Opcode::Binary => Some(DataKind::Binary),
        Opcode::Close | Opcode::Ping | Opcode::Pong => None,
    };
    *input = rest;
    let mut payload = Vec::with_capacity(bytes.len());
    match header.mask {
        Some(key) => {
            append_masked(&mut payload, bytes, key);
        }
        None => payload.extend_from_slice(bytes),
    }
    match kind {
        Some(kind) => data_message(kind, payload).map(Some),
        None => control_message(header.opcode, payload),
    }
}

fn data_message(kind: DataKind, payload: Vec<u8>) -> Result<WsMessage, WsError> {
    Ok(match kind {
        DataKind::Text => WsMessage::Text(String::from_utf8(payload).map_err(|_| WsError::TextInvalid)?.into()),
        DataKind::Binary => WsMessage::Binary(payload.into()),
    })
}

fn control_message(opcode: Opcode, payload: Vec<u8>) -> Result<Option<WsMessage>, WsError> {
    Ok(match opcode {
        Opcode::Close => Some(WsMessage::Close(CloseFrame::parse(payload)?)),
        Opcode::Ping => Some(WsMessage::Ping(payload.into())),
        Opcode::Pong => Some(WsMessage::Pong(payload.into())),
        Opcode::Continuation | Opcode::Text | Opcode::Binary => None,
    })
}

/// Makes room for `more` bytes of `frame`. It doubles, so that many small pieces stay linear; where the frame ends its
/// message it stops at the announced end, so that the last allocation of a message that came in one frame is exact.
fn reserve(buffer: &mut Vec<u8>, more: usize, frame: &PartialFrame) {
    if buffer.capacity() - buffer.len() >= more {
        return;
    }
    let needed = buffer.len() + more;
    let doubled = match frame.fin {
        Fin::Final => (buffer.capacity() * 2).min(buffer.len() + frame.remaining),
        Fin::More => buffer.capacity() * 2,
    };
    buffer.reserve_exact(needed.max(doubled) - buffer.len());
}

const _: () = assert!(size_of::<Decoder>() <= 24);
const _: () = assert!(size_of::<PartialMessage>() <= 128);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::{CloseCode, encode_close, encode_frame};

    // The names tell the cases of the Autobahn test suite that a test stands for.

    #[test]
    fn examples_of_rfc_6455_section_5_7() {
        let hello = WsMessage::Text("Hello".into());
        assert_eq!(server_sent(b"\x81\x05Hello"), Ok(vec![hello.clone()]));
        assert_eq!(client_sent(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), Ok(vec![hello.clone()]));
        assert_eq!(server_sent(b"\x01\x03Hel\x80\x02lo"), Ok(vec![hello]));
        assert_eq!(server_sent(b"\x89\x05Hello"), Ok(vec![WsMessage::Ping("Hello".into())]));
        let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(client_sent(pong), Ok(vec![WsMessage::Pong("Hello".into())]));
        for (header, len) in [(&b"\x82\x7e\x01\x00"[..], 256), (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65536)] {
            let payload = vec![7; len];
            let frame = [header, &payload].concat();
            assert_eq!(server_sent(&frame), Ok(vec![WsMessage::Binary(payload.into())]));
        }
    }

    #[test]
    fn autobahn_1_messages_of_every_length_form() {
        for len in [0, 1, 125, 126, 127, 128, 65535, 65536, 65540] {
            let text = "*".repeat(len);
            let frames = [frame(Fin::Final, Opcode::Text, &text), frame(Fin::Final, Opcode::Binary, &text)].concat();
            let expected = vec![WsMessage::Text(text.clone().into()), WsMessage::Binary(text.into())];
            assert_eq!(client_sent(&frames), Ok(expected));
        }
    }

    #[test]
    fn autobahn_2_pings_and_pongs() {
        for payload in ["", "hello", &"x".repeat(125)] {
            let frames = [frame(Fin::Final, Opcode::Ping, payload), frame(Fin::Final, Opcode::Pong, payload)].concat();
            let payload = Bytes::copy_from_slice(payload.as_bytes());
            assert_eq!(client_sent(&frames), Ok(vec![WsMessage::Ping(payload.clone()), WsMessage::Pong(payload)]));
        }
        let not_text = b"\x89\x04\x00\xff\xfe\xfd";
        assert_eq!(server_sent(not_text), Ok(vec![WsMessage::Ping(Bytes::from_static(b"\x00\xff\xfe\xfd"))]));
        assert_eq!(server_sent(&[&[0x89, 126, 0, 126][..], &[0; 126]].concat()), Err(WsError::ControlTooLong));
        let ten = frame(Fin::Final, Opcode::Ping, "p").repeat(10);
        assert_eq!(client_sent(&ten), Ok(vec![WsMessage::Ping("p".into()); 10]));
    }

    #[test]
    fn autobahn_3_and_4_a_reserved_frame_fails_after_what_came_before() {
        for (bad, error) in [
            (0xc1, WsError::ReservedBits),
            (0xa9, WsError::ReservedBits),
            (0xf8, WsError::ReservedBits),
            (0x83, WsError::ReservedOpcode),
            (0x87, WsError::ReservedOpcode),
            (0x8b, WsError::ReservedOpcode),
            (0x8f, WsError::ReservedOpcode),
        ] {
            let mut decoder = Decoder::new(Role::Client);
            let stream = [b"\x81\x02ok", &[bad, 0][..], b"\x89\x00"].concat();
            let mut input = &stream[..];
            assert_eq!(decoder.decode(&LIMITS, &mut input), Ok(Some(WsMessage::Text("ok".into()))));
            assert_eq!(decoder.decode(&LIMITS, &mut input), Err(error));
            assert_eq!((input.len(), error.close_code()), (0, CloseCode::PROTOCOL));
        }
    }

    #[test]
    fn autobahn_5_fragments_and_what_stands_between_them() {
        use Fin::{Final, More};
        use Opcode::{Binary, Continuation, Ping, Pong, Text};
        let text = |text: &str| WsMessage::Text(text.into());
        let ping = || WsMessage::Ping("ping".into());
        let pong = || WsMessage::Pong(Bytes::new());
        let check = |frames: &[(Fin, Opcode, &str)], expected: Result<Vec<WsMessage>, WsError>| {
            let stream: Vec<u8> =
                frames.iter().flat_map(|(fin, opcode, payload)| frame(*fin, *opcode, payload)).collect();
            assert_eq!(client_sent(&stream), expected, "{frames:?}");
        };
        check(&[(More, Text, "a"), (Final, Continuation, "b")], Ok(vec![text("ab")]));
        check(&[(More, Text, "a"), (Final, Ping, "ping"), (Final, Continuation, "b")], Ok(vec![ping(), text("ab")]));
        check(&[(More, Text, "a"), (Final, Pong, ""), (Final, Continuation, "")], Ok(vec![pong(), text("a")]));
        check(&[(More, Text, ""), (More, Continuation, ""), (Final, Continuation, "")], Ok(vec![text("")]));
        check(&[(More, Text, ""), (More, Continuation, "m"), (Final, Continuation, "")], Ok(vec![text("m")]));
        check(
            &[(More, Binary, "a"), (Final, Continuation, "b"), (Final, Text, "c")],
            Ok(vec![WsMessage::Binary("ab".into()), text("c")]),
        );

        let unexpected = || Err(WsError::ContinuationUnexpected);
        check(&[(Final, Continuation, "x")], unexpected());
        check(&[(More, Continuation, "x")], unexpected());
        check(&[(Final, Text, "x"), (Final, Continuation, "x")], unexpected());
        check(&[(More, Text, "a"), (Final, Continuation, "b"), (More, Continuation, "c")], unexpected());
        check(&[(Final, Ping, "ping"), (Final, Continuation, "b")], unexpected());

        let expected = || Err(WsError::ContinuationExpected);
        check(&[(More, Text, "a"), (Final, Text, "b")], expected());
        check(&[(More, Text, "a"), (More, Binary, "b")], expected());
        check(&[(More, Text, "a"), (Final, Ping, ""), (Final, Binary, "b")], expected());

        assert_eq!(server_sent(b"\x09\x00"), Err(WsError::ControlFragmented));
        assert_eq!(server_sent(b"\x0a\x00"), Err(WsError::ControlFragmented));
    }

    #[test]
    fn autobahn_6_characters_may_be_cut_by_fragments() {
        let text = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \u{10ffff} \u{0} \u{fffe}";
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            let mut stream = Vec::new();
            encode_frame(&mut stream, Fin::More, Opcode::Text, head, KEY);
            encode_frame(&mut stream, Fin::Final, Opcode::Ping, b"", KEY);
            encode_frame(&mut stream, Fin::Final, Opcode::Continuation, tail, KEY);
            assert_eq!(client_sent(&stream), Ok(vec![WsMessage::Ping(Bytes::new()), WsMessage::Text(text.into())]));
        }
    }

    #[test]
    fn autobahn_6_text_fails_at_the_first_byte_that_proves_it() {
        for (valid, bad) in [
            ("κόσμε", &b"\xed\xa0"[..]),  // a surrogate
            ("κόσμε", b"\xf4\x90"),       // above U+10FFFF
            ("", b"\xf5"),                // never
            ("", b"\xc0"),                // overlong
            ("a", b"\xe0\x80"),           // overlong
            ("a", b"\xf0\x8f"),           // overlong
            ("a", b"\x80"),               // a continuation of nothing
            ("\u{800}", b"\xe2\x82\x2d"), // cut short
        ] {
            let payload = [valid.as_bytes(), bad, b"edited"].concat();
            let proof = valid.len() + bad.len();
            // 6.4.1 and 6.4.2 whole fragments, 6.4.3 and 6.4.4 bytes of one frame.
            for fragment_bytes in [payload.len(), 1] {
                let mut decoder = Decoder::new(Role::Client);
                let mut taken = 0;
                for (index, fragment) in payload.chunks(fragment_bytes).enumerate() {
                    let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
                    let mut stream = Vec::new();
                    encode_frame(&mut stream, Fin::More, opcode, fragment, None);
                    let header_bytes = stream.len() - fragment.len();
                    for (at, byte) in stream.iter().enumerate() {
                        taken += usize::from(at >= header_bytes);
                        let expected = if taken >= proof { Err(WsError::TextInvalid) } else { Ok(None) };
                        assert_eq!(decoder.decode(&LIMITS, &mut &[*byte][..]), expected, "{payload:x?} at {taken}");
                    }
                }
            }
            let whole = [&[0x81, payload.len() as u8][..], &payload].concat();
            assert_eq!(server_sent(&whole), Err(WsError::TextInvalid));
        }
        // An unfinished character is a fault only at the end of the message.
        assert_eq!(server_sent(b"\x01\x02\xe2\x82"), Ok(vec![]));
        assert_eq!(server_sent(b"\x01\x02\xe2\x82\x80\x00"), Err(WsError::TextInvalid));
        assert_eq!(server_sent(b"\x81\x02\xe2\x82"), Err(WsError::TextInvalid));
        assert_eq!(WsError::TextInvalid.close_code(), CloseCode::INVALID_DATA);
    }

    #[test]
    fn autobahn_7_close_is_the_last_message() {
        let mut stream = Vec::new();
        encode_close(&mut stream, Some((CloseCode::NORMAL, "done")), KEY);
        let after = [&stream[..], &frame(Fin::Final, Opcode::Text, "late"), b"\xff\xff\xff"].concat();
        let close = WsMessage::Close(Some(CloseFrame { code: CloseCode::NORMAL, reason: "done".into() }));
        assert_eq!(client_sent(&after), Ok(vec![close]));
        assert_eq!(client_sent(&frame(Fin::Final, Opcode::Close, "")), Ok(vec![WsMessage::Close(None)]));
        // In the middle of a fragmented message, which is never finished.
        let middle = [frame(Fin::More, Opcode::Text, "a"), frame(Fin::Final, Opcode::Close, "")].concat();
        assert_eq!(client_sent(&middle), Ok(vec![WsMessage::Close(None)]));
    }

    #[test]
    fn autobahn_7_close_bodies() {
        let body = |body: &[u8]| server_sent(&[&[0x88, body.len() as u8][..], body].concat());
        assert_eq!(body(b"\x03"), Err(WsError::CloseTooShort));
        assert_eq!(body(b"\x03\xec"), Err(WsError::CloseCodeInvalid));
        assert_eq!(body(b"\x03\xe8\xff"), Err(WsError::CloseReasonInvalid));
        assert_eq!(server_sent(b"\x88\x7e\x00\x7e"), Err(WsError::ControlTooLong));
        let longest = [&b"\x03\xe8"[..], &[b'*'; 123]].concat();
        let reason = ByteString::from("*".repeat(123));
        assert_eq!(body(&longest), Ok(vec![WsMessage::Close(Some(CloseFrame { code: CloseCode::NORMAL, reason }))]));
    }

    #[test]
    fn sizes_are_judged_by_the_header_alone() {
        let limits = FrameLimits { message_bytes_max: 1000, fragments_max: 3 };
        let decode = |stream: &[u8]| {
            let mut decoder = Decoder::new(Role::Client);
            let decoded = decoder.decode(&limits, &mut &stream[..]);
            decoded.map(|message| (message.is_some(), decoder.buffered_bytes()))
        };
        assert_eq!(decode(b"\x82\x7e\x03\xe8"), Ok((false, 0)));
        assert_eq!(decode(b"\x82\x7e\x03\xe9"), Err(WsError::MessageTooBig));
        assert_eq!(decode(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), Err(WsError::MessageTooBig));
        assert_eq!(decode(b"\x02\x01x\x80\x7e\x03\xe7"), Ok((false, 1)));
        assert_eq!(decode(b"\x02\x01x\x80\x7e\x03\xe8"), Err(WsError::MessageTooBig));
        assert_eq!(decode(b"\x02\x01x\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), Err(WsError::MessageTooBig));
        assert_eq!(decode(b"\x02\x00\x00\x00\x80\x00"), Ok((true, 0)));
        assert_eq!(decode(b"\x02\x00\x00\x00\x00\x00"), Ok((false, 0)));
        assert_eq!(decode(b"\x02\x00\x00\x00\x00\x00\x80"), Ok((false, 1)));
        assert_eq!(decode(b"\x02\x00\x00\x00\x00\x00\x80\x00"), Err(WsError::FragmentsTooMany));
        assert_eq!(WsError::MessageTooBig.close_code(), CloseCode::TOO_BIG);
        let none = FrameLimits { message_bytes_max: 0, fragments_max: 0 };
        let mut decoder = Decoder::new(Role::Client);
        assert_eq!(decoder.decode(&none, &mut &b"\x82\x00"[..]), Ok(Some(WsMessage::Binary(Bytes::new()))));
        assert_eq!(decoder.decode(&none, &mut &b"\x89\x01x"[..]), Ok(Some(WsMessage::Ping("x".into()))));
        assert_eq!(decoder.decode(&none, &mut &b"\x82\x01x"[..]), Err(WsError::MessageTooBig));
    }

    #[test]
    fn an_error_is_final() {
        let mut decoder = Decoder::new(Role::Server);
        let mut input: &[u8] = b"\x81\x05Hello";
        assert_eq!(decoder.decode(&LIMITS, &mut input), Err(WsError::MaskMissing));
        let good = frame(Fin::Final, Opcode::Text, "good");
        let mut input = &good[..];
        assert_eq!(decoder.decode(&LIMITS, &mut input), Err(WsError::MaskMissing));
        assert!(input.is_empty() && decoder.is_idle());
    }

    #[test]
    fn idle_means_that_nothing_is_kept() {
        let mut decoder = Decoder::new(Role::Client);
        let stream = b"\x01\x02ab\x89\x01p\x80\x01c\x89\x00";
        let kept: Vec<(bool, usize)> = stream
            .iter()
            .map(|byte| {
                decoder.decode(&LIMITS, &mut &[*byte][..]).unwrap();
                (decoder.is_idle(), decoder.buffered_bytes())
            })
            .collect();
        assert_eq!(
            kept,
            [
                // The first fragment: header, then payload.
                (false, 1),
                (false, 0),
                (false, 1),
                (false, 2),
                // A ping in between.
                (false, 3),
                (false, 2),
                (false, 2),
                // The last fragment.
                (false, 3),
                (false, 2),
                (true, 0),
                // A ping by itself.
                (false, 1),
                (true, 0),
            ]
        );
    }

    #[test]
    fn debug_shows_no_payload() {
        let mut decoder = Decoder::new(Role::Client);
        decoder.decode(&LIMITS, &mut &b"\x01\x06secret"[..]).unwrap();
        let shown = format!("{decoder:?}");
        assert_eq!(shown, r#"Decoder { role: Client, state: "Partial", buffered_bytes: 6 }"#);
    }

    const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 100_000, fragments_max: 100 };
    const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

    /// A client's frame.
    fn frame(fin: Fin, opcode: Opcode, payload: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encode_frame(&mut out, fin, opcode, payload.as_bytes(), KEY);
        out
    }

    fn client_sent(stream: &[u8]) -> Result<Vec<WsMessage>, WsError> {
        decode_both_ways(Role::Server, stream)
    }

    fn server_sent(stream: &[u8]) -> Result<Vec<WsMessage>, WsError> {
        decode_both_ways(Role::Client, stream)
    }

    /// The messages of a stream, whether it comes whole or byte by byte.
    fn decode_both_ways(role: Role, stream: &[u8]) -> Result<Vec<WsMessage>, WsError> {
        let [whole, dripped] = [stream.len().max(1), 1].map(|chunk_bytes| {
            let mut decoder = Decoder::new(role);
            let mut messages = Vec::new();
            for mut chunk in stream.chunks(chunk_bytes) {
                while let Some(message) = decoder.decode(&LIMITS, &mut chunk)? {
                    messages.push(message);
                }
                assert!(chunk.is_empty());
            }
            Ok(messages)
        });
        assert_eq!(whole, dripped);
        whole
    }
}
