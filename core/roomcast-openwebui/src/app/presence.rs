//! Who is in a chat, and what Open WebUI's processes of 0.12 are told of sessions besides.
//!
//! Owns: that those in a chat's room are told who is there, by this node's sockets or by the session pool of all nodes; lines of
//! direct connections; sessions that were left behind. Must never know: who may join a chat.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::OpenWebUi;
use super::guard::is_stream;
use crate::pool::PoolNext;
use crate::purpose::Purpose;
use crate::query::{PoolQuestion, Question, StoreAnswer, StoreError};
use crate::requests::To;
use crate::settings::SessionSharing;
use crate::wire::{self, ChatPresence, TypedEvent, UserJoinAck, UsersEvent};
use roomcast_core::server::{Command, Cx, SocketId};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    /// Tells those in a chat's room who is there, each user once.
    pub(super) fn publish_presence(&mut self, chat: &ByteString, cx: &mut Cx<'_>) {
        if !self.has_pool() {
            return self.tell_presence_here(chat, cx);
        }
        match self.pool.handle_change(chat) {
            PoolNext::Ask => self.ask_presence(chat, cx),
            PoolNext::Nothing => {}
        }
    }

    /// The session pool said who is in a chat. Without it, those are told that are here.
    pub(super) fn presence_answered(
        &mut self,
        chat: ByteString,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        match reply {
            Ok(StoreAnswer::Present(users)) => {
                let users = users.iter().map(|user| UserJoinAck { id: &user.id, name: &user.name }).collect();
                self.tell_presence(&chat, users, cx);
            }
            Ok(_) | Err(_) => self.tell_presence_here(&chat, cx),
        }
        self.ask_pool(PoolQuestion::Told { chat: chat.clone() }, Purpose::Told, cx);
        match self.pool.handle_told(&chat) {
            PoolNext::Ask => self.ask_presence(&chat, cx),
            PoolNext::Nothing => {}
        }
    }

    /// A socket has left a chat: the others are told once the pool knows.
    pub(super) fn chat_left(&mut self, socket: SocketId, chat: &ByteString, cx: &mut Cx<'_>) {
        match self.sid_in_pool(socket) {
            Some(sid) => {
                let purpose = Purpose::ChatLeft { chat: chat.clone() };
                self.ask_pool(PoolQuestion::LeaveChat { sid, chat: chat.clone() }, purpose, cx);
            }
            None => self.publish_presence(chat, cx),
        }
    }

    /// What tells the pool that a socket is in a chat.
    pub(super) fn chat_to_share(&self, socket: SocketId, chat: &ByteString) -> Option<Question> {
        let sid = self.sid_in_pool(socket)?;
        Some(Question::SessionPool(PoolQuestion::EnterChat { sid, chat: chat.clone() }))
    }

    /// The front end of a socket says that it is there.
    pub(super) fn share_seen(&mut self, socket: SocketId, cx: &Cx<'_>) {
        if let Some(sid) = self.sid_in_pool(socket) {
            self.ask_pool(PoolQuestion::Seen { sid }, Purpose::Told, cx);
        }
    }

    /// Whether an event is a line of a direct connection of its sender, which goes to the process that waits for it.
    pub(super) fn share_line(&mut self, socket: SocketId, event: &ByteString, args: &Args, cx: &Cx<'_>) -> bool {
        if !self.has_pool() || !is_stream(event) {
            return false;
        }
        let is_own = self.user_of(socket).is_some_and(|user| event.split(':').next() == Some(&*user.id));
        let Some(data) = args.get(0).filter(|_| is_own) else { return false };
        // Copied: a slice of a message would keep all of it in memory.
        let data = ByteString::from(data.to_owned());
        self.ask_pool(PoolQuestion::Line { event: event.clone(), data }, Purpose::Told, cx);
        true
    }

    /// Looks for sessions that were left behind, if it is time for that.
    pub(super) fn look_after_pool(&mut self, cx: &Cx<'_>) {
        match self.pool.handle_timeout(self.sockets.logins() > 0, cx.now) {
            PoolNext::Ask => self.ask_pool(PoolQuestion::Reap, Purpose::Reaped, cx),
            PoolNext::Nothing => {}
        }
    }

    /// Sessions were removed that had been left behind: their sockets, wherever they are, are out of their chats.
    pub(super) fn reaped(&mut self, reply: Result<StoreAnswer, StoreError>, cx: &mut Cx<'_>) {
        let Ok(StoreAnswer::Reaped(sessions)) = reply else { return };
        let mut left = BTreeSet::new();
        for session in sessions {
            let to = To::Socket(session.sid.clone());
            let here = cx.server.socket(&self.settings.scope, &session.sid);
            for chat in session.chats {
                let room = wire::chat_room(&chat);
                if let Some(target) = self.target(&to, &[], cx) {
                    cx.command(Command::Leave { target, room: room.clone() });
                }
                if let Some(socket) = here {
                    self.chat_room_left(socket, &room);
                }
                left.insert(chat);
            }
        }
        for chat in left {
            self.publish_presence(&chat, cx);
        }
    }

    /// Whether sessions are shared with processes of 0.12.
    pub(super) fn has_pool(&self) -> bool {
        self.settings.sharing == SessionSharing::WithPool
    }

    fn sid_in_pool(&self, socket: SocketId) -> Option<ByteString> {
        let record = self.sockets.get(socket).filter(|_| self.has_pool())?;
        Some(record.sid.as_str().into())
    }

    fn ask_presence(&mut self, chat: &ByteString, cx: &Cx<'_>) {
        let purpose = Purpose::Presence { chat: chat.clone() };
        self.ask_pool(PoolQuestion::Present { chat: chat.clone() }, purpose, cx);
    }

    fn ask_pool(&mut self, question: PoolQuestion, purpose: Purpose, cx: &Cx<'_>) {
        self.ask(Question::SessionPool(question), purpose, cx);
    }

    fn tell_presence_here(&self, chat: &str, cx: &mut Cx<'_>) {
        let mut people = BTreeMap::new();
        for socket in cx.server.members(&self.settings.scope, &wire::chat_room(chat)) {
            if let Some(user) = self.user_of(socket).filter(|_| self.activity.is_active(socket)) {
                people.insert(&*user.id, &*user.name);
            }
        }
        let users = people.into_iter().map(|(id, name)| UserJoinAck { id, name }).collect();
        self.tell_presence(chat, users, cx);
    }

    fn tell_presence(&self, chat: &str, users: Vec<UserJoinAck<'_>>, cx: &mut Cx<'_>) {
        let data = TypedEvent { kind: "chat:presence", data: UsersEvent { users } };
        let args = wire::args(&ChatPresence { chat_id: chat, shared: true, data });
        self.emit_to_room(wire::chat_room(chat), wire::EVENTS, args, cx);
    }
}
