//! How documents are kept and served.
//!
//! Owns: intervals, limits and their defaults. Must never know: a document.

use std::time::Duration;

use roomcast_documents::DocumentsConfig;
use roomcast_documents::yjs::journal::JournalTimes;
use roomcast_documents::yjs::{AwarenessLimits, DocumentLimits, PendingLimits};

/// How documents are kept and served, as part of the [`Settings`](crate::Settings).
#[derive(Clone, Debug)]
pub struct DocumentSettings {
    /// Which front end is served.
    pub compat: Compat,
    /// Time for which a join waits for the session of its socket. 10 s.
    pub park_span: Duration,
    /// Joins of one socket that wait so. 20.
    pub parked_max: usize,
    /// Documents that one session may be in. 20.
    pub documents_per_session_max: usize,
    /// Updates that are no updates, or over a limit, after which their sender is disconnected. 10.
    pub bad_updates_max: u32,
    /// Bytes of a state above which it goes to browsers as a binary attachment, in place of a JSON array. 64 KiB.
    pub array_bytes_max: usize,
    /// Bytes of one awareness update of the application protocol. 64 KiB.
    pub awareness_bytes_max: usize,
    /// Time from a change of a note's content to its being saved. 500 ms.
    pub save_after: Duration,
    /// The same while changes go on, and then the time for which the log of the document is waited for. 5 s.
    pub save_after_most: Duration,
    /// Time after which a failed save is tried again; it doubles up to 30 s. 1 s.
    pub save_retry: Duration,
    /// Bytes of a note's content. 16 MiB.
    pub content_bytes_max: usize,
    /// Messages that a provider may send before it is let in; one more, and it is closed. 128.
    pub held_messages_max: usize,
    /// Their bytes. 4 MiB and a bit.
    pub held_bytes_max: usize,
    /// Requests of the program about documents that are under way at a time; one holds up to
    /// [`DocumentLimits::resync_bytes_max`]. 64.
    pub visits_max: usize,
    /// Sessions of y-protocols that one user may have. 64.
    pub peers_per_user_max: usize,
    /// Time for which a stored document without members stays in memory. 5 s.
    pub keep_for: Duration,
    /// Bytes of all loaded documents together. 1 GiB.
    pub documents_bytes_max: usize,
    /// Bytes of an update, and of what is stored of a document and its note, up to which it is read at once. What is longer
    /// is handed out to another thread. 16 KiB.
    pub quick_update_bytes_max: usize,
    /// Bytes of a document up to which its state is encoded at once. 512 KiB.
    pub quick_state_bytes_max: usize,
    /// Bytes of updates of one document that wait to be tried. 16 MiB.
    pub waiting_bytes_max: usize,
    /// What documents and updates may be.
    pub limits: DocumentLimits,
    /// What may wait for something that is missing.
    pub pending: PendingLimits,
    /// What providers may announce.
    pub awareness: AwarenessLimits,
    /// When changes are stored.
    pub journal: JournalTimes,
}

impl Default for DocumentSettings {
    fn default() -> Self {
        Self {
            compat: Compat::V0_6,
            park_span: Duration::from_secs(10),
            parked_max: 20,
            documents_per_session_max: 20,
            bad_updates_max: 10,
            array_bytes_max: 64 << 10,
            awareness_bytes_max: 64 << 10,
            save_after: Duration::from_millis(500),
            save_after_most: Duration::from_secs(5),
            save_retry: Duration::from_secs(1),
            content_bytes_max: 16 << 20,
            held_messages_max: 128,
            held_bytes_max: 5 << 20,
            visits_max: 64,
            peers_per_user_max: 64,
            keep_for: Duration::from_secs(5),
            documents_bytes_max: 1 << 30,
            quick_update_bytes_max: 16 << 10,
            quick_state_bytes_max: 512 << 10,
            waiting_bytes_max: 16 << 20,
            limits: DocumentLimits::default(),
            pending: PendingLimits::default(),
            awareness: AwarenessLimits::default(),
            journal: JournalTimes::default(),
        }
    }
}

impl DocumentSettings {
    /// The part of it that configures the document machine.
    pub(super) const fn machine(&self) -> DocumentsConfig {
        DocumentsConfig {
            bad_updates_max: self.bad_updates_max,
            held_messages_max: self.held_messages_max,
            held_bytes_max: self.held_bytes_max,
            keep_for: self.keep_for,
            documents_bytes_max: self.documents_bytes_max,
            quick_update_bytes_max: self.quick_update_bytes_max,
            quick_state_bytes_max: self.quick_state_bytes_max,
            waiting_bytes_max: self.waiting_bytes_max,
            limits: self.limits,
            pending: self.pending,
            awareness: self.awareness,
            journal: self.journal,
        }
    }
}

/// Which front end is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compat {
    /// 0.6.41: the one session that a state names loads the note's content into an empty document.
    V0_6,
    /// 0.12.4: a state on join carries the note's content, and of all that initialize a document the first wins.
    V0_12,
}
