//! What bytes of a stranger may cost in memory, by a counting allocator: a small multiple of their length.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use roomcast_core::rng::Rng;
use roomcast_time::Instant;
use roomcast_yjs::{
    Awareness, AwarenessLimits, Document, DocumentLimits, ProtocolMessage, Source, StateVector, int_array,
    merge_updates,
};

#[test]
fn announced_counts_reserve_nothing() {
    // Every place in which a count or a length can stand, with the largest one there is.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for front in [
        &[][..],
        &[1],
        &[1, 1, 1, 0, 4, 1, 1, b't'],
        &[1, 1, 1, 0, 8, 1, 1, b't'],
        &[0],
        &[0, 1, 1],
        &[1, 1, 1, 0, 4, 1],
    ] {
        let bytes = [front, &huge, &[0; 64]].concat();
        for part in [&bytes[..], &bytes[..bytes.len() - 64]] {
            let peak = peak_of(|| everything(part));
            assert!(peak < 4096, "{peak} bytes for {part:?}");
        }
    }
}

#[test]
fn the_shortest_structs_cost_a_small_multiple() {
    let many = |front: &[u8], count: u16, each: &[u8], behind: &[u8]| {
        let digits = [count.to_le_bytes()[0] | 0x80, u8::try_from(count >> 7).unwrap()];
        [front, &digits[..], &front[front.len()..], &each.repeat(usize::from(count)), behind].concat()
    };
    let mut collected = many(&[1], 16_000 & !0x7f, &[], &[1, 0]);
    collected.extend([0, 1].repeat(16_000 & !0x7f));
    collected.push(0);
    let mut values = many(&[1, 1, 1, 0, 8, 1, 1, b't'], 16_000 & !0x7f, &[126], &[]);
    values.push(0);
    let cases = [
        ("collected", collected),
        ("values", values),
        ("sections without structs", many(&[], 16_000 & !0x7f, &[0, 1, 0], &[0])),
        ("clients without deletions", many(&[0], 16_000 & !0x7f, &[1, 0], &[])),
        ("nested arrays", many(&[1, 1, 1, 0, 8, 1, 1, b't'], 16_000 & !0x7f, &[117, 1], &[])),
    ];
    for (name, bytes) in cases {
        let peak = peak_of(|| everything(&bytes));
        assert!(peak < 32 * bytes.len(), "{name}: {peak} bytes for {}", bytes.len());
    }
}

#[test]
fn random_bytes_cost_a_small_multiple() {
    let mut rng = Rng::from_seed([7; 32]);
    for _ in 0..5_000 {
        let mut bytes = vec![0; usize::try_from(rng.below(120)).unwrap()];
        rng.fill(&mut bytes);
        bytes.iter_mut().filter(|byte| **byte < 200).for_each(|byte| *byte %= 12);
        let peak = peak_of(|| everything(&bytes));
        assert!(peak < 4096 + 64 * bytes.len(), "{peak} bytes for {bytes:?}");
    }
}

fn everything(bytes: &[u8]) {
    let mut document = Document::new(DocumentLimits::default());
    document.apply(bytes, Source::Resync);
    drop(document.split(bytes, Source::Resync));
    drop(StateVector::decode(bytes));
    drop(merge_updates([bytes]));
    let _ = ProtocolMessage::decode(bytes);
    let mut awareness = Awareness::new(AwarenessLimits::default());
    drop(awareness.handle_update((), &(), bytes, Instant::default()));
    drop(int_array::decode(bytes, usize::MAX));
}

/// The most bytes that were allocated at once while `work` ran on this thread.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = LIVE.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(1 << 40) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all work is the system's allocator's; the cells need no allocation and no destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size());
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }
}
