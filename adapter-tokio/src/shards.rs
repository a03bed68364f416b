//! One server on several threads of tokio.
//!
//! Owns: the threads, each with a runtime, and the way of a stream from one to another. Must never know: what a shard is.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use roomcast_adapter::core::server::App;
use roomcast_adapter::{AppHandle, Builder, Runtime, Server, StartError};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Tokio;

/// A thread with a runtime of its own. The thread ends with the last clone of this.
#[derive(Clone, Debug)]
pub struct TokioThread {
    handle: Handle,
    _ends_thread: Arc<oneshot::Sender<()>>,
}

impl TokioThread {
    /// Starts the thread, which has this name.
    ///
    /// # Errors
    ///
    /// The system gives no thread, or the runtime no event loop.
    pub fn start(name: impl Into<String>) -> io::Result<Self> {
        let (ends_thread, ended) = oneshot::channel::<()>();
        let (started, starting) = mpsc::channel();
        thread::Builder::new().name(name.into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(runtime.handle().clone())).is_ok() {
                // Nothing is ever sent: it resolves when the sender is dropped.
                let _dropped = runtime.block_on(ended);
            }
        })?;
        let handle = starting.recv().map_err(|_| io::Error::other("the thread has ended"))??;
        Ok(Self { handle, _ends_thread: Arc::new(ends_thread) })
    }
}

impl Runtime for TokioThread {
    type Stream = TokioIo<TcpStream>;
    type Listener = TcpListener;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.handle.spawn(future);
    }

    fn spawn_driver<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        self.handle.spawn(tokio::task::unconstrained(future));
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + Sync + 'static {
        let _within = self.handle.enter();
        tokio::time::sleep(span)
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(Self::Stream, SocketAddr)> {
        Tokio.accept(listener).await
    }

    fn yield_now(&self) -> impl Future<Output = ()> + Send + 'static {
        Tokio.yield_now()
    }

    fn downcast(&self, upgraded: Upgraded) -> Result<(Self::Stream, Bytes), Upgraded> {
        Tokio.downcast(upgraded)
    }

    /// A stream wakes the event loop that it was made on: it is taken out of that one.
    fn adopt(&self, stream: Self::Stream) -> io::Result<Self::Stream> {
        let stream = stream.into_inner().into_std()?;
        let _within = self.handle.enter();
        TcpStream::from_std(stream).map(TokioIo::new)
    }
}

/// Starts one server in shards on as many threads: see [`Server::start_shards`]. What one thread can serve is enough for
/// most; measure before you choose more than one.
///
/// ```no_run
/// use roomcast_tokio::{Builder, Data, Socket, start_shards};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// // Called once for each shard.
/// let build = |_shard| {
///     Builder::new().socket_io("/socket.io", |io| {
///         io.namespace("/", |ns| {
///             ns.on("join", async |socket: Socket, Data((room,)): Data<(String,)>| socket.join(room));
///             // Reaches the members on all shards.
///             ns.on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>| {
///                 socket.to(room).emit("said", text).await;
///             });
///         });
///     })
/// };
/// let (server, _apps) = start_shards(2.try_into()?, build)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// // This task only accepts: the shards do the rest.
/// server.serve(listener).await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`Server::start_shards`], and [`StartError::Thread`] if there is no thread for a shard.
pub fn start_shards<A: App + Send + 'static>(
    shards: NonZeroU16,
    build: impl FnMut(u16) -> Builder<A>,
) -> Result<(Server<TokioThread>, Vec<AppHandle<A>>), StartError> {
    let threads: io::Result<Vec<_>> =
        (0..shards.get()).map(|shard| TokioThread::start(format!("roomcast-shard-{shard}"))).collect();
    let threads = threads.map_err(|error| StartError::Thread(error.to_string()))?;
    Server::start_shards(threads, build)
}
