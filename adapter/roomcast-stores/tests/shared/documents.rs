//! Documents that two nodes share in a real Redis.

use std::time::Duration;

use bytes::Bytes;
use roomcast_documents::{
    Claimed, DocumentAnswer, DocumentQuestion, DocumentStore, DocumentStoreError, Holding, StoredDocument,
};
use roomcast_openwebui::query::{ContentHash, Question, StoreAnswer};
use roomcast_stores::shared::RedisDocuments;

use super::{World, block_on};

fn node(world: &World, name: &str) -> RedisDocuments {
    RedisDocuments::new(world.keys.clone(), "open-webui", name)
}

async fn append(node: &RedisDocuments, first_sequence: u64, updates: &[&'static str]) -> bool {
    let updates = updates.iter().map(|update| Bytes::from_static(update.as_bytes())).collect();
    match node.ask(DocumentQuestion::Append { document: "note:a".into(), first_sequence, updates }).await {
        Ok(DocumentAnswer::Done) => true,
        Err(DocumentStoreError::Conflict) => false,
        answer => panic!("{answer:?}"),
    }
}

async fn snapshot(node: &RedisDocuments, up_to_sequence: u64, snapshot: &'static str) {
    let (snapshot, tag) = (Bytes::from_static(snapshot.as_bytes()), Some(Bytes::from_static(b"tag")));
    let question = DocumentQuestion::Snapshot { document: "note:a".into(), snapshot, tag, up_to_sequence };
    assert_eq!(node.ask(question).await, Ok(DocumentAnswer::Done));
}

async fn since(node: &RedisDocuments, after_sequence: u64, presence: Holding) -> StoredDocument {
    let question = DocumentQuestion::Since { document: "note:a".into(), after_sequence, presence };
    match node.ask(question).await {
        Ok(DocumentAnswer::Loaded(stored)) => stored,
        answer => panic!("{answer:?}"),
    }
}

async fn load(node: &RedisDocuments) -> StoredDocument {
    match node.ask(DocumentQuestion::Load { document: "note:a".into() }).await {
        Ok(DocumentAnswer::Loaded(stored)) => stored,
        answer => panic!("{answer:?}"),
    }
}

async fn claim(node: &RedisDocuments, after_sequence: u64) -> Option<Claimed> {
    let span = Duration::from_secs(3600);
    match node.ask(DocumentQuestion::Claim { document: "note:a".into(), after_sequence, span }).await {
        Ok(DocumentAnswer::Claimed(claimed)) => Some(claimed),
        Err(DocumentStoreError::Conflict) => None,
        answer => panic!("{answer:?}"),
    }
}

fn texts(stored: &StoredDocument) -> Vec<&str> {
    stored.updates.iter().map(|update| std::str::from_utf8(update).unwrap()).collect()
}

#[test]
fn of_two_nodes_that_append_at_one_place_one_is_refused_and_reads_what_it_lacks() {
    let world = World::new();
    let (a, b) = (node(&world, "a"), node(&world, "b"));
    block_on(async {
        assert!(append(&a, 1, &["one", "two"]).await);
        assert!(!append(&b, 1, &["other"]).await);
        assert!(!append(&b, 2, &["other"]).await);
        assert!(!append(&b, 4, &["a gap"]).await);
        assert_eq!(texts(&since(&b, 1, Holding::Untold).await), ["two"]);
        assert!(append(&b, 3, &["three"]).await);
        // Asked again, as the answer was lost: it is there, also behind others; but not in part.
        assert!(append(&a, 1, &["one", "two"]).await);
        assert!(!append(&a, 3, &["three", "four"]).await);
        let stored = load(&a).await;
        assert_eq!((texts(&stored), stored.last_sequence), (vec!["one", "two", "three"], 3));
    });
}

#[test]
fn a_snapshot_cuts_the_log_and_an_older_one_comes_to_nothing() {
    let world = World::new();
    let (a, b) = (node(&world, "a"), node(&world, "b"));
    block_on(async {
        assert!(append(&a, 1, &["one", "two", "three"]).await);
        snapshot(&a, 2, "one two").await;
        snapshot(&b, 1, "one").await;
        let stored = load(&b).await;
        assert_eq!((stored.snapshot.as_deref(), texts(&stored)), (Some(&b"one two"[..]), vec!["three"]));
        assert_eq!((stored.tag.as_deref(), stored.last_sequence), (Some(&b"tag"[..]), 3));
        // Who has the log up to the cut needs no snapshot.
        let stored = since(&b, 2, Holding::Untold).await;
        assert_eq!((stored.snapshot.as_deref(), texts(&stored)), (None, vec!["three"]));
        assert_eq!(since(&b, 1, Holding::Untold).await.snapshot.as_deref(), Some(&b"one two"[..]));
        // What is behind the cut cannot be compared any more.
        assert!(!append(&a, 2, &["two"]).await);
        assert!(append(&a, 4, &["four"]).await);
        // The log has lost entries: it goes on where the node was.
        snapshot(&a, 9, "all").await;
        let stored = load(&b).await;
        assert_eq!((texts(&stored), stored.last_sequence), (vec![], 9));
        assert!(!append(&b, 5, &["five"]).await);
        assert!(append(&b, 10, &["ten"]).await);
    });
}

/// Two versions of roomcast on one Redis.
#[test]
fn a_document_in_the_form_of_another_version_is_refused_and_not_touched() {
    let world = World::new();
    let node = node(&world, "a");
    let head = "open-webui:roomcast:document:{note:a}:head";
    let form = || world.raw::<Option<String>>(&["HGET", head, "form"]);
    block_on(async {
        assert_eq!(form(), None);
        assert!(append(&node, 1, &["one"]).await);
        assert_eq!(form().as_deref(), Some("1"));
        // As versions before this one have left it.
        world.raw::<i64>(&["HDEL", head, "form"]);
        assert_eq!(texts(&load(&node).await), ["one"]);
        snapshot(&node, 1, "one").await;
        assert_eq!(form().as_deref(), Some("1"));
        world.raw::<i64>(&["HSET", head, "form", "2"]);
        let document = || "note:a".into();
        let updates = vec![Bytes::from_static(b"two")];
        let snapshot = Bytes::from_static(b"two");
        for question in [
            DocumentQuestion::Load { document: document() },
            DocumentQuestion::Since { document: document(), after_sequence: 1, presence: Holding::Told },
            DocumentQuestion::Append { document: document(), first_sequence: 2, updates },
            DocumentQuestion::Snapshot { document: document(), snapshot, tag: None, up_to_sequence: 2 },
            DocumentQuestion::Claim { document: document(), after_sequence: 1, span: Duration::from_secs(1) },
        ] {
            assert_eq!(node.ask(question.clone()).await, Err(DocumentStoreError::Corrupt), "{question:?}");
        }
        assert_eq!(node.ask(DocumentQuestion::Release { document: document() }).await, Ok(DocumentAnswer::Done));
    });
    let mut keys: Vec<String> = world.raw(&["KEYS", "*"]);
    keys.sort();
    assert_eq!(keys, [head]);
    assert_eq!(world.raw::<String>(&["HGET", head, "snapshot"]), "one");
    assert_eq!(world.raw::<i64>(&["HLEN", head]), 4, "up_to, snapshot, tag and form");
}

#[test]
fn one_node_may_begin_a_document_and_another_when_it_has_left_or_is_gone() {
    let world = World::new();
    let (a, b) = (node(&world, "a"), node(&world, "b"));
    block_on(async {
        assert_eq!(claim(&a, 0).await, Some(Claimed::Granted));
        assert_eq!(claim(&a, 0).await, Some(Claimed::Granted), "renewed");
        assert_eq!(claim(&b, 0).await, Some(Claimed::Taken));
        let release = DocumentQuestion::Release { document: "note:a".into() };
        assert_eq!(b.ask(release.clone()).await, Ok(DocumentAnswer::Done), "that of another is not given up");
        assert_eq!(claim(&b, 0).await, Some(Claimed::Taken));
        a.ask(release).await.unwrap();
        assert_eq!(claim(&b, 0).await, Some(Claimed::Granted));
        let left: i64 = world.raw(&["PTTL", "open-webui:roomcast:document:{note:a}:claim"]);
        assert!(left > 0, "it ends by itself");
        // Who does not know the end of the log has no claim.
        assert!(append(&b, 1, &["content"]).await);
        assert_eq!(claim(&b, 0).await, None);
    });
}

#[test]
fn a_node_tells_the_others_that_it_has_a_document_in_memory() {
    let world = World::new();
    let (a, b) = (node(&world, "a"), node(&world, "b"));
    block_on(async {
        since(&a, 0, Holding::Untold).await;
        assert!(!load(&b).await.is_held);
        since(&a, 0, Holding::Told).await;
        assert_eq!((load(&a).await.is_held, load(&b).await.is_held), (false, true));
        a.ask(DocumentQuestion::Release { document: "note:a".into() }).await.unwrap();
        assert!(!load(&b).await.is_held);
    });
}

#[test]
fn questions_of_the_application_are_answered_from_the_same_place() {
    let world = World::new();
    let a = node(&world, "a");
    block_on(async {
        let document = || "note:a".into();
        let updates = vec![Bytes::from_static(b"\x00\xff")];
        let append = Question::AppendUpdates { document: document(), first_sequence: 1, updates };
        assert!(RedisDocuments::answers(&append));
        assert!(matches!(a.answer(append).await, Ok(StoreAnswer::Done)));
        let content_hash = Some(ContentHash(vec![7; 20].into()));
        let snapshot = Bytes::from_static(b"\x00\xfe");
        let save = Question::SaveSnapshot {
            document: document(),
            snapshot,
            content_hash: content_hash.clone(),
            up_to_sequence: 1,
        };
        assert!(matches!(a.answer(save).await, Ok(StoreAnswer::Done)));
        let Ok(StoreAnswer::Document(stored)) = a.answer(Question::LoadDocument { document: document() }).await else {
            panic!("no document");
        };
        assert_eq!((stored.snapshot.as_deref(), stored.content_hash), (Some(&b"\x00\xfe"[..]), content_hash));
        assert_eq!((stored.updates.len(), stored.last_sequence), (0, 1));
        assert!(!RedisDocuments::answers(&Question::Chat { chat: "c".into(), user: "ann".into() }));
    });
}
