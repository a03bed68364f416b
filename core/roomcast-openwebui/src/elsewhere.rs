//! Requests about sockets of which some may be on other nodes.
//!
//! Owns: what each is answered as far as this node knows, until the others have said what they have. Must never know: how
//! they are asked, or for how long.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::requests::{Response, SocketInfo, SocketPlace};
use super::wire::CHAT_ROOM;
use roomcast_core::server::{AppRequestId, EmitId, FetchId, FetchedSocket};

/// The requests that wait for other nodes. The server says when these have answered, or have not in time.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    last: u64,
    open: BTreeMap<FetchId, (AppRequestId, Response)>,
    /// Requests for users, with those that are known so far.
    users: BTreeMap<EmitId, (AppRequestId, BTreeSet<ByteString>)>,
}

impl Elsewhere {
    /// A request waits, to be asked under this id. `here`: what it is answered without the others.
    pub(crate) fn open(&mut self, request: AppRequestId, here: Response) -> FetchId {
        self.last += 1;
        let fetch = FetchId(FETCH_BIT | self.last);
        self.open.insert(fetch, (request, here));
        fetch
    }

    /// The other nodes have answered: what the request is answered, if it is one of these.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other response waits")]
    pub(crate) fn handle_fetched(
        &mut self,
        fetch: FetchId,
        sockets: Vec<FetchedSocket>,
    ) -> Option<(AppRequestId, Response)> {
        let (request, mut response) = self.open.remove(&fetch)?;
        let elsewhere = sockets.into_iter().filter(|socket| socket.node.is_some());
        match &mut response {
            Response::Done { sockets } => *sockets += elsewhere.count(),
            Response::Members(members) => members.extend(elsewhere.map(|FetchedSocket { sid, rooms, .. }| {
                // Its user is known there.
                let chats =
                    rooms.iter().filter_map(|room| room.strip_prefix(CHAT_ROOM)).map(ByteString::from).collect();
                SocketInfo { sid, user: None, chats, place: SocketPlace::Elsewhere { rooms } }
            })),
            _ => {}
        }
        Some((request, response))
    }

    /// A request for users waits, to be asked under this id.
    pub(crate) fn open_users(&mut self, request: AppRequestId, here: BTreeSet<ByteString>) -> EmitId {
        self.last += 1;
        let emit = EmitId(USERS_BIT | self.last);
        self.users.insert(emit, (request, here));
        emit
    }

    /// A node has said which users it has.
    pub(crate) fn handle_users(&mut self, emit: EmitId, there: Vec<String>) {
        if let Some((_, users)) = self.users.get_mut(&emit) {
            users.extend(there.into_iter().map(ByteString::from));
        }
    }

    /// No further node answers.
    pub(crate) fn handle_users_ended(&mut self, emit: EmitId) -> Option<(AppRequestId, Response)> {
        let (request, users) = self.users.remove(&emit)?;
        Some((request, Response::Users(users.into_iter().collect())))
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.users.len()
    }
}

/// Whether sockets were fetched for the application. The ids of its own fetches have the highest bit set; those of the layer
/// above must leave it clear.
pub(crate) const fn is_own(fetch: FetchId) -> bool {
    fetch.0 & FETCH_BIT != 0
}

/// Whether a server-side emit was the application's own. The layer above must leave the bit clear, as that of a call.
pub(crate) const fn asks_for_users(emit: EmitId) -> bool {
    emit.0 >> 62 == USERS_BIT >> 62
}

const FETCH_BIT: u64 = 1 << 63;
const USERS_BIT: u64 = 1 << 62;
