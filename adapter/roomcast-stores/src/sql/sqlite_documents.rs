//! Documents of a library user in an SQLite file of their own.
//!
//! The databases of this crate need tokio. A server may run on another runtime, so that the file has a thread with a
//! runtime of its own, to which questions go and from which answers come by channels that any runtime can wait for.
//!
//! Owns: that thread and the file. Must never know: statements, or what is in an update.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use roomcast_documents::{DocumentAnswer, DocumentQuestion, DocumentStore, DocumentStoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::documents::answer;
use super::fault::{Fault, FaultKind};
use super::file::{FileMark, open_file};
use super::open_error::OpenError;
use super::options::DatabaseOptions;
use super::pool::{Conn, LoanPurpose, Pool};

/// A [`DocumentStore`] in an SQLite file of its own, for servers on any runtime.
///
/// One program has the file at a time: see [`OpenError::Locked`]. The file is closed when this is dropped, after the
/// questions under way have been answered.
///
/// ```no_run
/// # async fn open() -> Result<(), roomcast_stores::OpenError> {
/// let store = roomcast_stores::SqliteDocuments::open("documents.db").await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteDocuments {
    questions: mpsc::UnboundedSender<FileQuestion>,
}

struct FileQuestion {
    question: DocumentQuestion,
    answer: oneshot::Sender<Result<DocumentAnswer, DocumentStoreError>>,
}

impl SqliteDocuments {
    /// Opens the file, or makes it. Its folder must be there.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotOurs`] for a file that something else has made, which is left alone; [`OpenError::Locked`] if
    /// another program has it open; [`OpenError::Later`]; [`OpenError::Unreachable`] and [`OpenError::Unreadable`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, DatabaseOptions::default()).await
    }

    /// The same with options of one's own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(path: impl AsRef<Path>, options: DatabaseOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let (questions, asked) = mpsc::unbounded_channel();
        let (opened, is_open) = oneshot::channel();
        let thread = std::thread::Builder::new().name("roomcast-documents".to_owned());
        let started = thread.spawn(move || serve(&path, &options, opened, asked));
        started.map_err(|error| OpenError::Unreachable(error.to_string()))?;
        is_open.await.map_err(|_| OpenError::Unreachable("its thread has ended".to_owned()))??;
        Ok(Self { questions })
    }
}

impl DocumentStore for SqliteDocuments {
    fn ask(
        &self,
        question: DocumentQuestion,
    ) -> Pin<Box<dyn Future<Output = Result<DocumentAnswer, DocumentStoreError>> + Send + '_>> {
        let (answer, answered) = oneshot::channel();
        let is_asked = self.questions.send(FileQuestion { question, answer }).is_ok();
        Box::pin(async move {
            if !is_asked {
                return Err(DocumentStoreError::Unavailable);
            }
            answered.await.unwrap_or(Err(DocumentStoreError::Unavailable))
        })
    }
}

/// The thread of one file.
fn serve(
    path: &Path,
    options: &DatabaseOptions,
    opened: oneshot::Sender<Result<(), OpenError>>,
    mut asked: mpsc::UnboundedReceiver<FileQuestion>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _unheard = opened.send(Err(OpenError::Unreachable(error.to_string())));
            return;
        }
    };
    runtime.block_on(async {
        let (pool, lock) = match open_file(path, &KIND, options).await {
            Ok(open) => open,
            Err(error) => {
                let _unheard = opened.send(Err(error));
                return;
            }
        };
        if opened.send(Ok(())).is_ok() {
            // One after the other: there is one connection that writes, and what is asked of one document stays in order.
            while let Some(FileQuestion { question, answer }) = asked.recv().await {
                let _unheard = answer.send(ask(&pool, question, options).await);
            }
        }
        pool.close().await;
        lock.release();
    });
}

async fn ask(
    pool: &Pool,
    question: DocumentQuestion,
    options: &DatabaseOptions,
) -> Result<DocumentAnswer, DocumentStoreError> {
    let mut conn = pool.acquire(LoanPurpose::Write).await.map_err(|fault| told(&fault))?;
    let answered = match &mut conn {
        Conn::Sqlite(conn) => timeout(options.statement_timeout, answer(conn, question)).await,
        #[cfg(feature = "postgres")]
        Conn::Postgres(_) => return Err(DocumentStoreError::Unavailable),
    };
    answered.unwrap_or(Err(Fault::Late)).map_err(|fault| {
        let error = told(&fault);
        if error == DocumentStoreError::Unavailable {
            conn.discard();
        }
        error
    })
}

fn told(fault: &Fault) -> DocumentStoreError {
    let error = match fault.kind() {
        FaultKind::Corrupt => DocumentStoreError::Corrupt,
        FaultKind::Conflict => DocumentStoreError::Conflict,
        #[cfg(feature = "openwebui")]
        FaultKind::NotFound => DocumentStoreError::Unavailable,
        FaultKind::Unavailable => DocumentStoreError::Unavailable,
    };
    tracing::warn!(%fault, "the store of documents has no answer");
    error
}

/// "rdoc" in ASCII, and the steps to the tables of today.
const KIND: FileMark = FileMark { application_id: "1919184739", migrations: MIGRATIONS };

const MIGRATIONS: &[&str] = &["
    PRAGMA application_id = 1919184739;
    PRAGMA user_version = 1;
    CREATE TABLE document (
        id TEXT PRIMARY KEY,
        snapshot BLOB,
        content_hash BLOB,
        up_to INTEGER NOT NULL,
        last_sequence INTEGER NOT NULL
    );
    CREATE TABLE document_update (
        document TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (document, sequence)
    );
"];
