//! Where Redis is, as operators and Open WebUI write it.
//!
//! Owns: [`RedisUrl`] and its parsing. Must never know: how to connect.

/// The servers of a Redis, with credentials, database and whether connections are encrypted.
///
/// * `redis://[user[:password]@]host[:port][/db]`, `rediss://` with TLS, `valkey://`, `valkeys://`;
/// * `unix:///path/to/socket?db=0`;
/// * `redis+sentinel://[user[:password]@]host[:port],host[:port]…[/db[/service]]`, as python-socketio writes it.
///
/// ```
/// use roomcast_redis::RedisUrl;
///
/// let url = RedisUrl::parse("redis://:secret@cache.example:6380/2")?;
/// assert_eq!(url.to_string(), "redis://cache.example:6380/2");
/// // With Sentinels, the host is the name of the primary.
/// let url = RedisUrl::parse("redis://mymaster/0")?.with_sentinels("s1,s2:26380", 26379)?;
/// assert_eq!(url.to_string(), "redis+sentinel://s1:26379,s2:26380/0/mymaster");
/// # Ok::<(), roomcast_redis::RedisUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(crate) servers: Servers,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: i64,
    pub(crate) tls: TlsUse,
}

/// Which servers there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    One(Address),
    Unix(String),
    Sentinel { sentinels: Vec<Address>, service: String },
    Cluster(Vec<Address>),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsUse {
    Plain,
    /// The server must show a certificate for its host name.
    Verified,
    /// Any certificate will do: `ssl_cert_reqs=none`, as redis-py calls it.
    Unverified,
}

impl RedisUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// It is not one of a Redis: what is wrong with it. The texts hold no password.
    pub fn parse(url: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(RedisUrlError::Scheme)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if scheme == "unix" {
            return Self::unix(rest, query);
        }
        let tls = match scheme {
            "redis" | "valkey" | "redis+sentinel" => TlsUse::Plain,
            "rediss" | "valkeys" | "rediss+sentinel" => TlsUse::of(query),
            _ => return Err(RedisUrlError::Scheme),
        };
        // A password may hold a slash, a host not.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (username, password) = credentials(login)?;
        let (db, service) = path.split_once('/').unwrap_or((path, ""));
        let servers = if scheme.ends_with("+sentinel") {
            let service = if service.is_empty() { DEFAULT_SERVICE.to_owned() } else { decode(service)? };
            Servers::Sentinel { sentinels: addresses(hosts, SENTINEL_PORT)?, service }
        } else {
            let mut hosts = addresses(if hosts.is_empty() { "localhost" } else { hosts }, REDIS_PORT)?;
            if hosts.len() == 1 { Servers::One(hosts.swap_remove(0)) } else { Servers::Cluster(hosts) }
        };
        Ok(Self { servers, username, password, db: database(db)?, tls })
    }

    /// The primary that these Sentinels name, in place of the server: its host becomes the name of the service, as in the
    /// settings of Open WebUI. `hosts` are separated by commas; those without a port get `port`.
    ///
    /// # Errors
    ///
    /// The list is empty or holds what is no host.
    pub fn with_sentinels(mut self, hosts: &str, port: u16) -> Result<Self, RedisUrlError> {
        let service = match self.servers {
            Servers::One(address) => address.host,
            Servers::Sentinel { service, .. } => service,
            Servers::Unix(_) | Servers::Cluster(_) => DEFAULT_SERVICE.to_owned(),
        };
        self.servers = Servers::Sentinel { sentinels: addresses(hosts, port)?, service };
        Ok(self)
    }

    /// A Redis Cluster, of which this server is one node. Other nodes are found by asking it.
    ///
    /// # Errors
    ///
    /// It is behind Sentinels or a socket of the file system, which no cluster is.
    pub fn as_cluster(mut self) -> Result<Self, RedisUrlError> {
        self.servers = match self.servers {
            Servers::One(address) => Servers::Cluster(vec![address]),
            Servers::Cluster(nodes) => Servers::Cluster(nodes),
            Servers::Sentinel { .. } | Servers::Unix(_) => return Err(RedisUrlError::NoCluster),
        };
        Ok(self)
    }

    fn unix(path: &str, query: &str) -> Result<Self, RedisUrlError> {
        let (login, path) = path.rsplit_once('@').map_or((None, path), |(login, path)| (Some(login), path));
        let (username, password) = credentials(login)?;
        let db = database(param(query, "db").unwrap_or_default())?;
        Ok(Self { servers: Servers::Unix(decode(path)?), username, password, db, tls: TlsUse::Plain })
    }
}

impl TlsUse {
    fn of(query: &str) -> Self {
        if param(query, "ssl_cert_reqs") == Some("none") { Self::Unverified } else { Self::Verified }
    }
}

/// Without user name and password.
impl std::fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secure = if self.tls == TlsUse::Plain { "" } else { "s" };
        match &self.servers {
            Servers::One(address) => write!(f, "redis{secure}://{address}/{}", self.db),
            Servers::Unix(path) => write!(f, "unix://{path}?db={}", self.db),
            Servers::Sentinel { sentinels, service } => {
                write!(f, "redis{secure}+sentinel://{}/{}/{service}", List(sentinels), self.db)
            }
            Servers::Cluster(nodes) => write!(f, "redis{secure}://{} (cluster)", List(nodes)),
        }
    }
}

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Addresses with commas in between.
struct List<'a>(&'a [Address]);

impl std::fmt::Display for List<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            address.fmt(f)?;
        }
        Ok(())
    }
}

/// Why a URL is none of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisUrlError {
    /// It begins with something else.
    Scheme,
    /// A host or a port is none.
    Host,
    /// The database is not a number.
    Database,
    /// A percent sign is not followed by two hexadecimal digits, or the result is not UTF-8.
    Escape,
    /// Sentinels and sockets of the file system lead to no cluster.
    NoCluster,
}

impl std::fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a Redis URL begins with redis://, rediss://, unix:// or redis+sentinel://",
            Self::Host => "the Redis URL names a host or a port that is none",
            Self::Database => "the database of the Redis URL is not a number",
            Self::Escape => "the Redis URL has a percent sign that escapes nothing",
            Self::NoCluster => "a Redis Cluster is behind neither Sentinels nor a socket of the file system",
        })
    }
}

impl std::error::Error for RedisUrlError {}

fn credentials(login: Option<&str>) -> Result<(Option<String>, Option<String>), RedisUrlError> {
    let Some(login) = login else { return Ok((None, None)) };
    let (username, password) = login.split_once(':').map_or((login, None), |(name, word)| (name, Some(word)));
    let named = |text: &str| if text.is_empty() { Ok(None) } else { decode(text).map(Some) };
    Ok((named(username)?, password.map_or(Ok(None), named)?))
}

fn addresses(list: &str, default_port: u16) -> Result<Vec<Address>, RedisUrlError> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let found: Vec<Address> = parts.map(|part| address(part, default_port)).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(RedisUrlError::Host) } else { Ok(found) }
}

fn address(text: &str, default_port: u16) -> Result<Address, RedisUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(RedisUrlError::Host)?;
            (host, rest.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(RedisUrlError::Host)?,
        None => default_port,
    };
    let host = decode(host)?;
    if host.is_empty() || host.contains(char::is_whitespace) {
        Err(RedisUrlError::Host)
    } else {
        Ok(Address { host, port })
    }
}

fn database(text: &str) -> Result<i64, RedisUrlError> {
    let text = text.trim_end_matches('/');
    if text.is_empty() { Ok(0) } else { text.parse().ok().filter(|db| *db >= 0).ok_or(RedisUrlError::Database) }
}

fn param<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, value)| value)
}

/// Takes percent escapes out.
fn decode(text: &str) -> Result<String, RedisUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(RedisUrlError::Escape)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| RedisUrlError::Escape)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| RedisUrlError::Escape)
}

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// What Open WebUI and most guides call the primary.
const DEFAULT_SERVICE: &str = "mymaster";

#[cfg(test)]
mod tests {
    use super::*;

    fn one(host: &str, port: u16) -> Servers {
        Servers::One(Address { host: host.into(), port })
    }

    #[test]
    fn a_url_says_server_login_database_and_encryption() {
        let url = RedisUrl::parse("rediss://us%40er:p%2Fw%3A@db.example:7000/3").unwrap();
        assert_eq!(url.servers, one("db.example", 7000));
        assert_eq!((url.username.as_deref(), url.password.as_deref()), (Some("us@er"), Some("p/w:")));
        assert_eq!((url.db, url.tls), (3, TlsUse::Verified));
        assert_eq!(RedisUrl::parse("redis://[::1]:1").unwrap().servers, one("::1", 1));
        assert_eq!(RedisUrl::parse("redis://").unwrap().servers, one("localhost", 6379));
        assert_eq!(RedisUrl::parse("rediss://h?ssl_cert_reqs=none").unwrap().tls, TlsUse::Unverified);
        let unix = RedisUrl::parse("unix://:secret@/run/redis.sock?db=4").unwrap();
        assert_eq!((unix.servers, unix.db), (Servers::Unix("/run/redis.sock".into()), 4));
        assert_eq!(unix.password.as_deref(), Some("secret"));
    }

    #[test]
    fn a_password_may_stand_alone_and_hold_what_separates() {
        let url = RedisUrl::parse("redis://:a@b/c@host").unwrap();
        assert_eq!((url.username, url.password.as_deref()), (None, Some("a@b/c")));
        assert_eq!(url.servers, one("host", 6379));
    }

    #[test]
    fn sentinels_come_by_the_url_or_beside_it() {
        let expected = Servers::Sentinel {
            sentinels: vec![Address { host: "a".into(), port: 26379 }, Address { host: "b".into(), port: 5 }],
            service: "room".into(),
        };
        assert_eq!(RedisUrl::parse("redis+sentinel://u:p@a,b:5/1/room").unwrap().servers, expected);
        assert_eq!(
            RedisUrl::parse("redis://room").unwrap().with_sentinels(" a , b:5", 26379).unwrap().servers,
            expected
        );
        assert_eq!(RedisUrl::parse("redis://room").unwrap().with_sentinels("", 1), Err(RedisUrlError::Host));
        let of_cluster = RedisUrl::parse("redis+sentinel://a").unwrap().as_cluster();
        assert_eq!(of_cluster, Err(RedisUrlError::NoCluster));
    }

    #[test]
    fn what_is_no_redis_url_is_refused_by_what_is_wrong_with_it() {
        let error = |url: &str| RedisUrl::parse(url).unwrap_err();
        assert_eq!(error("http://host"), RedisUrlError::Scheme);
        assert_eq!(error("host:6379"), RedisUrlError::Scheme);
        assert_eq!(error("redis://host:port"), RedisUrlError::Host);
        assert_eq!(error("redis://host:0"), RedisUrlError::Host);
        assert_eq!(error("redis://host/name"), RedisUrlError::Database);
        assert_eq!(error("redis://host/-1"), RedisUrlError::Database);
        assert_eq!(error("redis://:%zz@host"), RedisUrlError::Escape);
    }

    #[test]
    fn secrets_are_never_shown() {
        for url in ["redis://user:hidden@h", "redis+sentinel://user:hidden@h", "unix://:hidden@/s"] {
            let url = RedisUrl::parse(url).unwrap();
            assert!(!format!("{url} {url:?}").contains("hidden"));
        }
    }
}
