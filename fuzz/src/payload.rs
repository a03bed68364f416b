//! Bodies of long polling from strangers.

use bytes::Bytes;
use roomcast_core::engine_io::{Packet, PayloadWriter, decode_payload};

/// Invariant tested: a body is decoded without a panic into packets whose text is no longer than the body, an error
/// ends it, and the packets are decoded again from their own encoding.
pub fn payload(data: &[u8]) {
    let mut packets = Vec::new();
    let mut payload = decode_payload(Bytes::copy_from_slice(data));
    for packet in payload.by_ref() {
        match packet {
            Ok(packet) => packets.push(packet),
            Err(_) => break,
        }
    }
    assert!(payload.next().is_none(), "nothing comes after the end or an error");
    let carried: usize = packets.iter().map(carried_bytes).sum();
    assert!(carried <= data.len());
    if packets.is_empty() {
        return;
    }
    let mut writer = PayloadWriter::new();
    packets.iter().for_each(|packet| writer.push_packet(packet));
    assert_eq!(writer.packets(), packets.len());
    let again: Result<Vec<_>, _> = decode_payload(writer.finish()).collect();
    assert_eq!(again, Ok(packets));
}

fn carried_bytes(packet: &Packet) -> usize {
    match packet {
        Packet::Open(text) | Packet::Ping(text) | Packet::Pong(text) | Packet::Message(text) => text.len(),
        Packet::Binary(bytes) => bytes.len(),
        Packet::Close | Packet::Upgrade | Packet::Noop => 0,
    }
}
