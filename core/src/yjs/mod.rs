//! Yjs documents.

pub mod journal;
