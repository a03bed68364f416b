//! The structs of a document, by client.
//!
//! Owns: whether an update can be applied, applying it as a whole or not at all, and writing state and differences.
//! Must never know: the order in which readers will show the elements, or what they mean to readers.

use std::collections::BTreeMap;

use super::chunk::Chunk;
use super::client_structs::{Change, ClientStructs, Cut};
use super::collect;
use super::merge::UpdateBuilder;
use super::order;
use super::scope::Anchor;
use super::soundness::{Judge, Trust, Unsound};
use super::update::{self, Deletion, Record, Section, StateVector, Update};
use super::wire::{self, ClientId, Id, Malformed};

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It brought something, and all of it is in.
    Applied,
    /// Everything in it was known.
    NothingNew,
    /// It builds on `Id`, which is not known. Nothing of it was applied.
    Missing(Id),
    /// It is refused. Nothing of it was applied.
    Bad(BadUpdate),
}

/// Why an update is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadUpdate {
    /// It is no update that yjs would read.
    Malformed(Malformed),
    /// It is longer than the limit for one update.
    TooLong,
    /// It holds more structs and deletions than the limit.
    TooManyStructs,
    /// The document would outgrow its limit.
    DocumentFull,
    /// It is well-formed, but members could not apply it, or would not agree on what it means.
    Unsound(Unsound),
}

/// What one update may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateLimits {
    /// Structs and deletions.
    pub structs_max: usize,
    /// What [`StructStore::footprint`] may be afterwards, in bytes.
    pub footprint_bytes_max: usize,
}

/// An update in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What misses nothing.
    pub now: Vec<u8>,
    /// What misses something, [`Self::missing`] among it.
    pub later: Vec<u8>,
    /// Something that `later` misses.
    pub missing: Id,
}

/// A document in the form in which it goes over the wire: the structs of each client, runs joined as the exact inverse
/// of how Yjs splits them, content of what is deleted dropped. Structs name each other by id; there are no pointers.
#[derive(Clone, Debug, Default)]
pub struct StructStore {
    clients: BTreeMap<ClientId, ClientStructs>,
    /// The structs that name their parent.
    anchors: Vec<Anchor>,
    footprint: usize,
    /// Since the last compaction.
    deletions: usize,
    /// Surrogate pairs that edits have cut.
    cuts: usize,
    /// Put together here before it goes into a stretch.
    scratch: Chunk,
}

impl StructStore {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies an update v1, if it is sound, brings something and misses nothing.
    ///
    /// Afterwards the store holds what a yjs document would write that had applied the same updates, in any order:
    /// surrogate pairs that an edit cuts are replaced by U+FFFD, twice.
    pub fn apply(&mut self, bytes: &[u8], limits: &UpdateLimits) -> Verdict {
        self.take(bytes, limits, Trust::Examined)
    }

    /// Applies an update from the caller's own store, which was examined when it came: without limits, and without a
    /// look at whether members can bear it. Only what is malformed is bad.
    pub fn load(&mut self, bytes: &[u8]) -> Verdict {
        let verdict = self.take(bytes, &UNLIMITED, Trust::Trusted);
        self.anchors.shrink_to_fit();
        verdict
    }

    fn take(&mut self, bytes: &[u8], limits: &UpdateLimits, trust: Trust) -> Verdict {
        let (update, anchors) = match self.examine(bytes, limits, trust) {
            Ok(update) => update,
            Err(verdict) => return verdict,
        };
        self.footprint += anchors.len() * size_of::<Anchor>();
        self.anchors.extend(anchors);
        let known = |section: &Section| self.clock(section.client);
        let fresh: Vec<&[Record]> =
            update.sections.iter().map(|section| update.records_beyond(section, known(section))).collect();
        for (section, fresh) in update.sections.iter().zip(&fresh).filter(|(_, fresh)| !fresh.is_empty()) {
            self.append(section.client, &update, fresh);
        }
        // Only now is everything there that may be cut. A reader looks up what a struct names even if it knows the
        // struct, and cuts there.
        if self.clients.values().any(ClientStructs::has_pairs) {
            for place in update.cuts() {
                self.cut(place);
            }
        }
        self.deletions = self.deletions.saturating_add(update.deletes.len());
        for &deletion in &update.deletes {
            self.change(deletion, Change::Delete);
        }
        Verdict::Applied
    }

    /// What [`Self::apply`] would answer.
    pub fn check(&self, bytes: &[u8], limits: &UpdateLimits) -> Verdict {
        self.examine(bytes, limits, Trust::Examined).map_or_else(|verdict| verdict, |_| Verdict::Applied)
    }

    /// What [`Self::load`] would answer.
    pub fn check_load(&self, bytes: &[u8]) -> Verdict {
        self.examine(bytes, &UNLIMITED, Trust::Trusted).map_or_else(|verdict| verdict, |_| Verdict::Applied)
    }

    /// How many structs the deletions of an update look at, at most.
    pub(crate) fn deletion_reach(&self, bytes: &[u8]) -> usize {
        let Ok(Some(update)) = Update::decode(bytes, usize::MAX) else { return 0 };
        let reach = |deletion: &Deletion| {
            self.clients.get(&deletion.client).map_or(0, |client| client.reach(deletion.from, deletion.to))
        };
        update.deletes.iter().map(reach).fold(0, usize::saturating_add)
    }

    /// Parts a sound update of which something is missing into what can be applied at once and the rest.
    pub fn split(&self, bytes: &[u8], limits: &UpdateLimits) -> Option<Split> {
        let update = Update::decode(bytes, limits.structs_max).ok()??;
        let order::Applicable { clients: reached, missing, .. } = order::reach(&|client| self.clock(client), &update);
        let (mut now, mut later) = (UpdateBuilder::default(), UpdateBuilder::default());
        for (section, reached) in update.sections.iter().zip(&reached) {
            for record in update.records_beyond(section, self.clock(section.client)) {
                let builder = if record.end() <= reached.clock { &mut now } else { &mut later };
                builder.append(section.client, record.clock, &update.piece(record));
            }
        }
        let mut missing = missing;
        for &deletion in &update.deletes {
            let Deletion { client, from, to } = deletion;
            let reached =
                update.section_index(client).and_then(|at| reached.get(at)).map_or(0, |reached| reached.clock);
            let known = self.clock(client).max(reached);
            if from < known {
                now.deletes.push(Deletion { to: to.min(known), ..deletion });
            }
            if to > known {
                later.deletes.push(Deletion { from: from.max(known), ..deletion });
                missing = missing.or(Some(Id { client, clock: to - 1 }));
            }
        }
        missing.map(|missing| Split { now: now.finish(), later: later.finish(), missing })
    }

    /// Throws away what every reader would: structs in shared types that were deleted. What yjs sees stays the same.
    ///
    /// One look at each struct; none if there are more than `structs_max`.
    pub fn compact(&mut self, structs_max: usize) {
        let clients: Vec<&ClientStructs> = self.clients.values().collect();
        if clients.iter().map(|client| client.len()).sum::<usize>() > structs_max {
            return;
        }
        for range in collect::collectable(&clients) {
            self.change(range, Change::Collect);
        }
        self.clients.values_mut().for_each(ClientStructs::forget_orphans);
        self.deletions = 0;
    }

    /// Whether so much was deleted since the last time that [`Self::compact`] may pay: its cost is spread over at least an
    /// eighth as many deletions as there are structs.
    pub fn is_compaction_due(&self) -> bool {
        self.deletions >= 16
            && self.clients.values().any(ClientStructs::has_orphans)
            && self.deletions * 8 >= self.clients.values().map(ClientStructs::len).sum()
    }

    /// Whether nothing was ever written to it: the state is `[0,0]`.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// The next clock of `client`.
    pub fn clock(&self, client: ClientId) -> u32 {
        self.clients.get(&client).map_or(0, ClientStructs::end)
    }

    /// Whether the element `id` is known.
    pub fn contains(&self, id: Id) -> bool {
        self.clock(id.client) > id.clock
    }

    /// How far each client is known.
    pub fn state_vector(&self) -> StateVector {
        self.clients.values().map(|client| (client.id(), client.end())).collect()
    }

    /// Everything, as an update v1 that yjs and yrs read: structs of the highest client first, then what is deleted.
    pub fn state(&self) -> Vec<u8> {
        self.difference(&StateVector::default())
    }

    /// Everything that a store lacks which knows as much as `known`: newer structs, and everything that is deleted.
    pub fn difference(&self, known: &StateVector) -> Vec<u8> {
        self.difference_with(known, &self.encoded_deletions())
    }

    /// Encodes the delete set, which ends every difference. Visits each struct: callers keep the result until the next
    /// change of the document.
    pub(crate) fn encoded_deletions(&self) -> Vec<u8> {
        let mut out = Vec::new();
        update::write_deletions(&mut out, &self.deleted());
        out
    }

    /// [`Self::difference`] with `deletions` from [`Self::encoded_deletions`].
    pub(crate) fn difference_with(&self, known: &StateVector, deletions: &[u8]) -> Vec<u8> {
        let newer = |client: &&ClientStructs| client.end() > known.clock(client.id());
        let structs_bytes = if known == &StateVector::default() { self.footprint } else { 64 };
        let mut out = Vec::with_capacity(structs_bytes + deletions.len());
        wire::write_count(&mut out, self.clients.values().filter(newer).count());
        for client in self.clients.values().rev().filter(newer) {
            let clock = known.clock(client.id());
            wire::write_count(&mut out, client.count_from(clock));
            wire::write_integer(&mut out, client.id().as_u64());
            wire::write_integer(&mut out, u64::from(clock));
            client.write_from(clock, &mut out);
        }
        out.extend_from_slice(deletions);
        out
    }

    /// Bytes that the structs take, apart from what is kept for growing.
    pub const fn footprint(&self) -> usize {
        self.footprint
    }

    /// How many surrogate pairs were cut so far.
    pub(crate) const fn cuts(&self) -> usize {
        self.cuts
    }

    fn deleted(&self) -> Vec<Deletion> {
        let mut deletes = Vec::new();
        for client in self.clients.values() {
            client.deletions(&mut deletes);
        }
        deletes
    }

    fn append(&mut self, client: ClientId, update: &Update<'_>, records: &[Record]) {
        let client = self.clients.entry(client).or_insert_with(|| {
            self.footprint += CLIENT_BYTES;
            ClientStructs::new(client, 0)
        });
        self.footprint -= client.footprint();
        for record in records {
            let piece = update.piece(record);
            let piece = if record.gone { piece.collected() } else { piece };
            client.append(record.clock, &piece, record.scope);
        }
        self.footprint += client.footprint();
    }

    fn change(&mut self, deletion: Deletion, change: Change) {
        let Some(client) = self.clients.get_mut(&deletion.client) else { return };
        self.footprint -= client.footprint();
        client.change(deletion.from, deletion.to, change, &mut self.scratch);
        self.footprint += client.footprint();
    }

    fn cut(&mut self, place: Id) {
        let Some(client) = self.clients.get_mut(&place.client) else { return };
        self.footprint -= client.footprint();
        self.cuts += usize::from(client.cut(place.clock, &mut self.scratch) == Cut::Pair);
        self.footprint += client.footprint();
    }

    /// Everything that might speak against an update, before anything is changed.
    fn examine<'a>(
        &self,
        bytes: &'a [u8],
        limits: &UpdateLimits,
        trust: Trust,
    ) -> Result<(Update<'a>, Vec<Anchor>), Verdict> {
        let mut update = match Update::decode(bytes, limits.structs_max) {
            Ok(Some(update)) => update,
            Ok(None) => return Err(Verdict::Bad(BadUpdate::TooManyStructs)),
            Err(malformed) => return Err(Verdict::Bad(BadUpdate::Malformed(malformed))),
        };
        let fresh = self.examine_structs(&update).map_err(Verdict::Missing)?;
        let fresh_bytes = fresh.bytes;
        let brings_deletions = self.examine_deletions(&update).map_err(Verdict::Missing)?;
        if fresh_bytes == 0 && !brings_deletions {
            return Err(Verdict::NothingNew);
        }
        let order = fresh.order.unwrap_or_else(|| self.fresh_places(&update));
        let judged = Judge::new(&self.clients, &self.anchors, trust).judge(&mut update, order.into_iter());
        let anchors = judged.map_err(|unsound| Verdict::Bad(BadUpdate::Unsound(unsound)))?;
        // A deletion splits two structs at most. A full document still takes deletions, which make it shorter later.
        let grown = self.footprint + update.deletes.len() * 2 * SPLIT_BYTES;
        let full = if fresh_bytes > 0 {
            let tables = update.sections.len() * CLIENT_BYTES + anchors.len() * size_of::<Anchor>();
            grown + fresh_bytes + tables > limits.footprint_bytes_max
        } else {
            grown > limits.footprint_bytes_max.saturating_add(limits.footprint_bytes_max / 4)
        };
        if full { Err(Verdict::Bad(BadUpdate::DocumentFull)) } else { Ok((update, anchors)) }
    }

    /// The places of new structs by section, if none waits for one of another section.
    fn fresh_places(&self, update: &Update<'_>) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        for (at, section) in update.sections.iter().enumerate() {
            let known = self.clock(section.client);
            let first = update.records(section).partition_point(|record| record.end() <= known);
            places.extend((first..section.len()).map(|place| (at, place)));
        }
        places
    }

    /// Looks at new structs, and names what they miss.
    fn examine_structs(&self, update: &Update<'_>) -> Result<Fresh, Id> {
        let mut fresh_bytes = 0;
        let mut entangled = false;
        for section in &update.sections {
            let mut next = self.clock(section.client);
            for record in update.records(section) {
                let is_known = record.end() <= next;
                if !is_known {
                    if record.clock > next {
                        return Err(Id { client: section.client, clock: record.clock - 1 });
                    }
                    next = record.end();
                    fresh_bytes += update.struct_bytes(record).len() + ENTRY_BYTES;
                }
                if !record.foreign {
                    continue;
                }
                for id in update.header(record).needs().filter(|&id| id.client != section.client && !self.contains(id))
                {
                    if update.section(id.client).is_none_or(|section| section.end <= id.clock) {
                        return Err(id);
                    }
                    entangled = true;
                }
            }
        }
        if !entangled {
            return Ok(Fresh { bytes: fresh_bytes, order: None });
        }
        let reach = order::reach(&|client| self.clock(client), update);
        reach.missing.map_or(Ok(Fresh { bytes: fresh_bytes, order: Some(reach.order) }), Err)
    }

    /// Whether anything is deleted that was not; or what is deleted without being known.
    fn examine_deletions(&self, update: &Update<'_>) -> Result<bool, Id> {
        let mut brings = false;
        for &Deletion { client, from, to } in &update.deletes {
            let known = self.clock(client);
            let coming = update.section(client).map_or(0, |section| section.end);
            if to > known.max(coming) {
                return Err(Id { client, clock: to - 1 });
            }
            brings = brings || to > known || self.clients.get(&client).is_some_and(|client| client.has_live(from, to));
        }
        Ok(brings)
    }
}

/// The new structs of an update.
struct Fresh {
    /// What they may take at most.
    bytes: usize,
    /// In which order they can be applied, by section and place within it, if not section by section.
    order: Option<Vec<(usize, usize)>>,
}

/// What a client costs apart from its structs, roughly.
const CLIENT_BYTES: usize = 256;
/// What the index of a struct costs.
const ENTRY_BYTES: usize = 12;
/// What the second half of a split costs: its info, two ids, a number, an index entry.
const SPLIT_BYTES: usize = 44;
const UNLIMITED: UpdateLimits = UpdateLimits { structs_max: usize::MAX, footprint_bytes_max: usize::MAX };

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
