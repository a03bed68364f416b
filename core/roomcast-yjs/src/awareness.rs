//! The table of y-protocols awareness: the presence states of a document's clients.
//!
//! Owns: [`Awareness`], its codec, and the rule that a client id belongs to the session that announced it.
//! Must never know: what a session or its owner is, or what stands in a state.
//!
//! See [awareness](https://github.com/yjs/y-protocols/blob/master/awareness.js).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::wire::{self, ClientId, Malformed, Reader};
use roomcast_time::Instant;

/// What a session may announce at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwarenessLimits {
    /// Client ids of one session: 16. A provider announces one.
    pub clients_per_session_max: usize,
    /// Bytes of one state: 16 KiB.
    pub state_bytes_max: usize,
    /// Client ids in one update: 4,096. A provider echoes all that it knows.
    pub update_clients_max: usize,
    /// Ids that are remembered, by their clock, after they have gone: 1,024.
    pub departed_max: usize,
    /// How long a state lives without being renewed, and how long an id is kept for its owner afterwards: 30 s. A provider
    /// renews after 15 s.
    pub span: Duration,
    /// How far the clock of an id may move at once: 2^20. A provider moves it by one, but messages get lost. Beyond that
    /// the update is not the owner's.
    pub clock_jump_max: u64,
    /// The highest clock with which an unknown id may begin: 2^32. A provider goes on counting when it connects again.
    pub first_clock_max: u64,
}

impl Default for AwarenessLimits {
    fn default() -> Self {
        Self {
            clients_per_session_max: 16,
            state_bytes_max: 16 << 10,
            update_clients_max: 4096,
            departed_max: 1024,
            span: Duration::from_secs(30),
            clock_jump_max: 1 << 20,
            first_clock_max: 1 << 32,
        }
    }
}

/// Why an awareness update is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadAwareness {
    /// It is none that y-protocols would read.
    Malformed(Malformed),
    /// A state is longer than the limit.
    StateTooLong,
    /// It announces more ids than the session may, or than one update may hold.
    TooManyClients,
}

/// What the others are to hear of an awareness update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// All of it: the bytes may go on as they are.
    All,
    /// The part of it that was new and the sender's own to say, encoded again.
    Part(Vec<u8>),
    /// Nothing: it was known, or belongs to others.
    Nothing,
}

/// Client ids with their states, each with the session `S` that announced it and the owner `O` of that session.
///
/// A session announces ids for itself: what a provider of y-websocket says about others is an echo and has no effect. An id
/// that has gone is remembered for [`AwarenessLimits::span`], so that an echo on its way does not bring it back, and so that
/// only the same owner, on a new session, may take it meanwhile. What an owner is, is the caller's business: a user, an
/// address, or nothing (`()`) where everyone may take the id of a session that has gone.
///
/// An update costs as much as it says, however many ids there are.
#[derive(Clone, Debug)]
pub struct Awareness<S, O> {
    limits: AwarenessLimits,
    clients: BTreeMap<ClientId, ClientPresence<S, O>>,
    /// The ids of each session that has any.
    sessions: BTreeMap<S, BTreeSet<ClientId>>,
    deadlines: BTreeSet<(Instant, ClientId)>,
    departed: BTreeSet<(Instant, ClientId)>,
}

#[derive(Clone, Debug)]
struct ClientPresence<S, O> {
    /// `None` once the session has gone.
    session: Option<S>,
    owner: O,
    clock: u64,
    /// JSON; `None` once it was withdrawn.
    state: Option<String>,
    deadline: Instant,
}

impl<S: Copy + Ord, O: Clone + Eq> Awareness<S, O> {
    /// An empty table.
    pub const fn new(limits: AwarenessLimits) -> Self {
        Self {
            limits,
            clients: BTreeMap::new(),
            sessions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            departed: BTreeSet::new(),
        }
    }

    /// Takes what a session of `owner` announced. An id counts if its clock is newer than what is known, as in
    /// `applyAwarenessUpdate`, if it is free or belongs to the session, and if its clock does not jump.
    ///
    /// # Errors
    ///
    /// Refuses an update as a whole if it is malformed, or if what counts of it is over a limit.
    pub fn handle_update(&mut self, session: S, owner: &O, update: &[u8], now: Instant) -> Result<Heard, BadAwareness> {
        let said = decode(update, self.limits.update_clients_max)?;
        let counts = |entry: &&Said<'_>| self.counts(session, owner, entry);
        let new: Vec<Said<'_>> = said.iter().filter(counts).copied().collect();
        if new.iter().any(|said| said.state.is_some_and(|state| state.len() > self.limits.state_bytes_max)) {
            return Err(BadAwareness::StateTooLong);
        }
        let own = self.sessions.get(&session);
        let claimed = new.iter().filter(|said| own.is_none_or(|own| !own.contains(&said.client))).count();
        if own.map_or(0, BTreeSet::len) + claimed > self.limits.clients_per_session_max {
            return Err(BadAwareness::TooManyClients);
        }
        for said in &new {
            let entry = ClientPresence {
                session: Some(session),
                owner: owner.clone(),
                clock: said.clock,
                state: said.state.map(str::to_owned),
                deadline: now + self.limits.span,
            };
            self.set(said.client, entry);
        }
        Ok(match new.len() {
            0 => Heard::Nothing,
            len if len == said.len() => Heard::All,
            _ => Heard::Part(encode(&new)),
        })
    }

    /// Withdraws the ids of a session that has left, each with the clock it had. Returns the awareness update for the
    /// other sessions, or `None` if none of the ids had a state.
    pub fn withdraw(&mut self, session: S, now: Instant) -> Option<Vec<u8>> {
        let own: Vec<ClientId> = self.sessions.get(&session)?.iter().copied().collect();
        self.depart(&own, now)
    }

    /// Withdraws what was not renewed in time. Returns what the others are to hear, if anything.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Vec<u8>> {
        while let Some(&(_, client)) = self.departed.first().filter(|&&(deadline, _)| deadline <= now) {
            self.remove(client);
        }
        let due: Vec<ClientId> =
            self.deadlines.iter().take_while(|&&(deadline, _)| deadline <= now).map(|&(_, client)| client).collect();
        self.depart(&due, now)
    }

    /// When something expires.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (live, departed) = (self.deadlines.first(), self.departed.first());
        live.into_iter().chain(departed).map(|&(deadline, _)| deadline).min()
    }

    /// All present states, as an update for a new member. `None` if there are none.
    pub fn state(&self) -> Option<Vec<u8>> {
        let present = self.clients.iter().filter_map(|(&client, entry)| {
            let state = entry.state.as_deref()?;
            Some(Said { client, clock: entry.clock, state: Some(state) })
        });
        let present: Vec<_> = present.collect();
        if present.is_empty() { None } else { Some(encode(&present)) }
    }

    /// The number of ids that are present.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether no id is present.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// Whether what is said of an id is new, and is `session`'s to say.
    fn counts(&self, session: S, owner: &O, said: &Said<'_>) -> bool {
        let Some(known) = self.clients.get(&said.client) else {
            return said.clock > 0 && said.clock <= self.limits.first_clock_max;
        };
        let goes = said.clock == known.clock && said.state.is_none() && known.state.is_some();
        let newer = said.clock > known.clock && said.clock - known.clock <= self.limits.clock_jump_max;
        let own = known.session.map_or(known.owner == *owner, |of| of == session);
        (newer || goes) && own
    }

    fn depart(&mut self, clients: &[ClientId], now: Instant) -> Option<Vec<u8>> {
        let mut gone = Vec::new();
        for &client in clients {
            let Some(entry) = self.clients.get(&client) else { continue };
            let (clock, owner) = (entry.clock, entry.owner.clone());
            if entry.state.is_some() {
                gone.push(Said { client, clock, state: None });
            }
            self.set(
                client,
                ClientPresence { session: None, owner, clock, state: None, deadline: now + self.limits.span },
            );
        }
        if gone.is_empty() { None } else { Some(encode(&gone)) }
    }

    fn set(&mut self, client: ClientId, entry: ClientPresence<S, O>) {
        self.remove(client);
        let deadlines = if entry.state.is_some() { &mut self.deadlines } else { &mut self.departed };
        deadlines.insert((entry.deadline, client));
        if let Some(session) = entry.session {
            self.sessions.entry(session).or_default().insert(client);
        }
        self.clients.insert(client, entry);
        let first = self.departed.first().copied();
        if let Some((_, first)) = first.filter(|_| self.departed.len() > self.limits.departed_max) {
            self.remove(first);
        }
    }

    fn remove(&mut self, client: ClientId) {
        let Some(entry) = self.clients.remove(&client) else { return };
        let deadlines = if entry.state.is_some() { &mut self.deadlines } else { &mut self.departed };
        deadlines.remove(&(entry.deadline, client));
        if let Some(session) = entry.session
            && let Some(own) = self.sessions.get_mut(&session)
        {
            own.remove(&client);
            if own.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }
}

/// What an awareness update says of one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said<'a> {
    client: ClientId,
    clock: u64,
    /// JSON; `None` for `null`, which means that it has gone.
    state: Option<&'a str>,
}

fn decode(update: &[u8], clients_max: usize) -> Result<Vec<Said<'_>>, BadAwareness> {
    let mut reader = Reader::new(update);
    let said = (|| {
        // An id, a clock, and a text of at least one character.
        let count = reader.count(4)?;
        if count > clients_max {
            return Ok(None);
        }
        let mut said = Vec::with_capacity(count);
        for _ in 0..count {
            let (client, clock, json) = (reader.client()?, reader.integer()?, reader.json()?);
            let gone = json.trim_matches([' ', '\t', '\n', '\r']) == "null";
            said.push(Said { client, clock, state: if gone { None } else { Some(json) } });
        }
        reader.finish()?;
        let mut clients: Vec<_> = said.iter().map(|said| said.client).collect();
        clients.sort_unstable();
        if clients.is_sorted_by(|left, right| left < right) { Ok(Some(said)) } else { Err(Malformed::Duplicate) }
    })();
    said.map_err(BadAwareness::Malformed)?.ok_or(BadAwareness::TooManyClients)
}

fn encode(said: &[Said<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::write_count(&mut out, said.len());
    for said in said {
        wire::write_integer(&mut out, said.client.as_u64());
        wire::write_integer(&mut out, said.clock);
        wire::write_buffer(&mut out, said.state.unwrap_or("null").as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yrs::sync::AwarenessUpdate;
    use yrs::updates::decoder::Decode;

    use super::*;

    #[test]
    fn an_id_belongs_to_the_session_that_announced_it() {
        let mut table = Awareness::new(AwarenessLimits::default());
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 1, r#"{"x":1}"#)]), at(0)), Ok(Heard::All));
        // An echo, a newer state and a withdrawal from a session that does not own the id.
        for update in [say(&[(1, 1, r#"{"x":1}"#)]), say(&[(1, 5, "{}")]), say(&[(1, 1, "null")])] {
            assert_eq!(table.handle_update('b', &0, &update, at(1)), Ok(Heard::Nothing));
        }
        let both = say(&[(1, 1, "{}"), (2, 1, "{}")]);
        assert_eq!(table.handle_update('b', &0, &both, at(1)), Ok(Heard::Part(say(&[(2, 1, "{}")]))));
        assert_eq!(table.state(), Some(say(&[(1, 1, r#"{"x":1}"#), (2, 1, "{}")])));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 1, "null")]), at(2)), Ok(Heard::All));
        assert_eq!(table.state(), Some(say(&[(2, 1, "{}")])));
    }

    #[test]
    fn who_leaves_goes_with_the_same_clock_and_stays_away() {
        let mut table = Awareness::new(AwarenessLimits::default());
        table.handle_update('a', &0, &say(&[(1, 3, "{}"), (2, 1, "{}")]), at(0)).unwrap();
        assert_eq!(table.withdraw('a', at(1)), Some(say(&[(1, 3, "null"), (2, 1, "null")])));
        assert_eq!(table.withdraw('a', at(1)), None);
        assert_eq!(table.handle_update('b', &0, &say(&[(1, 3, "{}")]), at(2)), Ok(Heard::Nothing));
        // The same browser comes back on a new connection.
        assert_eq!(table.handle_update('c', &0, &say(&[(1, 4, "{}")]), at(3)), Ok(Heard::All));
        assert_eq!((table.len(), table.poll_timeout()), (1, Some(at(31))));
        assert_eq!(table.handle_timeout(at(31)), None);
        assert_eq!(table.poll_timeout(), Some(at(33)));
    }

    #[test]
    fn an_id_whose_session_has_gone_is_kept_for_its_owner() {
        let mut table = Awareness::new(AwarenessLimits::default());
        let (alice, reader) = ("alice", "reader");
        assert_eq!(table.handle_update(1, &alice, &say(&[(7, 3, "{}")]), at(0)), Ok(Heard::All));
        table.withdraw(1, at(1));
        // While she connects again, a reader wants to have the last word.
        for clock in [4, 100, (1 << 53) - 1] {
            assert_eq!(table.handle_update(2, &reader, &say(&[(7, clock, "{}")]), at(2)), Ok(Heard::Nothing));
        }
        assert_eq!(table.handle_update(3, &alice, &say(&[(7, 4, "{}")]), at(3)), Ok(Heard::All));
        // The same after her state has expired, and after she has withdrawn it herself.
        assert_eq!(table.handle_timeout(at(33)), Some(say(&[(7, 4, "null")])));
        assert_eq!(table.handle_update(2, &reader, &say(&[(7, 5, "{}")]), at(40)), Ok(Heard::Nothing));
        assert_eq!(table.handle_update(3, &alice, &say(&[(7, 5, "{}")]), at(41)), Ok(Heard::All));
        assert_eq!(table.handle_update(3, &alice, &say(&[(7, 6, "null")]), at(42)), Ok(Heard::All));
        assert_eq!(table.handle_update(2, &reader, &say(&[(7, 7, "{}")]), at(43)), Ok(Heard::Nothing));
        // In the end it is free.
        table.handle_timeout(at(72));
        assert_eq!(table.handle_update(2, &reader, &say(&[(7, 7, "{}")]), at(73)), Ok(Heard::All));
    }

    #[test]
    fn clocks_do_not_jump() {
        let limits = AwarenessLimits { clock_jump_max: 10, first_clock_max: 100, ..Default::default() };
        let mut table = Awareness::new(limits);
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 101, "{}")]), at(0)), Ok(Heard::Nothing));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 100, "{}")]), at(0)), Ok(Heard::All));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 111, "{}")]), at(0)), Ok(Heard::Nothing));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 110, "{}")]), at(0)), Ok(Heard::All));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 110, "null")]), at(0)), Ok(Heard::All));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 120, "{}")]), at(0)), Ok(Heard::All));
    }

    #[test]
    fn a_session_has_as_many_ids_as_its_limit_and_a_state_as_many_bytes() {
        let limits = AwarenessLimits { clients_per_session_max: 2, state_bytes_max: 4, ..Default::default() };
        let mut table = Awareness::new(limits);
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 1, "1234"), (2, 1, "{}")]), at(0)), Ok(Heard::All));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 2, "{}"), (2, 2, "{}")]), at(0)), Ok(Heard::All));
        assert_eq!(table.handle_update('a', &0, &say(&[(3, 1, "{}")]), at(0)), Err(BadAwareness::TooManyClients));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 3, "12345")]), at(0)), Err(BadAwareness::StateTooLong));
        assert_eq!((table.len(), table.is_empty(), table.sessions.len()), (2, false, 1));
        table.withdraw('a', at(1));
        assert_eq!((table.len(), table.is_empty(), table.sessions.len()), (0, true, 0));
        let limits = AwarenessLimits { update_clients_max: 2, ..Default::default() };
        let mut table = Awareness::new(limits);
        let update = say(&[(2, 1, "{}"), (1, 1, "{}")]);
        assert_eq!(table.handle_update('a', &0, &update, at(0)), Ok(Heard::All));
        let longer = [&update[..], &[0]].concat();
        assert_eq!(table.handle_update('a', &0, &longer, at(0)), Err(BadAwareness::Malformed(Malformed::Trailing)));
        let twice = say(&[(1, 2, "{}"), (1, 2, "{}")]);
        assert_eq!(table.handle_update('a', &0, &twice, at(0)), Err(BadAwareness::Malformed(Malformed::Duplicate)));
    }

    #[test]
    fn what_is_not_renewed_expires() {
        let mut table = Awareness::new(AwarenessLimits::default());
        table.handle_update('a', &0, &say(&[(1, 1, "{}"), (2, 1, "{}")]), at(0)).unwrap();
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 2, "{}")]), at(15)), Ok(Heard::All));
        assert_eq!(table.poll_timeout(), Some(at(30)));
        assert_eq!(table.handle_timeout(at(29)), None);
        assert_eq!(table.handle_timeout(at(30)), Some(say(&[(2, 1, "null")])));
        assert_eq!(table.handle_timeout(at(45)), Some(say(&[(1, 2, "null")])));
        assert_eq!(table.state(), None);
        table.handle_timeout(at(75));
        assert_eq!(table.poll_timeout(), None);
    }

    #[test]
    fn announcements_are_bounded_and_refused_as_a_whole() {
        let limits = AwarenessLimits {
            clients_per_session_max: 2,
            state_bytes_max: 4,
            update_clients_max: 3,
            departed_max: 2,
            ..Default::default()
        };
        let mut table = Awareness::new(limits);
        assert_eq!(
            table.handle_update('a', &0, &say(&[(1, 1, "{}"), (2, 1, r#""123""#)]), at(0)),
            Err(BadAwareness::StateTooLong)
        );
        let three = say(&[(1, 1, "{}"), (2, 1, "{}"), (3, 1, "{}")]);
        assert_eq!(table.handle_update('a', &0, &three, at(0)), Err(BadAwareness::TooManyClients));
        let four = say(&[(1, 1, "{}"), (2, 1, "{}"), (3, 1, "{}"), (4, 1, "{}")]);
        assert_eq!(table.handle_update('a', &0, &four, at(0)), Err(BadAwareness::TooManyClients));
        assert!(table.is_empty() && table.poll_timeout().is_none());
        for client in 1..=9 {
            table.handle_update('a', &0, &say(&[(client, 1, "{}")]), at(0)).unwrap();
            table.withdraw('a', at(client));
        }
        assert_eq!(table.clients.len(), 2);
        let twice = say(&[(1, 1, "{}"), (1, 2, "{}")]);
        let malformed = |malformed| Err(BadAwareness::Malformed(malformed));
        assert_eq!(table.handle_update('a', &0, &twice, at(0)), malformed(Malformed::Duplicate));
        assert_eq!(table.handle_update('a', &0, &say(&[(1, 1, "{")]), at(0)), malformed(Malformed::Json));
    }

    proptest! {
        /// As one member, we agree with yrs about the members present after any messages, except for a first clock of
        /// 0, which y-protocols does not count and yrs does.
        #[test]
        fn clocks_count_as_in_y_protocols(said in prop::collection::vec((1..4u64, 1..6u64, any::<bool>()), 0..40)) {
            let mut table = Awareness::new(AwarenessLimits::default());
            let mut other = yrs::sync::Awareness::new(yrs::Doc::with_client_id(99));
            for (client, clock, present) in said {
                let update = say(&[(client, clock, if present { "{}" } else { "null" })]);
                table.handle_update('a', &0, &update, at(0)).unwrap();
                other.apply_update(AwarenessUpdate::decode_v1(&update).unwrap()).unwrap();
            }
            let here: Vec<u64> = table.clients.iter().filter(|(_, e)| e.state.is_some()).map(|(c, _)| c.as_u64()).collect();
            let mut there: Vec<u64> = other.iter().filter(|(_, s)| s.data.is_some()).map(|(c, _)| c.get()).collect();
            there.sort_unstable();
            prop_assert_eq!(here, there);
        }
    }

    const fn at(secs: u64) -> Instant {
        Instant::from_millis(secs * 1000)
    }

    fn say(said: &[(u64, u64, &str)]) -> Vec<u8> {
        let client = |id| ClientId::new(id).unwrap();
        let said: Vec<_> =
            said.iter().map(|&(id, clock, state)| Said { client: client(id), clock, state: Some(state) }).collect();
        encode(&said)
    }
}
