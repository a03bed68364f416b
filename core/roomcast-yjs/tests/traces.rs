//! Recorded editing replayed into the struct store; the text of what comes out is read by yrs.
//!
//! `ROOMCAST_TRACES` names the folder of the `.ytr` traces; without it, only a generated trace is replayed.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod ytr;

use std::collections::BTreeMap;

use roomcast_core::rng::Rng;
use roomcast_yjs::{StateVector, StructStore, UpdateLimits, Verdict};
use sha2::{Digest, Sha256};
use yrs::types::ToJson;
use yrs::types::text::YChange;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Array, ArrayPrelim, ArrayRef, Doc, GetString, Map, MapRef, OffsetKind, Options, ReadTxn, Text, TextRef, Transact,
    TransactionMut, Update, Xml, XmlElementPrelim, XmlFragment, XmlFragmentRef, XmlTextPrelim,
};

#[test]
fn recorded_texts_come_out_as_published() {
    let Some(folder) = ytr::folder("ROOMCAST_TRACES") else { return };
    for (name, sha256) in TEXTS {
        let updates = ytr::updates(&std::fs::read(folder.join(name)).unwrap());
        let store = replay(&updates);
        let state = store.state();
        let doc = Doc::new();
        let text = doc.get_or_insert_text("text");
        doc.transact_mut().apply_update(Update::decode_v1(&state).unwrap()).unwrap();
        let content = text.get_string(&doc.transact());
        assert_eq!(hex(&Sha256::digest(content.as_bytes())), sha256, "{name}");
        assert!(store.footprint() < updates.iter().map(Vec::len).sum(), "{name}");
    }
}

#[test]
fn generated_editing_reads_as_in_yrs() {
    for seed in 0..20 {
        let (updates, docs) = generated(seed, 3, 300);
        let store = replay(&updates);
        let joiner = doc_in_utf16(1 << 40);
        joiner.transact_mut().apply_update(Update::decode_v1(&store.state()).unwrap()).unwrap();
        assert_eq!(content(&joiner), content(&docs[0]), "seed {seed}");
        assert_eq!(joiner.transact().state_vector(), docs[0].transact().state_vector());

        // Who knew the first half gets the rest.
        let half = replay(&updates[..updates.len() / 2]);
        let late = doc_in_utf16(1 << 41);
        late.transact_mut().apply_update(Update::decode_v1(&half.state()).unwrap()).unwrap();
        let known = StateVector::decode(&late.transact().state_vector().encode_v1()).unwrap();
        assert_eq!(known, half.state_vector());
        late.transact_mut().apply_update(Update::decode_v1(&store.difference(&known)).unwrap()).unwrap();
        assert_eq!(content(&late), content(&docs[0]), "seed {seed}");
    }
}

fn replay(updates: &[Vec<u8>]) -> StructStore {
    let mut store = StructStore::new();
    for (at, update) in updates.iter().enumerate() {
        let verdict = store.apply(update, &LIMITS);
        assert!(matches!(verdict, Verdict::Applied | Verdict::NothingNew), "update {at}: {verdict:?}");
    }
    store
}

/// Editing of some members of one document; each now and then receives what the others did.
///
/// Without formats and characters outside the basic plane: members of yrs that format at the same time end with different
/// documents, and where an edit cuts a surrogate pair, yrs differs from yjs. The oracle has both.
fn generated(seed: u8, members: u64, edits: usize) -> (Vec<Vec<u8>>, Vec<Doc>) {
    let mut rng = Rng::from_seed([seed; 32]);
    let docs: Vec<Doc> = (0..members).map(|member| doc_in_utf16(member * 1_000_003 + 1)).collect();
    let mut log: Vec<Vec<u8>> = Vec::new();
    let mut received = vec![0; docs.len()];
    for edit in 0..edits {
        let member = usize::try_from(rng.below(members)).unwrap();
        let roots = Roots::of(&docs[member]);
        let mut txn = docs[member].transact_mut();
        if rng.below(3) == 0 || edit + docs.len() >= edits {
            for update in &log[received[member]..] {
                txn.apply_update(Update::decode_v1(update).unwrap()).unwrap();
            }
            received[member] = log.len();
        }
        drop(txn);
        let mut txn = docs[member].transact_mut();
        for _ in 0..=rng.below(3) {
            roots.edit(&mut txn, &mut rng);
        }
        log.push(txn.encode_update_v1());
    }
    for doc in &docs {
        let mut txn = doc.transact_mut();
        for update in &log {
            txn.apply_update(Update::decode_v1(update).unwrap()).unwrap();
        }
    }
    (log, docs)
}

struct Roots {
    text: TextRef,
    map: MapRef,
    array: ArrayRef,
    xml: XmlFragmentRef,
}

impl Roots {
    fn of(doc: &Doc) -> Self {
        Self {
            text: doc.get_or_insert_text("text"),
            map: doc.get_or_insert_map("map"),
            array: doc.get_or_insert_array("array"),
            xml: doc.get_or_insert_xml_fragment("xml"),
        }
    }

    fn edit(&self, txn: &mut TransactionMut<'_>, rng: &mut Rng) {
        let mut below = |bound: u32| u32::try_from(rng.below(u64::from(bound))).unwrap();
        let word = ["x", "hello ", "\u{e4}\u{df}", "\u{20ac}\n"][below(4) as usize];
        let (len, items, nodes) = (self.text.len(txn), self.array.len(txn), self.xml.len(txn));
        let (place, item, node) = (below(len + 1), below(items + 1), below(nodes + 1));
        match below(12) {
            0..4 => self.text.insert(txn, place, word),
            4 if place < len => self.text.remove_range(txn, place, 1 + below(4).min(len - place - 1)),
            6 => drop(self.map.insert(txn, ["k", "l"][below(2) as usize], word)),
            7 => drop(self.map.insert(txn, "m", ArrayPrelim::from([1, 2]))),
            8 => drop(self.array.insert(txn, item, i64::from(place))),
            9 if item < items => self.array.remove(txn, item),
            10 if node < nodes && below(3) > 0 => self.xml.remove_range(txn, node, 1),
            10 => {
                let element = self.xml.insert(txn, node, XmlElementPrelim::empty("p"));
                element.insert_attribute(txn, "id", word);
                element.insert(txn, 0, XmlTextPrelim::new(word));
            }
            11 => drop(self.map.remove(txn, "k")),
            _ => self.text.push(txn, "."),
        }
    }
}

fn content(doc: &Doc) -> String {
    let roots = Roots::of(doc);
    let txn = doc.transact();
    let text: Vec<_> =
        roots.text.diff(&txn, YChange::identity).into_iter().map(|part| (part.insert, part.attributes)).collect();
    let map: BTreeMap<_, _> = roots.map.iter(&txn).map(|(key, value)| (key, value.to_json(&txn))).collect();
    format!("{text:?} {map:?} {:?} {}", roots.array.to_json(&txn), roots.xml.get_string(&txn))
}

fn doc_in_utf16(client: u64) -> Doc {
    let id = yrs::block::ClientID::new(client);
    Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(id) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const LIMITS: UpdateLimits = UpdateLimits { structs_max: 20_000, footprint_bytes_max: 32 << 20 };

/// The rich one is read by npm yjs, for yrs prints attributes in another order.
const TEXTS: [(&str, &str); 5] = [
    ("small-automerge-1k.ytr", "21955e0a6ec8c50c95aff940189242f90de1e4803a314cc62da9ad966689822d"),
    ("medium-svelte-18k.ytr", "d8bb93b7cf87b4c3a0394fddc028284a093d90d5794a213d1ccb0794eb4ede8f"),
    ("full-automerge-260k.ytr", "a489e9022976c14e46627aea174d07797edcb3fd17df42605956d4cf01bf9039"),
    ("concurrent-friends-26k.ytr", "4720ec330c91e288c00b71cab318f7a1cdde689dfc401f269c353acfd6cb03f6"),
    ("concurrent-clownschool-23k.ytr", "d0812d3d6bfd59eab997e16187c9f1f575c65c84b4b539b033ab499c2edc79d5"),
];
