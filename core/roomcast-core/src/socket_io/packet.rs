//! One Socket.IO packet as text.
//!
//! Owns: the text form of the seven packet types
//! ([Packet encoding](https://github.com/socketio/socket.io-protocol#packet-encoding)), what data each may have, and
//! where an event's name ends and its arguments begin. Must never know: the Engine.IO message around it, binary
//! attachments themselves, which namespaces exist, what an event means.

use bytes::Bytes;
use bytestring::ByteString;

use super::args::Args;
use super::json::{self, JsonError, JsonLimits, Placeholders, ValueCheck};

/// A Socket.IO packet. Its data is text that was checked, not a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The type of the packet.
    pub kind: PacketType,
    /// How many binary messages follow; 0 unless the kind is binary.
    pub attachments: u32,
    /// Begins with `/`, has no comma and no query.
    pub namespace: ByteString,
    /// Which ack is asked for, or given.
    pub ack_id: Option<u64>,
    /// JSON without blanks around it; empty if there is none.
    pub data: ByteString,
}

impl Packet {
    /// Decodes the text of one packet, without the `4` of the Engine.IO message.
    ///
    /// Namespace and data share the bytes of `text`. What the data must be depends on the kind: CONNECT an object or
    /// nothing, CONNECT_ERROR an object or a string, DISCONNECT nothing, an event an array that begins with a string,
    /// an ack an array. The query that old clients put behind a namespace is cut off.
    ///
    /// # Errors
    ///
    /// Anything else, see [`PacketError`].
    pub fn decode(text: ByteString, limits: &PacketLimits) -> Result<Self, PacketError> {
        let head = PacketHead::decode(&text, limits)?;
        let data = decode_data(&head, &text, limits)?;
        Ok(head.packet(text.slice_ref(data)))
    }

    /// Checks a packet that was not decoded here, with its attachments, as [`decode`](Self::decode) does.
    ///
    /// # Errors
    ///
    /// As there. Its number of attachments must be that of those which are there.
    pub(super) fn check(&self, attachments: &[Bytes], limits: &PacketLimits) -> Result<(), PacketError> {
        let Self { kind, attachments: _, namespace, ack_id, data } = self;
        let count = u32::try_from(attachments.len()).ok().filter(|count| *count <= limits.attachments_max);
        let count = count.ok_or(PacketError::TooManyAttachments)?;
        if namespace.len() > limits.namespace_bytes_max {
            return Err(PacketError::NamespaceTooLong);
        }
        if ack_id.is_none() && matches!(kind, PacketType::Ack | PacketType::BinaryAck) {
            return Err(PacketError::AckId);
        }
        if data.is_empty() && matches!(kind, PacketType::Connect | PacketType::Disconnect) {
            return Ok(());
        }
        let placeholders = if count == 0 { Placeholders::Data } else { Placeholders::Attachments(count) };
        let checked = json::check_value(data, limits.json(), placeholders).map_err(PacketError::Json)?;
        if checked.len() == data.len() && fits(*kind, data) { Ok(()) } else { Err(PacketError::Data) }
    }

    /// Appends the text form.
    ///
    /// A namespace with a comma or a query in it would be read as another one.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_header(out, self.kind, self.attachments, &self.namespace, self.ack_id);
        out.extend_from_slice(self.data.as_bytes());
    }
}

/// The decoding of a long packet, piece by piece: [`Packet::decode`] takes 2 ms per megabyte.
#[derive(Debug)]
pub struct PacketCheck {
    text: ByteString,
    head: PacketHead,
    check: ValueCheck,
}

impl PacketCheck {
    /// Decodes what stands in front of the data.
    ///
    /// # Errors
    ///
    /// As [`Packet::decode`].
    pub fn begin(text: ByteString, limits: &PacketLimits) -> Result<Self, PacketError> {
        let head = PacketHead::decode(&text, limits)?;
        if head.data(&text).is_empty() {
            // What may be empty is checked at once.
            decode_data(&head, &text, limits)?;
        }
        let check = ValueCheck::new(limits.json(), head.placeholders());
        Ok(Self { text, head, check })
    }

    /// Checks about `bytes` more of the data. The packet, once all of it is checked.
    ///
    /// # Errors
    ///
    /// As [`Packet::decode`], once the check comes to the place.
    pub fn step(&mut self, bytes: usize) -> Result<Option<Packet>, PacketError> {
        let data = self.head.data(&self.text);
        if !data.is_empty() && !self.check.step(data, bytes).map_err(PacketError::Json)? {
            return Ok(None);
        }
        let data = json::trim(data);
        if !data.is_empty() && !fits(self.head.kind, data) {
            return Err(PacketError::Data);
        }
        Ok(Some(self.head.clone().packet(self.text.slice_ref(data))))
    }

    /// Length of the text, in bytes.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// What stands in front of the data of a packet.
#[derive(Clone, Debug)]
struct PacketHead {
    kind: PacketType,
    attachments: u32,
    namespace: ByteString,
    ack_id: Option<u64>,
    /// Where the data begins.
    end: usize,
}

impl PacketHead {
    fn decode(text: &ByteString, limits: &PacketLimits) -> Result<Self, PacketError> {
        let first = *text.as_bytes().first().ok_or(PacketError::Empty)?;
        let kind = PacketType::from_digit(first).ok_or(PacketError::UnknownType)?;
        let mut rest = &text[1..];
        let attachments = if kind.is_binary() { decode_attachments(&mut rest, limits)? } else { 0 };
        let namespace = decode_namespace(&mut rest, limits)?;
        let ack_id = match kind {
            PacketType::Event | PacketType::BinaryEvent => decode_ack_id(&mut rest)?,
            PacketType::Ack | PacketType::BinaryAck => Some(decode_ack_id(&mut rest)?.ok_or(PacketError::AckId)?),
            PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => None,
        };
        let namespace = match namespace {
            ROOT => ByteString::from_static(ROOT),
            other => text.slice_ref(other),
        };
        Ok(Self { kind, attachments, namespace, ack_id, end: text.len() - rest.len() })
    }

    fn data<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.end..).unwrap_or_default()
    }

    fn placeholders(&self) -> Placeholders {
        if self.kind.is_binary() { Placeholders::Attachments(self.attachments) } else { Placeholders::Data }
    }

    fn packet(self, data: ByteString) -> Packet {
        let Self { kind, attachments, namespace, ack_id, end: _ } = self;
        Packet { kind, attachments, namespace, ack_id, data }
    }
}

/// The packet types; the text begins with their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketType {
    /// `0`: a client asks for a namespace, the server lets it in.
    Connect,
    /// `1`: either side leaves a namespace.
    Disconnect,
    /// `2`: an event.
    Event,
    /// `3`: the answer to an event.
    Ack,
    /// `4`: the server refuses a namespace.
    ConnectError,
    /// `5`: an event with attachments.
    BinaryEvent,
    /// `6`: an answer with attachments.
    BinaryAck,
}

impl PacketType {
    /// Whether attachments may follow.
    pub const fn is_binary(self) -> bool {
        match self {
            Self::BinaryEvent | Self::BinaryAck => true,
            Self::Connect | Self::Disconnect | Self::Event | Self::Ack | Self::ConnectError => false,
        }
    }

    const fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }

    const fn digit(self) -> u8 {
        match self {
            Self::Connect => b'0',
            Self::Disconnect => b'1',
            Self::Event => b'2',
            Self::Ack => b'3',
            Self::ConnectError => b'4',
            Self::BinaryEvent => b'5',
            Self::BinaryAck => b'6',
        }
    }
}

/// How large the parts of one packet may be; its text as a whole is bounded by the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketLimits {
    /// How many attachments one packet may announce.
    pub attachments_max: u32,
    /// How long a namespace may be, without its query.
    pub namespace_bytes_max: usize,
    /// How many arrays and objects of the data may be open at once, the outermost array included.
    pub json_depth_max: u32,
    /// How many characters one number of the data may have.
    pub json_number_bytes_max: usize,
}

impl PacketLimits {
    pub(super) const fn json(&self) -> JsonLimits {
        JsonLimits { depth_max: self.json_depth_max, number_bytes_max: self.json_number_bytes_max }
    }
}

impl Default for PacketLimits {
    /// 10 attachments, where JavaScript's parser stops (socket.io-parser 4.2.7; a client that is sent more drops its
    /// connection); 256 bytes of namespace; JSON as in [`JsonLimits`].
    fn default() -> Self {
        let JsonLimits { depth_max, number_bytes_max } = JsonLimits::default();
        Self {
            attachments_max: 10,
            namespace_bytes_max: 256,
            json_depth_max: depth_max,
            json_number_bytes_max: number_bytes_max,
        }
    }
}

/// Cuts the data of an event into its name and the text of its arguments, for [`Args::from_checked`].
///
/// Both share the bytes of `data`; only a name with escapes in it is copied. A lone surrogate in a name becomes U+FFFD.
///
/// # Errors
///
/// [`PacketError::Data`] if this is not the data of a decoded event, or if its name is longer than 256 KiB.
pub fn split_event(data: &ByteString) -> Result<(ByteString, ByteString), PacketError> {
    let inner = inside_brackets(data)?.strip_prefix('"').ok_or(PacketError::Data)?;
    let short = &inner[..inner.floor_char_boundary(NAME_BYTES_MAX)];
    let end = json::string_end(short).ok_or(PacketError::Data)?;
    let name = match json::unescape(&inner[..end]) {
        std::borrow::Cow::Borrowed(raw) => data.slice_ref(raw),
        std::borrow::Cow::Owned(name) => name.into(),
    };
    let args = json::trim(&inner[end + 1..]);
    let args = match args.strip_prefix(',') {
        Some(args) => json::trim(args),
        None if args.is_empty() => args,
        None => return Err(PacketError::Data),
    };
    Ok((name, data.slice_ref(args)))
}

/// Whether a client's own library uses an event name for itself: one that a peer sends is refused by the parser of
/// JavaScript, which then closes the connection (socket.io-parser 4.2, `RESERVED_EVENTS`).
pub fn is_reserved_event(name: &str) -> bool {
    RESERVED_EVENTS.contains(&name)
}

/// The text of the arguments within the data of an ack, for [`Args::from_checked`]; shares its bytes.
///
/// # Errors
///
/// [`PacketError::Data`] if this is not the data of a decoded ack.
pub fn ack_args(data: &ByteString) -> Result<ByteString, PacketError> {
    Ok(data.slice_ref(inside_brackets(data)?))
}

/// Appends everything in front of the data: `51-/nsp,12`. The namespace `/` is left out, and so is the number of
/// attachments unless the kind is binary.
pub fn encode_header(out: &mut Vec<u8>, kind: PacketType, attachments: u32, namespace: &str, ack_id: Option<u64>) {
    out.push(kind.digit());
    if kind.is_binary() {
        push_decimal(out, attachments.into());
        out.push(b'-');
    }
    if namespace != ROOT {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(ack_id) = ack_id {
        push_decimal(out, ack_id);
    }
}

/// Appends an event: EVENT, or BINARY_EVENT if there are attachments, which the caller sends behind it in order.
pub fn encode_event(out: &mut Vec<u8>, namespace: &str, ack_id: Option<u64>, event: &str, args: &Args) {
    out.reserve(HEADER_BYTES_MAX + namespace.len() + event.len() + args.json_bytes());
    encode_event_front(out, namespace, ack_id, event, args);
    append_json(out, args);
    out.push(b']');
}

/// What stands in front of the arguments of an event.
pub(crate) fn encode_event_front(out: &mut Vec<u8>, namespace: &str, ack_id: Option<u64>, event: &str, args: &Args) {
    let kind = if args.attachments().is_empty() { PacketType::Event } else { PacketType::BinaryEvent };
    encode_header(out, kind, attachment_count(args.attachments()), namespace, ack_id);
    out.push(b'[');
    json::write_string(out, event);
    if !args.is_empty() {
        out.push(b',');
    }
}

/// The same without an ack, and with the offset of
/// [connection state recovery](https://socket.io/docs/v4/connection-state-recovery) behind the arguments.
pub fn encode_event_at(out: &mut Vec<u8>, namespace: &str, event: &str, args: &Args, offset: &str) {
    encode_event_front(out, namespace, None, event, args);
    append_json(out, args);
    encode_offset(out, offset);
}

/// What stands behind the arguments of an event with an offset.
pub(crate) fn encode_offset(out: &mut Vec<u8>, offset: &str) {
    out.push(b',');
    json::write_string(out, offset);
    out.push(b']');
}

/// Appends an ack: ACK, or BINARY_ACK if there are attachments, which the caller sends behind it in order.
pub fn encode_ack(out: &mut Vec<u8>, namespace: &str, ack_id: u64, args: &Args) {
    out.reserve(HEADER_BYTES_MAX + namespace.len() + args.json_bytes());
    encode_ack_front(out, namespace, ack_id, args);
    append_json(out, args);
    out.push(b']');
}

/// What stands in front of the arguments of an ack.
pub(crate) fn encode_ack_front(out: &mut Vec<u8>, namespace: &str, ack_id: u64, args: &Args) {
    let kind = if args.attachments().is_empty() { PacketType::Ack } else { PacketType::BinaryAck };
    encode_header(out, kind, attachment_count(args.attachments()), namespace, Some(ack_id));
    out.push(b'[');
}

fn append_json(out: &mut Vec<u8>, args: &Args) {
    args.json_pieces().iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
}

/// Why a text is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketError {
    /// No characters.
    Empty,
    /// The first character names no packet type.
    UnknownType,
    /// A binary packet without its number of attachments, or with none.
    Attachments,
    /// More attachments than [`PacketLimits::attachments_max`].
    TooManyAttachments,
    /// A namespace longer than [`PacketLimits::namespace_bytes_max`].
    NamespaceTooLong,
    /// An ack without its id, or an id beyond 64 bits.
    AckId,
    /// The data is not the JSON that may pass.
    Json(JsonError),
    /// The data is not what this kind of packet has.
    Data,
    /// Not MessagePack, or not that of a packet: a member is missing, comes twice or is of another type.
    Packed,
    /// What a [`PacketParser`](super::PacketParser) of the application's own refuses.
    Foreign,
}

impl std::fmt::Display for PacketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty packet",
            Self::UnknownType => "unknown packet type",
            Self::Attachments => "binary packet without a number of attachments",
            Self::TooManyAttachments => "too many attachments",
            Self::NamespaceTooLong => "namespace is too long",
            Self::AckId => "missing or malformed ack id",
            Self::Json(error) => return error.fmt(f),
            Self::Data => "data does not fit the packet type",
            Self::Packed => "malformed packet in MessagePack",
            Self::Foreign => "refused by the application's parser",
        })
    }
}

impl std::error::Error for PacketError {}

fn decode_attachments(rest: &mut &str, limits: &PacketLimits) -> Result<u32, PacketError> {
    let (digits, after) = rest.split_once('-').ok_or(PacketError::Attachments)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PacketError::Attachments);
    }
    *rest = after;
    // All digits: what does not parse is beyond every limit.
    match digits.parse::<u32>() {
        // The JavaScript parser refuses 0 too: an event without attachments is not binary.
        Ok(0) => Err(PacketError::Attachments),
        Ok(count) if count <= limits.attachments_max => Ok(count),
        Ok(_) | Err(_) => Err(PacketError::TooManyAttachments),
    }
}

fn decode_namespace<'a>(rest: &mut &'a str, limits: &PacketLimits) -> Result<&'a str, PacketError> {
    if !rest.starts_with('/') {
        return Ok(ROOT);
    }
    let (namespace, after) = rest.split_once(',').unwrap_or((rest, ""));
    *rest = after;
    let namespace = namespace.split_once('?').map_or(namespace, |(path, _query)| path);
    if namespace.len() > limits.namespace_bytes_max {
        return Err(PacketError::NamespaceTooLong);
    }
    Ok(namespace)
}

fn decode_ack_id(rest: &mut &str) -> Result<Option<u64>, PacketError> {
    let end = rest.bytes().take(DIGITS_MAX).take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(end);
    *rest = after;
    match digits {
        "" => Ok(None),
        digits => Ok(Some(digits.parse().map_err(|_| PacketError::AckId)?)),
    }
}

/// The data without the blanks around it, if it is of the shape that the kind has.
fn decode_data<'a>(head: &PacketHead, text: &'a str, limits: &PacketLimits) -> Result<&'a str, PacketError> {
    let (kind, rest) = (head.kind, head.data(text));
    if rest.is_empty() {
        return match kind {
            PacketType::Connect | PacketType::Disconnect => Ok(rest),
            PacketType::Event
            | PacketType::Ack
            | PacketType::ConnectError
            | PacketType::BinaryEvent
            | PacketType::BinaryAck => Err(PacketError::Data),
        };
    }
    let data = json::check_value(rest, limits.json(), head.placeholders()).map_err(PacketError::Json)?;
    if fits(kind, data) { Ok(data) } else { Err(PacketError::Data) }
}

/// Whether a value is of the shape that the kind has.
pub(super) fn fits(kind: PacketType, data: &str) -> bool {
    match kind {
        PacketType::Connect => data.starts_with('{'),
        PacketType::Disconnect => false,
        PacketType::Event | PacketType::BinaryEvent => {
            data.strip_prefix('[').is_some_and(|inner| json::trim(inner).starts_with('"'))
        }
        PacketType::Ack | PacketType::BinaryAck => data.starts_with('['),
        PacketType::ConnectError => data.starts_with(['{', '"']),
    }
}

fn inside_brackets(data: &str) -> Result<&str, PacketError> {
    let inner = data.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).ok_or(PacketError::Data)?;
    Ok(json::trim(inner))
}

fn attachment_count(attachments: &[Bytes]) -> u32 {
    u32::try_from(attachments.len()).unwrap_or(u32::MAX)
}

fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Length of an event's name, in bytes.
const NAME_BYTES_MAX: usize = 256 << 10;
/// Digits of a number in a header: more are beyond 64 bits, but for leading zeros.
const DIGITS_MAX: usize = 32;

/// The namespace that stands in no header.
const ROOT: &str = "/";

/// What an event or an ack has besides its namespace, name and arguments: type, counts, ids, brackets, quotes and commas.
pub const HEADER_BYTES_MAX: usize = 48;

const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_texts_that_suites_check() {
        for (text, expected) in [
            ("0", packet(PacketType::Connect, "/", None, "")),
            ("0{}", packet(PacketType::Connect, "/", None, "{}")),
            (
                r#"0{"sid":"oSO0OpakMV_3jnilAAAA"}"#,
                packet(PacketType::Connect, "/", None, r#"{"sid":"oSO0OpakMV_3jnilAAAA"}"#),
            ),
            (r#"0/custom,{"sid":"x"}"#, packet(PacketType::Connect, "/custom", None, r#"{"sid":"x"}"#)),
            (r#"0/custom,{"token":"abc"}"#, packet(PacketType::Connect, "/custom", None, r#"{"token":"abc"}"#)),
            ("1", packet(PacketType::Disconnect, "/", None, "")),
            ("1/custom,", packet(PacketType::Disconnect, "/custom", None, "")),
            (r#"2["auth",{}]"#, packet(PacketType::Event, "/", None, r#"["auth",{}]"#)),
            (
                r#"2/custom,["auth",{"token":"abc"}]"#,
                packet(PacketType::Event, "/custom", None, r#"["auth",{"token":"abc"}]"#),
            ),
            (
                r#"2["message-back",1,"2",{"3":[true]}]"#,
                packet(PacketType::Event, "/", None, r#"["message-back",1,"2",{"3":[true]}]"#),
            ),
            (
                r#"2456["message-with-ack",1,"2",{"3":[false]}]"#,
                packet(PacketType::Event, "/", Some(456), r#"["message-with-ack",1,"2",{"3":[false]}]"#),
            ),
            (r#"3456[1,"2",{"3":[false]}]"#, packet(PacketType::Ack, "/", Some(456), r#"[1,"2",{"3":[false]}]"#)),
            ("30[]", packet(PacketType::Ack, "/", Some(0), "[]")),
            (
                r#"4/random,{"message":"Invalid namespace"}"#,
                packet(PacketType::ConnectError, "/random", None, r#"{"message":"Invalid namespace"}"#),
            ),
            (r#"4"no""#, packet(PacketType::ConnectError, "/", None, r#""no""#)),
            (
                r#"52-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
                Packet {
                    attachments: 2,
                    ..packet(
                        PacketType::BinaryEvent,
                        "/",
                        None,
                        r#"["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
                    )
                },
            ),
            (
                r#"51-/nsp,12["m",{"_placeholder":true,"num":0}]"#,
                Packet {
                    attachments: 1,
                    ..packet(PacketType::BinaryEvent, "/nsp", Some(12), r#"["m",{"_placeholder":true,"num":0}]"#)
                },
            ),
            (
                r#"62-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
                Packet {
                    attachments: 2,
                    ..packet(
                        PacketType::BinaryAck,
                        "/",
                        Some(789),
                        r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
                    )
                },
            ),
            ("218446744073709551615[\"e\"]", packet(PacketType::Event, "/", Some(u64::MAX), "[\"e\"]")),
            (r#"2["\ud83d","\ud83d"]"#, packet(PacketType::Event, "/", None, r#"["\ud83d","\ud83d"]"#)),
            (
                r#"2["m",{"_placeholder":true,"num":7}]"#,
                packet(PacketType::Event, "/", None, r#"["m",{"_placeholder":true,"num":7}]"#),
            ),
        ] {
            assert_eq!(decode(text), Ok(expected.clone()), "{text}");
            assert_eq!(encoded(&expected), text);
        }
    }

    #[test]
    fn other_spellings_of_the_same() {
        for (text, expected) in [
            ("0/custom", packet(PacketType::Connect, "/custom", None, "")),
            ("0/custom,", packet(PacketType::Connect, "/custom", None, "")),
            ("1/custom", packet(PacketType::Disconnect, "/custom", None, "")),
            ("0/,{}", packet(PacketType::Connect, "/", None, "{}")),
            ("0/?EIO=4,{}", packet(PacketType::Connect, "/", None, "{}")),
            ("0/jwt?x=1,{}", packet(PacketType::Connect, "/jwt", None, "{}")),
            ("0/jwt?x=1", packet(PacketType::Connect, "/jwt", None, "")),
            ("0//jwt,", packet(PacketType::Connect, "//jwt", None, "")),
            ("2007 [ \"e\" ]\n", packet(PacketType::Event, "/", Some(7), "[ \"e\" ]")),
        ] {
            assert_eq!(decode(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_packet() {
        let syntax = PacketError::Json(JsonError::Syntax);
        let placeholder = PacketError::Json(JsonError::Placeholder);
        for (text, error) in [
            ("", PacketError::Empty),
            ("abc", PacketError::UnknownType),
            ("7[]", PacketError::UnknownType),
            ("é", PacketError::UnknownType),
            ("0[]", PacketError::Data),
            ("0null", PacketError::Data),
            ("0\"x\"", PacketError::Data),
            ("0{", syntax),
            ("0{}x", syntax),
            ("0custom,{}", syntax),
            ("0/custom,12{}", syntax),
            ("12", PacketError::Data),
            ("1{}", PacketError::Data),
            ("1 ", syntax),
            ("2", PacketError::Data),
            ("2{}", PacketError::Data),
            ("2[]", PacketError::Data),
            ("2[1]", PacketError::Data),
            ("2[[\"e\"]]", PacketError::Data),
            ("2\"e\"", PacketError::Data),
            (r#"2abc["message-with-ack",1]"#, syntax),
            (r#"2["e"]]"#, syntax),
            (r#"2["e""#, syntax),
            (r#"2-1["e"]"#, syntax),
            (r#"21-["e"]"#, syntax),
            (r#"2/nsp["e"]"#, PacketError::Data),
            (r#"218446744073709551616["e"]"#, PacketError::AckId),
            ("3[]", PacketError::AckId),
            ("3", PacketError::AckId),
            ("31", PacketError::Data),
            ("31{}", PacketError::Data),
            ("4", PacketError::Data),
            ("4[]", PacketError::Data),
            ("41", PacketError::Data),
            (r#"5["e"]"#, PacketError::Attachments),
            (r#"5-["e"]"#, PacketError::Attachments),
            (r#"51["e","-"]"#, PacketError::Attachments),
            (r#"5+1-["e"]"#, PacketError::Attachments),
            (r#"5-1-["e"]"#, PacketError::Attachments),
            (r#"51.0-["e"]"#, PacketError::Attachments),
            (r#"511-["e"]"#, PacketError::TooManyAttachments),
            (r#"599999999999999999999-["e"]"#, PacketError::TooManyAttachments),
            (r#"51-["e",{"_placeholder":true,"num":1}]"#, placeholder),
            (r#"50-["e"]"#, PacketError::Attachments),
            (r#"51-["e",{"_placeholder":true,"num":"splice"}]"#, placeholder),
            (r#"51-["e",{"_placeholder":true,"num":0.5}]"#, placeholder),
            (r#"51-[{"_placeholder":true,"num":0}]"#, PacketError::Data),
            (r#"61-[{"_placeholder":true,"num":0}]"#, PacketError::AckId),
        ] {
            assert_eq!(decode(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits =
            PacketLimits { attachments_max: 1, namespace_bytes_max: 4, json_depth_max: 2, json_number_bytes_max: 3 };
        let decode = |text: &str| Packet::decode(text.into(), &limits).map(drop);
        for (text, verdict) in [
            (r#"51-["e"]"#, Ok(())),
            (r#"52-["e"]"#, Err(PacketError::TooManyAttachments)),
            ("0/abc?and-a-query", Ok(())),
            ("0/abcd,", Err(PacketError::NamespaceTooLong)),
            (r#"2["e",[]]"#, Ok(())),
            (r#"2["e",[[]]]"#, Err(PacketError::Json(JsonError::TooDeep))),
            (r#"2["e",123]"#, Ok(())),
            (r#"2["e",1234]"#, Err(PacketError::Json(JsonError::NumberTooLong))),
        ] {
            assert_eq!(decode(text), verdict, "{text}");
        }
    }

    #[test]
    fn events_are_cut_into_name_and_arguments() {
        for (data, name, args) in [
            (r#"["e"]"#, "e", ""),
            (r#"["e",1,"2",{"3":[true]}]"#, "e", r#"1,"2",{"3":[true]}"#),
            (r#"[ "e" , 1 , 2 ]"#, "e", "1 , 2"),
            (r#"["a\"]b\u0041\ud83d",null]"#, "a\"]bA\u{fffd}", "null"),
            (r#"["__proto__",[]]"#, "__proto__", "[]"),
            (r#"["",{}]"#, "", "{}"),
        ] {
            assert_eq!(split_event(&data.into()), Ok((name.into(), args.into())), "{data}");
        }
        for data in ["", "[", "[]", "[1]", r#"["]"#, r#"["e"1]"#, r#"{"e"}"#] {
            assert_eq!(split_event(&data.into()), Err(PacketError::Data), "{data}");
        }
        assert_eq!(ack_args(&r#"[ 1,[2] ]"#.into()), Ok("1,[2]".into()));
        assert_eq!(ack_args(&"[]".into()), Ok("".into()));
        assert_eq!(ack_args(&"{}".into()), Err(PacketError::Data));
    }

    #[test]
    fn what_was_received_is_shared_not_copied() {
        let text = ByteString::from(r#"2/nsp,["event",{"a":1}]"#);
        let packet = Packet::decode(text.clone(), &PacketLimits::default()).unwrap();
        let (name, args) = split_event(&packet.data).unwrap();
        for (part, offset) in [(&packet.namespace, 1), (&packet.data, 6), (&name, 8), (&args, 15)] {
            assert_eq!(part.as_bytes().as_ptr(), text.as_bytes()[offset..].as_ptr(), "{part}");
        }
    }

    #[test]
    fn events_and_acks_are_written_around_arguments() {
        let args = Args::from_json_values(r#"1,{"a":[]}"#).unwrap();
        let binary = Args::from_checked(r#"{"_placeholder":true,"num":0}"#.into(), vec![Bytes::from_static(b"x")]);
        let event =
            |namespace, ack_id, name, args: &Args| written(|out| encode_event(out, namespace, ack_id, name, args));
        let ack = |namespace, ack_id, args: &Args| written(|out| encode_ack(out, namespace, ack_id, args));
        assert_eq!(event("/", None, "e", &Args::empty()), r#"2["e"]"#);
        assert_eq!(event("/nsp", Some(12), "é\"\n", &args), "2/nsp,12[\"é\\\"\\n\",1,{\"a\":[]}]");
        assert_eq!(event("/nsp", Some(12), "e", &binary), r#"51-/nsp,12["e",{"_placeholder":true,"num":0}]"#);
        assert_eq!(ack("/", 0, &Args::empty()), "30[]");
        assert_eq!(ack("/nsp", 7, &args), r#"3/nsp,7[1,{"a":[]}]"#);
        assert_eq!(ack("/", 7, &binary), r#"61-7[{"_placeholder":true,"num":0}]"#);
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(packet in any_packet()) {
            prop_assert_eq!(decode(&encoded(&packet)), Ok(packet));
        }

        #[test]
        fn what_was_encoded_as_an_event_is_cut_into_the_same(
            namespace in any_namespace(), ack_id: Option<u64>, name in "(?s:.{0,12})", values in any_values(),
        ) {
            let args = Args::from_json_values(values.as_str()).unwrap();
            let packet = decode(&written(|out| encode_event(out, &namespace, ack_id, &name, &args))).unwrap();
            prop_assert_eq!((packet.kind, &packet.namespace, packet.ack_id), (PacketType::Event, &namespace, ack_id));
            prop_assert_eq!(split_event(&packet.data), Ok((name.into(), values.as_str().into())));
            let packet = decode(&written(|out| encode_ack(out, &namespace, 1, &args))).unwrap();
            prop_assert_eq!(ack_args(&packet.data), Ok(values.into()));
        }

        #[test]
        fn any_text_is_a_packet_or_an_error(text in prop_oneof![
            "(?s:.{0,30})",
            "[0-7]([0-9]{1,2}-)?(/[a-z?é]{0,3},?)?[0-9]{0,2}[\\[\\]{}\"a,1:\\\\ ]{0,12}",
        ]) {
            if let Ok(packet) = decode(&text) {
                prop_assert_eq!(decode(&encoded(&packet)), Ok(packet.clone()), "stable");
                if matches!(packet.kind, PacketType::Event | PacketType::BinaryEvent) {
                    let (name, args) = split_event(&packet.data).unwrap();
                    let values: Vec<Value> = serde_json::from_str(&packet.data).unwrap();
                    prop_assert_eq!(values[0].as_str(), Some(&*name));
                    prop_assert_eq!(Args::from_checked(args, Vec::new()).len(), values.len() - 1);
                }
            }
            let _ = (split_event(&text.as_str().into()), ack_args(&text.into()));
        }
    }

    fn any_packet() -> impl Strategy<Value = Packet> {
        let object = || "[a-z]{0,3}".prop_map(|key| format!(r#"{{"{key}":[1,{{}}]}}"#));
        let event = || {
            ("[a-zé ]{0,5}", any_values()).prop_map(|(name, values)| match &*values {
                "" => format!(r#"["{name}"]"#),
                values => format!(r#"["{name}",{values}]"#),
            })
        };
        let ack = || any_values().prop_map(|values| format!("[{values}]"));
        let without_id = prop_oneof![
            (Just(PacketType::Connect), prop_oneof![Just(String::new()), object()], Just(None), Just(0)),
            (Just(PacketType::Disconnect), Just(String::new()), Just(None), Just(0)),
            (Just(PacketType::ConnectError), prop_oneof![Just("\"no\"".to_owned()), object()], Just(None), Just(0)),
        ];
        let with_id = prop_oneof![
            (Just(PacketType::Event), event(), any::<Option<u64>>(), Just(0)),
            (Just(PacketType::BinaryEvent), event(), any::<Option<u64>>(), 1..=10_u32),
            (Just(PacketType::Ack), ack(), any::<u64>().prop_map(Some), Just(0)),
            (Just(PacketType::BinaryAck), ack(), any::<u64>().prop_map(Some), 1..=10_u32),
        ];
        (prop_oneof![without_id, with_id], any_namespace()).prop_map(
            |((kind, data, ack_id, attachments), namespace)| Packet {
                kind,
                attachments,
                namespace,
                ack_id,
                data: data.into(),
            },
        )
    }

    fn any_namespace() -> impl Strategy<Value = ByteString> {
        "/[a-z0-9/é-]{0,8}".prop_map(ByteString::from)
    }

    fn any_values() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            any::<i64>().prop_map(Value::from),
            "(?s:.{0,8})".prop_map(Value::from),
            prop::collection::vec(any::<Option<bool>>(), 0..3).prop_map(Value::from),
            "(?s:.{0,8})".prop_map(|text| serde_json::json!({ text.as_str(): [text] })),
        ];
        prop::collection::vec(value, 0..4)
            .prop_map(|values| values.iter().map(Value::to_string).collect::<Vec<_>>().join(","))
    }

    fn packet(kind: PacketType, namespace: &'static str, ack_id: Option<u64>, data: &'static str) -> Packet {
        Packet { kind, attachments: 0, namespace: namespace.into(), ack_id, data: data.into() }
    }

    fn decode(text: &str) -> Result<Packet, PacketError> {
        Packet::decode(text.into(), &PacketLimits::default())
    }

    fn encoded(packet: &Packet) -> String {
        written(|out| packet.encode(out))
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }
}
