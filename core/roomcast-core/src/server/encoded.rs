//! Packets encoded once for all recipients.
//!
//! Owns: [`Encoded`], a packet in the form that goes out, and [`Slice`], a part of one. Must never know: where it waits, or
//! who is sent what.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::config::Compression;
use crate::engine_io::PayloadWriter;
use crate::websocket::{Deflater, Opcode, SERVER_HEADER_BYTES_MAX, compressed_header, server_header};

/// One packet as it goes out: whole WebSocket frames, header and all. Server frames are not masked, so the same bytes
/// serve every recipient; the long-polling form is a part of them, or made once when the first poll wants it.
#[derive(Debug)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    /// The room in front of the first frame that its header did not need.
    start: usize,
    parts: EncodedParts,
    base64: OnceLock<Box<[Bytes]>>,
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
        let binary: usize = attachments.iter().map(|bytes| bytes.len() + SERVER_HEADER_BYTES_MAX).sum();
        let mut bytes = Vec::with_capacity(SERVER_HEADER_BYTES_MAX + capacity + binary);
        bytes.resize(SERVER_HEADER_BYTES_MAX, 0);
        write(&mut bytes);
        let start = put_header(&mut bytes, Opcode::Text);
        let first = Part { frame: start, payload: SERVER_HEADER_BYTES_MAX, end: bytes.len(), kind: PartKind::Text };
        if attachments.is_empty() {
            return Arc::new(Self {
                bytes,
                start,
                parts: EncodedParts::One(first),
                base64: OnceLock::new(),
                deflated: OnceLock::new(),
            });
        }
        let mut parts = Vec::with_capacity(1 + attachments.len());
        parts.push(first);
        for attachment in attachments {
            parts.push(append_binary(&mut bytes, attachment));
        }
        Arc::new(Self {
            bytes,
            start,
            parts: EncodedParts::Many(parts.into()),
            base64: OnceLock::new(),
            deflated: OnceLock::new(),
        })
    }

    /// An Engine.IO binary message.
    pub(super) fn binary(payload: &[u8]) -> Arc<Self> {
        let mut bytes = Vec::with_capacity(SERVER_HEADER_BYTES_MAX + payload.len());
        let part = append_binary(&mut bytes, payload);
        Arc::new(Self {
            bytes,
            start: 0,
            parts: EncodedParts::One(part),
            base64: OnceLock::new(),
            deflated: OnceLock::new(),
        })
    }

    /// A frame without a long-polling form.
    pub(super) fn frame(opcode: Opcode, payload: &[u8]) -> Arc<Self> {
        let header = server_header(opcode, payload.len());
        let mut bytes = Vec::with_capacity(header.as_slice().len() + payload.len());
        bytes.extend_from_slice(header.as_slice());
        let payload_start = bytes.len();
        bytes.extend_from_slice(payload);
        let part = |kind| EncodedParts::Bare(Part { frame: 0, payload: payload_start, end: bytes.len(), kind });
        let parts = match opcode {
            Opcode::Text => part(PartKind::Text),
            Opcode::Binary => part(PartKind::Binary),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => EncodedParts::Frames,
        };
        Arc::new(Self { bytes, start: 0, parts, base64: OnceLock::new(), deflated: OnceLock::new() })
    }

    /// Frames, encoded already, without a long-polling form.
    pub(super) fn frames(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            start: 0,
            parts: EncodedParts::Frames,
            base64: OnceLock::new(),
            deflated: OnceLock::new(),
        })
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
        match self.parts().get(index) {
            Some(part) if part.kind == PartKind::Text => self.bytes.get(part.payload..part.end).unwrap_or(&[]),
            Some(_) => self.base64_forms().get(index).map_or(&[], |form| form.as_ref()),
            None => &[],
        }
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
            let plain = self.bytes.get(part.payload..part.end).unwrap_or(&[]);
            payload.clear();
            let is_worth_it = (compression.threshold_bytes..=left).contains(&plain.len());
            if is_worth_it && deflater.deflate(plain, &mut payload) {
                left -= plain.len();
                bytes.extend_from_slice(compressed_header(part.kind.opcode(), payload.len()).as_slice());
                bytes.extend_from_slice(&payload);
            } else {
                bytes.extend_from_slice(self.bytes.get(part.frame..part.end).unwrap_or(&[]));
            }
        }
        bytes.shrink_to_fit();
        (left < compression.bytes_max).then(|| Self::frames(bytes))
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

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.packet.bytes.get(self.start..).unwrap_or(&[])
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.packet.bytes.len() - self.start
    }
}
