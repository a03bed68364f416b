//! The event emitter: events that enter by roomcast, and what they change in the store.
//!
//! Owns: which types of `events` change a message, and how. Must never know: how a change is written.

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::OpenWebUi;
use crate::chat::is_saved;
use crate::query::MessageChange;
use crate::requests::{Response, StoreChange, To};
use crate::settings::Release;
use crate::{wire, writes};
use roomcast_core::server::{Command, Cx, Delivery, Emit};
use roomcast_core::socket_io::{Args, is_reserved_event};

impl OpenWebUi {
    pub(super) fn emit(
        &mut self,
        (to, skip): (&To, &[ByteString]),
        (event, args): (ByteString, Args),
        change: StoreChange,
        cx: &mut Cx<'_>,
    ) -> Response {
        if let Err(refusal) = self.check_event(&event) {
            return refusal;
        }
        let Some(target) = self.target(to, skip, cx) else { return Response::Gone };
        let data = args.get(0).unwrap_or_default();
        let change = match (change, to) {
            (StoreChange::Message, To::User(_)) if event == wire::EVENTS => message_change(data, self.settings.release),
            (StoreChange::Message | StoreChange::Nothing, _) => None,
        };
        if let Some((chat, message, change)) = change {
            // Refused as a whole: a message that was seen and never written would be gone after a reload.
            if !self.writes.has_room(&chat, writes::bytes_of(&change)) {
                return Response::Overloaded;
            }
            self.writes.put_change(&chat, &message, change, cx.now);
        }
        self.look_for_channels(to, &event, data, cx);
        self.look_for_ended_talk(to, &event, data);
        cx.command(Command::Emit(Emit { target, name: event, args, delivery: Delivery::Reliable, ack: None }));
        Response::Emitted
    }

    /// For a new direct message or group there is no other sign that its users belong into a new room.
    pub(super) fn look_for_channels(&mut self, to: &To, event: &str, data: &str, cx: &Cx<'_>) {
        if *event != *wire::CHANNEL_EVENTS || !is_channel_created(data) {
            return;
        }
        for user in users_meant(to) {
            if !self.sockets.sockets_of(&user).is_empty() {
                self.channel_reads.handle_created(&user, cx.now);
            }
        }
    }

    /// Whether an event that enters by roomcast may have this name.
    pub(super) fn check_event(&self, event: &str) -> Result<(), Response> {
        if event.is_empty() || event.len() > self.settings.limits.id_bytes_max {
            return Err(Response::Malformed);
        }
        // Sent on, it would end the connection of every JavaScript client.
        if is_reserved_event(event) {
            return Err(Response::Reserved);
        }
        Ok(())
    }
}

/// The users whose rooms are meant.
fn users_meant(to: &To) -> Vec<ByteString> {
    let user = |room: &ByteString| room.strip_prefix(wire::USER_ROOM).map(ByteString::from);
    match to {
        To::User(user) => vec![user.clone()],
        To::Room(room) => user(room).into_iter().collect(),
        To::Rooms(rooms) => rooms.iter().filter_map(user).collect(),
        To::Socket(_) | To::All => Vec::new(),
    }
}

/// What an `events` changes, and of which message in which chat. As Open WebUI 0.6.41's `get_event_emitter`.
fn message_change(data: &str, release: Release) -> Option<(ByteString, ByteString, MessageChange)> {
    let envelope: EventEnvelope<'_> = serde_json::from_str(data).ok()?;
    let chat = envelope.chat_id.filter(|chat| is_saved(chat, release))?;
    let message = envelope.message_id.filter(|message| !message.is_empty())?;
    let event: EventData<'_> = serde_json::from_str(envelope.data?.get()).ok()?;
    let kind = event.kind?;
    let data = event.data.map_or("{}", RawValue::get);
    let change = match &*kind {
        "status" => MessageChange::AppendStatus(object(data)?.into()),
        "message" => MessageChange::AppendContent(content(data)?.into()),
        "replace" => MessageChange::ReplaceContent(content(data)?.into()),
        "embeds" => embeds(serde_json::from_str(data).ok()?, release)?,
        "files" => MessageChange::ExtendFiles(list(serde_json::from_str::<Lists<'_>>(data).ok()?.files)?.into()),
        "source" | "citation" => {
            let typed: Untyped<'_> = serde_json::from_str(object(data)?).ok()?;
            if typed.kind.is_some() {
                return None;
            }
            MessageChange::AppendSource(data.into())
        }
        _ => return None,
    };
    Some((chat.into(), message.into(), change))
}

/// 0.12 lets them take the place of those that are there, if it is told to; then none are some as well.
fn embeds(lists: Lists<'_>, release: Release) -> Option<MessageChange> {
    let replaces = release == Release::V0_12 && lists.replace == Some(serde_json::Value::Bool(true));
    if replaces {
        let json = lists.embeds.map_or("[]", RawValue::get);
        return json.starts_with('[').then(|| MessageChange::ReplaceEmbeds(json.into()));
    }
    Some(MessageChange::ExtendEmbeds(list(lists.embeds)?.into()))
}

fn is_channel_created(data: &str) -> bool {
    let kind = || {
        let envelope: EventEnvelope<'_> = serde_json::from_str(data).ok()?;
        let event: EventData<'_> = serde_json::from_str(envelope.data?.get()).ok()?;
        event.kind
    };
    kind().is_some_and(|kind| kind == "channel:created")
}

fn object(json: &str) -> Option<&str> {
    json.starts_with('{').then_some(json)
}

fn content(data: &str) -> Option<String> {
    Some(serde_json::from_str::<SavedContent>(object(data)?).ok()?.content.unwrap_or_default())
}

/// A list with something in it.
fn list(json: Option<&RawValue>) -> Option<&str> {
    let json = json?.get();
    let inner = json.strip_prefix('[')?.strip_suffix(']')?;
    (!inner.trim().is_empty()).then_some(json)
}

#[derive(Deserialize)]
struct EventEnvelope<'a> {
    #[serde(default)]
    chat_id: Option<String>,
    #[serde(default)]
    message_id: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct EventData<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SavedContent {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Lists<'a> {
    #[serde(borrow, default)]
    embeds: Option<&'a RawValue>,
    #[serde(borrow, default)]
    files: Option<&'a RawValue>,
    #[serde(default)]
    replace: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Untyped<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_changes_what_the_original_changes() {
        use MessageChange::{AppendContent, AppendSource, AppendStatus, ExtendEmbeds, ExtendFiles, ReplaceContent};
        for (event, change) in [
            (r#"{"type":"status","data":{"done":true}}"#, AppendStatus(r#"{"done":true}"#.into())),
            (r#"{"type":"status"}"#, AppendStatus("{}".into())),
            (r#"{"type":"message","data":{"content":"a\"b"}}"#, AppendContent("a\"b".into())),
            (r#"{"type":"replace","data":{"content":"c"}}"#, ReplaceContent("c".into())),
            (r#"{"type":"replace"}"#, ReplaceContent("".into())),
            (r#"{"type":"embeds","data":{"embeds":["x"]}}"#, ExtendEmbeds(r#"["x"]"#.into())),
            (r#"{"type":"files","data":{"files":[{}]}}"#, ExtendFiles("[{}]".into())),
            (r#"{"type":"source","data":{"a":1}}"#, AppendSource(r#"{"a":1}"#.into())),
            (r#"{"type":"citation","data":{"type":null}}"#, AppendSource(r#"{"type":null}"#.into())),
        ] {
            let data = format!(r#"{{"chat_id":"c","message_id":"m","data":{event}}}"#);
            assert_eq!(message_change(&data, Release::V0_6), Some(("c".into(), "m".into(), change)), "{event}");
        }
    }

    #[test]
    fn embeds_take_the_place_of_others_with_0_12_if_that_is_said() {
        use MessageChange::{ExtendEmbeds, ReplaceEmbeds};
        for (data, release, expected) in [
            (r#"{"embeds":[1],"replace":true}"#, Release::V0_12, Some(ReplaceEmbeds("[1]".into()))),
            (r#"{"embeds":[],"replace":true}"#, Release::V0_12, Some(ReplaceEmbeds("[]".into()))),
            (r#"{"replace":true}"#, Release::V0_12, Some(ReplaceEmbeds("[]".into()))),
            (r#"{"embeds":{},"replace":true}"#, Release::V0_12, None),
            (r#"{"embeds":[1],"replace":false}"#, Release::V0_12, Some(ExtendEmbeds("[1]".into()))),
            (r#"{"embeds":[1],"replace":true}"#, Release::V0_6, Some(ExtendEmbeds("[1]".into()))),
        ] {
            let data = format!(r#"{{"chat_id":"c","message_id":"m","data":{{"type":"embeds","data":{data}}}}}"#);
            assert_eq!(message_change(&data, release).map(|(_, _, change)| change), expected, "{data}");
        }
    }

    #[test]
    fn everything_else_changes_nothing() {
        let enveloped = |event: &str| format!(r#"{{"chat_id":"c","message_id":"m","data":{event}}}"#);
        for data in [
            enveloped(r#"{"type":"source","data":{"type":"code_execution"}}"#),
            enveloped(r#"{"type":"chat:completion","data":{"content":"x"}}"#),
            enveloped(r#"{"type":"message","data":"x"}"#),
            enveloped(r#"{"type":"embeds","data":{"embeds":[]}}"#),
            enveloped(r#"{"type":"files","data":{"files":{}}}"#),
            enveloped(r#"{"type":7}"#),
            enveloped("null"),
            r#"{"chat_id":"local:c","message_id":"m","data":{"type":"replace"}}"#.to_owned(),
            r#"{"chat_id":"c","message_id":"","data":{"type":"replace"}}"#.to_owned(),
            r#"{"chat_id":"c","message_id":null,"data":{"type":"replace"}}"#.to_owned(),
            r#"{"message_id":"m","data":{"type":"replace"}}"#.to_owned(),
            "[]".to_owned(),
            "7".to_owned(),
        ] {
            assert_eq!(message_change(&data, Release::V0_6), None, "{data}");
        }
    }
}
