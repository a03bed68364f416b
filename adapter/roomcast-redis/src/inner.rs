//! What the tasks of a bus share with its owner.
//!
//! Owns: the queue, the wanted subscriptions and the counters, and the locks around them. Must never know: a connection.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::bus_event::BusEvent;
use crate::config::RedisConfig;
use crate::fault::RedisFault;
use crate::inbound::Budget;
use crate::outbox::{NotPublished, Outbox, Outgoing};
use crate::stats::{BusCounters, add};
use crate::subscriptions::WantedSubscriptions;

/// What the tasks of a bus and its owner share.
pub(crate) struct Inner {
    pub(crate) config: RedisConfig,
    outbox: Mutex<Outbox>,
    /// The outbox is no longer empty.
    pub(crate) queued: Notify,
    pub(crate) inbound: Budget,
    subscriptions: Mutex<WantedSubscriptions>,
    /// What is wanted has changed.
    pub(crate) edited: Notify,
    pub(crate) counters: BusCounters,
    /// What has been logged once, so that it is not logged for each message.
    told: Mutex<BTreeSet<Bytes>>,
    on_event: Box<dyn Fn(BusEvent) + Send + Sync>,
    stop: watch::Sender<bool>,
    start: Instant,
}

impl Inner {
    pub(crate) fn new(config: RedisConfig, on_event: Box<dyn Fn(BusEvent) + Send + Sync>) -> Self {
        let (stop, _) = watch::channel(false);
        Self {
            outbox: Mutex::new(Outbox::new(config.limits)),
            inbound: Budget::new(config.limits.inbound_bytes_max),
            config,
            queued: Notify::new(),
            subscriptions: Mutex::default(),
            edited: Notify::new(),
            counters: BusCounters::default(),
            told: Mutex::default(),
            on_event,
            stop,
            start: Instant::now(),
        }
    }

    /// Puts a message into the queue.
    pub(crate) fn push(&self, outgoing: Outgoing) -> Result<(), NotPublished> {
        let now = self.start.elapsed();
        let (pushed, expired) = {
            let mut outbox = lock(&self.outbox);
            let expired = outbox.expire(now);
            (outbox.push(outgoing, now), expired)
        };
        add(&self.counters.dropped_late, expired);
        pushed
    }

    /// Messages that wait to be published, and their bytes.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        let outbox = lock(&self.outbox);
        (outbox.len(), outbox.bytes())
    }

    /// The next messages to publish, without those that have waited too long.
    pub(crate) fn take_batch(&self, messages_max: usize, bytes_max: usize) -> Vec<Outgoing> {
        self.expire();
        lock(&self.outbox).take(messages_max, bytes_max)
    }

    pub(crate) fn expire(&self) {
        let expired = lock(&self.outbox).expire(self.start.elapsed());
        if expired > 0 {
            tracing::warn!(expired, "messages to other nodes were dropped: Redis was away for too long");
        }
        add(&self.counters.dropped_late, expired);
    }

    pub(crate) fn wanted<T>(&self, look: impl FnOnce(&mut WantedSubscriptions) -> T) -> T {
        look(&mut lock(&self.subscriptions))
    }

    pub(crate) fn tell(&self, event: BusEvent) {
        (self.on_event)(event);
    }

    /// Logs that Redis refuses something about a channel, the first time for each.
    pub(crate) fn tell_once(&self, channel: &Bytes, fault: &RedisFault) {
        let mut told = lock(&self.told);
        // Rooms have channels of their own: their names must not pile up here.
        if told.len() < TOLD_MAX && told.insert(channel.clone()) {
            let channel = String::from_utf8_lossy(channel);
            tracing::warn!(%channel, %fault, "Redis refuses a channel");
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
        self.queued.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when the bus stops.
    pub(crate) async fn stopped(&self) {
        // The sender is a field of this.
        let _ = self.stop.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }
}

/// Locks a mutex whose data stay usable after a panic: no code of the owner runs while one of these is held.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refusals that are logged.
const TOLD_MAX: usize = 16;
