//! lib0 encodings: a strict, bounded reader and the writers.
//!
//! Owns: [`ClientId`], [`Id`], [`Malformed`] and the primitive numbers, strings, `Any` values and JSON texts of
//! [lib0](https://github.com/dmonad/lib0/blob/main/decoding.js). Must never know: what the bytes mean to a document.

/// A Yjs client: one editing session of one replica. 53 bits, as JavaScript has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// `None` above 2^53 - 1.
    pub const fn new(id: u64) -> Option<Self> {
        if id <= SAFE_INTEGER_MAX { Some(Self(id)) } else { None }
    }

    /// The number on the wire.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// One element of a document: the `clock`-th one that `client` made.
///
/// Clocks are 32 bits wide here, as in yrs; yjs has 53, which no editor reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The client that made it.
    pub client: ClientId,
    /// How many elements that client had made before.
    pub clock: u32,
}

/// Why bytes of a peer are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// They end within a value, or a count or length announces more than is left.
    Truncated,
    /// Bytes are left over.
    Trailing,
    /// An integer is out of range or longer than it needs to be.
    Integer,
    /// A text is not UTF-8.
    Text,
    /// A JSON text is one that `JSON.parse` would throw at.
    Json,
    /// `Any` or JSON is nested deeper than [`DEPTH_MAX`].
    Depth,
    /// An unknown tag of `Any`, or one that cannot stand there.
    Any,
    /// An unknown kind of struct, of shared type, or of parent.
    Kind,
    /// A struct or a deletion without length.
    Empty,
    /// A struct or a client stands twice.
    Duplicate,
    /// A struct depends on itself or on a later one of its own client.
    Circular,
    /// An unknown message.
    Message,
}

/// Reads lib0 values from the front of a slice. No announced length is believed before it is compared with what is left.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn starting(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    const fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// Everything since `from`.
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.is_done() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let Some(&byte) = self.bytes.get(self.at) else { return Err(Malformed::Truncated) };
        self.at += 1;
        Ok(byte)
    }

    /// An unsigned integer of at most 53 bits, in its shortest form.
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        if first < 0x80 { Ok(u64::from(first)) } else { self.long_integer(first) }
    }

    fn long_integer(&mut self, first: u8) -> Result<u64, Malformed> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..56).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if byte == 0 || value > SAFE_INTEGER_MAX { Err(Malformed::Integer) } else { Ok(value) };
            }
        }
        Err(Malformed::Integer)
    }

    #[inline]
    pub(crate) fn client(&mut self) -> Result<ClientId, Malformed> {
        self.integer().map(ClientId)
    }

    #[inline]
    pub(crate) fn clock(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.integer()?).map_err(|_| Malformed::Integer)
    }

    #[inline]
    pub(crate) fn id(&mut self) -> Result<Id, Malformed> {
        Ok(Id { client: self.client()?, clock: self.clock()? })
    }

    /// How many items follow, each of at least `item_bytes_min`.
    pub(crate) fn count(&mut self, item_bytes_min: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.integer()?).map_err(|_| Malformed::Integer)?;
        let fits = count.checked_mul(item_bytes_min).is_some_and(|bytes| bytes <= self.remaining());
        if fits { Ok(count) } else { Err(Malformed::Truncated) }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..len) else { return Err(Malformed::Truncated) };
        self.at += len;
        Ok(taken)
    }

    /// Bytes behind their length.
    #[inline]
    pub(crate) fn buffer(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// UTF-8 behind its length in bytes.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.buffer()?).map_err(|_| Malformed::Text)
    }

    /// A JSON text behind its length in bytes.
    pub(crate) fn json(&mut self) -> Result<&'a str, Malformed> {
        let text = self.text()?;
        check_json(text)?;
        Ok(text)
    }

    /// Steps over one `Any`, checking it. Without recursion: open arrays and objects stand on a stack of [`DEPTH_MAX`].
    pub(crate) fn any(&mut self) -> Result<(), Malformed> {
        // Members that are still to come, and whether each has a key.
        let mut open: Vec<(usize, bool)> = Vec::new();
        loop {
            match self.byte()? {
                ANY_UNDEFINED | ANY_NULL | ANY_FALSE | ANY_TRUE => {}
                ANY_INTEGER => self.signed()?,
                ANY_FLOAT32 => drop(self.take(4)?),
                ANY_FLOAT64 | ANY_BIGINT => drop(self.take(8)?),
                ANY_STRING => drop(self.text()?),
                ANY_OBJECT => open.push((self.count(2)?, true)),
                ANY_ARRAY => open.push((self.count(1)?, false)),
                ANY_BYTES => drop(self.buffer()?),
                _ => return Err(Malformed::Any),
            }
            if open.len() > DEPTH_MAX {
                return Err(Malformed::Depth);
            }
            loop {
                let Some((left, keyed)) = open.last_mut() else { return Ok(()) };
                let Some(fewer) = left.checked_sub(1) else {
                    open.pop();
                    continue;
                };
                *left = fewer;
                if *keyed {
                    self.text()?;
                }
                break;
            }
        }
    }

    /// Steps over a signed integer: six bits and the sign come first.
    fn signed(&mut self) -> Result<(), Malformed> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(());
        }
        let mut value = u64::from(first & 0x3f);
        for shift in (6..55).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if byte == 0 || value > SAFE_INTEGER_MAX { Err(Malformed::Integer) } else { Ok(()) };
            }
        }
        Err(Malformed::Integer)
    }
}

#[inline]
pub(crate) fn write_integer(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(crate) fn write_count(out: &mut Vec<u8>, count: usize) {
    write_integer(out, u64::try_from(count).unwrap_or(u64::MAX));
}

#[inline]
pub(crate) fn write_id(out: &mut Vec<u8>, id: Id) {
    write_integer(out, id.client.0);
    write_integer(out, u64::from(id.clock));
}

pub(crate) fn write_buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    write_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// What [`write_integer`] writes for at most 56 bits, and how many bytes of it count.
#[inline]
pub(crate) fn integer_digits(mut value: u64) -> ([u8; 8], usize) {
    let mut digits = [0; 8];
    let mut len = 0;
    for digit in &mut digits {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        len += 1;
        *digit = if value == 0 { low } else { low | 0x80 };
        if value == 0 {
            break;
        }
    }
    (digits, len)
}

/// Whether `JSON.parse` would take `text`. Without recursion: one bit for each open bracket.
pub(crate) fn check_json(text: &str) -> Result<(), Malformed> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut open = Brackets::default();
    let mut expect = Expect::Value;
    loop {
        at += bytes.get(at..).unwrap_or_default().iter().take_while(|byte| b" \t\n\r".contains(byte)).count();
        let Some(&byte) = bytes.get(at) else {
            return if expect == Expect::Nothing { Ok(()) } else { Err(Malformed::Json) };
        };
        match (expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'{') => {
                open.push(Bracket::Object)?;
                (at, expect) = (at + 1, Expect::KeyOrEnd);
            }
            (Expect::Value | Expect::ValueOrEnd, b'[') => {
                open.push(Bracket::Array)?;
                (at, expect) = (at + 1, Expect::ValueOrEnd);
            }
            (Expect::ValueOrEnd, b']') | (Expect::KeyOrEnd, b'}') => {
                open.pop();
                (at, expect) = (at + 1, open.after_value());
            }
            (Expect::Value | Expect::ValueOrEnd, _) => {
                (at, expect) = (json_scalar(bytes, at)?, open.after_value());
            }
            (Expect::KeyOrEnd | Expect::Key, b'"') => {
                (at, expect) = (json_string(bytes, at + 1)?, Expect::Colon);
            }
            (Expect::Colon, b':') => (at, expect) = (at + 1, Expect::Value),
            (Expect::Comma, b',') => {
                let next = if open.top() == Some(Bracket::Object) { Expect::Key } else { Expect::Value };
                (at, expect) = (at + 1, next);
            }
            (Expect::Comma, b'}') if open.top() == Some(Bracket::Object) => {
                open.pop();
                (at, expect) = (at + 1, open.after_value());
            }
            (Expect::Comma, b']') if open.top() == Some(Bracket::Array) => {
                open.pop();
                (at, expect) = (at + 1, open.after_value());
            }
            (Expect::KeyOrEnd | Expect::Key | Expect::Colon | Expect::Comma | Expect::Nothing, _) => {
                return Err(Malformed::Json);
            }
        }
    }
}

/// What may come next in a JSON text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    Comma,
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Array,
    Object,
}

/// The brackets that are open: bit 0 is the innermost, set for an object.
#[derive(Default)]
struct Brackets {
    objects: u128,
    depth: usize,
}

impl Brackets {
    fn push(&mut self, bracket: Bracket) -> Result<(), Malformed> {
        if self.depth == DEPTH_MAX {
            return Err(Malformed::Depth);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(bracket == Bracket::Object);
        Ok(())
    }

    const fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
    }

    const fn top(&self) -> Option<Bracket> {
        match (self.depth, self.objects & 1) {
            (0, _) => None,
            (_, 0) => Some(Bracket::Array),
            _ => Some(Bracket::Object),
        }
    }

    const fn after_value(&self) -> Expect {
        if self.depth == 0 { Expect::Nothing } else { Expect::Comma }
    }
}

/// The end of the string, number or word that begins at `at`.
fn json_scalar(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest {
        [b'"', ..] => json_string(bytes, at + 1),
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => Ok(at + 4),
        [b'f', b'a', b'l', b's', b'e', ..] => Ok(at + 5),
        _ => Ok(at + json_number(rest)?),
    }
}

/// The end of the string whose opening quote stands before `at`.
fn json_string(bytes: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') => {
                    let digits = bytes.get(at + 2..at + 6).unwrap_or_default();
                    if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(Malformed::Json);
                    }
                    at += 6;
                }
                _ => return Err(Malformed::Json),
            },
            Some(0x20..) => at += 1,
            _ => return Err(Malformed::Json),
        }
    }
}

/// The length of the number at the front of `rest`.
fn json_number(rest: &[u8]) -> Result<usize, Malformed> {
    let digits = |from: usize| rest.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(rest.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && rest.get(at) == Some(&b'0')) {
        return Err(Malformed::Json);
    }
    at += whole;
    if rest.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return Err(Malformed::Json);
        }
        at += 1 + fraction;
    }
    if matches!(rest.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return Err(Malformed::Json);
        }
        at += exponent;
    }
    Ok(at)
}

/// How deep `Any` and JSON may nest. One bit each in a `u128`, and below the 128 at which serde_json gives up.
pub const DEPTH_MAX: usize = 100;

/// Above this, no update is taken from anywhere: places in it are kept in 30 bits.
pub(crate) const UPDATE_BYTES_MAX: usize = 1 << 29;

/// `Number.MAX_SAFE_INTEGER`.
pub(crate) const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

const _: () = assert!(DEPTH_MAX <= 128);

const ANY_UNDEFINED: u8 = 127;
const ANY_NULL: u8 = 126;
const ANY_INTEGER: u8 = 125;
const ANY_FLOAT32: u8 = 124;
const ANY_FLOAT64: u8 = 123;
const ANY_BIGINT: u8 = 122;
const ANY_FALSE: u8 = 121;
const ANY_TRUE: u8 = 120;
const ANY_STRING: u8 = 119;
/// The one tag that the options of a subdocument may have.
pub(crate) const ANY_OBJECT: u8 = 118;
const ANY_ARRAY: u8 = 117;
const ANY_BYTES: u8 = 116;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_come_back_and_only_in_their_shortest_form(value in 0..=SAFE_INTEGER_MAX, shift in 0..53u32) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            write_integer(&mut bytes, value);
            let (digits, len) = integer_digits(value);
            prop_assert_eq!(&bytes, &digits[..len]);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.integer(), Ok(value));
            prop_assert!(reader.is_done());
            for end in 0..bytes.len() {
                prop_assert_eq!(Reader::new(&bytes[..end]).integer(), Err(Malformed::Truncated));
            }
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
            prop_assert_eq!(Reader::new(&bytes).integer(), Err(Malformed::Integer));
        }

        #[test]
        fn json_is_what_serde_takes(text in "[\\[\\]{}:,\"\\\\ 0-9a-ftrulsn.eE+-]{0,12}") {
            let serde = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            // serde_json refuses numbers beyond f64 and lone surrogates; JSON.parse takes both.
            let lenient = text.contains(['e', 'E']) || text.contains("\\u");
            prop_assert!(check_json(&text).is_ok() == serde || (lenient && check_json(&text).is_ok()), "{text:?}");
        }

        #[test]
        fn printed_json_is_taken(value in arbitrary_json()) {
            prop_assert_eq!(check_json(&value.to_string()), Ok(()));
            prop_assert_eq!(check_json(&serde_json::to_string_pretty(&value).unwrap()), Ok(()));
        }
    }

    #[test]
    fn integers_above_53_bits_are_refused() {
        for value in [SAFE_INTEGER_MAX + 1, 1 << 60, u64::MAX] {
            let mut bytes = Vec::new();
            write_integer(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).integer(), Err(Malformed::Integer));
        }
    }

    #[test]
    fn a_count_is_compared_with_what_is_left() {
        let mut bytes = Vec::new();
        write_integer(&mut bytes, 1 << 40);
        bytes.extend([0; 16]);
        assert_eq!(Reader::new(&bytes).count(1), Err(Malformed::Truncated));
        assert_eq!(Reader::new(&[4, 0, 0, 0, 0]).count(1), Ok(4));
        assert_eq!(Reader::new(&[4, 0, 0, 0, 0]).count(2), Err(Malformed::Truncated));
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        for depth in [DEPTH_MAX, DEPTH_MAX + 1, 100_000] {
            let expected = if depth <= DEPTH_MAX { Ok(()) } else { Err(Malformed::Depth) };
            let json = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(check_json(&json), expected);
            let mut any = [ANY_ARRAY, 1].repeat(depth);
            any.push(ANY_NULL);
            assert_eq!(Reader::new(&any).any(), expected);
        }
    }

    #[test]
    fn json_that_javascript_takes_and_what_it_does_not() {
        for good in [r#""\ud83d""#, "1e999", " [ ] ", r#"{"a":{"b":[1,2,{}]},"c":-0.5E+3}"#, "null", "\"\u{2028}\""] {
            assert_eq!(check_json(good), Ok(()), "{good}");
        }
        for bad in ["", "undefined", "01", "[1,]", "{\"a\":1,}", "{a:1}", "1 2", "[}", "{]", "\"\n\"", "-", "1.", "[1"]
        {
            assert_eq!(check_json(bad), Err(Malformed::Json), "{bad}");
        }
    }

    #[test]
    fn any_is_checked_to_its_leaves() {
        // {"a": [1, "x"], "b": {}}
        let good = [118, 2, 1, b'a', 117, 2, 125, 1, 119, 1, b'x', 1, b'b', 118, 0];
        let mut reader = Reader::new(&good);
        assert_eq!(reader.any(), Ok(()));
        assert!(reader.is_done());
        for end in 0..good.len() {
            assert_eq!(Reader::new(&good[..end]).any(), Err(Malformed::Truncated));
        }
        assert_eq!(Reader::new(&[115]).any(), Err(Malformed::Any));
        assert_eq!(Reader::new(&[119, 1, 0xff]).any(), Err(Malformed::Text));
        // lib0 writes minus zero as a sign bit alone.
        assert_eq!(Reader::new(&[125, 0x40]).any(), Ok(()));
    }

    fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
