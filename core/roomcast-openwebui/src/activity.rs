//! Which logins, and so which users, are active.
//!
//! Owns: when something was last received from a login, and when it counts as idle. Must never know: what being active
//! is good for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytestring::ByteString;

use super::by_socket::BySocket;
use roomcast_core::server::SocketId;
use roomcast_core::time::Instant;
use roomcast_core::timer::{TimerKey, Timers};

/// The activity of all logins. A login is active when it begins, and idle once nothing was received for a while.
#[derive(Debug)]
pub(crate) struct Activity {
    idle_after: Duration,
    logins: BySocket<ActiveLogin>,
    /// How many active logins each user has; those without any are not here.
    users: BTreeMap<ByteString, u32>,
    timers: Timers<SocketId>,
    changes: VecDeque<ActivityChange>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActivityChange {
    /// An idle login became active again.
    LoginActive(SocketId),
    /// An active login became idle.
    LoginIdle(SocketId),
    /// A user has an active login now.
    UserActive(ByteString),
    /// The last active login of a user became idle or ended.
    UserIdle(ByteString),
}

impl Activity {
    pub(crate) fn new(idle_after: Duration) -> Self {
        let (logins, users, timers) = (BySocket::default(), BTreeMap::new(), Timers::new());
        Self { idle_after, logins, users, timers, changes: VecDeque::new() }
    }

    /// A login began.
    pub(crate) fn handle_login(&mut self, socket: SocketId, user: ByteString, now: Instant) {
        self.handle_logout(socket);
        let timer = Some(self.timers.arm(now + self.idle_after, socket));
        self.logins.insert(socket, ActiveLogin { user: user.clone(), last_seen: now, timer });
        self.activate(user);
    }

    /// Something was received from a socket.
    pub(crate) fn handle_seen(&mut self, socket: SocketId, now: Instant) {
        let Some(login) = self.logins.get_mut(socket) else { return };
        login.last_seen = now;
        if login.timer.is_none() {
            login.timer = Some(self.timers.arm(now + self.idle_after, socket));
            let user = login.user.clone();
            self.activate(user);
            self.changes.push_back(ActivityChange::LoginActive(socket));
        }
    }

    /// A login ended.
    pub(crate) fn handle_logout(&mut self, socket: SocketId) {
        let Some(login) = self.logins.remove(socket) else { return };
        if let Some(timer) = login.timer {
            self.timers.cancel(timer);
            self.deactivate(&login.user);
        }
    }

    /// Finds the logins that have become idle.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(socket) = self.timers.pop_due(now) {
            let Some(login) = self.logins.get_mut(socket) else { continue };
            let idle_at = login.last_seen + self.idle_after;
            if idle_at > now {
                login.timer = Some(self.timers.arm(idle_at, socket));
                continue;
            }
            login.timer = None;
            let user = login.user.clone();
            self.deactivate(&user);
            self.changes.push_back(ActivityChange::LoginIdle(socket));
        }
    }

    pub(crate) fn poll_change(&mut self) -> Option<ActivityChange> {
        self.changes.pop_front()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    pub(crate) fn is_active(&self, socket: SocketId) -> bool {
        self.logins.get(socket).is_some_and(|login| login.timer.is_some())
    }

    /// Users with an active login, in order.
    pub(crate) fn users(&self) -> impl Iterator<Item = &ByteString> {
        self.users.keys()
    }

    pub(crate) fn armed(&self) -> usize {
        self.timers.len()
    }

    fn activate(&mut self, user: ByteString) {
        let count = self.users.entry(user.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.changes.push_back(ActivityChange::UserActive(user));
        }
    }

    fn deactivate(&mut self, user: &ByteString) {
        let Some(count) = self.users.get_mut(user) else { return };
        *count -= 1;
        if *count == 0 {
            self.users.remove(user);
            self.changes.push_back(ActivityChange::UserIdle(user.clone()));
        }
    }
}

#[derive(Debug)]
struct ActiveLogin {
    user: ByteString,
    last_seen: Instant,
    /// When to look whether it is idle. `None`: it is.
    timer: Option<TimerKey>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn a_login_is_idle_when_nothing_was_received_for_a_while() {
        let mut activity = Activity::new(Duration::from_secs(120));
        activity.handle_login(socket(1), "u".into(), at(0));
        assert_eq!(changes(&mut activity), [ActivityChange::UserActive("u".into())]);
        activity.handle_seen(socket(1), at(100));
        activity.handle_timeout(at(120));
        assert_eq!((changes(&mut activity), activity.next_deadline()), (vec![], Some(at(220))));
        activity.handle_timeout(at(220));
        assert_eq!(
            changes(&mut activity),
            [ActivityChange::UserIdle("u".into()), ActivityChange::LoginIdle(socket(1))]
        );
        assert_eq!((activity.is_active(socket(1)), activity.armed(), activity.users().count()), (false, 0, 0));
        activity.handle_seen(socket(1), at(300));
        assert_eq!(
            changes(&mut activity),
            [ActivityChange::UserActive("u".into()), ActivityChange::LoginActive(socket(1))]
        );
        assert_eq!((activity.is_active(socket(1)), activity.next_deadline()), (true, Some(at(420))));
    }

    #[test]
    fn a_user_is_active_by_any_of_its_logins() {
        let mut activity = Activity::new(Duration::from_secs(120));
        for number in [1, 2] {
            activity.handle_login(socket(number), "u".into(), at(number));
        }
        activity.handle_logout(socket(1));
        activity.handle_logout(socket(1));
        assert_eq!(changes(&mut activity), [ActivityChange::UserActive("u".into())]);
        activity.handle_timeout(at(122));
        activity.handle_logout(socket(2));
        assert_eq!(
            changes(&mut activity),
            [ActivityChange::UserIdle("u".into()), ActivityChange::LoginIdle(socket(2))]
        );
        assert_eq!(activity.armed(), 0);
    }

    fn changes(activity: &mut Activity) -> Vec<ActivityChange> {
        std::iter::from_fn(|| activity.poll_change()).collect()
    }

    fn at(secs: u32) -> Instant {
        Instant::from_nanos(u64::from(secs) * 1_000_000_000)
    }
}
