//! A client in a namespace.
//!
//! Owns: [`Socket`]: what a handler can learn about a client and do to it. Must never know: transports.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_channel::oneshot;
use roomcast_core::server::{
    AckId, Command, Delivery, Emit, Extent, Handshake, Scope, SessionId, Sid, SocketId, Target,
};
use roomcast_core::socket_io::Args;

use crate::acks::AckFuture;
use crate::args::{IntoArgs, weight};
use crate::broadcast::Broadcast;
use crate::emit_error::{emittable, emittable_or_log};
use crate::handle::Handle;
use crate::mailbox::{Mail, Shared};
use crate::presence::{Presence, Snapshot};
use crate::sent::Sent;

/// A client's presence in one namespace. Cheap to clone; after the client has gone, everything sent to it is dropped.
#[derive(Clone)]
pub struct Socket {
    shared: Arc<Shared>,
    presence: Arc<Presence>,
}

impl Socket {
    pub(crate) const fn new(shared: Arc<Shared>, presence: Arc<Presence>) -> Self {
        Self { shared, presence }
    }

    /// Sends an event to this client.
    ///
    /// It is sent by the call; awaiting the result only keeps a handler from sending faster than the client reads.
    /// A name that clients reserve, and arguments that have no JSON form, are logged as an error and not sent: see
    /// [`Sent::checked`].
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
    /// The client did not answer in time, or went away; the name is reserved, or the arguments have no JSON form.
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
        let name = name.into();
        let args = match emittable(&name, args) {
            Ok(args) => args,
            Err(error) => return AckFuture(Err(error)),
        };
        let emit = Emit { target: Target::Socket(self.id()), name, args, delivery: Delivery::Reliable, ack: None };
        let (sender, acks) = oneshot::channel();
        self.shared.send(Mail::Ask(emit, timeout, sender), 0);
        AckFuture(Ok(acks))
    }

    /// All members of a room of this namespace except this client.
    pub fn to(&self, room: impl Into<ByteString>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// All clients in this namespace except this one.
    pub fn broadcast(&self) -> Broadcast {
        self.everyone().except_socket(self)
    }

    /// All clients in this namespace, this one included.
    pub fn everyone(&self) -> Broadcast {
        Broadcast::new(self.shared.clone(), self.presence.scope.clone())
    }

    /// Puts this client into a room; from an [`admit`](crate::Namespace::admit) handler, as soon as it is let in.
    pub fn join(&self, room: impl Into<ByteString>) {
        if let Some(room) = self.presence.join(room.into()) {
            self.shared.command(Command::Join { target: Target::Socket(self.id()), room });
        }
    }

    /// Takes this client out of a room.
    pub fn leave(&self, room: impl Into<ByteString>) {
        if let Some(room) = self.presence.leave(room.into()) {
            self.shared.command(Command::Leave { target: Target::Socket(self.id()), room });
        }
    }

    /// Takes this client out of all rooms but its own.
    pub fn leave_all(&self) {
        self.presence.leave_all();
        self.shared.send(Mail::LeaveAll(self.id()), 0);
    }

    /// Ends the client's presence in this namespace, or its whole connection.
    pub fn disconnect(&self, extent: Extent) {
        self.shared.command(Command::Disconnect { target: Target::Socket(self.id()), extent });
    }

    /// Ends the whole connection without a word to its namespaces: to the client it is as if the network had failed, and
    /// it comes back.
    pub fn close(&self) {
        self.shared.command(Command::Close { session: self.session() });
    }

    /// Keeps a value with this socket: one of each type, a later one in place of the earlier.
    pub fn extend<T: Any + Send + Sync>(&self, value: T) {
        self.presence.extend(value);
    }

    /// The value of this type that was kept with this socket.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.presence.extension()
    }

    /// Whether the client is back after it lost its connection: with the same sid, in the same rooms, and told what it has
    /// missed. Only where [`SocketIoRoutes::recovery`](crate::SocketIoRoutes::recovery) is on. What the socket before was
    /// [`extend`](Self::extend)ed with is not there; [`recovered_data`](Self::recovered_data) is.
    pub fn recovered(&self) -> bool {
        self.presence.connect.recovered.is_some()
    }

    /// Keeps something with a connected client, in place of what was kept before, for when it comes back. Nothing without
    /// [`SocketIoRoutes::recovery`](crate::SocketIoRoutes::recovery).
    ///
    /// ```
    /// # use roomcast_adapter::Socket;
    /// async fn name(socket: Socket) {
    ///     match socket.recovered_data() {
    ///         Some(name) => tracing::info!(?name, "is back"),
    ///         None => socket.keep_data("a new name"),
    ///     }
    /// }
    /// ```
    pub fn keep_data(&self, data: impl Into<Bytes>) {
        self.shared.command(Command::KeepData { socket: self.id(), data: data.into() });
    }

    /// What was kept with the client by [`keep_data`](Self::keep_data) before it lost its connection; `None` if it is not
    /// [`recovered`](Self::recovered).
    pub fn recovered_data(&self) -> Option<&Bytes> {
        self.presence.connect.recovered.as_ref().map(|recovered| &recovered.data)
    }

    /// The rooms it has joined; empty once it is gone.
    pub async fn rooms(&self) -> Vec<String> {
        let id = self.id();
        self.handle().look(move |now| now.server.rooms(id).map(str::to_owned).collect()).await.unwrap_or_default()
    }

    /// Whether it is in a room.
    pub async fn is_in(&self, room: impl Into<ByteString>) -> bool {
        let (id, room) = (self.id(), room.into());
        self.handle().look(move |now| now.server.rooms(id).any(|known| *known == *room)).await.unwrap_or(false)
    }

    /// Whether the client is there: not before it was let in, and not after it has gone.
    pub fn is_connected(&self) -> bool {
        self.presence.is_connected()
    }

    /// Resolves once the client is gone.
    pub async fn disconnected(&self) {
        std::future::poll_fn(|cx| self.presence.poll_end(cx)).await;
    }

    /// Its id on the wire, which is also the name of a room of its own.
    pub fn sid(&self) -> Sid {
        self.presence.connect.sid
    }

    /// Its handle in the core.
    pub fn id(&self) -> SocketId {
        self.presence.connect.socket
    }

    /// The handle of the connection that it shares with the client's sockets in other namespaces.
    pub fn session(&self) -> SessionId {
        self.presence.connect.session
    }

    /// The name of the namespace that the socket has joined.
    pub fn namespace(&self) -> &str {
        &self.presence.connect.namespace
    }

    /// What stands in the namespace's name for `{key}` in its [`Pattern::Segments`](crate::Pattern::Segments).
    ///
    /// ```
    /// use roomcast_adapter::{Builder, Pattern, Socket};
    ///
    /// let builder = Builder::new().socket_io("/socket.io", |io| {
    ///     io.namespaces(Pattern::Segments("/projects/{project}".into()), |ns| {
    ///         ns.on("which", async |socket: Socket| socket.param("project").map(str::to_owned));
    ///     });
    /// });
    /// # let _ = builder;
    /// ```
    pub fn param(&self, key: &str) -> Option<&str> {
        self.presence.params.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Its namespace, and the endpoint of that.
    pub fn scope(&self) -> &Scope {
        &self.presence.scope
    }

    /// The auth payload with which it came: a JSON object, or empty.
    pub fn auth(&self) -> &str {
        &self.presence.connect.auth
    }

    /// The HTTP request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.presence.connect.request
    }

    /// The address of the client when it opened the connection: behind [trusted
    /// proxies](crate::Builder::trusted_proxies) the one that they say. Below a web framework, only if a layer there inserts
    /// [`ClientAddress`](crate::ClientAddress).
    pub fn address(&self) -> Option<IpAddr> {
        self.handshake().address()
    }

    /// The server that it is connected to.
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    fn emit_as<M>(&self, delivery: Delivery, name: ByteString, args: impl IntoArgs<M>) -> Sent {
        let args = match emittable_or_log(&name, args) {
            Ok(args) => args,
            Err(error) => return Sent::nothing(error),
        };
        let bytes = name.len() + weight(&args);
        let emit = Emit { target: Target::Socket(self.id()), name, args, delivery, ack: None };
        let flow = &self.presence.flow;
        let posted = self.shared.send(Mail::Paced(Command::Emit(emit), self.session(), flow.clone()), bytes);
        Sent::to_one(&self.shared, posted, flow)
    }

    /// Lets the client in, and into the rooms that it has joined meanwhile.
    pub(crate) fn accept(&self) {
        self.shared.command(Command::Accept { socket: self.id() });
        self.presence.take_joins().into_iter().for_each(|room| self.join(room));
    }

    pub(crate) fn ack(&self, ack: AckId, args: Args) {
        let bytes = weight(&args);
        self.shared.send(Mail::Command(Command::Ack { socket: self.id(), ack, args }), bytes);
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.presence
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Handle {
    /// The socket with this sid in a namespace of the first Socket.IO endpoint. To emit to it there is no need to look
    /// it up: its sid is the name of a room.
    pub async fn socket(&self, namespace: impl Into<ByteString>, sid: impl Into<String>) -> Option<Socket> {
        let scope = Scope { endpoint: self.shared().endpoints.first_socket_io(), namespace: namespace.into() };
        let sid = sid.into();
        let shard = self.shared().group.of_sid(&sid).map_or_else(|| self.clone(), Self::new);
        let found = shard.look(move |now| find(now, now.server.socket(&scope, &sid)?));
        Some(Socket::new(shard.shared().clone(), found.await??))
    }
}

impl Broadcast {
    /// Excludes this socket from the recipients.
    pub fn except_socket(mut self, socket: &Socket) -> Self {
        if Arc::ptr_eq(&self.shared, socket.shared()) {
            self.selection.except_sockets.push(socket.id());
        } else {
            // Of another shard, where alone its handle means something. Its sid is a room of its own.
            self.selection.except_rooms.push(socket.sid().as_str().to_owned().into());
        }
        self
    }
}

/// The socket of a handle, unless it is gone.
pub(crate) fn find(now: Snapshot<'_>, id: SocketId) -> Option<Arc<Presence>> {
    now.presences.get(id.slot())?.as_ref().filter(|presence| presence.id() == id).cloned()
}

/// The same client's presence in the same namespace of the same server.
impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.presence, &other.presence)
    }
}

impl Eq for Socket {}

impl Hash for Socket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.presence).hash(state);
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("sid", &self.sid()).field("namespace", &self.namespace()).finish()
    }
}
