//! Yjs documents as a relay needs them: structs in wire form, not a document tree.
//!
//! Owns: the Yjs update format v1, the struct store, awareness and the y-protocols messages. Must never know: who the
//! members of a document are, what they may do, and how bytes reach them.
//!
//! A relay resolves no conflicts. It answers each update with a [`Verdict`]: what is applied goes on to the others in its
//! own bytes, what brings nothing new goes nowhere, what misses something waits in [`Pending`] and is tried again after
//! the next change, and what is bad is its sender's fault. Whoever joins gets [`Document::state`], or the difference to
//! what he knows.
//!
//! ```
//! use roomcast_yjs::{Document, DocumentLimits, Source, StateVector, Verdict};
//!
//! let mut document = Document::new(DocumentLimits::default());
//! assert_eq!(document.state_array(), "[0,0]");
//! // Client 1 writes "hi" into the root type "t".
//! let update = [1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];
//! assert_eq!(document.apply(&update, Source::Live), Verdict::Applied);
//! assert_eq!(document.apply(&update, Source::Live), Verdict::NothingNew);
//! assert_eq!(document.state(), update[..]);
//! let known = StateVector::decode(&document.state_vector())?;
//! assert_eq!(document.difference(&known), [0, 0][..]);
//! # Ok::<(), roomcast_yjs::Malformed>(())
//! ```
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
mod scope;
mod soundness;
mod store;
mod structs;
mod sync;
mod update;
mod wire;

pub use awareness::{Awareness, AwarenessLimits, BadAwareness, Heard};
pub use document::{Document, DocumentLimits, Source};
pub use merge::merge_updates;
pub use pending::{Held, Pending, PendingLimits};
pub use soundness::{NESTING_MAX, Unsound};
pub use store::{BadUpdate, Split, Store, UpdateLimits, Verdict};
pub use sync::Message;
pub use update::StateVector;
pub use wire::{ClientId, DEPTH_MAX, Id, Malformed};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
