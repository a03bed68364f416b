//! Whether a client reads as fast as it is sent to.
//!
//! Owns: [`FlowGate`], with the tasks that wait for a client. Must never know: what is sent.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use crate::sync::lock;

/// Whether a client's outbound queue is over its soft limit.
#[derive(Debug, Default)]
pub(crate) struct FlowGate {
    congested: AtomicBool,
    waiters: Mutex<Vec<Waker>>,
}

impl FlowGate {
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

    pub(crate) fn poll_clear(&self, cx: &Context<'_>) -> Poll<()> {
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
