//! What is asked of a chat.
//!
//! Owns: which chats there can be, and what is wanted of one. Must never know: who is in a chat's room.

use bytestring::ByteString;

/// What is wanted of a chat that the store has been asked for.
#[derive(Debug)]
pub(crate) enum ChatRequest {
    Join(ByteString),
    LastRead(ByteString),
}

/// Whether a chat is in the database.
pub(crate) fn is_saved(chat: &str) -> bool {
    !chat.is_empty() && !chat.starts_with("local:")
}
