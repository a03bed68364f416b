//! Counts whole frames in a client's byte stream without keeping or reading what is in them.

/// Where a client's frames end; bytes may come cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Borders {
    header: [u8; 14],
    header_bytes: usize,
    payload_bytes_left: u64,
}

impl Borders {
    /// How many frames ended within `bytes`.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut frames = 0;
        while let [first, rest @ ..] = bytes {
            if self.payload_bytes_left > 0 {
                let skipped = self.payload_bytes_left.min(bytes.len() as u64);
                self.payload_bytes_left -= skipped;
                bytes = &bytes[skipped as usize..];
                frames += usize::from(self.payload_bytes_left == 0);
                continue;
            }
            self.header[self.header_bytes] = *first;
            self.header_bytes += 1;
            bytes = rest;
            if self.header_bytes >= 2 && self.header_bytes == header_length(self.header[1]) {
                self.payload_bytes_left = payload_length(&self.header);
                self.header_bytes = 0;
                frames += usize::from(self.payload_bytes_left == 0);
            }
        }
        frames
    }
}

fn header_length(second: u8) -> usize {
    let length_field = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length_field + if second & 0x80 == 0 { 0 } else { 4 }
}

fn payload_length(header: &[u8; 14]) -> u64 {
    let field = match header[1] & 0x7F {
        126 => &header[2..4],
        127 => &header[2..10],
        short => return u64::from(short),
    };
    field.iter().fold(0, |length, byte| length << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::macro_bench::frame::{TEXT, push_masked};

    #[test]
    fn frames_are_counted_wherever_the_stream_is_cut() {
        let mut stream = Vec::new();
        for length in [0, 5, 125, 126, 300, 0x1_0001, 0] {
            push_masked(&mut stream, TEXT, &vec![b'x'; length]);
        }
        assert_eq!(Borders::default().count(&stream), 7);
        for step in [1, 2, 3, 7, 150, 4096] {
            let mut borders = Borders::default();
            assert_eq!(stream.chunks(step).map(|chunk| borders.count(chunk)).sum::<usize>(), 7, "step {step}");
        }
    }
}
