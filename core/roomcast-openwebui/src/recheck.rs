//! Whether what stands still may: sessions, and the rooms that they gave.
//!
//! Owns: asking the store again, every so often and when told that something changed. Must never know: how a socket got
//! its session.

use std::time::Duration;

use bytestring::ByteString;

use super::access::{self, Access};
use super::queries::Purpose;
use super::query::{Chat, Note, Question, StoreError, User};
use super::sessions::{ChannelRead, Channels, ChatAccess, PersonId, Token};
use super::turn::ask_user;
use super::{LogoutReason, OpenWebUi, wire};
use roomcast_core::server::{Command, Cx, SocketId, Target};

/// When something is looked at again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    /// After the interval.
    InTurn,
    /// The store has not answered.
    Soon,
}

impl OpenWebUi {
    /// Asks the store about a session, or about a token whose user it could not name, unless the token has ended.
    pub(super) fn recheck(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let wall = cx.server.wall();
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let standing = record.login.as_ref().map(|login| (login.token.clone(), login.epoch));
        let wanted = record.wanted.as_ref().map(|wanted| (wanted.token.clone(), wanted.epoch));
        // One that is wanted was asked for later than the one that stands.
        let Some((token, epoch)) = wanted.or(standing) else { return };
        if token.has_ended(wall) {
            if record.wanted.take().is_some() && record.login.is_some() {
                return self.recheck(socket, cx);
            }
            return self.withdraw(socket, LogoutReason::Token, cx);
        }
        self.ask(ask_user(&token), Purpose::Recheck { socket, epoch }, cx);
        // Until then nothing is due: the answer, or the deadline, arms the next.
        if let Some(record) = self.sockets.get_mut(socket)
            && let Some(timer) = record.recheck.take()
        {
            self.rechecks.cancel(timer);
        }
    }

    /// The store said whose token it is.
    pub(super) fn rechecked(
        &mut self,
        socket: SocketId,
        epoch: u64,
        found: Result<Option<User>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        if let Some(wanted) = record.wanted.take_if(|wanted| wanted.epoch == epoch) {
            return match found {
                Ok(Some(user)) => {
                    let peer = record.peer;
                    self.log_in(socket, wanted.token, user, wanted.channels, cx);
                    self.recheck_rooms(socket, cx);
                    self.drain(peer, socket, cx);
                }
                Ok(None) => {
                    self.doubt(socket, &wanted.token.user, cx);
                    self.arm_recheck(socket, Again::InTurn, cx);
                }
                Err(_) => {
                    record.wanted = Some(wanted);
                    self.arm_recheck(socket, Again::Soon, cx);
                }
            };
        }
        let Some(login) = record.login.as_ref().filter(|login| login.epoch == epoch) else { return };
        let person = login.person;
        match found {
            Ok(Some(user)) => {
                if let Some(person) = self.people.get_mut(person) {
                    person.user = user;
                }
                self.arm_recheck(socket, Again::InTurn, cx);
                self.recheck_rooms(socket, cx);
            }
            Ok(None) => self.withdraw(socket, LogoutReason::Revoked, cx),
            Err(_) => self.arm_recheck(socket, Again::Soon, cx),
        }
    }

    /// Asks about the rooms of a session.
    fn recheck_rooms(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get(socket) else { return };
        let Some(login) = record.login.as_ref() else { return };
        let (person, epoch) = (login.person, login.epoch);
        let chats: Vec<ByteString> = record.chats.keys().cloned().collect();
        let notes: Vec<ByteString> =
            cx.server.rooms(socket).filter_map(|room| room.strip_prefix(wire::NOTE_ROOM)).map(Into::into).collect();
        match login.channels {
            Channels::Wanted => self.read_channels(person, cx),
            Channels::Unasked => {}
        }
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return };
        for note in notes {
            let question = Question::Note { note: note.clone(), user: user.clone() };
            self.ask(question, Purpose::NoteRoom { socket, epoch, note }, cx);
        }
        for chat in chats {
            let question = Question::Chat { chat: chat.clone() };
            self.ask(question, Purpose::ChatRoom { socket, epoch, chat }, cx);
        }
        self.recheck_documents(socket, cx);
    }

    /// What a session may still do with a note, whose room it leaves if that is nothing. If the store does not answer,
    /// it stays until the next time.
    pub(super) fn note_rechecked(
        &mut self,
        (socket, epoch): (SocketId, u64),
        note: &str,
        found: &Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(user) = self.user_at(socket, epoch) else { return };
        let may_stay = match found {
            Ok(Some(note)) => access::may(user, note, Access::Read),
            Ok(None) => false,
            Err(_) => true,
        };
        if !may_stay {
            cx.command(Command::Leave { target: Target::Socket(socket), room: wire::note_room(note) });
        }
    }

    /// The same with a chat.
    pub(super) fn chat_rechecked(
        &mut self,
        (socket, epoch): (SocketId, u64),
        chat: &ByteString,
        found: &Result<Option<Chat>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(user) = self.user_at(socket, epoch) else { return };
        let access = match found {
            Ok(found) => self.chat_access(user, found.as_ref()),
            Err(_) => return,
        };
        let Some(record) = self.sockets.get_mut(socket) else { return };
        match access {
            Some(access) => {
                if let Some(known) = record.chats.get_mut(chat) {
                    *known = access;
                }
            }
            None => self.leave_chat(socket, chat, cx),
        }
    }

    /// Reads a person's channels, to put the sockets into the right rooms. If the question is open, it is asked again:
    /// the answer may be older than what happened.
    pub(super) fn read_channels(&mut self, id: PersonId, cx: &mut Cx<'_>) {
        let Some(person) = self.people.get_mut(id) else { return };
        match person.channels {
            ChannelRead::Asked(query) => {
                person.channels = ChannelRead::Stale(query);
                return;
            }
            ChannelRead::Stale(_) => return,
            ChannelRead::Retry(timer) => {
                self.channel_retries.cancel(timer);
            }
            ChannelRead::Idle => {}
        }
        let user = person.user.id.clone();
        let query = self.ask(Question::Channels { users: vec![user] }, Purpose::Channels(id), cx);
        if let Some(person) = self.people.get_mut(id) {
            person.channels = ChannelRead::Asked(query);
        }
    }

    /// A person's channels were read.
    pub(super) fn channels_read(&mut self, id: PersonId, found: Result<Vec<ByteString>, StoreError>, cx: &mut Cx<'_>) {
        let Some(person) = self.people.get_mut(id) else { return };
        let is_stale = matches!(person.channels, ChannelRead::Stale(_));
        person.channels = ChannelRead::Idle;
        let sockets = person.sockets.clone();
        match found {
            _ if is_stale => self.read_channels(id, cx),
            Ok(channels) => {
                for socket in sockets {
                    self.put_into_channels(socket, &channels, cx);
                }
            }
            Err(_) => self.retry_channels(id, cx),
        }
    }

    /// Reads a person's channels a little later.
    pub(super) fn retry_channels(&mut self, id: PersonId, cx: &Cx<'_>) {
        let Some(person) = self.people.get_mut(id) else { return };
        match person.channels {
            ChannelRead::Idle => {
                let timer = self.channel_retries.arm(cx.now + self.settings.recheck_retry, id);
                person.channels = ChannelRead::Retry(timer);
            }
            ChannelRead::Asked(_) | ChannelRead::Stale(_) | ChannelRead::Retry(_) => {}
        }
    }

    /// The time to read a person's channels again has come.
    pub(super) fn channels_due(&mut self, id: PersonId, cx: &mut Cx<'_>) {
        if let Some(person) = self.people.get_mut(id) {
            person.channels = ChannelRead::Idle;
            self.read_channels(id, cx);
        }
    }

    /// A person has gone.
    pub(super) fn forget_channel_read(&mut self, reading: ChannelRead) {
        match reading {
            ChannelRead::Idle => {}
            ChannelRead::Asked(query) | ChannelRead::Stale(query) => {
                self.queries.answered(query);
            }
            ChannelRead::Retry(timer) => {
                self.channel_retries.cancel(timer);
            }
        }
    }

    /// Something about a user has changed: whether there is one, the role, what it may do, its tokens.
    pub(super) fn refresh(&mut self, user: &str, cx: &mut Cx<'_>) -> usize {
        let person = self.people.of_user(user).and_then(|id| self.people.get(id));
        let sockets = person.map(|person| person.sockets.clone()).unwrap_or_default();
        for socket in &sockets {
            self.recheck(*socket, cx);
        }
        sockets.len() + self.doubt_turns(|token| &*token.user == user) + self.refresh_peers(user, cx)
    }

    /// Something about a token has changed.
    pub(super) fn refresh_token(&mut self, jti: &str, cx: &mut Cx<'_>) -> usize {
        let is_of = |token: &Token| token.jti.as_deref() == Some(jti);
        let sockets: Vec<SocketId> = self
            .sockets
            .iter()
            .filter(|record| {
                record.login.as_ref().is_some_and(|login| is_of(&login.token))
                    || record.wanted.as_ref().is_some_and(|wanted| is_of(&wanted.token))
            })
            .map(|record| record.socket)
            .collect();
        for socket in &sockets {
            self.recheck(*socket, cx);
        }
        sockets.len() + self.doubt_turns(is_of) + self.refresh_peers_by_token(jti, cx)
    }

    /// Sockets whose session is about to begin by such a token: what the store answers may be old.
    fn doubt_turns(&mut self, is_of: impl Fn(&Token) -> bool) -> usize {
        let turns = self.sockets.iter_mut().filter_map(|record| record.turn.as_mut());
        let doubtful = turns.filter(|turn| turn.token().is_some_and(&is_of));
        doubtful.map(|turn| turn.doubt()).count()
    }

    /// When a session is looked at again.
    pub(super) fn arm_recheck(&mut self, socket: SocketId, again: Again, cx: &Cx<'_>) {
        let after = match again {
            Again::InTurn => self.spread_recheck(),
            Again::Soon => self.settings.recheck_retry,
        };
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let is_due = record.login.is_some() || record.wanted.is_some();
        let timer = is_due.then(|| self.rechecks.arm(cx.now + after, socket));
        if let Some(timer) = std::mem::replace(&mut record.recheck, timer) {
            self.rechecks.cancel(timer);
        }
    }

    /// Clients that came all at once do not ask all at once.
    pub(super) fn spread_recheck(&mut self) -> Duration {
        let interval = self.settings.recheck_interval;
        let quarter = u64::try_from((interval / 4).as_nanos()).unwrap_or(u64::MAX);
        interval.saturating_sub(Duration::from_nanos(self.rng.below(quarter)))
    }

    /// What a user may do in a chat's room.
    pub(super) fn chat_access(&self, user: &User, chat: Option<&Chat>) -> Option<ChatAccess> {
        let chat = chat?;
        if chat.owner == user.id {
            return Some(ChatAccess::Write);
        }
        let is_admin = &*user.role == "admin";
        match self.settings.admin_chats {
            super::AdminChats::Readable => is_admin.then_some(ChatAccess::Read),
            super::AdminChats::Closed => None,
        }
    }

    fn user_at(&self, socket: SocketId, epoch: u64) -> Option<&User> {
        let login = self.sockets.get(socket)?.login.as_ref()?;
        if login.epoch != epoch {
            return None;
        }
        self.people.get(login.person).map(|person| &person.user)
    }
}
