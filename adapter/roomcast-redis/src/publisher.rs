//! What takes messages from the queue to Redis.
//!
//! One pipeline is under way at a time: while Redis works on it the next one gathers, so that a burst costs few round
//! trips and what may be lost with the connection is bounded by one pipeline. Nothing is sent twice: what was under way
//! when the connection was lost may have arrived.
//!
//! Owns: the publishing connection. Must never know: what messages say, subscriptions.

use std::sync::atomic::Ordering;

use redis::{RedisResult, Value};
use tokio::select;

use crate::backoff::Backoff;
use crate::bus_event::BusEvent;
use crate::connect::{Connector, Link, is_replica, pause};
use crate::fault::RedisFault;
use crate::inner::Inner;
use crate::outbox::{Outgoing, PublishWay};
use crate::stats::add;
use crate::url::Servers;

/// Publishes until the bus stops.
pub(crate) async fn run(inner: &Inner) {
    let limits = inner.config.limits;
    let mut connector = Connector::new(&inner.config);
    let mut backoff = Backoff::new(limits.backoff_min, limits.backoff_max);
    let mut was_told = false;
    loop {
        let fault = match connector.connect(|_| {}).await {
            Ok(mut link) => {
                if is_replica(&mut link).await {
                    tracing::warn!(url = %inner.config.url, "this Redis is a replica: what is published there reaches few");
                }
                backoff.reset();
                was_told = false;
                inner.counters.is_publishing.store(true, Ordering::Relaxed);
                let ended = publish(inner, &mut connector, &mut link).await;
                inner.counters.is_publishing.store(false, Ordering::Relaxed);
                let Err(fault) = ended else { return };
                add(&inner.counters.connections_lost, 1);
                fault
            }
            Err(fault) => fault,
        };
        if !std::mem::replace(&mut was_told, true) {
            tracing::warn!(url = %inner.config.url, %fault, "cannot publish to other nodes");
        }
        inner.expire();
        select! {
            () = pause(&mut backoff) => {}
            () = inner.stopped() => return,
        }
    }
}

/// Publishes over this connection until it fails; `Ok` when the bus stops and nothing waits.
async fn publish(inner: &Inner, connector: &mut Connector, link: &mut Link) -> Result<(), RedisFault> {
    let mut ping = tokio::time::interval(inner.config.limits.ping_interval);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ping.reset();
    loop {
        if link.ending.has_ended() {
            return Err(RedisFault::Unreachable("the connection has ended".into()));
        }
        let batch = inner.take_batch(MESSAGES_PER_PIPELINE, BYTES_PER_PIPELINE);
        if !batch.is_empty() {
            send(inner, link, batch).await?;
            continue;
        }
        if inner.is_stopping() {
            return Ok(());
        }
        select! {
            () = inner.queued.notified() => {}
            () = link.ending.ended() => {}
            _ = ping.tick() => connector.check(link).await?,
        }
    }
}

/// Sends a pipeline and counts what Redis says to it.
async fn send(inner: &Inner, link: &mut Link, batch: Vec<Outgoing>) -> Result<(), RedisFault> {
    let mut pipeline = redis::Pipeline::with_capacity(batch.len());
    for outgoing in &batch {
        let command = match outgoing.way {
            PublishWay::Publish => "PUBLISH",
            PublishWay::SPublish => "SPUBLISH",
        };
        pipeline.cmd(command).arg(&outgoing.channel[..]).arg(&outgoing.payload[..]);
    }
    let answers: RedisResult<Vec<RedisResult<Value>>> = pipeline.ignore_errors().query_async(&mut link.conn).await;
    let answers = answers.inspect_err(|_| add(&inner.counters.lost_in_flight, batch.len()))?;
    for (outgoing, answer) in batch.iter().zip(answers) {
        match answer {
            Ok(heard) => {
                add(&inner.counters.published, 1);
                add(&inner.counters.published_bytes, outgoing.bytes());
                if heard == Value::Int(0) {
                    add(&inner.counters.published_unheard, 1);
                }
                if let (Some(question), Value::Int(subscribers)) = (outgoing.question, heard)
                    && !matches!(inner.config.url.servers, Servers::Cluster(_))
                {
                    let subscribers = u32::try_from(subscribers).unwrap_or_default();
                    inner.tell(BusEvent::Reached { question, subscribers });
                }
            }
            Err(error) => refused(inner, outgoing, &RedisFault::from(error)),
        }
    }
    Ok(())
}

fn refused(inner: &Inner, outgoing: &Outgoing, fault: &RedisFault) {
    if matches!(fault, RedisFault::Denied(_)) {
        add(&inner.counters.denied, 1);
    }
    add(&inner.counters.lost_in_flight, 1);
    inner.tell_once(&outgoing.channel, fault);
}

/// Messages in one pipeline, and so at most as many as are lost with a connection.
const MESSAGES_PER_PIPELINE: usize = 512;
/// Bytes in one pipeline, unless a single message is larger.
const BYTES_PER_PIPELINE: usize = 1 << 20;
