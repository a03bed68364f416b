//! The session pool as Open WebUI 0.12 keeps it, which its processes read and write as well.
//!
//! Owns: `last_seen_at` and `chat_ids` of its entries, who is in a chat, which sessions are left behind, and the channel of
//! direct connections. Must never know: a socket, who is asked for what.
//!
//! An entry is changed by scripts, which read it first: what others have written of its chats stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{ChatUser, ReapedSession, StoreError};
use roomcast_redis::redis::{Cmd, FromRedisValue, cmd};
use roomcast_redis::{RedisKeys, RedisLock};
use serde::Deserialize;

use super::keys::{Keys, unavailable};

/// The sessions of all nodes and of Open WebUI's processes: `{prefix}:session_pool`.
#[derive(Clone, Debug)]
pub struct RedisSessionPool {
    redis: RedisKeys,
    keys: Keys,
}

/// What becomes of a session's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolChange {
    /// Its user has logged in, or has changed.
    Put,
    /// Its front end says that it is there. An entry that is gone comes back.
    Seen,
    /// It is in this chat now.
    Enter(ByteString),
    /// It is in this chat no more.
    Leave(ByteString),
}

impl RedisSessionPool {
    /// The pool of an installation. `prefix` is Open WebUI's `REDIS_KEY_PREFIX`.
    pub fn new(redis: RedisKeys, prefix: &str) -> Self {
        Self { redis, keys: Keys::new(prefix) }
    }

    /// Changes entries in this order, in one step: of a socket, with its user as a JSON object, at this time in seconds
    /// since the epoch.
    ///
    /// # Errors
    ///
    /// They may be changed or not.
    pub async fn change(
        &self,
        changes: &[(ByteString, ByteString, PoolChange)],
        now_secs: u64,
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut eval = cmd("EVAL");
        eval.arg(CHANGE).arg(1).arg(self.keys.session_pool()).arg(now_secs);
        for (sid, user, change) in changes {
            let (way, chat) = match change {
                PoolChange::Put => ("put", ""),
                PoolChange::Seen => ("seen", ""),
                PoolChange::Enter(chat) => ("enter", &**chat),
                PoolChange::Leave(chat) => ("leave", &**chat),
            };
            eval.arg(&**sid).arg(&**user).arg(way).arg(chat);
        }
        self.ask::<i64>(eval).await.map(drop)
    }

    /// Takes the lock under which it is told who is in a chat; `None` if another has it.
    ///
    /// # Errors
    ///
    /// Unknown: the lock ends by itself.
    pub async fn lock_presence(&self, chat: &str) -> Result<Option<RedisLock>, StoreError> {
        let key = self.keys.presence_lock(chat);
        RedisLock::take(&self.redis, &key, LOCK_SPAN).await.map_err(|fault| unavailable(&fault))
    }

    /// The users in each of these chats, by sessions that were seen since then, in order of their ids.
    ///
    /// # Errors
    ///
    /// Unknown.
    pub async fn present(
        &self,
        chats: &BTreeSet<ByteString>,
        since_secs: u64,
    ) -> Result<BTreeMap<ByteString, Vec<ChatUser>>, StoreError> {
        let mut people: BTreeMap<ByteString, BTreeMap<String, String>> =
            chats.iter().map(|chat| (chat.clone(), BTreeMap::new())).collect();
        let mut cursor = FIRST.to_owned();
        loop {
            let (next, batch) = self.batch(&cursor).await?;
            for (_, entry) in batch.iter().filter(|(_, entry)| may_be_in_a_chat(entry)) {
                let Ok(entry) = serde_json::from_str::<PoolEntry>(entry) else { continue };
                if entry.last_seen_at < since_secs {
                    continue;
                }
                for chat in &entry.chat_ids {
                    if let Some(people) = people.get_mut(chat.as_str()) {
                        people.insert(entry.id.clone(), entry.name.clone());
                    }
                }
            }
            if next == FIRST {
                break;
            }
            cursor = next;
        }
        let user = |(id, name): (String, String)| ChatUser { id: id.into(), name: name.into() };
        Ok(people.into_iter().map(|(chat, people)| (chat, people.into_iter().map(user).collect())).collect())
    }

    /// Removes the sessions that were last seen before that time, unless another is at it.
    ///
    /// # Errors
    ///
    /// Some may be left, for the next time.
    pub async fn reap(&self, since_secs: u64) -> Result<Vec<ReapedSession>, StoreError> {
        let key = self.keys.session_cleanup_lock();
        let lock = RedisLock::take(&self.redis, &key, LOCK_SPAN).await.map_err(|fault| unavailable(&fault))?;
        let Some(lock) = lock else { return Ok(Vec::new()) };
        let reaped = self.reap_locked(since_secs, &lock).await;
        // Should it have ended meanwhile: what was removed had not been seen.
        lock.release().await.map_err(|fault| unavailable(&fault))?;
        reaped
    }

    /// Gives the processes a line of a direct connection each: the event's name and its first argument, as JSON. In this
    /// order.
    ///
    /// # Errors
    ///
    /// They may have some of them or not.
    pub async fn publish_lines(&self, lines: &[(ByteString, ByteString)]) -> Result<(), StoreError> {
        let mut eval = cmd("EVAL");
        eval.arg(PUBLISH).arg(0).arg(self.keys.direct_completion());
        for (event, data) in lines {
            let event = serde_json::to_string(&**event).map_err(|_| StoreError::Corrupt)?;
            eval.arg(format!(r#"{{"channel":{event},"data":{data}}}"#));
        }
        self.ask::<i64>(eval).await.map(drop)
    }

    async fn reap_locked(&self, since_secs: u64, lock: &RedisLock) -> Result<Vec<ReapedSession>, StoreError> {
        let (mut reaped, mut cursor) = (Vec::new(), FIRST.to_owned());
        loop {
            let (next, batch) = self.batch(&cursor).await?;
            let old: Vec<_> = batch
                .iter()
                .filter_map(|(sid, entry)| Some((sid, serde_json::from_str::<PoolEntry>(entry).ok()?)))
                .filter(|(_, entry)| entry.last_seen_at < since_secs)
                .collect();
            if !old.is_empty() {
                if !lock.renew().await.map_err(|fault| unavailable(&fault))? {
                    return Ok(reaped);
                }
                let mut delete = cmd("HDEL");
                delete.arg(self.keys.session_pool()).arg(old.iter().map(|(sid, _)| sid.as_str()).collect::<Vec<_>>());
                self.ask::<i64>(delete).await?;
                reaped.extend(old.into_iter().map(|(sid, entry)| entry.reaped(sid)));
            }
            if next == FIRST {
                return Ok(reaped);
            }
            cursor = next;
        }
    }

    /// Some entries, and where to go on.
    async fn batch(&self, cursor: &str) -> Result<(String, Vec<(String, String)>), StoreError> {
        let mut scan = cmd("HSCAN");
        scan.arg(self.keys.session_pool()).arg(cursor).arg("COUNT").arg(BATCH);
        self.ask(scan).await
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.redis.ask(command).await.map_err(|fault| unavailable(&fault))
    }
}

/// What is read of an entry.
#[derive(Default, Deserialize)]
struct PoolEntry {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    last_seen_at: u64,
    #[serde(default)]
    chat_ids: Vec<String>,
}

impl PoolEntry {
    fn reaped(self, sid: &str) -> ReapedSession {
        ReapedSession { sid: sid.into(), chats: self.chat_ids.into_iter().map(ByteString::from).collect() }
    }
}

/// A session that was removed, with its entry as it was, if there was one.
pub(super) fn reaped(sid: &str, entry: Option<&str>) -> ReapedSession {
    let entry = entry.and_then(|entry| serde_json::from_str::<PoolEntry>(entry).ok());
    entry.unwrap_or_default().reaped(sid)
}

/// Most are in none, and are not parsed.
fn may_be_in_a_chat(entry: &str) -> bool {
    entry.split_once("\"chat_ids\"").is_some_and(|(_, rest)| {
        let list = rest.trim_start_matches([':', ' ']).strip_prefix('[');
        list.is_none_or(|list| !list.trim_start().starts_with(']'))
    })
}

/// As Open WebUI's locks.
const LOCK_SPAN: Duration = Duration::from_secs(60);
/// Entries of one answer, as in Open WebUI.
const BATCH: usize = 200;
/// Where a scan begins, and what says that it has ended.
const FIRST: &str = "0";

// The user comes as it is: read and written by Lua, empty lists would become objects. `%d` because Lua writes large numbers
// as floats.
const CHANGE: &str = r#"
local function known(text)
  local ok, entry = pcall(cjson.decode, text)
  if not ok or type(entry) ~= 'table' then return nil, nil end
  local chats = entry.chat_ids
  if type(chats) ~= 'table' then chats = nil end
  return chats, tonumber(entry.last_seen_at)
end
for i = 2, #ARGV, 4 do
  local sid, user, way, chat = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local old = redis.call('HGET', KEYS[1], sid)
  local chats, seen = nil, nil
  if old then chats, seen = known(old) end
  if way == 'enter' or way == 'leave' then
    local kept = {}
    for _, id in ipairs(chats or {}) do
      if id ~= chat then kept[#kept + 1] = id end
    end
    if way == 'enter' then kept[#kept + 1] = chat end
    chats = kept
    seen = seen or tonumber(ARGV[1])
  else
    seen = tonumber(ARGV[1])
    if way == 'seen' then chats = chats or {} end
  end
  if old or way ~= 'leave' then
    local parts = {}
    local fields = string.match(user, '^%s*{(.*)}%s*$') or ''
    if string.find(fields, '%S') then parts[1] = fields end
    parts[#parts + 1] = '"last_seen_at":' .. string.format('%d', seen)
    if chats then
      parts[#parts + 1] = '"chat_ids":' .. (#chats == 0 and '[]' or cjson.encode(chats))
    end
    redis.call('HSET', KEYS[1], sid, '{' .. table.concat(parts, ',') .. '}')
  end
end
return 1
"#;

const PUBLISH: &str = r#"
for i = 2, #ARGV do redis.call('PUBLISH', ARGV[1], ARGV[i]) end
return 1
"#;
