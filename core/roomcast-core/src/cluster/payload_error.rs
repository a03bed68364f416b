//! Why a payload cannot be sent to clients.
//!
//! Owns: [`BusPayloadError`]. Must never know: forms of payloads.

use crate::socket_io::ArgsError;

/// Why a payload that came over the bus cannot be sent to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusPayloadError {
    /// The arguments are not the JSON that may pass.
    Args(ArgsError),
    /// An attachment is not base64.
    Base64,
    /// Not a list of arguments in the form of the dialect.
    Shape,
}

impl std::fmt::Display for BusPayloadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Args(error) => error.fmt(f),
            Self::Base64 => f.write_str("an attachment is not base64"),
            Self::Shape => f.write_str("not a list of arguments"),
        }
    }
}

impl std::error::Error for BusPayloadError {}
