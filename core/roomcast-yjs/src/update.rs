//! Updates v1 and state vectors as a whole: one strict pass, before anything is believed.
//!
//! Owns: [`StateVector`], and the index of an update that has been checked. Must never know: what the store holds.

use super::scope::ListScope;
use super::structs::{Header, Kind, Piece};
use super::wire::{self, ClientId, Id, Malformed, Reader};

/// How far each client is known: the next clock of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateVector(Vec<(ClientId, u32)>);

impl StateVector {
    /// Reads a state vector as `Y.encodeStateVector` writes it. A client that stands twice is refused.
    ///
    /// # Errors
    ///
    /// Returns why `bytes` are not one, if they are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(2)?;
        let mut clocks = Vec::with_capacity(count);
        for _ in 0..count {
            clocks.push((reader.client()?, reader.clock()?));
        }
        reader.finish()?;
        clocks.sort_unstable_by_key(|&(client, _)| client);
        if clocks.is_sorted_by(|(left, _), (right, _)| left < right) {
            Ok(Self(clocks))
        } else {
            Err(Malformed::Duplicate)
        }
    }

    /// Writes it as yjs does, the highest client first.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.0.len() * 8);
        wire::write_count(&mut out, self.0.len());
        for &(client, clock) in self.0.iter().rev() {
            wire::write_integer(&mut out, client.as_u64());
            wire::write_integer(&mut out, u64::from(clock));
        }
        out
    }

    /// The next clock of `client`; 0 if nothing of it is known.
    pub fn clock(&self, client: ClientId) -> u32 {
        let found = self.0.binary_search_by_key(&client, |&(client, _)| client);
        found.ok().and_then(|at| self.0.get(at)).map_or(0, |&(_, clock)| clock)
    }

    /// Clients in ascending order, with the next clock of each.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, u32)> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<(ClientId, u32)> for StateVector {
    /// Of a client that comes more than once, the highest clock counts.
    fn from_iter<I: IntoIterator<Item = (ClientId, u32)>>(clocks: I) -> Self {
        let mut clocks: Vec<_> = clocks.into_iter().collect();
        clocks.sort_unstable_by(|left, right| left.0.cmp(&right.0).then(right.1.cmp(&left.1)));
        clocks.dedup_by_key(|&mut (client, _)| client);
        Self(clocks)
    }
}

/// An update that has been checked: where each struct stands, and what it deletes.
pub(crate) struct Update<'a> {
    pub(crate) bytes: &'a [u8],
    /// In ascending order of clients, each once.
    pub(crate) sections: Vec<Section>,
    records: Vec<Record>,
    /// Sorted, neither overlapping nor touching.
    pub(crate) deletes: Vec<Deletion>,
}

/// The structs of one client.
#[derive(Clone, Copy)]
pub(crate) struct Section {
    pub(crate) client: ClientId,
    first: usize,
    count: usize,
    /// Behind the last struct.
    pub(crate) end: u32,
}

impl Section {
    /// How many structs.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }
}

/// One struct of an update. Small, for the shortest struct takes two bytes on the wire.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    at: u32,
    end: u32,
    pub(crate) clock: u32,
    pub(crate) len: u32,
    /// Whether it needs something of another client.
    pub(crate) foreign: bool,
    /// The list that it stands in, once that was looked up.
    pub(crate) scope: ListScope,
    /// Whether readers collect it, once that was looked up.
    pub(crate) gone: bool,
}

impl Record {
    pub(crate) const fn end(&self) -> u32 {
        self.clock + self.len
    }
}

/// The elements `from..to` of `client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deletion {
    pub(crate) client: ClientId,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl<'a> Update<'a> {
    /// Checks `bytes` from the first to the last. `None` if there are more than `structs_max` structs and deletions.
    pub(crate) fn decode(bytes: &'a [u8], structs_max: usize) -> Result<Option<Self>, Malformed> {
        if bytes.len() > wire::UPDATE_BYTES_MAX {
            return Err(Malformed::Integer);
        }
        let mut reader = Reader::new(bytes);
        let mut update = Self { bytes, sections: Vec::new(), records: Vec::new(), deletes: Vec::new() };
        // A section takes three bytes, a struct two, a client with deletions two, a deletion two.
        for _ in 0..reader.count(3)? {
            let count = reader.count(2)?;
            if update.records.len().saturating_add(count) > structs_max {
                return Ok(None);
            }
            update.read_section(&mut reader, count)?;
        }
        for _ in 0..reader.count(2)? {
            let client = reader.client()?;
            let count = reader.count(2)?;
            if update.records.len().saturating_add(update.deletes.len()).saturating_add(count) > structs_max {
                return Ok(None);
            }
            for _ in 0..count {
                let (from, len) = (reader.clock()?, reader.clock()?);
                let to = from.checked_add(len).ok_or(Malformed::Integer)?;
                if len == 0 {
                    return Err(Malformed::Empty);
                }
                update.deletes.push(Deletion { client, from, to });
            }
        }
        reader.finish()?;
        if !update.sections.is_sorted_by_key(|section| section.client) {
            update.sections.sort_unstable_by_key(|section| section.client);
        }
        // Readers of yjs keep only the last section of a client.
        if !update.sections.is_sorted_by(|left, right| left.client < right.client) {
            return Err(Malformed::Duplicate);
        }
        merge_deletions(&mut update.deletes);
        Ok(Some(update))
    }

    fn read_section(&mut self, reader: &mut Reader<'a>, count: usize) -> Result<(), Malformed> {
        let client = reader.client()?;
        let mut clock = reader.clock()?;
        let first = self.records.len();
        self.records.reserve(count);
        for _ in 0..count {
            let at = reader.position();
            let piece = Piece::read(reader)?;
            let mut foreign = false;
            for id in piece.header.needs() {
                foreign |= id.client != client;
                if id.client == client && id.clock >= clock {
                    return Err(Malformed::Circular);
                }
            }
            let next = clock.checked_add(piece.len).ok_or(Malformed::Integer)?;
            if piece.header.kind != Kind::Skip {
                // The length of the update was seen to fit.
                let (at, end) = (at as u32, reader.position() as u32);
                self.records.push(Record {
                    at,
                    end,
                    clock,
                    len: piece.len,
                    foreign,
                    scope: ListScope::UNKNOWN,
                    gone: false,
                });
            }
            clock = next;
        }
        let end = self.records.get(first..).and_then(<[Record]>::last).map_or(0, Record::end);
        self.sections.push(Section { client, first, count: self.records.len() - first, end });
        Ok(())
    }

    /// The structs of a section in ascending order.
    pub(crate) fn records(&self, section: &Section) -> &[Record] {
        self.records.get(section.first..section.first + section.count).unwrap_or_default()
    }

    /// Where readers split structs that are there already: behind the left and before the right neighbour of each struct.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = Id> + '_ {
        self.records.iter().flat_map(|record| {
            let header = self.header(record);
            let behind_origin = header.origin.map(|id| Id { clock: id.clock.saturating_add(1), ..id });
            [behind_origin, header.right_origin].into_iter().flatten()
        })
    }

    /// Says what was looked up of the struct `place` of the section `at`.
    pub(crate) fn set_scope(&mut self, at: usize, place: usize, scope: ListScope, gone: bool) {
        let first = self.sections.get(at).map_or(0, |section| section.first);
        if let Some(record) = self.records.get_mut(first + place) {
            (record.scope, record.gone) = (scope, gone);
        }
    }

    /// The struct that holds `id`.
    pub(crate) fn find(&self, id: Id) -> Option<&Record> {
        let records = self.records(self.section(id.client)?);
        let at = records.partition_point(|record| record.end() <= id.clock);
        records.get(at).filter(|record| record.clock <= id.clock)
    }

    /// Whether every one of the elements `from..to` of `client` is deleted by this update.
    pub(crate) fn deletes_all(&self, client: ClientId, from: u32, to: u32) -> bool {
        let behind = self.deletes.partition_point(|deletion| (deletion.client, deletion.from) <= (client, from));
        let found = behind.checked_sub(1).and_then(|at| self.deletes.get(at));
        found.is_some_and(|deletion| deletion.client == client && to <= deletion.to)
    }

    /// Those of them that end behind `clock`.
    pub(crate) fn records_beyond(&self, section: &Section, clock: u32) -> &[Record] {
        let records = self.records(section);
        records.get(records.partition_point(|record| record.end() <= clock)..).unwrap_or_default()
    }

    pub(crate) fn section(&self, client: ClientId) -> Option<&Section> {
        self.sections.get(self.section_index(client)?)
    }

    pub(crate) fn section_index(&self, client: ClientId) -> Option<usize> {
        self.sections.binary_search_by_key(&client, |section| section.client).ok()
    }

    /// The structs of the section `at` in ascending order.
    pub(crate) fn records_of(&self, at: usize) -> &[Record] {
        self.sections.get(at).map_or(&[], |section| self.records(section))
    }

    /// The client of the section `at`, which there is.
    pub(crate) fn client(&self, at: usize) -> ClientId {
        self.sections.get(at).map_or_else(ClientId::default, |section| section.client)
    }

    pub(crate) fn piece(&self, record: &Record) -> Piece<'a> {
        Piece::trusted(self.struct_bytes(record), record.len)
    }

    pub(crate) fn header(&self, record: &Record) -> Header<'a> {
        self.piece(record).header
    }

    pub(crate) fn struct_bytes(&self, record: &Record) -> &'a [u8] {
        self.bytes.get(record.at as usize..record.end as usize).unwrap_or_default()
    }
}

/// Sorts, and makes one of those which overlap or touch.
pub(crate) fn merge_deletions(deletes: &mut Vec<Deletion>) {
    if deletes
        .is_sorted_by(|left, right| left.client < right.client || (left.client == right.client && left.to < right.from))
    {
        return;
    }
    deletes.sort_unstable();
    deletes.dedup_by(|right, left| {
        let touching = left.client == right.client && right.from <= left.to;
        if touching {
            left.to = left.to.max(right.to);
        }
        touching
    });
}

/// Writes a delete set as yjs does, the highest client first. `deletes` is sorted and merged.
pub(crate) fn write_deletions(out: &mut Vec<u8>, deletes: &[Deletion]) {
    let by_client = || deletes.chunk_by(|left, right| left.client == right.client);
    wire::write_count(out, by_client().count());
    for of_client in by_client().rev() {
        let Some(first) = of_client.first() else { continue };
        wire::write_integer(out, first.client.as_u64());
        wire::write_count(out, of_client.len());
        for deletion in of_client {
            wire::write_integer(out, u64::from(deletion.from));
            wire::write_integer(out, u64::from(deletion.to - deletion.from));
        }
    }
}
