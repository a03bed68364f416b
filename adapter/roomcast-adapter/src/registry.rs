//! The handlers that are registered.
//!
//! Owns: the handlers of all endpoints and namespaces, and the pages. Must never know: when they are called.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use roomcast_core::server::config::Pattern;
use roomcast_core::server::{ClusterCommand, Command, EndpointId};
use roomcast_core::socket_io::Args;

use crate::ack_result::error_args;
use crate::handle::Handle;
use crate::handler::{
    Ack, Arriving, Closed, Connected, Connecting, Disconnected, Handler, HandlerInput, MessageReceived, Opened,
    Received, Refusal, Rejection,
};
use crate::handler_queue::{HandlerJob, guarded};
use crate::server_side::ServerSideReceived;

/// The handlers of all endpoints, by endpoint.
pub(crate) struct Routes(Vec<KindRoutes>);

pub(crate) enum KindRoutes {
    SocketIo(Vec<NamespaceRoutes>),
    Bare(PeerRoutes),
}

/// The handlers of a namespace.
pub(crate) struct NamespaceRoutes {
    pub(crate) pattern: Pattern,
    /// Asked in order; none: all are let in.
    pub(crate) admit: Arc<Vec<HandlerGate<Connecting>>>,
    /// Asked in order, about each event that has a handler.
    pub(crate) before: Arc<Vec<HandlerGate<Arriving>>>,
    pub(crate) connected: Option<HandlerFn<Connected>>,
    pub(crate) disconnected: Option<HandlerFn<Disconnected>>,
    pub(crate) events: BTreeMap<String, HandlerFn<Received>>,
    pub(crate) any: Option<HandlerFn<Received>>,
    /// For events of other servers, by their names.
    pub(crate) server_side: BTreeMap<String, HandlerFn<ServerSideReceived>>,
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

/// A handler that may refuse, with its type erased.
pub(crate) struct HandlerGate<C>(Box<dyn Fn(C) -> Decision + Send + Sync>);

/// What such a handler decides, in time.
pub(crate) struct Decision(Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>);

impl HandlerGate<Connecting> {
    /// Who is not let in is not told what was expected; the log is.
    pub(crate) fn admit<M>(handler: impl Handler<Connecting, M>) -> Self {
        Self::new(handler, |_fault| Refusal::new("not admitted"))
    }
}

impl HandlerGate<Arriving> {
    pub(crate) fn before<M>(handler: impl Handler<Arriving, M>) -> Self {
        Self::new(handler, |fault| Refusal::new(&fault.message()))
    }
}

impl<C: HandlerInput<Outcome = Result<(), Refusal>>> HandlerGate<C> {
    fn new<M>(handler: impl Handler<C, M>, refusal: fn(&HandlerFault) -> Refusal) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |input| {
            let handler = handler.clone();
            Decision(Box::pin(async move {
                match run(&*handler, input).await {
                    Ok(decision) => decision,
                    Err(fault) => Err(refusal(&fault)),
                }
            }))
        }))
    }
}

/// Asks one after the other; the first that refuses decides.
async fn pass<C: Clone>(gates: &[HandlerGate<C>], input: C) -> Result<(), Refusal> {
    for HandlerGate(gate) in gates {
        let Decision(decision) = gate(input.clone());
        decision.await?;
    }
    Ok(())
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

impl NamespaceRoutes {
    /// Lets a client in or refuses it; `None` if all are let in.
    pub(crate) fn admission(&self, input: Connecting) -> Option<HandlerJob> {
        if self.admit.is_empty() {
            return None;
        }
        let gates = self.admit.clone();
        Some(HandlerJob::new(async move {
            let socket = input.0.clone();
            match pass(&gates, input).await {
                Ok(()) => socket.accept(),
                Err(Refusal(data)) => {
                    tracing::debug!(refusal = %data, "not admitted");
                    socket.shared().command(Command::Refuse { socket: socket.id(), data });
                }
            }
        }))
    }

    /// Handles an event by this handler, unless it is refused before.
    pub(crate) fn job(&self, handler: &HandlerFn<Received>, input: Received) -> HandlerJob {
        if self.before.is_empty() {
            return handler.job(input);
        }
        let (gates, arriving) = (self.before.clone(), Arriving(input.clone()));
        // Does nothing before it is awaited.
        let job = handler.job(input);
        HandlerJob::new(async move {
            let Received { socket, ack, .. } = arriving.0.clone();
            let Err(Refusal(data)) = pass(&gates, arriving).await else { return job.await };
            tracing::debug!(refusal = %data, "an event is refused");
            if let Some(ack) = ack {
                socket.ack(ack, Args::from_checked(data, Vec::new()));
            }
            socket.shared().command(Command::Handled { session: socket.session() });
        })
    }
}

impl HandlerFn<Received> {
    /// Acknowledges if the client asks for it.
    pub(crate) fn event<M>(handler: impl Handler<Received, M>) -> Self {
        let sends_ack = handler.arguments().sends_ack;
        let handler = Arc::new(handler);
        Self(Box::new(move |input| {
            let (handler, socket, ack) = (handler.clone(), input.socket.clone(), input.ack);
            HandlerJob::new(async move {
                let args = match run(&*handler, input).await {
                    Ok(Ack(args)) => args.filter(|_| !sends_ack),
                    // Its `AckSender`, which may be elsewhere by now, answers for it.
                    Err(HandlerFault::Panicked) if sends_ack => None,
                    Err(fault) => Some(error_args(&fault.message())),
                };
                if let (Some(ack), Some(args)) = (ack, args) {
                    socket.ack(ack, args);
                }
                socket.shared().command(Command::Handled { session: socket.session() });
            })
        }))
    }
}

impl HandlerFn<ServerSideReceived> {
    /// Replies if the other server asks for it.
    pub(crate) fn server_side<M>(handler: impl Handler<ServerSideReceived, M>) -> Self {
        let handler = Arc::new(handler);
        Self(Box::new(move |mut input| {
            let (handler, shared, reply) = (handler.clone(), input.shared.clone(), input.reply.take());
            HandlerJob::new(async move {
                let args = match run(&*handler, input).await {
                    Ok(Ack(args)) => args,
                    Err(fault) => Some(error_args(&fault.message())),
                };
                if let (Some(reply), Some(args)) = (reply, args) {
                    shared.command(Command::Cluster(ClusterCommand::ServerReply { reply, args }));
                }
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
                // What goes wrong is in the log.
                let _ = run(&*handler, input).await;
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
                // What goes wrong is in the log.
                let _ = run(&*handler, input).await;
            })
        }))
    }
}

/// Why nothing came of a handler.
enum HandlerFault {
    /// It was not called.
    Rejected(Rejection),
    /// It panicked: the panic is in the log.
    Panicked,
}

impl HandlerFault {
    /// What the client is told. The program's own faults are nothing that it could do something about.
    fn message(&self) -> String {
        match self {
            Self::Rejected(rejection @ Rejection::Args { .. }) => format!("invalid arguments: {rejection}"),
            Self::Rejected(Rejection::Missing(_)) | Self::Panicked => "internal error".to_owned(),
        }
    }
}

/// Calls a handler. What goes wrong is logged, in the span of the event.
async fn run<C: HandlerInput, M>(handler: &impl Handler<C, M>, input: C) -> Result<C::Outcome, HandlerFault> {
    match guarded(async move { handler.call(input).await }).await {
        Some(Ok(outcome)) => Ok(outcome),
        Some(Err(rejection)) => {
            match rejection {
                Rejection::Args { .. } => tracing::debug!(%rejection, "a handler was not called"),
                Rejection::Missing(_) => tracing::error!(%rejection, "a handler was not called"),
            }
            Err(HandlerFault::Rejected(rejection))
        }
        None => Err(HandlerFault::Panicked),
    }
}
