//! Who is in which room, both ways, and who a target means.
//!
//! Owns: membership and selection. Must never know: what a member is beyond its handle and its outbound queue (where what is
//! sent to it is queued), or what is sent.
//!
//! Members stand in dense vectors and know their own place in their member's list and the reverse, so that joining,
//! leaving and leaving everything cost the same in a room of ten and of ten thousand, and a broadcast walks one vector
//! without hashing. Unions and exceptions stamp the member's slot with the number of the selection.

use bytestring::ByteString;

use crate::id::SlabKey;
use crate::rng::{KeyedHash, KeyedMap};
use crate::slab::Slab;

crate::slab_key! {
    /// A room that has members.
    pub struct RoomId;
}

/// One presence in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<H> {
    /// Who.
    pub handle: H,
    /// Where what is sent to it is queued: a place in a table of the caller's.
    pub outbound: u32,
    /// Place in the member's own list.
    back: u32,
}

/// The rooms of one namespace. Rooms come with their first member and go with their last.
#[derive(Debug)]
pub struct Rooms<H> {
    names: KeyedMap<ByteString, RoomId>,
    rooms: Slab<RoomId, Room<H>>,
    everyone: Vec<Member<H>>,
    /// By the slot of the member's handle.
    presences: Vec<Presence>,
    selection: u32,
}

#[derive(Debug)]
struct Room<H> {
    name: ByteString,
    members: Vec<Member<H>>,
}

/// What a member knows of itself.
#[derive(Clone, Debug, Default)]
struct Presence {
    /// Place in `everyone`; `ABSENT` if the slot is not a member.
    place: u32,
    /// The last selection that meant or excepted it.
    stamp: u32,
    rooms: Vec<(RoomId, u32)>,
}

/// What came of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It is in the room now.
    Newly,
    /// It was in the room before.
    Already,
    /// It is in as many rooms as it may, or is no member of the namespace.
    Refused,
}

const ABSENT: u32 = u32::MAX;

impl<H: SlabKey> Rooms<H> {
    /// No members, no rooms.
    pub fn new(hash: KeyedHash) -> Self {
        Self {
            names: KeyedMap::with_hasher(hash),
            rooms: Slab::new(),
            everyone: Vec::new(),
            presences: Vec::new(),
            selection: 0,
        }
    }

    /// A new member, in no room yet.
    pub fn enter(&mut self, handle: H, outbound: u32) {
        let slot = handle.index() as usize;
        if self.presences.len() <= slot {
            self.presences.resize_with(slot + 1, || Presence { place: ABSENT, ..Presence::default() });
        }
        let place = small(self.everyone.len());
        if let Some(presence) = self.presences.get_mut(slot) {
            debug_assert_eq!(presence.place, ABSENT, "a slot is one member at a time");
            presence.place = place;
            self.everyone.push(Member { handle, outbound, back: 0 });
        }
    }

    /// A member leaves all its rooms and is no member any more.
    pub fn exit(&mut self, handle: H) {
        let Some(presence) = self.presence_mut(handle) else { return };
        let place = std::mem::replace(&mut presence.place, ABSENT);
        let rooms = std::mem::take(&mut presence.rooms);
        for (room, position) in rooms.into_iter().rev() {
            self.remove_member(room, position);
        }
        self.everyone.swap_remove(place as usize);
        if let Some(moved) = self.everyone.get(place as usize).map(|member| member.handle)
            && let Some(presence) = self.presences.get_mut(moved.index() as usize)
        {
            presence.place = place;
        }
    }

    /// Joins a room, which is made if need be.
    pub fn join(&mut self, handle: H, name: &ByteString, rooms_max: usize) -> Joined {
        let Some(presence) = self.presence(handle) else { return Joined::Refused };
        let (place, count) = (presence.place, presence.rooms.len());
        let known = self.names.get(name).copied();
        if known.is_some_and(|room| self.position(handle, room).is_some()) {
            return Joined::Already;
        }
        let Some(outbound) = self.everyone.get(place as usize).map(|member| member.outbound) else {
            return Joined::Refused;
        };
        if count >= rooms_max {
            return Joined::Refused;
        }
        let room = known.unwrap_or_else(|| {
            let room = self.rooms.insert(Room { name: name.clone(), members: Vec::new() });
            self.names.insert(name.clone(), room);
            room
        });
        if let Some(entry) = self.rooms.get_mut(room) {
            let position = small(entry.members.len());
            entry.members.push(Member { handle, outbound, back: small(count) });
            if let Some(presence) = self.presence_mut(handle) {
                presence.rooms.push((room, position));
            }
        }
        Joined::Newly
    }

    /// Leaves a room; whether it was in it.
    pub fn leave(&mut self, handle: H, name: &str) -> bool {
        let Some(room) = self.names.get(name).copied() else { return false };
        let Some((back, position)) = self.position(handle, room) else { return false };
        if let Some(presence) = self.presence_mut(handle) {
            presence.rooms.swap_remove(back);
            let moved = presence.rooms.get(back).copied();
            if let Some(member) = moved.and_then(|(room, position)| self.member_mut(room, position)) {
                member.back = small(back);
            }
        }
        self.remove_member(room, position);
        true
    }

    /// Whether a member is in a room.
    pub fn contains(&self, handle: H, name: &str) -> bool {
        self.names.get(name).is_some_and(|room| self.position(handle, *room).is_some())
    }

    /// The names of a member's rooms, in no particular order.
    pub fn of(&self, handle: H) -> impl Iterator<Item = &ByteString> {
        let rooms = self.presence(handle).map_or(&[] as &[_], |presence| presence.rooms.as_slice());
        rooms.iter().filter_map(|(room, _)| self.rooms.get(*room).map(|room| &room.name))
    }

    /// The members of a room, in no particular order; nobody if there is no such room.
    pub fn members(&self, name: &str) -> &[Member<H>] {
        self.names.get(name).and_then(|room| self.rooms.get(*room)).map_or(&[], |room| &room.members)
    }

    /// All members of the namespace, in no particular order.
    pub fn everyone(&self) -> &[Member<H>] {
        &self.everyone
    }

    /// How many rooms there are.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Begins a selection: nobody is meant or excepted yet.
    pub fn begin_selection(&mut self) {
        self.selection = self.selection.wrapping_add(1);
        if self.selection == 0 {
            // Every 2^32 selections: old stamps could be mistaken for new ones.
            self.presences.iter_mut().for_each(|presence| presence.stamp = 0);
            self.selection = 1;
        }
    }

    /// Excepts a member from the selection.
    pub fn except(&mut self, handle: H) {
        let selection = self.selection;
        if let Some(presence) = self.presence_mut(handle) {
            presence.stamp = selection;
        }
    }

    /// Excepts a room's members from the selection.
    pub fn except_room(&mut self, name: &str) {
        let Self { names, rooms, presences, selection, .. } = self;
        let members = names.get(name).and_then(|room| rooms.get(*room)).map_or(&[] as &[_], |room| &room.members);
        for member in members {
            if let Some(presence) = presences.get_mut(member.handle.index() as usize) {
                presence.stamp = *selection;
            }
        }
    }

    /// Selects one member, if it is one and is neither excepted nor selected yet.
    pub fn select(&mut self, handle: H, chosen: &mut impl FnMut(Member<H>)) {
        let selection = self.selection;
        let Some(presence) = self.presence_mut(handle) else { return };
        if std::mem::replace(&mut presence.stamp, selection) != selection {
            let place = presence.place;
            self.everyone.get(place as usize).copied().into_iter().for_each(chosen);
        }
    }

    /// Selects a room's members who are neither excepted nor selected yet.
    pub fn select_room(&mut self, name: &str, chosen: &mut impl FnMut(Member<H>)) {
        let Self { names, rooms, presences, selection, .. } = self;
        let members = names.get(name).and_then(|room| rooms.get(*room)).map_or(&[] as &[_], |room| &room.members);
        stamp_all(members, presences, *selection, chosen);
    }

    /// Selects everybody who is neither excepted nor selected yet.
    pub fn select_everyone(&mut self, chosen: &mut impl FnMut(Member<H>)) {
        stamp_all(&self.everyone, &mut self.presences, self.selection, chosen);
    }

    fn presence(&self, handle: H) -> Option<&Presence> {
        let presence = self.presences.get(handle.index() as usize)?;
        let member = self.everyone.get(presence.place as usize)?;
        (member.handle == handle).then_some(presence)
    }

    fn presence_mut(&mut self, handle: H) -> Option<&mut Presence> {
        let presence = self.presences.get_mut(handle.index() as usize)?;
        let member = self.everyone.get(presence.place as usize)?;
        (member.handle == handle).then_some(presence)
    }

    fn member_mut(&mut self, room: RoomId, position: u32) -> Option<&mut Member<H>> {
        self.rooms.get_mut(room)?.members.get_mut(position as usize)
    }

    /// Place in the member's list and place in the room, found from whichever list is shorter.
    fn position(&self, handle: H, room: RoomId) -> Option<(usize, u32)> {
        let presence = self.presence(handle)?;
        let members = &self.rooms.get(room)?.members;
        if presence.rooms.len() <= members.len() {
            let back = presence.rooms.iter().position(|(other, _)| *other == room)?;
            return Some((back, presence.rooms.get(back)?.1));
        }
        let position = members.iter().position(|member| member.handle == handle)?;
        Some((members.get(position)?.back as usize, small(position)))
    }

    /// Takes a member out of a room's vector; the member's own list is the caller's.
    fn remove_member(&mut self, room: RoomId, position: u32) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.members.swap_remove(position as usize);
        let empty = entry.members.is_empty();
        if let Some(moved) = entry.members.get(position as usize).copied()
            && let Some(presence) = self.presences.get_mut(moved.handle.index() as usize)
            && let Some(link) = presence.rooms.get_mut(moved.back as usize)
        {
            link.1 = position;
        }
        if empty && let Some(gone) = self.rooms.remove(room) {
            self.names.remove(&gone.name);
        }
    }
}

fn stamp_all<H: SlabKey>(
    members: &[Member<H>],
    presences: &mut [Presence],
    selection: u32,
    chosen: &mut impl FnMut(Member<H>),
) {
    for member in members {
        if let Some(presence) = presences.get_mut(member.handle.index() as usize)
            && presence.stamp != selection
        {
            presence.stamp = selection;
            chosen(*member);
        }
    }
}

/// Places fit: slabs hold fewer than 2^32 entries.
fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(ABSENT)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    proptest! {
        /// Against a map of sets: the same members, the same rooms, the same selections.
        #[test]
        fn agrees_with_sets(operations in prop::collection::vec(operation(), 0..120)) {
            let mut rooms = Rooms::<Key>::new(Rng::from_seed([1; 32]).keyed_hash());
            let mut model = BTreeMap::<Key, BTreeSet<ByteString>>::new();
            let mut generation = 0;
            for operation in operations {
                match operation {
                    Operation::Enter(slot) => {
                        if !model.keys().any(|key| key.slot() == slot as usize) {
                            generation += 1;
                            let key = Key::from_parts(slot, generation);
                            rooms.enter(key, slot + 100);
                            model.insert(key, BTreeSet::new());
                        }
                    }
                    Operation::Exit(slot) => {
                        let key = key_at(&model, slot);
                        rooms.exit(key);
                        model.remove(&key);
                    }
                    Operation::Join(slot, room) => {
                        let key = key_at(&model, slot);
                        let expected = match model.get_mut(&key) {
                            None => Joined::Refused,
                            Some(own) if own.contains(&room) => Joined::Already,
                            Some(own) if own.len() >= 3 => Joined::Refused,
                            Some(own) => { own.insert(room.clone()); Joined::Newly }
                        };
                        prop_assert_eq!(rooms.join(key, &room, 3), expected);
                    }
                    Operation::Leave(slot, room) => {
                        let key = key_at(&model, slot);
                        let expected = model.get_mut(&key).is_some_and(|own| own.remove(&room));
                        prop_assert_eq!(rooms.leave(key, &room), expected);
                    }
                    Operation::Select { of, except, except_slot } => {
                        rooms.begin_selection();
                        let left_out = key_at(&model, except_slot);
                        rooms.except(left_out);
                        rooms.except_room(&except);
                        let mut selected = Vec::new();
                        let mut chosen = |member: Member<Key>| {
                            assert_eq!(member.outbound, member.handle.slot() as u32 + 100);
                            selected.push(member.handle);
                        };
                        of.iter().for_each(|room| rooms.select_room(room, &mut chosen));
                        if of.is_empty() {
                            rooms.select_everyone(&mut chosen);
                        }
                        selected.sort();
                        let expected: Vec<Key> = model.iter()
                            .filter(|(_, own)| of.is_empty() || of.iter().any(|room| own.contains(room)))
                            .filter(|(key, own)| !own.contains(&except) && **key != left_out)
                            .map(|(key, _)| *key).collect();
                        prop_assert_eq!(selected, expected);
                    }
                }
                for (key, own) in &model {
                    let mut named: Vec<_> = rooms.of(*key).cloned().collect();
                    named.sort();
                    prop_assert_eq!(named, own.iter().cloned().collect::<Vec<_>>());
                }
                let all: BTreeSet<_> = model.values().flatten().cloned().collect();
                prop_assert_eq!(rooms.room_count(), all.len());
                for room in all {
                    let mut members: Vec<_> = rooms.members(&room).iter().map(|member| member.handle).collect();
                    members.sort();
                    let expected: Vec<_> = model.iter().filter(|(_, own)| own.contains(&room)).map(|(key, _)| *key).collect();
                    prop_assert_eq!(members, expected);
                }
                prop_assert_eq!(rooms.everyone().len(), model.len());
            }
        }
    }

    #[test]
    fn a_stale_member_finds_nothing() {
        let mut rooms = Rooms::<Key>::new(Rng::from_seed([1; 32]).keyed_hash());
        let (old, new) = (Key::from_parts(0, 1), Key::from_parts(0, 2));
        rooms.enter(old, 0);
        rooms.exit(old);
        rooms.enter(new, 0);
        assert_eq!(rooms.join(old, &"r".into(), 9), Joined::Refused);
        assert_eq!(rooms.join(new, &"r".into(), 9), Joined::Newly);
        assert!(!rooms.contains(old, "r") && rooms.contains(new, "r") && !rooms.leave(old, "r"));
        rooms.exit(old);
        assert_eq!(rooms.everyone().len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Enter(u32),
        Exit(u32),
        Join(u32, ByteString),
        Leave(u32, ByteString),
        Select { of: Vec<ByteString>, except: ByteString, except_slot: u32 },
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let slot = || 0u32..8;
        let room = || (0u8..5).prop_map(|n| ByteString::from(format!("room {n}")));
        prop_oneof![
            slot().prop_map(Operation::Enter),
            slot().prop_map(Operation::Exit),
            (slot(), room()).prop_map(|(slot, room)| Operation::Join(slot, room)),
            (slot(), room()).prop_map(|(slot, room)| Operation::Join(slot, room)),
            (slot(), room()).prop_map(|(slot, room)| Operation::Leave(slot, room)),
            (prop::collection::vec(room(), 0..3), room(), slot())
                .prop_map(|(of, except, except_slot)| Operation::Select { of, except, except_slot }),
        ]
    }

    fn key_at(model: &BTreeMap<Key, BTreeSet<ByteString>>, slot: u32) -> Key {
        model.keys().copied().find(|key| key.slot() == slot as usize).unwrap_or(Key::from_parts(slot, 0))
    }

    crate::slab_key! {
        /// A test's member.
        pub struct Key;
    }
}
