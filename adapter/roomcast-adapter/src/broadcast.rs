//! Many sockets at once.
//!
//! Owns: [`Broadcast`]: which sockets are meant, and what can be done to them. Must never know: a socket.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use futures_channel::oneshot;
use roomcast_core::server::{ClusterCommand, Command, Delivery, Emit, Extent, Reach, Scope, Selection, Target};

use crate::acks::AcksFuture;
use crate::args::{IntoArgs, weight};
use crate::emit_error::{EmitError, emittable, emittable_or_log, tellable};
use crate::fetched::FetchedSockets;
use crate::handle::Handle;
use crate::mailbox::{Mail, ServersQuestion, Shared};
use crate::sent::Sent;
use crate::server_replies::ServerRepliesFuture;

/// A selection of the sockets in a namespace: all of them, until rooms are named.
///
/// ```
/// # use roomcast_adapter::Handle;
/// async fn announce(handle: Handle) {
///     handle.of("/").emit("notice", "dinner is ready").await;
///     handle.of("/").to("kitchen").to("hall").except("guests").emit("notice", "dinner").await;
/// }
/// ```
#[must_use = "does nothing until told what to send or do"]
#[derive(Clone, Debug)]
pub struct Broadcast {
    pub(crate) shared: Arc<Shared>,
    pub(crate) selection: Selection,
    delivery: Delivery,
}

impl Broadcast {
    pub(crate) fn new(shared: Arc<Shared>, scope: Scope) -> Self {
        Self { shared, selection: Selection::of(scope), delivery: Delivery::Reliable }
    }

    /// The members of this room too. Each socket is meant once, however many rooms it shares.
    pub fn to(mut self, room: impl Into<ByteString>) -> Self {
        self.selection.rooms.push(room.into());
        self
    }

    /// Not the members of this room.
    pub fn except(mut self, room: impl Into<ByteString>) -> Self {
        self.selection.except_rooms.push(room.into());
        self
    }

    /// The sockets of this server alone, not those of other nodes of its cluster; other
    /// [shards](crate::Server::start_shards) are other nodes.
    pub const fn local(mut self) -> Self {
        self.selection.reach = Reach::Local;
        self
    }

    /// What is sent may be lost: a client whose outbound queue is over its soft limit does not get it.
    pub fn volatile(mut self) -> Self {
        self.delivery = Delivery::Volatile;
        self
    }

    /// Sends an event. It is sent by the call, and no slow member holds it up; awaiting the result lets the server
    /// write before the next one is made. A name that clients reserve, and arguments that have no JSON form, are logged as
    /// an error and not sent: see [`Sent::checked`].
    pub fn emit<M>(self, name: impl Into<ByteString>, args: impl IntoArgs<M>) -> Sent {
        let name = name.into();
        let args = match emittable_or_log(&name, args) {
            Ok(args) => args,
            Err(error) => return Sent::nothing(error),
        };
        let bytes = name.len() + weight(&args);
        let (shared, delivery) = (self.shared.clone(), self.delivery);
        let emit = Emit { target: self.into_target(), name, args, delivery, ack: None };
        let posted = shared.send(Mail::Command(Command::Emit(emit)), bytes);
        Sent::to_many(&shared, posted)
    }

    /// Sends an event and gathers the acks of all.
    ///
    /// # Errors
    ///
    /// The name is reserved, the arguments have no JSON form, or the server is gone. That some did not answer is no error.
    pub fn emit_with_ack<M>(
        self,
        name: impl Into<ByteString>,
        args: impl IntoArgs<M>,
        timeout: Duration,
    ) -> AcksFuture {
        let name = name.into();
        let args = match emittable(&name, args) {
            Ok(args) => args,
            Err(error) => return AcksFuture(Err(error)),
        };
        let (shared, delivery) = (self.shared.clone(), self.delivery);
        let emit = Emit { target: self.into_target(), name, args, delivery, ack: None };
        let (sender, acks) = oneshot::channel();
        shared.send(Mail::Ask(emit, timeout, sender), 0);
        AcksFuture(Ok(acks))
    }

    /// The sockets that are meant, on this node and on all others of its cluster. Waits until the nodes that are known have
    /// answered, for `timeout` at most. `None` if the server has ended. For sockets of this node alone there is
    /// [`sockets`](Self::sockets), which does not wait.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use roomcast_adapter::Handle;
    ///
    /// async fn guests(handle: Handle) -> Vec<String> {
    ///     let fetched = handle.of("/").to("hall").fetch_sockets(Duration::from_secs(1)).await.unwrap_or_default();
    ///     fetched.sockets.into_iter().map(|socket| socket.sid.to_string()).collect()
    /// }
    /// ```
    pub async fn fetch_sockets(self, timeout: Duration) -> Option<FetchedSockets> {
        let (sender, fetched) = oneshot::channel();
        let shared = self.shared.clone();
        shared.send(Mail::Fetch(self.into_target(), timeout, sender), 0);
        fetched.await.ok()
    }

    /// Tells the applications of the other servers something: their
    /// [`on_server_side`](crate::Namespace::on_server_side) handlers, and `io.of(…).on(…)` of JavaScript servers. The
    /// application of this server does not hear it, and clients do not. Other [shards](crate::Server::start_shards) are other
    /// servers. Awaiting the result lets the server write before the next one is made. What cannot be sent is logged as an
    /// error: see [`Sent::checked`].
    ///
    /// ```
    /// # use roomcast_adapter::Handle;
    /// async fn reload(handle: Handle) {
    ///     handle.of("/").server_side_emit("reload", "settings").await;
    /// }
    /// ```
    pub fn server_side_emit<M>(self, name: impl Into<ByteString>, args: impl IntoArgs<M>) -> Sent {
        let name = name.into();
        let told = self.of_servers().and_then(|()| tellable(&name, args));
        let args = match told.inspect_err(|error| tracing::error!(event = &*name, %error, "servers are not told")) {
            Ok(args) => args,
            Err(error) => return Sent::nothing(error),
        };
        let bytes = name.len() + weight(&args);
        let namespace = self.selection.scope.namespace;
        let command = ClusterCommand::ServerEmit { namespace, name, args, ack: None };
        Sent::to_many(&self.shared, self.shared.send(Mail::Command(Command::Cluster(command)), bytes))
    }

    /// Tells the applications of the other servers something, and gathers what they reply. Waits until all have, for
    /// `timeout` at most: then there are the replies that came.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use roomcast_adapter::Handle;
    ///
    /// async fn elsewhere(handle: Handle) -> u64 {
    ///     let asked = handle.of("/").server_side_emit_with_ack("clients?", "hall", Duration::from_secs(1));
    ///     let Ok(answer) = asked.await else { return 0 };
    ///     answer.replies.iter().filter_map(|(_, args)| args.parse::<(u64,)>().ok()).map(|(count,)| count).sum()
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The event cannot be sent, or the server is gone. That some did not reply is no error.
    pub fn server_side_emit_with_ack<M>(
        self,
        name: impl Into<ByteString>,
        args: impl IntoArgs<M>,
        timeout: Duration,
    ) -> ServerRepliesFuture {
        let name = name.into();
        let args = match self.of_servers().and_then(|()| tellable(&name, args)) {
            Ok(args) => args,
            Err(error) => return ServerRepliesFuture(Err(error)),
        };
        let (replies, answer) = oneshot::channel();
        let namespace = self.selection.scope.namespace;
        self.shared.send(Mail::AskServers(Box::new(ServersQuestion { namespace, name, args, timeout, replies })), 0);
        ServerRepliesFuture(Ok(answer))
    }

    /// Puts them into a room.
    pub fn join(self, room: impl Into<ByteString>) {
        let shared = self.shared.clone();
        shared.command(Command::Join { target: self.into_target(), room: room.into() });
    }

    /// Takes them out of a room.
    pub fn leave(self, room: impl Into<ByteString>) {
        let shared = self.shared.clone();
        shared.command(Command::Leave { target: self.into_target(), room: room.into() });
    }

    /// Ends their presence in the namespace, or their whole connections.
    pub fn disconnect(self, extent: Extent) {
        let shared = self.shared.clone();
        shared.command(Command::Disconnect { target: self.into_target(), extent });
    }

    /// Whether the selection is what all servers share.
    fn of_servers(&self) -> Result<(), EmitError> {
        let Selection { scope, rooms, sockets, except_rooms, except_sockets, reach } = &self.selection;
        let is_whole = rooms.is_empty()
            && sockets.is_empty()
            && except_rooms.is_empty()
            && except_sockets.is_empty()
            && *reach == Reach::Cluster;
        let is_shared = scope.endpoint == self.shared.endpoints.first_socket_io();
        if is_shared && is_whole { Ok(()) } else { Err(EmitError::NotOfServers) }
    }

    /// The core has a short way for all members of one room.
    pub(crate) fn into_target(self) -> Target {
        let mut selection = self.selection;
        let plain = selection.sockets.is_empty()
            && selection.except_rooms.is_empty()
            && selection.except_sockets.is_empty()
            && selection.reach == Reach::Cluster
            && selection.rooms.len() == 1;
        match selection.rooms.pop() {
            Some(room) if plain => Target::Room { namespace: selection.scope, room },
            room => {
                selection.rooms.extend(room);
                Target::Select(Box::new(selection))
            }
        }
    }
}

impl Handle {
    /// All sockets in a namespace of the first Socket.IO endpoint.
    pub fn of(&self, namespace: impl Into<ByteString>) -> Broadcast {
        let endpoint = self.shared().endpoints.first_socket_io();
        Broadcast::new(self.shared().clone(), Scope { endpoint, namespace: namespace.into() })
    }

    /// All sockets in a namespace of the endpoint with this path; `None` if there is no such endpoint.
    pub fn of_endpoint(&self, path: &str, namespace: impl Into<ByteString>) -> Option<Broadcast> {
        let endpoint = self.endpoint(path)?;
        Some(Broadcast::new(self.shared().clone(), Scope { endpoint, namespace: namespace.into() }))
    }
}
