//! What readers of a document would throw away while they load it.
//!
//! Owns: finding the structs that yjs replaces by GC. Must never know: how they are replaced.

use super::client_structs::ClientStructs;
use super::structs::{Header, Kind};
use super::update::Deletion;
use super::wire::Id;

/// The elements that yjs makes GC of when it loads the clients' structs, as far as they are not that already: what
/// stands in a shared type that was deleted, and what stands beside such a thing. (`Item.getMissing` leaves the
/// parent empty, and `Item.integrate` then makes a GC of the struct.)
///
/// Each struct is judged after those on which it builds. `clients` is in ascending order.
pub(crate) fn collectable(clients: &[&ClientStructs]) -> Vec<Deletion> {
    let side =
        |&structs| Side { structs, at: structs.first_place(), judged: structs.start(), waits: false, gone: Vec::new() };
    let mut sides = Sides(clients.iter().map(side).collect());
    let mut stack: Vec<(usize, Option<u32>)> = Vec::new();
    for first in 0..clients.len() {
        stack.push((first, None));
        while let Some(&(index, wanted)) = stack.last() {
            match sides.step(index, wanted) {
                Step::Judged => {}
                Step::Done => drop(stack.pop()),
                Step::Wait(other, clock) => stack.push((other, Some(clock))),
            }
        }
    }
    let deletions = |side: Side<'_>| {
        let client = side.structs.id();
        side.gone.into_iter().map(move |(from, to)| Deletion { client, from, to })
    };
    sides.0.into_iter().flat_map(deletions).collect()
}

/// How far one client is judged.
struct Side<'a> {
    structs: &'a ClientStructs,
    /// The next struct.
    at: (usize, usize),
    /// Its first clock.
    judged: u32,
    waits: bool,
    /// What was found so far: ascending ranges.
    gone: Vec<(u32, u32)>,
}

struct Sides<'a>(Vec<Side<'a>>);

enum Step {
    Judged,
    Done,
    Wait(usize, u32),
}

impl Sides<'_> {
    fn step(&mut self, index: usize, wanted: Option<u32>) -> Step {
        let Some(side) = self.0.get(index) else { return Step::Done };
        let structs = side.structs;
        let satisfied = wanted.is_some_and(|clock| clock < side.judged);
        let Some((clock, piece)) = structs.piece(side.at.0, side.at.1).filter(|_| !satisfied) else {
            self.set_waits(index, false);
            return Step::Done;
        };
        for id in piece.header.needs() {
            let Some(other) = self.index_of(id) else { continue };
            let unjudged = self.0.get(other).is_some_and(|side| side.judged <= id.clock && !side.waits);
            if other != index && unjudged {
                self.set_waits(index, true);
                return Step::Wait(other, id.clock);
            }
        }
        let goes = piece.header.kind != Kind::Collected && self.goes(&piece.header);
        let end = clock + piece.len;
        if let Some(side) = self.0.get_mut(index) {
            (side.at, side.judged) = (structs.after(side.at.0, side.at.1), end);
            match side.gone.last_mut() {
                Some(last) if goes && last.1 == clock => last.1 = end,
                _ if goes => side.gone.push((clock, end)),
                _ => {}
            }
        }
        Step::Judged
    }

    /// Whether a struct that builds on judged ones goes.
    fn goes(&self, header: &Header<'_>) -> bool {
        let beside =
            [header.origin, header.right_origin].into_iter().flatten().any(|id| self.kind(id) == Kind::Collected);
        beside || header.parent.is_some_and(|id| self.kind(id) != Kind::Type)
    }

    fn kind(&self, id: Id) -> Kind {
        let Some(side) = self.index_of(id).and_then(|index| self.0.get(index)) else { return Kind::Collected };
        let found = side.gone.partition_point(|&(from, _)| from <= id.clock);
        let gone = found.checked_sub(1).and_then(|at| side.gone.get(at)).is_some_and(|&(_, to)| id.clock < to);
        if gone { Kind::Collected } else { side.structs.kind_at(id.clock) }
    }

    fn index_of(&self, id: Id) -> Option<usize> {
        self.0.binary_search_by_key(&id.client, |side| side.structs.id()).ok()
    }

    fn set_waits(&mut self, index: usize, waits: bool) {
        if let Some(side) = self.0.get_mut(index) {
            side.waits = waits;
        }
    }
}
