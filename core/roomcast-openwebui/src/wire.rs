//! Names, payloads and rooms as they go over the wire.
//!
//! Owns: their exact form. Must never know: when one is sent.

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use roomcast_core::socket_io::Args;

/// The auth payload of CONNECT, and the `auth` of events.
#[derive(Default, Deserialize)]
pub(super) struct Auth {
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// `user-join`, `join-channels`.
#[derive(Default, Deserialize)]
pub(super) struct TokenPayload {
    #[serde(default)]
    auth: Option<Auth>,
}

impl TokenPayload {
    pub(super) fn token(self) -> Option<String> {
        self.auth.and_then(|auth| auth.token)
    }
}

/// Payload of `join-note`.
#[derive(Deserialize)]
pub(super) struct JoinNote {
    pub(super) note_id: String,
    #[serde(default)]
    pub(super) auth: Option<Auth>,
}

/// Payload of `usage`. Its other fields do not matter.
#[derive(Deserialize)]
pub(super) struct UsageEvent {
    pub(super) model: String,
}

/// `events:channel`.
#[derive(Deserialize)]
pub(super) struct ChannelEvents {
    pub(super) channel_id: String,
    #[serde(default)]
    pub(super) message_id: Option<String>,
    pub(super) data: ClientEvent,
}

/// `events:chat`.
#[derive(Deserialize)]
pub(super) struct ChatEvents {
    #[serde(default)]
    pub(super) chat_id: Option<String>,
    pub(super) data: ClientEvent,
}

/// The same from 0.12, of which the parts are looked at one by one, as Open WebUI does.
#[derive(Deserialize)]
pub(super) struct LooseChatEvents {
    #[serde(default)]
    chat_id: serde_json::Value,
    data: Option<serde_json::Map<String, serde_json::Value>>,
}

impl LooseChatEvents {
    pub(super) fn chat_id(&self) -> Option<&str> {
        self.chat_id.as_str()
    }

    /// `None`: it has no kind.
    pub(super) fn event(self) -> Option<ClientEvent> {
        let mut data = self.data?;
        let kind = data.get("type")?.as_str()?.to_owned();
        Some(ClientEvent { kind, data: data.remove("data") })
    }
}

/// What kind of event it is. Its own data are looked at once that is known.
#[derive(Deserialize)]
pub(super) struct ClientEvent {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    data: Option<serde_json::Value>,
}

impl ClientEvent {
    /// Whether the sender types, if the data say so.
    pub(super) fn typing(&self) -> Option<bool> {
        self.data.as_ref()?.get("typing")?.as_bool()
    }
}

/// The ack of `user-join`.
#[derive(Serialize)]
pub(super) struct UserJoinAck<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
}

/// `events:channel` to all members of a channel.
#[derive(Serialize)]
pub(super) struct ChannelTyping<'a> {
    pub(super) channel_id: &'a str,
    /// `null` outside of threads; the front end tells it from a missing one.
    pub(super) message_id: Option<&'a str>,
    pub(super) data: TypedEvent<TypingData>,
    pub(super) user: TypingUser<'a>,
}

/// `events` to all other sockets in a chat.
#[derive(Serialize)]
pub(super) struct ChatTyping<'a> {
    pub(super) chat_id: &'a str,
    pub(super) user_id: &'a str,
    pub(super) user: UserJoinAck<'a>,
    pub(super) shared: bool,
    pub(super) data: TypedEvent<TypingData>,
}

/// `events` to all sockets in a chat.
#[derive(Serialize)]
pub(super) struct ChatPresence<'a> {
    pub(super) chat_id: &'a str,
    pub(super) shared: bool,
    pub(super) data: TypedEvent<UsersEvent<'a>>,
}

/// The users in a chat.
#[derive(Serialize)]
pub(super) struct UsersEvent<'a> {
    pub(super) users: Vec<UserJoinAck<'a>>,
}

/// `events` to the user who read a chat.
#[derive(Serialize)]
pub(super) struct ChatList<'a> {
    pub(super) chat_id: &'a str,
    pub(super) data: TypedEvent<ChatRead<'a>>,
}

/// When a chat was read, in seconds.
#[derive(Serialize)]
pub(super) struct ChatRead<'a> {
    pub(super) chat_id: &'a str,
    pub(super) last_read_at: u64,
    /// A JSON object, if the chat was unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) folder_unread_counts: Option<&'a serde_json::value::RawValue>,
}

/// The ack of `encryption:*` where that is refused.
#[derive(Serialize)]
pub(super) struct EncryptionRefused {
    ok: bool,
    error: &'static str,
}

impl EncryptionRefused {
    /// The member is not one, or what it asks for cannot be.
    pub(super) const UNAVAILABLE: Self =
        Self { ok: false, error: "Private chat is unavailable or the session changed." };
    /// What keeps conversations has failed.
    pub(super) const ENDED: Self = Self { ok: false, error: "Private chat ended." };
}

/// `{"type","data"}`.
#[derive(Serialize)]
pub(super) struct TypedEvent<T> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) data: T,
}

/// Whether the sender types.
#[derive(Serialize)]
pub(super) struct TypingData {
    pub(super) typing: bool,
}

/// The user who typed.
#[derive(Serialize)]
pub(super) struct TypingUser<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) role: &'a str,
}

/// One argument.
pub(super) fn args<T: Serialize>(value: &T) -> Args {
    // Strings, numbers and lists of them always have a JSON form.
    Args::from_serialize(value).unwrap_or_default()
}

pub(super) fn user_room(user: &str) -> ByteString {
    room(USER_ROOM, user)
}

pub(super) fn channel_room(channel: &str) -> ByteString {
    room(CHANNEL_ROOM, channel)
}

pub(super) fn note_room(note: &str) -> ByteString {
    room(NOTE_ROOM, note)
}

pub(super) fn chat_room(chat: &str) -> ByteString {
    room(CHAT_ROOM, chat)
}

fn room(prefix: &str, id: &str) -> ByteString {
    [prefix, id].concat().into()
}

pub(super) const USER_ROOM: &str = "user:";
pub(super) const CHANNEL_ROOM: &str = "channel:";
pub(super) const NOTE_ROOM: &str = "note:";
pub(super) const CHAT_ROOM: &str = "chat:";

pub(super) const EVENTS: ByteString = ByteString::from_static("events");
pub(super) const CHANNEL_EVENTS: ByteString = ByteString::from_static("events:channel");
pub(super) const ENCRYPTION_EVENT: ByteString = ByteString::from_static("encryption:event");
pub(super) const ENCRYPTION_AVAILABLE: ByteString = ByteString::from_static("encryption:available");
pub(super) const ERROR: ByteString = ByteString::from_static("error");

/// What a refused CONNECT is answered with.
pub(super) const REFUSED_TOKEN: &str = r#"{"message":"Not authenticated"}"#;
/// What a peer is told if a store has not answered.
pub(super) const UNAVAILABLE: &str = r#"{"message":"The store is unavailable, please try again later"}"#;
