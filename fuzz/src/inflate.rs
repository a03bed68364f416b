//! Compressed messages from strangers.

use bytes::Bytes;
use roomcast_core::websocket::{Decoder, Deflater, Fin, FrameLimits, Opcode, Role, WsError, WsMessage, encode_frame};

/// Invariant tested: a compressed message ends as a message or an error in a bounded number of slices, is never longer than
/// it may be, nor is more held for it than what came and that; it is the same however it is cut into fragments; and what is
/// compressed here is expanded to what it was.
///
/// The first byte says where it is cut, the others are the payload.
pub fn inflate(data: &[u8]) {
    let [cut, payload @ ..] = data else { return };
    let whole = expand(&[payload]);
    let (front, behind) = payload.split_at(usize::from(*cut) * payload.len() / 256);
    assert_eq!(whole, expand(&[front, behind]), "cut at {}", front.len());
    let mut compressed = Vec::new();
    if Deflater::default().deflate(payload, &mut compressed) {
        assert!(compressed.len() < payload.len());
        let is_short = payload.len() <= LIMITS.message_bytes_max;
        let expected = if is_short { Ok(Bytes::copy_from_slice(payload)) } else { Err(WsError::MessageTooBig) };
        assert_eq!(expand(&[&compressed]), expected);
    }
}

fn expand(fragments: &[&[u8]]) -> Result<Bytes, WsError> {
    let mut stream = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        let fin = if index + 1 == fragments.len() { Fin::Final } else { Fin::More };
        let opcode = if index == 0 { Opcode::Binary } else { Opcode::Continuation };
        let begin = stream.len();
        encode_frame(&mut stream, fin, opcode, fragment, Some([0; 4]));
        if index == 0 {
            // RSV1, RFC 7692 section 6.
            stream[begin] |= 0x40;
        }
    }
    let mut decoder = Decoder::inflating(Role::Server);
    let mut input = &stream[..];
    for _ in 0..SLICES_MAX + stream.len() / SLICE_BYTES_MIN {
        match decoder.decode(&LIMITS, &mut input)? {
            Some(WsMessage::Binary(message)) => {
                assert!(message.len() <= LIMITS.message_bytes_max);
                return Ok(message);
            }
            Some(other) => panic!("another message: {other:?}"),
            None => assert!(decoder.is_inflating(), "all of it is there"),
        }
        assert!(decoder.buffered_bytes() <= stream.len() + LIMITS.message_bytes_max + OVERHEAD_BYTES);
    }
    panic!("no end of it")
}

const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 600_000, fragments_max: 4 };
/// What is made at once is 256 KiB, so that the longest message takes three.
const SLICES_MAX: usize = 4;
/// What is taken at once, if it stands for nothing.
const SLICE_BYTES_MIN: usize = 64 << 10;
/// What a message ends with, and one byte more than is allowed.
const OVERHEAD_BYTES: usize = 32;
