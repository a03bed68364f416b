//! The trait that every store implements.
//!
//! Owns: the contract between stores and their callers. Must never know: an implementation.

use std::future::Future;
use std::pin::Pin;

use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};

/// Answers the application's questions.
///
/// Which store a program uses is decided when it starts, so the trait is made for `dyn`; one allocation per question is
/// small beside what a store does for it.
pub trait Store: Send + Sync + 'static {
    /// Answers a question.
    ///
    /// Questions may be asked concurrently and are answered in any order. Dropping the future gives up the answer; what
    /// was to be written may be written all the same.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. After [`StoreError::Unavailable`] a write may have been done or not.
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<StoreAnswer, StoreError>> + Send + '_>>;

    /// Checks that the store can answer questions and take writes now.
    ///
    /// # Errors
    ///
    /// The reason why the store cannot answer or write.
    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;

    /// Waits for the questions under way; later ones are refused with [`StoreError::Unavailable`].
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
