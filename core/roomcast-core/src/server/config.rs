//! What a server is told before it starts.
//!
//! Owns: endpoints, namespaces, limits and their defaults, and the check that they make sense. Must never know: a
//! connection.

use std::fmt;
use std::time::Duration;

pub use super::connection_recovery::{ConnectionRecovery, Readmission};
pub use super::cookie::SessionCookie;
pub use super::pattern::Pattern;
pub use super::transports::Transports;
use crate::cluster::{ClusterSettings, NodeId};
use crate::socket_io::Parser;

/// Everything a [`Server`](super::Server) is built from. Defaults are those of the official servers.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is served where. An [`EndpointId`] is the place in this list.
    pub endpoints: Vec<Endpoint>,
    /// Bounds on everything that peers can make grow.
    pub limits: ServerLimits,
    /// Other nodes that serve the same clients. None.
    pub cluster: Option<ClusterConfig>,
}

/// How a server takes part in a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The Socket.IO endpoint whose namespaces the nodes share. Others stay this node's own.
    pub endpoint: EndpointId,
    /// The name of this node; `None`: drawn from the seed.
    pub node: Option<NodeId>,
    /// Intervals, limits, and what the bus brings.
    pub settings: ClusterSettings,
}

impl ClusterConfig {
    /// Shares the namespaces of an endpoint, with default settings and a name drawn from the seed.
    pub fn new(endpoint: EndpointId) -> Self {
        Self { endpoint, node: None, settings: ClusterSettings::default() }
    }
}

impl Config {
    /// A server of these endpoints with the default limits.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self { endpoints: endpoints.into_iter().collect(), limits: ServerLimits::default(), cluster: None }
    }

    /// Checks paths, namespaces, times and limits.
    ///
    /// # Errors
    ///
    /// The first of [`ConfigError`] that is found.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if !endpoint.path.starts_with('/') {
                return Err(ConfigError::PathWithoutSlash);
            }
            if self.endpoints.iter().take(index).any(|other| other.same_path(endpoint)) {
                return Err(ConfigError::PathTwice);
            }
            let spans = match &endpoint.kind {
                EndpointKind::SocketIo(engine, socket) => {
                    let recovery = socket.recovery.as_ref().map(|recovery| recovery.max_age);
                    let engine = [engine.ping_interval, engine.ping_timeout, engine.upgrade_timeout];
                    engine.into_iter().chain([socket.connect_timeout]).chain(recovery).collect()
                }
                EndpointKind::EngineIo(engine) => {
                    vec![engine.ping_interval, engine.ping_timeout, engine.upgrade_timeout]
                }
                EndpointKind::WebSocket(ws) => vec![ws.ping_interval, ws.ping_timeout],
            };
            if let EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) = &endpoint.kind
                && engine.cookie.as_ref().is_some_and(|cookie| !cookie.is_valid())
            {
                return Err(ConfigError::CookieMalformed);
            }
            if spans.iter().any(|span| span.is_zero() || *span > SPAN_MAX) {
                return Err(ConfigError::SpanOutOfRange);
            }
            if let EndpointKind::SocketIo(_, socket) = &endpoint.kind
                && socket.namespaces.iter().any(|rule| !rule.pattern.text().starts_with('/'))
            {
                return Err(ConfigError::NamespaceWithoutSlash);
            }
        }
        if self.limits.queue_soft_bytes > self.limits.queue_bytes_max {
            return Err(ConfigError::SoftLimitAboveHard);
        }
        let is_shared = |cluster: &ClusterConfig| {
            let endpoint = self.endpoints.get(cluster.endpoint.index());
            endpoint.is_some_and(|endpoint| matches!(endpoint.kind, EndpointKind::SocketIo(..)))
        };
        if !self.cluster.as_ref().is_none_or(is_shared) {
            return Err(ConfigError::ClusterWithoutEndpoint);
        }
        Ok(())
    }

    /// In which form an endpoint writes packets of Socket.IO.
    pub(crate) fn parser(&self, endpoint: EndpointId) -> &Parser {
        match self.endpoints.get(endpoint.index()).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(_, socket)) => &socket.parser,
            Some(EndpointKind::EngineIo(_) | EndpointKind::WebSocket(_)) | None => &Parser::Json,
        }
    }

    /// The endpoint that serves `path`, with or without a slash at its end: the one of the longest path, and of these the
    /// one that is exactly it.
    pub fn route(&self, path: &str) -> Option<EndpointId> {
        let path = path.trim_end_matches('/');
        let serving = self.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.serves(path));
        let (index, _) = serving.max_by_key(|(_, endpoint)| endpoint.bare_path().len())?;
        u16::try_from(index).ok().map(EndpointId::new)
    }
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A path must start with `/`.
    PathWithoutSlash,
    /// Two endpoints have the same path.
    PathTwice,
    /// A time is zero or longer than a day.
    SpanOutOfRange,
    /// A namespace must start with `/`.
    NamespaceWithoutSlash,
    /// The name or the attributes of a cookie cannot stand in a header.
    CookieMalformed,
    /// `queue_soft_bytes` is above `queue_bytes_max`.
    SoftLimitAboveHard,
    /// The endpoint of the cluster does not exist or does not speak Socket.IO.
    ClusterWithoutEndpoint,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PathWithoutSlash => "the path of an endpoint must start with '/'",
            Self::PathTwice => "two endpoints have the same path",
            Self::SpanOutOfRange => "an interval or timeout must be above zero and at most a day",
            Self::NamespaceWithoutSlash => "a namespace must start with '/'",
            Self::CookieMalformed => "the name or the attributes of a cookie cannot stand in a header",
            Self::SoftLimitAboveHard => "queue_soft_bytes must not exceed queue_bytes_max",
            Self::ClusterWithoutEndpoint => "the endpoint of the cluster must be one of Socket.IO",
        })
    }
}

impl std::error::Error for ConfigError {}

/// The place of an [`Endpoint`] in [`Config::endpoints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub(crate) u16);

impl EndpointId {
    /// The endpoint at `index` of the list.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The index in the list.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A path, and what is spoken there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Begins with `/`; with and without a slash at its end it is the same path.
    pub path: String,
    /// Whether it is this path or those below it.
    pub path_match: PathMatch,
    /// The browser origins from which requests are taken.
    pub origins: Origins,
    /// What is spoken.
    pub kind: EndpointKind,
}

impl Endpoint {
    /// Socket.IO at `path`, any origin, the root namespace open to all.
    pub fn socket_io(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            path_match: PathMatch::Exact,
            origins: Origins::Any,
            kind: EndpointKind::SocketIo(EngineIo::default(), SocketIo::default()),
        }
    }

    /// Bare Engine.IO at `path`, any origin.
    pub fn engine_io(path: impl Into<String>) -> Self {
        let kind = EndpointKind::EngineIo(EngineIo::default());
        Self { path: path.into(), path_match: PathMatch::Exact, origins: Origins::Any, kind }
    }

    /// Bare WebSocket at `path`, any origin.
    pub fn web_socket(path: impl Into<String>) -> Self {
        let kind = EndpointKind::WebSocket(WebSocket::default());
        Self { path: path.into(), path_match: PathMatch::Exact, origins: Origins::Any, kind }
    }

    /// The path without slashes at its end, as it is compared.
    pub(crate) fn bare_path(&self) -> &str {
        self.path.trim_end_matches('/')
    }

    /// Whether it serves `path`, which has no slashes at its end.
    pub(crate) fn serves(&self, path: &str) -> bool {
        match self.path_match {
            PathMatch::Exact => path == self.bare_path(),
            PathMatch::Below => path.strip_prefix(self.bare_path()).is_some_and(|rest| rest.starts_with('/')),
        }
    }

    fn same_path(&self, other: &Endpoint) -> bool {
        self.bare_path() == other.bare_path() && self.path_match == other.path_match
    }

    /// The largest body of an HTTP request there, in bytes.
    pub(crate) fn body_bytes_max(&self) -> usize {
        match &self.kind {
            EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => engine.max_payload_bytes,
            EndpointKind::WebSocket(_) => 0,
        }
    }
}

/// Which paths an endpoint serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathMatch {
    /// Its own alone.
    #[default]
    Exact,
    /// Every path below its own, of which no other endpoint is closer: `/notes/1` and `/notes/1/2` for `/notes`. What
    /// comes behind it is the application's to read from the [`Handshake`](super::Handshake).
    Below,
}

/// What is spoken at an endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndpointKind {
    /// Socket.IO v5 over Engine.IO v4.
    SocketIo(EngineIo, SocketIo),
    /// Engine.IO v4 alone.
    EngineIo(EngineIo),
    /// RFC 6455 alone.
    WebSocket(WebSocket),
}

/// Which browser origins may talk to an endpoint: CORS on polling, the `Origin` header of a WebSocket handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Every origin, without credentials (`Access-Control-Allow-Origin: *`).
    Any,
    /// The origin of the server itself, with credentials: where what stands behind `//` is the `Host` of the request. Behind a
    /// proxy, that has to pass `Host` on. Requests without an `Origin` are no browser's and pass.
    Same,
    /// These alone, with credentials. Requests without an `Origin` are no browser's and pass.
    List(Vec<String>),
}

/// Engine.IO's settings.
#[derive(Clone, Debug)]
pub struct EngineIo {
    /// Which transports are offered.
    pub transports: Transports,
    /// Time between a pong (or the open packet) and the next ping. 25 s.
    pub ping_interval: Duration,
    /// Time in which a pong must come. 20 s.
    pub ping_timeout: Duration,
    /// Time from the WebSocket's arrival to the end of an upgrade. 10 s.
    pub upgrade_timeout: Duration,
    /// Largest message on WebSocket and largest body of a POST, in bytes; announced to clients. 1,000,000.
    pub max_payload_bytes: usize,
    /// What a POST is answered with: `ok` (engine.io) or `OK` (python-engineio).
    pub post_answer: &'static str,
    /// What the body of a refusal is. An object.
    pub errors: ErrorStyle,
    /// Whether messages on WebSockets are compressed for clients that offer it. Not, as in engine.io.
    pub compression: Option<Compression>,
    /// A cookie with the session's id, for proxies that keep a session at one server by it. None.
    pub cookie: Option<SessionCookie>,
}

impl Default for EngineIo {
    fn default() -> Self {
        Self {
            transports: Transports::Both,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload_bytes: 1_000_000,
            post_answer: "ok",
            errors: ErrorStyle::Object,
            compression: None,
            cookie: None,
        }
    }
}

/// permessage-deflate ([RFC 7692](https://www.rfc-editor.org/rfc/rfc7692)), by which messages take less of a network and
/// more of a processor. A message is compressed by itself, once for all its recipients; what clients send may be compressed
/// as well, and is taken up to the largest message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Shorter messages are sent as they are, in bytes. 1 KiB.
    pub threshold_bytes: usize,
    /// Longer messages are sent as they are: no other client is served while one is compressed. 256 KiB.
    pub bytes_max: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { threshold_bytes: 1 << 10, bytes_max: 256 << 10 }
    }
}

/// What the body of a refusal over HTTP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorStyle {
    /// `{"code":0,"message":"Transport unknown"}`, as engine.io has it.
    Object,
    /// `"Invalid transport"`: a string of JSON, as python-engineio has it.
    Text,
}

/// Socket.IO's settings.
#[derive(Clone, Debug)]
pub struct SocketIo {
    /// Which namespaces exist; the first rule that matches decides, and what matches none is refused.
    pub namespaces: Vec<NamespaceRule>,
    /// Time in which a connection must have joined a namespace. 45 s.
    pub connect_timeout: Duration,
    /// Whether clients that lost their connection get back what they had and what they missed. None: they do not.
    pub recovery: Option<ConnectionRecovery>,
    /// In which form packets are written. JSON.
    pub parser: Parser,
}

impl Default for SocketIo {
    fn default() -> Self {
        Self {
            namespaces: vec![NamespaceRule { pattern: Pattern::Exact("/".into()), admission: Admission::Open }],
            connect_timeout: Duration::from_secs(45),
            recovery: None,
            parser: Parser::Json,
        }
    }
}

/// A namespace, or a family of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRule {
    /// The namespace names that the rule applies to.
    pub pattern: Pattern,
    /// How a CONNECT to such a namespace is answered.
    pub admission: Admission,
}

/// How a CONNECT to a namespace is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// Every CONNECT is accepted at once and reported as [`Event::Connected`](super::Event::Connected).
    Open,
    /// [`Event::Connecting`](super::Event::Connecting) asks; the application answers with a command.
    Ask,
    /// Every CONNECT is refused with a CONNECT_ERROR of `{"message":"Invalid namespace"}`.
    Closed,
}

/// A bare WebSocket's settings.
#[derive(Clone, Debug)]
pub struct WebSocket {
    /// Largest message in bytes. 1,000,000.
    pub message_bytes_max: usize,
    /// Most fragments of one message. 100,000.
    pub fragments_max: u32,
    /// Time between two pings of the server (RFC 6455 section 5.5.2). 25 s.
    pub ping_interval: Duration,
    /// Time in which something must come after a ping. 20 s.
    pub ping_timeout: Duration,
    /// Whether messages are compressed for clients that offer it. Not.
    pub compression: Option<Compression>,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            message_bytes_max: 1_000_000,
            fragments_max: 100_000,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            compression: None,
        }
    }
}

/// Bounds on everything that peers can make grow.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Sessions at once; one more is answered 503. 1,000,000.
    pub sessions_max: usize,
    /// Namespaces that one session may be in or ask for at once. 32.
    pub namespaces_per_session_max: usize,
    /// Length of a namespace's name in bytes. 512.
    pub namespace_bytes_max: usize,
    /// Rooms that one socket may be in. 10,000.
    pub rooms_per_socket_max: usize,
    /// Length of a room's name in bytes. 1,024.
    pub room_bytes_max: usize,
    /// Attachments of one packet. 10, where JavaScript's parser stops (socket.io-parser 4.2.7).
    pub attachments_max: u32,
    /// Bytes of one packet with its attachments. 64 MiB.
    pub packet_bytes_max: usize,
    /// Nesting of a packet's JSON. 128.
    pub json_depth_max: u32,
    /// Events of one session that the application has not handled; above, its reading is paused. 256.
    pub unanswered_max: u32,
    /// Bytes of those events; above, its reading is paused as well. 16 MiB.
    pub unanswered_bytes_max: usize,
    /// Emits of the server that one socket still has to acknowledge; above, the oldest is given up. 10,000.
    pub acks_per_socket_max: usize,
    /// Queued bytes of one session above which volatile packets are dropped, its reading is paused and `emit` to it
    /// waits. 1 MiB.
    pub queue_soft_bytes: usize,
    /// Queued bytes of one session above which it is closed as too slow, once its socket has refused bytes. 32 MiB.
    pub queue_bytes_max: usize,
    /// Time that a closing connection has to take what is queued and to answer the close. 5 s.
    pub close_timeout: Duration,
    /// Time in which what a peer begins must be whole: a frame, a message of several frames, a packet with its
    /// attachments. Does not run out while reading the peer is paused. 60 s.
    pub partial_timeout: Duration,
    /// Limits on Socket.IO peers that are not admitted yet.
    pub unadmitted: UnadmittedLimits,
    /// Which header fields of its first request a session keeps for the application. All.
    pub handshake_headers: HeadersKept,
}

/// Limits on Socket.IO peers that are not admitted yet. Peers of bare endpoints are admitted by their handshake.
#[derive(Clone, Debug)]
pub struct UnadmittedLimits {
    /// What admits a peer.
    pub admitted_by: AdmittedBy,
    /// Largest message, body of a POST or packet with its attachments, in bytes, where the endpoint's own limit is not
    /// smaller. 64 KiB.
    pub message_bytes_max: usize,
    /// What all unadmitted peers may pin together with unfinished messages and packets, in bytes; the one that exceeds it
    /// is closed. 64 MiB.
    pub pinned_bytes_max: usize,
}

impl Default for UnadmittedLimits {
    fn default() -> Self {
        Self { admitted_by: AdmittedBy::Connect, message_bytes_max: 64 << 10, pinned_bytes_max: 64 << 20 }
    }
}

/// What admits a Socket.IO peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmittedBy {
    /// Its first namespace.
    #[default]
    Connect,
    /// [`Command::Admit`](super::Command::Admit): namespaces are open to clients that have not logged in.
    Application,
}

/// Which header fields of a handshake are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadersKept {
    /// Every header field of the request.
    #[default]
    All,
    /// Those of these names, in lower case.
    Listed(Vec<String>),
}

impl HeadersKept {
    /// Whether fields of this name, in lower case, are kept.
    pub fn keeps(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Listed(names) => names.iter().any(|kept| kept == name),
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            sessions_max: 1_000_000,
            namespaces_per_session_max: 32,
            namespace_bytes_max: 512,
            rooms_per_socket_max: 10_000,
            room_bytes_max: 1024,
            attachments_max: 10,
            packet_bytes_max: 64 << 20,
            json_depth_max: 128,
            unanswered_max: 256,
            unanswered_bytes_max: 16 << 20,
            acks_per_socket_max: 10_000,
            queue_soft_bytes: 1 << 20,
            queue_bytes_max: 32 << 20,
            close_timeout: Duration::from_secs(5),
            partial_timeout: Duration::from_secs(60),
            unadmitted: UnadmittedLimits::default(),
            handshake_headers: HeadersKept::All,
        }
    }
}

const SPAN_MAX: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Server, Start};
    use crate::time::{Instant, WallTime};

    #[test]
    fn the_closest_endpoint_serves_a_path() {
        let below = |path: &str| Endpoint { path_match: PathMatch::Below, ..Endpoint::web_socket(path) };
        let config =
            Config::new([Endpoint::web_socket("/a"), below("/a/"), Endpoint::web_socket("/a/b"), below("/a/b")]);
        assert_eq!(config.check(), Ok(()));
        let (now, wall) = (Instant::from_millis(0), WallTime::from_unix_millis(0));
        let server = Server::new(config, Start { node: 0, now, wall, seed: [0; 32] }).unwrap();
        let routes = ["/a", "/a/", "/a/x", "/a/b", "/a/b/x/y/", "/a/bc", "/ab", "/"].map(|path| server.route(path));
        assert_eq!(
            routes.map(|endpoint| endpoint.map(EndpointId::index)),
            [Some(0), Some(0), Some(1), Some(2), Some(3), Some(1), None, None]
        );
        let twice = Config::new([below("/a"), below("/a/")]);
        assert_eq!(twice.check(), Err(ConfigError::PathTwice));
    }

    #[test]
    fn each_error_has_a_text_of_its_own() {
        let errors = [
            ConfigError::PathWithoutSlash,
            ConfigError::PathTwice,
            ConfigError::SpanOutOfRange,
            ConfigError::NamespaceWithoutSlash,
            ConfigError::SoftLimitAboveHard,
            ConfigError::ClusterWithoutEndpoint,
        ];
        let words = ["start with '/'", "same path", "at most a day", "a namespace", "queue_soft_bytes", "the cluster"];
        for (error, word) in errors.iter().zip(words) {
            let text = error.to_string();
            assert!(text.contains(word), "{error:?}: {text}");
        }
    }

    #[test]
    fn every_span_of_an_endpoint_is_above_zero_and_at_most_a_day() {
        type Span = fn(&mut Endpoint) -> &mut Duration;
        fn engine(endpoint: &mut Endpoint) -> &mut EngineIo {
            match &mut endpoint.kind {
                EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => engine,
                EndpointKind::WebSocket(_) => panic!("bare"),
            }
        }
        let of_engine: [Span; 3] = [
            |endpoint| &mut engine(endpoint).ping_interval,
            |endpoint| &mut engine(endpoint).ping_timeout,
            |endpoint| &mut engine(endpoint).upgrade_timeout,
        ];
        let of_socket: Span = |endpoint| match &mut endpoint.kind {
            EndpointKind::SocketIo(_, socket) => &mut socket.connect_timeout,
            EndpointKind::EngineIo(_) | EndpointKind::WebSocket(_) => panic!("no Socket.IO"),
        };
        let of_stream: [Span; 2] = [
            |endpoint| match &mut endpoint.kind {
                EndpointKind::WebSocket(ws) => &mut ws.ping_interval,
                EndpointKind::EngineIo(_) | EndpointKind::SocketIo(..) => panic!("not bare"),
            },
            |endpoint| match &mut endpoint.kind {
                EndpointKind::WebSocket(ws) => &mut ws.ping_timeout,
                EndpointKind::EngineIo(_) | EndpointKind::SocketIo(..) => panic!("not bare"),
            },
        ];
        let day = Duration::from_secs(86_400);
        let check = |endpoint: fn() -> Endpoint, span: Span| {
            for (value, result) in [
                (Duration::ZERO, Err(ConfigError::SpanOutOfRange)),
                (day, Ok(())),
                (day + Duration::from_nanos(1), Err(ConfigError::SpanOutOfRange)),
            ] {
                let mut endpoint = endpoint();
                *span(&mut endpoint) = value;
                assert_eq!(Config::new([endpoint]).check(), result, "{value:?}");
            }
        };
        of_engine.iter().chain([&of_socket]).for_each(|span| check(|| Endpoint::socket_io("/"), *span));
        of_engine.iter().for_each(|span| check(|| Endpoint::engine_io("/"), *span));
        of_stream.iter().for_each(|span| check(|| Endpoint::web_socket("/"), *span));
    }

    #[test]
    fn paths_namespaces_and_limits_are_checked() {
        assert_eq!(Config::new([Endpoint::engine_io("a")]).check(), Err(ConfigError::PathWithoutSlash));
        let mut config = Config::new([Endpoint::socket_io("/")]);
        let limits = &mut config.limits;
        limits.queue_soft_bytes = limits.queue_bytes_max;
        assert_eq!(config.check(), Ok(()), "as much as the hard limit");
        config.limits.queue_soft_bytes += 1;
        assert_eq!(config.check(), Err(ConfigError::SoftLimitAboveHard));
        let mut endpoint = Endpoint::socket_io("/");
        let EndpointKind::SocketIo(_, socket) = &mut endpoint.kind else { panic!("Socket.IO") };
        socket.namespaces = vec![NamespaceRule { pattern: Pattern::Exact("a".into()), admission: Admission::Open }];
        assert_eq!(Config::new([endpoint]).check(), Err(ConfigError::NamespaceWithoutSlash));
    }

    #[test]
    fn header_fields_are_kept_by_their_names() {
        let listed = HeadersKept::Listed(vec!["cookie".into()]);
        assert!(HeadersKept::All.keeps("cookie") && HeadersKept::All.keeps("x-any"));
        assert!(listed.keeps("cookie") && !listed.keeps("x-any"));
    }
}
