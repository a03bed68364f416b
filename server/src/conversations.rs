//! Conversations of encrypted channels: in Redis, where Open WebUI's processes look for them, or in memory.
//!
//! Owns: how long a lock is waited for, and the locks that the application holds. Must never know: what is in a
//! conversation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{ConversationBegun, EncryptionQuestion, StoreAnswer, StoreError, TalkCharge};
use roomcast_stores::shared::{MemoryConversations, RedisConversations};
use roomcast_tokio::redis::RedisLock;
use tokio::time::{Instant, sleep};

/// Where they are. Clones have the same.
#[derive(Clone)]
pub enum Conversations {
    /// All nodes and processes have them.
    Redis(RedisConversations, Arc<Mutex<HeldLocks>>),
    /// The shards of this program have them. And since when.
    Memory(MemoryConversations, Instant),
}

/// The locks that were given to the application, by number.
#[derive(Default)]
pub struct HeldLocks {
    last: u64,
    locks: BTreeMap<u64, (RedisLock, Instant)>,
}

impl Conversations {
    /// Those of all nodes and processes.
    pub fn in_redis(stored: RedisConversations) -> Self {
        Self::Redis(stored, Arc::default())
    }

    /// Those of the shards of this program.
    pub fn in_memory() -> Self {
        Self::Memory(MemoryConversations::new(), Instant::now())
    }

    /// Answers a question.
    ///
    /// # Errors
    ///
    /// Redis does not answer, another keeps the lock for too long, or the lock has ended before its owner was done.
    pub async fn answer(&self, question: EncryptionQuestion) -> Result<StoreAnswer, StoreError> {
        match question {
            EncryptionQuestion::Begin { channel, charge } => {
                self.begin(channel, charge).await.map(StoreAnswer::Conversation)
            }
            EncryptionQuestion::End { channel, lock, change } => {
                match self {
                    Self::Redis(stored, held) => {
                        let lock = locks(held).locks.remove(&lock).ok_or(StoreError::Unavailable)?.0;
                        stored.end(&channel, lock, change).await?;
                    }
                    Self::Memory(talks, start) => talks.end(&channel, lock, change, start.elapsed())?,
                }
                Ok(StoreAnswer::Done)
            }
        }
    }

    async fn begin(&self, channel: ByteString, charge: Option<TalkCharge>) -> Result<ConversationBegun, StoreError> {
        let may = match (self, charge) {
            (_, None) => true,
            (Self::Redis(stored, _), Some(charge)) => stored.charge(&charge).await?,
            (Self::Memory(talks, start), Some(charge)) => talks.charge(&charge, start.elapsed()),
        };
        if !may {
            return Ok(ConversationBegun::OverRation);
        }
        let until = Instant::now() + LOCK_WAIT;
        loop {
            if let Some(begun) = self.try_lock(&channel).await? {
                return Ok(begun);
            }
            if Instant::now() >= until {
                return Err(StoreError::Unavailable);
            }
            sleep(LOCK_RETRY).await;
        }
    }

    async fn try_lock(&self, channel: &ByteString) -> Result<Option<ConversationBegun>, StoreError> {
        match self {
            Self::Redis(stored, held) => {
                let Some(lock) = stored.lock(channel).await? else { return Ok(None) };
                let conversation = stored.read(channel).await?;
                let lock = locks(held).keep(lock);
                Ok(Some(ConversationBegun::Locked { lock, conversation }))
            }
            Self::Memory(talks, start) => {
                let locked = talks.lock(channel, start.elapsed());
                Ok(locked.map(|(lock, conversation)| ConversationBegun::Locked { lock, conversation }))
            }
        }
    }
}

impl HeldLocks {
    fn keep(&mut self, lock: RedisLock) -> u64 {
        let now = Instant::now();
        // The application has given up waiting for these, and they have ended in Redis.
        self.locks.retain(|_, (_, until)| *until > now);
        self.last += 1;
        self.locks.insert(self.last, (lock, now + HELD_MAX));
        self.last
    }
}

fn locks(held: &Mutex<HeldLocks>) -> MutexGuard<'_, HeldLocks> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a lock is waited for, as in Open WebUI.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Time after which it is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// Longer than a lock lasts.
const HELD_MAX: Duration = Duration::from_secs(20);
