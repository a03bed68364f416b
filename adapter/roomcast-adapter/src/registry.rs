//! The handlers that are registered.
//!
//! Owns: the handlers of all endpoints and namespaces, and the pages. Must never know: when they are called.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use roomcast_core::server::config::Pattern;
use roomcast_core::server::{Command, EndpointId};

use crate::handle::Handle;
use crate::handler::{
    Ack, Closed, Connected, Connecting, Disconnected, Handler, HandlerInput, MessageReceived, Opened, Received, Refusal,
};
use crate::handler_queue::{HandlerJob, guarded};

/// The handlers of all endpoints, by endpoint.
pub(crate) struct Routes(Vec<KindRoutes>);

pub(crate) enum KindRoutes {
    SocketIo(Vec<NamespaceRoutes>),
    Bare(PeerRoutes),
}

/// The handlers of a namespace.
pub(crate) struct NamespaceRoutes {
    pub(crate) pattern: Pattern,
    pub(crate) admit: Option<HandlerFn<Connecting>>,
    pub(crate) connected: Option<HandlerFn<Connected>>,
    pub(crate) disconnected: Option<HandlerFn<Disconnected>>,
    pub(crate) events: BTreeMap<String, HandlerFn<Received>>,
    pub(crate) any: Option<HandlerFn<Received>>,
}

/// The handlers of an endpoint without namespaces.
#[derive(Default)]
pub(crate) struct PeerRoutes {
    pub(crate) opened: Option<HandlerFn<Opened>>,
    pub(crate) message: Option<HandlerFn<MessageReceived>>,
    pub(crate) closed: Option<HandlerFn<Closed>>,
}

/// A handler with its type erased.
pub(crate) struct HandlerFn<C>(Box<dyn Fn(C) -> HandlerJob + Send + Sync>);

impl<C> HandlerFn<C> {
    pub(crate) fn job(&self, input: C) -> HandlerJob {
        (self.0)(input)
    }
}

/// What answers an HTTP request beside the endpoints.
pub(crate) struct Page(Box<dyn Fn(http::Request<Bytes>, Handle) -> PageResponse + Send + Sync>);

/// A page's response, in time.
pub(crate) struct PageResponse(Pin<Box<dyn Future<Output = http::Response<Bytes>> + Send>>);

impl Page {
    pub(crate) fn new<F, Fut>(page: F) -> Self
    where
        F: Fn(http::Request<Bytes>, Handle) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = http::Response<Bytes>> + Send + 'static,
    {
        Self(Box::new(move |request, handle| PageResponse(Box::pin(page(request, handle)))))
    }

    pub(crate) async fn respond(&self, request: http::Request<Bytes>, handle: Handle) -> http::Response<Bytes> {
        let PageResponse(future) = (self.0)(request, handle);
        future.await
    }
}

/// The pages by their paths.
#[derive(Clone)]
pub(crate) struct Pages(Arc<BTreeMap<String, Page>>);

impl Pages {
    pub(crate) fn new(pages: BTreeMap<String, Page>) -> Self {
        Self(Arc::new(pages))
    }

    pub(crate) fn at(&self, path: &str) -> Option<&Page> {
        self.0.get(path)
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Routes {
    pub(crate) const fn new(endpoints: Vec<KindRoutes>) -> Self {
        Self(endpoints)
    }

    /// The rules of a namespace, by their place: the first that match.
    pub(crate) fn rule(&self, endpoint: EndpointId, namespace: &str) -> Option<usize> {
        match self.0.get(endpoint.index())? {
            KindRoutes::SocketIo(rules) => rules.iter().position(|rule| rule.pattern.matches(namespace)),
            KindRoutes::Bare(_) => None,
        }
    }

    pub(crate) fn namespace(&self, endpoint: EndpointId, rule: Option<usize>) -> Option<&NamespaceRoutes> {
        match self.0.get(endpoint.index())? {
            KindRoutes::SocketIo(rules) => rules.get(rule?),
            KindRoutes::Bare(_) => None,
        }
    }

    pub(crate) fn peer(&self, endpoint: EndpointId) -> Option<&PeerRoutes> {
        match self.0.get(endpoint.index())? {
            KindRoutes::SocketIo(_) => None,
            KindRoutes::Bare(routes) => Some(routes),
        }
    }
}

impl HandlerFn<Connecting> {
    /// Lets the client in or refuses it.
    pub(crate) fn admit<M>(handler: impl Handler<Connecting, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |input| {
            let (handler, socket) = (handler.clone(), input.0.clone());
            HandlerJob::new(async move {
                let decision = run(&*handler, input).await.unwrap_or_else(|| Err(Refusal::new("not admitted")));
                match decision {
                    Ok(()) => socket.accept(),
                    Err(Refusal(data)) => {
                        tracing::debug!(refusal = %data, "not admitted");
                        socket.shared().command(Command::Refuse { socket: socket.id(), data });
                    }
                }
            })
        }))
    }
}

impl HandlerFn<Received> {
    /// Acknowledges if the client asks for it.
    pub(crate) fn event<M>(handler: impl Handler<Received, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |input| {
            let (handler, socket, ack) = (handler.clone(), input.socket.clone(), input.ack);
            HandlerJob::new(async move {
                let outcome = run(&*handler, input).await;
                if let (Some(ack), Some(Ack(Some(args)))) = (ack, outcome) {
                    socket.ack(ack, args);
                }
                socket.shared().command(Command::Handled { session: socket.session() });
            })
        }))
    }
}

impl HandlerFn<MessageReceived> {
    pub(crate) fn message<M>(handler: impl Handler<MessageReceived, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |input| {
            let (handler, peer) = (handler.clone(), input.0.clone());
            HandlerJob::new(async move {
                run(&*handler, input).await;
                peer.shared().command(Command::Handled { session: peer.session() });
            })
        }))
    }
}

impl<C: HandlerInput<Outcome = ()>> HandlerFn<C> {
    /// Nothing comes of it.
    pub(crate) fn hook<M>(handler: impl Handler<C, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |input| {
            let handler = handler.clone();
            HandlerJob::new(async move {
                run(&*handler, input).await;
            })
        }))
    }
}

/// Calls a handler; `None` if it panicked or if what happened does not fit its arguments.
async fn run<C: HandlerInput, M>(handler: &impl Handler<C, M>, input: C) -> Option<C::Outcome> {
    match guarded(async move { handler.call(input).await }).await? {
        Ok(outcome) => Some(outcome),
        Err(rejection) => {
            tracing::debug!(%rejection, "a handler was not called");
            None
        }
    }
}
