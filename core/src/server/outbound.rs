//! What is sent, encoded once, and where it waits.
//!
//! Owns: [`Encoded`] (a packet in the form that goes out, shared by all who get it), the queue of one session, and
//! [`Transmit`]. Must never know: who is sent what, or why.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::engine_io::{PACKETS_PER_ANSWER_MAX, PayloadWriter};
use crate::websocket::{Opcode, SERVER_HEADER_BYTES_MAX, server_header};

/// One packet as it goes out: whole WebSocket frames, header and all. Server frames are not masked, so the same bytes
/// serve every recipient; the long-polling form is a part of them, or made once when the first poll wants it.
#[derive(Debug)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    /// The room in front of the first frame that its header did not need.
    start: usize,
    parts: Parts,
    base64: OnceLock<Box<[Bytes]>>,
}

/// The Engine.IO packets in an [`Encoded`].
#[derive(Debug)]
enum Parts {
    /// Frames without a long-polling form: control frames and messages of bare WebSockets.
    Frames,
    One(Part),
    Many(Box<[Part]>),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    frame: usize,
    payload: usize,
    end: usize,
    kind: PartKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartKind {
    Text,
    Binary,
}

impl Encoded {
    /// An Engine.IO text packet (with its type digit) and the binary messages that belong to it.
    pub(super) fn packet(capacity: usize, write: impl FnOnce(&mut Vec<u8>), attachments: &[Bytes]) -> Arc<Self> {
        let binary: usize = attachments.iter().map(|bytes| bytes.len() + SERVER_HEADER_BYTES_MAX).sum();
        let mut bytes = Vec::with_capacity(SERVER_HEADER_BYTES_MAX + capacity + binary);
        bytes.resize(SERVER_HEADER_BYTES_MAX, 0);
        write(&mut bytes);
        let start = put_header(&mut bytes, Opcode::Text);
        let first = Part { frame: start, payload: SERVER_HEADER_BYTES_MAX, end: bytes.len(), kind: PartKind::Text };
        if attachments.is_empty() {
            return Arc::new(Self { bytes, start, parts: Parts::One(first), base64: OnceLock::new() });
        }
        let mut parts = Vec::with_capacity(1 + attachments.len());
        parts.push(first);
        for attachment in attachments {
            parts.push(append_binary(&mut bytes, attachment));
        }
        Arc::new(Self { bytes, start, parts: Parts::Many(parts.into()), base64: OnceLock::new() })
    }

    /// An Engine.IO binary message.
    pub(super) fn binary(payload: &[u8]) -> Arc<Self> {
        let mut bytes = Vec::with_capacity(SERVER_HEADER_BYTES_MAX + payload.len());
        let part = append_binary(&mut bytes, payload);
        Arc::new(Self { bytes, start: 0, parts: Parts::One(part), base64: OnceLock::new() })
    }

    /// A frame without a long-polling form.
    pub(super) fn frame(opcode: Opcode, payload: &[u8]) -> Arc<Self> {
        let header = server_header(opcode, payload.len());
        let mut bytes = Vec::with_capacity(header.as_slice().len() + payload.len());
        bytes.extend_from_slice(header.as_slice());
        bytes.extend_from_slice(payload);
        Self::frames(bytes)
    }

    /// Frames, encoded already, without a long-polling form.
    pub(super) fn frames(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes, start: 0, parts: Parts::Frames, base64: OnceLock::new() })
    }

    /// Bytes on a WebSocket.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// How many Engine.IO packets it is.
    fn part_count(&self) -> usize {
        self.parts().len()
    }

    /// A packet's long-polling form.
    fn polling_form(&self, index: usize) -> &[u8] {
        match self.parts().get(index) {
            Some(part) if part.kind == PartKind::Text => self.bytes.get(part.payload..part.end).unwrap_or(&[]),
            Some(_) => self.base64_forms().get(index).map_or(&[], |form| form.as_ref()),
            None => &[],
        }
    }

    fn parts(&self) -> &[Part] {
        match &self.parts {
            Parts::Frames => &[],
            Parts::One(part) => std::slice::from_ref(part),
            Parts::Many(parts) => parts,
        }
    }

    /// `b` and base64 of each binary packet, at the packet's index (Engine.IO protocol, "Packet encoding").
    fn base64_forms(&self) -> &[Bytes] {
        self.base64.get_or_init(|| {
            let form = |part: &Part| match part.kind {
                PartKind::Text => Bytes::new(),
                PartKind::Binary => {
                    let payload = self.bytes.get(part.payload..part.end).unwrap_or(&[]);
                    let mut form = PayloadWriter::new();
                    form.push_binary(payload);
                    form.finish()
                }
            };
            self.parts().iter().map(form).collect()
        })
    }
}

fn append_binary(bytes: &mut Vec<u8>, payload: &[u8]) -> Part {
    let frame = bytes.len();
    bytes.extend_from_slice(server_header(Opcode::Binary, payload.len()).as_slice());
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    Part { frame, payload: start, end: bytes.len(), kind: PartKind::Binary }
}

/// Writes the header right in front of the payload that begins behind the reserved room; where the frame begins.
fn put_header(bytes: &mut [u8], opcode: Opcode) -> usize {
    let header = server_header(opcode, bytes.len() - SERVER_HEADER_BYTES_MAX);
    let header = header.as_slice();
    let start = SERVER_HEADER_BYTES_MAX - header.len();
    if let Some(room) = bytes.get_mut(start..SERVER_HEADER_BYTES_MAX) {
        room.copy_from_slice(header);
    }
    start
}

/// A part of an [`Encoded`], as bytes of a WebSocket.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    packet: Arc<Encoded>,
    start: usize,
}

impl Slice {
    pub(super) fn whole(packet: Arc<Encoded>) -> Self {
        Self { start: packet.start, packet }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.packet.bytes.get(self.start..).unwrap_or(&[])
    }

    pub(super) fn len(&self) -> usize {
        self.packet.bytes.len() - self.start
    }
}

/// How a session takes what is sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing goes out now: an upgrade is between its two transports.
    #[default]
    Held,
    /// Long polling, and no poll waits.
    NoPoll,
    /// Long polling, and a poll waits.
    PollWaits,
    /// A WebSocket whose socket takes bytes, as far as is known.
    Open,
    /// A WebSocket whose socket has refused bytes.
    Blocked,
}

/// What waits for one session. Small and dense: a broadcast touches one of these per recipient and nothing else.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    queue: VecDeque<Arc<Encoded>>,
    bytes: usize,
    /// What had piled up already when the peer last fell behind, in bytes: the hard limit does not count it.
    forgiven: usize,
    /// Packets of the first in the queue that an earlier poll has taken.
    parts_taken: u32,
    pub(super) flow: Flow,
    /// Whether the driver has been told that there is something.
    pub(super) announced: bool,
}

/// What came of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits behind others.
    Queued,
    /// It is the first that the driver does not know of.
    Announce,
    /// Volatile, and the peer is behind.
    Dropped,
    /// It waits, and the queue is over its hard limit while the peer takes nothing.
    TooSlow,
}

impl Outbound {
    /// Appends a packet that must arrive.
    #[inline]
    pub(super) fn push(&mut self, packet: &Arc<Encoded>, queue_bytes_max: usize) -> Pushed {
        // One packet is never refused, whatever its size: the limit is on what piles up.
        let first = self.queue.is_empty();
        self.bytes += packet.len();
        self.queue.push_back(Arc::clone(packet));
        if self.bytes > queue_bytes_max
            && !first
            && matches!(self.flow, Flow::Blocked | Flow::NoPoll | Flow::Held)
            && self.bytes - self.forgiven.min(self.bytes) > queue_bytes_max
        {
            return Pushed::TooSlow;
        }
        if std::mem::replace(&mut self.announced, true) { Pushed::Queued } else { Pushed::Announce }
    }

    /// Appends a packet that may be lost, unless the peer is behind.
    #[inline]
    pub(super) fn push_volatile(&mut self, packet: &Arc<Encoded>, queue_soft_bytes: usize) -> Pushed {
        if self.bytes > queue_soft_bytes || matches!(self.flow, Flow::NoPoll | Flow::Held) {
            return Pushed::Dropped;
        }
        self.push(packet, usize::MAX)
    }

    /// The peer takes no more for now. What was queued while it took all that there was is forgiven until it has caught
    /// up: nobody is too slow for what came all at once. It does not grow meanwhile, however little the peer takes.
    pub(super) fn fall_behind(&mut self, flow: Flow) {
        self.flow = flow;
        if self.forgiven == 0 {
            self.forgiven = self.bytes;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next packet for a WebSocket.
    pub(super) fn pop(&mut self) -> Option<Slice> {
        let packet = self.queue.pop_front()?;
        let taken = std::mem::take(&mut self.parts_taken) as usize;
        let start = packet.parts().get(taken).filter(|_| taken > 0).map_or(packet.start, |part| part.frame);
        self.bytes -= packet.len();
        self.caught_up();
        Some(Slice { packet, start })
    }

    /// Takes packets for the answer of a poll: until it is full, leaving room for `reserved` more, or has about
    /// `bytes_max`; at least one.
    pub(super) fn pop_polling(&mut self, reserved: usize, bytes_max: usize, body: &mut PayloadWriter) {
        let packets_max = PACKETS_PER_ANSWER_MAX - reserved;
        while let Some(packet) = self.queue.front() {
            while body.packets() < packets_max
                && (body.is_empty() || body.bytes() < bytes_max)
                && (self.parts_taken as usize) < packet.part_count()
            {
                body.push(packet.polling_form(self.parts_taken as usize));
                self.parts_taken += 1;
            }
            if (self.parts_taken as usize) < packet.part_count() {
                break;
            }
            self.bytes -= packet.len();
            self.parts_taken = 0;
            self.queue.pop_front();
        }
        self.caught_up();
    }

    /// Empty again, for the next session in this place.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// A queue that was long once does not stay large; the usual small one stays and is used again.
    fn caught_up(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        self.forgiven = 0;
        if self.queue.capacity() > KEPT_CAPACITY_MAX {
            self.queue = VecDeque::new();
        }
    }
}

/// Places in an empty queue that are kept: 64 packets are what a busy room coalesces in a turn.
const KEPT_CAPACITY_MAX: usize = 64;
/// Frames up to this size are copied together when there are several: as cheap as a vectored write or cheaper.
const COPY_BYTES_MAX: usize = 4096;
/// About what one write takes.
pub(super) const TRANSMIT_BYTES_MAX: usize = 128 * 1024;
const PIECES_MAX: usize = 16;

/// Frames for one write. The driver keeps one and uses it for all connections.
///
/// Write [`slices`](Self::slices) (or [`single`](Self::single)), say [`advance`](Self::advance), and repeat until
/// [`is_empty`](Self::is_empty); then do what [`after`](Self::after) says. When the socket takes no more, give the rest
/// back with [`Server::handle_refused`](super::Server::handle_refused); when it breaks, [`discard`](Self::discard) it.
#[derive(Debug, Default)]
pub struct Transmit {
    pieces: VecDeque<Piece>,
    scratch: Vec<u8>,
    bytes: usize,
    advanced: bool,
    after: After,
}

#[derive(Debug)]
enum Piece {
    Shared(Slice),
    Copied { start: usize, end: usize },
}

/// What follows a transmit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// Go on.
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
        Self { pieces: VecDeque::new(), scratch: Vec::new(), bytes: 0, advanced: false, after: After::Keep }
    }

    /// Fills `slices` from the front with what is to be written; how many. There are 16 at most.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(self.bytes_of(piece));
            count += 1;
        }
        count
    }

    /// The whole of it, if it is in one piece: the usual case.
    pub fn single(&self) -> Option<&[u8]> {
        match self.pieces.front() {
            Some(piece) if self.pieces.len() == 1 => Some(self.bytes_of(piece)),
            Some(_) | None => None,
        }
    }

    /// The socket took this many bytes.
    pub fn advance(&mut self, written: usize) {
        let mut left = written.min(self.bytes);
        self.bytes -= left;
        self.advanced |= left > 0;
        while let Some(piece) = self.pieces.front_mut() {
            let len = match piece {
                Piece::Shared(slice) => slice.len(),
                Piece::Copied { start, end } => *end - *start,
            };
            if left < len {
                match piece {
                    Piece::Shared(slice) => slice.start += left,
                    Piece::Copied { start, .. } => *start += left,
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

    pub(super) fn begin(&mut self) {
        debug_assert!(self.is_empty(), "a rest that a socket refused is given back, not dropped");
        self.discard();
    }

    /// Whether the socket took any of it.
    pub(super) fn was_advanced(&self) -> bool {
        self.advanced
    }

    /// Drops what is left, of a stream that broke.
    pub fn discard(&mut self) {
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

    /// Appends a slice: the first as it is, since it is alone most of the time; with a second small one, copied.
    pub(super) fn push(&mut self, slice: Slice) {
        self.bytes += slice.len();
        if let (1, Some(Piece::Shared(first))) = (self.pieces.len(), self.pieces.front())
            && first.len() <= COPY_BYTES_MAX
        {
            self.scratch.extend_from_slice(first.as_bytes());
            self.pieces.clear();
            self.pieces.push_back(Piece::Copied { start: 0, end: self.scratch.len() });
        }
        if self.pieces.is_empty() || slice.len() > COPY_BYTES_MAX {
            self.pieces.push_back(Piece::Shared(slice));
            return;
        }
        let begin = self.scratch.len();
        self.scratch.extend_from_slice(slice.as_bytes());
        match self.pieces.back_mut() {
            Some(Piece::Copied { end, .. }) => *end = self.scratch.len(),
            Some(Piece::Shared(_)) | None => {
                self.pieces.push_back(Piece::Copied { start: begin, end: self.scratch.len() });
            }
        }
    }

    /// Takes out what is left, last first.
    pub(super) fn take_back(&mut self) -> Option<Slice> {
        let piece = self.pieces.pop_back()?;
        let slice = match piece {
            Piece::Shared(slice) => slice,
            Piece::Copied { start, end } => {
                Slice::whole(Encoded::frames(self.scratch.get(start..end).unwrap_or(&[]).to_vec()))
            }
        };
        self.bytes -= slice.len();
        Some(slice)
    }

    fn bytes_of<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match piece {
            Piece::Shared(slice) => slice.as_bytes(),
            Piece::Copied { start, end } => self.scratch.get(*start..*end).unwrap_or(&[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_go_out_as_one_piece_and_a_rest_comes_back() {
        let mut transmit = Transmit::new();
        transmit.begin();
        for text in ["4one", "4two", "4three"] {
            transmit.push(Slice::whole(text_packet(text)));
        }
        assert_eq!(transmit.single(), Some(&b"\x81\x044one\x81\x044two\x81\x064three"[..]));
        transmit.advance(3);
        let mut rest = Vec::new();
        while let Some(slice) = transmit.take_back() {
            rest.push(slice.as_bytes().to_vec());
        }
        assert_eq!(rest, [b"one\x81\x044two\x81\x064three".to_vec()]);
        assert!(transmit.is_empty());
    }

    #[test]
    fn large_frames_are_not_copied() {
        let large = "4".repeat(10_000);
        let mut transmit = Transmit::new();
        transmit.begin();
        for text in ["4a", "4b", large.as_str(), "4c"] {
            transmit.push(Slice::whole(text_packet(text)));
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
    fn a_poll_takes_part_of_a_packet_and_a_websocket_the_rest() {
        let mut outbound = Outbound { flow: Flow::NoPoll, ..Outbound::default() };
        let attachments = [Bytes::from_static(b"\x01\x02"), Bytes::from_static(b"\x03")];
        let packet = Encoded::packet(8, |out| out.extend_from_slice(b"452-[\"x\"]"), &attachments);
        assert_eq!(outbound.push(&packet, 100), Pushed::Announce);
        let mut body = PayloadWriter::new();
        outbound.pop_polling(PACKETS_PER_ANSWER_MAX - 2, 1000, &mut body);
        assert_eq!(body.finish(), &b"452-[\"x\"]\x1ebAQI="[..]);
        assert_eq!(outbound.pop().unwrap().as_bytes(), b"\x82\x01\x03");
        assert_eq!((outbound.bytes(), outbound.is_empty()), (0, true));
    }

    #[test]
    fn limits_are_judged_only_where_the_peer_takes_nothing() {
        let packet = text_packet("4abcdefgh");
        let mut outbound = Outbound { flow: Flow::Open, ..Outbound::default() };
        for _ in 0..10 {
            assert_ne!(outbound.push(&packet, 20), Pushed::TooSlow);
        }
        assert_eq!(outbound.push_volatile(&packet, 20), Pushed::Dropped);
        outbound.flow = Flow::Blocked;
        assert_eq!(outbound.push(&packet, 20), Pushed::TooSlow);
        let mut empty = Outbound { flow: Flow::Blocked, ..Outbound::default() };
        assert_eq!(empty.push(&packet, 1), Pushed::Announce, "the first of an empty queue is never refused");
    }

    fn text_packet(text: &str) -> Arc<Encoded> {
        Encoded::packet(text.len(), |out| out.extend_from_slice(text.as_bytes()), &[])
    }
}
