//! Compressed messages ([RFC 7692 §7.2](https://www.rfc-editor.org/rfc/rfc7692#section-7.2)).
//!
//! Owns: one message at a time, in both directions, and how much of one is expanded at once. Must never know: frames, what
//! was agreed on, or who gets it.

use std::fmt;

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::inflate::stream::InflateState;
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::WsError;

/// Compresses messages, each by itself. Its tables are made when it is first used, and kept.
#[derive(Default)]
pub struct Deflater(Option<Box<CompressorOxide>>);

impl Deflater {
    /// Appends a message's compressed payload to `out` (§7.2.1). `false`, and nothing is appended, if it would not be
    /// shorter.
    pub fn deflate(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let state = self.0.get_or_insert_with(|| {
            // Negative window bits: no zlib header.
            Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(LEVEL, -15, 0)))
        });
        state.reset();
        let begin = out.len();
        // One that does not fit into this is not shorter.
        out.resize(begin + payload.len() + TAIL.len(), 0);
        let room = out.get_mut(begin..).unwrap_or_default();
        let done = miniz_oxide::deflate::stream::deflate(state, payload, room, MZFlush::Sync);
        let written = room.get(..done.bytes_written).unwrap_or_default();
        let is_whole = done.status == Ok(MZStatus::Ok) && done.bytes_consumed == payload.len();
        match written.strip_suffix(TAIL) {
            Some(compressed) if is_whole && compressed.len() < payload.len() => {
                let end = begin + compressed.len();
                out.truncate(end);
                true
            }
            Some(_) | None => {
                out.truncate(begin);
                false
            }
        }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

/// A compressed message that is being expanded. A few bytes may stand for many: it is done in slices, and ends at a limit.
pub(super) struct Inflating {
    state: Box<InflateState>,
    compressed: Vec<u8>,
    taken: usize,
    /// How many blocks have said that they are the last.
    ends: u32,
    message: Vec<u8>,
}

impl Inflating {
    /// Begins with the payload of a whole message.
    pub(super) fn new(mut compressed: Vec<u8>) -> Self {
        compressed.extend_from_slice(TAIL);
        Self { state: InflateState::new_boxed(DataFormat::Raw), compressed, taken: 0, ends: 0, message: Vec::new() }
    }

    /// Goes on for [`SLICE_BYTES`] at most. The message, once it is whole; it is longer than `message_bytes_max` in no
    /// case.
    pub(super) fn go_on(&mut self, message_bytes_max: usize) -> Result<Option<Vec<u8>>, WsError> {
        // Blocks may stand for nothing: what is taken is bounded as well.
        for _ in 0..SLICE_BYTES / CHUNK_BYTES {
            let begin = self.message.len();
            // One byte more than is allowed tells that it is too long.
            let room = CHUNK_BYTES.min(message_bytes_max.saturating_sub(begin) + 1);
            self.message.resize(begin + room, 0);
            let input = self.compressed.get(self.taken..).unwrap_or_default();
            let input = input.get(..CHUNK_BYTES).unwrap_or(input);
            let output = self.message.get_mut(begin..).unwrap_or_default();
            let done = miniz_oxide::inflate::stream::inflate(&mut self.state, input, output, MZFlush::None);
            self.message.truncate(begin + done.bytes_written);
            self.taken += done.bytes_consumed;
            if self.message.len() > message_bytes_max {
                return Err(WsError::MessageTooBig);
            }
            let is_all_taken = self.taken >= self.compressed.len();
            match done.status {
                // §7.2.3.4: a block may say that it is the last, and be followed by an empty one.
                Ok(MZStatus::StreamEnd) if !is_all_taken && self.ends < ENDS_MAX => {
                    self.ends += 1;
                    self.state.reset(DataFormat::Raw);
                }
                Ok(MZStatus::StreamEnd) if !is_all_taken => return Err(WsError::DeflateInvalid),
                Ok(MZStatus::StreamEnd) => return Ok(Some(std::mem::take(&mut self.message))),
                // All was taken and more would have fitted: there is no more.
                Ok(MZStatus::Ok) | Err(MZError::Buf) if is_all_taken && done.bytes_written < room => {
                    return Ok(Some(std::mem::take(&mut self.message)));
                }
                Ok(MZStatus::Ok) if done.bytes_written > 0 || done.bytes_consumed > 0 => {}
                Ok(_) | Err(_) => return Err(WsError::DeflateInvalid),
            }
        }
        Ok(None)
    }

    /// How many bytes are held for it.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.compressed.len() + self.message.len()
    }
}

/// What ends each message and is left out of it (§7.2.1).
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];
/// The fastest: messages are compressed on the thread that serves all clients.
const LEVEL: i32 = 1;
/// Output that is made at once, after which other clients have their turn.
pub(super) const SLICE_BYTES: usize = 256 << 10;
const CHUNK_BYTES: usize = 32 << 10;
/// Blocks of one message that may say they are the last: to begin anew costs more than the two bytes of such a block.
const ENDS_MAX: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_rfc_7692_section_7_2_3() {
        for compressed in [
            // 7.2.3.1: one compressed block.
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            // 7.2.3.3: a block without compression.
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            // 7.2.3.4: a block that says it is the last.
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            // 7.2.3.5: two blocks.
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(compressed, 5).unwrap(), b"Hello", "{compressed:x?}");
        }
        assert_eq!(inflate(&[0x00], 0).unwrap(), b"", "section 7.2.3.6: an empty message");
    }

    #[test]
    fn a_message_is_compressed_by_itself_if_that_is_shorter() {
        let mut deflater = Deflater::default();
        let text = "to be, or not to be, that is the question. ".repeat(40);
        let (mut first, mut second) = (Vec::new(), vec![7]);
        assert!(deflater.deflate(text.as_bytes(), &mut first) && deflater.deflate(text.as_bytes(), &mut second));
        assert!(first.len() < text.len() / 10 && first == second[1..], "nothing is kept from the one before");
        assert_eq!(inflate(&first, text.len()).unwrap(), text.as_bytes());
        assert!(!deflater.deflate(b"short", &mut second) && !deflater.deflate(b"", &mut second));
        assert_eq!(second.len(), first.len() + 1, "nothing was appended");
    }

    #[test]
    fn a_few_bytes_that_stand_for_many_end_at_the_limit_and_come_in_slices() {
        let zeros = vec![0; 4 << 20];
        let mut compressed = Vec::new();
        assert!(Deflater::default().deflate(&zeros, &mut compressed) && compressed.len() < 32 << 10);
        assert_eq!(inflate(&compressed, zeros.len() - 1), Err(WsError::MessageTooBig));
        let mut inflating = Inflating::new(compressed);
        let mut slices = 0;
        while inflating.go_on(zeros.len()).unwrap().is_none() {
            slices += 1;
            assert!(inflating.message.len() <= slices * (SLICE_BYTES + CHUNK_BYTES));
        }
        assert!(slices >= zeros.len() / (SLICE_BYTES + CHUNK_BYTES) - 1, "{slices}");
    }

    #[test]
    fn blocks_that_stand_for_nothing_come_in_slices_and_do_not_begin_anew_without_end() {
        let mut inflating = Inflating::new([0x00, 0x00, 0x00, 0xff, 0xff].repeat(200_000));
        let mut slices = 1;
        while inflating.go_on(10).unwrap().is_none() {
            slices += 1;
        }
        assert_eq!(slices, 1_000_000 / SLICE_BYTES + 1);
        assert_eq!(inflate(&[0x03, 0x00].repeat(100_000), 10), Err(WsError::DeflateInvalid));
        assert_eq!(inflate(&[0x03, 0x00, 0x03, 0x00, 0x00], 10).unwrap(), b"");
    }

    #[test]
    fn what_is_no_deflate_stream_is_a_fault() {
        for garbage in [&[0xff; 8][..], &[0x06, 0x11, 0x22], &[0x01, 0x05, 0x00, 0x00, 0x00]] {
            assert_eq!(inflate(garbage, 1000), Err(WsError::DeflateInvalid), "{garbage:x?}");
        }
    }

    fn inflate(compressed: &[u8], message_bytes_max: usize) -> Result<Vec<u8>, WsError> {
        let mut inflating = Inflating::new(compressed.to_vec());
        loop {
            if let Some(message) = inflating.go_on(message_bytes_max)? {
                return Ok(message);
            }
        }
    }
}
