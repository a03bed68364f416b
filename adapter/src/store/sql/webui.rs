//! The tables of an Open WebUI beside this server, up to its version 0.7.
//!
//! Nothing is made or altered but the values that its own real-time layer would write. The journal mode of a file stays
//! as it is.
//!
//! Owns: which database that is, and who knows of revoked tokens. Must never know: a statement.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use roomcast_core::openwebui::query::{Answer, Question, StoreError};

use super::pool::Pool;
use super::statements::Dialect;
use super::tables::Tables;
use super::{OpenError, Options};
use crate::store::{DatabaseUrl, Revocations, Store, Token};

/// Open WebUI's own tables.
pub struct WebUi {
    tables: Tables,
    revocations: Arc<dyn Revocations>,
}

impl WebUi {
    /// Takes notice of a database. It is reached for when somebody asks, and again whenever it was lost.
    ///
    /// Must be called within tokio.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotBuilt`] and [`OpenError::NoEncryption`].
    pub fn open(url: &DatabaseUrl, options: Options, revocations: Arc<dyn Revocations>) -> Result<Self, OpenError> {
        let (pool, dialect) = match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite { path } => (Pool::sqlite(path, super::pool::Whose::Theirs, &options), Dialect::Sqlite),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => (Pool::postgres(url, &options)?, Dialect::Postgres),
            #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
            _ => return Err(OpenError::NotBuilt),
        };
        Ok(Self { tables: Tables::new(pool, dialect, options), revocations })
    }

    /// Looks whether the database is there and has what is needed, for a message at the start.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unreachable`] may pass by itself; the others will not.
    pub async fn examine(&self) -> Result<(), OpenError> {
        self.tables.examine().await
    }
}

impl Store for WebUi {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answer, StoreError>> + Send + '_>> {
        Box::pin(async move {
            if let Question::Authenticate { user, jti, issued_at_secs } = &question {
                let token = Token { user: user.clone(), jti: jti.clone(), issued_at_secs: *issued_at_secs };
                if self.revocations.is_revoked(token).await? {
                    return Ok(Answer::User(None));
                }
            }
            self.tables.ask(question).await
        })
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async { self.examine().await.map_err(|_| StoreError::Unavailable) })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.tables.close())
    }
}
