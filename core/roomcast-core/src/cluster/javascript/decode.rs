//! Messages of the JavaScript adapter's dialect, read as far as it takes to know what to do with them.
//!
//! Owns: reading. Must never know: names of channels.

use bytes::Bytes;
use bytestring::ByteString;

use super::data::PackedArgs;
use super::kinds;
use super::request_id;
use crate::cluster::codec::{DecodeError, FORM};
use crate::cluster::fields::Fields;
use crate::cluster::message::{
    Beat, ClusterBody, ClusterEmit, ClusterMessage, NodeId, Recipients, RemoteSocket, RequestToken,
};
use crate::cluster::payload::BusPayload;
use crate::socket_io::json::{self, JsonLimits, Placeholders};
use crate::socket_io::msgpack::{PackedHead, PackedMembers, PackedReader, write_values};
use crate::socket_io::{Delivery, Extent};

type DecodedMessage = Result<Option<ClusterMessage>, DecodeError>;

/// `[uid, packet, opts]`, and the number of nodes of roomcast.
pub(super) fn decode_broadcast(namespace: &ByteString, payload: Bytes) -> DecodedMessage {
    let mut reader = PackedReader::new(payload);
    let count = reader.array().filter(|count| *count >= 3).ok_or(DecodeError::Malformed)?;
    let uid = reader.name().ok_or(DecodeError::Field("uid"))?;
    let packet = PackedMembers::read(&mut reader).ok_or(DecodeError::Field("packet"))?;
    let opts = PackedMembers::read(&mut reader).ok_or(DecodeError::Field("opts"))?;
    let mut seq = None;
    for place in 3..count {
        let mut value = reader.clone();
        reader.skip().ok_or(DecodeError::Malformed)?;
        if place == 3
            && let Some(PackedHead::Unsigned(number)) = value.head()
        {
            seq = Some(number);
        }
    }
    if !reader.is_at_end() {
        return Err(DecodeError::Malformed);
    }
    let Some(emit) = emit(namespace, &packet, Some(&opts), None)? else { return Ok(None) };
    Ok(Some(ClusterMessage { from: named(Some(uid)), seq, body: ClusterBody::Emit(emit) }))
}

/// What a node asks of all others. `place`: of the namespace in the settings.
pub(super) fn decode_request(namespace: &ByteString, place: u64, payload: Bytes) -> DecodedMessage {
    let members = members(payload)?;
    let Some(body) = request(namespace, place, &members)? else { return Ok(None) };
    message(&members, body)
}

fn request(namespace: &ByteString, place: u64, members: &PackedMembers) -> Result<Option<ClusterBody>, DecodeError> {
    let token = || -> Result<RequestToken, DecodeError> {
        let key = text(members, "requestId")?.filter(|id| id.len() <= request_id::BYTES_MAX);
        Ok(RequestToken { key: key.ok_or(DecodeError::Field("requestId"))?, id: place })
    };
    Ok(Some(match expect_number(members, "type")? {
        kinds::SOCKETS => {
            let rooms = names(members, "rooms")?;
            let token = RequestToken { id: place | request_id::SIDS_ALONE, ..token()? };
            let recipients = Recipients { namespace: namespace.clone(), rooms, except: Vec::new() };
            ClusterBody::FetchSockets { recipients, token }
        }
        kinds::ALL_ROOMS => ClusterBody::FetchRooms { namespace: namespace.clone(), token: token()? },
        kinds::REMOTE_JOIN => {
            let (recipients, mut rooms) = moved(namespace, members)?;
            match rooms.len() {
                1 => ClusterBody::Join { recipients, room: rooms.swap_remove(0) },
                _ => ClusterBody::JoinRooms { recipients, rooms },
            }
        }
        kinds::REMOTE_LEAVE => {
            let (recipients, mut rooms) = moved(namespace, members)?;
            match rooms.len() {
                1 => ClusterBody::Leave { recipients, room: rooms.swap_remove(0) },
                _ => ClusterBody::LeaveRooms { recipients, rooms },
            }
        }
        kinds::REMOTE_DISCONNECT => {
            let extent = if flag(members, "close") { Extent::Connection } else { Extent::Namespace };
            ClusterBody::Disconnect { recipients: recipients(namespace, members)?, extent }
        }
        kinds::REMOTE_FETCH => {
            ClusterBody::FetchSockets { recipients: recipients(namespace, members)?, token: token()? }
        }
        kinds::SERVER_SIDE_EMIT => {
            let (name, args) = event(members)?;
            let token = members.get("requestId").map(|_| token()).transpose()?;
            ClusterBody::ServerEmit { namespace: namespace.clone(), name, args, token }
        }
        kinds::BROADCAST => {
            let packet = object(members, "packet")?.ok_or(DecodeError::Field("packet"))?;
            let opts = object(members, "opts")?;
            let Some(emit) = emit(namespace, &packet, opts.as_ref(), Some(token()?))? else { return Ok(None) };
            ClusterBody::Emit(emit)
        }
        // Another version's word.
        _ => return Ok(None),
    }))
}

/// What a node answers. Everyone hears the answers to everyone: those to requests that are not of a node of roomcast end
/// here, unread.
pub(super) fn decode_response(namespace: &ByteString, payload: Bytes) -> DecodedMessage {
    if payload.first() == Some(&b'{') {
        let id = Fields::of(&payload)?.string("requestId")?;
        if id.and_then(|id| request_id::parse(&id)).is_none() {
            return Ok(None);
        }
    }
    let members = members(payload)?;
    let Some((to, id)) = text(&members, "requestId")?.and_then(|id| request_id::parse(&id)) else { return Ok(None) };
    let token = RequestToken { key: ByteString::new(), id };
    let body = match number(&members, "type")? {
        Some(kinds::BROADCAST_CLIENT_COUNT) => {
            let asked = u32::try_from(expect_number(&members, "clientCount")?).unwrap_or(u32::MAX);
            ClusterBody::AckCount { to, token, asked }
        }
        Some(kinds::BROADCAST_ACK) => {
            ClusterBody::Ack { to, token, namespace: namespace.clone(), args: answer(&members, "packet")? }
        }
        Some(kinds::SERVER_SIDE_EMIT) => ClusterBody::ServerReply { to, token, args: answer(&members, "data")? },
        _ if members.get("sockets").is_some() => ClusterBody::Sockets { to, token, sockets: sockets(&members)? },
        // Nodes of roomcast ask nothing else.
        _ => return Ok(None),
    };
    message(&members, body)
}

/// What only nodes of roomcast say.
pub(super) fn decode_between_nodes(payload: Bytes) -> DecodedMessage {
    let members = members(payload)?;
    // Nodes of this form name none.
    if let Some(form) = number(&members, "form")?.filter(|form| *form != FORM) {
        return Err(DecodeError::Form(form));
    }
    let body = match text(&members, "word")?.as_deref() {
        Some("heartbeat") => ClusterBody::Heartbeat(if flag(&members, "first") { Beat::First } else { Beat::Regular }),
        Some("goodbye") => ClusterBody::Goodbye,
        // Another version's word.
        Some(_) | None => return Ok(None),
    };
    message(&members, body)
}

fn message(members: &PackedMembers, body: ClusterBody) -> DecodedMessage {
    Ok(Some(ClusterMessage { from: named(text(members, "uid")?), seq: number(members, "seq")?, body }))
}

/// The emitter and all answers are without a name.
fn named(uid: Option<ByteString>) -> NodeId {
    uid.and_then(|uid| NodeId::parse(&uid)).unwrap_or_else(NodeId::unnamed)
}

/// An object in either form.
fn members(payload: Bytes) -> Result<PackedMembers, DecodeError> {
    let packed = if payload.first() == Some(&b'{') {
        let text = ByteString::try_from(payload).map_err(|_| DecodeError::NotUtf8)?;
        let checked = json::check_value(&text, JsonLimits::default(), Placeholders::Data);
        let mut packed = Vec::with_capacity(text.len());
        write_values(&mut packed, checked.map_err(|_| DecodeError::Malformed)?, &[]);
        packed.into()
    } else {
        payload
    };
    PackedMembers::whole(packed).ok_or(DecodeError::Malformed)
}

/// Of flags only `volatile` means something to the receiver: `compress` is settled for each connection here, `broadcast` is
/// an exception already, `local` does not come over the bus, and `timeout` and `expectSingleResponse` are the origin's.
fn emit(
    namespace: &ByteString,
    packet: &PackedMembers,
    opts: Option<&PackedMembers>,
    ack: Option<RequestToken>,
) -> Result<Option<ClusterEmit>, DecodeError> {
    let names_another = text(packet, "nsp")?.is_some_and(|nsp| nsp != *namespace);
    if number(packet, "type")? != Some(kinds::EVENT_PACKET) || names_another {
        return Ok(None);
    }
    let list = |name| opts.map_or(Ok(Vec::new()), |opts| names(opts, name));
    let recipients = Recipients { namespace: namespace.clone(), rooms: list("rooms")?, except: list("except")? };
    let flags = opts.map(|opts| object(opts, "flags")).transpose()?.flatten();
    let is_volatile = flags.is_some_and(|flags| flag(&flags, "volatile"));
    let delivery = if is_volatile { Delivery::Volatile } else { Delivery::Reliable };
    let (name, args) = event(packet)?;
    Ok(Some(ClusterEmit { recipients, name, args, delivery, ack }))
}

/// `data`: an event's name and its arguments, which stay bytes.
fn event(members: &PackedMembers) -> Result<(ByteString, BusPayload), DecodeError> {
    let mut reader = PackedReader::new(members.raw("data").ok_or(DecodeError::Field("data"))?);
    let count = reader.array().and_then(|count| count.checked_sub(1)).ok_or(DecodeError::Field("data"))?;
    let name = reader.name().ok_or(DecodeError::Field("data"))?;
    Ok((name, BusPayload::from_javascript(PackedArgs { bytes: reader.rest(), count })))
}

/// An answer is one value, or none; nodes of roomcast put further ones beside it.
fn answer(members: &PackedMembers, name: &'static str) -> Result<BusPayload, DecodeError> {
    let Some(first) = members.raw(name) else {
        return Ok(BusPayload::from_javascript(PackedArgs { bytes: Bytes::new(), count: 0 }));
    };
    let Some(more) = members.raw("more") else {
        return Ok(BusPayload::from_javascript(PackedArgs { bytes: first, count: 1 }));
    };
    let mut reader = PackedReader::new(more);
    let count = reader.array().and_then(|count| count.checked_add(1)).ok_or(DecodeError::Field("more"))?;
    let bytes = [&first[..], &reader.rest()[..]].concat().into();
    Ok(BusPayload::from_javascript(PackedArgs { bytes, count }))
}

/// The sockets that move, and their rooms. Adapters of Socket.IO 2 name one socket and one room; they wait for an answer in vain.
fn moved(namespace: &ByteString, members: &PackedMembers) -> Result<(Recipients, Vec<ByteString>), DecodeError> {
    if members.get("opts").is_some() {
        return Ok((recipients(namespace, members)?, names(members, "rooms")?));
    }
    let sid = text(members, "sid")?.ok_or(DecodeError::Field("opts"))?;
    let room = text(members, "room")?.ok_or(DecodeError::Field("room"))?;
    Ok((Recipients::room(namespace.clone(), sid), vec![room]))
}

fn recipients(namespace: &ByteString, members: &PackedMembers) -> Result<Recipients, DecodeError> {
    let Some(opts) = object(members, "opts")? else {
        let sid = text(members, "sid")?.ok_or(DecodeError::Field("opts"))?;
        return Ok(Recipients::room(namespace.clone(), sid));
    };
    Ok(Recipients { namespace: namespace.clone(), rooms: names(&opts, "rooms")?, except: names(&opts, "except")? })
}

fn sockets(members: &PackedMembers) -> Result<Vec<RemoteSocket>, DecodeError> {
    let error = DecodeError::Field("sockets");
    let mut reader = members.get("sockets").ok_or(error)?;
    let mut sockets = Vec::new();
    for _ in 0..reader.array().ok_or(error)? {
        let socket = PackedMembers::read(&mut reader).ok_or(error)?;
        let sid = text(&socket, "id")?.ok_or(error)?;
        let mut rooms = names(&socket, "rooms")?;
        rooms.retain(|room| *room != sid);
        sockets.push(RemoteSocket { sid, rooms });
    }
    Ok(sockets)
}

fn object(members: &PackedMembers, name: &'static str) -> Result<Option<PackedMembers>, DecodeError> {
    let Some(mut value) = members.get(name) else { return Ok(None) };
    PackedMembers::read(&mut value).map(Some).ok_or(DecodeError::Field(name))
}

fn text(members: &PackedMembers, name: &'static str) -> Result<Option<ByteString>, DecodeError> {
    let Some(mut value) = members.get(name) else { return Ok(None) };
    value.name().map(Some).ok_or(DecodeError::Field(name))
}

/// A list of names, absent if it is empty.
fn names(members: &PackedMembers, name: &'static str) -> Result<Vec<ByteString>, DecodeError> {
    let Some(mut value) = members.get(name) else { return Ok(Vec::new()) };
    let count = value.array().ok_or(DecodeError::Field(name))?;
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(value.name().ok_or(DecodeError::Field(name))?);
    }
    Ok(names)
}

fn number(members: &PackedMembers, name: &'static str) -> Result<Option<u64>, DecodeError> {
    match members.get(name).map(|mut value| value.head()) {
        None => Ok(None),
        Some(Some(PackedHead::Unsigned(number))) => Ok(Some(number)),
        Some(_) => Err(DecodeError::Field(name)),
    }
}

fn expect_number(members: &PackedMembers, name: &'static str) -> Result<u64, DecodeError> {
    number(members, name)?.ok_or(DecodeError::Field(name))
}

fn flag(members: &PackedMembers, name: &str) -> bool {
    members.get(name).and_then(|mut value| value.head()) == Some(PackedHead::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say_in_a_later_form_is_refused_and_a_new_member_is_passed_over() {
        let decoded = |text: &'static str| decode_between_nodes(Bytes::from_static(text.as_bytes()));
        assert_eq!(decoded(r#"{"word":"goodbye","uid":"h","form":2}"#), Err(DecodeError::Form(2)));
        for text in [r#"{"word":"goodbye","uid":"h","form":1}"#, r#"{"word":"goodbye","uid":"h","why":{"form":2}}"#] {
            assert_eq!(decoded(text).unwrap().unwrap().body, ClusterBody::Goodbye, "{text}");
        }
    }
}
