//! A server, before it starts.
//!
//! Owns: [`Builder`] and what is registered on it. Must never know: a runtime.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomcast_core::cluster::{ClusterSettings, NodeId};
use roomcast_core::server::config::{
    Admission, ConnectionRecovery, EndpointKind, EngineIo, NamespaceRule, Origins, PathMatch, Pattern, ServerLimits,
    SocketIo, WebSocket,
};
use roomcast_core::server::{App, Config, Endpoint};
use roomcast_core::socket_io::Parser;

use crate::addresses::TrustedProxies;
use crate::app::{AppHandle, AppLink, AppMail, AskStore, OnNotice};
use crate::cluster::{ClusterBus, ClusterInbox, NodeSetup};
use crate::handle::Handle;
use crate::handler::{
    Arriving, Closed, Connected, Connecting, Disconnected, Handler, HandlerInput, MessageReceived, Opened, Received,
};
use crate::handler_arguments::StateType;
use crate::http::header_hooks::HeaderHooks;
use crate::http_limits::HttpLimits;
use crate::registry::{HandlerFn, HandlerGate, KindRoutes, NamespaceRoutes, Page, PeerRoutes};
use crate::server_side::ServerSideReceived;
use crate::states::States;

/// The endpoints of a server, the handlers of their events, and its limits. [`start`](Self::start) makes a server of them.
///
/// ```
/// use roomcast_adapter::{Builder, Data, Refusal, Socket};
///
/// #[derive(serde::Deserialize)]
/// struct Auth {
///     name: String,
/// }
///
/// let builder = Builder::new().socket_io("/socket.io", |io| {
///     io.namespace("/", |ns| {
///         ns.admit(async |Data(auth): Data<Auth>| match auth.name.as_str() {
///             "" => Err(Refusal::new("a name, please")),
///             _ => Ok(()),
///         });
///         ns.on_connect(async |socket: Socket, Data(auth): Data<Auth>| {
///             socket.broadcast().emit("came", auth.name).await;
///         });
///         // What a handler returns is the ack.
///         ns.on("add", async |Data((a, b)): Data<(i64, i64)>| a.saturating_add(b));
///         ns.on("join", async |socket: Socket, Data((room,)): Data<(String,)>| {
///             socket.join(room.as_str());
///             ("joined", room)
///         });
///     });
/// });
/// # let _ = builder;
/// ```
pub struct Builder<A: App = ()> {
    pub(crate) config: Config,
    pub(crate) kinds: Vec<KindRoutes>,
    pub(crate) pages: BTreeMap<String, Page>,
    pub(crate) hooks: HeaderHooks,
    pub(crate) http: HttpLimits,
    pub(crate) proxies: TrustedProxies,
    pub(crate) node: u16,
    pub(crate) joining: Option<NodeSetup>,
    pub(crate) app: A,
    pub(crate) app_mail: AppMail<A>,
    pub(crate) store: Option<AskStore<A>>,
    pub(crate) on_notice: Option<OnNotice<A>>,
    /// What has been registered a second time.
    pub(crate) twice: Vec<String>,
    pub(crate) states: States,
    /// The states that handlers take.
    pub(crate) needed: Vec<StateType>,
}

impl Builder {
    /// Serves nothing yet.
    pub fn new() -> Self {
        Self::of(())
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: App> Builder<A> {
    /// A server with an application below the handlers: it is given every event first, and what it gives back goes to
    /// the handlers. Sockets whose [`Connected`](roomcast_core::server::Event::Connected) it keeps for itself are
    /// unknown to them.
    ///
    /// Each question of the application is put to the store in the driver, in order; what the store does for it happens
    /// in a task of its own.
    pub fn with_app<S, Fut>(app: A, store: S) -> Self
    where
        S: Fn(A::Query) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = A::Reply> + Send + 'static,
    {
        Self { store: Some(AskStore::new(store)), ..Self::of(app) }
    }

    /// What to do when the application tells something. It runs in the driver and holds all clients up: it should be
    /// quick, and pass on what takes longer.
    #[must_use]
    pub fn on_notice(mut self, notice: impl FnMut(A::Notice) + Send + 'static) -> Self {
        self.on_notice = Some(OnNotice::new(notice));
        self
    }

    /// A value that handlers take as [`State`](crate::State): one of each type.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(mut self, value: T) -> Self {
        if !self.states.insert(value) {
            self.twice.push(format!("the state {}", type_name::<T>()));
        }
        self
    }

    /// Socket.IO at this path. Namespaces that are not registered are refused.
    #[must_use]
    pub fn socket_io(mut self, path: impl Into<String>, set_up: impl FnOnce(&mut SocketIoRoutes)) -> Self {
        let mut io = SocketIoRoutes {
            origins: Origins::Any,
            engine: EngineIo::default(),
            connect_timeout: SocketIo::default().connect_timeout,
            recovery: None,
            parser: Parser::Json,
            namespaces: Vec::new(),
            twice: Vec::new(),
            needed: Vec::new(),
        };
        set_up(&mut io);
        self.twice.append(&mut io.twice);
        self.needed.append(&mut io.needed);
        let namespaces = io
            .namespaces
            .iter()
            .map(|routes| NamespaceRule {
                pattern: routes.pattern.clone(),
                admission: if routes.admit.is_empty() { Admission::Open } else { Admission::Ask },
            })
            .collect();
        let SocketIoRoutes { connect_timeout, recovery, parser, .. } = io;
        let socket = SocketIo { namespaces, connect_timeout, recovery, parser };
        self.config.endpoints.push(Endpoint {
            path: path.into(),
            path_match: PathMatch::Exact,
            origins: io.origins,
            kind: EndpointKind::SocketIo(io.engine, socket),
        });
        self.kinds.push(KindRoutes::SocketIo(io.namespaces));
        self
    }

    /// Bare Engine.IO at this path.
    #[must_use]
    pub fn engine_io(mut self, path: impl Into<String>, set_up: impl FnOnce(&mut EngineIoRoutes)) -> Self {
        let mut eio =
            EngineIoRoutes { origins: Origins::Any, engine: EngineIo::default(), peers: PeerHandlers::default() };
        set_up(&mut eio);
        let path = path.into();
        self.twice.extend(eio.peers.twice.iter().map(|what| format!("{what} of {path}")));
        self.needed.append(&mut eio.peers.needed);
        self.config.endpoints.push(Endpoint {
            path,
            path_match: PathMatch::Exact,
            origins: eio.origins,
            kind: EndpointKind::EngineIo(eio.engine),
        });
        self.kinds.push(KindRoutes::Bare(eio.peers.routes));
        self
    }

    /// Bare WebSocket (RFC 6455) at this path.
    #[must_use]
    pub fn web_socket(mut self, path: impl Into<String>, set_up: impl FnOnce(&mut WebSocketRoutes)) -> Self {
        let mut ws = WebSocketRoutes {
            path_match: PathMatch::Exact,
            origins: Origins::Any,
            ws: WebSocket::default(),
            peers: PeerHandlers::default(),
        };
        set_up(&mut ws);
        let path = path.into();
        self.twice.extend(ws.peers.twice.iter().map(|what| format!("{what} of {path}")));
        self.needed.append(&mut ws.peers.needed);
        self.config.endpoints.push(Endpoint {
            path,
            path_match: ws.path_match,
            origins: ws.origins,
            kind: EndpointKind::WebSocket(ws.ws),
        });
        self.kinds.push(KindRoutes::Bare(ws.peers.routes));
        self
    }

    /// Answers HTTP requests for exactly this path: a health check, an API for other processes. A page that needs more
    /// than that is better served by a web framework, with the [`Service`](crate::Service) mounted in it.
    #[must_use]
    pub fn page<F, Fut>(mut self, path: impl Into<String>, page: F) -> Self
    where
        F: Fn(http::Request<Bytes>, Handle) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = http::Response<Bytes>> + Send + 'static,
    {
        let path = path.into();
        if self.pages.insert(path.clone(), Page::new(page)).is_some() {
            self.twice.push(format!("the page {path}"));
        }
        self
    }

    /// The same with a handle of the application, which the page may ask.
    #[must_use]
    pub fn app_page<F, Fut>(self, path: impl Into<String>, page: F) -> Self
    where
        A: Send + 'static,
        F: Fn(http::Request<Bytes>, AppHandle<A>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = http::Response<Bytes>> + Send + 'static,
    {
        let link = self.app_link();
        self.page(path, move |request, handle| page(request, link.of(handle)))
    }

    /// Adds headers to the response that opens a session, at any endpoint, by long polling or as a WebSocket handshake:
    /// engine.io's event `initial_headers`. A refusal has none of them.
    ///
    /// ```
    /// use roomcast_adapter::Builder;
    /// use http::HeaderValue;
    ///
    /// let builder = Builder::new().socket_io("/socket.io", |_| {}).initial_headers(|_request, headers| {
    ///     headers.insert("x-served-by", HeaderValue::from_static("node-1"));
    /// });
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn initial_headers(
        mut self,
        hook: impl Fn(&http::Request<()>, &mut http::HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.add_initial(hook);
        self
    }

    /// Adds headers to each response of a session, the first one too, behind
    /// [`initial_headers`](Self::initial_headers): engine.io's event `headers`. It is called for every request of long
    /// polling.
    #[must_use]
    pub fn headers(mut self, hook: impl Fn(&http::Request<()>, &mut http::HeaderMap) + Send + Sync + 'static) -> Self {
        self.hooks.add(hook);
        self
    }

    /// Reaches the application from handlers, which are made before the server is.
    pub fn app_link(&self) -> AppLink<A> {
        AppLink::new(self.app_mail.clone())
    }

    /// Bounds on everything that clients can make grow.
    #[must_use]
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Bounds on HTTP requests.
    #[must_use]
    pub fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.http = limits;
        self
    }

    /// Proxies that are believed when they say which address a request is from. None.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// The number of this process among those that share clients. 0.
    #[must_use]
    pub fn node(mut self, node: u16) -> Self {
        self.node = node;
        self
    }

    /// Makes this server one node of several that share the namespaces of its first Socket.IO endpoint: what is emitted,
    /// joined and disconnected by room reaches the sockets of all. `connect` is called at the start, with this node's name
    /// and the way back from the bus.
    #[must_use]
    pub fn cluster<B: ClusterBus>(
        mut self,
        settings: ClusterSettings,
        connect: impl FnOnce(&NodeId, ClusterInbox) -> Result<B, String> + Send + 'static,
    ) -> Self {
        self.joining = Some(NodeSetup::new(settings, connect));
        self
    }

    fn of(app: A) -> Self {
        Self {
            joining: None,
            config: Config::new([]),
            kinds: Vec::new(),
            pages: BTreeMap::new(),
            hooks: HeaderHooks::default(),
            http: HttpLimits::default(),
            proxies: TrustedProxies::default(),
            node: 0,
            app,
            app_mail: AppMail::new(),
            store: None,
            on_notice: None,
            twice: Vec::new(),
            states: States::default(),
            needed: Vec::new(),
        }
    }
}

impl<A: App> std::fmt::Debug for Builder<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A Socket.IO endpoint in the making.
pub struct SocketIoRoutes {
    /// Origins from which browsers may connect. Any.
    pub origins: Origins,
    /// Transports, heartbeat and sizes.
    pub engine: EngineIo,
    /// Time in which a connection must have joined a namespace. 45 s.
    pub connect_timeout: Duration,
    /// Connection state recovery: what clients get back that lost their connection. None; it has a price, see there.
    ///
    /// ```
    /// use roomcast_adapter::{Builder, ConnectionRecovery, Socket};
    ///
    /// let builder = Builder::new().socket_io("/socket.io", |io| {
    ///     io.recovery = Some(ConnectionRecovery::default());
    ///     io.namespace("/", |ns| {
    ///         ns.on_connect(async |socket: Socket| {
    ///             if !socket.recovered() {
    ///                 // New, or away for too long: it is in no room yet, and has to be told how things stand.
    ///                 socket.join("news");
    ///             }
    ///         });
    ///     });
    /// });
    /// # let _ = builder;
    /// ```
    pub recovery: Option<ConnectionRecovery>,
    /// In which form packets are written: clients must have the same. [`Parser::Json`], which they have unless told otherwise.
    /// [`Parser::MessagePack`] is for clients with the npm package `socket.io-msgpack-parser`.
    pub parser: Parser,
    namespaces: Vec<NamespaceRoutes>,
    twice: Vec<String>,
    needed: Vec<StateType>,
}

impl SocketIoRoutes {
    /// Adds the namespace `name`, whose handlers `set_up` registers.
    pub fn namespace(&mut self, name: impl Into<String>, set_up: impl FnOnce(&mut Namespace)) {
        self.namespaces(Pattern::Exact(name.into()), set_up);
    }

    /// A family of namespaces with the same handlers. The first registration that matches a name decides.
    pub fn namespaces(&mut self, pattern: Pattern, set_up: impl FnOnce(&mut Namespace)) {
        if self.namespaces.iter().any(|known| known.pattern == pattern) {
            self.twice.push(format!("the namespace {pattern:?}"));
        }
        let routes = NamespaceRoutes {
            pattern,
            admit: Arc::default(),
            before: Arc::default(),
            connected: None,
            disconnected: None,
            events: BTreeMap::new(),
            any: None,
            server_side: BTreeMap::new(),
        };
        let mut namespace =
            Namespace { routes, admit: Vec::new(), before: Vec::new(), twice: Vec::new(), needed: Vec::new() };
        set_up(&mut namespace);
        self.twice.append(&mut namespace.twice);
        self.needed.append(&mut namespace.needed);
        namespace.routes.admit = Arc::new(namespace.admit);
        namespace.routes.before = Arc::new(namespace.before);
        self.namespaces.push(namespace.routes);
    }
}

impl std::fmt::Debug for SocketIoRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketIoRoutes").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// A namespace in the making. Handlers of one socket run one after the other, in the order of what happened; those of
/// different sockets run side by side. One that panics is logged, and its ack is `{"error":"internal error"}`.
pub struct Namespace {
    routes: NamespaceRoutes,
    admit: Vec<HandlerGate<Connecting>>,
    before: Vec<HandlerGate<Arriving>>,
    twice: Vec<String>,
    needed: Vec<StateType>,
}

impl Namespace {
    /// Admits clients to the namespace, or refuses them with a payload. Nothing can be sent to the socket yet; rooms
    /// that it [`join`](crate::Socket::join)s are joined when it is let in, and what it
    /// [`extend`](crate::Socket::extend)s the socket with is there for the other handlers.
    ///
    /// Several are asked one after the other, in the order of their registration; the first that refuses decides.
    pub fn admit<M>(&mut self, handler: impl Handler<Connecting, M>) {
        self.note(&handler);
        self.admit.push(HandlerGate::admit(handler));
    }

    /// Looks at each event that has a handler before that is called, or refuses it: then its ack is the refusal's payload.
    /// Several are asked one after the other, in the order of their registration; the first that refuses decides.
    ///
    /// ```
    /// # use roomcast_adapter::{EventName, Extension, Namespace, Refusal};
    /// struct Guest(bool);
    ///
    /// fn set_up(ns: &mut Namespace) {
    ///     ns.before(async |EventName(event): EventName, guest: Extension<Guest>| {
    ///         if guest.0 && event.starts_with("edit:") { Err(Refusal::new("log in first")) } else { Ok(()) }
    ///     });
    /// }
    /// ```
    pub fn before<M>(&mut self, handler: impl Handler<Arriving, M>) {
        self.note(&handler);
        self.before.push(HandlerGate::before(handler));
    }

    /// A client has connected. Its events wait until this handler is done.
    pub fn on_connect<M>(&mut self, handler: impl Handler<Connected, M>) {
        self.note(&handler);
        if self.routes.connected.replace(HandlerFn::hook(handler)).is_some() {
            self.note_twice("`on_connect`");
        }
    }

    /// A client sent this event. What the handler returns is the ack, if the client wants one: the elements of a tuple
    /// are its arguments, and `()` is none. [`NoAck`](crate::NoAck) stands for no ack at all, and an [`AckSender`](crate::AckSender) as an argument sends
    /// it later. Where the handler cannot be called the ack is `{"error": …}`, which says why.
    pub fn on<M>(&mut self, name: impl Into<String>, handler: impl Handler<Received, M>) {
        self.note(&handler);
        let name = name.into();
        if self.routes.events.insert(name.clone(), HandlerFn::event(handler)).is_some() {
            self.note_twice(&format!("the handler of {name:?}"));
        }
    }

    /// A client sent an event that has no handler.
    pub fn on_any<M>(&mut self, handler: impl Handler<Received, M>) {
        self.note(&handler);
        if self.routes.any.replace(HandlerFn::event(handler)).is_some() {
            self.note_twice("`on_any`");
        }
    }

    /// A client left. It is in no room any more, and what is sent to it is dropped.
    pub fn on_disconnect<M>(&mut self, handler: impl Handler<Disconnected, M>) {
        self.note(&handler);
        if self.routes.disconnected.replace(HandlerFn::hook(handler)).is_some() {
            self.note_twice("`on_disconnect`");
        }
    }

    /// Another server of the cluster said this, to the applications of the others: see
    /// [`server_side_emit`](crate::Broadcast::server_side_emit). What the handler returns is the reply, if that server wants
    /// one, and [`NoAck`](crate::NoAck) none; JavaScript servers take the first argument of it alone. Handlers begin in the
    /// order of the events, and none waits for another. An event without a handler is dropped without a reply. 4,096
    /// handlers are at work at most; what comes then is dropped as well, and logged.
    ///
    /// ```
    /// # use roomcast_adapter::{Data, Handle, Namespace};
    /// fn set_up(ns: &mut Namespace) {
    ///     ns.on_server_side("clients?", async |handle: Handle, Data((room,)): Data<(String,)>| {
    ///         handle.of("/").to(room).sockets().await.len()
    ///     });
    /// }
    /// ```
    pub fn on_server_side<M>(&mut self, name: impl Into<String>, handler: impl Handler<ServerSideReceived, M>) {
        self.note(&handler);
        let name = name.into();
        if self.routes.server_side.insert(name.clone(), HandlerFn::server_side(handler)).is_some() {
            self.note_twice(&format!("the handler of {name:?} of other servers"));
        }
    }

    fn note<C: HandlerInput, M>(&mut self, handler: &impl Handler<C, M>) {
        self.needed.append(&mut handler.arguments().states);
    }

    fn note_twice(&mut self, what: &str) {
        self.twice.push(format!("{what} of the namespace {:?}", self.routes.pattern));
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace").field("pattern", &self.routes.pattern).finish_non_exhaustive()
    }
}

/// A bare Engine.IO endpoint in the making.
#[derive(Debug)]
#[non_exhaustive]
pub struct EngineIoRoutes {
    /// Origins from which browsers may connect. Any.
    pub origins: Origins,
    /// Transports, heartbeat and sizes.
    pub engine: EngineIo,
    /// What happens there.
    pub peers: PeerHandlers,
}

/// A bare WebSocket endpoint in the making.
#[derive(Debug)]
#[non_exhaustive]
pub struct WebSocketRoutes {
    /// Which paths are meant besides the endpoint's own. None.
    pub path_match: PathMatch,
    /// Origins from which browsers may connect. Any.
    pub origins: Origins,
    /// Heartbeat and sizes.
    pub ws: WebSocket,
    /// What happens there.
    pub peers: PeerHandlers,
}

/// The handlers of an endpoint without namespaces.
#[derive(Default)]
pub struct PeerHandlers {
    routes: PeerRoutes,
    twice: Vec<&'static str>,
    needed: Vec<StateType>,
}

impl PeerHandlers {
    /// A client is there.
    pub fn on_open<M>(&mut self, handler: impl Handler<Opened, M>) {
        self.needed.append(&mut handler.arguments().states);
        if self.routes.opened.replace(HandlerFn::hook(handler)).is_some() {
            self.twice.push("`on_open`");
        }
    }

    /// A client sent a message.
    pub fn on_message<M>(&mut self, handler: impl Handler<MessageReceived, M>) {
        self.needed.append(&mut handler.arguments().states);
        if self.routes.message.replace(HandlerFn::message(handler)).is_some() {
            self.twice.push("`on_message`");
        }
    }

    /// A client is gone.
    pub fn on_close<M>(&mut self, handler: impl Handler<Closed, M>) {
        self.needed.append(&mut handler.arguments().states);
        if self.routes.closed.replace(HandlerFn::hook(handler)).is_some() {
            self.twice.push("`on_close`");
        }
    }
}

impl std::fmt::Debug for PeerHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PeerHandlers")
    }
}
