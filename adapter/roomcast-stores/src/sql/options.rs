//! How a database is used.
//!
//! Owns: the options and their defaults. Must never know: a connection.

use std::time::Duration;

#[cfg(feature = "openwebui")]
use roomcast_openwebui::Release;
#[cfg(feature = "openwebui")]
use roomcast_openwebui::query::{Features, Mfa, Permission};

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
    /// The release of Open WebUI whose tables are expected. The one that the tables tell, if this is `None`.
    #[cfg(feature = "openwebui")]
    pub release: Option<Release>,
    /// Features that users have where neither their groups nor the stored configuration say:
    /// `USER_PERMISSIONS_FEATURES_NOTES` and so on. Notes and channels.
    #[cfg(feature = "openwebui")]
    pub features_default: Features,
    /// Whether there are channels, where the stored configuration does not say: `ENABLE_CHANNELS`. Not.
    #[cfg(feature = "openwebui")]
    pub channels_default: Permission,
    /// Whether channels may be encrypted, where the stored configuration does not say: `ENABLE_ENCRYPTED_CHANNELS`. Not.
    #[cfg(feature = "openwebui")]
    pub encrypted_channels_default: Permission,
    /// When a second factor is needed, where the stored configuration does not say: `ENABLE_MFA` and so on. Whether there
    /// is one says the account. Never.
    #[cfg(feature = "openwebui")]
    pub mfa_default: Mfa,
    /// Whether the stored configuration counts: `ENABLE_PERSISTENT_CONFIG`. It does.
    #[cfg(feature = "openwebui")]
    pub stored_config: StoredConfig,
}

/// Whether the configuration in the database counts.
#[cfg(feature = "openwebui")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredConfig {
    /// It counts, before the defaults.
    Read,
    /// The defaults alone count.
    Ignored,
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
            release: None,
            #[cfg(feature = "openwebui")]
            features_default: Features {
                notes: Permission::Granted,
                channels: Permission::Granted,
                encrypted_channels: Permission::Denied,
            },
            #[cfg(feature = "openwebui")]
            channels_default: Permission::Denied,
            #[cfg(feature = "openwebui")]
            encrypted_channels_default: Permission::Denied,
            #[cfg(feature = "openwebui")]
            mfa_default: Mfa::default(),
            #[cfg(feature = "openwebui")]
            stored_config: StoredConfig::Read,
        }
    }
}

/// Columns that Open WebUI's session pool leaves out of a user.
#[cfg(feature = "openwebui")]
const PERSONAL: &[&str] =
    &["profile_image_url", "profile_banner_image_url", "date_of_birth", "bio", "gender", "variables"];
