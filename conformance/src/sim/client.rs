//! A client's side, as official clients do it: open, poll, upgrade, answer pings, join namespaces.
//!
//! Owns: what it knows of its session. Must never know: the network, or what should arrive.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use roomcast_core::engine_io::{OpenData, Packet, decode_payload};
use roomcast_core::time::Instant;

use super::model::NAMESPACES_MAX;
use super::weather::Weather;
use crate::pair::Via;

/// What a client knows of its session.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) via: Via,
    /// How often it has come: what belongs to an earlier time is stale.
    pub(super) epoch: u32,
    pub(super) stage: Stage,
    /// The weather in which its session began.
    pub(super) begun: Weather,
    /// The Engine.IO session id.
    pub(super) sid: String,
    /// Packets to be sent, in their text form.
    pub(super) outbox: VecDeque<String>,
    /// Names without the comma, and their Socket.IO ids once there; `None` while asked for.
    pub(super) namespaces: BTreeMap<String, Option<String>>,
    /// Namespaces of this session that were left: they are not joined again.
    pub(super) left: Vec<String>,
    pub(super) last_heard: Instant,
    /// Whether the network has ended its probe, so that it goes on polling.
    pub(super) probe_lost: bool,
    /// The limit that it has run into on purpose. It says nothing more.
    pub(super) provoked: Option<Provoked>,
    partial: Option<(String, usize)>,
    next_ack: u64,
}

/// What a client has done that the server must end its session for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Provoked {
    /// What it has exceeded, as the coverage names it.
    pub(super) limit: &'static str,
    /// The code of the close frame that tells it.
    pub(super) close: u16,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no session.
    Away,
    /// It has asked for one.
    Opening,
    /// It uses long polling.
    Polling,
    /// It polls, and a WebSocket is on its way.
    Probing,
    /// The probe is answered: it polls no more, and waits for what is still out.
    Pausing,
    /// It has a WebSocket.
    Streaming,
}

/// What a packet means for the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PacketEffect {
    /// The packet does not concern the network.
    Nothing,
    /// The session is open.
    Opened,
    /// The probe is answered.
    Probed,
    /// The session is over.
    Over,
    /// A Socket.IO packet, whole, for the socket of this id.
    Packet { sid: String, text: String },
    /// The server waits for an ack of this packet.
    Asked { sid: String, text: String, answer: String, namespace: String },
    /// A namespace was one too many.
    Crowded,
    /// A Socket.IO packet that makes no sense.
    Nonsense(String),
}

impl Client {
    pub(super) fn new(via: Via) -> Self {
        Self {
            via,
            epoch: 0,
            stage: Stage::Away,
            begun: Weather::Storm,
            sid: String::new(),
            outbox: VecDeque::new(),
            namespaces: BTreeMap::new(),
            left: Vec::new(),
            last_heard: Instant::default(),
            probe_lost: false,
            provoked: None,
            partial: None,
            next_ack: 0,
        }
    }

    /// Forgets its session.
    pub(super) fn reset(&mut self) {
        *self = Self { epoch: self.epoch + 1, ..Self::new(self.via) };
    }

    /// The namespaces it is in, with their Socket.IO ids.
    pub(super) fn joined(&self) -> Vec<(String, String)> {
        let there = |(name, sid): (&String, &Option<String>)| Some((name.clone(), sid.clone()?));
        self.namespaces.iter().filter_map(there).collect()
    }

    /// The number of its next event that wants an ack.
    pub(super) fn next_ack(&mut self) -> u64 {
        self.next_ack += 1;
        self.next_ack
    }

    /// An Engine.IO packet in its text form.
    pub(super) fn hear(&mut self, text: &str, now: Instant) -> PacketEffect {
        self.last_heard = now;
        match decode_payload(text.to_owned().into()).next() {
            Some(Ok(Packet::Open(json))) => match OpenData::decode(&json) {
                Ok(handshake) => {
                    self.sid = handshake.sid;
                    PacketEffect::Opened
                }
                Err(error) => PacketEffect::Nonsense(format!("{text}: {error}")),
            },
            Some(Ok(Packet::Close)) => PacketEffect::Over,
            Some(Ok(Packet::Ping(_))) => {
                self.outbox.push_back("3".into());
                PacketEffect::Nothing
            }
            Some(Ok(Packet::Pong(_))) => PacketEffect::Probed,
            Some(Ok(Packet::Noop)) => PacketEffect::Nothing,
            Some(Ok(Packet::Message(_) | Packet::Binary(_))) => self.hear_message(text),
            Some(Ok(Packet::Upgrade) | Err(_)) | None => PacketEffect::Nonsense(text.to_owned()),
        }
    }

    fn hear_message(&mut self, text: &str) -> PacketEffect {
        let (whole, left) = match (self.partial.take(), text.strip_prefix('b')) {
            (Some((before, left)), Some(_)) => (format!("{before}\x1e{text}"), left - 1),
            (None, None) => (text.to_owned(), attachments(text)),
            (Some((before, _)), None) => {
                return PacketEffect::Nonsense(format!("{text} between the attachments of {before}"));
            }
            (None, Some(_)) => return PacketEffect::Nonsense(format!("{text} out of turn")),
        };
        if left > 0 {
            self.partial = Some((whole, left));
            return PacketEffect::Nothing;
        }
        self.hear_packet(whole)
    }

    fn hear_packet(&mut self, text: String) -> PacketEffect {
        let name = namespace_of(&text).to_owned();
        if self.left.contains(&name) {
            // On its way while the client left.
            return PacketEffect::Nothing;
        }
        let others = (self.namespaces.len() + self.left.len()).saturating_sub(1);
        let Some(known) = self.namespaces.get_mut(&name) else { return PacketEffect::Nonsense(text) };
        if known.is_none() && text.starts_with("44") && text.ends_with(TOO_MANY) && others >= NAMESPACES_MAX {
            // It asks no more.
            self.namespaces.remove(&name);
            self.left.push(name);
            return PacketEffect::Crowded;
        }
        if known.is_none() {
            let sid = text.split_once(r#""sid":""#).and_then(|(_, rest)| rest.split_once('"'));
            let Some((sid, _)) = sid.filter(|_| text.starts_with("40")) else { return PacketEffect::Nonsense(text) };
            *known = Some(sid.to_owned());
        }
        let sid = known.clone().unwrap_or_default();
        if text.starts_with("41") {
            self.namespaces.remove(&name);
            self.left.push(name);
        } else if let Some(answer) = answer_of(&text) {
            return PacketEffect::Asked { sid, text, answer, namespace: name };
        }
        PacketEffect::Packet { sid, text }
    }
}

const TOO_MANY: &str = r#"{"message":"Too many namespaces"}"#;

/// A binary message in its text form.
pub(super) fn text_of(bytes: Bytes) -> String {
    let mut form = Vec::new();
    Packet::Binary(bytes).encode_text(&mut form);
    String::from_utf8_lossy(&form).into_owned()
}

/// What a binary message's text form stands for.
pub(super) fn bytes_of(text: &str) -> Bytes {
    match decode_payload(text.to_owned().into()).next() {
        Some(Ok(Packet::Binary(bytes))) => bytes,
        Some(_) | None => Bytes::new(),
    }
}

/// How many attachments follow.
fn attachments(text: &str) -> usize {
    let count = text.strip_prefix("45").or_else(|| text.strip_prefix("46")).and_then(|rest| rest.split_once('-'));
    count.and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
}

/// The namespace of a packet.
fn namespace_of(text: &str) -> &str {
    let rest = text.get(2..).unwrap_or("");
    let rest = if attachments(text) > 0 { rest.split_once('-').map_or(rest, |(_, rest)| rest) } else { rest };
    if !rest.starts_with('/') {
        return "/";
    }
    rest.split_once(',').map_or(rest, |(name, _)| name)
}

/// The ack that an `ask` wants.
fn answer_of(text: &str) -> Option<String> {
    let (header, data) = text.strip_prefix("42")?.split_once('[')?;
    let (prefix, id) = header.rsplit_once(',').map_or(("", header), |(prefix, id)| (prefix, id));
    let comma = if prefix.is_empty() { "" } else { "," };
    let args = data.strip_prefix(r#""ask""#)?.trim_start_matches(',').strip_suffix(']')?;
    (!id.is_empty()).then(|| format!("43{prefix}{comma}{id}[{args}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_apart() {
        assert_eq!(namespace_of(r#"42["x"]"#), "/");
        assert_eq!(namespace_of(r#"42/custom,1["x"]"#), "/custom");
        assert_eq!(namespace_of("41/custom,"), "/custom");
        assert_eq!(namespace_of(r#"451-/custom,["x"]"#), "/custom");
        assert_eq!(namespace_of(r#"451-["x","/a,"]"#), "/");
        assert_eq!(attachments("452-[]"), 2);
        assert_eq!(answer_of(r#"427["ask",1,2]"#), Some("437[1,2]".into()));
        assert_eq!(answer_of(r#"42/a,7["ask"]"#), Some("43/a,7[]".into()));
        assert_eq!(answer_of(r#"42["ask-result",1]"#), None);
    }
}
