//! Every store answers the same questions in the same way, and each has faults of its own.
//!
//! `cargo test -p roomcast-stores --features openwebui,sqlite,postgres --test stores`

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod documents;
mod memory;
mod shards;
mod suite;
mod world;

#[cfg(feature = "sqlite")]
mod embedded;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod grants;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod tables;

use std::future::Future;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::path::{Path, PathBuf};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use roomcast_stores::{DatabaseOptions, Memory, Rows, Store, WebUi};

/// Runs a test on a runtime with one thread, so that a store that blocks its thread is found out.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Options under which nothing is too late.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn patient() -> DatabaseOptions {
    DatabaseOptions {
        acquire_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(60),
        lock_timeout: Duration::from_secs(60),
        ..DatabaseOptions::default()
    }
}

/// Options under which what waits is soon too late. On a busy machine anything may be: see [`eventually`].
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn hasty() -> DatabaseOptions {
    DatabaseOptions {
        acquire_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
        ..DatabaseOptions::default()
    }
}

/// What stands beside the tables of others.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn own() -> Arc<Memory> {
    Arc::new(Memory::new(Rows::default()))
}

/// Asks until there is an answer: for questions that may be asked twice.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
async fn eventually(store: &dyn Store, question: Question) -> StoreAnswer {
    for _ in 0..60 {
        match store.ask(question.clone()).await {
            Err(StoreError::Unavailable) => {}
            result => return result.unwrap(),
        }
    }
    panic!("no answer to {question:?}");
}

/// Asks all of it at once, and nothing of it may be answered.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
async fn unavailable(store: &Arc<WebUi>, questions: impl IntoIterator<Item = Question>) {
    let tasks: Vec<_> = questions
        .into_iter()
        .map(|question| {
            let store = store.clone();
            tokio::spawn(async move { store.ask(question).await })
        })
        .collect();
    for task in tasks {
        let answer = task.await.unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable)), "{answer:?}");
    }
}

/// A folder that goes away again.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
struct Folder(PathBuf);

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("roomcast-stores-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
