//! The dialect of `@socket.io/redis-adapter` (the classic one, [the protocol in its
//! source](https://github.com/socketio/socket.io-redis-adapter)) and of `@socket.io/redis-emitter`, so that JavaScript servers
//! and roomcast share clients. Versions from 7.1 on.
//!
//! For each namespace there are three kinds of channels, with `socket.io` for a prefix by default:
//!
//! | channel | what is said there | form |
//! |---|---|---|
//! | `socket.io#/#`, for one room `socket.io#/#room#` | `[uid, packet, {rooms, except, flags}]`: an event without ack | MessagePack |
//! | `socket.io-request#/#` | an object with `type`: joins, leaves, disconnections, questions, events with ack | JSON or MessagePack |
//! | `socket.io-response#/#`, perhaps `socket.io-response#/#uid#` | an object with `requestId`: answers | JSON or MessagePack |
//!
//! JavaScript finds out how many servers there are by the subscriptions to the request channel, so that a node subscribes to
//! it by name. What JavaScript has no word for goes over `socket.io-roomcast#`: heartbeats and goodbyes. Members that it does
//! not know (`seq`, `more`, `uid` in answers, a fourth element behind `opts`) it passes over.
//!
//! Owns: these forms. Must never know: what a message brings about.

pub(super) mod data;
mod decode;
mod encode;
mod kinds;
mod request_id;

use bytes::Bytes;
use bytestring::ByteString;

use self::encode::JavaScriptWay;
use super::codec::{BusChannel, Codec, DecodeError, EncodeError, Envelope, escape_pattern};
use super::message::{ClusterMessage, NodeId, RoomChannel};
use super::settings::Subscriptions;

/// The codec of `@socket.io/redis-adapter`'s dialect (the classic adapter, 7.1 and later, with the parser that it has by
/// default).
///
/// JavaScript servers send no heartbeats but answer every question: set
/// [`Strangers::Counted`](super::Strangers::Counted).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JavaScript {
    key: String,
    namespaces: Vec<NamespaceChannels>,
    has_specific_responses: bool,
    subscriptions: Subscriptions,
}

/// The channels of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamespaceChannels {
    namespace: ByteString,
    broadcasts: String,
    requests: String,
    responses: String,
}

impl JavaScript {
    /// The dialect with this prefix, which is the option `key` of the adapter and `socket.io` by default, for the namespace
    /// `/`.
    pub fn new(key: impl Into<String>) -> Self {
        let dialect = Self {
            key: key.into(),
            namespaces: Vec::new(),
            has_specific_responses: false,
            subscriptions: Subscriptions::Everything,
        };
        dialect.namespaces(["/"])
    }

    /// The namespaces that are shared. Each has channels of its own, to which a node subscribes at its start; all nodes of
    /// roomcast name the same ones. What is emitted in others reaches no other server's clients here.
    #[must_use]
    pub fn namespaces(mut self, namespaces: impl IntoIterator<Item = impl Into<ByteString>>) -> Self {
        let channels = |namespace: ByteString| NamespaceChannels {
            broadcasts: format!("{}#{namespace}#", self.key),
            requests: format!("{}-request#{namespace}#", self.key),
            responses: format!("{}-response#{namespace}#", self.key),
            namespace,
        };
        self.namespaces = namespaces.into_iter().map(Into::into).map(channels).collect();
        self
    }

    /// Answers go over a channel of the node that asked, as with the adapter's option `publishOnSpecificResponseChannel`: the
    /// others need not read them. All servers listen there, with the option and without.
    #[must_use]
    pub fn specific_responses(self) -> Self {
        Self { has_specific_responses: true, ..self }
    }

    /// How nodes hear of emits to rooms: by a pattern all of them, as JavaScript servers do, or each room by its own channel.
    /// The same as in [`ClusterSettings::subscriptions`](super::ClusterSettings::subscriptions).
    #[must_use]
    pub fn subscriptions(self, subscriptions: Subscriptions) -> Self {
        Self { subscriptions, ..self }
    }

    fn nodes_channel(&self) -> String {
        format!("{}-roomcast#", self.key)
    }

    fn channel_of(&self, way: JavaScriptWay) -> Result<String, EncodeError> {
        Ok(match way {
            JavaScriptWay::Everyone(namespace) => format!("{}#{namespace}#", self.key),
            JavaScriptWay::Room(namespace, room) => format!("{}#{namespace}#{room}#", self.key),
            JavaScriptWay::Request(namespace) => format!("{}-request#{namespace}#", self.key),
            JavaScriptWay::Response(place, to) => {
                let channels = self.namespaces.get(place).ok_or(EncodeError::Unsupported)?;
                if self.has_specific_responses && to != NodeId::unnamed() {
                    format!("{}{to}#", channels.responses)
                } else {
                    channels.responses.clone()
                }
            }
            JavaScriptWay::Nodes => self.nodes_channel(),
        })
    }
}

impl Default for JavaScript {
    fn default() -> Self {
        Self::new("socket.io")
    }
}

impl Codec for JavaScript {
    fn channels(&self, own: &NodeId) -> Vec<BusChannel> {
        let of_namespace = |channels: &NamespaceChannels| {
            let broadcasts = match self.subscriptions {
                Subscriptions::Everything | Subscriptions::Filtered => {
                    BusChannel::Pattern(format!("{}*", escape_pattern(&channels.broadcasts)))
                }
                Subscriptions::PerRoom => BusChannel::Exact(channels.broadcasts.clone()),
            };
            let specific = format!("{}{own}#", channels.responses);
            let names = [channels.requests.clone(), channels.responses.clone(), specific];
            std::iter::once(broadcasts).chain(names.map(BusChannel::Exact)).collect::<Vec<_>>()
        };
        let nodes = BusChannel::Exact(self.nodes_channel());
        self.namespaces.iter().flat_map(of_namespace).chain(std::iter::once(nodes)).collect()
    }

    fn room_channel(&self, room: &RoomChannel) -> BusChannel {
        BusChannel::Exact(format!("{}#{}#{}#", self.key, room.namespace, room.room))
    }

    fn encode(&self, message: &ClusterMessage) -> Result<Envelope, EncodeError> {
        let (way, payload) = encode::encode(message)?;
        Ok(Envelope { channel: self.channel_of(way)?, payload })
    }

    fn decode(&self, channel: &str, payload: Bytes) -> Result<Option<ClusterMessage>, DecodeError> {
        for (place, NamespaceChannels { namespace, broadcasts, requests, responses }) in (0..).zip(&self.namespaces) {
            if channel.starts_with(broadcasts) {
                return decode::decode_broadcast(namespace, payload);
            }
            if channel == requests {
                return decode::decode_request(namespace, place, payload);
            }
            if channel.starts_with(responses) {
                return decode::decode_response(namespace, payload);
            }
        }
        if channel == self.nodes_channel() { decode::decode_between_nodes(payload) } else { Ok(None) }
    }
}
