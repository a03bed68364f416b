//! In which order the structs of one update can be applied, if in any.
//!
//! Owns: the walk over clients that wait for each other. Must never know: what happens to the structs.

use super::update::{Record, Update};
use super::wire::{ClientId, Id};

/// How far one client of an update can be applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// The next clock.
    pub(crate) clock: u32,
    /// The next struct of the section.
    next: usize,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Free,
    /// It stands on the stack and waits for the client above it.
    Waiting,
    /// What its next struct needs does not come with this update.
    Stuck,
}

/// How far each client of `update`, in the order of its sections, can be applied on top of `clock_of`; and the first thing
/// that is missing, if something is left. Two that wait for each other are both left.
///
/// Walks as `integrateStructs` of yjs does, with the clients that wait for each other on a stack: every step takes a
/// struct, or parks a client until another has got as far as it needs.
pub(crate) fn reach(clock_of: &dyn Fn(ClientId) -> u32, update: &Update<'_>) -> Applicable {
    let start = |section| {
        let clock = clock_of(update.client(section));
        let next = update.records_of(section).partition_point(|record| record.end() <= clock);
        Reached { clock, next, progress: Progress::Free }
    };
    let reached = (0..update.sections.len()).map(start).collect();
    let mut walk = Walk { clock_of, update, reached, order: Vec::new(), missing: None };
    let mut stack: Vec<(usize, Option<Id>)> = Vec::new();
    for first in 0..update.sections.len() {
        stack.push((first, None));
        while let Some(&(at, wanted)) = stack.last() {
            match walk.step(at, wanted) {
                Step::Taken => {}
                Step::Done => drop(stack.pop()),
                Step::Wait(other, id) => stack.push((other, Some(id))),
            }
        }
    }
    Applicable { clients: walk.reached, order: walk.order, missing: walk.missing }
}

/// What can be applied of an update.
pub(crate) struct Applicable {
    /// In the order of the sections.
    pub(crate) clients: Vec<Reached>,
    /// New structs that can be applied, by section and place within it, each behind those on which it builds.
    pub(crate) order: Vec<(usize, usize)>,
    pub(crate) missing: Option<Id>,
}

struct Walk<'a> {
    /// The next clock of a client, before the update.
    clock_of: &'a dyn Fn(ClientId) -> u32,
    update: &'a Update<'a>,
    reached: Vec<Reached>,
    order: Vec<(usize, usize)>,
    missing: Option<Id>,
}

enum Step {
    Taken,
    Done,
    Wait(usize, Id),
}

impl Walk<'_> {
    /// One step of the client `at`, which is wanted to reach `wanted`.
    fn step(&mut self, at: usize, wanted: Option<Id>) -> Step {
        let Some(reached) = self.reached.get(at).copied() else { return Step::Done };
        let record = self.update.records_of(at).get(reached.next);
        let satisfied = wanted.is_some_and(|id| id.clock < reached.clock);
        let Some(record) = record.filter(|_| !satisfied && reached.progress != Progress::Stuck) else {
            if reached.progress == Progress::Waiting {
                self.set(at, Progress::Free);
            }
            return Step::Done;
        };
        if record.clock > reached.clock {
            return self.stick(at, Id { client: self.update.client(at), clock: record.clock - 1 });
        }
        let Some(id) = self.lacking(record) else {
            self.order.push((at, reached.next));
            let next = Reached { clock: record.end(), next: reached.next + 1, progress: Progress::Free };
            if let Some(reached) = self.reached.get_mut(at) {
                *reached = next;
            }
            return Step::Taken;
        };
        let other = self.update.section_index(id.client);
        let free = |other: &usize| {
            let finished = self.reached.get(*other).is_none_or(|reached| {
                reached.progress != Progress::Free || reached.next >= self.update.records_of(*other).len()
            });
            *other != at && !finished
        };
        match other.filter(free) {
            Some(other) => {
                self.set(at, Progress::Waiting);
                Step::Wait(other, id)
            }
            None => self.stick(at, id),
        }
    }

    fn stick(&mut self, at: usize, missing: Id) -> Step {
        self.missing = self.missing.or(Some(missing));
        self.set(at, Progress::Stuck);
        Step::Done
    }

    fn set(&mut self, at: usize, progress: Progress) {
        if let Some(reached) = self.reached.get_mut(at) {
            reached.progress = progress;
        }
    }

    /// What a struct builds on that is neither in the store nor taken.
    fn lacking(&self, record: &Record) -> Option<Id> {
        if !record.foreign {
            return None;
        }
        let taken = |id: &Id| self.update.section_index(id.client).and_then(|at| self.reached.get(at));
        self.update.header(record).needs().find(|id| {
            taken(id).map_or_else(|| (self.clock_of)(id.client) <= id.clock, |reached| reached.clock <= id.clock)
        })
    }
}
