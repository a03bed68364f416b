//! What the tests of both dialects of the bus share: messages that proptest draws, and short names for their parts.

use std::path::PathBuf;

use bytestring::ByteString;
use proptest::prelude::*;
use roomcast_core::cluster::{BusPayload, ClusterBody, ClusterEmit, ClusterMessage, NodeId, Recipients};
use roomcast_core::socket_io::{Args, ArgsBuilder, Delivery};
use serde_json::{Value, json};

pub fn emit_to(recipients: Recipients, args: Args) -> ClusterBody {
    let (name, args, delivery) = ("event".into(), BusPayload::from(args), Delivery::Reliable);
    ClusterBody::Emit(ClusterEmit { recipients, name, args, delivery, ack: None })
}

pub fn args() -> impl Strategy<Value = Args> {
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!([[]])),
        any::<i32>().prop_map(Value::from),
        r#"[a\\",\]}é]{0,6}"#.prop_map(|text| json!({ "k": text })),
    ];
    (prop::collection::vec(value, 0..4), prop::option::of(prop::collection::vec(any::<u8>(), 0..9))).prop_map(
        |(values, bytes)| {
            let mut builder = ArgsBuilder::new();
            if let Some(bytes) = bytes {
                let attachment = builder.attach(bytes.into());
                builder.push(&attachment).unwrap();
            }
            values.iter().for_each(|value| builder.push(value).unwrap());
            builder.finish().unwrap()
        },
    )
}

/// With payloads read, so that their forms do not matter.
pub fn resolved(mut message: ClusterMessage) -> ClusterMessage {
    if let ClusterBody::Emit(ClusterEmit { args, .. })
    | ClusterBody::Ack { args, .. }
    | ClusterBody::ServerEmit { args, .. }
    | ClusterBody::ServerReply { args, .. } = &mut message.body
    {
        *args = args.clone().args().unwrap().into();
    }
    message
}

pub fn names(names: &[&str]) -> Vec<ByteString> {
    names.iter().map(|name| ByteString::from(*name)).collect()
}

pub fn node(letter: char) -> NodeId {
    NodeId::parse(&letter.to_string().repeat(32)).unwrap()
}

/// A file of vectors in a folder beside the tests.
pub fn vectors(folder: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder).join(format!("{name}.json"))
}
