//! The sockets of the application, their logins, and the users behind them.
//!
//! Owns: which socket is whose, until when, and when that is checked again. Must never know: rooms, how a token is
//! verified, or what a login is good for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytestring::ByteString;

use super::by_socket::BySocket;
use super::documents::Parked;
use super::query::User;
use super::settings::Settings;
use super::token::TokenClaims;
use super::writes::WriteId;
use roomcast_core::rng::{KeyedHash, KeyedMap, Rng};
use roomcast_core::server::{SessionId, Sid, SocketId};
use roomcast_core::slab::Slab;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::timer::{TimerKey, Timers};
use roomcast_documents::DocumentId;

roomcast_core::slab_key! {
    /// A user with at least one login.
    pub struct PersonId;
}

/// All sockets. A login ends with its token, and is checked every so often.
#[derive(Debug)]
pub(crate) struct Sockets {
    recheck_interval: Duration,
    recheck_retry: Duration,
    confirm_span: Duration,
    rng: Rng,
    records: BySocket<SocketRecord>,
    people: Slab<PersonId, Person>,
    by_user: KeyedMap<ByteString, PersonId>,
    logins: usize,
    /// Grows with each login: tells an answer about an earlier one.
    epoch: u64,
    expiries: Timers<SocketId>,
    rechecks: Timers<SocketId>,
}

/// What a check of a login begins with.
#[derive(Debug)]
pub(crate) enum Check {
    /// There is nothing to check.
    Nothing,
    /// Ask for the token's user; the answer is [`Sockets::handle_checked`]'s.
    Ask(TokenClaims, u64),
    /// The token of the login has ended.
    Ended,
}

/// Whether what a login may do has to be asked for again before an event.
#[derive(Debug)]
pub(crate) enum LoginTrust {
    /// There is no login.
    NoLogin,
    /// It was found good not long ago.
    Stands,
    /// Ask for the token's user; the answer is [`Sockets::handle_confirmed`]'s.
    Due(TokenClaims, u64),
}

/// What a check of a login found.
#[derive(Debug)]
pub(crate) enum Checked {
    /// The login is another one by now, or there is none.
    Stale,
    /// The user of a token that could not be looked up before: it may log in now.
    LogsIn(WantedLogin, User),
    /// The token that could not be looked up before is refused.
    NotWanted(WantedLogin),
    /// The login stands, and its user is as the store has it now.
    Stands,
    /// The login no longer stands.
    Refused,
    /// The store did not answer; it is asked again soon.
    Unknown,
}

impl Sockets {
    pub(crate) fn new(settings: &Settings, rng: Rng, hash: KeyedHash) -> Self {
        Self {
            recheck_interval: settings.recheck_interval,
            recheck_retry: settings.recheck_retry,
            confirm_span: settings.confirm_span,
            rng,
            records: BySocket::default(),
            people: Slab::new(),
            by_user: KeyedMap::with_hasher(hash),
            logins: 0,
            epoch: 0,
            expiries: Timers::new(),
            rechecks: Timers::new(),
        }
    }

    pub(crate) fn insert(&mut self, record: SocketRecord) {
        self.records.insert(record.socket, record);
    }

    /// Removes a socket, whose login has ended.
    pub(crate) fn remove(&mut self, socket: SocketId) -> Option<SocketRecord> {
        let record = self.records.remove(socket)?;
        debug_assert!(record.login.is_none(), "a login ends before its socket");
        if let Some(timer) = record.recheck {
            self.rechecks.cancel(timer);
        }
        Some(record)
    }

    /// Begins a login, or goes on with one of the same user by a newer token. `true`: it began.
    pub(crate) fn log_in(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        user: User,
        channels: ChannelRooms,
        (wall, now): (WallTime, Instant),
    ) -> bool {
        let Some(record) = self.records.get_mut(socket) else { return false };
        self.epoch += 1;
        let epoch = self.epoch;
        let expiry_timer = token.expires.map(|expires| self.expiries.arm(moment(expires, wall, now), socket));
        record.wanted = None;
        let person = enter(&mut self.people, &mut self.by_user, user, socket);
        let begins = match record.login.as_mut() {
            Some(login) => {
                if let Some(timer) = std::mem::replace(&mut login.expiry_timer, expiry_timer) {
                    self.expiries.cancel(timer);
                }
                login.token = token;
                login.epoch = epoch;
                login.trusted_until = Some(now + self.confirm_span);
                match channels {
                    ChannelRooms::Wanted => login.channels = ChannelRooms::Wanted,
                    ChannelRooms::Unasked => {}
                }
                false
            }
            None => {
                let trusted_until = Some(now + self.confirm_span);
                record.login = Some(Login { person, token, epoch, channels, expiry_timer, trusted_until });
                self.logins += 1;
                true
            }
        };
        self.arm_check(socket, Again::InTurn, now);
        begins
    }

    /// Ends a login. Its user, and whether it was the user's last.
    pub(crate) fn log_out(&mut self, socket: SocketId) -> Option<(User, Last)> {
        let record = self.records.get_mut(socket)?;
        // A newer token may still be waiting for its answer.
        if record.wanted.is_none()
            && let Some(timer) = record.recheck.take()
        {
            self.rechecks.cancel(timer);
        }
        let login = record.login.take()?;
        self.logins -= 1;
        if let Some(timer) = login.expiry_timer {
            self.expiries.cancel(timer);
        }
        let person = self.people.get_mut(login.person)?;
        person.sockets.retain(|other| *other != socket);
        if !person.sockets.is_empty() {
            return Some((person.user.clone(), Last::No));
        }
        let person = self.people.remove(login.person)?;
        self.by_user.remove(&person.user.id);
        Some((person.user, Last::Yes))
    }

    /// A verified token whose user could not be looked up: it is tried again.
    pub(crate) fn want(&mut self, socket: SocketId, token: TokenClaims, channels: ChannelRooms, now: Instant) {
        let Some(record) = self.records.get_mut(socket) else { return };
        self.epoch += 1;
        record.wanted = Some(WantedLogin { token, channels, epoch: self.epoch });
        self.arm_check(socket, Again::Soon, now);
    }

    /// Begins a check of a login, or of a token whose user could not be looked up.
    pub(crate) fn check(&mut self, socket: SocketId, wall: WallTime) -> Check {
        let Some(record) = self.records.get_mut(socket) else { return Check::Nothing };
        // One that is wanted was asked for later than the one that stands.
        if record.wanted.as_ref().is_some_and(|wanted| wanted.token.has_ended(wall)) {
            record.wanted = None;
        }
        let standing = record.login.as_ref().map(|login| (&login.token, login.epoch));
        let wanted = record.wanted.as_ref().map(|wanted| (&wanted.token, wanted.epoch));
        let Some((token, epoch)) = wanted.or(standing) else { return Check::Nothing };
        if token.has_ended(wall) {
            return Check::Ended;
        }
        let token = token.clone();
        // Until then nothing is due: the answer, or the deadline, arms the next.
        if let Some(timer) = record.recheck.take() {
            self.rechecks.cancel(timer);
        }
        Check::Ask(token, epoch)
    }

    /// The store said whose token it is that was checked.
    pub(crate) fn handle_checked<E>(
        &mut self,
        socket: SocketId,
        epoch: u64,
        found: Result<Option<User>, E>,
        now: Instant,
    ) -> Checked {
        let Some(record) = self.records.get_mut(socket) else { return Checked::Stale };
        if let Some(wanted) = record.wanted.take_if(|wanted| wanted.epoch == epoch) {
            return match found {
                Ok(Some(user)) => Checked::LogsIn(wanted, user),
                Ok(None) => {
                    self.arm_check(socket, Again::InTurn, now);
                    Checked::NotWanted(wanted)
                }
                Err(_) => {
                    record.wanted = Some(wanted);
                    self.arm_check(socket, Again::Soon, now);
                    Checked::Unknown
                }
            };
        }
        let Some(login) = record.login.as_mut().filter(|login| login.epoch == epoch) else { return Checked::Stale };
        let person = login.person;
        match found {
            Ok(Some(user)) => {
                login.trusted_until = Some(now + self.confirm_span);
                if let Some(person) = self.people.get_mut(person) {
                    person.user = user;
                }
                self.arm_check(socket, Again::InTurn, now);
                Checked::Stands
            }
            Ok(None) => Checked::Refused,
            Err(_) => {
                self.arm_check(socket, Again::Soon, now);
                Checked::Unknown
            }
        }
    }

    /// Whether a login is to be asked about before an event.
    pub(crate) fn trust(&self, socket: SocketId, now: Instant) -> LoginTrust {
        let Some(login) = self.records.get(socket).and_then(|record| record.login.as_ref()) else {
            return LoginTrust::NoLogin;
        };
        match login.trusted_until {
            Some(until) if now < until => LoginTrust::Stands,
            Some(_) | None => LoginTrust::Due(login.token.clone(), login.epoch),
        }
    }

    /// Something about a login may have changed: it is asked about before its next event.
    pub(crate) fn distrust(&mut self, socket: SocketId) {
        if let Some(login) = self.records.get_mut(socket).and_then(|record| record.login.as_mut()) {
            login.trusted_until = None;
        }
    }

    /// The store said whose token it is that was asked about before an event. The checks by time go on as they were.
    pub(crate) fn handle_confirmed<E>(
        &mut self,
        socket: SocketId,
        epoch: u64,
        found: Result<Option<User>, E>,
        now: Instant,
    ) -> Checked {
        let login = self.records.get_mut(socket).and_then(|record| record.login.as_mut());
        let Some(login) = login.filter(|login| login.epoch == epoch) else { return Checked::Stale };
        match found {
            Ok(Some(user)) => {
                login.trusted_until = Some(now + self.confirm_span);
                if let Some(person) = self.people.get_mut(login.person) {
                    person.user = user;
                }
                Checked::Stands
            }
            Ok(None) => Checked::Refused,
            Err(_) => {
                login.trusted_until = Some(now + self.recheck_retry);
                Checked::Unknown
            }
        }
    }

    /// The next login whose token has ended. One whose end moved with the calendar is armed again.
    pub(crate) fn pop_expired(&mut self, wall: WallTime, now: Instant) -> Option<SocketId> {
        while let Some(socket) = self.expiries.pop_due(now) {
            let Some(login) = self.records.get_mut(socket).and_then(|record| record.login.as_mut()) else { continue };
            login.expiry_timer = None;
            if login.token.has_ended(wall) {
                return Some(socket);
            }
            if let Some(expires) = login.token.expires {
                login.expiry_timer = Some(self.expiries.arm(moment(expires, wall, now), socket));
            }
        }
        None
    }

    /// The next login to be checked.
    pub(crate) fn pop_check(&mut self, now: Instant) -> Option<SocketId> {
        self.rechecks.pop_due(now)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.expiries.next_deadline().into_iter().chain(self.rechecks.next_deadline()).min()
    }

    pub(crate) fn get(&self, socket: SocketId) -> Option<&SocketRecord> {
        self.records.get(socket)
    }

    pub(crate) fn get_mut(&mut self, socket: SocketId) -> Option<&mut SocketRecord> {
        self.records.get_mut(socket)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SocketRecord> {
        self.records.iter().map(|(_, record)| record)
    }

    /// The user of a socket's login.
    pub(crate) fn user_of(&self, socket: SocketId) -> Option<&User> {
        let login = self.records.get(socket)?.login.as_ref()?;
        self.people.get(login.person).map(|person| &person.user)
    }

    /// The same, if the login is still the one of this epoch.
    pub(crate) fn user_at(&self, socket: SocketId, epoch: u64) -> Option<&User> {
        let login = self.records.get(socket)?.login.as_ref()?;
        self.user_of(socket).filter(|_| login.epoch == epoch)
    }

    /// The token that was asked about at this epoch: that of the login, or of one that could not be looked up.
    pub(crate) fn token_at(&self, socket: SocketId, epoch: u64) -> Option<TokenClaims> {
        let record = self.records.get(socket)?;
        let wanted = record.wanted.as_ref().filter(|wanted| wanted.epoch == epoch).map(|wanted| &wanted.token);
        let standing = record.login.as_ref().filter(|login| login.epoch == epoch).map(|login| &login.token);
        wanted.or(standing).cloned()
    }

    /// The sockets on which a user is logged in, in the order of the logins.
    pub(crate) fn sockets_of(&self, user: &str) -> &[SocketId] {
        let person = self.by_user.get(user).and_then(|id| self.people.get(*id));
        person.map_or(&[], |person| &person.sockets)
    }

    /// Sockets, logged in or not.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn logins(&self) -> usize {
        self.logins
    }

    /// Users with at least one login.
    pub(crate) fn users(&self) -> usize {
        self.people.len()
    }

    pub(crate) fn armed(&self) -> usize {
        self.expiries.len() + self.rechecks.len()
    }

    /// An interval of checks. Logins that began all at once are not checked all at once.
    pub(crate) fn spread_interval(&mut self) -> Duration {
        let interval = self.recheck_interval;
        let quarter = u64::try_from((interval / 4).as_nanos()).unwrap_or(u64::MAX);
        interval.saturating_sub(Duration::from_nanos(self.rng.below(quarter)))
    }

    /// Arms the next check of a login.
    fn arm_check(&mut self, socket: SocketId, again: Again, now: Instant) {
        let after = match again {
            Again::InTurn => self.spread_interval(),
            Again::Soon => self.recheck_retry,
        };
        let Some(record) = self.records.get_mut(socket) else { return };
        let is_due = record.login.is_some() || record.wanted.is_some();
        let timer = is_due.then(|| self.rechecks.arm(now + after, socket));
        if let Some(timer) = std::mem::replace(&mut record.recheck, timer) {
            self.rechecks.cancel(timer);
        }
    }
}

/// When something is checked again.
#[derive(Clone, Copy, Debug)]
enum Again {
    /// After the interval.
    InTurn,
    /// The store has not answered.
    Soon,
}

/// Whether a login was its user's last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    No,
    Yes,
}

/// A socket of the application and what it has.
#[derive(Debug)]
pub(crate) struct SocketRecord {
    pub(crate) socket: SocketId,
    pub(crate) peer: SessionId,
    pub(crate) sid: Sid,
    pub(crate) stage: Stage,
    pub(crate) login: Option<Login>,
    /// A good token whose user could not be looked up, to be tried again.
    wanted: Option<WantedLogin>,
    /// When to check `login` or `wanted`.
    recheck: Option<TimerKey>,
    /// Chats whose rooms it is in.
    pub(crate) chats: BTreeMap<ByteString, ChatAccess>,
    /// Rows that it has had written lately.
    pub(crate) reads: Vec<WriteId>,
    /// Documents that it is in.
    pub(crate) documents: Vec<DocumentId>,
    /// Joins of documents that came before its login.
    pub(crate) parked: VecDeque<Parked>,
    /// The profile that other processes were last told of its user.
    pub(crate) shared: Option<ByteString>,
    /// Whether its request has come by TLS.
    pub(crate) is_secure: bool,
}

impl SocketRecord {
    pub(crate) fn new(socket: SocketId, peer: SessionId, sid: Sid, stage: Stage) -> Self {
        Self {
            socket,
            peer,
            sid,
            stage,
            login: None,
            wanted: None,
            recheck: None,
            chats: BTreeMap::new(),
            reads: Vec::new(),
            documents: Vec::new(),
            parked: VecDeque::new(),
            shared: None,
            is_secure: false,
        }
    }

    /// Whether the login, or the token that is to give one, is such a one.
    pub(crate) fn has_token(&self, is_such: impl Fn(&TokenClaims) -> bool) -> bool {
        self.login.as_ref().is_some_and(|login| is_such(&login.token))
            || self.wanted.as_ref().is_some_and(|wanted| is_such(&wanted.token))
    }
}

/// Whether a socket is in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It asks to be.
    Asking,
    /// It has been let in.
    In,
}

/// What a socket may do in a chat's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChatAccess {
    /// It gets what is told to the room.
    Read,
    /// It may type as well: the chat is the user's own.
    Write,
}

/// A socket whose user is known.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) person: PersonId,
    pub(crate) token: TokenClaims,
    /// Tells this login from others of the same socket.
    pub(crate) epoch: u64,
    pub(crate) channels: ChannelRooms,
    /// When the token ends, if it does.
    expiry_timer: Option<TimerKey>,
    /// Until when it need not be asked about before an event. `None`: something may have changed.
    trusted_until: Option<Instant>,
}

/// Whether a socket is in the rooms of its user's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelRooms {
    /// It has asked to be.
    Wanted,
    /// A CONNECT alone does not ask for it.
    Unasked,
}

/// A login that the store could not answer.
#[derive(Debug)]
pub(crate) struct WantedLogin {
    pub(crate) token: TokenClaims,
    pub(crate) channels: ChannelRooms,
    epoch: u64,
}

/// A user with at least one login.
#[derive(Debug)]
struct Person {
    user: User,
    sockets: Vec<SocketId>,
}

/// One more socket of a user, as the store has the user now.
fn enter(
    people: &mut Slab<PersonId, Person>,
    by_user: &mut KeyedMap<ByteString, PersonId>,
    user: User,
    socket: SocketId,
) -> PersonId {
    let id = match by_user.get(&user.id) {
        Some(id) => *id,
        None => {
            let id = people.insert(Person { user: user.clone(), sockets: Vec::new() });
            by_user.insert(user.id.clone(), id);
            id
        }
    };
    if let Some(person) = people.get_mut(id) {
        person.user = user;
        if !person.sockets.contains(&socket) {
            person.sockets.push(socket);
        }
    }
    id
}

/// When the calendar will say so, if it is not set meanwhile.
fn moment(at: WallTime, wall: WallTime, now: Instant) -> Instant {
    now + Duration::from_millis(at.as_unix_millis().saturating_sub(wall.as_unix_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{peer, socket};
    use crate::token::TokenOrigin;
    use roomcast_core::server::EndpointId;

    #[test]
    fn a_login_ends_with_its_latest_token() {
        let mut sockets = sockets();
        assert!(log_in(&mut sockets, 1, "u", Some(10)));
        assert!(!log_in(&mut sockets, 1, "u", Some(50)), "it goes on");
        assert_eq!((sockets.logins(), sockets.users(), sockets.armed()), (1, 1, 2));
        assert_eq!(sockets.pop_expired(wall(49), at(49)), None);
        assert_eq!(sockets.pop_expired(wall(50), at(50)), Some(socket(1)));
        assert_eq!(sockets.pop_expired(wall(99), at(99)), None);
    }

    #[test]
    fn a_calendar_that_is_set_back_makes_a_token_last() {
        let mut sockets = sockets();
        log_in(&mut sockets, 1, "u", Some(10));
        assert_eq!(sockets.pop_expired(wall(4), at(10)), None);
        assert_eq!(sockets.expiries.next_deadline(), Some(at(16)));
        assert_eq!(sockets.pop_expired(wall(10), at(16)), Some(socket(1)));
    }

    #[test]
    fn a_logout_disarms_everything() {
        let mut sockets = sockets();
        for number in [1, 2] {
            log_in(&mut sockets, number, "u", Some(50));
        }
        assert_eq!(sockets.log_out(socket(1)).map(|(user, last)| (user.id, last)), Some(("u".into(), Last::No)));
        assert!(sockets.log_out(socket(1)).is_none());
        assert_eq!(sockets.sockets_of("u"), [socket(2)]);
        assert_eq!(sockets.log_out(socket(2)).map(|(_, last)| last), Some(Last::Yes));
        assert_eq!((sockets.logins(), sockets.users(), sockets.armed(), sockets.len()), (0, 0, 0, 2));
        assert!(sockets.remove(socket(1)).is_some() && sockets.remove(socket(1)).is_none());
        assert_eq!((sockets.len(), sockets.sockets_of("u").len()), (1, 0));
    }

    #[test]
    fn a_check_asks_for_the_token_that_stands_and_arms_the_next_with_the_answer() {
        let mut sockets = sockets();
        log_in(&mut sockets, 1, "u", None);
        let (token, epoch) = asked(sockets.check(socket(1), wall(1)));
        assert_eq!((&*token.user, sockets.armed()), ("u", 0), "the answer arms the next");
        assert!(matches!(answered(&mut sockets, epoch + 1, Ok(Some("v"))), Checked::Stale));
        assert!(matches!(answered(&mut sockets, epoch, Ok(Some("v"))), Checked::Stands));
        assert_eq!((sockets.user_of(socket(1)).map(|user| &*user.name), sockets.armed()), (Some("v"), 1));
        let due = sockets.rechecks.next_deadline().unwrap();
        assert!((at(46)..=at(61)).contains(&due), "a minute less up to a quarter, from second 1: {due:?}");
        asked(sockets.check(socket(1), wall(1)));
        assert!(matches!(answered(&mut sockets, epoch, Err(())), Checked::Unknown));
        assert_eq!(sockets.rechecks.next_deadline(), Some(at(6)), "it is asked again soon");
        assert_eq!((sockets.pop_check(at(5)), sockets.pop_check(at(6))), (None, Some(socket(1))));
        assert!(matches!(answered(&mut sockets, epoch, Ok(None)), Checked::Refused));
    }

    #[test]
    fn an_answer_about_an_earlier_token_says_nothing_of_the_later_one() {
        let mut sockets = sockets();
        log_in(&mut sockets, 1, "u", None);
        let (_, earlier) = asked(sockets.check(socket(1), wall(1)));
        log_in(&mut sockets, 1, "u", Some(90));
        assert!(matches!(answered(&mut sockets, earlier, Ok(None)), Checked::Stale));
        let (token, later) = asked(sockets.check(socket(1), wall(1)));
        assert!(later > earlier && token.expires == Some(wall(90)));
        assert!(sockets.user_at(socket(1), earlier).is_none() && sockets.user_at(socket(1), later).is_some());
    }

    #[test]
    fn a_token_whose_user_could_not_be_looked_up_is_tried_again_before_the_one_that_stands() {
        let mut sockets = sockets();
        log_in(&mut sockets, 1, "u", None);
        sockets.want(socket(1), token("w", Some(20)), ChannelRooms::Wanted, at(0));
        assert_eq!((sockets.rechecks.next_deadline(), sockets.armed()), (Some(at(5)), 1));
        let (wanted, epoch) = asked(sockets.check(socket(1), wall(1)));
        assert_eq!(&*wanted.user, "w");
        assert!(matches!(answered(&mut sockets, epoch, Err(())), Checked::Unknown));
        assert_eq!(sockets.rechecks.next_deadline(), Some(at(6)));
        let Checked::LogsIn(wanted, user) = answered(&mut sockets, epoch, Ok(Some("w"))) else { panic!("logs in") };
        assert_eq!((&*user.id, wanted.channels), ("w", ChannelRooms::Wanted));
        // Taken by the answer: the next check is of the login.
        assert_eq!(&*asked(sockets.check(socket(1), wall(1))).0.user, "u");
    }

    #[test]
    fn a_wanted_token_that_is_refused_or_has_ended_leaves_the_login_as_it_is() {
        let mut sockets = sockets();
        log_in(&mut sockets, 1, "u", None);
        sockets.want(socket(1), token("w", Some(20)), ChannelRooms::Wanted, at(0));
        let (_, epoch) = asked(sockets.check(socket(1), wall(1)));
        assert!(
            matches!(answered(&mut sockets, epoch, Ok(None)), Checked::NotWanted(wanted) if wanted.token.user == "w")
        );
        assert_eq!(sockets.armed(), 1, "the login is checked in its turn");
        sockets.want(socket(1), token("w", Some(20)), ChannelRooms::Wanted, at(0));
        assert_eq!(&*asked(sockets.check(socket(1), wall(20))).0.user, "u");
        // A login that began meanwhile makes it unwanted.
        sockets.want(socket(1), token("w", None), ChannelRooms::Wanted, at(0));
        log_in(&mut sockets, 1, "u", None);
        assert_eq!(&*asked(sockets.check(socket(1), wall(20))).0.user, "u");
    }

    #[test]
    fn a_wanted_token_outlives_the_login_it_is_to_follow() {
        let mut sockets = sockets();
        log_in(&mut sockets, 1, "u", Some(30));
        sockets.want(socket(1), token("w", None), ChannelRooms::Wanted, at(0));
        sockets.log_out(socket(1));
        assert_eq!((sockets.armed(), sockets.pop_check(at(5))), (1, Some(socket(1))));
        assert_eq!(&*asked(sockets.check(socket(1), wall(5))).0.user, "w");
    }

    #[test]
    fn a_check_finds_a_token_that_has_ended_and_nothing_without_a_login() {
        let mut sockets = sockets();
        assert!(matches!(sockets.check(socket(1), wall(1)), Check::Nothing));
        assert!(matches!(sockets.check(socket(9), wall(1)), Check::Nothing));
        log_in(&mut sockets, 1, "u", Some(30));
        assert!(matches!(sockets.check(socket(1), wall(30)), Check::Ended));
    }

    #[test]
    fn a_socket_asks_for_channels_once_and_for_all() {
        let mut sockets = sockets();
        for (channels, expected) in [
            (ChannelRooms::Unasked, ChannelRooms::Unasked),
            (ChannelRooms::Wanted, ChannelRooms::Wanted),
            (ChannelRooms::Unasked, ChannelRooms::Wanted),
        ] {
            sockets.log_in(socket(1), token("u", None), user("u"), channels, (wall(0), at(0)));
            let login = sockets.get(socket(1)).and_then(|record| record.login.as_ref());
            assert_eq!(login.map(|login| login.channels), Some(expected));
        }
    }

    fn sockets() -> Sockets {
        let settings = Settings::new(EndpointId::new(0), b"a secret for this test").unwrap();
        let mut rng = Rng::from_seed([3; 32]);
        let hash = rng.keyed_hash();
        let mut sockets = Sockets::new(&settings, rng, hash);
        for number in [1, 2] {
            let sid = Sid::parse("abcdefghij0123456789").unwrap();
            sockets.insert(SocketRecord::new(socket(number), peer(number), sid, Stage::In));
        }
        sockets
    }

    fn log_in(sockets: &mut Sockets, number: u32, id: &'static str, ends: Option<u64>) -> bool {
        sockets.log_in(socket(number), token(id, ends), user(id), ChannelRooms::Unasked, (wall(0), at(0)))
    }

    fn asked(check: Check) -> (TokenClaims, u64) {
        let Check::Ask(token, epoch) = check else { panic!("{check:?}") };
        (token, epoch)
    }

    /// The answer in second 1, about the first socket.
    fn answered(sockets: &mut Sockets, epoch: u64, found: Result<Option<&'static str>, ()>) -> Checked {
        sockets.handle_checked(socket(1), epoch, found.map(|found| found.map(user)), at(1))
    }

    fn token(user: &'static str, ends: Option<u64>) -> TokenClaims {
        TokenClaims {
            user: user.into(),
            jti: None,
            issued_at_secs: None,
            expires: ends.map(wall),
            origin: TokenOrigin::default(),
        }
    }

    fn user(id: &'static str) -> User {
        User { id: id.into(), name: id.into(), role: "user".into(), profile: "{}".into(), account: None }
    }

    fn wall(secs: u64) -> WallTime {
        WallTime::from_unix_millis(1_800_000_000_000 + secs * 1000)
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }
}
