//! What the application is told before it starts.
//!
//! Owns: intervals, limits and their defaults, and the rule that there is no login without a secret of one's own.
//! Must never know: a login.

use std::fmt;
use std::time::Duration;

use super::documents::DocumentSettings;
pub use super::release::Release;
use super::wire;
use roomcast_auth::{Claim, Dates, Key, Policy, SetupError, Verifier};
use roomcast_core::cluster::EmitWatch;
use roomcast_core::server::config::{
    Admission, EndpointKind, EngineIo, ErrorStyle, NamespaceRule, Origins, PathMatch, Pattern, SocketIo, WebSocket,
};
use roomcast_core::server::{Endpoint, EndpointId, Scope};

/// Everything an [`OpenWebUi`](super::OpenWebUi) is built from. There is no `Default`, since a secret has none: begin with
/// [`Settings::new`] and change fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Where the application is served. Sockets elsewhere are not its own.
    pub scope: Scope,
    /// Which release of Open WebUI is beside this: its front end, its backend and its tables. 0.6.
    pub release: Release,
    /// Whether a socket needs a login to be let in.
    pub auth: AuthRequirement,
    /// Checks tokens.
    pub verifier: Verifier,
    /// Time in which a store must answer. 5 s.
    pub query_timeout: Duration,
    /// Interval at which a login is checked with the store, less up to a quarter so that logins that began together are
    /// not checked together. 60 s.
    pub recheck_interval: Duration,
    /// The same while the store has not answered, and the least time between two reads of a user's channels that a
    /// client's event leads to. 5 s.
    pub recheck_retry: Duration,
    /// With [`Release::V0_12`]: time for which a login whose token was found good is not asked about again before an event
    /// of its socket. 5 s.
    pub confirm_span: Duration,
    /// Time after `channel:created` when a user's channels are read once more: Open WebUI opens a hidden direct message
    /// again only after it has told so. 1 s.
    pub channels_settle: Duration,
    /// Time between two typing events of one socket to one room: two a second. 500 ms.
    pub typing_span: Duration,
    /// Time between two writes of when a user last read a channel or chat. 1 s.
    pub read_span: Duration,
    /// Time between two writes of when a user was last active. 10 s.
    pub touch_span: Duration,
    /// Time between two writes to one chat. 250 ms.
    pub message_span: Duration,
    /// Time for which a model is in use after a `usage` event. 3 s.
    pub usage_expiry: Duration,
    /// Time after its last event for which a login is active. 120 s.
    pub idle_after: Duration,
    /// Time after which a write that failed is tried again; it doubles. 1 s.
    pub write_retry_first: Duration,
    /// The longest such time. 30 s.
    pub write_retry_max: Duration,
    /// Time after its first failure when a write is given up. An hour.
    pub write_age_max: Duration,
    /// The longest that a call may wait for its answer; a request for more is refused. 5 min.
    pub call_timeout_max: Duration,
    /// Time between two looks for sessions that others have left in the pool. 30 s.
    pub reap_interval: Duration,
    /// Time in which other nodes must say which sockets they have. 2 s.
    pub fetch_timeout: Duration,
    /// Whether [`Notice`](super::Notice)s are made.
    pub notices: Notices,
    /// Whether sessions and uses of models are stored where other processes look for them.
    pub sharing: SessionSharing,
    /// Whether there are conversations of encrypted channels, with [`Release::V0_12`]. They are served.
    pub encrypted_channels: EncryptedChannels,
    /// Time between two looks at conversations of encrypted channels. 30 s.
    pub talk_interval: Duration,
    /// Whether admins may read the chats of others, as 0.12.4's `ENABLE_ADMIN_CHAT_ACCESS` says (on there).
    pub admin_chats: AdminChats,
    /// Where documents are served by y-protocols, if they are: an endpoint of
    /// [`protocol_endpoint`](Settings::protocol_endpoint).
    pub yjs_endpoint: Option<EndpointId>,
    /// How documents are kept and served. [`DocumentSettings::of`] are the defaults with another release.
    pub documents: DocumentSettings,
    /// Bounds on everything that peers can make grow.
    pub limits: AppLimits,
}

impl Settings {
    /// Open WebUI at the root namespace of an endpoint: tokens are signed with `secret` by HS256 and have an `id`.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] for a secret that is none: empty, or the one that is printed in Open WebUI's source.
    pub fn new(endpoint: EndpointId, secret: &[u8]) -> Result<Self, SettingsError> {
        if secret == PUBLISHED_SECRET {
            return Err(SettingsError::SecretPublished);
        }
        let policy = Policy { required: vec![Claim::Id], dates: Dates::NumberOrDigits, ..Policy::default() };
        let key = Key::hmac(secret).map_err(SettingsError::Secret)?;
        let verifier = Verifier::new(policy, vec![key]).map_err(SettingsError::Secret)?;
        Ok(Self::with_verifier(endpoint, verifier))
    }

    /// The same with a verifier of one's own. Its tokens must have the claim `id`.
    pub fn with_verifier(endpoint: EndpointId, verifier: Verifier) -> Self {
        Self {
            scope: Scope { endpoint, namespace: "/".into() },
            release: Release::V0_6,
            auth: AuthRequirement::Optional,
            verifier,
            query_timeout: Duration::from_secs(5),
            recheck_interval: Duration::from_secs(60),
            recheck_retry: Duration::from_secs(5),
            confirm_span: Duration::from_secs(5),
            channels_settle: Duration::from_secs(1),
            typing_span: Duration::from_millis(500),
            read_span: Duration::from_secs(1),
            touch_span: Duration::from_secs(10),
            message_span: Duration::from_millis(250),
            usage_expiry: Duration::from_secs(3),
            idle_after: Duration::from_secs(120),
            write_retry_first: Duration::from_secs(1),
            write_retry_max: Duration::from_secs(30),
            write_age_max: Duration::from_secs(3600),
            call_timeout_max: Duration::from_secs(300),
            reap_interval: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(2),
            notices: Notices::Off,
            sharing: SessionSharing::Off,
            encrypted_channels: EncryptedChannels::Served,
            talk_interval: Duration::from_secs(30),
            admin_chats: AdminChats::Readable,
            yjs_endpoint: None,
            documents: DocumentSettings::default(),
            limits: AppLimits::default(),
        }
    }

    /// An endpoint that serves it, with 0.12.4's largest message: 16 MiB, as notes grow beyond a megabyte.
    pub fn endpoint(&self, path: impl Into<String>) -> Endpoint {
        let engine = Self::engine();
        let socket = SocketIo { namespaces: vec![self.namespace_rule()], ..SocketIo::default() };
        let kind = EndpointKind::SocketIo(engine, socket);
        Endpoint { path: path.into(), path_match: PathMatch::Exact, origins: Origins::Any, kind }
    }

    /// An endpoint that serves documents by y-protocols to providers of y-websocket, at `path/{document}?token=…`. To be
    /// named by [`yjs_endpoint`](Settings::yjs_endpoint).
    pub fn protocol_endpoint(&self, path: impl Into<String>) -> Endpoint {
        let kind = EndpointKind::WebSocket(self.protocol());
        Endpoint { path: path.into(), path_match: PathMatch::Below, origins: Origins::Any, kind }
    }

    /// That endpoint's WebSocket, whose messages are as long as an update may be.
    pub fn protocol(&self) -> WebSocket {
        let message_bytes_max = self.documents.machine.limits.resync_bytes_max + MESSAGE_HEAD_BYTES_MAX;
        WebSocket { message_bytes_max, ..WebSocket::default() }
    }

    /// That endpoint's Engine.IO, which speaks as python-engineio does.
    pub fn engine() -> EngineIo {
        EngineIo {
            max_payload_bytes: PAYLOAD_BYTES_MAX,
            post_answer: "OK",
            errors: ErrorStyle::Text,
            ..EngineIo::default()
        }
    }

    /// How the namespace is to be admitted at its endpoint.
    pub fn namespace_rule(&self) -> NamespaceRule {
        let admission = match self.auth {
            AuthRequirement::Optional => Admission::Open,
            AuthRequirement::Required => Admission::Ask,
        };
        NamespaceRule { pattern: Pattern::Exact(self.scope.namespace.to_string()), admission }
    }
}

impl Release {
    /// What [`ClusterSettings::watches`](roomcast_core::cluster::ClusterSettings::watches) should be on a bus with Open
    /// WebUI's processes: for a new direct message or group they tell its users, and put only their own sockets into its
    /// room.
    pub fn watches(self) -> Vec<EmitWatch> {
        match self {
            Self::V0_6 => Vec::new(),
            Self::V0_12 => vec![EmitWatch { name: wire::CHANNEL_EVENTS, room_start: wire::USER_ROOM.into() }],
        }
    }
}

/// Whether a socket needs a login to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthRequirement {
    /// Sockets are let in without a login, and get nothing, as Open WebUI's front end needs.
    Optional,
    /// Sockets without a good token are answered CONNECT_ERROR. The namespace must be admitted by [`Settings::namespace_rule`].
    Required,
}

/// Whether the rest of the program is told of logins and active users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// They are made.
    On,
    /// They are not, as in Open WebUI.
    Off,
}

/// Whether sessions and uses of models are stored where other processes look for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionSharing {
    /// A login waits until its session is stored, and has no room before, so that a socket that is seen in a room has a user.
    On,
    /// The same with Open WebUI's processes of 0.12, which share the session pool: who is in a chat, and lines of direct
    /// connections.
    WithPool,
    /// This is the only process.
    Off,
}

/// Whether there are conversations of encrypted channels. All of it is by WebSocket alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptedChannels {
    /// Their packets are passed on.
    Served,
    /// The same, for sockets that have come by TLS, as `X-Forwarded-Proto` of their request says.
    ServedByTls,
    /// All of it is refused, as where what is received is logged.
    Refused,
}

/// Whether admins may read the chats of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminChats {
    /// Admins may read all chats.
    Readable,
    /// Admins may read only their own chats.
    Closed,
}

/// Bounds on everything that peers can make grow.
#[derive(Clone, Copy, Debug)]
pub struct AppLimits {
    /// Length of an id or name from a peer, in bytes. 256.
    pub id_bytes_max: usize,
    /// Events of one socket that may wait for a query, 16,384 by default. One more ends its connection. Its reading is
    /// paused long before, see
    /// [`ServerLimits::unanswered_max`](roomcast_core::server::config::ServerLimits::unanswered_max).
    pub held_events_max: usize,
    /// Channels whose rooms one socket is put into. 4,096.
    pub channels_per_socket_max: usize,
    /// Notes whose rooms one socket may join. 256.
    pub notes_per_socket_max: usize,
    /// Chats whose rooms one socket may join. 64.
    pub chats_per_socket_max: usize,
    /// Models that one socket may use at once. 16.
    pub models_per_socket_max: usize,
    /// Channels, threads and chats in which typing of one socket is told at once. 16.
    pub typing_places_per_socket_max: usize,
    /// Length of the payload of an event other than `ydoc:document:update` and `ydoc:awareness:update`, in bytes. A longer
    /// one is not parsed. 64 KiB.
    pub event_bytes_max: usize,
    /// Events of one socket that ask a store or are told to a whole room (`user-join`, `join-channels`, `join-note`,
    /// `events:chat`), in one burst. More are answered as refused. 100.
    pub dear_events_burst: u32,
    /// The same, for each second after the burst. 20.
    pub dear_events_per_second: u32,
    /// Calls that wait for their answer. 10,000.
    pub calls_max: usize,
    /// Users in one question for channels, or in one write of when they were last active. 64.
    pub users_per_question_max: usize,
    /// Rows that wait to be written. 100,000.
    pub writes_max: usize,
    /// Bytes of changes to messages that wait to be written. 64 MiB.
    pub change_bytes_max: usize,
    /// The same of one chat. 8 MiB.
    pub change_bytes_per_chat_max: usize,
}

impl Default for AppLimits {
    fn default() -> Self {
        Self {
            id_bytes_max: 256,
            held_events_max: 16_384,
            channels_per_socket_max: 4096,
            notes_per_socket_max: 256,
            chats_per_socket_max: 64,
            models_per_socket_max: 16,
            typing_places_per_socket_max: 16,
            event_bytes_max: 64 << 10,
            dear_events_burst: 100,
            dear_events_per_second: 20,
            calls_max: 10_000,
            users_per_question_max: 64,
            writes_max: 100_000,
            change_bytes_max: 64 << 20,
            change_bytes_per_chat_max: 8 << 20,
        }
    }
}

/// Why there can be no [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The secret cannot be used as a key.
    Secret(SetupError),
    /// The secret is the published default of Open WebUI 0.6.41.
    SecretPublished,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(error) => error.fmt(f),
            Self::SecretPublished => f.write_str("the secret is a published default"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// What Open WebUI 0.6.41 signs with if it is given no secret.
const PUBLISHED_SECRET: &[u8] = b"t0p-s3cr3t";
/// What y-protocols puts around an update.
const MESSAGE_HEAD_BYTES_MAX: usize = 16;
const PAYLOAD_BYTES_MAX: usize = 16 << 20;
