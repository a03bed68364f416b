//! `events:chat` of Open WebUI 0.12.4: users in a chat, typing, and read marks.
//!
//! Owns: a chat's room and presence. Must never know: a chat's messages.
//!
//! A chat is its owner's; admins may look at it, and so may those that it is shared with in 0.12.

use bytestring::ByteString;

use super::OpenWebUi;
use crate::chat::{ChatRequest, is_saved};
use crate::query::{Chat, Question, ReadOutcome, StoreError};
use crate::requests::To;
use crate::settings::Release;
use crate::sockets::ChatAccess;
use crate::turn::{Outcome, TurnStep};
use crate::typing::TypingPlace;
use crate::wire::{self, ChatList, ChatRead, ClientEvent, TypedEvent};
use crate::writes::Row;
use roomcast_core::server::{ClusterEvent, Command, Cx, SocketId, Target};
use roomcast_core::socket_io::{Args, ArgsError};

impl OpenWebUi {
    pub(super) fn chat_events(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let (chat, data) = match self.chat_payload(args) {
            Ok(Some(payload)) => payload,
            Ok(None) => return Outcome::nothing(),
            Err(_) => return self.unreadable(),
        };
        let release = self.settings.release;
        let chat = chat.and_then(|chat| self.id(chat)).filter(|chat| is_saved(chat, release));
        match (&*data.kind, chat) {
            ("join", Some(chat)) => self.join_chat(socket, chat),
            ("leave", Some(chat)) => {
                self.leave_chat(socket, &chat, cx);
                answer(true)
            }
            ("typing", Some(chat)) => {
                let access = self.sockets.get(socket).and_then(|record| record.chats.get(&chat));
                match (access, data.typing()) {
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

    /// The chat's id, if there is one, and what is said of it. `Ok(None)`: nothing that has a kind.
    fn chat_payload(&self, args: &Args) -> Result<Option<(Option<String>, ClientEvent)>, ArgsError> {
        match self.settings.release {
            Release::V0_6 => Ok(args.parse::<wire::ChatEvents>().ok().map(|payload| (payload.chat_id, payload.data))),
            Release::V0_12 => {
                let payload = args.parse::<wire::LooseChatEvents>()?;
                let chat = payload.chat_id().map(str::to_owned);
                Ok(payload.event().map(|event| (chat, event)))
            }
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
        let is_owner = self.user_of(socket).is_some_and(|user| found.is_some_and(|chat| chat.owner == user.id));
        match (request, access) {
            (ChatRequest::Join(chat), Some(access)) => {
                self.join(socket, wire::chat_room(&chat), cx);
                if let Some(record) = self.sockets.get_mut(socket) {
                    record.chats.insert(chat.clone(), access);
                }
                match self.chat_to_share(socket, &chat) {
                    Some(question) => Outcome::Ask(question, TurnStep::ChatEntered(chat)),
                    None => self.chat_entered(&chat, cx),
                }
            }
            (ChatRequest::Join(_), None) => answer(false),
            (ChatRequest::LastRead(chat), _) if is_owner => {
                let user = self.user_of(socket).map(|user| user.id.clone()).unwrap_or_default();
                self.put_read(socket, Row::Chat { chat, user }, cx.server.wall().as_unix_secs(), cx);
                Outcome::nothing()
            }
            (ChatRequest::LastRead(_), Some(ChatAccess::Read | ChatAccess::Write) | None) => Outcome::nothing(),
        }
    }

    /// A socket is in a chat, as far as others can know.
    pub(super) fn chat_entered(&mut self, chat: &ByteString, cx: &mut Cx<'_>) -> Outcome {
        self.publish_presence(chat, cx);
        answer(true)
    }

    /// When a chat was read has been written: its owner's lists of chats follow.
    pub(super) fn chat_read(
        &self,
        (chat, user): (&str, &str),
        last_read_at: u64,
        outcome: Option<&ReadOutcome>,
        cx: &mut Cx<'_>,
    ) {
        let counts = outcome.filter(|outcome| outcome.was_unread).map(|outcome| &*outcome.folder_unread_counts);
        let folder_unread_counts = counts.and_then(|counts| serde_json::from_str(counts).ok());
        let read = ChatRead { chat_id: chat, last_read_at, folder_unread_counts };
        let args = wire::args(&ChatList { chat_id: chat, data: TypedEvent { kind: "chat:list", data: read } });
        self.emit_to_room(wire::user_room(user), wire::EVENTS, args, cx);
    }

    /// Processes of Open WebUI took a socket out of a chat's room, or told of something that concerns the rooms of a user.
    /// They tell the others in the room.
    #[expect(clippy::wildcard_enum_match_arm, reason = "others are for documents, or the program")]
    pub(super) fn chat_event_of_node(&mut self, event: &ClusterEvent, cx: &Cx<'_>) {
        match event {
            ClusterEvent::RoomLeft { socket, room } => {
                self.chat_room_left(*socket, room);
            }
            ClusterEvent::Emitted { room, name, args } => {
                self.look_for_channels(&To::Room(room.clone()), name, args.get(0).unwrap_or_default(), cx);
            }
            _ => {}
        }
    }

    /// A socket has left a room. The chat whose room that was, if it was in it, with 0.12.
    pub(super) fn chat_room_left(&mut self, socket: SocketId, room: &str) -> Option<ByteString> {
        let chat = match self.settings.release {
            Release::V0_6 => None,
            Release::V0_12 => room.strip_prefix(wire::CHAT_ROOM),
        };
        let (chat, record) = chat.zip(self.sockets.get_mut(socket))?;
        record.chats.remove(chat).map(|_| chat.into())
    }

    /// Takes a socket out of a chat's room, if it is in it.
    pub(super) fn leave_chat(&mut self, socket: SocketId, chat: &ByteString, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        if record.chats.remove(chat).is_some() {
            cx.command(Command::Leave { target: Target::Socket(socket), room: wire::chat_room(chat) });
            self.chat_left(socket, chat, cx);
        }
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
