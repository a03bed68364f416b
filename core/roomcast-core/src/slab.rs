//! A slab with generations.
//!
//! Owns: dense storage behind [`SlabKey`]s, the lowest-cost free list, and the rule that a stale handle finds nothing.
//! Must never know: what it stores.

use std::marker::PhantomData;

use crate::id::SlabKey;

/// Dense storage. A freed place is used again, last freed first; its handles of before find nothing.
#[derive(Debug)]
pub struct Slab<H, T> {
    entries: Vec<Entry<T>>,
    free_head: u32,
    len: u32,
    handle: PhantomData<fn() -> H>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    slot: Slot<T>,
}

#[derive(Debug)]
enum Slot<T> {
    Used(T),
    Free { next: u32 },
}

const END: u32 = u32::MAX;

impl<H: SlabKey, T> Slab<H, T> {
    /// An empty slab; allocates nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), free_head: END, len: 0, handle: PhantomData }
    }

    /// Stores what `make` returns for its own future handle.
    pub fn insert_with(&mut self, make: impl FnOnce(H) -> T) -> H {
        let index = self.free_head;
        if let Some(entry) = self.entries.get_mut(index as usize) {
            let handle = H::from_parts(index, entry.generation);
            let value = make(handle);
            let Slot::Free { next } = std::mem::replace(&mut entry.slot, Slot::Used(value)) else {
                unreachable!("invariant: the free list names free places only")
            };
            self.free_head = next;
            self.len += 1;
            return handle;
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(END);
        assert!(index != END, "invariant: fewer than 2^32 - 1 entries at once");
        let handle = H::from_parts(index, 0);
        self.entries.push(Entry { generation: 0, slot: Slot::Used(make(handle)) });
        self.len += 1;
        handle
    }

    /// Stores a value.
    pub fn insert(&mut self, value: T) -> H {
        self.insert_with(|_| value)
    }

    /// Takes a value out; `None` for a stale handle.
    pub fn remove(&mut self, handle: H) -> Option<T> {
        let entry = self.entries.get_mut(handle.index() as usize)?;
        if entry.generation != handle.generation() || matches!(entry.slot, Slot::Free { .. }) {
            return None;
        }
        let old = std::mem::replace(&mut entry.slot, Slot::Free { next: self.free_head });
        entry.generation = entry.generation.wrapping_add(1);
        self.free_head = handle.index();
        self.len -= 1;
        match old {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// `None` for a stale handle.
    #[inline]
    pub fn get_mut(&mut self, handle: H) -> Option<&mut T> {
        match self.entries.get_mut(handle.index() as usize) {
            Some(Entry { generation, slot: Slot::Used(value) }) if *generation == handle.generation() => Some(value),
            Some(_) | None => None,
        }
    }

    /// `None` for a stale handle.
    #[inline]
    pub fn get(&self, handle: H) -> Option<&T> {
        match self.entries.get(handle.index() as usize) {
            Some(Entry { generation, slot: Slot::Used(value) }) if *generation == handle.generation() => Some(value),
            Some(_) | None => None,
        }
    }

    /// The value at a place, regardless of its generation: for callers that remove every reference to a place before
    /// they free it.
    #[inline]
    pub fn at(&self, index: u32) -> Option<&T> {
        match self.entries.get(index as usize) {
            Some(Entry { slot: Slot::Used(value), .. }) => Some(value),
            Some(_) | None => None,
        }
    }

    /// As [`at`](Self::at), mutably.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.entries.get_mut(index as usize) {
            Some(Entry { slot: Slot::Used(value), .. }) => Some(value),
            Some(_) | None => None,
        }
    }

    /// Whether the handle still names something.
    pub fn contains(&self, handle: H) -> bool {
        self.get(handle).is_some()
    }

    /// How many values are stored.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nothing is stored.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Places in use or free: every live index is below.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// The value at a place and its handle, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = (H, &T)> {
        (0u32..).zip(&self.entries).filter_map(|(index, entry)| match &entry.slot {
            Slot::Used(value) => Some((H::from_parts(index, entry.generation), value)),
            Slot::Free { .. } => None,
        })
    }

    /// As [`iter`](Self::iter), mutably.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (H, &mut T)> {
        (0u32..).zip(&mut self.entries).filter_map(|(index, entry)| match &mut entry.slot {
            Slot::Used(value) => Some((H::from_parts(index, entry.generation), value)),
            Slot::Free { .. } => None,
        })
    }

    /// The handle that the place of `index` has now, if it is in use.
    pub fn handle_at(&self, index: u32) -> Option<H> {
        match self.entries.get(index as usize) {
            Some(Entry { generation, slot: Slot::Used(_) }) => Some(H::from_parts(index, *generation)),
            Some(_) | None => None,
        }
    }
}

impl<H: SlabKey, T> Default for Slab<H, T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_handles_find_nothing() {
        let mut slab = Slab::<TestKey, &str>::new();
        let a = slab.insert("a");
        let b = slab.insert("b");
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        let c = slab.insert_with(|own| {
            assert_eq!(own.slot(), a.slot(), "the freed place is used again");
            "c"
        });
        assert_ne!(a, c);
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (None, Some(&"b"), Some(&"c")));
        assert_eq!(slab.iter().map(|(h, _)| h).collect::<Vec<_>>(), [c, b]);
        assert_eq!((slab.len(), slab.places(), slab.handle_at(0)), (2, 2, Some(c)));
        assert_eq!((slab.at(0).copied(), slab.at_mut(1).copied(), slab.at(2)), (Some("c"), Some("b"), None));
    }

    crate::slab_key! {
        /// A test's key.
        pub struct TestKey;
    }
}
