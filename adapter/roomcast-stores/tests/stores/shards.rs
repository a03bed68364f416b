//! Documents that the shards of one program share, in every store that keeps documents.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomcast_documents::{Claimed, DocumentAnswer, DocumentQuestion, Holding, StoredDocument};
use roomcast_openwebui::query::{ContentHash, Question, StoreAnswer, StoreError};
use roomcast_stores::{Memory, Rows, ShardDocuments, Store};

use crate::run;

/// Two shards on one store.
struct TwoShards([ShardDocuments; 2]);

impl TwoShards {
    fn on(store: Arc<dyn Store>) -> Self {
        let first = ShardDocuments::new(store);
        let second = first.of_shard(1);
        Self([first, second])
    }

    async fn ask(&self, shard: usize, question: DocumentQuestion) -> Result<DocumentAnswer, StoreError> {
        let answer = self.0[shard].answer(Question::SharedDocument(question)).await?;
        let StoreAnswer::SharedDocument(answer) = answer else { panic!("{answer:?}") };
        Ok(answer)
    }

    async fn append(&self, shard: usize, first_sequence: u64, updates: &[&'static str]) -> Result<(), StoreError> {
        let updates = updates.iter().map(|update| Bytes::from_static(update.as_bytes())).collect();
        let question = Question::AppendUpdates { document: NOTE.into(), first_sequence, updates };
        self.0[shard].answer(question).await.map(drop)
    }

    async fn snapshot(&self, shard: usize, up_to_sequence: u64, snapshot: &'static str) {
        let snapshot = Bytes::from_static(snapshot.as_bytes());
        let content_hash = Some(ContentHash(Bytes::from_static(b"tag")));
        let question = Question::SaveSnapshot { document: NOTE.into(), snapshot, content_hash, up_to_sequence };
        self.0[shard].answer(question).await.unwrap();
    }

    async fn since(&self, shard: usize, after_sequence: u64, presence: Holding) -> StoredDocument {
        let question = DocumentQuestion::Since { document: NOTE.into(), after_sequence, presence };
        match self.ask(shard, question).await {
            Ok(DocumentAnswer::Loaded(stored)) => stored,
            answer => panic!("{answer:?}"),
        }
    }

    async fn claim(&self, shard: usize, after_sequence: u64, span: Duration) -> Result<Claimed, StoreError> {
        let question = DocumentQuestion::Claim { document: NOTE.into(), after_sequence, span };
        let answer = self.ask(shard, question).await?;
        let DocumentAnswer::Claimed(claimed) = answer else { panic!("{answer:?}") };
        Ok(claimed)
    }

    async fn release(&self, shard: usize) {
        let question = DocumentQuestion::Release { document: NOTE.into() };
        assert_eq!(self.ask(shard, question).await, Ok(DocumentAnswer::Done));
    }

    async fn is_held(&self, shard: usize) -> bool {
        match self.0[shard].answer(Question::LoadDocument { document: NOTE.into() }).await {
            Ok(StoreAnswer::Document(stored)) => stored.is_held,
            answer => panic!("{answer:?}"),
        }
    }
}

/// The same for every store.
async fn share(store: Arc<dyn Store>) {
    let shards = TwoShards::on(store);
    assert_eq!(shards.since(0, 0, Holding::Untold).await, StoredDocument::default());
    appends(&shards).await;
    snapshots(&shards).await;
    shards.release(0).await;
}

/// Of two that append at one place one is refused, and reads what it lacks.
async fn appends(shards: &TwoShards) {
    assert_eq!(shards.append(0, 1, &["one", "two"]).await, Ok(()));
    for first_sequence in [1, 2, 4] {
        assert_eq!(shards.append(1, first_sequence, &["other"]).await, Err(StoreError::Conflict), "{first_sequence}");
    }
    let stored = shards.since(1, 1, Holding::Untold).await;
    assert_eq!((texts(&stored), stored.last_sequence), (vec!["two"], 2));
    assert_eq!(shards.append(1, 3, &["three"]).await, Ok(()));
    // Asked again, as the answer was lost: it is there, also behind others; but not in part.
    assert_eq!(shards.append(0, 1, &["one", "two"]).await, Ok(()));
    assert_eq!(shards.append(0, 3, &["three", "four"]).await, Err(StoreError::Conflict));
    assert_eq!(texts(&shards.since(0, 0, Holding::Untold).await), ["one", "two", "three"]);
}

async fn snapshots(shards: &TwoShards) {
    shards.snapshot(0, 2, "one two").await;
    shards.snapshot(1, 1, "one").await;
    // Who has the log up to the cut needs no snapshot.
    let stored = shards.since(1, 2, Holding::Untold).await;
    assert_eq!((stored.snapshot.as_deref(), texts(&stored), stored.last_sequence), (None, vec!["three"], 3));
    let stored = shards.since(1, 1, Holding::Untold).await;
    assert_eq!((stored.snapshot.as_deref(), stored.tag.as_deref()), (Some(&b"one two"[..]), Some(&b"tag"[..])));
    assert_eq!(texts(&stored), ["three"]);
    assert_eq!(shards.append(0, 2, &["two"]).await, Err(StoreError::Conflict), "cut away");
    assert_eq!(shards.append(0, 4, &["four"]).await, Ok(()));
    // The log has lost entries: it goes on where the shard was.
    shards.snapshot(0, 9, "all").await;
    let stored = shards.since(1, 9, Holding::Untold).await;
    assert_eq!((texts(&stored), stored.last_sequence), (vec![], 9));
    assert_eq!(shards.append(1, 5, &["five"]).await, Err(StoreError::Conflict));
    assert_eq!(shards.append(1, 10, &["ten"]).await, Ok(()));
}

#[test]
fn documents_of_shards_have_one_order_in_memory() {
    run(share(Arc::new(Memory::new(Rows::default()))));
}

#[cfg(feature = "sqlite")]
#[test]
fn documents_of_shards_have_one_order_in_a_file_which_keeps_it() {
    use roomcast_stores::Embedded;

    run(async {
        let folder = crate::Folder::new();
        let path = folder.path().join("roomcast.db");
        share(Arc::new(Embedded::open(&path, crate::patient()).await.unwrap())).await;
        // As after a crash: nothing was closed.
        let again = TwoShards::on(Arc::new(Embedded::open(&path, crate::patient()).await.unwrap()));
        let stored = again.since(1, 0, Holding::Untold).await;
        assert_eq!((stored.snapshot.as_deref(), texts(&stored)), (Some(&b"all"[..]), vec!["ten"]));
        assert_eq!(again.append(1, 10, &["other"]).await, Err(StoreError::Conflict));
    });
}

#[test]
fn one_shard_may_begin_a_document_and_another_when_it_has_left_or_its_time_is_over() {
    run(async {
        let shards = TwoShards::on(Arc::new(Memory::new(Rows::default())));
        let long = Duration::from_secs(3600);
        assert_eq!(shards.claim(0, 0, long).await, Ok(Claimed::Granted));
        assert_eq!(shards.claim(0, 0, long).await, Ok(Claimed::Granted), "renewed");
        assert_eq!(shards.claim(1, 0, long).await, Ok(Claimed::Taken));
        shards.release(1).await;
        assert_eq!(shards.claim(1, 0, long).await, Ok(Claimed::Taken), "that of another is not given up");
        assert_eq!(shards.claim(0, 0, Duration::ZERO).await, Ok(Claimed::Granted));
        assert_eq!(shards.claim(1, 0, long).await, Ok(Claimed::Granted), "the time of the other is over");
        shards.release(1).await;
        // Who does not know the end of the log has no claim, and is in no other's way.
        shards.append(1, 1, &["content"]).await.unwrap();
        assert_eq!(shards.claim(0, 0, long).await, Err(StoreError::Conflict));
        assert_eq!(shards.claim(1, 1, long).await, Ok(Claimed::Granted));
    });
}

#[test]
fn a_shard_tells_the_others_that_it_has_a_document_in_memory() {
    run(async {
        let shards = TwoShards::on(Arc::new(Memory::new(Rows::default())));
        shards.since(0, 0, Holding::Untold).await;
        assert!(!shards.is_held(1).await);
        shards.since(0, 0, Holding::Told).await;
        assert_eq!((shards.is_held(0).await, shards.is_held(1).await), (false, true));
        shards.release(0).await;
        assert!(!shards.is_held(1).await);
    });
}

#[test]
fn other_questions_and_a_store_that_fails_have_no_answer() {
    run(async {
        let store = Memory::new(Rows::default());
        let shards = TwoShards::on(Arc::new(store.clone()));
        let other = || Question::Note { note: "n".into(), user: "u".into() };
        assert!(!ShardDocuments::answers(&other()));
        assert!(matches!(shards.0[0].answer(other()).await, Err(StoreError::Unavailable)));
        store.fail(StoreError::Unavailable);
        assert_eq!(shards.append(0, 1, &["one"]).await, Err(StoreError::Unavailable));
        assert_eq!(shards.claim(0, 0, Duration::from_secs(3600)).await, Err(StoreError::Unavailable));
        store.heal();
        assert_eq!(shards.claim(1, 0, Duration::from_secs(3600)).await, Ok(Claimed::Granted), "it was not kept");
    });
}

fn texts(stored: &StoredDocument) -> Vec<&str> {
    stored.updates.iter().map(|update| std::str::from_utf8(update).unwrap()).collect()
}

const NOTE: &str = "note:a";
