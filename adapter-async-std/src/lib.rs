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
//! Owns: `futures-io` sockets as hyper's, and the timers and tasks of these runtimes as a [`Runtime`]. Must never know:
//! what is served.
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
pub use self::on_async_std::{AsyncStd, Closing};
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
