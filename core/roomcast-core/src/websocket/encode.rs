//! Frames as they are sent.
//!
//! Owns: headers and whole frames of either side. Must never know: queues, or the recipients of a frame.
//!
//! A server's frames carry no mask, so header and payload are the same bytes for every recipient of a broadcast. A
//! payload whose length is not known in advance is built behind [`SERVER_HEADER_BYTES_MAX`] free bytes; the
//! [`server_header`] is written directly in front of it once the length is known:
//!
//! ```
//! use roomcast_core::websocket::{Opcode, SERVER_HEADER_BYTES_MAX, server_header};
//!
//! let mut frame = vec![0; SERVER_HEADER_BYTES_MAX];
//! frame.extend_from_slice(b"hello");
//! let header = server_header(Opcode::Text, frame.len() - SERVER_HEADER_BYTES_MAX);
//! let start = SERVER_HEADER_BYTES_MAX - header.as_slice().len();
//! frame[start..SERVER_HEADER_BYTES_MAX].copy_from_slice(header.as_slice());
//! assert_eq!(frame[start..], *b"\x81\x05hello");
//! ```

use super::close::CODE_BYTES;
use super::frame::{COMPRESSED_BIT, CONTROL_BYTES_MAX, FIN_BIT, LENGTH_IN_2_BYTES, LENGTH_IN_8_BYTES, MASK_BIT};
use super::mask::append_masked;
use super::{CloseCode, Fin, Opcode};

/// The header of a whole, unmasked frame ([RFC 6455 §5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)) with a
/// payload of `payload_len` bytes. The payload of a control frame has at most 125 bytes.
pub fn server_header(opcode: Opcode, payload_len: usize) -> ServerHeader {
    header(Fin::Final, opcode, payload_len)
}

/// The same for a payload that a [`Deflater`](super::Deflater) made, to a peer that has agreed to that
/// ([RFC 7692 §6](https://www.rfc-editor.org/rfc/rfc7692#section-6)).
pub fn compressed_header(opcode: Opcode, payload_len: usize) -> ServerHeader {
    let mut header = header(Fin::Final, opcode, payload_len);
    header.bytes[0] |= COMPRESSED_BIT;
    header
}

/// The header of a server's frame, made by [`server_header`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHeader {
    bytes: [u8; SERVER_HEADER_BYTES_MAX],
    /// The length in bytes: 2, 4 or 10.
    len: u8,
}

impl ServerHeader {
    /// The 2, 4 or 10 bytes that go in front of the payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Appends a frame to `out`. A server passes no `mask`; a client passes an unpredictable one, fresh for each frame
/// ([§5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.3)).
///
/// A control frame is [`Fin::Final`] and has at most 125 bytes. The order of fragments is the caller's to keep
/// ([§5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4)).
pub fn encode_frame(out: &mut Vec<u8>, fin: Fin, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    let mut header = header(fin, opcode, payload.len());
    match mask {
        None => {
            out.reserve(header.as_slice().len() + payload.len());
            out.extend_from_slice(header.as_slice());
            out.extend_from_slice(payload);
        }
        Some(key) => {
            header.bytes[1] |= MASK_BIT;
            out.reserve(header.as_slice().len() + key.len() + payload.len());
            out.extend_from_slice(header.as_slice());
            out.extend_from_slice(&key);
            append_masked(out, payload, key);
        }
    }
}

/// Appends a close frame to `out` ([§5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)), with a mask as in
/// [`encode_frame`]. A reason of more than 123 bytes is cut at the last character that fits.
pub fn encode_close(out: &mut Vec<u8>, close: Option<(CloseCode, &str)>, mask: Option<[u8; 4]>) {
    let mut body = [0; CONTROL_BYTES_MAX];
    let body_len = match close {
        None => 0,
        Some((code, reason)) => {
            let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - CODE_BYTES)];
            body[..CODE_BYTES].copy_from_slice(&code.as_u16().to_be_bytes());
            body[CODE_BYTES..][..reason.len()].copy_from_slice(reason.as_bytes());
            CODE_BYTES + reason.len()
        }
    };
    encode_frame(out, Fin::Final, Opcode::Close, &body[..body_len], mask);
}

fn header(fin: Fin, opcode: Opcode, payload_len: usize) -> ServerHeader {
    debug_assert!(!opcode.is_control() || (payload_len <= CONTROL_BYTES_MAX && fin == Fin::Final));
    let mut bytes = [0; SERVER_HEADER_BYTES_MAX];
    bytes[0] = opcode as u8
        | match fin {
            Fin::Final => FIN_BIT,
            Fin::More => 0,
        };
    let len = match (u8::try_from(payload_len), u16::try_from(payload_len)) {
        (Ok(len), _) if len < LENGTH_IN_2_BYTES => {
            bytes[1] = len;
            2
        }
        (_, Ok(len)) => {
            bytes[1] = LENGTH_IN_2_BYTES;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            4
        }
        (_, Err(_)) => {
            bytes[1] = LENGTH_IN_8_BYTES;
            bytes[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        }
    };
    ServerHeader { bytes, len }
}

/// The longest header of a server's frame: what to leave free in front of a payload of unknown length.
pub const SERVER_HEADER_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_take_the_shortest_form() {
        let header = |len| server_header(Opcode::Binary, len).as_slice().to_vec();
        assert_eq!(header(0), [0x82, 0]);
        assert_eq!(header(125), [0x82, 125]);
        assert_eq!(header(126), [0x82, 126, 0, 126]);
        // A length of the RFC's own examples (§5.7): 256 bytes, then 64 KiB.
        assert_eq!(header(256), [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(header(65535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(header(65536), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(server_header(Opcode::Ping, 5).as_slice(), [0x89, 5]);
    }

    #[test]
    fn frames_are_those_of_rfc_6455_section_5_7() {
        let frame = |fin, opcode, payload: &[u8], mask| {
            let mut out = Vec::new();
            encode_frame(&mut out, fin, opcode, payload, mask);
            out
        };
        let key = Some([0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(frame(Fin::Final, Opcode::Text, b"Hello", None), b"\x81\x05Hello");
        assert_eq!(frame(Fin::Final, Opcode::Text, b"Hello", key), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(frame(Fin::More, Opcode::Text, b"Hel", None), b"\x01\x03Hel");
        assert_eq!(frame(Fin::Final, Opcode::Continuation, b"lo", None), b"\x80\x02lo");
        assert_eq!(frame(Fin::Final, Opcode::Ping, b"Hello", None), b"\x89\x05Hello");
        assert_eq!(frame(Fin::Final, Opcode::Pong, b"Hello", key), b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    }

    #[test]
    fn close_reasons_are_cut_between_characters() {
        let close = |close: Option<(CloseCode, &str)>| {
            let mut out = Vec::new();
            encode_close(&mut out, close, None);
            out
        };
        assert_eq!(close(None), [0x88, 0]);
        assert_eq!(close(Some((CloseCode::NORMAL, ""))), [0x88, 2, 0x03, 0xe8]);
        assert_eq!(close(Some((CloseCode::TOO_BIG, "big"))), *b"\x88\x05\x03\xf1big");
        assert_eq!(close(Some((CloseCode::NORMAL, &"x".repeat(200)))).len(), 2 + 125);
        // 62 characters of two bytes would be 124.
        let cut = close(Some((CloseCode::NORMAL, &"ä".repeat(62))));
        assert_eq!(cut[4..], *"ä".repeat(61).as_bytes());
    }
}
