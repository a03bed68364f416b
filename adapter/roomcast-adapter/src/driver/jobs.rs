//! What the driver remembers of handlers at work and of acks.
//!
//! Owns: [`RunningHandler`] and [`Ask`]. Must never know: the driver.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use roomcast_core::cluster::NodeId;
use roomcast_core::id::SlabKey as _;
use roomcast_core::server::{EmitId, FetchId, SessionId, Sid};
use roomcast_core::socket_io::Args;

use crate::acks::Acks;
use crate::handler_queue::{HandlerJob, HandlerQueue};
use crate::peer::Peer;
use crate::presence::Presence;
use crate::server_replies::ServerReplies;

roomcast_core::slab_key! {
    /// An emit whose acks are awaited.
    pub struct AskId;
}

roomcast_core::slab_key! {
    /// A question for sockets of all nodes.
    pub struct FetchKey;
}

roomcast_core::slab_key! {
    /// A question for the applications of other servers.
    pub struct QuestionKey;
}

/// What other servers have replied so far to a question.
pub(super) struct AskedServers {
    pub(super) answer: oneshot::Sender<ServerReplies>,
    pub(super) replies: Vec<(NodeId, Args)>,
}

/// An emit whose acks are awaited.
pub(super) struct Ask {
    pub(super) acks: oneshot::Sender<Acks>,
    pub(super) answers: Vec<(Sid, Args)>,
    /// Of sockets on other nodes.
    pub(super) remote: Vec<Args>,
    /// The session of the one socket that is asked.
    pub(super) session: Option<SessionId>,
}

/// Events of a session that the core is told were handled though they wait, because a handler waits for an ack that
/// comes behind them: otherwise reading would be paused until the ack's time is over.
#[derive(Default)]
pub(super) struct Lending {
    /// Acks of this session that are awaited.
    pub(super) asks: u32,
    events: usize,
    bytes: usize,
}

impl Lending {
    /// Whether one more event may be read ahead.
    pub(super) const fn lend(&mut self, bytes: usize) -> bool {
        let is_lent = self.asks > 0 && self.events < LENT_EVENTS_MAX && self.bytes < LENT_BYTES_MAX;
        if is_lent {
            self.events += 1;
            self.bytes += bytes;
        }
        is_lent
    }

    /// An event was handled; `true` if the core knows that already.
    pub(super) const fn repay(&mut self) -> bool {
        let was_lent = self.events > 0;
        self.events = self.events.saturating_sub(1);
        was_lent
    }

    pub(super) const fn is_over(&self) -> bool {
        self.asks == 0 && self.events == 0
    }
}

/// A handler that has not ended yet.
pub(super) struct RunningHandler {
    pub(super) owner: HandlerOwner,
    pub(super) job: HandlerJob,
}

/// The client or server whose events a handler keeps in order.
#[derive(Clone)]
pub(super) enum HandlerOwner {
    Socket(Arc<Presence>),
    Peer(Peer),
    /// A server: what one handler of its events waits for holds up no other.
    Server(Arc<HandlerQueue>),
}

impl HandlerOwner {
    pub(super) fn queue(&self) -> &HandlerQueue {
        match self {
            Self::Socket(presence) => &presence.queue,
            Self::Peer(peer) => peer.queue(),
            Self::Server(queue) => queue,
        }
    }
}

/// Polls without a waker: a job that is not ready is polled again in any case.
pub(super) fn poll_once(job: &mut HandlerJob) -> Poll<()> {
    Pin::new(job).poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn ask_id(emit: EmitId) -> AskId {
    let EmitId(number) = emit;
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    AskId::from_parts(low, u32::try_from(number >> 32).unwrap_or(u32::MAX))
}

pub(super) fn question_key(emit: EmitId) -> QuestionKey {
    let EmitId(number) = emit;
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    QuestionKey::from_parts(low, u32::try_from(number >> 32).unwrap_or(u32::MAX))
}

pub(super) fn fetch_key(fetch: FetchId) -> FetchKey {
    let FetchId(number) = fetch;
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    FetchKey::from_parts(low, u32::try_from(number >> 32).unwrap_or(u32::MAX))
}

/// Events of one session that are read ahead of an ack.
const LENT_EVENTS_MAX: usize = 4096;
/// Their bytes, from the first ack that is awaited until none is and all are handled.
const LENT_BYTES_MAX: usize = 4 << 20;
