//! Stores in SQL: the tables of Open WebUI, and a file of roomcast's own with tables of the same shape.
//!
//! A connection of SQLite works in a thread of its own and one of PostgreSQL waits for its socket, so that no question
//! blocks the caller's thread. Connections are few and kept, statements are prepared once in each, and both the wait for
//! a connection and the work on it are limited in time. A connection that failed is closed, and the next question opens
//! another, so that a database server may restart at any time.
//!
//! Owns: questions in SQL. Must never know: what the answers are for.

#[cfg(feature = "openwebui")]
mod accounts;
#[cfg(all(feature = "sqlite", feature = "openwebui"))]
mod application_documents;
#[cfg(feature = "openwebui")]
mod batches;
#[cfg(feature = "openwebui")]
mod chat_reads;
#[cfg(feature = "openwebui")]
mod crowd;
#[cfg(feature = "sqlite")]
mod documents;
#[cfg(all(feature = "sqlite", feature = "openwebui"))]
mod embedded;
mod fault;
#[cfg(feature = "sqlite")]
mod file;
#[cfg(feature = "openwebui")]
mod file_access;
#[cfg(feature = "openwebui")]
mod grants;
#[cfg(feature = "openwebui")]
mod health;
#[cfg(feature = "openwebui")]
mod messages;
mod open_error;
mod options;
mod pool;
#[cfg(feature = "openwebui")]
mod release_0_12;
#[cfg(feature = "openwebui")]
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite_documents;
#[cfg(feature = "openwebui")]
mod statements;
#[cfg(feature = "openwebui")]
mod tables;
#[cfg(feature = "openwebui")]
mod together;
#[cfg(feature = "openwebui")]
mod webui;

#[cfg(all(feature = "sqlite", feature = "openwebui"))]
pub use self::embedded::{Embedded, Seeded};
pub use self::open_error::{OpenError, SUPPORTED_VERSIONS};
pub use self::options::DatabaseOptions;
#[cfg(feature = "openwebui")]
pub use self::options::StoredConfig;
#[cfg(feature = "sqlite")]
pub use self::sqlite_documents::SqliteDocuments;
#[cfg(feature = "openwebui")]
pub use self::webui::{Own, WebUi};
