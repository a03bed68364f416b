//! Open WebUI's variables of Redis.
//!
//! Owns: which of them mean what, and together what. Must never know: what Redis is used for.

use std::time::Duration;

use roomcast_openwebui::Release;
use roomcast_tokio::redis::{RedisUrl, RedisUrlError};

use super::environment::{Environment, Problem};

/// How Redis is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisSettings {
    /// The bus to other nodes and to Open WebUI's own processes, and the state that all of them share.
    pub bus: Option<BusSettings>,
    /// Where Open WebUI keeps revocations.
    pub revocations: Option<RedisUrl>,
    /// What keys begin with.
    pub prefix: String,
}

/// How the bus to other nodes is reached, and how rooms are published there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusSettings {
    /// Where Redis is: one server, Sentinels or a cluster.
    pub url: RedisUrl,
    /// Whether each room has a channel of its own; as the release of Open WebUI has it by itself, if this is `None`.
    pub room_channels: Option<bool>,
    /// Time after which what a silent node has stored there counts as left behind.
    pub lease: Duration,
}

impl BusSettings {
    /// Whether each room has a channel of its own, beside this release of Open WebUI: since 0.12 it has.
    pub fn has_room_channels(&self, release: Release) -> bool {
        self.room_channels.unwrap_or(release == Release::V0_12)
    }
}

/// Reads the variables.
pub(super) fn read(environment: &Environment<'_>, lease: Duration) -> Result<RedisSettings, Problem> {
    let common = url(environment, &COMMON)?;
    let bus = match environment.text("WEBSOCKET_MANAGER")?.as_deref() {
        None => None,
        Some("redis") => {
            let url = url(environment, &BUS)?.or_else(|| common.clone());
            let url = url.ok_or_else(|| {
                Problem::new("WEBSOCKET_MANAGER", "is redis, and neither WEBSOCKET_REDIS_URL nor REDIS_URL says which")
            })?;
            let name = "WEBSOCKET_REDIS_ROOM_CHANNELS";
            let is_set = environment.text(name)?.is_some();
            let room_channels = if is_set { Some(environment.switch(name, false)?) } else { None };
            Some(BusSettings { url, room_channels, lease })
        }
        Some(_) => return Err(Problem::new("WEBSOCKET_MANAGER", "must be redis, or not be set")),
    };
    let prefix = environment.text("REDIS_KEY_PREFIX")?.unwrap_or_else(|| "open-webui".to_owned());
    Ok(RedisSettings { bus, revocations: common, prefix })
}

/// What is said about settings that have no effect.
pub(super) fn warnings(environment: &Environment<'_>) -> Result<Vec<String>, Problem> {
    let mut warnings = Vec::new();
    if environment.text("WEBSOCKET_MANAGER")?.is_none() {
        for name in ["WEBSOCKET_REDIS_URL", "WEBSOCKET_SENTINEL_HOSTS"] {
            if environment.text(name)?.is_some() {
                warnings.push(format!(
                    "{name} has no effect unless WEBSOCKET_MANAGER is redis: this is the only node, and what Open WebUI \
                     itself emits does not arrive"
                ));
            }
        }
    }
    Ok(warnings)
}

/// The variables of one Redis.
struct VariableNames {
    url: &'static str,
    sentinel_hosts: &'static str,
    sentinel_port: &'static str,
    cluster: &'static str,
}

const COMMON: VariableNames = VariableNames {
    url: "REDIS_URL",
    sentinel_hosts: "REDIS_SENTINEL_HOSTS",
    sentinel_port: "REDIS_SENTINEL_PORT",
    cluster: "REDIS_CLUSTER",
};

const BUS: VariableNames = VariableNames {
    url: "WEBSOCKET_REDIS_URL",
    sentinel_hosts: "WEBSOCKET_SENTINEL_HOSTS",
    sentinel_port: "WEBSOCKET_SENTINEL_PORT",
    cluster: "WEBSOCKET_REDIS_CLUSTER",
};

fn url(environment: &Environment<'_>, names: &VariableNames) -> Result<Option<RedisUrl>, Problem> {
    let text = match environment.text(names.url)? {
        Some(text) => text,
        // As in Open WebUI, the bus takes the address of the other and its own Sentinels.
        None => match environment.text(COMMON.url)? {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    let problem =
        |name: &'static str| move |error: RedisUrlError| Problem::new(name, format!("cannot be used: {error}"));
    let mut url = RedisUrl::parse(&text).map_err(problem(names.url))?;
    if let Some(hosts) = environment.text(names.sentinel_hosts)? {
        let port = environment.text(names.sentinel_port)?;
        let port = port
            .map_or(Ok(26379), |port| port.parse().map_err(|_| Problem::new(names.sentinel_port, "must be a port")))?;
        url = url.with_sentinels(&hosts, port).map_err(problem(names.sentinel_hosts))?;
    }
    let default = environment.switch(COMMON.cluster, false)?;
    if environment.switch(names.cluster, default)? {
        url = url.as_cluster().map_err(problem(names.cluster))?;
    }
    Ok(Some(url))
}
