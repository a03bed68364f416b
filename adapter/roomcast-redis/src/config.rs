//! How a Redis is used.
//!
//! Owns: [`RedisConfig`], [`BusLimits`] and their defaults. Must never know: where a setting comes from.

use std::time::Duration;

use crate::url::RedisUrl;

/// Which Redis, and within which limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisConfig {
    /// Address and credentials of the servers.
    pub url: RedisUrl,
    /// Bounds on memory and time.
    pub limits: BusLimits,
}

impl RedisConfig {
    /// These servers, with the default limits.
    pub fn new(url: RedisUrl) -> Self {
        Self { url, limits: BusLimits::default() }
    }
}

/// What the bus may take: memory and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusLimits {
    /// Bytes of messages that wait to be published. What does not fit is dropped and counted. 16 MiB.
    pub queue_bytes_max: usize,
    /// Messages that wait to be published. 65,536.
    pub queue_messages_max: usize,
    /// How long a message may wait while Redis is away. What was said longer ago is dropped and counted. 10 s.
    pub queue_span_max: Duration,
    /// Bytes of one message. Redis ends the connection of every subscriber whose output exceeds 32 MB at once
    /// (`client-output-buffer-limit pubsub`), so that a single message above that silences all nodes. 16 MiB.
    pub message_bytes_max: usize,
    /// Bytes of messages that were received and that the receiver still holds. What does not fit is dropped and counted.
    /// 64 MiB.
    pub inbound_bytes_max: usize,
    /// Time to connect and log in. 3 s.
    pub connect_timeout: Duration,
    /// Time within which Redis must answer, after which the connection counts as lost. 5 s.
    pub response_timeout: Duration,
    /// How often a quiet connection is asked whether it is still there; with Sentinel, also whether it still leads to the
    /// primary. 5 s.
    pub ping_interval: Duration,
    /// The pause before the second try to connect; it doubles with every try. 100 ms.
    pub backoff_min: Duration,
    /// The longest pause between two tries. 5 s.
    pub backoff_max: Duration,
}

impl Default for BusLimits {
    fn default() -> Self {
        Self {
            queue_bytes_max: 16 << 20,
            queue_messages_max: 65_536,
            queue_span_max: Duration::from_secs(10),
            message_bytes_max: 16 << 20,
            inbound_bytes_max: 64 << 20,
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(5),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        }
    }
}
