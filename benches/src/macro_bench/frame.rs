//! RFC 6455 frames as the load generator needs them: write masked ones, find the borders of unmasked ones.
//!
//! Owns: a second, independent reading of the frame format, so that the codec of the core is not judged by itself. Must
//! never know: what a payload means.

use std::io;
use std::ops::Range;

/// A whole frame that a server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    /// Where the payload stands in the bytes that were given.
    pub(super) payload: Range<usize>,
}

/// The first frame in `bytes`, `None` if it is not whole yet. Its payload ends where the next frame begins.
///
/// A fragment, a reserved bit or a mask is an error: no server under test has a reason to send one here.
pub(super) fn split(bytes: &[u8]) -> io::Result<Option<Frame>> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & 0xF0 != FIN {
        return Err(io::Error::other("a frame that is fragmented or has a reserved bit"));
    }
    if second & MASKED != 0 {
        return Err(io::Error::other("a masked frame from a server"));
    }
    let (start, length) = match second {
        126 => {
            let Some(field) = bytes.get(2..4) else { return Ok(None) };
            (4, field.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
        }
        127 => {
            let Some(field) = bytes.get(2..10) else { return Ok(None) };
            (10, field.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
        }
        short => (2, u64::from(short)),
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(io::Error::other("a frame longer than anything that was asked for"));
    }
    let end = start + length as usize;
    Ok((bytes.len() >= end).then_some(Frame { opcode: first & 0x0F, payload: start..end }))
}

/// Appends a client's frame, masked as a browser does it.
pub(super) fn push_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_header(out, opcode, MASKED, payload.len());
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A server's text frame.
pub(super) fn unmasked_text(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    push_header(&mut out, TEXT, 0, payload.len());
    out.extend(payload);
    out
}

fn push_header(out: &mut Vec<u8>, opcode: u8, masked: u8, length: usize) {
    out.push(FIN | opcode);
    match length {
        0..=125 => out.push(masked | length as u8),
        126..=0xFFFF => {
            out.push(masked | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
}

/// Opcodes in use ([RFC 6455 §5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)).
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Any mask but zero: a server cannot skip the unmasking.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_frame_of_each_length_form_is_found_again() {
        for length in [0, 1, 125, 126, 168, 0xFFFF, 0x1_0000] {
            let payload = vec![b'x'; length];
            let mut bytes = unmasked_text(&payload);
            let frame = split(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload.end), (TEXT, bytes.len()));
            assert_eq!(bytes[frame.payload], payload);
            bytes.pop();
            if length > 0 {
                assert_eq!(split(&bytes).unwrap(), None);
            }
        }
    }

    #[test]
    fn every_prefix_of_a_header_is_not_yet_a_frame() {
        let bytes = unmasked_text(&vec![b'x'; 0x1_0000]);
        for end in 0..10 {
            assert_eq!(split(&bytes[..end]).unwrap(), None);
        }
    }

    #[test]
    fn what_no_server_has_a_reason_to_send_is_an_error() {
        for bytes in [[0x01, 0x00], [0xC1, 0x00], [0x81, 0x80], [0x81, 0xFF]] {
            assert!(split(&bytes).is_err(), "{bytes:02x?}");
        }
        let mut huge = vec![0x81, 127];
        huge.extend(u64::MAX.to_be_bytes());
        assert!(split(&huge).is_err());
    }

    #[test]
    fn a_masked_frame_is_the_example_of_rfc_6455_section_5_7() {
        let mut out = Vec::new();
        push_masked(&mut out, TEXT, b"Hello");
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
