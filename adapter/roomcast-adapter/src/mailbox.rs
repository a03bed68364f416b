//! What the driver shares with the rest of the program.
//!
//! Owns: the queue of what others want from the driver, the list of connections that are ready, the driver's waker, and
//! the tasks that wait for the end of a turn. Must never know: how the driver does any of it.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_channel::oneshot;
use hyper::upgrade::OnUpgrade;
use roomcast_core::server::{ClusterInput, Command, Emit, EndpointId, RequestId, SessionId, SocketId, Target};
use roomcast_core::socket_io::Args;

use crate::acks::Acks;
use crate::addresses::{AddressGuard, Addresses};
use crate::endpoints::Endpoints;
use crate::fetched::FetchedSockets;
use crate::flow::FlowGate;
use crate::load::LoadMeter;
use crate::presence::Snapshot;
use crate::server_replies::ServerReplies;
use crate::shard_group::ShardGroup;
use crate::states::States;
use crate::sync::{lock, remember};

/// Something for the driver.
pub(crate) enum Mail {
    /// A command, as it is.
    Command(Command),
    /// A command to one peer, whose sender may want to wait while the peer is congested.
    Paced(Command, SessionId, Arc<FlowGate>),
    /// Take a socket out of all rooms that it has joined.
    LeaveAll(SocketId),
    /// An emit whose acks are wanted.
    Ask(Emit, Duration, oneshot::Sender<Acks>),
    /// A question for the sockets of a target on all nodes.
    Fetch(Target, Duration, oneshot::Sender<FetchedSockets>),
    /// A question for the applications of the other servers.
    AskServers(Box<ServersQuestion>),
    /// An HTTP request: its head, and its body unless that follows as [`Mail::Body`].
    Http(Box<HttpRequest>),
    /// The body of a request that was sent without it.
    Body(RequestId, Bytes),
    /// The client of this request has gone away.
    Aborted(HttpTicket),
    /// A request that asks for a WebSocket.
    Upgrade(Box<UpgradeRequest>),
    /// A question about sockets and rooms.
    Query(Box<dyn FnOnce(Snapshot<'_>) + Send>),
    /// The bus of a cluster says something, with what is dropped once that has been dealt with.
    Cluster(Box<ClusterInput>, Option<Box<dyn Send>>),
    /// The application layer has mail of its own.
    App,
    /// End the server within this time.
    Shutdown(Duration, oneshot::Sender<()>),
    /// Another shard has ended: begin to end, if that has not begun.
    SiblingEnded,
    /// Something changed that only matters to a server which ends.
    Nudge,
}

/// A server-side emit whose replies are wanted.
pub(crate) struct ServersQuestion {
    pub(crate) namespace: ByteString,
    pub(crate) name: ByteString,
    pub(crate) args: Args,
    pub(crate) timeout: Duration,
    pub(crate) replies: oneshot::Sender<ServerReplies>,
}

/// The number of an HTTP request on its way to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HttpTicket(u64);

pub(crate) struct HttpRequest {
    pub(crate) ticket: HttpTicket,
    pub(crate) endpoint: EndpointId,
    pub(crate) request: http::Request<()>,
    pub(crate) body: RequestBody,
    pub(crate) response: oneshot::Sender<Box<http::Response<Bytes>>>,
}

pub(crate) enum RequestBody {
    Complete(Bytes),
    /// To be read once the head has been accepted, and sent as [`Mail::Body`] with the number that is told then.
    Pending(oneshot::Sender<RequestId>),
}

pub(crate) struct UpgradeRequest {
    pub(crate) endpoint: EndpointId,
    pub(crate) request: http::Request<()>,
    pub(crate) stream: OnUpgrade,
    /// Whose event loop watches the stream.
    pub(crate) home: StreamHome,
    pub(crate) guard: Option<Arc<AddressGuard>>,
    pub(crate) response: oneshot::Sender<Box<http::Response<Bytes>>>,
}

/// Whose event loop watches a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamHome {
    /// That of the driver.
    Here,
    /// Another shard's, or one of the program's own.
    Elsewhere,
}

/// Shared by the driver, the handles and the HTTP side.
pub(crate) struct Shared {
    mailbox: Mutex<Mailbox>,
    /// The last taking of mail whose turn is over, IO included.
    turns_done: AtomicU64,
    /// The shards of the same server.
    pub(crate) group: Arc<ShardGroup<Self>>,
    /// Handlers that run in tasks of their own.
    busy_handlers: AtomicUsize,
    /// HTTP connections of `serve`.
    pub(crate) http_conns: AtomicUsize,
    pub(crate) stopping: AtomicBool,
    stop_waiters: Mutex<StopWaiters>,
    next_http_ticket: AtomicU64,
    /// Bytes of bodies that are not complete.
    pub(crate) partial_body_bytes: AtomicUsize,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) load: LoadMeter,
    pub(crate) endpoints: Endpoints,
    pub(crate) states: States,
    pub(crate) sleep: Box<dyn Fn(Duration) -> Sleep + Send + Sync>,
}

/// A runtime's timer.
pub(crate) struct Sleep(pub(crate) Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

#[derive(Default)]
struct Mailbox {
    mail: VecDeque<Mail>,
    ready: Vec<u32>,
    waker: Option<Waker>,
    /// The driver runs or has been woken: it will look.
    awake: bool,
    /// Payload bytes of the emits in `mail`.
    emit_bytes: usize,
    /// How often the driver has taken what was in here.
    turns_begun: u64,
    turn_waiters: Vec<Waker>,
    /// The driver is gone.
    dead: bool,
}

/// When something that was sent will have been dealt with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) turn: u64,
    pub(crate) backlog_bytes: usize,
}

impl Posted {
    /// The driver is gone.
    pub(crate) const fn is_lost(self) -> bool {
        self.turn == 0
    }
}

impl Shared {
    pub(crate) fn new(
        endpoints: Endpoints,
        addresses: Arc<Addresses>,
        group: Arc<ShardGroup<Self>>,
        states: States,
        sleep: Box<dyn Fn(Duration) -> Sleep + Send + Sync>,
    ) -> Self {
        Self {
            group,
            mailbox: Mutex::new(Mailbox { awake: true, ..Mailbox::default() }),
            turns_done: AtomicU64::new(0),
            busy_handlers: AtomicUsize::new(0),
            http_conns: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            stop_waiters: Mutex::default(),
            next_http_ticket: AtomicU64::new(0),
            partial_body_bytes: AtomicUsize::new(0),
            addresses,
            load: LoadMeter::default(),
            endpoints,
            states,
            sleep,
        }
    }

    /// Puts something into the queue. If the driver is gone, it is dropped.
    pub(crate) fn send(&self, mail: Mail, emit_bytes: usize) -> Posted {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.dead {
            drop(mailbox);
            drop(mail);
            return Posted { turn: 0, backlog_bytes: 0 };
        }
        mailbox.mail.push_back(mail);
        mailbox.emit_bytes += emit_bytes;
        let posted = Posted { turn: mailbox.turns_begun + 1, backlog_bytes: mailbox.emit_bytes };
        let waker = mailbox.claim_waker();
        drop(mailbox);
        if let Some(waker) = waker {
            waker.wake();
        }
        posted
    }

    pub(crate) fn next_http_ticket(&self) -> HttpTicket {
        HttpTicket(self.next_http_ticket.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn command(&self, command: Command) -> Posted {
        self.send(Mail::Command(command), 0)
    }

    /// Swaps the queues with the driver's, mail only if it has none left; how often that was done.
    pub(crate) fn take(&self, mail: &mut VecDeque<Mail>, ready: &mut Vec<u32>) -> Option<u64> {
        let mut mailbox = lock(&self.mailbox);
        mailbox.awake = true;
        std::mem::swap(&mut mailbox.ready, ready);
        if !mail.is_empty() {
            return None;
        }
        mailbox.turns_begun += 1;
        mailbox.emit_bytes = 0;
        std::mem::swap(&mut mailbox.mail, mail);
        Some(mailbox.turns_begun)
    }

    /// What was taken so far has been dealt with, IO included.
    pub(crate) fn finish_turn(&self, turn: u64) {
        self.turns_done.store(turn, Ordering::Release);
        let waiters = {
            let mut mailbox = lock(&self.mailbox);
            if mailbox.turn_waiters.is_empty() {
                return;
            }
            std::mem::take(&mut mailbox.turn_waiters)
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Ready once what was taken then has been dealt with.
    pub(crate) fn poll_turn(&self, turn: u64, cx: &Context<'_>) -> Poll<()> {
        if self.turns_done.load(Ordering::Acquire) >= turn {
            return Poll::Ready(());
        }
        let mut mailbox = lock(&self.mailbox);
        // The driver publishes the number first and takes the waiters then: looking again under the lock misses neither.
        if mailbox.dead || self.turns_done.load(Ordering::Acquire) >= turn {
            return Poll::Ready(());
        }
        if !mailbox.turn_waiters.iter().any(|known| known.will_wake(cx.waker())) {
            mailbox.turn_waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// A handle is gone. With the last one all shards end.
    pub(crate) fn disown(&self) {
        if self.group.disown() {
            for shard in self.group.alive() {
                shard.send(Mail::Nudge, 0);
            }
        }
    }

    /// The driver of this shard is gone, and so the others are to end.
    pub(crate) fn tell_siblings(&self) {
        for shard in self.group.alive().filter(|other| !std::ptr::eq(Arc::as_ptr(other), self)) {
            shard.send(Mail::SiblingEnded, 0);
        }
    }

    /// The driver wants to sleep; `false` if there is something to do after all.
    pub(crate) fn fall_asleep(&self, cx: &Context<'_>) -> bool {
        let mut mailbox = lock(&self.mailbox);
        if !mailbox.mail.is_empty() || !mailbox.ready.is_empty() {
            return false;
        }
        remember(&mut mailbox.waker, cx);
        mailbox.awake = false;
        true
    }

    /// The driver is gone: wakes everything that waits for it.
    pub(crate) fn close(&self) {
        let (mail, waiters) = {
            let mut mailbox = lock(&self.mailbox);
            mailbox.dead = true;
            (std::mem::take(&mut mailbox.mail), std::mem::take(&mut mailbox.turn_waiters))
        };
        drop(mail);
        waiters.into_iter().for_each(Waker::wake);
        self.stop();
    }

    /// Tells all tasks that wait for it that the server ends.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let waiters = std::mem::take(&mut lock(&self.stop_waiters).wakers);
        waiters.into_values().for_each(Waker::wake);
    }

    /// Counts a handler in a task of its own for as long as the result lives.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy_handlers.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }

    pub(crate) fn has_busy_handlers(&self) -> bool {
        self.busy_handlers.load(Ordering::Acquire) > 0
    }

    fn set_ready(&self, slot: u32) {
        let mut mailbox = lock(&self.mailbox);
        mailbox.ready.push(slot);
        let waker = mailbox.claim_waker();
        drop(mailbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A handler that runs in a task of its own.
pub(crate) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy_handlers.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.stopping.load(Ordering::Acquire) {
            self.0.send(Mail::Nudge, 0);
        }
    }
}

impl Mailbox {
    fn claim_waker(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.awake, true) {
            return None;
        }
        self.waker.take()
    }
}

/// A connection's waker: puts its place into the list of those that are ready.
pub(crate) struct ConnWaker {
    shared: Arc<Shared>,
    slot: u32,
    listed: AtomicBool,
}

impl ConnWaker {
    pub(crate) fn new(shared: Arc<Shared>, slot: u32) -> Self {
        Self { shared, slot, listed: AtomicBool::new(false) }
    }

    /// `true` if it is to be put into the list: it was not there.
    pub(crate) fn list(&self) -> bool {
        !self.listed.swap(true, Ordering::AcqRel)
    }

    /// To be called before the connection is looked at.
    pub(crate) fn unlist(&self) {
        self.listed.store(false, Ordering::Release);
    }
}

impl Wake for ConnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.list() {
            self.shared.set_ready(self.slot);
        }
    }
}

#[derive(Default)]
struct StopWaiters {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// Resolves when the server begins to end.
pub(crate) struct Stopped {
    shared: Arc<Shared>,
    key: Option<u64>,
}

impl Stopped {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, key: None }
    }
}

impl Future for Stopped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let shared = self.shared.clone();
        let mut waiters = lock(&shared.stop_waiters);
        if shared.stopping.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            waiters.next += 1;
            waiters.next
        });
        match waiters.wakers.get(&key) {
            Some(known) if known.will_wake(cx.waker()) => {}
            Some(_) | None => {
                waiters.wakers.insert(key, cx.waker().clone());
            }
        }
        Poll::Pending
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.shared.stop_waiters).wakers.remove(&key);
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}
