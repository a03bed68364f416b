//! JSON as a relay needs it: checked in one pass, cut into values, never built.
//!
//! Owns: a strict scanner ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)) with a depth limit, the cutting of an
//! argument list into its arguments, and the placeholders of attachments. Must never know: packets, events, what a
//! value means.
//!
//! It is not serde_json, for three reasons. A lone surrogate escape (`"\ud83d"`) is grammatical and is what
//! `JSON.stringify` makes of a cut emoji, but a deserialiser into strings refuses it. Skipping with `IgnoredAny` has no
//! depth limit, and a relayed array of a thousand brackets, or an integer of five thousand digits, makes the parsers of
//! other members fail (Python stops at 1,000 levels and 4,300 digits). And placeholders have to be found on the way.

mod error;
mod nesting;
mod placeholders;
mod strings;

use std::borrow::Cow;

pub use self::error::JsonError;
use self::nesting::{Container, Nesting};
use self::placeholders::{
    Below, Collected, Object, Placeholder, PlaceholderKey, PlaceholderSink, Unwatched, parse_digits,
};
use self::strings::{Escapes, digit_run, plain_run, structure_run};
pub(crate) use self::strings::{string_end, unescape, write_string};

/// How far a text may go beyond the grammar's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// How many arrays and objects may be open at once. Up to 128 the scanner allocates nothing.
    pub depth_max: u32,
    /// How many characters one number may have.
    pub number_bytes_max: usize,
}

impl Default for JsonLimits {
    /// 128 levels, where serde_json stops too, and 4,300 characters, where Python's integers stop.
    fn default() -> Self {
        Self { depth_max: 128, number_bytes_max: 4300 }
    }
}

/// What objects that look like placeholders are
/// ([Sending and receiving binary](https://github.com/socketio/socket.io-protocol#sending-and-receiving-binary)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholders {
    /// Data like any other: the text came without attachments.
    Data,
    /// References to this many attachments: an object with `"_placeholder":true` must be exactly
    /// `{"_placeholder":true,"num":n}`, in either order, with an integer `n` below that number. Any other value of that
    /// key than `false` or `null` is refused too: JavaScript takes such an object as data, Python as a reference, and
    /// one to nothing leaves a Python client unable to read on.
    Attachments(u32),
}

/// Checks one value and returns it without the blanks around it.
///
/// # Errors
///
/// See [`JsonError`]; anything behind the value is one too.
pub fn check_value(text: &str, limits: JsonLimits, placeholders: Placeholders) -> Result<&str, JsonError> {
    match placeholders {
        Placeholders::Data => Scanner::new(text, limits, Unwatched).whole_value()?,
        Placeholders::Attachments(count) => Scanner::new(text, limits, Below(count)).whole_value()?,
    }
    Ok(trim(text))
}

/// The check of one value, piece by piece: a long one holds up nothing else.
#[derive(Debug)]
pub struct ValueCheck {
    limits: JsonLimits,
    placeholders: Placeholders,
    paused: PausedScan,
}

impl ValueCheck {
    /// A check that has not begun.
    pub fn new(limits: JsonLimits, placeholders: Placeholders) -> Self {
        Self { limits, placeholders, paused: PausedScan::default() }
    }

    /// Checks about `bytes` more of `text`, which has to be the same each time. Whether all of it is checked.
    ///
    /// # Errors
    ///
    /// As [`check_value`], once the check comes to the place.
    pub fn step(&mut self, text: &str, bytes: usize) -> Result<bool, JsonError> {
        match self.placeholders {
            Placeholders::Data => self.step_by(text, bytes, Unwatched),
            Placeholders::Attachments(count) => self.step_by(text, bytes, Below(count)),
        }
    }

    fn step_by<W: PlaceholderSink>(&mut self, text: &str, bytes: usize, watch: W) -> Result<bool, JsonError> {
        let PausedScan { at, open, object, inside } = std::mem::take(&mut self.paused);
        let pause_at = at.saturating_add(bytes);
        let scanner = Scanner::new(text, self.limits, watch);
        let mut scanner = Scanner { at, open, object, inside, pause_at, ..scanner };
        if scanner.value()? == ScanStop::End {
            return scanner.end().map(|()| true);
        }
        let Scanner { at, open, object, inside, .. } = scanner;
        self.paused = PausedScan { at, open, object, inside };
        Ok(false)
    }
}

/// Where a check goes on: in front of a value, or within a string.
#[derive(Debug, Default)]
struct PausedScan {
    at: usize,
    open: Nesting,
    object: Object,
    inside: StringUnderWay,
}

/// Checks values parted by commas, possibly none, and returns them without the blanks around the list.
///
/// # Errors
///
/// See [`JsonError`].
pub fn check_values(text: &str, limits: JsonLimits, placeholders: Placeholders) -> Result<&str, JsonError> {
    match placeholders {
        Placeholders::Data => Scanner::new(text, limits, Unwatched).whole_list()?,
        Placeholders::Attachments(count) => Scanner::new(text, limits, Below(count)).whole_list()?,
    }
    Ok(trim(text))
}

/// Cuts values parted by commas, each without the blanks around it.
///
/// The text must have passed [`check_values`] or have stood between the brackets of an array that passed
/// [`check_value`]; of any other text the pieces mean nothing.
pub const fn values(text: &str) -> Values<'_> {
    Values { text, at: 0 }
}

/// The iterator of [`values`].
#[derive(Clone, Debug)]
pub struct Values<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Values<'a> {
    /// Where the values that are left begin: behind the comma that ended the last one.
    pub const fn offset(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        if trim(rest).is_empty() {
            self.at = self.text.len();
            return None;
        }
        let end = value_end(rest.as_bytes());
        self.at = (self.at + end + 1).min(self.text.len());
        Some(trim(&rest[..end]))
    }
}

impl std::iter::FusedIterator for Values<'_> {}

/// What a string stands for, given with its quotes; `None` if that is no string. Escapes are not checked: an unknown one
/// stands for its character, a lone surrogate for U+FFFD.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?;
    let end = string_end(inner)?;
    (end + 1 == inner.len()).then(|| unescape(&inner[..end]))
}

/// The members of an object, given with its braces: the text of each key and of each value. `None` if that is no object.
/// Only as much is checked as cutting needs; `check_value` checks values.
pub(crate) fn members(raw: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
    let inner = raw.strip_prefix('{')?.strip_suffix('}')?;
    let member = |member| {
        let key = string_end(str::strip_prefix(member, '"')?)? + 2;
        let (key, value) = member.split_at(key);
        Some((key, trim(trim(value).strip_prefix(':')?)))
    };
    Some(values(inner).filter_map(member))
}

/// The elements of an array, given with its brackets, and the text between them. `None` if that is no array.
pub(crate) fn elements(raw: &str) -> Option<(&str, Values<'_>)> {
    let inner = trim(raw.strip_prefix('[')?.strip_suffix(']')?);
    Some((inner, values(inner)))
}

/// The placeholders in values that were checked with [`Placeholders::Attachments`], in order.
pub(super) fn placeholders(values: &str) -> Vec<Placeholder> {
    let mut scanner = Scanner::new(values, UNLIMITED, Collected(Vec::new()));
    let checked = scanner.whole_list();
    debug_assert_eq!(checked, Ok(()), "invariant: the values were checked before");
    scanner.watch.0
}

/// Without the blanks around it.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// One pass over a text: a loop, no recursion.
struct Scanner<'a, W> {
    bytes: &'a [u8],
    at: usize,
    limits: JsonLimits,
    open: Nesting,
    object: Object,
    inside: StringUnderWay,
    /// Where to stop for now, at the next place where that can be done.
    pause_at: usize,
    watch: W,
}

/// The string that a pause came in.
#[derive(Clone, Copy, Debug, Default)]
enum StringUnderWay {
    #[default]
    Nothing,
    /// It is a value, not a key.
    Text,
    /// A key that began there.
    Key { start: usize, escapes: Escapes },
}

/// How far a scan came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanStop {
    /// The outermost value is complete.
    End,
    /// There is more of it, which is for the next step.
    Pause,
}

impl<'a, W: PlaceholderSink> Scanner<'a, W> {
    fn new(text: &'a str, limits: JsonLimits, watch: W) -> Self {
        let bytes = text.as_bytes();
        let (open, object) = (Nesting::default(), Object::default());
        Self { bytes, at: 0, limits, open, object, inside: StringUnderWay::Nothing, pause_at: usize::MAX, watch }
    }

    fn whole_value(&mut self) -> Result<(), JsonError> {
        self.value()?;
        self.end()
    }

    /// Behind the outermost value.
    fn end(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        if self.at == self.bytes.len() { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn whole_list(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        if self.at == self.bytes.len() {
            return Ok(());
        }
        loop {
            self.value()?;
            self.skip_blanks();
            if self.at == self.bytes.len() {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// One value with all that is in it, or the next part of it.
    fn value(&mut self) -> Result<ScanStop, JsonError> {
        loop {
            if self.at >= self.pause_at {
                return Ok(ScanStop::Pause);
            }
            match std::mem::take(&mut self.inside) {
                StringUnderWay::Nothing => {}
                StringUnderWay::Text => {
                    if self.text()? == ScanStop::Pause {
                        return Ok(ScanStop::Pause);
                    }
                    if self.ended()? {
                        return Ok(ScanStop::End);
                    }
                    continue;
                }
                StringUnderWay::Key { start, escapes } => {
                    self.rest_of_key(start, escapes)?;
                    continue;
                }
            }
            self.skip_blanks();
            self.check_mark()?;
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    if self.text()? == ScanStop::Pause {
                        return Ok(ScanStop::Pause);
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b'{' => {
                    self.open(Container::Object)?;
                    self.skip_blanks();
                    if self.peek() != b'}' {
                        self.key()?;
                        continue;
                    }
                    self.close()?;
                }
                b'[' => {
                    self.open(Container::Array)?;
                    self.skip_blanks();
                    if self.peek() != b']' {
                        continue;
                    }
                    self.close()?;
                }
                b't' => {
                    self.literal(b"true")?;
                    self.saw_true()?;
                }
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err(JsonError::Syntax),
            }
            if self.ended()? {
                return Ok(ScanStop::End);
            }
        }
    }

    /// Behind a value: closes what ends here and steps to the next value, or tells that the outermost one has ended.
    fn ended(&mut self) -> Result<bool, JsonError> {
        while let Some(container) = self.open.innermost() {
            self.skip_blanks();
            match (self.peek(), container) {
                (b',', Container::Array) => {
                    self.at += 1;
                    self.skip_short_integers();
                    return Ok(false);
                }
                (b',', Container::Object) => {
                    self.at += 1;
                    self.skip_blanks();
                    self.key()?;
                    return Ok(false);
                }
                (b']', Container::Array) | (b'}', Container::Object) => self.close()?,
                (_, Container::Array | Container::Object) => return Err(JsonError::Syntax),
            }
        }
        Ok(true)
    }

    fn open(&mut self, container: Container) -> Result<(), JsonError> {
        if self.open.depth >= self.limits.depth_max {
            return Err(JsonError::TooDeep);
        }
        if W::WATCHES {
            if self.object.marked {
                return Err(JsonError::Placeholder);
            }
            self.object = Object::default();
        }
        self.at += 1;
        self.open.push(container);
        Ok(())
    }

    fn close(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        self.open.pop();
        if W::WATCHES {
            let ended = std::mem::replace(&mut self.object, Object::AROUND_ANOTHER);
            if ended.marked {
                let placeholder = ended.num.filter(|_| ended.members == 2).ok_or(JsonError::Placeholder)?;
                self.watch.placeholder(placeholder)?;
            }
        }
        Ok(())
    }

    /// A string that is a value, or the part of it up to a pause.
    fn text(&mut self) -> Result<ScanStop, JsonError> {
        let reached = self.string(&mut Escapes::None)?;
        if reached == ScanStop::Pause {
            self.inside = StringUnderWay::Text;
        }
        Ok(reached)
    }

    /// A key and its colon, or the part of it up to a pause.
    fn key(&mut self) -> Result<(), JsonError> {
        self.expect(b'"')?;
        self.rest_of_key(self.at, Escapes::None)
    }

    fn rest_of_key(&mut self, start: usize, mut escapes: Escapes) -> Result<(), JsonError> {
        if self.string(&mut escapes)? == ScanStop::Pause {
            self.inside = StringUnderWay::Key { start, escapes };
            return Ok(());
        }
        if W::WATCHES {
            self.object.members = self.object.members.saturating_add(1);
            self.object.key = PlaceholderKey::of(&self.bytes[start..self.at - 1], escapes);
        }
        self.skip_blanks();
        self.expect(b':')
    }

    /// The rest of a string, from behind its opening quote. Notes whether it has escapes.
    fn string(&mut self, escapes: &mut Escapes) -> Result<ScanStop, JsonError> {
        loop {
            if self.at >= self.pause_at {
                return Ok(ScanStop::Pause);
            }
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(ScanStop::End);
                }
                b'\\' => {
                    *escapes = Escapes::Some;
                    self.escape()?;
                }
                _ => return Err(JsonError::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.bytes.get(self.at + 2..self.at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {
                    self.at += 6;
                    Ok(())
                }
                Some(_) | None => Err(JsonError::Syntax),
            },
            Some(_) | None => Err(JsonError::Syntax),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.at - start > self.limits.number_bytes_max {
            return Err(JsonError::NumberTooLong);
        }
        if W::WATCHES && self.object.key == PlaceholderKey::Num {
            let digits = start..self.at;
            let num = parse_digits(&self.bytes[digits.clone()]);
            self.object.num = num.map(|num| Placeholder { digits, num });
        }
        Ok(())
    }

    /// Within an array: steps over integers of up to seven digits, each with its comma. Updates of documents come as long
    /// arrays of bytes, and this takes half the time of one value after the other. What is left is for the general case.
    fn skip_short_integers(&mut self) {
        while self.at < self.pause_at
            && let Some((word, _)) = self.bytes.get(self.at..).and_then(|rest| rest.split_first_chunk::<8>())
        {
            let digits = digit_run(word);
            let leading_zero = word[0] == b'0' && digits > 1;
            if digits == 0 || leading_zero || digits > self.limits.number_bytes_max || word.get(digits) != Some(&b',') {
                return;
            }
            self.at += digits + 1;
        }
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += digit_run(self.bytes.get(start..).unwrap_or_default());
        if self.at > start { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(JsonError::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    /// In front of a value.
    fn check_mark(&self) -> Result<(), JsonError> {
        if W::WATCHES && self.object.key == PlaceholderKey::Mark && !matches!(self.peek(), b't' | b'f' | b'n') {
            return Err(JsonError::Placeholder);
        }
        Ok(())
    }

    fn saw_true(&mut self) -> Result<(), JsonError> {
        if W::WATCHES && self.object.key == PlaceholderKey::Mark {
            if self.object.around_another {
                return Err(JsonError::Placeholder);
            }
            self.object.marked = true;
        }
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != byte {
            return Err(JsonError::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn skip_blanks(&mut self) {
        let end = self.at.saturating_add(BLANKS_MAX);
        // What is left of more than that is no value, and no comma.
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') && self.at < end {
            self.at += 1;
        }
    }

    /// The next byte; NUL at the end, which is no part of JSON anywhere.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }
}

/// Where the first value ends: at a comma outside of everything, or at the end.
fn value_end(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                loop {
                    at += plain_run(bytes.get(at..).unwrap_or_default());
                    match bytes.get(at) {
                        Some(b'\\') => at += 2,
                        Some(b'"') | None => break,
                        Some(_) => at += 1,
                    }
                }
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            // Numbers come in long arrays; strings are better looked for byte by byte, being near.
            b'0'..=b'9' if depth > 0 => {
                at += structure_run(&bytes[at..]);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Blanks in a row, in bytes: no program writes as many.
const BLANKS_MAX: usize = 64 << 10;

/// For texts that have passed a limit already.
const UNLIMITED: JsonLimits = JsonLimits { depth_max: u32::MAX, number_bytes_max: usize::MAX };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_grammar() {
        for good in [
            "0",
            "-0",
            "10",
            "1.5",
            "-0.5e+10",
            "1E-2",
            "1e999",
            "true",
            "false",
            "null",
            r#""""#,
            r#""é😀""#,
            "[]",
            "{}",
            r#"[1,"2",{"3":[true]}]"#,
            " [ 1 , 2 ] ",
            "\t{\r\n\"a\" : { } }\n",
            r#""\"\\\/\b\f\n\r\tA""#,
            r#""\ud83d""#,
            r#""\udE00\ud83d""#,
            "\"\u{7f}\u{2028}\"",
            "[0,12,1234567,12345678,0.5,1e3,-1,123456789,0,1]",
            r#"{"a":1,"a":2}"#,
        ] {
            assert_eq!(check(good), Ok(trim(good)), "{good}");
        }
        for bad in [
            "",
            " ",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "tru",
            "truex",
            "nul",
            "'a'",
            r#"""#,
            r#""\"#,
            r#""\x41""#,
            r#""\u12g4""#,
            r#""\u123"#,
            "\"\n\"",
            "\"\u{1f}\"",
            "\"0123456\0\"",
            "[",
            "]",
            "[1",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,01,2,3,4,5,6]",
            "[1,2,,3,4,5,6,7]",
            "[1,2a,3,4,5,6,7]",
            "[1,2,3,4,5,6,7,]",
            "[1}",
            "{]",
            "{",
            "{1:2}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            "1,2",
            "1 2",
            "{}x",
            "[1]]",
            "\u{feff}1",
            "\u{a0}1",
            "\0",
            "1\0",
            "é",
        ] {
            assert_eq!(check(bad), Err(JsonError::Syntax), "{bad:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = JsonLimits { depth_max: 3, number_bytes_max: 4 };
        let check = |text| check_value(text, limits, Placeholders::Data).map(drop);
        assert_eq!(check(r#"[{"a":[1234,{}]}]"#), Err(JsonError::TooDeep));
        assert_eq!(check(r#"[{"a":[1234]},[[],[]]]"#), Ok(()));
        assert_eq!(check("-123"), Ok(()));
        assert_eq!(check("[12.45]"), Err(JsonError::NumberTooLong));
        assert_eq!(check("[1,1234,1234,0,0,0,0]"), Ok(()));
        assert_eq!(check("[1,12345,0,0,0,0]"), Err(JsonError::NumberTooLong));
    }

    #[test]
    fn nesting_is_remembered_beyond_the_inline_levels() {
        let levels = 1000;
        // Array, object, object, array, object, object, … so that no word of bits is like another.
        let (mut opening, mut closing) = (String::new(), String::new());
        for level in 0..levels {
            opening += if level % 3 == 0 { "[" } else { r#"{"a":"# };
            closing.insert(0, if level % 3 == 0 { ']' } else { '}' });
        }
        let limits = JsonLimits { depth_max: levels, ..JsonLimits::default() };
        let check = |text: &str| check_value(text, limits, Placeholders::Data).map(drop);
        assert_eq!(check(&format!("{opening}1{closing}")), Ok(()));
        assert_eq!(check(&format!("{opening}[]{closing}")), Err(JsonError::TooDeep));
        for at in [0, 127, 128, 129, 255, 256, 500, 999] {
            let mut wrong = closing.clone();
            let other = if wrong.as_bytes()[at] == b']' { "}" } else { "]" };
            wrong.replace_range(at..=at, other);
            assert_eq!(check(&format!("{opening}1{wrong}")), Err(JsonError::Syntax), "{at}");
        }
    }

    #[test]
    fn placeholders_refer_to_attachments() {
        let check_binary = |text| check_value(text, JsonLimits::default(), Placeholders::Attachments(2)).map(drop);
        for good in [
            r#"{"_placeholder":true,"num":0}"#,
            r#" { "num" : 1 , "_placeholder" : true } "#,
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
            r#"{"a":{"b":[{"_placeholder":true,"num":1}],"_placeholder":false,"num":"x"}}"#,
            r#"{"\u005fplaceholder":true,"n\u0075m":1}"#,
            r#"{"_placeholder":null,"num":9}"#,
            r#"{"num":9}"#,
            r#"["_placeholder",true]"#,
        ] {
            assert_eq!(check_binary(good), Ok(()), "{good}");
        }
        for bad in [
            r#"{"_placeholder":true,"num":2}"#,
            r#"{"_placeholder":true,"num":-1}"#,
            r#"{"_placeholder":true,"num":-0}"#,
            r#"{"_placeholder":true,"num":0.0}"#,
            r#"{"_placeholder":true,"num":1e0}"#,
            r#"{"_placeholder":true,"num":4294967296}"#,
            r#"{"_placeholder":true,"num":"0"}"#,
            r#"{"_placeholder":true,"num":null}"#,
            r#"{"_placeholder":true,"num":[0]}"#,
            r#"{"_placeholder":true}"#,
            r#"{"_placeholder":true,"_placeholder":true}"#,
            r#"{"_placeholder":true,"_placeholder":false,"num":0}"#,
            r#"{"_placeholder":true,"num":0,"num":0}"#,
            r#"{"_placeholder":true,"num":0,"a":1}"#,
            r#"{"_placeholder":true,"num":0,"a":{}}"#,
            r#"{"a":[],"_placeholder":true,"num":0}"#,
            r#"{"a":{"b":1},"num":0,"_placeholder":true}"#,
            r#"{"\u005fplaceholder":true,"num":2}"#,
            r#"{"_placeholder":"true","num":9}"#,
            r#"{"_placeholder":1,"num":0}"#,
            r#"{"a":[],"_placeholder":[true],"num":9}"#,
            r#"{"_placeholder":{},"num":{"_placeholder":true,"num":0}}"#,
        ] {
            assert_eq!(check_binary(bad), Err(JsonError::Placeholder), "{bad}");
            assert_eq!(check(bad), Ok(bad), "data where there are no attachments");
        }
    }

    #[test]
    fn placeholders_are_found_where_they_stand() {
        let text = r#"1,{"_placeholder":true,"num":10},["{\"_placeholder\":true",{"num":0,"_placeholder":true}]"#;
        let found: Vec<_> = placeholders(text).into_iter().map(|found| (&text[found.digits], found.num)).collect();
        assert_eq!(found, [("10", 10), ("0", 0)]);
    }

    #[test]
    fn lists_are_cut_at_outer_commas() {
        let list = r#" 1 ,"a,\"]", [1,[2]] ,{"b":"}","c":{}},null "#;
        let limits = JsonLimits { depth_max: 2, ..JsonLimits::default() };
        assert_eq!(check_values(list, limits, Placeholders::Data), Ok(trim(list)));
        let cut: Vec<_> = values(list).collect();
        assert_eq!(cut, ["1", r#""a,\"]""#, "[1,[2]]", r#"{"b":"}","c":{}}"#, "null"]);
        assert_eq!(check_values(" ", limits, Placeholders::Data), Ok(""));
        assert_eq!(values("").next(), None);
        for bad in [",", "1,", ",1", "1,,2", "1]", "1 2"] {
            assert_eq!(check_values(bad, limits, Placeholders::Data), Err(JsonError::Syntax), "{bad}");
        }
    }

    #[test]
    fn blanks_are_few_in_a_row() {
        for at in ["[@1,2]", "[1@,2]", r#"{"a"@:1}"#, r#"{"a":@1}"#, r#"{"a":1@}"#, r#"{@"a":1}"#, "@1", "1@", "{@}"] {
            assert_eq!(check(&at.replace('@', &" ".repeat(BLANKS_MAX))).map(drop), Ok(()), "{at}");
            let more = at.replace('@', &" ".repeat(2 * BLANKS_MAX + 1));
            assert_eq!(check(&more).map(drop), Err(JsonError::Syntax), "{at}");
        }
    }

    #[test]
    fn a_step_is_no_longer_than_it_may_be() {
        let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for long in [
            format!("[{}1]", "12,".repeat(100_000)),
            format!("[{}1]", "1234567890,".repeat(30_000)),
            format!("[{}1]", "-1.5e3,".repeat(40_000)),
            format!("[{nested}{}]", format!(",{nested}").repeat(1500)),
            format!("\"{}\"", r"\n".repeat(150_000)),
            format!("{{\"{}\":1}}", r"\u00e9".repeat(50_000)),
            format!("{{{}\"z\":null}}", "\"a\": {\"b\": true} ,".repeat(15_000)),
        ] {
            let mut check = ValueCheck::new(JsonLimits::default(), Placeholders::Data);
            let mut steps = 1;
            while !check.step(&long, 1000).unwrap() {
                steps += 1;
                assert!(check.paused.at <= steps * (1000 + 64), "{} after {steps} steps", check.paused.at);
            }
            assert!(steps >= long.len() / 1100, "{steps} steps for {}", &long[..20]);
        }
    }

    proptest! {
        #[test]
        fn a_check_in_pieces_says_the_same(
            text in any_text(),
            pieces in prop::collection::vec(0..9_usize, 1..5),
            binary in any::<bool>(),
        ) {
            let placeholders = if binary { Placeholders::Attachments(2) } else { Placeholders::Data };
            let whole = check_value(&text, JsonLimits::default(), placeholders).map(drop);
            let mut check = ValueCheck::new(JsonLimits::default(), placeholders);
            let mut piecewise = Ok(false);
            // A piece of nothing gets nowhere, but loses nothing.
            for bytes in pieces.iter().chain(&[1]).cycle().take(text.len() * 12 + 12) {
                piecewise = check.step(&text, *bytes);
                if piecewise != Ok(false) {
                    break;
                }
            }
            prop_assert_eq!(piecewise, whole.map(|()| true));
        }

        #[test]
        fn the_verdict_is_that_of_serde_json(text in any_text()) {
            // `IgnoredAny` knows the grammar alone: no depth, no surrogates, no range of numbers.
            let grammatical = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(check_value(&text, UNLIMITED, Placeholders::Data).is_ok(), grammatical);
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert_eq!(check(&text), Ok(trim(&text)));
            }
        }

        #[test]
        fn the_placeholders_are_those_of_the_tree(tree in any_tree(), blanks in any::<bool>()) {
            let text = if blanks { format!("{tree:#}") } else { tree.to_string() };
            let checked = check_value(&text, JsonLimits::default(), Placeholders::Attachments(2));
            prop_assert_eq!(checked.is_ok(), refers_below(&tree, 2), "{}", text);
        }

        #[test]
        fn the_values_are_those_of_the_array(trees in prop::collection::vec(any_tree(), 0..5), blanks in any::<bool>()) {
            let array = Value::from(trees);
            let text = if blanks { format!("{array:#}") } else { array.to_string() };
            let expected: Vec<&RawValue> = serde_json::from_str(&text).unwrap();
            let cut: Vec<_> = values(&text[1..text.len() - 1]).collect();
            prop_assert_eq!(cut, expected.into_iter().map(RawValue::get).collect::<Vec<_>>());
        }

        #[test]
        fn cutting_never_panics(text in any_text()) {
            prop_assert!(values(&text).count() <= text.len() + 1);
            let _ = (string_end(&text), unescape(&text));
        }

        #[test]
        fn strings_are_written_and_read_as_serde_json_does(value in "(?s:.{0,40})") {
            let mut written = Vec::new();
            write_string(&mut written, &value);
            let written = String::from_utf8(written).unwrap();
            prop_assert_eq!(&written, &serde_json::to_string(&value).unwrap());
            let escaped: String = value.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            for raw in [&written[1..written.len() - 1], &escaped] {
                prop_assert_eq!(unescape(raw), value.as_str());
                prop_assert_eq!(string_end(&format!("{raw}\"x\"")), Some(raw.len()));
            }
        }
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        for (raw, value) in [
            (r"\ud83d", "\u{fffd}"),
            (r"a\ud83d\ud83d\ude00\ude00b", "a\u{fffd}😀\u{fffd}b"),
            (r"\ud83dA", "\u{fffd}A"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\u00e9\ud83d", "é\u{fffd}"),
        ] {
            assert_eq!(unescape(raw), value, "{raw}");
        }
    }

    fn check(text: &str) -> Result<&str, JsonError> {
        check_value(text, JsonLimits::default(), Placeholders::Data)
    }

    /// Texts that are JSON, nearly JSON, or look a little like it.
    fn any_text() -> impl Strategy<Value = String> {
        let nearly =
            (any_tree(), any::<prop::sample::Index>(), "[\\[\\]{}\",:0-9eE+.\\\\udtrn \u{1}é-]{0,2}", 0..3_usize)
                .prop_map(|(tree, place, patch, cut)| {
                    let mut text = tree.to_string();
                    let mut start = place.index(text.len() + 1);
                    while !text.is_char_boundary(start) {
                        start -= 1;
                    }
                    let end = text[start..].char_indices().nth(cut).map_or(text.len(), |(offset, _)| start + offset);
                    text.replace_range(start..end, &patch);
                    text
                });
        prop_oneof![
            any_tree().prop_map(|tree| format!("{tree:#}")),
            nearly,
            "[\\[\\]{}\",:0-9eE+.\\\\udtrn \t-]{0,12}",
            "\\[([0-9]{1,9}[,.e]?){0,12}\\]",
            "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,3})?",
            "\"(\\\\u[dD][89a-fA-F][0-9a-f]{2}|\\\\[\"nu0]|[ -~]|é|\u{1f}){0,12}\"",
            "(?s:.{0,20})",
        ]
    }

    fn any_tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e300..1e300_f64).prop_map(Value::from),
            "(?s:.{0,12})".prop_map(Value::from),
            (0..3_u32).prop_map(|num| json!({"_placeholder": true, "num": num})),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let key = prop_oneof![Just("_placeholder".to_owned()), Just("num".to_owned()), "[a-c\"é]{0,2}".boxed()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The rule for placeholders, on a tree.
    fn refers_below(tree: &Value, count: u64) -> bool {
        match tree {
            Value::Array(items) => items.iter().all(|item| refers_below(item, count)),
            Value::Object(members) => match members.get("_placeholder") {
                None | Some(Value::Null | Value::Bool(false)) => {
                    members.values().all(|member| refers_below(member, count))
                }
                Some(Value::Bool(true)) => {
                    members.len() == 2 && members.get("num").and_then(Value::as_u64).is_some_and(|num| num < count)
                }
                Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => false,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }
}
