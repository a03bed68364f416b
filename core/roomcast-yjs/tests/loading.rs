//! What a document accepted can always be loaded again: from its state, from the log of its updates, and from both.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use roomcast_yjs::{BadUpdate, Document, DocumentLimits, Source, Unsound, Verdict, merge_updates};

/// Updates of 45 KB, each with text of which every second character is deleted.
#[test]
fn a_text_with_every_second_character_deleted_loads_again() {
    let mut document = Document::default();
    let mut log = Vec::new();
    for at in 0..12 {
        let (from, len) = (at * 27_000, 27_000);
        let text = "a".repeat(len as usize);
        let deletions: Vec<(u32, u32)> = (0..9_000).map(|place| (from + place * 2, 1)).collect();
        let update = [typed(1, from, &text), deleted(1, &deletions)].concat();
        assert_eq!(document.apply(&update, Source::Live), Verdict::Applied, "update {at}");
        log.push(update);
    }
    loads_again(&mut document, &log);
}

#[test]
fn only_live_updates_are_measured_by_what_a_document_may_become() {
    let limits = small();
    let mut document = Document::new(limits);
    let long = [typed(1, 0, &"x".repeat(3 * limits.document_bytes_max)), vec![0]].concat();
    assert_eq!(document.apply(&long, Source::Resync), Verdict::Bad(BadUpdate::DocumentFull));
    assert_eq!(document.apply(&long, Source::Stored), Verdict::Applied);
    assert_eq!(
        document.apply(&[typed(2, 0, "y"), vec![0]].concat(), Source::Live),
        Verdict::Bad(BadUpdate::DocumentFull)
    );
}

/// Stores may hold unsound structs from before these were refused: they are loaded, and reported.
#[test]
fn what_would_be_refused_today_is_loaded_and_told() {
    // "b" stands between a letter of one root type and a letter of another.
    let poison = [1, 3, 1, 0, 4, 1, 1, b't', 1, b'a', 4, 1, 1, b'm', 1, b'c', 0xc4, 1, 0, 1, 1, 1, b'b', 0];
    let mut live = Document::default();
    assert_eq!(live.apply(&poison, Source::Live), Verdict::Bad(BadUpdate::Unsound(Unsound::Parents)));
    let mut loaded = Document::default();
    assert_eq!(loaded.apply(&poison, Source::Stored), Verdict::Applied);
    assert_eq!(loaded.unsound(), Some(Unsound::Parents));
    let state = loaded.state();
    let mut again = Document::default();
    assert_eq!(again.apply(&state, Source::Stored), Verdict::Applied);
    assert_eq!((again.state(), again.unsound()), (state, Some(Unsound::Parents)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// All updates that were accepted, in their order: typing, inserting, heavy deleting, and full documents.
    #[test]
    fn what_was_accepted_loads_again(steps in prop::collection::vec((0..4u8, 0..3usize, any::<u16>(), 1..400u32), 1..60)) {
        let mut document = Document::new(small());
        let mut log = Vec::new();
        let mut clocks = [0u32; 3];
        for (what, client, place, len) in steps {
            let id = client as u8 + 1;
            let place = u32::from(place);
            let other = (client + 1) % 3;
            let structs = match what {
                0 => typed(id, clocks[client], &"t".repeat(len as usize)),
                1 if clocks[other] > 1 => {
                    let place = place % (clocks[other] - 1);
                    inserted(id, clocks[client], (other as u8 + 1, place), (other as u8 + 1, place + 1))
                }
                _ => vec![0],
            };
            let step = 1 + place % 5;
            let deletions: Vec<(u32, u32)> = match what {
                2 => (0..clocks[other] / (step + 1)).map(|at| (at * (step + 1), step)).collect(),
                3 if clocks[other] > 0 => vec![(place % clocks[other], 1)],
                _ => Vec::new(),
            };
            let update = [structs, deleted(other as u8 + 1, &deletions)].concat();
            let len = if what == 0 { len } else { u32::from(what == 1 && clocks[other] > 1) };
            match document.apply(&update, Source::Live) {
                Verdict::Applied => {
                    clocks[client] += len;
                    log.push(update);
                }
                Verdict::NothingNew | Verdict::Bad(BadUpdate::DocumentFull) => {}
                verdict @ (Verdict::Missing(_) | Verdict::Bad(_)) => prop_assert!(false, "{:?}", verdict),
            }
        }
        loads_again(&mut document, &log);
    }
}

/// Loads with the same limits as `document` has.
fn loads_again(document: &mut Document, log: &[Vec<u8>]) {
    let state = document.state();
    let fresh = || Document::new(small());
    let loaded = |verdict| matches!(verdict, Verdict::Applied | Verdict::NothingNew);

    let mut from_state = fresh();
    assert!(loaded(from_state.apply(&state, Source::Stored)));
    assert_eq!((from_state.state(), from_state.unsound()), (state.clone(), None));

    let mut from_log = fresh();
    for update in log {
        assert!(loaded(from_log.apply(update, Source::Stored)));
    }
    assert_eq!((from_log.state(), from_log.unsound()), (state.clone(), None));
    // A crash between a snapshot and the cut of the log.
    for update in log {
        assert!(loaded(from_state.apply(update, Source::Stored)));
    }
    assert_eq!((from_state.state(), from_state.unsound()), (state.clone(), None));

    let mut from_merged = fresh();
    let merged = merge_updates(log.iter().map(Vec::as_slice)).unwrap();
    assert!(loaded(from_merged.apply(&merged, Source::Stored)));
    assert_eq!(from_merged.state(), state);
}

fn small() -> DocumentLimits {
    let mut limits = DocumentLimits::default();
    limits.document_bytes_max = 6_000;
    limits
}

/// The structs of an update in which `id` types behind what it wrote before.
fn typed(id: u8, clock: u32, text: &str) -> Vec<u8> {
    let mut update = [vec![1, 1, id], number(clock)].concat();
    match clock {
        0 => update.extend([4, 1, 1, b't']),
        _ => update.extend([vec![0x84, id], number(clock - 1)].concat()),
    }
    update.extend(number(u32::try_from(text.len()).unwrap_or(u32::MAX)));
    update.extend_from_slice(text.as_bytes());
    update
}

/// The structs of an update in which `id` writes one letter between two others.
fn inserted(id: u8, clock: u32, left: (u8, u32), right: (u8, u32)) -> Vec<u8> {
    let ids = [vec![left.0], number(left.1), vec![right.0], number(right.1)].concat();
    [vec![1, 1, id], number(clock), vec![0xc4], ids, vec![1, b'i']].concat()
}

/// The deletions of an update.
fn deleted(id: u8, ranges: &[(u32, u32)]) -> Vec<u8> {
    if ranges.is_empty() {
        return vec![0];
    }
    let count = number(u32::try_from(ranges.len()).unwrap_or(u32::MAX));
    let ranges = ranges.iter().flat_map(|&(from, len)| [number(from), number(len)].concat());
    [vec![1, id], count].concat().into_iter().chain(ranges).collect()
}

fn number(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}
