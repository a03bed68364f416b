//! What can be wrong with a Redis, as an operator needs to hear it.
//!
//! Owns: [`RedisFault`] and how errors of the client library map to it. Must never know: what was asked.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What is wrong with Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisFault {
    /// It cannot be reached, or the connection has ended.
    Unreachable(String),
    /// It does not answer in time.
    TimedOut,
    /// It refuses the user name or the password, or wants one.
    Unauthorised(String),
    /// The user may not do this: its ACL.
    Denied(String),
    /// It is there and cannot serve yet or any more: it loads its data, is a replica, or its cluster is down.
    NotReady(String),
    /// No Sentinel names a primary of this name.
    NoPrimary(String),
    /// It speaks RESP2 alone: it is older than Redis 6.
    TooOld,
    /// Something else.
    Other(String),
}

impl RedisFault {
    /// Trying again does not help before a setting is changed.
    pub const fn is_setting(&self) -> bool {
        matches!(self, Self::Unauthorised(_) | Self::Denied(_) | Self::TooOld)
    }
}

impl From<&RedisError> for RedisFault {
    fn from(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let text = error.to_string();
        // The library's kinds grow with its versions.
        let (kind, code) = (error.kind(), error.code());
        let is_of = |kinds: &[ServerErrorKind]| kinds.iter().any(|known| kind == ErrorKind::Server(*known));
        if kind == ErrorKind::AuthenticationFailed || matches!(code, Some("NOAUTH" | "WRONGPASS")) {
            Self::Unauthorised(text)
        } else if is_of(&[ServerErrorKind::NoPerm]) || code == Some("NOPERM") {
            Self::Denied(text)
        } else if kind == ErrorKind::RESP3NotSupported {
            Self::TooOld
        } else if kind == ErrorKind::MasterNameNotFoundBySentinel {
            Self::NoPrimary(text)
        } else if is_of(NOT_READY) {
            Self::NotReady(text)
        } else if error.is_unrecoverable_error() || error.is_io_error() {
            Self::Unreachable(text)
        } else {
            Self::Other(text)
        }
    }
}

/// A server that may serve later.
const NOT_READY: &[ServerErrorKind] = &[
    ServerErrorKind::BusyLoading,
    ServerErrorKind::MasterDown,
    ServerErrorKind::ReadOnly,
    ServerErrorKind::ClusterDown,
    ServerErrorKind::TryAgain,
];

impl From<RedisError> for RedisFault {
    fn from(error: RedisError) -> Self {
        Self::from(&error)
    }
}

impl std::fmt::Display for RedisFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "Redis cannot be reached: {why}"),
            Self::TimedOut => f.write_str("Redis does not answer in time"),
            Self::Unauthorised(why) => write!(f, "Redis refuses the user name or password: {why}"),
            Self::Denied(why) => write!(f, "the ACL of the Redis user does not allow this: {why}"),
            Self::NotReady(why) => write!(f, "Redis cannot serve now: {why}"),
            Self::NoPrimary(why) => write!(f, "no Sentinel names a primary: {why}"),
            Self::TooOld => f.write_str("this Redis does not speak RESP3: version 6 or later is needed"),
            Self::Other(why) => write!(f, "Redis: {why}"),
        }
    }
}

impl std::error::Error for RedisFault {}
