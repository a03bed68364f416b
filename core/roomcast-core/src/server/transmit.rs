//! Frames on their way into one write.
//!
//! Owns: [`Transmit`]. Must never know: whose frames these are.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::encoded::{Encoded, Slice};
use super::packet_bytes::PiecesFrom;

/// Frames for one write. The driver keeps one and uses it for all connections.
///
/// Write [`slices`](Self::slices) (or [`single`](Self::single)), say [`advance`](Self::advance), and repeat until
/// [`is_empty`](Self::is_empty); then do what [`after`](Self::after) says. When the socket takes no more, give the rest
/// back with [`Server::handle_refused`](super::Server::handle_refused); when others should get a turn first, with
/// [`Server::handle_postponed`](super::Server::handle_postponed); when it breaks, [`discard`](Self::discard) it.
#[derive(Debug, Default)]
pub struct Transmit {
    /// The only slice, which is the usual case; there are no pieces then.
    alone: Option<Slice>,
    pieces: VecDeque<WritePiece>,
    scratch: Vec<u8>,
    bytes: usize,
    advanced: bool,
    after: After,
}

#[derive(Debug)]
enum WritePiece {
    Shared(Slice),
    Copied { start: usize, end: usize },
}

/// What follows a transmit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// Keep the stream open.
    #[default]
    Keep,
    /// Shut down the writing half and go on reading: the peer broke the rules and has been told.
    CloseWrite,
    /// Close the stream and say [`Input::WsEnded`](super::Input::WsEnded): the close handshake is done.
    Close,
}

impl Transmit {
    /// Empty; allocates nothing.
    pub const fn new() -> Self {
        Self {
            alone: None,
            pieces: VecDeque::new(),
            scratch: Vec::new(),
            bytes: 0,
            advanced: false,
            after: After::Keep,
        }
    }

    /// Fills `slices` from the front with what is to be written; how many. 16 hold all of it as a rule; what found no place
    /// comes after [`advance`](Self::advance).
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let alone = self.alone.iter().flat_map(Slice::pieces);
        let mut count = 0;
        let pieces = self.pieces.iter().flat_map(|piece| self.pieces_of(piece));
        for (slice, bytes) in slices.iter_mut().zip(alone.chain(pieces)) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// The whole of it, if it is in one piece: the usual case.
    #[inline]
    pub fn single(&self) -> Option<&[u8]> {
        match (&self.alone, self.pieces.front()) {
            (Some(slice), _) => slice.single(),
            (None, Some(WritePiece::Shared(slice))) if self.pieces.len() == 1 => slice.single(),
            (None, Some(WritePiece::Copied { start, end })) if self.pieces.len() == 1 => self.scratch.get(*start..*end),
            (None, Some(_) | None) => None,
        }
    }

    /// The socket took this many bytes.
    #[inline]
    pub fn advance(&mut self, written: usize) {
        let left = written.min(self.bytes);
        self.bytes -= left;
        self.advanced |= left > 0;
        match &mut self.alone {
            Some(slice) if left < slice.len() => slice.advance(left),
            Some(_) => self.alone = None,
            None => self.advance_pieces(left),
        }
    }

    fn advance_pieces(&mut self, mut left: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            let len = match piece {
                WritePiece::Shared(slice) => slice.len(),
                WritePiece::Copied { start, end } => *end - *start,
            };
            if left < len {
                match piece {
                    WritePiece::Shared(slice) => slice.advance(left),
                    WritePiece::Copied { start, .. } => *start += left,
                }
                break;
            }
            left -= len;
            self.pieces.pop_front();
        }
    }

    /// Whether all was taken.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that are left.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// What to do once all is written.
    pub fn after(&self) -> After {
        self.after
    }

    #[inline]
    pub(super) fn begin(&mut self) {
        debug_assert!(self.is_empty(), "a rest that a socket refused is given back, not dropped");
        self.discard();
    }

    /// Whether the socket took any of it.
    pub(super) fn was_advanced(&self) -> bool {
        self.advanced
    }

    /// Drops what is left, of a stream that broke.
    #[inline]
    pub fn discard(&mut self) {
        self.alone = None;
        self.pieces.clear();
        self.advanced = false;
        self.scratch.clear();
        self.bytes = 0;
        self.after = After::Keep;
    }

    pub(super) fn then(&mut self, after: After) {
        self.after = after;
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= TRANSMIT_BYTES_MAX || self.pieces.len() >= PIECES_MAX
    }

    /// Appends a slice: the first as it is, since it is alone most of the time; with a second, small ones are copied.
    #[inline]
    pub(super) fn push(&mut self, slice: Slice) {
        self.bytes += slice.len();
        match self.alone.take() {
            None if self.pieces.is_empty() => self.alone = Some(slice),
            None => self.push_piece(slice),
            Some(first) => {
                self.push_piece(first);
                self.push_piece(slice);
            }
        }
    }

    fn push_piece(&mut self, slice: Slice) {
        if slice.len() > COPY_BYTES_MAX {
            return self.pieces.push_back(WritePiece::Shared(slice));
        }
        let begin = self.scratch.len();
        slice.pieces().for_each(|piece| self.scratch.extend_from_slice(piece));
        match self.pieces.back_mut() {
            Some(WritePiece::Copied { end, .. }) => *end = self.scratch.len(),
            Some(WritePiece::Shared(_)) | None => {
                self.pieces.push_back(WritePiece::Copied { start: begin, end: self.scratch.len() });
            }
        }
    }

    /// Takes out what is left, last first.
    pub(super) fn take_back(&mut self) -> Option<Slice> {
        let slice = match self.alone.take() {
            Some(slice) => slice,
            None => match self.pieces.pop_back()? {
                WritePiece::Shared(slice) => slice,
                WritePiece::Copied { start, end } => {
                    Slice::whole(Encoded::frames(self.scratch.get(start..end).unwrap_or(&[]).to_vec()))
                }
            },
        };
        self.bytes -= slice.len();
        Some(slice)
    }

    fn pieces_of<'a>(&'a self, piece: &'a WritePiece) -> PiecesFrom<'a> {
        match piece {
            WritePiece::Shared(slice) => slice.pieces(),
            WritePiece::Copied { start, end } => PiecesFrom::of(self.scratch.get(*start..*end).unwrap_or(&[])),
        }
    }
}

/// Frames up to this size are copied together when there are several: as cheap as a vectored write or cheaper.
const COPY_BYTES_MAX: usize = 4096;
/// About what one write takes.
pub(super) const TRANSMIT_BYTES_MAX: usize = 128 * 1024;
const PIECES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_go_out_as_one_piece_and_a_rest_comes_back() {
        let mut transmit = Transmit::new();
        transmit.begin();
        for text in ["4one", "4two", "4three"] {
            transmit.push(Slice::whole(Encoded::text(text)));
        }
        assert_eq!(transmit.single(), Some(&b"\x81\x044one\x81\x044two\x81\x064three"[..]));
        transmit.advance(3);
        let mut rest = Vec::new();
        while let Some(slice) = transmit.take_back() {
            rest.push(slice.single().unwrap().to_vec());
        }
        assert_eq!(rest, [b"one\x81\x044two\x81\x064three".to_vec()]);
        assert!(transmit.is_empty());
    }

    #[test]
    fn nothing_of_what_is_discarded_goes_out_later() {
        let mut transmit = Transmit::new();
        for frames in 1..4 {
            transmit.begin();
            (0..frames).for_each(|_| transmit.push(Slice::whole(Encoded::text("4gone"))));
            transmit.then(After::Close);
            transmit.discard();
            assert!(transmit.is_empty() && transmit.after() == After::Keep);
            transmit.push(Slice::whole(Encoded::text("4new")));
            assert_eq!(transmit.single(), Some(&b"\x81\x044new"[..]), "{frames}");
            transmit.discard();
        }
    }

    #[test]
    fn large_frames_are_not_copied() {
        let large = "4".repeat(10_000);
        let mut transmit = Transmit::new();
        transmit.begin();
        for text in ["4a", "4b", large.as_str(), "4c"] {
            transmit.push(Slice::whole(Encoded::text(text)));
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let count = transmit.slices(&mut slices);
        let sizes: Vec<_> = slices[..count].iter().map(|slice| slice.len()).collect();
        assert_eq!(sizes, [8, 10_004, 4]);
        assert_eq!(transmit.single(), None);
        transmit.advance(8 + 10_004);
        assert_eq!(transmit.single(), Some(&b"\x81\x024c"[..]));
    }

    #[test]
    fn a_transmit_is_full_by_its_bytes_or_by_its_pieces() {
        let whole = |bytes: usize| Slice::whole(Encoded::frames(vec![b'x'; bytes]));
        let mut transmit = Transmit::new();
        transmit.push(whole(TRANSMIT_BYTES_MAX - 1));
        assert!(!transmit.is_full());
        transmit.push(whole(1));
        assert!(transmit.is_full(), "{TRANSMIT_BYTES_MAX} bytes in two pieces");

        let mut transmit = Transmit::new();
        (1..PIECES_MAX).for_each(|_| transmit.push(whole(COPY_BYTES_MAX + 1)));
        assert!(!transmit.is_full());
        transmit.push(whole(COPY_BYTES_MAX + 1));
        assert!(transmit.is_full() && transmit.len() < TRANSMIT_BYTES_MAX, "as many pieces as one write takes");
    }

    #[test]
    fn a_socket_that_takes_nothing_has_not_advanced_and_one_that_takes_all_leaves_nothing() {
        let mut transmit = Transmit::new();
        transmit.push(Slice::whole(Encoded::text("4one")));
        transmit.advance(0);
        assert!(!transmit.was_advanced());
        transmit.advance(1);
        transmit.advance(1);
        assert!(transmit.was_advanced() && !transmit.is_empty());
        transmit.advance(transmit.len());
        assert!(transmit.was_advanced() && transmit.is_empty());
        assert!(transmit.single().is_none() && transmit.take_back().is_none());
    }
}
