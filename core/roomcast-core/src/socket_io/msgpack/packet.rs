//! One Socket.IO packet in the form of `socket.io-msgpack-parser` (3.0,
//! [its source](https://github.com/socketio/socket.io-msgpack-parser)): a binary message that is a map of `type`, `nsp`,
//! `data` and `id`. Attachments stand among the data.
//!
//! Owns: this form in both directions. Must never know: the message around it, which namespaces exist, what an event means.

use bytes::Bytes;
use bytestring::ByteString;

use super::packed::{PackedHead, PackedReader, write_map, write_text, write_unsigned};
use super::values::{UnpackError, UnpackLimits, ValuesUnpacking, write_list, write_values};
use crate::socket_io::json::{self, JsonError, Placeholders};
use crate::socket_io::outgoing::OutgoingPacket;
use crate::socket_io::packet::{Packet, PacketError, PacketLimits, PacketType, fits};

/// The decoding of a packet in MessagePack, piece by piece.
///
/// The data becomes JSON text, at most six times as long as the message, with its bytes as attachments. It is held to the
/// limits of a packet as text: so many attachments, so deep. Members that the parser does not know are passed over.
#[derive(Debug)]
pub struct PackedPacketCheck {
    reader: PackedReader,
    limits: PacketLimits,
    bytes: usize,
    members_left: u32,
    under_way: Option<ValuesUnpacking>,
    kind: Option<PacketType>,
    namespace: Option<ByteString>,
    ack_id: Option<u64>,
    data: Option<(ByteString, Vec<Bytes>)>,
}

impl PackedPacketCheck {
    /// Reads the beginning of a message.
    ///
    /// # Errors
    ///
    /// [`PacketError::Empty`] without bytes, [`PacketError::Packed`] if it is no map, or one with more members than a packet
    /// has.
    pub fn begin(message: Bytes, limits: &PacketLimits) -> Result<Self, PacketError> {
        if message.is_empty() {
            return Err(PacketError::Empty);
        }
        let bytes = message.len();
        let mut reader = PackedReader::new(message);
        let Some(PackedHead::Map(members_left @ ..=MEMBERS_MAX)) = reader.head() else {
            return Err(PacketError::Packed);
        };
        let limits = *limits;
        let (under_way, kind, namespace, ack_id, data) = (None, None, None, None, None);
        Ok(Self { reader, limits, bytes, members_left, under_way, kind, namespace, ack_id, data })
    }

    /// Reads about `bytes` more. The packet and its attachments, once all of it is read.
    ///
    /// # Errors
    ///
    /// What is not as [`Packet`] says, once the reading comes to the place: see [`PacketError`]. A member that comes twice is
    /// one too.
    pub fn step(&mut self, bytes: usize) -> Result<Option<(Packet, Vec<Bytes>)>, PacketError> {
        let pause_at = self.reader.at().saturating_add(bytes);
        loop {
            if let Some(mut unpacking) = self.under_way.take() {
                let left = pause_at.saturating_sub(self.reader.at());
                if !unpacking.step(&mut self.reader, left).map_err(of_unpacking)? {
                    self.under_way = Some(unpacking);
                    return Ok(None);
                }
                self.data = Some(self.finish_data(unpacking)?);
            }
            let Some(left) = self.members_left.checked_sub(1) else { break };
            self.members_left = left;
            self.member()?;
        }
        if !self.reader.is_at_end() {
            return Err(PacketError::Packed);
        }
        self.packet().map(Some)
    }

    /// Length of the message, in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether the message is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn member(&mut self) -> Result<(), PacketError> {
        let key = self.reader.name().ok_or(PacketError::Packed)?;
        match &*key {
            "type" if self.kind.is_none() => self.kind = Some(self.read_kind()?),
            "nsp" if self.namespace.is_none() => self.namespace = Some(self.read_namespace()?),
            "id" if self.ack_id.is_none() => match self.reader.head() {
                Some(PackedHead::Unsigned(id)) => self.ack_id = Some(id),
                Some(undefined) if is_undefined(&undefined) => {}
                Some(_) | None => return Err(PacketError::AckId),
            },
            "data" if self.data.is_none() => {
                let mut ahead = self.reader.clone();
                if ahead.head().is_some_and(|head| is_undefined(&head)) {
                    self.reader = ahead;
                } else {
                    let limits = UnpackLimits {
                        depth_max: self.limits.json_depth_max as usize,
                        attachments_max: self.limits.attachments_max as usize,
                    };
                    self.under_way = Some(ValuesUnpacking::new(1, limits));
                }
            }
            "type" | "nsp" | "id" | "data" => return Err(PacketError::Packed),
            _ => {
                self.reader.skip().ok_or(PacketError::Packed)?;
            }
        }
        Ok(())
    }

    fn read_kind(&mut self) -> Result<PacketType, PacketError> {
        Ok(match self.reader.head() {
            Some(PackedHead::Unsigned(0)) => PacketType::Connect,
            Some(PackedHead::Unsigned(1)) => PacketType::Disconnect,
            Some(PackedHead::Unsigned(2)) => PacketType::Event,
            Some(PackedHead::Unsigned(3)) => PacketType::Ack,
            Some(PackedHead::Unsigned(4)) => PacketType::ConnectError,
            Some(_) | None => return Err(PacketError::UnknownType),
        })
    }

    fn read_namespace(&mut self) -> Result<ByteString, PacketError> {
        match self.reader.head() {
            Some(PackedHead::Text(range)) if range.len() > self.limits.namespace_bytes_max => {
                Err(PacketError::NamespaceTooLong)
            }
            Some(PackedHead::Text(range)) => {
                let text = self.reader.text(range);
                // What is no UTF-8 has become longer.
                if text.len() > self.limits.namespace_bytes_max {
                    return Err(PacketError::NamespaceTooLong);
                }
                // A part of the message would keep all of it in memory as long as the socket lives.
                Ok(ByteString::from(&*text))
            }
            Some(_) | None => Err(PacketError::Packed),
        }
    }

    fn finish_data(&self, unpacking: ValuesUnpacking) -> Result<(ByteString, Vec<Bytes>), PacketError> {
        let is_ambiguous = unpacking.is_ambiguous();
        let (data, attachments) = unpacking.finish().map_err(of_unpacking)?;
        if is_ambiguous {
            let count = u32::try_from(attachments.len()).unwrap_or(u32::MAX);
            json::check_value(&data, self.limits.json(), Placeholders::Attachments(count))
                .map_err(PacketError::Json)?;
            // As text it could not be told from the attachment.
            if json::placeholders(&data).len() != attachments.len() {
                return Err(PacketError::Json(JsonError::Placeholder));
            }
        }
        Ok((data, attachments))
    }

    fn packet(&mut self) -> Result<(Packet, Vec<Bytes>), PacketError> {
        let kind = self.kind.ok_or(PacketError::UnknownType)?;
        let namespace = self.namespace.take().ok_or(PacketError::Packed)?;
        let (data, attachments) = self.data.take().unwrap_or_default();
        let may_be_empty = matches!(kind, PacketType::Connect | PacketType::Disconnect);
        if !(fits(kind, &data) || data.is_empty() && may_be_empty) {
            return Err(PacketError::Data);
        }
        if kind == PacketType::Ack && self.ack_id.is_none() {
            return Err(PacketError::AckId);
        }
        Ok((Packet { kind, attachments: 0, namespace, ack_id: self.ack_id, data }, attachments))
    }
}

/// Appends a packet.
pub(in crate::socket_io) fn encode_packed(out: &mut Vec<u8>, packet: &OutgoingPacket<'_>) {
    let (kind, ack_id, has_data) = match *packet {
        OutgoingPacket::Connect { .. } => (0, None, true),
        OutgoingPacket::Disconnect { .. } => (1, None, false),
        OutgoingPacket::Event { ack_id, .. } => (2, ack_id, true),
        OutgoingPacket::Ack { ack_id, .. } => (3, Some(ack_id), true),
        OutgoingPacket::ConnectError { .. } => (4, None, true),
    };
    write_map(out, 2 + usize::from(has_data) + usize::from(ack_id.is_some()));
    write_text(out, "type");
    write_unsigned(out, kind);
    if has_data {
        write_text(out, "data");
    }
    match *packet {
        OutgoingPacket::Connect { data, .. } | OutgoingPacket::ConnectError { data, .. } => {
            write_values(out, data, &[])
        }
        OutgoingPacket::Disconnect { .. } => {}
        OutgoingPacket::Event { name, args, offset, .. } => {
            write_list(out, Some(name), args.json(), args.attachments(), offset);
        }
        OutgoingPacket::Ack { args, .. } => write_list(out, None, args.json(), args.attachments(), None),
    }
    if let Some(ack_id) = ack_id {
        write_text(out, "id");
        write_unsigned(out, ack_id);
    }
    write_text(out, "nsp");
    write_text(out, packet.namespace());
}

/// `undefined`, as notepack.io writes it before version 3.
fn is_undefined(head: &PackedHead) -> bool {
    matches!(head, PackedHead::FixedExtension(0, range) if range.len() == 1)
}

fn of_unpacking(error: UnpackError) -> PacketError {
    match error {
        UnpackError::Shape => PacketError::Packed,
        UnpackError::TooDeep => PacketError::Json(JsonError::TooDeep),
        UnpackError::TooManyAttachments => PacketError::TooManyAttachments,
    }
}

/// Members of a packet. The client writes five.
const MEMBERS_MAX: u32 = 16;
