//! Several nodes that act as one server: what they say to each other over a bus, and what each knows of the others.
//!
//! A bus brings each message to every node at most once, late, or not at all; Redis PUBLISH is one, a channel between the
//! threads of a process another. Messages are typed ([`ClusterMessage`]); a codec writes them for a bus of bytes.
//!
//! What the weaknesses of the bus do, by operation. Everything is counted in [`ClusterCounters`].
//!
//! | operation | a message is lost | comes twice | comes late |
//! |---|---|---|---|
//! | emit | sockets on nodes that did not hear it do not get it | once to clients of nodes that number their messages; twice for the others | later than events that other nodes emitted meanwhile; in order for one emitting node |
//! | emit with ack | no ack of these sockets: the request ends by its deadline | as an emit; a second ack of a socket is ignored by its node | acks behind the deadline are stale |
//! | join, leave, close room, disconnect of remote sockets | not carried out there | no effect | carried out late: emits between reach the former members |
//! | fetch sockets | the sockets of that node are missing, and the result says how many nodes did | the second answer is stale | behind the deadline it is stale |
//! | server-side emit | that node's application does not hear it | as an emit | as an emit |
//! | heartbeat | nothing, until none comes for the node timeout | no effect | as lost |
//! | goodbye | the node is known until the node timeout | no effect | as lost |
//!
//! Owns: the vocabulary, membership, requests and subscriptions. Must never know: sockets, rooms, or a particular bus.

mod codec;
mod fields;
mod javascript;
mod machine;
mod members;
mod message;
mod occupied;
mod payload;
mod payload_error;
mod python;
mod requests;
mod sequence;
mod settings;
mod shards;
mod subscriptions;
mod tail;

pub use codec::{BusChannel, Codec, DecodeError, EncodeError, Envelope, Glance};
pub use javascript::JavaScript;
pub use machine::{BusState, Cluster, ClusterCounters, ClusterHeard, Membership, Wanted};
pub use members::Leaving;
pub use message::{
    Beat, ClusterBody, ClusterEmit, ClusterMessage, NodeId, Recipients, RemoteSocket, RequestToken, RoomChannel,
};
pub use occupied::OccupiedRooms;
pub use payload::BusPayload;
pub use payload_error::BusPayloadError;
pub use python::{Python, RoomChannels};
pub use requests::{Ended, LocalShare, RequestEnd, Requested};
pub use settings::{ClusterSettings, EmitWatch, Strangers, Subscriptions};
pub use shards::{Origin, Route, Shards};
pub use subscriptions::Subscribing;
