//! What other processes are to know of this one's logins.
//!
//! Owns: that a session is stored for them before its socket has any room, and removed when its login ends. Must never
//! know: where it is stored.

use bytestring::ByteString;

use super::OpenWebUi;
use crate::purpose::Purpose;
use crate::query::{Question, StoreAnswer, StoreError, User};
use crate::settings::SessionSharing;
use crate::turn::{TurnStep, admitted, judge};
use roomcast_core::server::{Cx, SocketId};

impl OpenWebUi {
    /// What has to be stored before a step begins a login, and the user of it.
    pub(super) fn session_first(
        &mut self,
        socket: SocketId,
        step: &TurnStep,
        result: &Result<StoreAnswer, StoreError>,
    ) -> Option<(Question, User)> {
        let user = admitted(result, step.token()?)?;
        Some((self.session_to_share(socket, user)?, user.clone()))
    }

    /// A check of a login found its user: the session is stored first, where it is new or has changed.
    pub(super) fn recheck_answered(
        &mut self,
        (socket, epoch): (SocketId, u64),
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(token) = self.sockets.token_at(socket, epoch) else { return };
        let question =
            admitted(&reply, &token).and_then(|user| Some((self.session_to_share(socket, user)?, user.clone())));
        match question {
            Some((question, user)) => {
                self.ask(question, Purpose::Shared { socket, epoch, user }, cx);
            }
            None => self.checked(socket, epoch, judge(reply, &token), cx),
        }
    }

    /// A login has begun: its session is stored, should it have been removed while the login waited for that.
    pub(super) fn share_login(&mut self, socket: SocketId, cx: &Cx<'_>) {
        if self.has_pool() {
            self.pool.handle_session(cx.now);
        }
        let is_shared = self.sockets.get(socket).is_some_and(|record| record.shared.is_some());
        if is_shared {
            return;
        }
        if let Some(user) = self.user_of(socket).cloned()
            && let Some(question) = self.session_to_share(socket, &user)
        {
            self.ask(question, Purpose::Told, cx);
        }
    }

    /// A login's user has been looked up: the session is stored again if the user has changed.
    pub(super) fn share_changed(&mut self, socket: SocketId, user: &User, cx: &Cx<'_>) {
        if let Some(question) = self.session_to_share(socket, user) {
            self.ask(question, Purpose::Told, cx);
        }
    }

    /// A socket has no login any more, and is about to have none.
    pub(super) fn unshare(&mut self, socket: SocketId, cx: &Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        if record.shared.take().is_some() {
            let sid = record.sid.as_str().into();
            self.ask(Question::UnshareSession { sid }, Purpose::Told, cx);
        }
    }

    /// A socket uses a model now.
    pub(super) fn share_use(&mut self, socket: SocketId, model: ByteString, cx: &Cx<'_>) {
        match self.settings.sharing {
            SessionSharing::Off => {}
            SessionSharing::On | SessionSharing::WithPool => {
                let Some(sid) = self.sockets.get(socket).map(|record| record.sid.as_str().into()) else { return };
                let at_secs = cx.server.wall().as_unix_secs();
                self.ask(Question::ShareUse { sid, model, at_secs }, Purpose::Told, cx);
            }
        }
    }

    /// What stores a session, unless it is stored as it is.
    fn session_to_share(&mut self, socket: SocketId, user: &User) -> Option<Question> {
        if self.settings.sharing == SessionSharing::Off {
            return None;
        }
        let record = self.sockets.get_mut(socket)?;
        if record.shared.as_ref() == Some(&user.profile) {
            return None;
        }
        record.shared = Some(user.profile.clone());
        Some(Question::ShareSession { sid: record.sid.as_str().into(), profile: user.profile.clone() })
    }
}
