//! A stretch of one client's structs: their wire bytes, one behind the other, and where each begins.
//!
//! Owns: the invariant that neighbours which are one struct ([`joins`]) are either kept as one or marked as joined.
//! Must never know: other stretches, other clients.

use super::scope::ListScope;
use super::structs::{Body, Header, Kind, Piece, joins};
use super::wire::{self, ClientId, Id, Reader};

/// Some consecutive structs. Bytes never lie dead: what changes is put in the place of what was there, within a stretch
/// that is kept short.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    entries: Vec<StructEntry>,
    bytes: Vec<u8>,
    /// How many entries are marked as joined.
    joined: usize,
    /// How many are not deleted.
    live: usize,
}

/// One struct: its first clock, its place with two marks in the high bits, and the list that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StructEntry {
    clock: u32,
    place: u32,
    scope: ListScope,
}

impl StructEntry {
    const fn at(self) -> usize {
        (self.place & PLACE_BITS) as usize
    }

    const fn is_deleted(self) -> bool {
        self.place & DELETED != 0
    }

    const fn is_joined(self) -> bool {
        self.place & JOINED != 0
    }
}

/// Whether a struct is one with the struct before it, from which only a bound on sizes separates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Apart,
    Joined,
}

impl Chunk {
    /// Puts `piece` behind the last struct, or into it.
    pub(crate) fn push(&mut self, client: ClientId, clock: u32, piece: &Piece<'_>, scope: ListScope) {
        let relation = self.relation(client, clock, &piece.header);
        if relation == Relation::Apart || !self.extend(piece, scope) {
            self.add(clock, piece, scope, relation);
        }
    }

    /// Puts `piece` behind the last struct.
    pub(crate) fn add(&mut self, clock: u32, piece: &Piece<'_>, scope: ListScope, relation: Relation) {
        // Updates are far shorter than this.
        let at = u32::try_from(self.bytes.len()).unwrap_or(PLACE_BITS) & PLACE_BITS;
        let deleted = matches!(piece.header.kind, Kind::Deleted | Kind::Collected);
        let joined = relation == Relation::Joined;
        let marks = if deleted { DELETED } else { 0 } | if joined { JOINED } else { 0 };
        self.entries.push(StructEntry { clock, place: at | marks, scope });
        self.joined += usize::from(joined);
        self.live += usize::from(!deleted);
        piece.write(&mut self.bytes);
    }

    /// Makes `piece`, which joins the last struct, a part of it, unless that would get too long. What was collected may
    /// have stood in different lists, which is not forgotten.
    #[inline]
    pub(crate) fn extend(&mut self, piece: &Piece<'_>, scope: ListScope) -> bool {
        let Some(last) = self.entries.last().filter(|last| last.scope == scope) else { return false };
        let mut reader = Reader::starting(&self.bytes, last.at());
        let (Ok(header), number_at, Ok(number)) = (Header::read(&mut reader), reader.position(), reader.integer())
        else {
            return false;
        };
        let payload_at = reader.position();
        let added = piece.body.payload_bytes();
        let payload_bytes = self.bytes.len() - payload_at + added;
        if payload_bytes > RUN_BYTES_MAX && header.kind != Kind::Deleted && header.kind != Kind::Collected {
            return false;
        }
        let number = match piece.body {
            Body::Length | Body::Values(_) => number + u64::from(piece.len),
            Body::Text(..) => u64::try_from(payload_bytes).unwrap_or(u64::MAX),
            Body::Single(_) => return false,
        };
        let (digits, len) = wire::integer_digits(number);
        let digits = digits.get(..len).unwrap_or_default();
        if let Some(place) = self.bytes.get_mut(number_at..payload_at).filter(|place| place.len() == len) {
            place.copy_from_slice(digits);
        } else {
            self.bytes.splice(number_at..payload_at, digits.iter().copied());
        }
        piece.body.write_payload(&mut self.bytes);
        true
    }

    /// How a struct with `header` at `clock`, where this stretch ends, stands to the last one here.
    #[inline]
    pub(crate) fn relation(&self, client: ClientId, clock: u32, header: &Header<'_>) -> Relation {
        let Some(last) = self.entries.len().checked_sub(1) else { return Relation::Apart };
        if joins(client, &self.header(last), header, clock, self.scope(last)) {
            Relation::Joined
        } else {
            Relation::Apart
        }
    }

    /// Puts `with` in the place of the structs `from..to`.
    pub(crate) fn replace(&mut self, from: usize, to: usize, with: &Chunk) {
        let gone = self.entries.get(from..to).unwrap_or_default();
        self.joined -= gone.iter().filter(|entry| entry.is_joined()).count();
        self.live -= gone.iter().filter(|entry| !entry.is_deleted()).count();
        self.joined += with.joined;
        self.live += with.live;
        let (begin, end) = (self.place(from), self.place(to));
        let (old, new) = (end - begin, with.bytes.len());
        resize_within(&mut self.bytes, end, old, new);
        if let Some(place) = self.bytes.get_mut(begin..begin + new) {
            place.copy_from_slice(&with.bytes);
        }
        // The places of what follows move by the same number of bytes; the marks in the high bits stay.
        for entry in self.entries.get_mut(to..).unwrap_or_default() {
            entry.place = entry.place.wrapping_add(new as u32).wrapping_sub(old as u32);
        }
        let moved = with.entries.iter().map(|entry| StructEntry { place: entry.place + begin as u32, ..*entry });
        self.entries.splice(from..to, moved);
    }

    /// Moves the back half into a stretch of its own.
    pub(crate) fn split_off_half(&mut self) -> Chunk {
        let half = self.bytes.len() / 2;
        let middle = self.entries.partition_point(|entry| entry.at() < half);
        let middle = middle.clamp(1, self.entries.len().max(2) - 1);
        let begin = self.place(middle);
        let mut back =
            Chunk { entries: self.entries.split_off(middle), bytes: self.bytes.split_off(begin), ..Self::default() };
        for entry in &mut back.entries {
            entry.place -= begin as u32;
        }
        back.joined = back.entries.iter().filter(|entry| entry.is_joined()).count();
        back.live = back.entries.iter().filter(|entry| !entry.is_deleted()).count();
        self.joined -= back.joined;
        self.live -= back.live;
        back
    }

    /// Puts the structs of `back`, the stretch that follows, behind the last one here.
    pub(crate) fn absorb(&mut self, back: &Chunk) {
        let len = self.entries.len();
        self.replace(len, len, back);
    }

    /// Marks the struct `index` as one with the struct before it, or not.
    pub(crate) fn set_relation(&mut self, index: usize, relation: Relation) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        self.joined -= usize::from(entry.is_joined());
        entry.place &= !JOINED;
        if relation == Relation::Joined {
            entry.place |= JOINED;
            self.joined += 1;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        (self.joined, self.live) = (0, 0);
    }

    /// Gives back memory that was kept for appending.
    pub(crate) fn seal(&mut self) {
        self.entries.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    pub(crate) const fn joined(&self) -> usize {
        self.joined
    }

    /// Bytes that this stretch takes, apart from what is kept for growing.
    pub(crate) const fn footprint(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<StructEntry>()
    }

    /// Whether new structs belong into a new stretch.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES || self.entries.len() >= CHUNK_STRUCTS
    }

    /// Whether it is time for [`Self::split_off_half`].
    pub(crate) const fn is_overfull(&self) -> bool {
        self.entries.len() > 1 && (self.bytes.len() > 2 * CHUNK_BYTES || self.entries.len() > 2 * CHUNK_STRUCTS)
    }

    /// Whether this stretch and `other` are so short that one is enough.
    pub(crate) const fn fits_with(&self, other: &Chunk) -> bool {
        self.bytes.len() + other.bytes.len() <= CHUNK_BYTES / 2
            && self.entries.len() + other.entries.len() <= CHUNK_STRUCTS / 2
    }

    /// The struct that holds `clock`, which is not before the first one.
    #[inline]
    pub(crate) fn find(&self, clock: u32) -> usize {
        self.entries.partition_point(|entry| entry.clock <= clock).saturating_sub(1)
    }

    /// The first struct that begins at `clock` or later.
    pub(crate) fn find_end(&self, clock: u32) -> usize {
        self.entries.partition_point(|entry| entry.clock < clock)
    }

    /// The first clock of the struct `index`; `end`, where this stretch ends, behind the last.
    #[inline]
    pub(crate) fn clock(&self, index: usize, end: u32) -> u32 {
        self.entries.get(index).map_or(end, |entry| entry.clock)
    }

    pub(crate) fn is_deleted(&self, index: usize) -> bool {
        self.entries.get(index).is_some_and(|entry| entry.is_deleted())
    }

    pub(crate) fn is_joined(&self, index: usize) -> bool {
        self.entries.get(index).is_some_and(|entry| entry.is_joined())
    }

    pub(crate) fn header(&self, index: usize) -> Header<'_> {
        self.piece(index, 0).header
    }

    /// The list that the struct `index` stands in.
    pub(crate) fn scope(&self, index: usize) -> ListScope {
        self.entries.get(index).map_or(ListScope::GONE, |entry| entry.scope)
    }

    /// The struct `index`, which has `len` elements.
    pub(crate) fn piece(&self, index: usize, len: u32) -> Piece<'_> {
        Piece::trusted(self.bytes.get(self.place(index)..self.place(index + 1)).unwrap_or_default(), len)
    }

    /// The bytes of the structs `from..to`.
    pub(crate) fn struct_bytes(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(self.place(from)..self.place(to)).unwrap_or_default()
    }

    /// Calls `deleted` with the clocks of every deleted struct.
    pub(crate) fn for_each_deleted(&self, end: u32, mut deleted: impl FnMut(u32, u32)) {
        if self.live == self.entries.len() {
            return;
        }
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.is_deleted() {
                deleted(entry.clock, self.clock(index + 1, end));
            }
        }
    }

    /// Where the bytes of the struct `index` begin.
    #[inline]
    fn place(&self, index: usize) -> usize {
        self.entries.get(index).map_or(self.bytes.len(), |entry| entry.at())
    }

    /// The id of the first element of the struct `index`.
    pub(crate) fn start(&self, client: ClientId, index: usize) -> Id {
        Id { client, clock: self.clock(index, 0) }
    }
}

/// Resizes the `old` bytes before `end` to `new` bytes with unspecified content.
fn resize_within(bytes: &mut Vec<u8>, end: usize, old: usize, new: usize) {
    let len = bytes.len();
    if new > old {
        bytes.resize(len + new - old, 0);
        bytes.copy_within(end..len, end + new - old);
    } else if new < old {
        bytes.copy_within(end..len, end - (old - new));
        bytes.truncate(len - (old - new));
    }
}

/// Bytes of a stretch at which appending begins another: a change moves at most twice as many.
const CHUNK_BYTES: usize = 4096;
/// Structs of a stretch at which appending begins another.
const CHUNK_STRUCTS: usize = 256;
/// Payload bytes above which structs are not joined in memory, only when they are written: cutting a text of megabytes
/// into characters would move all of it for each.
pub(crate) const RUN_BYTES_MAX: usize = 2048;

const DELETED: u32 = 1 << 31;
const JOINED: u32 = 1 << 30;
const PLACE_BITS: u32 = JOINED - 1;
