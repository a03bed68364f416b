//! Yjs documents as a relay needs them: structs in wire form, not a document tree.
//!
//! A server between Yjs editors resolves no conflicts: it checks what each sends, merges it, hands it on, and brings
//! new members up to date. This crate does that, sans IO: no sockets, no clock, no threads, no `unsafe`. Bytes come in
//! as slices and go out as [`Bytes`](bytes::Bytes); time is an argument.
//!
//! | type | what it does |
//! |---|---|
//! | [`Document`] | applies updates (format v1) and encodes state, state vector and differences |
//! | [`ProtocolMessage`] | reads and writes the messages of y-protocols, as `y-websocket` sends them |
//! | [`Pending`] | holds updates that arrived before what they build on |
//! | [`Awareness`] | the table of presence states, with owners, limits and expiry |
//! | [`journal::Journal`] | when changes are appended to a log or folded into a snapshot |
//! | [`int_array`] | bytes as JSON arrays of integers, fast in both directions |
//!
//! # Contract
//!
//! - Every update gets a [`Verdict`], and is applied as a whole or not at all. [`Verdict::Applied`]: send its own bytes on
//!   to the others. [`Verdict::NothingNew`]: send nothing. [`Verdict::Missing`]: [`Pending::hold`] it and try again after the
//!   next change. [`Verdict::Bad`]: it is its sender's fault; send nothing.
//! - What is applied, yjs 13 applies without throwing, whether live, merged or as a state, and members end with the same
//!   content; random hostile updates are tested beside npm yjs. Not covered: content that an application's schema does not
//!   know, and, of what a hostile editor claims to have inserted where it could not, the order of elements and the halves
//!   of surrogate pairs.
//! - Bytes from peers are read in one strict pass. No announced length is believed before it is compared with what is
//!   left, nothing recurses over input, and each kind of input has limits ([`DocumentLimits`], [`PendingLimits`],
//!   [`AwarenessLimits`]).
//! - What was accepted can always be loaded again ([`Source::Stored`]), from a state or from the log of its updates in
//!   any order that misses nothing, twice or merged ([`merge_updates`]).
//! - State, state vector and what is deleted are encoded at most once per change and shared.
//! - The same input gives the same output, byte for byte.
//!
//! Types of other crates in this API: [`bytes::Bytes`] (shared buffers) and `roomcast_time::Instant` (a monotonic time in
//! nanoseconds that the caller counts).
//!
//! # Example
//!
//! ```
//! use roomcast_yjs::{Document, Source, StateVector, Verdict};
//!
//! let mut document = Document::default();
//! // Client 1 writes "hi" into the root type "t".
//! let update = [1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];
//! assert_eq!(document.apply(&update, Source::Live), Verdict::Applied);
//! assert_eq!(document.apply(&update, Source::Live), Verdict::NothingNew);
//! // A browser that knows nothing yet gets everything, one that knows it all nothing.
//! assert_eq!(document.state(), update[..]);
//! let known = StateVector::decode(&document.state_vector())?;
//! assert_eq!(document.difference(&known), [0, 0][..]);
//! # Ok::<(), roomcast_yjs::Malformed>(())
//! ```
//!
//! `examples/relay.rs` connects two editors, with differences, updates that overtake each other, and awareness.
mod awareness;
mod chunk;
mod client_structs;
mod collect;
mod document;
pub mod int_array;
pub mod journal;
mod merge;
mod messages;
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
pub use store::{BadUpdate, Split, StructStore, UpdateLimits, Verdict};
pub use sync::ProtocolMessage;
pub use update::StateVector;
pub use wire::{ClientId, DEPTH_MAX, Id, Malformed};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
