//! The pace of senders.
//!
//! Owns: [`Sent`]. Must never know: what is sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::emit_error::EmitError;
use crate::flow::FlowGate;
use crate::mailbox::{Posted, Shared};

/// Something that has been sent. Awaiting it only paces the sender: dropped, the message goes out all the same.
///
/// What goes to one peer is waited for while that peer's queue is over its soft limit, so that a handler which sends
/// more than its peer reads does not fill the memory. What goes to rooms waits for no member, but lets the server write
/// before the next message is made.
#[derive(Debug)]
pub struct Sent {
    wait: Option<Wait>,
    error: Option<EmitError>,
}

#[derive(Debug)]
struct Wait {
    shared: Arc<Shared>,
    turn: Option<u64>,
    flow: Option<Arc<FlowGate>>,
}

impl Sent {
    /// Tells whether the event could be sent at all, which it can be unless its name is reserved or its arguments have no
    /// JSON form. An emit that is only awaited logs such an error.
    ///
    /// ```
    /// # use roomcast_adapter::{EmitError, Handle};
    /// async fn relay(handle: Handle, name: String) -> Result<(), EmitError> {
    ///     handle.of("/").emit(name, "of a peer's choice").checked()?.await;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Why nothing was sent.
    pub fn checked(self) -> Result<Self, EmitError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    pub(crate) const fn nothing(error: EmitError) -> Self {
        Self { wait: None, error: Some(error) }
    }

    pub(crate) fn to_many(shared: &Arc<Shared>, posted: Posted) -> Self {
        Self { wait: Some(Wait { shared: shared.clone(), turn: Some(posted.turn), flow: None }), error: None }
    }

    pub(crate) fn to_one(shared: &Arc<Shared>, posted: Posted, flow: &Arc<FlowGate>) -> Self {
        let turn = (posted.backlog_bytes > BACKLOG_BYTES).then_some(posted.turn);
        Self { wait: Some(Wait { shared: shared.clone(), turn, flow: Some(flow.clone()) }), error: None }
    }
}

impl Future for Sent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wait) = &mut self.wait else { return Poll::Ready(()) };
        if let Some(turn) = wait.turn {
            std::task::ready!(wait.shared.poll_turn(turn, cx));
            wait.turn = None;
        }
        if let Some(flow) = &wait.flow {
            std::task::ready!(flow.poll_clear(cx));
        }
        self.wait = None;
        Poll::Ready(())
    }
}

/// As long as less than this waits for the driver, a sender to one peer need not give way to it.
const BACKLOG_BYTES: usize = 64 << 10;
