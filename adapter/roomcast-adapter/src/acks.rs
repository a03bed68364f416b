//! What is answered to emits that ask for acks.
//!
//! Owns: [`Acks`] and the futures that wait for them. Must never know: how an emit is sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use roomcast_core::server::{AckEnd, Sid};
use roomcast_core::socket_io::Args;

use crate::emit_error::EmitError;

/// What the members of a room answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Acks {
    /// The answers with the sids of the sockets that gave them, in the order of their arrival.
    pub answers: Vec<(Sid, Args)>,
    /// The answers of sockets on other nodes of a cluster, in the order of their arrival.
    pub remote: Vec<Args>,
    /// How many were asked, as far as other nodes say.
    pub asked: u32,
    /// Why the waiting ended.
    pub end: AckEnd,
}

/// Why there is no ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The time was over.
    TimedOut,
    /// The socket is gone.
    Disconnected,
    /// The server is gone.
    ServerEnded,
    /// The event cannot be emitted.
    Emit(EmitError),
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "no ack in time",
            Self::Disconnected => "the socket is gone",
            Self::ServerEnded => "the server is gone",
            Self::Emit(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for AckError {}

/// Waits for one socket's ack. Dropped, the event is sent all the same.
#[must_use = "to send an event without waiting for an ack there is `emit`"]
#[derive(Debug)]
pub struct AckFuture(pub(crate) Result<oneshot::Receiver<Acks>, EmitError>);

impl Future for AckFuture {
    type Output = Result<Args, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let receiver = match &mut self.0 {
            Ok(receiver) => receiver,
            Err(error) => return Poll::Ready(Err(AckError::Emit(*error))),
        };
        let Ok(mut acks) = std::task::ready!(Pin::new(receiver).poll(cx)) else {
            return Poll::Ready(Err(AckError::ServerEnded));
        };
        Poll::Ready(match (acks.answers.pop(), acks.end) {
            (Some((_, args)), _) => Ok(args),
            (None, AckEnd::TimedOut) => Err(AckError::TimedOut),
            (None, AckEnd::Gone | AckEnd::Complete) => Err(AckError::Disconnected),
        })
    }
}

/// Waits until all have answered or the time is over. Dropped, the event is sent all the same.
#[must_use = "to send an event without waiting for acks there is `emit`"]
#[derive(Debug)]
pub struct AcksFuture(pub(crate) Result<oneshot::Receiver<Acks>, EmitError>);

impl Future for AcksFuture {
    type Output = Result<Acks, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(receiver) => Pin::new(receiver).poll(cx).map_err(|oneshot::Canceled| AckError::ServerEnded),
            Err(error) => Poll::Ready(Err(AckError::Emit(*error))),
        }
    }
}
