//! The store that the application asks.
//!
//! Owns: which store is opened, and the count of questions under way. Must never know: what a question is for.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomcast_openwebui::Release;
use roomcast_openwebui::query::{Query, Question, Reply, StoreAnswer, StoreError};
use roomcast_stores::shared::{AbandonedDocuments, RedisConversations, RedisDocuments, RedisRevocations};
use roomcast_stores::{
    DatabaseOptions, DatabaseUrl, Embedded, OpenError, Own, RevocableToken, Revocations, Rows, Seeded, ShardDocuments,
    Store, WebUi,
};
use roomcast_tokio::redis::{RedisConfig, RedisFault, RedisKeys};
use roomcast_tokio::wall_now;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::conversations::Conversations;
use crate::metrics::StoreMetrics;
use crate::settings::{Mode, Settings, StoreAt};
use crate::sharing::Sharing;

/// Asks the store and measures its answers.
#[derive(Clone)]
pub struct StoreClient {
    store: Arc<dyn Store>,
    /// Keeps revocations.
    own: Arc<dyn Own>,
    /// Where Open WebUI keeps them, if it has a Redis.
    shared: Option<RedisRevocations>,
    /// What other processes are told, if there are any.
    sharing: Option<Sharing>,
    /// The documents, if other nodes or shards have them too.
    documents: CommonDocuments,
    /// What is kept of encrypted channels.
    conversations: Conversations,
    metrics: StoreMetrics,
    in_flight: Arc<InFlight>,
    /// Lifetime of tokens, if they end.
    token_lifetime: Option<Duration>,
}

/// The documents as a shard sees them.
#[derive(Clone)]
enum CommonDocuments {
    /// They are this shard's alone, and in its store.
    None,
    /// Several processes have them.
    Redis { keys: RedisKeys, prefix: String, process: String, documents: RedisDocuments },
    /// The shards of this process have them.
    Shards(ShardDocuments),
}

impl CommonDocuments {
    fn in_redis(keys: RedisKeys, prefix: &str, process: String, shard: u16) -> Self {
        let documents = RedisDocuments::new(keys.clone(), prefix, &format!("{process}-{shard}"));
        Self::Redis { keys, prefix: prefix.to_owned(), process, documents }
    }

    fn of_shard(&self, shard: u16) -> Self {
        match self {
            Self::None => Self::None,
            Self::Redis { keys, prefix, process, .. } => Self::in_redis(keys.clone(), prefix, process.clone(), shard),
            Self::Shards(documents) => Self::Shards(documents.of_shard(shard)),
        }
    }

    /// Gives the question back if it is not about documents that are shared.
    async fn answer(self, question: Question) -> Result<Result<StoreAnswer, StoreError>, Question> {
        match self {
            Self::Redis { documents, .. } if RedisDocuments::answers(&question) => Ok(documents.answer(question).await),
            Self::Shards(documents) if ShardDocuments::answers(&question) => Ok(documents.answer(question).await),
            Self::None | Self::Redis { .. } | Self::Shards(_) => Err(question),
        }
    }
}

/// Counts the questions without an answer.
#[derive(Default)]
struct InFlight {
    count: AtomicUsize,
    ended: Notify,
}

/// One of them, until it is dropped.
struct InFlightGuard(Arc<InFlight>);

impl StoreClient {
    /// Opens the store that the settings name; a file of roomcast's own is created.
    ///
    /// # Errors
    ///
    /// The store cannot be used. A database of Open WebUI that is unreachable at the moment is no error: it is waited for
    /// until it tells its release, or if that is named, it is asked again with every question.
    pub async fn open(
        settings: &Settings,
        metrics: StoreMetrics,
        instance: [u8; 16],
    ) -> Result<(Self, Release), StoreFailure> {
        let OpenStore { store, own, release } = open(settings).await?;
        let shared = match &settings.redis.revocations {
            Some(url) => {
                let keys = RedisKeys::start(RedisConfig::new(url.clone())).map_err(StoreFailure::Redis)?;
                Some(RedisRevocations::new(keys, &settings.redis.prefix))
            }
            None => None,
        };
        let idle_after = (release == Release::V0_12).then_some(settings.idle_after);
        let (sharing, documents, conversations) = match &settings.redis.bus {
            Some(bus) => {
                let prefix = &settings.redis.prefix;
                let sharing = Sharing::start(bus, prefix, instance, idle_after).map_err(StoreFailure::Redis)?;
                let keys = RedisKeys::start(RedisConfig::new(bus.url.clone())).map_err(StoreFailure::Redis)?;
                let process: String = instance.iter().map(|byte| format!("{byte:02x}")).collect();
                if release == Release::V0_12 {
                    tokio::spawn(remove_abandoned(AbandonedDocuments::new(keys.clone(), prefix)));
                }
                let conversations = Conversations::in_redis(RedisConversations::new(keys.clone(), prefix));
                (Some(sharing), CommonDocuments::in_redis(keys, prefix, process, 0), conversations)
            }
            None if settings.shards.get() > 1 => {
                let documents = CommonDocuments::Shards(ShardDocuments::new(store.clone()));
                (Some(Sharing::in_memory()), documents, Conversations::in_memory())
            }
            None => (None, CommonDocuments::None, Conversations::in_memory()),
        };
        let client = Self {
            store,
            own,
            shared,
            sharing,
            documents,
            conversations,
            metrics,
            in_flight: Arc::default(),
            token_lifetime: settings.token_lifetime,
        };
        Ok((client, release))
    }

    /// The same store for another shard of this process.
    #[must_use]
    pub fn of_shard(&self, shard: u16) -> Self {
        Self { documents: self.documents.of_shard(shard), ..self.clone() }
    }

    /// Asks a question. It counts as under way from this call on, even before the future is polled.
    pub fn ask(&self, query: Query) -> impl Future<Output = Reply> + Send + use<> {
        let guard = InFlightGuard::new(self.in_flight.clone());
        let (store, metrics, shared) = (self.store.clone(), self.metrics.clone(), self.shared.clone());
        // In the order of the questions.
        let told = self.sharing.as_ref().and_then(|sharing| sharing.take(&query.question));
        let (documents, conversations) = (self.documents.clone(), self.conversations.clone());
        async move {
            let _guard = guard;
            let (id, kind, asked_at) = (query.id, StoreMetrics::kind(&query.question), Instant::now());
            if let Question::Encryption(question) = query.question {
                let result = conversations.answer(question).await;
                metrics.answered(kind, asked_at.elapsed(), result.as_ref().err());
                return Reply { id, result };
            }
            let result = match (told, is_revoked(shared.as_ref(), &query.question).await) {
                (Some(told), _) => told.await,
                (None, Ok(false)) => match documents.answer(query.question).await {
                    Ok(answer) => answer,
                    Err(question) => store.ask(question).await,
                },
                (None, Ok(true)) => Ok(StoreAnswer::Revoked),
                (None, Err(error)) => Err(error),
            };
            metrics.answered(kind, asked_at.elapsed(), result.as_ref().err());
            if let Err(error) = &result {
                tracing::debug!(kind, ?error, "a question failed");
            }
            Reply { id, result }
        }
    }

    /// What this node shares with other processes.
    pub const fn sharing(&self) -> Option<&Sharing> {
        self.sharing.as_ref()
    }

    /// Revokes one token. The store keeps the revocation until the token expires, or permanently.
    ///
    /// # Errors
    ///
    /// The store may have kept it or not.
    pub async fn revoke_token(&self, jti: &str, ends_at_secs: Option<u64>) -> Result<(), StoreError> {
        let _guard = InFlightGuard::new(self.in_flight.clone());
        let now_secs = wall_now().as_unix_secs();
        if let Some(shared) = &self.shared {
            shared.revoke_token(jti.into(), ends_at_secs, now_secs).await?;
        }
        self.own.revoke_token(jti.into(), ends_at_secs, now_secs).await
    }

    /// Revokes all tokens of a user that were issued up to now: those that say when by that, the others by when they end.
    ///
    /// # Errors
    ///
    /// The store may have kept it or not.
    pub async fn revoke_user(&self, user: &str) -> Result<(), StoreError> {
        let _guard = InFlightGuard::new(self.in_flight.clone());
        let now_secs = wall_now().as_unix_secs();
        // Tokens without an end cannot be told from those that are issued later.
        let ends_to_secs = self.token_lifetime.map(|lifetime| now_secs + lifetime.as_secs());
        if let Some(shared) = &self.shared {
            shared.revoke_user(user.into(), now_secs, ends_to_secs).await?;
        }
        self.own.revoke_user(user.into(), now_secs, ends_to_secs).await
    }

    /// Takes back the revocation of one token.
    ///
    /// # Errors
    ///
    /// The store may have kept it or not.
    pub async fn restore_token(&self, jti: &str) -> Result<(), StoreError> {
        let _guard = InFlightGuard::new(self.in_flight.clone());
        if let Some(shared) = &self.shared {
            shared.restore_token(jti.into()).await?;
        }
        self.own.restore_token(jti.into()).await
    }

    /// Takes back the revocation of all tokens of a user.
    ///
    /// # Errors
    ///
    /// The store may have kept it or not.
    pub async fn restore_user(&self, user: &str) -> Result<(), StoreError> {
        let _guard = InFlightGuard::new(self.in_flight.clone());
        if let Some(shared) = &self.shared {
            shared.restore_user(user.into()).await?;
        }
        self.own.restore_user(user.into()).await
    }

    /// Whether the store answers now, and roomcast's own file can be written to.
    pub async fn is_ready(&self) -> bool {
        tokio::time::timeout(READY_TIMEOUT, self.store.ready()).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Waits for the questions under way, within a limit, and closes the store.
    pub async fn close(&self) {
        if let Some(sharing) = &self.sharing {
            sharing.leave().await;
        }
        let ended = tokio::time::timeout(CLOSE_TIMEOUT, async {
            self.in_flight.all_ended().await;
            self.store.close().await;
        });
        if ended.await.is_err() {
            tracing::warn!(in_flight = self.in_flight.count.load(Ordering::Acquire), "the store did not close in time");
        }
    }
}

/// Whether Open WebUI has revoked the token of this question. While its Redis is away that is unknown, and the application
/// asks again.
async fn is_revoked(shared: Option<&RedisRevocations>, question: &Question) -> Result<bool, StoreError> {
    let (Some(shared), Question::Authenticate { user, jti, issued_at_secs, ends_at_secs }) = (shared, question) else {
        return Ok(false);
    };
    let token = RevocableToken {
        user: user.clone(),
        jti: jti.clone(),
        issued_at_secs: *issued_at_secs,
        ends_at_secs: *ends_at_secs,
    };
    shared.is_revoked(token).await
}

impl InFlight {
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

impl InFlightGuard {
    fn new(in_flight: Arc<InFlight>) -> Self {
        in_flight.count.fetch_add(1, Ordering::AcqRel);
        Self(in_flight)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The permit is kept for a waiter that has not started to wait.
            self.0.ended.notify_one();
        }
    }
}

/// Why the store cannot be used.
#[derive(Debug)]
pub enum StoreFailure {
    /// The folder of roomcast's own file cannot be created.
    Folder(PathBuf, std::io::Error),
    /// roomcast's own file.
    Own(PathBuf, OpenError),
    /// The rows of the demonstration cannot be written.
    Seed(PathBuf, StoreError),
    /// Open WebUI's database.
    WebUi(OpenError),
    /// Redis: Open WebUI's revocations, or what nodes share.
    Redis(RedisFault),
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => write!(f, "cannot create the folder {} (DATA_DIR): {error}", path.display()),
            Self::Own(path, error) => write!(f, "cannot use {}: {error}", path.display()),
            Self::Seed(path, error) => write!(f, "cannot write to {}: {error:?}", path.display()),
            Self::Redis(fault) => write!(f, "cannot use Redis: {fault}"),
            Self::WebUi(error) => write!(f, "cannot use the database (DATABASE_URL): {error}"),
        }
    }
}

/// The store that the settings name, and which release of Open WebUI it belongs to.
struct OpenStore {
    store: Arc<dyn Store>,
    /// Keeps revocations, and documents where nodes do not share them.
    own: Arc<dyn Own>,
    release: Release,
}

async fn open(settings: &Settings) -> Result<OpenStore, StoreFailure> {
    let options = || DatabaseOptions {
        features_default: settings.features_default,
        channels_default: settings.channels_default.0,
        encrypted_channels_default: settings.channels_default.1,
        mfa_default: settings.mfa_default,
        stored_config: settings.stored_config,
        ..DatabaseOptions::default()
    };
    let release = settings.release.unwrap_or(Release::V0_6);
    match &settings.mode {
        Mode::Demo(path) => {
            let store = Arc::new(own(path, options(), settings.handover).await?);
            match store.seed(&Rows::demo()).await {
                Ok(Seeded::Filled | Seeded::NotEmpty) => {}
                Err(error) => return Err(StoreFailure::Seed(path.clone(), error)),
            }
            Ok(OpenStore { store: store.clone(), own: store, release })
        }
        Mode::Production(_, StoreAt::Own(path)) => {
            tracing::info!(path = %path.display(), "the store is a file of roomcast's own");
            let store = Arc::new(own(path, options(), settings.handover).await?);
            Ok(OpenStore { store: store.clone(), own: store, release })
        }
        Mode::Production(_, StoreAt::WebUi { url, schema, beside }) => {
            let own: Arc<dyn Own> = Arc::new(own(beside, options(), settings.handover).await?);
            let options = DatabaseOptions { schema: schema.clone(), release: settings.release, ..options() };
            let (store, release) = web_ui(url, options, own.clone()).await?;
            Ok(OpenStore { store: Arc::new(store), own, release })
        }
    }
}

/// Opens roomcast's own file. One program may have it open at a time: in a restart, the next waits for the last.
async fn own(path: &Path, options: DatabaseOptions, handover: Duration) -> Result<Embedded, StoreFailure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| StoreFailure::Folder(folder.to_owned(), error))?;
    }
    let opened = match Embedded::open(path, options.clone()).await {
        Err(OpenError::Locked) if !handover.is_zero() => {
            let seconds = handover.as_secs();
            tracing::warn!(path = %path.display(), seconds, "another program has the file open; waiting for its end");
            Embedded::open(path, DatabaseOptions { lock_timeout: handover, ..options }).await
        }
        opened => opened,
    };
    opened.map_err(|error| StoreFailure::Own(path.to_owned(), error))
}

/// Removes documents that processes of Open WebUI have left in Redis: at the start, and once more when those have removed
/// the sessions of one that was killed, which they do after at least two minutes.
async fn remove_abandoned(documents: AbandonedDocuments) {
    for wait in [Duration::ZERO, ABANDONED_AFTER] {
        tokio::time::sleep(wait).await;
        match documents.remove().await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "documents that processes of Open WebUI left in Redis are removed"),
            Err(_) => tracing::debug!("documents that processes of Open WebUI left in Redis cannot be looked for"),
        }
    }
}

/// Opens Open WebUI's database, and finds out its release unless it is named.
async fn web_ui(
    url: &DatabaseUrl,
    options: DatabaseOptions,
    own: Arc<dyn Own>,
) -> Result<(WebUi, Release), StoreFailure> {
    let open = |release| {
        WebUi::open(url, DatabaseOptions { release, ..options.clone() }, own.clone()).map_err(StoreFailure::WebUi)
    };
    let store = open(options.release)?;
    let release = match (store.examine().await, options.release) {
        (Ok(release), _) => {
            tracing::info!(release = release_name(release), "the store is Open WebUI's database");
            return Ok((store, release));
        }
        (Err(error), Some(release)) if error.is_transient() => {
            tracing::warn!(%error, "Open WebUI's database cannot be used yet");
            release
        }
        (Err(error), None) if error.is_transient() => {
            tracing::warn!(
                %error,
                "waiting for Open WebUI's database, whose tables tell its release; with ROOMCAST_RELEASE roomcast starts \
                 without it"
            );
            let release = told_by_tables(|| open(None), error).await?;
            tracing::info!(release = release_name(release), "the store is Open WebUI's database");
            release
        }
        (Err(error), _) => return Err(StoreFailure::WebUi(error)),
    };
    Ok((open(Some(release))?, release))
}

/// Looks until the tables are the same for a while: an Open WebUI that starts on an empty database makes those of all
/// earlier releases on its way.
async fn told_by_tables(
    open: impl Fn() -> Result<WebUi, StoreFailure>,
    first: OpenError,
) -> Result<Release, StoreFailure> {
    let (mut last, mut same) = (Err(first), 0);
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        // One that knows of no release yet.
        let found = open()?.examine().await;
        same = if found == last { same + 1 } else { 0 };
        match &found {
            Ok(release) if same >= LOOKS_TO_TRUST => return Ok(*release),
            Err(error) if !error.is_transient() && same >= LOOKS_TO_DESPAIR => {
                return Err(StoreFailure::WebUi(error.clone()));
            }
            Ok(_) | Err(_) => last = found,
        }
    }
}

/// As in the setting.
fn release_name(release: Release) -> &'static str {
    if release == Release::V0_12 { "0.12" } else { "0.6" }
}

/// Sessions end after four heartbeats, of 90 s at most.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);
/// How often a database is looked at that does not tell its release yet.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// So many looks in a row find the same release before it is believed.
const LOOKS_TO_TRUST: u32 = 3;
/// So many find the same fault before it is one.
const LOOKS_TO_DESPAIR: u32 = 30;

const READY_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than a store takes for one question.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
