//! How the conformance server is set up from outside.
//!
//! Owns: arguments and environment. Must never know: what they are for.

use std::time::Duration;

use clap::builder::TypedValueParser as _;

/// The server that conformance suites talk to.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "conformance-server")]
pub struct Settings {
    /// Which runtime runs it.
    #[arg(long, value_enum, default_value_t = On::Tokio)]
    pub runtime: On,
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    #[arg(long, env = "PORT", default_value_t = 3000)]
    pub port: u16,
    #[arg(long, env = "PING_INTERVAL", default_value = "25000", value_parser = millis())]
    pub ping_interval: Duration,
    #[arg(long, env = "PING_TIMEOUT", default_value = "20000", value_parser = millis())]
    pub ping_timeout: Duration,
    #[arg(long, env = "CONNECT_TIMEOUT", default_value = "45000", value_parser = millis())]
    pub connect_timeout: Duration,
    #[arg(long, env = "MAX_PAYLOAD", default_value_t = 1_000_000)]
    pub max_payload: usize,
    /// How long clients that lost their connection are remembered; 0: not at all.
    #[arg(long, env = "RECOVERY", default_value = "0", value_parser = millis())]
    pub recovery: Duration,
    #[arg(long, env = "JWT_SECRET", default_value = "conformance-secret-conformance-secret", hide_env_values = true)]
    pub jwt_secret: String,
    /// `1`: messages are compressed for clients that offer it.
    #[arg(long, env = "COMPRESSION", default_value = "0")]
    pub compression: String,
    /// The bcrypt hash of the password with which `ada` may see the dashboard; without it there is none.
    #[arg(long, env = "ADMIN", hide_env_values = true)]
    pub admin: Option<String>,
    /// `1`: opening responses have engine.io's cookie.
    #[arg(long, env = "COOKIE", default_value = "0")]
    pub cookie: String,
    /// `0`: no session goes from long polling to WebSocket.
    #[arg(long, env = "UPGRADES", default_value = "1")]
    pub upgrades: String,
    /// Redis at which this node meets others.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Which servers it meets there, beside nodes.
    #[arg(long, env = "DIALECT", value_enum, default_value_t = BusDialect::Python)]
    pub dialect: BusDialect,
    /// `1`: `join` and `broadcast` as the load generator wants them.
    #[arg(long, env = "LOAD", default_value = "0")]
    pub load: String,
}

/// Whose messages are on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BusDialect {
    /// python-socketio's.
    Python,
    /// `@socket.io/redis-adapter`'s.
    Javascript,
    /// The same, with answers over the channel of the asker.
    JavascriptSpecific,
}

/// The runtime that drives the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum On {
    Tokio,
    Smol,
    AsyncStd,
    /// One server in two shards, each on a thread of tokio.
    Shards,
}

fn millis() -> impl clap::builder::TypedValueParser<Value = Duration> {
    clap::value_parser!(u64).map(Duration::from_millis)
}
