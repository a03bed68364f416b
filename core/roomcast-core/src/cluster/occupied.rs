//! Which rooms have members here, for the connection of a bus that passes over what is for others.
//!
//! Owns: that set. Must never know: who is in a room, or what a message says.

use bytestring::ByteString;

use super::codec::Glance;
use super::message::RoomChannel;
use crate::rng::{KeyedMap, KeyedSet, Rng};

/// The rooms that have members on this node, as [`Output::Subscribe`](crate::server::Output::Subscribe) and
/// [`Unsubscribe`](crate::server::Output::Unsubscribe) tell them with
/// [`Subscriptions::Filtered`](super::Subscriptions::Filtered).
///
/// ```
/// # use roomcast_core::cluster::{Glance, OccupiedRooms, RoomChannel};
/// let mut rooms = OccupiedRooms::new([7; 32]);
/// rooms.begin(RoomChannel { namespace: "/".into(), room: "kitchen".into() });
/// assert!(rooms.concerns(Glance { namespace: "/", room: "kitchen" }));
/// assert!(!rooms.concerns(Glance { namespace: "/", room: "hall" }));
/// ```
#[derive(Debug)]
pub struct OccupiedRooms {
    rng: Rng,
    by_namespace: KeyedMap<ByteString, KeyedSet<ByteString>>,
}

impl OccupiedRooms {
    /// None yet. `seed`: 32 random bytes, since clients choose names of rooms.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        let by_namespace = KeyedMap::with_hasher(rng.keyed_hash());
        Self { rng, by_namespace }
    }

    /// A room has its first member.
    pub fn begin(&mut self, RoomChannel { namespace, room }: RoomChannel) {
        let Self { rng, by_namespace } = self;
        let rooms = by_namespace.entry(namespace).or_insert_with(|| KeyedSet::with_hasher(rng.keyed_hash()));
        rooms.insert(room);
    }

    /// A room has lost its last member.
    pub fn end(&mut self, channel: &RoomChannel) {
        if let Some(rooms) = self.by_namespace.get_mut(&channel.namespace) {
            rooms.remove(&channel.room);
            if rooms.is_empty() {
                self.by_namespace.remove(&channel.namespace);
            }
        }
    }

    /// Whether a message may have a recipient here.
    pub fn concerns(&self, Glance { namespace, room }: Glance<'_>) -> bool {
        self.by_namespace.get(namespace).is_some_and(|rooms| rooms.contains(room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_concerns_this_node_as_long_as_it_has_members() {
        let channel = |namespace: &'static str| RoomChannel { namespace: namespace.into(), room: "a".into() };
        let mut rooms = OccupiedRooms::new([0; 32]);
        rooms.begin(channel("/"));
        rooms.begin(channel("/"));
        rooms.end(&channel("/other"));
        assert!(rooms.concerns(Glance { namespace: "/", room: "a" }));
        assert!(!rooms.concerns(Glance { namespace: "/other", room: "a" }));
        rooms.end(&channel("/"));
        assert!(!rooms.concerns(Glance { namespace: "/", room: "a" }) && rooms.by_namespace.is_empty());
    }
}
