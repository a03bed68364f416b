//! How the program is set up.
//!
//! Flags and `ROOMCAST_*` are roomcast's own; the other variables of the environment are Open WebUI's, so that the same
//! environment serves both.
//!
//! Owns: flags, environment, defaults, and the decision whether this is a demonstration. Must never know: what any of it
//! is for once the program runs.

mod environment;
mod levels;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use roomcast_openwebui::{AdminChats, AuthRequirement, Compat};
use roomcast_stores::DatabaseUrl;
use roomcast_tokio::{HttpLimits, Origins, ServerLimits, Transports};
use tracing_subscriber::filter::Targets;

use self::environment::Environment;
pub use self::environment::Problem;

/// Real-time rooms over Socket.IO, in the place of Open WebUI's own.
///
/// Open WebUI's variables are understood as well: WEBUI_SECRET_KEY, WEBUI_JWT_SECRET_KEY, DATABASE_URL, DATABASE_SCHEMA,
/// DATA_DIR, ENABLE_WEBSOCKET_SUPPORT, WEBSOCKET_SERVER_PING_INTERVAL, WEBSOCKET_SERVER_PING_TIMEOUT,
/// WEBSOCKET_EVENT_CALLER_TIMEOUT, CORS_ALLOW_ORIGIN, ENABLE_ADMIN_CHAT_ACCESS, GLOBAL_LOG_LEVEL, SOCKET_LOG_LEVEL.
/// Without a secret it runs as a demonstration, if no database and no Redis is named and the address is a loopback one.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "roomcast", version)]
pub struct Flags {
    /// Address to listen on.
    #[arg(long, env = "ROOMCAST_HOST", value_name = "ROOMCAST_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes any that is free.
    #[arg(long, env = "ROOMCAST_PORT", value_name = "ROOMCAST_PORT", default_value_t = 8080)]
    port: u16,
    /// Path of the Socket.IO endpoint.
    #[arg(long, env = "ROOMCAST_PATH", value_name = "ROOMCAST_PATH", default_value = "/ws/socket.io", value_parser = path)]
    path: String,
    /// Path of the endpoint for providers of y-websocket: they speak to it at this path, '/' and a document's name.
    #[arg(long, env = "ROOMCAST_YJS_PATH", value_name = "ROOMCAST_YJS_PATH", default_value = "/ws/yjs", value_parser = path)]
    yjs_path: String,
    /// Which front end edits documents here: one like that of Open WebUI 0.6.41, which loads a note into an empty document
    /// by itself, or one like that of 0.12.4, which is given the note's content along with the state.
    #[arg(long, env = "ROOMCAST_FRONT_END", value_name = "ROOMCAST_FRONT_END", default_value = "0.6")]
    front_end: FrontEndFlag,
    /// What becomes of sockets without a valid token: let in as nobody, as Open WebUI's front end needs, or refused.
    #[arg(long, env = "ROOMCAST_ENTRY", value_name = "ROOMCAST_ENTRY", default_value = "anyone")]
    entry: EntryFlag,
    /// What is logged to standard error: a level, or levels of components like info,roomcast_stores=debug.
    #[arg(long, env = "ROOMCAST_LOG", value_name = "ROOMCAST_LOG")]
    log: Option<Targets>,
    /// Seconds between the signal to end and the end, in which /ready says 503 and everything else goes on.
    #[arg(long, env = "ROOMCAST_DRAIN_SECONDS", value_name = "ROOMCAST_DRAIN_SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
    drain_seconds: u64,
    /// Seconds that clients then have to take what is queued for them.
    #[arg(long, env = "ROOMCAST_GRACE_SECONDS", value_name = "ROOMCAST_GRACE_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    grace_seconds: u64,
    /// Clients at once; one more is answered 503.
    #[arg(long, env = "ROOMCAST_SESSIONS_MAX", value_name = "ROOMCAST_SESSIONS_MAX", default_value_t = ServerLimits::default().sessions_max)]
    sessions_max: usize,
    /// Bytes queued for one client above which it is cut off as too slow.
    #[arg(long, env = "ROOMCAST_QUEUE_BYTES_MAX", value_name = "ROOMCAST_QUEUE_BYTES_MAX", default_value_t = ServerLimits::default().queue_bytes_max)]
    queue_bytes_max: usize,
    /// Largest body of a request to the HTTP API, in bytes.
    #[arg(long, env = "ROOMCAST_API_BYTES_MAX", value_name = "ROOMCAST_API_BYTES_MAX", default_value_t = HttpLimits::default().page_body_bytes_max)]
    api_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EntryFlag {
    Anyone,
    Authenticated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FrontEndFlag {
    #[value(name = "0.6")]
    V0_6,
    #[value(name = "0.12")]
    V0_12,
}

/// Everything that the program is told before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Path of the Socket.IO endpoint.
    pub path: String,
    /// Path of the endpoint for y-protocols.
    pub yjs_path: String,
    /// Which front end edits documents.
    pub front_end: Compat,
    /// What becomes of sockets without a session.
    pub entry: AuthRequirement,
    /// Whether admins may read the chats of others.
    pub admin_chats: AdminChats,
    /// Time that a session has to answer a call, unless the caller says otherwise.
    pub call_timeout: Duration,
    /// Which transports are offered.
    pub transports: Transports,
    /// Time between a pong and the next ping.
    pub ping_interval: Duration,
    /// Time in which a pong must come.
    pub ping_timeout: Duration,
    /// Which pages of the web may talk to the endpoint.
    pub origins: Origins,
    /// Bounds on what clients can make grow.
    pub limits: ServerLimits,
    /// The same for HTTP.
    pub http_limits: HttpLimits,
    /// What callers of the HTTP API must know.
    pub api_key: Option<Secret>,
    /// What is logged.
    pub logs: Targets,
    /// Time between the signal to end and the end.
    pub drain: Duration,
    /// Time that clients then have.
    pub grace: Duration,
    /// Whether it is in earnest.
    pub mode: Mode,
    /// A variable that names a Redis, which this program does not use.
    pub redis: Option<&'static str>,
}

/// Whether it is in earnest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A demonstration: a secret of its own, and this file.
    Demo(PathBuf),
    /// It is: what tokens are signed with, and the store.
    Earnest(Secret, StoreAt),
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAt {
    /// A file of roomcast's own.
    Own(PathBuf),
    /// Open WebUI's tables.
    WebUi {
        /// Their database.
        url: Box<DatabaseUrl>,
        /// Their schema, if it is PostgreSQL's.
        schema: Option<String>,
        /// The file of roomcast's own beside it: what is not Open WebUI's, like the changes of documents.
        beside: PathBuf,
    },
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// For whoever must have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// One that nobody knows yet.
    pub fn of(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Settings {
    /// What flags and environment say together.
    ///
    /// # Errors
    ///
    /// The first variable that makes no sense.
    pub fn read(flags: Flags, variable: &dyn Fn(&'static str) -> Option<std::ffi::OsString>) -> Result<Self, Problem> {
        let environment = Environment(variable);
        let defaults = ServerLimits::default();
        let limits = ServerLimits {
            sessions_max: flags.sessions_max,
            queue_bytes_max: flags.queue_bytes_max,
            queue_soft_bytes: defaults.queue_soft_bytes.min(flags.queue_bytes_max),
            ..defaults
        };
        let redis = environment.redis()?;
        Ok(Self {
            entry: match flags.entry {
                EntryFlag::Anyone => AuthRequirement::Optional,
                EntryFlag::Authenticated => AuthRequirement::Required,
            },
            admin_chats: environment.admin_chats()?,
            // As python-socketio's `call`, if nobody says otherwise.
            call_timeout: environment.seconds("WEBSOCKET_EVENT_CALLER_TIMEOUT", 60)?,
            transports: environment.transports()?,
            ping_interval: environment.seconds("WEBSOCKET_SERVER_PING_INTERVAL", 25)?,
            ping_timeout: environment.seconds("WEBSOCKET_SERVER_PING_TIMEOUT", 20)?,
            origins: environment.origins()?,
            limits,
            http_limits: HttpLimits { page_body_bytes_max: flags.api_bytes_max, ..HttpLimits::default() },
            api_key: environment.secret("ROOMCAST_API_KEY")?,
            logs: levels::targets(
                environment.level("GLOBAL_LOG_LEVEL")?,
                environment.level("SOCKET_LOG_LEVEL")?,
                flags.log,
            ),
            drain: Duration::from_secs(flags.drain_seconds),
            grace: Duration::from_secs(flags.grace_seconds),
            mode: mode(&environment, &flags.host, redis)?,
            redis,
            host: flags.host,
            port: flags.port,
            path: flags.path,
            yjs_path: flags.yjs_path,
            front_end: match flags.front_end {
                FrontEndFlag::V0_6 => Compat::V0_6,
                FrontEndFlag::V0_12 => Compat::V0_12,
            },
        })
    }
}

/// There is no secret by default: without one, only what nobody else can reach and what is not anybody's runs.
fn mode(environment: &Environment<'_>, host: &str, redis: Option<&'static str>) -> Result<Mode, Problem> {
    let secret = match environment.secret("WEBUI_SECRET_KEY")? {
        Some(secret) => Some(secret),
        None => environment.secret("WEBUI_JWT_SECRET_KEY")?,
    };
    let database = environment.database()?;
    let folder = environment.text("DATA_DIR")?.map(PathBuf::from);
    let named = |file: &str| folder.clone().unwrap_or_default().join(file);
    let Some(secret) = secret else {
        let why = match (&database, redis) {
            (Some(_), _) => "DATABASE_URL is set",
            (None, Some(_)) => "a Redis is named",
            (None, None) if !is_loopback(host) => "the address to listen on is not a loopback address",
            (None, None) => return Ok(Mode::Demo(named("roomcast-demo.db"))),
        };
        return Err(Problem::new(
            "WEBUI_SECRET_KEY",
            format!(
                "is not set, and {why}. Set it to the secret that Open WebUI signs tokens with; without it, roomcast \
                 runs only as a demonstration, on a loopback address with no database and no Redis named"
            ),
        ));
    };
    let store = match database {
        Some(url) => StoreAt::WebUi {
            url: Box::new(url),
            schema: environment.text("DATABASE_SCHEMA")?,
            beside: named("roomcast.db"),
        },
        // Where Open WebUI keeps its tables if nobody tells it a place.
        None if folder.is_some() && named("webui.db").exists() => {
            let url = Box::new(DatabaseUrl::Sqlite { path: named("webui.db") });
            StoreAt::WebUi { url, schema: None, beside: named("roomcast.db") }
        }
        None => StoreAt::Own(named("roomcast.db")),
    };
    Ok(Mode::Earnest(secret, store))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn path(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix('/') {
        Some(rest) if !rest.contains(['?', '#', ' ']) => Ok(text.to_owned()),
        Some(_) => Err("it must not contain '?', '#' or blanks"),
        None => Err("it must start with '/'"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

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
    fn whatever_is_in_earnest_needs_a_secret() {
        for (flags, variables, why) in [
            (vec!["--host", "0.0.0.0"], vec![], "loopback"),
            (vec![], vec![("DATABASE_URL", "sqlite:///webui.db")], "DATABASE_URL is set"),
            (vec![], vec![("WEBSOCKET_REDIS_URL", "redis://x")], "a Redis is named"),
            (vec![], vec![("WEBUI_SECRET_KEY", "")], "is empty"),
            (vec![], vec![("WEBUI_SECRET_KEY", "t0p-s3cr3t")], "published"),
            (vec![], vec![("WEBUI_JWT_SECRET_KEY", "t0p-s3cr3t")], "WEBUI_JWT_SECRET_KEY"),
        ] {
            let problem = read(&flags, &variables).unwrap_err().to_string();
            assert!(problem.contains(why) && problem.contains("SECRET_KEY"), "{problem}");
        }
    }

    #[test]
    fn a_secret_decides_for_a_store() {
        let mode = |variables: &[(&'static str, &str)]| match read(&["--host", "0.0.0.0"], variables).unwrap().mode {
            Mode::Earnest(secret, store) => (secret.reveal().to_owned(), store),
            Mode::Demo(_) => panic!("a demonstration"),
        };
        assert_eq!(mode(&[("WEBUI_JWT_SECRET_KEY", "b")]), ("b".into(), StoreAt::Own("roomcast.db".into())));
        let both =
            [("WEBUI_SECRET_KEY", "a"), ("WEBUI_JWT_SECRET_KEY", "b"), ("DATABASE_URL", "sqlite:////x/webui.db")];
        let url = Box::new(DatabaseUrl::Sqlite { path: "/x/webui.db".into() });
        assert_eq!(mode(&both), ("a".into(), StoreAt::WebUi { url, schema: None, beside: "roomcast.db".into() }));
    }

    #[test]
    fn a_value_without_sense_is_named_and_a_secret_is_not_shown() {
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
            ("ROOMCAST_API_KEY", ""),
        ] {
            let problem = read(&[], &[("WEBUI_SECRET_KEY", "a"), (name, value)]).unwrap_err().to_string();
            assert!(problem.starts_with(name), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let settings = read(&[], &[("WEBUI_SECRET_KEY", "hunter2"), ("ROOMCAST_API_KEY", "hunter2")]).unwrap();
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
    }

    fn read(flags: &[&str], variables: &[(&'static str, &str)]) -> Result<Settings, Problem> {
        // Flags read ROOMCAST_* by themselves, which nobody sets for this test.
        let flags = Flags::try_parse_from([&["roomcast"], flags].concat()).unwrap();
        Settings::read(flags, &|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        })
    }
}
