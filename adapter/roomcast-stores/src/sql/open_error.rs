//! Why a database cannot be used.
//!
//! Owns: the reasons, their wording, and the range of Open WebUI's versions. Must never know: a connection.

use std::error::Error;
use std::fmt;

/// Versions of Open WebUI whose databases can be used.
///
/// 0.6.41 added columns that are needed here (`channel_member.last_read_at`, `channel.archived_at`); 0.8 moved the rules
/// of `access_control` into a table, and what 0.12 judges tokens by (`auth.session_stamp`) came after that.
pub const SUPPORTED_VERSIONS: &str = "0.6.41 to 0.7.x and 0.12.4";

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// This program is built without support for that kind of database.
    NotBuilt,
    /// The connection has to be encrypted, and this program is built without encryption.
    NoEncryption,
    /// The database cannot be reached, or not in time.
    Unreachable(String),
    /// The database cannot be read; the text is its own message.
    Unreadable(String),
    /// The database has no table of users: Open WebUI has never been started on it.
    NoTables,
    /// A table of the database lacks a column.
    Missing {
        /// The name of the missing table.
        table: &'static str,
        /// The name of the missing column.
        column: &'static str,
    },
    /// The tables are those of another release of Open WebUI than is expected: than the options name, or than they were when
    /// they were first looked at.
    OtherRelease {
        /// The release whose tables they are.
        found: &'static str,
        /// The release that is expected.
        wanted: &'static str,
    },
    /// Another program has the file open: two would write over each other's documents.
    Locked,
    /// The file is not one that roomcast has created.
    NotOurs,
    /// A later version of roomcast has created the file.
    Later {
        /// The version that the database says it has.
        version: i64,
    },
}

impl OpenError {
    /// Whether the database may become usable without anything being changed here.
    pub fn is_transient(&self) -> bool {
        match self {
            // Open WebUI creates its tables when it starts, which may be a moment later.
            Self::Unreachable(_) | Self::NoTables => true,
            Self::NotBuilt
            | Self::NoEncryption
            | Self::Unreadable(_)
            | Self::Missing { .. }
            | Self::OtherRelease { .. }
            | Self::Locked
            | Self::NotOurs
            | Self::Later { .. } => false,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("this roomcast is built without support for that kind of database"),
            Self::NoEncryption => f.write_str("this roomcast is built without encryption of database connections"),
            Self::Unreachable(why) => write!(f, "the database cannot be reached: {why}"),
            Self::Unreadable(why) => write!(f, "the database cannot be read: {why}"),
            Self::NoTables => write!(
                f,
                "the database has no table \"user\"; start Open WebUI on it first (supported: Open WebUI \
                 {SUPPORTED_VERSIONS})"
            ),
            Self::Missing { table, column } => write!(
                f,
                "the table \"{table}\" has no column \"{column}\": this is not the database of a supported version, \
                 which are those of Open WebUI {SUPPORTED_VERSIONS}"
            ),
            Self::OtherRelease { found, wanted } => write!(
                f,
                "its tables are those of Open WebUI {found}, and those of {wanted} were expected; after an upgrade of Open \
                 WebUI roomcast has to be started again"
            ),
            Self::Locked => f.write_str("another program has the file open; two must not write to it at the same time"),
            Self::NotOurs => f.write_str("the file is an SQLite database, but not one that roomcast has created"),
            Self::Later { version } => write!(f, "a later roomcast has created the file (version {version})"),
        }
    }
}

impl Error for OpenError {}
