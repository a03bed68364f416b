//! The bugs that the simulator can plant to check that it finds them, and counts of the session table's cells.
//!
//! Owns: which bug is planted, and when it shows. Must never know: the server; `planted` spoils it.
//! Only the feature `test-hooks`, which no release turns on, compiles this file.

use crate::engine_io::session::{Action, SessionEvent, State, Transition};

/// A bug to plant. Some show on every occasion, most on every so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// Every 64th event of a client is not reported.
    EventDropped,
    /// Events that arrive while a session upgrades are not reported.
    EventDroppedWhileUpgrading,
    /// Events that arrive while a session upgrades are reported twice.
    EventDoubledWhileUpgrading,
    /// Every 8th ack of a client is not reported.
    AckUnreported,
    /// Every 8th ack of a client is reported twice.
    AckReportedTwice,
    /// The end of every 8th emit with ack is not reported.
    AcksNeverEnd,
    /// Every 16th disconnect is not reported.
    DisconnectUnreported,
    /// Every 16th connect is reported twice.
    ConnectReportedTwice,
    /// Every 8th join does nothing.
    JoinIgnored,
    /// Every 8th leave does nothing.
    LeaveIgnored,
    /// Every 16th ack of the application is not sent.
    AckUnsent,
    /// Every 64th emit is not sent.
    EmitUnsent,
    /// Every 4th disconnect by the application does nothing.
    DisconnectIgnored,
    /// Every 64th report that an event is handled is lost, so that reading stays paused.
    HandledForgotten,
    /// Every 4th WebSocket whose stream has ended is kept.
    StreamEndIgnored,
    /// Every 4th pong is ignored.
    PongIgnored,
    /// Every 8th attachment is lost.
    AttachmentLost,
    /// Every 4th paused WebSocket is never read again.
    ReadNeverResumed,
    /// Every 64th HTTP request is not answered.
    RequestUnanswered,
    /// Every 8th stream that must be closed stays open.
    CloseUntold,
    /// A failed upgrade leaves its session upgrading.
    FailedUpgradeKept,
    /// A DISCONNECT of a client is ignored.
    LeavePacketIgnored,
    /// A second transport of a session is attached although one is there.
    NewcomerAttached,
}

impl Bug {
    /// Every bug that can be injected.
    pub const ALL: &[Self] = &[
        Self::EventDropped,
        Self::EventDroppedWhileUpgrading,
        Self::EventDoubledWhileUpgrading,
        Self::AckUnreported,
        Self::AckReportedTwice,
        Self::AcksNeverEnd,
        Self::DisconnectUnreported,
        Self::ConnectReportedTwice,
        Self::JoinIgnored,
        Self::LeaveIgnored,
        Self::AckUnsent,
        Self::EmitUnsent,
        Self::DisconnectIgnored,
        Self::HandledForgotten,
        Self::StreamEndIgnored,
        Self::PongIgnored,
        Self::AttachmentLost,
        Self::ReadNeverResumed,
        Self::RequestUnanswered,
        Self::CloseUntold,
        Self::FailedUpgradeKept,
        Self::LeavePacketIgnored,
        Self::NewcomerAttached,
    ];
}

/// The planted bug, and how often each cell of the session table was entered.
#[derive(Clone, Debug, Default)]
pub(super) struct TestHooks {
    pub(super) bug: Option<Bug>,
    occasions: u64,
    pub(super) cells: Vec<(State, SessionEvent, u64)>,
}

impl TestHooks {
    /// Counts a step of the table, and spoils it if that is the bug.
    pub(super) fn step(&mut self, state: State, event: SessionEvent, step: Transition) -> Transition {
        match self.cells.iter_mut().find(|(one, other, _)| (*one, *other) == (state, event)) {
            Some((_, _, count)) => *count += 1,
            None => self.cells.push((state, event, 1)),
        }
        match (self.bug, step.action) {
            (Some(Bug::FailedUpgradeKept), Action::DropProbe) => Transition { next: state, action: Action::Ignore },
            (Some(Bug::NewcomerAttached), Action::CloseNewcomer) => Transition { action: Action::AttachProbe, ..step },
            (_, _) => step,
        }
    }

    /// Whether the bug is this one, and shows on this occasion, one of `every`.
    pub(super) fn shows(&mut self, bug: Bug, every: u64) -> bool {
        if self.bug != Some(bug) {
            return false;
        }
        self.occasions += 1;
        self.occasions.is_multiple_of(every)
    }
}
