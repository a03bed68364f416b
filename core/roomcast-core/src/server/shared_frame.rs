//! One frame for all peers that are sent the same bytes.
//!
//! An application sends a message to one peer at a time. The state of a document may have megabytes and hundreds of
//! takers: they share a frame as the members of a room do.
//!
//! Owns: the last long message, the last long event, and their frames. Must never know: who is sent them.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use bytestring::ByteString;

use super::encoded::Encoded;
use super::event::Emit;
use crate::socket_io::Args;
use crate::websocket::Opcode;

/// The last long binary message, and its frame for as long as a queue holds it.
#[derive(Debug, Default)]
pub(super) struct SharedFrame(Option<(Bytes, Weak<Encoded>)>);

impl SharedFrame {
    /// A binary frame. The same `Bytes` (not only equal ones) as last time give the same frame.
    pub(super) fn of(&mut self, payload: &Bytes) -> Arc<Encoded> {
        // The bytes are not kept longer than the queues keep their frame.
        self.0.take_if(|(_, frame)| frame.strong_count() == 0);
        if payload.len() < SHARED_BYTES_MIN {
            return Encoded::frame(Opcode::Binary, payload);
        }
        if let Some((last, frame)) = &self.0
            // The last ones are still held, so that their address is nothing else's.
            && (last.as_ptr(), last.len()) == (payload.as_ptr(), payload.len())
            && let Some(frame) = frame.upgrade()
        {
            return frame;
        }
        let frame = Encoded::frame(Opcode::Binary, payload);
        self.0 = Some((payload.clone(), Arc::downgrade(&frame)));
        frame
    }
}

/// The last long event that was emitted to a single socket, and its packet for as long as a queue holds it.
#[derive(Debug, Default)]
pub(super) struct SharedEvent(Option<(ByteString, ByteString, Args, Weak<Encoded>)>);

impl SharedEvent {
    /// The packet of an event. The same arguments (not only equal ones) as last time give the same packet.
    pub(super) fn of(
        &mut self,
        namespace: &ByteString,
        emit: &Emit,
        encode: impl FnOnce() -> Arc<Encoded>,
    ) -> Arc<Encoded> {
        self.0.take_if(|(.., packet)| packet.strong_count() == 0);
        let bytes = emit.args.json().len() + emit.args.attachments().iter().map(Bytes::len).sum::<usize>();
        if bytes < SHARED_BYTES_MIN {
            return encode();
        }
        if let Some((of, name, args, packet)) = &self.0
            && (of, name) == (namespace, &emit.name)
            && is_same(args, &emit.args)
            && let Some(packet) = packet.upgrade()
        {
            return packet;
        }
        let packet = encode();
        self.0 = Some((namespace.clone(), emit.name.clone(), emit.args.clone(), Arc::downgrade(&packet)));
        packet
    }
}

fn is_same(one: &Args, other: &Args) -> bool {
    let place = |bytes: &[u8]| (bytes.as_ptr(), bytes.len());
    let places = |args: &Args| args.attachments().iter().map(|bytes| place(bytes)).collect::<Vec<_>>();
    place(one.json().as_bytes()) == place(other.json().as_bytes()) && places(one) == places(other)
}

/// Shorter messages are cheaper to copy than to look up and keep.
const SHARED_BYTES_MIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::super::event::{Delivery, Target};
    use super::*;
    use crate::id::SlabKey;
    use crate::server::SocketId;

    #[test]
    fn the_same_bytes_share_a_frame_while_it_is_held() {
        let mut shared = SharedFrame::default();
        let (state, other) = (Bytes::from(vec![7; 5000]), Bytes::from(vec![7; 5000]));
        let first = shared.of(&state);
        assert!(Arc::ptr_eq(&first, &shared.of(&state.clone())));
        assert!(!Arc::ptr_eq(&first, &shared.of(&state.slice(1..))));
        assert!(!Arc::ptr_eq(&first, &shared.of(&other)), "equal bytes of another owner");
        let again = shared.of(&state);
        let held = Arc::downgrade(&again);
        drop(again);
        assert_eq!(held.strong_count(), 0, "nothing but the queues keeps a frame");
        assert_eq!(shared.of(&state).len(), first.len());
        let short = Bytes::from_static(b"short");
        assert!(!Arc::ptr_eq(&shared.of(&short), &shared.of(&short)));
    }

    #[test]
    fn the_same_long_event_shares_a_packet_while_it_is_held() {
        let state = Bytes::from(vec![7; 5000]);
        let emit = |json: &ByteString, state: &Bytes| Emit {
            target: Target::Socket(SocketId::from_parts(0, 0)),
            name: "state".into(),
            args: Args::from_checked(json.clone(), vec![state.clone()]),
            delivery: Delivery::Reliable,
            ack: None,
        };
        let (mut shared, json) = (SharedEvent::default(), ByteString::from(r#"{"_placeholder":true,"num":0}"#));
        let mut of = |namespace: &str, emit: &Emit| {
            let (args, namespace) = (&emit.args, ByteString::from(namespace));
            let write = |out: &mut Vec<u8>| out.extend_from_slice(args.json().as_bytes());
            shared.of(&namespace, emit, || Encoded::packet(64, write, args.attachments()))
        };
        let first = of("/", &emit(&json, &state));
        assert!(Arc::ptr_eq(&first, &of("/", &emit(&json, &state))));
        for (namespace, other) in [
            ("/a", emit(&json, &state)),
            ("/", emit(&json, &state.slice(1..))),
            ("/", emit(&ByteString::from(json.to_string()), &state)),
            ("/", Emit { name: "other".into(), ..emit(&json, &state) }),
        ] {
            assert!(!Arc::ptr_eq(&first, &of(namespace, &other)));
        }
        let again = of("/", &emit(&json, &state));
        let held = Arc::downgrade(&again);
        drop(again);
        assert_eq!(held.strong_count(), 0, "nothing but the queues keeps a packet");
    }

    #[test]
    fn a_message_is_shared_from_the_least_length_on() {
        let mut shared = SharedFrame::default();
        for (bytes, is_shared) in [(SHARED_BYTES_MIN - 1, false), (SHARED_BYTES_MIN, true)] {
            let payload = Bytes::from(vec![7; bytes]);
            let first = shared.of(&payload);
            assert_eq!(Arc::ptr_eq(&first, &shared.of(&payload)), is_shared, "{bytes} bytes");
        }
    }

    #[test]
    fn an_event_is_as_long_as_its_text_and_its_attachments_together() {
        for (json, state, is_shared) in [(1024, 0, true), (1023, 1, true), (1023, 0, false), (600, 423, false)] {
            let attachments = if state == 0 { Vec::new() } else { vec![Bytes::from(vec![7; state])] };
            let args = Args::from_checked(ByteString::from("x".repeat(json)), attachments);
            let target = Target::Socket(SocketId::from_parts(0, 0));
            let emit = Emit { target, name: "state".into(), args, delivery: Delivery::Reliable, ack: None };
            let (mut shared, namespace) = (SharedEvent::default(), ByteString::from("/"));
            let mut of = || shared.of(&namespace, &emit, || Encoded::text("4"));
            let first = of();
            assert_eq!(Arc::ptr_eq(&first, &of()), is_shared, "{json} and {state} bytes");
        }
    }
}
