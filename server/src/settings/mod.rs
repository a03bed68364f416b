//! How the program is set up.
//!
//! Flags and `ROOMCAST_*` are roomcast's own; the other variables are Open WebUI's, so that one environment serves both
//! programs.
//!
//! Owns: the settings as a whole, and the decision between demonstration and production. Must never know: what any of it
//! is used for once the program runs.

mod environment;
mod flags;
mod levels;
mod redis;
mod secret;

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use roomcast_openwebui::query::{Features, Mfa, Permission};
use roomcast_openwebui::{AdminChats, AuthRequirement, EncryptedChannels, Release};
use roomcast_stores::{DatabaseUrl, StoredConfig};
use roomcast_tokio::core::server::config::{AdmittedBy, HeadersKept, UnadmittedLimits};
use roomcast_tokio::{Compression, HttpLimits, Origins, ServerLimits, Transports, TrustedProxies};
use tracing_subscriber::filter::Targets;

use self::environment::Environment;
pub use self::environment::Problem;
pub use self::flags::Flags;
use self::flags::{CompressionFlag, EntryFlag, PageFlag, ReleaseFlag, StoreFlag, is_at_or_below};
pub use self::redis::{BusSettings, RedisSettings};
pub use self::secret::Secret;

/// All settings, read once at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; 0 for any free one.
    pub port: u16,
    /// Path of the Socket.IO endpoint.
    pub path: String,
    /// Path of the endpoint for y-protocols.
    pub yjs_path: String,
    /// Release of Open WebUI beside this: the one that its tables tell, if this is `None`.
    pub release: Option<Release>,
    /// Whether sockets without a valid token are let in.
    pub entry: AuthRequirement,
    /// Whether messages are compressed for clients that offer it.
    pub compression: Option<Compression>,
    /// Whether admins may read the chats of others.
    pub admin_chats: AdminChats,
    /// What users have where the configuration in the database does not say.
    pub features_default: Features,
    /// Whether there are channels, and encrypted ones, where the configuration in the database does not say.
    pub channels_default: (Permission, Permission),
    /// Whether conversations of encrypted channels are served.
    pub encrypted_channels: EncryptedChannels,
    /// When a second factor is needed where the configuration in the database does not say.
    pub mfa_default: Mfa,
    /// Whether the configuration in the database counts.
    pub stored_config: StoredConfig,
    /// Time after its last event for which a login counts as active.
    pub idle_after: Duration,
    /// Time that a client has to answer a call, unless the caller says otherwise.
    pub call_timeout: Duration,
    /// Transports on offer.
    pub transports: Transports,
    /// Time between a pong and the next ping.
    pub ping_interval: Duration,
    /// Time within which a pong has to arrive.
    pub ping_timeout: Duration,
    /// Web origins that may connect.
    pub origins: Origins,
    /// Threads that serve clients.
    pub shards: NonZeroU16,
    /// Bounds on what clients can make grow, for each shard.
    pub limits: ServerLimits,
    /// Bounds on HTTP requests.
    pub http_limits: HttpLimits,
    /// Proxies that are believed when they say which address a client has.
    pub proxies: TrustedProxies,
    /// Key of the HTTP API; `None` turns the API off.
    pub api_key: Option<Secret>,
    /// Whether there is a page that shows the system at work.
    pub page: PageSetting,
    /// Log levels by component.
    pub logs: Targets,
    /// Time between SIGTERM and the shutdown.
    pub drain: Duration,
    /// Time that clients have to receive what is queued for them.
    pub grace: Duration,
    /// Time to wait for another program that has roomcast's own file open.
    pub handover: Duration,
    /// Connections of y-websocket providers that one user may have.
    pub providers_per_user_max: usize,
    /// Lifetime of tokens; `None` if they do not end.
    pub token_lifetime: Option<Duration>,
    /// Demonstration or production.
    pub mode: Mode,
    /// How Redis is used.
    pub redis: RedisSettings,
    /// Remarks about settings that have no effect, for the log.
    pub warnings: Vec<String>,
}

/// Whether there is a page that shows the system at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSetting {
    /// There is, with made-up users in a demonstration, and else for those who have the key of the HTTP API.
    On,
    /// There is not.
    Off,
}

/// Demonstration or production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A random secret, and made-up users in this file.
    Demo(PathBuf),
    /// The key that signs tokens, and the store.
    Production(Secret, StoreAt),
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAt {
    /// A file of roomcast's own.
    Own(PathBuf),
    /// Open WebUI's tables.
    WebUi {
        /// The address of the database that holds them.
        url: Box<DatabaseUrl>,
        /// Their schema in PostgreSQL.
        schema: Option<String>,
        /// The file of roomcast's own beside it, with documents and revocations.
        beside: PathBuf,
    },
}

impl Settings {
    /// Combines flags and environment.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn read(flags: Flags, variable: &dyn Fn(&'static str) -> Option<std::ffi::OsString>) -> Result<Self, Problem> {
        let environment = Environment(variable);
        let (path, yjs_path) = (&flags.path, &flags.yjs_path);
        if is_at_or_below(path, yjs_path) || is_at_or_below(yjs_path, path) {
            return Err(Problem::new("ROOMCAST_YJS_PATH", "and ROOMCAST_PATH must not lie below one another"));
        }
        let (mode, api_key) = (mode(&environment, &flags)?, environment.api_key()?);
        let page = page(flags.page, &mode, api_key.as_ref())?;
        Ok(Self {
            entry: match flags.entry {
                EntryFlag::Anyone => AuthRequirement::Optional,
                EntryFlag::Authenticated => AuthRequirement::Required,
            },
            compression: match flags.compression {
                CompressionFlag::On => Some(Compression::default()),
                CompressionFlag::Off => None,
            },
            admin_chats: environment.admin_chats()?,
            features_default: environment.features_default()?,
            channels_default: environment.channels_default()?,
            encrypted_channels: environment.encrypted_channels()?,
            mfa_default: environment.mfa_default()?,
            stored_config: environment.stored_config()?,
            idle_after: environment.idle_after()?,
            // The default is that of python-socketio's `call`.
            call_timeout: environment.seconds("WEBSOCKET_EVENT_CALLER_TIMEOUT", 60)?,
            transports: environment.transports()?,
            ping_interval: environment.seconds("WEBSOCKET_SERVER_PING_INTERVAL", 25)?,
            ping_timeout: environment.seconds("WEBSOCKET_SERVER_PING_TIMEOUT", 20)?,
            origins: environment.origins()?,
            shards: flags.shards,
            limits: limits(&flags),
            http_limits: HttpLimits {
                page_body_bytes_max: flags.api_bytes_max,
                conns_per_address_max: flags.connections_per_address_max.unwrap_or(usize::MAX),
                ..HttpLimits::default()
            },
            api_key,
            page,
            drain: Duration::from_secs(flags.drain_seconds),
            grace: Duration::from_secs(flags.grace_seconds),
            handover: Duration::from_secs(flags.handover_seconds),
            providers_per_user_max: flags.providers_per_user_max,
            token_lifetime: environment.token_lifetime()?,
            mode,
            redis: redis::read(&environment, Duration::from_secs(flags.lease_seconds))?,
            warnings: warnings(&environment, &flags)?,
            logs: levels::targets(
                environment.level("GLOBAL_LOG_LEVEL")?,
                environment.level("SOCKET_LOG_LEVEL")?,
                flags.log,
            ),
            proxies: TrustedProxies { networks: flags.trusted_proxies, header: flags.client_address_header },
            host: flags.host,
            port: flags.port,
            path: flags.path,
            yjs_path: flags.yjs_path,
            release: match flags.release {
                ReleaseFlag::Auto => None,
                ReleaseFlag::V0_6 => Some(Release::V0_6),
                ReleaseFlag::V0_12 => Some(Release::V0_12),
            },
        })
    }
}

/// What clients can make grow in each shard.
fn limits(flags: &Flags) -> ServerLimits {
    let defaults = ServerLimits::default();
    ServerLimits {
        // Connections are spread in turn.
        sessions_max: flags.sessions_max.div_ceil(usize::from(flags.shards.get())),
        queue_bytes_max: flags.queue_bytes_max,
        queue_soft_bytes: defaults.queue_soft_bytes.min(flags.queue_bytes_max),
        // Sockets are open to those who are not logged in; what is kept of them is small until they are.
        unadmitted: UnadmittedLimits { admitted_by: AdmittedBy::Application, ..UnadmittedLimits::default() },
        // By it a socket is known to have come by TLS.
        handshake_headers: HeadersKept::Listed(vec!["x-forwarded-proto".into()]),
        ..defaults
    }
}

/// There is no default secret: without one, only what others can neither reach nor own runs, which is a demonstration.
fn mode(environment: &Environment<'_>, flags: &Flags) -> Result<Mode, Problem> {
    let database = environment.database()?;
    let folder = environment.text("DATA_DIR")?.map(PathBuf::from);
    let named = |file: &str| folder.clone().unwrap_or_default().join(file);
    let Some(secret) = environment.signing_key()? else {
        let why = match (&database, environment.redis()?) {
            (Some(_), _) => "a database is named",
            (None, Some(_)) => "a Redis is named",
            (None, None) if !is_loopback(&flags.host) => "the address to listen on is not a loopback address",
            (None, None) => return Ok(Mode::Demo(named("roomcast-demo.db"))),
        };
        return Err(Problem::new(
            "WEBUI_SECRET_KEY",
            format!(
                "is not set, and {why}. Set it to the secret that Open WebUI signs tokens with, or \
                 WEBUI_SECRET_KEY_FILE to the file that holds it; without a secret roomcast runs only as a \
                 demonstration, on a loopback address with no database and no Redis named"
            ),
        ));
    };
    let schema = environment.text("DATABASE_SCHEMA")?;
    let store = match (flags.store, database) {
        (StoreFlag::Own, None) => StoreAt::Own(named("roomcast.db")),
        (StoreFlag::Own, Some(_)) => {
            let what = "is \"own\", and the environment names a database: choose one of the two";
            return Err(Problem::new("ROOMCAST_STORE", what));
        }
        (StoreFlag::OpenWebui, Some(url)) => {
            StoreAt::WebUi { url: Box::new(url), schema, beside: named("roomcast.db") }
        }
        // Open WebUI's default.
        (StoreFlag::OpenWebui, None) if folder.is_some() && named("webui.db").exists() => {
            let url = Box::new(DatabaseUrl::Sqlite { path: named("webui.db") });
            StoreAt::WebUi { url, schema: None, beside: named("roomcast.db") }
        }
        (StoreFlag::OpenWebui, None) => return Err(Problem::new("DATABASE_URL", no_database(folder.as_deref()))),
    };
    Ok(Mode::Production(secret, store))
}

/// Open to all in a demonstration, which is alone on its machine. Elsewhere it must be asked for, and have a key.
fn page(flag: Option<PageFlag>, mode: &Mode, api_key: Option<&Secret>) -> Result<PageSetting, Problem> {
    match (flag, mode, api_key) {
        (Some(PageFlag::Off), ..) | (None, Mode::Production(..), _) => Ok(PageSetting::Off),
        (None | Some(PageFlag::On), Mode::Demo(_), _) | (Some(PageFlag::On), _, Some(_)) => Ok(PageSetting::On),
        (Some(PageFlag::On), Mode::Production(..), None) => {
            let what = "is \"on\", and ROOMCAST_API_KEY is not set: the page is for those who have that key";
            Err(Problem::new("ROOMCAST_PAGE", what))
        }
    }
}

fn no_database(folder: Option<&std::path::Path>) -> String {
    let why = match folder {
        Some(folder) => format!("DATA_DIR ({}) has no webui.db", folder.display()),
        None => "neither is DATA_DIR".to_owned(),
    };
    format!(
        "is not set, and {why}: the users of tokens are looked up in Open WebUI's database. Set DATABASE_URL, \
         or DATA_DIR to the folder of webui.db; --store own uses a file of roomcast's own, which another program fills"
    )
}

fn warnings(environment: &Environment<'_>, flags: &Flags) -> Result<Vec<String>, Problem> {
    let mut warnings = redis::warnings(environment)?;
    let ignored = environment.ignored_database_parts()?;
    if !ignored.is_empty() {
        warnings.push(format!(
            "{} without the other DATABASE_ variables has no effect, as in Open WebUI",
            ignored.join(" and ")
        ));
    }
    if flags.connections_per_address_max.is_some() && flags.trusted_proxies.is_empty() {
        warnings.push(
            "ROOMCAST_CONNECTIONS_PER_ADDRESS_MAX is set and ROOMCAST_TRUSTED_PROXIES is not: behind a proxy, all clients \
             count as one address"
                .to_owned(),
        );
    }
    Ok(warnings)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn nothing_at_all_is_a_demonstration() {
        let settings = read(&[], &[]).unwrap();
        assert_eq!(settings.mode, Mode::Demo("roomcast-demo.db".into()));
        assert_eq!((settings.transports, settings.origins), (Transports::Both, Origins::Any));
        assert_eq!((settings.ping_interval.as_secs(), settings.ping_timeout.as_secs()), (25, 20));
        let settings = read(&["--host", "::1"], &[("DATA_DIR", "/data"), ("DATABASE_URL", ""), ("REDIS_URL", "")]);
        assert_eq!(settings.unwrap().mode, Mode::Demo("/data/roomcast-demo.db".into()));
    }

    #[test]
    fn production_needs_a_sound_secret() {
        for (flags, variables, why) in [
            (vec!["--host", "0.0.0.0"], vec![], "loopback"),
            (vec![], vec![("DATABASE_URL", "sqlite:///webui.db")], "a database is named"),
            (vec![], DATABASE_IN_PARTS.to_vec(), "a database is named"),
            (vec![], vec![("WEBSOCKET_REDIS_URL", "redis://x")], "a Redis is named"),
            (vec![], vec![("WEBUI_SECRET_KEY", "")], "is empty"),
            (vec![], vec![("WEBUI_SECRET_KEY", "x")], "shorter"),
            (vec![], vec![("WEBUI_SECRET_KEY", "t0p-s3cr3t")], "publishes"),
            (vec![], vec![("WEBUI_JWT_SECRET_KEY", "t0p-s3cr3t")], "WEBUI_JWT_SECRET_KEY"),
        ] {
            let problem = read(&flags, &variables).unwrap_err().to_string();
            assert!(problem.contains(why) && problem.contains("SECRET_KEY"), "{problem}");
        }
    }

    // docs/openwebui-protocol.md, 2.3: four intervals of 5 to 90 s, 120 s at least.
    #[test]
    fn a_session_counts_for_four_heartbeats() {
        for (interval, seconds) in
            [("", 120), ("1", 120), ("30", 120), ("31", 124), ("90", 360), ("1000", 360), ("-4", 120), ("soon", 120)]
        {
            let settings = read(&[], &[("WEBSOCKET_HEARTBEAT_INTERVAL", interval)]).unwrap();
            assert_eq!(settings.idle_after.as_secs(), seconds, "{interval}");
        }
    }

    #[test]
    fn production_has_a_page_only_if_it_is_asked_for_and_has_a_key() {
        let key = ("ROOMCAST_API_KEY", "the-key-of-the-callers");
        let page = |flags: &[&str], variables: &[(&'static str, &str)]| read(flags, variables).map(|it| it.page);
        assert_eq!(page(&[], &[]).unwrap(), PageSetting::On);
        assert_eq!(page(&["--page", "off"], &[]).unwrap(), PageSetting::Off);
        let own = ["--store", "own", "--page", "on"];
        let secret = ("WEBUI_SECRET_KEY", SECRET);
        assert_eq!(page(&own[..2], &[secret, key]).unwrap(), PageSetting::Off);
        assert_eq!(page(&own, &[secret, key]).unwrap(), PageSetting::On);
        let problem = page(&own, &[secret]).unwrap_err().to_string();
        assert!(problem.starts_with("ROOMCAST_PAGE") && problem.contains("ROOMCAST_API_KEY"), "{problem}");
    }

    #[test]
    fn a_secret_needs_a_database() {
        let store = |flags: &[&str], variables: &[(&'static str, &str)]| {
            let variables = [variables, &[("WEBUI_JWT_SECRET_KEY", SECRET)]].concat();
            read(&[&["--host", "0.0.0.0"], flags].concat(), &variables).map(|settings| match settings.mode {
                Mode::Production(secret, store) => {
                    assert_eq!(secret.reveal(), SECRET);
                    store
                }
                Mode::Demo(_) => panic!("a demonstration"),
            })
        };
        let refused = |flags: &[&str], variables: &[_]| store(flags, variables).unwrap_err().to_string();
        assert!(refused(&[], &[]).starts_with("DATABASE_URL is not set, and neither is DATA_DIR"));
        let message = refused(&[], &[("DATA_DIR", "/nowhere")]);
        assert!(message.contains("(/nowhere) has no webui.db"), "{message}");
        let url = ("DATABASE_URL", "sqlite:////x/webui.db");
        assert!(refused(&["--store", "own"], &[url]).starts_with("ROOMCAST_STORE"));
        assert_eq!(store(&["--store", "own"], &[]).unwrap(), StoreAt::Own("roomcast.db".into()));
        let found = store(&[], &[url]).unwrap();
        let expected = Box::new(DatabaseUrl::Sqlite { path: "/x/webui.db".into() });
        assert_eq!(found, StoreAt::WebUi { url: expected, schema: None, beside: "roomcast.db".into() });
    }

    #[test]
    fn a_database_in_parts_takes_the_place_of_its_url() {
        let url = |variables: &[(&'static str, &str)]| {
            let variables = [variables, &[("WEBUI_SECRET_KEY", SECRET)]].concat();
            read(&[], &variables).map(|settings| match settings.mode {
                Mode::Production(_, StoreAt::WebUi { url, .. }) => (*url, settings.warnings),
                mode @ (Mode::Demo(_) | Mode::Production(..)) => panic!("{mode:?}"),
            })
        };
        let whole = DatabaseUrl::parse("postgresql://webui:p%40ss@db.example:5433/chat").unwrap();
        let other = ("DATABASE_URL", "sqlite:////x/webui.db");
        let parts = [&DATABASE_IN_PARTS[..], &[other]].concat();
        assert_eq!(url(&parts).unwrap(), (whole, Vec::new()));
        // One is missing: the others have no effect.
        for missing in ["DATABASE_TYPE", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME"] {
            let some: Vec<_> = parts.iter().copied().filter(|(name, _)| *name != missing).collect();
            let file = DatabaseUrl::Sqlite { path: "/x/webui.db".into() };
            assert_eq!(url(&some).unwrap(), (file, Vec::new()), "{missing}");
        }
        let folder = Folder::new(&[("webui.db", "")]);
        let (found, warnings) =
            url(&[("DATABASE_HOST", "db.example"), ("DATA_DIR", folder.path.to_str().unwrap())]).unwrap();
        assert_eq!(found, DatabaseUrl::Sqlite { path: folder.path.join("webui.db") });
        assert!(warnings[0].starts_with("DATABASE_HOST without"), "{warnings:?}");
        let problem = url(&[("DATABASE_TYPE", "sqlite+sqlcipher")]).unwrap_err().to_string();
        assert!(problem.starts_with("DATABASE_TYPE") && problem.contains("SQLCipher"), "{problem}");
    }

    #[test]
    fn redis_is_meant_as_open_webui_means_it() {
        let redis = |flags: &[&str], variables: &[(&'static str, &str)]| {
            let variables = [variables, &[("WEBUI_SECRET_KEY", SECRET)]].concat();
            let settings = read(&[&["--store", "own"], flags].concat(), &variables)?;
            let of = |bus: &BusSettings| [Release::V0_6, Release::V0_12].map(|release| bus.has_room_channels(release));
            let bus = settings.redis.bus.map(|bus| (bus.url.to_string(), of(&bus)));
            let revocations = settings.redis.revocations.map(|url| url.to_string());
            Ok::<_, Problem>((bus, revocations, settings.redis.prefix, settings.warnings))
        };
        let (manager, bus) = (("WEBSOCKET_MANAGER", "redis"), ("WEBSOCKET_REDIS_URL", "redis://bus/1"));
        let common = ("REDIS_URL", "redis://:secret@common/2");
        let (found, revocations, prefix, warnings) = redis(&[], &[manager, bus, common]).unwrap();
        assert_eq!(found, Some(("redis://bus:6379/1".into(), [false, true])));
        assert_eq!((revocations.as_deref(), prefix.as_str()), (Some("redis://common:6379/2"), "open-webui"));
        assert!(warnings.is_empty(), "{warnings:?}");
        for (value, has_room_channels) in [("", [false, true]), ("True", [true, true]), ("false", [false, false])] {
            let (found, ..) = redis(&[], &[manager, common, ("WEBSOCKET_REDIS_ROOM_CHANNELS", value)]).unwrap();
            assert_eq!(found, Some(("redis://common:6379/2".into(), has_room_channels)), "{value}");
        }
        let sentinels = [
            manager,
            ("REDIS_URL", "redis://room/0"),
            ("WEBSOCKET_SENTINEL_HOSTS", "a,b"),
            ("WEBSOCKET_SENTINEL_PORT", "7"),
            ("REDIS_KEY_PREFIX", "ours"),
        ];
        let (found, revocations, prefix, _) = redis(&[], &sentinels).unwrap();
        assert_eq!(found.unwrap().0, "redis+sentinel://a:7,b:7/0/room");
        assert_eq!((revocations.as_deref(), prefix.as_str()), (Some("redis://room:6379/0"), "ours"));
        let (found, ..) = redis(&[], &[manager, common, ("WEBSOCKET_REDIS_CLUSTER", "True")]).unwrap();
        assert!(found.unwrap().0.ends_with("(cluster)"));
        let (found, _, _, warnings) = redis(&[], &[bus]).unwrap();
        assert!(found.is_none() && warnings[0].starts_with("WEBSOCKET_REDIS_URL has no effect"), "{warnings:?}");
        let refused = |variables: &[_]| redis(&[], variables).unwrap_err().to_string();
        assert!(refused(&[manager]).contains("neither WEBSOCKET_REDIS_URL nor REDIS_URL"));
        assert!(refused(&[("WEBSOCKET_MANAGER", "kafka")]).starts_with("WEBSOCKET_MANAGER must be redis"));
        let problem = refused(&[manager, ("WEBSOCKET_REDIS_URL", "http://:hidden@x")]);
        assert!(problem.starts_with("WEBSOCKET_REDIS_URL cannot be used") && !problem.contains("hidden"), "{problem}");
        assert!(refused(&[manager, common, ("WEBSOCKET_SENTINEL_HOSTS", ":")]).starts_with("WEBSOCKET_SENTINEL_HOSTS"));
    }

    #[test]
    fn the_secret_may_stand_in_a_file() {
        let folder = Folder::new(&[("key", "bm90LXJlYWxseQ==\n\n"), ("short", "abc\n"), ("empty", "\n")]);
        let file = |name: &str| folder.path.join(name).to_str().unwrap().to_owned();
        let read = |variables: &[(&'static str, &str)]| {
            let variables = [variables, &[("DATABASE_URL", "sqlite:////x/webui.db")]].concat();
            read(&[], &variables).map(|settings| match settings.mode {
                Mode::Production(secret, _) => secret.reveal().to_owned(),
                Mode::Demo(_) => panic!("a demonstration"),
            })
        };
        let name = "WEBUI_SECRET_KEY_FILE";
        assert_eq!(read(&[(name, &file("key"))]).unwrap(), "bm90LXJlYWxseQ==");
        // An empty variable is what a compose file leaves behind; one with a value comes first.
        assert_eq!(read(&[(name, &file("key")), ("WEBUI_SECRET_KEY", "")]).unwrap(), "bm90LXJlYWxseQ==");
        assert_eq!(read(&[(name, &file("none")), ("WEBUI_SECRET_KEY", SECRET)]).unwrap(), SECRET);
        for file in ["none", "short", "empty"].map(file) {
            let problem = read(&[(name, &file)]).unwrap_err().to_string();
            assert!(problem.starts_with(name) && !problem.contains("abc"), "{problem}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named_and_a_secret_is_not_shown() {
        for (name, value) in [
            ("ENABLE_WEBSOCKET_SUPPORT", "perhaps"),
            ("WEBSOCKET_SERVER_PING_INTERVAL", "0"),
            ("WEBSOCKET_SERVER_PING_TIMEOUT", "20s"),
            ("WEBSOCKET_EVENT_CALLER_TIMEOUT", "-1"),
            ("ENABLE_ADMIN_CHAT_ACCESS", "sometimes"),
            ("CORS_ALLOW_ORIGIN", "https://a.example;example.org"),
            ("CORS_ALLOW_ORIGIN", "https://a.example/"),
            ("GLOBAL_LOG_LEVEL", "LOUD"),
            ("SOCKET_LOG_LEVEL", "7"),
            ("DATABASE_URL", "mysql://user:hunter2@host/db"),
            ("CORS_ALLOW_ORIGIN", "app://localhost"),
            ("USER_PERMISSIONS_FEATURES_CHANNELS", "maybe"),
            ("JWT_EXPIRES_IN", "4 weeks"),
            ("JWT_EXPIRES_IN", "w"),
            ("ROOMCAST_API_KEY", ""),
            ("ROOMCAST_API_KEY", "hunter2"),
        ] {
            let variables = [("WEBUI_SECRET_KEY", SECRET), (name, value)];
            let problem = read(&["--store", "own"], &variables).unwrap_err().to_string();
            assert!(problem.starts_with(name), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let secrets = [("WEBUI_SECRET_KEY", "hunter2-hunter2"), ("ROOMCAST_API_KEY", "hunter2-hunter2-hunter2")];
        let settings = read(&["--store", "own"], &secrets).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn transports_and_origins_are_as_open_webui_reads_them() {
        for (value, transports) in
            [("True", Transports::WebSocket), ("false", Transports::Polling), ("", Transports::Both)]
        {
            assert_eq!(read(&[], &[("ENABLE_WEBSOCKET_SUPPORT", value)]).unwrap().transports, transports);
        }
        let origins = |value| read(&[], &[("CORS_ALLOW_ORIGIN", value)]).unwrap().origins;
        assert_eq!(origins("*"), Origins::Any);
        let list = ["http://a.example:3000", "https://b.example"].map(str::to_owned).to_vec();
        assert_eq!(origins("http://a.example:3000; https://B.example"), Origins::List(list));
        let variables = [("CORS_ALLOW_ORIGIN", "app://localhost;http://a"), ("CORS_ALLOW_CUSTOM_SCHEME", "tauri;App")];
        let list = ["app://localhost", "http://a"].map(str::to_owned).to_vec();
        assert_eq!(read(&[], &variables).unwrap().origins, Origins::List(list));
    }

    #[test]
    fn what_the_configuration_does_not_say_comes_from_the_environment() {
        use Permission::{Denied, Granted};
        let settings = read(&[], &[]).unwrap();
        let features = Features { notes: Granted, channels: Granted, encrypted_channels: Denied };
        assert_eq!((settings.features_default, settings.mfa_default), (features, Mfa::default()));
        assert_eq!(settings.stored_config, StoredConfig::Read);
        assert_eq!(settings.channels_default, (Denied, Denied));
        let variables = [
            ("USER_PERMISSIONS_FEATURES_NOTES", "False"),
            ("USER_PERMISSIONS_FEATURES_CHANNELS", "false"),
            ("USER_PERMISSIONS_FEATURES_ENCRYPTED_CHANNELS", "True"),
            ("ENABLE_CHANNELS", "True"),
            ("ENABLE_ENCRYPTED_CHANNELS", "true"),
            ("ENABLE_MFA", "true"),
            ("MFA_ALLOW_OAUTH_BYPASS", "True"),
            ("MFA_ALLOW_TRUSTED_HEADER_BYPASS", "true"),
            ("ENABLE_PERSISTENT_CONFIG", "False"),
        ];
        let settings = read(&[], &variables).unwrap();
        let features = Features { notes: Denied, channels: Denied, encrypted_channels: Granted };
        let mfa = Mfa { is_required: true, oauth_is_exempt: true, trusted_header_is_exempt: true, ..Mfa::default() };
        assert_eq!((settings.features_default, settings.mfa_default), (features, mfa));
        assert_eq!(settings.stored_config, StoredConfig::Ignored);
        assert_eq!(settings.channels_default, (Granted, Granted));
    }

    #[test]
    fn encrypted_channels_are_refused_where_messages_are_logged_and_need_tls_in_production() {
        use EncryptedChannels::{Refused, Served, ServedByTls};
        for (variables, expected) in [
            (&[][..], Served),
            (&[("ENV", "dev"), ("WEBSOCKET_SERVER_LOGGING", "False")], Served),
            (&[("ENV", "prod")], ServedByTls),
            (&[("ENV", "prod"), ("WEBSOCKET_SERVER_LOGGING", "True")], Refused),
            (&[("WEBSOCKET_SERVER_ENGINEIO_LOGGING", "true")], Refused),
        ] {
            assert_eq!(read(&[], variables).unwrap().encrypted_channels, expected, "{variables:?}");
        }
    }

    #[test]
    fn a_release_is_told_by_the_tables_unless_it_is_named() {
        for (flags, release) in [
            (&[][..], None),
            (&["--release", "auto"], None),
            (&["--release", "0.6"], Some(Release::V0_6)),
            (&["--release", "0.12"], Some(Release::V0_12)),
        ] {
            assert_eq!(read(flags, &[]).unwrap().release, release, "{flags:?}");
        }
    }

    #[test]
    fn the_lifetime_of_tokens_is_as_open_webui_reads_it() {
        let lifetime = |value| read(&[], &[("JWT_EXPIRES_IN", value)]).unwrap().token_lifetime.map(|it| it.as_secs());
        assert_eq!(
            (lifetime(""), lifetime("4w"), lifetime("1d12h")),
            (Some(2_419_200), Some(2_419_200), Some(129_600))
        );
        assert_eq!((lifetime("1.5h"), lifetime("90s"), lifetime("500ms")), (Some(5_400), Some(90), Some(1)));
        assert_eq!((lifetime("-1"), lifetime("0")), (None, None));
    }

    #[test]
    fn endpoints_do_not_lie_below_one_another() {
        for (path, yjs_path) in [("/ws", "/ws"), ("/ws/yjs/a", "/ws/yjs"), ("/a", "/a/b")] {
            let flags = ["--path", path, "--yjs-path", yjs_path];
            assert!(read(&flags, &[]).unwrap_err().to_string().starts_with("ROOMCAST_YJS_PATH"), "{flags:?}");
        }
        assert!(read(&["--path", "/ws/yjs2", "--yjs-path", "/ws/yjs"], &[]).is_ok());
    }

    fn read(flags: &[&str], variables: &[(&'static str, &str)]) -> Result<Settings, Problem> {
        // The parser of the flags reads ROOMCAST_* by itself; this test does not set them.
        let flags = Flags::try_parse_from([&["roomcast"], flags].concat()).unwrap();
        Settings::read(flags, &|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        })
    }

    /// A folder with these files, removed in the end.
    struct Folder {
        path: PathBuf,
    }

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Self {
            static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
            let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("roomcast-settings-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            for (name, text) in files {
                std::fs::write(path.join(name), text).unwrap();
            }
            Self { path }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }

    const SECRET: &str = "the-secret-of-a-test";
    const DATABASE_IN_PARTS: [(&str, &str); 6] = [
        ("DATABASE_TYPE", "postgresql"),
        ("DATABASE_USER", "webui"),
        ("DATABASE_PASSWORD", "p%40ss"),
        ("DATABASE_HOST", "db.example"),
        ("DATABASE_PORT", "5433"),
        ("DATABASE_NAME", "chat"),
    ];
}
