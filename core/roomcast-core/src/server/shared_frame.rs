//! One frame for all peers that are sent the same bytes.
//!
//! An application sends a message to one peer at a time. The state of a document may have megabytes and hundreds of
//! takers: they share a frame as the members of a room do. Between two of them others are sent other things, so that
//! more than the last one is remembered.
//!
//! Owns: the longest messages and events that queues hold, and their frames. Must never know: who is sent them.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use bytestring::ByteString;

use super::encoded::Encoded;
use super::event::{Emit, Scope};
use crate::socket_io::Args;

/// The longest binary messages, and their frames for as long as a queue holds them.
#[derive(Debug, Default)]
pub(super) struct SharedFrame(Longest<Bytes>);

impl SharedFrame {
    /// A binary frame. The same `Bytes` (not only equal ones) give the same frame.
    pub(super) fn of(&mut self, payload: &Bytes) -> Arc<Encoded> {
        let encode = || Encoded::bare_binary(payload);
        let is_same = |other: &Bytes| place(other) == place(payload);
        self.0.of(payload.len(), is_same, || payload.clone(), encode)
    }
}

/// The longest events that were emitted to single sockets, and their packets for as long as a queue holds them.
#[derive(Debug, Default)]
pub(super) struct SharedEvent(Longest<(Scope, ByteString, Args)>);

impl SharedEvent {
    /// The packet of an event. The same arguments (not only equal ones) give the same packet.
    pub(super) fn of(&mut self, scope: &Scope, emit: &Emit, encode: impl FnOnce() -> Arc<Encoded>) -> Arc<Encoded> {
        let bytes = emit.args.json_bytes() + emit.args.attachments().iter().map(Bytes::len).sum::<usize>();
        let is_it = |(of, name, args): &(Scope, ByteString, Args)| {
            (of, name) == (scope, &emit.name) && is_same(args, &emit.args)
        };
        self.0.of(bytes, is_it, || (scope.clone(), emit.name.clone(), emit.args.clone()), encode)
    }
}

/// What long packets were made of, and the packets. What it was made of is held as well, so that its address is nothing
/// else's.
#[derive(Debug)]
struct Longest<K>(Vec<(K, Weak<Encoded>, usize)>);

impl<K> Default for Longest<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K> Longest<K> {
    fn of(
        &mut self,
        bytes: usize,
        is_it: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
        encode: impl FnOnce() -> Arc<Encoded>,
    ) -> Arc<Encoded> {
        // Nothing is kept longer than the queues keep its packet.
        self.0.retain(|(_, packet, _)| packet.strong_count() > 0);
        if bytes < SHARED_BYTES_MIN {
            return encode();
        }
        let known = self.0.iter().find(|(key, ..)| is_it(key));
        if let Some(packet) = known.and_then(|(_, packet, _)| packet.upgrade()) {
            return packet;
        }
        let packet = encode();
        if self.0.len() >= HELD_MAX {
            // To make a short one again costs the least.
            let shortest = self.0.iter().enumerate().min_by_key(|(_, (.., bytes))| *bytes);
            match shortest.map(|(index, (.., bytes))| (index, *bytes)) {
                Some((index, shortest)) if shortest <= bytes => drop(self.0.swap_remove(index)),
                Some(_) | None => return packet,
            }
        }
        self.0.push((key(), Arc::downgrade(&packet), bytes));
        packet
    }
}

fn is_same(one: &Args, other: &Args) -> bool {
    let pieces = |args| Args::json_pieces(args).iter().map(|piece| place(piece.as_bytes()));
    let attachments = |args| Args::attachments(args).iter().map(|bytes| place(bytes));
    pieces(one).eq(pieces(other)) && attachments(one).eq(attachments(other))
}

fn place(bytes: &[u8]) -> (*const u8, usize) {
    (bytes.as_ptr(), bytes.len())
}

/// Shorter messages are cheaper to copy than to look up and keep.
const SHARED_BYTES_MIN: usize = 1024;
/// Packets that are remembered: as many states of long documents as are joined at one time.
const HELD_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::config::EndpointId;
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
        let (held, len) = (Arc::downgrade(&first), first.len());
        drop(first);
        assert_eq!(held.strong_count(), 0, "nothing but the queues keeps a frame");
        assert_eq!(shared.of(&state).len(), len);
        let short = Bytes::from_static(b"short");
        assert!(!Arc::ptr_eq(&shared.of(&short), &shared.of(&short)));
    }

    /// Between two states, each member is told other things of some length: who is in, where the cursors are.
    #[test]
    fn what_is_sent_in_between_takes_no_place() {
        let mut shared = SharedFrame::default();
        let states: Vec<Bytes> = (0..3).map(|byte| Bytes::from(vec![byte; 50_000])).collect();
        let held: Vec<_> = states.iter().map(|state| shared.of(state)).collect();
        let mut others = Vec::new();
        for _ in 0..HELD_MAX * 3 {
            others.push(shared.of(&Bytes::from(vec![7; 2000])));
            assert!(states.iter().zip(&held).all(|(state, frame)| Arc::ptr_eq(frame, &shared.of(state))));
        }
        assert_eq!(shared.0.0.len(), HELD_MAX);
        drop((held, others));
        shared.of(&Bytes::new());
        assert!(shared.0.0.is_empty(), "nothing is kept that no queue holds");
    }

    #[test]
    fn of_too_many_the_longest_are_shared() {
        let mut shared = SharedFrame::default();
        let bytes = |len| Bytes::from(vec![7; len]);
        let states: Vec<Bytes> = (0..HELD_MAX).map(|at| bytes(3000 + at)).collect();
        let held: Vec<_> = states.iter().map(|state| shared.of(state)).collect();
        let mut is_shared = |state: &Bytes| Arc::ptr_eq(&shared.of(state), &shared.of(state));
        assert!(!is_shared(&bytes(2999)), "it would take the place of a longer one");
        let longer = bytes(5000);
        let first = shared.of(&longer);
        assert!(Arc::ptr_eq(&first, &shared.of(&longer)));
        let lost: Vec<usize> = (0..HELD_MAX).filter(|at| !Arc::ptr_eq(&held[*at], &shared.of(&states[*at]))).collect();
        assert_eq!(lost, [0], "the shortest made place");
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
        let mut of = |endpoint: u16, namespace: &str, emit: &Emit| {
            let scope = Scope { endpoint: EndpointId::new(endpoint), namespace: namespace.into() };
            let args = &emit.args;
            let write = |out: &mut Vec<u8>| out.extend_from_slice(args.json().as_bytes());
            shared.of(&scope, emit, || Encoded::packet(64, write, args.attachments()))
        };
        let first = of(0, "/", &emit(&json, &state));
        assert!(Arc::ptr_eq(&first, &of(0, "/", &emit(&json, &state))));
        for (endpoint, namespace, other) in [
            (0, "/a", emit(&json, &state)),
            // Another endpoint may have another parser.
            (1, "/", emit(&json, &state)),
            (0, "/", emit(&json, &state.slice(1..))),
            (0, "/", emit(&ByteString::from(json.to_string()), &state)),
            (0, "/", Emit { name: "other".into(), ..emit(&json, &state) }),
        ] {
            assert!(!Arc::ptr_eq(&first, &of(endpoint, namespace, &other)));
        }
        let held = Arc::downgrade(&first);
        drop(first);
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
            let scope = Scope { endpoint: EndpointId::new(0), namespace: "/".into() };
            let mut shared = SharedEvent::default();
            let mut of = || shared.of(&scope, &emit, || Encoded::text("4"));
            let first = of();
            assert_eq!(Arc::ptr_eq(&first, &of()), is_shared, "{json} and {state} bytes");
        }
    }
}
