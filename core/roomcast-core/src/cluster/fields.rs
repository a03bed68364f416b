//! A JSON object cut into its members, each of which is read when it is needed.
//!
//! Owns: that cutting, and values as the bus needs them. Must never know: what a member means.

use std::borrow::Cow;

use bytestring::ByteString;

use super::codec::DecodeError;
use crate::socket_io::json;

/// The members of an object. Of a name that comes twice, the last counts, as in Python and JavaScript.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    text: &'a ByteString,
    members: [(&'a str, &'a str); MEMBERS_MAX],
    count: usize,
}

impl<'a> Fields<'a> {
    /// Cuts an object. What its values are is not looked at.
    pub(super) fn of(text: &'a ByteString) -> Result<Self, DecodeError> {
        let members = json::members(json::trim(text)).ok_or(DecodeError::Malformed)?;
        let mut fields = Self { text, members: [("", ""); MEMBERS_MAX], count: 0 };
        for member in members {
            *fields.members.get_mut(fields.count).ok_or(DecodeError::Malformed)? = member;
            fields.count += 1;
        }
        Ok(fields)
    }

    /// The text of a value; `None` if there is no such member, or it is `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.raw_or_null(name).filter(|value| *value != "null")
    }

    /// The text of a value, `null` among them.
    pub(super) fn raw_or_null(&self, name: &str) -> Option<&'a str> {
        let is_named = |key: &str| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(name);
        self.members.get(..self.count)?.iter().rev().find(|(key, _)| is_named(key)).map(|(_, value)| *value)
    }

    /// A part of the object's text as text of its own.
    pub(super) fn slice(&self, part: &'a str) -> ByteString {
        self.text.slice_ref(part)
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
            Cow::Borrowed(text) => self.text.slice_ref(text),
            Cow::Owned(text) => text.into(),
        })
    }
}

/// More members than any message has.
const MEMBERS_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whatever_stands_between_them() {
        let text = ByteString::from(
            r#" {"a" : "x", "b":{"a":"]}\"","c":[1,2]} ,"c":["r1",2,"r\u0032"],"n":12,"t":true,"0":null, "a":"last"} "#,
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
            assert_eq!(Fields::of(&bad.into()).unwrap_err(), DecodeError::Malformed, "{bad}");
        }
        for odd in ["{}", "{\"a}", "{,,}", "{\"a\"}", "{]]]]:::\"}", r#"{"a\":1}"#, "{\"a\":}"] {
            assert_eq!(Fields::of(&odd.into()).unwrap().string("b"), Ok(None), "{odd}");
        }
        let many: String = (0..30).map(|n| format!(",\"{n}\":1")).collect();
        assert!(Fields::of(&format!("{{{}}}", &many[1..]).into()).is_err());
    }
}
