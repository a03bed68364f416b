//! Questions that have been asked and not answered.
//!
//! Owns: their numbers, their purposes and their deadlines. Must never know: what is done with an answer.

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;

use super::documents::Aim;
use super::query::{Query, QueryId, Question};
use super::sessions::PersonId;
use super::writes::WriteId;
use roomcast_core::server::SocketId;
use roomcast_core::time::Instant;
use roomcast_core::timer::{Fifo, FifoKey};

/// The open questions.
#[derive(Debug, Default)]
pub(super) struct Queries {
    last: u64,
    open: BTreeMap<QueryId, Open>,
    deadlines: Fifo<QueryId>,
    out: VecDeque<Query>,
}

impl Queries {
    pub(super) fn ask(&mut self, question: Question, purpose: Purpose, deadline: Instant) -> QueryId {
        self.last += 1;
        let id = QueryId(self.last);
        let deadline = Some(self.deadlines.arm(deadline, id));
        self.open.insert(id, Open { purpose, deadline });
        self.out.push_back(Query { id, question });
        id
    }

    /// An answer came. `None`: nobody waits for it any more.
    pub(super) fn answered(&mut self, id: QueryId) -> Option<Purpose> {
        let open = self.open.remove(&id)?;
        if let Some(deadline) = open.deadline {
            self.deadlines.cancel(deadline);
        }
        Some(open.purpose)
    }

    /// The next question whose deadline has passed. What was to be written stays open until it is asked again: an
    /// answer that comes late says that it need not be.
    pub(super) fn pop_overdue(&mut self, now: Instant) -> Option<(QueryId, Purpose)> {
        let id = self.deadlines.pop_due(now)?;
        let open = self.open.get_mut(&id)?;
        open.deadline = None;
        match open.purpose {
            Purpose::Write(_) => {}
            Purpose::Turn(_)
            | Purpose::Recheck { .. }
            | Purpose::Channels(_)
            | Purpose::NoteRoom { .. }
            | Purpose::ChatRoom { .. }
            | Purpose::Document(_) => {
                return self.open.remove(&id).map(|open| (id, open.purpose));
            }
        }
        Some((id, open.purpose.clone()))
    }

    pub(super) fn pop(&mut self) -> Option<Query> {
        self.out.pop_front()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next_deadline()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn unpolled(&self) -> usize {
        self.out.len()
    }
}

/// What a question was asked for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// An event of this socket, which waits with its turn.
    Turn(SocketId),
    /// To see whether a session, or a token whose user could not be looked up, still stands.
    Recheck {
        socket: SocketId,
        /// The session as it was then.
        epoch: u64,
    },
    /// To put a person's sockets into the right channels' rooms.
    Channels(PersonId),
    /// To see whether a socket may stay in a note's room.
    NoteRoom { socket: SocketId, epoch: u64, note: ByteString },
    /// To see whether a socket may stay in a chat's room.
    ChatRoom { socket: SocketId, epoch: u64, chat: ByteString },
    /// A write.
    Write(WriteId),
    /// Something about a document.
    Document(Aim),
}

#[derive(Debug)]
struct Open {
    purpose: Purpose,
    deadline: Option<FifoKey>,
}
