//! Messages on the bus of a cluster from strangers.

use bytes::Bytes;
use roomcast_core::cluster::{
    BusPayload, ClusterBody, ClusterEmit, ClusterMessage, Codec, JavaScript, Python, RequestToken,
};

/// Invariant tested: a message of python-socketio's dialect is read without a panic, and where its payload is good, it is
/// read again from our own writing as the same.
pub fn bus_python(data: &[u8]) {
    reads_what_it_writes(&Python::default(), "socketio", data, resolved);
}

/// Invariant tested: the same of the JavaScript adapter's dialect. The first byte chooses the channel.
pub fn bus_javascript(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let channel = match choice % 4 {
        0 => "socket.io#/#room#",
        1 => "socket.io-request#/#",
        2 => "socket.io-response#/#",
        _ => "socket.io-roomcast#",
    };
    reads_what_it_writes(&JavaScript::default(), channel, data, comparable);
}

type Resolve = fn(ClusterMessage) -> Option<ClusterMessage>;

fn reads_what_it_writes(codec: &impl Codec, channel: &str, data: &[u8], resolve: Resolve) {
    let Ok(Some(message)) = codec.decode(channel, Bytes::copy_from_slice(data)) else { return };
    let Some(message) = resolve(message) else { return };
    let Ok(envelope) = codec.encode(&message) else { return };
    let again = codec.decode(&envelope.channel, envelope.payload.clone()).ok().flatten().and_then(resolve);
    assert_eq!(again.as_ref(), Some(&message), "{:?}", envelope.payload);
}

/// With its payload read; `None` if that is not valid.
fn resolved(mut message: ClusterMessage) -> Option<ClusterMessage> {
    if let Some(args) = payload(&mut message) {
        *args = args.clone().args().ok()?.into();
    }
    Some(message)
}

/// The same without the id of a request, which each sender makes for itself; `None` also if there are data in the form of
/// references to attachments: they are attached once more.
fn comparable(message: ClusterMessage) -> Option<ClusterMessage> {
    let mut message = resolved(message)?;
    if let ClusterBody::Emit(ClusterEmit { ack: Some(token), .. })
    | ClusterBody::FetchSockets { token, .. }
    | ClusterBody::FetchRooms { token, .. }
    | ClusterBody::ServerEmit { token: Some(token), .. } = &mut message.body
    {
        *token = RequestToken { key: String::new().into(), id: 0 };
    }
    let args = payload(&mut message).map(|payload| payload.clone().args()).transpose().ok()?;
    let is_plain = args.is_none_or(|args| {
        args.attachments().is_empty() || args.json().matches("\"_placeholder\"").count() == args.attachments().len()
    });
    is_plain.then_some(message)
}

fn payload(message: &mut ClusterMessage) -> Option<&mut BusPayload> {
    if let ClusterBody::Emit(ClusterEmit { args, .. })
    | ClusterBody::Ack { args, .. }
    | ClusterBody::ServerEmit { args, .. }
    | ClusterBody::ServerReply { args, .. } = &mut message.body
    {
        Some(args)
    } else {
        None
    }
}
