//! The transitions of an Engine.IO session, all of them, as a table: state × event.
//!
//! Owns: which state follows and which action is due. Must never know: packets, sockets, queues or time; those
//! belong to the caller that carries out the actions.
//!
//! Engine.IO protocol revision 4, sections "Upgrade" and "Connection lifecycle".
//!
//! ```text
//!            WsArrived            ProbePing             UpgradePacket
//!  Polling ────────────▶ Probing ───────────▶ Upgrading ─────────────▶ WebSocket
//!     ▲                     │                     │                       │
//!     └──── ProbeEnded ─────┴─────── ProbeEnded ──┘                       │
//!     │                                                                   │
//!     └───────────── CloseCommand ──────────▶ Closing ◀───────────────────┘
//!  every state ─── a fault, a lost transport, a missing pong, ClosePacket ──▶ Closed
//! ```

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Long polling.
    Polling,
    /// Long polling, and a WebSocket is open that has not sent its probe.
    Probing,
    /// The probe is answered: nothing goes out by polling any more, and the WebSocket's `5` is awaited.
    Upgrading,
    /// The WebSocket alone.
    WebSocket,
    /// The server closes: polling still has to fetch the `1`, WebSocket to answer the close frame.
    Closing,
    /// Ended; no event leads out of this state.
    Closed,
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A GET with its sid.
    Poll,
    /// A GET while another waits.
    PollTwice,
    /// A POST with its sid.
    Post,
    /// A POST while another is under way.
    PostTwice,
    /// The waiting GET was given up by the client.
    PollAborted,
    /// A WebSocket with its sid.
    WsArrived,
    /// `2probe` on the probing WebSocket.
    ProbePing,
    /// `5` on the probing WebSocket.
    UpgradePacket,
    /// The probing WebSocket ended, misbehaved or took too long.
    ProbeEnded,
    /// The session's own WebSocket ended.
    WsEnded,
    /// `1` from the client.
    ClosePacket,
    /// The application, or the server's end, closes.
    CloseCommand,
    /// No pong in time, a broken packet, a queue over its limit.
    Fault,
    /// A close that was not answered in time.
    CloseTimeout,
    /// The end of a closing session is in an answer, or in the queue of its WebSocket.
    CloseDelivered,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: a crossing on the way.
    Ignore,
    /// Let the GET wait for packets.
    HoldPoll,
    /// End the GET with a noop at once.
    AnswerNoop,
    /// Take the packets of the POST.
    TakePost,
    /// 400 for this request; the session goes on (or is over already).
    RefuseRequest,
    /// End the waiting GET with `1`, this request with 400, and the session.
    EndByOverlap,
    /// Remember the WebSocket as the one that probes.
    AttachProbe,
    /// Close this WebSocket; the session goes on as it is.
    CloseNewcomer,
    /// Send `3probe`; end a waiting GET with a noop.
    AnswerProbe,
    /// Close the probing WebSocket and go on polling.
    DropProbe,
    /// The WebSocket is the transport now: send what is queued.
    Switch,
    /// The client said goodbye: end a waiting GET with a noop, close the WebSocket.
    EndByPeer,
    /// Tell the transport: `1` behind what is queued, or a close frame.
    SendClose,
    /// Give the GET what is queued and the `1`.
    DeliverClose,
    /// Free everything; a waiting GET gets `1`.
    End,
}

/// The state that follows, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state that follows.
    pub next: State,
    /// The action that is due, if any.
    pub action: Action,
}

/// The table of transitions.
pub const fn step(state: State, event: SessionEvent) -> Transition {
    use Action as A;
    use SessionEvent as E;
    use State as S;
    let (next, action) = match (state, event) {
        (S::Closed, E::Poll | E::PollTwice | E::Post | E::PostTwice) => (S::Closed, A::RefuseRequest),
        (S::Closed, E::WsArrived) => (S::Closed, A::CloseNewcomer),
        (
            S::Closed,
            E::PollAborted
            | E::ProbePing
            | E::UpgradePacket
            | E::ProbeEnded
            | E::WsEnded
            | E::ClosePacket
            | E::CloseCommand
            | E::Fault
            | E::CloseTimeout
            | E::CloseDelivered,
        ) => (S::Closed, A::Ignore),

        // More may be queued than one answer takes: the session closes with the last of them.
        (S::Closing, E::Poll) => (S::Closing, A::DeliverClose),
        (S::Closing, E::PollTwice | E::Post | E::PostTwice) => (S::Closing, A::RefuseRequest),
        (S::Closing, E::WsArrived) => (S::Closing, A::CloseNewcomer),
        (S::Closing, E::ProbePing | E::UpgradePacket | E::ProbeEnded | E::CloseCommand) => (S::Closing, A::Ignore),
        (S::Closing, E::PollAborted | E::WsEnded | E::ClosePacket | E::Fault | E::CloseTimeout | E::CloseDelivered) => {
            (S::Closed, A::End)
        }

        (S::WebSocket, E::Poll | E::PollTwice | E::Post | E::PostTwice) => (S::WebSocket, A::RefuseRequest),
        (S::WebSocket, E::WsArrived) => (S::WebSocket, A::CloseNewcomer),
        (
            S::WebSocket,
            E::PollAborted | E::ProbePing | E::UpgradePacket | E::ProbeEnded | E::CloseTimeout | E::CloseDelivered,
        ) => (S::WebSocket, A::Ignore),
        (S::WebSocket, E::WsEnded | E::Fault) => (S::Closed, A::End),

        (S::Polling, E::WsArrived) => (S::Probing, A::AttachProbe),
        (
            S::Polling,
            E::ProbePing | E::UpgradePacket | E::ProbeEnded | E::WsEnded | E::CloseTimeout | E::CloseDelivered,
        ) => (S::Polling, A::Ignore),

        (S::Probing, E::ProbePing) => (S::Upgrading, A::AnswerProbe),
        // The protocol wants the probe first.
        (S::Probing | S::Upgrading, E::ProbeEnded) | (S::Probing, E::UpgradePacket) => (S::Polling, A::DropProbe),
        (S::Upgrading, E::ProbePing) => (S::Polling, A::DropProbe),
        (S::Upgrading, E::UpgradePacket) => (S::WebSocket, A::Switch),
        (S::Upgrading, E::Poll) => (S::Upgrading, A::AnswerNoop),
        (S::Probing | S::Upgrading, E::WsArrived) => (state, A::CloseNewcomer),
        (S::Probing | S::Upgrading, E::WsEnded | E::CloseTimeout | E::CloseDelivered) => (state, A::Ignore),

        (S::Polling | S::Probing, E::Poll) => (state, A::HoldPoll),
        (S::Polling | S::Probing | S::Upgrading, E::Post) => (state, A::TakePost),
        (S::Polling | S::Probing | S::Upgrading, E::PollTwice | E::PostTwice) => (S::Closed, A::EndByOverlap),
        // What was on its way in the answer is lost: only a new session can be whole again.
        (S::Polling | S::Probing | S::Upgrading, E::PollAborted | E::Fault) => (S::Closed, A::End),
        (S::Polling | S::Probing | S::Upgrading | S::WebSocket, E::ClosePacket) => (S::Closed, A::EndByPeer),
        (S::Polling | S::Probing | S::Upgrading | S::WebSocket, E::CloseCommand) => (S::Closing, A::SendClose),
    };
    Transition { next, action }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_is_final_and_everything_can_close() {
        for event in EVENTS {
            assert_eq!(step(State::Closed, event).next, State::Closed, "{event:?}");
        }
        for state in [State::Polling, State::Probing, State::Upgrading, State::WebSocket, State::Closing] {
            assert_eq!(
                step(state, SessionEvent::Fault),
                Transition { next: State::Closed, action: Action::End },
                "{state:?}"
            );
            assert_eq!(step(state, SessionEvent::ClosePacket).next, State::Closed, "{state:?}");
        }
    }

    #[test]
    fn the_way_of_an_upgrade() {
        let way = [
            (SessionEvent::Poll, State::Polling, Action::HoldPoll),
            (SessionEvent::WsArrived, State::Probing, Action::AttachProbe),
            (SessionEvent::WsArrived, State::Probing, Action::CloseNewcomer),
            (SessionEvent::Poll, State::Probing, Action::HoldPoll),
            (SessionEvent::ProbePing, State::Upgrading, Action::AnswerProbe),
            (SessionEvent::Poll, State::Upgrading, Action::AnswerNoop),
            (SessionEvent::Post, State::Upgrading, Action::TakePost),
            (SessionEvent::UpgradePacket, State::WebSocket, Action::Switch),
            (SessionEvent::Poll, State::WebSocket, Action::RefuseRequest),
            (SessionEvent::WsArrived, State::WebSocket, Action::CloseNewcomer),
            (SessionEvent::CloseCommand, State::Closing, Action::SendClose),
            (SessionEvent::WsEnded, State::Closed, Action::End),
        ];
        let mut state = State::Polling;
        for (event, next, action) in way {
            assert_eq!(step(state, event), Transition { next, action }, "{state:?} × {event:?}");
            state = next;
        }
    }

    #[test]
    fn a_failed_upgrade_goes_on_polling() {
        for event in [SessionEvent::ProbeEnded, SessionEvent::UpgradePacket] {
            assert_eq!(step(State::Probing, event), Transition { next: State::Polling, action: Action::DropProbe });
        }
        assert_eq!(step(State::Upgrading, SessionEvent::ProbeEnded).next, State::Polling);
    }

    #[test]
    fn only_polling_states_hold_or_take() {
        for state in [State::WebSocket, State::Closing, State::Closed] {
            for event in [SessionEvent::Post, SessionEvent::PostTwice, SessionEvent::PollTwice] {
                assert_eq!(step(state, event), Transition { next: state, action: Action::RefuseRequest });
            }
        }
    }

    const EVENTS: [SessionEvent; 15] = [
        SessionEvent::Poll,
        SessionEvent::PollTwice,
        SessionEvent::Post,
        SessionEvent::PostTwice,
        SessionEvent::PollAborted,
        SessionEvent::WsArrived,
        SessionEvent::ProbePing,
        SessionEvent::UpgradePacket,
        SessionEvent::ProbeEnded,
        SessionEvent::WsEnded,
        SessionEvent::ClosePacket,
        SessionEvent::CloseCommand,
        SessionEvent::Fault,
        SessionEvent::CloseTimeout,
        SessionEvent::CloseDelivered,
    ];
}
