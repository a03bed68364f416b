//! Open WebUI's variables, one by one.
//!
//! Owns: their forms and defaults. Must never know: what a value is used for.

use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use roomcast_openwebui::query::{Features, Mfa, Permission};
use roomcast_openwebui::{AdminChats, EncryptedChannels};
use roomcast_stores::{DatabaseUrl, StoredConfig};
use roomcast_tokio::{Origins, Transports};
use tracing::level_filters::LevelFilter;

use super::levels;
use super::secret::{Secret, api_key_fault, signing_key_fault};

/// Read access to the environment. An empty variable counts as unset, because compose files leave such ones behind.
pub(super) struct Environment<'a>(pub(super) &'a dyn Fn(&'static str) -> Option<OsString>);

/// A setting that cannot be used. Its value is not shown: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    setting: &'static str,
    what: String,
}

impl Problem {
    /// `what` is wrong with the variable or flag named `setting`.
    pub(super) fn new(setting: &'static str, what: impl Into<String>) -> Self {
        Self { setting, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.what)
    }
}

impl std::error::Error for Problem {}

impl Environment<'_> {
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.raw(name)?.filter(|text| !text.is_empty()))
    }

    /// The key that signs tokens: from a variable or, as Open WebUI's start scripts do it, from a file.
    pub(super) fn signing_key(&self) -> Result<Option<Secret>, Problem> {
        let mut is_empty = None;
        for name in ["WEBUI_SECRET_KEY", "WEBUI_JWT_SECRET_KEY"] {
            match self.raw(name)? {
                None => {}
                Some(text) if text.is_empty() => is_empty = is_empty.or(Some(name)),
                Some(text) => return sound_signing_key(name, text).map(Some),
            }
        }
        let name = "WEBUI_SECRET_KEY_FILE";
        let file = match self.text(name)? {
            Some(path) => Some(path),
            None => Path::new(GENERATED_KEY_FILE).exists().then(|| GENERATED_KEY_FILE.to_owned()),
        };
        match (file, is_empty) {
            (Some(path), _) => {
                let text = read_key(&path)
                    .map_err(|error| Problem::new(name, format!("names {path}, which cannot be read: {error}")))?;
                sound_signing_key(name, text).map(Some)
            }
            // An empty secret is a mistake with consequences.
            (None, Some(name)) => sound_signing_key(name, String::new()).map(Some),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn api_key(&self) -> Result<Option<Secret>, Problem> {
        let name = "ROOMCAST_API_KEY";
        match self.raw(name)? {
            None => Ok(None),
            Some(text) => match api_key_fault(&text) {
                Some(fault) => Err(Problem::new(name, fault)),
                None => Ok(Some(Secret::new(text))),
            },
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
        Ok(if self.is_true("ENABLE_ADMIN_CHAT_ACCESS")? { AdminChats::Readable } else { AdminChats::Closed })
    }

    /// What users have where the configuration in the database does not say.
    pub(super) fn features_default(&self) -> Result<Features, Problem> {
        let permission = |is_granted| if is_granted { Permission::Granted } else { Permission::Denied };
        Ok(Features {
            notes: permission(self.is_true("USER_PERMISSIONS_FEATURES_NOTES")?),
            channels: permission(self.is_true("USER_PERMISSIONS_FEATURES_CHANNELS")?),
            encrypted_channels: permission(self.switch("USER_PERMISSIONS_FEATURES_ENCRYPTED_CHANNELS", false)?),
        })
    }

    /// Whether there are channels, and whether they may be encrypted, where the configuration in the database does not say.
    pub(super) fn channels_default(&self) -> Result<(Permission, Permission), Problem> {
        let permission = |is_granted| if is_granted { Permission::Granted } else { Permission::Denied };
        let channels = self.switch("ENABLE_CHANNELS", false)?;
        Ok((permission(channels), permission(self.switch("ENABLE_ENCRYPTED_CHANNELS", false)?)))
    }

    /// Whether conversations of encrypted channels are served: not where Open WebUI's own server would log them.
    pub(super) fn encrypted_channels(&self) -> Result<EncryptedChannels, Problem> {
        let is_logged = self.switch("WEBSOCKET_SERVER_LOGGING", false)?
            || self.switch("WEBSOCKET_SERVER_ENGINEIO_LOGGING", false)?;
        Ok(match self.text("ENV")?.as_deref() {
            _ if is_logged => EncryptedChannels::Refused,
            Some("prod") => EncryptedChannels::ServedByTls,
            Some(_) | None => EncryptedChannels::Served,
        })
    }

    /// When a second factor is needed where the configuration in the database does not say.
    pub(super) fn mfa_default(&self) -> Result<Mfa, Problem> {
        Ok(Mfa {
            is_required: self.switch("ENABLE_MFA", false)?,
            oauth_is_exempt: self.switch("MFA_ALLOW_OAUTH_BYPASS", false)?,
            trusted_header_is_exempt: self.switch("MFA_ALLOW_TRUSTED_HEADER_BYPASS", false)?,
            is_set_up: false,
        })
    }

    /// Whether the configuration in the database counts.
    pub(super) fn stored_config(&self) -> Result<StoredConfig, Problem> {
        Ok(if self.is_true("ENABLE_PERSISTENT_CONFIG")? { StoredConfig::Read } else { StoredConfig::Ignored })
    }

    /// Time after its last heartbeat for which a session counts: as Open WebUI 0.12 has it, four intervals and 120 s at
    /// least.
    pub(super) fn idle_after(&self) -> Result<Duration, Problem> {
        let text = self.text("WEBSOCKET_HEARTBEAT_INTERVAL")?;
        // Not a number is its default, and no mistake.
        let interval = text.map_or(0, |text| text.trim().parse::<i64>().map_or(30, |seconds| seconds.clamp(5, 90)));
        Ok(Duration::from_secs(interval.unsigned_abs().saturating_mul(4).max(120)))
    }

    pub(super) fn seconds(&self, name: &'static str, default: u64) -> Result<Duration, Problem> {
        let Some(text) = self.text(name)? else { return Ok(Duration::from_secs(default)) };
        match text.trim().parse() {
            Ok(seconds @ 1..=SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
            Ok(_) | Err(_) => Err(Problem::new(name, format!("must be a number of seconds from 1 to {SECONDS_MAX}"))),
        }
    }

    /// How long tokens live: numbers with units, as in `1d12h`; `-1` and `0` mean without end.
    pub(super) fn token_lifetime(&self) -> Result<Option<Duration>, Problem> {
        let name = "JWT_EXPIRES_IN";
        let text = self.text(name)?.unwrap_or_else(|| "4w".to_owned());
        match lifetime_millis(text.trim()) {
            Some(0) => Ok(None),
            // Claims of tokens are whole seconds.
            Some(millis) => Ok(Some(Duration::from_secs(millis.div_ceil(1000)))),
            None => Err(Problem::new(name, "must be like 4w, 1d12h, 30m, or -1 for no end")),
        }
    }

    pub(super) fn origins(&self) -> Result<Origins, Problem> {
        let name = "CORS_ALLOW_ORIGIN";
        let text = self.text(name)?.unwrap_or_else(|| "*".to_owned());
        let parts: Vec<_> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.contains(&"*") {
            return Ok(Origins::Any);
        }
        let schemes = self.origin_schemes()?;
        if parts.is_empty() || !parts.iter().all(|part| is_origin(part, &schemes)) {
            let what = format!(
                "must be * or origins like https://chat.example.org, with ';' between them and no path; their schemes \
                 may be {}",
                schemes.join(", ")
            );
            return Err(Problem::new(name, what));
        }
        // Browsers send origins in lower case.
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
        let (name, url) = match self.database_parts()? {
            Some(url) => ("DATABASE_TYPE", Some(url)),
            None => ("DATABASE_URL", self.text("DATABASE_URL")?),
        };
        let parse = |text: String| DatabaseUrl::parse(&text);
        url.map(parse).transpose().map_err(|error| Problem::new(name, format!("cannot be used: {error}")))
    }

    /// The parts of a database's address that are set although others are missing. Open WebUI and roomcast ignore such
    /// parts.
    pub(super) fn ignored_database_parts(&self) -> Result<Vec<&'static str>, Problem> {
        if self.text("DATABASE_URL")?.is_some() || self.database_parts()?.is_some() {
            return Ok(Vec::new());
        }
        let mut set = Vec::new();
        for name in DATABASE_PARTS {
            if self.text(name)?.is_some() {
                set.push(name);
            }
        }
        Ok(set)
    }

    /// The address put together as Open WebUI does it, if all parts of it are set.
    fn database_parts(&self) -> Result<Option<String>, Problem> {
        let mut parts = [const { None }; DATABASE_PARTS.len()];
        for (part, name) in parts.iter_mut().zip(DATABASE_PARTS) {
            *part = self.text(name)?;
        }
        let [kind, host, port, database, user, password] = parts;
        let password = password.map(|password| format!(":{password}"));
        let credentials = match (user, password) {
            (None, None) => None,
            (user, password) => Some(user.unwrap_or_default() + &password.unwrap_or_default()),
        };
        match (kind, credentials, host, port, database) {
            (Some(kind), Some(credentials), Some(host), Some(port), Some(database)) => {
                Ok(Some(format!("{kind}://{credentials}@{host}:{port}/{database}")))
            }
            (Some(kind), ..) if kind == SQLCIPHER && self.text("DATABASE_URL")?.is_none() => {
                Ok(Some(format!("{SQLCIPHER}:///webui.db")))
            }
            _ => Ok(None),
        }
    }

    /// Schemes that origins may have.
    fn origin_schemes(&self) -> Result<Vec<String>, Problem> {
        let own = self.text("CORS_ALLOW_CUSTOM_SCHEME")?.unwrap_or_default();
        let own = own.split(';').map(|scheme| scheme.trim().to_ascii_lowercase()).filter(|scheme| !scheme.is_empty());
        Ok(["http", "https"].map(str::to_owned).into_iter().chain(own).collect())
    }

    /// A switch with this default.
    pub(super) fn switch(&self, name: &'static str, default: bool) -> Result<bool, Problem> {
        match self.text(name)?.map(|text| text.to_ascii_lowercase()).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Problem::new(name, "must be True or False, or not be set")),
        }
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

    /// A switch that is on unless it is turned off.
    fn is_true(&self, name: &'static str) -> Result<bool, Problem> {
        match self.text(name)?.map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Problem::new(name, "must be True or False, or not be set for True")),
        }
    }

    fn raw(&self, name: &'static str) -> Result<Option<String>, Problem> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        value.into_string().map(Some).map_err(|_| Problem::new(name, "is not UTF-8"))
    }
}

fn sound_signing_key(name: &'static str, text: String) -> Result<Secret, Problem> {
    match signing_key_fault(&text) {
        Some(fault) => Err(Problem::new(name, fault)),
        None => Ok(Secret::new(text)),
    }
}

/// The text of a key file without the line ends after it, as a shell reads it.
fn read_key(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

/// The sum of numbers with units, each perhaps with a fraction; 0 for no end.
fn lifetime_millis(text: &str) -> Option<u64> {
    if text == "-1" || text == "0" {
        return Some(0);
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let number = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (digits, more) = rest.split_at(number);
        let unit = more.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(more.len());
        let (unit, more) = more.split_at(unit);
        let unit_millis = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let tenths = fraction.get(..1)?.parse::<u64>().ok()?;
        let millis = whole.parse::<u64>().ok()?.checked_mul(unit_millis)?.checked_add(tenths * unit_millis / 10)?;
        sum = sum.checked_add(millis)?;
        rest = more;
    }
    (sum > 0).then_some(sum)
}

/// Scheme and host, perhaps a port, and nothing else.
fn is_origin(text: &str, schemes: &[String]) -> bool {
    let host = text.split_once("://").filter(|(scheme, _)| schemes.contains(&scheme.to_ascii_lowercase()));
    host.is_some_and(|(_, host)| !host.is_empty() && !host.contains(['/', '?', '#', ' ', ',', '*', '@']))
}

/// Where Open WebUI's start scripts keep the secret that they generate.
const GENERATED_KEY_FILE: &str = ".webui_secret_key";
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
const DATABASE_PARTS: [&str; 6] =
    ["DATABASE_TYPE", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD"];
const SQLCIPHER: &str = "sqlite+sqlcipher";
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
const SECONDS_MAX: u64 = 86_400;
const REDIS: [&str; 5] =
    ["WEBSOCKET_REDIS_URL", "REDIS_URL", "WEBSOCKET_MANAGER", "WEBSOCKET_SENTINEL_HOSTS", "REDIS_SENTINEL_HOSTS"];
