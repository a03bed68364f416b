//! How documents are kept and served.
//!
//! Owns: intervals, limits and their defaults. Must never know: a document.

use std::time::Duration;

use roomcast_documents::DocumentsConfig;

use crate::release::Release;

/// How documents are kept and served, as part of the [`Settings`](crate::Settings).
#[derive(Clone, Debug)]
pub struct DocumentSettings {
    /// How the document machine keeps and serves them.
    pub machine: DocumentsConfig,
    /// Time for which a join waits for the session of its socket. 10 s.
    pub park_span: Duration,
    /// Joins of one socket that wait so. 20.
    pub parked_max: usize,
    /// Documents that one session may be in. 20.
    pub documents_per_session_max: usize,
    /// Bytes of a document's state above which no update is taken that adds to it. What is stored is loaded regardless. No
    /// limit; with 0.12, 2 MiB.
    pub state_bytes_max: usize,
    /// Bytes of a state above which it goes to browsers as a binary attachment, in place of a JSON array. 64 KiB. With
    /// 0.12, all go as arrays.
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
    /// Requests of the program about documents that are under way at a time; one holds up to
    /// [`DocumentLimits::resync_bytes_max`](roomcast_documents::yjs::DocumentLimits::resync_bytes_max). 64.
    pub visits_max: usize,
    /// Sessions of y-protocols that one user may have. 64.
    pub peers_per_user_max: usize,
}

impl Default for DocumentSettings {
    fn default() -> Self {
        Self {
            machine: DocumentsConfig::default(),
            park_span: Duration::from_secs(10),
            parked_max: 20,
            documents_per_session_max: 20,
            state_bytes_max: usize::MAX,
            array_bytes_max: 64 << 10,
            awareness_bytes_max: 64 << 10,
            save_after: Duration::from_millis(500),
            save_after_most: Duration::from_secs(5),
            save_retry: Duration::from_secs(1),
            content_bytes_max: 16 << 20,
            visits_max: 64,
            peers_per_user_max: 64,
        }
    }
}

impl DocumentSettings {
    /// The defaults with a release of Open WebUI. 0.12 has limits of its own: 2 MiB for an update, of any number of structs,
    /// and for a state.
    pub fn of(release: Release) -> Self {
        let mut settings = Self::default();
        match release {
            Release::V0_6 => {}
            Release::V0_12 => {
                let limits = &mut settings.machine.limits;
                (limits.update_bytes_max, limits.resync_bytes_max) = (NEWER_BYTES_MAX, NEWER_BYTES_MAX);
                limits.update_structs_max = usize::MAX;
                settings.state_bytes_max = NEWER_BYTES_MAX;
            }
        }
        settings
    }

    /// Bytes of JSON that are read at once: an update of [`DocumentsConfig::quick_update_bytes_max`] as an array.
    pub(super) const fn quick_json_bytes(&self) -> usize {
        self.machine.quick_update_bytes_max.saturating_mul(JSON_PER_BYTE)
    }
}

/// `MAX_DOCUMENT_SIZE` of Open WebUI 0.12.
const NEWER_BYTES_MAX: usize = 2 << 20;
/// What a byte takes in an array of numbers, with its comma.
pub(super) const JSON_PER_BYTE: usize = 4;
