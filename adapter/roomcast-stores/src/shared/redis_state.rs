//! Shared state in Redis, in the layout of Open WebUI.
//!
//! Owns: sessions, leases and their removal. Must never know: a socket, who is asked for what.

use std::time::Duration;

use bytestring::ByteString;
use roomcast_redis::redis::{Cmd, FromRedisValue, cmd};
use roomcast_redis::{RedisKeys, RedisLock};

use super::keys::{Keys, unavailable};
use super::redis_pool::{PoolChange, RedisSessionPool, reaped};
use super::{Lease, ReapedSession, SharedReply, SharedState, StoreError, usage};

/// [`SharedState`] where Open WebUI's processes look for it: `{prefix}:session_pool` and `{prefix}:usage_pool`. Which of
/// the sockets there are this node's is kept beside them, below `{prefix}:roomcast:`, so that nothing ever has to be
/// searched for.
#[derive(Clone, Debug)]
pub struct RedisState {
    redis: RedisKeys,
    keys: Keys,
    node: String,
    lease: Duration,
    /// Writes the entries, where they hold more than their users.
    pool: Option<RedisSessionPool>,
}

impl RedisState {
    /// The state as this node keeps it. `node` must differ among all nodes and from those of earlier processes. `prefix`
    /// is Open WebUI's `REDIS_KEY_PREFIX`. A node whose lease was not renewed for the span of `lease` counts as crashed.
    pub fn new(redis: RedisKeys, prefix: &str, node: &str, lease: Duration) -> Self {
        Self { redis, keys: Keys::new(prefix), node: node.to_owned(), lease, pool: None }
    }

    /// The same with entries as Open WebUI 0.12 has them.
    #[must_use]
    pub fn with_pool(self, pool: RedisSessionPool) -> Self {
        Self { pool: Some(pool), ..self }
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.redis.ask(command).await.map_err(|fault| unavailable(&fault))
    }

    async fn remove(&self, node: &str, sids: &[&str]) -> Result<(), StoreError> {
        if sids.is_empty() {
            return Ok(());
        }
        // The index last: a crash in between leaves what is found again.
        self.ask::<i64>(command("HDEL", &self.keys.session_pool()).arg(sids).take()).await?;
        self.ask::<i64>(usage::forget(&self.keys.usage_pool(), sids)).await?;
        self.ask::<i64>(command("SREM", &self.keys.sessions_of(node)).arg(sids).take()).await?;
        Ok(())
    }

    async fn is_alive(&self, node: &str) -> Result<bool, StoreError> {
        self.ask(command("EXISTS", &self.keys.lease(node))).await
    }

    /// Removes all sockets of a node, some at a time; which those were.
    async fn remove_node(&self, node: &str) -> Result<Vec<ReapedSession>, StoreError> {
        let index = self.keys.sessions_of(node);
        let mut removed = Vec::new();
        loop {
            if node != self.node && self.is_alive(node).await? {
                // It was silent and not dead: what it stores from now on is its own again.
                return Ok(removed);
            }
            let sids: Vec<String> = self.ask(command("SRANDMEMBER", &index).arg(SIDS_AT_ONCE).take()).await?;
            if sids.is_empty() {
                break;
            }
            let users = self.sessions(sids.iter().map(|sid| sid.as_str().into()).collect()).await?;
            self.remove(node, &sids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            removed.extend(sids.into_iter().zip(users).map(|(sid, user)| reaped(&sid, user.as_deref())));
        }
        self.ask::<i64>(command("SREM", &self.keys.nodes()).arg(node).take()).await?;
        Ok(removed)
    }
}

impl SharedState for RedisState {
    fn put_sessions(&self, sessions: Vec<(ByteString, ByteString)>, now_secs: u64) -> SharedReply<'_, ()> {
        Box::pin(async move {
            if sessions.is_empty() {
                return Ok(());
            }
            let (mut index, mut pool) =
                (command("SADD", &self.keys.sessions_of(&self.node)), command("HSET", &self.keys.session_pool()));
            for (sid, user) in &sessions {
                index.arg(&**sid);
                pool.arg(&**sid).arg(&**user);
            }
            // The index first: what is in the pool can be found.
            self.ask::<i64>(index).await?;
            match &self.pool {
                Some(pool) => {
                    let put = sessions.into_iter().map(|(sid, user)| (sid, user, PoolChange::Put));
                    pool.change(&put.collect::<Vec<_>>(), now_secs).await
                }
                None => self.ask::<i64>(pool).await.map(drop),
            }
        })
    }

    fn remove_sessions(&self, sids: Vec<ByteString>) -> SharedReply<'_, ()> {
        Box::pin(async move { self.remove(&self.node, &sids.iter().map(|sid| &**sid).collect::<Vec<_>>()).await })
    }

    fn sessions(&self, sids: Vec<ByteString>) -> SharedReply<'_, Vec<Option<ByteString>>> {
        Box::pin(async move {
            if sids.is_empty() {
                return Ok(Vec::new());
            }
            let mut read = command("HMGET", &self.keys.session_pool());
            for sid in &sids {
                read.arg(&**sid);
            }
            let users: Vec<Option<String>> = self.ask(read).await?;
            Ok(users.into_iter().map(|user| user.map(ByteString::from)).collect())
        })
    }

    fn use_model(&self, model: ByteString, sid: ByteString, now_secs: u64) -> SharedReply<'_, ()> {
        Box::pin(async move {
            self.ask::<i64>(usage::touch(&self.keys.usage_pool(), &model, &sid, now_secs)).await?;
            Ok(())
        })
    }

    fn models_in_use(&self, since_secs: u64) -> SharedReply<'_, Vec<ByteString>> {
        Box::pin(async move {
            let models: Vec<String> = self.ask(usage::sweep(&self.keys.usage_pool(), since_secs)).await?;
            Ok(models.into_iter().map(ByteString::from).collect())
        })
    }

    fn renew_lease(&self, sessions: usize) -> SharedReply<'_, Lease> {
        Box::pin(async move {
            // Known before there is a lease: a crash in between leaves a name and nothing else.
            self.ask::<i64>(command("SADD", &self.keys.nodes()).arg(&self.node).take()).await?;
            let millis = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX).max(1);
            let mut set = command("SET", &self.keys.lease(&self.node));
            let before: Option<String> = self.ask(set.arg("1").arg("PX").arg(millis).arg("GET").take()).await?;
            // What another removes after the lease has ended, it may go on removing while the node is back.
            let stored: usize = self.ask(command("SCARD", &self.keys.sessions_of(&self.node))).await?;
            Ok(if before.is_some() && stored == sessions { Lease::Kept } else { Lease::Lost })
        })
    }

    fn reap(&self) -> SharedReply<'_, Vec<ReapedSession>> {
        Box::pin(async move {
            let key = match &self.pool {
                Some(_) => self.keys.node_cleanup_lock(),
                None => self.keys.session_cleanup_lock(),
            };
            let lock = RedisLock::take(&self.redis, &key, LOCK_SPAN).await.map_err(|fault| unavailable(&fault))?;
            let Some(lock) = lock else { return Ok(Vec::new()) };
            let nodes: Vec<String> = self.ask(command("SMEMBERS", &self.keys.nodes())).await?;
            let mut removed = Vec::new();
            for node in nodes {
                if node == self.node || self.is_alive(&node).await? {
                    continue;
                }
                if !lock.renew().await.map_err(|fault| unavailable(&fault))? {
                    return Ok(removed);
                }
                removed.extend(self.remove_node(&node).await?);
            }
            // Should it have ended meanwhile: what was removed belonged to no login.
            lock.release().await.map_err(|fault| unavailable(&fault))?;
            Ok(removed)
        })
    }

    fn leave(&self) -> SharedReply<'_, ()> {
        Box::pin(async move {
            self.remove_node(&self.node).await?;
            self.ask::<i64>(command("DEL", &self.keys.lease(&self.node))).await?;
            Ok(())
        })
    }
}

fn command(name: &str, key: &str) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

/// Sockets of a crashed node that are removed in one step.
const SIDS_AT_ONCE: usize = 500;
/// As Open WebUI's.
const LOCK_SPAN: Duration = Duration::from_secs(60);
