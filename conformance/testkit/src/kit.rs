//! The loop of a driver, with hooks in place of sockets, stores and clocks.
//!
//! Owns: the order in which outputs are polled and carried out, and virtual time. Must never know: what is at the other
//! end of a connection.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use roomcast_core::cluster::{ClusterMessage, RoomChannel};
use roomcast_core::server::{
    After, App, AppRequestId, Command, ConnId, Event, Input, Output, RequestId, Server, Stack, TimerKind, Transmit,
    Work,
};
use roomcast_core::time::{Instant, WallTime};

/// What carries out the outputs of a stack.
pub trait Hooks<A: App> {
    /// Handles an event that the application has given back.
    fn event(&mut self, event: Event, stack: &mut Stack<A>, now: Instant);

    /// Takes the response to an HTTP request.
    fn respond(&mut self, request: RequestId, response: Response<Bytes>);

    /// Writes some bytes of a transmit to a connection and returns how many; 0 if the socket takes no more.
    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize;

    /// Whether a connection is worth polling for transmits now. `false` while its socket refuses bytes.
    fn is_writable(&mut self, _conn: ConnId) -> bool {
        true
    }

    /// Reports that a connection has taken a whole transmit, and what becomes of its stream. After
    /// [`After::Close`] the connection is gone.
    fn sent(&mut self, _conn: ConnId, _after: After) {}

    /// Starts or stops reading a connection.
    fn read(&mut self, _conn: ConnId, _reading: Reading) {}

    /// Closes a connection at once.
    fn close(&mut self, conn: ConnId);

    /// Asks a store. `None`: the reply comes later, by [`Kit::reply`].
    fn query(&mut self, _query: A::Query) -> Option<A::Reply> {
        None
    }

    /// Carries out what the application hands out to another thread. `None`: the result comes later, by [`Kit::reply`].
    fn work(&mut self, work: Work<A::Reply>) -> Option<A::Reply> {
        Some(work.run())
    }

    /// Takes the application's response to a request of another part of the program.
    fn app_response(&mut self, _id: AppRequestId, _response: A::Response) {}

    /// Takes what the application tells the rest of the program.
    fn notice(&mut self, _notice: A::Notice) {}

    /// Gives a message to the bus. Without a cluster there is none.
    fn publish(&mut self, _message: ClusterMessage) {}

    /// Subscribes to the channel of a room.
    fn subscribe(&mut self, _channel: RoomChannel) {}

    /// Ends such a subscription.
    fn unsubscribe(&mut self, _channel: RoomChannel) {}

    /// Reports the time that the machines are about to be told.
    fn time(&mut self, _now: Instant) {}
}

/// Whether a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The server takes no more bytes for now.
    Paused,
    /// The server takes bytes again.
    Resumed,
}

/// A stack, its hooks, and a clock that only the test moves.
#[derive(Debug)]
pub struct Kit<A, H> {
    /// The state machines under test: the server and its application.
    pub stack: Stack<A>,
    /// What carries out their outputs.
    pub hooks: H,
    now: Instant,
    /// The calendar and the monotonic clock at one moment.
    epoch: (WallTime, Instant),
    transmit: Transmit,
}

impl<A: App, H: Hooks<A>> Kit<A, H> {
    /// Puts a stack that was started at `now` together with its hooks.
    pub fn new(stack: Stack<A>, hooks: H, now: Instant) -> Self {
        let epoch = (stack.server.wall(), now);
        Self { stack, hooks, now, epoch, transmit: Transmit::new() }
    }

    /// Gives the server an input.
    pub fn input(&mut self, input: Input<'_>) {
        self.stack.server.handle_input(input, self.now);
    }

    /// Gives the server a command.
    pub fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    /// Gives the application a store's reply.
    pub fn reply(&mut self, reply: A::Reply) {
        self.stack.handle_reply(reply, self.now);
    }

    /// Asks the application on behalf of another part of the program.
    pub fn request(&mut self, id: AppRequestId, request: A::Request) {
        self.stack.handle_request(id, request, self.now);
    }

    /// Carries out everything that needs no time, including deadlines that are due now.
    ///
    /// # Panics
    ///
    /// If a deadline stays due for ever.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.drain();
            match self.next_deadline() {
                Some((deadline, _)) if deadline <= self.now => self.time(self.now),
                Some(_) | None => return,
            }
        }
        panic!("{:?} is due for ever", self.next_deadline());
    }

    /// Carries out every output, until the machines are quiet.
    #[inline]
    pub fn drain(&mut self) {
        while self.drain_one() {}
    }

    /// Carries out one output, or what the application asks and tells once the server is quiet. `false`: all are quiet.
    #[inline]
    pub fn drain_one(&mut self) -> bool {
        drain_one(&mut self.stack, &mut self.hooks, &mut self.transmit, self.now)
    }

    /// Writes what a connection has to send, while its socket takes bytes.
    #[inline]
    pub fn transmit(&mut self, conn: ConnId) {
        transmit_to(conn, &mut self.stack, &mut self.hooks, &mut self.transmit, self.now);
    }

    /// Moves the clock and the calendar to `now`, and has the machines handle what is due.
    pub fn time(&mut self, now: Instant) {
        self.set_time(now);
        self.stack.handle_timeout(now);
    }

    /// Moves the clock and the calendar to `now`.
    ///
    /// # Panics
    ///
    /// If that is in the past.
    pub fn set_time(&mut self, now: Instant) {
        assert!(now >= self.now, "time goes forward");
        self.now = now;
        self.hooks.time(now);
        self.tell_wall();
    }

    /// Lets time pass, from deadline to deadline.
    ///
    /// # Panics
    ///
    /// If a deadline stays due for ever.
    pub fn pass(&mut self, span: Duration) {
        self.settle();
        let end = self.now + span;
        while let Some((deadline, _)) = self.next_deadline().filter(|(deadline, _)| *deadline <= end) {
            self.time(deadline.max(self.now));
            self.settle();
        }
        self.time(end);
        self.settle();
    }

    /// Sets the calendar forward without any time passing.
    pub fn step_calendar(&mut self, span: Duration) {
        self.epoch.0 = self.epoch.0 + span;
        self.tell_wall();
    }

    /// The virtual wall-clock time.
    pub fn wall(&self) -> WallTime {
        self.epoch.0 + self.now.saturating_since(self.epoch.1)
    }

    /// The virtual monotonic time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The earliest deadline of the machines, and its kind.
    pub fn next_deadline(&self) -> Option<(Instant, TimerKind)> {
        self.stack.poll_timeout()
    }

    /// The server, for its getters.
    pub const fn server(&mut self) -> &mut Server {
        &mut self.stack.server
    }

    fn tell_wall(&mut self) {
        let wall = self.wall();
        self.input(Input::WallClock(wall));
    }
}

/// Carries out one output of a stack, or what its application asks and tells once the server is quiet. `false`: all are
/// quiet. [`Kit::drain_one`] for those who keep a stack and its surroundings themselves.
#[inline]
pub fn drain_one<A: App, H: Hooks<A>>(
    stack: &mut Stack<A>,
    hooks: &mut H,
    transmit: &mut Transmit,
    now: Instant,
) -> bool {
    let Some(output) = stack.poll_output(now) else { return drain_app(stack, hooks, now) };
    match output {
        Output::Event(event) => hooks.event(event, stack, now),
        Output::Respond(request, response) => hooks.respond(request, *response),
        Output::Writable(conn) => transmit_to(conn, stack, hooks, transmit, now),
        Output::ReadPaused(conn) => hooks.read(conn, Reading::Paused),
        Output::ReadResumed(conn) => hooks.read(conn, Reading::Resumed),
        Output::Close(conn) => hooks.close(conn),
        Output::Publish(message) => hooks.publish(*message),
        Output::Subscribe(channel) => hooks.subscribe(*channel),
        Output::Unsubscribe(channel) => hooks.unsubscribe(*channel),
    }
    true
}

#[inline]
fn transmit_to<A: App, H: Hooks<A>>(
    conn: ConnId,
    stack: &mut Stack<A>,
    hooks: &mut H,
    transmit: &mut Transmit,
    now: Instant,
) {
    if !hooks.is_writable(conn) {
        return;
    }
    while stack.poll_transmit(conn, transmit) {
        debug_assert!(!transmit.is_empty() || transmit.after() != After::Keep, "a transmit has bytes or an end");
        while !transmit.is_empty() {
            let written = hooks.write(conn, transmit);
            if written == 0 {
                stack.server.handle_refused(conn, transmit, now);
                assert!(transmit.is_empty(), "the rest of a transmit is taken back");
                return;
            }
            transmit.advance(written);
        }
        let after = transmit.after();
        hooks.sent(conn, after);
        if after == After::Close {
            return stack.server.handle_input(Input::WsEnded { conn }, now);
        }
    }
}

fn drain_app<A: App, H: Hooks<A>>(stack: &mut Stack<A>, hooks: &mut H, now: Instant) -> bool {
    if let Some(query) = stack.poll_query() {
        if let Some(reply) = hooks.query(query) {
            stack.handle_reply(reply, now);
        }
    } else if let Some(work) = stack.poll_work() {
        if let Some(reply) = hooks.work(work) {
            stack.handle_reply(reply, now);
        }
    } else if let Some((id, response)) = stack.poll_response() {
        hooks.app_response(id, response);
    } else if let Some(notice) = stack.poll_notice() {
        hooks.notice(notice);
    } else {
        return false;
    }
    true
}

/// Each turn handles what the one before has armed for the same moment.
const TURNS_MAX: usize = 100_000;
