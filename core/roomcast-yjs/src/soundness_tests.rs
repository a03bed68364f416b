//! Well-formed updates that members could not bear, byte by byte.

use super::*;
use crate::{BadUpdate, StructStore, UpdateLimits, Verdict};

#[test]
fn origins_in_different_types_are_refused() {
    let store = two_texts();
    // Behind "a" of the first text, before "b" of the second; and the other way round.
    for (left, right) in [([1, 1], [1, 3]), ([1, 3], [1, 1])] {
        assert_eq!(store.check(&between(left, right), &LIMITS), unsound(Unsound::Parents));
    }
    // A root is another type than what stands in it.
    assert_eq!(store.check(&between([1, 0], [1, 1]), &LIMITS), unsound(Unsound::Parents));
    // Two that name the same parent stand in one list, and so do those that build on them.
    let mut store = store;
    assert_eq!(store.apply(&[1, 1, 3, 0, 4, 0, 1, 0, 1, b'c', 0], &LIMITS), Verdict::Applied);
    assert_eq!(store.check(&between([3, 0], [1, 1]), &LIMITS), Verdict::Applied);
}

#[test]
fn origins_under_different_keys_are_refused() {
    let mut store = StructStore::new();
    // Keys "k" and "l" of the root "m", and an element of the list of the same root.
    for update in [
        &[1, 1, 1, 0, 0x28, 1, 1, b'm', 1, b'k', 1, 126, 0][..],
        &[1, 1, 2, 0, 0x28, 1, 1, b'm', 1, b'l', 1, 126, 0],
        &[1, 1, 3, 0, 8, 1, 1, b'm', 1, 126, 0],
    ] {
        assert_eq!(store.apply(update, &LIMITS), Verdict::Applied);
    }
    for (left, right) in [([1, 0], [2, 0]), ([1, 0], [3, 0]), ([3, 0], [2, 0])] {
        assert_eq!(store.check(&between(left, right), &LIMITS), unsound(Unsound::Parents));
    }
    assert_eq!(store.check(&[1, 1, 9, 0, 0x68, 1, 0, 1, 126, 0], &LIMITS), unsound(Unsound::Key), "before a value");
}

#[test]
fn what_is_known_cannot_come_again_as_something_else() {
    let store = two_texts();
    let fresh = [1, 9, 0, 4, 1, 1, b't', 1, b'x'];
    let again = |bytes: &[u8]| [&[2][..], bytes, &fresh, &[0]].concat();
    // "a" of the first text as it was, in a root, and behind something.
    assert_eq!(store.check(&again(&[1, 1, 1, 4, 0, 1, 0, 1, b'a']), &LIMITS), Verdict::Applied);
    for other in
        [&[1, 1, 1, 4, 1, 1, b't', 1, b'a'][..], &[1, 1, 1, 0x84, 1, 0, 1, b'a'], &[1, 1, 1, 0x44, 1, 0, 1, b'a']]
    {
        assert_eq!(store.check(&again(other), &LIMITS), unsound(Unsound::Rewritten), "{other:?}");
    }
    // Longer than it was: the new part stands where the old one does.
    assert_eq!(store.check(&[1, 1, 1, 3, 4, 0, 1, 2, 2, b'b', b'c', 0], &LIMITS), Verdict::Applied);
    assert_eq!(store.check(&[1, 1, 1, 3, 4, 0, 1, 0, 2, b'b', b'c', 0], &LIMITS), unsound(Unsound::Rewritten));
    // What it names must be known, even if it is known itself.
    let lost = again(&[1, 1, 1, 0x84, 7, 7, 1, b'a']);
    assert!(matches!(store.check(&lost, &LIMITS), Verdict::Missing(Id { clock: 7, .. })));
}

#[test]
fn what_follows_a_collected_struct_is_not_linked_anywhere_else() {
    let mut store = StructStore::new();
    assert_eq!(store.apply(&[1, 1, 1, 0, 0, 3, 0], &LIMITS), Verdict::Applied);
    assert_eq!(
        store.check(&[1, 1, 1, 0, 4, 1, 1, b't', 5, b'a', b'b', b'c', b'd', b'e', 0], &LIMITS),
        unsound(Unsound::Rewritten)
    );
    assert_eq!(store.apply(&[1, 1, 2, 0, 4, 1, 1, b't', 1, b'x', 0], &LIMITS), Verdict::Applied);
    assert_eq!(store.check(&between([1, 2], [2, 0]), &LIMITS), unsound(Unsound::Parents));
    // Behind it alone, a struct is collected as well.
    assert_eq!(store.apply(&[1, 1, 3, 0, 0x84, 1, 2, 1, b'y', 0], &LIMITS), Verdict::Applied);
    assert!(store.state().starts_with(&[3, 1, 3, 0, 0, 1]));
}

#[test]
fn keys_hold_single_values() {
    let store = StructStore::new();
    let set = |kind: u8, content: &[u8], deletes: &[u8]| {
        [&[1, 1, 1, 0, 0x20 | kind, 1, 1, b'm', 1, b'k'][..], content, deletes].concat()
    };
    for (kind, content) in [(4, &b"\x01a"[..]), (8, &[2, 126, 126]), (2, b"\x02\x011\x011")] {
        assert_eq!(store.check(&set(kind, content, &[0]), &LIMITS), unsound(Unsound::Key));
    }
    // A document without garbage collection writes several deleted values as one.
    assert_eq!(store.check(&set(8, &[2, 126, 126], &[1, 1, 1, 0, 2]), &LIMITS), Verdict::Applied);
    assert_eq!(store.check(&set(8, &[2, 126, 126], &[1, 1, 1, 0, 1]), &LIMITS), unsound(Unsound::Key));
    assert_eq!(store.check(&set(8, &[2, 126, 126], &[1, 1, 1, 1, 1]), &LIMITS), unsound(Unsound::Key));
    assert_eq!(store.check(&set(1, &[2], &[0]), &LIMITS), Verdict::Applied);
    assert_eq!(store.check(&set(8, &[1, 126], &[0]), &LIMITS), Verdict::Applied);
    // The key is inherited, whether the info byte says so or not.
    let mut store = store;
    assert_eq!(store.apply(&set(8, &[1, 126], &[0]), &LIMITS), Verdict::Applied);
    for info in [0x84, 0xa4] {
        assert_eq!(store.check(&[1, 1, 1, 1, info, 1, 0, 1, b'a', 0], &LIMITS), unsound(Unsound::Key));
    }
    // Values that replace each other stay apart, whether the info byte says so or not.
    assert_eq!(store.apply(&[1, 2, 1, 1, 0x88, 1, 0, 1, 120, 0x88, 1, 1, 1, 121, 0], &LIMITS), Verdict::Applied);
    assert_eq!(store.state()[..2], [1, 3]);
}

#[test]
fn types_are_nested_to_a_limit() {
    let nested = |depth: u32| {
        let mut update = vec![1];
        crate::wire::write_integer(&mut update, u64::from(depth));
        update.extend([1, 0, 7, 1, 1, b't', 0]);
        for clock in 0..depth - 1 {
            update.extend([7, 0, 1]);
            crate::wire::write_integer(&mut update, u64::from(clock));
            update.push(0);
        }
        update.push(0);
        update
    };
    assert_eq!(StructStore::new().check(&nested(19_900), &LIMITS), unsound(Unsound::Nesting));
    assert_eq!(StructStore::new().check(&nested(NESTING_MAX + 1), &LIMITS), unsound(Unsound::Nesting));
    let mut store = StructStore::new();
    assert_eq!(store.apply(&nested(NESTING_MAX), &LIMITS), Verdict::Applied);
    // One more, by its parent or by what stands beside it.
    let mut parent = vec![];
    crate::wire::write_integer(&mut parent, u64::from(NESTING_MAX - 1));
    assert_eq!(
        store.check(&[&[1, 1, 2, 0, 7, 0, 1][..], &parent, &[0, 0]].concat(), &LIMITS),
        unsound(Unsound::Nesting)
    );
    assert_eq!(store.check(&[&[1, 1, 2, 0, 0x87, 1][..], &parent, &[0, 0]].concat(), &LIMITS), Verdict::Applied);
}

#[test]
fn what_is_stored_is_loaded_whatever_it_is() {
    let mut store = two_texts();
    let poison = between([1, 1], [1, 3]);
    assert_eq!(store.check(&poison, &LIMITS), unsound(Unsound::Parents));
    assert_eq!(store.check_load(&poison), Verdict::Applied);
    assert_eq!(store.load(&poison), Verdict::Applied);
    let mut again = StructStore::new();
    assert_eq!(again.load(&store.state()), Verdict::Applied);
    assert_eq!(again.state(), store.state());
}

#[test]
fn what_comes_into_a_deleted_type_is_collected_at_once() {
    let mut store = two_texts();
    assert_eq!(store.apply(&[0, 1, 1, 1, 0, 1], &LIMITS), Verdict::Applied);
    assert_eq!(store.apply(&[1, 1, 2, 0, 0x84, 1, 1, 1, b'x', 0], &LIMITS), Verdict::Applied);
    assert!(store.state().starts_with(&[2, 1, 2, 0, 0, 1]), "{:?}", store.state());
    // What is known of it is still what it was.
    assert_eq!(store.check(&between([2, 0], [1, 3]), &LIMITS), unsound(Unsound::Parents));
}

/// Client 1 puts two texts into the array "r", with "a" in the first (clock 1) and "b" in the second (clock 3).
fn two_texts() -> StructStore {
    let mut store = StructStore::new();
    let update = [1, 4, 1, 0, 7, 1, 1, b'r', 2, 4, 0, 1, 0, 1, b'a', 0x87, 1, 0, 2, 4, 0, 1, 2, 1, b'b', 0];
    assert_eq!(store.apply(&update, &LIMITS), Verdict::Applied);
    store
}

/// Client 9 writes "x" between two elements, each a client and a clock.
fn between(left: [u8; 2], right: [u8; 2]) -> Vec<u8> {
    vec![1, 1, 9, 0, 0xc4, left[0], left[1], right[0], right[1], 1, b'x', 0]
}

const fn unsound(unsound: Unsound) -> Verdict {
    Verdict::Bad(BadUpdate::Unsound(unsound))
}

const LIMITS: UpdateLimits = UpdateLimits { structs_max: 1 << 20, footprint_bytes_max: 1 << 24 };
