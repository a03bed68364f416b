//! The one task that runs a server.
//!
//! Owns: the core with the application on top, the clock and the timer, and the order in which things are done in a turn:
//! first everything that came in, then what the core says to it, at last what is to be written, so that writes
//! coalesce. Must never know: what handlers do.

mod app;
mod conns;
mod events;
mod mail;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use roomcast_core::server::{App, Input, Output, RequestId, SessionId, Stack, Transmit};
use roomcast_core::slab::Slab;
use roomcast_core::time::Instant;

pub(crate) use self::app::AppSide;
use self::conns::Conns;
use self::events::{Ask, AskId, Running};
use crate::clock::{Clock, wall_now};
use crate::flow::Flow;
use crate::http::exchange::Owed;
use crate::mailbox::{Mail, Shared, Sleep};
use crate::peer::Peer;
use crate::promise::Debt;
use crate::runtime::Runtime;
use crate::socket::Socket;

/// A running server. Ends with it.
pub(crate) struct Driver<R: Runtime, A: App> {
    runtime: R,
    shared: Arc<Shared>,
    stack: Stack<A>,
    clock: Clock,
    app: AppSide<A>,
    conns: Conns<R>,
    /// What HTTP requests are owed. The core may use a slot again before it has been asked for the answer of the request
    /// that had it before.
    requests: BTreeMap<RequestId, Owed>,
    /// By the slot of their handle.
    sockets: Vec<Option<Socket>>,
    peers: Vec<Option<Peer>>,
    asks: Slab<AskId, Ask>,
    congested: BTreeMap<SessionId, Vec<Arc<Flow>>>,
    /// Handlers that did not end at once.
    running: Vec<Running>,
    /// How often mail has been taken: whoever sent some of it may wait for this number.
    taken: u64,
    mail: Vec<Mail>,
    woken: Vec<u32>,
    ready: VecDeque<u32>,
    transmit: Transmit,
    timer: Option<(Instant, Sleep)>,
    wall_due: Instant,
    ending: Option<Ending>,
}

/// Whether everything that can be done now is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quiet {
    Yes,
    NotYet,
}

/// The end of a server.
struct Ending {
    phase: EndPhase,
    deadline: Instant,
    waiters: Vec<Debt<()>>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndPhase {
    /// Clients may still take what is queued for them.
    Clients,
    /// They are gone. The application may still write.
    App,
}

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    pub(crate) fn new(runtime: R, shared: Arc<Shared>, stack: Stack<A>, clock: Clock, app: AppSide<A>) -> Self {
        Self {
            conns: Conns::new(shared.clone()),
            runtime,
            shared,
            stack,
            wall_due: clock.now() + WALL_INTERVAL,
            clock,
            app,
            requests: BTreeMap::new(),
            sockets: Vec::new(),
            peers: Vec::new(),
            asks: Slab::new(),
            congested: BTreeMap::new(),
            running: Vec::new(),
            taken: 0,
            mail: Vec::new(),
            woken: Vec::new(),
            ready: VecDeque::new(),
            transmit: Transmit::new(),
            timer: None,
            ending: None,
        }
    }

    /// Everything that is there to be done, up to a bound.
    fn turn(&mut self, now: Instant) -> Quiet {
        self.tell_time(now);
        for _ in 0..READS_PER_TURN {
            let Some(slot) = self.ready.pop_front() else { break };
            self.conn_ready(slot, now);
        }
        self.handle_mail(now);
        let quiet = self.settle(now);
        self.shared.finish_turn(self.taken);
        quiet
    }

    /// Carries out what the core says, and what handlers say to that, until both are quiet; then writes.
    fn settle(&mut self, now: Instant) -> Quiet {
        for _ in 0..ROUNDS_PER_TURN {
            while let Some(output) = self.stack.poll_output(now) {
                self.handle_output(output, now);
            }
            self.handle_app_outputs();
            self.take();
            let quiet = self.mail.is_empty() && self.running.is_empty();
            self.handle_mail(now);
            self.resume_handlers();
            if quiet && !self.write(now) {
                return Quiet::Yes;
            }
        }
        Quiet::NotYet
    }

    /// Takes what others have sent since.
    fn take(&mut self) {
        self.taken = self.shared.take(&mut self.mail, &mut self.woken);
        self.ready.extend(self.woken.drain(..));
    }

    fn handle_output(&mut self, output: Output, now: Instant) {
        match output {
            Output::Event(event) => self.handle_event(event),
            Output::Respond(request, response) => self.respond(request, response),
            Output::Writable(conn) => self.conns.set_writable(conn),
            Output::ReadPaused(conn) => self.conns.pause(conn),
            Output::ReadResumed(conn) => {
                if self.conns.resume(conn) {
                    self.conn_ready(self.conns.slot(conn), now);
                }
            }
            Output::Close(conn) => self.conns.remove(conn),
        }
    }

    fn tell_time(&mut self, now: Instant) {
        // In each turn: a token that was issued just now is not one of the future.
        self.wall_due = now + WALL_INTERVAL;
        self.stack.server.handle_input(Input::WallClock(wall_now()), now);
        if self.stack.poll_timeout().is_some_and(|(deadline, _)| deadline <= now) {
            self.stack.handle_timeout(now);
        }
    }

    /// Arms the timer; `true` if it is due.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let ending = self.ending.as_ref().map(|ending| ending.deadline);
        let due = [self.stack.poll_timeout().map(|(deadline, _)| deadline), ending];
        let due = due.into_iter().flatten().fold(self.wall_due, Ord::min);
        // A timer that is too early is cheaper than a new one each time that a deadline moves on.
        if self.timer.as_ref().is_none_or(|(armed, _)| *armed > due) {
            let span = due.saturating_since(self.clock.now());
            if span.is_zero() {
                return true;
            }
            self.timer = Some((due, Sleep(Box::pin(self.runtime.sleep(span)))));
        }
        let Some((_, sleep)) = &mut self.timer else { return false };
        let elapsed = Pin::new(sleep).poll(cx).is_ready();
        if elapsed {
            self.timer = None;
        }
        elapsed
    }

    /// Whether the server has come to its end.
    fn has_ended(&mut self, now: Instant) -> bool {
        if self.ending.is_none() && self.shared.owners.load(Ordering::Acquire) == 0 {
            self.end(ENDING_SPAN, None, now);
            self.settle(now);
        }
        let nobody =
            self.conns.is_empty() && self.requests.is_empty() && self.shared.http_conns.load(Ordering::Acquire) == 0;
        let Some(ending) = &mut self.ending else { return false };
        if ending.phase == EndPhase::Clients && (nobody || ending.deadline <= now) {
            (ending.phase, ending.deadline) = (EndPhase::App, now + APP_ENDING_SPAN);
            self.conns.clear();
            self.requests.clear();
            self.stack.handle_end(now);
            self.settle(now);
        }
        let Some(ending) = &self.ending else { return false };
        ending.phase == EndPhase::App && (self.stack.app.is_settled() || ending.deadline <= now)
    }

    fn end(&mut self, grace: Duration, waiter: Option<Debt<()>>, now: Instant) {
        let deadline = now + grace;
        match &mut self.ending {
            Some(ending) => {
                // What is written then is not for whoever is in a hurry to cut short.
                if ending.phase == EndPhase::Clients {
                    ending.deadline = ending.deadline.min(deadline);
                }
                ending.waiters.extend(waiter);
            }
            None => {
                self.ending =
                    Some(Ending { phase: EndPhase::Clients, deadline, waiters: waiter.into_iter().collect() });
                self.stack.server.handle_input(Input::Command(roomcast_core::server::Command::Shutdown), now);
                self.shared.stop();
            }
        }
    }
}

/// Nothing in it is pinned in place.
impl<R: Runtime, A: App> Unpin for Driver<R, A> {}

impl<R: Runtime, A: App + 'static> Future for Driver<R, A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..TURNS_PER_POLL {
            this.take();
            let now = this.clock.now();
            let quiet = this.turn(now);
            if this.has_ended(now) {
                return Poll::Ready(());
            }
            let idle = quiet == Quiet::Yes && this.ready.is_empty();
            if idle && !this.poll_timer(cx) && this.shared.fall_asleep(cx) {
                return Poll::Pending;
            }
        }
        this.runtime.defer(cx.waker());
        Poll::Pending
    }
}

impl<R: Runtime, A: App> Drop for Driver<R, A> {
    fn drop(&mut self) {
        self.shared.bury();
        self.app.bury();
    }
}

/// How often the core is told what the calendar says where nothing happens.
const WALL_INTERVAL: Duration = Duration::from_secs(5);
/// Connections that are read before what they said is dealt with.
const READS_PER_TURN: usize = 256;
/// How often handlers may answer the core and the core the handlers before others get a turn.
const ROUNDS_PER_TURN: usize = 64;
/// Turns before the runtime looks for events of sockets.
const TURNS_PER_POLL: usize = 8;
/// What a server that nobody holds any more leaves its clients.
const ENDING_SPAN: Duration = Duration::from_secs(5);
/// What the application has to write what is left, with nobody waiting but the operating system.
const APP_ENDING_SPAN: Duration = Duration::from_secs(10);
