//! What the WebSocket decoder allocates, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use roomcast_core::websocket::{Decoder, Fin, FrameLimits, Opcode, Role, WsMessage, encode_close, encode_frame};

#[test]
fn a_whole_frame_is_one_allocation_of_its_size() {
    for len in [1, 5, 125, 126, 5000, 100_000] {
        let payload = vec![b'a'; len];
        for (opcode, opcode_len_max) in
            [(Opcode::Text, usize::MAX), (Opcode::Binary, usize::MAX), (Opcode::Ping, 125), (Opcode::Pong, 125)]
        {
            if len > opcode_len_max {
                continue;
            }
            for (role, key) in [(Role::Server, Some([1, 2, 3, 4])), (Role::Client, None)] {
                let mut stream = Vec::new();
                encode_frame(&mut stream, Fin::Final, opcode, &payload, key);
                let mut decoder = Decoder::new(role);
                let (message, counted) = count(|| decoder.decode(&LIMITS, &mut &stream[..]));
                assert!(message.unwrap().is_some() && decoder.is_idle());
                assert_eq!(counted, Allocated { calls: 1, bytes: len, peak: len }, "{opcode:?} {role:?}");
            }
        }
    }
}

#[test]
fn an_empty_frame_is_no_allocation() {
    let mut decoder = Decoder::new(Role::Client);
    let (message, counted) = count(|| decoder.decode(&LIMITS, &mut &b"\x82\x00"[..]));
    assert!(message.unwrap().is_some());
    assert_eq!(counted.calls, 0);
}

#[test]
fn a_close_is_at_most_two_allocations() {
    let mut stream = Vec::new();
    encode_close(&mut stream, Some((roomcast_core::websocket::CloseCode::NORMAL, "bye")), None);
    let mut decoder = Decoder::new(Role::Client);
    let (message, counted) = count(|| decoder.decode(&LIMITS, &mut &stream[..]));
    assert!(message.unwrap().is_some() && counted.calls <= 2, "{counted:?}");
}

/// A frame that comes in many pieces ends in an allocation of exactly its size, and never holds twice that beside it.
#[test]
fn a_dripped_frame_grows_with_what_came() {
    let mut stream = Vec::new();
    encode_frame(&mut stream, Fin::Final, Opcode::Binary, &vec![7; 100_000], Some([1, 2, 3, 4]));
    let mut decoder = Decoder::new(Role::Server);
    let mut received = 0;
    let (message, counted) = count(|| {
        stream.chunks(100).find_map(|mut chunk| {
            received += chunk.len();
            let message = decoder.decode(&LIMITS, &mut chunk).unwrap();
            assert!(live() <= 2 * received + OVERHEAD_BYTES, "{} live after {received}", live());
            message
        })
    });
    let Some(WsMessage::Binary(payload)) = message else { panic!("the frame is whole") };
    assert_eq!(payload.len(), 100_000);
    assert!(counted.peak <= 2 * stream.len() + OVERHEAD_BYTES, "{counted:?}");
    // Exact, so it becomes `Bytes` without a further allocation, and can be taken back as it is.
    assert_eq!(Vec::from(payload).capacity(), 100_000);
}

/// The greatest lengths that can be announced, in every way, followed by little.
#[test]
fn what_is_announced_is_not_allocated() {
    let limits = FrameLimits { message_bytes_max: usize::MAX, fragments_max: u32::MAX };
    for first in [0x01, 0x02, 0x81, 0x82] {
        let stream = [&[first, 127][..], &(i64::MAX as u64).to_be_bytes(), b"little"].concat();
        let mut decoder = Decoder::new(Role::Client);
        let (decoded, counted) = count(|| decoder.decode(&limits, &mut &stream[..]));
        assert_eq!(decoded, Ok(None));
        assert!(counted.bytes <= 2 * stream.len() + OVERHEAD_BYTES, "{counted:?}");
    }
}

proptest! {
    /// Garbage, whole or in pieces, holds no more than a small multiple of its length at any time.
    #[test]
    fn garbage_allocates_in_proportion(
        client: bool,
        garbage in prop_oneof![vec(any::<u8>(), 0..2000), vec(frame_like(), 0..40).prop_map(|frames| frames.concat())],
        chunk_bytes in 1..300usize,
    ) {
        let limits = FrameLimits { message_bytes_max: usize::MAX, fragments_max: u32::MAX };
        let mut decoder = Decoder::new(if client { Role::Client } else { Role::Server });
        let ((), counted) = count(|| {
            for mut chunk in garbage.chunks(chunk_bytes) {
                while let Ok(Some(_)) = decoder.decode(&limits, &mut chunk) {}
            }
        });
        prop_assert!(counted.peak <= 3 * garbage.len() + OVERHEAD_BYTES, "{counted:?}");

        let mut decoder = Decoder::new(if client { Role::Client } else { Role::Server });
        let ((), counted) = count(|| {
            let mut input = &garbage[..];
            while let Ok(Some(_)) = decoder.decode(&limits, &mut input) {}
        });
        // Over its whole life, when it comes whole; each message in fragments needs its state once more.
        let partials = garbage.len() / 4 + 1;
        prop_assert!(counted.bytes <= 4 * garbage.len() + partials * OVERHEAD_BYTES, "{counted:?}");
    }
}

/// A server's frame with a good first byte and any length.
fn frame_like() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(vec![0x00u8, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8a]);
    (first, vec(any::<u8>(), 0..126), any::<Option<u64>>()).prop_map(|(first, payload, announced)| {
        let mut out = vec![first];
        match announced {
            Some(len) => {
                out.push(127);
                out.extend_from_slice(&(len >> 1).to_be_bytes());
            }
            None => out.push(payload.len() as u8),
        }
        out.extend_from_slice(&payload);
        out
    })
}

const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 1 << 20, fragments_max: 1000 };
/// The boxed state of an unfinished frame.
const OVERHEAD_BYTES: usize = 128;

/// What a piece of code allocated on its own thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Allocated {
    calls: usize,
    bytes: usize,
    /// The most that was held at once.
    peak: usize,
}

fn count<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    COUNTED.set(Allocated::default());
    LIVE.set(0);
    let result = work();
    (result, COUNTED.get())
}

fn live() -> usize {
    LIVE.get()
}

struct CountingAllocator;

impl CountingAllocator {
    fn grew(bytes: usize) {
        let live = LIVE.get().wrapping_add(bytes);
        LIVE.set(live);
        let counted = COUNTED.get();
        // Memory that was there before the count began may be freed during it: `live` is then below zero.
        let peak = if live as isize > 0 { counted.peak.max(live) } else { counted.peak };
        COUNTED.set(Allocated { calls: counted.calls + 1, bytes: counted.bytes + bytes, peak });
    }

    fn shrank(bytes: usize) {
        LIVE.set(LIVE.get().wrapping_sub(bytes));
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds, since the
// thread-local cells are constants without destructors.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::grew(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::shrank(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may stand side by side while the bytes move.
        Self::grew(size);
        Self::shrank(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

thread_local! {
    static COUNTED: Cell<Allocated> = const { Cell::new(Allocated { calls: 0, bytes: 0, peak: 0 }) };
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
