//! Sessions and uses of models in Redis, where Open WebUI's processes and other nodes look for them, or in memory, for the
//! shards of a process that is the only one.
//!
//! Owns: what should be stored there of this node, and that it is brought there in the end: in order, again after a
//! failure, and anew where it was lost. Must never know: the layout, or what is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{Question, StoreError};
use roomcast_stores::shared::{Lease, MemoryState, RedisState, SharedState};
use roomcast_tokio::redis::{RedisConfig, RedisFault, RedisKeys};
use roomcast_tokio::wall_now;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::settings::BusSettings;

/// The state that this node shares. Cheap to clone.
#[derive(Clone)]
pub struct Sharing {
    state: Arc<dyn SharedState>,
    desk: Arc<SharingDesk>,
    worker: Arc<Mutex<Option<JoinHandle<()>>>>,
}

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
    /// When a model was last used by a socket, where that is not stored.
    uses: BTreeMap<(ByteString, ByteString), u64>,
    /// Redis did not answer when it was last asked.
    is_away: bool,
}

impl Sharing {
    /// Begins to share, on the runtime of the caller. `instance` tells this process from all others.
    ///
    /// # Errors
    ///
    /// The URL wants TLS, and this program has none.
    pub fn start(settings: &BusSettings, prefix: &str, instance: [u8; 16]) -> Result<Self, RedisFault> {
        let keys = RedisKeys::start(RedisConfig::new(settings.url.clone()))?;
        let node: String = instance.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self::of(Arc::new(RedisState::new(keys, prefix, &node, settings.lease)), settings.lease / 3))
    }

    /// Begins to share between the shards of this process, which is the only one.
    pub fn in_memory() -> Self {
        Self::of(Arc::new(MemoryState::new()), SWEEP_INTERVAL)
    }

    fn of(state: Arc<dyn SharedState>, renewal: Duration) -> Self {
        let desk = Arc::new(SharingDesk::default());
        let worker = SharingWorker { state: state.clone(), desk: desk.clone(), stored: BTreeSet::new() };
        let worker = tokio::spawn(worker.run(renewal));
        Self { state, desk, worker: Arc::new(Mutex::new(Some(worker))) }
    }

    /// Takes what the application tells other processes; `None` for every other question. It is taken with this call; the
    /// future ends once it is stored, or cannot be at the moment.
    pub fn take(&self, question: &Question) -> Option<impl Future<Output = ()> + Send + use<>> {
        let stored = match as_change(question)? {
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
        Some(async move {
            if let Some(stored) = stored {
                // Dropped by a worker that has ended.
                let _ = timeout(STORED_TIMEOUT, stored).await;
            }
        })
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
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other questions are for stores")]
fn as_change(question: &Question) -> Option<SharedChange<'_>> {
    match question {
        Question::ShareSession { sid, profile } => Some(SharedChange::Session(sid, profile)),
        Question::UnshareSession { sid } => Some(SharedChange::NoSession(sid)),
        Question::ShareUse { sid, model, at_secs } => Some(SharedChange::Use(sid, model, *at_secs)),
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
        let removed = self.state.reap().await?;
        if removed > 0 {
            tracing::info!(removed, "sessions that a crashed node left in Redis are removed");
        }
        Ok(())
    }

    /// Stores some of what is not stored.
    async fn step(&mut self) -> Result<SharingTurn, StoreError> {
        let (sids, uses) = {
            let mut todo = self.desk.todo();
            let sids: Vec<_> = todo.dirty.iter().take(AT_ONCE).cloned().collect();
            for sid in &sids {
                todo.dirty.remove(sid);
            }
            (sids, std::mem::take(&mut todo.uses))
        };
        if sids.is_empty() && uses.is_empty() {
            return Ok(SharingTurn::Nothing);
        }
        let done = self.store(&sids).await;
        if done.is_err() {
            self.desk.todo().dirty.extend(sids);
        }
        done?;
        for ((sid, model), at_secs) in uses {
            // One that is lost ends by itself.
            self.state.use_model(model, sid, at_secs).await?;
        }
        Ok(SharingTurn::Some)
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
        self.state.put_sessions(put).await?;
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
