//! Access rights of users.
//!
//! Owns: Open WebUI's access rules over rows that a store has found. Must never know: sockets or stores.

pub use roomcast_documents::Access;

use super::query::{Note, User};
pub use super::rules::{AccessControl, Grants};

/// Whether a user may: an admin and the owner always, a pending user never.
pub fn may(user: &User, note: &Note, access: Access) -> bool {
    match &*user.role {
        "admin" => true,
        "user" => note.owner == user.id || note.access.grants(&user.id, &note.groups, access),
        _ => false,
    }
}
