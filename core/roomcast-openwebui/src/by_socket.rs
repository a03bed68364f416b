//! A table with at most one entry for each socket.
//!
//! Owns: finding an entry by a socket's slot, and that an entry is never another socket's. Must never know: what is in it.

use roomcast_core::server::SocketId;

/// Values by socket: one indirection, no hashing.
#[derive(Debug)]
pub(crate) struct BySocket<T> {
    places: Vec<Option<Box<(SocketId, T)>>>,
    len: usize,
}

impl<T> BySocket<T> {
    pub(crate) fn insert(&mut self, socket: SocketId, value: T) {
        let slot = socket.slot();
        if self.places.len() <= slot {
            self.places.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.places.get_mut(slot)
            && place.replace(Box::new((socket, value))).is_none()
        {
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, socket: SocketId) -> Option<T> {
        let entry = self.places.get_mut(socket.slot())?.take_if(|entry| entry.0 == socket)?;
        self.len -= 1;
        Some(entry.1)
    }

    pub(crate) fn get_mut(&mut self, socket: SocketId) -> Option<&mut T> {
        let entry = self.places.get_mut(socket.slot())?.as_deref_mut()?;
        (entry.0 == socket).then_some(&mut entry.1)
    }

    pub(crate) fn get(&self, socket: SocketId) -> Option<&T> {
        self.places.get(socket.slot())?.as_deref().filter(|entry| entry.0 == socket).map(|entry| &entry.1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketId, &T)> {
        self.places.iter().flatten().map(|entry| (entry.0, &entry.1))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SocketId, &mut T)> {
        self.places.iter_mut().flatten().map(|entry| (entry.0, &mut entry.1))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl<T> Default for BySocket<T> {
    fn default() -> Self {
        Self { places: Vec::new(), len: 0 }
    }
}
