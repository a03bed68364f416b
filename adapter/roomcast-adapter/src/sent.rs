//! The pace of senders.
//!
//! Owns: [`Sent`]. Must never know: what is sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::flow::Flow;
use crate::mailbox::{Posted, Shared};

/// Something that has been sent. Awaiting it only paces the sender: dropped, the message goes out all the same.
///
/// What goes to one peer is waited for while that peer's queue is over its soft limit, so that a handler which sends
/// more than its peer reads does not fill the memory. What goes to rooms waits for no member, but lets the server write
/// before the next message is made.
#[derive(Debug)]
pub struct Sent {
    wait: Option<Wait>,
}

#[derive(Debug)]
struct Wait {
    shared: Arc<Shared>,
    turn: Option<u64>,
    flow: Option<Arc<Flow>>,
}

impl Sent {
    pub(crate) const fn nothing() -> Self {
        Self { wait: None }
    }

    pub(crate) fn to_many(shared: &Arc<Shared>, posted: Posted) -> Self {
        Self { wait: Some(Wait { shared: shared.clone(), turn: Some(posted.turn), flow: None }) }
    }

    pub(crate) fn to_one(shared: &Arc<Shared>, posted: Posted, flow: &Arc<Flow>) -> Self {
        let turn = (posted.backlog_bytes > BACKLOG_BYTES).then_some(posted.turn);
        Self { wait: Some(Wait { shared: shared.clone(), turn, flow: Some(flow.clone()) }) }
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
