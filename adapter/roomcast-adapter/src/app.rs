//! The application layer and the rest of the program.
//!
//! Owns: the ways between the two: requests and their responses, queries to the store and its replies, notices. Must
//! never know: what any of them means, a particular application.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_channel::oneshot;
use roomcast_core::server::{App, AppRequestId};

use crate::handle::Handle;
use crate::mailbox::{Mail, Shared};
use crate::sync::lock;
use crate::worker::{Panic, Worker};

/// Asks the [`App`] below the handlers from elsewhere in the program. Cheap to clone; like a [`Handle`], it keeps the
/// server alive.
///
/// ```
/// use roomcast_adapter::AppHandle;
/// use roomcast_adapter::core::server::App;
///
/// async fn report<A: App<Request = &'static str, Response = usize>>(app: AppHandle<A>) {
///     if let Some(count) = app.ask("how many?").await {
///         app.handle().of("/").emit("count", count).await;
///     }
/// }
/// ```
pub struct AppHandle<A: App> {
    handle: Handle,
    mail: AppMail<A>,
}

impl<A: App> AppHandle<A> {
    pub(crate) const fn new(handle: Handle, mail: AppMail<A>) -> Self {
        Self { handle, mail }
    }

    /// Asks the application; `None` if the server has ended.
    pub async fn ask(&self, request: A::Request) -> Option<A::Response> {
        let (sender, response) = oneshot::channel();
        self.mail.request(self.handle.shared(), request, sender);
        response.await.ok()
    }

    /// The server's handle.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<A: App> Clone for AppHandle<A> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), mail: self.mail.clone() }
    }
}

impl<A: App> std::fmt::Debug for AppHandle<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppHandle")
    }
}

/// Reaches the application layer from a handler, which is made before the server is. It keeps no server alive, so that
/// handlers may own it.
///
/// ```
/// use roomcast_adapter::core::server::App;
/// use roomcast_adapter::{Builder, Handle};
///
/// fn count<A: App<Request = &'static str, Response = usize> + Send + 'static>(builder: Builder<A>) -> Builder<A> {
///     let link = builder.app_link();
///     builder.socket_io("/socket.io", |io| {
///         io.namespace("/", |ns| {
///             ns.on("count", move |handle: Handle| {
///                 let app = link.of(handle);
///                 async move { app.ask("how many?").await }
///             });
///         });
///     })
/// }
/// ```
pub struct AppLink<A: App>(AppMail<A>);

impl<A: App> AppLink<A> {
    pub(crate) const fn new(mail: AppMail<A>) -> Self {
        Self(mail)
    }

    /// The application of this handle's server, which must be the one that this was taken from.
    pub fn of(&self, handle: Handle) -> AppHandle<A> {
        AppHandle::new(handle, self.0.clone())
    }
}

impl<A: App> Clone for AppLink<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: App> std::fmt::Debug for AppLink<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppLink")
    }
}

/// What is only for the application layer, whose type the rest of the program need not know.
pub(crate) struct AppMail<A: App>(Arc<Mutex<Vec<AppLetter<A>>>>);

/// A letter to the application layer.
pub(crate) enum AppLetter<A: App> {
    /// A store answered.
    Reply(A::Reply),
    /// Another part of the program asks.
    Request(A::Request, oneshot::Sender<A::Response>),
    /// What the application handed out to the worker has panicked.
    Panicked(Panic),
}

impl<A: App> AppMail<A> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn reply(&self, shared: &Shared, reply: A::Reply) {
        self.push(shared, AppLetter::Reply(reply));
    }

    pub(crate) fn panicked(&self, shared: &Shared, panic: Panic) {
        self.push(shared, AppLetter::Panicked(panic));
    }

    pub(crate) fn request(&self, shared: &Shared, request: A::Request, response: oneshot::Sender<A::Response>) {
        self.push(shared, AppLetter::Request(request, response));
    }

    pub(crate) fn take(&self) -> Vec<AppLetter<A>> {
        std::mem::take(&mut *lock(&self.0))
    }

    fn push(&self, shared: &Shared, letter: AppLetter<A>) {
        lock(&self.0).push(letter);
        if shared.send(Mail::App, 0).is_lost() {
            self.take();
        }
    }
}

impl<A: App> Clone for AppMail<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What the application layer is connected to.
pub(crate) struct AppSide<A: App> {
    pub(crate) store: Option<AskStore<A>>,
    pub(crate) on_notice: Option<OnNotice<A>>,
    pub(crate) mail: AppMail<A>,
    /// Requests that have no answer yet.
    pub(crate) asked: BTreeMap<AppRequestId, oneshot::Sender<A::Response>>,
    pub(crate) next_request: u64,
    /// Runs what the application hands out.
    pub(crate) worker: Worker,
}

impl<A: App> AppSide<A> {
    pub(crate) fn new(store: Option<AskStore<A>>, on_notice: Option<OnNotice<A>>, mail: AppMail<A>) -> Self {
        Self { store, on_notice, mail, asked: BTreeMap::new(), next_request: 0, worker: Worker::new() }
    }

    /// Drops the requests that have not been taken.
    pub(crate) fn close(&self) {
        self.mail.take();
    }
}

/// Told what the application tells.
pub(crate) struct OnNotice<A: App>(Box<dyn FnMut(A::Notice) + Send>);

/// The function that sends a query of the application to its store.
pub(crate) struct AskStore<A: App>(Box<dyn Fn(A::Query) -> StoreReply<A> + Send + Sync>);

/// A store's reply, in time.
pub(crate) struct StoreReply<A: App>(Pin<Box<dyn Future<Output = A::Reply> + Send>>);

impl<A: App> AskStore<A> {
    pub(crate) fn new<Fut>(store: impl Fn(A::Query) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = A::Reply> + Send + 'static,
    {
        Self(Box::new(move |query| StoreReply(Box::pin(store(query)))))
    }

    /// The question is put before this returns; its answer takes time.
    pub(crate) fn ask(&self, query: A::Query) -> StoreReply<A> {
        (self.0)(query)
    }
}

impl<A: App> Future for StoreReply<A> {
    type Output = A::Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Reply> {
        self.0.as_mut().poll(cx)
    }
}

impl<A: App> OnNotice<A> {
    pub(crate) fn new(notice: impl FnMut(A::Notice) + Send + 'static) -> Self {
        Self(Box::new(notice))
    }

    pub(crate) fn tell(&mut self, notice: A::Notice) {
        (self.0)(notice);
    }
}
