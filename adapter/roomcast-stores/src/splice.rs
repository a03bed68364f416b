//! JSON that is cut where a change goes.
//!
//! Everything else is left as it is, byte for byte: numbers keep their digits, keys their order, and half a surrogate
//! pair in an escape does no harm.
//!
//! Owns: where in a text a value stands. Must never know: what the values mean.

use std::borrow::Cow;
use std::fmt;

use roomcast_openwebui::query::StoreError;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object and where its members stand in its text.
pub(super) struct Object<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    /// An object that is missing or `null` is an empty one.
    pub(super) fn parse(text: Option<&'a str>) -> Result<Self, StoreError> {
        let text = present(text).unwrap_or("{}");
        let ObjectMembers(members) = serde_json::from_str(text).map_err(|_| StoreError::Corrupt)?;
        Ok(Self { text, members })
    }

    /// Of several members with one key the last one counts, as Python has it.
    pub(super) fn member(&self, key: &str) -> Option<&'a str> {
        self.members.iter().rfind(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// Its members in order. Of several with one key each is there.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|(name, value)| (&**name, *value))
    }

    /// Its text with this value for a key.
    pub(super) fn with(&self, key: &str, value: &str) -> String {
        match self.member(key) {
            Some(stored) => {
                let start = stored.as_ptr() as usize - self.text.as_ptr() as usize;
                [&self.text[..start], value, &self.text[start + stored.len()..]].concat()
            }
            None => {
                let comma = if self.members.is_empty() { "" } else { "," };
                let open = &self.text[..self.text.len() - 1];
                format!("{open}{comma}{}:{value}}}", quoted(key))
            }
        }
    }
}

struct ObjectMembers<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de> Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = ObjectMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((MemberName(key), value)) = map.next_entry::<MemberName<'de>, &'de RawValue>()? {
            members.push((key, value.get()));
        }
        Ok(ObjectMembers(members))
    }
}

#[derive(Deserialize)]
struct MemberName<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON value from outside, proven to be one, without the escape of NUL: PostgreSQL cannot read that back.
pub(super) fn checked(value: &str) -> Result<Cow<'_, str>, StoreError> {
    let raw: &RawValue = serde_json::from_str(value).map_err(|_| StoreError::Corrupt)?;
    let text = raw.get();
    if !text.contains(NUL) {
        return Ok(Cow::Borrowed(text));
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    // A backslash stands only in strings, and what it escapes is one ASCII character, or `u` and more of them.
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with(NUL) { NUL.len() } else { 2 };
        if length == 2 {
            clean.push_str(&rest[..2]);
        }
        rest = &rest[length..];
    }
    clean.push_str(rest);
    Ok(Cow::Owned(clean))
}

/// The text as a JSON string, with quotes and escapes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value that is there and is not `null`.
pub(super) fn present(value: Option<&str>) -> Option<&str> {
    value.map(|text| text.trim_matches(BLANK)).filter(|text| *text != "null")
}

/// White space of JSON.
pub(super) const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

const NUL: &str = "\\u0000";
