//! Yjs documents: arbitrary bytes, and editing that the bytes describe.

use roomcast_core::time::Instant;
use roomcast_yjs::{
    Awareness, AwarenessLimits, BadUpdate, Heard, ProtocolMessage, StateVector, StructStore, UpdateLimits, Verdict,
    int_array, merge_updates,
};

/// Property: what one store accepts, another one accepts from it and then writes the same bytes; taking it twice
/// changes nothing; what can be parted comes together again. Nothing panics.
pub fn yjs_update(data: &[u8]) {
    let mut store = StructStore::new();
    match store.apply(data, &LIMITS) {
        Verdict::Applied => {
            assert_eq!(store.check(data, &LIMITS), Verdict::NothingNew);
            settled(&mut store);
        }
        Verdict::Missing(missing) => {
            assert_eq!(store.state(), [0, 0]);
            if let Some(split) = store.split(data, &LIMITS) {
                let now = store.apply(&split.now, &LIMITS);
                assert!(!matches!(now, Verdict::Missing(_) | Verdict::Bad(BadUpdate::Malformed(_))));
                assert!(matches!(store.check(&split.later, &LIMITS), Verdict::Missing(_)));
                // Where several things are missing, each may name another one.
                assert!(!store.contains(split.missing) && !store.contains(missing));
                settled(&mut store);
            }
        }
        Verdict::NothingNew | Verdict::Bad(_) => assert_eq!(store.state(), [0, 0]),
    }
    if let Ok(merged) = merge_updates([data]) {
        assert_eq!(merge_updates([&merged[..], data]), Ok(merged.clone()));
        assert!(!matches!(store.check(&merged, &LIMITS), Verdict::Bad(BadUpdate::Malformed(_))));
    }
    let _ = ProtocolMessage::decode(data);
    if let Ok(bytes) = int_array::decode(data, data.len()) {
        assert_eq!(int_array::decode(&int_array::encode(&bytes), bytes.len()), Ok(bytes));
    }
}

/// Property: a state vector that is read is written as one that reads the same, and a difference to it can be applied on
/// top of anything that knows as much. Nothing panics.
pub fn yjs_state_vector(data: &[u8]) {
    let Ok(vector) = StateVector::decode(data) else { return };
    assert_eq!(StateVector::decode(&vector.encode()).as_ref(), Ok(&vector));
    let mut store = StructStore::new();
    assert_eq!(store.apply(TEXT, &LIMITS), Verdict::Applied);
    let difference = store.difference(&vector);
    assert_eq!(store.check(&difference, &LIMITS), Verdict::NothingNew);
}

/// Property: the table never holds more than its limits allow, what it tells others it would itself have heard, and it is
/// empty once all have left and time has passed. Nothing panics.
pub fn yjs_awareness(data: &[u8]) {
    let mut limits = AwarenessLimits::default();
    (limits.clients_per_session_max, limits.departed_max) = (3, 4);
    let mut table = Awareness::new(limits);
    limits.clients_per_session_max = usize::MAX;
    let mut listener = Awareness::new(limits);
    for (at, part) in data.split(|&byte| byte == 0xff).enumerate() {
        let (session, now) = (at % 3, Instant::from_millis(at as u64 * 500));
        let heard = match table.handle_update(session, &session, part, now) {
            Ok(Heard::All) => part.to_vec(),
            Ok(Heard::Part(part)) => part,
            Ok(Heard::Nothing) | Err(_) => continue,
        };
        assert!(listener.handle_update(0, &0, &heard, now).is_ok());
        assert!(table.len() <= 9);
    }
    let end = Instant::from_millis(1 << 40);
    for session in 0..3 {
        table.withdraw(session, end);
    }
    assert!(table.is_empty() && table.state().is_none());
    table.handle_timeout(end + limits.span);
    assert_eq!(table.poll_timeout(), None);
}

/// Property: a document is the same bytes, once compacted, in any order of its updates, merged or one by one; a
/// difference brings a client that knew less to the same bytes; and an update that was damaged on its way leaves a
/// document that can be loaded.
pub fn yjs_store(data: &[u8]) {
    let mut bytes = Choices { data, at: 0 };
    let mut store = StructStore::new();
    let mut half = StructStore::new();
    let mut updates = editing(&mut bytes);
    let offered = updates.len();
    let mut at = 0;
    // Editing with little sense breaks what readers assume; behind what is refused, something is missing.
    updates.retain(|update| {
        at += 1;
        let verdict = store.apply(update, &LIMITS);
        if at == offered / 2 {
            half = store.clone();
        }
        match verdict {
            Verdict::Applied | Verdict::NothingNew => true,
            Verdict::Missing(_) | Verdict::Bad(BadUpdate::Unsound(_)) => false,
            Verdict::Bad(_) => panic!("{update:?}"),
        }
    });
    settled(&mut store.clone());

    let known = half.state_vector();
    let difference = store.difference(&known);
    assert!(matches!(half.apply(&difference, &LIMITS), Verdict::Applied | Verdict::NothingNew));
    assert_eq!(compacted(&half), compacted(&store));

    let mut backwards = StructStore::new();
    let mut waiting: Vec<&Vec<u8>> = updates.iter().rev().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|update| matches!(backwards.load(update), Verdict::Missing(_)));
        assert!(waiting.len() < before);
    }
    assert_eq!(compacted(&backwards), compacted(&store));

    let merged = merge_updates(updates.iter().map(Vec::as_slice));
    let mut at_once = StructStore::new();
    if let Ok(merged) = merged {
        assert!(matches!(at_once.load(&merged), Verdict::Applied | Verdict::NothingNew));
    }
    assert_eq!(compacted(&at_once), compacted(&store));

    for update in &updates {
        let mut damaged = update.clone();
        let place = bytes.below(damaged.len());
        if let Some(byte) = damaged.get_mut(place) {
            *byte = bytes.next();
        }
        let mut other = half.clone();
        let before = other.state();
        match other.apply(&damaged, &LIMITS) {
            Verdict::Applied => settled(&mut other),
            Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_) => assert_eq!(other.state(), before),
        }
    }
}

/// The state without what stands in deleted types, which is collected as it comes or later.
fn compacted(store: &StructStore) -> Vec<u8> {
    let mut store = store.clone();
    store.compact(usize::MAX);
    store.state()
}

/// Another store takes the state of `store` and writes the same once both are compacted.
fn settled(store: &mut StructStore) {
    let mut again = StructStore::new();
    for round in 0..2 {
        let state = store.state();
        let verdict = again.apply(&state, &LIMITS);
        assert!(matches!(verdict, Verdict::Applied | Verdict::NothingNew), "{verdict:?}: {state:?}");
        assert_eq!(compacted(&again), compacted(store));
        assert!(round == 0 || again.state() == state);
        assert_eq!(again.state_vector(), store.state_vector());
        assert_eq!(store.check(&state, &LIMITS), Verdict::NothingNew);
        store.compact(usize::MAX);
        again.compact(usize::MAX);
        assert_eq!(again.state(), store.state());
        again = StructStore::new();
    }
}

/// Updates that some clients make one after the other, each knowing all before it, but with little sense.
fn editing(bytes: &mut Choices<'_>) -> Vec<Vec<u8>> {
    let mut clocks = [0; CLIENTS.len()];
    let mut updates = Vec::new();
    while !bytes.is_done() && updates.len() < 1000 {
        let mut update = Vec::new();
        let author = bytes.below(CLIENTS.len());
        let structs = bytes.below(4);
        if structs == 0 {
            update.push(0);
        } else {
            update.extend([1, structs as u8]);
            integer(&mut update, CLIENTS[author]);
            integer(&mut update, clocks[author]);
            for _ in 0..structs {
                clocks[author] += write_struct(&mut update, author, &clocks, bytes);
            }
        }
        let deletions: Vec<_> = (0..bytes.below(3)).filter_map(|_| some_range(&clocks, bytes)).collect();
        update.push(deletions.len() as u8);
        for (client, clock, len) in deletions {
            integer(&mut update, CLIENTS[client]);
            update.push(1);
            integer(&mut update, clock);
            integer(&mut update, len);
        }
        updates.push(update);
    }
    updates
}

/// Writes one struct of `author` and tells its length.
fn write_struct(out: &mut Vec<u8>, author: usize, clocks: &[u64; CLIENTS.len()], bytes: &mut Choices<'_>) -> u64 {
    let kind = [4, 4, 4, 4, 8, 2, 3, 5, 6, 7, 7, 9, 1, 0][bytes.below(14)];
    if kind == 0 {
        out.extend([0, 3]);
        return 3;
    }
    let origin = match bytes.below(4) {
        0 => None,
        1 => some_id(clocks, bytes),
        _ => clocks[author].checked_sub(1).map(|clock| (author, clock)),
    };
    let right_origin = if bytes.below(4) == 0 { some_id(clocks, bytes) } else { None };
    let parent = if bytes.below(3) == 0 { some_id(clocks, bytes) } else { None };
    let keyed = bytes.below(6) == 0;
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(kind | bit(origin.is_some(), 0x80) | bit(right_origin.is_some(), 0x40) | bit(keyed, 0x20));
    for (client, clock) in [origin, right_origin].into_iter().flatten() {
        integer(out, CLIENTS[client]);
        integer(out, clock);
    }
    if origin.is_none() && right_origin.is_none() {
        match parent {
            Some((client, clock)) => {
                out.push(0);
                integer(out, CLIENTS[client]);
                integer(out, clock);
            }
            None => out.extend([1, 1, b't']),
        }
        if keyed {
            out.extend([1, b'k']);
        }
    }
    let (len, content): (u64, &[u8]) = match kind {
        1 => (2, &[2]),
        2 => (2, b"\x02\x09undefined\x04[{}]"),
        3 => (1, b"\x02\0\xff"),
        4 => {
            let words = ["a", "bcd", "\u{1f600}", "x\u{10000}\u{10ffff}y", "\u{e9}\u{20ac}"];
            let word = words[bytes.below(words.len())];
            let word = if bytes.below(64) == 0 { word.repeat(3000) } else { word.into() };
            integer(out, word.len() as u64);
            out.extend_from_slice(word.as_bytes());
            return word.encode_utf16().count() as u64;
        }
        5 => (1, b"\x02{}"),
        6 => (1, b"\x01b\x04true"),
        7 => (1, [&[0][..], &[2], &[3, 1, b'p'], &[6]][bytes.below(4)]),
        8 => (3, &[3, 126, 125, 5, 117, 1, 119, 1, b'q']),
        _ => (1, &[1, b'g', 118, 0]),
    };
    out.extend_from_slice(content);
    len
}

/// An element that exists.
fn some_id(clocks: &[u64; CLIENTS.len()], bytes: &mut Choices<'_>) -> Option<(usize, u64)> {
    some_range(clocks, bytes).map(|(client, clock, _)| (client, clock))
}

/// Elements that exist: client, clock and length.
fn some_range(clocks: &[u64; CLIENTS.len()], bytes: &mut Choices<'_>) -> Option<(usize, u64, u64)> {
    let client = bytes.below(CLIENTS.len());
    if clocks[client] == 0 {
        return None;
    }
    let clock = (u64::from(bytes.next()) << 8 | u64::from(bytes.next())) % clocks[client];
    Some((client, clock, 1 + bytes.below(5).min((clocks[client] - clock) as usize - 1) as u64))
}

fn integer(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The fuzzer's bytes as a row of choices; zeros once they are used up.
struct Choices<'a> {
    data: &'a [u8],
    at: usize,
}

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        self.at += 1;
        self.data.get(self.at - 1).copied().unwrap_or(0)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next()) % bound.max(1)
    }

    fn is_done(&self) -> bool {
        self.at >= self.data.len()
    }
}

const CLIENTS: [u64; 4] = [1, 7, (1 << 32) + 5, (1 << 53) - 1];
const LIMITS: UpdateLimits = UpdateLimits { structs_max: 1 << 16, footprint_bytes_max: 1 << 24 };
/// Client 1 wrote "hello".
const TEXT: &[u8] = b"\x01\x01\x01\x00\x04\x01\x01t\x05hello\x00";

#[cfg(test)]
mod tests {
    use roomcast_core::rng::Rng;

    use super::*;

    #[test]
    fn random_editing_keeps_the_property() {
        let cases = std::env::var("ROOMCAST_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
        for case in 0..cases {
            let mut rng = Rng::from_seed(seed(case));
            let mut data = vec![0; 40 + rng.below(600) as usize];
            rng.fill(&mut data);
            yjs_store(&data);
        }
    }

    #[test]
    fn long_editing_keeps_the_property() {
        for case in 0..6 {
            let mut rng = Rng::from_seed(seed(1 << 32 | case));
            let mut data = vec![0; 12_000];
            rng.fill(&mut data);
            yjs_store(&data);
        }
    }

    #[test]
    fn damaged_updates_keep_the_property() {
        for case in 0..300 {
            let mut rng = Rng::from_seed(seed(case));
            let mut data = vec![0; 300];
            rng.fill(&mut data);
            for mut update in editing(&mut Choices { data: &data, at: 0 }) {
                for _ in 0..8 {
                    yjs_update(&update);
                    yjs_state_vector(&update);
                    let place = rng.below(update.len() as u64) as usize;
                    update[place] = rng.next_u64() as u8;
                }
            }
        }
    }

    #[test]
    fn random_bytes_keep_the_properties() {
        for case in 0..20_000 {
            let mut rng = Rng::from_seed(seed(case));
            let mut data = vec![0; 1 + rng.below(40) as usize];
            rng.fill(&mut data);
            // Small numbers get further.
            data.iter_mut().filter(|byte| **byte < 200).for_each(|byte| *byte %= 12);
            yjs_update(&data);
            yjs_state_vector(&data);
            yjs_awareness(&data);
        }
    }

    #[test]
    fn random_awareness_keeps_the_property() {
        for case in 0..2_000 {
            let mut rng = Rng::from_seed(seed(case));
            let mut data = Vec::new();
            for _ in 0..rng.below(20) {
                let count = rng.below(4);
                data.push(count as u8);
                for _ in 0..count {
                    data.extend([rng.below(6) as u8, rng.below(5) as u8]);
                    data.extend([&b"\x02{}"[..], b"\x04null", b"\x011"][rng.below(3) as usize]);
                }
                data.push(0xff);
            }
            yjs_awareness(&data);
        }
    }

    fn seed(case: u64) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&case.to_le_bytes());
        seed
    }
}
