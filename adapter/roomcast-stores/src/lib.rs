//! Who answers what the application asks.
//!
//! A [`Store`] is one place to ask: [`Memory`] for tests and demonstrations, `Embedded` (feature `sqlite`) for a file of
//! roomcast's own, `WebUi` (features `sqlite` and `postgres`) for the tables of an Open WebUI beside it. Which one it is
//! comes out of a [`DatabaseUrl`].
//!
//! Owns: the trait and its implementations, and what they share: rows, revocations, documents and the change of JSON.
//! Must never know: sockets, rooms, or why somebody asks.

mod database_url;
mod document;
#[cfg(feature = "yrs")]
pub mod documents;
mod index;
mod latest;
mod memory;
mod message;
mod note;
mod revocation;
mod rows;
mod splice;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;

use std::future::Future;
use std::pin::Pin;

use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};

pub use self::database_url::{DatabaseUrl, DatabaseUrlError, PostgresUrl, SslMode};
pub use self::memory::{Gate, Memory, Moment};
pub use self::revocation::{Revocations, Token};
pub use self::rows::{ChannelKind, ChannelRow, ChannelState, ChatRow, GroupRow, MemberRow, NoteRow, Rows, UserRow};
#[cfg(feature = "sqlite")]
pub use self::sql::{Embedded, Seeded};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::sql::{OpenError, Options, Own, WebUi};

/// Answers the application's questions. Which store it is becomes known when the program starts, so the trait can stand
/// behind `dyn`; an allocation for each question is small beside what a store does for it.
pub trait Store: Send + Sync + 'static {
    /// Answers a question.
    ///
    /// Questions may be asked side by side, and are answered in any order. Whoever drops the future gives up the answer;
    /// what was to be written may be written all the same.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. After [`StoreError::Unavailable`] nobody knows whether something was written.
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<StoreAnswer, StoreError>> + Send + '_>>;

    /// Whether it can be asked now.
    ///
    /// # Errors
    ///
    /// Why it can not.
    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;

    /// Lets the questions under way end, and refuses what is asked afterwards with [`StoreError::Unavailable`].
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
