//! What the driver remembers of handlers at work and of acks.
//!
//! Owns: [`Running`] and [`Ask`]. Must never know: the driver.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use roomcast_core::id::SlabKey as _;
use roomcast_core::server::{EmitId, SocketId};
use roomcast_core::socket_io::Args;

use crate::acks::Acks;
use crate::handler_queue::{HandlerQueue, Job};
use crate::peer::Peer;
use crate::presence::Presence;

roomcast_core::slab_key! {
    /// An emit whose acks are awaited.
    pub struct AskId;
}

/// An emit whose acks are awaited.
pub(super) struct Ask {
    pub(super) acks: oneshot::Sender<Acks>,
    pub(super) answers: Vec<(SocketId, Args)>,
}

/// A handler that has not ended yet.
pub(super) struct Running {
    pub(super) owner: Owner,
    pub(super) job: Job,
}

/// The client whose events a handler keeps in order.
#[derive(Clone)]
pub(super) enum Owner {
    Socket(Arc<Presence>),
    Peer(Peer),
}

impl Owner {
    pub(super) fn queue(&self) -> &HandlerQueue {
        match self {
            Self::Socket(presence) => &presence.queue,
            Self::Peer(peer) => peer.queue(),
        }
    }
}

/// Polls without a waker: a job that is not ready is polled again in any case.
pub(super) fn poll_once(job: &mut Job) -> Poll<()> {
    Pin::new(job).poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn ask_id(emit: EmitId) -> AskId {
    let EmitId(number) = emit;
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    AskId::from_parts(low, u32::try_from(number >> 32).unwrap_or(u32::MAX))
}
