//! Redis for roomcast nodes: a bus of published messages, and commands for shared state.
//!
//! [`RedisBus`] publishes bytes to channels and delivers what others publish. It runs on a thread of its own with a
//! runtime of its own, so that it serves every adapter alike and a slow or absent Redis holds nothing up: publishing puts
//! a message into a bounded queue and returns. Redis loses messages while a connection is down, and says nothing of it;
//! this crate counts what it dropped itself and tells of every gap ([`BusEvent::Down`], [`BusEvent::Up`],
//! [`BusStats`]).
//!
//! [`RedisKeys`] sends commands for state that nodes share, [`RedisLock`] is a lock among them.
//!
//! The servers are one Redis, the primary that Sentinels name, or a Redis Cluster ([`RedisUrl`]). Redis 6 or later is
//! needed, for RESP3; Valkey speaks the same and is not tested.
//!
//! Of other crates' types, only [`bytes::Bytes`] stands in this API.
//!
//! This crate knows no protocol of the messages and no server.
#![forbid(unsafe_code)]

mod backoff;
mod bus;
mod bus_event;
mod config;
mod connect;
mod fault;
mod inbound;
mod inner;
mod keys;
mod lock;
mod outbox;
mod publisher;
mod stats;
mod subscriber;
mod subscriptions;
mod tls;
mod url;

pub use crate::bus::RedisBus;
pub use crate::bus_event::{BusEvent, Delivered, InboundShare};
pub use crate::config::{BusLimits, RedisConfig};
pub use crate::fault::RedisFault;
pub use crate::keys::RedisKeys;
pub use crate::lock::RedisLock;
pub use crate::outbox::NotPublished;
pub use crate::stats::BusStats;
pub use crate::subscriptions::{Channel, PubSubKind};
pub use crate::url::{RedisUrl, RedisUrlError};
/// The client library, for the commands of [`RedisKeys`].
pub use redis;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
