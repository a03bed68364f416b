//! The names of Open WebUI's keys in Redis, and of roomcast's own beside them.
//!
//! Owns: the layout. Must never know: who asks.

use std::borrow::Cow;

use bytestring::ByteString;
use roomcast_openwebui::query::StoreError;
use roomcast_redis::RedisFault;

/// Makes keys with the prefix of an installation (`REDIS_KEY_PREFIX`).
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// HASH: socket to user as JSON. It never ends by itself.
    pub(super) fn session_pool(&self) -> String {
        self.of("session_pool")
    }

    /// HASH: model to `{socket: {"updated_at": seconds}}`.
    pub(super) fn usage_pool(&self) -> String {
        self.of("usage_pool")
    }

    /// The lock of those who remove sessions. Open WebUI 0.12 has the same.
    pub(super) fn session_cleanup_lock(&self) -> String {
        self.of("session_cleanup_lock")
    }

    /// The lock of those who tell who is in a chat. As that of Open WebUI 0.12.
    pub(super) fn presence_lock(&self, chat: &str) -> String {
        self.of(&format!("chat:{chat}:presence:lock"))
    }

    /// The channel on which processes wait for lines of direct connections. As that of Open WebUI 0.12.
    pub(super) fn direct_completion(&self) -> String {
        self.of("direct_completion")
    }

    /// What is kept of an encrypted channel, by the SHA-256 of its name in hexadecimal digits. As those of Open WebUI 0.12.
    pub(super) fn encryption(&self, digest: &str) -> String {
        self.of(&format!("encryption:{{{digest}}}"))
    }

    /// The lock of those who remove what crashed nodes have left, where processes of Open WebUI hold the other one for good.
    pub(super) fn node_cleanup_lock(&self) -> String {
        self.of("roomcast:node_cleanup_lock")
    }

    /// STRING: there while a token is revoked.
    pub(super) fn token_revoked(&self, jti: &str) -> String {
        self.of(&format!("auth:token:{jti}:revoked"))
    }

    /// STRING: seconds up to which the tokens of a user are revoked, by when they were issued.
    pub(super) fn user_revoked_at(&self, user: &str) -> String {
        self.of(&format!("auth:user:{user}:revoked_at"))
    }

    /// STRING: the same for tokens that do not say when they were issued, by when they end; `never` for all of them.
    pub(super) fn user_revoked_to(&self, user: &str) -> String {
        self.of(&format!("roomcast:user:{user}:revoked_to"))
    }

    /// SET: the nodes that may have left something.
    pub(super) fn nodes(&self) -> String {
        self.of("roomcast:nodes")
    }

    /// STRING with an end: the lease of a node.
    pub(super) fn lease(&self, node: &str) -> String {
        self.of(&format!("roomcast:node:{node}:lease"))
    }

    /// SET: the sockets of a node in the session pool.
    pub(super) fn sessions_of(&self, node: &str) -> String {
        self.of(&format!("roomcast:node:{node}:sessions"))
    }

    /// What Open WebUI's own processes keep of documents begins so.
    pub(super) fn webui_documents(&self) -> String {
        self.of("ydoc:documents:")
    }

    /// SET: the tasks that save a document of Open WebUI's processes.
    pub(super) fn webui_tasks_of(&self, document: &str) -> String {
        self.of(&format!("tasks:item:{document}"))
    }

    /// STRING with an end, there while a task is alive: its name goes behind this.
    pub(super) fn webui_task(&self) -> String {
        self.of("tasks:")
    }

    /// The keys of one document. In a Redis Cluster they lie on one node, by what stands in braces. Nothing stands there
    /// in a name that begins with a closing one, and a name has no control characters.
    pub(super) fn document(&self, name: &str) -> DocumentKeys {
        let name = if name.starts_with('}') { Cow::Owned(format!("\u{1}{name}")) } else { Cow::Borrowed(name) };
        let of = |part: &str| ByteString::from(self.of(&format!("roomcast:document:{{{name}}}:{part}")));
        DocumentKeys { head: of("head"), log: of("log"), nodes: of("nodes"), claim: of("claim") }
    }

    fn of(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }
}

/// The keys of one document.
#[derive(Clone, Debug)]
pub(super) struct DocumentKeys {
    /// HASH: `form`, `snapshot`, `tag`, and `up_to`, the number of the last entry that the snapshot holds.
    pub(super) head: ByteString,
    /// LIST: the entries behind that.
    pub(super) log: ByteString,
    /// ZSET: the nodes that have the document in memory, and until when that counts in milliseconds.
    pub(super) nodes: ByteString,
    /// STRING with an end: the node that may write the first content.
    pub(super) claim: ByteString,
}

/// The store's error for a fault of Redis, which is logged where the connection is made.
pub(super) fn unavailable(fault: &RedisFault) -> StoreError {
    tracing::debug!(%fault, "shared state");
    StoreError::Unavailable
}
