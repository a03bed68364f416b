//! Periodic re-authorisation of logins, and of the rooms that they gave.
//!
//! Owns: what is asked of the store when a login is checked, on its time or when told that something changed. Must never
//! know: how a socket got its login.

use bytestring::ByteString;

use super::OpenWebUi;
use super::login::UserFound;
use crate::access::{self, Access};
use crate::purpose::Purpose;
use crate::query::{Chat, ChatShare, Note, Permission, Question, StoreError, User};
use crate::refusals::TokenRefusal;
use crate::requests::LogoutReason;
use crate::settings::AdminChats;
use crate::sockets::{ChannelRooms, ChatAccess, Check, Checked};
use crate::token::TokenClaims;
use crate::wire;
use roomcast_core::server::{Command, Cx, SocketId, Target};

impl OpenWebUi {
    /// Asks the store about a login, or about a token whose user it could not name, unless the token has ended.
    pub(super) fn check(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        match self.sockets.check(socket, cx.server.wall()) {
            Check::Nothing => {}
            Check::Ask(token, epoch) => {
                self.ask(token.question(), Purpose::Recheck { socket, epoch }, cx);
            }
            Check::Ended => {
                self.refused(Some(socket), TokenRefusal::Expired, cx);
                self.withdraw(socket, LogoutReason::Token, cx);
            }
        }
    }

    /// The store said whose token it is.
    pub(super) fn checked(&mut self, socket: SocketId, epoch: u64, found: UserFound, cx: &mut Cx<'_>) {
        if let Ok(Err(refused)) = found {
            self.refused(Some(socket), refused.into(), cx);
        }
        match self.sockets.handle_checked(socket, epoch, found.map(Result::ok), cx.now) {
            Checked::Stale | Checked::Unknown => {}
            Checked::LogsIn(wanted, user) => {
                self.log_in(socket, wanted.token, user, wanted.channels, cx);
                self.check_rooms(socket, cx);
                if let Some(peer) = self.sockets.get(socket).map(|record| record.peer) {
                    self.drain(peer, socket, cx);
                }
            }
            Checked::NotWanted(wanted) => self.doubt(socket, &wanted.token.user, cx),
            Checked::Stands => self.check_rooms(socket, cx),
            Checked::Refused => self.withdraw(socket, LogoutReason::Revoked, cx),
        }
    }

    /// Asks about the rooms of a login.
    fn check_rooms(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get(socket) else { return };
        let Some(login) = record.login.as_ref() else { return };
        let epoch = login.epoch;
        let chats: Vec<ByteString> = record.chats.keys().cloned().collect();
        let notes: Vec<ByteString> =
            cx.server.rooms(socket).filter_map(|room| room.strip_prefix(wire::NOTE_ROOM)).map(Into::into).collect();
        let channels = login.channels;
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return };
        match channels {
            ChannelRooms::Wanted => self.channel_reads.read_again(&user, cx.now),
            ChannelRooms::Unasked => {}
        }
        for note in notes {
            let question = Question::Note { note: note.clone(), user: user.clone() };
            self.ask(question, Purpose::NoteRoom { socket, epoch, note }, cx);
        }
        for chat in chats {
            let question = Question::Chat { chat: chat.clone(), user: user.clone() };
            self.ask(question, Purpose::ChatRoom { socket, epoch, chat }, cx);
        }
        self.recheck_documents(socket, cx);
    }

    /// What a login may still do with a note, whose room it leaves if that is nothing. If the store does not answer, it
    /// stays until the next time.
    pub(super) fn note_checked(
        &mut self,
        (socket, epoch): (SocketId, u64),
        note: &str,
        found: &Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(user) = self.sockets.user_at(socket, epoch) else { return };
        let may_stay = match found {
            Ok(Some(note)) => may_use_notes(user) && access::may(user, note, Access::Read),
            Ok(None) => false,
            Err(_) => true,
        };
        if !may_stay {
            cx.command(Command::Leave { target: Target::Socket(socket), room: wire::note_room(note) });
        }
    }

    /// The same with a chat.
    pub(super) fn chat_checked(
        &mut self,
        (socket, epoch): (SocketId, u64),
        chat: &ByteString,
        found: &Result<Option<Chat>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(user) = self.sockets.user_at(socket, epoch) else { return };
        let access = match found {
            Ok(found) => self.chat_access(user, found.as_ref()),
            Err(_) => return,
        };
        let Some(record) = self.sockets.get_mut(socket) else { return };
        match access {
            Some(access) => {
                if let Some(known) = record.chats.get_mut(chat) {
                    *known = access;
                }
            }
            None => self.leave_chat(socket, chat, cx),
        }
    }

    /// Something about a user has changed: whether there is one, the role, what it may do, its tokens. Returns how many
    /// sockets and peers that is about.
    pub(super) fn refresh(&mut self, user: &str, cx: &mut Cx<'_>) -> usize {
        let sockets = self.sockets.sockets_of(user).to_vec();
        for socket in &sockets {
            self.sockets.distrust(*socket);
            self.check(*socket, cx);
        }
        sockets.len() + self.doubt_turns(|token| &*token.user == user) + self.refresh_peers(user, cx)
    }

    /// Something about a token has changed.
    pub(super) fn refresh_token(&mut self, jti: &str, cx: &mut Cx<'_>) -> usize {
        let is_of = |token: &TokenClaims| token.jti.as_deref() == Some(jti);
        let sockets: Vec<SocketId> =
            self.sockets.iter().filter(|record| record.has_token(is_of)).map(|record| record.socket).collect();
        for socket in &sockets {
            self.sockets.distrust(*socket);
            self.check(*socket, cx);
        }
        sockets.len() + self.doubt_turns(is_of) + self.refresh_peers_by_token(jti, cx)
    }

    /// Sockets whose login is about to begin by such a token: what the store answers may be old.
    fn doubt_turns(&mut self, is_of: impl Fn(&TokenClaims) -> bool) -> usize {
        self.turns.doubt(|step| step.token().is_some_and(&is_of))
    }

    /// When a login is to be checked that begins now.
    pub(crate) fn spread_recheck(&mut self) -> std::time::Duration {
        self.sockets.spread_interval()
    }

    /// What a user may do in a chat's room.
    pub(super) fn chat_access(&self, user: &User, chat: Option<&Chat>) -> Option<ChatAccess> {
        let chat = chat?;
        if chat.owner == user.id {
            return Some(ChatAccess::Write);
        }
        let is_readable = match self.settings.admin_chats {
            AdminChats::Readable => true,
            AdminChats::Closed => chat.is_internal,
        };
        match chat.share {
            ChatShare::Write => Some(ChatAccess::Write),
            ChatShare::Read => Some(ChatAccess::Read),
            ChatShare::None => (is_readable && &*user.role == "admin").then_some(ChatAccess::Read),
        }
    }
}

/// Whether a user has the feature of notes, which 0.6 does not look at.
pub(super) fn may_use_notes(user: &User) -> bool {
    let features = user.account.as_ref().map(|account| account.features);
    &*user.role == "admin" || features.is_none_or(|features| features.notes == Permission::Granted)
}
