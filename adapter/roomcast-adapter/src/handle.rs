//! The server, from elsewhere in the program.
//!
//! Owns: [`Handle`] and its own life. What it can do to sockets stands with these. Must never know: the driver's insides.

use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use roomcast_core::server::{Audit, EndpointId};

use crate::load::DriverLoad;
use crate::mailbox::{Mail, Shared, Stopped};
use crate::presence::Snapshot;

/// Emits, joins and disconnects from anywhere in the program. Cheap to clone. The server ends once all handles, and all
/// services, are dropped.
///
/// ```
/// use std::time::Duration;
///
/// use roomcast_adapter::{Extent, Handle};
///
/// async fn close_the_kitchen(handle: Handle) {
///     // To a room, and to all of a namespace.
///     handle.of("/").to("kitchen").emit("closing", "in five minutes").await;
///     // Acks from all members, as far as they come in time.
///     if let Ok(acks) = handle.of("/").to("kitchen").emit_with_ack("all done?", (), Duration::from_secs(5)).await {
///         println!("{} of {} answered", acks.answers.len(), acks.asked);
///     }
///     handle.of("/").to("kitchen").disconnect(Extent::Namespace);
///     // Clients are closed in such a way that they come back, and have 10 s to take what is queued for them.
///     handle.shutdown(Duration::from_secs(10)).await;
/// }
/// ```
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.group.own();
        Self { shared }
    }

    /// The endpoint with this path.
    pub fn endpoint(&self, path: &str) -> Option<EndpointId> {
        self.shared.endpoints.endpoint(path)
    }

    /// What must be all zeros once all clients have left, all shards together; `None` if the server has ended.
    pub async fn audit(&self) -> Option<Audit> {
        let mut sum = Audit::default();
        for shard in self.shards() {
            sum += shard.look(|snapshot| snapshot.server.audit()).await?;
        }
        Some(sum)
    }

    /// The handles of the [shards](crate::Server::start_shards) of this server, in their order: what is asked of one of
    /// them about sessions, sockets and load is said of that shard alone. A server that was not started in shards has one.
    pub fn shards(&self) -> Vec<Self> {
        self.shared.group.alive().map(Self::new).collect()
    }

    /// Whether this is a handle of the same [shard](Self::shards).
    pub fn is_same_shard(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// How busy the task is that serves all connections of this shard.
    pub fn driver_load(&self) -> DriverLoad {
        self.shared.load.take()
    }

    /// Ends the server: accepts no connection any more and closes every transport in such a way that clients come back, to
    /// another process. Resolves when all clients are gone and their handlers have finished, those of disconnects included,
    /// or after `grace`, when those that are left are cut off; and when an application has written what it had to, for
    /// which it has up to 10 s more.
    pub async fn shutdown(&self, grace: Duration) {
        let end = |shard: Self| {
            let (sender, done) = oneshot::channel();
            shard.shared.send(Mail::Shutdown(grace, sender), 0);
            done
        };
        // All begin before one has ended.
        let ending: Vec<_> = self.shards().into_iter().map(end).collect();
        for done in ending {
            // Dropped with the driver, it has ended too.
            let _ = done.await;
        }
    }

    /// Resolves when the server begins to end.
    pub async fn stopped(&self) {
        Stopped::new(self.shared.clone()).await;
    }

    /// Completes after `span`, by a timer of the server's runtime.
    pub async fn sleep(&self, span: Duration) {
        (self.shared.sleep)(span).await;
    }

    /// What a question about the server between two of its inputs is answered; `None` if the server has ended.
    pub(crate) async fn look<T, F>(&self, look: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(Snapshot<'_>) -> T + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let query = move |snapshot: Snapshot<'_>| {
            // Dropped by a task that waits no longer.
            let _ = sender.send(look(snapshot));
        };
        self.shared.send(Mail::Query(Box::new(query)), 0);
        answer.await.ok()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.disown();
    }
}
