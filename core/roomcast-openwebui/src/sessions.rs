//! Who is there: sockets, their sessions, and the people behind them.
//!
//! Owns: the records and the links between them. Must never know: how somebody got in, or why somebody is put out.

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;

use super::channels::{Place, Typing};
use super::documents::Parked;
use super::query::{QueryId, User};
use super::turn::{Held, Turn};
use super::writes::WriteId;
use roomcast_auth::Claims;
use roomcast_core::rng::{KeyedHash, KeyedMap};
use roomcast_core::server::{EmitId, SessionId, Sid, SocketId};
use roomcast_core::slab::Slab;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::timer::{FifoKey, TimerKey};
use roomcast_documents::DocumentId;

roomcast_core::slab_key! {
    /// A user with at least one session.
    pub struct PersonId;
}

/// The sockets of the application's namespace, by their slots.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    places: Vec<Option<Box<Record>>>,
    len: usize,
}

impl Sockets {
    pub(super) fn insert(&mut self, record: Record) {
        let slot = record.socket.slot();
        if self.places.len() <= slot {
            self.places.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.places.get_mut(slot)
            && place.replace(Box::new(record)).is_none()
        {
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, socket: SocketId) -> Option<Box<Record>> {
        let record = self.places.get_mut(socket.slot())?.take_if(|record| record.socket == socket)?;
        self.len -= 1;
        Some(record)
    }

    pub(super) fn get(&self, socket: SocketId) -> Option<&Record> {
        self.places.get(socket.slot())?.as_deref().filter(|record| record.socket == socket)
    }

    pub(super) fn get_mut(&mut self, socket: SocketId) -> Option<&mut Record> {
        self.places.get_mut(socket.slot())?.as_deref_mut().filter(|record| record.socket == socket)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.places.iter().filter_map(Option::as_deref)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.places.iter_mut().filter_map(Option::as_deref_mut)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// A socket.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) socket: SocketId,
    pub(super) peer: SessionId,
    pub(super) sid: Sid,
    pub(super) stage: Stage,
    pub(super) login: Option<Login>,
    /// A good token whose user could not be looked up, to be tried again.
    pub(super) wanted: Option<Wanted>,
    /// When to look at `login` or `wanted` again.
    pub(super) recheck: Option<TimerKey>,
    /// The event whose query is open.
    pub(super) turn: Option<Turn>,
    /// The events behind it.
    pub(super) held: VecDeque<Held>,
    pub(super) typing: BTreeMap<Place, Typing>,
    /// Models in use.
    pub(super) usage: BTreeMap<ByteString, FifoKey>,
    /// Chats whose rooms it is in.
    pub(super) chats: BTreeMap<ByteString, ChatAccess>,
    /// What it has had written of late.
    pub(super) reads: Vec<WriteId>,
    /// Calls that it has not answered.
    pub(super) calls: Vec<EmitId>,
    /// Documents that it is in.
    pub(super) documents: Vec<DocumentId>,
    /// Joins of documents that came before its session.
    pub(super) parked: VecDeque<Parked>,
}

impl Record {
    pub(super) fn new(socket: SocketId, peer: SessionId, sid: Sid, stage: Stage) -> Self {
        Self {
            socket,
            peer,
            sid,
            stage,
            login: None,
            wanted: None,
            recheck: None,
            turn: None,
            held: VecDeque::new(),
            typing: BTreeMap::new(),
            usage: BTreeMap::new(),
            chats: BTreeMap::new(),
            reads: Vec::new(),
            calls: Vec::new(),
            documents: Vec::new(),
            parked: VecDeque::new(),
        }
    }
}

/// Whether a socket is in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It asks to be.
    Asking,
    /// It is.
    In,
}

/// What a socket may do in a chat's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChatAccess {
    /// Listen.
    Read,
    /// Type as well: the chat is the user's own.
    Write,
}

/// A session: a socket whose user is known.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) person: PersonId,
    pub(super) token: Token,
    /// Tells this session from others of the same socket.
    pub(super) epoch: u64,
    pub(super) channels: Channels,
    pub(super) last_seen: Instant,
    pub(super) activity: Activity,
    pub(super) idle_timer: TimerKey,
    /// When the token ends, if it does.
    pub(super) expiry_timer: Option<TimerKey>,
}

/// Whether a session is in the rooms of its user's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    /// It has asked to be.
    Wanted,
    /// A CONNECT alone does not.
    Unasked,
}

/// Whether something has been heard of a session lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Active,
    Idle,
}

/// A login that the store could not answer.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) token: Token,
    pub(super) channels: Channels,
    pub(super) epoch: u64,
}

/// What is kept of a verified token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) user: ByteString,
    pub(super) jti: Option<ByteString>,
    pub(super) issued_at_secs: Option<u64>,
    pub(super) expires: Option<WallTime>,
}

impl Token {
    /// `None` for claims that are too long or name nobody.
    pub(super) fn of(claims: &Claims, id_bytes_max: usize) -> Option<Self> {
        let user = claims.id().filter(|id| !id.is_empty() && id.len() <= id_bytes_max)?;
        if claims.jti().is_some_and(|jti| jti.len() > id_bytes_max) {
            return None;
        }
        Some(Self {
            user: user.into(),
            jti: claims.jti().map(ByteString::from),
            issued_at_secs: claims.iat().map(WallTime::as_unix_secs),
            expires: claims.exp(),
        })
    }

    pub(super) fn has_ended(&self, wall: WallTime) -> bool {
        self.expires.is_some_and(|expires| expires <= wall)
    }
}

/// The users who have sessions.
#[derive(Debug)]
pub(super) struct People {
    entries: Slab<PersonId, Person>,
    by_user: KeyedMap<ByteString, PersonId>,
}

impl People {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self { entries: Slab::new(), by_user: KeyedMap::with_hasher(hash) }
    }

    /// One more socket of a user, as the store knows the user now.
    pub(super) fn enter(&mut self, user: User, socket: SocketId) -> PersonId {
        let Self { entries, by_user } = self;
        let id = match by_user.get(&user.id) {
            Some(id) => *id,
            None => {
                let id = entries.insert(Person {
                    user: user.clone(),
                    sockets: Vec::new(),
                    active: 0,
                    channels: ChannelRead::Idle,
                });
                by_user.insert(user.id.clone(), id);
                id
            }
        };
        if let Some(person) = entries.get_mut(id) {
            person.user = user;
            if !person.sockets.contains(&socket) {
                person.sockets.push(socket);
            }
        }
        id
    }

    /// One socket less. The user, if it was the last.
    pub(super) fn exit(&mut self, id: PersonId, socket: SocketId) -> Option<User> {
        let person = self.entries.get_mut(id)?;
        person.sockets.retain(|other| *other != socket);
        if !person.sockets.is_empty() {
            return None;
        }
        let person = self.entries.remove(id)?;
        self.by_user.remove(&person.user.id);
        Some(person.user)
    }

    pub(super) fn get(&self, id: PersonId) -> Option<&Person> {
        self.entries.get(id)
    }

    pub(super) fn get_mut(&mut self, id: PersonId) -> Option<&mut Person> {
        self.entries.get_mut(id)
    }

    pub(super) fn of_user(&self, user: &str) -> Option<PersonId> {
        self.by_user.get(user).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Person> {
        self.entries.iter().map(|(_, person)| person)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// A user with at least one session.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) user: User,
    pub(super) sockets: Vec<SocketId>,
    /// How many of the sessions are active.
    pub(super) active: u32,
    pub(super) channels: ChannelRead,
}

/// Whether a person's channels are being read outside of any turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChannelRead {
    Idle,
    /// The question is open.
    Asked(QueryId),
    /// The question is open, and something has changed since.
    Stale(QueryId),
    /// The store did not answer: to be asked again.
    Retry(TimerKey),
}
