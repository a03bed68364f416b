//! Checked JSON, token by token.
//!
//! Owns: the cutting. Must never know: what is made of it.

use std::borrow::Cow;

use crate::socket_io::json;

/// A part of a JSON text that means something.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum JsonToken<'a> {
    Open(JsonContainer),
    /// Of the innermost container.
    Close,
    /// A string, or a key.
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null`.
    Literal(&'a str),
    /// A placeholder of the attachment with this number.
    Attachment(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonContainer {
    Array,
    Object,
}

/// Cuts a text that was checked. Of any other text they mean nothing.
#[derive(Clone, Debug)]
pub(super) struct JsonTokens<'a> {
    rest: &'a str,
    has_attachments: bool,
}

impl<'a> JsonTokens<'a> {
    /// Without attachments, what looks like a placeholder is data.
    pub(super) const fn new(json: &'a str, has_attachments: bool) -> Self {
        Self { rest: json, has_attachments }
    }

    /// The number of the placeholder that is the next object, which it steps over.
    fn placeholder(&mut self) -> Option<usize> {
        let mut ahead = JsonTokens::new(self.rest, false);
        let mut members = [(ahead.next()?, ahead.next()?), (ahead.next()?, ahead.next()?)];
        let is_end = ahead.next()? == JsonToken::Close;
        members.sort_by_key(|(key, _)| *key != JsonToken::Text("_placeholder".into()));
        let [(first, mark), (second, JsonToken::Literal(number))] = members else { return None };
        let are_keys = first == JsonToken::Text("_placeholder".into()) && second == JsonToken::Text("num".into());
        if !is_end || !are_keys || mark != JsonToken::Literal("true") {
            return None;
        }
        let number = number.parse().ok()?;
        self.rest = ahead.rest;
        Some(number)
    }
}

impl<'a> Iterator for JsonTokens<'a> {
    type Item = JsonToken<'a>;

    fn next(&mut self) -> Option<JsonToken<'a>> {
        let text = self.rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
        let (first, behind) = (*text.as_bytes().first()?, text.get(1..).unwrap_or_default());
        let token = match first {
            b'[' => JsonToken::Open(JsonContainer::Array),
            b'{' => {
                self.rest = behind;
                if self.has_attachments
                    && let Some(number) = self.placeholder()
                {
                    return Some(JsonToken::Attachment(number));
                }
                JsonToken::Open(JsonContainer::Object)
            }
            b']' | b'}' => JsonToken::Close,
            b'"' => {
                let end = json::string_end(behind).unwrap_or(behind.len());
                self.rest = behind.get(end + 1..).unwrap_or_default();
                return Some(JsonToken::Text(json::unescape(behind.get(..end).unwrap_or_default())));
            }
            _ => {
                let end = text.find([' ', '\t', '\n', '\r', ',', ':', ']', '}']).unwrap_or(text.len());
                let (literal, rest) = text.split_at(end);
                self.rest = rest;
                return Some(JsonToken::Literal(literal));
            }
        };
        self.rest = behind;
        Some(token)
    }
}
