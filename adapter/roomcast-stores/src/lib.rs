//! Stores that answer the questions of [`roomcast_openwebui`].
//!
//! | store | feature | where |
//! |---|---|---|
//! | [`Memory`] | | in memory, with faults on demand: for tests |
//! | `Embedded` | `sqlite` | an SQLite file of roomcast's own |
//! | `WebUi` | `sqlite`, `postgres` | the tables of an Open WebUI, and an `Embedded` beside them |
//!
//! All implement [`Store`]; a [`DatabaseUrl`] in SQLAlchemy's form says which database is meant.

mod database_url;
mod document;
#[cfg(feature = "yrs")]
pub mod documents;
mod index;
mod latest;
mod memory;
mod memory_documents;
mod message;
mod note;
mod revocation;
mod rows;
mod splice;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
mod store;

pub use self::database_url::{DatabaseUrl, DatabaseUrlError, PostgresUrl, SslMode};
pub use self::memory::{Gate, Memory, Moment};
pub use self::memory_documents::MemoryDocuments;
pub use self::revocation::{Revocations, Token};
pub use self::rows::{ChannelKind, ChannelRow, ChannelState, ChatRow, GroupRow, MemberRow, NoteRow, Rows, UserRow};
#[cfg(feature = "sqlite")]
pub use self::sql::{Embedded, Seeded, SqliteDocuments};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::sql::{OpenError, Options, Own, SUPPORTED_VERSIONS, WebUi};
pub use self::store::Store;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
