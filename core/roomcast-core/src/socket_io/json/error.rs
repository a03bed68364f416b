//! The faults of a JSON text.
//!
//! Owns: one variant per fault. Must never know: where in the text it was found.

use std::fmt;

/// Why a text is no JSON that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON: a wrong byte, or an end too early.
    Syntax,
    /// More levels than [`JsonLimits::depth_max`](super::JsonLimits::depth_max).
    TooDeep,
    /// A number longer than [`JsonLimits::number_bytes_max`](super::JsonLimits::number_bytes_max).
    NumberTooLong,
    /// An object with the key `_placeholder` that refers to no attachment.
    Placeholder,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "malformed JSON",
            Self::TooDeep => "JSON is nested too deep",
            Self::NumberTooLong => "JSON number is too long",
            Self::Placeholder => "placeholder without its attachment",
        })
    }
}

impl std::error::Error for JsonError {}
