//! Socket.IO packets in MessagePack from strangers.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::socket_io::{
    Args, OutgoingPacket, PackedPacketCheck, Packet, PacketError, PacketLimits, PacketType, Parser, ack_args,
    split_event,
};

/// Invariant tested: bytes are decoded without a panic, the same in one piece and in steps; what is decoded is within the
/// limits, is JSON that may pass, and is decoded as the same again after it was sent on.
pub fn msgpack(data: &[u8]) {
    let whole = decode(data, usize::MAX);
    assert_eq!(whole, decode(data, 1));
    let Ok((packet, attachments)) = whole else { return };
    assert!(attachments.len() <= LIMITS.attachments_max as usize);
    assert!(packet.namespace.len() <= LIMITS.namespace_bytes_max);
    assert!(packet.data.len() <= data.len() * 14 + 64, "{} of {}", packet.data.len(), data.len());
    assert!(packet.data.is_empty() || serde_json::from_str::<&serde_json::value::RawValue>(&packet.data).is_ok());
    let Packet { kind, namespace, ack_id, data, .. } = &packet;
    let args = |json: ByteString| {
        let Ok(args) = Args::from_received(json, attachments.clone()) else {
            unreachable!("invariant: it was checked")
        };
        args
    };
    match kind {
        PacketType::Event => {
            let Ok((name, json)) = split_event(data) else { unreachable!("invariant: the packet is an event") };
            let (args, ack_id) = (args(json), *ack_id);
            same(&packet, &OutgoingPacket::Event { namespace, ack_id, name: &name, args: &args, offset: None });
        }
        PacketType::Ack => {
            let Ok(json) = ack_args(data) else { unreachable!("invariant: the packet is an ack") };
            let (args, ack_id) = (args(json), ack_id.unwrap_or_default());
            same(&packet, &OutgoingPacket::Ack { namespace, ack_id, args: &args });
        }
        PacketType::ConnectError => same(&packet, &OutgoingPacket::ConnectError { namespace, data }),
        PacketType::Connect | PacketType::Disconnect => {}
        PacketType::BinaryEvent | PacketType::BinaryAck => unreachable!("invariant: this form has no such types"),
    }
}

/// What is sent on is the same packet to its recipient, but for an id that its kind has not.
fn same(packet: &Packet, sent_on: &OutgoingPacket<'_>) {
    let mut out = Vec::new();
    Parser::MessagePack.encode(sent_on, &mut out);
    let Ok((read, attachments)) = decode(&out, usize::MAX) else { panic!("not read again: {out:x?}") };
    assert_eq!((read.kind, &read.namespace, &read.data), (packet.kind, &packet.namespace, &packet.data));
    assert_eq!(attachments.len(), sent_on.attachments().len());
}

fn decode(message: &[u8], bytes: usize) -> Result<(Packet, Vec<Bytes>), PacketError> {
    let mut check = PackedPacketCheck::begin(Bytes::copy_from_slice(message), &LIMITS)?;
    loop {
        if let Some(whole) = check.step(bytes)? {
            return Ok(whole);
        }
    }
}

const LIMITS: PacketLimits =
    PacketLimits { attachments_max: 4, namespace_bytes_max: 20, json_depth_max: 12, json_number_bytes_max: 40 };
