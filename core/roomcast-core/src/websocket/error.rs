//! What a peer can do wrong in the frame layer.
//!
//! Owns: one variant per fault and the close code that answers it. Must never know: connections.

use std::fmt;

use super::close_code::CloseCode;

/// A fault of the peer's frames. It ends the connection with [`WsError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WsError {
    /// RSV1, RSV2 or RSV3 is set though no extension gives it a meaning there
    /// ([§5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)).
    ReservedBits,
    /// Opcode 3–7 or 11–15 (§5.2).
    ReservedOpcode,
    /// A close, ping or pong without FIN ([§5.5](https://www.rfc-editor.org/rfc/rfc6455#section-5.5)).
    ControlFragmented,
    /// A close, ping or pong of more than 125 bytes (§5.5).
    ControlTooLong,
    /// A client's frame without a mask ([§5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.1)).
    MaskMissing,
    /// A server's frame with a mask (§5.1).
    MaskUnexpected,
    /// A payload length in more bytes than it needs (§5.2).
    LengthNotMinimal,
    /// A 64-bit payload length with its most significant bit set (§5.2).
    LengthTopBit,
    /// A continuation while no message is under way ([§5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4)).
    ContinuationUnexpected,
    /// A new text or binary frame inside a fragmented message (§5.4).
    ContinuationExpected,
    /// A message longer than [`FrameLimits::message_bytes_max`](super::FrameLimits::message_bytes_max).
    MessageTooBig,
    /// A message of more frames than [`FrameLimits::fragments_max`](super::FrameLimits::fragments_max).
    FragmentsTooMany,
    /// A compressed message that is none ([RFC 7692 §7.2.2](https://www.rfc-editor.org/rfc/rfc7692#section-7.2.2)).
    DeflateInvalid,
    /// A text message that is not UTF-8 ([§8.1](https://www.rfc-editor.org/rfc/rfc6455#section-8.1)).
    TextInvalid,
    /// A close body of one byte ([§5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)).
    CloseTooShort,
    /// A close code that must not be sent ([§7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4)).
    CloseCodeInvalid,
    /// A close reason that is not UTF-8 (§5.5.1).
    CloseReasonInvalid,
}

impl WsError {
    /// What to close the connection with.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::MaskMissing
            | Self::MaskUnexpected
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ContinuationUnexpected
            | Self::ContinuationExpected
            | Self::CloseTooShort
            | Self::CloseCodeInvalid => CloseCode::PROTOCOL,
            Self::DeflateInvalid | Self::TextInvalid | Self::CloseReasonInvalid => CloseCode::INVALID_DATA,
            Self::MessageTooBig | Self::FragmentsTooMany => CloseCode::TOO_BIG,
        }
    }
}

impl fmt::Display for WsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBits => "a reserved bit is set",
            Self::ReservedOpcode => "reserved opcode",
            Self::ControlFragmented => "fragmented control frame",
            Self::ControlTooLong => "control frame of more than 125 bytes",
            Self::MaskMissing => "client frame without a mask",
            Self::MaskUnexpected => "server frame with a mask",
            Self::LengthNotMinimal => "payload length in more bytes than it needs",
            Self::LengthTopBit => "payload length of 2^63 or more",
            Self::ContinuationUnexpected => "continuation of no message",
            Self::ContinuationExpected => "new message inside a fragmented one",
            Self::MessageTooBig => "message too big",
            Self::FragmentsTooMany => "message of too many frames",
            Self::DeflateInvalid => "compressed message is invalid",
            Self::TextInvalid => "text is not UTF-8",
            Self::CloseTooShort => "close body of one byte",
            Self::CloseCodeInvalid => "close code that must not be sent",
            Self::CloseReasonInvalid => "close reason is not UTF-8",
        })
    }
}

impl std::error::Error for WsError {}
