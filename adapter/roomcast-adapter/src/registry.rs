//! Which handler is whose.
//!
//! Owns: the handlers of all endpoints and namespaces, and which path is which endpoint. Must never know: who calls them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use roomcast_core::server::config::{EndpointKind, Pattern};
use roomcast_core::server::{Command, Config, EndpointId};

use crate::handle::Handle;
use crate::handler::{
    Ack, Closed, Connected, Connecting, Disconnected, Handler, Happening, Incoming, Opened, Received, Refusal,
};
use crate::lane::{Job, guarded};

/// All there is to call.
pub(crate) struct Routes {
    /// Which path is which endpoint.
    config: Config,
    /// By endpoint.
    pub(crate) endpoints: Vec<EndpointRoutes>,
    /// Pages by path.
    pub(crate) pages: BTreeMap<String, Page>,
    /// Most bytes of a page's request.
    pub(crate) limits: crate::http::Limits,
}

pub(crate) struct EndpointRoutes {
    /// Without slashes at its end.
    bare_path: String,
    /// Largest body of a request.
    pub(crate) body_bytes_max: usize,
    pub(crate) kind: KindRoutes,
}

pub(crate) enum KindRoutes {
    SocketIo(Vec<NamespaceRoutes>),
    Bare(PeerRoutes),
}

/// The handlers of a namespace.
pub(crate) struct NamespaceRoutes {
    pub(crate) pattern: Pattern,
    pub(crate) admit: Option<Call<Connecting>>,
    pub(crate) connected: Option<Call<Connected>>,
    pub(crate) disconnected: Option<Call<Disconnected>>,
    pub(crate) events: BTreeMap<String, Call<Received>>,
    pub(crate) any: Option<Call<Received>>,
}

/// The handlers of an endpoint without namespaces.
#[derive(Default)]
pub(crate) struct PeerRoutes {
    pub(crate) opened: Option<Call<Opened>>,
    pub(crate) message: Option<Call<Incoming>>,
    pub(crate) closed: Option<Call<Closed>>,
}

/// A handler, whatever its type.
pub(crate) struct Call<C>(Box<dyn Fn(C) -> Job + Send + Sync>);

impl<C> Call<C> {
    pub(crate) fn job(&self, happening: C) -> Job {
        (self.0)(happening)
    }
}

/// What answers an HTTP request beside the endpoints.
pub(crate) struct Page(Box<dyn Fn(http::Request<Bytes>, Handle) -> PageAnswer + Send + Sync>);

/// A page's answer, in time.
pub(crate) struct PageAnswer(Pin<Box<dyn Future<Output = http::Response<Bytes>> + Send>>);

impl Page {
    pub(crate) fn new<F, Fut>(page: F) -> Self
    where
        F: Fn(http::Request<Bytes>, Handle) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = http::Response<Bytes>> + Send + 'static,
    {
        Self(Box::new(move |request, handle| PageAnswer(Box::pin(page(request, handle)))))
    }

    pub(crate) async fn answer(&self, request: http::Request<Bytes>, handle: Handle) -> http::Response<Bytes> {
        let PageAnswer(future) = (self.0)(request, handle);
        future.await
    }
}

impl Routes {
    pub(crate) fn new(
        config: &Config,
        kinds: Vec<KindRoutes>,
        pages: BTreeMap<String, Page>,
        limits: crate::http::Limits,
    ) -> Self {
        let endpoints = config
            .endpoints
            .iter()
            .zip(kinds)
            .map(|(endpoint, kind)| EndpointRoutes {
                bare_path: endpoint.path.trim_end_matches('/').to_owned(),
                body_bytes_max: match &endpoint.kind {
                    EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => engine.max_payload_bytes,
                    EndpointKind::WebSocket(_) => 0,
                },
                kind,
            })
            .collect();
        Self { config: config.clone(), endpoints, pages, limits }
    }

    /// The endpoint that serves a path.
    pub(crate) fn route(&self, path: &str) -> Option<EndpointId> {
        self.config.route(path)
    }

    /// The endpoint with this path of its own; a slash at its end does not matter.
    pub(crate) fn endpoint(&self, path: &str) -> Option<EndpointId> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        let index = self.endpoints.iter().position(|endpoint| endpoint.bare_path == bare)?;
        u16::try_from(index).ok().map(EndpointId::new)
    }

    pub(crate) fn first_socket_io(&self) -> EndpointId {
        let index = self.endpoints.iter().position(|endpoint| matches!(endpoint.kind, KindRoutes::SocketIo(_)));
        EndpointId::new(index.and_then(|index| u16::try_from(index).ok()).unwrap_or(0))
    }

    /// The rules of a namespace, by their place: the first that match.
    pub(crate) fn rule(&self, endpoint: EndpointId, namespace: &str) -> Option<usize> {
        match &self.endpoints.get(endpoint.index())?.kind {
            KindRoutes::SocketIo(rules) => rules.iter().position(|rule| rule.pattern.matches(namespace)),
            KindRoutes::Bare(_) => None,
        }
    }

    pub(crate) fn namespace(&self, endpoint: EndpointId, rule: Option<usize>) -> Option<&NamespaceRoutes> {
        match &self.endpoints.get(endpoint.index())?.kind {
            KindRoutes::SocketIo(rules) => rules.get(rule?),
            KindRoutes::Bare(_) => None,
        }
    }

    pub(crate) fn peer(&self, endpoint: EndpointId) -> Option<&PeerRoutes> {
        match &self.endpoints.get(endpoint.index())?.kind {
            KindRoutes::SocketIo(_) => None,
            KindRoutes::Bare(routes) => Some(routes),
        }
    }
}

impl Call<Connecting> {
    /// Lets the client in or refuses it.
    pub(crate) fn admit<M>(handler: impl Handler<Connecting, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |happening| {
            let (handler, socket) = (handler.clone(), happening.0.clone());
            Job::new(async move {
                let decision = run(&*handler, happening).await.unwrap_or_else(|| Err(Refusal::new("not admitted")));
                socket.shared().command(match decision {
                    Ok(()) => Command::Accept { socket: socket.id() },
                    Err(Refusal(data)) => Command::Refuse { socket: socket.id(), data },
                });
            })
        }))
    }
}

impl Call<Received> {
    /// Acknowledges if the client asks for it.
    pub(crate) fn event<M>(handler: impl Handler<Received, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |happening| {
            let (handler, socket, ack) = (handler.clone(), happening.socket.clone(), happening.ack);
            Job::new(async move {
                let answer = run(&*handler, happening).await;
                if let (Some(ack), Some(Ack(Some(args)))) = (ack, answer) {
                    socket.ack(ack, args);
                }
                socket.shared().command(Command::Handled { session: socket.session() });
            })
        }))
    }
}

impl Call<Incoming> {
    pub(crate) fn message<M>(handler: impl Handler<Incoming, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |happening| {
            let (handler, peer) = (handler.clone(), happening.0.clone());
            Job::new(async move {
                run(&*handler, happening).await;
                peer.shared().command(Command::Handled { session: peer.session() });
            })
        }))
    }
}

impl<C: Happening<Answer = ()>> Call<C> {
    /// Nothing comes of it.
    pub(crate) fn hook<M>(handler: impl Handler<C, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |happening| {
            let handler = handler.clone();
            Job::new(async move {
                run(&*handler, happening).await;
            })
        }))
    }
}

/// Calls a handler; `None` if it panicked or if what happened does not fit its arguments.
async fn run<C: Happening, M>(handler: &impl Handler<C, M>, happening: C) -> Option<C::Answer> {
    match guarded(async move { handler.call(happening).await }).await? {
        Ok(answer) => Some(answer),
        Err(rejection) => {
            tracing::debug!(%rejection, "a handler was not called");
            None
        }
    }
}
