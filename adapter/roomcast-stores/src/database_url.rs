//! `DATABASE_URL` as Open WebUI reads it, which is as SQLAlchemy reads it.
//!
//! It is not quite a URL: the path of an SQLite file is taken as it stands, three slashes make it relative and four
//! absolute, and only a user, a password and options are percent-encoded.
//!
//! Owns: the form and what it means. Must never know: how a connection is made. Neither its errors nor `Debug` show any
//! part of a password.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseUrl {
    /// An SQLite file on this machine.
    Sqlite {
        /// As it was given: a relative one counts from the working directory.
        path: PathBuf,
    },
    /// A PostgreSQL server, by its address.
    Postgres(PostgresUrl),
}

/// Where a PostgreSQL server is and how to speak with it. What is not given is libpq's default.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresUrl {
    /// A name, an address, or the folder of a Unix socket.
    pub host: Option<String>,
    /// The TCP port of the server.
    pub port: Option<u16>,
    /// The name of the role that connects.
    pub user: Option<String>,
    /// The password of that role.
    pub password: Option<String>,
    /// The name of the database.
    pub database: Option<String>,
    /// Whether to encrypt, and what to check.
    pub ssl_mode: Option<SslMode>,
    /// The file with the certificates of trusted authorities.
    pub ssl_root_cert: Option<PathBuf>,
    /// The client's certificate.
    pub ssl_cert: Option<PathBuf>,
    /// The client's key.
    pub ssl_key: Option<PathBuf>,
    /// What the server shows as the name of this client.
    pub application_name: Option<String>,
    /// Settings of the session: `-c name=value` of the option `options`.
    pub settings: Vec<(String, String)>,
}

/// Whether a connection is encrypted, and whether the server has to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SslMode {
    /// The connection is never encrypted.
    Disable,
    /// Encrypted if the server insists.
    Allow,
    /// Encrypted if the server can.
    Prefer,
    /// Always encrypted, with any certificate.
    Require,
    /// Encrypted, and the server's certificate is signed by a trusted authority.
    VerifyCa,
    /// Encrypted, and the server's certificate is signed by a trusted authority for this host name.
    VerifyFull,
}

/// Why a `DATABASE_URL` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseUrlError {
    /// The value is no URL: it contains no `://`.
    NoUrl,
    /// It names another kind of database.
    Kind,
    /// It names an encrypted SQLite file.
    Sqlcipher,
    /// An SQLite file has no host: there must be three slashes, or four.
    SqliteHost,
    /// It names a database in the memory of the process that made it.
    SqliteMemory,
    /// The file is named by a URI of SQLite.
    SqliteUri,
    /// User, host, port and database are not where they belong.
    Parts,
    /// A percent-encoded part is not UTF-8.
    Encoding,
    /// The port is no port.
    Port,
    /// `sslmode` has none of its values.
    SslMode,
    /// More than one host.
    Hosts,
    /// `channel_binding=require`.
    ChannelBinding,
    /// An option that is unknown here.
    Option,
}

impl DatabaseUrl {
    /// Reads a `DATABASE_URL`.
    ///
    /// # Errors
    ///
    /// See [`DatabaseUrlError`].
    pub fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(DatabaseUrlError::NoUrl)?;
        match scheme.split_once('+').map_or((scheme, ""), |parts| parts) {
            ("sqlite", driver) if driver.contains("sqlcipher") => Err(DatabaseUrlError::Sqlcipher),
            ("sqlite", _) => sqlite(rest),
            ("postgresql" | "postgres", _) => PostgresUrl::parse(rest).map(Self::Postgres),
            _ => Err(DatabaseUrlError::Kind),
        }
    }
}

impl PostgresUrl {
    fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        let (user, password, rest) = split_user(text);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (address, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_host(address)?;
        let mut url = Self {
            host: given(host).map(str::to_owned),
            port: given(port).map(|port| port.parse().map_err(|_| DatabaseUrlError::Port)).transpose()?,
            user: given(user).map(|user| decoded(user, Plus::IsPlus)).transpose()?,
            password: password.map(|password| decoded(password, Plus::IsPlus)).transpose()?,
            database: given(database).map(str::to_owned),
            ..Self::default()
        };
        let mut hosts = 0;
        for (key, value) in options(query) {
            let value = decoded(value, Plus::IsBlank)?;
            hosts += usize::from(key == "host");
            url.set(key, value)?;
        }
        if hosts > 1 || url.host.as_ref().is_some_and(|host| host.contains(',')) {
            return Err(DatabaseUrlError::Hosts);
        }
        Ok(url)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), DatabaseUrlError> {
        match key {
            "host" | "hostaddr" => self.host = Some(value),
            "port" => self.port = Some(value.parse().map_err(|_| DatabaseUrlError::Port)?),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "dbname" => self.database = Some(value),
            "sslmode" | "ssl" => self.ssl_mode = Some(SslMode::parse(&value)?),
            "sslrootcert" => self.ssl_root_cert = Some(value.into()),
            "sslcert" => self.ssl_cert = Some(value.into()),
            "sslkey" => self.ssl_key = Some(value.into()),
            "application_name" => self.application_name = Some(value),
            "options" => self.settings.extend(settings(&value)?),
            "channel_binding" if value == "require" => return Err(DatabaseUrlError::ChannelBinding),
            key if WITHOUT_MEANING.contains(&key) => {}
            _ => return Err(DatabaseUrlError::Option),
        }
        Ok(())
    }
}

impl SslMode {
    fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        match text {
            "disable" => Ok(Self::Disable),
            "allow" => Ok(Self::Allow),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(DatabaseUrlError::SslMode),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("ssl_mode", &self.ssl_mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for DatabaseUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUrl => "it is not of the form sqlite:///path or postgresql://user:password@host:port/database",
            Self::Kind => "only sqlite:// and postgresql:// are supported",
            Self::Sqlcipher => "an SQLite file that is encrypted by SQLCipher cannot be read",
            Self::SqliteHost => "the path of an SQLite file follows sqlite:///, and an absolute one sqlite:////",
            Self::SqliteMemory => "an SQLite database in memory belongs to the process that made it; name a file",
            Self::SqliteUri => "name an SQLite file by its path, not by file: and uri=true",
            Self::Parts => "it is not of the form postgresql://user:password@host:port/database",
            Self::Encoding => "a percent-encoded part of it is not UTF-8",
            Self::Port => "its port is not a number up to 65535",
            Self::SslMode => "sslmode is one of disable, allow, prefer, require, verify-ca and verify-full",
            Self::Hosts => "it must name one host",
            Self::ChannelBinding => "channel_binding=require is not supported",
            Self::Option => {
                "it has an unknown option; known are sslmode, sslrootcert, sslcert, sslkey, host, port, user, \
                 password, dbname, application_name and options, and for SQLite those of Python's sqlite3"
            }
        })
    }
}

impl Error for DatabaseUrlError {}

fn sqlite(rest: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match rest.strip_prefix('/') {
        Some(path) => path,
        None if rest.is_empty() => "",
        None => return Err(DatabaseUrlError::SqliteHost),
    };
    match path {
        "" | ":memory:" => return Err(DatabaseUrlError::SqliteMemory),
        _ if path.starts_with("file:") => return Err(DatabaseUrlError::SqliteUri),
        _ => {}
    }
    for (key, _) in options(query) {
        match key {
            "uri" => return Err(DatabaseUrlError::SqliteUri),
            key if OF_PYTHON.contains(&key) => {}
            _ => return Err(DatabaseUrlError::Option),
        }
    }
    Ok(DatabaseUrl::Sqlite { path: path.into() })
}

/// User, password and the rest. A user ends at the first colon or slash and a password at the first `@`; without an `@`
/// behind them neither is there.
fn split_user(text: &str) -> (&str, Option<&str>, &str) {
    let end = text.find([':', '/']).unwrap_or(text.len());
    let (user, rest) = text.split_at(end);
    if let Some((password, rest)) = rest.strip_prefix(':').and_then(|rest| rest.split_once('@')) {
        return (user, Some(password), rest);
    }
    match user.rfind('@') {
        Some(at) => (&text[..at], None, &text[at + 1..]),
        None => ("", None, text),
    }
}

/// Host and port. An IPv6 address is in brackets.
fn split_host(address: &str) -> Result<(&str, &str), DatabaseUrlError> {
    let (host, rest) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(DatabaseUrlError::Parts)?,
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if rest.is_empty() && !host.contains('@') => Ok((host, "")),
        None => Err(DatabaseUrlError::Parts),
    }
}

/// Keys and values of a query; an option without a value is none.
fn options(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|option| option.split_once('=')).filter(|(_, value)| !value.is_empty())
}

/// What `-c name=value` and `--name=value` say.
fn settings(text: &str) -> Result<Vec<(String, String)>, DatabaseUrlError> {
    let mut found = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let setting = match word {
            "-c" => words.next(),
            _ => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")),
        };
        let (name, value) = setting.and_then(|text| text.split_once('=')).ok_or(DatabaseUrlError::Option)?;
        found.push((name.to_owned(), value.to_owned()));
    }
    Ok(found)
}

/// What a plus sign stands for.
#[derive(Clone, Copy, PartialEq)]
enum Plus {
    IsPlus,
    IsBlank,
}

/// A percent sign that no two hex digits follow stands for itself.
fn decoded(text: &str, plus: Plus) -> Result<String, DatabaseUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (b'+', _) if plus == Plus::IsBlank => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).map_err(|_| DatabaseUrlError::Encoding)
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Options of libpq that change nothing here, or nothing that has to be kept.
const WITHOUT_MEANING: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslsni",
    "tcp_user_timeout",
];

/// Options of Python's `sqlite3.connect`, which are about Python.
const OF_PYTHON: &[&str] =
    &["cached_statements", "check_same_thread", "detect_types", "factory", "isolation_level", "timeout"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_files_are_relative_or_absolute() {
        for (text, path) in [
            ("sqlite:///webui.db", "webui.db"),
            ("sqlite:///../data/webui.db", "../data/webui.db"),
            ("sqlite:////app/backend/data/webui.db", "/app/backend/data/webui.db"),
            ("sqlite+pysqlite:////a b/100%25.db?timeout=30&check_same_thread=false", "/a b/100%25.db"),
            (" sqlite+aiosqlite:///a@b:c.db\n", "a@b:c.db"),
        ] {
            assert_eq!(DatabaseUrl::parse(text), Ok(DatabaseUrl::Sqlite { path: path.into() }), "{text}");
        }
    }

    #[test]
    fn servers_are_taken_apart() {
        let url = postgres("postgresql://bob:p%40ss%2Fw+rd%25@db.example:5433/webui?sslmode=verify-full");
        assert_eq!(url.host.as_deref(), Some("db.example"));
        assert_eq!(url.port, Some(5433));
        assert_eq!(url.user.as_deref(), Some("bob"));
        assert_eq!(url.password.as_deref(), Some("p@ss/w+rd%"));
        assert_eq!(url.database.as_deref(), Some("webui"));
        assert_eq!(url.ssl_mode, Some(SslMode::VerifyFull));

        let url = postgres("postgresql+psycopg2://bob:a:/?b@[::1]:5432/a%20b");
        assert_eq!((url.host.as_deref(), url.password.as_deref()), (Some("::1"), Some("a:/?b")));
        assert_eq!(url.database.as_deref(), Some("a%20b"));

        for text in ["postgres://host", "postgresql://host/", "postgresql+psycopg://host:/"] {
            assert_eq!(postgres(text), PostgresUrl { host: Some("host".into()), ..PostgresUrl::default() }, "{text}");
        }
        let url = postgres("postgresql://bob%40corp@host/d");
        assert_eq!((url.user.as_deref(), url.password), (Some("bob@corp"), None));
        assert_eq!(postgres("postgresql://"), PostgresUrl::default());
        assert_eq!(postgres("postgresql://bob:@host").password.as_deref(), Some(""));
    }

    #[test]
    fn options_are_kept_or_refused() {
        let url = postgres(
            "postgresql:///webui?host=/var/run/postgresql&user=u&password=p%2B+q&sslrootcert=/ca.pem&sslcert=/c.pem\
             &sslkey=/k.pem&application_name=room&connect_timeout=10&keepalives=1&channel_binding=prefer&port=\
             &options=-csearch_path%3Dapp%20-c%20a%3Db%3Dc+--d%3De",
        );
        assert_eq!(url.host.as_deref(), Some("/var/run/postgresql"));
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("u"), Some("p+ q")));
        assert_eq!(url.port, None);
        assert_eq!(url.application_name.as_deref(), Some("room"));
        let paths = [&url.ssl_root_cert, &url.ssl_cert, &url.ssl_key].map(|path| path.clone().unwrap());
        assert_eq!(paths, ["/ca.pem", "/c.pem", "/k.pem"].map(PathBuf::from));
        let settings = [("search_path", "app"), ("a", "b=c"), ("d", "e")];
        assert_eq!(url.settings, settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (text, mode) in [
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
        ] {
            assert_eq!(postgres(&format!("postgresql://h/d?ssl={text}")).ssl_mode, Some(mode));
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, error) in [
            ("", DatabaseUrlError::NoUrl),
            ("webui.db", DatabaseUrlError::NoUrl),
            ("sqlite:webui.db", DatabaseUrlError::NoUrl),
            ("mysql://u:p@h/d", DatabaseUrlError::Kind),
            ("://", DatabaseUrlError::Kind),
            ("sqlite+sqlcipher:///webui.db", DatabaseUrlError::Sqlcipher),
            ("sqlite+pysqlcipher:///webui.db", DatabaseUrlError::Sqlcipher),
            ("sqlite://webui.db", DatabaseUrlError::SqliteHost),
            ("sqlite://", DatabaseUrlError::SqliteMemory),
            ("sqlite:///", DatabaseUrlError::SqliteMemory),
            ("sqlite:///:memory:", DatabaseUrlError::SqliteMemory),
            ("sqlite:///file:webui.db?uri=true", DatabaseUrlError::SqliteUri),
            ("sqlite:///webui.db?uri=true", DatabaseUrlError::SqliteUri),
            ("sqlite:///webui.db?mode=ro", DatabaseUrlError::Option),
            ("postgresql://u:p@@h/d", DatabaseUrlError::Parts),
            ("postgresql://[::1/d", DatabaseUrlError::Parts),
            ("postgresql://[::1]x/d", DatabaseUrlError::Parts),
            ("postgresql://u:p%ff@h/d", DatabaseUrlError::Encoding),
            ("postgresql://u:p@h:65536/d", DatabaseUrlError::Port),
            ("postgresql://h/d?port=x", DatabaseUrlError::Port),
            ("postgresql://h/d?sslmode=yes", DatabaseUrlError::SslMode),
            ("postgresql://h/d?host=a&host=b", DatabaseUrlError::Hosts),
            ("postgresql://a,b/d", DatabaseUrlError::Hosts),
            ("postgresql://h/d?channel_binding=require", DatabaseUrlError::ChannelBinding),
            ("postgresql://h/d?passfile=x", DatabaseUrlError::Option),
            ("postgresql://h/d?options=-x", DatabaseUrlError::Option),
            ("postgresql://h/d?options=-c", DatabaseUrlError::Option),
        ] {
            assert_eq!(DatabaseUrl::parse(text), Err(error), "{text}");
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_percent_sign_may_stand_alone() {
        assert_eq!(decoded("100%", Plus::IsPlus).as_deref(), Ok("100%"));
        assert_eq!(decoded("%4x%e2%82%aC", Plus::IsPlus).as_deref(), Ok("%4x€"));
    }

    #[test]
    fn the_password_is_not_shown() {
        let url = DatabaseUrl::parse("postgresql://bob:hunter2@host/d?password=hunter2").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        assert!(format!("{url:?}").contains("host"));
    }

    fn postgres(text: &str) -> PostgresUrl {
        match DatabaseUrl::parse(text).unwrap() {
            DatabaseUrl::Postgres(url) => url,
            DatabaseUrl::Sqlite { path } => panic!("{path:?}"),
        }
    }
}
