//! What an async runtime must give.
//!
//! Owns: the [`Runtime`] trait. Must never know: a particular runtime, what is spoken over a stream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, Write};
use hyper::upgrade::Upgraded;

/// Sockets, timers and tasks of an async runtime.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A TCP connection.
    type Stream: Read + Write + Unpin + Send + 'static;
    /// What connections are accepted from.
    type Listener: Send + 'static;

    /// Runs a future in the background.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F);

    /// Runs the server's driver in the background. It serves all connections in one task, so a runtime that makes a
    /// task yield after some number of operations must not do so here.
    fn spawn_driver<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.spawn(future);
    }

    /// Completes after `span`, and not before.
    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + Sync + 'static;

    /// The next connection, with `TCP_NODELAY` set, and the address of the peer.
    ///
    /// # Errors
    ///
    /// The listener's. Those of a single connection, such as a reset, are passed over; after others the server pauses.
    fn accept(
        &self,
        listener: &mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Completes after the runtime has looked for events of sockets and timers and other tasks have had their turn. A
    /// task that merely wakes itself is run again by some executors before either.
    fn yield_now(&self) -> impl Future<Output = ()> + Send + 'static {
        self.sleep(Duration::from_micros(1))
    }

    /// Takes the plain stream out of what an HTTP server has upgraded, with what it had already read.
    ///
    /// # Errors
    ///
    /// It is another kind of stream: it comes back, to be used as it is.
    fn downcast(&self, upgraded: Upgraded) -> Result<(Self::Stream, Bytes), Upgraded> {
        upgraded.downcast::<Self::Stream>().map(|parts| (parts.io, parts.read_buf))
    }

    /// Takes over a stream that the event loop of another shard has watched so far. Where all share one there is nothing
    /// to do.
    ///
    /// # Errors
    ///
    /// The event loop does not take it. The stream is closed.
    fn adopt(&self, stream: Self::Stream) -> io::Result<Self::Stream> {
        Ok(stream)
    }
}

/// A [`Runtime`]'s timers for hyper.
#[derive(Clone, Debug)]
pub(crate) struct HyperTimer<R>(pub(crate) R);

impl<R: Runtime> hyper::rt::Timer for HyperTimer<R> {
    fn sleep(&self, span: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HyperSleep(Box::pin(self.0.sleep(span))))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }
}

struct HyperSleep<F>(Pin<Box<F>>);

impl<F: Future<Output = ()> + Send + Sync> Future for HyperSleep<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl<F: Future<Output = ()> + Send + Sync> hyper::rt::Sleep for HyperSleep<F> {}
