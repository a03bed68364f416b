//! Decoding allocates at most a small multiple of the input, regardless of the lengths announced in it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::{engine_io, socket_io};

#[test]
fn decoding_a_packet_allocates_nothing_of_its_own() {
    let limits = socket_io::PacketLimits::default();
    for text in [
        r#"2/nsp,17["message","héllo",{"a":[1,2,3],"b":{"c":null}},-1.5e3]"#.to_owned(),
        r#"52-["m",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#.to_owned(),
        format!(r#"2["m",{}]"#, "[".repeat(127) + &"]".repeat(127)),
        format!(r#"2["m",{}"#, "[".repeat(100_000)),
        format!("2[\"{}\"]", "x".repeat(100_000)),
        format!("2[\"m\",{}]", "9".repeat(100_000)),
        format!("5{}-[\"m\"]", "9".repeat(100_000)),
        format!("0/{},", "n".repeat(100_000)),
        format!("2{}[\"m\"]", "1".repeat(100_000)),
    ] {
        let text = shared(text);
        let allocated = allocated_by(|| {
            if let Ok(packet) = socket_io::Packet::decode(text.clone(), &limits) {
                let (_, args) = socket_io::split_event(&packet.data).expect("an event");
                assert!(socket_io::Args::from_checked(args, Vec::new()).slice_from(1).len() < 4);
            }
        });
        assert_eq!(allocated, 0, "{}", &text[..text.len().min(40)]);
    }
}

#[test]
fn deep_texts_cost_a_bit_a_level_where_the_limit_allows_them() {
    let limits = socket_io::PacketLimits { json_depth_max: u32::MAX, ..Default::default() };
    let text = shared(format!("2[\"m\",{}]", "[".repeat(200_000) + &"]".repeat(200_000)));
    let allocated = allocated_by(|| assert!(socket_io::Packet::decode(text.clone(), &limits).is_ok()));
    // A growing list of bits may have been copied once.
    assert!(allocated < text.len() / 4, "{allocated}");
}

#[test]
fn escaped_names_and_keys_cost_no_more_than_their_length() {
    let keys = r#""\u005fplaceholder":null,"#.repeat(5_000);
    let text = shared(format!(r#"51-["{}",{{{keys}"num":0}}]"#, r"\u0041\ud83d".repeat(5_000)));
    let allocated = allocated_by(|| {
        let packet = socket_io::Packet::decode(text.clone(), &Default::default()).expect("a packet");
        assert_eq!(socket_io::split_event(&packet.data).expect("an event").0.chars().count(), 10_000);
    });
    assert!(allocated <= 2 * text.len(), "{allocated}");
}

#[test]
fn renumbering_costs_a_small_multiple() {
    let kept = r#"{"_placeholder":true,"num":9}"#;
    let values =
        ByteString::from(format!(r#"{{"_placeholder":true,"num":0}},[{kept}{}]"#, format!(",{kept}").repeat(999)));
    let args = socket_io::Args::from_checked(values, vec![Bytes::from_static(b"x"); 10]);
    let allocated = allocated_by(|| assert_eq!(args.slice_from(1).attachments().len(), 1));
    assert!(allocated <= 8 * args.json().len(), "{allocated}");
}

#[test]
fn a_payload_costs_its_binary_packets() {
    let text_only = Bytes::from("4hello\u{1e}".repeat(10_000) + "2probe");
    assert_eq!(allocated_by(|| assert_eq!(engine_io::decode_payload(text_only.clone()).count(), 10_001)), 0);
    let binary = Bytes::from(format!("b{}", "AAAA".repeat(10_000)));
    let small = Bytes::from("bAA==\u{1e}".repeat(10_000) + "4");
    for body in [binary, small] {
        let allocated = allocated_by(|| assert!(engine_io::decode_payload(body.clone()).all(|packet| packet.is_ok())));
        assert!(allocated <= 8 * body.len(), "{allocated}");
    }
    for bad in ["b".to_owned() + &"A".repeat(99_999), "x".repeat(100_000), "\u{1e}".repeat(100_000)] {
        let body = Bytes::from(bad);
        let allocated = allocated_by(|| assert!(engine_io::decode_payload(body.clone()).all(|packet| packet.is_err())));
        assert!(allocated <= body.len(), "{allocated}");
    }
}

/// Bytes that are shared already: the first share of a fresh text allocates its counter.
fn shared(text: String) -> ByteString {
    let text = ByteString::from(text);
    drop(text.clone());
    text
}

/// How many bytes this thread asked for in the meantime.
fn allocated_by(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.get();
    work();
    ALLOCATED.get() - before
}

/// Counts what each thread asks for, so that tests beside each other do not see one another.
struct CountingAllocator;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator; the counter is a constant-initialised thread-local without a
// destructor, so that reading it never allocates.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: CountingAllocator = CountingAllocator;
