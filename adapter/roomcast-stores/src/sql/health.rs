//! Whether a database answers, as the log tells it.
//!
//! Owns: what is logged of faults, and how often. Must never know: the question.

use std::sync::atomic::{AtomicBool, Ordering};

use super::fault::{Fault, FaultKind};

/// Whether the database could be asked lately: one line in the log when that changes, and not one for each question.
#[derive(Debug, Default)]
pub(super) struct DatabaseHealth {
    is_ill: AtomicBool,
    /// Whether it has been said that the tables are another release's, which a restart of the database often comes before.
    is_foreign: AtomicBool,
}

impl DatabaseHealth {
    pub(super) fn well(&self) {
        if self.is_ill.load(Ordering::Relaxed) && self.is_ill.swap(false, Ordering::Relaxed) {
            self.is_foreign.store(false, Ordering::Relaxed);
            tracing::info!("the database answers again");
        }
    }

    pub(super) fn ill(&self, fault: &Fault) {
        match fault.kind() {
            FaultKind::Unavailable => {
                if let Fault::OtherRelease { .. } = fault {
                    self.is_ill.store(true, Ordering::Relaxed);
                    if !self.is_foreign.swap(true, Ordering::Relaxed) {
                        tracing::error!(%fault, "the database has become another beneath this program");
                    }
                } else if self.is_ill.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%fault, "the database does not answer");
                } else {
                    tracing::warn!(%fault, "the database does not answer");
                }
            }
            FaultKind::Corrupt => tracing::warn!(%fault, "the database holds something that cannot be read"),
            FaultKind::Conflict => tracing::error!("another program writes the same documents"),
            FaultKind::NotFound => {}
        }
    }
}
