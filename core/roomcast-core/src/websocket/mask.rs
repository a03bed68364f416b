//! Masking.
//!
//! Owns: the transformation of [RFC 6455 §5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.3), which is its own
//! inverse. Must never know: where keys come from, or what a frame is.

/// Appends `payload` to `out`, masked (or, if it was, unmasked) with `key`. Returns the key as it applies to the byte
/// after the last one, for a payload that comes in pieces.
pub(super) fn append_masked(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) -> [u8; 4] {
    out.reserve(payload.len());
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    for block in payload.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.extend_from_slice(block);
        let (words, rest) = out[start..].as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
    }
    turned(key, payload.len())
}

/// `key` after `bytes` bytes of payload.
fn turned(mut key: [u8; 4], bytes: usize) -> [u8; 4] {
    key.rotate_left(bytes % 4);
    key
}

/// A block is copied, then transformed where it stands in the first-level cache: memory is walked once, and safe code
/// vectorises both halves. A multiple of eight, so that the key stands at its start in every block.
const BLOCK_BYTES: usize = 4096;

const _: () = assert!(BLOCK_BYTES.is_multiple_of(8));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition_at_every_length_and_phase() {
        let payload: Vec<u8> = (0..BLOCK_BYTES + 40).map(|i| (i * 7) as u8).collect();
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in (0..40).chain(BLOCK_BYTES - 20..BLOCK_BYTES + 40) {
            let expected: Vec<u8> = payload[..len].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            let mut whole = vec![9];
            append_masked(&mut whole, &payload[..len], key);
            assert_eq!(whole[1..], expected);
            for cut in [0, 1, 2, 3, 5, 8, 13].into_iter().filter(|cut| *cut <= len) {
                let mut pieces = Vec::new();
                let next = append_masked(&mut pieces, &payload[..cut], key);
                append_masked(&mut pieces, &payload[cut..len], next);
                assert_eq!(pieces, expected, "length {len} cut at {cut}");
            }
        }
    }
}
