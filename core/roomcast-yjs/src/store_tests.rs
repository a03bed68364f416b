//! What the store makes of updates that are written out byte by byte.

use proptest::prelude::*;

use super::*;
use crate::chunk::RUN_BYTES_MAX;
use crate::wire::write_buffer;

/// A reader looks up the neighbours that a struct names even if it knows the struct, and splits there
/// (`Item.getMissing`): so do the store and what is merged.
#[test]
fn what_is_known_and_comes_again_in_halves_cuts_a_pair_as_well() {
    let pair = [&[1, 1, 1, 0, 4, 1, 1, b't', 4][..], "\u{1f600}".as_bytes(), &[0]].concat();
    // The second half comes again as an element of its own, with a new one behind it.
    let halves = [1, 2, 1, 1, 0x84, 1, 0, 1, b'x', 0x84, 1, 1, 1, b'y', 0];
    let mut store = StructStore::new();
    assert_eq!(store.apply(&pair, &LIMITS), Verdict::Applied);
    assert_eq!(store.apply(&halves, &LIMITS), Verdict::Applied);
    let replaced = "\u{fffd}\u{fffd}y".as_bytes();
    assert!(store.state().windows(replaced.len()).any(|text| text == replaced), "{:?}", store.state());
    assert_eq!(store.cuts(), 1);
    let mut from_merged = StructStore::new();
    let merged = crate::merge_updates([&pair[..], &halves]).unwrap();
    assert_eq!(from_merged.apply(&merged, &LIMITS), Verdict::Applied);
    assert_eq!(from_merged.state(), store.state());
    // Alone it brings nothing, is relayed to no member, and cuts nothing.
    let mut alone = StructStore::new();
    alone.apply(&pair, &LIMITS);
    assert_eq!(alone.apply(&[1, 1, 1, 1, 0x84, 1, 0, 1, b'x', 0], &LIMITS), Verdict::NothingNew);
    assert_eq!(alone.cuts(), 0);
}

#[test]
fn letters_that_follow_each_other_are_one_struct() {
    let mut store = StructStore::new();
    for (clock, letter) in ["a", "b", "\u{1f600}", "c"].into_iter().enumerate() {
        let clock = u32::try_from(clock).unwrap() + u32::from(clock == 3);
        applied(&mut store, &[&typed(1, clock, letter)[..], &[0]].concat());
    }
    assert_eq!(store.state(), [&[1, 1, 1, 0, 4, 1, 1, b't', 7][..], "ab\u{1f600}c".as_bytes(), &[0]].concat());
    // What arrives again, in any pieces, is known.
    for (clock, letters) in [(0, "ab"), (1, "b"), (4, "c")] {
        let again = [&typed(1, clock, letters)[..], &[0]].concat();
        assert_eq!(store.apply(&again, &LIMITS), Verdict::NothingNew);
    }
    assert_eq!(store.state_vector().clock(client(1)), 5);
}

#[test]
fn what_is_partly_known_is_cut_where_it_is_new() {
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, "ab")[..], &[0]].concat());
    applied(&mut store, &[&typed(1, 0, "abcd")[..], &[0]].concat());
    assert_eq!(store.state(), [1, 1, 1, 0, 4, 1, 1, b't', 4, b'a', b'b', b'c', b'd', 0]);
}

#[test]
fn deleting_splits_and_drops_the_content() {
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, "abcd")[..], &[0]].concat());
    applied(&mut store, &[0, 1, 1, 1, 1, 1]);
    let expected = [1, 3, 1, 0, 4, 1, 1, b't', 1, b'a', 0x81, 1, 0, 1, 0x84, 1, 1, 2, b'c', b'd', 1, 1, 1, 1, 1];
    assert_eq!(store.state(), expected);
    applied(&mut store, &[0, 1, 1, 2, 0, 1, 2, 1]);
    // One deleted struct keeps the place of the three, and the one that is left follows it.
    assert_eq!(store.state(), [1, 2, 1, 0, 1, 1, 1, b't', 3, 0x84, 1, 2, 1, b'd', 1, 1, 1, 0, 3]);
    assert_eq!(store.apply(&[0, 1, 1, 1, 1, 2], &LIMITS), Verdict::NothingNew);
}

#[test]
fn a_pair_that_is_cut_leaves_two_replacements() {
    let cuts: [(&str, &[u8]); 4] = [
        ("deleting its second half", &[0, 1, 1, 1, 2, 1]),
        ("deleting up to its middle", &[0, 1, 1, 1, 0, 2]),
        ("an insertion behind its first half", &[1, 1, 2, 0, 0x84, 1, 1, 1, b'x', 0]),
        ("an insertion before its second half", &[1, 1, 2, 0, 0x44, 1, 2, 1, b'x', 0]),
    ];
    for (name, cut) in cuts {
        let mut store = StructStore::new();
        applied(&mut store, &[&typed(1, 0, "a\u{1f600}b")[..], &[0]].concat());
        applied(&mut store, cut);
        let state = store.state();
        let text = String::from_utf8_lossy(&state);
        assert!(!text.contains('\u{1f600}') && text.contains('\u{fffd}'), "{name}: {text:?}");
        assert_eq!(store.state_vector().clock(client(1)), 4);
    }
    // A client that already has the first half gets a replacement for the second.
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, "\u{1f600}b")[..], &[0]].concat());
    let difference = store.difference(&StateVector::from_iter([(client(1), 1)]));
    assert_eq!(difference, [1, 1, 1, 1, 0x84, 1, 0, 4, 0xef, 0xbf, 0xbd, b'b', 0]);
}

#[test]
fn a_pair_is_cut_wherever_its_text_begins() {
    let text = [&typed(1, 0, "ab\u{1f600}c\u{1f600}d")[..], &[0]].concat();
    let front = &[0, 1, 1, 1, 0, 2][..];
    for cut in [&[0, 1, 1, 1, 3, 1][..], &[1, 1, 2, 0, 0x84, 1, 2, 1, b'x', 0], &[1, 1, 2, 0, 0x44, 1, 6, 1, b'x', 0]] {
        let is_deleted = cut == [0, 1, 1, 1, 3, 1];
        let states = [[front, cut], [cut, front]].map(|updates| {
            let mut store = StructStore::new();
            applied(&mut store, &text);
            updates.iter().for_each(|update| applied(&mut store, update));
            assert_eq!((store.cuts(), store.state_vector().clock(client(1))), (usize::from(!is_deleted), 8));
            audit(&store);
            store.state()
        });
        assert_eq!(states[0], states[1]);
        let replaced = states[0].windows(3).filter(|bytes| *bytes == "\u{fffd}".as_bytes()).count();
        assert_eq!(replaced, if is_deleted { 1 } else { 2 }, "a deleted half has no content");
    }
}

#[test]
fn a_pair_is_cut_by_what_comes_in_the_same_update_from_any_client() {
    for inserter in [0, 2] {
        let text = [&[1, 1, 0, 4, 1, 1, b't', 4][..], "\u{1f600}".as_bytes()].concat();
        let cut = [1, inserter, 0, 0x84, 1, 0, 1, b'x'];
        let mut store = StructStore::new();
        applied(&mut store, &[&[2][..], &text, &cut, &[0]].concat());
        assert!(String::from_utf8_lossy(&store.state()).contains("\u{fffd}\u{fffd}"));
    }
}

#[test]
fn values_of_one_map_key_stay_apart() {
    let mut store = StructStore::new();
    // Client 1 sets the key "k" of the map "m" to null, then to true.
    applied(&mut store, &[1, 1, 1, 0, 0x28, 1, 1, b'm', 1, b'k', 1, 126, 0]);
    applied(&mut store, &[1, 1, 1, 1, 0xa8, 1, 0, 1, 120, 1, 1, 1, 0, 1]);
    let expected = [1, 2, 1, 0, 0x21, 1, 1, b'm', 1, b'k', 1, 0xa8, 1, 0, 1, 120, 1, 1, 1, 0, 1];
    assert_eq!(store.state(), expected);
}

#[test]
fn what_stands_in_a_deleted_type_is_collected() {
    let mut store = StructStore::new();
    // An array of client 1 holds a text, in which 1 and 2 write; then the text is deleted.
    applied(&mut store, &[1, 1, 1, 0, 7, 1, 1, b'a', 2, 0]);
    applied(&mut store, &[1, 1, 1, 1, 4, 0, 1, 0, 2, b'h', b'i', 0]);
    applied(&mut store, &[1, 1, 2, 0, 0xc4, 1, 1, 1, 2, 1, b'x', 0]);
    applied(&mut store, &[0, 1, 1, 1, 0, 3]);
    let before = store.state();
    store.compact(1);
    assert_eq!(store.state(), before, "there are more structs than that");
    store.compact(100);
    assert_eq!(store.state(), [2, 1, 2, 0, 0, 1, 2, 1, 0, 1, 1, 1, b'a', 1, 0, 2, 2, 2, 1, 0, 1, 1, 1, 0, 3]);
}

#[test]
fn a_long_text_is_kept_short_in_memory_and_written_whole() {
    let text = "0123456789".repeat(5_000);
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, &text)[..], &[0]].concat());
    assert_eq!(store.state(), [&typed(1, 0, &text)[..], &[0]].concat());
    let deletions: Vec<u8> = (0..16_000u32).flat_map(|at| [number(at * 3), vec![1]].concat()).collect();
    applied(&mut store, &[&[0, 1, 1][..], &number(16_000), &deletions].concat());
    let mut again = StructStore::new();
    applied(&mut again, &store.state());
    assert_eq!(again.state(), store.state());
    // Delete the rest: one struct is left.
    applied(&mut store, &[&[0, 1, 1, 1, 0][..], &number(50_000)].concat());
    assert_eq!(
        store.state(),
        [&[1, 1, 1, 0, 1, 1, 1, b't'][..], &number(50_000), &[1, 1, 1, 0], &number(50_000)].concat()
    );
    assert!(store.footprint() < 2048, "{}", store.footprint());
}

#[test]
fn unsound_updates_are_refused() {
    let cases: [(&str, &[u8], Malformed); 14] = [
        ("nothing", &[], Malformed::Truncated),
        ("no deletions", &[0], Malformed::Truncated),
        ("more than an update", &[0, 0, 0], Malformed::Trailing),
        ("a number longer than it needs to be", &[0x80, 0, 0], Malformed::Integer),
        ("a clock beyond 32 bits", &[0, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 1], Malformed::Integer),
        ("an end beyond 32 bits", &[0, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1], Malformed::Integer),
        ("a struct without length", &[1, 1, 1, 0, 0, 0, 0], Malformed::Empty),
        ("an empty text", &[1, 1, 1, 0, 4, 1, 1, b't', 0, 0], Malformed::Empty),
        ("a deletion without length", &[0, 1, 1, 1, 0, 0], Malformed::Empty),
        ("a client twice", &[2, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0], Malformed::Duplicate),
        ("an origin that is the struct itself", &[1, 1, 1, 0, 0x84, 1, 0, 1, b'x', 0], Malformed::Circular),
        ("a move of yrs", &[1, 1, 1, 0, 11, 1, 1, b't', 0, 0], Malformed::Kind),
        ("a weak link of yrs", &[1, 1, 1, 0, 7, 1, 1, b't', 7, 0], Malformed::Kind),
        ("a subdocument with null for options", &[1, 1, 1, 0, 9, 1, 1, b't', 1, b'g', 126, 0], Malformed::Any),
    ];
    for (name, bytes, malformed) in cases {
        let verdict = StructStore::new().apply(bytes, &LIMITS);
        assert_eq!(verdict, Verdict::Bad(BadUpdate::Malformed(malformed)), "{name}");
    }
}

proptest! {
    /// The elements of one client after any operations, beside a plain vector.
    #[test]
    fn stretches_hold_what_a_vector_would(steps in prop::collection::vec((0..3u8, any::<u16>(), 1..700u32), 1..60)) {
        let mut store = StructStore::new();
        let mut model: Vec<Option<char>> = Vec::new();
        for (what, place, len) in steps {
            let end = u32::try_from(model.len()).unwrap();
            let from = u32::from(place) % end.max(1);
            if what == 0 || end == 0 {
                let text: String = (0..len).map(|at| char::from(b'a' + u8::try_from((at + len) % 26).unwrap())).collect();
                applied(&mut store, &[&typed(1, end, &text)[..], &[0]].concat());
                model.extend(text.chars().map(Some));
            } else {
                let to = (from + if what == 1 { 1 } else { len }).min(end);
                let update = [&[0, 1, 1, 1][..], &number(from), &number(to - from)].concat();
                prop_assert_ne!(store.apply(&update, &LIMITS), Verdict::Bad(BadUpdate::DocumentFull));
                model[from as usize..to as usize].fill(None);
            }
        }
        audit(&store);
        let mut expected = vec![1, 0];
        let runs: Vec<&[Option<char>]> = model.chunk_by(|left, right| left.is_some() == right.is_some()).collect();
        expected.splice(1..2, number(u32::try_from(runs.len()).unwrap()));
        expected.extend([1, 0]);
        let mut clock = 0;
        let mut deleted = Vec::new();
        for run in &runs {
            let len = u32::try_from(run.len()).unwrap();
            let kind = if run[0].is_some() { 4 } else { 1 };
            match clock {
                0 => expected.extend([kind, 1, 1, b't']),
                _ => expected.extend([vec![0x80 | kind, 1], number(clock - 1)].concat()),
            }
            expected.extend(number(len));
            expected.extend(run.iter().flatten().map(|&letter| u8::try_from(letter).unwrap()));
            if kind == 1 {
                deleted.push([number(clock), number(len)].concat());
            }
            clock += len;
        }
        expected.push(u8::from(!deleted.is_empty()));
        if !deleted.is_empty() {
            expected.push(1);
            expected.extend(number(u32::try_from(deleted.len()).unwrap()));
            expected.extend(deleted.concat());
        }
        prop_assert_eq!(store.state(), expected);
    }
}

#[test]
fn stretches_are_cut_and_put_together_as_they_grow_and_shrink() {
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, &"x".repeat(30_000))[..], &[0]].concat());
    let whole = stretches(&store);
    assert!((4..=8).contains(&whole), "{whole}");
    // Every second letter goes: many short structs.
    for at in 0..15_000 {
        applied(&mut store, &[vec![0, 1, 1, 1], number(at * 2), vec![1]].concat());
    }
    audit(&store);
    let apart = stretches(&store);
    assert!(apart > 60, "{apart}");
    assert!(store.check(&[&[0, 1, 1, 1][..], &number(29_998), &[1]].concat(), &LIMITS) == Verdict::NothingNew);
    assert!(store.check(&[&[0, 1, 1, 1][..], &number(29_998), &[2]].concat(), &LIMITS) == Verdict::Applied);
    // The rest goes from behind, stretch by stretch.
    for at in (0..15_000).rev() {
        applied(&mut store, &[vec![0, 1, 1, 1], number(at * 2 + 1), vec![1]].concat());
        if at % 500 == 0 {
            audit(&store);
        }
    }
    assert_eq!(stretches(&store), 1);
    assert_eq!(store.state()[..2], [1, 1], "one struct is written");
}

/// A long document in few edits and in many takes the same memory.
#[test]
fn what_is_typed_and_deleted_letter_by_letter_takes_no_more_than_at_once() {
    let mut typed_at_once = StructStore::new();
    applied(&mut typed_at_once, &[&typed(1, 0, &"x".repeat(500))[..], &[0]].concat());
    let mut store = StructStore::new();
    for clock in 0..500 {
        applied(&mut store, &[&typed(1, clock, "x")[..], &[0]].concat());
    }
    assert_eq!(store.footprint(), typed_at_once.footprint());
    let forwards: Vec<u32> = (100..400).collect();
    let backwards: Vec<u32> = (100..400).rev().collect();
    let inwards: Vec<u32> = (100..250).flat_map(|at| [at, 499 - at]).collect();
    applied(&mut typed_at_once, &[&[0, 1, 1, 1][..], &number(100), &number(300)].concat());
    for order in [forwards, backwards, inwards] {
        let mut store = store.clone();
        for at in order {
            applied(&mut store, &[&[0, 1, 1, 1][..], &number(at), &[1]].concat());
        }
        audit(&store);
        assert_eq!((store.footprint(), store.state()), (typed_at_once.footprint(), typed_at_once.state()));
    }
}

/// A change moves the bytes of one stretch: none may hold a long value beside others once it was changed.
#[test]
fn a_long_value_gets_a_stretch_of_its_own() {
    let update =
        [&[1, 2, 1, 0, 4, 1, 1, b't', 8][..], b"abcdefgh", &[3, 1, 1, b'b'], &number(20_000), &[7; 20_000], &[0]];
    let mut store = StructStore::new();
    applied(&mut store, &update.concat());
    applied(&mut store, &[0, 1, 1, 1, 2, 1]);
    assert_eq!(stretches(&store), 2);
    audit(&store);
    let mut again = StructStore::new();
    applied(&mut again, &store.state());
    assert_eq!(again.state(), store.state());
}

#[test]
fn stretches_are_put_together_only_once_they_are_short() {
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, &"x".repeat(30_000))[..], &[0]].concat());
    let whole = stretches(&store);
    for at in [1, 15_000, 29_998] {
        applied(&mut store, &[vec![0, 1, 1, 1], number(at), vec![1]].concat());
        assert!(stretches(&store) >= whole, "{} of {whole}", stretches(&store));
    }
    applied(&mut store, &[&[0, 1, 1, 1, 0][..], &number(30_000)].concat());
    assert_eq!(stretches(&store), 1, "all of them are short");
    audit(&store);
}

#[test]
fn values_are_cut_and_written_as_one_as_texts_are() {
    // 2,000 numbers of several digits in one struct, and a number behind each way to cut them.
    let mut values = Vec::new();
    (0..2_000u32).for_each(|value| values.extend([vec![125], signed(value)].concat()));
    let update = [&[1, 1, 1, 0, 8, 1, 1, b'a'][..], &number(2_000), &values, &[0]].concat();
    let mut store = StructStore::new();
    applied(&mut store, &update);
    audit(&store);
    assert_eq!(store.state(), update);
    for known in [1, 700, 1_999] {
        let difference = store.difference(&StateVector::from_iter([(client(1), known)]));
        let mut other = StructStore::new();
        let skip = (0..known).map(|value| 1 + signed(value).len()).sum::<usize>();
        applied(&mut other, &[&[1, 1, 1, 0, 8, 1, 1, b'a'][..], &number(known), &values[..skip], &[0]].concat());
        applied(&mut other, &difference);
        assert_eq!(other.state(), update, "from {known}");
    }
    applied(&mut store, &[vec![0, 1, 1, 1], number(1_000), vec![5]].concat());
    audit(&store);
    let mut again = StructStore::new();
    applied(&mut again, &store.state());
    assert_eq!(again.state(), store.state());
}

#[test]
fn a_document_is_full_at_its_limit_and_not_before() {
    let update = [&typed(1, 0, "abcdefgh")[..], &[0]].concat();
    let verdict = |footprint_bytes_max| {
        let limits = UpdateLimits { footprint_bytes_max, ..LIMITS };
        StructStore::new().check(&update, &limits)
    };
    let full = Verdict::Bad(BadUpdate::DocumentFull);
    let least = (0..1_000).find(|&max| verdict(max) == Verdict::Applied).unwrap();
    assert_eq!(least, 13 + ENTRY_BYTES + CLIENT_BYTES + size_of::<Anchor>());
    assert_eq!((verdict(least - 1), verdict(least)), (full, Verdict::Applied));
    let mut store = StructStore::new();
    applied(&mut store, &update);
    audit(&store);
    // What only deletes may go a quarter above.
    let needed = store.footprint() + 2 * SPLIT_BYTES;
    let most = (0..1_000).find(|&max| max + max / 4 >= needed).unwrap();
    for (max, expected) in [(most - 1, full), (most, Verdict::Applied), (usize::MAX, Verdict::Applied)] {
        let limits = UpdateLimits { footprint_bytes_max: max, ..LIMITS };
        assert_eq!(store.check(&[0, 1, 1, 1, 2, 1], &limits), expected);
    }
}

#[test]
fn what_is_deleted_before_it_is_known_is_split_off() {
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, "abcd")[..], &[0]].concat());
    let split = store.split(&[0, 1, 1, 1, 2, 7], &LIMITS).unwrap();
    assert_eq!(split.missing, Id { client: client(1), clock: 8 });
    assert_eq!((split.now, split.later), (vec![0, 1, 1, 1, 2, 2], vec![0, 1, 1, 1, 4, 5]));
    assert_eq!(store.split(&[0, 1, 1, 1, 2, 2], &LIMITS), None);
    let split = store.split(&[0, 1, 1, 1, 4, 5], &LIMITS).unwrap();
    assert_eq!(split.now, [0, 0], "none of it is known");
}

/// Long texts are kept in pieces, each marked as one with the piece before: no longer once that one is deleted.
#[test]
fn what_follows_a_deleted_piece_of_a_long_text_stands_apart() {
    let text = "0123456789".repeat(500);
    for len in [RUN_BYTES_MAX - 1, RUN_BYTES_MAX, RUN_BYTES_MAX + 1, 2 * RUN_BYTES_MAX] {
        let mut store = StructStore::new();
        applied(&mut store, &[&typed(1, 0, &text)[..], &[0]].concat());
        let len = u32::try_from(len).unwrap();
        applied(&mut store, &[&[0, 1, 1, 1, 0][..], &number(len)].concat());
        audit(&store);
        let mut expected = [&[1, 2, 1, 0, 1, 1, 1, b't'][..], &number(len), &[0x84, 1], &number(len - 1)].concat();
        write_buffer(&mut expected, &text.as_bytes()[len as usize..]);
        expected.extend([&[1, 1, 1, 0][..], &number(len)].concat());
        assert_eq!(store.state(), expected, "{len}");
    }
}

/// `Item.getMissing`: a struct is judged by what it builds on, of clients before and behind its own.
#[test]
fn what_clients_wrote_into_each_others_deleted_types_is_collected() {
    // A text of client 2, in which client 1 writes.
    let mut store = StructStore::new();
    applied(&mut store, &[1, 1, 2, 0, 7, 1, 1, b'a', 2, 0]);
    applied(&mut store, &[1, 1, 1, 0, 4, 0, 2, 0, 2, b'h', b'i', 0]);
    applied(&mut store, &[0, 1, 2, 1, 0, 1]);
    store.compact(100);
    audit(&store);
    assert_eq!(store.state(), [2, 1, 2, 0, 1, 1, 1, b'a', 1, 1, 1, 0, 0, 2, 2, 2, 1, 0, 1, 1, 1, 0, 2]);
    // An array of client 2, in it a text of client 1 behind an array of its own, and in the text client 2 writes.
    let mut store = StructStore::new();
    applied(&mut store, &[1, 1, 2, 0, 7, 1, 1, b'b', 0, 0]);
    applied(&mut store, &[1, 2, 1, 0, 7, 1, 1, b'a', 0, 7, 0, 2, 0, 2, 0]);
    applied(&mut store, &[1, 1, 2, 1, 4, 0, 1, 1, 1, b'x', 0]);
    applied(&mut store, &[0, 1, 2, 1, 0, 1]);
    store.compact(100);
    audit(&store);
    let structs = [2, 2, 2, 0, 1, 1, 1, b'b', 1, 0, 1, 2, 1, 0, 7, 1, 1, b'a', 0, 0, 1];
    assert_eq!(store.state(), [&structs[..], &[2, 2, 1, 0, 2, 1, 1, 1, 1]].concat());
    // An array of client 2, a text in it, and in the text, which goes with the array, client 1 writes.
    let mut store = StructStore::new();
    applied(&mut store, &[1, 2, 2, 0, 7, 1, 1, b'b', 0, 7, 0, 2, 0, 2, 0]);
    applied(&mut store, &[1, 1, 1, 0, 4, 0, 2, 1, 1, b'x', 0]);
    applied(&mut store, &[0, 1, 2, 1, 0, 1]);
    store.compact(100);
    audit(&store);
    let structs = [2, 2, 2, 0, 1, 1, 1, b'b', 1, 0, 1, 1, 1, 0, 0, 1];
    assert_eq!(store.state(), [&structs[..], &[2, 2, 1, 0, 2, 1, 1, 0, 1]].concat());
}

/// A reader who applies one update after the other keeps what came first.
#[test]
fn what_several_updates_have_is_merged_from_the_first_of_them() {
    let whole = [1, 2, 1, 0, 4, 1, 1, b't', 1, b'a', 0x84, 1, 0, 5, b'b', b'c', b'd', b'e', b'f', 0];
    let deleted = [1, 1, 1, 2, 0x81, 1, 1, 2, 0];
    let first_deleted = [1, 3, 1, 0, 4, 1, 1, b't', 2, b'a', b'b', 0x81, 1, 1, 2, 0x84, 1, 3, 2, b'e', b'f', 0];
    assert_eq!(crate::merge_updates([&deleted[..], &whole]).unwrap(), first_deleted);
    let joined = [&[1, 1, 1, 0, 4, 1, 1, b't', 6][..], b"abcdef", &[0]].concat();
    assert_eq!(crate::merge_updates([&whole[..], &deleted]).unwrap(), joined);
    // Their delete sets become one, in order and without overlaps.
    let deletes = [&[0, 1, 1, 2, 4, 2, 0, 1][..], &[0, 1, 1, 1, 1, 4]];
    assert_eq!(crate::merge_updates(deletes).unwrap(), [0, 1, 1, 1, 0, 6]);
    // Values of one map key are no run, although only the first of them names the key.
    let keys = [&[1, 1, 1, 0, 0x28, 1, 1, b'm', 1, b'k', 1, 126, 0][..], &[1, 1, 1, 1, 0xa8, 1, 0, 1, 120, 0]];
    let apart = [1, 2, 1, 0, 0x28, 1, 1, b'm', 1, b'k', 1, 126, 0xa8, 1, 0, 1, 120, 0];
    assert_eq!(crate::merge_updates(keys).unwrap(), apart);
}

/// `ContentJSON.write`: `undefined` stands for what JSON has no word for.
#[test]
fn values_in_json_are_json_or_undefined() {
    let verdict = |value: &str| {
        let mut update = vec![1, 1, 1, 0, 2, 1, 1, b't', 1];
        write_buffer(&mut update, value.as_bytes());
        update.push(0);
        StructStore::new().check(&update, &LIMITS)
    };
    for value in ["undefined", "null", "1", "{\"a\":[]}"] {
        assert_eq!(verdict(value), Verdict::Applied, "{value}");
    }
    for value in ["", "{", "undefine", "[1"] {
        assert_eq!(verdict(value), Verdict::Bad(BadUpdate::Malformed(Malformed::Json)), "{value}");
    }
}

/// Structs of one update that wait for each other are judged as those that come alone.
#[test]
fn what_builds_on_another_client_of_the_same_update_is_examined() {
    let texts = [2, 2, 0, 4, 1, 1, b't', 1, b'a', 4, 1, 1, b'u', 1, b'b'];
    let between = [1, 1, 0, 0xc4, 2, 0, 2, 1, 1, b'x'];
    let together = [&[2][..], &texts, &between, &[0]].concat();
    assert_eq!(StructStore::new().check(&together, &LIMITS), Verdict::Bad(BadUpdate::Unsound(Unsound::Parents)));
    let behind = [&[2][..], &texts, &[1, 1, 0, 0x84, 2, 0, 1, b'x', 0]].concat();
    assert_eq!(StructStore::new().check(&behind, &LIMITS), Verdict::Applied);
}

#[test]
fn what_misses_a_client_that_does_not_come_along_is_split_off() {
    // Client 1 writes behind client 3, client 2 on its own.
    let waits = [1, 1, 0, 0x84, 3, 0, 1, b'x'];
    let sound = [1, 2, 0, 4, 1, 1, b't', 1, b'a'];
    let update = [&[2][..], &sound, &waits, &[0]].concat();
    let mut store = StructStore::new();
    let split = store.split(&update, &LIMITS).unwrap();
    assert_eq!(split.missing, Id { client: client(3), clock: 0 });
    assert_eq!((split.now, split.later), ([&[1][..], &sound, &[0]].concat(), [&[1][..], &waits, &[0]].concat()));
    applied(&mut store, &[1, 1, 3, 0, 4, 1, 1, b't', 1, b'c', 0]);
    assert_eq!(store.split(&update, &LIMITS), None, "nothing is missing any more");
}

/// The content of each kind is kept as it came, and takes as many clocks as it has elements.
#[test]
fn content_of_every_kind_is_kept_as_it_is() {
    let kinds: [(&str, &[u8], u32); 6] = [
        ("values in JSON", &[2, 1, 1, b't', 2, 1, b'1', 1, b'2'], 2),
        ("bytes", &[3, 1, 1, b't', 3, 7, 8, 9], 1),
        ("an embed", &[5, 1, 1, b't', 2, b'{', b'}'], 1),
        ("a format", &[6, 1, 1, b't', 1, b'b', 4, b't', b'r', b'u', b'e'], 1),
        ("a type", &[7, 1, 1, b't', 0], 1),
        ("values", &[8, 1, 1, b't', 3, 120, 121, 126], 3),
    ];
    for (name, bytes, clocks) in kinds {
        let update = [&[1, 1, 1, 0][..], bytes, &[0]].concat();
        let mut store = StructStore::new();
        assert!(store.is_empty());
        assert_eq!(store.apply(&update, &LIMITS), Verdict::Applied, "{name}");
        assert_eq!((store.state(), store.clock(client(1))), (update, clocks), "{name}");
        assert!(!store.is_empty());
        audit(&store);
    }
}

#[test]
fn a_pair_that_is_cut_takes_what_its_replacements_take() {
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, "a\u{1f600}b")[..], &[0]].concat());
    let before = store.footprint();
    applied(&mut store, &[1, 1, 2, 0, 0x84, 1, 1, 1, b'x', 0]);
    audit(&store);
    assert!(store.footprint() > before);
    assert_eq!(store.cuts(), 1);
    // Where no pair is, none is counted.
    applied(&mut store, &[1, 1, 3, 0, 0x84, 1, 0, 1, b'y', 0]);
    assert_eq!(store.cuts(), 1);
}

#[test]
fn deletions_reach_the_structs_that_are_there() {
    let mut store = StructStore::new();
    applied(&mut store, &[&typed(1, 0, "abcdefgh")[..], &[0]].concat());
    assert_eq!(store.deletion_reach(&[0, 1, 1, 1, 0, 8]), 1, "one struct");
    for at in [1, 3, 5] {
        applied(&mut store, &[0, 1, 1, 1, at, 1]);
    }
    assert_eq!(store.deletion_reach(&[0, 1, 1, 1, 0, 8]), 7);
    assert_eq!(store.deletion_reach(&[0, 1, 1, 1, 0, 2]), 2, "no more than elements");
    assert_eq!(store.deletion_reach(&[0, 1, 2, 1, 0, 8]), 0, "of a client that is not known");
    assert_eq!(store.deletion_reach(&[7]), 0, "what is no update reaches nothing");
}

/// [`StructStore::compact`] looks at each struct: that is spread over at least an eighth as many deletions, and over those
/// since the last time.
#[test]
fn a_compaction_is_due_from_an_eighth_as_many_deletions_as_structs_on() {
    // Sixteen types in an array, and single values of a map key, which stay apart.
    let store_of = |others: u8| {
        let mut update = vec![2, 16, 1, 0];
        for at in 0..16u8 {
            update.extend(if at == 0 { vec![7, 1, 1, b'a', 2] } else { vec![0x87, 1, at - 1, 2] });
        }
        update.extend([number(others.into()), vec![2, 0]].concat());
        for at in 0..others {
            update.extend(if at == 0 {
                vec![0x28, 1, 1, b'm', 1, b'k', 1, 126]
            } else {
                vec![0xa8, 2, at - 1, 1, 126]
            });
        }
        update.push(0);
        let mut store = StructStore::new();
        applied(&mut store, &update);
        // One after the other, so that no two of them become one.
        (0..8).for_each(|at| applied(&mut store, &[0, 1, 1, 1, 2 * at, 1]));
        for _ in 0..8 {
            assert!(!store.is_compaction_due());
            let at = store.deletions as u8 - 8;
            applied(&mut store, &[0, 1, 1, 1, 2 * at + 1, 1]);
        }
        store
    };
    let structs = |store: &StructStore| store.clients.values().map(ClientStructs::len).sum::<usize>();
    let few = store_of(10);
    let others = u8::try_from(16 * 8 - (structs(&few) - 10)).unwrap();
    let mut due = store_of(others);
    assert_eq!(structs(&due), 16 * 8, "as many structs as sixteen deletions pay for");
    assert!(due.is_compaction_due());
    assert!(!store_of(others + 1).is_compaction_due(), "one struct more");
    due.compact(16 * 8 - 1);
    assert!(due.is_compaction_due(), "too many structs to look at");
    due.compact(16 * 8);
    assert!(!due.is_compaction_due(), "it is done");
    assert_eq!((due.deletions, due.clients.values().any(ClientStructs::has_orphans)), (0, false));
}

fn applied(store: &mut StructStore, update: &[u8]) {
    assert_eq!(store.apply(update, &LIMITS), Verdict::Applied);
}

fn stretches(store: &StructStore) -> usize {
    store.clients.values().map(ClientStructs::stretches).sum()
}

fn audit(store: &StructStore) {
    store.clients.values().for_each(ClientStructs::audit);
    let structs: usize = store.clients.values().map(ClientStructs::footprint).sum();
    let tables = store.clients.len() * CLIENT_BYTES + store.anchors.len() * size_of::<Anchor>();
    assert_eq!(store.footprint(), structs + tables);
}

/// A number as lib0 writes it in an `Any`: six bits and the sign come first.
fn signed(value: u32) -> Vec<u8> {
    if value < 0x40 {
        return vec![u8::try_from(value).unwrap()];
    }
    [vec![u8::try_from(value & 0x3f).unwrap() | 0x80], number(value >> 6)].concat()
}

/// The structs part of an update in which `id` writes `text` behind what it wrote before.
fn typed(id: u8, clock: u32, text: &str) -> Vec<u8> {
    let mut update = [vec![1, 1, id], number(clock)].concat();
    match clock {
        0 => update.extend([4, 1, 1, b't']),
        _ => update.extend([vec![0x84, id], number(clock - 1)].concat()),
    }
    write_buffer(&mut update, text.as_bytes());
    update
}

fn number(value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_integer(&mut bytes, u64::from(value));
    bytes
}

fn client(id: u64) -> ClientId {
    ClientId::new(id).unwrap()
}

const LIMITS: UpdateLimits = UpdateLimits { structs_max: 1 << 20, footprint_bytes_max: 1 << 24 };
