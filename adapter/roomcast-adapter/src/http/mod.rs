//! HTTP, by hyper.
//!
//! Owns: requests on their way to the driver and answers on their way back, and the accept loop of a server that stands
//! alone. Must never know: Engine.IO.

pub(crate) mod exchange;
mod serve;
mod service;
mod tally;

use std::time::Duration;

pub use self::service::{Responding, Service};
pub(crate) use self::tally::Tallied;
pub use self::tally::read_with;

/// Bounds on HTTP requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest head of a request, in bytes; a larger one is answered 431. 32 KiB. Only where the server stands alone.
    pub head_bytes_max: usize,
    /// Time in which a head must be there, from the connection's start or the end of the answer before: the limit of an
    /// idle connection too. 30 s. Only where the server stands alone.
    pub head_timeout: Duration,
    /// Time in which a body must be there. 30 s.
    pub body_timeout: Duration,
    /// Largest body of a request for a [`page`](crate::Builder::page), in bytes. 1,000,000. Endpoints have their own.
    pub page_body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 << 10,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            page_body_bytes_max: 1_000_000,
        }
    }
}
