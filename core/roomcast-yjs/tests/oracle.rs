//! The struct store beside npm yjs: random concurrent editing there, the updates applied here, and what comes out is
//! loaded there again.
//!
//! `ROOMCAST_YJS_ORACLE` names the folder of the oracle (`conformance/yjs` after `npm ci`); without it these tests say so
//! and pass.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod hostile;
mod ytr;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hostile::Hostile;
use roomcast_core::rng::Rng;
use roomcast_yjs::{StateVector, StructStore, UpdateLimits, Verdict, merge_updates};
use serde_json::{Value, json};

#[test]
fn joiners_see_what_yjs_sees() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut sizes = (0, 0);
    for seed in seeds(150) {
        let case =
            oracle.ask(&json!({"op": "generate", "seed": seed, "clients": 2 + seed % 3, "steps": 20 + seed % 90}));
        let updates = decoded(&case["updates"]);
        let mut rng = Rng::from_seed([u8::try_from(seed % 251).unwrap(); 32]);

        let mut store = StructStore::new();
        for update in &updates {
            // Deleting what others deleted meanwhile may bring nothing.
            let verdict = store.apply(update, &LIMITS);
            assert!(matches!(verdict, Verdict::Applied | Verdict::NothingNew), "seed {seed}: {verdict:?}");
        }
        oracle.same(seed, None, &store.state());

        let mut shuffled = StructStore::new();
        apply_shuffled(&mut shuffled, updates.clone(), &mut rng);
        oracle.same(seed, None, &shuffled.state());
        // What came into a deleted type is collected at once, what was there before only now.
        let mut compacted = store.clone();
        compacted.compact(usize::MAX);
        shuffled.compact(usize::MAX);
        oracle.same(seed, None, &shuffled.state());
        assert_eq!(shuffled.state(), compacted.state(), "seed {seed}");
        sizes.0 += shuffled.state().len();
        sizes.1 += bytes(&case["state"]).len();

        // What yjs makes of everything it received, and of its whole document, says the same.
        for echo in decoded(&case["echoes"]) {
            assert!(matches!(store.apply(&echo, &LIMITS), Verdict::Applied | Verdict::NothingNew), "seed {seed}");
        }
        assert!(matches!(store.apply(&bytes(&case["state"]), &LIMITS), Verdict::Applied | Verdict::NothingNew));
        oracle.same(seed, None, &store.state());
        assert_eq!(store.check(&bytes(&case["state"]), &LIMITS), Verdict::NothingNew, "seed {seed}");

        for snapshot in case["snapshots"].as_array().unwrap() {
            let known = StateVector::decode(&bytes(&snapshot[0])).unwrap();
            oracle.same(seed, Some(&bytes(&snapshot[1])), &store.difference(&known));
            // A document that was loaded from there meets the rest in whole states and merged updates.
            let mut other = StructStore::new();
            assert!(matches!(other.apply(&bytes(&snapshot[1]), &LIMITS), Verdict::Applied | Verdict::NothingNew));
            apply_shuffled(&mut other, updates.clone(), &mut rng);
            oracle.same(seed, None, &other.state());
        }

        let merged = oracle.ask(&json!({"op": "merge", "updates": case["updates"]}));
        let mut from_merged = StructStore::new();
        assert_eq!(from_merged.apply(&bytes(&merged["update"]), &LIMITS), Verdict::Applied, "seed {seed}");
        oracle.same(seed, None, &from_merged.state());
    }
    println!("states of {} bytes, those of yjs {}", sizes.0, sizes.1);
}

#[test]
fn rich_text_comes_out_as_published() {
    let Some(folder) = ytr::folder("ROOMCAST_TRACES") else { return };
    let Some(mut oracle) = Oracle::start() else { return };
    let mut store = StructStore::new();
    for update in ytr::updates(&std::fs::read(folder.join("rich-prosemirror-3c.ytr")).unwrap()) {
        assert!(matches!(store.apply(&update, &LIMITS), Verdict::Applied | Verdict::NothingNew));
    }
    let update = STANDARD.encode(store.state());
    let read = oracle.ask(&json!({"op": "read", "update": update, "name": "prosemirror", "type": "xml"}));
    let published = std::fs::read_to_string(folder.join("rich-prosemirror-3c.final.xml")).unwrap();
    assert_eq!(read["text"].as_str().unwrap(), published);
}

/// What the store accepts of hostile updates, members apply without throwing: those who are there, those who
/// join at some moment and those who join at the end; and all see the same.
#[test]
fn members_can_bear_whatever_is_accepted() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut reasons = std::collections::BTreeMap::<String, u32>::new();
    let (mut accepted, mut failures) = (0, Vec::new());
    // Beside those of each run, two in which known structs come again in halves and cut a surrogate pair.
    for seed in [1701, 2309].into_iter().chain(seeds(400)) {
        let mut hostile = Hostile::new(u64::from(seed));
        let (mut store, mut updates, mut states) = (StructStore::new(), Vec::new(), Vec::new());
        for _ in 0..4 + seed % 30 {
            let update = hostile.update();
            match store.apply(&update, &LIMITS) {
                Verdict::Applied => {
                    hostile.accepted();
                    updates.push(update);
                }
                verdict @ (Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_)) => {
                    let reason = format!("{verdict:?}");
                    *reasons.entry(reason.split("Id").next().unwrap().to_owned()).or_default() += 1;
                }
            }
            if hostile.below(6) == 0 {
                if hostile.below(2) == 0 {
                    store.compact(usize::MAX);
                }
                states.push(json!([updates.len(), STANDARD.encode(store.state())]));
            }
        }
        states.push(json!([updates.len(), STANDARD.encode(store.state())]));
        accepted += updates.len();
        let merged = STANDARD.encode(merge_updates(updates.iter().map(Vec::as_slice)).unwrap());
        let updates: Vec<String> = updates.iter().map(|update| STANDARD.encode(update)).collect();
        let answer = oracle.put(&json!({"op": "hostile", "updates": updates, "merged": merged, "states": states}));
        for wrong in ["error", "apart"] {
            if let Some(text) = answer[wrong].as_str() {
                failures.push(format!("seed {seed}, {wrong}: {text}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} seeds fail:\n{}", failures.len(), failures[..failures.len().min(5)].join("\n"));
    println!("{accepted} accepted; others: {reasons:#?}");
}

/// Applies updates in a random order, what misses something again later.
fn apply_shuffled(store: &mut StructStore, mut updates: Vec<Vec<u8>>, rng: &mut Rng) {
    while !updates.is_empty() {
        let before = updates.len();
        for place in (1..updates.len()).rev() {
            updates.swap(place, usize::try_from(rng.below(u64::try_from(place).unwrap() + 1)).unwrap());
        }
        updates.retain(|update| match store.apply(update, &LIMITS) {
            Verdict::Applied | Verdict::NothingNew => false,
            Verdict::Missing(_) => true,
            Verdict::Bad(reason) => panic!("{reason:?}: {update:?}"),
        });
        assert!(updates.len() < before, "nothing can be applied");
    }
}

/// `ROOMCAST_YJS_SEEDS` says how many instead of `count`, or which: `from..to`.
fn seeds(count: u32) -> std::ops::Range<u32> {
    let Ok(text) = std::env::var("ROOMCAST_YJS_SEEDS") else { return 0..count };
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    from.parse().unwrap()..to.parse().unwrap()
}

fn bytes(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

fn decoded(list: &Value) -> Vec<Vec<u8>> {
    list.as_array().unwrap().iter().map(bytes).collect()
}

struct Oracle {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Option<Self> {
        let folder = ytr::folder("ROOMCAST_YJS_ORACLE")?;
        let mut child = Command::new("node")
            .arg("oracle.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, to, from })
    }

    fn put(&mut self, request: &Value) -> Value {
        writeln!(self.to, "{request}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, request: &Value) -> Value {
        let answer = self.put(request);
        assert_eq!(answer.get("error"), None, "{}", answer["error"].as_str().unwrap_or_default());
        answer
    }

    /// Whether `update`, on top of `base`, is the document that was generated last.
    fn same(&mut self, seed: u32, base: Option<&[u8]>, update: &[u8]) {
        let mut request = json!({"op": "compare", "update": STANDARD.encode(update)});
        if let Some(base) = base {
            request["base"] = STANDARD.encode(base).into();
        }
        let answer = self.put(&request);
        assert_eq!(answer.get("error"), None, "seed {seed}: {}", answer["error"].as_str().unwrap_or_default());
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LIMITS: UpdateLimits = UpdateLimits { structs_max: usize::MAX, footprint_bytes_max: 1 << 30 };
