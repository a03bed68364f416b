//! What the bus has done, in numbers.
//!
//! Owns: the counters. Must never know: what a message says, how the numbers are exported.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Totals of a bus since its start, and how it stands now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusStats {
    /// The connection that publishes is up.
    pub is_publishing: bool,
    /// The connection that receives is up, with all subscriptions.
    pub is_receiving: bool,
    /// How often a connection of either kind was lost.
    pub connections_lost: u64,
    /// How often messages of others may have been missed, because the receiving connection was lost.
    pub gaps: u64,
    /// How long such gaps lasted, all together.
    pub gap_span: Duration,
    /// Messages that Redis has taken.
    pub published: u64,
    /// Bytes of the published messages.
    pub published_bytes: u64,
    /// Messages that Redis took and had no subscriber for.
    pub published_unheard: u64,
    /// Messages that were dropped because the queue was full.
    pub dropped_full: u64,
    /// Messages that were dropped because they were too large.
    pub dropped_large: u64,
    /// Messages that were dropped because they had waited too long for Redis.
    pub dropped_late: u64,
    /// Messages that were on their way when the connection was lost: some may have arrived.
    pub lost_in_flight: u64,
    /// Messages and subscriptions that the ACL of the Redis user does not allow.
    pub denied: u64,
    /// Messages that wait to be published.
    pub queued: usize,
    /// Bytes of the queued messages.
    pub queued_bytes: usize,
    /// Messages that were received.
    pub received: u64,
    /// Bytes of the received messages.
    pub received_bytes: u64,
    /// Messages that were received and dropped, because the receiver fell behind.
    pub received_dropped: u64,
    /// Bytes that the receiver still holds.
    pub inbound_bytes: usize,
    /// Subscriptions that Redis has confirmed.
    pub subscriptions: usize,
}

impl BusStats {
    /// Messages that were handed over to be published and, as far as is known, were not.
    pub const fn publish_losses(&self) -> u64 {
        self.dropped_full + self.dropped_large + self.dropped_late + self.lost_in_flight
    }
}

/// The counters behind [`BusStats`].
#[derive(Debug, Default)]
pub(crate) struct BusCounters {
    pub(crate) is_publishing: AtomicBool,
    pub(crate) is_receiving: AtomicBool,
    pub(crate) connections_lost: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) gap_us: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) published_bytes: AtomicU64,
    pub(crate) published_unheard: AtomicU64,
    pub(crate) dropped_full: AtomicU64,
    pub(crate) dropped_large: AtomicU64,
    pub(crate) dropped_late: AtomicU64,
    pub(crate) lost_in_flight: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) received_dropped: AtomicU64,
    pub(crate) subscriptions: AtomicUsize,
}

impl BusCounters {
    /// The totals; the sizes of queues are the caller's to add.
    pub(crate) fn read(&self) -> BusStats {
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BusStats {
            is_publishing: self.is_publishing.load(Ordering::Relaxed),
            is_receiving: self.is_receiving.load(Ordering::Relaxed),
            connections_lost: total(&self.connections_lost),
            gaps: total(&self.gaps),
            gap_span: Duration::from_micros(total(&self.gap_us)),
            published: total(&self.published),
            published_bytes: total(&self.published_bytes),
            published_unheard: total(&self.published_unheard),
            dropped_full: total(&self.dropped_full),
            dropped_large: total(&self.dropped_large),
            dropped_late: total(&self.dropped_late),
            lost_in_flight: total(&self.lost_in_flight),
            denied: total(&self.denied),
            received: total(&self.received),
            received_bytes: total(&self.received_bytes),
            received_dropped: total(&self.received_dropped),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            queued: 0,
            queued_bytes: 0,
            inbound_bytes: 0,
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}
