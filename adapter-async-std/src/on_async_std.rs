//! The runtime async-std.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::Timer;
use async_std::net::{TcpListener, TcpStream};
use futures_io::{AsyncRead, AsyncWrite};
use roomcast_adapter::Runtime;

use crate::FuturesIo;

/// The runtime async-std: its global executor runs the tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Stream = FuturesIo<ClosingStream>;
    type Listener = TcpListener;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        drop(async_std::task::spawn(future));
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + Sync + 'static {
        let timer = Timer::after(span);
        async {
            timer.await;
        }
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, address) = listener.accept().await?;
        // It fails on a connection that is broken already, which its first read will tell.
        let _ = stream.set_nodelay(true);
        Ok((FuturesIo(ClosingStream(stream)), address))
    }
}

/// A TCP connection whose close ends what is sent: async-std's own only flushes, and the peer of a connection that is
/// closed in order would wait for the end of the stream until a time limit.
#[derive(Debug)]
pub struct ClosingStream(pub TcpStream);

impl AsyncRead for ClosingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read_vectored(cx, slices)
    }
}

impl AsyncWrite for ClosingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(cx))?;
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}
