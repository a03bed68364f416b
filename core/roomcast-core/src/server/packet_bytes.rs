//! The bytes of an outgoing packet, of which long parts are shared with what they were made of.
//!
//! To copy a megabyte into a frame takes a millisecond, most of it for the pages of the copy, and no other client is
//! served meanwhile.
//!
//! Owns: the pieces of a packet, and which parts of one are shared. Must never know: frames, or what the bytes mean.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

/// Bytes in one piece, or in several of which some are shared with others. An offset counts over all pieces.
#[derive(Debug)]
pub(super) enum PacketBytes {
    Whole(Vec<u8>),
    /// None of them is empty.
    Pieces {
        pieces: Box<[Bytes]>,
        bytes: usize,
    },
}

impl PacketBytes {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Pieces { bytes, .. } => *bytes,
        }
    }

    /// What stands behind an offset, piece by piece.
    #[inline]
    pub(super) fn pieces_from(&self, start: usize) -> PiecesFrom<'_> {
        match self {
            Self::Whole(bytes) => PiecesFrom::of(bytes.get(start..).unwrap_or(&[])),
            Self::Pieces { pieces, .. } => {
                let (mut left, mut behind) = (start, &**pieces);
                while let [piece, rest @ ..] = behind {
                    behind = rest;
                    if let Some(first) = piece.get(left..).filter(|first| !first.is_empty()) {
                        return PiecesFrom { first, behind };
                    }
                    left -= piece.len();
                }
                PiecesFrom::of(&[])
            }
        }
    }

    /// A part; copied if it is in several pieces.
    pub(super) fn part(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        let mut left = range.end.saturating_sub(range.start);
        let mut pieces = self.pieces_from(range.start).map_while(|piece| {
            let taken = piece.get(..piece.len().min(left))?;
            left -= taken.len();
            (!taken.is_empty()).then_some(taken)
        });
        let first = pieces.next().unwrap_or(&[]);
        match pieces.next() {
            None => Cow::Borrowed(first),
            Some(second) => {
                let mut joined = Vec::with_capacity(range.len());
                [first, second].into_iter().chain(pieces).for_each(|piece| joined.extend_from_slice(piece));
                Cow::Owned(joined)
            }
        }
    }

    /// A part, unless it is in several pieces.
    pub(super) fn part_in_one_piece(&self, range: Range<usize>) -> Option<&[u8]> {
        match self {
            Self::Whole(bytes) => bytes.get(range),
            Self::Pieces { .. } => match self.part(range) {
                Cow::Borrowed(part) => Some(part),
                Cow::Owned(_) => None,
            },
        }
    }
}

/// Iterates over slices in the order in which they are written; none is empty.
#[derive(Clone, Debug)]
pub(super) struct PiecesFrom<'a> {
    first: &'a [u8],
    behind: &'a [Bytes],
}

impl<'a> PiecesFrom<'a> {
    /// Bytes that are in one piece already.
    pub(super) const fn of(piece: &'a [u8]) -> Self {
        Self { first: piece, behind: &[] }
    }
}

impl<'a> Iterator for PiecesFrom<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.first.is_empty() {
            return None;
        }
        let next = match self.behind {
            [] => &[],
            [next, rest @ ..] => {
                self.behind = rest;
                &**next
            }
        };
        Some(std::mem::replace(&mut self.first, next))
    }
}

/// Bytes of a packet under construction.
#[derive(Debug)]
pub(super) struct PacketWriter {
    /// Up to the first shared part.
    front: Vec<u8>,
    /// From there on; empty as long as nothing is shared.
    pieces: Vec<Bytes>,
    pieces_bytes: usize,
    /// Behind the last shared part.
    tail: Vec<u8>,
}

impl PacketWriter {
    /// With room for so many bytes in front of the first shared part.
    pub(super) fn new(capacity: usize) -> Self {
        Self { front: Vec::with_capacity(capacity), pieces: Vec::new(), pieces_bytes: 0, tail: Vec::new() }
    }

    /// Where the next byte stands.
    pub(super) fn len(&self) -> usize {
        self.front.len() + self.pieces_bytes + self.tail.len()
    }

    /// Where the packet's own bytes are appended.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        if self.pieces.is_empty() { &mut self.front } else { &mut self.tail }
    }

    /// What stands in front of the first shared part, to be written over.
    pub(super) fn front(&mut self) -> &mut [u8] {
        &mut self.front
    }

    /// Appends a part: a long one is shared, for as long as the packet lives; a short one is copied, so that it does not
    /// keep the memory that it was cut out of.
    pub(super) fn push(&mut self, part: &Bytes) {
        if !is_shared(part.len()) {
            return self.own().extend_from_slice(part);
        }
        self.end_tail();
        self.push_piece(part.clone());
    }

    pub(super) fn finish(mut self) -> PacketBytes {
        if self.pieces.is_empty() {
            return PacketBytes::Whole(self.front);
        }
        self.end_tail();
        let bytes = self.len();
        let front = Some(Bytes::from(self.front)).filter(|front| !front.is_empty());
        PacketBytes::Pieces { pieces: front.into_iter().chain(self.pieces).collect(), bytes }
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.push_piece(tail.into());
        }
    }

    fn push_piece(&mut self, piece: Bytes) {
        self.pieces_bytes += piece.len();
        self.pieces.push(piece);
    }
}

/// Bytes of a part that a packet takes for itself.
pub(super) const fn own_bytes(part: usize) -> usize {
    if is_shared(part) { 0 } else { part }
}

/// Whether a part is so long that it is shared.
pub(super) const fn is_shared(part: usize) -> bool {
    part >= SHARED_PART_BYTES_MIN
}

/// Shorter parts are copied: one piece is cheaper to write than several. The simulator has few that are long.
pub(super) const SHARED_PART_BYTES_MIN: usize = if cfg!(feature = "test-hooks") { 512 } else { 1 << 20 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_parts_are_shared_and_short_ones_copied() {
        let (short, long) =
            (Bytes::from(vec![1; SHARED_PART_BYTES_MIN - 1]), Bytes::from(vec![2; SHARED_PART_BYTES_MIN]));
        for (part, is_shared) in [(&short, false), (&long, true)] {
            let mut writer = PacketWriter::new(16);
            writer.own().extend_from_slice(b"front");
            writer.push(part);
            assert_eq!(writer.len(), 5 + part.len());
            writer.own().extend_from_slice(b"tail");
            writer.front()[0] = b'F';
            let bytes = writer.finish();
            let pieces: Vec<_> = bytes.pieces_from(0).collect();
            assert_eq!(pieces.concat(), [b"Front", &**part, b"tail"].concat());
            assert_eq!((pieces.len(), bytes.len()), (if is_shared { 3 } else { 1 }, 9 + part.len()));
            assert_eq!(pieces.iter().any(|piece| piece.as_ptr() == part.as_ptr()), is_shared);
        }
    }

    #[test]
    fn offsets_count_over_all_pieces() {
        let long = Bytes::from(vec![b'x'; SHARED_PART_BYTES_MIN]);
        let mut writer = PacketWriter::new(0);
        for text in ["ab", "cd", "", ""] {
            writer.own().extend_from_slice(text.as_bytes());
            writer.push(&long);
        }
        let bytes = writer.finish();
        let whole = [b"ab", &*long, b"cd", &long, &long, &long].concat();
        assert_eq!(bytes.len(), whole.len());
        let from = |start| bytes.pieces_from(start).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let edges = [0, 1, 2, 3, 1 + long.len(), 2 + long.len(), 3 + long.len(), 4 + long.len(), 4 + 2 * long.len()];
        for start in edges.into_iter().chain([whole.len() - 1, whole.len(), whole.len() + 1]) {
            let expected = whole.get(start..).unwrap_or(&[]);
            assert_eq!(from(start).concat(), expected, "from {start}");
            assert!(from(start).iter().all(|piece| !piece.is_empty()));
            for end in edges.into_iter().filter(|end| *end >= start) {
                assert_eq!(*bytes.part(start..end), whole[start..end], "{start}..{end}");
            }
        }
        let second = 2..2 + long.len();
        assert_eq!(bytes.part_in_one_piece(second.clone()).map(<[u8]>::as_ptr), Some(long.as_ptr()));
        assert_eq!(bytes.part_in_one_piece(1..second.end), None);
        assert!(matches!(bytes.part(second), Cow::Borrowed(_)), "not copied");
    }
}
