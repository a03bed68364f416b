//! What a store has found, by the kind of the question.
//!
//! Owns: that an answer of another kind is an error. Must never know: what it is for.

use crate::query::{Chat, Note, ReadOutcome, StoreAnswer, StoreError};

pub(super) fn read_outcome(reply: &Result<StoreAnswer, StoreError>) -> Option<ReadOutcome> {
    match reply {
        Ok(StoreAnswer::ChatRead(outcome)) => Some(outcome.clone()),
        Ok(_) | Err(_) => None,
    }
}

pub(super) fn found_note(reply: Result<StoreAnswer, StoreError>) -> Result<Option<Note>, StoreError> {
    match reply {
        Ok(StoreAnswer::Note(found)) => Ok(found),
        Ok(_) => Err(StoreError::Corrupt),
        Err(error) => Err(error),
    }
}

pub(super) fn found_chat(reply: Result<StoreAnswer, StoreError>) -> Result<Option<Chat>, StoreError> {
    match reply {
        Ok(StoreAnswer::Chat(found)) => Ok(found),
        Ok(_) => Err(StoreError::Corrupt),
        Err(error) => Err(error),
    }
}
