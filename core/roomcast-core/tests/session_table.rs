//! The whole table of the Engine.IO session, cell by cell: what each event means in each state.
//!
//! Engine.IO protocol revision 4, "Upgrade" and "Connection lifecycle".

use roomcast_core::engine_io::session::Action::*;
use roomcast_core::engine_io::session::State::*;
use roomcast_core::engine_io::session::{Action, SessionEvent, State, Transition, step};

#[test]
fn every_cell_of_the_table_is_as_the_protocol_has_it() {
    for (event, cells) in TABLE {
        for (state, (next, action)) in STATES.into_iter().zip(cells) {
            assert_eq!(step(state, event), Transition { next, action }, "{state:?} × {event:?}");
        }
    }
}

const STATES: [State; 6] = [Polling, Probing, Upgrading, WebSocket, Closing, Closed];

/// By event, for each of [`STATES`] the state that follows and what is to be done.
const TABLE: [(SessionEvent, [(State, Action); 6]); 15] = [
    (
        SessionEvent::Poll,
        [
            (Polling, HoldPoll),
            (Probing, HoldPoll),
            (Upgrading, AnswerNoop),
            (WebSocket, RefuseRequest),
            (Closing, DeliverClose),
            (Closed, RefuseRequest),
        ],
    ),
    (
        SessionEvent::PollTwice,
        [
            (Closed, EndByOverlap),
            (Closed, EndByOverlap),
            (Closed, EndByOverlap),
            (WebSocket, RefuseRequest),
            (Closing, RefuseRequest),
            (Closed, RefuseRequest),
        ],
    ),
    (
        SessionEvent::Post,
        [
            (Polling, TakePost),
            (Probing, TakePost),
            (Upgrading, TakePost),
            (WebSocket, RefuseRequest),
            (Closing, RefuseRequest),
            (Closed, RefuseRequest),
        ],
    ),
    (
        SessionEvent::PostTwice,
        [
            (Closed, EndByOverlap),
            (Closed, EndByOverlap),
            (Closed, EndByOverlap),
            (WebSocket, RefuseRequest),
            (Closing, RefuseRequest),
            (Closed, RefuseRequest),
        ],
    ),
    (
        SessionEvent::PollAborted,
        [(Closed, End), (Closed, End), (Closed, End), (WebSocket, Ignore), (Closed, End), (Closed, Ignore)],
    ),
    (
        SessionEvent::WsArrived,
        [
            (Probing, AttachProbe),
            (Probing, CloseNewcomer),
            (Upgrading, CloseNewcomer),
            (WebSocket, CloseNewcomer),
            (Closing, CloseNewcomer),
            (Closed, CloseNewcomer),
        ],
    ),
    (
        SessionEvent::ProbePing,
        [
            (Polling, Ignore),
            (Upgrading, AnswerProbe),
            (Polling, DropProbe),
            (WebSocket, Ignore),
            (Closing, Ignore),
            (Closed, Ignore),
        ],
    ),
    (
        SessionEvent::UpgradePacket,
        [
            (Polling, Ignore),
            (Polling, DropProbe),
            (WebSocket, Switch),
            (WebSocket, Ignore),
            (Closing, Ignore),
            (Closed, Ignore),
        ],
    ),
    (
        SessionEvent::ProbeEnded,
        [
            (Polling, Ignore),
            (Polling, DropProbe),
            (Polling, DropProbe),
            (WebSocket, Ignore),
            (Closing, Ignore),
            (Closed, Ignore),
        ],
    ),
    (
        SessionEvent::WsEnded,
        [(Polling, Ignore), (Probing, Ignore), (Upgrading, Ignore), (Closed, End), (Closed, End), (Closed, Ignore)],
    ),
    (
        SessionEvent::ClosePacket,
        [
            (Closed, EndByPeer),
            (Closed, EndByPeer),
            (Closed, EndByPeer),
            (Closed, EndByPeer),
            (Closed, End),
            (Closed, Ignore),
        ],
    ),
    (
        SessionEvent::CloseCommand,
        [
            (Closing, SendClose),
            (Closing, SendClose),
            (Closing, SendClose),
            (Closing, SendClose),
            (Closing, Ignore),
            (Closed, Ignore),
        ],
    ),
    (
        SessionEvent::Fault,
        [(Closed, End), (Closed, End), (Closed, End), (Closed, End), (Closed, End), (Closed, Ignore)],
    ),
    (
        SessionEvent::CloseTimeout,
        [
            (Polling, Ignore),
            (Probing, Ignore),
            (Upgrading, Ignore),
            (WebSocket, Ignore),
            (Closed, End),
            (Closed, Ignore),
        ],
    ),
    (
        SessionEvent::CloseDelivered,
        [
            (Polling, Ignore),
            (Probing, Ignore),
            (Upgrading, Ignore),
            (WebSocket, Ignore),
            (Closed, End),
            (Closed, Ignore),
        ],
    ),
];
