//! Open WebUI's variables, one by one.
//!
//! Owns: their forms and defaults. Must never know: where they are kept, or what else is set.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use roomcast_openwebui::AdminChats;
use roomcast_stores::DatabaseUrl;
use roomcast_tokio::{Origins, Transports};
use tracing::level_filters::LevelFilter;

use super::{Secret, levels};

/// A look into the environment. What is empty is as if it were not set, as a compose file leaves it.
pub(super) struct Environment<'a>(pub(super) &'a dyn Fn(&'static str) -> Option<OsString>);

/// A variable that makes no sense. Its value is not shown: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    variable: &'static str,
    what: String,
}

impl Problem {
    /// What is wrong with a variable.
    pub(super) fn new(variable: &'static str, what: impl Into<String>) -> Self {
        Self { variable, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.what)
    }
}

impl std::error::Error for Problem {}

impl Environment<'_> {
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.raw(name)?.filter(|text| !text.is_empty()))
    }

    /// One that is set and empty is a mistake that would be paid for dearly.
    pub(super) fn secret(&self, name: &'static str) -> Result<Option<Secret>, Problem> {
        match self.raw(name)?.as_deref() {
            None => Ok(None),
            Some("") => Err(Problem::new(name, "is empty; set it or leave it out")),
            Some(PUBLISHED_SECRET) => {
                Err(Problem::new(name, "is a published default that everybody knows; choose a secret"))
            }
            Some(text) => Ok(Some(Secret::of(text))),
        }
    }

    pub(super) fn transports(&self) -> Result<Transports, Problem> {
        let name = "ENABLE_WEBSOCKET_SUPPORT";
        match self.text(name)?.map(|text| text.to_ascii_lowercase()).as_deref() {
            None => Ok(Transports::Both),
            Some("true") => Ok(Transports::WebSocket),
            Some("false") => Ok(Transports::Polling),
            Some(_) => Err(Problem::new(name, "must be True or False, or not be set for both transports")),
        }
    }

    /// Whether admins may read the chats of others.
    pub(super) fn admin_chats(&self) -> Result<AdminChats, Problem> {
        let name = "ENABLE_ADMIN_CHAT_ACCESS";
        match self.text(name)?.map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("true") => Ok(AdminChats::Readable),
            Some("false") => Ok(AdminChats::Closed),
            Some(_) => Err(Problem::new(name, "must be True or False, or not be set for True")),
        }
    }

    pub(super) fn seconds(&self, name: &'static str, default: u64) -> Result<Duration, Problem> {
        let Some(text) = self.text(name)? else { return Ok(Duration::from_secs(default)) };
        match text.trim().parse() {
            Ok(seconds @ 1..=SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
            Ok(_) | Err(_) => Err(Problem::new(name, format!("must be a number of seconds from 1 to {SECONDS_MAX}"))),
        }
    }

    pub(super) fn origins(&self) -> Result<Origins, Problem> {
        let name = "CORS_ALLOW_ORIGIN";
        let text = self.text(name)?.unwrap_or_else(|| "*".to_owned());
        let parts: Vec<_> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.contains(&"*") {
            return Ok(Origins::Any);
        }
        if parts.is_empty() || !parts.iter().all(|part| is_origin(part)) {
            let what = "must be * or origins like https://chat.example.org, with ';' between them and no path";
            return Err(Problem::new(name, what));
        }
        // Browsers write them so.
        Ok(Origins::List(parts.iter().map(|part| part.to_ascii_lowercase()).collect()))
    }

    pub(super) fn level(&self, name: &'static str) -> Result<Option<LevelFilter>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match levels::python(text.trim()) {
            Some(level) => Ok(Some(level)),
            None => Err(Problem::new(name, format!("must be one of {}", levels::PYTHON_NAMES.join(", ")))),
        }
    }

    pub(super) fn database(&self) -> Result<Option<DatabaseUrl>, Problem> {
        let name = "DATABASE_URL";
        let Some(text) = self.text(name)? else { return Ok(None) };
        DatabaseUrl::parse(&text).map(Some).map_err(|error| Problem::new(name, format!("cannot be used: {error}")))
    }

    /// The first variable that names a Redis.
    pub(super) fn redis(&self) -> Result<Option<&'static str>, Problem> {
        for name in REDIS {
            if self.text(name)?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn raw(&self, name: &'static str) -> Result<Option<String>, Problem> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        value.into_string().map(Some).map_err(|_| Problem::new(name, "is not UTF-8"))
    }
}

/// Scheme and host, perhaps a port, and nothing else.
fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(&&*scheme.to_ascii_lowercase()));
    host.is_some_and(|(_, host)| !host.is_empty() && !host.contains(['/', '?', '#', ' ', ',', '*', '@']))
}

/// What Open WebUI 0.6.41 signs with if nobody tells it a secret.
const PUBLISHED_SECRET: &str = "t0p-s3cr3t";
const SECONDS_MAX: u64 = 86_400;
const REDIS: [&str; 5] =
    ["WEBSOCKET_REDIS_URL", "REDIS_URL", "WEBSOCKET_MANAGER", "WEBSOCKET_SENTINEL_HOSTS", "REDIS_SENTINEL_HOSTS"];
