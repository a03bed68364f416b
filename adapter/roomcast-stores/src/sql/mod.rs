//! Stores in SQL: the tables of Open WebUI, and a file of roomcast's own with tables of the same shape.
//!
//! A connection of SQLite works in a thread of its own and one of PostgreSQL waits for its socket, so that no question
//! blocks the caller's thread. Connections are few and kept, statements are prepared once in each, and both the wait for
//! a connection and the work on it are limited in time. A connection that failed is closed, and the next question opens
//! another, so that a database server may restart at any time.
//!
//! Owns: questions in SQL. Must never know: what the answers are for.

mod batches;
mod crowd;
#[cfg(feature = "sqlite")]
mod documents;
#[cfg(feature = "sqlite")]
mod embedded;
mod fault;
#[cfg(feature = "sqlite")]
mod file;
mod open_error;
mod options;
mod pool;
#[cfg(feature = "sqlite")]
mod sqlite_documents;
mod statements;
mod tables;
mod together;
mod webui;

#[cfg(feature = "sqlite")]
pub use self::embedded::{Embedded, Seeded};
pub use self::open_error::{OpenError, SUPPORTED_VERSIONS};
pub use self::options::Options;
#[cfg(feature = "sqlite")]
pub use self::sqlite_documents::SqliteDocuments;
pub use self::webui::{Own, WebUi};
