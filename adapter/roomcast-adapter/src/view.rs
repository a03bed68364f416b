//! What the driver lets others look at.
//!
//! Owns: [`View`]. Must never know: how the driver runs.

use roomcast_core::server::{Selection, Server, SocketId};

use crate::socket::Socket;

/// The server as it is between two inputs, for the length of a query.
#[derive(Debug)]
pub struct View<'a> {
    /// The core: its getters.
    pub server: &'a Server,
    pub(crate) sockets: &'a [Option<Socket>],
}

impl View<'_> {
    /// The socket of a handle, unless it is gone.
    pub fn socket(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(id.slot())?.as_ref().filter(|socket| socket.id() == id)
    }

    /// Who is meant.
    pub fn select<'s>(&'s self, selection: &'s Selection) -> impl Iterator<Item = &'s Socket> {
        let members = |rooms: &[bytestring::ByteString]| {
            let mut ids: Vec<SocketId> =
                rooms.iter().flat_map(|room| self.server.members(&selection.scope, room)).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let (wanted, unwanted) = (members(&selection.rooms), members(&selection.except_rooms));
        let everybody = selection.rooms.is_empty() && selection.sockets.is_empty();
        self.sockets.iter().flatten().filter(move |socket| {
            let id = socket.id();
            *socket.scope() == selection.scope
                && socket.is_connected()
                && (everybody || wanted.binary_search(&id).is_ok() || selection.sockets.contains(&id))
                && unwanted.binary_search(&id).is_err()
                && !selection.except_sockets.contains(&id)
        })
    }
}
