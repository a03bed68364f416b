//! Documents that the shards of one program share, in a store that no other program writes to.
//!
//! The store keeps the order of the log: it appends behind the last entry and nowhere else. What else is decided between
//! shards lasts no longer than the program, and is decided in memory: which of them may begin an empty document, and which
//! have it in memory.
//!
//! Owns: those decisions. Must never know: how a document is stored, or what is in an update.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use roomcast_documents::{Claimed, DocumentAnswer, DocumentQuestion, Holding};
use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};

use crate::document_form::{as_document_question, is_of_document};
use crate::store::Store;

/// The documents of a [`Store`] as one of several shards sees them. The store must answer
/// [`Question::SharedDocument`], as `Embedded` and `Memory` do.
#[derive(Clone)]
pub struct ShardDocuments {
    store: Arc<dyn Store>,
    desk: Arc<Mutex<BTreeMap<ByteString, DeskEntry>>>,
    shard: u16,
}

/// What the shards have said of a document.
#[derive(Debug, Default)]
struct DeskEntry {
    /// The shard that may begin it, and until when.
    claim: Option<(u16, Instant)>,
    /// The shards that have it in memory, and until when that counts.
    holders: BTreeMap<u16, Instant>,
}

impl ShardDocuments {
    /// The documents of this store for shard 0.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, desk: Arc::default(), shard: 0 }
    }

    /// The same documents for another shard.
    #[must_use]
    pub fn of_shard(&self, shard: u16) -> Self {
        Self { shard, ..self.clone() }
    }

    /// Whether a question of the application is one about documents.
    pub const fn answers(question: &Question) -> bool {
        is_of_document(question)
    }

    /// Answers a question of the application about a document.
    ///
    /// # Errors
    ///
    /// As [`Store::ask`]. A question about anything else has no answer here.
    pub async fn answer(&self, question: Question) -> Result<StoreAnswer, StoreError> {
        let (question, form) = as_document_question(question).ok_or(StoreError::Unavailable)?;
        self.answer_machine(question).await.map(|answer| form.of(answer))
    }

    async fn answer_machine(&self, question: DocumentQuestion) -> Result<DocumentAnswer, StoreError> {
        match question {
            DocumentQuestion::Load { document } => {
                let question = DocumentQuestion::Load { document: document.clone() };
                self.loaded(document, question, Holding::Untold).await
            }
            DocumentQuestion::Since { document, after_sequence, presence } => {
                let question = DocumentQuestion::Since { document: document.clone(), after_sequence, presence };
                self.loaded(document, question, presence).await
            }
            question @ (DocumentQuestion::Append { .. } | DocumentQuestion::Snapshot { .. }) => {
                self.ask(question).await
            }
            DocumentQuestion::Claim { document, after_sequence, span } => {
                self.claim(document, after_sequence, span).await
            }
            DocumentQuestion::Release { document } => {
                self.change(document, |entry, shard| {
                    entry.holders.remove(&shard);
                    entry.claim.take_if(|(owner, _)| *owner == shard);
                });
                Ok(DocumentAnswer::Done)
            }
        }
    }

    async fn loaded(
        &self,
        document: ByteString,
        question: DocumentQuestion,
        presence: Holding,
    ) -> Result<DocumentAnswer, StoreError> {
        let answer = self.ask(question).await?;
        let now = now();
        let is_held = self.change(document, |entry, shard| {
            entry.holders.retain(|_, until| *until > now);
            if presence == Holding::Told {
                entry.holders.insert(shard, now + PRESENCE_SPAN);
            }
            entry.holders.keys().any(|other| *other != shard)
        });
        match answer {
            DocumentAnswer::Loaded(stored) => {
                Ok(DocumentAnswer::Loaded(roomcast_documents::StoredDocument { is_held, ..stored }))
            }
            DocumentAnswer::Done | DocumentAnswer::Claimed(_) => Err(StoreError::Corrupt),
        }
    }

    /// First the claim, then the look at the log: what another shard has written under a claim of its own is seen.
    async fn claim(
        &self,
        document: ByteString,
        after_sequence: u64,
        span: Duration,
    ) -> Result<DocumentAnswer, StoreError> {
        let now = now();
        let claimed = self.change(document.clone(), |entry, shard| match entry.claim {
            Some((owner, until)) if owner != shard && until > now => Claimed::Taken,
            Some(_) | None => {
                entry.claim = Some((shard, now + span));
                Claimed::Granted
            }
        });
        if claimed == Claimed::Taken {
            return Ok(DocumentAnswer::Claimed(claimed));
        }
        let question =
            DocumentQuestion::Since { document: document.clone(), after_sequence, presence: Holding::Untold };
        let last_sequence = match self.ask(question).await {
            Ok(DocumentAnswer::Loaded(stored)) => Ok(stored.last_sequence),
            Ok(DocumentAnswer::Done | DocumentAnswer::Claimed(_)) => Err(StoreError::Corrupt),
            Err(error) => Err(error),
        };
        if last_sequence == Ok(after_sequence) {
            return Ok(DocumentAnswer::Claimed(Claimed::Granted));
        }
        self.change(document, |entry, shard| entry.claim.take_if(|(owner, _)| *owner == shard));
        last_sequence.and(Err(StoreError::Conflict))
    }

    async fn ask(&self, question: DocumentQuestion) -> Result<DocumentAnswer, StoreError> {
        let StoreAnswer::SharedDocument(answer) = self.store.ask(Question::SharedDocument(question)).await? else {
            return Err(StoreError::Corrupt);
        };
        Ok(answer)
    }

    /// Changes what is said of a document, which is forgotten once nothing is.
    fn change<T>(&self, document: ByteString, change: impl FnOnce(&mut DeskEntry, u16) -> T) -> T {
        let mut desk = self.desk();
        let entry = desk.entry(document.clone()).or_default();
        let result = change(entry, self.shard);
        if entry.claim.is_none() && entry.holders.is_empty() {
            desk.remove(&document);
        }
        result
    }

    fn desk(&self) -> MutexGuard<'_, BTreeMap<ByteString, DeskEntry>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ShardDocuments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardDocuments").field("shard", &self.shard).finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "leases between threads of one program, which no protocol sees")]
fn now() -> Instant {
    Instant::now()
}

/// How long a shard counts as having a document in memory after it has said so: six times as long as it says nothing.
const PRESENCE_SPAN: Duration = Duration::from_secs(30);
