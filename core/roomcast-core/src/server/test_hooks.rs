//! Bugs that the simulator plants to see that it finds them, and counts of the session table's cells.
//!
//! Owns: what a planted bug does at the few places that everything passes. Must never know: a normal build: only the
//! feature `test-hooks`, which no release turns on, compiles this file.

use super::event::{Command, Event, Input, Output, SessionId};
use super::state::SessionKind;
use super::{Queued, Server};
use crate::engine_io::Packet;
use crate::engine_io::session::{Action, SessionEvent, State, Step};

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
    bug: Option<Bug>,
    occasions: u64,
    cells: Vec<(State, SessionEvent, u64)>,
}

impl TestHooks {
    /// Counts a step of the table, and spoils it if that is the bug.
    pub(super) fn step(&mut self, state: State, event: SessionEvent, step: Step) -> Step {
        match self.cells.iter_mut().find(|(one, other, _)| (*one, *other) == (state, event)) {
            Some((_, _, count)) => *count += 1,
            None => self.cells.push((state, event, 1)),
        }
        match (self.bug, step.action) {
            (Some(Bug::FailedUpgradeKept), Action::DropProbe) => Step { next: state, action: Action::Ignore },
            (Some(Bug::NewcomerAttached), Action::CloseNewcomer) => Step { action: Action::AttachProbe, ..step },
            (_, _) => step,
        }
    }

    /// Whether the bug is this one, and shows on this occasion, one of `every`.
    fn shows(&mut self, bug: Bug, every: u64) -> bool {
        if self.bug != Some(bug) {
            return false;
        }
        self.occasions += 1;
        self.occasions.is_multiple_of(every)
    }
}

impl Server {
    /// Plants a bug.
    pub fn plant(&mut self, bug: Bug) {
        self.test_hooks.bug = Some(bug);
    }

    /// The cells of the Engine.IO session table that were entered, by name, and how often.
    pub fn session_cells(&self) -> impl Iterator<Item = (String, u64)> {
        self.test_hooks.cells.iter().map(|(state, event, count)| (format!("{state:?} × {event:?}"), *count))
    }

    pub(super) fn spoil_event(&mut self, event: Event) -> Option<Event> {
        let hooks = &mut self.test_hooks;
        let (lost, twice) = match &event {
            Event::Received { session, socket, name, args, ack } => {
                let upgrading = self.sessions.get(*session).is_some_and(|record| record.probe.is_some());
                let lost = hooks.shows(Bug::EventDropped, 64)
                    || (upgrading && hooks.shows(Bug::EventDroppedWhileUpgrading, 1));
                let again = Event::Received {
                    session: *session,
                    socket: *socket,
                    name: name.clone(),
                    args: args.clone(),
                    ack: *ack,
                };
                (lost, (upgrading && hooks.shows(Bug::EventDoubledWhileUpgrading, 1)).then_some(again))
            }
            Event::Acked { emit, socket, args } => {
                let again = Event::Acked { emit: *emit, socket: *socket, args: args.clone() };
                (hooks.shows(Bug::AckUnreported, 8), hooks.shows(Bug::AckReportedTwice, 8).then_some(again))
            }
            Event::Connected(connect) => {
                (false, hooks.shows(Bug::ConnectReportedTwice, 16).then(|| Event::Connected(connect.clone())))
            }
            Event::AcksEnded { .. } => (hooks.shows(Bug::AcksNeverEnd, 8), None),
            Event::Disconnected { .. } => (hooks.shows(Bug::DisconnectUnreported, 16), None),
            Event::Opened { .. }
            | Event::Message { .. }
            | Event::Closed { .. }
            | Event::Connecting(_)
            | Event::Relieved { .. } => (false, None),
        };
        if let (Event::Received { session, .. }, true) = (&event, lost) {
            self.handled(*session);
        }
        self.outputs.extend(twice.map(|event| Queued::Output(Output::Event(event))));
        (!lost).then_some(event)
    }

    pub(super) fn spoil_input<'a>(&mut self, input: Input<'a>) -> Option<Input<'a>> {
        let hooks = &mut self.test_hooks;
        let lost = match &input {
            Input::WsEnded { .. } => hooks.shows(Bug::StreamEndIgnored, 4),
            Input::Command(Command::Join { .. }) => hooks.shows(Bug::JoinIgnored, 8),
            Input::Command(Command::Leave { .. }) => hooks.shows(Bug::LeaveIgnored, 8),
            Input::Command(Command::Ack { .. }) => hooks.shows(Bug::AckUnsent, 16),
            Input::Command(Command::Emit(emit)) => emit.ack.is_none() && hooks.shows(Bug::EmitUnsent, 64),
            Input::Command(Command::Disconnect { .. }) => hooks.shows(Bug::DisconnectIgnored, 4),
            Input::Command(Command::Handled { .. }) => hooks.shows(Bug::HandledForgotten, 64),
            Input::WsBytes { .. } | Input::HttpAborted { .. } | Input::WallClock(_) | Input::Command(_) => false,
        };
        (!lost).then_some(input)
    }

    /// Whether a packet of a client is passed over.
    pub(super) fn loses_packet(&mut self, session: SessionId, packet: &Packet) -> bool {
        let hooks = &mut self.test_hooks;
        match packet {
            Packet::Pong(_) => hooks.shows(Bug::PongIgnored, 4),
            Packet::Binary(_) => hooks.shows(Bug::AttachmentLost, 8),
            Packet::Message(text) => {
                let of_socket_io =
                    self.sessions.get(session).is_some_and(|record| record.kind == SessionKind::SocketIo);
                of_socket_io && text.starts_with('1') && hooks.shows(Bug::LeavePacketIgnored, 1)
            }
            Packet::Open(_) | Packet::Close | Packet::Ping(_) | Packet::Upgrade | Packet::Noop => false,
        }
    }

    pub(super) fn spoil_output(&mut self, output: Output) -> Option<Output> {
        let hooks = &mut self.test_hooks;
        let lost = match &output {
            Output::ReadResumed(_) => hooks.shows(Bug::ReadNeverResumed, 4),
            Output::Respond(..) => hooks.shows(Bug::RequestUnanswered, 64),
            Output::Close(_) => hooks.shows(Bug::CloseUntold, 8),
            Output::Event(_) | Output::Writable(_) | Output::ReadPaused(_) => false,
        };
        (!lost).then_some(output)
    }
}
