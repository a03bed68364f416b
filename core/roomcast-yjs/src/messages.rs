//! What the errors of this crate say to people.
//!
//! Owns: `Display` and `Error` of every error type. Must never know: how an error comes about.

use std::error::Error;
use std::fmt::{Display, Formatter, Result};

use super::awareness::BadAwareness;
use super::int_array::NotBytes;
use super::soundness::Unsound;
use super::store::BadUpdate;
use super::wire::Malformed;

impl Display for Malformed {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        out.write_str(match self {
            Self::Truncated => "the bytes end within a value",
            Self::Trailing => "bytes are left over",
            Self::Integer => "an integer is out of range or not in its shortest form",
            Self::Text => "a text is not UTF-8",
            Self::Json => "a JSON text is not valid",
            Self::Depth => "a value is nested too deep",
            Self::Any => "an unknown tag of a value",
            Self::Kind => "an unknown kind of struct, type or parent",
            Self::Empty => "a struct or a deletion has no length",
            Self::Duplicate => "a client stands twice",
            Self::Circular => "a struct depends on itself or on a later one of its client",
            Self::Message => "an unknown message",
        })
    }
}

impl Display for Unsound {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        out.write_str(match self {
            Self::Parents => "the origins of a struct stand in different lists",
            Self::Rewritten => "a known struct comes again as another one",
            Self::Key => "a map key is set to something that is not one value",
            Self::Nesting => "shared types are nested too deep",
        })
    }
}

impl Display for BadUpdate {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Malformed(malformed) => write!(out, "malformed update: {malformed}"),
            Self::TooLong => out.write_str("the update is too long"),
            Self::TooManyStructs => out.write_str("the update holds too many structs"),
            Self::DocumentFull => out.write_str("the document is full"),
            Self::Unsound(unsound) => write!(out, "unsound update: {unsound}"),
        }
    }
}

impl Display for BadAwareness {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Malformed(malformed) => write!(out, "malformed awareness update: {malformed}"),
            Self::StateTooLong => out.write_str("a state is too long"),
            Self::TooManyClients => out.write_str("the update announces too many clients"),
        }
    }
}

impl Display for NotBytes {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        out.write_str(match self {
            Self::Syntax => "the text is not a JSON array of integers",
            Self::Range => "a number is above 255",
            Self::TooLong => "the array is too long",
        })
    }
}

impl Error for Malformed {}
impl Error for Unsound {}
impl Error for BadUpdate {}
impl Error for BadAwareness {}
impl Error for NotBytes {}
