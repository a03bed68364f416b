//! What receives from Redis.
//!
//! Owns: the receiving connection, and bringing subscriptions back. Must never know: what messages say, publishing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::select;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::bus_event::{BusEvent, Delivered, InboundShare};
use crate::connect::{Connector, Link, pause};
use crate::fault::RedisFault;
use crate::inner::Inner;
use crate::stats::add;
use crate::subscriptions::{Channel, Edit, PubSubKind};

/// Receives until the bus stops.
pub(crate) async fn run(inner: &Arc<Inner>) {
    let limits = inner.config.limits;
    let mut connector = Connector::new(&inner.config);
    let mut backoff = Backoff::new(limits.backoff_min, limits.backoff_max);
    let mut outage = Outage::default();
    loop {
        let fault = match connect(inner, &mut connector).await {
            Ok((mut link, mut active)) => {
                backoff.reset();
                outage.end(inner, active.len());
                let ended = receive(inner, &mut connector, &mut link, &mut active).await;
                inner.counters.is_receiving.store(false, Ordering::Relaxed);
                inner.counters.subscriptions.store(0, Ordering::Relaxed);
                let Err(fault) = ended else { return };
                add(&inner.counters.connections_lost, 1);
                fault
            }
            Err(fault) => fault,
        };
        outage.begin(inner, fault);
        select! {
            () = pause(&mut backoff) => {}
            () = inner.stopped() => return,
        }
    }
}

/// The time without a connection.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    was_connected: bool,
}

impl Outage {
    fn begin(&mut self, inner: &Inner, fault: RedisFault) {
        if self.since.is_some() {
            tracing::debug!(url = %inner.config.url, %fault, "Redis is still away");
            return;
        }
        self.since = Some(Instant::now());
        if self.was_connected {
            add(&inner.counters.gaps, 1);
        }
        tracing::warn!(url = %inner.config.url, %fault, "cannot receive from other nodes: what they say is missed");
        inner.tell(BusEvent::Down(fault));
    }

    fn end(&mut self, inner: &Inner, subscriptions: usize) {
        let since = self.since.take();
        let missed = since.filter(|_| self.was_connected).map(|since| since.elapsed());
        if let Some(missed) = missed {
            inner.counters.gap_us.fetch_add(micros(missed), Ordering::Relaxed);
        }
        if let Some(since) = since {
            let away_ms = since.elapsed().as_millis();
            tracing::warn!(url = %inner.config.url, away_ms, subscriptions, "Redis is back");
        } else {
            tracing::info!(url = %inner.config.url, subscriptions, "connected to Redis");
        }
        self.was_connected = true;
        inner.counters.is_receiving.store(true, Ordering::Relaxed);
        inner.tell(BusEvent::Up(missed));
    }
}

/// Connects, and subscribes to everything that is wanted by now.
async fn connect(inner: &Arc<Inner>, connector: &mut Connector) -> Result<(Link, BTreeSet<Channel>), RedisFault> {
    let sink = inner.clone();
    let mut link = connector.connect(move |info| deliver(&sink, info)).await?;
    let mut active = BTreeSet::new();
    let wanted = inner.wanted(|subscriptions| subscriptions.take_all());
    apply(inner, &mut link, wanted, &mut active).await?;
    Ok((link, active))
}

/// Receives over this connection until it fails; `Ok` when the bus stops.
async fn receive(
    inner: &Inner,
    connector: &mut Connector,
    link: &mut Link,
    active: &mut BTreeSet<Channel>,
) -> Result<(), RedisFault> {
    let mut ping = tokio::time::interval(inner.config.limits.ping_interval);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ping.reset();
    loop {
        let edits = inner.wanted(|subscriptions| subscriptions.take_edits());
        if !edits.is_empty() {
            apply(inner, link, edits, active).await?;
            continue;
        }
        select! {
            () = inner.stopped() => return Ok(()),
            () = link.ending.ended() => return Err(RedisFault::Unreachable("the connection has ended".into())),
            () = inner.edited.notified() => {}
            _ = ping.tick() => connector.check(link).await?,
        }
    }
}

/// Tells Redis what has changed.
async fn apply(
    inner: &Inner,
    link: &mut Link,
    edits: Vec<(Channel, Edit)>,
    active: &mut BTreeSet<Channel>,
) -> Result<(), RedisFault> {
    let (mut new, mut given_up) = (Vec::new(), Vec::new());
    for (channel, edit) in edits {
        if edit.is_wanted && !active.contains(&channel) {
            new.push((channel, edit));
            continue;
        }
        // Confirmed before, or of no use any more.
        confirm(inner, &channel, edit);
        if !edit.is_wanted && active.remove(&channel) {
            given_up.push((channel, edit));
        }
    }
    let mut rest = &new[..];
    while let Some((channels, behind)) = rest.split_at_checked(rest.len().min(CHANNELS_PER_PIPELINE))
        && !channels.is_empty()
    {
        if let Err(fault) = subscribe(inner, link, channels, active).await {
            // The next connection confirms them.
            inner.wanted(|subscriptions| subscriptions.put_back(rest.to_vec()));
            return Err(fault);
        }
        rest = behind;
    }
    for channels in given_up.chunks(CHANNELS_PER_PIPELINE) {
        for answer in tell(link, channels, Verb::Unsubscribe).await? {
            answer.map_err(RedisFault::from)?;
        }
    }
    inner.counters.subscriptions.store(active.len(), Ordering::Relaxed);
    Ok(())
}

/// Subscribes to some channels, and tells what has become of each.
async fn subscribe(
    inner: &Inner,
    link: &mut Link,
    channels: &[(Channel, Edit)],
    active: &mut BTreeSet<Channel>,
) -> Result<(), RedisFault> {
    let answers = tell(link, channels, Verb::Subscribe).await?;
    for ((channel, edit), answer) in channels.iter().zip(answers) {
        match answer {
            Ok(_) => {
                active.insert(channel.clone());
                confirm(inner, channel, *edit);
            }
            Err(error) => {
                let fault = RedisFault::from(error);
                add(&inner.counters.denied, 1);
                inner.tell_once(&channel.name, &fault);
                inner.tell(BusEvent::SubscriptionRefused(channel.clone(), fault));
            }
        }
    }
    Ok(())
}

fn confirm(inner: &Inner, channel: &Channel, edit: Edit) {
    for _ in 0..edit.owed {
        inner.tell(BusEvent::Subscribed(channel.clone()));
    }
}

/// One command for each channel, so that each has an answer of its own: a list with one that the ACL denies would be
/// refused as a whole.
async fn tell(link: &mut Link, channels: &[(Channel, Edit)], verb: Verb) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut pipeline = redis::Pipeline::with_capacity(channels.len());
    for (channel, _) in channels {
        pipeline.cmd(verb.command(channel.kind)).arg(&channel.name[..]);
    }
    pipeline.ignore_errors().query_async(&mut link.conn).await
}

#[derive(Clone, Copy)]
enum Verb {
    Subscribe,
    Unsubscribe,
}

impl Verb {
    const fn command(self, kind: PubSubKind) -> &'static str {
        match (self, kind) {
            (Self::Subscribe, PubSubKind::Exact) => "SUBSCRIBE",
            (Self::Subscribe, PubSubKind::Pattern) => "PSUBSCRIBE",
            (Self::Subscribe, PubSubKind::Sharded) => "SSUBSCRIBE",
            (Self::Unsubscribe, PubSubKind::Exact) => "UNSUBSCRIBE",
            (Self::Unsubscribe, PubSubKind::Pattern) => "PUNSUBSCRIBE",
            (Self::Unsubscribe, PubSubKind::Sharded) => "SUNSUBSCRIBE",
        }
    }
}

/// A push of Redis: messages go on, confirmations are dealt with as answers.
fn deliver(inner: &Inner, info: PushInfo) {
    let has_pattern = info.kind == PushKind::PMessage;
    if !has_pattern && !matches!(info.kind, PushKind::Message | PushKind::SMessage) {
        return;
    }
    // Redis sends nothing else here.
    let mut fields = info
        .data
        .into_iter()
        .filter_map(|value| if let Value::BulkString(bytes) = value { Some(Bytes::from(bytes)) } else { None });
    let pattern = if has_pattern { fields.next() } else { None };
    let (Some(channel), Some(payload)) = (fields.next(), fields.next()) else { return };
    let bytes = channel.len() + payload.len();
    let Some(share) = inner.inbound.take(bytes) else {
        add(&inner.counters.received_dropped, 1);
        return;
    };
    add(&inner.counters.received, 1);
    add(&inner.counters.received_bytes, bytes);
    inner.tell(BusEvent::Message(Delivered { channel, pattern, payload, held: InboundShare { _share: share } }));
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Channels in one pipeline.
const CHANNELS_PER_PIPELINE: usize = 1024;
