//! Packets encoded once for all recipients.
//!
//! Owns: [`Encoded`], a packet in the form that goes out, and [`Slice`], a part of one. Must never know: where it waits, or
//! who is sent what.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

use super::config::Compression;
use super::packet_bytes::{PacketBytes, PacketWriter, PiecesFrom, own_bytes};
use crate::engine_io::PayloadWriter;
use crate::socket_io::{Args, OutgoingPacket, PacketForm, Parser};
use crate::websocket::{Deflater, Opcode, SERVER_HEADER_BYTES_MAX, compressed_header, server_header};

/// One packet as it goes out: whole WebSocket frames, header and all. Server frames are not masked, so the same bytes
/// serve every recipient; the long-polling form is a part of them, or made once when the first poll wants it.
#[derive(Debug)]
pub(super) struct Encoded {
    bytes: PacketBytes,
    /// The room in front of the first frame that its header did not need.
    start: usize,
    parts: EncodedParts,
    /// Long-polling forms that are no piece of the bytes.
    polling: OnceLock<Box<[Bytes]>>,
    /// The same with compressed messages, where that is shorter; made when the first recipient wants it.
    deflated: OnceLock<Option<Arc<Encoded>>>,
}

/// The Engine.IO packets in an [`Encoded`].
#[derive(Debug)]
enum EncodedParts {
    /// Frames without a long-polling form, to be sent as they are: control frames, and rests.
    Frames,
    /// A message of a bare WebSocket.
    Bare(Part),
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

impl PartKind {
    const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

impl Encoded {
    /// An Engine.IO text packet (with its type digit) and the binary messages that belong to it.
    pub(super) fn packet(capacity: usize, write: impl FnOnce(&mut Vec<u8>), attachments: &[Bytes]) -> Arc<Self> {
        Self::text_packet(capacity, |out| write(out.own()), attachments)
    }

    /// An Engine.IO text message.
    pub(super) fn text_message(text: &ByteString) -> Arc<Self> {
        let write = |out: &mut PacketWriter| {
            out.own().push(b'4');
            out.push(text.as_bytes());
        };
        Self::text_packet(1 + own_bytes(text.len()), write, &[])
    }

    fn text_packet(capacity: usize, write: impl FnOnce(&mut PacketWriter), attachments: &[Bytes]) -> Arc<Self> {
        let binary: usize = attachments.iter().map(|bytes| own_bytes(bytes.len()) + SERVER_HEADER_BYTES_MAX).sum();
        let (mut out, start, first) = first_part(PartKind::Text, capacity + binary, write);
        if attachments.is_empty() {
            return Self::made(out, start, EncodedParts::One(first));
        }
        let mut parts = Vec::with_capacity(1 + attachments.len());
        parts.push(first);
        for attachment in attachments {
            parts.push(append_binary(&mut out, attachment));
        }
        Self::made(out, start, EncodedParts::Many(parts.into()))
    }

    /// A Socket.IO packet in the form of its endpoint.
    pub(super) fn socket_packet(parser: &Parser, packet: &OutgoingPacket<'_>) -> Arc<Self> {
        let capacity = 1 + packet.frame_bytes();
        match (parser, parser.form()) {
            (Parser::Json, _) => {
                let pieces = packet.args().map_or(&[][..], Args::json_pieces);
                let own: usize = pieces.iter().map(|piece| own_bytes(piece.len())).sum();
                let write = |out: &mut PacketWriter| {
                    out.own().push(b'4');
                    packet.encode_front(out.own());
                    pieces.iter().for_each(|piece| out.push(piece.as_bytes()));
                    packet.encode_behind(out.own());
                };
                Self::text_packet(capacity + own, write, packet.attachments())
            }
            (_, PacketForm::Text) => {
                let write = |out: &mut PacketWriter| {
                    out.own().push(b'4');
                    parser.encode(packet, out.own());
                };
                Self::text_packet(capacity + packet.args().map_or(0, Args::json_bytes), write, &[])
            }
            (_, PacketForm::Binary) => {
                let attachments: usize = packet.attachments().iter().map(|bytes| bytes.len() + LENGTH_BYTES_MAX).sum();
                let capacity = capacity + packet.args().map_or(0, Args::json_bytes) + attachments;
                let (out, start, part) = first_part(PartKind::Binary, capacity, |out| parser.encode(packet, out.own()));
                Self::made(out, start, EncodedParts::One(part))
            }
        }
    }

    /// An Engine.IO binary message.
    pub(super) fn binary(payload: &Bytes) -> Arc<Self> {
        let mut out = PacketWriter::new(SERVER_HEADER_BYTES_MAX + own_bytes(payload.len()));
        let part = append_binary(&mut out, payload);
        Self::made(out, 0, EncodedParts::One(part))
    }

    /// A message of a bare WebSocket.
    pub(super) fn bare_text(text: &ByteString) -> Arc<Self> {
        Self::bare(Opcode::Text, PartKind::Text, text.as_bytes())
    }

    /// A message of a bare WebSocket.
    pub(super) fn bare_binary(payload: &Bytes) -> Arc<Self> {
        Self::bare(Opcode::Binary, PartKind::Binary, payload)
    }

    fn bare(opcode: Opcode, kind: PartKind, payload: &Bytes) -> Arc<Self> {
        let header = server_header(opcode, payload.len());
        let mut out = PacketWriter::new(header.as_slice().len() + own_bytes(payload.len()));
        out.own().extend_from_slice(header.as_slice());
        let payload_start = out.len();
        out.push(payload);
        let part = Part { frame: 0, payload: payload_start, end: out.len(), kind };
        Self::made(out, 0, EncodedParts::Bare(part))
    }

    /// A control frame.
    pub(super) fn control(opcode: Opcode, payload: &[u8]) -> Arc<Self> {
        let header = server_header(opcode, payload.len());
        Self::frames([header.as_slice(), payload].concat())
    }

    /// Frames, encoded already, without a long-polling form.
    pub(super) fn frames(bytes: Vec<u8>) -> Arc<Self> {
        let bytes = PacketBytes::Whole(bytes);
        let (polling, deflated) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { bytes, start: 0, parts: EncodedParts::Frames, polling, deflated })
    }

    fn made(out: PacketWriter, start: usize, parts: EncodedParts) -> Arc<Self> {
        let (bytes, polling, deflated) = (out.finish(), OnceLock::new(), OnceLock::new());
        Arc::new(Self { bytes, start, parts, polling, deflated })
    }

    /// Bytes on a WebSocket.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// An Engine.IO text packet, for tests.
    #[cfg(test)]
    pub(super) fn text(text: &str) -> Arc<Self> {
        Self::packet(text.len(), |out| out.extend_from_slice(text.as_bytes()), &[])
    }

    /// How many Engine.IO packets it is.
    pub(super) fn part_count(&self) -> usize {
        self.parts().len()
    }

    /// A packet's long-polling form.
    pub(super) fn polling_form(&self, index: usize) -> &[u8] {
        let Some(part) = self.parts().get(index) else { return &[] };
        let as_it_is = match part.kind {
            PartKind::Text => self.bytes.part_in_one_piece(part.payload..part.end),
            PartKind::Binary => None,
        };
        as_it_is.unwrap_or_else(|| self.polling_forms().get(index).map_or(&[], |form| form.as_ref()))
    }

    fn parts(&self) -> &[Part] {
        match &self.parts {
            EncodedParts::Frames | EncodedParts::Bare(_) => &[],
            EncodedParts::One(part) => std::slice::from_ref(part),
            EncodedParts::Many(parts) => parts,
        }
    }

    /// The same packet with compressed messages, if that is shorter. `None`: it goes out as it is.
    fn deflated(&self, compression: Compression, deflater: &mut Deflater) -> Option<&Arc<Self>> {
        if self.len() < compression.threshold_bytes {
            return None;
        }
        self.deflated.get_or_init(|| self.deflate(compression, deflater)).as_ref()
    }

    fn deflate(&self, compression: Compression, deflater: &mut Deflater) -> Option<Arc<Self>> {
        let parts = match &self.parts {
            EncodedParts::Bare(part) => std::slice::from_ref(part),
            EncodedParts::Frames | EncodedParts::One(_) | EncodedParts::Many(_) => self.parts(),
        };
        let (mut bytes, mut payload, mut left) = (Vec::new(), Vec::new(), compression.bytes_max);
        for part in parts {
            payload.clear();
            let plain_bytes = part.end - part.payload;
            let is_worth_it = (compression.threshold_bytes..=left).contains(&plain_bytes);
            if is_worth_it && deflater.deflate(&self.bytes.part(part.payload..part.end), &mut payload) {
                left -= plain_bytes;
                bytes.extend_from_slice(compressed_header(part.kind.opcode(), payload.len()).as_slice());
                bytes.extend_from_slice(&payload);
            } else {
                bytes.extend_from_slice(&self.bytes.part(part.frame..part.end));
            }
        }
        bytes.shrink_to_fit();
        (left < compression.bytes_max).then(|| Self::frames(bytes))
    }

    /// Each packet at its index: of a text that is in several pieces the whole, and of a binary one `b` and base64 (Engine.IO
    /// protocol, "Packet encoding").
    fn polling_forms(&self) -> &[Bytes] {
        self.polling.get_or_init(|| {
            let form = |part: &Part| match (part.kind, self.bytes.part(part.payload..part.end)) {
                (PartKind::Text, Cow::Borrowed(_)) => Bytes::new(),
                (PartKind::Text, Cow::Owned(text)) => text.into(),
                (PartKind::Binary, payload) => {
                    let mut form = PayloadWriter::new();
                    form.push_binary(&payload);
                    form.finish()
                }
            };
            self.parts().iter().map(form).collect()
        })
    }
}

/// Writes a packet behind the room for its header, and that into it; where the frame begins.
fn first_part(kind: PartKind, capacity: usize, write: impl FnOnce(&mut PacketWriter)) -> (PacketWriter, usize, Part) {
    let mut out = PacketWriter::new(SERVER_HEADER_BYTES_MAX + capacity);
    out.own().resize(SERVER_HEADER_BYTES_MAX, 0);
    write(&mut out);
    let payload_bytes = out.len() - SERVER_HEADER_BYTES_MAX;
    let start = put_header(out.front(), kind.opcode(), payload_bytes);
    let part = Part { frame: start, payload: SERVER_HEADER_BYTES_MAX, end: out.len(), kind };
    (out, start, part)
}

fn append_binary(out: &mut PacketWriter, payload: &Bytes) -> Part {
    let frame = out.len();
    out.own().extend_from_slice(server_header(Opcode::Binary, payload.len()).as_slice());
    let start = out.len();
    out.push(payload);
    Part { frame, payload: start, end: out.len(), kind: PartKind::Binary }
}

/// Writes the header right in front of the payload that begins behind the reserved room; where the frame begins.
fn put_header(bytes: &mut [u8], opcode: Opcode, payload_bytes: usize) -> usize {
    let header = server_header(opcode, payload_bytes);
    let header = header.as_slice();
    let start = SERVER_HEADER_BYTES_MAX - header.len();
    if let Some(room) = bytes.get_mut(start..SERVER_HEADER_BYTES_MAX) {
        room.copy_from_slice(header);
    }
    start
}

/// What MessagePack writes in front of bytes.
const LENGTH_BYTES_MAX: usize = 5;
/// What a compressed message refers to at most.
const FULL_WINDOW_BYTES: usize = 1 << 15;

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

    /// What is left of a packet after an earlier poll has taken so many of its parts.
    #[inline]
    pub(super) fn rest(packet: Arc<Encoded>, parts_taken: usize) -> Self {
        let start = match parts_taken {
            0 => packet.start,
            taken => packet.parts().get(taken).map_or(packet.start, |part| part.frame),
        };
        Self { packet, start }
    }

    /// The same for a peer that takes compressed messages and has a window of so many bytes for them.
    pub(super) fn deflated(
        packet: Arc<Encoded>,
        parts_taken: usize,
        compression: Compression,
        window_bytes: usize,
        deflater: &mut Deflater,
    ) -> Self {
        // What is no longer than the window needs none that is larger.
        if parts_taken == 0
            && (window_bytes >= FULL_WINDOW_BYTES || packet.len() <= window_bytes)
            && let Some(deflated) = packet.deflated(compression, deflater)
        {
            return Self::whole(deflated.clone());
        }
        Self::rest(packet, parts_taken)
    }

    /// Takes bytes off the front; as many as there are at most.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// The bytes that are left, piece by piece.
    #[inline]
    pub(super) fn pieces(&self) -> PiecesFrom<'_> {
        self.packet.bytes.pieces_from(self.start)
    }

    /// The same, if they are one piece.
    #[inline]
    pub(super) fn single(&self) -> Option<&[u8]> {
        let mut pieces = self.pieces();
        let first = pieces.next().unwrap_or(&[]);
        pieces.next().is_none().then_some(first)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.packet.bytes.len() - self.start
    }
}
