//! Messages as JSON in python-socketio's dialect.
//!
//! Owns: writing. Must never know: names of channels.

use bytes::Bytes;

use super::data::{DataForm, write_attachments, write_data};
use crate::cluster::codec::EncodeError;
use crate::cluster::message::{
    Beat, ClusterBody, ClusterEmit, ClusterMessage, Recipients, RemoteSocket, RequestToken, RoomChannel,
};
use crate::cluster::payload::BusPayload;
use crate::socket_io::json::write_string;
use crate::socket_io::{Args, Delivery, Extent};

/// Which way a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BusWay {
    /// To every process.
    All,
    /// To those that have members in this room.
    Room(RoomChannel),
    /// To nodes of roomcast.
    Nodes,
}

pub(super) fn encode(message: &ClusterMessage) -> Result<(BusWay, Bytes), EncodeError> {
    let mut out = Writer(Vec::with_capacity(256));
    let way = write_body(&mut out, &message.body)?;
    // A callback bears the name of the node that asked; python-socketio knows no sender of it.
    let sender = if matches!(message.body, ClusterBody::Ack { .. }) { "from" } else { "host_id" };
    out.string(sender, message.from.as_str());
    if let Some(seq) = message.seq {
        out.number("seq", seq);
    }
    out.0.push(b'}');
    Ok((way, out.0.into()))
}

fn write_body(out: &mut Writer, body: &ClusterBody) -> Result<BusWay, EncodeError> {
    match body {
        ClusterBody::Emit(emit) => write_emit(out, emit),
        ClusterBody::Ack { to, token, namespace, args } => {
            let args = read(args)?;
            out.method("callback");
            out.string("host_id", to.as_str());
            out.string("sid", &token.key);
            out.string("namespace", namespace);
            out.number("id", token.id);
            out.args(&args);
            Ok(BusWay::All)
        }
        ClusterBody::Join { recipients, room } => Ok(write_move(out, ["enter_room", "join"], recipients, Some(room))),
        ClusterBody::Leave { recipients, room } => Ok(write_move(out, ["leave_room", "leave"], recipients, Some(room))),
        ClusterBody::Disconnect { recipients, extent: Extent::Namespace } => {
            Ok(write_move(out, ["disconnect", "disconnect_all"], recipients, None))
        }
        ClusterBody::Disconnect { recipients, extent: Extent::Connection } => {
            out.many("disconnect_all", recipients);
            out.raw("close", "true");
            Ok(BusWay::Nodes)
        }
        ClusterBody::CloseRoom { namespace, room } => {
            out.method("close_room");
            out.string("room", room);
            out.string("namespace", namespace);
            Ok(BusWay::All)
        }
        ClusterBody::AckCount { .. }
        | ClusterBody::JoinRooms { .. }
        | ClusterBody::LeaveRooms { .. }
        | ClusterBody::FetchRooms { .. }
        | ClusterBody::Rooms { .. }
        | ClusterBody::FetchSockets { .. }
        | ClusterBody::Sockets { .. }
        | ClusterBody::ServerEmit { .. }
        | ClusterBody::ServerReply { .. }
        | ClusterBody::Heartbeat(_)
        | ClusterBody::Goodbye => write_between_nodes(out, body),
    }
}

/// What only nodes of roomcast say.
fn write_between_nodes(out: &mut Writer, body: &ClusterBody) -> Result<BusWay, EncodeError> {
    match body {
        ClusterBody::AckCount { to, token, asked } => {
            out.method("ack_count");
            out.string("to", to.as_str());
            out.token(token);
            out.number("asked", (*asked).into());
        }
        ClusterBody::FetchSockets { recipients, token } => {
            out.method("fetch_sockets");
            out.recipients(recipients);
            out.token(token);
        }
        ClusterBody::Sockets { to, token, sockets } => {
            out.method("sockets");
            out.string("to", to.as_str());
            out.token(token);
            out.sockets(sockets);
        }
        ClusterBody::ServerEmit { namespace, name, args, token } => {
            let args = read(args)?;
            out.method("server_emit");
            out.string("namespace", namespace);
            out.string("event", name);
            out.args(&args);
            token.iter().for_each(|token| out.token(token));
        }
        ClusterBody::ServerReply { to, token, args } => {
            let args = read(args)?;
            out.method("server_reply");
            out.string("to", to.as_str());
            out.token(token);
            out.args(&args);
        }
        ClusterBody::Heartbeat(Beat::First) => {
            out.method("heartbeat");
            out.raw("first", "true");
        }
        ClusterBody::Heartbeat(Beat::Regular) => out.method("heartbeat"),
        ClusterBody::Goodbye => out.method("goodbye"),
        // What only servers of other makes say, on buses of their own, is among these.
        ClusterBody::Emit(_)
        | ClusterBody::Ack { .. }
        | ClusterBody::Join { .. }
        | ClusterBody::Leave { .. }
        | ClusterBody::JoinRooms { .. }
        | ClusterBody::LeaveRooms { .. }
        | ClusterBody::FetchRooms { .. }
        | ClusterBody::Rooms { .. }
        | ClusterBody::CloseRoom { .. }
        | ClusterBody::Disconnect { .. } => return Err(EncodeError::Unsupported),
    }
    Ok(BusWay::Nodes)
}

fn write_emit(out: &mut Writer, emit: &ClusterEmit) -> Result<BusWay, EncodeError> {
    let ClusterEmit { recipients, name, args, delivery, ack } = emit;
    let args = read(args)?;
    out.0.reserve(args.json().len());
    out.method("emit");
    out.string("event", name);
    out.key("data");
    let DataForm { is_binary, is_one_null } = write_data(&mut out.0, &args);
    if is_one_null {
        out.number("args_count", 1);
    }
    out.raw("binary", if is_binary { "true" } else { "false" });
    out.recipients(recipients);
    match ack {
        Some(RequestToken { key, id }) => {
            out.key("callback");
            out.0.push(b'[');
            write_string(&mut out.0, key);
            out.0.push(b',');
            write_string(&mut out.0, &recipients.namespace);
            out.0.extend_from_slice(format!(",{id}]").as_bytes());
        }
        None => out.raw("callback", "null"),
    }
    if *delivery == Delivery::Volatile {
        out.raw("volatile", "true");
    }
    Ok(match (&recipients.rooms[..], ack) {
        ([room], None) => BusWay::Room(RoomChannel { namespace: recipients.namespace.clone(), room: room.clone() }),
        // A node without members says so, too: it has to hear of an emit whose acks are counted.
        ([] | [_, ..], _) => BusWay::All,
    })
}

/// python-socketio moves and disconnects one socket at a time. Its nodes pass over a sid that is none of theirs, so that a
/// room may stand in its place; for more there is a method between nodes of roomcast.
fn write_move(
    out: &mut Writer,
    [of_one, of_many]: [&str; 2],
    recipients: &Recipients,
    room: Option<&bytestring::ByteString>,
) -> BusWay {
    let way = match (&recipients.rooms[..], &recipients.except[..]) {
        ([sid], []) => {
            out.method(of_one);
            out.string("sid", sid);
            out.string("namespace", &recipients.namespace);
            BusWay::All
        }
        _ => {
            out.many(of_many, recipients);
            BusWay::Nodes
        }
    };
    room.into_iter().for_each(|room| out.string("room", room));
    way
}

fn read(payload: &BusPayload) -> Result<Args, EncodeError> {
    payload.clone().args().map_err(|_| EncodeError::Payload)
}

/// An object that is being written: members behind the method.
struct Writer(Vec<u8>);

impl Writer {
    fn method(&mut self, method: &str) {
        self.0.extend_from_slice(b"{\"method\":");
        write_string(&mut self.0, method);
    }

    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(&mut self.0, value);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.raw(key, &value.to_string());
    }

    fn strings(&mut self, strings: &[bytestring::ByteString]) {
        self.0.push(b'[');
        for (index, string) in strings.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            write_string(&mut self.0, string);
        }
        self.0.push(b']');
    }

    /// `room`, `skip_sid` and `namespace` as `emit` has them.
    fn recipients(&mut self, recipients: &Recipients) {
        self.string("namespace", &recipients.namespace);
        for (key, names) in [("room", &recipients.rooms), ("skip_sid", &recipients.except)] {
            self.key(key);
            match &names[..] {
                [] => self.0.extend_from_slice(b"null"),
                [one] => write_string(&mut self.0, one),
                many => self.strings(many),
            }
        }
    }

    /// A method of nodes of roomcast, for sockets of which an empty list means all.
    fn many(&mut self, method: &str, recipients: &Recipients) {
        self.method(method);
        self.key("recipients");
        self.strings(&recipients.rooms);
        self.key("skip_sid");
        self.strings(&recipients.except);
        self.string("namespace", &recipients.namespace);
    }

    fn token(&mut self, token: &RequestToken) {
        self.string("key", &token.key);
        self.number("id", token.id);
    }

    /// `args` as a callback has them; attachments, which python-socketio cannot send there, beside them.
    fn args(&mut self, args: &Args) {
        self.key("args");
        self.0.push(b'[');
        self.0.extend_from_slice(args.json().as_bytes());
        self.0.push(b']');
        if !args.attachments().is_empty() {
            self.raw("attachments", "[null");
            write_attachments(&mut self.0, args.attachments());
            self.0.push(b']');
        }
    }

    fn sockets(&mut self, sockets: &[RemoteSocket]) {
        self.key("sockets");
        self.0.push(b'[');
        for (index, RemoteSocket { sid, rooms }) in sockets.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.0.push(b'[');
            write_string(&mut self.0, sid);
            self.0.push(b',');
            self.strings(rooms);
            self.0.push(b']');
        }
        self.0.push(b']');
    }
}
