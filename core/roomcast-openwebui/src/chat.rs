//! What is asked of a chat.
//!
//! Owns: which chats there can be, and what is wanted of one. Must never know: who is in a chat's room.

use bytestring::ByteString;

use super::settings::Release;

/// What is wanted of a chat that the store has been asked for.
#[derive(Debug)]
pub(crate) enum ChatRequest {
    Join(ByteString),
    LastRead(ByteString),
}

/// Whether a chat is in the database.
pub(crate) fn is_saved(chat: &str, release: Release) -> bool {
    let others: &[&str] = match release {
        Release::V0_6 => &["local:"],
        Release::V0_12 => &["local:", "temporary:", "channel:"],
    };
    !chat.is_empty() && !others.iter().any(|start| chat.starts_with(start))
}
