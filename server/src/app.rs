//! Endpoints, application and pages, put together.
//!
//! Owns: which setting goes where. Must never know: flags, sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use roomcast_openwebui::{
    AuthRequirement, DocumentSettings, Notice, Notices, OpenWebUi, Release, SessionSharing, Settings as Rules,
    SettingsError, Writers,
};
use roomcast_tokio::core::server::EndpointId;
use roomcast_tokio::core::server::config::WebSocket;
use roomcast_tokio::{AppHandle, Args, Builder, EngineIo, EventName, Handle, PathMatch, Refusal, Socket};

use crate::additions::Additions;
use crate::api::{Api, Means};
use crate::bridge::{Bridge, BridgeDesk};
use crate::bus::Bus;
use crate::health::Health;
use crate::metrics::{self, Metrics};
use crate::page::PageAccess;
use crate::realtime::Realtime;
use crate::settings::{Secret, Settings};
use crate::shard_apps::ShardApps;
use crate::store::StoreClient;

/// Parts of a shard besides its settings.
pub struct Parts {
    /// The key that signs tokens.
    pub secret: Secret,
    /// The key of the HTTP API.
    pub api_key: Option<Secret>,
    /// Answers the application's questions.
    pub store: StoreClient,
    /// What the program counts itself.
    pub metrics: Metrics,
    /// Responses to `/health` and `/ready`.
    pub health: Health,
    /// The page that shows the system at work, if there is one.
    pub page: Option<PageAccess>,
    /// Randomness from the operating system.
    pub seed: [u8; 32],
    /// Randomness by which this process is told from the one before it.
    pub instance: [u8; 16],
    /// Release of Open WebUI beside this.
    pub release: Release,
    /// The way to other nodes.
    pub bus: Option<Bus>,
    /// The application, in all shards.
    pub shards: ShardApps,
    /// What the bridges of all shards share.
    pub bridge: BridgeDesk,
}

/// Puts the server together; the caller starts it.
///
/// # Errors
///
/// The secret cannot be used as one.
pub fn builder(settings: &Settings, parts: Parts, additions: &Additions) -> Result<Builder<OpenWebUi>, SettingsError> {
    let Parts { secret, api_key, store, metrics, health, page, seed, instance, release, bus, shards, bridge } = parts;
    let mut rules = Rules::new(EndpointId::new(0), secret.reveal().as_bytes())?;
    rules.auth = settings.entry;
    rules.yjs_endpoint = Some(EndpointId::new(1));
    follow_release(&mut rules, release, settings);
    let is_alone = bus.is_none() && settings.shards.get() == 1;
    rules.documents.machine.writers = if is_alone { Writers::One } else { Writers::Several };
    rules.admin_chats = settings.admin_chats;
    rules.encrypted_channels = settings.encrypted_channels;
    share(&mut rules, &store, settings);
    // The setting is not cut short by the application's own limit.
    rules.call_timeout_max = rules.call_timeout_max.max(settings.call_timeout);
    // All of these are logged, except for those that are sent regardless of what is set here.
    if tracing::enabled!(tracing::Level::DEBUG) {
        rules.notices = Notices::On;
    }
    let protocol = WebSocket { compression: settings.compression, ..rules.protocol() };
    rules.documents.peers_per_user_max = settings.providers_per_user_max;
    let api = Api {
        key: api_key.map(Arc::new),
        means: Means { store: store.clone(), call_timeout_max: rules.call_timeout_max, shards: shards.clone() },
        call_timeout: settings.call_timeout,
        metrics: metrics.api.clone(),
    };
    let builder = Builder::with_app(OpenWebUi::new(rules, seed), move |query| store.ask(query));
    shards.add(builder.app_link());
    let builder = Realtime::provide(builder);
    let bridge = Bridge::new(api.clone(), builder.app_link(), instance, bridge);
    let forward = bridge.clone();
    let builder = builder
        .on_notice(log_notice)
        .limits(settings.limits.clone())
        .http_limits(settings.http_limits)
        .trusted_proxies(settings.proxies.clone())
        .socket_io(settings.path.as_str(), |io| {
            io.origins = settings.origins.clone();
            io.engine = EngineIo {
                transports: settings.transports,
                ping_interval: settings.ping_interval,
                ping_timeout: settings.ping_timeout,
                compression: settings.compression,
                ..Rules::engine()
            };
            io.namespace("/", |ns| {
                match settings.entry {
                    AuthRequirement::Optional => {}
                    // Decided by the application, before this is asked.
                    AuthRequirement::Required => ns.admit(async || Err::<(), _>(Refusal::new("Not authenticated"))),
                }
                additions.register(ns);
                ns.on_any(move |socket: Socket, event: EventName, args: Args| {
                    let bridge = forward.clone();
                    async move { unhandled(release, bridge.forward(socket, event, args).await) }
                });
            });
        })
        .web_socket(settings.yjs_path.as_str(), |yjs| {
            yjs.origins = settings.origins.clone();
            yjs.path_match = PathMatch::Below;
            yjs.ws = protocol;
        });
    let builder = with_bus(builder, bus);
    let builder = pages(additions.serve(api.routes(bridge.routes(builder)), &api), health, (metrics, shards));
    Ok(with_page(builder, page, &settings.path))
}

/// What other processes are told.
fn share(rules: &mut Rules, store: &StoreClient, settings: &Settings) {
    if let Some(sharing) = store.sharing() {
        // Also what a crashed node has left, as soon as its lease has ended.
        let lease = settings.redis.bus.as_ref().map_or(rules.reap_interval, |bus| bus.lease);
        rules.reap_interval = rules.reap_interval.min(lease);
        rules.sharing = if sharing.has_pool() { SessionSharing::WithPool } else { SessionSharing::On };
    }
}

/// What differs between releases of Open WebUI.
fn follow_release(rules: &mut Rules, release: Release, settings: &Settings) {
    rules.release = release;
    rules.documents = DocumentSettings::of(release);
    match release {
        Release::V0_6 => {}
        Release::V0_12 => {
            rules.recheck_interval = RECHECK_INTERVAL;
            rules.idle_after = settings.idle_after;
        }
    }
}

/// The ack of an event without a handler. Open WebUI 0.12 has one for every name, which returns nothing.
fn unhandled(release: Release, forwarded: Option<Args>) -> Option<Args> {
    match release {
        Release::V0_12 => Some(forwarded.unwrap_or_default()),
        Release::V0_6 => forwarded,
    }
}

/// Time between two checks of a login, as in Open WebUI 0.12.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Notices that an operator should hear of.
fn log_notice(notice: Notice) {
    match notice {
        Notice::Document(notice) => tracing::warn!(?notice, "a document"),
        Notice::WrongSecret { refused } => {
            tracing::warn!(refused, "tokens are signed with another secret than WEBUI_SECRET_KEY");
        }
        Notice::LoggedIn { sid, user, .. } => tracing::debug!(%sid, %user, "logged in"),
        Notice::LoggedOut { user, why, .. } => tracing::debug!(%user, ?why, "logged out"),
        Notice::TokenRefused { sid, refusal } => {
            tracing::debug!(sid = sid.map(|sid| sid.to_string()), reason = refusal.as_str(), "token refused");
        }
        Notice::UserActive { .. } | Notice::UserIdle { .. } => {}
        _ => {}
    }
}

fn with_bus(builder: Builder<OpenWebUi>, bus: Option<Bus>) -> Builder<OpenWebUi> {
    match bus {
        Some(Bus { settings, nodes }) => builder.redis(settings, nodes),
        None => builder,
    }
}

fn with_page(builder: Builder<OpenWebUi>, page: Option<PageAccess>, path: &str) -> Builder<OpenWebUi> {
    match page {
        Some(page) => page.routes(builder, path),
        None => builder,
    }
}

fn pages(builder: Builder<OpenWebUi>, health: Health, (metrics, shards): (Metrics, ShardApps)) -> Builder<OpenWebUi> {
    let ready = health.clone();
    builder
        .page("/health", move |_: Request<Bytes>, _: Handle| std::future::ready(health.health()))
        .page("/ready", move |_: Request<Bytes>, _: Handle| {
            let health = ready.clone();
            async move { health.ready().await }
        })
        .app_page("/metrics", move |_: Request<Bytes>, app: AppHandle<OpenWebUi>| {
            metrics::page(metrics.clone(), shards.clone(), app)
        })
}
