//! Reading what is stored of a document.
//!
//! Owns: the way from a snapshot and a log to a document, or to the verdict that they cannot be read. Must never know: a
//! store, or who waits for the document.

use bytes::Bytes;
use roomcast_yjs::{Document, Source, Verdict, merge_updates};

use crate::config::DocumentsConfig;
use crate::output::NotLoaded;
use crate::question::StoredDocument;

/// What an owner makes of a [`StoredDocument`] before the machine opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The snapshot, unless it counts no more.
    pub snapshot: Option<Bytes>,
    /// Yjs updates that count: entries of the owner's own are taken out.
    pub updates: Vec<Bytes>,
    /// The number of the last entry of the log: [`StoredDocument::last_sequence`].
    pub last_sequence: u64,
    /// Entries in the log since the snapshot. With any, a new snapshot is due after a while.
    pub log_len: usize,
    /// An entry of the owner's own that goes into the log in front of the first change.
    pub preamble: Option<Bytes>,
}

impl Opening {
    /// Bytes to be read. Reading takes some 25 ms for each MiB.
    pub fn bytes(&self) -> usize {
        self.snapshot.iter().chain(&self.updates).map(Bytes::len).sum()
    }
}

impl From<StoredDocument> for Opening {
    fn from(stored: StoredDocument) -> Self {
        let StoredDocument { snapshot, tag: _, updates, last_sequence, is_held: _ } = stored;
        Self { snapshot, log_len: updates.len(), updates, last_sequence, preamble: None }
    }
}

/// A document that is read, but not open yet.
#[derive(Clone, Debug)]
pub struct ReadDocument(pub(crate) Document, pub(crate) Opening);

impl ReadDocument {
    /// The structs that were read.
    pub const fn content(&self) -> &Document {
        &self.0
    }

    /// Leaves away what was stored: the document begins again, with this entry in front of its first change.
    #[must_use]
    pub fn begin_again(self, config: &DocumentsConfig, preamble: Bytes) -> Self {
        let opening = Opening {
            snapshot: None,
            updates: Vec::new(),
            last_sequence: self.1.last_sequence,
            log_len: 0,
            preamble: Some(preamble),
        };
        Self(Document::new(config.limits), opening)
    }

    /// The same document with an entry of the owner's own in front of its first change.
    #[must_use]
    pub fn with_preamble(mut self, preamble: Bytes) -> Self {
        self.1.preamble = Some(preamble);
        self
    }
}

/// Reads what is stored of a document.
///
/// # Errors
///
/// [`NotLoaded::Corrupt`]: an update cannot be read.
pub fn read_stored(opening: Opening, config: &DocumentsConfig) -> Result<ReadDocument, NotLoaded> {
    let mut document = Document::new(config.limits);
    let mut late: Vec<&[u8]> = Vec::new();
    for update in opening.snapshot.iter().chain(&opening.updates) {
        match document.apply(update, Source::Stored) {
            Verdict::Applied | Verdict::NothingNew => {}
            Verdict::Missing(_) => late.push(update),
            Verdict::Bad(_) => return Err(NotLoaded::Corrupt),
        }
    }
    // A store that failed for long may lack what was given up for a snapshot that never came. What does not depend on
    // that is taken.
    if !late.is_empty() {
        let merged = merge_updates(late).map_err(|_| NotLoaded::Corrupt)?;
        match document.split(&merged, Source::Stored) {
            Some(split) => document.apply(&split.now, Source::Stored),
            None => document.apply(&merged, Source::Stored),
        };
    }
    Ok(ReadDocument(document, opening))
}
