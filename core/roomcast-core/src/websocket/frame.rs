//! The frame header as it is read.
//!
//! Owns: the vocabulary of frames and the rules that a single header must keep
//! ([RFC 6455 §5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)). Must never know: payloads, messages, or what came
//! before a frame.

use super::WsError;

/// Which side of a connection this endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Its peer is a client: what it receives must be masked.
    Server,
    /// Its peer is a server: what it receives must not be masked.
    Client,
}

/// What is known of a peer before its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameRules {
    pub(super) role: Role,
    /// Whether permessage-deflate was agreed on: RSV1 in the first frame of a message says that it is compressed.
    pub(super) deflate: bool,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message under way.
    Continuation = 0x0,
    /// A text message or its first fragment.
    Text = 0x1,
    /// A binary message or its first fragment.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping, or comes unasked.
    Pong = 0xa,
}

impl Opcode {
    /// Whether it is a control frame: short, whole, and allowed between the fragments of a message.
    pub const fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }
}

/// Whether a frame ends its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fin {
    /// The message ends with this frame.
    Final,
    /// More fragments follow.
    More,
}

/// A frame header that keeps every rule which can be checked without knowing what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) fin: Fin,
    pub(super) opcode: Opcode,
    /// Below 2^63; below 126 in a control frame.
    pub(super) payload_len: u64,
    pub(super) mask: Option<[u8; 4]>,
    /// The message that begins with it is compressed.
    pub(super) is_compressed: bool,
}

impl FrameHeader {
    /// Reads the header at the start of `bytes`, and tells how long it is. `None`: more bytes are needed.
    ///
    /// Each check stands where the bytes it reads are complete, so a fault is found at the same byte however they are cut.
    pub(super) fn parse(bytes: &[u8], rules: FrameRules) -> Result<Option<(Self, usize)>, WsError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let is_compressed = rules.deflate && first & RESERVED_BITS == COMPRESSED_BIT;
        if first & RESERVED_BITS != 0 && !is_compressed {
            return Err(WsError::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & OPCODE_BITS).ok_or(WsError::ReservedOpcode)?;
        // RFC 7692 section 6.1: the bit stands in the first frame of a message alone.
        match opcode {
            Opcode::Text | Opcode::Binary => {}
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong if is_compressed => {
                return Err(WsError::ReservedBits);
            }
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        let fin = if first & FIN_BIT != 0 { Fin::Final } else { Fin::More };
        if opcode.is_control() && fin == Fin::More {
            return Err(WsError::ControlFragmented);
        }

        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let masked = second & MASK_BIT != 0;
        match rules.role {
            Role::Server if !masked => return Err(WsError::MaskMissing),
            Role::Client if masked => return Err(WsError::MaskUnexpected),
            Role::Server | Role::Client => {}
        }
        let short_len = second & !MASK_BIT;
        if opcode.is_control() && usize::from(short_len) > CONTROL_BYTES_MAX {
            return Err(WsError::ControlTooLong);
        }

        let Some((payload_len, rest)) = parse_payload_len(short_len, rest)? else { return Ok(None) };
        let (mask, rest) = match rest.split_first_chunk() {
            Some((key, rest)) if masked => (Some(*key), rest),
            None if masked => return Ok(None),
            Some(_) | None => (None, rest),
        };
        Ok(Some((Self { fin, opcode, payload_len, mask, is_compressed }, bytes.len() - rest.len())))
    }
}

/// The payload length, from its seven bits and the bytes after them.
fn parse_payload_len(short_len: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, WsError> {
    let (payload_len, shortest, rest) = match short_len {
        LENGTH_IN_2_BYTES => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), CONTROL_BYTES_MAX as u64 + 1, rest),
            None => return Ok(None),
        },
        LENGTH_IN_8_BYTES => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), u64::from(u16::MAX) + 1, rest),
            None => return Ok(None),
        },
        len => (u64::from(len), 0, rest),
    };
    if payload_len >> 63 != 0 {
        return Err(WsError::LengthTopBit);
    }
    if payload_len < shortest {
        return Err(WsError::LengthNotMinimal);
    }
    Ok(Some((payload_len, rest)))
}

/// A header with a 64-bit length and a mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame, which is also the longest whose length fits into seven bits.
pub(super) const CONTROL_BYTES_MAX: usize = 125;
pub(super) const FIN_BIT: u8 = 0x80;
pub(super) const MASK_BIT: u8 = 0x80;
pub(super) const LENGTH_IN_2_BYTES: u8 = 126;
pub(super) const LENGTH_IN_8_BYTES: u8 = 127;
/// RSV1 (RFC 7692 section 6).
pub(super) const COMPRESSED_BIT: u8 = 0x40;
const RESERVED_BITS: u8 = 0x70;
const OPCODE_BITS: u8 = 0x0f;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_and_opcodes_are_refused_at_the_first_byte() {
        // Autobahn 3.1–3.7 and 4.1–4.2.
        for first in 0..=u8::MAX {
            let expected = match (first & 0x70, first & 0x0f, first & 0x80) {
                (1.., _, _) => Err(WsError::ReservedBits),
                (0, 3..=7 | 11.., _) => Err(WsError::ReservedOpcode),
                (0, 8..=10, 0) => Err(WsError::ControlFragmented),
                (0, _, _) => Ok(None),
            };
            assert_eq!(parse(&[first], Role::Server), expected, "{first:#x}");
        }
    }

    #[test]
    fn masks_are_demanded_of_clients_and_refused_from_servers() {
        assert_eq!(parse(&[0x81, 0x05], Role::Server), Err(WsError::MaskMissing));
        assert_eq!(parse(&[0x81, 0x85], Role::Client), Err(WsError::MaskUnexpected));
        assert_eq!(parse(&[0x81, 0x85, 1, 2, 3], Role::Server), Ok(None));
        let header = FrameHeader {
            fin: Fin::Final,
            opcode: Opcode::Text,
            payload_len: 5,
            mask: Some([1, 2, 3, 4]),
            is_compressed: false,
        };
        assert_eq!(parse(&[0x81, 0x85, 1, 2, 3, 4, 9], Role::Server), Ok(Some((header, 6))));
        let header = FrameHeader { mask: None, ..header };
        assert_eq!(parse(&[0x81, 0x05], Role::Client), Ok(Some((header, 2))));
    }

    #[test]
    fn control_frames_are_short() {
        // Autobahn 2.5: 126 and 127 announce a longer one, regardless of what follows.
        for first in [0x88, 0x89, 0x8a] {
            assert!(matches!(parse(&[first, 125], Role::Client), Ok(Some((_, 2)))));
            assert_eq!(parse(&[first, 126], Role::Client), Err(WsError::ControlTooLong));
            assert_eq!(parse(&[first, 127], Role::Client), Err(WsError::ControlTooLong));
        }
    }

    #[test]
    fn lengths_are_minimal_and_below_two_to_the_63() {
        let length =
            |bytes: &[u8]| parse(bytes, Role::Client).map(|found| found.map(|(header, len)| (header.payload_len, len)));
        let eight = |len: u64| length(&[&[0x82, 127][..], &len.to_be_bytes()].concat());
        assert_eq!(length(&[0x82, 126, 0, 126]), Ok(Some((126, 4))));
        assert_eq!(length(&[0x82, 126, 0xff, 0xff]), Ok(Some((65535, 4))));
        assert_eq!(length(&[0x82, 126, 0, 125]), Err(WsError::LengthNotMinimal));
        assert_eq!(length(&[0x82, 126, 1]), Ok(None));
        assert_eq!(eight(65536), Ok(Some((65536, 10))));
        assert_eq!(eight(65535), Err(WsError::LengthNotMinimal));
        assert_eq!(eight(0), Err(WsError::LengthNotMinimal));
        assert_eq!(eight(i64::MAX as u64), Ok(Some((i64::MAX as u64, 10))));
        assert_eq!(eight(1 << 63), Err(WsError::LengthTopBit));
        assert_eq!(eight(u64::MAX), Err(WsError::LengthTopBit));
    }

    /// RFC 7692 section 6.1.
    #[test]
    fn the_bit_of_compression_stands_at_the_start_of_messages_alone() {
        let rules = FrameRules { role: Role::Client, deflate: true };
        for first in 0..=u8::MAX {
            let is_start = matches!(first & 0x0f, 1 | 2);
            let found = FrameHeader::parse(&[first, 0], rules);
            match first & 0x70 {
                0 => assert!(!matches!(found, Ok(Some((header, _))) if header.is_compressed), "{first:#x}"),
                0x40 if is_start => {
                    assert!(matches!(found, Ok(Some((header, _))) if header.is_compressed), "{first:#x}")
                }
                _ if (first & 0x0f) < 3 || (8..11).contains(&(first & 0x0f)) => {
                    assert_eq!(found, Err(WsError::ReservedBits), "{first:#x}");
                }
                _ => assert!(found.is_err(), "{first:#x}"),
            }
        }
    }

    fn parse(bytes: &[u8], role: Role) -> Result<Option<(FrameHeader, usize)>, WsError> {
        FrameHeader::parse(bytes, FrameRules { role, deflate: false })
    }
}
