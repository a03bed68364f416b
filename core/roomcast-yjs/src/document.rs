//! A document with its encodings, each made at most once per change.
//!
//! Owns: [`Document`] and its [`DocumentLimits`]. Must never know: its readers and writers, and where it is stored.

use bytes::Bytes;

use super::soundness::Unsound;
use super::store::{BadUpdate, Split, StructStore, UpdateLimits, Verdict};
use super::update::StateVector;
use super::{int_array, wire};

/// What a document and the updates to it may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocumentLimits {
    /// Bytes of a live update: 256 KiB.
    pub update_bytes_max: usize,
    /// Structs and deletions of such an update: 20,000.
    pub update_structs_max: usize,
    /// Bytes of an update from a member that was offline: 4 MiB.
    pub resync_bytes_max: usize,
    /// Bytes of the document's structs: 32 MiB.
    pub document_bytes_max: usize,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            update_bytes_max: 256 << 10,
            update_structs_max: 20_000,
            resync_bytes_max: 4 << 20,
            document_bytes_max: 32 << 20,
        }
    }
}

/// Where an update comes from, which decides on its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A member that edits.
    Live,
    /// A member that brings what it did while it was away, perhaps its whole document.
    Resync,
    /// A member that was asked for its whole document: as [`Resync`](Self::Resync), but with a byte limit that is
    /// raised by the size of the stored document.
    Whole,
    /// The caller's own store. No limit of size applies, and what is unsound is told by [`Document::unsound`] alone: what
    /// was accepted once can always be loaded again.
    Stored,
}

/// A Yjs document as a relay keeps it.
#[derive(Clone, Debug, Default)]
pub struct Document {
    store: StructStore,
    limits: DocumentLimits,
    state: Option<Bytes>,
    state_array: Option<Bytes>,
    state_vector: Option<Bytes>,
    /// What is deleted, which ends every difference.
    deletions: Option<Vec<u8>>,
    unsound: Option<Unsound>,
}

impl Document {
    /// An empty document.
    pub fn new(limits: DocumentLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Applies an update as a whole, or nothing of it.
    pub fn apply(&mut self, update: &[u8], source: Source) -> Verdict {
        let verdict = match self.limits_of(update, source) {
            Ok(limits) if source == Source::Stored => self.load(update, &limits),
            Ok(limits) => self.store.apply(update, &limits),
            Err(reason) => return Verdict::Bad(reason),
        };
        if verdict == Verdict::Applied {
            (self.state, self.state_array, self.state_vector, self.deletions) = (None, None, None, None);
        }
        verdict
    }

    /// Loads everything that can be read. Unsound structs may have been stored before they were refused: without them,
    /// everything that builds on them would be lost.
    fn load(&mut self, update: &[u8], limits: &UpdateLimits) -> Verdict {
        match self.store.apply(update, limits) {
            Verdict::Bad(BadUpdate::Unsound(unsound)) => {
                self.unsound.get_or_insert(unsound);
                self.store.load(update)
            }
            verdict @ (Verdict::Applied | Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_)) => verdict,
        }
    }

    /// What was [stored](Source::Stored) that would be refused of a member today, if there was anything. Members may throw
    /// at this document, or not agree on it.
    pub const fn unsound(&self) -> Option<Unsound> {
        self.unsound
    }

    /// Parts an update of which something is missing: into what can be applied now, which may be empty, and the rest.
    ///
    /// A member that is brought up to date sends all that is unknown here, and with it what its own document holds back
    /// because something is missing there too. `None` if the update is not of that kind.
    pub fn split(&self, update: &[u8], source: Source) -> Option<Split> {
        let limits = self.limits_of(update, source).ok()?;
        self.store.split(update, &limits)
    }

    /// Everything, as an update; `[0,0]` if there is nothing.
    pub fn state(&mut self) -> Bytes {
        if let Some(state) = &self.state {
            return state.clone();
        }
        if self.store.is_compaction_due() {
            self.store.compact(COMPACTION_STRUCTS_MAX);
            self.deletions = None;
        }
        let store = &self.store;
        let deletions = self.deletions.get_or_insert_with(|| store.encoded_deletions());
        let state = Bytes::from(store.difference_with(&StateVector::default(), deletions));
        self.state = Some(state.clone());
        state
    }

    /// [`Self::state`] as the text of a JSON array.
    pub fn state_array(&mut self) -> Bytes {
        let state = self.state();
        self.state_array.get_or_insert_with(|| int_array::encode(&state).into()).clone()
    }

    /// How far each client is known, encoded.
    pub fn state_vector(&mut self) -> Bytes {
        let store = &self.store;
        self.state_vector.get_or_insert_with(|| store.state_vector().encode().into()).clone()
    }

    /// Everything that a document lacks which knows as much as `known`, as an update.
    pub fn difference(&mut self, known: &StateVector) -> Bytes {
        if known.iter().next().is_none() {
            return self.state();
        }
        let store = &self.store;
        let deletions = self.deletions.get_or_insert_with(|| store.encoded_deletions());
        store.difference_with(known, deletions).into()
    }

    /// What [`Self::apply`] would answer.
    pub fn check(&self, update: &[u8], source: Source) -> Verdict {
        match self.limits_of(update, source) {
            Ok(_) if source == Source::Stored => self.store.check_load(update),
            Ok(limits) => self.store.check(update, &limits),
            Err(reason) => Verdict::Bad(reason),
        }
    }

    /// Whether [`Self::state`] is encoded already, so that it costs nothing.
    pub const fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// How many surrogate pairs were cut so far, each by an update that put something between its halves or named them
    /// apart. [`Self::difference`] does not say of every cut where it was.
    pub const fn cuts(&self) -> usize {
        self.store.cuts()
    }

    /// How many structs the deletions of an update look at, at most: one byte may delete a whole document. 0 of what is no
    /// update.
    pub fn deletion_reach(&self, update: &[u8]) -> usize {
        self.store.deletion_reach(update)
    }

    /// The store of structs below this document.
    pub const fn store(&self) -> &StructStore {
        &self.store
    }

    fn limits_of(&self, update: &[u8], source: Source) -> Result<UpdateLimits, BadUpdate> {
        let document_bytes_max = self.limits.document_bytes_max;
        let (bytes_max, structs_max, footprint_bytes_max) = match source {
            Source::Live => (self.limits.update_bytes_max, self.limits.update_structs_max, document_bytes_max),
            Source::Resync => (self.limits.resync_bytes_max, usize::MAX, document_bytes_max),
            Source::Whole => {
                let bytes_max = self.limits.resync_bytes_max.saturating_add(self.store.footprint());
                (bytes_max, usize::MAX, document_bytes_max)
            }
            Source::Stored => (wire::UPDATE_BYTES_MAX, usize::MAX, usize::MAX),
        };
        if update.len() > bytes_max {
            return Err(BadUpdate::TooLong);
        }
        Ok(UpdateLimits { structs_max, footprint_bytes_max })
    }
}

/// Structs above which a document is not compacted: some 10 ms of work.
const COMPACTION_STRUCTS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, Id, Malformed, merge_updates};

    #[test]
    fn the_empty_state_is_two_zeros() {
        let mut document = Document::default();
        assert_eq!(document.state(), [0, 0][..]);
        assert_eq!(document.state_array(), b"[0,0]"[..]);
        assert_eq!(document.state_vector(), [0][..]);
    }

    #[test]
    fn each_form_is_encoded_once_per_change() {
        let mut document = Document::default();
        assert_eq!(document.apply(&text(1, 0, "ab"), Source::Live), Verdict::Applied);
        let (state, array) = (document.state(), document.state_array());
        assert_eq!(document.state().as_ptr(), state.as_ptr());
        assert_eq!(document.apply(&text(1, 0, "ab"), Source::Live), Verdict::NothingNew);
        assert_eq!(document.state_array().as_ptr(), array.as_ptr());
        assert_eq!(document.difference(&StateVector::default()).as_ptr(), state.as_ptr());
        assert_eq!(document.apply(&text(1, 2, "c"), Source::Live), Verdict::Applied);
        assert_ne!(document.state(), state);
        assert_ne!(document.state_array(), array);
    }

    #[test]
    fn a_difference_ends_with_what_is_deleted_by_now() {
        let mut document = Document::default();
        let known = StateVector::from_iter([(client(1), 4)]);
        document.apply(&text(1, 0, "abcd"), Source::Live);
        assert_eq!(document.difference(&known), [0, 0][..]);
        for (at, behind) in [(0, [0, 1, 1, 1, 0, 1]), (1, [0, 1, 1, 1, 0, 2])] {
            assert_eq!(document.apply(&[0, 1, 1, 1, at, 1], Source::Live), Verdict::Applied);
            assert_eq!(document.difference(&known), behind[..]);
            assert_eq!(document.difference(&known), behind[..], "the same again");
            assert!(document.state().ends_with(&behind[1..]));
        }
    }

    #[test]
    fn a_state_is_compacted_when_that_pays() {
        let mut document = Document::default();
        // An array of sixteen texts with a letter each; then all texts are deleted, and the letters with them.
        let mut update = vec![1, 32, 1, 0];
        for at in 0..16u8 {
            update.extend(if at == 0 { vec![7, 1, 1, b'a', 2] } else { vec![0x87, 1, 2 * at - 2, 2] });
            update.extend([4, 0, 1, 2 * at, 1, b'x']);
        }
        update.push(0);
        assert_eq!(document.apply(&update, Source::Live), Verdict::Applied);
        for at in 0..16 {
            assert!(!document.store().is_compaction_due(), "{at} deletions");
            assert_eq!(document.apply(&[0, 1, 1, 1, 2 * at, 2], Source::Live), Verdict::Applied);
        }
        assert!(document.store().is_compaction_due());
        // The letters are collected; what was deleted stays deleted.
        let state = document.state();
        assert!(!document.store().is_compaction_due());
        let letters = state.windows(2).filter(|pair| pair == &[0, 1]).count();
        assert!(letters >= 16 && state.ends_with(&[1, 1, 1, 0, 32]), "{state:?}");
        let mut again = Document::default();
        again.apply(&state, Source::Stored);
        assert_eq!(again.state(), state);
        // Deleted text without types leaves nothing to collect.
        let mut plain = Document::default();
        plain.apply(&text(1, 0, &"y".repeat(100)), Source::Live);
        for at in 0..40 {
            plain.apply(&[0, 1, 1, 1, 2 * at, 1], Source::Live);
        }
        assert!(!plain.store().is_compaction_due());
    }

    #[test]
    fn a_difference_begins_within_a_struct() {
        let mut document = Document::default();
        document.apply(&text(1, 0, "abcd"), Source::Live);
        let known = StateVector::from_iter([(client(1), 3)]);
        assert_eq!(document.difference(&known), [1, 1, 1, 3, 0x84, 1, 2, 1, b'd', 0][..]);
        let known = StateVector::from_iter([(client(1), 9)]);
        assert_eq!(document.difference(&known), [0, 0][..]);
    }

    #[test]
    fn limits_hold_by_source() {
        let limits = DocumentLimits {
            update_bytes_max: 20,
            update_structs_max: 1,
            resync_bytes_max: 40,
            document_bytes_max: 400,
        };
        let mut document = Document::new(limits);
        let long = text(1, 0, "abcdefghijklm");
        assert_eq!(document.apply(&long, Source::Live), Verdict::Bad(BadUpdate::TooLong));
        assert_eq!(document.apply(&long, Source::Resync), Verdict::Applied);
        let two = [1, 2, 2, 0, 0, 1, 0, 1, 0];
        assert_eq!(document.apply(&two, Source::Live), Verdict::Bad(BadUpdate::TooManyStructs));
        assert_eq!(document.apply(&text(3, 0, &"x".repeat(41)), Source::Resync), Verdict::Bad(BadUpdate::TooLong));
        assert_eq!(document.apply(&text(3, 0, "xyz"), Source::Live), Verdict::Bad(BadUpdate::DocumentFull));
        // What is full can still be emptied.
        assert_eq!(document.apply(&[0, 1, 1, 1, 0, 13], Source::Live), Verdict::Applied);
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_applied() {
        let mut document = Document::default();
        document.apply(&text(1, 0, "ab"), Source::Live);
        let before = document.state();
        let missing = |document: &mut Document, update: &[u8]| {
            let verdict = document.apply(update, Source::Live);
            let Verdict::Missing(Id { client, clock }) = verdict else { panic!("{verdict:?}") };
            (client.as_u64(), clock)
        };
        assert_eq!(missing(&mut document, &text(1, 4, "e")), (1, 3));
        // Two after something of client 7, and one that could be applied.
        assert_eq!(missing(&mut document, &[2, 1, 2, 0, 0x84, 7, 5, 1, b'x', 1, 3, 0, 0, 1, 0]), (7, 5));
        assert_eq!(missing(&mut document, &[1, 1, 2, 0, 0, 1, 1, 1, 1, 1, 9]), (1, 9));
        // Two clients that wait for each other.
        assert_eq!(missing(&mut document, &[2, 1, 4, 0, 0x84, 5, 0, 1, b'x', 1, 5, 0, 0x84, 4, 0, 1, b'y', 0]), (4, 0));
        assert_eq!(document.state(), before);
    }

    #[test]
    fn a_held_back_part_is_split_off() {
        let mut document = Document::default();
        document.apply(&text(1, 0, "ab"), Source::Live);
        // "c" follows; "e" of client 1 and what client 2 made after it do not yet; 1 is deleted, and 4 as well.
        let late = text(2, 0, "x");
        let after = [1, 1, 2, 1, 0x84, 1, 4, 1, b'y', 1, 1, 2, 1, 1, 4, 1];
        let update = merge_updates([&text(1, 2, "c")[..], &text(1, 4, "e"), &late, &after]).unwrap();
        assert_eq!(document.apply(&update, Source::Resync), Verdict::Missing(Id { client: client(1), clock: 3 }));
        let split = document.split(&update, Source::Resync).unwrap();
        assert_eq!(document.apply(&split.now, Source::Resync), Verdict::Applied);
        assert_eq!(document.check(&split.later, Source::Resync), Verdict::Missing(split.missing));
        assert_eq!(document.store().clock(client(1)), 3);
        assert_eq!(document.store().clock(client(2)), 1);
        assert_eq!(document.apply(&text(1, 3, "d"), Source::Live), Verdict::Applied);
        assert_eq!(document.apply(&split.later, Source::Resync), Verdict::Applied);
        assert_eq!(document.apply(&update, Source::Resync), Verdict::NothingNew);
    }

    #[test]
    fn merging_joins_what_follows_and_leaves_gaps() {
        let merged =
            merge_updates([&text(1, 2, "c")[..], &text(1, 0, "ab"), &[0, 1, 1, 1, 0, 1], &text(1, 5, "f")]).unwrap();
        assert_eq!(merged, [1, 3, 1, 0, 4, 1, 1, b't', 3, b'a', b'b', b'c', 10, 2, 0x84, 1, 4, 1, b'f', 1, 1, 1, 0, 1],);
        assert_eq!(merge_updates([&[0, 0][..], &[0]]), Err(Malformed::Truncated));
    }

    fn client(id: u64) -> ClientId {
        ClientId::new(id).unwrap()
    }

    /// An update in which `id` writes `text` behind what it wrote before.
    fn text(id: u8, clock: u8, text: &str) -> Vec<u8> {
        let mut update = vec![1, 1, id, clock];
        if clock == 0 {
            update.extend([4, 1, 1, b't']);
        } else {
            update.extend([0x84, id, clock - 1]);
        }
        wire::write_buffer(&mut update, text.as_bytes());
        update.push(0);
        update
    }
}
