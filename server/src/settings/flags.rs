//! Flags, and the `ROOMCAST_*` variables that stand in for them.
//!
//! Owns: their names, ranges, defaults and help texts. Must never know: Open WebUI's variables, or what a value is used for.

use std::net::IpAddr;
use std::num::NonZeroU16;

use http::HeaderName;
use roomcast_stores::SUPPORTED_VERSIONS;
use roomcast_tokio::{IpNet, ServerLimits, TrustedProxies};
use tracing_subscriber::filter::Targets;

use crate::probe::{HealthProbe, ProbeFailure};

/// The real-time layer of Open WebUI as a program of its own: sessions, channels, chats, model usage and collaborative
/// notes over Socket.IO, on Open WebUI's database.
///
/// Without WEBUI_SECRET_KEY it runs as a demonstration on a loopback address, with users and tokens that it makes up.
// A value's name is its variable's, so that messages about it name both.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "roomcast", version, after_long_help = after_help())]
pub struct Flags {
    /// Address to listen on.
    #[arg(long, env = "ROOMCAST_HOST", value_name = "ROOMCAST_HOST", default_value = "127.0.0.1")]
    pub(super) host: String,
    /// Port to listen on; 0 lets the system choose a free one.
    #[arg(long, env = "ROOMCAST_PORT", value_name = "ROOMCAST_PORT", default_value_t = 8080)]
    pub(super) port: u16,
    /// Path of the Socket.IO endpoint.
    #[arg(long, env = "ROOMCAST_PATH", value_name = "ROOMCAST_PATH", default_value = "/ws/socket.io", value_parser = path)]
    pub(super) path: String,
    /// Path of the endpoint for y-websocket providers, which connect to PATH/{document}.
    #[arg(long, env = "ROOMCAST_YJS_PATH", value_name = "ROOMCAST_YJS_PATH", default_value = "/ws/yjs", value_parser = path)]
    pub(super) yjs_path: String,
    /// Where users, channels and notes are read: Open WebUI's database, or a file of roomcast's own (roomcast.db in
    /// DATA_DIR), which another program has to fill.
    #[arg(long, env = "ROOMCAST_STORE", value_name = "ROOMCAST_STORE", default_value = "open-webui")]
    pub(super) store: StoreFlag,
    /// Release of Open WebUI beside this, whose front end, rights and tables are followed: the one that the tables tell,
    /// unless it is named.
    #[arg(long, env = "ROOMCAST_RELEASE", value_name = "ROOMCAST_RELEASE", default_value = "auto")]
    pub(super) release: ReleaseFlag,
    /// Whether sockets without a valid token are let in, as Open WebUI's front end needs before the login, or refused.
    #[arg(long, env = "ROOMCAST_ENTRY", value_name = "ROOMCAST_ENTRY", default_value = "anyone")]
    pub(super) entry: EntryFlag,
    /// Whether messages on WebSockets are compressed for clients that offer it (permessage-deflate): less traffic for more
    /// processor time.
    #[arg(long, env = "ROOMCAST_COMPRESSION", value_name = "ROOMCAST_COMPRESSION", default_value = "off")]
    pub(super) compression: CompressionFlag,
    /// Whether there is a page at / that shows the figures and who is connected. The demonstration has one, to try things
    /// out; in production it is off, and if it is on it wants the key of the HTTP API.
    #[arg(long, env = "ROOMCAST_PAGE", value_name = "ROOMCAST_PAGE")]
    pub(super) page: Option<PageFlag>,
    /// Asks the roomcast that runs at this host and port, instead of starting one, and ends with 0 if it is well and with 1
    /// if not: the health check of a container.
    #[arg(long, value_name = "PAGE")]
    pub(super) probe: Option<HealthProbe>,
    /// What is logged to standard error: a level, or levels by component such as info,roomcast_stores=debug.
    #[arg(long, env = "ROOMCAST_LOG", value_name = "ROOMCAST_LOG")]
    pub(super) log: Option<Targets>,
    /// Seconds between SIGTERM and the shutdown, during which /ready answers 503 and clients are still served.
    #[arg(long, env = "ROOMCAST_DRAIN_SECONDS", value_name = "ROOMCAST_DRAIN_SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub(super) drain_seconds: u64,
    /// Seconds that clients then have to receive what is queued for them.
    #[arg(long, env = "ROOMCAST_GRACE_SECONDS", value_name = "ROOMCAST_GRACE_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub(super) grace_seconds: u64,
    /// Seconds to wait at the start for another roomcast that still has roomcast.db open, as in a rolling restart.
    #[arg(long, env = "ROOMCAST_HANDOVER_SECONDS", value_name = "ROOMCAST_HANDOVER_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub(super) handover_seconds: u64,
    /// Seconds after which the sessions of a node that has crashed are removed from Redis by another one.
    #[arg(long, env = "ROOMCAST_LEASE_SECONDS", value_name = "ROOMCAST_LEASE_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) lease_seconds: u64,
    /// Threads that serve clients, each with a share of them. One is enough for most: see docs/performance.md.
    #[arg(long, env = "ROOMCAST_SHARDS", value_name = "ROOMCAST_SHARDS", default_value_t = NonZeroU16::MIN, value_parser = clap::value_parser!(NonZeroU16))]
    pub(super) shards: NonZeroU16,
    /// Clients at one time; more are answered 503.
    #[arg(long, env = "ROOMCAST_SESSIONS_MAX", value_name = "ROOMCAST_SESSIONS_MAX", default_value_t = ServerLimits::default().sessions_max, value_parser = at_least::<1>)]
    pub(super) sessions_max: usize,
    /// Connections that one client address may have at one time, an IPv4 address or an IPv6 /64; more are refused with 429 or
    /// closed. Behind a proxy, ROOMCAST_TRUSTED_PROXIES has to name it, or all clients share its address. Without this
    /// there is no limit.
    #[arg(long, env = "ROOMCAST_CONNECTIONS_PER_ADDRESS_MAX", value_name = "ROOMCAST_CONNECTIONS_PER_ADDRESS_MAX", value_parser = at_least::<1>)]
    pub(super) connections_per_address_max: Option<usize>,
    /// Addresses or networks of proxies that are believed when they say which address a client has, with ',' between
    /// them, such as 127.0.0.1,10.0.0.0/8.
    #[arg(long, env = "ROOMCAST_TRUSTED_PROXIES", value_name = "ROOMCAST_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub(super) trusted_proxies: Vec<IpNet>,
    /// Header in which these proxies say it: each adds the address that it got the request from at the end of a list.
    #[arg(long, env = "ROOMCAST_CLIENT_ADDRESS_HEADER", value_name = "ROOMCAST_CLIENT_ADDRESS_HEADER", default_value_t = TrustedProxies::default().header)]
    pub(super) client_address_header: HeaderName,
    /// Bytes queued for one client above which it is disconnected as too slow.
    #[arg(long, env = "ROOMCAST_QUEUE_BYTES_MAX", value_name = "ROOMCAST_QUEUE_BYTES_MAX", default_value_t = ServerLimits::default().queue_bytes_max, value_parser = at_least::<65_536>)]
    pub(super) queue_bytes_max: usize,
    /// Connections of y-websocket providers that one user may have at one time.
    #[arg(long, env = "ROOMCAST_PROVIDERS_PER_USER_MAX", value_name = "ROOMCAST_PROVIDERS_PER_USER_MAX", default_value_t = 64, value_parser = at_least::<1>)]
    pub(super) providers_per_user_max: usize,
    /// Largest body of a request to the HTTP API, in bytes: by default the largest message of a client, 16 MiB, and what
    /// stands around it.
    #[arg(long, env = "ROOMCAST_API_BYTES_MAX", value_name = "ROOMCAST_API_BYTES_MAX", default_value_t = (16 << 20) + (64 << 10), value_parser = at_least::<1024>)]
    pub(super) api_bytes_max: usize,
}

impl Flags {
    /// Looks at a roomcast that runs, if that is what the program was started for.
    pub fn probe(&self) -> Option<Result<(), ProbeFailure>> {
        Some(self.probe?.ask(&self.host, self.port))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EntryFlag {
    Anyone,
    Authenticated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum CompressionFlag {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PageFlag {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ReleaseFlag {
    Auto,
    #[value(name = "0.6")]
    V0_6,
    #[value(name = "0.12")]
    V0_12,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum StoreFlag {
    OpenWebui,
    Own,
}

/// A path in the form that endpoints are compared in: absolute, without a trailing slash.
fn path(text: &str) -> Result<String, String> {
    let Some(rest) = text.strip_prefix('/') else { return Err("it must start with '/'".to_owned()) };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['?', '#', '%', '\\']) {
        return Err("it must be printable ASCII without blanks, '?', '#', '%' and '\\'".to_owned());
    }
    let path = text.trim_end_matches('/');
    if path.is_empty() {
        return Err("it must not be the root".to_owned());
    }
    if path.split('/').skip(1).any(|segment| ["", ".", ".."].contains(&segment)) {
        return Err("its segments must not be empty, '.' or '..'".to_owned());
    }
    if let Some(page) = PAGES.iter().find(|page| is_at_or_below(path, page)) {
        return Err(format!("{page} is one of roomcast's own pages"));
    }
    Ok(path.to_owned())
}

/// Whether `path` is `root` or lies below it.
pub(super) fn is_at_or_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn at_least<const MIN: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= MIN => Ok(number),
        Ok(_) | Err(_) => Err(format!("it must be a whole number, at least {MIN}")),
    }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse())
        .map_err(|_| "it must be an address like 10.0.0.1 or a network like 10.0.0.0/8".to_owned())
}

fn after_help() -> String {
    format!(
        "\
Variables of Open WebUI that roomcast reads, so that one environment serves both programs:
  WEBUI_SECRET_KEY, WEBUI_JWT_SECRET_KEY
          Secret that tokens are signed with; at least 8 bytes
  WEBUI_SECRET_KEY_FILE
          File with that secret, where neither is set [default: .webui_secret_key in the current folder, if it is there]
  DATABASE_URL
          sqlite:////path/webui.db or postgresql://user:password@host:port/name [default: webui.db in DATA_DIR]
  DATABASE_TYPE, DATABASE_USER, DATABASE_PASSWORD, DATABASE_HOST, DATABASE_PORT, DATABASE_NAME
          The same in parts; all of them together take the place of DATABASE_URL
  DATABASE_SCHEMA
          Schema of the tables in PostgreSQL
  DATA_DIR
          Folder of webui.db, and of roomcast.db with what roomcast keeps itself [default: the current folder]
  ENABLE_WEBSOCKET_SUPPORT
          True: WebSocket only; False: long polling only [default: both]
  WEBSOCKET_SERVER_PING_INTERVAL, WEBSOCKET_SERVER_PING_TIMEOUT
          Seconds [default: 25 and 20]
  WEBSOCKET_EVENT_CALLER_TIMEOUT
          Seconds that a client has to answer a call [default: 60]
  WEBSOCKET_HEARTBEAT_INTERVAL
          Seconds between the heartbeats of a front end of 0.12, from 5 to 90: four of them, and 120 at least, are the time
          after which a session no longer counts [default: 30]
  CORS_ALLOW_ORIGIN, CORS_ALLOW_CUSTOM_SCHEME
          Origins of web pages that may connect, and schemes besides http and https among them [default: * and none]
  JWT_EXPIRES_IN
          Lifetime of tokens, such as 4w or 12h, or -1 for no end; /api/revoke goes by it [default: 4w]
  ENABLE_ADMIN_CHAT_ACCESS
          Whether admins may read the chats of others [default: True]
  USER_PERMISSIONS_FEATURES_CHANNELS
          Whether users may use channels where the configuration in the database does not say [default: True]
  ENABLE_CHANNELS, ENABLE_ENCRYPTED_CHANNELS
          Whether there are channels, and encrypted ones, where the configuration in the database does not say [default:
          False]
  ENV, WEBSOCKET_SERVER_LOGGING, WEBSOCKET_SERVER_ENGINEIO_LOGGING
          With prod, encrypted channels need TLS; where Open WebUI would log messages, there are none
  WEBSOCKET_MANAGER
          redis: other nodes and Open WebUI's own processes are heard over Redis, and find sessions and models in use
          there [default: this is the only node]
  WEBSOCKET_REDIS_URL, WEBSOCKET_SENTINEL_HOSTS, WEBSOCKET_SENTINEL_PORT, WEBSOCKET_REDIS_CLUSTER
          That Redis [default: REDIS_URL, REDIS_CLUSTER]
  WEBSOCKET_REDIS_ROOM_CHANNELS
          Whether each room has a channel of its own there [default: False, with --release 0.12 True]
  REDIS_URL, REDIS_SENTINEL_HOSTS, REDIS_SENTINEL_PORT, REDIS_CLUSTER, REDIS_KEY_PREFIX
          Where Open WebUI keeps revoked tokens [default: nowhere; the prefix is open-webui]
  GLOBAL_LOG_LEVEL, SOCKET_LOG_LEVEL
          Python's names of levels [default: INFO]

roomcast's own:
  ROOMCAST_API_KEY
          Key of the HTTP API, at least 16 bytes; without it the API is off

Supported databases: those of Open WebUI {SUPPORTED_VERSIONS}."
    )
}

/// Paths that roomcast answers itself.
const PAGES: [&str; 5] = ["/health", "/ready", "/metrics", "/api", "/page"];

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn flags_that_cannot_be_meant_are_refused() {
        for flags in [
            ["--sessions-max", "0"],
            ["--sessions-max", "-1"],
            ["--queue-bytes-max", "0"],
            ["--api-bytes-max", "0"],
            ["--path", "ws"],
            ["--path", ""],
            ["--path", "/"],
            ["--path", "//"],
            ["--path", "/ws/../metrics"],
            ["--path", "/metrics"],
            ["--path", "/metrics/"],
            ["--path", "/api/socket.io"],
            ["--path", "/ws\r\nx: y"],
            ["--path", "/ws socket"],
            ["--path", "/ws?x"],
            ["--path", "/ws%2f"],
            ["--path", "/wß"],
            ["--yjs-path", "/ready"],
            ["--drain-seconds", "3601"],
            ["--shards", "0"],
            ["--shards", "65536"],
            ["--store", "mine"],
            ["--connections-per-address-max", "0"],
            ["--trusted-proxies", "*"],
            ["--trusted-proxies", "10.0.0.1,proxy.example"],
            ["--trusted-proxies", "10.0.0.0/33"],
            ["--client-address-header", "x forwarded"],
        ] {
            assert!(Flags::try_parse_from(["roomcast", flags[0], flags[1]]).is_err(), "{flags:?}");
        }
        for (path, taken) in [("/ws/socket.io/", "/ws/socket.io"), ("/apis", "/apis"), ("/a.b/c~d", "/a.b/c~d")] {
            assert_eq!(Flags::try_parse_from(["roomcast", "--path", path]).unwrap().path, taken);
        }
    }

    #[test]
    fn the_help_names_the_supported_versions_and_every_variable() {
        let help = Flags::command().render_long_help().to_string();
        for part in [SUPPORTED_VERSIONS, "DATABASE_HOST", "WEBUI_SECRET_KEY_FILE", "ROOMCAST_API_KEY", "--store"] {
            assert!(help.contains(part), "{part}");
        }
    }
}
