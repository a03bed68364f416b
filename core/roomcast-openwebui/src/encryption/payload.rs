//! What members of an encrypted channel say, by `encryption:*`.
//!
//! Owns: names, fields and bounds of these events. Must never know: a conversation.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer};

/// What one of these events asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TalkAction {
    Start,
    Status,
    Join,
    Bind,
    Packet,
    Leave,
    Ping,
}

impl TalkAction {
    /// By the event's name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("encryption:")? {
            "start" => Self::Start,
            "status" => Self::Status,
            "join" => Self::Join,
            "bind" => Self::Bind,
            "packet" => Self::Packet,
            "leave" => Self::Leave,
            "ping" => Self::Ping,
            _ => return None,
        })
    }

    /// Whether it makes a user take part, which has a ration of its own.
    pub(crate) const fn is_admission(self) -> bool {
        matches!(self, Self::Start | Self::Join)
    }
}

/// Whether an event is one of these.
pub(crate) fn is_encryption_event(name: &str) -> bool {
    TalkAction::named(name).is_some()
}

/// One event of a member. What is no text is as what is not there.
#[derive(Deserialize)]
pub(crate) struct ConversationCall {
    #[serde(default, deserialize_with = "text")]
    pub(crate) channel: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) session: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) participation: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) kind: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) target: Option<String>,
    #[serde(default, deserialize_with = "text")]
    key: Option<String>,
    #[serde(default, deserialize_with = "text")]
    packet: Option<String>,
    #[serde(default, deserialize_with = "text")]
    welcome: Option<String>,
}

impl std::fmt::Debug for ConversationCall {
    /// Nothing of it: a log must not hold what members say to each other.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConversationCall")
    }
}

impl ConversationCall {
    /// Of the first argument of an event, unless that is no object, or too long.
    pub(crate) fn parse(payload: &str) -> Option<Self> {
        if payload.len() > PAYLOAD_BYTES_MAX || !payload.trim_start().starts_with('{') {
            return None;
        }
        let call: Self = serde_json::from_str(payload).ok()?;
        let is_channel = |channel: &String| (1..=CHANNEL_CHARS_MAX).contains(&channel.chars().count());
        call.channel.as_ref().is_some_and(is_channel).then_some(call)
    }

    /// A public key: exactly 32 bytes.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| decoded_len(key) == Some(KEY_BYTES))
    }

    /// A packet for others.
    pub(crate) fn packet(&self) -> Option<&str> {
        self.packet.as_deref().filter(|packet| is_packet(packet))
    }

    /// What a member gets that is admitted.
    pub(crate) fn welcome(&self) -> Option<&str> {
        self.welcome.as_deref().filter(|packet| is_packet(packet))
    }
}

fn is_packet(text: &str) -> bool {
    decoded_len(text).is_some_and(|len| (1..=PACKET_BYTES_MAX).contains(&len))
}

/// The bytes that base64 stands for, if it is any: with padding, and any bits in front of that.
fn decoded_len(text: &str) -> Option<usize> {
    if text.len() > PACKET_BYTES_MAX.div_ceil(3) * 4 {
        return None;
    }
    BASE64.decode(text).ok().map(|bytes| bytes.len())
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(if let serde_json::Value::String(text) = value { Some(text) } else { None })
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);
const KEY_BYTES: usize = 32;
/// Bytes of a packet, before base64.
const PACKET_BYTES_MAX: usize = 1 << 20;
/// Bytes of an event's payload.
const PAYLOAD_BYTES_MAX: usize = 3 << 20;
const CHANNEL_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_call_is_told_from_one_with_less() {
        for bad in [
            "",
            "7",
            r#""channel""#,
            "{}",
            r#"{"channel":""}"#,
            r#"{"channel":7}"#,
            &format!(r#"{{"channel":"{}"}}"#, "x".repeat(129)),
            &format!(r#"{{"channel":"c","packet":"{}"}}"#, "A".repeat(PAYLOAD_BYTES_MAX)),
        ] {
            assert!(ConversationCall::parse(bad).is_none(), "{}", bad.get(..40).unwrap_or(bad));
        }
        let call = ConversationCall::parse(r#"{"channel":"c","session":7,"packet":null,"more":[1]}"#).unwrap();
        assert_eq!((call.session.as_deref(), call.packet(), call.key()), (None, None, None));
    }

    #[test]
    fn packets_are_base64_and_bounded() {
        let packet = |text: &str| {
            let call = ConversationCall::parse(&format!(r#"{{"channel":"c","packet":"{text}"}}"#)).unwrap();
            call.packet().is_some()
        };
        assert!(packet("AA==") && packet("AB==") && packet("+/+/"));
        for bad in ["", "A", "AA", "AA=", "A A=", "-_-_", "AAAA\\n"] {
            assert!(!packet(bad), "{bad}");
        }
        // A MiB stands in 1,398,104 characters, of which two are padding.
        let mebibyte = format!("{}A==", "A".repeat(1_398_101));
        assert!(packet(&mebibyte));
        assert!(!packet(&format!("{}=", "A".repeat(1_398_103))), "one byte more");
    }

    #[test]
    fn a_key_has_32_bytes() {
        let is_key = |text: &str| {
            ConversationCall::parse(&format!(r#"{{"channel":"c","key":"{text}"}}"#)).unwrap().key().is_some()
        };
        assert!(is_key(&format!("{}=", "A".repeat(43))));
        assert!(!is_key(&"A".repeat(44)) && !is_key(&format!("{}==", "A".repeat(42))) && !is_key(""));
    }

    #[test]
    fn events_are_known_by_their_names() {
        assert_eq!(TalkAction::named("encryption:ping"), Some(TalkAction::Ping));
        assert!(is_encryption_event("encryption:start") && !is_encryption_event("encryption:event"));
        assert!(!is_encryption_event("start"));
    }
}
