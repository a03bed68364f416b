//! The pair itself: time, requests, and running until everything is quiet.
//!
//! Owns: single requests in the hands of a test. Must never know: what is in a body.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use roomcast_core::rng::Rng;
use roomcast_core::server::config::Config;
use roomcast_core::server::{App, Audit, Command, Event, Server, SessionId, SocketId, TimerKind};
use roomcast_core::time::{Instant, WallTime};
use roomcast_testkit::{Observed, Trace};

use super::app::{Conformance, Profile};
use super::host::host;
use super::manual::Manual;
use super::state::{Pair, Peer, RequestStage, TestRequest, TestResponse, Ws, request};

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

    /// The session that has opened since the last time.
    ///
    /// # Panics
    ///
    /// If anything else has happened.
    pub fn opened(&mut self) -> SessionId {
        match self.events().as_slice() {
            [Event::Opened { session, .. }] => *session,
            other => panic!("{other:?}"),
        }
    }

    /// The sockets that have connected since the last time.
    ///
    /// # Panics
    ///
    /// If anything else has happened.
    pub fn connected(&mut self) -> Vec<SocketId> {
        let socket = |event| {
            let Event::Connected(connect) = event else { panic!("{event:?}") };
            connect.socket
        };
        self.events().into_iter().map(socket).collect()
    }
}

impl<A: App> Pair<A> {
    /// Opens a polling session that is in the hands of the test. Returns the targets of its requests and of its WebSocket.
    ///
    /// # Panics
    ///
    /// If the server does not open a session.
    pub fn open_raw(&mut self, path: &str) -> (String, String) {
        let get = self.get(&format!("{path}?EIO=4&transport=polling"));
        let open = self.answered(get).body;
        let json: Option<serde_json::Value> = open.strip_prefix('0').and_then(|json| serde_json::from_str(json).ok());
        let Some(sid) = json.as_ref().and_then(|json| json["sid"].as_str()) else {
            panic!("{open:?} opens no session")
        };
        let target = |transport: &str| format!("{path}?EIO=4&transport={transport}&sid={sid}");
        (target("polling"), target("websocket"))
    }

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

    /// The application behind the server.
    pub const fn app(&mut self) -> &mut A {
        &mut self.host.stack.app.app
    }

    /// A hash of everything that went in and came out, and of the events, each in order.
    pub const fn trace(&self) -> (u64, u64) {
        (self.host.hooks.trace().hash(), self.host.stack.app.observer.hash())
    }

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.host.now()
    }

    /// The calendar time as the server was last told.
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
    pub fn begin(&mut self, method: Method, target: &str, headers: &[(&str, &str)]) -> TestRequest {
        let query = self.begin_unsettled(method, target, headers);
        self.settle();
        query
    }

    /// Begins a request, without running the server.
    pub fn begin_unsettled(&mut self, method: Method, target: &str, headers: &[(&str, &str)]) -> TestRequest {
        let request = request(method, target, headers);
        let asked = match self.host.server().route(request.uri().path()) {
            None => RequestStage::Refused(Response::new(Bytes::from_static(b"no such path"))),
            Some(endpoint) => match self.host.head(endpoint, request) {
                Ok(id) => RequestStage::Head(id),
                Err(response) => RequestStage::Refused(*response),
            },
        };
        self.requests.push(asked);
        TestRequest(self.requests.len() - 1)
    }

    /// Sends the body of a request.
    pub fn finish(&mut self, request: TestRequest, body: impl Into<Bytes>) {
        self.finish_unsettled(request, body);
        self.settle();
    }

    /// Sends the body of a request, without running the server.
    pub fn finish_unsettled(&mut self, request: TestRequest, body: impl Into<Bytes>) {
        if let Some(asked) = self.requests.get_mut(request.0)
            && let RequestStage::Head(id) = *asked
        {
            *asked = RequestStage::Running(id);
            self.host.body(id, body.into());
        }
    }

    /// Sends a whole request, head and body, and runs both sides until they are quiet.
    pub fn request(&mut self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> TestRequest {
        let request = self.begin(method, target, headers);
        self.finish(request, body.to_owned());
        request
    }

    /// Sends a GET with an empty body.
    pub fn get(&mut self, target: &str) -> TestRequest {
        self.request(Method::GET, target, &[], "")
    }

    /// Sends a POST with this body.
    pub fn post(&mut self, target: &str, body: &str) -> TestRequest {
        self.request(Method::POST, target, &[], body)
    }

    /// The answer to a request, if it has come.
    pub fn answer(&mut self, request: TestRequest) -> Option<TestResponse> {
        let asked = self.requests.get_mut(request.0)?;
        if let RequestStage::Running(id) = *asked
            && let Some(response) = self.host.take_answer(id)
        {
            *asked = RequestStage::Answered(response);
        }
        match asked {
            RequestStage::Refused(response) | RequestStage::Answered(response) => Some(TestResponse::of(response)),
            RequestStage::Head(_) | RequestStage::Running(_) | RequestStage::Aborted => None,
        }
    }

    /// The answer to a request that has been answered.
    ///
    /// # Panics
    ///
    /// If the request has no answer yet.
    pub fn answered(&mut self, request: TestRequest) -> TestResponse {
        match self.answer(request) {
            Some(answer) => answer,
            None => panic!("no answer yet"),
        }
    }

    /// The client of a request goes away.
    pub fn abort(&mut self, request: TestRequest) {
        if let Some(asked) = self.requests.get_mut(request.0)
            && let RequestStage::Head(id) | RequestStage::Running(id) = *asked
        {
            if self.host.take_answer(id).is_none() {
                self.host.abort(id);
            }
            *asked = RequestStage::Aborted;
        }
        self.settle();
    }

    /// Runs server and clients until both are quiet, without any time passing.
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

    /// Ends all clients without closing their sessions; some time later the server must hold nothing of them.
    ///
    /// # Panics
    ///
    /// If the server still holds something of a client.
    pub fn leave(&mut self) {
        self.settle();
        for index in 0..self.peers.len() {
            self.vanish(Peer(index));
        }
        for index in 0..self.sockets.len() {
            self.hang_up(Ws(index));
        }
        for index in 0..self.requests.len() {
            self.abort(TestRequest(index));
        }
        for _ in 0..4 {
            self.pass(Duration::from_secs(60));
        }
        assert_eq!(self.host.audit(), Audit::default(), "all clients have left");
    }
}

impl<A: App> Drop for Pair<A> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.leave();
        }
    }
}

/// Upper limit of rounds. Each round answers the input of the round before. A client that drains a long queue by polls
/// of 16 packets needs the most rounds.
const ROUNDS_MAX: usize = 100_000;

/// The calendar when a pair begins: 2025-01-01T00:00:00Z.
pub const WALL_MS: u64 = 1_735_689_600_000;
