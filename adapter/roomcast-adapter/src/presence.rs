//! What the adapter keeps of a client in a namespace.
//!
//! Owns: [`Presence`], the part of a socket that needs no server: identity, handler queue, extensions. Must never know:
//! how anything is sent.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytestring::ByteString;
use roomcast_core::server::{Connect, Scope, Server, SocketId};

use crate::flow::FlowGate;
use crate::handler_queue::HandlerQueue;
use crate::sync::lock;

pub(crate) struct Presence {
    pub(crate) connect: Box<Connect>,
    pub(crate) scope: Scope,
    /// The index of the namespace's rules.
    pub(crate) rule: Option<usize>,
    /// What stands in the namespace's name for the keys of its pattern.
    pub(crate) params: Box<[(String, String)]>,
    pub(crate) queue: HandlerQueue,
    pub(crate) flow: Arc<FlowGate>,
    connected: AtomicBool,
    has_handlers: AtomicBool,
    /// Rooms to join once it is let in; `None` from then on.
    joining: Mutex<Option<Vec<ByteString>>>,
    /// Tasks that wait for its end; `None` once it has ended.
    end_waiters: Mutex<Option<Vec<Waker>>>,
    extensions: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

impl Presence {
    pub(crate) fn new(connect: Box<Connect>, rule: Option<usize>, params: Box<[(String, String)]>) -> Self {
        let scope = Scope { endpoint: connect.endpoint, namespace: connect.namespace.clone() };
        Self {
            connect,
            scope,
            rule,
            params,
            queue: HandlerQueue::default(),
            flow: Arc::default(),
            connected: AtomicBool::new(false),
            has_handlers: AtomicBool::new(false),
            joining: Mutex::default(),
            end_waiters: Mutex::new(Some(Vec::new())),
            extensions: Mutex::default(),
        }
    }

    /// Its admission is being decided: rooms that it joins are kept until then.
    pub(crate) fn hold_joins(&self) {
        *lock(&self.joining) = Some(Vec::new());
    }

    /// The rooms that were joined and not left while its admission was being decided.
    pub(crate) fn take_joins(&self) -> Vec<ByteString> {
        lock(&self.joining).take().unwrap_or_default()
    }

    /// Gives the room back if it can be joined at once; keeps it otherwise.
    pub(crate) fn join(&self, room: ByteString) -> Option<ByteString> {
        match &mut *lock(&self.joining) {
            None => Some(room),
            Some(rooms) => {
                rooms.retain(|known| *known != room);
                rooms.push(room);
                None
            }
        }
    }

    /// Gives the room back if it can be left at once; forgets it otherwise.
    pub(crate) fn leave(&self, room: ByteString) -> Option<ByteString> {
        match &mut *lock(&self.joining) {
            None => Some(room),
            Some(rooms) => {
                rooms.retain(|known| *known != room);
                None
            }
        }
    }

    /// Forgets the rooms that it was to join.
    pub(crate) fn leave_all(&self) {
        lock(&self.joining).iter_mut().for_each(Vec::clear);
    }

    pub(crate) fn begin(&self) {
        self.connected.store(true, Ordering::Release);
    }

    /// Ends it; whether it had begun.
    pub(crate) fn end(&self) -> bool {
        self.flow.clear();
        let waiters = lock(&self.end_waiters).take();
        waiters.into_iter().flatten().for_each(Waker::wake);
        self.connected.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn extend<T: Any + Send + Sync>(&self, value: T) {
        let mut extensions = lock(&self.extensions);
        extensions.retain(|known| !known.as_ref().is::<T>());
        extensions.push(Arc::new(value));
        extensions.shrink_to_fit();
    }

    /// It has handlers of its own from now on, among its extensions.
    pub(crate) fn has_handlers(&self) {
        self.has_handlers.store(true, Ordering::Release);
    }

    /// Whether it was ever given a handler of its own.
    pub(crate) fn may_have_handlers(&self) -> bool {
        self.has_handlers.load(Ordering::Acquire)
    }

    pub(crate) fn id(&self) -> SocketId {
        self.connect.socket
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(crate) fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        lock(&self.extensions).iter().find_map(|known| known.clone().downcast().ok())
    }

    /// Ready once it has ended.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<()> {
        match &mut *lock(&self.end_waiters) {
            None => Poll::Ready(()),
            Some(waiters) => {
                if !waiters.iter().any(|known| known.will_wake(cx.waker())) {
                    waiters.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

/// The server between two of its inputs.
#[derive(Clone, Copy)]
pub(crate) struct Snapshot<'a> {
    pub(crate) server: &'a Server,
    pub(crate) presences: &'a [Option<Arc<Presence>>],
}
