//! What a socket has to be before one of its events is carried out, with Open WebUI 0.12.
//!
//! Owns: which events end a socket without a login, which go without an ack, and that the token of a login is looked up
//! again before an event. Must never know: what an event does.

use super::OpenWebUi;
use crate::encryption::is_encryption_event;
use crate::query::{StoreAnswer, StoreError};
use crate::refusals::LoginRefused;
use crate::requests::LogoutReason;
use crate::settings::Release;
use crate::sockets::{Checked, LoginTrust};
use crate::turn::{BuiltIn, HeldEvent, Outcome, TurnStep, admitted, judge};
use crate::wire;
use roomcast_core::server::{AckId, Cx, SocketId};
use roomcast_core::socket_io::Args;

/// What becomes of an event before its payload is looked at.
pub(super) enum Guarded {
    /// It is carried out, or given back to the program.
    Passes(HeldEvent),
    /// It is not, and this is what it comes to.
    Ends(Outcome, Option<AckId>),
}

impl OpenWebUi {
    /// Looks at who sends an event. 0.6 looks later, and at less.
    pub(super) fn guard(&mut self, socket: SocketId, event: HeldEvent, cx: &Cx<'_>) -> Guarded {
        match self.settings.release {
            Release::V0_6 => return Guarded::Passes(event),
            Release::V0_12 => {}
        }
        if cx.server.sid(socket).is_none() {
            // It was told to go: what it had sent before it knew comes to nothing.
            return Guarded::Ends(Outcome::Unanswered, None);
        }
        let ack = event.ack;
        let ended = match EventFamily::of(&event) {
            EventFamily::Other => return Guarded::Passes(event),
            EventFamily::BuiltIn(built_in) => self.built_in_refusal(socket, built_in, &event.args),
            EventFamily::Encryption if self.user_of(socket).is_none() => Some(Outcome::Ended(Some(no_encryption()))),
            EventFamily::Encryption => None,
            EventFamily::Stream => self.user_of(socket).is_none().then_some(Outcome::Ended(None)),
        };
        if let Some(outcome) = ended {
            return Guarded::Ends(outcome, ack);
        }
        let is_checked = match EventFamily::of(&event) {
            EventFamily::BuiltIn(built_in) => !built_in.brings_token(),
            EventFamily::Stream | EventFamily::Encryption => true,
            EventFamily::Other => false,
        };
        match self.sockets.trust(socket, cx.now) {
            LoginTrust::Due(token, epoch) if is_checked => {
                let step = TurnStep::Confirm { event, epoch };
                Guarded::Ends(Outcome::Ask(token.question(), step), ack)
            }
            LoginTrust::Due(..) | LoginTrust::Stands | LoginTrust::NoLogin => Guarded::Passes(event),
        }
    }

    /// The store said whose token it is that a login began with: the event goes on, unless the token is refused by now.
    ///
    /// Without an answer the login stands for a while, as it does with the checks by time.
    pub(super) fn confirmed(
        &mut self,
        socket: SocketId,
        (event, epoch): (HeldEvent, u64),
        result: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let Some(token) = self.sockets.token_at(socket, epoch) else { return Outcome::Again(event) };
        let changed = admitted(&result, &token).cloned();
        let found = judge(result, &token);
        if let Ok(Err(refused)) = found {
            self.refused(Some(socket), refused.into(), cx);
        }
        match self.sockets.handle_confirmed(socket, epoch, found.map(Result::ok), cx.now) {
            Checked::Refused => {
                self.withdraw(socket, LogoutReason::Revoked, cx);
                return Outcome::Unanswered;
            }
            Checked::Stands => {
                if let Some(user) = changed {
                    self.share_changed(socket, &user, cx);
                }
                // Beside the event: each update would otherwise wait for the store.
                self.recheck_documents(socket, cx);
            }
            Checked::Stale | Checked::Unknown | Checked::LogsIn(..) | Checked::NotWanted(_) => {}
        }
        Outcome::Again(event)
    }

    /// What `user-join` with a refused token comes to: where the account is gone, Open WebUI's handler fails.
    pub(super) fn refused_join(&self, refused: LoginRefused) -> Outcome {
        match (self.settings.release, refused) {
            (Release::V0_12, LoginRefused::Unknown) => Outcome::Unanswered,
            (
                Release::V0_6 | Release::V0_12,
                LoginRefused::Unknown
                | LoginRefused::Role
                | LoginRefused::Revoked
                | LoginRefused::Kind
                | LoginRefused::SecondFactor,
            ) => Outcome::nothing(),
        }
    }

    /// What a payload comes to that Open WebUI's handler cannot read.
    pub(super) fn unreadable(&self) -> Outcome {
        match self.settings.release {
            Release::V0_6 => Outcome::nothing(),
            Release::V0_12 => Outcome::Unanswered,
        }
    }

    fn built_in_refusal(&self, socket: SocketId, event: BuiltIn, args: &Args) -> Option<Outcome> {
        let Some(payload) = args.get(0) else { return Some(Outcome::Unanswered) };
        let is_anonymous = self.user_of(socket).is_none();
        if is_anonymous && event.ends_anonymous() {
            return Some(Outcome::Ended(None));
        }
        (event.reads_object() && !payload.trim_start().starts_with('{')).then_some(Outcome::Unanswered)
    }
}

/// What an event is about, by its name.
enum EventFamily {
    BuiltIn(BuiltIn),
    /// Encrypted channels.
    Encryption,
    /// A direct connection of the user that its name begins with.
    Stream,
    /// The program's own.
    Other,
}

impl EventFamily {
    fn of(event: &HeldEvent) -> Self {
        match BuiltIn::named(&event.name) {
            Some(built_in) => Self::BuiltIn(built_in),
            None if is_encryption_event(&event.name) => Self::Encryption,
            None if is_stream(&event.name) && !event.args.is_empty() => Self::Stream,
            None => Self::Other,
        }
    }
}

/// Whether a name is made of three parts, as that of a direct connection's lines.
pub(super) fn is_stream(name: &str) -> bool {
    name.bytes().filter(|byte| *byte == b':').count() == 2
}

pub(super) fn no_encryption() -> Args {
    wire::args(&wire::EncryptionRefused::UNAVAILABLE)
}
