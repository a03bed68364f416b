//! Yjs documents beside yrs: what an update costs, what a join costs, what a JSON integer array costs.
//!
//! `ROOMCAST_TRACES` names the folder of the `.ytr` traces; without it a generated text is edited.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use roomcast_yjs::{Document, Source, StateVector, Verdict, int_array, merge_updates};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector as YrsVector, Transact, Update};

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("yjs/apply");
    group.sample_size(10);
    for (name, updates) in traces() {
        group.throughput(Throughput::Elements(u64::try_from(updates.len()).unwrap_or(u64::MAX)));
        group.bench_function(BenchmarkId::new("roomcast", &name), |bencher| bencher.iter(|| replay(&updates)));
        group.bench_function(BenchmarkId::new("yrs", &name), |bencher| bencher.iter(|| replay_in_yrs(&updates)));
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("yjs/state");
    for (name, updates) in traces() {
        let (document, doc) = (replay(&updates), replay_in_yrs(&updates));
        group.bench_function(BenchmarkId::new("roomcast", &name), |bencher| bencher.iter(|| document.store().state()));
        group.bench_function(BenchmarkId::new("yrs", &name), |bencher| {
            bencher.iter(|| doc.transact().encode_state_as_update_v1(&YrsVector::default()));
        });
    }
}

fn difference(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("yjs/difference");
    for (name, updates) in traces() {
        let (mut document, doc) = (replay(&updates), replay_in_yrs(&updates));
        let behind = replay(updates.get(..updates.len() * 99 / 100).unwrap_or_default()).state_vector();
        let (known, known_by_yrs) = (StateVector::decode(&behind), YrsVector::decode_v1(&behind));
        let (Ok(known), Ok(known_by_yrs)) = (known, known_by_yrs) else { continue };
        group.bench_function(BenchmarkId::new("roomcast", &name), |bencher| {
            bencher.iter(|| document.difference(&known))
        });
        group.bench_function(BenchmarkId::new("yrs", &name), |bencher| {
            bencher.iter(|| doc.transact().encode_diff_v1(&known_by_yrs));
        });
    }
}

/// A member edits and fifty join: one encoding. Of yrs, one join, for it keeps none.
fn join(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("yjs/join");
    for (name, updates) in traces() {
        let Some((last, before)) = updates.split_last() else { continue };
        let before = replay(before);
        group.bench_function(BenchmarkId::new("roomcast, 50 joins after an edit", &name), |bencher| {
            bencher.iter_batched_ref(
                || before.clone(),
                |document| {
                    document.apply(last, Source::Live);
                    for _ in 0..50 {
                        black_box(document.state_array());
                    }
                },
                criterion::BatchSize::LargeInput,
            );
        });
        group.bench_function(BenchmarkId::new("a whole state applied to an empty document", &name), |bencher| {
            let state = before.store().state();
            bencher.iter(|| Document::default().apply(&state, Source::Stored));
        });
        group.bench_function(BenchmarkId::new("yrs, the same", &name), |bencher| {
            let state = before.store().state();
            bencher.iter(|| replay_in_yrs(std::slice::from_ref(&state)));
        });
        let turn: Vec<&[u8]> = updates.iter().take(16).map(Vec::as_slice).collect();
        group.bench_function(BenchmarkId::new("16 updates merged", &name), |bencher| {
            bencher.iter(|| merge_updates(turn.iter().copied()));
        });
    }
}

fn arrays(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("yjs/int array");
    for (name, updates) in traces() {
        let state = replay(&updates).store().state();
        let text = int_array::encode(&state);
        group.throughput(Throughput::Bytes(u64::try_from(state.len()).unwrap_or(u64::MAX)));
        group.bench_function(BenchmarkId::new("encode", &name), |bencher| bencher.iter(|| int_array::encode(&state)));
        group.bench_function(BenchmarkId::new("decode", &name), |bencher| {
            bencher.iter(|| int_array::decode(&text, state.len()));
        });
    }
}

fn replay(updates: &[Vec<u8>]) -> Document {
    let mut document = Document::default();
    for update in updates {
        let verdict = document.apply(update, Source::Live);
        debug_assert!(matches!(verdict, Verdict::Applied | Verdict::NothingNew));
    }
    document
}

fn replay_in_yrs(updates: &[Vec<u8>]) -> Doc {
    let doc = Doc::new();
    for update in updates {
        if let Ok(update) = Update::decode_v1(update) {
            drop(doc.transact_mut().apply_update(update));
        }
    }
    doc
}

fn traces() -> Vec<(String, Vec<Vec<u8>>)> {
    let Some(folder) = std::env::var_os("ROOMCAST_TRACES").map(PathBuf::from) else {
        return vec![("generated".into(), generated())];
    };
    ["full-automerge-260k", "concurrent-friends-26k", "rich-prosemirror-3c"]
        .into_iter()
        .filter_map(|name| Some((name.into(), updates(&std::fs::read(folder.join(name).with_extension("ytr")).ok()?)?)))
        .collect()
}

/// The updates of a `.ytr` file: magic, count, then kind, sender and bytes behind their length.
fn updates(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = file.strip_prefix(b"YTR1")?.get(4..)?;
    let mut updates = Vec::new();
    while let [kind, _, body @ ..] = rest {
        let digits = body.iter().position(|&byte| byte < 0x80)? + 1;
        let (number, body) = body.split_at_checked(digits)?;
        let len = number.iter().rev().fold(0, |len, &byte| len << 7 | usize::from(byte & 0x7f));
        let (update, behind) = body.split_at_checked(len)?;
        if *kind == 0 {
            updates.push(update.to_vec());
        }
        rest = behind;
    }
    Some(updates)
}

/// A writer types at places that jump about, and deletes every fifth letter.
fn generated() -> Vec<Vec<u8>> {
    use yrs::{Text, WriteTxn};
    let doc = Doc::with_client_id(1);
    let mut place = 0;
    (0..20_000u32)
        .map(|edit| {
            let mut txn = doc.transact_mut();
            let before = txn.state_vector();
            let text = txn.get_or_insert_text("text");
            let len = text.len(&txn);
            if edit % 40 == 0 {
                place = edit.wrapping_mul(2_654_435_761) % (len + 1);
            }
            if edit % 5 == 4 && place > 0 {
                place -= 1;
                text.remove_range(&mut txn, place, 1);
            } else {
                text.insert(&mut txn, place, "x");
                place += 1;
            }
            txn.encode_diff_v1(&before)
        })
        .collect()
}

criterion_group!(benches, apply, encode, difference, join, arrays);
criterion_main!(benches);
