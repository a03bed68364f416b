//! Conversations of encrypted channels.
//!
//! Owns: who may call, what is asked for a call and in which order, and who is told of the result. Must never know:
//! what a member may do in a conversation, or what its packets are.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::OpenWebUi;
use super::guard::no_encryption;
use crate::encryption::{
    ConversationCall, EncryptedTalk, TalkAction, TalkEvent, TalkJob, TalkMoment, TalkOutcome, TalkPhase, close, depart,
    ended_here, prune, take_call,
};
use crate::purpose::Purpose;
use crate::query::{
    ConversationBegun, ConversationChange, EncryptionQuestion, Question, StoreAnswer, StoreError, TalkCharge,
    TalkRation,
};
use crate::requests::To;
use crate::settings::{EncryptedChannels, Release};
use crate::turn::{Outcome, TalkTurn, TurnStep};
use crate::wire;
use roomcast_core::server::{Command, Cx, Delivery, Emit, SocketId};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    /// What a name asks for, if it is of encrypted channels and there are any.
    pub(super) fn encryption_action(&self, name: &str) -> Option<TalkAction> {
        match self.settings.release {
            Release::V0_6 => None,
            Release::V0_12 => TalkAction::named(name),
        }
    }

    /// A member calls. One that takes part has been looked up before, and is again with all others.
    pub(super) fn encryption_call(
        &mut self,
        socket: SocketId,
        action: TalkAction,
        args: &Args,
        cx: &Cx<'_>,
    ) -> Outcome {
        let payload = args.get(0).unwrap_or_default();
        let Some(call) = ConversationCall::parse(payload).filter(|_| self.may_call(socket, cx)) else {
            return Outcome::Done(no_encryption());
        };
        let bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let channel: ByteString = call.channel.clone().unwrap_or_default().into();
        let turn = TalkTurn { action, call, bytes };
        if self.talks.takes_part(socket, &channel) {
            return self.encryption_queued(socket, turn);
        }
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else {
            return Outcome::Done(no_encryption());
        };
        if !self.rations.take(socket, cx.now) {
            return Outcome::Done(no_encryption());
        }
        // Before the conversation is touched: others must not hold up its members.
        Outcome::Ask(Question::EncryptionUsers { channel, users: vec![user] }, TurnStep::EncryptionUser(Box::new(turn)))
    }

    pub(super) fn encryption_user_answered(
        &mut self,
        socket: SocketId,
        turn: TalkTurn,
        result: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match result {
            Ok(StoreAnswer::EncryptionUsers(users)) if users.is_empty() => Outcome::Done(no_encryption()),
            Ok(StoreAnswer::EncryptionUsers(_)) => self.encryption_queued(socket, turn),
            Ok(_) | Err(_) => {
                // It is not known who may take part, and so none of them does.
                let channel = turn.call.channel.unwrap_or_default();
                self.end_talk_here(&channel, cx);
                Outcome::Done(wire::args(&wire::EncryptionRefused::ENDED))
            }
        }
    }

    fn encryption_queued(&mut self, socket: SocketId, TalkTurn { action, call, bytes }: TalkTurn) -> Outcome {
        let channel: ByteString = call.channel.clone().unwrap_or_default().into();
        self.talks.push(&channel, TalkJob::Call { socket, action, call: Box::new(call), bytes });
        Outcome::Wait(TurnStep::Encryption)
    }

    /// Begins what has been queued, which a turn that waits must have been opened for.
    pub(super) fn begin_talks(&mut self, cx: &mut Cx<'_>) {
        while let Some(channel) = self.talks.poll_channel() {
            self.begin_talk(&channel, cx);
        }
    }

    /// A socket is gone.
    pub(super) fn encryption_left(&mut self, socket: SocketId) {
        let Some(sid) = self.sockets.get(socket).map(|record| record.sid.as_str().to_owned()) else { return };
        if let Some(channel) = self.talks.leave(socket) {
            self.talks.push(&channel, TalkJob::Depart(sid));
        }
    }

    /// Looks at the conversations of this node's members, if it is time for that.
    pub(super) fn look_after_talks(&mut self, cx: &Cx<'_>) {
        self.talks.handle_timeout(cx.now);
    }

    /// A process that shares no Redis says that a channel has changed, by which its conversation ends.
    pub(super) fn look_for_ended_talk(&mut self, to: &To, event: &str, data: &str) {
        let To::Room(room) = to else { return };
        if *event != *wire::ENCRYPTION_AVAILABLE || self.settings.release == Release::V0_6 {
            return;
        }
        let Some(channel) = room.strip_prefix(wire::CHANNEL_ROOM) else { return };
        let said: Option<serde_json::Value> = serde_json::from_str(data).ok();
        if said.is_some_and(|said| said.get("session").is_some_and(serde_json::Value::is_null)) {
            self.talks.push(&channel.into(), TalkJob::End);
        }
    }

    /// Whether a socket may call at all.
    fn may_call(&self, socket: SocketId, cx: &Cx<'_>) -> bool {
        let Some(record) = self.sockets.get(socket) else { return false };
        let is_allowed = match self.settings.encrypted_channels {
            EncryptedChannels::Served => true,
            EncryptedChannels::ServedByTls => record.is_secure,
            EncryptedChannels::Refused => false,
        };
        is_allowed && cx.server.is_by_websocket(record.peer)
    }

    fn begin_talk(&mut self, channel: &ByteString, cx: &mut Cx<'_>) {
        loop {
            let Some(job) = self.talks.begin(channel) else { return };
            let charge = match job {
                TalkJob::Call { socket, action, bytes, .. } => {
                    let Some(user) = self.sockets.user_of(*socket).map(|user| user.id.clone()) else {
                        // It is gone, or has no user any more.
                        let socket = *socket;
                        self.talks.take(channel);
                        self.resume_encryption(socket, no_encryption(), cx);
                        continue;
                    };
                    let ration = if action.is_admission() { TalkRation::Admission } else { TalkRation::Traffic };
                    Some(TalkCharge { user, ration, bytes: *bytes })
                }
                TalkJob::Depart(_) | TalkJob::Sweep | TalkJob::End => None,
            };
            return self.ask_talk(channel, EncryptionQuestion::Begin { channel: channel.clone(), charge }, cx);
        }
    }

    /// A question of the job under way was answered, or was not in time.
    pub(super) fn talk_answered(
        &mut self,
        channel: &ByteString,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(under_way) = self.talks.take(channel) else { return };
        let job = under_way.job;
        match (under_way.phase, reply) {
            (TalkPhase::Begin, Ok(StoreAnswer::Conversation(ConversationBegun::OverRation))) => {
                self.answer_talk(&job, no_encryption(), cx);
            }
            (TalkPhase::Begin, Ok(StoreAnswer::Conversation(ConversationBegun::Locked { lock, conversation }))) => {
                match EncryptedTalk::parse(conversation.as_deref(), now_secs(cx)) {
                    Ok(talk) => return self.judge_talk(channel, job, (lock, talk), cx),
                    Err(_) => {
                        let change = ConversationChange::None;
                        let question = EncryptionQuestion::End { channel: channel.clone(), lock, change };
                        self.ask(Question::Encryption(question), Purpose::Told, cx);
                        self.fail_talk(channel, &job, cx);
                    }
                }
            }
            (TalkPhase::Judge { lock, talk }, Ok(StoreAnswer::EncryptionUsers(users))) => {
                let eligible = users.into_iter().map(|user| (user.id, user.name)).collect();
                return self.carry_out_talk(channel, job, (lock, talk), &eligible, cx);
            }
            (TalkPhase::Judge { lock, .. }, _) => {
                let change = ConversationChange::None;
                let question = EncryptionQuestion::End { channel: channel.clone(), lock, change };
                self.ask(Question::Encryption(question), Purpose::Told, cx);
                self.fail_talk(channel, &job, cx);
            }
            (TalkPhase::Store { events, ack }, Ok(StoreAnswer::Done)) => {
                for event in events {
                    self.tell_talk(channel, event, cx);
                }
                if let Some(ack) = ack {
                    self.answer_talk(&job, ack, cx);
                }
            }
            (TalkPhase::Begin | TalkPhase::Store { .. }, _) => self.fail_talk(channel, &job, cx),
        }
        self.begin_talk(channel, cx);
    }

    /// Asks who of the members, and of those who call, may take part.
    fn judge_talk(
        &mut self,
        channel: &ByteString,
        job: TalkJob,
        (lock, talk): (u64, Option<EncryptedTalk>),
        cx: &mut Cx<'_>,
    ) {
        let members = talk.iter().flat_map(|talk| &talk.members.0).map(|(_, member)| member.user.as_str().into());
        let mut users: BTreeSet<ByteString> = members.collect();
        if let TalkJob::Call { socket, .. } = &job {
            users.extend(self.user_of(*socket).map(|user| user.id.clone()));
        }
        self.talks.go_on(channel, job, TalkPhase::Judge { lock, talk });
        let question = Question::EncryptionUsers { channel: channel.clone(), users: users.into_iter().collect() };
        self.ask(question, Purpose::Talk { channel: channel.clone() }, cx);
    }

    /// Does what the job is, and stores the result.
    fn carry_out_talk(
        &mut self,
        channel: &ByteString,
        job: TalkJob,
        (lock, talk): (u64, Option<EncryptedTalk>),
        eligible: &BTreeMap<ByteString, ByteString>,
        cx: &mut Cx<'_>,
    ) {
        let now_secs = now_secs(cx);
        let mut outcome = TalkOutcome::of(talk);
        let mut ack = None;
        match &job {
            TalkJob::End => close(&mut outcome, channel),
            TalkJob::Depart(sid) => depart(&mut outcome, channel, sid),
            TalkJob::Sweep if outcome.talk.is_none() => self.end_talk_here(channel, cx),
            TalkJob::Sweep => prune(&mut outcome, channel, eligible, now_secs),
            TalkJob::Call { socket, action, call, .. } => {
                prune(&mut outcome, channel, eligible, now_secs);
                let sid = self.sockets.get(*socket).map(|record| record.sid);
                // One that is gone by now gets no place.
                if let Some((sid, user)) = sid.zip(self.user_of(*socket).map(|user| user.id.clone())) {
                    let place = self.talks.place(*socket, channel);
                    let at = TalkMoment { channel, sid: sid.as_str(), user: &user, eligible, now_secs, place };
                    let done = take_call(&mut outcome, *action, call, &at, &mut self.talk_rng);
                    ack = Some(done.unwrap_or_else(no_encryption));
                    if outcome.enters {
                        self.talks.enter(*socket, channel, cx.now);
                    }
                }
            }
        }
        for sid in &outcome.gone {
            if let Some(socket) = cx.server.socket(&self.settings.scope, sid) {
                self.talks.leave(socket);
            }
        }
        let TalkOutcome { talk, is_changed, events, .. } = outcome;
        let change = match (is_changed, talk) {
            (false, _) => ConversationChange::None,
            (true, Some(talk)) => ConversationChange::Put(talk.stored(now_secs).into()),
            (true, None) => ConversationChange::Remove,
        };
        self.talks.go_on(channel, job, TalkPhase::Store { events, ack });
        self.ask_talk(channel, EncryptionQuestion::End { channel: channel.clone(), lock, change }, cx);
    }

    /// What keeps conversations has failed: members must not go on as if it had not.
    fn fail_talk(&mut self, channel: &ByteString, job: &TalkJob, cx: &mut Cx<'_>) {
        self.end_talk_here(channel, cx);
        self.answer_talk(job, wire::args(&wire::EncryptionRefused::ENDED), cx);
    }

    /// Tells the members on this node that the conversation has ended.
    fn end_talk_here(&mut self, channel: &str, cx: &mut Cx<'_>) {
        for socket in self.talks.leave_all(channel) {
            let target = roomcast_core::server::Target::Socket(socket);
            let (name, args) = (wire::ENCRYPTION_EVENT, ended_here(channel));
            cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
        }
    }

    fn answer_talk(&mut self, job: &TalkJob, ack: Args, cx: &mut Cx<'_>) {
        match job {
            TalkJob::Call { socket, .. } => self.resume_encryption(*socket, ack, cx),
            TalkJob::Depart(_) | TalkJob::Sweep | TalkJob::End => {}
        }
    }

    fn tell_talk(&self, channel: &str, event: TalkEvent, cx: &mut Cx<'_>) {
        match event {
            TalkEvent::ToMember(sid, args) => {
                let name = wire::ENCRYPTION_EVENT;
                if let Some(target) = self.target(&To::Socket(sid.into()), &[], cx) {
                    cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
                }
            }
            TalkEvent::ToChannel(args) => {
                self.emit_to_room(wire::channel_room(channel), wire::ENCRYPTION_AVAILABLE, args, cx);
            }
        }
    }

    fn ask_talk(&mut self, channel: &ByteString, question: EncryptionQuestion, cx: &Cx<'_>) {
        self.ask(Question::Encryption(question), Purpose::Talk { channel: channel.clone() }, cx);
    }
}

fn now_secs(cx: &Cx<'_>) -> f64 {
    std::time::Duration::from_millis(cx.server.wall().as_unix_millis()).as_secs_f64()
}
