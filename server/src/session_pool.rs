//! The session pool of Open WebUI 0.12: who is in a chat, sessions that were left behind, lines of direct connections.
//!
//! Owns: that those questions are answered, in which order, and under which locks. Must never know: what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{ChatUser, StoreAnswer, StoreError};
use roomcast_stores::shared::{RedisSessionPool, SharedState};
use roomcast_tokio::redis::RedisLock;
use roomcast_tokio::wall_now;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The pool, and those who work for it. They end with the last clone.
#[derive(Clone)]
pub struct SessionPool {
    /// Where it is stored.
    pub stored: RedisSessionPool,
    idle_after: Duration,
    presences: mpsc::UnboundedSender<PresenceJob>,
    lines: mpsc::Sender<(ByteString, ByteString)>,
}

/// About who is in a chat.
enum PresenceJob {
    Ask(ByteString, oneshot::Sender<Vec<ChatUser>>),
    /// It has been told to those in the chat.
    Told(ByteString),
}

impl SessionPool {
    /// Begins to work, on the runtime of the caller. A session counts for `idle_after` since it was last seen.
    pub fn start(stored: RedisSessionPool, idle_after: Duration) -> Self {
        // One question for each chat at a time, which the application sees to.
        let (presences, asked) = mpsc::unbounded_channel();
        let (lines, said) = mpsc::channel(LINES_MAX);
        tokio::spawn(Presences { pool: stored.clone(), idle_after, held: BTreeMap::new() }.run(asked));
        tokio::spawn(publish(stored.clone(), said));
        Self { stored, idle_after, presences, lines }
    }

    /// Who is in a chat. Others tell it only once [`told`](Self::told) says that this has been told.
    ///
    /// # Errors
    ///
    /// Redis does not answer.
    pub fn present(&self, chat: ByteString) -> impl Future<Output = Result<StoreAnswer, StoreError>> + Send + use<> {
        let (sender, answer) = oneshot::channel();
        // It ends with the program alone.
        let _ = self.presences.send(PresenceJob::Ask(chat, sender));
        async move { answer.await.map(StoreAnswer::Present).map_err(|_| StoreError::Unavailable) }
    }

    /// It has been told who is in a chat.
    pub fn told(&self, chat: ByteString) {
        let _ = self.presences.send(PresenceJob::Told(chat));
    }

    /// Gives a line of a direct connection to the process that waits for it, behind all earlier ones.
    pub fn say(&self, event: ByteString, data: ByteString) {
        if self.lines.try_send((event, data)).is_err() {
            tracing::warn!("a line of a direct connection is lost: Redis does not take them fast enough");
        }
    }

    /// Removes what crashed nodes have left, and sessions that were not seen for too long.
    ///
    /// # Errors
    ///
    /// Redis does not answer.
    pub async fn reap(&self, state: &dyn SharedState) -> Result<StoreAnswer, StoreError> {
        let mut reaped = state.reap().await?;
        reaped.extend(self.stored.reap(seen_since(self.idle_after)).await?);
        if !reaped.is_empty() {
            tracing::info!(removed = reaped.len(), "sessions that were left behind in Redis are removed");
        }
        Ok(StoreAnswer::Reaped(reaped))
    }
}

/// Finds out who is in chats, for all that are asked for at once.
struct Presences {
    pool: RedisSessionPool,
    idle_after: Duration,
    /// Locks of chats that have not been told yet.
    held: BTreeMap<ByteString, RedisLock>,
}

impl Presences {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<PresenceJob>) {
        let mut waiting: BTreeMap<ByteString, oneshot::Sender<Vec<ChatUser>>> = BTreeMap::new();
        loop {
            let job = if waiting.is_empty() {
                let Some(job) = jobs.recv().await else { return };
                Some(job)
            } else {
                // Others hold the locks of these.
                timeout(LOCK_RETRY, jobs.recv()).await.ok().flatten()
            };
            let mut next = job;
            while let Some(job) = next {
                match job {
                    PresenceJob::Ask(chat, sender) => drop(waiting.insert(chat, sender)),
                    PresenceJob::Told(chat) => self.release(&chat).await,
                }
                next = jobs.try_recv().ok();
            }
            waiting.retain(|_, sender| !sender.is_closed());
            self.answer(&mut waiting).await;
        }
    }

    /// Answers those whose locks there are.
    async fn answer(&mut self, waiting: &mut BTreeMap<ByteString, oneshot::Sender<Vec<ChatUser>>>) {
        let mut chats = BTreeSet::new();
        for chat in waiting.keys().cloned().collect::<Vec<_>>() {
            if !self.held.contains_key(&chat) {
                match self.pool.lock_presence(&chat).await {
                    Ok(Some(lock)) => drop(self.held.insert(chat.clone(), lock)),
                    Ok(None) => continue,
                    Err(_) => {
                        waiting.remove(&chat);
                        continue;
                    }
                }
            }
            chats.insert(chat);
        }
        if chats.is_empty() {
            return;
        }
        let mut found = self.pool.present(&chats, seen_since(self.idle_after)).await.unwrap_or_default();
        for chat in chats {
            let sender = waiting.remove(&chat);
            let is_taken = sender.zip(found.remove(&chat)).is_some_and(|(sender, users)| sender.send(users).is_ok());
            if !is_taken {
                self.release(&chat).await;
            }
        }
    }

    async fn release(&mut self, chat: &ByteString) {
        if let Some(lock) = self.held.remove(chat) {
            // Else it ends by itself.
            let _ = lock.release().await;
        }
    }
}

/// Publishes lines, in their order.
async fn publish(pool: RedisSessionPool, mut said: mpsc::Receiver<(ByteString, ByteString)>) {
    let mut lines = Vec::new();
    while said.recv_many(&mut lines, LINES_AT_ONCE).await > 0 {
        if pool.publish_lines(&lines).await.is_err() {
            tracing::warn!(lines = lines.len(), "lines of direct connections are lost: Redis does not take them");
        }
        lines.clear();
    }
}

fn seen_since(idle_after: Duration) -> u64 {
    wall_now().as_unix_secs().saturating_sub(idle_after.as_secs())
}

/// Time after which the lock of a chat is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// Lines that wait to be published.
const LINES_MAX: usize = 10_000;
/// Lines that are published in one step.
const LINES_AT_ONCE: usize = 256;
