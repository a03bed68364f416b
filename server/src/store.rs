//! The store that the application asks.
//!
//! Owns: which one is opened, and the count of questions that are open. Must never know: what a question is for.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomcast_openwebui::query::{Query, Reply, StoreError};
use roomcast_stores::{DatabaseUrl, Embedded, OpenError, Options, Own, Rows, Seeded, Store, WebUi};
use roomcast_tokio::wall_now;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::StoreMetrics;
use crate::settings::{Mode, StoreAt};

/// A store, whatever kind it is.
#[derive(Clone)]
pub struct Asked {
    store: Arc<dyn Store>,
    /// What knows of revoked tokens.
    own: Arc<dyn Own>,
    metrics: StoreMetrics,
    open: Arc<Open>,
}

/// Questions that have no answer yet.
#[derive(Default)]
struct Open {
    count: AtomicUsize,
    ended: Notify,
}

/// One of them.
struct Question(Arc<Open>);

impl Asked {
    /// Opens what the settings name, and makes it if it is roomcast's own.
    ///
    /// # Errors
    ///
    /// It cannot be used, now or ever. A database of somebody else that cannot be reached now is asked all the same.
    pub async fn open(mode: &Mode, metrics: StoreMetrics) -> Result<Self, Failure> {
        let (store, own): (Arc<dyn Store>, Arc<dyn Own>) = match mode {
            Mode::Demo(path) => {
                let store = Arc::new(own(path).await?);
                match store.seed(&Rows::demo()).await {
                    Ok(Seeded::Filled | Seeded::NotEmpty) => {}
                    Err(error) => return Err(Failure::Seed(path.clone(), error)),
                }
                (store.clone(), store)
            }
            Mode::Earnest(_, StoreAt::Own(path)) => {
                tracing::info!(path = %path.display(), "the store is a file of roomcast's own");
                let store = Arc::new(own(path).await?);
                (store.clone(), store)
            }
            Mode::Earnest(_, StoreAt::WebUi { url, schema, beside }) => {
                let options = Options { schema: schema.clone(), ..Options::default() };
                let own: Arc<dyn Own> = Arc::new(own(beside).await?);
                (Arc::new(web_ui(url, options, own.clone()).await?), own)
            }
        };
        Ok(Self { store, own, metrics, open: Arc::default() })
    }

    /// Puts a question. It counts as open from now on, whenever its answer is waited for.
    pub fn put(&self, query: Query) -> impl Future<Output = Reply> + Send + use<> {
        let question = Question::new(self.open.clone());
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        async move {
            let _open = question;
            let (id, kind, asked_at) = (query.id, StoreMetrics::kind(&query.question), Instant::now());
            let result = store.ask(query.question).await;
            metrics.answered(kind, asked_at.elapsed(), result.as_ref().err());
            if let Err(error) = &result {
                tracing::debug!(kind, ?error, "a question failed");
            }
            Reply { id, result }
        }
    }

    /// Revokes one token. It is remembered until it ends by itself, or forever.
    ///
    /// # Errors
    ///
    /// Nobody knows whether it is remembered.
    pub async fn revoke_token(&self, jti: &str, ends_at_secs: Option<u64>) -> Result<(), StoreError> {
        let _open = Question::new(self.open.clone());
        self.own.revoke_token(jti.into(), ends_at_secs, wall_now().as_unix_secs()).await
    }

    /// Revokes all tokens of a user that were issued up to now: those that say when by that, the others by when they end.
    ///
    /// # Errors
    ///
    /// Nobody knows whether it is remembered.
    pub async fn revoke_user(&self, user: &str) -> Result<(), StoreError> {
        let _open = Question::new(self.open.clone());
        let now_secs = wall_now().as_unix_secs();
        self.own.revoke_user(user.into(), now_secs, Some(now_secs + TOKEN_LIFETIME_SECS)).await
    }

    /// Whether it can be asked now.
    pub async fn is_ready(&self) -> bool {
        tokio::time::timeout(READY_TIMEOUT, self.store.ready()).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Lets the open questions end, and closes.
    pub async fn close(&self) {
        let ended = tokio::time::timeout(CLOSE_TIMEOUT, async {
            self.open.all_ended().await;
            self.store.close().await;
        });
        if ended.await.is_err() {
            tracing::warn!(open = self.open.count.load(Ordering::Acquire), "the store did not end in time");
        }
    }
}

impl Open {
    async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Question {
    fn new(open: Arc<Open>) -> Self {
        open.count.fetch_add(1, Ordering::AcqRel);
        Self(open)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A permit stays for whoever is about to wait.
            self.0.ended.notify_one();
        }
    }
}

/// Why there is no store.
#[derive(Debug)]
pub enum Failure {
    /// The folder of a file cannot be made.
    Folder(PathBuf, std::io::Error),
    /// A file of roomcast's own cannot be used.
    Own(PathBuf, OpenError),
    /// The rows of the demonstration cannot be written.
    Seed(PathBuf, StoreError),
    /// Open WebUI's tables cannot be used.
    WebUi(OpenError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => write!(f, "cannot make the folder {} (DATA_DIR): {error}", path.display()),
            Self::Own(path, error) => write!(f, "cannot use {}: {error}", path.display()),
            Self::Seed(path, error) => write!(f, "cannot write to {}: {error:?}", path.display()),
            Self::WebUi(error) => write!(f, "cannot use the database (DATABASE_URL): {error}"),
        }
    }
}

async fn own(path: &Path) -> Result<Embedded, Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| Failure::Folder(folder.to_owned(), error))?;
    }
    Embedded::open(path, Options::default()).await.map_err(|error| Failure::Own(path.to_owned(), error))
}

async fn web_ui(url: &DatabaseUrl, options: Options, own: Arc<dyn Own>) -> Result<WebUi, Failure> {
    let store = WebUi::open(url, options, own).map_err(Failure::WebUi)?;
    match store.examine().await {
        Ok(()) => tracing::info!("the store is Open WebUI's database"),
        Err(OpenError::Unreachable(why)) => tracing::warn!(why, "the database cannot be reached yet"),
        Err(
            error @ (OpenError::NotBuilt
            | OpenError::NoEncryption
            | OpenError::Unreadable(_)
            | OpenError::Missing { .. }
            | OpenError::NotOurs
            | OpenError::Later { .. }),
        ) => return Err(Failure::WebUi(error)),
    }
    Ok(store)
}

/// How long a token of Open WebUI lives unless `JWT_EXPIRES_IN` says otherwise: 4 weeks.
const TOKEN_LIFETIME_SECS: u64 = 28 * 24 * 3600;
const READY_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than a store takes for one question at most.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
