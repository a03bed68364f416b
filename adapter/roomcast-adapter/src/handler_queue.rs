//! The order of one client's events.
//!
//! Owns: the queue of handlers that wait for the one before them, and what happens to a handler that panics. Must never
//! know: what a handler does.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll};

use tracing::Span;

use crate::sync::lock;

/// A handler at work on one event.
pub(crate) struct HandlerJob {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    span: Span,
}

impl HandlerJob {
    pub(crate) fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { future: Box::pin(future), span: Span::none() }
    }

    /// What the handler logs is logged in this span.
    pub(crate) fn in_span(self, span: Span) -> Self {
        Self { span, ..self }
    }
}

impl Future for HandlerJob {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let _entered = this.span.enter();
        this.future.as_mut().poll(cx)
    }
}

/// One client's jobs: at most one runs, in the order in which they came.
#[derive(Default)]
pub(crate) struct HandlerQueue(Mutex<State>);

#[derive(Default)]
struct State {
    busy: bool,
    waiting: VecDeque<HandlerJob>,
}

impl HandlerQueue {
    /// Gives the job back if it may run now; keeps it otherwise.
    pub(crate) fn enter(&self, job: HandlerJob) -> Option<HandlerJob> {
        let mut state = lock(&self.0);
        if state.busy {
            state.waiting.push_back(job);
            return None;
        }
        state.busy = true;
        Some(job)
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.0).waiting.len()
    }

    /// A job is done: the next one, if any waits.
    pub(crate) fn next(&self) -> Option<HandlerJob> {
        let mut state = lock(&self.0);
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.busy = false;
            state.waiting.shrink_to(8);
        }
        next
    }
}

/// Runs a handler; `None` if it panics.
pub(crate) async fn guarded<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => {
            tracing::error!("a handler panicked");
            Poll::Ready(None)
        }
    })
    .await
}
