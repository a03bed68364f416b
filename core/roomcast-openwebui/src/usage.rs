//! Heartbeats, models in use, and who is active.
//!
//! Owns: what is true for a while after an event and then no longer. Must never know: what it is good for.

use bytestring::ByteString;

use super::sessions::{Activity, PersonId};
use super::turn::Outcome;
use super::writes::Row;
use super::{Notice, OpenWebUi, id, wire};
use roomcast_core::server::{Cx, SocketId};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    /// The front end's every 30 s, for each connection: the user's row is written less often than that.
    pub(super) fn heartbeat(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Outcome {
        if let Some(user) = self.user_of(socket).map(|user| user.id.clone()) {
            let at_secs = cx.server.wall().as_unix_secs();
            self.writes.put_time(Row::User(user), at_secs, &mut self.queries, &self.settings, cx.now);
        }
        Outcome::nothing()
    }

    /// A model is in use by this session for the next 3 s.
    pub(super) fn usage(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let Ok(payload) = args.parse::<wire::Usage>() else { return Outcome::nothing() };
        let Some(model) = id(payload.model, &self.settings.limits) else { return Outcome::nothing() };
        let Some(record) = self.sockets.get_mut(socket).filter(|record| record.login.is_some()) else {
            return Outcome::nothing();
        };
        let is_known = record.usage.contains_key(&model);
        if !is_known && record.usage.len() >= self.settings.limits.models_per_socket_max {
            return Outcome::nothing();
        }
        let timer = self.usages.arm(cx.now + self.settings.usage_expiry, (socket, model.clone()));
        match record.usage.insert(model.clone(), timer) {
            Some(before) => {
                self.usages.cancel(before);
            }
            None => *self.models.entry(model).or_default() += 1,
        }
        Outcome::nothing()
    }

    /// A model has not been used for its time.
    pub(super) fn usage_due(&mut self, socket: SocketId, model: &ByteString) {
        if let Some(record) = self.sockets.get_mut(socket)
            && record.usage.remove(model).is_some()
        {
            self.model_left(model);
        }
    }

    /// A session ends, and with it what it used.
    pub(super) fn end_usage(&mut self, socket: SocketId) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        for (model, timer) in std::mem::take(&mut record.usage) {
            self.usages.cancel(timer);
            self.model_left(&model);
        }
    }

    /// The time after which a session may be idle has passed since it was last looked at.
    pub(super) fn idle_due(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let idle_after = self.settings.idle_after;
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let Some(login) = record.login.as_mut() else { return };
        if login.last_seen + idle_after > cx.now {
            login.idle_timer = self.idles.arm(login.last_seen + idle_after, socket);
            return;
        }
        if login.activity == Activity::Idle {
            return;
        }
        login.activity = Activity::Idle;
        let person = login.person;
        let chats: Vec<ByteString> = record.chats.keys().cloned().collect();
        self.became_idle(person);
        for chat in chats {
            self.publish_presence(&chat, cx);
        }
    }

    /// An idle session has been heard of.
    pub(super) fn wake(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let deadline = cx.now + self.settings.idle_after;
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let Some(login) = record.login.as_mut() else { return };
        login.activity = Activity::Active;
        login.idle_timer = self.idles.arm(deadline, socket);
        let person = login.person;
        let chats: Vec<ByteString> = record.chats.keys().cloned().collect();
        self.became_active(person);
        for chat in chats {
            self.publish_presence(&chat, cx);
        }
    }

    pub(super) fn became_active(&mut self, person: PersonId) {
        let Some(person) = self.people.get_mut(person) else { return };
        person.active += 1;
        if person.active == 1 {
            let user = person.user.id.clone();
            self.notice(Notice::UserActive { user });
        }
    }

    pub(super) fn became_idle(&mut self, person: PersonId) {
        let Some(person) = self.people.get_mut(person) else { return };
        person.active = person.active.saturating_sub(1);
        if person.active == 0 {
            let user = person.user.id.clone();
            self.notice(Notice::UserIdle { user });
        }
    }

    fn model_left(&mut self, model: &ByteString) {
        if let Some(count) = self.models.get_mut(model) {
            *count -= 1;
            if *count == 0 {
                self.models.remove(model);
            }
        }
    }
}
