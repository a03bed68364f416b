//! Engine.IO and Socket.IO packets from strangers.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::engine_io;
use roomcast_core::socket_io::{
    Args, Packet, PacketLimits, PacketType, ack_args, encode_ack, encode_event, split_event,
};

/// Invariant tested: text is decoded without a panic; what is decoded is decoded again from its own encoding; the
/// arguments of events and acks are what serde_json takes them for, can be cut anywhere, and make the same packet when
/// they are sent on.
pub fn packet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = ByteString::from(text);
    if let Ok(packet) = engine_io::Packet::decode_text(text.clone()) {
        let mut out = Vec::new();
        packet.encode_text(&mut out);
        assert_eq!(out, text.as_bytes()[..], "an Engine.IO packet has one form");
    }
    let Ok(packet) = Packet::decode(text, &LIMITS) else { return };
    let mut out = Vec::new();
    packet.encode(&mut out);
    assert_eq!(decode(out).as_ref(), Some(&packet));
    assert!(packet.namespace.starts_with('/') && packet.attachments <= LIMITS.attachments_max);
    match packet.kind {
        PacketType::Event | PacketType::BinaryEvent => {
            let Ok((name, json)) = split_event(&packet.data) else { unreachable!("invariant: the packet is an event") };
            let args = arguments(json, packet.attachments);
            let mut out = Vec::new();
            encode_event(&mut out, &packet.namespace, packet.ack_id, &name, &args);
            let relayed = decode(out).and_then(|relayed| split_event(&relayed.data).ok());
            let expected = ByteString::from(args.json());
            assert_eq!(relayed, Some((name, expected)), "a relay says what it heard");
        }
        PacketType::Ack | PacketType::BinaryAck => {
            let Ok(json) = ack_args(&packet.data) else { unreachable!("invariant: the packet is an ack") };
            let args = arguments(json, packet.attachments);
            let mut out = Vec::new();
            encode_ack(&mut out, &packet.namespace, packet.ack_id.unwrap_or(0), &args);
            let relayed = decode(out).and_then(|relayed| ack_args(&relayed.data).ok());
            assert_eq!(relayed.as_deref(), Some(args.json()));
        }
        PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => {}
    }
}

fn decode(text: Vec<u8>) -> Option<Packet> {
    Packet::decode(ByteString::try_from(text).ok()?, &LIMITS).ok()
}

/// The argument list, compared with serde_json's reading of it and cut in every place.
fn arguments(json: ByteString, attachments: u32) -> Args {
    let attachments = (0..attachments).map(|num| Bytes::from(num.to_be_bytes().to_vec())).collect();
    let args = Args::from_checked(json, attachments);
    let array = format!("[{}]", args.json());
    let Ok(values) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(&array) else {
        panic!("serde_json refuses {array}")
    };
    let values: Vec<&str> = values.into_iter().map(serde_json::value::RawValue::get).collect();
    assert_eq!(args.iter().collect::<Vec<_>>(), values);
    assert_eq!((args.len(), args.is_empty()), (values.len(), values.is_empty()));
    for first in 0..=values.len().min(CUTS_MAX) {
        let rest = args.slice_from(first);
        assert_eq!(rest.len(), values.len() - first);
        assert!(rest.attachments().len() <= args.attachments().len());
    }
    args
}

const LIMITS: PacketLimits =
    PacketLimits { attachments_max: 4, namespace_bytes_max: 20, json_depth_max: 12, json_number_bytes_max: 40 };

/// Each cut walks over the list.
const CUTS_MAX: usize = 8;
