//! Messages that wait to be published.
//!
//! Owns: the queue and its limits. Must never know: a connection, a clock.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::config::BusLimits;

/// A message on its way to Redis.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) way: PublishWay,
    pub(crate) channel: Bytes,
    pub(crate) payload: Bytes,
    /// Given if the owner wants to know how many subscribers got it.
    pub(crate) question: Option<u64>,
}

/// How a message is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishWay {
    Publish,
    SPublish,
}

impl Outgoing {
    pub(crate) fn bytes(&self) -> usize {
        self.channel.len() + self.payload.len()
    }
}

/// Why a message was dropped at once. All of it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotPublished {
    /// The queue is full: Redis is away, or too slow for what is said.
    Full,
    /// It is larger than [`message_bytes_max`](crate::BusLimits::message_bytes_max).
    TooLarge,
    /// The bus has stopped.
    Stopped,
}

impl std::fmt::Display for NotPublished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "too much waits to be published",
            Self::TooLarge => "the message is too large to be published",
            Self::Stopped => "the bus has stopped",
        })
    }
}

impl std::error::Error for NotPublished {}

/// The queue. Times are spans since a moment that the caller chose once.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<(Duration, Outgoing)>,
    bytes: usize,
    limits: BusLimits,
}

impl Outbox {
    pub(crate) const fn new(limits: BusLimits) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, limits }
    }

    pub(crate) fn push(&mut self, outgoing: Outgoing, now: Duration) -> Result<(), NotPublished> {
        let bytes = outgoing.bytes();
        if bytes > self.limits.message_bytes_max {
            return Err(NotPublished::TooLarge);
        }
        if self.queue.len() >= self.limits.queue_messages_max
            || self.bytes.saturating_add(bytes) > self.limits.queue_bytes_max
        {
            return Err(NotPublished::Full);
        }
        self.bytes += bytes;
        self.queue.push_back((now, outgoing));
        Ok(())
    }

    /// Drops what has waited too long; how many those were.
    pub(crate) fn expire(&mut self, now: Duration) -> usize {
        let before = self.queue.len();
        while let Some((since, outgoing)) = self.queue.front()
            && now.saturating_sub(*since) > self.limits.queue_span_max
        {
            self.bytes -= outgoing.bytes();
            self.queue.pop_front();
        }
        before - self.queue.len()
    }

    /// The next messages, as many as go into one write.
    pub(crate) fn take(&mut self, messages_max: usize, bytes_max: usize) -> Vec<Outgoing> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < messages_max
            && let Some((_, outgoing)) = self.queue.front()
            && (taken.is_empty() || bytes + outgoing.bytes() <= bytes_max)
            && let Some((_, outgoing)) = self.queue.pop_front()
        {
            bytes += outgoing.bytes();
            taken.push(outgoing);
        }
        self.bytes -= bytes;
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            self.queue = VecDeque::new();
        }
        taken
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Memory of a queue above this is given back when it is empty.
const KEPT_CAPACITY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        let limits = BusLimits {
            queue_bytes_max: 100,
            queue_messages_max: 4,
            queue_span_max: Duration::from_secs(1),
            message_bytes_max: 60,
            ..BusLimits::default()
        };
        Outbox::new(limits)
    }

    fn message(bytes: usize) -> Outgoing {
        Outgoing {
            way: PublishWay::Publish,
            channel: Bytes::new(),
            payload: Bytes::from(vec![0; bytes]),
            question: None,
        }
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_in_messages_and_in_the_size_of_each() {
        let mut outbox = outbox();
        assert_eq!(outbox.push(message(61), Duration::ZERO), Err(NotPublished::TooLarge));
        assert_eq!(outbox.push(message(60), Duration::ZERO), Ok(()));
        assert_eq!(outbox.push(message(41), Duration::ZERO), Err(NotPublished::Full));
        for _ in 0..3 {
            assert_eq!(outbox.push(message(1), Duration::ZERO), Ok(()));
        }
        assert_eq!(outbox.push(message(0), Duration::ZERO), Err(NotPublished::Full));
        assert_eq!((outbox.len(), outbox.bytes()), (4, 63));
    }

    #[test]
    fn what_has_waited_too_long_is_dropped_and_counted() {
        let mut outbox = outbox();
        outbox.push(message(10), Duration::ZERO).unwrap();
        outbox.push(message(20), Duration::from_millis(500)).unwrap();
        assert_eq!(outbox.expire(Duration::from_secs(1)), 0);
        assert_eq!(outbox.expire(Duration::from_millis(1001)), 1);
        assert_eq!((outbox.len(), outbox.bytes()), (1, 20));
    }

    #[test]
    fn messages_are_taken_in_order_and_a_large_one_alone() {
        let mut outbox = outbox();
        for bytes in [50, 10, 20] {
            outbox.push(message(bytes), Duration::ZERO).unwrap();
        }
        let sizes = |taken: Vec<Outgoing>| taken.iter().map(Outgoing::bytes).collect::<Vec<_>>();
        assert_eq!(sizes(outbox.take(9, 30)), [50]);
        assert_eq!(sizes(outbox.take(9, 30)), [10, 20]);
        assert_eq!(sizes(outbox.take(9, 30)), []);
        assert_eq!(outbox.bytes(), 0);
    }
}
