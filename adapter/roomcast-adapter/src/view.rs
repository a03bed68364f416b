//! What the driver lets others look at.
//!
//! Owns: [`View`]. Must never know: how the driver runs.

use std::sync::Arc;

use roomcast_core::server::{Selection, Server, SocketId};

use crate::broadcast::Broadcast;
use crate::handle::Handle;
use crate::mailbox::Shared;
use crate::presence::Snapshot;
use crate::socket::{Socket, find};

/// The server as it is between two inputs, for the length of a query.
pub struct View<'a> {
    /// The core: its getters.
    pub server: &'a Server,
    snapshot: Snapshot<'a>,
    shared: &'a Arc<Shared>,
}

impl View<'_> {
    /// The socket of a handle, unless it is gone.
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        Some(Socket::new(self.shared.clone(), find(self.snapshot, id)?))
    }

    /// The sockets that a selection means.
    pub fn select<'s>(&'s self, selection: &'s Selection) -> impl Iterator<Item = Socket> {
        let members = |rooms: &[bytestring::ByteString]| {
            let mut ids: Vec<SocketId> =
                rooms.iter().flat_map(|room| self.server.members(&selection.scope, room)).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let (wanted, unwanted) = (members(&selection.rooms), members(&selection.except_rooms));
        let all = selection.rooms.is_empty() && selection.sockets.is_empty();
        let presences = self.snapshot.presences.iter().flatten().filter(move |presence| {
            let id = presence.id();
            presence.scope == selection.scope
                && presence.is_connected()
                && (all || wanted.binary_search(&id).is_ok() || selection.sockets.contains(&id))
                && unwanted.binary_search(&id).is_err()
                && !selection.except_sockets.contains(&id)
        });
        presences.map(|presence| Socket::new(self.shared.clone(), presence.clone()))
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("server", self.server).finish_non_exhaustive()
    }
}

impl Handle {
    /// Looks at the server, or at this [shard](Handle::shards) of it, between two of its inputs; `None` if it has ended. The closure runs in the driver and holds
    /// all clients up: it should be quick.
    pub async fn query<T, F>(&self, look: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> T + Send + 'static,
    {
        let shared = self.shared().clone();
        self.look(move |snapshot| look(&View { server: snapshot.server, snapshot, shared: &shared })).await
    }
}

impl Broadcast {
    /// The sockets that are meant, in this process.
    pub async fn sockets(self) -> Vec<Socket> {
        let Self { shared, selection, .. } = self;
        let mut found = Vec::new();
        for shard in Handle::new(shared.clone()).shards() {
            let mut selection = selection.clone();
            if !Arc::ptr_eq(shard.shared(), &shared) {
                // Handles of sockets mean something on their own shard alone.
                selection.except_sockets.clear();
                if !std::mem::take(&mut selection.sockets).is_empty() && selection.rooms.is_empty() {
                    continue;
                }
            }
            found
                .extend(shard.query(move |view| view.select(&selection).collect::<Vec<_>>()).await.unwrap_or_default());
        }
        found
    }
}
