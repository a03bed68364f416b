//! Everything that one client ever made, in the order of its clocks.
//!
//! Owns: the stretches of structs of one client, without a gap. Must never know: other clients.

use std::sync::Arc;

use super::chunk::{Chunk, RUN_BYTES_MAX, Relation};
use super::scope::ListScope;
use super::structs::{Body, Header, Kind, Piece};
use super::update::Deletion;
use super::wire::{self, ClientId};

/// The structs of one client from `start` to `end`, in stretches that are found by their first clock.
#[derive(Clone, Debug)]
pub(crate) struct ClientStructs {
    id: ClientId,
    start: u32,
    end: u32,
    /// The first clock of each stretch, apart so that a search reads few cache lines.
    heads: Vec<u32>,
    /// Shared with copies of the document, until one of them changes a stretch.
    chunks: Vec<Arc<Chunk>>,
    footprint: usize,
    /// Whether any text ever held a surrogate pair, which an edit might cut.
    pairs: bool,
    /// Whether a shared type was deleted, which may hold structs that no reader keeps.
    orphans: bool,
}

impl ClientStructs {
    /// No structs yet; the first one will begin at `start`, which is 0 in a document.
    pub(crate) fn new(id: ClientId, start: u32) -> Self {
        Self {
            id,
            start,
            end: start,
            heads: Vec::new(),
            chunks: Vec::new(),
            footprint: 0,
            pairs: false,
            orphans: false,
        }
    }

    /// Appends the part of `piece`, which begins at `clock` and stands in `scope`, that lies beyond the end, and merges
    /// it with the last struct where possible.
    pub(crate) fn append(&mut self, clock: u32, piece: &Piece<'_>, scope: ListScope) {
        let known = self.end.saturating_sub(clock);
        if known >= piece.len {
            return;
        }
        self.pairs |= piece.has_pairs();
        let mut rest = piece.slice(wire::Id { client: self.id, clock }, known, piece.len);
        let mut relation = None;
        while rest.body.payload_bytes() > RUN_BYTES_MAX {
            let start = wire::Id { client: self.id, clock: self.end };
            let Some((front, behind)) = rest.split_front(start, RUN_BYTES_MAX) else { break };
            self.append_whole(&front, scope, relation);
            (rest, relation) = (behind, Some(Relation::Joined));
        }
        self.append_whole(&rest, scope, relation);
    }

    /// `known` is how `piece` stands to the last struct, if that need not be looked up.
    fn append_whole(&mut self, piece: &Piece<'_>, scope: ListScope, known: Option<Relation>) {
        let clock = self.end;
        self.end += piece.len;
        let mut relation = Relation::Apart;
        if let Some(last) = self.chunks.last_mut().map(Arc::make_mut) {
            let before = last.footprint();
            relation = known.unwrap_or_else(|| last.relation(self.id, clock, &piece.header));
            let joined = relation == Relation::Joined && last.extend(piece, scope);
            if !joined && !last.is_full() {
                last.add(clock, piece, scope, relation);
            }
            let added = last.footprint() - before;
            self.footprint += added;
            if joined || added > 0 {
                return;
            }
            last.seal();
        }
        if self.chunks.is_empty() {
            // Most clients never need a second one.
            self.heads.reserve_exact(1);
            self.chunks.reserve_exact(1);
        }
        let mut chunk = Chunk::default();
        chunk.add(clock, piece, scope, relation);
        self.footprint += chunk.footprint();
        self.heads.push(clock);
        self.chunks.push(Arc::new(chunk));
    }

    /// Makes something else of the elements `from..to`, which are known.
    ///
    /// A struct that is only partly among them is split, and what comes to stand side by side is joined again.
    pub(crate) fn change(&mut self, from: u32, to: u32, change: Change, scratch: &mut Chunk) {
        let mut clock = from;
        while clock < to {
            let at = self.chunk_of(clock);
            let end = self.chunk_end(at);
            let idle = change == Change::Delete && self.chunks.get(at).is_none_or(|chunk| chunk.live() == 0);
            if !idle {
                self.change_chunk(at, clock, to.min(end), change, scratch);
            }
            clock = end;
        }
    }

    /// Replaces both halves of the surrogate pair that an edit before the element `clock` cuts, if there is one.
    ///
    /// Here alone, what is split and joined again is not what it was.
    pub(crate) fn cut(&mut self, clock: u32, scratch: &mut Chunk) -> Cut {
        if !self.pairs || clock <= self.start || clock >= self.end {
            return Cut::Nothing;
        }
        let at = self.chunk_of(clock);
        let end = self.chunk_end(at);
        let Some(chunk) = self.chunks.get(at) else { return Cut::Nothing };
        let index = chunk.find(clock);
        let (first, next) = (chunk.clock(index, end), chunk.clock(index + 1, end));
        if first == clock || chunk.is_deleted(index) {
            return Cut::Nothing;
        }
        let piece = chunk.piece(index, next - first);
        let start = chunk.start(self.id, index);
        let left = piece.slice(start, 0, clock - first);
        let Body::Text(_, _, [_, ..]) = left.body else { return Cut::Nothing };
        scratch.clear();
        let scope = chunk.scope(index);
        scratch.push(self.id, first, &left, scope);
        scratch.push(self.id, clock, &piece.slice(start, clock - first, piece.len), scope);
        self.replace(at, index, index + 1, scratch);
        Cut::Pair
    }

    /// Whether there is text that an edit might cut.
    pub(crate) const fn has_pairs(&self) -> bool {
        self.pairs
    }

    fn change_chunk(&mut self, at: usize, from: u32, to: u32, change: Change, scratch: &mut Chunk) {
        let end = self.chunk_end(at);
        let Some(chunk) = self.chunks.get(at) else { return };
        let (mut first, mut last) = (chunk.find(from), chunk.find_end(to));
        if change == Change::Delete {
            while first < last && chunk.is_deleted(first) {
                first += 1;
            }
            while first < last && chunk.is_deleted(last - 1) {
                last -= 1;
            }
        }
        if first >= last {
            return;
        }
        // Deleted neighbours may become one with what is deleted now.
        let first = if first > 0 && chunk.is_deleted(first - 1) { first - 1 } else { first };
        let last = if chunk.is_deleted(last) { last + 1 } else { last };
        scratch.clear();
        let mut orphans = false;
        for index in first..last {
            let (clock, next) = (chunk.clock(index, end), chunk.clock(index + 1, end));
            let (piece, start) = (chunk.piece(index, next - clock), chunk.start(self.id, index));
            let (begin, stop) = (from.clamp(clock, next), to.clamp(clock, next));
            let scope = chunk.scope(index);
            if begin >= stop || (change == Change::Delete && chunk.is_deleted(index)) {
                scratch.push(self.id, clock, &piece, scope);
                continue;
            }
            if clock < begin {
                scratch.push(self.id, clock, &piece.slice(start, 0, begin - clock), scope);
            }
            orphans |= piece.header.kind == Kind::Type;
            let middle = piece.slice(start, begin - clock, stop - clock);
            let changed = if change == Change::Delete { middle.deleted() } else { middle.collected() };
            scratch.push(self.id, begin, &changed, scope);
            if stop < next {
                scratch.push(self.id, stop, &piece.slice(start, stop - clock, next - clock), scope);
            }
        }
        self.orphans |= orphans;
        self.replace(at, first, last, scratch);
    }

    /// Puts `with` in the place of the structs `first..last` of a stretch, which keeps its clocks.
    fn replace(&mut self, at: usize, first: usize, last: usize, with: &Chunk) {
        let Some(chunk) = self.chunks.get_mut(at).map(Arc::make_mut) else { return };
        self.footprint -= chunk.footprint();
        chunk.replace(first, last, with);
        self.footprint += chunk.footprint();
        let overfull = chunk.is_overfull();
        let behind = first + with.len();
        let is_last = behind >= chunk.len();
        self.relate(at, first);
        if is_last {
            self.relate(at + 1, 0);
        } else {
            self.relate(at, behind);
        }
        if overfull {
            self.split_chunk(at);
        } else if !self.merge_chunks(at) && at > 0 {
            self.merge_chunks(at - 1);
        }
    }

    /// Looks anew whether a struct is one with the struct before it.
    fn relate(&mut self, at: usize, index: usize) {
        let Some(chunk) = self.chunks.get(at) else { return };
        if index >= chunk.len() {
            return;
        }
        let (header, clock) = (chunk.header(index), chunk.clock(index, self.end));
        let before = if index > 0 { Some((&**chunk, index - 1)) } else { self.before_chunk(at) };
        let joined = before.is_some_and(|(chunk, index)| {
            super::structs::joins(self.id, &chunk.header(index), &header, clock, chunk.scope(index))
        });
        let relation = if joined { Relation::Joined } else { Relation::Apart };
        if chunk.is_joined(index) != joined
            && let Some(chunk) = self.chunks.get_mut(at)
        {
            Arc::make_mut(chunk).set_relation(index, relation);
        }
    }

    /// The last struct before a stretch.
    fn before_chunk(&self, at: usize) -> Option<(&Chunk, usize)> {
        let chunk = self.chunks.get(at.checked_sub(1)?)?;
        Some((chunk, chunk.len().checked_sub(1)?))
    }

    fn split_chunk(&mut self, at: usize) {
        let Some(chunk) = self.chunks.get_mut(at).map(Arc::make_mut) else { return };
        let back = chunk.split_off_half();
        chunk.seal();
        self.heads.insert(at + 1, back.clock(0, self.end));
        self.chunks.insert(at + 1, Arc::new(back));
    }

    /// Makes one of a stretch and the next if they have become short.
    fn merge_chunks(&mut self, at: usize) -> bool {
        let (Some(chunk), Some(next)) = (self.chunks.get(at), self.chunks.get(at + 1)) else { return false };
        if !chunk.fits_with(next) {
            return false;
        }
        let next = self.chunks.remove(at + 1);
        self.heads.remove(at + 1);
        if let Some(chunk) = self.chunks.get_mut(at) {
            Arc::make_mut(chunk).absorb(&next);
        }
        true
    }

    pub(crate) const fn id(&self) -> ClientId {
        self.id
    }

    /// The first clock.
    pub(crate) const fn start(&self) -> u32 {
        self.start
    }

    /// The next clock.
    pub(crate) const fn end(&self) -> u32 {
        self.end
    }

    /// Bytes that the structs take.
    pub(crate) const fn footprint(&self) -> usize {
        self.footprint
    }

    /// Whether any of the elements `from..to` is not deleted.
    pub(crate) fn has_live(&self, from: u32, to: u32) -> bool {
        let mut clock = from;
        while clock < to.min(self.end) {
            let at = self.chunk_of(clock);
            let end = self.chunk_end(at);
            let Some(chunk) = self.chunks.get(at) else { return false };
            if chunk.live() > 0 && (chunk.find(clock)..chunk.find_end(to)).any(|index| !chunk.is_deleted(index)) {
                return true;
            }
            clock = end;
        }
        false
    }

    /// How many structs the elements `from..to` are in, at most.
    pub(crate) fn reach(&self, from: u32, to: u32) -> usize {
        let (first, last) = (self.chunk_of(from), self.chunk_of(to.saturating_sub(1)));
        let elements = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let structs = self.chunks.get(first..=last).unwrap_or_default().iter().map(|chunk| chunk.len());
        structs.sum::<usize>().min(elements)
    }

    /// What stands at `clock`, which is known.
    pub(crate) fn kind_at(&self, clock: u32) -> Kind {
        let chunk = self.chunks.get(self.chunk_of(clock));
        chunk.map_or(Kind::Collected, |chunk| chunk.header(chunk.find(clock)).kind)
    }

    /// The struct that holds `clock`, which is known: its first clock, what stands before its content, and its list.
    pub(crate) fn found(&self, clock: u32) -> Option<(u32, Header<'_>, ListScope)> {
        let chunk = self.chunks.get(self.chunk_of(clock))?;
        let index = chunk.find(clock);
        Some((chunk.clock(index, self.end), chunk.header(index), chunk.scope(index)))
    }

    /// Whether a shared type was deleted since [`Self::forget_orphans`].
    pub(crate) const fn has_orphans(&self) -> bool {
        self.orphans
    }

    /// Says that everything in deleted types was dealt with.
    pub(crate) const fn forget_orphans(&mut self) {
        self.orphans = false;
    }

    /// How many structs are kept apart in memory.
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Where the first struct is.
    pub(crate) const fn first_place(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Adds the deleted elements to `deletes`, in ascending order and merged.
    pub(crate) fn deletions(&self, deletes: &mut Vec<Deletion>) {
        let client = self.id;
        for (at, chunk) in self.chunks.iter().enumerate() {
            chunk.for_each_deleted(self.chunk_end(at), |from, to| match deletes.last_mut() {
                Some(last) if last.client == client && last.to == from => last.to = to,
                _ => deletes.push(Deletion { client, from, to }),
            });
        }
    }

    /// How many structs [`Self::write_from`] writes, which is not what is kept apart in memory.
    pub(crate) fn count_from(&self, clock: u32) -> usize {
        let at = self.chunk_of(clock);
        let Some(chunk) = self.chunks.get(at) else { return 0 };
        let index = chunk.find(clock);
        let here = (index + 1..chunk.len()).filter(|&index| !chunk.is_joined(index)).count();
        let behind = self.chunks.get(at + 1..).unwrap_or_default().iter().map(|chunk| chunk.len() - chunk.joined());
        1 + here + behind.sum::<usize>()
    }

    /// Writes the structs from `clock` on, the first one cut if `clock` is within it.
    pub(crate) fn write_from(&self, clock: u32, out: &mut Vec<u8>) {
        let mut at = self.chunk_of(clock);
        let Some(chunk) = self.chunks.get(at) else { return };
        let mut index = chunk.find(clock);
        if clock > chunk.clock(index, self.end) || self.next_is_joined(at, index) {
            (at, index) = self.write_run(at, index, clock, out);
        }
        while let Some(chunk) = self.chunks.get(at) {
            let next_joined = self.chunks.get(at + 1).is_some_and(|next| next.is_joined(0));
            if !next_joined && chunk.joined() == usize::from(index > 0 && chunk.is_joined(0)) {
                out.extend_from_slice(chunk.struct_bytes(index, chunk.len()));
                (at, index) = (at + 1, 0);
            } else if self.next_is_joined(at, index) {
                (at, index) = self.write_run(at, index, 0, out);
            } else if index < chunk.len() {
                out.extend_from_slice(chunk.struct_bytes(index, index + 1));
                index += 1;
            } else {
                (at, index) = (at + 1, 0);
            }
        }
    }

    /// Writes a struct from `clock` on and those that are one with it, as one. Tells where the next one is.
    fn write_run(&self, at: usize, index: usize, clock: u32, out: &mut Vec<u8>) -> (usize, usize) {
        let Some(first) = self.piece(at, index) else { return (at + 1, 0) };
        let start = wire::Id { client: self.id, clock: first.0 };
        let first = first.1.slice(start, clock.saturating_sub(first.0), first.1.len);
        let (mut len, mut payload_bytes) = (u64::from(first.len), first.body.payload_bytes());
        let mut behind = self.after(at, index);
        while self.is_joined(behind) {
            if let Some((_, piece)) = self.piece(behind.0, behind.1) {
                len += u64::from(piece.len);
                payload_bytes += piece.body.payload_bytes();
            }
            behind = self.after(behind.0, behind.1);
        }
        first.write_head(out, len, payload_bytes);
        first.body.write_payload(out);
        let mut next = self.after(at, index);
        while next != behind {
            if let Some((_, piece)) = self.piece(next.0, next.1) {
                piece.body.write_payload(out);
            }
            next = self.after(next.0, next.1);
        }
        behind
    }

    /// The struct at a place, and its first clock.
    pub(crate) fn piece(&self, at: usize, index: usize) -> Option<(u32, Piece<'_>)> {
        let chunk = self.chunks.get(at)?;
        let end = self.chunk_end(at);
        let (clock, next) = (chunk.clock(index, end), chunk.clock(index + 1, end));
        Some((clock, chunk.piece(index, next - clock)))
    }

    /// The place of the next struct.
    pub(crate) fn after(&self, at: usize, index: usize) -> (usize, usize) {
        if self.chunks.get(at).is_some_and(|chunk| index + 1 < chunk.len()) { (at, index + 1) } else { (at + 1, 0) }
    }

    fn is_joined(&self, (at, index): (usize, usize)) -> bool {
        self.chunks.get(at).is_some_and(|chunk| chunk.is_joined(index))
    }

    fn next_is_joined(&self, at: usize, index: usize) -> bool {
        self.is_joined(self.after(at, index))
    }

    /// Checks the invariants of the stretches.
    #[cfg(test)]
    pub(crate) fn audit(&self) {
        let starts: Vec<u32> = (0..self.chunks.len()).map(|at| self.chunks[at].clock(0, self.end)).collect();
        assert_eq!(self.heads, starts);
        assert!(
            self.heads.is_sorted_by(|left, right| left < right) && self.heads.first().is_none_or(|&h| h == self.start)
        );
        assert_eq!(self.footprint, self.chunks.iter().map(|chunk| chunk.footprint()).sum::<usize>());
        let mut before: Option<(Header<'_>, ListScope)> = None;
        for (at, chunk) in self.chunks.iter().enumerate() {
            assert!(chunk.len() > 0 && !chunk.is_overfull(), "stretch {at} of {} structs", chunk.len());
            let places = || 0..chunk.len();
            assert_eq!(chunk.joined(), places().filter(|&index| chunk.is_joined(index)).count());
            assert_eq!(chunk.live(), places().filter(|&index| !chunk.is_deleted(index)).count());
            for index in places() {
                let (clock, header) = (chunk.clock(index, self.end), chunk.header(index));
                assert!(clock < chunk.clock(index + 1, self.chunk_end(at)), "the struct at {clock} is empty");
                let joins =
                    before.is_some_and(|(left, scope)| super::structs::joins(self.id, &left, &header, clock, scope));
                assert_eq!(chunk.is_joined(index), joins, "the struct at {clock}");
                before = Some((header, chunk.scope(index)));
            }
        }
    }

    /// How many stretches there are.
    #[cfg(test)]
    pub(crate) fn stretches(&self) -> usize {
        self.chunks.len()
    }

    /// The stretch that holds `clock`.
    #[inline]
    fn chunk_of(&self, clock: u32) -> usize {
        self.heads.partition_point(|&head| head <= clock).saturating_sub(1)
    }

    /// The first clock behind a stretch.
    #[inline]
    fn chunk_end(&self, at: usize) -> u32 {
        self.heads.get(at + 1).copied().unwrap_or(self.end)
    }
}

/// What an edit has cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Nothing,
    /// A surrogate pair, both halves of which are U+FFFD now.
    Pair,
}

/// What becomes of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Their content goes, their place among their neighbours stays.
    Delete,
    /// Nothing stays but that they were there.
    Collect,
}
