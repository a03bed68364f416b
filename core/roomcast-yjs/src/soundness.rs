//! What yjs assumes of structs without looking: an update that breaks it makes members throw, or part ways.
//!
//! Owns: [`Unsound`], and looking up the list of each new struct. Must never know: how structs are kept or applied.
//!
//! A member takes the parent of a struct from its origin, or else from its right origin, and links it into that parent's
//! list beside both ([`Item.getMissing` and `Item.integrate`](https://github.com/yjs/yjs/blob/v13.6.33/src/structs/Item.js)).
//! Editors write structs whose origins stand in one list. Nothing else may be relayed: a list that is linked
//! into another one throws when either is deleted, when a part of a struct comes again, or when the document is loaded.
//! In which order two origins stand is not looked at: undo managers swap them now and then, and readers do not throw.

use std::collections::BTreeMap;

use super::client_structs::ClientStructs;
use super::scope::{Anchor, Keyed, ListScope};
use super::structs::{Header, Kind};
use super::update::{Record, Update};
use super::wire::{ClientId, Id};

/// What readers of yjs could not bear in a well-formed update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsound {
    /// The origins of a struct stand in different shared types, or under different keys.
    Parents,
    /// A struct that is known comes again as another one.
    Rewritten,
    /// What is set under a key is text, several values at once, or has a right origin.
    Key,
    /// Shared types are nested deeper than [`NESTING_MAX`].
    Nesting,
}

/// Whether an update is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It comes from a peer.
    Examined,
    /// It was examined when it came: only the lists are looked up.
    Trusted,
}

/// The structs of a document, as far as this file needs them.
pub(crate) struct Judge<'a> {
    clients: &'a BTreeMap<ClientId, ClientStructs>,
    anchors: &'a [Anchor],
    /// Of the update, behind those of the document.
    fresh: Vec<Anchor>,
    /// Lists that were found to be in deleted types, or not, by their anchor.
    gone: BTreeMap<usize, bool>,
    trust: Trust,
}

/// A struct of the document or of the update.
struct Found<'a> {
    start: u32,
    header: Header<'a>,
    scope: ListScope,
}

impl<'a> Judge<'a> {
    pub(crate) const fn new(
        clients: &'a BTreeMap<ClientId, ClientStructs>,
        anchors: &'a [Anchor],
        trust: Trust,
    ) -> Self {
        Self { clients, anchors, fresh: Vec::new(), gone: BTreeMap::new(), trust }
    }

    /// Looks up the list of every new struct of `update`, which misses nothing. `order` names sections and places within
    /// them, each struct behind those on which it builds. Tells the anchors that the document gets.
    pub(crate) fn judge(
        mut self,
        update: &mut Update<'_>,
        order: impl Iterator<Item = (usize, usize)>,
    ) -> Result<Vec<Anchor>, Unsound> {
        if self.trust == Trust::Examined {
            self.check_known(update)?;
        }
        for (section, place) in order {
            let client = update.client(section);
            let Some(record) = update.records_of(section).get(place).copied() else { continue };
            let header = update.header(&record);
            let known = self.clients.get(&client).map_or(0, ClientStructs::end);
            let scope = if record.clock < known {
                self.scope_of_part(update, Id { client, clock: record.clock }, &header, known)?
            } else {
                self.scope_of(update, Id { client, clock: record.clock }, &header)?
            };
            if self.trust == Trust::Examined {
                self.check_place(update, client, &record, known, &header, scope)?;
            }
            // Readers garbage-collect a struct that arrives in a deleted type. A client that reconnects late still has
            // that type when the struct arrives, so the struct is never passed on in another form.
            let gone = self.is_gone(update, scope);
            update.set_scope(section, place, scope, gone);
        }
        Ok(self.fresh)
    }

    /// Structs that are known as a whole: readers look up what they name all the same.
    fn check_known(&mut self, update: &Update<'_>) -> Result<(), Unsound> {
        for section in &update.sections {
            let known = self.clients.get(&section.client).map_or(0, ClientStructs::end);
            for record in update.records(section).iter().take_while(|record| record.end() <= known) {
                self.check_same(update, Id { client: section.client, clock: record.clock }, &update.header(record))?;
            }
        }
        Ok(())
    }

    /// Whether the struct at `start`, which is known, comes again as it was; or one or the other is collected.
    fn check_same(&mut self, update: &Update<'_>, start: Id, header: &Header<'_>) -> Result<(), Unsound> {
        let Some(known) = self.find(update, start) else { return Ok(()) };
        if header.kind == Kind::Collected {
            return Ok(());
        }
        let same = if known.header.kind == Kind::Collected {
            self.names_what_is_gone(update, header)
        } else if known.start == start.clock {
            known.header.origin == header.origin
                && known.header.right_origin == header.right_origin
                && known.header.parent_bytes == header.parent_bytes
        } else {
            let before = start.clock.checked_sub(1).map(|clock| Id { clock, ..start });
            header.origin == before && known.header.right_origin == header.right_origin
        };
        if same { Ok(()) } else { Err(Unsound::Rewritten) }
    }

    /// Whether everything that a struct builds on is gone, so that readers collect it.
    fn names_what_is_gone(&mut self, update: &Update<'_>, header: &Header<'_>) -> bool {
        let is_named = header.origin.is_none() && header.right_origin.is_none();
        let of_parent = !is_named || header.parent.is_some_and(|parent| !self.is_live_type(update, parent));
        let mut origins = [header.origin, header.right_origin].into_iter().flatten();
        of_parent
            && origins.all(|id| {
                let scope = self.find(update, id).map_or(ListScope::GONE, |found| found.scope);
                self.is_gone(update, scope)
            })
    }

    /// The list of a struct that is known up to `known`.
    fn scope_of_part(
        &mut self,
        update: &Update<'_>,
        start: Id,
        header: &Header<'_>,
        known: u32,
    ) -> Result<ListScope, Unsound> {
        let scope_at =
            |judge: &Self, clock| judge.find(update, Id { clock, ..start }).map_or(ListScope::GONE, |f| f.scope);
        let (first, last) = (scope_at(self, start.clock), scope_at(self, known - 1));
        if header.kind == Kind::Collected {
            return Ok(ListScope::GONE);
        }
        if self.trust == Trust::Examined {
            self.check_same(update, start, header)?;
            let unknown = first == ListScope::GONE || last == ListScope::GONE;
            let both_gone = unknown && self.is_gone(update, first) && self.is_gone(update, last);
            if first != last && !both_gone && !self.is_same_list(first, last) {
                return Err(Unsound::Rewritten);
            }
        }
        Ok(last)
    }

    /// The list of a new struct.
    fn scope_of(&mut self, update: &Update<'_>, start: Id, header: &Header<'_>) -> Result<ListScope, Unsound> {
        if header.kind == Kind::Collected {
            return Ok(ListScope::GONE);
        }
        let of = |judge: &Self, id: Id| judge.find(update, id).map_or(ListScope::GONE, |found| found.scope);
        match (header.origin, header.right_origin) {
            (None, None) => Ok(self.add_anchor(update, start, header)),
            (Some(id), None) | (None, Some(id)) => Ok(of(self, id)),
            (Some(left), Some(right)) => {
                let (left_scope, right_scope) = (of(self, left), of(self, right));
                let scope = if left_scope == right_scope || self.trust == Trust::Trusted {
                    left_scope
                } else if left_scope == ListScope::GONE || right_scope == ListScope::GONE {
                    let other = left_scope.min(right_scope);
                    if !self.is_gone(update, other) {
                        return Err(Unsound::Parents);
                    }
                    other
                } else if self.is_same_list(left_scope, right_scope) {
                    left_scope
                } else {
                    return Err(Unsound::Parents);
                };
                Ok(scope)
            }
        }
    }

    fn add_anchor(&mut self, update: &Update<'_>, start: Id, header: &Header<'_>) -> ListScope {
        let around = header.parent.and_then(|parent| self.find(update, parent));
        let around = around.filter(|found| found.header.kind == Kind::Type);
        let depth = around.map_or(0, |found| self.depth(found.scope) + 1);
        let keyed = if header.names_key() { Keyed::Yes } else { Keyed::No };
        let scope = ListScope::of_anchor(self.anchors.len() + self.fresh.len(), keyed);
        self.fresh.push(Anchor::new(start, depth, header.parent_bytes));
        scope
    }

    /// Whether a new struct may stand in its list.
    fn check_place(
        &self,
        update: &Update<'_>,
        client: ClientId,
        record: &Record,
        known: u32,
        header: &Header<'_>,
        scope: ListScope,
    ) -> Result<(), Unsound> {
        // Readers cut a value of several elements in two, and of a key they delete only the last one. A document that
        // keeps what is deleted writes several deleted values as one.
        let runs = match header.kind {
            Kind::Text => true,
            Kind::Json | Kind::Any => record.len > 1,
            Kind::Collected
            | Kind::Deleted
            | Kind::Binary
            | Kind::Embed
            | Kind::Format
            | Kind::Type
            | Kind::Subdocument
            | Kind::Skip => false,
        };
        let deleted = || update.deletes_all(client, record.clock.max(known), record.end());
        // In a deleted type as well: a client that reconnects late applies the deletion after all structs.
        if scope.is_keyed() && (header.right_origin.is_some() || (runs && !deleted())) {
            return Err(Unsound::Key);
        }
        let too_deep = header.kind == Kind::Type && self.depth(scope) >= NESTING_MAX;
        if too_deep { Err(Unsound::Nesting) } else { Ok(()) }
    }

    /// Whether two anchors name the same parent and key.
    fn is_same_list(&self, one: ListScope, other: ListScope) -> bool {
        let list = |scope| self.anchor(scope).map(|anchor| anchor.list);
        list(one) == list(other)
    }

    /// Whether the list is in a type that is deleted, or in none.
    fn is_gone(&mut self, update: &Update<'_>, scope: ListScope) -> bool {
        let mut chain = Vec::new();
        let mut scope = scope;
        let gone = loop {
            let Some(at) = scope.anchor() else { break true };
            if let Some(&gone) = self.gone.get(&at) {
                break gone;
            }
            chain.push(at);
            let header = self.anchor(scope).and_then(|anchor| self.find(update, anchor.id)).map(|found| found.header);
            let Some(header) = header.filter(|header| !header.parent_bytes.is_empty()) else { break true };
            let Some(parent) = header.parent else { break false };
            match self.find(update, parent) {
                Some(found) if found.header.kind == Kind::Type => scope = found.scope,
                Some(_) | None => break true,
            }
        };
        self.gone.extend(chain.into_iter().map(|at| (at, gone)));
        gone
    }

    fn is_live_type(&mut self, update: &Update<'_>, id: Id) -> bool {
        let Some(found) = self.find(update, id) else { return false };
        found.header.kind == Kind::Type && !self.is_gone(update, found.scope)
    }

    fn depth(&self, scope: ListScope) -> u32 {
        self.anchor(scope).map_or(0, |anchor| anchor.depth)
    }

    fn anchor(&self, scope: ListScope) -> Option<&Anchor> {
        let at = scope.anchor()?;
        self.anchors.get(at).or_else(|| self.fresh.get(at.checked_sub(self.anchors.len())?))
    }

    fn find<'f>(&'f self, update: &Update<'f>, id: Id) -> Option<Found<'f>> {
        if let Some(client) = self.clients.get(&id.client).filter(|client| id.clock < client.end()) {
            let (start, header, scope) = client.found(id.clock)?;
            return Some(Found { start, header, scope });
        }
        let record = update.find(id)?;
        Some(Found { start: record.clock, header: update.header(record), scope: record.scope })
    }
}

/// How many shared types may stand within each other below a root. Readers walk them by recursion; an outline with a map
/// and an array for each level has half as many levels.
pub const NESTING_MAX: u32 = 256;

#[cfg(test)]
#[path = "soundness_tests.rs"]
mod tests;
