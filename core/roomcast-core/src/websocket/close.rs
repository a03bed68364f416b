//! Close frames.
//!
//! Owns: how the body of one is read ([RFC 6455 §5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)). Must never
//! know: the state of a connection.

use bytes::Bytes;
use bytestring::ByteString;

use super::close_code::CloseCode;
use super::error::WsError;

/// The body of a close frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    /// Why the connection ends.
    pub code: CloseCode,
    /// The same in the peer's words, at most 123 bytes; often empty.
    pub reason: ByteString,
}

impl CloseFrame {
    /// Reads the payload of a close frame ([§5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)).
    pub(super) fn parse(payload: Vec<u8>) -> Result<Option<Self>, WsError> {
        let code = match payload.as_slice() {
            [] => return Ok(None),
            [_] => return Err(WsError::CloseTooShort),
            [high, low, ..] => u16::from_be_bytes([*high, *low]),
        };
        let reason = Bytes::from(payload).slice(CODE_BYTES..);
        let reason = ByteString::try_from(reason).map_err(|_| WsError::CloseReasonInvalid)?;
        let code = CloseCode::new(code).ok_or(WsError::CloseCodeInvalid)?;
        Ok(Some(Self { code, reason }))
    }
}

/// The code at the start of a close body.
pub(super) const CODE_BYTES: usize = size_of::<CloseCode>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_a_code_and_a_text() {
        let parse = |payload: &[u8]| CloseFrame::parse(payload.to_vec());
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(WsError::CloseTooShort));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some(CloseFrame { code: CloseCode::NORMAL, reason: ByteString::new() })));
        let reason = ByteString::from_static("bye \u{1f44b}");
        let body = [b"\x0f\xa0", reason.as_bytes().as_ref()].concat();
        assert_eq!(parse(&body), Ok(Some(CloseFrame { code: CloseCode::new(4000).unwrap(), reason })));
        assert_eq!(parse(b"\x03\xed"), Err(WsError::CloseCodeInvalid));
        assert_eq!(parse(b"\x03\xe8\xce\xba\xed\xa0\x80"), Err(WsError::CloseReasonInvalid));
    }
}
