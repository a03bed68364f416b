//! Sessions and uses of models in Redis, where Open WebUI's processes and other nodes look for them, or in memory, for the
//! shards of a process that is the only one.
//!
//! Owns: what should be stored there of this node, and that it is brought there in the end: in order, again after a
//! failure, and anew where it was lost. Must never know: the layout, or what is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{PoolQuestion, Question, StoreAnswer, StoreError};
use roomcast_stores::shared::{Lease, MemoryState, PoolChange, RedisSessionPool, RedisState, SharedState};
use roomcast_tokio::redis::{RedisConfig, RedisFault, RedisKeys};
use roomcast_tokio::wall_now;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::session_pool::SessionPool;
use crate::settings::BusSettings;

/// The state that this node shares. Cheap to clone.
#[derive(Clone)]
pub struct Sharing {
    state: Arc<dyn SharedState>,
    desk: Arc<SharingDesk>,
    worker: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// What Open WebUI 0.12 keeps besides.
    pool: Option<SessionPool>,
}

/// What a question comes to.
pub type SharedAnswer = Pin<Box<dyn Future<Output = Result<StoreAnswer, StoreError>> + Send>>;

/// What the worker has to do.
#[derive(Default)]
struct SharingDesk {
    todo: Mutex<SharingWork>,
    changed: Notify,
}

#[derive(Default)]
struct SharingWork {
    /// The sessions of this node as they should be stored: profiles by socket.
    sessions: BTreeMap<ByteString, ByteString>,
    /// Sockets that may be stored otherwise.
    dirty: BTreeSet<ByteString>,
    /// Told once these are stored, or cannot be.
    waiting: BTreeMap<ByteString, Vec<oneshot::Sender<()>>>,
    /// What has changed of sessions of the pool, in order, and who is told once that is stored.
    changes: Vec<(ByteString, PoolChange, oneshot::Sender<()>)>,
    /// When a model was last used by a socket, where that is not stored.
    uses: BTreeMap<(ByteString, ByteString), u64>,
    /// Redis did not answer when it was last asked.
    is_away: bool,
}

impl Sharing {
    /// Begins to share, on the runtime of the caller. `instance` tells this process from all others. `idle_after`: with Open
    /// WebUI 0.12, the time for which a session counts since it was last seen.
    ///
    /// # Errors
    ///
    /// The URL wants TLS, and this program has none.
    pub fn start(
        settings: &BusSettings,
        prefix: &str,
        instance: [u8; 16],
        idle_after: Option<Duration>,
    ) -> Result<Self, RedisFault> {
        let keys = RedisKeys::start(RedisConfig::new(settings.url.clone()))?;
        let node: String = instance.iter().map(|byte| format!("{byte:02x}")).collect();
        let stored = idle_after.map(|_| RedisSessionPool::new(keys.clone(), prefix));
        let state = RedisState::new(keys, prefix, &node, settings.lease);
        let state = match &stored {
            Some(pool) => state.with_pool(pool.clone()),
            None => state,
        };
        let pool = stored.zip(idle_after).map(|(pool, idle_after)| SessionPool::start(pool, idle_after));
        Ok(Self::of(Arc::new(state), settings.lease / 3, pool))
    }

    /// Begins to share between the shards of this process, which is the only one.
    pub fn in_memory() -> Self {
        Self::of(Arc::new(MemoryState::new()), SWEEP_INTERVAL, None)
    }

    fn of(state: Arc<dyn SharedState>, renewal: Duration, pool: Option<SessionPool>) -> Self {
        let desk = Arc::new(SharingDesk::default());
        let worker = SharingWorker {
            state: state.clone(),
            desk: desk.clone(),
            stored: BTreeSet::new(),
            pool: pool.as_ref().map(|pool| pool.stored.clone()),
        };
        let worker = tokio::spawn(worker.run(renewal));
        Self { state, desk, worker: Arc::new(Mutex::new(Some(worker))), pool }
    }

    /// Takes what the application tells other processes; `None` for every other question. It is taken with this call; the
    /// future ends once it is stored, or cannot be at the moment.
    pub fn take(&self, question: &Question) -> Option<SharedAnswer> {
        let stored = match as_change(question)? {
            SharedChange::Pool(question) => return Some(self.take_pool(question)),
            SharedChange::Session(sid, profile) => {
                let (sender, stored) = oneshot::channel();
                let mut todo = self.desk.todo();
                todo.sessions.insert(sid.clone(), profile.clone());
                todo.dirty.insert(sid.clone());
                // A login does not wait for a Redis that is away.
                (!todo.is_away).then(|| {
                    todo.waiting.entry(sid.clone()).or_default().push(sender);
                    stored
                })
            }
            SharedChange::NoSession(sid) => {
                let mut todo = self.desk.todo();
                todo.sessions.remove(sid);
                todo.dirty.insert(sid.clone());
                None
            }
            SharedChange::Use(sid, model, at_secs) => {
                self.desk.todo().uses.insert((sid.clone(), model.clone()), at_secs);
                None
            }
        };
        self.desk.changed.notify_one();
        Some(done(stored))
    }

    fn take_pool(&self, question: &PoolQuestion) -> SharedAnswer {
        let Some(pool) = &self.pool else { return done(None) };
        let (sid, change) = match question {
            PoolQuestion::Seen { sid } => (sid, PoolChange::Seen),
            PoolQuestion::EnterChat { sid, chat } => (sid, PoolChange::Enter(chat.clone())),
            PoolQuestion::LeaveChat { sid, chat } => (sid, PoolChange::Leave(chat.clone())),
            PoolQuestion::Present { chat } => return Box::pin(pool.present(chat.clone())),
            PoolQuestion::Told { chat } => {
                pool.told(chat.clone());
                return done(None);
            }
            PoolQuestion::Reap => {
                let (pool, state) = (pool.clone(), self.state.clone());
                return Box::pin(async move { pool.reap(&*state).await });
            }
            PoolQuestion::Line { event, data } => {
                pool.say(event.clone(), data.clone());
                return done(None);
            }
        };
        let (sender, stored) = oneshot::channel();
        {
            let mut todo = self.desk.todo();
            // A chat does not wait for a Redis that is away.
            if todo.is_away {
                return done(None);
            }
            todo.changes.push((sid.clone(), change, sender));
        }
        self.desk.changed.notify_one();
        done(Some(stored))
    }

    /// Whether the session pool is kept as Open WebUI 0.12 does.
    pub const fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// The profiles of sockets of any nodes, in their order.
    ///
    /// # Errors
    ///
    /// Redis does not answer.
    pub async fn sessions(&self, sids: Vec<ByteString>) -> Result<Vec<Option<ByteString>>, StoreError> {
        timeout(READ_TIMEOUT, self.state.sessions(sids)).await.unwrap_or(Err(StoreError::Unavailable))
    }

    /// The models that are in use on any node.
    ///
    /// # Errors
    ///
    /// Redis does not answer.
    pub async fn models_in_use(&self) -> Result<Vec<ByteString>, StoreError> {
        let models = self.state.models_in_use(in_use_since());
        timeout(READ_TIMEOUT, models).await.unwrap_or(Err(StoreError::Unavailable))
    }

    /// Removes everything of this node, at its end.
    pub async fn leave(&self) {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            worker.abort();
            // What it was about to store must not come behind what is removed.
            let _ = worker.await;
        }
        if timeout(LEAVE_TIMEOUT, self.state.leave()).await.is_ok_and(|left| left.is_ok()) {
            return;
        }
        tracing::warn!("what this node has stored in Redis is left to other nodes to remove");
    }
}

/// What a question of the application changes.
enum SharedChange<'a> {
    Session(&'a ByteString, &'a ByteString),
    NoSession(&'a ByteString),
    Use(&'a ByteString, &'a ByteString, u64),
    Pool(&'a PoolQuestion),
}

/// Ends once something is stored, or cannot be at the moment.
fn done(stored: Option<oneshot::Receiver<()>>) -> SharedAnswer {
    Box::pin(async move {
        if let Some(stored) = stored {
            // Dropped by a worker that has ended, or has given up.
            let _ = timeout(STORED_TIMEOUT, stored).await;
        }
        Ok(StoreAnswer::Done)
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other questions are for stores")]
fn as_change(question: &Question) -> Option<SharedChange<'_>> {
    match question {
        Question::ShareSession { sid, profile } => Some(SharedChange::Session(sid, profile)),
        Question::UnshareSession { sid } => Some(SharedChange::NoSession(sid)),
        Question::ShareUse { sid, model, at_secs } => Some(SharedChange::Use(sid, model, *at_secs)),
        Question::SessionPool(question) => Some(SharedChange::Pool(question)),
        _ => None,
    }
}

impl SharingDesk {
    fn todo(&self) -> MutexGuard<'_, SharingWork> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharingWork {
    /// Ends all waiting.
    fn release(&mut self) {
        for waiting in std::mem::take(&mut self.waiting).into_values().flatten() {
            // Dropped by a login that waits no longer.
            let _ = waiting.send(());
        }
    }
}

/// Brings to Redis what should be there: one thing after the other, so that nothing overtakes what came before it.
struct SharingWorker {
    state: Arc<dyn SharedState>,
    desk: Arc<SharingDesk>,
    /// The sockets that have been stored.
    stored: BTreeSet<ByteString>,
    pool: Option<RedisSessionPool>,
}

impl SharingWorker {
    async fn run(mut self, renewal: Duration) {
        let (mut renew_at, mut sweep_at) = (Instant::now(), Instant::now());
        loop {
            // Before anything is stored: others find what a node leaves behind by its lease.
            let done = if Instant::now() >= renew_at {
                self.renew().await.map(|()| SharingTurn::Lease)
            } else {
                self.step().await
            };
            match done {
                Ok(SharingTurn::Lease) => renew_at = Instant::now() + renewal,
                Ok(SharingTurn::Some) => {}
                Ok(SharingTurn::Nothing) if Instant::now() >= sweep_at => {
                    sweep_at = Instant::now() + SWEEP_INTERVAL;
                    // Open WebUI's own processes do so as well, until one of them ends that at an error.
                    let _ = self.state.models_in_use(in_use_since()).await;
                }
                Ok(SharingTurn::Nothing) => {
                    // A change that came meanwhile has left its permit.
                    let _ = tokio::time::timeout_at(renew_at.min(sweep_at), self.desk.changed.notified()).await;
                }
                Err(_) => {
                    self.give_up_for_now();
                    tokio::time::sleep(RETRY).await;
                    // It may have lost everything.
                    renew_at = Instant::now();
                }
            }
        }
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        let lease = self.state.renew_lease(self.stored.len()).await?;
        {
            let mut todo = self.desk.todo();
            if std::mem::replace(&mut todo.is_away, false) {
                tracing::info!("Redis stores sessions again");
            }
            match lease {
                Lease::Kept => {}
                Lease::Lost => {
                    let SharingWork { sessions, dirty, .. } = &mut *todo;
                    dirty.extend(sessions.keys().cloned());
                    dirty.extend(std::mem::take(&mut self.stored));
                }
            }
        }
        if self.pool.is_some() {
            // The application asks for that, and tells those who were in a chat with them.
            return Ok(());
        }
        let removed = self.state.reap().await?.len();
        if removed > 0 {
            tracing::info!(removed, "sessions that a crashed node left in Redis are removed");
        }
        Ok(())
    }

    /// Stores some of what is not stored.
    async fn step(&mut self) -> Result<SharingTurn, StoreError> {
        let (sids, uses, changes) = {
            let mut todo = self.desk.todo();
            let sids: Vec<_> = todo.dirty.iter().take(AT_ONCE).cloned().collect();
            for sid in &sids {
                todo.dirty.remove(sid);
            }
            // Behind all sessions: what has left a chat may have left altogether.
            let most = if todo.dirty.is_empty() { todo.changes.len().min(AT_ONCE) } else { 0 };
            let changes: Vec<_> = todo.changes.drain(..most).collect();
            (sids, std::mem::take(&mut todo.uses), changes)
        };
        if sids.is_empty() && uses.is_empty() && changes.is_empty() {
            return Ok(SharingTurn::Nothing);
        }
        let done = self.store(&sids).await;
        if done.is_err() {
            self.desk.todo().dirty.extend(sids);
        }
        done?;
        self.change(changes).await?;
        for ((sid, model), at_secs) in uses {
            // One that is lost ends by itself.
            self.state.use_model(model, sid, at_secs).await?;
        }
        Ok(SharingTurn::Some)
    }

    /// Changes entries of the pool; of sessions that are gone, nothing is left to change.
    async fn change(&self, changes: Vec<(ByteString, PoolChange, oneshot::Sender<()>)>) -> Result<(), StoreError> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let (mut entries, mut waiting) = (Vec::new(), Vec::new());
        {
            let todo = self.desk.todo();
            for (sid, change, sender) in changes {
                if let Some(user) = todo.sessions.get(&sid).cloned() {
                    entries.push((sid, user, change));
                }
                waiting.push(sender);
            }
        }
        // Dropped where this fails, which ends the waiting as well.
        pool.change(&entries, wall_now().as_unix_secs()).await?;
        for waiting in waiting {
            let _ = waiting.send(());
        }
        Ok(())
    }

    async fn store(&mut self, sids: &[ByteString]) -> Result<(), StoreError> {
        let (mut put, mut gone, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        {
            let mut todo = self.desk.todo();
            for sid in sids {
                match todo.sessions.get(sid) {
                    Some(profile) => put.push((sid.clone(), profile.clone())),
                    None => gone.push(sid.clone()),
                }
                waiting.extend(todo.waiting.remove(sid).into_iter().flatten());
            }
        }
        // Said to have been stored even if that fails on the way.
        self.stored.extend(put.iter().map(|(sid, _)| sid.clone()));
        // Dropped where this fails, which ends the waiting as well.
        self.state.put_sessions(put, wall_now().as_unix_secs()).await?;
        for waiting in waiting {
            // Dropped by a login that waits no longer.
            let _ = waiting.send(());
        }
        self.state.remove_sessions(gone.clone()).await?;
        for sid in &gone {
            self.stored.remove(sid);
        }
        Ok(())
    }

    /// Redis is away: logins go on without it, and what they store comes later.
    fn give_up_for_now(&self) {
        let mut todo = self.desk.todo();
        if !std::mem::replace(&mut todo.is_away, true) {
            tracing::warn!(
                "Redis does not store sessions: other processes do not find the users of this node's sockets"
            );
        }
        todo.release();
        todo.changes.clear();
    }
}

/// What a turn of the worker has done.
enum SharingTurn {
    /// The lease goes on.
    Lease,
    /// Something is stored.
    Some,
    /// There was nothing to do.
    Nothing,
}

/// A use that is older has ended, as in Open WebUI.
fn in_use_since() -> u64 {
    wall_now().as_unix_secs().saturating_sub(USE_SECS)
}

/// Time after which a use of a model ends.
const USE_SECS: u64 = 3;
/// Time between two looks for uses that have ended.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3);
/// Time after which Redis is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Sockets that are stored in one step.
const AT_ONCE: usize = 200;
/// How long a login waits until its session is stored.
const STORED_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a request of the HTTP API waits for Redis.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end of the program waits for Redis.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
