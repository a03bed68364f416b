//! Documents that several nodes share, in Redis.
//!
//! Owns: their form in Redis, and what is decided there between nodes. Must never know: what is in an update.
//!
//! Each document has a snapshot with the number up to which it holds the log, and the list of the entries behind it. Each
//! question is one script, which Redis runs at once: an append is refused unless it goes on where the log ends.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_documents::{
    Claimed, DocumentAnswer, DocumentQuestion, DocumentStore, DocumentStoreError, Holding, StoredDocument,
};
use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};
use roomcast_redis::redis::{Cmd, FromRedisValue, cmd};
use roomcast_redis::{RedisFault, RedisKeys};

use super::keys::{DocumentKeys, Keys};
use crate::document_form::{as_document_question, is_of_document};

/// A [`DocumentStore`] for several programs: documents in Redis, below `{prefix}:roomcast:document:`. They live as long as
/// Redis keeps them, which its persistence decides; a node that has a document in memory stores it again.
#[derive(Clone, Debug)]
pub struct RedisDocuments {
    redis: RedisKeys,
    keys: Keys,
    node: String,
}

impl RedisDocuments {
    /// The documents of an installation, as this node sees them. `node` must differ among all nodes and from those of
    /// earlier processes. `prefix` is Open WebUI's `REDIS_KEY_PREFIX`.
    pub fn new(redis: RedisKeys, prefix: &str, node: &str) -> Self {
        Self { redis, keys: Keys::new(prefix), node: node.to_owned() }
    }

    /// Whether a question of the application is one about documents.
    pub const fn answers(question: &Question) -> bool {
        is_of_document(question)
    }

    /// Answers a question of the application about a document.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. A question about anything else has no answer here.
    pub async fn answer(&self, question: Question) -> Result<StoreAnswer, StoreError> {
        let (question, form) = as_document_question(question).ok_or(StoreError::Unavailable)?;
        self.ask(question).await.map(|answer| form.of(answer)).map_err(told)
    }

    async fn run<T: FromRedisValue>(&self, script: Cmd) -> Result<T, DocumentStoreError> {
        self.redis.ask(script).await.map_err(|fault| refused(&fault))
    }

    async fn load(
        &self,
        document: &str,
        after_sequence: u64,
        presence: Holding,
    ) -> Result<DocumentAnswer, DocumentStoreError> {
        let DocumentKeys { head, log, nodes, .. } = self.keys.document(document);
        let is_told = match presence {
            Holding::Told => 1,
            Holding::Untold => 0,
        };
        let mut script = script(LOAD, &[&head, &log, &nodes]);
        script.arg(after_sequence).arg(&self.node).arg(is_told).arg(millis(PRESENCE_SPAN));
        type Found = (u64, u8, Option<Vec<u8>>, Option<Vec<u8>>, Vec<Vec<u8>>);
        let (last_sequence, is_held, snapshot, tag, updates): Found = self.run(script).await?;
        Ok(DocumentAnswer::Loaded(StoredDocument {
            snapshot: snapshot.map(Bytes::from),
            tag: tag.map(Bytes::from),
            updates: updates.into_iter().map(Bytes::from).collect(),
            last_sequence,
            is_held: is_held == 1,
        }))
    }

    async fn append(
        &self,
        document: &str,
        first_sequence: u64,
        updates: &[Bytes],
    ) -> Result<DocumentAnswer, DocumentStoreError> {
        let DocumentKeys { head, log, .. } = self.keys.document(document);
        let mut script = script(APPEND, &[&head, &log]);
        script.arg(first_sequence);
        for update in updates {
            script.arg(&update[..]);
        }
        match self.run::<u8>(script).await? {
            1 => Ok(DocumentAnswer::Done),
            _ => Err(DocumentStoreError::Conflict),
        }
    }

    async fn snapshot(
        &self,
        document: &str,
        snapshot: &[u8],
        tag: Option<&[u8]>,
        up_to_sequence: u64,
    ) -> Result<DocumentAnswer, DocumentStoreError> {
        let DocumentKeys { head, log, .. } = self.keys.document(document);
        let mut script = script(SNAPSHOT, &[&head, &log]);
        script.arg(up_to_sequence).arg(snapshot);
        if let Some(tag) = tag {
            script.arg(tag);
        }
        self.run::<u8>(script).await.map(|_| DocumentAnswer::Done)
    }

    async fn claim(
        &self,
        document: &str,
        after_sequence: u64,
        span: Duration,
    ) -> Result<DocumentAnswer, DocumentStoreError> {
        let DocumentKeys { head, log, claim, .. } = self.keys.document(document);
        let mut script = script(CLAIM, &[&head, &log, &claim]);
        script.arg(after_sequence).arg(&self.node).arg(millis(span));
        match self.run::<i8>(script).await? {
            1 => Ok(DocumentAnswer::Claimed(Claimed::Granted)),
            0 => Ok(DocumentAnswer::Claimed(Claimed::Taken)),
            _ => Err(DocumentStoreError::Conflict),
        }
    }

    async fn release(&self, document: &str) -> Result<DocumentAnswer, DocumentStoreError> {
        let DocumentKeys { nodes, claim, .. } = self.keys.document(document);
        let mut script = cmd("EVAL");
        script.arg(RELEASE).arg(2).arg(&*nodes).arg(&*claim).arg(&self.node);
        self.run::<u8>(script).await.map(|_| DocumentAnswer::Done)
    }
}

impl DocumentStore for RedisDocuments {
    fn ask(
        &self,
        question: DocumentQuestion,
    ) -> Pin<Box<dyn Future<Output = Result<DocumentAnswer, DocumentStoreError>> + Send + '_>> {
        Box::pin(async move {
            match question {
                DocumentQuestion::Load { document } => self.load(&document, 0, Holding::Untold).await,
                DocumentQuestion::Since { document, after_sequence, presence } => {
                    self.load(&document, after_sequence, presence).await
                }
                DocumentQuestion::Append { document, first_sequence, updates } => {
                    self.append(&document, first_sequence, &updates).await
                }
                DocumentQuestion::Snapshot { document, snapshot, tag, up_to_sequence } => {
                    self.snapshot(&document, &snapshot, tag.as_deref(), up_to_sequence).await
                }
                DocumentQuestion::Claim { document, after_sequence, span } => {
                    self.claim(&document, after_sequence, span).await
                }
                DocumentQuestion::Release { document } => self.release(&document).await,
            }
        })
    }
}

/// `text` begins with what refuses a document of another form, whose head is the first key.
fn script(text: &str, keys: &[&ByteString]) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(format!("{IN_FORM}{text}")).arg(keys.len());
    for key in keys {
        eval.arg(&***key);
    }
    eval
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn unavailable(fault: &RedisFault) -> DocumentStoreError {
    tracing::debug!(%fault, "documents in Redis");
    DocumentStoreError::Unavailable
}

/// A document of another form is left alone: what this program would make of it may be wrong.
fn refused(fault: &RedisFault) -> DocumentStoreError {
    if let RedisFault::Other(why) = fault
        && why.contains(OTHER_FORM)
    {
        tracing::warn!(%why, known = FORM, "a document in Redis has the form of another version of roomcast, and is not touched");
        return DocumentStoreError::Corrupt;
    }
    unavailable(fault)
}

const fn told(error: DocumentStoreError) -> StoreError {
    match error {
        DocumentStoreError::Conflict => StoreError::Conflict,
        DocumentStoreError::Corrupt => StoreError::Corrupt,
        DocumentStoreError::Unavailable | _ => StoreError::Unavailable,
    }
}

/// How long a node counts as having a document in memory after it has said so: six times as long as it says nothing.
const PRESENCE_SPAN: Duration = Duration::from_secs(30);

/// The form of documents that this version writes and reads, as `form` of their heads. Earlier versions wrote none: it is the
/// same.
const FORM: &str = "1";

/// What Redis answers of a document that has another form.
const OTHER_FORM: &str = "ROOMCASTFORM";

const IN_FORM: &str = r"
local form = redis.call('HGET', KEYS[1], 'form')
if form and form ~= '1' then return redis.error_reply('ROOMCASTFORM ' .. form) end
";

/// What is behind `ARGV[1]`, with the snapshot if that has cut the log there.
const LOAD: &str = r"
local up_to = tonumber(redis.call('HGET', KEYS[1], 'up_to') or '0')
local last, after = up_to + redis.call('LLEN', KEYS[2]), tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[4]), ARGV[2])
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
local held = 0
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], now, '+inf')) do
  if node ~= ARGV[2] then held = 1 end
end
if after >= up_to then
  return {last, held, false, false, redis.call('LRANGE', KEYS[2], after - up_to, -1)}
end
local head = redis.call('HMGET', KEYS[1], 'snapshot', 'tag')
return {last, held, head[1], head[2], redis.call('LRANGE', KEYS[2], 0, -1)}
";

/// Appends all, or finds all there as it was asked before. 0: other entries are there.
const APPEND: &str = r"
local up_to = tonumber(redis.call('HGET', KEYS[1], 'up_to') or '0')
local last, first, count = up_to + redis.call('LLEN', KEYS[2]), tonumber(ARGV[1]), #ARGV - 1
if first <= up_to or first > last + 1 then return 0 end
if first == last + 1 then
  if last == 0 then redis.call('HSET', KEYS[1], 'form', '1') end
  for i = 1, count do redis.call('RPUSH', KEYS[2], ARGV[i + 1]) end
  return 1
end
if first + count > last + 1 then return 0 end
for i = 1, count do
  if redis.call('LINDEX', KEYS[2], first - up_to + i - 2) ~= ARGV[i + 1] then return 0 end
end
return 1
";

/// A snapshot beyond the end of the log says that the log has lost entries, and goes on from there.
const SNAPSHOT: &str = r"
local up_to, after = tonumber(redis.call('HGET', KEYS[1], 'up_to') or '0'), tonumber(ARGV[1])
if after < up_to then return 0 end
redis.call('LTRIM', KEYS[2], after - up_to, -1)
redis.call('HSET', KEYS[1], 'up_to', ARGV[1], 'snapshot', ARGV[2], 'form', '1')
if ARGV[3] then redis.call('HSET', KEYS[1], 'tag', ARGV[3]) else redis.call('HDEL', KEYS[1], 'tag') end
return 1
";

/// -1: the log has more than the node knows.
const CLAIM: &str = r"
local up_to = tonumber(redis.call('HGET', KEYS[1], 'up_to') or '0')
if up_to + redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[1]) then return -1 end
local owner = redis.call('GET', KEYS[3])
if owner and owner ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
return 1
";

const RELEASE: &str = r"
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
";
