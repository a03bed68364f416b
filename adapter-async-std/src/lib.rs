//! roomcast on runtimes whose sockets speak `futures-io`: smol (feature `smol`) and async-std (feature `async-std`).
//!
//! async-std has been archived by its authors, who name smol as what to use instead: the feature is for programs that
//! have not moved yet. Neither feature is on by default; with none, this crate gives [`FuturesIo`] to a [`Runtime`] of
//! your own.
//!
#![cfg_attr(feature = "smol", doc = "```no_run")]
#![cfg_attr(not(feature = "smol"), doc = "```ignore")]
//! use roomcast_async_std::{Builder, Data, Smol, Socket};
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = Builder::new().socket_io("/socket.io", |io| {
//!     io.namespace("/", |ns| {
//!         ns.on("message", async |socket: Socket, Data((text,)): Data<(String,)>| {
//!             socket.broadcast().emit("message", text).await;
//!         });
//!     });
//! });
//! smol::block_on(async {
//!     let listener = smol::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     builder.start(Smol)?.serve(listener).await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # The contract
//!
//! * A client is a [`Socket`] in each namespace that it has joined, or a [`Peer`] of a bare endpoint. Both are cheap to
//!   clone; what is sent to one that has gone is dropped.
//! * **Order.** The events of one socket are handled in the order in which they were sent, one after the other, also by
//!   handlers that wait for something. Other sockets are not held up. What is emitted to one client arrives in the order
//!   of the calls.
//! * **Acks.** What a handler returns is the ack: the elements of a tuple, `()` for none, a `Result` by [`ErrorArgs`],
//!   [`NoAck`] for no ack at all. A handler that panics is logged and acks nothing.
//! * **Pace.** `emit` sends by the call. Awaiting it paces the caller: by a single client while that is behind, by a room
//!   never for a member. A client that does not read is closed above [`ServerLimits::queue_bytes_max`]; one whose events
//!   are not handled as fast as they come is not read above [`ServerLimits::unanswered_max`].
//! * **Fairness.** One task serves all connections, in turns of about 3 ms that are shared out by bytes. A handler that
//!   blocks its thread holds all clients up: what takes long belongs into a task or a thread pool.
//!   [`Handle::driver_load`] shows it.
//! * **Bounds.** Everything that clients can make grow has a limit: [`ServerLimits`], [`HttpLimits`].
//! * **End.** [`Handle::shutdown`] closes all transports in such a way that clients come back, and waits within the grace
//!   period for them and for handlers.
//!
//! # Features
//!
//! `smol` and `async-std` are the runtimes. `documents` is [`Builder::documents`](Builder), Yjs for stock providers of
//! y-websocket. `stores` is the module [`stores`](https://docs.rs/roomcast-stores) with documents in memory, and `sqlite`
//! adds documents in a file. `openwebui` adds the stores of that application; `postgres` and `postgres-tls` its tables in
//! PostgreSQL, and `yrs` the content of documents and edits of them.
//!
//! Types of other crates in this API, beside those of `roomcast-adapter`, all of which is re-exported: the traits of
//! `futures-io`, and the runtimes' `TcpListener` and `TcpStream`.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

pub use roomcast_adapter::*;
#[cfg(feature = "stores")]
pub use roomcast_stores as stores;

#[cfg(feature = "async-std")]
mod on_async_std;
#[cfg(feature = "smol")]
mod on_smol;

#[cfg(feature = "async-std")]
pub use self::on_async_std::{AsyncStd, ClosingStream};
#[cfg(feature = "smol")]
pub use self::on_smol::Smol;

/// A stream of `futures-io` as one of hyper.
#[derive(Debug)]
pub struct FuturesIo<S>(pub S);

impl<S: AsyncRead + Unpin> Read for FuturesIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let window = buf.remaining();
        read_with(buf, window, |slice| Pin::new(&mut self.0).poll_read(cx, slice)).map_ok(|_| ())
    }
}

impl<S: AsyncWrite + Unpin> Write for FuturesIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }

    /// `futures-io` does not say; where it is not, the first slice is written.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
}
