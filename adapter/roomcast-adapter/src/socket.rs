//! A client in a namespace.
//!
//! Owns: [`Socket`]: what a handler can learn about a client and do to it. Must never know: transports.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_core::server::{
    Command, Connect, Delivery, Emit, Extent, Handshake, Scope, SessionId, Sid, SocketId, Target,
};
use roomcast_core::socket_io::Args;

use crate::acks::AckFuture;
use crate::args::{IntoArgs, or_log, weight};
use crate::broadcast::Broadcast;
use crate::flow::{Flow, Sent};
use crate::handle::Handle;
use crate::lane::Lane;
use crate::mailbox::{Mail, Shared};
use crate::promise::{lock, promise};

/// A client's presence in one namespace. Cheap to clone; after the client has gone, everything sent to it is dropped.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    connect: Box<Connect>,
    scope: Scope,
    /// The index of the namespace's rules.
    rule: Option<usize>,
    lane: Lane,
    flow: Arc<Flow>,
    connected: AtomicBool,
    /// Who waits for its end; `None` once that has come.
    end_waiters: Mutex<Option<Vec<Waker>>>,
    extensions: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

impl Socket {
    pub(crate) fn new(shared: Arc<Shared>, connect: Box<Connect>, rule: Option<usize>) -> Self {
        let scope = Scope { endpoint: connect.endpoint, namespace: connect.namespace.clone() };
        Self(Arc::new(Inner {
            shared,
            connect,
            scope,
            rule,
            lane: Lane::default(),
            flow: Arc::default(),
            connected: AtomicBool::new(false),
            end_waiters: Mutex::new(Some(Vec::new())),
            extensions: Mutex::default(),
        }))
    }

    /// Sends an event to this client.
    ///
    /// It is sent by the call; awaiting the result only keeps a handler from sending faster than the client reads.
    /// Arguments that have no JSON form are logged as an error and not sent.
    ///
    /// ```
    /// # use roomcast_adapter::Socket;
    /// async fn greet(socket: Socket) {
    ///     socket.emit("welcome", ("to", "the", "room")).await;
    ///     socket.emit("tick", ()).await;
    /// }
    /// ```
    pub fn emit<M>(&self, name: impl Into<ByteString>, args: impl IntoArgs<M>) -> Sent {
        self.emit_as(Delivery::Reliable, name.into(), args)
    }

    /// Sends an event that may be lost: it is dropped if the client is behind.
    pub fn emit_volatile<M>(&self, name: impl Into<ByteString>, args: impl IntoArgs<M>) -> Sent {
        self.emit_as(Delivery::Volatile, name.into(), args)
    }

    /// Sends an event and waits for the client's ack.
    ///
    /// # Errors
    ///
    /// The client did not answer in time, or went away.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use roomcast_adapter::{AckError, Socket};
    /// async fn ask(socket: Socket) -> Result<String, AckError> {
    ///     let answer = socket.emit_with_ack("your name?", (), Duration::from_secs(5)).await?;
    ///     Ok(answer.parse().unwrap_or_default())
    /// }
    /// ```
    pub fn emit_with_ack<M>(
        &self,
        name: impl Into<ByteString>,
        args: impl IntoArgs<M>,
        timeout: Duration,
    ) -> AckFuture {
        let args = match args.into_args() {
            Ok(args) => args,
            Err(error) => return AckFuture(Err(error)),
        };
        let emit = Emit {
            target: Target::Socket(self.id()),
            name: name.into(),
            args,
            delivery: Delivery::Reliable,
            ack: None,
        };
        let (acks, debt) = promise();
        self.0.shared.send(Mail::Ask(emit, timeout, debt), 0);
        AckFuture(Ok(acks))
    }

    /// Everybody in a room of this namespace except this client.
    pub fn to(&self, room: impl Into<ByteString>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Everybody in this namespace except this client.
    pub fn broadcast(&self) -> Broadcast {
        self.everyone().except_socket(self)
    }

    /// Everybody in this namespace, this client included.
    pub fn everyone(&self) -> Broadcast {
        Broadcast::new(self.0.shared.clone(), self.0.scope.clone())
    }

    /// Puts this client into a room.
    pub fn join(&self, room: impl Into<ByteString>) {
        self.0.shared.command(Command::Join { target: Target::Socket(self.id()), room: room.into() });
    }

    /// Takes this client out of a room.
    pub fn leave(&self, room: impl Into<ByteString>) {
        self.0.shared.command(Command::Leave { target: Target::Socket(self.id()), room: room.into() });
    }

    /// Ends the client's presence in this namespace, or its whole connection.
    pub fn disconnect(&self, extent: Extent) {
        self.0.shared.command(Command::Disconnect { target: Target::Socket(self.id()), extent });
    }

    /// Ends the whole connection without a word to its namespaces: to the client it is as if the network had failed, and
    /// it comes back.
    pub fn close(&self) {
        self.0.shared.command(Command::Close { session: self.session() });
    }

    /// Keeps a value with this socket: one of each type, a later one in place of the earlier.
    pub fn extend<T: Any + Send + Sync>(&self, value: T) {
        let mut extensions = lock(&self.0.extensions);
        extensions.retain(|known| !known.as_ref().is::<T>());
        extensions.push(Arc::new(value));
        extensions.shrink_to_fit();
    }

    /// The value of this type that was kept with this socket.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        lock(&self.0.extensions).iter().find_map(|known| known.clone().downcast().ok())
    }

    /// The rooms it has joined; empty once it is gone.
    pub async fn rooms(&self) -> Vec<String> {
        let id = self.id();
        self.handle().query(move |view| view.server.rooms(id).map(str::to_owned).collect()).await.unwrap_or_default()
    }

    /// Whether it is in a room.
    pub async fn is_in(&self, room: impl Into<ByteString>) -> bool {
        let (id, room) = (self.id(), room.into());
        self.handle().query(move |view| view.server.rooms(id).any(|known| *known == *room)).await.unwrap_or(false)
    }

    /// Whether the client is there: not before it was let in, and not after it has gone.
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Ordering::Acquire)
    }

    /// Resolves once the client is gone.
    pub async fn disconnected(&self) {
        std::future::poll_fn(|cx| match &mut *lock(&self.0.end_waiters) {
            None => Poll::Ready(()),
            Some(waiters) => {
                if !waiters.iter().any(|known| known.will_wake(cx.waker())) {
                    waiters.push(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await;
    }

    /// Its id on the wire, which is also the name of a room of its own.
    pub fn sid(&self) -> Sid {
        self.0.connect.sid
    }

    /// Its handle in the core.
    pub fn id(&self) -> SocketId {
        self.0.connect.socket
    }

    /// The handle of the connection that it shares with the client's sockets in other namespaces.
    pub fn session(&self) -> SessionId {
        self.0.connect.session
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.0.connect.namespace
    }

    /// Its namespace, and the endpoint of that.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The auth payload with which it came: a JSON object, or empty.
    pub fn auth(&self) -> &str {
        &self.0.connect.auth
    }

    /// The HTTP request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.0.connect.request
    }

    /// The server.
    pub fn handle(&self) -> Handle {
        Handle::new(self.0.shared.clone())
    }

    fn emit_as<M>(&self, delivery: Delivery, name: ByteString, args: impl IntoArgs<M>) -> Sent {
        let Some(args) = or_log(args, &name) else { return Sent::nothing() };
        let bytes = name.len() + weight(&args);
        let emit = Emit { target: Target::Socket(self.id()), name, args, delivery, ack: None };
        let flow = &self.0.flow;
        let ticket = self.0.shared.send(Mail::Paced(Command::Emit(emit), self.session(), flow.clone()), bytes);
        Sent::to_one(&self.0.shared, ticket, flow)
    }

    pub(crate) fn ack(&self, ack: roomcast_core::server::AckId, args: Args) {
        let bytes = weight(&args);
        self.0.shared.send(Mail::Command(Command::Ack { socket: self.id(), ack, args }), bytes);
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.0.lane
    }

    pub(crate) fn rule(&self) -> Option<usize> {
        self.0.rule
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.0.flow
    }

    pub(crate) fn begin(&self) {
        self.0.connected.store(true, Ordering::Release);
    }

    /// It is gone; whether it was there.
    pub(crate) fn end(&self) -> bool {
        self.0.flow.clear();
        let waiters = lock(&self.0.end_waiters).take();
        waiters.into_iter().flatten().for_each(Waker::wake);
        self.0.connected.swap(false, Ordering::AcqRel)
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("sid", &self.sid()).field("namespace", &self.namespace()).finish()
    }
}
