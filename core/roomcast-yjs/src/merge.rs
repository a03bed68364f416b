//! Updates made of other updates: several as one, or one in two.
//!
//! Owns: the builder of an update that need not begin at the beginning. Must never know: any document.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::chunk::Chunk;
use super::client_structs::ClientStructs;
use super::scope::ListScope;
use super::structs::Piece;
use super::update::{self, Deletion, Section, Update};
use super::wire::{self, ClientId, Id, Malformed};

/// Puts several updates together to one that says the same. Where clocks of a client are missing between them, a gap is
/// written, as `Y.mergeUpdates` does.
///
/// # Errors
///
/// Returns what is wrong with the first update that is malformed.
pub fn merge_updates<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Malformed> {
    let mut decoded = Vec::new();
    for bytes in updates {
        // Without a limit, none is exceeded.
        decoded.extend(Update::decode(bytes, usize::MAX)?);
    }
    let structs = decoded.iter().flat_map(|update| &update.sections).map(Section::len).sum();
    let mut places: Vec<MergePlace> = Vec::with_capacity(structs);
    for (of, update) in decoded.iter().enumerate() {
        for section in &update.sections {
            let client = section.client;
            let records = update.records(section).iter().zip(0..);
            places.extend(records.map(|(record, index)| MergePlace { client, clock: record.clock, of, index }));
        }
    }
    places.sort_unstable();
    let mut builder = UpdateBuilder::default();
    for of_client in places.chunk_by(|left, right| left.client == right.client) {
        merge_client(&decoded, of_client, &mut builder);
    }
    for update in &decoded {
        builder.deletes.extend_from_slice(&update.deletes);
    }
    // Of structs that come more than once only the first is left, but a reader who applies one update after the other
    // looks up what each of them names, and cuts there.
    if builder.has_pairs() {
        decoded.iter().flat_map(Update::cuts).for_each(|place| builder.cut(place));
    }
    Ok(builder.finish())
}

/// A struct of one of several updates, by what decides on its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct MergePlace {
    client: ClientId,
    clock: u32,
    /// The index of the update among those to merge.
    of: usize,
    /// The index of the struct within the client's section of that update.
    index: u32,
}

/// Appends the structs of one client. What several updates have is taken from the first of them, as a reader takes it who
/// applies one after the other.
fn merge_client(updates: &[Update<'_>], places: &[MergePlace], builder: &mut UpdateBuilder) {
    let piece = |place: &MergePlace| {
        let update = updates.get(place.of)?;
        let record = update.records(update.section(place.client)?).get(place.index as usize)?;
        Some((record.end(), update.piece(record)))
    };
    // Structs that reach beyond `clock`, the first update foremost.
    let mut open: BinaryHeap<Reverse<(usize, usize)>> = BinaryHeap::new();
    let mut next = 0;
    let mut clock = 0;
    loop {
        while let Some(place) = places.get(next).filter(|place| place.clock <= clock || open.is_empty()) {
            clock = clock.max(place.clock);
            open.push(Reverse((place.of, next)));
            next += 1;
        }
        let Some(&Reverse((of, at))) = open.peek() else { return };
        let Some((place, (end, piece))) = places.get(at).and_then(|place| Some((place, piece(place)?))) else { return };
        if end <= clock {
            open.pop();
            continue;
        }
        // Up to where an earlier update begins to have it.
        let mut behind = places.get(next..).unwrap_or_default().iter().take_while(|other| other.clock < end);
        let until = behind.find(|other| other.of < of).map_or(end, |other| other.clock);
        let start = Id { client: place.client, clock: place.clock };
        builder.append(place.client, place.clock, &piece.slice(start, 0, until - place.clock));
        clock = until;
    }
}

/// An update under construction.
#[derive(Default)]
pub(crate) struct UpdateBuilder {
    /// Of each client, stretches without a gap.
    clients: BTreeMap<ClientId, Vec<ClientStructs>>,
    scratch: Chunk,
    pub(crate) deletes: Vec<Deletion>,
}

impl UpdateBuilder {
    /// Adds a struct, which does not begin before those of its client that are in.
    pub(crate) fn append(&mut self, client: ClientId, clock: u32, piece: &Piece<'_>) {
        let stretches = self.clients.entry(client).or_default();
        match stretches.last_mut().filter(|last| clock <= last.end()) {
            Some(last) => last.append(clock, piece, ListScope::UNKNOWN),
            None => {
                let mut stretch = ClientStructs::new(client, clock);
                stretch.append(clock, piece, ListScope::UNKNOWN);
                stretches.push(stretch);
            }
        }
    }

    fn has_pairs(&self) -> bool {
        self.clients.values().flatten().any(ClientStructs::has_pairs)
    }

    /// Replaces both halves of the surrogate pair that an edit before this element cuts.
    fn cut(&mut self, place: Id) {
        for stretch in self.clients.get_mut(&place.client).into_iter().flatten() {
            stretch.cut(place.clock, &mut self.scratch);
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        wire::write_count(&mut out, self.clients.len());
        for (client, stretches) in self.clients.iter().rev() {
            let structs: usize = stretches.iter().map(|stretch| stretch.count_from(stretch.start())).sum();
            wire::write_count(&mut out, structs + stretches.len() - 1);
            wire::write_integer(&mut out, client.as_u64());
            let mut clock = stretches.first().map_or(0, ClientStructs::start);
            wire::write_integer(&mut out, u64::from(clock));
            for stretch in stretches {
                if stretch.start() > clock {
                    out.push(SKIP_INFO);
                    wire::write_integer(&mut out, u64::from(stretch.start() - clock));
                }
                stretch.write_from(stretch.start(), &mut out);
                clock = stretch.end();
            }
        }
        update::merge_deletions(&mut self.deletes);
        update::write_deletions(&mut out, &self.deletes);
        out
    }
}

const SKIP_INFO: u8 = 10;
