//! The bus against real servers: one Redis, Sentinels, a cluster, and what goes wrong with each.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod acl;
mod cluster;
mod ear;
mod keys;
mod sentinel;
mod server;
mod single;
mod slow;
#[cfg(feature = "tls")]
mod tls;
