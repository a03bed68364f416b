//! Rooms: their members, the rooms of each member, and the members that a target selects.
//!
//! Owns: membership and selection. Must never know: what a member is beyond its handle and its outbound queue (where what
//! is sent to it waits), or what is sent.
//!
//! Members stand in dense vectors and know their own place in their member's list and the reverse, so that joining,
//! leaving and leaving everything cost the same in a room of ten and of ten thousand, and a broadcast walks one vector
//! without hashing. Unions and exceptions stamp the member with the number of the selection. Memory follows the members of
//! this namespace, independent of the numbers of their handles.

use bytestring::ByteString;

use crate::id::SlabKey as _;
use crate::rng::{KeyedHash, KeyedMap};
use crate::slab::Slab;

crate::slab_key! {
    /// A room that has members.
    pub struct RoomId;
}

crate::slab_key! {
    /// A member of a namespace, as [`Rooms::enter`] names it.
    pub struct MemberId;
}

/// A place in the caller's table of outbound queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutboundIdx(pub u32);

/// A member as a selection names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectedMember<H> {
    /// What the caller knows it by.
    pub handle: H,
    /// Where what is sent to it is queued.
    pub outbound: OutboundIdx,
}

/// The rooms of one namespace. Rooms come with their first member and go with their last.
#[derive(Debug)]
pub struct Rooms<H> {
    names: KeyedMap<ByteString, RoomId>,
    rooms: Slab<RoomId, Room>,
    /// Every member, and the place of its presence.
    everyone: Vec<RoomMember>,
    presences: Slab<MemberId, MemberState<H>>,
    selection: u32,
}

#[derive(Debug)]
struct Room {
    name: ByteString,
    members: Vec<RoomMember>,
}

/// A member in a vector of members.
#[derive(Clone, Copy, Debug)]
struct RoomMember {
    /// Place of its presence.
    slot: u32,
    outbound: OutboundIdx,
    /// Place in the member's own list; of no meaning in `everyone`.
    back: u32,
}

/// What is known of a member.
#[derive(Clone, Debug)]
struct MemberState<H> {
    handle: H,
    outbound: OutboundIdx,
    /// Place in `everyone`.
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

impl<H: Copy> Rooms<H> {
    /// No members, no rooms.
    pub fn new(hash: KeyedHash) -> Self {
        Self {
            names: KeyedMap::with_hasher(hash),
            rooms: Slab::new(),
            everyone: Vec::new(),
            presences: Slab::new(),
            selection: 0,
        }
    }

    /// A new member, in no room yet.
    pub fn enter(&mut self, handle: H, outbound: OutboundIdx) -> MemberId {
        let place = small(self.everyone.len());
        let member = self.presences.insert(MemberState { handle, outbound, place, stamp: 0, rooms: Vec::new() });
        self.everyone.push(RoomMember { slot: member.index(), outbound, back: 0 });
        member
    }

    /// A member leaves all its rooms and is no member any more.
    pub fn exit(&mut self, member: MemberId) {
        let Some(presence) = self.presences.remove(member) else { return };
        for (room, position) in presence.rooms.into_iter().rev() {
            self.remove_entry(room, position);
        }
        self.everyone.swap_remove(presence.place as usize);
        if let Some(moved) = self.everyone.get(presence.place as usize).copied()
            && let Some(other) = self.presences.at_mut(moved.slot)
        {
            other.place = presence.place;
        }
    }

    /// Joins a room, which is made if need be.
    pub fn join(&mut self, member: MemberId, name: &ByteString, rooms_max: usize) -> Joined {
        let Some(presence) = self.presences.get(member) else { return Joined::Refused };
        let (outbound, count) = (presence.outbound, presence.rooms.len());
        let known = self.names.get(name).copied();
        if known.is_some_and(|room| self.position(member, room).is_some()) {
            return Joined::Already;
        }
        if count >= rooms_max {
            return Joined::Refused;
        }
        let room = known.unwrap_or_else(|| {
            let room = self.rooms.insert(Room { name: name.clone(), members: Vec::new() });
            self.names.insert(name.clone(), room);
            room
        });
        if let (Some(entry), Some(presence)) = (self.rooms.get_mut(room), self.presences.get_mut(member)) {
            presence.rooms.push((room, small(entry.members.len())));
            entry.members.push(RoomMember { slot: member.index(), outbound, back: small(count) });
        }
        Joined::Newly
    }

    /// Leaves a room; whether it was in it.
    pub fn leave(&mut self, member: MemberId, name: &str) -> bool {
        let Some(room) = self.names.get(name).copied() else { return false };
        let Some((back, position)) = self.position(member, room) else { return false };
        if let Some(presence) = self.presences.get_mut(member) {
            presence.rooms.swap_remove(back);
            if let Some((moved, position)) = presence.rooms.get(back).copied()
                && let Some(entry) = self.rooms.get_mut(moved)
                && let Some(entry) = entry.members.get_mut(position as usize)
            {
                entry.back = small(back);
            }
        }
        self.remove_entry(room, position);
        true
    }

    /// Whether a member is in a room.
    pub fn contains(&self, member: MemberId, name: &str) -> bool {
        self.names.get(name).is_some_and(|room| self.position(member, *room).is_some())
    }

    /// The names of a member's rooms, in no particular order.
    pub fn of(&self, member: MemberId) -> impl Iterator<Item = &ByteString> {
        let rooms = self.presences.get(member).map_or(&[] as &[_], |presence| presence.rooms.as_slice());
        rooms.iter().filter_map(|(room, _)| self.rooms.get(*room).map(|room| &room.name))
    }

    /// The members of a room, in no particular order; none if there is no such room.
    pub fn members(&self, name: &str) -> impl Iterator<Item = H> {
        self.entries(name).iter().filter_map(|entry| Some(self.presences.at(entry.slot)?.handle))
    }

    /// Where what is sent to the members of a room is queued: the shortest walk, over one vector.
    #[inline]
    pub fn outbounds(&self, name: &str) -> impl Iterator<Item = OutboundIdx> {
        self.entries(name).iter().map(|entry| entry.outbound)
    }

    /// All members of the namespace, in no particular order.
    pub fn everyone(&self) -> impl Iterator<Item = H> {
        self.everyone.iter().filter_map(|entry| Some(self.presences.at(entry.slot)?.handle))
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        self.everyone.len()
    }

    /// How many rooms there are.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Begins a selection without members and exceptions.
    pub fn begin_selection(&mut self) {
        self.selection = self.selection.wrapping_add(1);
        if self.selection == 0 {
            // Every 2^32 selections: old stamps could be mistaken for new ones.
            self.presences.iter_mut().for_each(|(_, presence)| presence.stamp = 0);
            self.selection = 1;
        }
    }

    /// Excepts a member from the selection.
    pub fn except(&mut self, member: MemberId) {
        if let Some(presence) = self.presences.get_mut(member) {
            presence.stamp = self.selection;
        }
    }

    /// Excepts a room's members from the selection.
    pub fn except_room(&mut self, name: &str) {
        let Self { names, rooms, presences, selection, .. } = self;
        stamp_all(entries(names, rooms, name), presences, *selection, &mut |_| {});
    }

    /// Selects one member, if it is one and is neither excepted nor selected yet.
    pub fn select(&mut self, member: MemberId, chosen: &mut impl FnMut(SelectedMember<H>)) {
        let Some(presence) = self.presences.get_mut(member) else { return };
        if std::mem::replace(&mut presence.stamp, self.selection) != self.selection {
            chosen(SelectedMember { handle: presence.handle, outbound: presence.outbound });
        }
    }

    /// Selects a room's members who are neither excepted nor selected yet.
    pub fn select_room(&mut self, name: &str, chosen: &mut impl FnMut(SelectedMember<H>)) {
        let Self { names, rooms, presences, selection, .. } = self;
        stamp_all(entries(names, rooms, name), presences, *selection, chosen);
    }

    /// Selects every member that is neither excepted nor selected already.
    pub fn select_everyone(&mut self, chosen: &mut impl FnMut(SelectedMember<H>)) {
        stamp_all(&self.everyone, &mut self.presences, self.selection, chosen);
    }

    fn entries(&self, name: &str) -> &[RoomMember] {
        entries(&self.names, &self.rooms, name)
    }

    /// Place in the member's list and place in the room, found from the shorter of the two lists.
    fn position(&self, member: MemberId, room: RoomId) -> Option<(usize, u32)> {
        let presence = self.presences.get(member)?;
        let members = &self.rooms.get(room)?.members;
        if presence.rooms.len() <= members.len() {
            let back = presence.rooms.iter().position(|(other, _)| *other == room)?;
            return Some((back, presence.rooms.get(back)?.1));
        }
        let position = members.iter().position(|entry| entry.slot == member.index())?;
        Some((members.get(position)?.back as usize, small(position)))
    }

    /// Takes a member out of a room's vector; the member's own list is the caller's.
    fn remove_entry(&mut self, room: RoomId, position: u32) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.members.swap_remove(position as usize);
        let empty = entry.members.is_empty();
        if let Some(moved) = entry.members.get(position as usize).copied()
            && let Some(presence) = self.presences.at_mut(moved.slot)
            && let Some(link) = presence.rooms.get_mut(moved.back as usize)
        {
            link.1 = position;
        }
        if empty && let Some(gone) = self.rooms.remove(room) {
            self.names.remove(&gone.name);
        }
    }
}

fn entries<'a>(names: &KeyedMap<ByteString, RoomId>, rooms: &'a Slab<RoomId, Room>, name: &str) -> &'a [RoomMember] {
    names.get(name).and_then(|room| rooms.get(*room)).map_or(&[], |room| &room.members)
}

fn stamp_all<H: Copy>(
    entries: &[RoomMember],
    presences: &mut Slab<MemberId, MemberState<H>>,
    selection: u32,
    chosen: &mut impl FnMut(SelectedMember<H>),
) {
    for entry in entries {
        if let Some(presence) = presences.at_mut(entry.slot)
            && presence.stamp != selection
        {
            presence.stamp = selection;
            chosen(SelectedMember { handle: presence.handle, outbound: entry.outbound });
        }
    }
}

/// Places fit: slabs hold fewer than 2^32 entries.
fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
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
            let mut rooms = Rooms::<TestMember>::new(Rng::from_seed([1; 32]).keyed_hash());
            let mut model = BTreeMap::<TestMember, BTreeSet<ByteString>>::new();
            let mut ids = BTreeMap::<TestMember, MemberId>::new();
            let id = |ids: &BTreeMap<TestMember, MemberId>, key: TestMember| ids.get(&key).copied().unwrap_or(MemberId::from_parts(99, 0));
            let mut generation = 0;
            for operation in operations {
                match operation {
                    RandomOperation::Enter(slot) => {
                        if !model.keys().any(|key| key.slot() == slot as usize) {
                            generation += 1;
                            let key = TestMember::from_parts(slot, generation);
                            ids.insert(key, rooms.enter(key, OutboundIdx(slot + 100)));
                            model.insert(key, BTreeSet::new());
                        }
                    }
                    RandomOperation::Exit(slot) => {
                        let key = key_at(&model, slot);
                        rooms.exit(id(&ids, key));
                        model.remove(&key);
                    }
                    RandomOperation::Join(slot, room) => {
                        let key = key_at(&model, slot);
                        let expected = match model.get_mut(&key) {
                            None => Joined::Refused,
                            Some(own) if own.contains(&room) => Joined::Already,
                            Some(own) if own.len() >= 3 => Joined::Refused,
                            Some(own) => { own.insert(room.clone()); Joined::Newly }
                        };
                        prop_assert_eq!(rooms.join(id(&ids, key), &room, 3), expected);
                    }
                    RandomOperation::Leave(slot, room) => {
                        let key = key_at(&model, slot);
                        let expected = model.get_mut(&key).is_some_and(|own| own.remove(&room));
                        prop_assert_eq!(rooms.leave(id(&ids, key), &room), expected);
                    }
                    RandomOperation::Select { of, except, except_slot } => {
                        rooms.begin_selection();
                        let left_out = key_at(&model, except_slot);
                        rooms.except(id(&ids, left_out));
                        rooms.except_room(&except);
                        let mut selected = Vec::new();
                        let mut chosen = |member: SelectedMember<TestMember>| {
                            assert_eq!(member.outbound, OutboundIdx(member.handle.slot() as u32 + 100));
                            selected.push(member.handle);
                        };
                        of.iter().for_each(|room| rooms.select_room(room, &mut chosen));
                        if of.is_empty() {
                            rooms.select_everyone(&mut chosen);
                        }
                        selected.sort();
                        let expected: Vec<TestMember> = model.iter()
                            .filter(|(_, own)| of.is_empty() || of.iter().any(|room| own.contains(room)))
                            .filter(|(key, own)| !own.contains(&except) && **key != left_out)
                            .map(|(key, _)| *key).collect();
                        prop_assert_eq!(selected, expected);
                    }
                }
                for (key, own) in &model {
                    let mut named: Vec<_> = rooms.of(id(&ids, *key)).cloned().collect();
                    named.sort();
                    prop_assert_eq!(named, own.iter().cloned().collect::<Vec<_>>());
                }
                let all: BTreeSet<_> = model.values().flatten().cloned().collect();
                prop_assert_eq!(rooms.room_count(), all.len());
                for room in all {
                    let mut members: Vec<_> = rooms.members(&room).collect();
                    prop_assert_eq!(rooms.outbounds(&room).count(), members.len());
                    members.sort();
                    let expected: Vec<_> = model.iter().filter(|(_, own)| own.contains(&room)).map(|(key, _)| *key).collect();
                    prop_assert_eq!(members, expected);
                }
                prop_assert_eq!(rooms.everyone().count(), model.len());
            }
        }
    }

    #[test]
    fn a_stale_member_finds_nothing() {
        let mut rooms = Rooms::<TestMember>::new(Rng::from_seed([1; 32]).keyed_hash());
        let old = rooms.enter(TestMember::from_parts(0, 1), OutboundIdx(0));
        rooms.exit(old);
        let new = rooms.enter(TestMember::from_parts(0, 2), OutboundIdx(0));
        assert_eq!(rooms.join(old, &"r".into(), 9), Joined::Refused);
        assert_eq!(rooms.join(new, &"r".into(), 9), Joined::Newly);
        assert!(!rooms.contains(old, "r") && rooms.contains(new, "r") && !rooms.leave(old, "r"));
        rooms.exit(old);
        assert_eq!(rooms.member_count(), 1);
    }

    /// Dynamic namespaces of one member each are not to cost memory for every socket that there is elsewhere.
    #[test]
    fn memory_follows_the_members_and_not_the_numbers_of_their_handles() {
        let mut rooms = Rooms::<TestMember>::new(Rng::from_seed([1; 32]).keyed_hash());
        for slot in [1_000_000, 2_000_000, 3_000_000] {
            let member = rooms.enter(TestMember::from_parts(slot, 1), OutboundIdx(slot));
            rooms.join(member, &"r".into(), 9);
            assert_eq!((rooms.presences.places(), rooms.members("r").count()), (1, 1));
            assert!(rooms.everyone.capacity() < 100, "{}", rooms.everyone.capacity());
            rooms.exit(member);
        }
    }

    #[derive(Clone, Debug)]
    enum RandomOperation {
        Enter(u32),
        Exit(u32),
        Join(u32, ByteString),
        Leave(u32, ByteString),
        Select { of: Vec<ByteString>, except: ByteString, except_slot: u32 },
    }

    fn operation() -> impl Strategy<Value = RandomOperation> {
        let slot = || 0u32..8;
        let room = || (0u8..5).prop_map(|n| ByteString::from(format!("room {n}")));
        prop_oneof![
            slot().prop_map(RandomOperation::Enter),
            slot().prop_map(RandomOperation::Exit),
            (slot(), room()).prop_map(|(slot, room)| RandomOperation::Join(slot, room)),
            (slot(), room()).prop_map(|(slot, room)| RandomOperation::Join(slot, room)),
            (slot(), room()).prop_map(|(slot, room)| RandomOperation::Leave(slot, room)),
            (prop::collection::vec(room(), 0..3), room(), slot())
                .prop_map(|(of, except, except_slot)| RandomOperation::Select { of, except, except_slot }),
        ]
    }

    fn key_at(model: &BTreeMap<TestMember, BTreeSet<ByteString>>, slot: u32) -> TestMember {
        model.keys().copied().find(|key| key.slot() == slot as usize).unwrap_or(TestMember::from_parts(slot, 0))
    }

    crate::slab_key! {
        /// A test's member.
        pub struct TestMember;
    }
}
