//! State that the nodes of a fleet share with each other and with Open WebUI's own processes.
//!
//! Owns: the seam [`SharedState`]. Must never know: Redis, a socket.

mod abandoned;
mod keys;
mod memory_conversations;
mod memory_state;
mod redis_conversations;
mod redis_documents;
mod redis_pool;
mod redis_revocations;
mod redis_state;
mod usage;

use std::future::Future;
use std::pin::Pin;

use bytestring::ByteString;
use roomcast_openwebui::query::{ReapedSession, StoreError};

pub use self::abandoned::AbandonedDocuments;
pub use self::memory_conversations::MemoryConversations;
pub use self::memory_state::MemoryState;
pub use self::redis_conversations::RedisConversations;
pub use self::redis_documents::RedisDocuments;
pub use self::redis_pool::{PoolChange, RedisSessionPool};
pub use self::redis_revocations::RedisRevocations;
pub use self::redis_state::RedisState;

/// A reply of [`SharedState`], in time.
pub type SharedReply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps what all nodes may ask of each: logins, and which models are in use. Every entry belongs to the node that made
/// it and lasts as long as that node's lease: what a crashed node leaves behind, another removes.
///
/// All of it fails with [`StoreError::Unavailable`] while the state cannot be reached, and is then to be done again: once
/// [`renew_lease`](Self::renew_lease) says [`Lease::Lost`], everything that the node has.
pub trait SharedState: Send + Sync + 'static {
    /// Stores who is logged in on sockets: each with its user as a JSON object. `now_secs`: since the epoch.
    ///
    /// # Errors
    ///
    /// They may be stored or not.
    fn put_sessions(&self, sessions: Vec<(ByteString, ByteString)>, now_secs: u64) -> SharedReply<'_, ()>;

    /// Removes sockets, and their entries among the models in use.
    ///
    /// # Errors
    ///
    /// They may be there still.
    fn remove_sessions(&self, sids: Vec<ByteString>) -> SharedReply<'_, ()>;

    /// Who is logged in on these sockets of any nodes, in their order.
    ///
    /// # Errors
    ///
    /// Unknown.
    fn sessions(&self, sids: Vec<ByteString>) -> SharedReply<'_, Vec<Option<ByteString>>>;

    /// A socket uses a model now, in seconds since the epoch.
    ///
    /// # Errors
    ///
    /// It may be stored or not.
    fn use_model(&self, model: ByteString, sid: ByteString, now_secs: u64) -> SharedReply<'_, ()>;

    /// The models that some socket has used since `since_secs`, in order of their ids. Older entries are removed.
    ///
    /// # Errors
    ///
    /// Unknown.
    fn models_in_use(&self, since_secs: u64) -> SharedReply<'_, Vec<ByteString>>;

    /// Says that this node is alive, which must be done several times within a lease. `sessions`: how many sockets it has
    /// stored, by which it is seen that some were removed.
    ///
    /// # Errors
    ///
    /// The lease may end.
    fn renew_lease(&self, sessions: usize) -> SharedReply<'_, Lease>;

    /// Removes what nodes without a lease have left, unless another node is at it; which sockets those were.
    ///
    /// # Errors
    ///
    /// Some may be left, for the next time.
    fn reap(&self) -> SharedReply<'_, Vec<ReapedSession>>;

    /// Removes everything of this node, at its end.
    ///
    /// # Errors
    ///
    /// Another node removes it when the lease has ended.
    fn leave(&self) -> SharedReply<'_, ()>;
}

/// How a node's lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It was there and goes on.
    Kept,
    /// It had ended, there was none yet, or something is missing: others may have removed what this node had stored.
    Lost,
}
