//! The one task that runs a server.
//!
//! A turn reads from the connections that are ready, carries out what the core says to that, and writes at last, so that
//! writes coalesce. Turns follow each other for one [`TimeSlice`] of time at most; then the task yields, so that the runtime
//! can look for events of sockets and timers and run other tasks: accepts, HTTP, signals. No connection gets more of a
//! turn than the others, nothing is read while the core still has something to say to what was read before, and a
//! connection whose reading resumes is put at the end of the row.
//!
//! Owns: the core with the application on top, the clock and the timer, and the order in which things are done. Must
//! never know: what handlers do.

mod app;
mod conns;
mod events;
mod io;
mod jobs;
mod mail;
mod memory;
mod servers;
mod slice;
mod telling;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use roomcast_core::server::{App, Input, Output, RequestId, Scope, SessionId, Sid, SocketId, Stack, Transmit};
use roomcast_core::slab::Slab;
use roomcast_core::time::Instant;

use self::conns::Conns;
use self::jobs::{Ask, AskId, AskedServers, FetchKey, Lending, QuestionKey, RunningHandler};
use self::memory::{shrink_list, shrink_queue, shrink_slots};
use self::slice::TimeSlice;
use crate::app::AppSide;
use crate::clock::{Clock, wall_now};
use crate::cluster::ClusterBus;
use crate::fetched::FetchedSockets;
use crate::flow::FlowGate;
use crate::mailbox::{HttpTicket, Mail, Shared, Sleep};
use crate::peer::Peer;
use crate::presence::Presence;
use crate::registry::Routes;
use crate::runtime::Runtime;

/// A running server. Ends with it.
pub(crate) struct Driver<R: Runtime, A: App> {
    runtime: R,
    shared: Arc<Shared>,
    stack: Stack<A>,
    clock: Clock,
    app: AppSide<A>,
    /// The way to other nodes.
    bus: Option<Box<dyn ClusterBus>>,
    /// What messages of the bus have brought along, until the core has been heard out on them.
    held: Vec<Box<dyn Send>>,
    conns: Conns<R>,
    /// The core may use a slot again before it has been asked for the
    /// response to the request that had it before.
    requests: BTreeMap<RequestId, PendingResponse>,
    tickets: BTreeMap<HttpTicket, RequestId>,
    routes: Arc<Routes>,
    /// By the slot of their handle.
    presences: Vec<Option<Arc<Presence>>>,
    peers: Vec<Option<Peer>>,
    /// Connected sockets of which handlers have never heard, while DEBUG is on.
    kept: BTreeMap<SocketId, (Scope, Sid)>,
    asks: Slab<AskId, Ask>,
    fetches: Slab<FetchKey, oneshot::Sender<FetchedSockets>>,
    questions: Slab<QuestionKey, AskedServers>,
    /// Held by each handler of an event of another server while it is at work.
    server_side: Arc<()>,
    lending: BTreeMap<SessionId, Lending>,
    congested: BTreeMap<SessionId, Vec<Arc<FlowGate>>>,
    /// Handlers that did not end at once.
    running: Vec<RunningHandler>,
    /// How often mail has been taken: its senders may wait for this number.
    taken: u64,
    mail: VecDeque<Mail>,
    woken: Vec<u32>,
    ready: VecDeque<u32>,
    /// The number whose mail the streams that are being written are waiting with.
    pass_of: u64,
    /// Turns without reading so far, because the core had not been heard out.
    turns_unread: u32,
    transmit: Transmit,
    timer: Option<(Instant, Sleep)>,
    wall_due: Instant,
    ending: Option<ServerEnd>,
    /// The task has given way to others and waits for the runtime.
    yielding: Option<Sleep>,
}

/// A response that an HTTP connection waits for.
struct PendingResponse {
    ticket: HttpTicket,
    sender: oneshot::Sender<Box<http::Response<Bytes>>>,
}

/// Whether everything that can be done now is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quiet {
    Yes,
    NotYet,
}

/// The end of a server.
struct ServerEnd {
    phase: EndPhase,
    deadline: Instant,
    waiters: Vec<oneshot::Sender<()>>,
}

/// The phase of a shutdown. Phases follow each other in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndPhase {
    /// Clients may still take what is queued for them, and handlers finish.
    Clients,
    /// They are gone. The application may still write.
    App,
}

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    pub(crate) fn new(
        runtime: R,
        shared: Arc<Shared>,
        routes: Routes,
        stack: Stack<A>,
        clock: Clock,
        app: AppSide<A>,
        bus: Option<Box<dyn ClusterBus>>,
    ) -> Self {
        Self {
            bus,
            held: Vec::new(),
            conns: Conns::new(shared.clone()),
            runtime,
            shared,
            stack,
            wall_due: clock.now() + WALL_INTERVAL,
            clock,
            app,
            requests: BTreeMap::new(),
            tickets: BTreeMap::new(),
            routes: Arc::new(routes),
            presences: Vec::new(),
            peers: Vec::new(),
            kept: BTreeMap::new(),
            asks: Slab::new(),
            fetches: Slab::new(),
            questions: Slab::new(),
            server_side: Arc::default(),
            lending: BTreeMap::new(),
            congested: BTreeMap::new(),
            running: Vec::new(),
            taken: 0,
            mail: VecDeque::new(),
            woken: Vec::new(),
            ready: VecDeque::new(),
            pass_of: 0,
            turns_unread: 0,
            transmit: Transmit::new(),
            timer: None,
            ending: None,
            yielding: None,
        }
    }

    /// Everything that is there to be done, up to a bound.
    fn turn(&mut self, slice: &mut TimeSlice, now: Instant) -> Quiet {
        self.tell_time(now);
        self.write_on(slice, now);
        let heard_out = self.turns_unread == 0;
        if heard_out || self.turns_unread > TURNS_UNREAD_MAX {
            self.read(slice, now);
        }
        let quiet = self.settle(slice, now);
        if quiet == Quiet::Yes {
            self.shared.finish_turn(self.taken);
        }
        quiet
    }

    /// Reads from connections that are ready, in the order in which they came to be.
    fn read(&mut self, slice: &mut TimeSlice, now: Instant) {
        let mut bytes = 0;
        for _ in 0..CONNS_PER_TURN {
            if bytes >= READ_BYTES_PER_TURN || slice.is_over() {
                break;
            }
            let Some(slot) = self.ready.pop_front() else { break };
            let read = self.conn_ready(slot, now);
            slice.spend(slice::STEP + read);
            bytes += read;
        }
    }

    /// Carries out what the core says, and what handlers say to that, until both are quiet; then writes.
    fn settle(&mut self, slice: &mut TimeSlice, now: Instant) -> Quiet {
        for _ in 0..ROUNDS_PER_TURN {
            self.handle_mail(slice, now);
            let is_heard = self.handle_outputs(slice, now);
            if is_heard {
                self.held.clear();
            }
            self.handle_app_outputs();
            self.take();
            let is_quiet = is_heard && self.mail.is_empty() && self.running.is_empty();
            self.handle_mail(slice, now);
            if self.mail.is_empty() {
                self.resume_handlers();
            }
            if is_quiet {
                self.turns_unread = 0;
                if !self.write(slice, now) {
                    return Quiet::Yes;
                }
            }
            if slice.is_over() {
                if !is_quiet {
                    self.turns_unread += 1;
                }
                break;
            }
        }
        Quiet::NotYet
    }

    /// Carries out what the core says; `false` if time was up before.
    fn handle_outputs(&mut self, slice: &mut TimeSlice, now: Instant) -> bool {
        while !slice.is_over() {
            let Some(output) = self.poll_output(now) else { return true };
            let is_event = matches!(output, Output::Event(_));
            self.handle_output(output, now);
            slice.spend(slice::STEP);
            if is_event {
                // What a handler says to a message goes out before what the core says to the bytes behind it: a pong, a
                // close frame.
                self.take();
                self.handle_mail(slice, now);
            }
        }
        false
    }

    /// Takes what others have sent since.
    fn take(&mut self) {
        self.taken = self.shared.take(&mut self.mail, &mut self.woken).unwrap_or(self.taken);
        self.ready.extend(self.woken.drain(..));
    }

    fn handle_output(&mut self, output: Output, now: Instant) {
        match output {
            Output::Event(event) => self.handle_event(event, now),
            Output::Respond(request, response) => self.respond(request, response),
            Output::Writable(conn) => self.conns.set_writable(conn),
            Output::ReadPaused(conn) => self.conns.pause(conn),
            Output::ReadResumed(conn) => {
                // Never read on the spot: a client that sends without pause would keep this loop going for as long as it likes.
                self.ready.extend(self.conns.resume(conn));
            }
            Output::Close(conn) => {
                tracing::debug!(conn = conn.as_u64(), "WebSocket closed");
                self.conns.remove(conn);
            }
            // Said in a cluster alone, which has a bus.
            Output::Publish(message) => self.with_bus(|bus| bus.publish(*message)),
            Output::Subscribe(channel) => self.with_bus(|bus| bus.subscribe(*channel)),
            Output::Unsubscribe(channel) => self.with_bus(|bus| bus.unsubscribe(*channel)),
        }
    }

    fn with_bus(&mut self, tell: impl FnOnce(&mut dyn ClusterBus)) {
        if let Some(bus) = &mut self.bus {
            tell(&mut **bus);
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
        if elapsed && let Some((due, _)) = self.timer.take() {
            self.shared.load.add_lag(self.clock.now().saturating_since(due));
        }
        elapsed
    }

    /// Gives back memory that a burst took.
    fn give_back(&mut self) {
        self.conns.shrink();
        shrink_queue(&mut self.mail);
        shrink_queue(&mut self.ready);
        shrink_list(&mut self.woken);
        shrink_list(&mut self.held);
        shrink_slots(&mut self.presences);
        shrink_slots(&mut self.peers);
    }

    /// Whether the server has come to its end.
    fn has_ended(&mut self, mut quiet: Quiet, slice: &mut TimeSlice, now: Instant) -> bool {
        if self.ending.is_none() && self.shared.group.is_abandoned() {
            self.end(ENDING_SPAN, None, now);
            quiet = self.settle(slice, now);
        }
        let clients_gone =
            self.conns.is_empty() && self.requests.is_empty() && self.shared.http_conns.load(Ordering::Acquire) == 0;
        // What `on_disconnect` handlers write should be written, too.
        let handlers_done = quiet == Quiet::Yes && self.running.is_empty() && !self.shared.has_busy_handlers();
        let Some(ending) = &mut self.ending else { return false };
        if ending.phase == EndPhase::Clients && (clients_gone && handlers_done || ending.deadline <= now) {
            (ending.phase, ending.deadline) = (EndPhase::App, now + APP_ENDING_SPAN);
            self.conns.clear();
            self.requests.clear();
            self.tickets.clear();
            self.stack.handle_end(now);
            self.settle(slice, now);
        }
        let Some(ending) = &self.ending else { return false };
        ending.phase == EndPhase::App && (self.stack.app.is_settled() || ending.deadline <= now)
    }

    /// Another shard has ended. Half a server is none.
    fn end_with_sibling(&mut self, now: Instant) {
        if self.ending.is_none() {
            self.end(ENDING_SPAN, None, now);
        }
    }

    fn end(&mut self, grace: Duration, waiter: Option<oneshot::Sender<()>>, now: Instant) {
        let deadline = now + grace;
        match &mut self.ending {
            Some(ending) => {
                // A second call with less time does not cut short what the application writes.
                if ending.phase == EndPhase::Clients {
                    ending.deadline = ending.deadline.min(deadline);
                }
                ending.waiters.extend(waiter);
            }
            None => {
                self.ending =
                    Some(ServerEnd { phase: EndPhase::Clients, deadline, waiters: waiter.into_iter().collect() });
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
        if let Some(yielding) = &mut this.yielding {
            std::task::ready!(Pin::new(yielding).poll(cx));
            this.yielding = None;
        }
        let mut slice = TimeSlice::begin(this.clock);
        while !slice.is_over() {
            this.take();
            let now = this.clock.now();
            let quiet = this.turn(&mut slice, now);
            if this.has_ended(quiet, &mut slice, now) {
                return Poll::Ready(());
            }
            let idle = quiet == Quiet::Yes && this.ready.is_empty();
            if idle && !this.poll_timer(cx) && this.shared.fall_asleep(cx) {
                this.shared.load.add_turn(slice.elapsed());
                this.give_back();
                return Poll::Pending;
            }
            slice.look();
        }
        this.shared.load.add_turn(slice.elapsed());
        let mut yielding = Sleep(Box::pin(this.runtime.yield_now()));
        if Pin::new(&mut yielding).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        } else {
            this.yielding = Some(yielding);
        }
        Poll::Pending
    }
}

impl<R: Runtime, A: App> Drop for Driver<R, A> {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.tell_siblings();
        self.app.close();
    }
}

/// Interval at which the core receives the wall-clock time while nothing else happens.
const WALL_INTERVAL: Duration = Duration::from_secs(5);
/// Connections that are read per turn before their input is processed.
const CONNS_PER_TURN: usize = 256;
/// Bytes that are read per turn before their content is processed. Small events cost the most per byte: at 17 bytes
/// each, a turn holds about 15,000 of them.
const READ_BYTES_PER_TURN: usize = 256 << 10;
/// Turns without reading before connections are read all the same: more mail is sent than can be delivered.
const TURNS_UNREAD_MAX: u32 = 64;
/// How often handlers may answer the core and the core the handlers before others get a turn.
const ROUNDS_PER_TURN: usize = 64;
/// Grace period of a server whose last handle has been dropped.
const ENDING_SPAN: Duration = Duration::from_secs(5);
/// Time for the application to write what is left once all clients are gone.
const APP_ENDING_SPAN: Duration = Duration::from_secs(10);
