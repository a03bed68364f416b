//! One HTTP request between hyper's task and the driver.
//!
//! Owns: the hand-over of answers, and of the news that nobody waits for one any more. Must never know: HTTP.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use roomcast_core::server::RequestId;

use crate::mailbox::{Mail, Shared};
use crate::promise::{lock, remember};

/// What the driver says.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Read the body and send it.
    Continue(RequestId),
    /// That is all.
    Final(Box<http::Response<Bytes>>),
}

/// The side of hyper's task: resolves to the next answer, or to `None` if there is no driver any more. Dropped before
/// the final one, it tells the driver.
#[derive(Debug)]
pub(crate) struct Asked {
    shared: Arc<Shared>,
    cell: Arc<Mutex<State>>,
}

/// The driver's side.
#[derive(Debug)]
pub(crate) struct Owed(Arc<Mutex<State>>);

/// Both sides.
pub(crate) fn exchange(shared: &Arc<Shared>) -> (Asked, Owed) {
    let cell = Arc::new(Mutex::new(State { answer: None, request: None, waker: None, owed: true, gone: false }));
    (Asked { shared: shared.clone(), cell: cell.clone() }, Owed(cell))
}

#[derive(Debug)]
struct State {
    answer: Option<Answer>,
    /// The driver has begun with it and not ended.
    request: Option<RequestId>,
    waker: Option<Waker>,
    owed: bool,
    gone: bool,
}

impl Owed {
    /// Whether somebody still waits.
    pub(crate) fn is_wanted(&self) -> bool {
        !lock(&self.0).gone
    }

    /// The driver has begun. If nobody waits any more, it is told so at once.
    pub(crate) fn begin(&self, request: RequestId) -> Result<(), Gone> {
        let mut state = lock(&self.0);
        if state.gone {
            return Err(Gone);
        }
        state.request = Some(request);
        Ok(())
    }

    /// Asks for the body.
    pub(crate) fn ask_for_body(&self, request: RequestId) {
        let waker = {
            let mut state = lock(&self.0);
            state.answer = Some(Answer::Continue(request));
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Gives the final answer.
    pub(crate) fn answer(self, response: Box<http::Response<Bytes>>) {
        let mut state = lock(&self.0);
        state.request = None;
        state.answer = Some(Answer::Final(response));
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.0);
            state.owed = false;
            state.request = None;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Nobody waits for the answer.
#[derive(Debug)]
pub(crate) struct Gone;

impl Future for Asked {
    type Output = Option<Answer>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let mut state = lock(&self.cell);
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(Some(answer));
        }
        if !state.owed {
            return Poll::Ready(None);
        }
        remember(&mut state.waker, cx);
        Poll::Pending
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let request = {
            let mut state = lock(&self.cell);
            state.gone = true;
            state.request.take()
        };
        if let Some(request) = request {
            self.shared.send(Mail::Aborted(request), 0);
        }
    }
}
