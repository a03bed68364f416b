//! What goes into a [`Server`](super::Server) and comes out of it on account of a cluster.
//!
//! Owns: the vocabulary between an application, the server and a bus. Must never know: how any of it is carried out.

use std::time::Duration;

use bytestring::ByteString;

use super::handles::{EmitId, SocketId};
use super::target::{AckEnd, AckRequest, Target};
use crate::cluster::{BusState, ClusterMessage, Leaving, NodeId, RequestToken, RoomChannel};
use crate::socket_io::Args;

/// What the bus has to say.
#[derive(Debug)]
pub enum ClusterInput {
    /// A node said something. Messages of this node that come back are ignored.
    Message(Box<ClusterMessage>),
    /// The bus has brought a request of this node ([`ClusterBody::question`](crate::cluster::ClusterBody::question)) to this
    /// many other nodes. Only said where [`Strangers::Counted`](crate::cluster::Strangers::Counted) are.
    Reached {
        /// The number of the request.
        request: u64,
        /// How many nodes got it, this one not among them.
        nodes: u32,
    },
    /// The bus brings the messages of a channel from now on, after [`Output::Subscribe`](super::Output::Subscribe).
    Subscribed(RoomChannel),
    /// The bus is there, or not. At the start it is taken to be there. After an outage the bus connection subscribes again
    /// to what it was subscribed to, before it says that the bus is up.
    Bus(BusState),
}

/// What an application asks of the other nodes.
#[derive(Debug)]
pub enum ClusterCommand {
    /// Ask for the sockets that a target means, here and on the other nodes: one [`ClusterEvent::SocketsFetched`] follows.
    FetchSockets {
        /// Comes back with the sockets.
        fetch: FetchId,
        /// The sockets that are meant.
        target: Target,
        /// How long to wait.
        timeout: Duration,
    },
    /// Tell the applications of the other nodes something; this node's own does not hear it.
    ServerEmit {
        /// The namespace it is said in.
        namespace: ByteString,
        /// The event's name.
        name: ByteString,
        /// Its arguments.
        args: Args,
        /// Given if each node is to reply.
        ack: Option<AckRequest>,
    },
    /// Answer a [`ClusterEvent::ServerReceived`] that asked for a reply.
    ServerReply {
        /// As it came with the event.
        reply: Box<ReplyTo>,
        /// The arguments of the reply.
        args: Args,
    },
}

/// What happened on other nodes, for the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// A socket on another node acknowledged an emit. An [`Event::AcksEnded`](super::Event::AcksEnded) follows in the end, as
    /// without a cluster.
    Acked {
        /// The emit, as the application named it.
        emit: EmitId,
        /// The node of the socket.
        node: NodeId,
        /// What it answers.
        args: Args,
    },
    /// The answer to [`ClusterCommand::FetchSockets`].
    SocketsFetched {
        /// As the application named it.
        fetch: FetchId,
        /// The sockets, of this node first.
        sockets: Vec<FetchedSocket>,
        /// How many of the known nodes have not answered.
        nodes_missing: u32,
    },
    /// The application of another node said something.
    ServerReceived {
        /// Id of that node.
        node: NodeId,
        /// The namespace it is said in.
        namespace: ByteString,
        /// The event's name.
        name: ByteString,
        /// Its arguments.
        args: Args,
        /// Given if it waits for a reply.
        reply: Option<Box<ReplyTo>>,
    },
    /// A node replied to a [`ClusterCommand::ServerEmit`].
    ServerReplied {
        /// The emit, as the application named it.
        emit: EmitId,
        /// The node that replies.
        node: NodeId,
        /// What it replies.
        args: Args,
    },
    /// A server-side emit gets no further replies.
    ServerRepliesEnded {
        /// The emit, as the application named it.
        emit: EmitId,
        /// How many nodes were asked.
        asked: u32,
        /// How many replied.
        answered: u32,
        /// Why it ended.
        end: AckEnd,
    },
    /// Another node emitted an event to a room with members here, which [`EmitWatch`](crate::cluster::EmitWatch) asks to
    /// be told of. The sockets have it.
    Emitted {
        /// The room's name.
        room: ByteString,
        /// The event's name.
        name: ByteString,
        /// Its arguments.
        args: Args,
    },
    /// Another node took a socket of this node out of a room, or closed the room.
    RoomLeft {
        /// The socket that was in the room.
        socket: SocketId,
        /// The room's name.
        room: ByteString,
    },
    /// A node is there.
    NodeJoined {
        /// The node that was heard for the first time.
        node: NodeId,
    },
    /// A node is gone, and its sockets with it.
    NodeLeft {
        /// Id of the node.
        node: NodeId,
        /// Whether it said so.
        leaving: Leaving,
    },
}

/// A question for sockets, as the application names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// A socket of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedSocket {
    /// Where it is; `None`: on this node.
    pub node: Option<NodeId>,
    /// Its Socket.IO id.
    pub sid: ByteString,
    /// The rooms that it is in, its own id not among them.
    pub rooms: Vec<ByteString>,
}

/// The requester of the replies to a server-side emit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub(super) node: NodeId,
    pub(super) token: RequestToken,
}
