//! The sockets of all nodes that a selection means.
//!
//! Owns: [`FetchedSockets`] and the question for them. Must never know: how other nodes are asked.

use std::time::Duration;

use futures_channel::oneshot;
use roomcast_core::server::FetchedSocket;

use crate::broadcast::Broadcast;
use crate::mailbox::Mail;

/// Sockets of this node and of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedSockets {
    /// Ids, nodes and rooms of the sockets, those of this node first.
    pub sockets: Vec<FetchedSocket>,
    /// How many of the known nodes have not answered in time.
    pub nodes_missing: u32,
}

impl Broadcast {
    /// The sockets that are meant, on this node and on all others of its cluster. Waits until the nodes that are known have
    /// answered, for `timeout` at most. `None` if the server has ended. For sockets of this node alone there is
    /// [`sockets`](Self::sockets), which does not wait.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use roomcast_adapter::Handle;
    ///
    /// async fn guests(handle: Handle) -> Vec<String> {
    ///     let fetched = handle.of("/").to("hall").fetch_sockets(Duration::from_secs(1)).await.unwrap_or_default();
    ///     fetched.sockets.into_iter().map(|socket| socket.sid.to_string()).collect()
    /// }
    /// ```
    pub async fn fetch_sockets(self, timeout: Duration) -> Option<FetchedSockets> {
        let (sender, fetched) = oneshot::channel();
        let shared = self.shared.clone();
        shared.send(Mail::Fetch(self.into_target(), timeout, sender), 0);
        fetched.await.ok()
    }
}
