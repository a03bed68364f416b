//! Members by y-protocols: the records.
//!
//! Owns: how far each provider has come, and what waits for it. Must never know: what a message says.

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_yjs::StateVector;

use crate::vocabulary::DocumentId;

/// A provider: one connection, and one document.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: ByteString,
    pub(crate) stage: ProviderStage,
    /// What it has sent before it was let in.
    pub(crate) held: VecDeque<Bytes>,
    pub(crate) held_bytes: usize,
    /// What it wants to be told once it has taken what was sent before. Only the last request counts.
    pub(crate) wanted_state: Option<StateVector>,
    pub(crate) wants_awareness: bool,
}

/// How far a provider has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderStage {
    /// The owner was asked whether it may join.
    Asking,
    /// It may, and its document is being loaded.
    Loading,
    In(DocumentId),
    /// It has been told to go.
    Gone,
}

impl Provider {
    /// A provider that names this document, and was not let in yet.
    pub(crate) const fn new(name: ByteString) -> Self {
        Self {
            name,
            stage: ProviderStage::Asking,
            held: VecDeque::new(),
            held_bytes: 0,
            wanted_state: None,
            wants_awareness: false,
        }
    }
}

impl ProviderStage {
    pub(crate) const fn document(self) -> Option<DocumentId> {
        match self {
            Self::In(document) => Some(document),
            Self::Asking | Self::Loading | Self::Gone => None,
        }
    }
}
