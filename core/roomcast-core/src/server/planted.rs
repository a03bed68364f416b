//! What a planted bug does to the server.
//!
//! Owns: the few places that everything passes, where a bug loses or doubles something. Must never know: a normal build:
//! only the feature `test-hooks`, which no release turns on, compiles this file.

use super::event::{Command, Event, Input, Output, SessionId};
use super::state::SessionKind;
use super::test_hooks::Bug;
use super::{Queued, Server};
use crate::engine_io::Packet;

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
            | Event::RoomJoined { .. }
            | Event::RoomLeft { .. }
            | Event::Relieved { .. }
            | Event::Cluster(_) => (false, None),
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
            Input::WsBytes { .. }
            | Input::HttpAborted { .. }
            | Input::WallClock(_)
            | Input::Cluster(_)
            | Input::Command(_) => false,
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
            Output::Event(_)
            | Output::Writable(_)
            | Output::ReadPaused(_)
            | Output::Publish(_)
            | Output::Subscribe(_)
            | Output::Unsubscribe(_) => false,
        };
        (!lost).then_some(output)
    }
}
