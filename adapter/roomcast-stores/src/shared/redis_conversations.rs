//! Conversations of encrypted channels in Redis, in the layout of Open WebUI 0.12.
//!
//! Owns: their keys, the lock of each, that nothing is stored without it, and the rations of users. Must never know: what is
//! in a conversation, or who is told of it.

use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{ConversationChange, StoreError, TalkCharge, TalkRation};
use roomcast_redis::redis::{Cmd, FromRedisValue, cmd};
use roomcast_redis::{RedisKeys, RedisLock};
use sha2::{Digest as _, Sha256};

use super::keys::{Keys, unavailable};

/// The conversations of all nodes and of Open WebUI's processes: `{prefix}:encryption:{SHA-256 of the channel's id}`, with
/// these inner braces.
#[derive(Clone, Debug)]
pub struct RedisConversations {
    redis: RedisKeys,
    keys: Keys,
}

impl RedisConversations {
    /// The conversations of an installation. `prefix` is Open WebUI's `REDIS_KEY_PREFIX`.
    pub fn new(redis: RedisKeys, prefix: &str) -> Self {
        Self { redis, keys: Keys::new(prefix) }
    }

    /// Counts a call; `false`: the user has no more.
    ///
    /// # Errors
    ///
    /// It may have been counted.
    pub async fn charge(&self, charge: &TalkCharge) -> Result<bool, StoreError> {
        let name = match charge.ration {
            TalkRation::Admission => "admission",
            TalkRation::Traffic => "traffic",
        };
        let (seconds, calls_max) = charge.ration.calls();
        let mut eval = cmd("EVAL");
        eval.arg(CHARGE).arg(1).arg(self.key(&format!("rate:{}:{name}", charge.user)));
        eval.arg(charge.bytes).arg(seconds).arg(calls_max).arg(charge.ration.bytes_max());
        self.ask::<i64>(eval).await.map(|allowed| allowed == 1)
    }

    /// Locks a channel's conversation; `None` if another has it.
    ///
    /// # Errors
    ///
    /// Unknown: the lock ends by itself.
    pub async fn lock(&self, channel: &str) -> Result<Option<RedisLock>, StoreError> {
        let key = format!("{}:lock", self.key(channel));
        RedisLock::take(&self.redis, &key, LOCK_SPAN).await.map_err(|fault| unavailable(&fault))
    }

    /// A channel's conversation as JSON, if there is one.
    ///
    /// # Errors
    ///
    /// Unknown.
    pub async fn read(&self, channel: &str) -> Result<Option<ByteString>, StoreError> {
        let mut get = cmd("GET");
        get.arg(self.key(channel));
        Ok(self.ask::<Option<String>>(get).await?.map(ByteString::from))
    }

    /// Stores what becomes of a channel's conversation, and gives the lock back.
    ///
    /// # Errors
    ///
    /// The lock has ended meanwhile, and nothing is stored; or Redis does not answer, and it may be.
    pub async fn end(&self, channel: &str, lock: RedisLock, change: ConversationChange) -> Result<(), StoreError> {
        let text = match change {
            ConversationChange::None => None,
            ConversationChange::Put(text) => Some(text),
            ConversationChange::Remove => Some(ByteString::new()),
        };
        let is_stored = match text {
            None => true,
            Some(text) => {
                let mut eval = cmd("EVAL");
                eval.arg(STORE).arg(2).arg(self.key(channel)).arg(lock.key());
                eval.arg(lock.token()).arg(&*text).arg(EXPIRY_SECS);
                self.ask::<i64>(eval).await? == 1
            }
        };
        // Should it have ended meanwhile, it is another's.
        lock.release().await.map_err(|fault| unavailable(&fault))?;
        is_stored.then_some(()).ok_or(StoreError::Unavailable)
    }

    /// The braces keep a conversation and its lock on one node of a Redis Cluster.
    fn key(&self, name: &str) -> String {
        let digest: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        self.keys.encryption(&digest)
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.redis.ask(command).await.map_err(|fault| unavailable(&fault))
    }
}

/// As in Open WebUI.
const LOCK_SPAN: Duration = Duration::from_secs(10);
const EXPIRY_SECS: u64 = 90;

const CHARGE: &str = r#"
local calls = redis.call('HINCRBY', KEYS[1], 'count', 1)
local bytes = redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[1])
if calls == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
if calls > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) then return 0 end
return 1
"#;

// One that was slow must not write over what a later owner has stored.
const STORE: &str = r#"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
return 1
"#;
