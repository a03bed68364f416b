//! Messages on the bus of a cluster from strangers.

use bytes::Bytes;
use roomcast_core::cluster::{ClusterBody, ClusterEmit, ClusterMessage, Codec, Python};

/// Invariant tested: a message of python-socketio's dialect is read without a panic, and where its payload is good, it is
/// read again from our own writing as the same.
pub fn bus_python(data: &[u8]) {
    reads_what_it_writes(&Python::default(), "socketio", data);
}

fn reads_what_it_writes(codec: &impl Codec, channel: &str, data: &[u8]) {
    let Ok(Some(message)) = codec.decode(channel, Bytes::copy_from_slice(data)) else { return };
    let Some(message) = resolved(message) else { return };
    let Ok(envelope) = codec.encode(&message) else { return };
    let again = codec.decode(&envelope.channel, envelope.payload.clone()).ok().flatten().and_then(resolved);
    assert_eq!(again.as_ref(), Some(&message), "{:?}", envelope.payload);
}

/// With its payload read; `None` if that is not valid.
fn resolved(mut message: ClusterMessage) -> Option<ClusterMessage> {
    if let ClusterBody::Emit(ClusterEmit { args, .. })
    | ClusterBody::Ack { args, .. }
    | ClusterBody::ServerEmit { args, .. }
    | ClusterBody::ServerReply { args, .. } = &mut message.body
    {
        *args = args.clone().args().ok()?.into();
    }
    Some(message)
}
