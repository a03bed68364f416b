//! Checkers of the house rules that the compiler does not know. They take text, so that each is shown to fail on a
//! small made-up source; `tests/house.rs` applies them to the workspace.
//!
//! Owns: how a rule is checked. Must never know: what the rules of this workspace are.

#![forbid(unsafe_code)]

pub mod circles;
pub mod doors;
pub mod names;
pub mod packages;
pub mod shape;
pub mod source;
pub mod words;
pub mod workspace;
