//! The runtime smol.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_io::Timer;
use roomcast_adapter::Runtime;
use smol::net::{TcpListener, TcpStream};

use crate::FuturesIo;

/// The runtime smol: its global executor runs the tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Runtime for Smol {
    type Stream = FuturesIo<TcpStream>;
    type Listener = TcpListener;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        smol::spawn(future).detach();
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
        Ok((FuturesIo(stream), address))
    }
}
