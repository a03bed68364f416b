//! Messages of python-socketio's dialect, read as far as it takes to know what to do with them.
//!
//! Owns: reading. Must never know: names of channels.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;

use super::data::PythonData;
use crate::cluster::codec::{DecodeError, FORM, Glance};
use crate::cluster::fields::Fields;
use crate::cluster::message::{
    Beat, ClusterBody, ClusterEmit, ClusterMessage, NodeId, Recipients, RemoteSocket, RequestToken,
};
use crate::cluster::payload::BusPayload;
use crate::cluster::tail::Tail;
use crate::socket_io::json;
use crate::socket_io::{Delivery, Extent};

pub(super) fn decode(payload: Bytes) -> Result<Option<ClusterMessage>, DecodeError> {
    // Protocol 2 and later of pickle begin with this opcode; it is no UTF-8.
    if payload.first() == Some(&0x80) {
        return Err(DecodeError::Pickle);
    }
    let fields = match Fields::around(&payload, "data", &BEHIND_DATA) {
        Some(fields) => fields,
        None => Fields::of(&payload)?,
    };
    // Nodes of this form name none.
    if let Some(form) = fields.number("form")?.filter(|form| *form != FORM) {
        return Err(DecodeError::Form(form));
    }
    let method = fields.expect_string("method")?;
    let Some(body) = decode_body(&method, &fields)? else { return Ok(None) };
    let sender = if matches!(body, ClusterBody::Ack { .. }) { "from" } else { "host_id" };
    let from = fields.string(sender)?.and_then(|name| NodeId::parse(&name)).unwrap_or_else(NodeId::unnamed);
    Ok(Some(ClusterMessage { from, seq: fields.number("seq")?, body }))
}

/// The room of an event that says nothing to others than its members.
pub(super) fn glance(payload: &[u8]) -> Option<Glance<'_>> {
    [&br#"{"method": "emit","#[..], br#"{"method":"emit","#].iter().find(|head| payload.starts_with(head))?;
    let (mut room, mut namespace) = (None, None);
    for (key, value) in Tail::of(payload)? {
        match key {
            "room" => room = room.or(Some(value)),
            "namespace" => namespace = namespace.or(Some(value)),
            "callback" if value == "null" => {}
            "host_id" | "skip_sid" | "volatile" | "args_count" => {}
            // In front of it stands what the event says.
            "binary" => {
                let namespace = namespace.and_then(plain).filter(|namespace| !namespace.is_empty());
                return Some(Glance { namespace: namespace?, room: plain(room?)? });
            }
            // Numbered, or of another version.
            _ => return None,
        }
    }
    None
}

/// A string without escapes.
fn plain(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

fn decode_body(method: &str, fields: &Fields<'_>) -> Result<Option<ClusterBody>, DecodeError> {
    Ok(Some(match method {
        "emit" => {
            let Some(recipients) = recipients(fields, "room")? else { return Ok(None) };
            let raw = fields.bytes_or_null("data").unwrap_or(Bytes::from_static(b"null"));
            let is_one_null = fields.number("args_count")? == Some(1);
            let args = BusPayload::from_python(PythonData { raw, is_binary: fields.flag("binary"), is_one_null });
            let delivery = if fields.flag("volatile") { Delivery::Volatile } else { Delivery::Reliable };
            let (name, ack) = (fields.expect_string("event")?, callback(fields));
            ClusterBody::Emit(ClusterEmit { recipients, name, args, delivery, ack })
        }
        "callback" => {
            let token = RequestToken { key: fields.expect_string("sid")?, id: expect_number(fields, "id")? };
            let (to, namespace) = (node(fields, "host_id")?, namespace(fields)?);
            ClusterBody::Ack { to, token, namespace, args: args(fields)? }
        }
        "enter_room" => ClusterBody::Join { recipients: one(fields)?, room: fields.expect_string("room")? },
        "leave_room" => ClusterBody::Leave { recipients: one(fields)?, room: fields.expect_string("room")? },
        "disconnect" => ClusterBody::Disconnect { recipients: one(fields)?, extent: Extent::Namespace },
        "close_room" => ClusterBody::CloseRoom { namespace: namespace(fields)?, room: fields.expect_string("room")? },
        "join" => ClusterBody::Join { recipients: many(fields)?, room: fields.expect_string("room")? },
        "leave" => ClusterBody::Leave { recipients: many(fields)?, room: fields.expect_string("room")? },
        "disconnect_all" => {
            let extent = if fields.flag("close") { Extent::Connection } else { Extent::Namespace };
            ClusterBody::Disconnect { recipients: many(fields)?, extent }
        }
        other => return decode_between_nodes(other, fields),
    }))
}

/// What only nodes of roomcast say.
fn decode_between_nodes(method: &str, fields: &Fields<'_>) -> Result<Option<ClusterBody>, DecodeError> {
    Ok(Some(match method {
        "ack_count" => {
            let asked = u32::try_from(expect_number(fields, "asked")?).unwrap_or(u32::MAX);
            ClusterBody::AckCount { to: node(fields, "to")?, token: expect_token(fields)?, asked }
        }
        "fetch_sockets" => {
            let Some(recipients) = recipients(fields, "room")? else { return Ok(None) };
            ClusterBody::FetchSockets { recipients, token: expect_token(fields)? }
        }
        "sockets" => {
            let (to, token) = (node(fields, "to")?, expect_token(fields)?);
            ClusterBody::Sockets { to, token, sockets: sockets(fields)? }
        }
        "server_emit" => {
            let token = fields.raw("id").map(|_| expect_token(fields)).transpose()?;
            let (namespace, name) = (namespace(fields)?, fields.expect_string("event")?);
            ClusterBody::ServerEmit { namespace, name, args: args(fields)?, token }
        }
        "server_reply" => {
            ClusterBody::ServerReply { to: node(fields, "to")?, token: expect_token(fields)?, args: args(fields)? }
        }
        "heartbeat" => ClusterBody::Heartbeat(if fields.flag("first") { Beat::First } else { Beat::Regular }),
        "goodbye" => ClusterBody::Goodbye,
        // Another version's word.
        _ => return Ok(None),
    }))
}

/// An empty list of rooms means no socket: `None`.
fn recipients(fields: &Fields<'_>, rooms: &'static str) -> Result<Option<Recipients>, DecodeError> {
    let rooms = match fields.strings(rooms)? {
        Some(rooms) if rooms.is_empty() => return Ok(None),
        Some(rooms) => rooms,
        None => Vec::new(),
    };
    let except = fields.strings("skip_sid")?.unwrap_or_default();
    Ok(Some(Recipients { namespace: namespace(fields)?, rooms, except }))
}

/// The socket that python-socketio means.
fn one(fields: &Fields<'_>) -> Result<Recipients, DecodeError> {
    Ok(Recipients::room(namespace(fields)?, fields.expect_string("sid")?))
}

fn many(fields: &Fields<'_>) -> Result<Recipients, DecodeError> {
    let rooms = fields.strings("recipients")?.ok_or(DecodeError::Field("recipients"))?;
    let except = fields.strings("skip_sid")?.unwrap_or_default();
    Ok(Recipients { namespace: namespace(fields)?, rooms, except })
}

/// Absent and empty mean the root namespace.
fn namespace(fields: &Fields<'_>) -> Result<ByteString, DecodeError> {
    let namespace = fields.string("namespace")?.filter(|namespace| !namespace.is_empty());
    Ok(namespace.unwrap_or(ByteString::from_static("/")))
}

/// `[room, namespace, id]`; anything else is no callback, as in python-socketio.
fn callback(fields: &Fields<'_>) -> Option<RequestToken> {
    let (_, mut elements) = json::elements(fields.raw("callback")?)?;
    let (key, _, id, end) = (elements.next()?, elements.next()?, elements.next()?, elements.next());
    let token = RequestToken { key: fields.string_of(key)?, id: id.parse().ok()? };
    end.is_none().then_some(token)
}

/// The list of a callback's arguments, and attachments of nodes that send them.
fn args(fields: &Fields<'_>) -> Result<BusPayload, DecodeError> {
    let list = fields.raw("args").and_then(json::elements);
    let (values, _) = list.ok_or(DecodeError::Field("args"))?;
    let mut attachments = Vec::new();
    if let Some(raw) = fields.raw("attachments") {
        let (_, elements) = json::elements(raw).ok_or(DecodeError::Field("attachments"))?;
        for element in elements.skip(1) {
            let text = json::string(element).and_then(|text| STANDARD.decode(text.as_bytes()).ok());
            attachments.push(text.ok_or(DecodeError::Field("attachments"))?.into());
        }
    }
    Ok(BusPayload::from_unchecked(fields.slice(values), attachments))
}

fn sockets(fields: &Fields<'_>) -> Result<Vec<RemoteSocket>, DecodeError> {
    let list = fields.raw("sockets").and_then(json::elements);
    let (_, elements) = list.ok_or(DecodeError::Field("sockets"))?;
    let socket = |element| {
        let (_, mut parts) = json::elements(element)?;
        let sid = fields.string_of(parts.next()?)?;
        let (_, rooms) = json::elements(parts.next()?)?;
        Some(RemoteSocket { sid, rooms: rooms.filter_map(|room| fields.string_of(room)).collect() })
    };
    elements.map(socket).collect::<Option<_>>().ok_or(DecodeError::Field("sockets"))
}

fn expect_token(fields: &Fields<'_>) -> Result<RequestToken, DecodeError> {
    Ok(RequestToken { key: fields.string("key")?.unwrap_or_default(), id: expect_number(fields, "id")? })
}

fn expect_number(fields: &Fields<'_>, name: &'static str) -> Result<u64, DecodeError> {
    fields.number(name)?.ok_or(DecodeError::Field(name))
}

fn node(fields: &Fields<'_>, name: &'static str) -> Result<NodeId, DecodeError> {
    NodeId::parse(&fields.expect_string(name)?).ok_or(DecodeError::Field(name))
}

/// What python-socketio and roomcast write right behind the data.
const BEHIND_DATA: [&str; 2] = ["binary", "args_count"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_later_form_is_refused_and_members_of_a_later_version_are_passed_over() {
        let decoded = |text: &'static str| decode(Bytes::from_static(text.as_bytes()));
        for text in [
            r#"{"method":"goodbye","host_id":"h","form":2}"#,
            r#"{"method":"emit","event":"e","data":1,"binary":false,"room":"r","form":2,"host_id":"h"}"#,
            r#"{"method":"another word","form":2}"#,
        ] {
            assert_eq!(decoded(text), Err(DecodeError::Form(2)), "{text}");
        }
        for text in [
            r#"{"method":"goodbye","host_id":"h","form":1}"#,
            r#"{"method":"goodbye","host_id":"h"}"#,
            r#"{"method":"goodbye","why":[{"form":2}],"host_id":"h"}"#,
        ] {
            assert_eq!(decoded(text).unwrap().unwrap().body, ClusterBody::Goodbye, "{text}");
        }
        assert_eq!(decoded(r#"{"method":"another word","host_id":"h"}"#), Ok(None));
    }

    /// The room of what concerns its members alone, for any content of the event; of all else nothing.
    #[test]
    fn a_glance_finds_the_room_of_a_plain_event() {
        let message = |data: &str, rest: &str| {
            format!(
                r#"{{"method": "emit", "event": "e", "data": {data}, "binary": false, "namespace": "/", {rest}"host_id": "h"}}"#
            )
        };
        let plain = r#""room": "user:1", "skip_sid": null, "callback": null, "#;
        let found = Some(Glance { namespace: "/", room: "user:1" });
        for data in [r#"{"a": "\", \"room\": \"x\", "}"#, "[[1]]", "1", r#""x""#, "null"] {
            for text in [message(data, plain), message(data, plain).replace("\": ", "\":").replace(", \"", ",\"")] {
                assert_eq!(glance(text.as_bytes()), found, "{text}");
            }
        }
        assert_eq!(glance(message("{}", &plain.replace("null, \"callback", r#"["s"], "callback"#)).as_bytes()), found);
        for rest in [
            plain.replace("\"user:1\"", "null"),
            plain.replace("\"user:1\"", r#"["a", "b"]"#),
            plain.replace("user:1", r#"us\"er"#),
            plain.replace("user:1", r"us\u0065r"),
            plain.replace("\"callback\": null", r#""callback": ["r", "/", 1]"#),
            plain.replace("\"room\"", "\"seq\": 1, \"room\""),
            plain.replace("\"room\"", "\"rooms\""),
        ] {
            assert_eq!(glance(message("{}", &rest).as_bytes()), None, "{rest}");
        }
        assert_eq!(glance(message("{}", plain).replace("emit", "close_room").as_bytes()), None);
        assert_eq!(glance(message("{}", plain).replace("\"/\"", "\"\"").as_bytes()), None);
    }
}
