//! The tables of an Open WebUI beside this server, of its releases 0.6 and 0.12.
//!
//! Nothing is made or altered but the values that its own real-time layer would write. The journal mode of a file stays
//! as it is.
//!
//! Owns: which database that is, and what is asked elsewhere. Must never know: a statement.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use roomcast_openwebui::Release;
use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};

use super::open_error::OpenError;
use super::options::DatabaseOptions;
use super::pool::Pool;
use super::statements::Dialect;
use super::tables::Tables;
use crate::database_url::DatabaseUrl;
use crate::revocation::{RevocableToken, Revocations};
use crate::store::Store;

/// Open WebUI's own tables, and a store of roomcast's own beside them for what does not belong into those.
pub struct WebUi {
    tables: Arc<Tables>,
    own: Arc<dyn Own>,
}

/// What roomcast keeps for itself: documents, which are asked for like everything else, and revocations.
pub trait Own: Store + Revocations {}

impl<S: Store + Revocations> Own for S {}

impl WebUi {
    /// Creates a store without connecting: connections are opened by questions, and again after they were lost.
    ///
    /// Must be called within tokio.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotBuilt`] and [`OpenError::NoEncryption`].
    pub fn open(url: &DatabaseUrl, options: DatabaseOptions, own: Arc<dyn Own>) -> Result<Self, OpenError> {
        let (pool, dialect) = match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite { path } => (Pool::sqlite(path, super::pool::Whose::Theirs, &options), Dialect::Sqlite),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => (Pool::postgres(url, &options)?, Dialect::Postgres),
            #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
            _ => return Err(OpenError::NotBuilt),
        };
        Ok(Self { tables: Arc::new(Tables::new(pool, dialect, options)), own })
    }

    /// Looks whether the database is there and has what is needed, and for which release of Open WebUI. From the first
    /// time on, tables of another release are refused: what the application asks is not what they answer.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unreachable`] and [`OpenError::NoTables`] may pass by themselves; the others will not.
    pub async fn examine(&self) -> Result<Release, OpenError> {
        self.tables.examine().await
    }
}

impl Store for WebUi {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<StoreAnswer, StoreError>> + Send + '_>> {
        Box::pin(async move {
            if let Question::Authenticate { user, jti, issued_at_secs, ends_at_secs } = &question {
                let (issued_at_secs, ends_at_secs) = (*issued_at_secs, *ends_at_secs);
                let token = RevocableToken { user: user.clone(), jti: jti.clone(), issued_at_secs, ends_at_secs };
                if self.own.is_revoked(token).await? {
                    return Ok(StoreAnswer::Revoked);
                }
            }
            if is_of_documents(&question) { self.own.ask(question).await } else { self.tables.ask(question).await }
        })
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async {
            self.own.ready().await?;
            self.examine().await.map(drop).map_err(|_| StoreError::Unavailable)
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.tables.close().await;
            self.own.close().await;
        })
    }
}

fn is_of_documents(question: &Question) -> bool {
    match question {
        Question::LoadDocument { .. }
        | Question::AppendUpdates { .. }
        | Question::SaveSnapshot { .. }
        | Question::SharedDocument(_) => true,
        Question::Authenticate { .. }
        | Question::Channels { .. }
        | Question::Note { .. }
        | Question::Chat { .. }
        | Question::Files { .. }
        | Question::ShareSession { .. }
        | Question::UnshareSession { .. }
        | Question::ShareUse { .. }
        | Question::SessionPool(_)
        | Question::Encryption(_)
        | Question::EncryptionUsers { .. }
        | Question::TouchUsers { .. }
        | Question::ReadChannel { .. }
        | Question::ReadChat { .. }
        | Question::ChangeMessage { .. }
        | Question::NoteContent { .. }
        | Question::NoteFiles { .. }
        | Question::SaveNoteData { .. } => false,
    }
}
