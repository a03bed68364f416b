//! Where adapters and stores of documents meet.
//!
//! Owns: the trait. Must never know: a store, or who waits for one. Nothing in this crate calls it.

use std::future::Future;
use std::pin::Pin;

use crate::question::{DocumentAnswer, DocumentQuestion, DocumentStoreError};

/// Keeps documents. The rules are those of [`DocumentQuestion`].
///
/// The trait can stand behind `dyn`. Questions about different documents may be asked side by side; about one document at
/// most one question of each kind is under way.
pub trait DocumentStore: Send + Sync + 'static {
    /// Answers a question. What was to be written may be written although the future is dropped.
    ///
    /// # Errors
    ///
    /// See [`DocumentStoreError`]. After [`DocumentStoreError::Unavailable`] something may have been written: the
    /// question will be asked again.
    fn ask(
        &self,
        question: DocumentQuestion,
    ) -> Pin<Box<dyn Future<Output = Result<DocumentAnswer, DocumentStoreError>> + Send + '_>>;
}

impl<S: DocumentStore + ?Sized> DocumentStore for std::sync::Arc<S> {
    fn ask(
        &self,
        question: DocumentQuestion,
    ) -> Pin<Box<dyn Future<Output = Result<DocumentAnswer, DocumentStoreError>> + Send + '_>> {
        (**self).ask(question)
    }
}
