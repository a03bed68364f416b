//! An application that keeps its events for the test, which gives the commands.
//!
//! Owns: the events since the test last looked. Must never know: what the test makes of them.

use roomcast_core::server::{App, Command, Cx, Event};
use roomcast_core::time::Instant;

/// An application that does nothing of its own.
#[derive(Debug, Default)]
pub struct Manual {
    /// Events since the test last took them, in order.
    pub events: Vec<Event>,
    /// Whether events are handled as they come.
    pub handling: Handling,
}

/// Whether [`Manual`] says of each event that it is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// As soon as it comes.
    #[default]
    AtOnce,
    /// The test says so.
    ByHand,
}

impl App for Manual {
    roomcast_testkit::without_stores!();

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        if let (Event::Received { session, .. } | Event::Message { session, .. }, Handling::AtOnce) =
            (&event, self.handling)
        {
            cx.command(Command::Handled { session: *session });
        }
        self.events.push(event);
        None
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
