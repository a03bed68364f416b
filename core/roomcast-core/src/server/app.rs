//! An application as a machine on top of the server, and the two run as one.
//!
//! Owns: the [`App`] trait and [`Stack`]. Must never know: any particular application.

use std::convert::Infallible;
use std::fmt::{Debug, Formatter, Result};
use std::ops::Deref;

use super::{Command, ConnId, Event, Input, Output, Server, SessionId, TimerKind, Transmit};
use crate::time::Instant;

/// A machine that is fed the server's events and gives it commands.
///
/// It asks stores by queries: [`poll_query`](App::poll_query) hands one to the driver, which answers some time later
/// with [`handle_reply`](App::handle_reply). A query carries what the application needs to match its reply.
/// What takes long to compute is handed out the same way, by [`poll_work`](App::poll_work).
pub trait App {
    /// What only a store knows.
    type Query: Send + 'static;
    /// What it answers.
    type Reply: Send + 'static;
    /// What other parts of the program ask of the application: an HTTP route that publishes, say.
    type Request: Send + 'static;
    /// What they are answered.
    type Response: Send + 'static;
    /// What it tells the rest of the program unasked.
    type Notice: Send + 'static;

    /// Something happened. Events that are not the application's are given back, for the layer above; at once, or later
    /// by [`poll_event`](App::poll_event) if they have to wait for their turn.
    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event>;

    /// A store answered.
    fn handle_reply(&mut self, reply: Self::Reply, cx: &mut Cx<'_>);

    /// Another part of the program asks. The answer, now or later, is polled under the same ticket.
    fn handle_request(&mut self, ticket: AppRequestId, request: Self::Request, cx: &mut Cx<'_>);

    /// Time has passed. Spurious calls do nothing.
    fn handle_timeout(&mut self, cx: &mut Cx<'_>);

    /// The next event that was held back and is not the application's.
    fn poll_event(&mut self) -> Option<Event>;

    /// The next question to a store.
    fn poll_query(&mut self) -> Option<Self::Query>;

    /// The next computation that would hold the driver's thread for long. The driver runs it on another thread and gives
    /// the result to [`handle_reply`](App::handle_reply). None by default.
    fn poll_work(&mut self) -> Option<Work<Self::Reply>> {
        None
    }

    /// The next answer to a request. Each request is answered once.
    fn poll_response(&mut self) -> Option<(AppRequestId, Self::Response)>;

    /// The next thing that the rest of the program should know.
    fn poll_notice(&mut self) -> Option<Self::Notice>;

    /// When to call [`handle_timeout`](App::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant>;

    /// Called when the server shuts down and no client is connected any more: issues the pending writes at once. Does
    /// nothing by default.
    fn handle_end(&mut self, _cx: &mut Cx<'_>) {}

    /// Whether the server can be dropped without losing anything: nothing waits to be written, and no answer is awaited
    /// that could say that something was not. Always by default.
    fn is_settled(&self) -> bool {
        true
    }
}

/// A computation that is handed out because it takes long: it owns all that it reads, and has no other effect than its
/// result.
///
/// ```
/// use roomcast_core::server::Work;
///
/// let work = Work::new(|| (1..=10u64).product::<u64>());
/// assert_eq!(std::thread::spawn(|| work.run()).join().unwrap(), 3_628_800);
/// ```
pub struct Work<T>(Box<dyn FnOnce() -> T + Send>);

impl<T> Work<T> {
    /// The computation that calls `run`.
    pub fn new(run: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(Box::new(run))
    }

    /// Carries it out on the caller's thread.
    pub fn run(self) -> T {
        (self.0)()
    }
}

impl<T> Debug for Work<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("Work")
    }
}

/// The number of a request, chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppRequestId(pub u64);

/// What an application may reach while it handles something.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The server's getters. It is changed by [`command`](Cx::command) alone.
    pub server: ServerView<'a>,
    /// The driver's monotonic time of the call.
    pub now: Instant,
}

impl<'a> Cx<'a> {
    /// A context in which a server is looked at and told what to do.
    pub const fn new(server: &'a mut Server, now: Instant) -> Self {
        Self { server: ServerView(server), now }
    }

    /// Tells the server to do something.
    pub fn command(&mut self, command: Command) {
        self.server.0.handle_input(Input::Command(command), self.now);
    }
}

/// A server of which only the getters can be called.
#[derive(Debug)]
pub struct ServerView<'a>(&'a mut Server);

impl ServerView<'_> {
    /// See [`Server::is_congested`].
    pub fn is_congested(&mut self, session: SessionId) -> bool {
        self.0.is_congested(session)
    }
}

impl Deref for ServerView<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.0
    }
}

/// No application: every event is given back.
impl App for () {
    type Query = Infallible;
    type Reply = Infallible;
    type Request = Infallible;
    type Response = Infallible;
    type Notice = Infallible;

    fn handle_event(&mut self, event: Event, _cx: &mut Cx<'_>) -> Option<Event> {
        Some(event)
    }

    fn handle_reply(&mut self, reply: Infallible, _cx: &mut Cx<'_>) {
        match reply {}
    }

    fn handle_request(&mut self, _ticket: AppRequestId, request: Infallible, _cx: &mut Cx<'_>) {
        match request {}
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn poll_query(&mut self) -> Option<Infallible> {
        None
    }

    fn poll_notice(&mut self) -> Option<Infallible> {
        None
    }

    fn poll_response(&mut self) -> Option<(AppRequestId, Infallible)> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A server with an application on top, run until both are quiet: the same methods as [`Server`], except that
/// [`poll_output`](Stack::poll_output) takes `now` and yields only the events that the application gave back.
#[derive(Debug)]
pub struct Stack<A> {
    /// The server below. Feed it as it is: what it has to say passes through the application on its way out.
    pub server: Server,
    /// The application.
    pub app: A,
}

impl<A: App> Stack<A> {
    /// Puts them together.
    pub const fn new(server: Server, app: A) -> Self {
        Self { server, app }
    }

    /// A store answered.
    pub fn handle_reply(&mut self, reply: A::Reply, now: Instant) {
        self.app.handle_reply(reply, &mut Cx::new(&mut self.server, now));
    }

    /// Another part of the program asks.
    pub fn handle_request(&mut self, ticket: AppRequestId, request: A::Request, now: Instant) {
        self.app.handle_request(ticket, request, &mut Cx::new(&mut self.server, now));
    }

    /// Time has passed. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
        if self.app.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.app.handle_timeout(&mut Cx::new(&mut self.server, now));
        }
    }

    /// The next thing to do, or an event that the application left. `None`: both are quiet.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        self.poll_output_by(now, A::handle_event)
    }

    /// The same for a driver that watches what the application is told: each event goes through `handle`, which has to
    /// hand it to [`App::handle_event`] and to return the result.
    pub fn poll_output_by(
        &mut self,
        now: Instant,
        mut handle: impl FnMut(&mut A, Event, &mut Cx<'_>) -> Option<Event>,
    ) -> Option<Output> {
        loop {
            if let Some(event) = self.app.poll_event() {
                return Some(Output::Event(event));
            }
            match self.server.poll_output()? {
                Output::Event(event) => {
                    if let Some(event) = handle(&mut self.app, event, &mut Cx::new(&mut self.server, now)) {
                        return Some(Output::Event(event));
                    }
                }
                output @ (Output::Respond(..)
                | Output::Writable(_)
                | Output::ReadPaused(_)
                | Output::ReadResumed(_)
                | Output::Close(_)
                | Output::Publish(_)
                | Output::Subscribe(_)
                | Output::Unsubscribe(_)) => return Some(output),
            }
        }
    }

    /// Tells the application that the server shuts down and no client is connected any more. The driver continues until
    /// the application is [settled](App::is_settled) or the time for the shutdown has run out.
    pub fn handle_end(&mut self, now: Instant) {
        self.app.handle_end(&mut Cx::new(&mut self.server, now));
    }

    /// The next question to a store.
    pub fn poll_query(&mut self) -> Option<A::Query> {
        self.app.poll_query()
    }

    /// The next computation for another thread. Its result goes to [`handle_reply`](Self::handle_reply).
    pub fn poll_work(&mut self) -> Option<Work<A::Reply>> {
        self.app.poll_work()
    }

    /// The next thing that the rest of the program should know.
    pub fn poll_notice(&mut self) -> Option<A::Notice> {
        self.app.poll_notice()
    }

    /// The next answer to a request.
    pub fn poll_response(&mut self) -> Option<(AppRequestId, A::Response)> {
        self.app.poll_response()
    }

    /// See [`Server::poll_transmit`].
    pub fn poll_transmit(&mut self, conn: ConnId, transmit: &mut Transmit) -> bool {
        self.server.poll_transmit(conn, transmit)
    }

    /// The earlier of both machines' deadlines.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        let app = self.app.poll_timeout().map(|deadline| (deadline, TimerKind::App));
        [self.server.poll_timeout(), app].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Config, Endpoint, Start};
    use crate::time::WallTime;

    #[test]
    fn a_stack_hands_everything_on_to_its_application_and_back() {
        let (now, wall) = (Instant::from_millis(5), WallTime::default());
        let config = Config::new([Endpoint::web_socket("/")]);
        let server = Server::new(config, Start { node: 0, now, wall, seed: [0; 32] }).unwrap();
        let mut stack = Stack::new(server, Recorder::default());
        stack.handle_reply("reply", now);
        stack.handle_request(AppRequestId(7), "request", now);
        stack.handle_end(now);
        assert_eq!((stack.poll_timeout(), stack.app.heard.len()), (Some((at(10), TimerKind::App)), 3));
        stack.handle_timeout(at(9));
        stack.handle_timeout(at(10));
        assert_eq!(stack.app.heard, ["reply", "request", "end", "timeout"]);
        assert_eq!((stack.poll_query(), stack.poll_query()), (Some("query"), None));
        assert_eq!((stack.poll_notice(), stack.poll_notice()), (Some("notice"), None));
        assert_eq!(stack.poll_response(), Some((AppRequestId(7), "response")));
        assert!(stack.poll_output(now).is_none());
    }

    #[derive(Debug, Default)]
    struct Recorder {
        heard: Vec<&'static str>,
        said: Vec<&'static str>,
    }

    impl Recorder {
        fn say_once(&mut self, text: &'static str) -> Option<&'static str> {
            let is_new = !self.said.contains(&text);
            self.said.push(text);
            is_new.then_some(text)
        }
    }

    impl App for Recorder {
        type Query = &'static str;
        type Reply = &'static str;
        type Request = &'static str;
        type Response = &'static str;
        type Notice = &'static str;

        fn handle_event(&mut self, event: Event, _cx: &mut Cx<'_>) -> Option<Event> {
            Some(event)
        }

        fn handle_reply(&mut self, reply: &'static str, _cx: &mut Cx<'_>) {
            self.heard.push(reply);
        }

        fn handle_request(&mut self, _ticket: AppRequestId, request: &'static str, _cx: &mut Cx<'_>) {
            self.heard.push(request);
        }

        fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {
            self.heard.push("timeout");
        }

        fn handle_end(&mut self, _cx: &mut Cx<'_>) {
            self.heard.push("end");
        }

        fn poll_event(&mut self) -> Option<Event> {
            None
        }

        fn poll_query(&mut self) -> Option<&'static str> {
            self.say_once("query")
        }

        fn poll_notice(&mut self) -> Option<&'static str> {
            self.say_once("notice")
        }

        fn poll_response(&mut self) -> Option<(AppRequestId, &'static str)> {
            Some((AppRequestId(7), self.say_once("response")?))
        }

        fn poll_timeout(&self) -> Option<Instant> {
            Some(at(10))
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
