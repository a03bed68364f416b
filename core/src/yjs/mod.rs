//! Yjs documents as a relay needs them: structs in wire form, not a document tree.
//!
//! Owns: the Yjs update format v1, the struct store, awareness and the y-protocols messages. Must never know: who the
//! members of a document are, what they may do, and how bytes reach them.
mod awareness;
mod chunk;
mod client_structs;
mod collect;
mod document;
pub mod int_array;
pub mod journal;
mod merge;
mod order;
mod pending;
mod store;
mod structs;
mod sync;
mod update;
mod wire;

pub use awareness::{Awareness, AwarenessLimits, BadAwareness, Heard};
pub use document::{Document, Limits, Source};
pub use merge::merge_updates;
pub use pending::{Held, Pending, PendingLimits};
pub use store::{BadUpdate, Split, Store, UpdateLimits, Verdict};
pub use sync::Message;
pub use update::StateVector;
pub use wire::{ClientId, DEPTH_MAX, Id, Malformed};
