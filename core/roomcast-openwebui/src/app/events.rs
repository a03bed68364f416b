//! The events of sockets, each in its turn.
//!
//! Owns: that each event is looked at once, acknowledged once and counted as handled once, and what has to be so before
//! its payload is parsed. Must never know: what an event means.

use bytestring::ByteString;

use super::OpenWebUi;
use super::found::{found_chat, found_note};
use super::guard::Guarded;
use crate::documents::HeldAck;
use crate::purpose::Purpose;
use crate::query::{QueryId, StoreAnswer, StoreError};
use crate::refusals::TokenRefusal;
use crate::requests::LogoutReason;
use crate::settings::Release;
use crate::sockets::LoginTrust;
use crate::turn::{BuiltIn, Outcome, TurnStep, judge};
use crate::turns::{Arrival, Doubt, HeldEvent, Turn, TurnOrigin};
use crate::wire;
use roomcast_core::server::{AckId, Command, Cx, Event, Extent, SessionId, SocketId, Target};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    /// An event arrived. Given back if it is not the application's and nothing is before it.
    pub(super) fn receive(
        &mut self,
        peer: SessionId,
        socket: SocketId,
        (name, args, ack): (ByteString, Args, Option<AckId>),
        cx: &mut Cx<'_>,
    ) -> Option<Event> {
        self.see(socket, cx);
        if &*name == "heartbeat" && self.turns.is_open(socket) && self.may_overtake(socket, &args, cx) {
            let outcome = self.heartbeat(socket, cx);
            self.settle(peer, socket, TurnOrigin::Event(ack), outcome, cx);
            return None;
        }
        match self.turns.handle_event(socket, HeldEvent { name, args, ack }) {
            Arrival::Begins(event) => self.begin(peer, socket, event, cx),
            Arrival::Waits => None,
            Arrival::TooMany => {
                cx.command(Command::Handled { session: peer });
                cx.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Connection });
                None
            }
            Arrival::Unknown(HeldEvent { name, args, ack }) => {
                Some(Event::Received { session: peer, socket, name, args, ack })
            }
        }
    }

    /// A turn without an event: the arrival of a socket.
    pub(super) fn arrive(&mut self, peer: SessionId, socket: SocketId, outcome: Outcome, cx: &mut Cx<'_>) {
        self.settle(peer, socket, TurnOrigin::Arrival, outcome, cx);
    }

    /// The query of a turn was answered, or its deadline passed.
    pub(super) fn resume(
        &mut self,
        query: QueryId,
        socket: SocketId,
        result: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(Turn { step, origin, doubt, .. }) = self.turns.handle_answer(socket, query) else { return };
        let Some(peer) = self.sockets.get(socket).map(|record| record.peer) else { return };
        let outcome = self.go_on(socket, step, result, cx);
        self.settle(peer, socket, origin, outcome, cx);
        match doubt {
            Doubt::No => {}
            Doubt::Yes => self.check(socket, cx),
        }
        self.drain(peer, socket, cx);
    }

    /// The document that a turn waits for is there, or cannot be loaded.
    pub(crate) fn resume_load(&mut self, socket: SocketId, outcome: Outcome, cx: &mut Cx<'_>) {
        let is_load = |step: &TurnStep| matches!(step, TurnStep::DocumentLoad);
        if let Some(turn) = self.turns.end_if(socket, is_load) {
            self.resume_with(socket, turn.origin, outcome, cx);
        }
    }

    /// The update of a document that a turn waits for has been tried.
    pub(crate) fn resume_update(&mut self, socket: SocketId, outcome: Outcome, cx: &mut Cx<'_>) {
        let is_update = |step: &TurnStep| matches!(step, TurnStep::DocumentUpdate);
        if let Some(turn) = self.turns.end_if(socket, is_update) {
            self.resume_with(socket, turn.origin, outcome, cx);
        }
    }

    /// The call of an encrypted channel's member that a turn waits for has been carried out, or refused.
    pub(super) fn resume_encryption(&mut self, socket: SocketId, args: Args, cx: &mut Cx<'_>) {
        let is_call = |step: &TurnStep| matches!(step, TurnStep::Encryption);
        if let Some(turn) = self.turns.end_if(socket, is_call) {
            self.resume_with(socket, turn.origin, Outcome::Done(args), cx);
        }
    }

    /// The channels that a turn waits for have been read, or could not be.
    pub(super) fn resume_channels(&mut self, socket: SocketId, is_read: bool, cx: &mut Cx<'_>) {
        let Some(turn) = self.turns.end_if(socket, TurnStep::is_of_channels) else { return };
        if !is_read {
            self.tell_unavailable(socket, cx);
        }
        let is_user_join = matches!(turn.step, TurnStep::UserJoinChannels);
        let outcome = if is_user_join { self.joined(socket, cx) } else { Outcome::nothing() };
        self.resume_with(socket, turn.origin, outcome, cx);
    }

    fn resume_with(&mut self, socket: SocketId, origin: TurnOrigin, outcome: Outcome, cx: &mut Cx<'_>) {
        let Some(peer) = self.sockets.get(socket).map(|record| record.peer) else { return };
        self.settle(peer, socket, origin, outcome, cx);
        self.drain(peer, socket, cx);
    }

    /// A join has waited for its login for too long.
    pub(crate) fn parked_overdue(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let Some(parked) = record.parked.pop_front() else { return };
        let peer = record.peer;
        let outcome = self.refuse_join(socket, cx);
        self.settle(peer, socket, TurnOrigin::Event(parked.event.ack), outcome, cx);
    }

    /// A socket is gone, and with it the events that waited.
    pub(super) fn forget_turn(&mut self, peer: SessionId, socket: SocketId, cx: &mut Cx<'_>) {
        self.rations.close(socket);
        let (query, unhandled) = self.turns.close(socket);
        if let Some(query) = query {
            self.queries.forget(query);
        }
        // The peer may go on in other namespaces, and must not stay paused for what will not be handled.
        for _ in 0..unhandled {
            cx.command(Command::Handled { session: peer });
        }
    }

    fn begin(&mut self, peer: SessionId, socket: SocketId, event: HeldEvent, cx: &mut Cx<'_>) -> Option<Event> {
        let HeldEvent { name, args, ack } = match self.guard(socket, event, cx) {
            Guarded::Passes(event) => event,
            Guarded::Ends(outcome, ack) => {
                self.settle(peer, socket, TurnOrigin::Event(ack), outcome, cx);
                return None;
            }
        };
        if let Some(action) = self.encryption_action(&name) {
            let outcome = self.encryption_call(socket, action, &args, cx);
            self.settle(peer, socket, TurnOrigin::Event(ack), outcome, cx);
            return None;
        }
        let Some(built_in) = BuiltIn::named(&name) else {
            if self.share_line(socket, &name, &args, cx) {
                self.settle(peer, socket, TurnOrigin::Event(ack), Outcome::nothing(), cx);
                return None;
            }
            return Some(Event::Received { session: peer, socket, name, args, ack });
        };
        let outcome = match self.refusal(socket, built_in, &args, cx) {
            Some(refusal) => refusal,
            None if built_in == BuiltIn::DocumentJoin && self.user_of(socket).is_none() => {
                match self.park(socket, HeldEvent { name, args, ack }, cx) {
                    Ok(()) => return None,
                    Err(_) => self.refuse_join(socket, cx),
                }
            }
            None => self.carry_out(socket, built_in, &args, cx),
        };
        self.settle(peer, socket, TurnOrigin::Event(ack), outcome, cx);
        None
    }

    /// What is refused before the payload is parsed: an event that needs a login without one, one that is longer than
    /// any that a front end sends, one of too many that ask a store.
    fn refusal(&mut self, socket: SocketId, event: BuiltIn, args: &Args, cx: &Cx<'_>) -> Option<Outcome> {
        let needs_login = !event.brings_token() && event != BuiltIn::DocumentJoin;
        let is_long = !event.is_update() && args.json().len() > self.settings.limits.event_bytes_max;
        let is_refused = (needs_login && self.user_of(socket).is_none())
            || is_long
            || (event.is_dear() && !self.rations.take(socket, cx.now));
        is_refused
            .then(|| if event == BuiltIn::ChatEvents { Outcome::Done(wire::args(&false)) } else { Outcome::nothing() })
    }

    fn carry_out(&mut self, socket: SocketId, event: BuiltIn, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        match event {
            BuiltIn::DocumentJoin => self.document_join(socket, args, cx),
            BuiltIn::DocumentState => self.document_state(socket, args, cx),
            BuiltIn::DocumentUpdate => self.document_update(socket, args, cx),
            BuiltIn::DocumentLeave => self.document_leave(socket, args, cx),
            BuiltIn::DocumentAwareness => self.document_awareness(socket, args, cx),
            BuiltIn::UserJoin => self.user_join(socket, args, cx),
            BuiltIn::Heartbeat => self.heartbeat(socket, cx),
            BuiltIn::Usage => self.use_model(socket, args, cx),
            BuiltIn::JoinChannels => self.join_channels(socket, args, cx),
            BuiltIn::JoinNote => self.join_note(socket, args, cx),
            BuiltIn::ChannelEvents => self.channel_events(socket, args, cx),
            BuiltIn::ChatEvents => self.chat_events(socket, args, cx),
        }
    }

    fn go_on(
        &mut self,
        socket: SocketId,
        step: TurnStep,
        result: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let (step, result) = if let TurnStep::Shared(step, user) = step {
            // Stored or not: a login does not depend on it.
            (*step, Ok(StoreAnswer::User(Some(user))))
        } else if let Some((question, user)) = self.session_first(socket, &step, &result) {
            return Outcome::Ask(question, TurnStep::Shared(Box::new(step), user));
        } else {
            (step, result)
        };
        match step {
            TurnStep::Connect(token) => {
                let found = judge(result, &token);
                self.connect_answered(socket, token, found, cx)
            }
            TurnStep::Admit(token) => {
                let found = judge(result, &token);
                self.admit_answered(socket, token, found, cx)
            }
            TurnStep::UserJoin(token) => {
                let found = judge(result, &token);
                self.user_join_answered(socket, token, found, cx)
            }
            TurnStep::JoinChannels(token) => {
                let found = judge(result, &token);
                self.join_channels_answered(socket, token, found, cx)
            }
            TurnStep::JoinNote(token, note) => {
                let found = judge(result, &token);
                self.join_note_answered(socket, token, note, found, cx)
            }
            TurnStep::Note(note) => self.note_answered(socket, &note, found_note(result), cx),
            TurnStep::Chat(request) => self.chat_answered(socket, request, found_chat(result), cx),
            // Stored or not: the chat does not depend on it.
            TurnStep::ChatEntered(chat) => self.chat_entered(&chat, cx),
            TurnStep::Confirm { event, epoch } => self.confirmed(socket, (event, epoch), result, cx),
            TurnStep::DocumentJoin(joiner) => self.document_join_answered(socket, joiner, found_note(result), cx),
            TurnStep::DocumentFiles(turn) => self.document_files_answered(socket, turn, result, cx),
            TurnStep::EncryptionUser(turn) => self.encryption_user_answered(socket, *turn, result, cx),
            // These wait for no question of their own.
            TurnStep::UserJoinChannels
            | TurnStep::Channels
            | TurnStep::DocumentLoad
            | TurnStep::DocumentUpdate
            | TurnStep::Encryption
            | TurnStep::Shared(..) => Outcome::nothing(),
        }
    }

    /// Carries out what became of an event.
    fn settle(&mut self, peer: SessionId, socket: SocketId, origin: TurnOrigin, outcome: Outcome, cx: &mut Cx<'_>) {
        match (outcome, origin) {
            (Outcome::Ask(question, step), origin) => {
                let query = self.ask(question, Purpose::Turn(socket), cx);
                self.turns.begin(socket, Some(query), step, origin);
            }
            (Outcome::Wait(step), origin) => self.turns.begin(socket, None, step, origin),
            (Outcome::Done(args), TurnOrigin::Event(ack)) => {
                if let Some(ack) = ack {
                    cx.command(Command::Ack { socket, ack, args });
                }
                cx.command(Command::Handled { session: peer });
            }
            (Outcome::Stored(document, args), TurnOrigin::Event(ack)) => {
                if let Some(ack) = ack {
                    self.ack_when_stored(document, HeldAck { socket, ack, args }, cx);
                }
                // What comes behind it does not wait for the store.
                cx.command(Command::Handled { session: peer });
            }
            (Outcome::Gone | Outcome::Unanswered, TurnOrigin::Event(_)) => {
                cx.command(Command::Handled { session: peer });
            }
            (Outcome::Ended(args), TurnOrigin::Event(ack)) => {
                if let Some((args, ack)) = args.zip(ack) {
                    cx.command(Command::Ack { socket, ack, args });
                }
                cx.command(Command::Handled { session: peer });
                let (target, extent) = (Target::Socket(socket), Extent::Namespace);
                cx.command(Command::Disconnect { target, extent });
            }
            (Outcome::Again(event), _) => self.turns.hold_first(socket, event),
            (
                Outcome::Done(_) | Outcome::Stored(..) | Outcome::Gone | Outcome::Unanswered | Outcome::Ended(_),
                TurnOrigin::Arrival,
            ) => {}
        }
    }

    /// The events behind a turn, up to the next that has to wait.
    pub(super) fn drain(&mut self, peer: SessionId, socket: SocketId, cx: &mut Cx<'_>) {
        while let Some(event) = self.turns.next(socket) {
            if let Some(event) = self.begin(peer, socket, event, cx) {
                self.given_back.push_back(event);
            }
        }
    }

    /// Whether a heartbeat need not wait for the event before it: it says nothing about the others.
    fn may_overtake(&self, socket: SocketId, args: &Args, cx: &Cx<'_>) -> bool {
        match (self.settings.release, self.sockets.trust(socket, cx.now)) {
            (Release::V0_6, LoginTrust::Due(..) | LoginTrust::Stands) => true,
            (Release::V0_12, LoginTrust::Stands) => !args.is_empty(),
            (Release::V0_12, LoginTrust::Due(..)) | (Release::V0_6 | Release::V0_12, LoginTrust::NoLogin) => false,
        }
    }

    /// Something was received from a socket: its login is active, unless its token has ended meanwhile.
    fn see(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let wall = cx.server.wall();
        let login = self.sockets.get(socket).and_then(|record| record.login.as_ref());
        if login.is_some_and(|login| login.token.has_ended(wall)) {
            self.refused(Some(socket), TokenRefusal::Expired, cx);
            return self.withdraw(socket, LogoutReason::Token, cx);
        }
        self.activity.handle_seen(socket, cx.now);
    }
}
