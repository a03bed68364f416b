//! The pace of those who send.
//!
//! Owns: whether a peer is congested and who waits for it, and [`Sent`]. Must never know: what is sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::mailbox::{Shared, Ticket};
use crate::promise::lock;

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
    /// Nothing was sent.
    pub(crate) const fn nothing() -> Self {
        Self { wait: None }
    }

    /// To rooms.
    pub(crate) fn to_many(shared: &Arc<Shared>, ticket: Ticket) -> Self {
        Self { wait: Some(Wait { shared: shared.clone(), turn: Some(ticket.turn), flow: None }) }
    }

    /// To one peer.
    pub(crate) fn to_one(shared: &Arc<Shared>, ticket: Ticket, flow: &Arc<Flow>) -> Self {
        let turn = (ticket.backlog_bytes > BACKLOG_BYTES).then_some(ticket.turn);
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

/// Whether a peer is congested.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    congested: AtomicBool,
    waiters: Mutex<Vec<Waker>>,
}

impl Flow {
    /// `false` if that was known.
    pub(crate) fn set_congested(&self) -> bool {
        !self.congested.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn clear(&self) {
        let waiters = {
            let mut waiters = lock(&self.waiters);
            self.congested.store(false, Ordering::Release);
            std::mem::take(&mut *waiters)
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    fn poll_clear(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.congested.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waiters = lock(&self.waiters);
        if !self.congested.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !waiters.iter().any(|known| known.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// As long as less than this waits for the driver, a sender to one peer need not give way to it.
const BACKLOG_BYTES: usize = 64 << 10;
