//! A client without Socket.IO.
//!
//! Owns: [`Peer`]. Must never know: transports.

use std::sync::Arc;

use roomcast_core::server::{Command, EndpointId, Handshake, Message, SessionId};
use roomcast_core::websocket::CloseCode;

use crate::flow::FlowGate;
use crate::handle::Handle;
use crate::handler_queue::HandlerQueue;
use crate::mailbox::{Mail, Shared};
use crate::sent::Sent;

/// A client of a bare Engine.IO or bare WebSocket endpoint. Cheap to clone. Messages to a client that has disconnected
/// are dropped.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    session: SessionId,
    endpoint: EndpointId,
    request: Arc<Handshake>,
    queue: HandlerQueue,
    flow: Arc<FlowGate>,
}

impl Peer {
    pub(crate) fn new(shared: Arc<Shared>, session: SessionId, endpoint: EndpointId, request: Arc<Handshake>) -> Self {
        Self(Arc::new(Inner {
            shared,
            session,
            endpoint,
            request,
            queue: HandlerQueue::default(),
            flow: Arc::default(),
        }))
    }

    /// Sends a message. It is sent by the call; awaiting the result only keeps a handler from sending faster than the
    /// client reads.
    pub fn send(&self, message: Message) -> Sent {
        let bytes = match &message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        };
        let (shared, session, flow) = (&self.0.shared, self.0.session, &self.0.flow);
        let posted = shared.send(Mail::Paced(Command::Send { session, message }, session, flow.clone()), bytes);
        Sent::to_one(shared, posted, flow)
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.0.shared.command(Command::Close { session: self.0.session });
    }

    /// Ends the connection with a close code of your own, 4000 to 4999 (RFC 6455 section 7.4.2).
    pub fn close_with(&self, code: CloseCode) {
        self.0.shared.command(Command::CloseWith { session: self.0.session, code });
    }

    /// Its handle in the core.
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// The HTTP request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.0.request
    }

    /// The server that it is connected to.
    pub fn handle(&self) -> Handle {
        Handle::new(self.0.shared.clone())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn endpoint(&self) -> EndpointId {
        self.0.endpoint
    }

    pub(crate) fn queue(&self) -> &HandlerQueue {
        &self.0.queue
    }

    pub(crate) fn flow(&self) -> &FlowGate {
        &self.0.flow
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Peer").field(&self.0.session.as_u64()).finish()
    }
}
