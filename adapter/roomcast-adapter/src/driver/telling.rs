//! What the application layer is told, as an operator sees it.
//!
//! Owns: the span in which the application handles an event, and the lines about sockets that it keeps to itself: what it
//! gives back is logged with the handlers. Must never know: what the application does with an event.

use bytestring::ByteString;
use roomcast_core::server::{App, Event, Output, Reason, RoomEvents};
use roomcast_core::time::Instant;
use tracing::{Level, Span};

use super::Driver;
use crate::runtime::Runtime;

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    /// The next thing to do, as [`Stack::poll_output`](roomcast_core::server::Stack::poll_output) says it.
    pub(super) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if !tracing::enabled!(Level::DEBUG) {
            self.stack.server.set_room_events(RoomEvents::Off);
            return self.stack.poll_output(now);
        }
        self.stack.server.set_room_events(RoomEvents::On);
        let Self { stack, kept, presences, shared, .. } = self;
        stack.poll_output_by(now, |app, event, cx| {
            let (socket, name, what) = match &event {
                Event::Connecting(connect) => (connect.socket, "admit".into(), SocketStep::Asks),
                Event::Connected(connect) => (connect.socket, "connect".into(), SocketStep::Comes),
                Event::Received { socket, name, .. } => (*socket, name.clone(), SocketStep::Sends),
                Event::Disconnected { socket, reason, .. } => {
                    (*socket, "disconnect".into(), SocketStep::Leaves(*reason))
                }
                Event::RoomJoined { socket, room } => (*socket, "join".into(), SocketStep::JoinsRoom(room.clone())),
                Event::RoomLeft { socket, room } => (*socket, "leave".into(), SocketStep::LeavesRoom(room.clone())),
                Event::Acked { .. }
                | Event::AcksEnded { .. }
                | Event::Opened { .. }
                | Event::Message { .. }
                | Event::Closed { .. }
                | Event::Relieved { .. }
                | _ => return app.handle_event(event, cx),
            };
            // One that has gone is known to the server no more.
            let here = cx.server.scope(socket).cloned().zip(cx.server.sid(socket));
            let here = here.or_else(|| match what {
                SocketStep::Leaves(_) => kept.remove(&socket),
                SocketStep::Asks
                | SocketStep::Comes
                | SocketStep::Sends
                | SocketStep::JoinsRoom(_)
                | SocketStep::LeavesRoom(_) => kept.get(&socket).cloned(),
            });
            let here = here.or_else(|| {
                let known = presences.get(socket.slot())?.as_ref().filter(|known| known.id() == socket)?;
                Some((known.scope.clone(), known.connect.sid))
            });
            let span = here.as_ref().map_or_else(Span::none, |(scope, sid)| {
                let (endpoint, namespace) = (shared.endpoints.path(scope.endpoint), &*scope.namespace);
                tracing::debug_span!("socket", endpoint, namespace, event = &*name, %sid)
            });
            let _entered = span.enter();
            let event = match what {
                // Said for the log alone.
                SocketStep::JoinsRoom(_) | SocketStep::LeavesRoom(_) => None,
                SocketStep::Asks | SocketStep::Comes | SocketStep::Sends | SocketStep::Leaves(_) => {
                    app.handle_event(event, cx)
                }
            };
            if event.is_none() {
                what.log();
                match what {
                    SocketStep::Comes => kept.extend(here.map(|here| (socket, here))),
                    SocketStep::Asks
                    | SocketStep::Sends
                    | SocketStep::Leaves(_)
                    | SocketStep::JoinsRoom(_)
                    | SocketStep::LeavesRoom(_) => {}
                }
            }
            event
        })
    }
}

/// What a socket does that an application keeps to itself, or that concerns the log alone.
enum SocketStep {
    Asks,
    Comes,
    Sends,
    Leaves(Reason),
    JoinsRoom(ByteString),
    LeavesRoom(ByteString),
}

impl SocketStep {
    fn log(&self) {
        match self {
            Self::Asks => tracing::debug!("asks the application to come in"),
            Self::Comes => tracing::debug!("connected"),
            Self::Sends => tracing::trace!("for the application"),
            Self::Leaves(reason) => tracing::debug!(?reason, "disconnected"),
            Self::JoinsRoom(room) => tracing::debug!(%room, "joined a room"),
            Self::LeavesRoom(room) => tracing::debug!(%room, "left a room"),
        }
    }
}
