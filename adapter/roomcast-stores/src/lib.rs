//! Stores of documents, and of the application [`roomcast_openwebui`](https://docs.rs/roomcast-openwebui).
//!
//! | store | features | implements | where |
//! |---|---|---|---|
//! | [`MemoryDocuments`] | | [`DocumentStore`](roomcast_documents::DocumentStore) | in memory |
//! | `SqliteDocuments` | `sqlite` | `DocumentStore` | an SQLite file of its own, on any runtime |
//! | `Memory` | `openwebui` | `Store` | in memory, with faults on demand: for tests |
//! | `Embedded` | `openwebui`, `sqlite` | `Store` | an SQLite file of roomcast's own |
//! | `WebUi` | `openwebui`, `sqlite` or `postgres` | `Store` | the tables of an Open WebUI, and an `Embedded` beside them |
//!
//! `ShardDocuments` lets the shards of one program share the documents of a store.
//!
//! Without `openwebui`, nothing of the application is compiled. With it, a `DatabaseUrl` in SQLAlchemy's form says which
//! database is meant; `yrs` adds `documents`: the text of a note, and edits by the server; `redis` adds `shared`: what the
//! nodes of a fleet share with Open WebUI.
//!
//! Types of other crates in this interface: [`bytes::Bytes`], [`bytestring::ByteString`]; with `yrs`, those of that
//! crate, which is re-exported.

#[cfg(feature = "openwebui")]
mod database_url;
mod document;
#[cfg(feature = "openwebui")]
mod document_form;
#[cfg(feature = "yrs")]
pub mod documents;
#[cfg(feature = "openwebui")]
mod index;
#[cfg(feature = "openwebui")]
mod latest;
#[cfg(feature = "openwebui")]
mod memory;
mod memory_documents;
#[cfg(feature = "openwebui")]
mod message;
#[cfg(feature = "openwebui")]
mod note;
#[cfg(feature = "openwebui")]
mod revocation;
#[cfg(feature = "openwebui")]
mod rows;
#[cfg(feature = "openwebui")]
mod shard_documents;
#[cfg(feature = "redis")]
pub mod shared;
#[cfg(feature = "openwebui")]
mod splice;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "openwebui")]
mod store;

#[cfg(feature = "openwebui")]
pub use self::database_url::{DatabaseUrl, DatabaseUrlError, PostgresUrl, SslMode};
#[cfg(feature = "openwebui")]
pub use self::memory::{Gate, Memory, Moment};
pub use self::memory_documents::MemoryDocuments;
#[cfg(feature = "openwebui")]
pub use self::revocation::{RevocableToken, Revocations};
#[cfg(feature = "openwebui")]
pub use self::rows::{ChannelKind, ChannelRow, ChannelState, ChatRow, GroupRow, MemberRow, NoteRow, Rows, UserRow};
#[cfg(feature = "openwebui")]
pub use self::shard_documents::ShardDocuments;
#[cfg(feature = "sqlite")]
pub use self::sql::SqliteDocuments;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::sql::{DatabaseOptions, OpenError, SUPPORTED_VERSIONS};
#[cfg(all(feature = "sqlite", feature = "openwebui"))]
pub use self::sql::{Embedded, Seeded};
#[cfg(all(any(feature = "sqlite", feature = "postgres"), feature = "openwebui"))]
pub use self::sql::{Own, StoredConfig, WebUi};
#[cfg(feature = "openwebui")]
pub use self::store::Store;

/// The examples of the README are tests.
#[cfg(all(doctest, feature = "openwebui"))]
#[doc = include_str!("../README.md")]
struct Readme;
