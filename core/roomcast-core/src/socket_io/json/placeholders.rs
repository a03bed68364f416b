//! References to attachments, found while a text is scanned.
//!
//! Owns: which objects are placeholders
//! ([Sending and receiving binary](https://github.com/socketio/socket.io-protocol#sending-and-receiving-binary)). Must
//! never know: the attachments themselves.

use std::ops::Range;

use super::error::JsonError;
use super::strings::{Escapes, unescape};

/// A reference to an attachment within a checked text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::socket_io) struct Placeholder {
    /// Where the digits of the number stand.
    pub digits: Range<usize>,
    pub num: u32,
}

/// What is done with placeholders.
pub(super) trait PlaceholderSink {
    /// Whether they are looked for at all.
    const WATCHES: bool;
    fn placeholder(&mut self, found: Placeholder) -> Result<(), JsonError>;
}

pub(super) struct Unwatched;

impl PlaceholderSink for Unwatched {
    const WATCHES: bool = false;

    fn placeholder(&mut self, _: Placeholder) -> Result<(), JsonError> {
        Ok(())
    }
}

/// Refuses numbers that are not below.
pub(super) struct Below(pub u32);

impl PlaceholderSink for Below {
    const WATCHES: bool = true;

    fn placeholder(&mut self, found: Placeholder) -> Result<(), JsonError> {
        if found.num < self.0 { Ok(()) } else { Err(JsonError::Placeholder) }
    }
}

pub(super) struct Collected(pub Vec<Placeholder>);

impl PlaceholderSink for Collected {
    const WATCHES: bool = true;

    fn placeholder(&mut self, found: Placeholder) -> Result<(), JsonError> {
        self.0.push(found);
        Ok(())
    }
}

/// What matters of the innermost object. A placeholder holds no array or object, so that one of these is enough: an
/// object around another one cannot be a placeholder any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    /// The key of the value that comes; within an array it is [`PlaceholderKey::Other`].
    pub key: PlaceholderKey,
    pub members: u8,
    /// It has `"_placeholder":true`.
    pub marked: bool,
    /// It has an array or an object.
    pub around_another: bool,
    pub num: Option<Placeholder>,
}

impl Object {
    pub const AROUND_ANOTHER: Self =
        Self { key: PlaceholderKey::Other, members: 0, marked: false, around_another: true, num: None };
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PlaceholderKey {
    #[default]
    Other,
    /// The key `_placeholder`, which marks an object as a placeholder.
    Mark,
    /// The key `num`, whose value is the index of the attachment.
    Num,
}

impl PlaceholderKey {
    /// Escapes count as what they stand for: that is how the receivers read them.
    pub fn of(raw: &[u8], escapes: Escapes) -> Self {
        match raw {
            b"_placeholder" => Self::Mark,
            b"num" => Self::Num,
            _ if escapes == Escapes::None || raw.len() > ESCAPED_KEY_BYTES_MAX => Self::Other,
            _ => match std::str::from_utf8(raw).map(unescape).as_deref() {
                Ok("_placeholder") => Self::Mark,
                Ok("num") => Self::Num,
                Ok(_) | Err(_) => Self::Other,
            },
        }
    }
}

/// Only digits, within range.
pub(super) fn parse_digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u32::from(digit - b'0')),
        _ => None,
    })
}

/// `_placeholder` with each of its characters as `\u00xx`.
const ESCAPED_KEY_BYTES_MAX: usize = 12 * 6;
