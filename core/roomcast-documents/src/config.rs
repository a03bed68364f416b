//! How documents are kept and served.
//!
//! Owns: intervals, limits and their defaults. Must never know: a document.

use std::time::Duration;

use roomcast_yjs::journal::{JournalTimes, Writers};
use roomcast_yjs::{AwarenessLimits, DocumentLimits, PendingLimits};

/// Limits and intervals of [`Documents`](crate::Documents).
#[derive(Clone, Copy, Debug)]
pub struct DocumentsConfig {
    /// Updates that are no updates, or over a limit, after which their sender is put out. 10.
    pub bad_updates_max: u32,
    /// Messages that a provider may send before it is let in; one more, and it is closed. 128.
    pub held_messages_max: usize,
    /// Bytes of these messages. 5 MiB.
    pub held_bytes_max: usize,
    /// Time for which a stored document without members stays in memory, so that leaving and joining again does not load
    /// it anew. 5 s.
    pub keep_for: Duration,
    /// Bytes of all loaded documents together, as their structs are counted. Above, documents without members are
    /// dropped early; if that is not enough, nothing more is loaded and no update is taken. 1 GiB.
    pub documents_bytes_max: usize,
    /// Bytes of an update, or of what is stored of a document, up to which it is read at once. Longer ones are
    /// [handed out](crate::Documents::poll_work). 16 KiB, some 5 ms at worst.
    pub quick_update_bytes_max: usize,
    /// Bytes of a document, as its structs are counted, up to which its state is encoded at once. 512 KiB, 2 ms at worst.
    pub quick_state_bytes_max: usize,
    /// Bytes of updates of one document that wait to be tried. A further one is refused, and its sender asked to bring
    /// everything once more. 16 MiB.
    pub waiting_bytes_max: usize,
    /// Sizes of documents and updates.
    pub limits: DocumentLimits,
    /// Bounds on updates that wait for something that is missing.
    pub pending: PendingLimits,
    /// Bounds on what providers may announce.
    pub awareness: AwarenessLimits,
    /// When changes are stored.
    pub journal: JournalTimes,
    /// Whether other programs write to the same documents, and are told of changes by
    /// [`Output::Publish`](crate::Output::Publish). This one alone.
    pub writers: Writers,
    /// Time after which the store is asked for what others have written, if nothing was heard of them meanwhile. 5 s.
    pub check_after: Duration,
    /// How long a claim to write the first content of a document lasts. 20 s; it is renewed after half of it.
    pub claim_span: Duration,
    /// Which entries of a log are updates; the others are the owner's own.
    pub is_update: fn(&[u8]) -> bool,
}

impl Default for DocumentsConfig {
    fn default() -> Self {
        Self {
            bad_updates_max: 10,
            held_messages_max: 128,
            held_bytes_max: 5 << 20,
            keep_for: Duration::from_secs(5),
            documents_bytes_max: 1 << 30,
            quick_update_bytes_max: 16 << 10,
            quick_state_bytes_max: 512 << 10,
            waiting_bytes_max: 16 << 20,
            limits: DocumentLimits::default(),
            pending: PendingLimits::default(),
            awareness: AwarenessLimits::default(),
            journal: JournalTimes::default(),
            writers: Writers::One,
            check_after: Duration::from_secs(5),
            claim_span: Duration::from_secs(20),
            is_update: |_| true,
        }
    }
}
