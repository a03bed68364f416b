//! A server that stands alone.
//!
//! Owns: the accept loop and hyper's connections, with their time limits. Must never know: Engine.IO.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;

use super::head_watch::{HeadWatch, LineCount};
use super::service::{CameBy, Responding, Service, last, plain};
use crate::addresses::TooMany;
use crate::mailbox::{Mail, Shared, Stopped};
use crate::runtime::{HyperTimer, Runtime};
use crate::server::{Server, ServerShard};

impl<R: Runtime> Server<R> {
    /// Accepts connections until the server is [shut down](crate::Handle::shutdown). Returns when all connections are
    /// closed.
    pub async fn serve(self, mut listener: R::Listener) {
        let handle = self.handle();
        let shared = handle.shared();
        let mut stopped = pin!(Stopped::new(shared.clone()));
        let mut trouble = AcceptTrouble::default();
        loop {
            let accepted = {
                let mut accept = pin!(self.first.runtime.accept(&mut listener));
                poll_fn(|cx| {
                    if stopped.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    accept.as_mut().poll(cx).map(Some)
                })
                .await
            };
            match accepted {
                None => break,
                Some(Ok((stream, address))) => {
                    trouble.is_over();
                    // Of a proxy's connections its clients' requests count instead.
                    let address = address.ip();
                    let counts = shared.addresses.has_limit() && !shared.addresses.is_proxy(address);
                    let guard = match counts.then(|| shared.addresses.admit(address)).transpose() {
                        Ok(guard) => guard.map(Arc::new),
                        Err(TooMany) => {
                            tracing::debug!(%address, "a connection too many from this address");
                            continue;
                        }
                    };
                    self.spread(stream, CameBy { peer: address, guard });
                }
                Some(Err(error)) if is_of_one_connection(&error) => {}
                Some(Err(error)) => {
                    // Out of file descriptors, most likely: clients that leave make room.
                    let pause = trouble.again(&error);
                    let mut pause = pin!(self.first.runtime.sleep(pause));
                    poll_fn(|cx| {
                        if stopped.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { pause.as_mut().poll(cx) }
                    })
                    .await;
                }
            }
        }
        drop(listener);
        handle.shutdown(Duration::MAX).await;
    }

    /// Gives a connection to the shard whose turn it is.
    fn spread(&self, stream: R::Stream, via: CameBy) {
        let ServerShard { runtime, service } = self.next_shard();
        if self.more.is_empty() {
            return runtime.spawn(connection(runtime.clone(), service.clone(), stream, via));
        }
        let (on, service) = (runtime.clone(), service.clone());
        runtime.spawn(async move {
            // One that cannot be taken over is closed, as if it had not been accepted.
            if let Ok(stream) = on.adopt(stream) {
                connection(on, service, stream, via).await;
            }
        });
    }
}

async fn connection<R: Runtime>(runtime: R, service: Service, stream: R::Stream, via: CameBy) {
    let shared = service.handle().shared().clone();
    let _counted = CountedConnection::new(shared.clone());
    let limits = shared.endpoints.limits;
    let lines = Arc::new(LineCount::default());
    let state = Arc::new(State::new(service, via, lines.clone()));
    let mut builder = http1::Builder::new();
    builder
        .timer(HyperTimer(runtime.clone()))
        .header_read_timeout(limits.head_timeout)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size((2 * limits.head_bytes_max).max(BUFFER_BYTES_MIN));
    let stream = HeadWatch::new(stream, lines);
    let mut conn = pin!(builder.serve_connection(stream, WatchedConnection(state.clone())).with_upgrades());
    let mut stopped = pin!(Stopped::new(shared));
    let mut stalled = pin!(state.stalled(&runtime, limits.head_timeout));
    let mut ending = false;
    poll_fn(|cx| {
        if !ending && stopped.as_mut().poll(cx).is_ready() {
            ending = true;
            conn.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = conn.as_mut().poll(cx) {
            if let Err(error) = result {
                tracing::trace!(%error, "an HTTP connection ended");
            }
            return Poll::Ready(());
        }
        stalled.as_mut().poll(cx)
    })
    .await;
}

/// What is known of a connection.
struct State {
    service: Service,
    via: CameBy,
    lines: Arc<LineCount>,
    /// `Content-Length` lines that hyper has shown.
    lines_known: AtomicU32,
    /// A request is being answered.
    answering: AtomicBool,
    /// Requests and answers so far.
    steps: AtomicU32,
}

impl State {
    fn new(service: Service, via: CameBy, lines: Arc<LineCount>) -> Self {
        Self {
            service,
            via,
            lines,
            lines_known: AtomicU32::new(0),
            answering: AtomicBool::new(false),
            steps: AtomicU32::new(0),
        }
    }

    /// Resolves when a client has not taken an answer for two to three times this span: hyper has no limit for that,
    /// and none for a head runs before.
    async fn stalled<R: Runtime>(&self, runtime: &R, span: Duration) {
        let (mut steps, mut unchanged) = (0, 0);
        while unchanged < 3 {
            runtime.sleep(span).await;
            let steps_now = self.steps.load(Ordering::Relaxed);
            let idle = steps_now == steps && !self.answering.load(Ordering::Relaxed);
            unchanged = if idle { unchanged + 1 } else { 0 };
            steps = steps_now;
        }
    }

    /// Whether the request's body is framed in two ways.
    fn is_framed_twice(&self, request: &Request<Incoming>) -> bool {
        if request.headers().contains_key(header::CONTENT_LENGTH) {
            self.lines_known.fetch_add(1, Ordering::Relaxed);
        }
        request.headers().contains_key(header::TRANSFER_ENCODING)
            && self.lines.seen() > self.lines_known.load(Ordering::Relaxed)
    }
}

/// The service of one connection.
struct WatchedConnection(Arc<State>);

impl hyper::service::Service<Request<Incoming>> for WatchedConnection {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Watching;

    fn call(&self, mut request: Request<Incoming>) -> Watching {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        if self.0.is_framed_twice(&request) {
            return Watching { state: self.0.clone(), responding: None };
        }
        self.0.answering.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(self.0.via.clone());
        let responding = hyper::service::Service::call(&self.0.service, request);
        Watching { state: self.0.clone(), responding: Some(responding) }
    }
}

struct Watching {
    state: Arc<State>,
    /// `None`: the request is refused.
    responding: Option<Responding>,
}

impl Future for Watching {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let Some(responding) = &mut self.responding else {
            return Poll::Ready(Ok(last(plain(StatusCode::BAD_REQUEST, "a body is framed once"))));
        };
        let response = std::task::ready!(Pin::new(responding).poll(cx));
        self.state.answering.store(false, Ordering::Relaxed);
        self.state.steps.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(response)
    }
}

/// Counts a connection while it lives.
struct CountedConnection(Arc<Shared>);

impl CountedConnection {
    fn new(shared: Arc<Shared>) -> Self {
        shared.http_conns.fetch_add(1, Ordering::AcqRel);
        Self(shared)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.http_conns.fetch_sub(1, Ordering::AcqRel);
        if self.0.stopping.load(Ordering::Acquire) {
            self.0.send(Mail::Nudge, 0);
        }
    }
}

/// Accepts that fail again and again: the pauses between them grow, and the log says so once a minute.
#[derive(Default)]
struct AcceptTrouble {
    pause: Duration,
    failures: u64,
    /// Lines in the log so far.
    lines: u64,
    /// The pauses since the last line in the log; `None` before the first.
    unlogged: Option<Duration>,
}

impl AcceptTrouble {
    /// The pause until the next try.
    fn again(&mut self, error: &std::io::Error) -> Duration {
        self.failures += 1;
        if self.unlogged.is_none_or(|span| span >= ACCEPT_LOG_INTERVAL) {
            tracing::warn!(%error, failures = self.failures, "cannot accept connections");
            self.unlogged = Some(Duration::ZERO);
            self.lines += 1;
        }
        self.pause = (2 * self.pause).clamp(ACCEPT_PAUSE_MIN, ACCEPT_PAUSE_MAX);
        self.unlogged = self.unlogged.map(|span| span + self.pause);
        self.pause
    }

    /// One was accepted.
    const fn is_over(&mut self) {
        self.pause = Duration::ZERO;
    }
}

/// Whether only the connection that was to be accepted is broken, and the next one may be well.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused, ErrorKind::Interrupted]
        .contains(&error.kind())
}

const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(100);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pauses between two lines in the log.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// What hyper requires at least.
const BUFFER_BYTES_MIN: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_that_fail_for_an_hour_are_logged_once_a_minute_and_tried_every_two_seconds() {
        let error = std::io::Error::from_raw_os_error(24);
        let (mut trouble, mut passed) = (AcceptTrouble::default(), Duration::ZERO);
        assert_eq!(trouble.again(&error), Duration::from_millis(100));
        assert_eq!(trouble.again(&error), Duration::from_millis(200));
        while passed < Duration::from_secs(3600) {
            passed += trouble.again(&error);
        }
        assert!((59..=60).contains(&trouble.lines), "{}", trouble.lines);
        assert!((1800..1810).contains(&trouble.failures), "{}", trouble.failures);
        trouble.is_over();
        assert_eq!(trouble.again(&error), Duration::from_millis(100), "one that was accepted begins anew");
    }
}
