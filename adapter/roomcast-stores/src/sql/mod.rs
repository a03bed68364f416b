//! Stores in SQL: the tables of Open WebUI, and a file of roomcast's own that has tables of the same shape.
//!
//! A connection of SQLite works in a thread of its own and one of PostgreSQL waits for its socket, so that no question
//! keeps the caller's thread. Connections are few and kept, statements are prepared once in each, and both waiting for a
//! connection and the work with it end in time. A connection that failed is thrown away; the next question makes
//! another, so that a server may restart whenever it likes.
//!
//! Owns: questions in SQL. Must never know: what the answers are for.

#[cfg(feature = "sqlite")]
mod documents;
#[cfg(feature = "sqlite")]
mod embedded;
mod fault;
mod pool;
mod statements;
mod tables;
mod webui;

use std::error::Error;
use std::fmt;
use std::time::Duration;

#[cfg(feature = "sqlite")]
pub use self::embedded::{Embedded, Seeded};
pub use self::webui::{Own, WebUi};

/// How a database is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most connections at one time. SQLite writes over one more.
    pub connections_max: u32,
    /// How long a question waits for a connection.
    pub acquire_timeout: Duration,
    /// How long the work for a question takes at most, waiting for locks included.
    pub statement_timeout: Duration,
    /// Columns of `user` that a session pool leaves out.
    pub profile_without: Vec<String>,
    /// The schema of the tables in PostgreSQL: `DATABASE_SCHEMA`.
    pub schema: Option<String>,
}

impl Default for Options {
    /// Eight connections, 4 s to get one and 4 s to use it; a profile without pictures and personal details. When a
    /// server starts anew, thousands of questions wait for a connection.
    fn default() -> Self {
        Self {
            connections_max: 8,
            acquire_timeout: Duration::from_secs(4),
            statement_timeout: Duration::from_secs(4),
            profile_without: PERSONAL.iter().map(|name| (*name).to_owned()).collect(),
            schema: None,
        }
    }
}

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// This program is built without that kind of database.
    NotBuilt,
    /// The connection shall be encrypted, and this program is built without that.
    NoEncryption,
    /// It cannot be reached, or not in time: it may be later.
    Unreachable(String),
    /// It cannot be read: its own words.
    Unreadable(String),
    /// It is reached, and lacks this.
    Missing {
        /// The table.
        table: &'static str,
        /// What should be in it.
        column: &'static str,
    },
    /// A file of somebody else stands where roomcast's own should be.
    NotOurs,
    /// A later roomcast made this file.
    Later {
        /// Its version.
        version: i64,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("this roomcast is built without support for that kind of database"),
            Self::NoEncryption => f.write_str("this roomcast is built without encryption of database connections"),
            Self::Unreachable(why) => write!(f, "the database cannot be reached: {why}"),
            Self::Unreadable(why) => write!(f, "the database cannot be read: {why}"),
            Self::Missing { table, column: "access_control" } => write!(
                f,
                "the table \"{table}\" has no column \"access_control\": Open WebUI 0.8 and later keep their access \
                 rules elsewhere, which this roomcast does not read"
            ),
            Self::Missing { table, column } => write!(f, "the table \"{table}\" has no column \"{column}\""),
            Self::NotOurs => f.write_str("the file is an SQLite database, but not one that roomcast has made"),
            Self::Later { version } => write!(f, "a later roomcast has made the file (version {version})"),
        }
    }
}

impl Error for OpenError {}

/// What Open WebUI's session pool leaves out of a user.
const PERSONAL: &[&str] = &["profile_image_url", "profile_banner_image_url", "date_of_birth", "bio", "gender"];
