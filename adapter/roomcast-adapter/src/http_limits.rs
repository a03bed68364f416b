//! Bounds on HTTP requests.
//!
//! Owns: [`HttpLimits`] and its defaults. Must never know: where they are enforced.

use std::time::Duration;

/// Bounds on HTTP requests. Endpoints have a limit of their own for bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Largest head of a request, in bytes; a larger one is answered 431. 32 KiB. Only for
    /// [`Server::serve`](crate::Server::serve).
    pub head_bytes_max: usize,
    /// Time within which a head must have arrived, from the connection's start or the end of the response before: the
    /// limit of an idle connection too. 30 s. Only for [`Server::serve`](crate::Server::serve).
    pub head_timeout: Duration,
    /// Time within which a body must have arrived. 30 s.
    pub body_timeout: Duration,
    /// Largest body of a request for a [`page`](crate::Builder::page), in bytes. 1,000,000.
    pub page_body_bytes_max: usize,
    /// Bytes of all bodies together that have begun to arrive and are not complete; more are answered 503. 256 MiB.
    pub partial_bodies_bytes_max: usize,
    /// Connections of one client address, where that is known: an IPv4 address or an IPv6 /64. Of one that comes by way of
    /// a [trusted proxy](crate::Builder::trusted_proxies), its requests under way and its WebSockets. No limit.
    pub conns_per_address_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 << 10,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            page_body_bytes_max: 1_000_000,
            partial_bodies_bytes_max: 256 << 20,
            conns_per_address_max: usize::MAX,
        }
    }
}
