//! Who is where in a document: the table of y-protocols awareness.
//!
//! Owns: [`Awareness`], its codec, and the rule that a client id belongs to the session that announced it. Must never
//! know: what a session is, or what stands in a state.
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
    /// How long a state lives without being renewed: 30 s. A provider renews after 15 s.
    pub span: Duration,
}

impl Default for AwarenessLimits {
    fn default() -> Self {
        Self {
            clients_per_session_max: 16,
            state_bytes_max: 16 << 10,
            update_clients_max: 4096,
            departed_max: 1024,
            span: Duration::from_secs(30),
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

/// Client ids with their states, each with the session `S` that announced it.
///
/// What a provider of y-websocket says about others is an echo and has no effect. An id that has gone is remembered for a
/// while, so that an echo on its way does not bring it back.
#[derive(Clone, Debug)]
pub struct Awareness<S> {
    limits: AwarenessLimits,
    clients: BTreeMap<ClientId, Entry<S>>,
    deadlines: BTreeSet<(Instant, ClientId)>,
    departed: BTreeSet<(Instant, ClientId)>,
}

#[derive(Clone, Debug)]
struct Entry<S> {
    owner: Option<S>,
    clock: u64,
    /// JSON; `None` once it was withdrawn.
    state: Option<String>,
    deadline: Instant,
}

impl<S: Copy + Eq> Awareness<S> {
    /// Nobody is there.
    pub const fn new(limits: AwarenessLimits) -> Self {
        Self { limits, clients: BTreeMap::new(), deadlines: BTreeSet::new(), departed: BTreeSet::new() }
    }

    /// A session announced something. It counts where it is newer than what is known, as in `applyAwarenessUpdate`, and
    /// where the id is free or the session's own.
    pub fn handle_update(&mut self, session: S, update: &[u8], now: Instant) -> Result<Heard, BadAwareness> {
        let said = decode(update, self.limits.update_clients_max)?;
        let counts = |entry: &&Said<'_>| self.counts(session, entry);
        let new: Vec<Said<'_>> = said.iter().filter(counts).copied().collect();
        if new.iter().any(|said| said.state.is_some_and(|state| state.len() > self.limits.state_bytes_max)) {
            return Err(BadAwareness::StateTooLong);
        }
        let own = self.clients.values().filter(|entry| entry.owner == Some(session)).count();
        let claimed =
            new.iter().filter(|said| self.clients.get(&said.client).is_none_or(|e| e.owner.is_none())).count();
        if own + claimed > self.limits.clients_per_session_max {
            return Err(BadAwareness::TooManyClients);
        }
        for said in &new {
            let state = said.state.map(str::to_owned);
            self.set(
                said.client,
                Entry { owner: Some(session), clock: said.clock, state, deadline: now + self.limits.span },
            );
        }
        Ok(match new.len() {
            0 => Heard::Nothing,
            len if len == said.len() => Heard::All,
            _ => Heard::Part(encode(&new)),
        })
    }

    /// A session has left: its ids go, each with the clock it had. What the others are to hear, if anything.
    pub fn withdraw(&mut self, session: S, now: Instant) -> Option<Vec<u8>> {
        let own: Vec<ClientId> =
            self.clients.iter().filter(|(_, entry)| entry.owner == Some(session)).map(|(&client, _)| client).collect();
        self.depart(&own, now)
    }

    /// Lets go what was not renewed. What the others are to hear, if anything.
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

    /// Everybody who is there, as an update for somebody who has just come.
    pub fn state(&self) -> Option<Vec<u8>> {
        let present = self.clients.iter().filter_map(|(&client, entry)| {
            let state = entry.state.as_deref()?;
            Some(Said { client, clock: entry.clock, state: Some(state) })
        });
        let present: Vec<_> = present.collect();
        if present.is_empty() { None } else { Some(encode(&present)) }
    }

    /// How many ids are there.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// Whether what is said of an id is new, and may be said by `session`.
    fn counts(&self, session: S, said: &Said<'_>) -> bool {
        let known = self.clients.get(&said.client);
        let clock = known.map_or(0, |entry| entry.clock);
        let present = known.is_some_and(|entry| entry.state.is_some());
        let newer = clock < said.clock || (clock == said.clock && said.state.is_none() && present);
        newer && known.is_none_or(|entry| entry.owner.is_none_or(|owner| owner == session))
    }

    fn depart(&mut self, clients: &[ClientId], now: Instant) -> Option<Vec<u8>> {
        let mut gone = Vec::new();
        for &client in clients {
            let Some(entry) = self.clients.get(&client) else { continue };
            let clock = entry.clock;
            if entry.state.is_some() {
                gone.push(Said { client, clock, state: None });
            }
            self.set(client, Entry { owner: None, clock, state: None, deadline: now + self.limits.span });
        }
        if gone.is_empty() { None } else { Some(encode(&gone)) }
    }

    fn set(&mut self, client: ClientId, entry: Entry<S>) {
        self.remove(client);
        let deadlines = if entry.state.is_some() { &mut self.deadlines } else { &mut self.departed };
        deadlines.insert((entry.deadline, client));
        self.clients.insert(client, entry);
        let first = self.departed.first().copied();
        if let Some((_, first)) = first.filter(|_| self.departed.len() > self.limits.departed_max) {
            self.remove(first);
        }
    }

    fn remove(&mut self, client: ClientId) {
        if let Some(entry) = self.clients.remove(&client) {
            let deadlines = if entry.state.is_some() { &mut self.deadlines } else { &mut self.departed };
            deadlines.remove(&(entry.deadline, client));
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
        assert_eq!(table.handle_update('a', &say(&[(1, 1, r#"{"x":1}"#)]), at(0)), Ok(Heard::All));
        // An echo, a rival and a farewell by somebody else.
        for update in [say(&[(1, 1, r#"{"x":1}"#)]), say(&[(1, 5, "{}")]), say(&[(1, 1, "null")])] {
            assert_eq!(table.handle_update('b', &update, at(1)), Ok(Heard::Nothing));
        }
        let both = say(&[(1, 1, "{}"), (2, 1, "{}")]);
        assert_eq!(table.handle_update('b', &both, at(1)), Ok(Heard::Part(say(&[(2, 1, "{}")]))));
        assert_eq!(table.state(), Some(say(&[(1, 1, r#"{"x":1}"#), (2, 1, "{}")])));
        assert_eq!(table.handle_update('a', &say(&[(1, 1, "null")]), at(2)), Ok(Heard::All));
        assert_eq!(table.state(), Some(say(&[(2, 1, "{}")])));
    }

    #[test]
    fn who_leaves_goes_with_the_same_clock_and_stays_away() {
        let mut table = Awareness::new(AwarenessLimits::default());
        table.handle_update('a', &say(&[(1, 3, "{}"), (2, 1, "{}")]), at(0)).unwrap();
        assert_eq!(table.withdraw('a', at(1)), Some(say(&[(1, 3, "null"), (2, 1, "null")])));
        assert_eq!(table.withdraw('a', at(1)), None);
        assert_eq!(table.handle_update('b', &say(&[(1, 3, "{}")]), at(2)), Ok(Heard::Nothing));
        // The same browser comes back on a new connection.
        assert_eq!(table.handle_update('c', &say(&[(1, 4, "{}")]), at(3)), Ok(Heard::All));
        assert_eq!((table.len(), table.poll_timeout()), (1, Some(at(31))));
        assert_eq!(table.handle_timeout(at(31)), None);
        assert_eq!(table.poll_timeout(), Some(at(33)));
    }

    #[test]
    fn what_is_not_renewed_expires() {
        let mut table = Awareness::new(AwarenessLimits::default());
        table.handle_update('a', &say(&[(1, 1, "{}"), (2, 1, "{}")]), at(0)).unwrap();
        assert_eq!(table.handle_update('a', &say(&[(1, 2, "{}")]), at(15)), Ok(Heard::All));
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
            table.handle_update('a', &say(&[(1, 1, "{}"), (2, 1, r#""123""#)]), at(0)),
            Err(BadAwareness::StateTooLong)
        );
        let three = say(&[(1, 1, "{}"), (2, 1, "{}"), (3, 1, "{}")]);
        assert_eq!(table.handle_update('a', &three, at(0)), Err(BadAwareness::TooManyClients));
        let four = say(&[(1, 1, "{}"), (2, 1, "{}"), (3, 1, "{}"), (4, 1, "{}")]);
        assert_eq!(table.handle_update('a', &four, at(0)), Err(BadAwareness::TooManyClients));
        assert!(table.is_empty() && table.poll_timeout().is_none());
        for client in 1..=9 {
            table.handle_update('a', &say(&[(client, 1, "{}")]), at(0)).unwrap();
            table.withdraw('a', at(client));
        }
        assert_eq!(table.clients.len(), 2);
        let twice = say(&[(1, 1, "{}"), (1, 2, "{}")]);
        let malformed = |malformed| Err(BadAwareness::Malformed(malformed));
        assert_eq!(table.handle_update('a', &twice, at(0)), malformed(Malformed::Duplicate));
        assert_eq!(table.handle_update('a', &say(&[(1, 1, "{")]), at(0)), malformed(Malformed::Json));
    }

    proptest! {
        /// As one member, we agree with yrs about who is there, whatever is said; but for a first clock of 0, which
        /// y-protocols does not count and yrs does.
        #[test]
        fn clocks_count_as_in_y_protocols(said in prop::collection::vec((1..4u64, 1..6u64, any::<bool>()), 0..40)) {
            let mut table = Awareness::new(AwarenessLimits::default());
            let mut other = yrs::sync::Awareness::new(yrs::Doc::with_client_id(99));
            for (client, clock, present) in said {
                let update = say(&[(client, clock, if present { "{}" } else { "null" })]);
                table.handle_update('a', &update, at(0)).unwrap();
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
