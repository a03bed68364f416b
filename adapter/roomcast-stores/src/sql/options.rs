//! How a database is used.
//!
//! Owns: the options and their defaults. Must never know: a connection.

use std::time::Duration;

#[cfg(feature = "openwebui")]
use roomcast_openwebui::query::Permission;

/// How a database is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseOptions {
    /// The most connections at one time. SQLite has one more, for writes. 8.
    pub connections_max: u32,
    /// How long a question waits for a connection. 4 s: after a restart, thousands of questions wait for one.
    pub acquire_timeout: Duration,
    /// How long the work for a question takes at most, waiting for locks included. 4 s.
    pub statement_timeout: Duration,
    /// How long a file of roomcast's own is waited for that another program has open, as in a restart where the next
    /// program starts before the last one has ended. Not at all.
    pub lock_timeout: Duration,
    /// Columns of `user` that are left out of profiles: pictures and personal details.
    #[cfg(feature = "openwebui")]
    pub profile_without: Vec<String>,
    /// The schema of the tables in PostgreSQL: `DATABASE_SCHEMA`.
    #[cfg(feature = "openwebui")]
    pub schema: Option<String>,
    /// Whether users may use channels where neither their groups nor the stored configuration say:
    /// `USER_PERMISSIONS_FEATURES_CHANNELS`. They may.
    #[cfg(feature = "openwebui")]
    pub channels_default: Permission,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            connections_max: 8,
            acquire_timeout: Duration::from_secs(4),
            statement_timeout: Duration::from_secs(4),
            lock_timeout: Duration::ZERO,
            #[cfg(feature = "openwebui")]
            profile_without: PERSONAL.iter().map(|name| (*name).to_owned()).collect(),
            #[cfg(feature = "openwebui")]
            schema: None,
            #[cfg(feature = "openwebui")]
            channels_default: Permission::Granted,
        }
    }
}

/// Columns that Open WebUI's session pool leaves out of a user.
#[cfg(feature = "openwebui")]
const PERSONAL: &[&str] = &["profile_image_url", "profile_banner_image_url", "date_of_birth", "bio", "gender"];
