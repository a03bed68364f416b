//! Documents that processes of Open WebUI have left in Redis.
//!
//! Owns: which of them belong to no session any more, and their removal. Must never know: what is in a document.
//!
//! With roomcast in front, those processes hold no document, and nothing reads what a crash has left of one. But should
//! they serve documents again, one that is there would stand in for its note, however old it is.

use std::collections::BTreeSet;

use roomcast_openwebui::query::StoreError;
use roomcast_redis::RedisKeys;
use roomcast_redis::redis::{Cmd, FromRedisValue, cmd};

use super::keys::{Keys, unavailable};

/// Documents of Open WebUI 0.12 in Redis, of which those are removed that no session is in.
#[derive(Clone, Debug)]
pub struct AbandonedDocuments {
    redis: RedisKeys,
    keys: Keys,
}

impl AbandonedDocuments {
    /// Those with `prefix`, Open WebUI's `REDIS_KEY_PREFIX`.
    pub fn new(redis: RedisKeys, prefix: &str) -> Self {
        Self { redis, keys: Keys::new(prefix) }
    }

    /// Removes documents of which no session is in the pool and no task saves one, and from the others the sessions that
    /// are gone. Looks at all keys of Redis once. Returns how many documents it removed.
    ///
    /// # Errors
    ///
    /// Redis does not answer, or is a cluster. What was removed until then stays so.
    pub async fn remove(&self) -> Result<usize, StoreError> {
        let all = self.keys.webui_documents();
        let (mut documents, mut cursor) = (BTreeSet::new(), 0u64);
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{}*", literal(&all))).arg("COUNT").arg(SCANNED_AT_ONCE);
            let (next, found): (u64, Vec<String>) = self.ask(scan).await?;
            for key in found.iter().filter_map(|key| key.strip_prefix(&all)) {
                match key.strip_prefix(SESSION).and_then(|key| key.strip_suffix(DOCUMENTS)) {
                    Some(sid) => self.remove_session(sid).await?,
                    None => documents.extend(PARTS.iter().find_map(|part| key.strip_suffix(part)).map(str::to_owned)),
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let mut removed = 0;
        for document in documents {
            removed += self.remove_document(&document).await?;
        }
        Ok(removed)
    }

    async fn remove_document(&self, document: &str) -> Result<usize, StoreError> {
        let all = self.keys.webui_documents();
        let mut script = cmd("EVAL");
        script.arg(REMOVE_DOCUMENT).arg(5);
        for part in PARTS {
            script.arg(format!("{all}{document}{part}"));
        }
        script.arg(self.keys.session_pool()).arg(self.keys.webui_tasks_of(document)).arg(self.keys.webui_task());
        self.ask(script).await
    }

    async fn remove_session(&self, sid: &str) -> Result<(), StoreError> {
        let key = format!("{}{SESSION}{sid}{DOCUMENTS}", self.keys.webui_documents());
        let mut script = cmd("EVAL");
        script.arg(REMOVE_SESSION).arg(2).arg(key).arg(self.keys.session_pool()).arg(sid);
        self.ask::<usize>(script).await?;
        Ok(())
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.redis.ask(command).await.map_err(|fault| unavailable(&fault))
    }
}

/// A text as a pattern that it alone matches.
fn literal(text: &str) -> String {
    text.chars()
        .flat_map(|char| matches!(char, '*' | '?' | '[' | ']' | '\\').then_some('\\').into_iter().chain([char]))
        .collect()
}

/// Keys that are looked at in one step.
const SCANNED_AT_ONCE: usize = 1000;
const SESSION: &str = "session:";
const DOCUMENTS: &str = ":documents";
/// The log, the sessions, and the size of a document.
const PARTS: [&str; 3] = [":updates", ":users", ":size"];

/// In one step, as a process may let a session in at any time.
const REMOVE_DOCUMENT: &str = "
local is_used = 0
for _, sid in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    if redis.call('HEXISTS', KEYS[4], sid) == 1 then
        is_used = 1
    else
        redis.call('SREM', KEYS[2], sid)
    end
end
for _, task in ipairs(redis.call('SMEMBERS', KEYS[5])) do
    if redis.call('EXISTS', ARGV[1] .. task) == 1 then
        is_used = 1
    end
end
if is_used == 1 then
    return 0
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return 1
";
const REMOVE_SESSION: &str = "
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then
    return 0
end
return redis.call('DEL', KEYS[1])
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(literal("open-webui:[a]*?\\"), "open-webui:\\[a\\]\\*\\?\\\\");
    }
}
