//! Stores of documents: the same rules for all, and one program to a file.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomcast_documents::{DocumentAnswer, DocumentQuestion, DocumentStore, DocumentStoreError, StoredDocument};
use roomcast_stores::MemoryDocuments;
#[cfg(feature = "sqlite")]
use roomcast_stores::{DatabaseOptions, Embedded, OpenError, SqliteDocuments};

use crate::run;
#[cfg(feature = "sqlite")]
use crate::{Folder, patient};

#[test]
fn every_store_of_documents_follows_the_same_rules() {
    run(async {
        rules(&MemoryDocuments::new()).await;
        #[cfg(feature = "sqlite")]
        {
            let folder = Folder::new();
            let store = SqliteDocuments::open_with(folder.path().join("d.db"), patient()).await.unwrap();
            rules(&store).await;
        }
    });
}

/// The last program's file is opened again: what was stored is there, and the lock is free.
#[cfg(feature = "sqlite")]
#[test]
fn documents_are_still_there_after_a_restart() {
    run(async {
        let folder = Folder::new();
        let path = folder.path().join("d.db");
        let store = SqliteDocuments::open_with(&path, patient()).await.unwrap();
        append(&store, 1, &["a", "b"]).await.unwrap();
        drop(store);
        let store = SqliteDocuments::open_with(&path, patient()).await.unwrap();
        assert_eq!(load(&store).await.updates, ["a", "b"]);
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn two_programs_on_one_file_are_refused_with_a_clear_error() {
    run(async {
        let folder = Folder::new();
        let hasty = || DatabaseOptions { lock_timeout: Duration::ZERO, ..patient() };
        let path = folder.path().join("d.db");
        let first = SqliteDocuments::open_with(&path, patient()).await.unwrap();
        let second = SqliteDocuments::open_with(&path, hasty()).await.map(drop);
        assert_eq!(second, Err(OpenError::Locked));
        // The next program may wait for the last one to end.
        let next = tokio::spawn(SqliteDocuments::open_with(path.clone(), patient()));
        tokio::task::yield_now().await;
        drop(first);
        assert!(next.await.unwrap().is_ok());

        let path = folder.path().join("roomcast.db");
        let first = Embedded::open(&path, patient()).await.unwrap();
        assert_eq!(Embedded::open(&path, hasty()).await.map(drop), Err(OpenError::Locked));
        roomcast_stores::Store::close(&first).await;
        assert!(Embedded::open(&path, hasty()).await.is_ok());
    });
}

async fn rules(store: &dyn DocumentStore) {
    assert_eq!(load(store).await, StoredDocument::default());
    append(store, 1, &["a", "b"]).await.unwrap();
    // Asked again after an answer that was lost, with one more.
    append(store, 1, &["a", "b", "c"]).await.unwrap();
    assert_eq!(
        (load(store).await.updates, load(store).await.last_sequence),
        (vec!["a", "b", "c"].into_iter().map(Bytes::from).collect(), 3)
    );
    // What another program has appended is not passed over in silence, and nothing of it is written.
    assert_eq!(append(store, 3, &["x", "y"]).await, Err(DocumentStoreError::Conflict));
    assert_eq!(load(store).await.updates, ["a", "b", "c"]);
    let snapshot = |up_to_sequence, snapshot: &'static str| {
        store.ask(DocumentQuestion::Snapshot {
            document: "plan".into(),
            snapshot: snapshot.into(),
            tag: Some("tag".into()),
            up_to_sequence,
        })
    };
    assert_eq!(snapshot(2, "ab").await, Ok(DocumentAnswer::Done));
    // One that comes late is passed over.
    assert_eq!(snapshot(1, "a").await, Ok(DocumentAnswer::Done));
    let stored = load(store).await;
    assert_eq!(
        (stored.snapshot, stored.tag, stored.updates),
        (Some("ab".into()), Some("tag".into()), vec!["c".into()])
    );
    // So are updates that the snapshot holds.
    append(store, 2, &["b"]).await.unwrap();
    assert_eq!((load(store).await.updates.len(), load(store).await.last_sequence), (1, 3));
}

async fn load(store: &dyn DocumentStore) -> StoredDocument {
    match store.ask(DocumentQuestion::Load { document: "plan".into() }).await {
        Ok(DocumentAnswer::Loaded(stored)) => stored,
        answer => panic!("{answer:?}"),
    }
}

async fn append(
    store: &dyn DocumentStore,
    first_sequence: u64,
    updates: &[&'static str],
) -> Result<DocumentAnswer, DocumentStoreError> {
    let updates = updates.iter().map(|update| Bytes::from_static(update.as_bytes())).collect();
    store.ask(DocumentQuestion::Append { document: "plan".into(), first_sequence, updates }).await
}

const _: fn() = || {
    fn is_store<S: DocumentStore>() {}
    is_store::<Arc<dyn DocumentStore>>();
};
