//! A bus that runs.
//!
//! Owns: [`RedisBus`], its thread, and what its two tasks share. Must never know: what messages say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use tokio::select;

use crate::bus_event::BusEvent;
use crate::config::RedisConfig;
use crate::fault::RedisFault;
use crate::inner::{Inner, lock};
use crate::outbox::{NotPublished, Outgoing, PublishWay};
use crate::stats::{BusStats, add};
use crate::subscriptions::Channel;
use crate::tls::prepare_tls;
use crate::{publisher, subscriber};

/// Publishes to a Redis and receives from it. Nothing here waits for Redis. Cheap to clone; the bus stops when the last
/// clone is dropped.
///
/// ```no_run
/// use roomcast_redis::{BusEvent, Channel, RedisBus, RedisConfig, RedisUrl};
///
/// let config = RedisConfig::new(RedisUrl::parse("redis://127.0.0.1")?);
/// let bus = RedisBus::start(config, |event| match event {
///     BusEvent::Message(message) => println!("{} bytes", message.payload.len()),
///     BusEvent::Up(Some(missed)) => println!("missed what was said for {missed:?}"),
///     _ => {}
/// })?;
/// bus.subscribe(Channel::exact("news"));
/// bus.publish("news", "dinner is ready")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedisBus(Arc<StopOnDrop>);

impl RedisBus {
    /// Starts a bus on a thread of its own. It connects in the background: a Redis that is away is no error. `on_event`
    /// runs on that thread, which must not be held up.
    ///
    /// # Errors
    ///
    /// The URL wants TLS and the feature `tls` is not enabled, or there is no thread left.
    pub fn start(config: RedisConfig, on_event: impl Fn(BusEvent) + Send + Sync + 'static) -> Result<Self, RedisFault> {
        prepare_tls(config.url.tls)?;
        let inner = Arc::new(Inner::new(config, Box::new(on_event)));
        let (sender, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RedisFault::Other(error.to_string()))?;
        let running = inner.clone();
        std::thread::Builder::new()
            .name("redis bus".into())
            .spawn(move || {
                runtime.block_on(run(&running));
                runtime.shutdown_background();
                // Dropped by an owner that waits no longer.
                let _ = sender.send(());
            })
            .map_err(|error| RedisFault::Other(error.to_string()))?;
        Ok(Self(Arc::new(StopOnDrop { inner, ended: Mutex::new(Some(ended)) })))
    }

    /// Publishes a message: puts it into the queue and returns. Messages reach Redis in the order of the calls.
    ///
    /// # Errors
    ///
    /// It was dropped, and counted: the queue is full, it is too large, or the bus has stopped.
    pub fn publish(&self, channel: impl Into<Bytes>, payload: impl Into<Bytes>) -> Result<(), NotPublished> {
        self.push(Outgoing {
            way: PublishWay::Publish,
            channel: channel.into(),
            payload: payload.into(),
            question: None,
        })
    }

    /// The same, and [`BusEvent::Reached`] says how many subscribers got it, under this number. Not in a Redis Cluster, of
    /// which each node knows its own subscribers alone, and not if the message is lost.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn publish_question(
        &self,
        channel: impl Into<Bytes>,
        payload: impl Into<Bytes>,
        question: u64,
    ) -> Result<(), NotPublished> {
        let question = Some(question);
        self.push(Outgoing { way: PublishWay::Publish, channel: channel.into(), payload: payload.into(), question })
    }

    /// The same to a sharded channel (`SPUBLISH`).
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn publish_sharded(&self, channel: impl Into<Bytes>, payload: impl Into<Bytes>) -> Result<(), NotPublished> {
        self.push(Outgoing {
            way: PublishWay::SPublish,
            channel: channel.into(),
            payload: payload.into(),
            question: None,
        })
    }

    /// Wants what is published there. Each call is answered by [`BusEvent::Subscribed`] once Redis has confirmed the
    /// subscription, or by [`BusEvent::SubscriptionRefused`].
    pub fn subscribe(&self, channel: Channel) {
        self.0.inner.wanted(|subscriptions| subscriptions.subscribe(channel));
        self.0.inner.edited.notify_one();
    }

    /// Wants it no longer.
    pub fn unsubscribe(&self, channel: Channel) {
        self.0.inner.wanted(|subscriptions| subscriptions.unsubscribe(channel));
        self.0.inner.edited.notify_one();
    }

    /// Totals since the start.
    pub fn stats(&self) -> BusStats {
        let inner = &self.0.inner;
        let (queued, queued_bytes) = inner.backlog();
        BusStats { queued, queued_bytes, inbound_bytes: inner.inbound.used(), ..inner.counters.read() }
    }

    /// Ends the bus in the background, as [`close`](Self::close) does.
    pub fn stop(&self) {
        self.0.inner.stop();
    }

    /// Ends the bus. Resolves when the queue has been published, or Redis is away, or after a second.
    pub async fn close(&self) {
        self.0.inner.stop();
        let ended = lock(&self.0.ended).take();
        if let Some(ended) = ended {
            // Dropped with the thread, it has ended too.
            let _ = ended.await;
        }
    }

    fn push(&self, outgoing: Outgoing) -> Result<(), NotPublished> {
        let inner = &self.0.inner;
        if inner.is_stopping() {
            return Err(NotPublished::Stopped);
        }
        let pushed = inner.push(outgoing);
        match pushed {
            Ok(()) => inner.queued.notify_one(),
            Err(NotPublished::TooLarge) => add(&inner.counters.dropped_large, 1),
            Err(NotPublished::Full | NotPublished::Stopped) => add(&inner.counters.dropped_full, 1),
        }
        pushed
    }
}

impl std::fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RedisBus").field(&self.0.inner.config.url).finish()
    }
}

/// Stops the bus when dropped.
struct StopOnDrop {
    inner: Arc<Inner>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.inner.stop();
    }
}

async fn run(inner: &Arc<Inner>) {
    let work = async { tokio::join!(publisher::run(inner), subscriber::run(inner)) };
    let late = async {
        inner.stopped().await;
        tokio::time::sleep(CLOSE_SPAN).await;
    };
    select! {
        ((), ()) = work => {}
        () = late => {}
    }
}

/// Time for the queue to be published once the bus is to stop.
const CLOSE_SPAN: Duration = Duration::from_secs(1);
