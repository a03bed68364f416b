//! Figures about documents.
//!
//! Owns: what is counted. Must never know: where the figures go.

use std::ops::AddAssign;

/// How much there is of documents now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DocumentCounts {
    /// Documents that are loaded or being loaded.
    pub open: usize,
    /// Members, each once per document.
    pub members: usize,
    /// Updates that wait for something that is missing.
    pub pending_updates: usize,
    /// Providers, let in or not.
    pub providers: usize,
    /// Bytes of all documents, as their structs are counted.
    pub bytes: usize,
    /// Deadlines that are armed.
    pub timers: usize,
    /// Outputs that have not been polled.
    pub outputs: usize,
}

/// Totals of documents since startup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DocumentCounters {
    /// Documents loaded.
    pub loads: u64,
    /// Loads that failed.
    pub loads_failed: u64,
    /// Loads and updates refused since all documents together had reached their limit.
    pub refused_full: u64,
    /// Joins to a document that was in memory although it had no members any more.
    pub kept_joins: u64,
    /// Updates that were applied.
    pub updates_applied: u64,
    /// Updates that brought nothing new: echoes.
    pub updates_known: u64,
    /// Updates that missed something.
    pub updates_held: u64,
    /// Updates that were tried elsewhere since they take long, or waited for such a one.
    pub updates_delayed: u64,
    /// Updates that were no updates, over a limit, or from members that may not write.
    pub updates_refused: u64,
    /// Messages made to relay updates, each counted once for all recipients.
    pub frames_encoded: u64,
    /// Members that were asked for what they have, because they built on what is missing.
    pub resyncs: u64,
    /// Requests for a state that waited until the member had taken what was sent before.
    pub states_delayed: u64,
    /// Groups of changes that were appended to the store.
    pub appends: u64,
    /// Appends that failed, and were tried again.
    pub appends_failed: u64,
    /// Snapshots that were stored.
    pub snapshots: u64,
    /// Snapshots that failed, and were tried again.
    pub snapshots_failed: u64,
    /// Writes that were refused because another program had written to the same document.
    pub conflicts: u64,
    /// Updates of other nodes that were applied.
    pub updates_from_nodes: u64,
    /// Messages of other nodes that could not be read.
    pub node_messages_unreadable: u64,
    /// Times the store had lost the end of a document's log.
    pub logs_lost: u64,
}

impl AddAssign for DocumentCounters {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a field more does not go unseen.
        let Self {
            loads,
            loads_failed,
            refused_full,
            kept_joins,
            updates_applied,
            updates_known,
            updates_held,
            updates_delayed,
            updates_refused,
            frames_encoded,
            resyncs,
            states_delayed,
            appends,
            appends_failed,
            snapshots,
            snapshots_failed,
            conflicts,
            updates_from_nodes,
            node_messages_unreadable,
            logs_lost,
        } = other;
        self.loads += loads;
        self.loads_failed += loads_failed;
        self.refused_full += refused_full;
        self.kept_joins += kept_joins;
        self.updates_applied += updates_applied;
        self.updates_known += updates_known;
        self.updates_held += updates_held;
        self.updates_delayed += updates_delayed;
        self.updates_refused += updates_refused;
        self.frames_encoded += frames_encoded;
        self.resyncs += resyncs;
        self.states_delayed += states_delayed;
        self.appends += appends;
        self.appends_failed += appends_failed;
        self.snapshots += snapshots;
        self.snapshots_failed += snapshots_failed;
        self.conflicts += conflicts;
        self.updates_from_nodes += updates_from_nodes;
        self.node_messages_unreadable += node_messages_unreadable;
        self.logs_lost += logs_lost;
    }
}
