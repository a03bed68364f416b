//! What the applications of other servers reply.
//!
//! Owns: [`ServerReplies`] and the future that waits for them. Must never know: how other servers are asked.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use roomcast_core::cluster::NodeId;
use roomcast_core::server::AckEnd;
use roomcast_core::socket_io::Args;

use crate::acks::AckError;
use crate::emit_error::EmitError;

/// The replies of other servers to a server-side emit, as many as came in time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReplies {
    /// The replies with the servers that gave them, in the order of their arrival. JavaScript servers do not say which of
    /// them replies: theirs are of [`NodeId::unnamed`].
    pub replies: Vec<(NodeId, Args)>,
    /// How many servers were asked, as far as that is known.
    pub asked: u32,
    /// Why the waiting ended: all have replied, the time was over, or those that are missing have gone. Without a
    /// cluster, none was asked and the end is [`AckEnd::Gone`].
    pub end: AckEnd,
}

/// Waits until all servers have replied or the time is over. Dropped, the event is sent all the same.
#[must_use = "to send an event without waiting for replies there is `server_side_emit`"]
#[derive(Debug)]
pub struct ServerRepliesFuture(pub(crate) Result<oneshot::Receiver<ServerReplies>, EmitError>);

impl Future for ServerRepliesFuture {
    type Output = Result<ServerReplies, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(receiver) => Pin::new(receiver).poll(cx).map_err(|oneshot::Canceled| AckError::ServerEnded),
            Err(error) => Poll::Ready(Err(AckError::Emit(*error))),
        }
    }
}
