//! `events:chat` of Open WebUI 0.12.4: users in a chat, typing, and read marks.
//!
//! Owns: a chat's room and presence. Must never know: a chat's messages.
//!
//! A chat is its owner's; admins may look at it. Shared chats and folders of 0.12.4 have no tables in 0.6.41.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::OpenWebUi;
use crate::chat::{ChatRequest, is_saved};
use crate::query::{Chat, Question, StoreError};
use crate::sockets::ChatAccess;
use crate::turn::{Outcome, TurnStep};
use crate::typing::TypingPlace;
use crate::wire::{self, ChatList, ChatPresence, ChatRead, TypedEvent, UserJoinAck, UsersEvent};
use crate::writes::Row;
use roomcast_core::server::{Command, Cx, SocketId, Target};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    pub(super) fn chat_events(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let Ok(payload) = args.parse::<wire::ChatEvents>() else { return Outcome::nothing() };
        let chat = payload.chat_id.and_then(|chat| self.id(chat)).filter(|chat| is_saved(chat));
        match (&*payload.data.kind, chat) {
            ("join", Some(chat)) => self.join_chat(socket, chat),
            ("leave", Some(chat)) => {
                self.leave_chat(socket, &chat, cx);
                answer(true)
            }
            ("typing", Some(chat)) => {
                let access = self.sockets.get(socket).and_then(|record| record.chats.get(&chat));
                match (access, payload.data.typing()) {
                    (Some(ChatAccess::Write), Some(typing)) => {
                        self.typing.handle_typing(socket, TypingPlace::Chat(chat), typing, cx.now);
                        self.tell_typing(cx);
                        answer(true)
                    }
                    (Some(ChatAccess::Write | ChatAccess::Read) | None, _) => answer(false),
                }
            }
            ("last_read_at", Some(chat)) => match self.chat_question(socket, &chat) {
                Some(question) => Outcome::Ask(question, TurnStep::Chat(ChatRequest::LastRead(chat))),
                None => Outcome::nothing(),
            },
            ("join" | "leave" | "typing", None) => answer(false),
            _ => Outcome::nothing(),
        }
    }

    pub(super) fn chat_answered(
        &mut self,
        socket: SocketId,
        request: ChatRequest,
        found: Result<Option<Chat>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let found = match found {
            Ok(found) => found,
            Err(_) => {
                self.tell_unavailable(socket, cx);
                return match request {
                    ChatRequest::Join(_) => answer(false),
                    ChatRequest::LastRead(_) => Outcome::nothing(),
                };
            }
        };
        let access = self.user_of(socket).and_then(|user| self.chat_access(user, found.as_ref()));
        match (request, access) {
            (ChatRequest::Join(chat), Some(access)) => {
                self.join(socket, wire::chat_room(&chat), cx);
                if let Some(record) = self.sockets.get_mut(socket) {
                    record.chats.insert(chat.clone(), access);
                }
                self.publish_presence(&chat, cx);
                answer(true)
            }
            (ChatRequest::Join(_), None) => answer(false),
            (ChatRequest::LastRead(chat), Some(ChatAccess::Write)) => {
                let user = self.user_of(socket).map(|user| user.id.clone()).unwrap_or_default();
                self.put_read(socket, Row::Chat { chat, user }, cx.server.wall().as_unix_secs(), cx);
                Outcome::nothing()
            }
            (ChatRequest::LastRead(_), Some(ChatAccess::Read) | None) => Outcome::nothing(),
        }
    }

    /// When a chat was read has been written: its owner's lists of chats follow.
    pub(super) fn chat_read(&self, chat: &str, user: &str, last_read_at: u64, cx: &mut Cx<'_>) {
        let read = ChatRead { chat_id: chat, last_read_at };
        let args = wire::args(&ChatList { chat_id: chat, data: TypedEvent { kind: "chat:list", data: read } });
        self.emit_to_room(wire::user_room(user), wire::EVENTS, args, cx);
    }

    /// Takes a socket out of a chat's room, if it is in it.
    pub(super) fn leave_chat(&mut self, socket: SocketId, chat: &ByteString, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        if record.chats.remove(chat).is_some() {
            cx.command(Command::Leave { target: Target::Socket(socket), room: wire::chat_room(chat) });
            self.publish_presence(chat, cx);
        }
    }

    /// Tells those in a chat's room who is there: users with an active login, each once.
    pub(super) fn publish_presence(&self, chat: &str, cx: &mut Cx<'_>) {
        let room = wire::chat_room(chat);
        let mut people = BTreeMap::new();
        for socket in cx.server.members(&self.settings.scope, &room) {
            if let Some(user) = self.user_of(socket).filter(|_| self.activity.is_active(socket)) {
                people.insert(&*user.id, &*user.name);
            }
        }
        let users = people.into_iter().map(|(id, name)| UserJoinAck { id, name }).collect();
        let data = TypedEvent { kind: "chat:presence", data: UsersEvent { users } };
        let args = wire::args(&ChatPresence { chat_id: chat, shared: true, data });
        self.emit_to_room(room, wire::EVENTS, args, cx);
    }

    fn join_chat(&self, socket: SocketId, chat: ByteString) -> Outcome {
        let known = self.sockets.get(socket).map_or(0, |record| record.chats.len());
        if known >= self.settings.limits.chats_per_socket_max {
            return answer(false);
        }
        match self.chat_question(socket, &chat) {
            Some(question) => Outcome::Ask(question, TurnStep::Chat(ChatRequest::Join(chat))),
            None => answer(false),
        }
    }

    /// What the user of a socket may do with a chat, unless it has none.
    fn chat_question(&self, socket: SocketId, chat: &ByteString) -> Option<Question> {
        let user = self.user_of(socket)?.id.clone();
        Some(Question::Chat { chat: chat.clone(), user })
    }
}

fn answer(yes: bool) -> Outcome {
    Outcome::Done(wire::args(&yes))
}
