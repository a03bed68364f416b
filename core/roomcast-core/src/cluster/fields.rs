//! A JSON object cut into its members, each of which is read when it is needed.
//!
//! Owns: that cutting, and values as the bus needs them. Must never know: what a member means.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::DecodeError;
use super::tail::Tail;
use crate::socket_io::json;

/// The members of an object. Of a name that comes twice, the last counts, as in Python and JavaScript.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    object: &'a Bytes,
    /// Keys without quotes, and values.
    members: [(&'a str, &'a str); MEMBERS_MAX],
    count: usize,
    /// The member that was not looked at, not even whether it is text.
    middle: Option<(&'a str, &'a [u8])>,
}

impl<'a> Fields<'a> {
    /// Cuts an object. What its values are is not looked at.
    pub(super) fn of(object: &'a Bytes) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(object).map_err(|_| DecodeError::NotUtf8)?;
        let members = json::members(json::trim(text)).ok_or(DecodeError::Malformed)?;
        let mut fields = Self::none(object);
        for (key, value) in members {
            // A key without quotes is none.
            let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or_default();
            fields.push(key, value).ok_or(DecodeError::Malformed)?;
        }
        Ok(fields)
    }

    /// Cuts an object in the middle of which stands the member `middle`, with one of `behind` right after it, between simple
    /// ones: it is not looked at, however long it is. `None` if it is no such object.
    pub(super) fn around(object: &'a Bytes, middle: &'a str, behind: &[&str]) -> Option<Self> {
        let mut fields = Self::none(object);
        let mut tail = Tail::of(object)?;
        let mut last = "";
        for (key, value) in tail.by_ref() {
            fields.push(key, value)?;
            last = key;
        }
        let head = object.get(..tail.start()).filter(|_| behind.contains(&last))?;
        // In order, so that of a name that comes twice the last one counts.
        fields.members.get_mut(..fields.count)?.reverse();
        let tail_count = fields.count;
        let mut at = head.starts_with(b"{").then_some(1)?;
        loop {
            let (key, value_at) = key_at(head, at)?;
            if key == middle {
                fields.middle = Some((middle, head.get(value_at..)?.trim_ascii()));
                break;
            }
            let (value, end) = string_at(head, value_at)?;
            fields.push(key, value)?;
            at = end;
        }
        fields.members.get_mut(..fields.count)?.rotate_left(tail_count);
        Some(fields)
    }

    const fn none(object: &'a Bytes) -> Self {
        Self { object, members: [("", ""); MEMBERS_MAX], count: 0, middle: None }
    }

    fn push(&mut self, key: &'a str, value: &'a str) -> Option<()> {
        *self.members.get_mut(self.count)? = (key, value);
        self.count += 1;
        Some(())
    }

    /// The bytes of a value, `null` among them, which may be the one that was not looked at.
    pub(super) fn bytes_or_null(&self, name: &str) -> Option<Bytes> {
        let looked_at = self.raw_or_null(name).map(str::as_bytes);
        let value = looked_at.or(self.middle.filter(|(key, _)| *key == name).map(|(_, value)| value))?;
        Some(self.object.slice_ref(value))
    }

    /// The text of a value; `None` if there is no such member, or it is `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.raw_or_null(name).filter(|value| *value != "null")
    }

    /// The text of a value, `null` among them.
    pub(super) fn raw_or_null(&self, name: &str) -> Option<&'a str> {
        self.members.get(..self.count)?.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// A part of the object's text as text of its own.
    pub(super) fn slice(&self, part: &'a str) -> ByteString {
        // It never fails: a part of a text is text.
        ByteString::try_from(self.object.slice_ref(part.as_bytes())).unwrap_or_default()
    }

    /// A string; shares the bytes of the object unless it has escapes.
    pub(super) fn string(&self, name: &'static str) -> Result<Option<ByteString>, DecodeError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        self.string_of(raw).map(Some).ok_or(DecodeError::Field(name))
    }

    /// A string that must be there.
    pub(super) fn expect_string(&self, name: &'static str) -> Result<ByteString, DecodeError> {
        self.string(name)?.ok_or(DecodeError::Field(name))
    }

    /// A string, or the strings of a list; what is neither in a list is passed over. `None` if it is absent.
    pub(super) fn strings(&self, name: &'static str) -> Result<Option<Vec<ByteString>>, DecodeError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        if let Some(one) = self.string_of(raw) {
            return Ok(Some(vec![one]));
        }
        let (_, elements) = json::elements(raw).ok_or(DecodeError::Field(name))?;
        Ok(Some(elements.filter_map(|element| self.string_of(element)).collect()))
    }

    /// A whole number that is not negative.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, DecodeError> {
        self.raw(name).map(|raw| raw.parse().map_err(|_| DecodeError::Field(name))).transpose()
    }

    /// Whether a member is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    /// A string given with its quotes.
    pub(super) fn string_of(&self, raw: &'a str) -> Option<ByteString> {
        Some(match json::string(raw)? {
            Cow::Borrowed(text) => self.slice(text),
            Cow::Owned(text) => text.into(),
        })
    }
}

/// The key (without quotes) of a member, and where its value begins.
fn key_at(object: &[u8], at: usize) -> Option<(&str, usize)> {
    let (key, end) = string_at(object, at + blanks(object, at)?)?;
    let colon = end + blanks(object, end)?;
    (object.get(colon) == Some(&b':')).then_some(())?;
    let value = colon + 1 + blanks(object, colon + 1)?;
    Some((key.get(1..key.len() - 1)?, value))
}

/// A string without escapes, with its quotes, and where the next member begins.
fn string_at(object: &[u8], at: usize) -> Option<(&str, usize)> {
    let inner = object.get(at + 1..).filter(|_| object.get(at) == Some(&b'"'))?;
    let length = inner.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let end = at + 1 + length + 1;
    (inner.get(length) == Some(&b'"')).then_some(())?;
    let text = std::str::from_utf8(object.get(at..end)?).ok()?;
    let next = end + blanks(object, end)?;
    Some((text, if object.get(next) == Some(&b',') { next + 1 } else { end }))
}

fn blanks(object: &[u8], at: usize) -> Option<usize> {
    Some(object.get(at..)?.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count())
}

/// More members than any message has.
const MEMBERS_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whatever_stands_between_them() {
        let text = Bytes::from_static(
            br#" {"a" : "x", "b":{"a":"]}\"","c":[1,2]} ,"c":["r1",2,"r\u0032"],"n":12,"t":true,"0":null, "a":"last"} "#,
        );
        let fields = Fields::of(&text).unwrap();
        assert_eq!(fields.expect_string("a").unwrap(), "last");
        assert_eq!(fields.raw("b"), Some(r#"{"a":"]}\"","c":[1,2]}"#));
        assert_eq!(fields.strings("c").unwrap().unwrap(), ["r1", "r2"]);
        assert_eq!(fields.strings("a").unwrap().unwrap(), ["last"]);
        assert_eq!((fields.number("n"), fields.flag("t"), fields.flag("n")), (Ok(Some(12)), true, false));
        assert_eq!((fields.raw("0"), fields.raw_or_null("0"), fields.raw("z")), (None, Some("null"), None));
        assert_eq!(fields.number("a"), Err(DecodeError::Field("a")));
        assert_eq!(fields.expect_string("z"), Err(DecodeError::Field("z")));
    }

    #[test]
    fn what_is_no_object_is_refused_and_garbage_is_cut_somehow() {
        for bad in ["", "[]", "{", "}", "\"a\"", "null"] {
            assert_eq!(Fields::of(&Bytes::from(bad)).unwrap_err(), DecodeError::Malformed, "{bad}");
        }
        for odd in ["{}", "{\"a}", "{,,}", "{\"a\"}", "{]]]]:::\"}", r#"{"a\":1}"#, "{\"a\":}"] {
            assert_eq!(Fields::of(&Bytes::from(odd)).unwrap().string("b"), Ok(None), "{odd}");
        }
        let many: String = (0..30).map(|n| format!(",\"{n}\":1")).collect();
        assert!(Fields::of(&format!("{{{}}}", &many[1..]).into()).is_err());
        assert_eq!(Fields::of(&Bytes::from_static(b"{\"a\":\"\xff\"}")).unwrap_err(), DecodeError::NotUtf8);
    }

    #[test]
    fn a_middle_is_cut_out_without_a_look_at_it() {
        let text = Bytes::from_static(
            b"{\"a\": \"x\", \"b\" : \"y\" ,\"data\": {\"c\": \"\xff, \\\"c\\\": 2\" , \"binary\": false, \"c\": [1], \"c\": [\"r\", 2]}",
        );
        assert!(Fields::of(&text).is_err());
        let fields = Fields::around(&text, "data", &["binary"]).unwrap();
        assert_eq!(
            (fields.raw("a"), fields.raw("b"), fields.raw("c")),
            (Some("\"x\""), Some("\"y\""), Some("[\"r\", 2]"))
        );
        assert_eq!(fields.bytes_or_null("data").unwrap(), &b"{\"c\": \"\xff, \\\"c\\\": 2\""[..]);
        assert_eq!((fields.raw("data"), fields.bytes_or_null("a").unwrap()), (None, Bytes::from_static(b"\"x\"")));
        for other in [
            r#"{"data":{},"c":1,"binary":false}"#,
            r#"{"data":{},"binary":"\"","c":1}"#,
            r#"{"a":{},"data":{},"binary":false}"#,
            r#"{"a":{},"binary":false}"#,
            r#"["data":{},"binary":false}"#,
            r#"{"data":{},"binary":false"#,
            "{}",
            "",
        ] {
            assert!(Fields::around(&Bytes::from(other), "data", &["binary"]).is_none(), "{other}");
        }
    }
}
