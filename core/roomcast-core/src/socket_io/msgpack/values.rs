//! Values in MessagePack: out of it as JSON text and attachments, and into it.
//!
//! What JSON has no word for becomes what `JSON.stringify` in a JavaScript server makes of it on the way to a client: a date
//! its ISO text, a number that is none `null`. Bytes become attachments.
//!
//! Owns: these translations, without recursion. Must never know: whose values they are.

use bytes::Bytes;
use bytestring::ByteString;

use super::date;
use super::packed::{
    PackedHead, PackedReader, write_array, write_binary, write_bool, write_float, write_map, write_negative, write_nil,
    write_text, write_unsigned,
};
use super::tokens::{JsonContainer, JsonToken, JsonTokens};
use crate::socket_io::json::write_string;

/// Why values are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnpackError {
    /// Not as many values as there should be, or a key that is no name.
    Shape,
    /// More lists and objects open at once than may be.
    TooDeep,
    /// More attachments than may be.
    TooManyAttachments,
}

/// How much values may make of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnpackLimits {
    /// Lists and objects that are open at once.
    pub(crate) depth_max: usize,
    /// Values that are bytes.
    pub(crate) attachments_max: usize,
}

/// Values that are read piece by piece. The text is well-formed JSON by construction, but for data that looks like a
/// placeholder.
#[derive(Debug)]
pub(crate) struct ValuesUnpacking {
    limits: UnpackLimits,
    json: Vec<u8>,
    attachments: Vec<Bytes>,
    open: Vec<OpenValue>,
    has_placeholder_key: bool,
}

/// A list or an object that is being written.
#[derive(Debug)]
struct OpenValue {
    left: u32,
    is_first: bool,
    kind: OpenKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenKind {
    /// The values themselves, without brackets.
    Values,
    Array,
    Map,
}

impl ValuesUnpacking {
    /// This many values are to come.
    pub(crate) fn new(count: u32, limits: UnpackLimits) -> Self {
        let open = vec![OpenValue { left: count, is_first: true, kind: OpenKind::Values }];
        Self { limits, json: Vec::new(), attachments: Vec::new(), open, has_placeholder_key: false }
    }

    /// Reads about `bytes` more of the message. Whether all values are read.
    pub(crate) fn step(&mut self, reader: &mut PackedReader, bytes: usize) -> Result<bool, UnpackError> {
        let pause_at = reader.at().saturating_add(bytes);
        while let Some(innermost) = self.open.last_mut() {
            if reader.at() >= pause_at {
                return Ok(false);
            }
            let kind = innermost.kind;
            let Some(left) = innermost.left.checked_sub(1) else {
                self.json.extend_from_slice(match kind {
                    OpenKind::Values => b"",
                    OpenKind::Array => b"]",
                    OpenKind::Map => b"}",
                });
                self.open.pop();
                continue;
            };
            innermost.left = left;
            if !std::mem::replace(&mut innermost.is_first, false) {
                self.json.push(b',');
            }
            if kind == OpenKind::Map {
                let key = reader.name().ok_or(UnpackError::Shape)?;
                self.has_placeholder_key |= key == PLACEHOLDER_KEY;
                write_string(&mut self.json, &key);
                self.json.push(b':');
            }
            let head = reader.head().ok_or(UnpackError::Shape)?;
            if let Some(opened) = self.value(reader, head) {
                if self.open.len() > self.limits.depth_max {
                    return Err(UnpackError::TooDeep);
                }
                self.open.push(opened);
            }
            if self.attachments.len() > self.limits.attachments_max {
                return Err(UnpackError::TooManyAttachments);
            }
        }
        Ok(true)
    }

    /// Whether an object could be taken for one of the attachments, so that the text has to be checked.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.has_placeholder_key && !self.attachments.is_empty()
    }

    /// The text and the attachments, once all is read.
    pub(crate) fn finish(self) -> Result<(ByteString, Vec<Bytes>), UnpackError> {
        let json = ByteString::try_from(self.json).map_err(|_| UnpackError::Shape)?;
        Ok((json, self.attachments))
    }

    /// Writes a value, or the beginning of one that has others in it. Of extensions, those without a length in bytes and of
    /// kind 0 are `undefined` and dates of notepack.io before version 3, and those with one its `ArrayBuffer`.
    fn value(&mut self, reader: &PackedReader, head: PackedHead) -> Option<OpenValue> {
        match head {
            PackedHead::Nil => self.json.extend_from_slice(b"null"),
            PackedHead::Bool(is_true) => self.json.extend_from_slice(if is_true { b"true" } else { b"false" }),
            PackedHead::Unsigned(number) => self.json.extend_from_slice(number.to_string().as_bytes()),
            PackedHead::Negative(number) => self.json.extend_from_slice(number.to_string().as_bytes()),
            // serde_json writes `null` for what is no number.
            PackedHead::Float(number) => {
                let text = serde_json::to_string(&number).unwrap_or_else(|_| "null".to_owned());
                self.json.extend_from_slice(text.as_bytes());
            }
            PackedHead::Text(range) => write_string(&mut self.json, &reader.text(range)),
            PackedHead::Binary(range) => self.attach(reader, range),
            PackedHead::Array(left) => {
                self.json.push(b'[');
                return Some(OpenValue { left, is_first: true, kind: OpenKind::Array });
            }
            PackedHead::Map(left) => {
                self.json.push(b'{');
                return Some(OpenValue { left, is_first: true, kind: OpenKind::Map });
            }
            PackedHead::Extension(kind, range) | PackedHead::FixedExtension(kind, range) if kind == TIMESTAMP => {
                let millis = millis(&reader.slice(range));
                self.date(millis);
            }
            PackedHead::Extension(0, range) => self.attach(reader, range),
            PackedHead::FixedExtension(kind, range) if kind == 0 && range.len() == 1 => {
                self.json.extend_from_slice(b"null")
            }
            PackedHead::FixedExtension(kind, range) if kind == 0 && range.len() == 8 => {
                let millis = reader.slice(range).first_chunk().copied().map(i64::from_be_bytes);
                self.date(millis);
            }
            PackedHead::Extension(kind, range) | PackedHead::FixedExtension(kind, range) => {
                self.json.extend_from_slice(format!("[{kind},").as_bytes());
                self.attach(reader, range);
                self.json.push(b']');
            }
        }
        None
    }

    fn attach(&mut self, reader: &PackedReader, range: std::ops::Range<usize>) {
        let placeholder = format!("{{\"_placeholder\":true,\"num\":{}}}", self.attachments.len());
        self.json.extend_from_slice(placeholder.as_bytes());
        self.attachments.push(reader.slice(range));
    }

    fn date(&mut self, millis: Option<i64>) {
        match millis.and_then(date::iso) {
            Some(text) => write_string(&mut self.json, &text),
            None => self.json.extend_from_slice(b"null"),
        }
    }
}

/// A timestamp of 32, 64 or 96 bits
/// ([its forms](https://github.com/msgpack/msgpack/blob/master/spec.md#timestamp-extension-type)).
fn millis(stamp: &[u8]) -> Option<i64> {
    let (seconds, nanos) = match *stamp {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (i64::try_from(bits & 0x3_ffff_ffff).ok()?, i64::try_from(bits >> 34).ok()?)
        }
        [a, b, c, d, ref seconds @ ..] => {
            let nanos = u32::from_be_bytes([a, b, c, d]);
            (i64::from_be_bytes(*seconds.first_chunk().filter(|_| seconds.len() == 8)?), i64::from(nanos))
        }
        _ => return None,
    };
    seconds.checked_mul(1000)?.checked_add(nanos / 1_000_000)
}

/// Appends values, which must be checked ones.
pub(crate) fn write_values(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) {
    write_counted(out, &lengths(json, attachments), json, attachments);
}

/// Appends a list: values, which must be checked ones, between texts.
pub(super) fn write_list(
    out: &mut Vec<u8>,
    before: Option<&str>,
    json: &str,
    attachments: &[Bytes],
    behind: Option<&str>,
) {
    let lengths = lengths(json, attachments);
    let texts = usize::from(before.is_some()) + usize::from(behind.is_some());
    write_array(out, lengths.first().copied().unwrap_or_default() + texts);
    before.into_iter().for_each(|text| write_text(out, text));
    write_counted(out, &lengths, json, attachments);
    behind.into_iter().for_each(|text| write_text(out, text));
}

fn write_counted(out: &mut Vec<u8>, lengths: &[usize], json: &str, attachments: &[Bytes]) {
    let mut lengths = lengths.iter().skip(1);
    for token in JsonTokens::new(json, !attachments.is_empty()) {
        match token {
            JsonToken::Open(container) => {
                let count = lengths.next().copied().unwrap_or_default();
                match container {
                    JsonContainer::Array => write_array(out, count),
                    JsonContainer::Object => write_map(out, count / 2),
                }
            }
            JsonToken::Close => {}
            JsonToken::Text(text) => write_text(out, &text),
            JsonToken::Literal(literal) => write_literal(out, literal),
            JsonToken::Attachment(number) => match attachments.get(number) {
                Some(bytes) => write_binary(out, bytes),
                None => write_nil(out),
            },
        }
    }
}

/// How many values there are, and how many stand in each list and object, keys among them, in the order in which they
/// begin.
fn lengths(json: &str, attachments: &[Bytes]) -> Vec<usize> {
    let (mut lengths, mut open) = (vec![0], vec![0_usize]);
    for token in JsonTokens::new(json, !attachments.is_empty()) {
        if matches!(token, JsonToken::Close) {
            open.pop();
            continue;
        }
        if let Some(length) = open.last().and_then(|innermost| lengths.get_mut(*innermost)) {
            *length += 1;
        }
        if matches!(token, JsonToken::Open(_)) {
            open.push(lengths.len());
            lengths.push(0);
        }
    }
    lengths
}

/// A whole number beyond 64 bits is a float, as in JavaScript.
fn write_literal(out: &mut Vec<u8>, literal: &str) {
    match literal {
        "null" => write_nil(out),
        "true" | "false" => write_bool(out, literal == "true"),
        number => {
            if let Ok(number) = number.parse() {
                write_unsigned(out, number);
            } else if let Ok(number) = number.parse::<i64>()
                && number < 0
            {
                write_negative(out, number);
            } else {
                write_float(out, number.parse().unwrap_or_default());
            }
        }
    }
}

/// The kind of extension that is a point in time.
const TIMESTAMP: i8 = -1;
/// What placeholders have
/// ([Sending and receiving binary](https://github.com/socketio/socket.io-protocol#sending-and-receiving-binary)).
const PLACEHOLDER_KEY: &str = "_placeholder";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::socket_io::Args;
    use crate::socket_io::json::{JsonLimits, Placeholders, check_values};

    #[test]
    fn what_json_has_no_word_for_becomes_what_javascript_makes_of_it() {
        for (packed, json) in [
            (&b"\xca\x3f\xc0\0\0"[..], "1.5"),
            (b"\xcb\x7f\xf0\0\0\0\0\0\0", "null"),
            (b"\xcb\x7f\xf8\0\0\0\0\0\0", "null"),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
            (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
            (b"\xd0\x05", "5"),
            (b"\xe0", "-32"),
            (b"\xa2\xc3\x28", "\"\u{fffd}(\""),
            (b"\x83\x01\xc0\xff\xc0\xa1a\xc3", r#"{"1":null,"-1":null,"a":true}"#),
            (b"\xd4\0\0", "null"),
            (b"\xd6\xff\0\0\0\x01", r#""1970-01-01T00:00:01.000Z""#),
            (b"\xd7\xff\x01\x6e\x36\0\0\0\0\x01", r#""1970-01-01T00:00:01.006Z""#),
            (b"\xd7\0\0\0\0\0\0\0\0\x01", r#""1970-01-01T00:00:00.001Z""#),
            (b"\xc7\x0c\xff\x05\xf5\xe1\0\xff\xff\xff\xff\xff\xff\xff\xff", r#""1969-12-31T23:59:59.100Z""#),
            (b"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", "null"),
        ] {
            assert_eq!(unpacked(packed, 1).unwrap().json(), json, "{packed:?}");
        }
        let args = unpacked(b"\xc4\x01x\xc7\x02\0yz\xd5\x05ab", 3).unwrap();
        let placeholder = |num: u32| format!("{{\"_placeholder\":true,\"num\":{num}}}");
        assert_eq!(args.json(), format!("{},{},[5,{}]", placeholder(0), placeholder(1), placeholder(2)));
        assert_eq!(args.attachments(), [&b"x"[..], b"yz", b"ab"]);
    }

    #[test]
    fn what_is_no_list_of_arguments_is_refused_and_nothing_reserved() {
        let shape = Err(UnpackError::Shape);
        for (bytes, count) in [
            (&b"\xdd\xff\xff\xff\xff"[..], 1),
            (b"\x81\x90\x01", 1),
            (b"\x81\xa1a", 1),
            (b"\x01\x02", 1),
            (b"\x01", 2),
            (b"", u32::MAX),
        ] {
            assert_eq!(unpacked(bytes, count), shape, "{bytes:?}");
        }
        let deep = |depth: usize| unpacked(&[vec![0x91; depth], vec![0xc0]].concat(), 1);
        assert!(deep(128).is_ok());
        assert_eq!(deep(129), Err(UnpackError::TooDeep));
        assert_eq!(deep(100_000), Err(UnpackError::TooDeep));
        // Data that looks like a reference to bytes which are not there.
        let spoof = b"\x82\xac_placeholder\xc3\xa3num\x05\xc4\0";
        let mut spoofing = ValuesUnpacking::new(2, LIMITS);
        assert_eq!(spoofing.step(&mut PackedReader::new(Bytes::from_static(spoof)), usize::MAX), Ok(true));
        assert!(spoofing.is_ambiguous());
        assert_eq!(unpacked(&[0xc4, 0].repeat(9), 9), Err(UnpackError::TooManyAttachments));
    }

    #[test]
    fn json_is_packed_as_tightly_as_javascript_does_it() {
        let packed = |json: &str, attachments: &[Bytes]| {
            let mut out = Vec::new();
            write_values(&mut out, json, attachments);
            out
        };
        assert_eq!(
            packed(r#" {"a" : [1,-1,[] ,{}], "b\n":true},null"#, &[]),
            b"\x82\xa1a\x94\x01\xff\x90\x80\xa2b\n\xc3\xc0"
        );
        assert_eq!(packed("18446744073709551616", &[]), b"\xcb\x43\xf0\0\0\0\0\0\0");
        assert_eq!(packed("-0,1e2,-129", &[]), b"\xcb\x80\0\0\0\0\0\0\0\xcb\x40\x59\0\0\0\0\0\0\xd1\xff\x7f");
        let placeholders = r#"[{"num": 1, "_placeholder" : true}, {"_placeholder":true,"num":0}],{"num":1}"#;
        assert_eq!(packed(placeholders, &["a".into(), "b".into()]), b"\x92\xc4\x01b\xc4\x01a\x81\xa3num\x01");
        assert_eq!(packed(r#"{"done":true,"num":0}"#, &["a".into()]), b"\x82\xa4done\xc3\xa3num\0", "data, too");
        assert_eq!(packed(r#"{"_placeholder":true,"num":0}"#, &[]), b"\x82\xac_placeholder\xc3\xa3num\0", "data");
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_as_the_same(values in prop::collection::vec(value(), 0..5), bytes: Option<Vec<u8>>) {
            let count = u32::try_from(values.len()).unwrap();
            let mut json: Vec<String> = values.iter().map(ToString::to_string).collect();
            let attachments: Vec<Bytes> = bytes.into_iter().map(Bytes::from).collect();
            if !attachments.is_empty() {
                json.push(r#"{"_placeholder":true,"num":0}"#.to_owned());
            }
            let args = Args::from_received(json.join(",").into(), attachments.clone()).unwrap();
            let mut out = Vec::new();
            write_values(&mut out, args.json(), args.attachments());
            let count = count + u32::try_from(attachments.len()).unwrap();
            prop_assert_eq!(unpacked(&out, count).unwrap(), args);
        }

        #[test]
        fn any_bytes_are_unpacked_without_panic(bytes: Vec<u8>, count in 0..4u32) {
            let _ = unpacked(&bytes, count);
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // Of whole ones the point is lost: JavaScript has none.
            (-1e9..1e9f64).prop_map(|float| Value::from(float + 0.015_625)),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..20).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    /// Read a byte at a time, so that every place is one to pause at.
    fn unpacked(bytes: &[u8], count: u32) -> Result<Args, UnpackError> {
        let mut reader = PackedReader::new(Bytes::copy_from_slice(bytes));
        let mut unpacking = ValuesUnpacking::new(count, LIMITS);
        while !unpacking.step(&mut reader, 1)? {}
        let (json, attachments) = unpacking.finish()?;
        if !reader.is_at_end() {
            return Err(UnpackError::Shape);
        }
        let placeholders = match u32::try_from(attachments.len()) {
            Ok(count @ 1..) => Placeholders::Attachments(count),
            Ok(0) | Err(_) => Placeholders::Data,
        };
        assert_eq!(check_values(&json, JsonLimits::default(), placeholders), Ok(&*json), "what is not checked again");
        Ok(Args::from_checked(json, attachments))
    }

    const LIMITS: UnpackLimits = UnpackLimits { depth_max: 128, attachments_max: 8 };
}
