//! Messages in the JavaScript adapter's dialect, all of them in MessagePack: it reads both forms wherever it writes JSON.
//!
//! Owns: writing. Must never know: names of channels.

use bytes::Bytes;
use bytestring::ByteString;

use super::{kinds, request_id};
use crate::cluster::codec::EncodeError;
use crate::cluster::message::{Beat, ClusterBody, ClusterEmit, ClusterMessage, NodeId, Recipients, RemoteSocket};
use crate::cluster::payload::BusPayload;
use crate::socket_io::msgpack::{write_array, write_bool, write_map, write_text, write_unsigned, write_values};
use crate::socket_io::{Args, Delivery, Extent};

/// Which way a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JavaScriptWay {
    /// To all sockets of a namespace.
    Everyone(ByteString),
    /// To those in a room.
    Room(ByteString, ByteString),
    /// To all servers with this namespace.
    Request(ByteString),
    /// To the one that asked; the namespace by its place in the settings.
    Response(usize, NodeId),
    /// To nodes of roomcast.
    Nodes,
}

pub(super) fn encode(message: &ClusterMessage) -> Result<(JavaScriptWay, Bytes), EncodeError> {
    if let ClusterBody::Emit(emit @ ClusterEmit { ack: None, .. }) = &message.body {
        return write_broadcast(message, emit);
    }
    let mut object = PackedObject::of(message);
    let way = write_body(&mut object, &message.from, &message.body)?;
    Ok((way, object.finish()))
}

/// `[uid, packet, opts]`. What stands behind it is passed over by JavaScript.
fn write_broadcast(message: &ClusterMessage, emit: &ClusterEmit) -> Result<(JavaScriptWay, Bytes), EncodeError> {
    let ClusterEmit { recipients, name, args, delivery, ack: _ } = emit;
    let args = read(args)?;
    let mut out = Vec::with_capacity(args.json().len() + 256);
    write_array(&mut out, 3 + usize::from(message.seq.is_some()));
    write_text(&mut out, message.from.as_str());
    write_packet(&mut out, &recipients.namespace, name, &args);
    write_opts(&mut out, recipients, *delivery);
    message.seq.into_iter().for_each(|seq| write_unsigned(&mut out, seq));
    let namespace = recipients.namespace.clone();
    let way = match &recipients.rooms[..] {
        [room] => JavaScriptWay::Room(namespace, room.clone()),
        [] | [_, ..] => JavaScriptWay::Everyone(namespace),
    };
    Ok((way, out.into()))
}

fn write_body(out: &mut PackedObject, own: &NodeId, body: &ClusterBody) -> Result<JavaScriptWay, EncodeError> {
    match body {
        ClusterBody::Emit(emit) => {
            let ClusterEmit { recipients, name, args, delivery, ack } = emit;
            let args = read(args)?;
            out.kind(kinds::BROADCAST);
            ack.iter().for_each(|token| out.text("requestId", &request_id::write(own, token.id)));
            write_packet(out.value("packet"), &recipients.namespace, name, &args);
            write_opts(out.value("opts"), recipients, *delivery);
            Ok(JavaScriptWay::Request(recipients.namespace.clone()))
        }
        ClusterBody::Join { recipients, room } => {
            Ok(write_move(out, kinds::REMOTE_JOIN, recipients, std::slice::from_ref(room)))
        }
        ClusterBody::JoinRooms { recipients, rooms } => Ok(write_move(out, kinds::REMOTE_JOIN, recipients, rooms)),
        ClusterBody::Leave { recipients, room } => {
            Ok(write_move(out, kinds::REMOTE_LEAVE, recipients, std::slice::from_ref(room)))
        }
        ClusterBody::LeaveRooms { recipients, rooms } => Ok(write_move(out, kinds::REMOTE_LEAVE, recipients, rooms)),
        ClusterBody::CloseRoom { namespace, room } => {
            let recipients = Recipients::room(namespace.clone(), room.clone());
            Ok(write_move(out, kinds::REMOTE_LEAVE, &recipients, std::slice::from_ref(room)))
        }
        ClusterBody::Disconnect { recipients, extent } => {
            out.kind(kinds::REMOTE_DISCONNECT);
            write_opts(out.value("opts"), recipients, Delivery::Reliable);
            write_bool(out.value("close"), *extent == Extent::Connection);
            Ok(JavaScriptWay::Request(recipients.namespace.clone()))
        }
        ClusterBody::FetchSockets { recipients, token } => {
            out.kind(kinds::REMOTE_FETCH);
            out.text("requestId", &request_id::write(own, token.id));
            write_opts(out.value("opts"), recipients, Delivery::Reliable);
            Ok(JavaScriptWay::Request(recipients.namespace.clone()))
        }
        ClusterBody::FetchRooms { namespace, token } => {
            out.kind(kinds::ALL_ROOMS);
            out.text("requestId", &request_id::write(own, token.id));
            Ok(JavaScriptWay::Request(namespace.clone()))
        }
        ClusterBody::ServerEmit { namespace, name, args, token } => {
            let args = read(args)?;
            out.kind(kinds::SERVER_SIDE_EMIT);
            token.iter().for_each(|token| out.text("requestId", &request_id::write(own, token.id)));
            write_event(out.value("data"), name, &args);
            Ok(JavaScriptWay::Request(namespace.clone()))
        }
        ClusterBody::AckCount { .. }
        | ClusterBody::Ack { .. }
        | ClusterBody::Sockets { .. }
        | ClusterBody::Rooms { .. }
        | ClusterBody::ServerReply { .. } => write_answer(out, body),
        ClusterBody::Heartbeat(beat) => {
            out.text("word", "heartbeat");
            write_bool(out.value("first"), *beat == Beat::First);
            Ok(JavaScriptWay::Nodes)
        }
        ClusterBody::Goodbye => {
            out.text("word", "goodbye");
            Ok(JavaScriptWay::Nodes)
        }
    }
}

fn write_answer(out: &mut PackedObject, body: &ClusterBody) -> Result<JavaScriptWay, EncodeError> {
    let (to, token) = match body {
        ClusterBody::AckCount { to, token, asked } => {
            out.kind(kinds::BROADCAST_CLIENT_COUNT);
            write_unsigned(out.value("clientCount"), (*asked).into());
            (to, token)
        }
        ClusterBody::Ack { to, token, namespace: _, args } => {
            out.kind(kinds::BROADCAST_ACK);
            out.answer("packet", &read(args)?);
            (to, token)
        }
        ClusterBody::ServerReply { to, token, args } => {
            out.kind(kinds::SERVER_SIDE_EMIT);
            out.answer("data", &read(args)?);
            (to, token)
        }
        ClusterBody::Sockets { to, token, sockets } => {
            let are_sids = !token.key.is_empty() && token.id & request_id::SIDS_ALONE != 0;
            write_sockets(out.value("sockets"), sockets, are_sids);
            (to, token)
        }
        ClusterBody::Rooms { to, token, rooms } => {
            write_names(out.value("rooms"), rooms);
            (to, token)
        }
        ClusterBody::Emit(_)
        | ClusterBody::Join { .. }
        | ClusterBody::JoinRooms { .. }
        | ClusterBody::Leave { .. }
        | ClusterBody::LeaveRooms { .. }
        | ClusterBody::CloseRoom { .. }
        | ClusterBody::Disconnect { .. }
        | ClusterBody::FetchSockets { .. }
        | ClusterBody::FetchRooms { .. }
        | ClusterBody::ServerEmit { .. }
        | ClusterBody::Heartbeat(_)
        | ClusterBody::Goodbye => return Err(EncodeError::Unsupported),
    };
    out.text("requestId", &request_id::of_answer(to, token));
    Ok(JavaScriptWay::Response(request_id::place(token), to.clone()))
}

fn write_move(out: &mut PackedObject, kind: u64, recipients: &Recipients, rooms: &[ByteString]) -> JavaScriptWay {
    out.kind(kind);
    write_opts(out.value("opts"), recipients, Delivery::Reliable);
    write_names(out.value("rooms"), rooms);
    JavaScriptWay::Request(recipients.namespace.clone())
}

fn write_packet(out: &mut Vec<u8>, namespace: &str, name: &str, args: &Args) {
    write_map(out, 3);
    write_text(out, "type");
    write_unsigned(out, kinds::EVENT_PACKET);
    write_text(out, "data");
    write_event(out, name, args);
    write_text(out, "nsp");
    write_text(out, namespace);
}

fn write_event(out: &mut Vec<u8>, name: &str, args: &Args) {
    write_array(out, 1 + args.len());
    write_text(out, name);
    write_values(out, args.json(), args.attachments());
}

fn write_opts(out: &mut Vec<u8>, recipients: &Recipients, delivery: Delivery) {
    write_map(out, 3);
    write_text(out, "rooms");
    write_names(out, &recipients.rooms);
    write_text(out, "except");
    write_names(out, &recipients.except);
    write_text(out, "flags");
    write_map(out, usize::from(delivery == Delivery::Volatile));
    if delivery == Delivery::Volatile {
        write_text(out, "volatile");
        write_bool(out, true);
    }
}

fn write_names(out: &mut Vec<u8>, names: &[ByteString]) {
    write_array(out, names.len());
    names.iter().for_each(|name| write_text(out, name));
}

/// A handshake is not known to other nodes; its maps are there so that code which looks into them finds nothing, instead of
/// failing.
fn write_sockets(out: &mut Vec<u8>, sockets: &[RemoteSocket], are_sids: bool) {
    write_array(out, sockets.len());
    for RemoteSocket { sid, rooms } in sockets {
        if are_sids {
            write_text(out, sid);
            continue;
        }
        write_map(out, 4);
        write_text(out, "id");
        write_text(out, sid);
        write_text(out, "handshake");
        write_map(out, 3);
        for part in ["headers", "query", "auth"] {
            write_text(out, part);
            write_map(out, 0);
        }
        write_text(out, "rooms");
        write_array(out, 1 + rooms.len());
        write_text(out, sid);
        rooms.iter().for_each(|room| write_text(out, room));
        write_text(out, "data");
        write_map(out, 0);
    }
}

fn read(payload: &BusPayload) -> Result<Args, EncodeError> {
    payload.clone().args().map_err(|_| EncodeError::Payload)
}

/// A map that is being written. It has at most 15 members: a map's first byte tells their number.
struct PackedObject {
    out: Vec<u8>,
    count: u8,
}

impl PackedObject {
    /// With the sender and the number of a message.
    fn of(message: &ClusterMessage) -> Self {
        let mut object = Self { out: Vec::with_capacity(256), count: 0 };
        object.out.push(0);
        object.text("uid", message.from.as_str());
        message.seq.into_iter().for_each(|seq| write_unsigned(object.value("seq"), seq));
        object
    }

    /// Where the value of a new member goes.
    fn value(&mut self, name: &str) -> &mut Vec<u8> {
        self.count += 1;
        write_text(&mut self.out, name);
        &mut self.out
    }

    fn text(&mut self, name: &str, value: &str) {
        write_text(self.value(name), value);
    }

    fn kind(&mut self, kind: u64) {
        write_unsigned(self.value("type"), kind);
    }

    /// JavaScript takes one argument of an answer; further ones stand in a member that it does not look at.
    fn answer(&mut self, name: &str, args: &Args) {
        let Some(first) = args.get(0) else { return };
        write_values(self.value(name), first, args.attachments());
        if args.len() > 1 {
            let (more, out) = (args.slice_from(1), self.value("more"));
            write_array(out, more.len());
            write_values(out, more.json(), more.attachments());
        }
    }

    fn finish(mut self) -> Bytes {
        if let Some(mark) = self.out.first_mut() {
            *mark = 0x80 | self.count;
        }
        self.out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::RequestToken;

    #[test]
    fn the_arguments_of_an_answer_keep_their_attachments() {
        let json = r#"{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}"#;
        let args = Args::from_received(json.into(), vec!["a".into(), "b".into()]).unwrap();
        let mut object = PackedObject { out: vec![0], count: 0 };
        object.answer("data", &args);
        assert_eq!(&object.finish()[..], b"\x82\xa4data\xc4\x01b\xa4more\x91\xc4\x01a");
    }

    #[test]
    fn a_request_token_of_an_answer_is_that_of_its_request() {
        let token = RequestToken { key: "abc".into(), id: 3 | request_id::SIDS_ALONE };
        let to = NodeId::unnamed();
        assert_eq!((request_id::place(&token), request_id::of_answer(&to, &token)), (3, "abc".to_owned()));
    }
}
