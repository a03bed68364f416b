//! A value that is promised by one task to another.
//!
//! Owns: [`Promise`] and its other half [`Debt`]. Must never know: what is promised.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Resolves once the value is there; to `None` once it is clear that it will never be.
#[derive(Debug)]
pub(crate) struct Promise<T>(Arc<Mutex<State<T>>>);

/// The duty to give the value.
#[derive(Debug)]
pub(crate) struct Debt<T>(Arc<Mutex<State<T>>>);

/// Both halves.
pub(crate) fn promise<T>() -> (Promise<T>, Debt<T>) {
    let state = Arc::new(Mutex::new(State { value: None, waker: None, owed: true }));
    (Promise(state.clone()), Debt(state))
}

/// A lock whose data stay usable: no code of users runs while one is held.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
    owed: bool,
}

impl<T> Debt<T> {
    /// Gives the value.
    pub(crate) fn pay(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Debt<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.0);
            state.owed = false;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        if let Some(value) = state.value.take() {
            return Poll::Ready(Some(value));
        }
        if !state.owed {
            return Poll::Ready(None);
        }
        remember(&mut state.waker, cx);
        Poll::Pending
    }
}

/// Stores the task's waker unless that is done.
pub(crate) fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}
