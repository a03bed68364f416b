//! A server and its clients mouth to mouth under virtual time: no port, no thread, no clock.
//!
//! Owns: [`Pair`] and its clients, which speak with real client-side codecs. Must never know: what a test wants to see.
//!
//! | level | what it is for |
//! |---|---|
//! | [`Pair::get`], [`Pair::post`], [`Pair::web_socket`] | one request or one stream, in the hands of the test |
//! | [`Pair::open`], [`Pair::send`], [`Pair::take`] | a [`Peer`]: a client that polls, answers pings and can upgrade |
//!
//! Everything happens at once except time, which moves by [`Pair::pass`] from deadline to deadline. When a pair is
//! dropped, everybody leaves and the server's audit must come to all zeros.

pub mod app;
pub mod host;
mod peer;
mod web_socket;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use roomcast_core::rng::Rng;
use roomcast_core::server::config::Config;
use roomcast_core::server::{App, Audit, Command, Cx, Event, RequestId, Server, TimerKind};
use roomcast_core::time::{Instant, WallTime};
use roomcast_testkit::{Observed, Trace};

pub use self::app::{Conformance, Profile, emit};
pub use self::host::{Host, host};
use self::peer::PeerState;
pub use self::peer::{Over, Peer, Via};
pub use self::web_socket::Ws;
use self::web_socket::WsClient;

/// A server and its clients.
#[derive(Debug)]
pub struct Pair<A: App> {
    /// The server and its driver.
    pub host: Host<A>,
    requests: Vec<Asked>,
    sockets: Vec<WsClient>,
    peers: Vec<PeerState>,
    masks: Rng,
}

impl Pair<Conformance> {
    /// The conformance server in the suites' profile.
    pub fn suite() -> Self {
        Self::new(Conformance::config(Profile::SUITE), Conformance::new())
    }

    /// The conformance server with the default times.
    pub fn defaults() -> Self {
        Self::new(Conformance::config(Profile::APP), Conformance::new())
    }
}

impl Pair<Manual> {
    /// A server whose application is the test itself: it looks at [`Manual::events`] and gives commands.
    pub fn manual(config: Config) -> Self {
        Self::new(config, Manual::default())
    }

    /// The events since the last time.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.app().events)
    }
}

impl<A: App> Pair<A> {
    /// A server of this configuration.
    pub fn new(config: Config, app: A) -> Self {
        Self::seeded(config, app, 1)
    }

    /// A server of this configuration, with a seed.
    pub fn seeded(config: Config, app: A, seed: u64) -> Self {
        Self {
            host: host(config, Observed { app, observer: Trace::default() }, seed, WallTime::from_unix_millis(WALL_MS)),
            requests: Vec::new(),
            sockets: Vec::new(),
            peers: Vec::new(),
            masks: Rng::from_seed([9; 32]),
        }
    }

    /// The server, for its getters.
    pub const fn server(&mut self) -> &mut Server {
        self.host.server()
    }

    /// The application.
    pub const fn app(&mut self) -> &mut A {
        &mut self.host.stack.app.app
    }

    /// A hash of everything that went in and came out, and of the events, each in order.
    pub const fn trace(&self) -> (u64, u64) {
        (self.host.hooks.trace().hash(), self.host.stack.app.observer.hash())
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.host.now()
    }

    /// The calendar.
    pub fn wall(&mut self) -> WallTime {
        self.host.server().wall()
    }

    /// The application says something outside of an event.
    pub fn command(&mut self, command: Command) {
        self.host.command(command);
        self.settle();
    }

    /// When something is due next, and what.
    pub fn next_deadline(&self) -> Option<(Instant, TimerKind)> {
        self.host.next_deadline()
    }

    /// Lets time pass, from deadline to deadline.
    pub fn pass(&mut self, span: Duration) {
        self.settle();
        let end = self.now() + span;
        while let Some((deadline, kind)) = self.next_deadline().filter(|(deadline, _)| *deadline <= end) {
            let late = deadline.max(self.now());
            self.host.time(late);
            self.settle();
            assert!(
                self.next_deadline() != Some((deadline, kind)) || deadline > self.now(),
                "{kind:?} is due for ever"
            );
        }
        self.host.time(end);
        self.settle();
    }

    /// Lets time pass until just before `span` is over, then the rest: what `check` sees in between has not happened.
    pub fn pass_with(&mut self, span: Duration, check: impl FnOnce(&mut Self)) {
        let moment = Duration::from_nanos(1);
        self.pass(span.saturating_sub(moment));
        check(self);
        self.pass(moment);
    }

    /// Begins a request: its head, and not yet its body.
    pub fn begin(&mut self, method: Method, target: &str, headers: &[(&str, &str)]) -> Query {
        let query = self.begin_unsettled(method, target, headers);
        self.settle();
        query
    }

    /// Begins a request, and lets the server draw no conclusions yet.
    pub fn begin_unsettled(&mut self, method: Method, target: &str, headers: &[(&str, &str)]) -> Query {
        let request = request(method, target, headers);
        let asked = match self.host.server().route(request.uri().path()) {
            None => Asked::Refused(Response::new(Bytes::from_static(b"no such path"))),
            Some(endpoint) => match self.host.head(endpoint, request) {
                Ok(id) => Asked::Head(id),
                Err(response) => Asked::Refused(*response),
            },
        };
        self.requests.push(asked);
        Query(self.requests.len() - 1)
    }

    /// Sends the body of a request.
    pub fn finish(&mut self, request: Query, body: impl Into<Bytes>) {
        self.finish_unsettled(request, body);
        self.settle();
    }

    /// Sends the body of a request, and lets the server draw no conclusions yet.
    pub fn finish_unsettled(&mut self, request: Query, body: impl Into<Bytes>) {
        if let Some(asked) = self.requests.get_mut(request.0)
            && let Asked::Head(id) = *asked
        {
            *asked = Asked::Running(id);
            self.host.body(id, body.into());
        }
    }

    /// A whole request.
    pub fn request(&mut self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Query {
        let request = self.begin(method, target, headers);
        self.finish(request, body.to_owned());
        request
    }

    /// A GET.
    pub fn get(&mut self, target: &str) -> Query {
        self.request(Method::GET, target, &[], "")
    }

    /// A POST.
    pub fn post(&mut self, target: &str, body: &str) -> Query {
        self.request(Method::POST, target, &[], body)
    }

    /// The answer to a request, if it has come.
    pub fn answer(&mut self, request: Query) -> Option<Answer> {
        let asked = self.requests.get_mut(request.0)?;
        if let Asked::Running(id) = *asked
            && let Some(response) = self.host.take_answer(id)
        {
            *asked = Asked::Answered(response);
        }
        match asked {
            Asked::Refused(response) | Asked::Answered(response) => Some(Answer::of(response)),
            Asked::Head(_) | Asked::Running(_) | Asked::Aborted => None,
        }
    }

    /// The answer to a request, which must have come.
    ///
    /// # Panics
    ///
    /// If it has not.
    pub fn answered(&mut self, request: Query) -> Answer {
        match self.answer(request) {
            Some(answer) => answer,
            None => panic!("no answer yet"),
        }
    }

    /// The client of a request goes away.
    pub fn abort(&mut self, request: Query) {
        if let Some(asked) = self.requests.get_mut(request.0)
            && let Asked::Head(id) | Asked::Running(id) = *asked
        {
            if self.host.take_answer(id).is_none() {
                self.host.abort(id);
            }
            *asked = Asked::Aborted;
        }
        self.settle();
    }

    /// Lets everything happen that needs no time.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.host.run();
            let web_sockets = self.pump_web_sockets();
            let peers = self.pump_peers();
            if !web_sockets && !peers {
                return;
            }
        }
        panic!("server and clients talk for ever without any time passing");
    }

    /// Everybody leaves without a word; some time later nothing may be left of them.
    ///
    /// # Panics
    ///
    /// If something is.
    pub fn leave(&mut self) {
        self.settle();
        for index in 0..self.peers.len() {
            self.vanish(Peer(index));
        }
        for index in 0..self.sockets.len() {
            self.hang_up(Ws(index));
        }
        for index in 0..self.requests.len() {
            self.abort(Query(index));
        }
        for _ in 0..4 {
            self.pass(Duration::from_secs(60));
        }
        assert_eq!(self.host.audit(), Audit::default(), "everybody has left");
    }
}

impl<A: App> Drop for Pair<A> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.leave();
        }
    }
}

/// An application that does nothing of its own.
#[derive(Debug, Default)]
pub struct Manual {
    /// What happened.
    pub events: Vec<Event>,
    /// Whether events are handled as they come.
    pub handling: Handling,
}

/// Whether [`Manual`] says of each event that it is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// As soon as it comes.
    #[default]
    AtOnce,
    /// The test says so.
    ByHand,
}

impl App for Manual {
    roomcast_testkit::without_stores!();

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        if let (Event::Received { session, .. } | Event::Message { session, .. }, Handling::AtOnce) =
            (&event, self.handling)
        {
            cx.command(Command::Handled { session: *session });
        }
        self.events.push(event);
        None
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A request of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query(usize);

/// An answer as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, as text.
    pub body: String,
    /// The header fields.
    pub headers: http::HeaderMap,
}

impl Answer {
    /// A header field as text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Status and body.
    pub fn brief(&self) -> (u16, &str) {
        (self.status.as_u16(), &self.body)
    }

    fn of(response: &Response<Bytes>) -> Self {
        Self {
            status: response.status(),
            body: String::from_utf8_lossy(response.body()).into_owned(),
            headers: response.headers().clone(),
        }
    }
}

#[derive(Debug)]
enum Asked {
    Refused(Response<Bytes>),
    Head(RequestId),
    Running(RequestId),
    Answered(Response<Bytes>),
    Aborted,
}

/// A request's head.
fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    match target.parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => panic!("{target}: {error}"),
    }
    for (name, value) in headers {
        match (HeaderName::try_from(*name), HeaderValue::try_from(*value)) {
            (Ok(name), Ok(value)) => request.headers_mut().append(name, value),
            (Err(_), _) | (_, Err(_)) => panic!("not a header field: {name}: {value}"),
        };
    }
    request
}

/// The head of a request for a WebSocket.
pub fn handshake(target: &str, origin: Option<&str>) -> Request<()> {
    let mut request = request(Method::GET, target, &[("host", "localhost")]);
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    if let Some(origin) = origin.and_then(|origin| HeaderValue::try_from(origin).ok()) {
        headers.insert(ORIGIN, origin);
    }
    request
}

/// Each round answers what came in the one before; a client that takes a long queue by polls of 16 packets needs the
/// most.
const ROUNDS_MAX: usize = 100_000;

/// The calendar when a pair begins: 2025-01-01T00:00:00Z.
pub const WALL_MS: u64 = 1_735_689_600_000;
