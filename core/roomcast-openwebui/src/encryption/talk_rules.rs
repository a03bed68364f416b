//! What members of an encrypted channel do to its conversation, and what follows from that.
//!
//! Owns: who may do what, who is told what, in which order and under which number, and who is out. Must never know: where a
//! conversation is stored, or how an event reaches a socket.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::Serialize;

use super::payload::{ConversationCall, TalkAction};
use super::talk::{EncryptedTalk, TalkMember, TalkMembers, TalkView};
use crate::wire;
use roomcast_core::rng::Rng;
use roomcast_core::socket_io::Args;

/// Who calls, and when.
#[derive(Debug)]
pub(crate) struct TalkMoment<'a> {
    /// The channel that it is about.
    pub(crate) channel: &'a str,
    /// The caller's Socket.IO id.
    pub(crate) sid: &'a str,
    /// The caller's user.
    pub(crate) user: &'a str,
    /// Of those who were asked about, the users who may take part, with their names.
    pub(crate) eligible: &'a BTreeMap<ByteString, ByteString>,
    /// Seconds since the epoch.
    pub(crate) now_secs: f64,
    /// Whether the caller's socket takes part, as far as this node knows, and in this channel.
    pub(crate) place: TalkPlace,
}

/// Where a socket takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TalkPlace {
    /// In no conversation.
    Nowhere,
    /// In that of the channel in question.
    Here,
    /// In that of another channel.
    Elsewhere,
}

/// The result: the conversation as it is then, if there is one, and who is to be told.
#[derive(Debug, Default)]
pub(crate) struct TalkOutcome {
    pub(crate) talk: Option<EncryptedTalk>,
    /// Whether that is other than before.
    pub(crate) is_changed: bool,
    /// In this order.
    pub(crate) events: Vec<TalkEvent>,
    /// Socket.IO ids of those who are out.
    pub(crate) gone: Vec<String>,
    /// The caller's socket takes part now.
    pub(crate) enters: bool,
}

/// What someone is told.
#[derive(Debug)]
pub(crate) enum TalkEvent {
    /// `encryption:event` to a member's socket, by its Socket.IO id.
    ToMember(String, Args),
    /// `encryption:available` to the channel: its conversation, if one may be joined.
    ToChannel(Args),
}

impl TalkOutcome {
    /// Nothing has come of anything yet.
    pub(crate) fn of(talk: Option<EncryptedTalk>) -> Self {
        Self { talk, ..Self::default() }
    }

    fn tell(&mut self, recipients: &[String], said: &SaidToMember<'_>) {
        let Some(talk) = self.talk.as_mut() else { return };
        self.is_changed = true;
        for recipient in recipients {
            let Some(member) = talk.members.get_mut(recipient) else { continue };
            // By it a member notices what it has missed.
            member.out += 1;
            let (sid, sequence) = (member.sid.clone(), member.out);
            let args = wire::args(&MemberEvent { said, view: talk.view(), sequence });
            self.events.push(TalkEvent::ToMember(sid, args));
        }
    }

    fn invite(&mut self, channel: &str) {
        let session = self.talk.as_ref().map(|talk| &*talk.session);
        self.events.push(TalkEvent::ToChannel(wire::args(&Available { channel, session })));
    }

    fn end_for(&mut self, member: TalkMember, channel: &str, session: &str) {
        let ended = TalkEnded { kind: "ended", channel, session: Some(session) };
        self.events.push(TalkEvent::ToMember(member.sid.clone(), wire::args(&ended)));
        self.gone.push(member.sid);
    }
}

/// The conversation ends for all.
pub(crate) fn close(outcome: &mut TalkOutcome, channel: &str) {
    if let Some(EncryptedTalk { session, members, .. }) = outcome.talk.take() {
        outcome.is_changed = true;
        for (_, member) in members.0 {
            outcome.end_for(member, channel, &session);
        }
    }
    outcome.invite(channel);
}

/// Those are out who may not take part any more, or have not been heard of for too long.
pub(crate) fn prune(
    outcome: &mut TalkOutcome,
    channel: &str,
    eligible: &BTreeMap<ByteString, ByteString>,
    now_secs: f64,
) {
    let Some(talk) = &outcome.talk else { return };
    let is_stale =
        |member: &TalkMember| member.seen < now_secs - SILENCE_SECS_MAX || !eligible.contains_key(member.user.as_str());
    let stale: Vec<String> =
        talk.members.0.iter().filter(|(_, member)| is_stale(member)).map(|(pid, _)| pid.clone()).collect();
    if !stale.is_empty() {
        remove(outcome, channel, &stale);
    }
}

/// A socket is gone.
pub(crate) fn depart(outcome: &mut TalkOutcome, channel: &str, sid: &str) {
    let Some(talk) = &outcome.talk else { return };
    let place = talk.members.0.iter().find(|(_, member)| member.sid == sid);
    if let Some((participation, _)) = place {
        let participation = participation.clone();
        remove(outcome, channel, &[participation]);
    }
}

/// Without the host there is no conversation. All that are out are so before any of the others hears of it.
fn remove(outcome: &mut TalkOutcome, channel: &str, participations: &[String]) {
    let Some(talk) = outcome.talk.as_mut() else { return };
    if participations.contains(&talk.host) {
        return close(outcome, channel);
    }
    let session = talk.session.clone();
    let removed: Vec<_> = participations.iter().filter_map(|pid| Some((pid, talk.members.remove(pid)?))).collect();
    for (participation, member) in removed {
        let admitted = Some(member.admitted);
        outcome.end_for(member, channel, &session);
        let others = outcome.talk.as_ref().map(|talk| talk.members.admitted()).unwrap_or_default();
        let said =
            SaidToMember { kind: "departed", participation: Some(participation), admitted, ..SaidToMember::default() };
        outcome.tell(&others, &said);
    }
}

/// What a member calls for, after [`prune`]: the ack, or `None` if it is refused, and then nothing has come of it.
pub(crate) fn take_call(
    outcome: &mut TalkOutcome,
    action: TalkAction,
    call: &ConversationCall,
    at: &TalkMoment<'_>,
    rng: &mut Rng,
) -> Option<Args> {
    let name = at.eligible.get(at.user)?;
    match action {
        TalkAction::Status => {
            let (available, session) = match &outcome.talk {
                Some(talk) => (talk.is_open(), Some(&*talk.session)),
                None => (false, None),
            };
            Some(wire::args(&StatusAck { ok: true, available, session }))
        }
        TalkAction::Start => start(outcome, at, name, rng),
        TalkAction::Join => join(outcome, call, at, name, rng),
        TalkAction::Bind | TalkAction::Packet | TalkAction::Leave | TalkAction::Ping => {
            let participation = participation_of(outcome, call, at)?;
            match action {
                TalkAction::Leave => {
                    remove(outcome, at.channel, &[participation]);
                    return Some(wire::args(&DoneAck { ok: true }));
                }
                TalkAction::Bind => bind(outcome, &participation, call, at)?,
                TalkAction::Packet => forward(outcome, &participation, call)?,
                TalkAction::Ping | TalkAction::Start | TalkAction::Status | TalkAction::Join => {}
            }
            let talk = outcome.talk.as_mut()?;
            outcome.is_changed = true;
            talk.members.get_mut(&participation)?.seen = at.now_secs;
            Some(wire::args(&ViewAck { ok: true, view: talk.view(), participation: None }))
        }
    }
}

fn start(outcome: &mut TalkOutcome, at: &TalkMoment<'_>, name: &str, rng: &mut Rng) -> Option<Args> {
    if outcome.talk.is_some() || !may_enter(outcome, at) {
        return None;
    }
    let (host, session) = (uuid(rng), uuid(rng));
    let channel = at.channel.to_owned();
    let members = TalkMembers::default();
    outcome.talk = Some(EncryptedTalk { channel, session, host: host.clone(), members, expires: 0.0 });
    enter(outcome, at, (host, name), true)
}

fn join(
    outcome: &mut TalkOutcome,
    call: &ConversationCall,
    at: &TalkMoment<'_>,
    name: &str,
    rng: &mut Rng,
) -> Option<Args> {
    let talk = outcome.talk.as_ref()?;
    let members = &talk.members.0;
    let may = call.session.as_deref() == Some(&*talk.session)
        && members.len() < MEMBERS_MAX
        && !members.iter().any(|(_, member)| member.user == at.user)
        && talk.is_open();
    (may && may_enter(outcome, at)).then_some(())?;
    enter(outcome, at, (uuid(rng), name), false)
}

/// Whether a socket takes part in nothing. What a node knows of its own sockets may have ended elsewhere.
fn may_enter(outcome: &TalkOutcome, at: &TalkMoment<'_>) -> bool {
    match at.place {
        TalkPlace::Nowhere => true,
        TalkPlace::Here => !outcome.talk.as_ref().is_some_and(|talk| talk.members.has_socket(at.sid)),
        TalkPlace::Elsewhere => false,
    }
}

fn enter(
    outcome: &mut TalkOutcome,
    at: &TalkMoment<'_>,
    (participation, name): (String, &str),
    admitted: bool,
) -> Option<Args> {
    let talk = outcome.talk.as_mut()?;
    let member = TalkMember {
        sid: at.sid.to_owned(),
        user: at.user.to_owned(),
        name: name.to_owned(),
        key: None,
        seen: at.now_secs,
        out: 0,
        admitted,
    };
    talk.members.0.push((participation.clone(), member));
    (outcome.is_changed, outcome.enters) = (true, true);
    Some(wire::args(&ViewAck { ok: true, view: talk.view(), participation: Some(&participation) }))
}

/// The caller's participation, if it is the one that it says, of the session that it says.
fn participation_of(outcome: &TalkOutcome, call: &ConversationCall, at: &TalkMoment<'_>) -> Option<String> {
    let talk = outcome.talk.as_ref()?;
    let participation = call.participation.as_deref()?;
    let member = talk.members.get(participation)?;
    let is_own = at.place == TalkPlace::Here
        && call.session.as_deref() == Some(&*talk.session)
        && member.sid == at.sid
        && member.user == at.user;
    is_own.then(|| participation.to_owned())
}

/// A member says its key, once: the host's opens the conversation, a guest's goes to the host, who decides.
fn bind(outcome: &mut TalkOutcome, participation: &String, call: &ConversationCall, at: &TalkMoment<'_>) -> Option<()> {
    let key = call.key()?.to_owned();
    let talk = outcome.talk.as_mut()?;
    let host = talk.host.clone();
    let packet = if *participation == host { None } else { Some(call.packet()?) };
    let member = talk.members.get_mut(participation).filter(|member| member.key.is_none())?;
    member.key = Some(key);
    match packet {
        Some(_) => {
            let said =
                SaidToMember { kind: "candidate", sender: Some(participation), packet, ..SaidToMember::default() };
            outcome.tell(&[host], &said);
        }
        None => outcome.invite(at.channel),
    }
    Some(())
}

/// A packet for all other members, or for one that the host admits by it.
fn forward(outcome: &mut TalkOutcome, participation: &String, call: &ConversationCall) -> Option<()> {
    let talk = outcome.talk.as_mut()?;
    let sender = talk.members.get(participation)?;
    if sender.key.is_none() || !sender.admitted {
        return None;
    }
    let packet = Some(call.packet()?);
    let others: Vec<String> = talk.members.admitted().into_iter().filter(|pid| pid != participation).collect();
    let message = SaidToMember { kind: "mls", sender: Some(participation), packet, ..SaidToMember::default() };
    match call.kind.as_deref() {
        Some("mls") => outcome.tell(&others, &message),
        Some("admit") if *participation == talk.host => {
            let welcome = Some(call.welcome()?);
            let target = call.target.as_deref()?;
            let joining = talk.members.get_mut(target)?;
            if joining.key.is_none() || joining.admitted {
                return None;
            }
            joining.admitted = true;
            outcome.tell(&others, &message);
            let said = SaidToMember { kind: "welcome", packet: welcome, ..message };
            outcome.tell(&[target.to_owned()], &said);
        }
        Some(_) | None => return None,
    }
    Some(())
}

/// The conversation of a channel cannot be kept up: what a node tells its own members.
pub(crate) fn ended_here(channel: &str) -> Args {
    wire::args(&TalkEnded { kind: "ended", channel, session: None })
}

/// A version 4 UUID (RFC 9562, section 5.4).
fn uuid(rng: &mut Rng) -> String {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
    parts.join("-")
}

/// What is said to a member.
#[derive(Clone, Copy, Default, Serialize)]
struct SaidToMember<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted: Option<bool>,
}

/// `encryption:event` with the conversation as it is.
#[derive(Serialize)]
struct MemberEvent<'a> {
    #[serde(flatten)]
    said: &'a SaidToMember<'a>,
    #[serde(flatten)]
    view: TalkView<'a>,
    sequence: u64,
}

/// `encryption:event` to those who are out.
#[derive(Serialize)]
struct TalkEnded<'a> {
    kind: &'static str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

/// `encryption:available`.
#[derive(Serialize)]
struct Available<'a> {
    channel: &'a str,
    session: Option<&'a str>,
}

/// The ack of `encryption:status`.
#[derive(Serialize)]
struct StatusAck<'a> {
    ok: bool,
    available: bool,
    session: Option<&'a str>,
}

/// The ack of `encryption:leave`.
#[derive(Serialize)]
struct DoneAck {
    ok: bool,
}

/// The ack of the other events.
#[derive(Serialize)]
struct ViewAck<'a> {
    ok: bool,
    #[serde(flatten)]
    view: TalkView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participation: Option<&'a str>,
}

/// Seconds after which a member that was not heard of is out.
const SILENCE_SECS_MAX: f64 = 45.0;
const MEMBERS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_4() {
        let mut rng = Rng::from_seed([7; 32]);
        let (one, two) = (uuid(&mut rng), uuid(&mut rng));
        assert_ne!(one, two);
        for id in [one, two] {
            let parts: Vec<&str> = id.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
            assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
    }
}
