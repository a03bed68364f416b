//! A conversation as it is stored, where Open WebUI's processes read and write it too.
//!
//! Owns: its JSON, and what members see of it. Must never know: what a member may do.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The conversation of a channel. It holds no packets: only who takes part, and since when each was last heard of.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EncryptedTalk {
    pub(crate) channel: String,
    /// Tells it from earlier ones of the channel.
    pub(crate) session: String,
    /// The participation of the member who started it, by whose leaving it ends.
    pub(crate) host: String,
    pub(crate) members: TalkMembers,
    /// Seconds since the epoch, from which on it does not count.
    #[serde(default)]
    pub(crate) expires: f64,
}

/// The members by their participation, in the order in which they came.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct TalkMembers(pub(crate) Vec<(String, TalkMember)>);

/// Who takes part.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TalkMember {
    /// The Socket.IO id of the one tab.
    pub(crate) sid: String,
    pub(crate) user: String,
    pub(crate) name: String,
    /// The public key in base64, once it has said one.
    pub(crate) key: Option<String>,
    /// Seconds since the epoch at which it was last heard of.
    pub(crate) seen: f64,
    /// Events that it was told.
    pub(crate) out: u64,
    /// Whether it gets what the others say.
    pub(crate) admitted: bool,
}

impl fmt::Debug for EncryptedTalk {
    /// Not who it is with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedTalk({} members)", self.members.0.len())
    }
}

impl EncryptedTalk {
    /// As stored, unless it has expired. `Err`: it cannot be read.
    pub(crate) fn parse(stored: Option<&str>, now_secs: f64) -> Result<Option<Self>, serde_json::Error> {
        let Some(text) = stored.filter(|text| !text.is_empty()) else { return Ok(None) };
        let found: Option<Self> = serde_json::from_str(text)?;
        // One without its host is none: it could not be ended.
        Ok(found.filter(|talk| talk.expires > now_secs && talk.members.get(&talk.host).is_some()))
    }

    /// To be stored, for another span from now.
    pub(crate) fn stored(mut self, now_secs: f64) -> String {
        self.expires = now_secs + EXPIRY_SECS;
        // Strings and numbers that have a JSON form.
        serde_json::to_string(&self).unwrap_or_default()
    }

    /// Whether its host can be called.
    pub(crate) fn is_open(&self) -> bool {
        self.members.get(&self.host).is_some_and(|host| host.key.is_some())
    }

    /// What all members see of it.
    pub(crate) fn view(&self) -> TalkView<'_> {
        let Self { channel, session, host, members, .. } = self;
        let (mut bindings, mut participants) = (Vec::new(), Vec::new());
        for (participation, TalkMember { user, name, key, .. }) in &members.0 {
            if let Some(key) = key {
                bindings.push(TalkBinding { identity: TalkIdentity { channel, session, user, participation }, key });
            }
            participants.push(TalkParticipant { participation, user, name });
        }
        TalkView { channel, session, host, bindings, participants }
    }
}

impl TalkMembers {
    pub(crate) fn get(&self, participation: &str) -> Option<&TalkMember> {
        self.0.iter().find(|(pid, _)| pid == participation).map(|(_, member)| member)
    }

    pub(crate) fn get_mut(&mut self, participation: &str) -> Option<&mut TalkMember> {
        self.0.iter_mut().find(|(pid, _)| pid == participation).map(|(_, member)| member)
    }

    pub(crate) fn remove(&mut self, participation: &str) -> Option<TalkMember> {
        let at = self.0.iter().position(|(pid, _)| pid == participation)?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn has_socket(&self, sid: &str) -> bool {
        self.0.iter().any(|(_, member)| member.sid == sid)
    }

    /// The participations of the members who get what the others say.
    pub(crate) fn admitted(&self) -> Vec<String> {
        self.0.iter().filter(|(_, member)| member.admitted).map(|(pid, _)| pid.clone()).collect()
    }
}

impl Serialize for TalkMembers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (participation, member) in &self.0 {
            map.serialize_entry(participation, member)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for TalkMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = TalkMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TalkMembers, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(TalkMembers(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// What members see of a conversation.
#[derive(Serialize)]
pub(crate) struct TalkView<'a> {
    channel: &'a str,
    session: &'a str,
    host: &'a str,
    bindings: Vec<TalkBinding<'a>>,
    participants: Vec<TalkParticipant<'a>>,
}

/// Which key is whose.
#[derive(Serialize)]
struct TalkBinding<'a> {
    identity: TalkIdentity<'a>,
    key: &'a str,
}

/// Whose a key is, as members sign it.
#[derive(Serialize)]
struct TalkIdentity<'a> {
    channel: &'a str,
    session: &'a str,
    user: &'a str,
    participation: &'a str,
}

/// A member, as others see it.
#[derive(Serialize)]
struct TalkParticipant<'a> {
    participation: &'a str,
    user: &'a str,
    name: &'a str,
}

/// Seconds for which a conversation counts that is not heard of.
const EXPIRY_SECS: f64 = 90.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// As Open WebUI 0.12.4 writes it: the order of members is that in which they came.
    const STORED: &str = r#"{"channel":"c","session":"s","host":"z","members":{"z":{"sid":"sz","user":"uz","name":"Z","key":"K","seen":10.5,"out":3,"admitted":true},"a":{"sid":"sa","user":"ua","name":"\u00c4","key":null,"seen":11,"out":0,"admitted":false}},"expires":100.25}"#;

    #[test]
    fn a_conversation_is_stored_as_open_webui_does_and_read_back() {
        let talk = EncryptedTalk::parse(Some(STORED), 99.0).unwrap().unwrap();
        assert_eq!((talk.is_open(), talk.members.admitted()), (true, vec!["z".to_owned()]));
        assert!(talk.members.has_socket("sa") && !talk.members.has_socket("sb"));
        let again = talk.clone().stored(20.0);
        let expected =
            STORED.replace("\\u00c4", "Ä").replace("100.25", "110.0").replace("\"seen\":11,", "\"seen\":11.0,");
        assert_eq!(again, expected);
        let view = serde_json::to_string(&talk.view()).unwrap();
        let bindings = r#"[{"identity":{"channel":"c","session":"s","user":"uz","participation":"z"},"key":"K"}]"#;
        let participants =
            r#"[{"participation":"z","user":"uz","name":"Z"},{"participation":"a","user":"ua","name":"Ä"}]"#;
        let head = r#"{"channel":"c","session":"s","host":"z""#;
        assert_eq!(view, format!(r#"{head},"bindings":{bindings},"participants":{participants}}}"#));
    }

    #[test]
    fn what_has_expired_or_has_no_host_is_none() {
        assert_eq!(EncryptedTalk::parse(Some(STORED), 100.25).unwrap(), None);
        assert_eq!(EncryptedTalk::parse(Some(&STORED.replace(r#""host":"z""#, r#""host":"y""#)), 1.0).unwrap(), None);
        for nothing in [None, Some(""), Some("null")] {
            assert_eq!(EncryptedTalk::parse(nothing, 1.0).unwrap(), None);
        }
        assert!(EncryptedTalk::parse(Some("{"), 1.0).is_err() && EncryptedTalk::parse(Some("[]"), 1.0).is_err());
    }
}
