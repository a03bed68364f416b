//! What the rest of the program asks of the application.
//!
//! Owns: which part answers a request, and which sockets a request addresses. Must never know: HTTP, or the requester.

use std::collections::BTreeSet;
use std::time::Duration;

use bytestring::ByteString;
use serde::Deserialize;

use super::OpenWebUi;
use crate::documents::VisitTask;
use crate::elsewhere;
use crate::requests::{LoginInfo, Request, Response, SocketInfo, SocketPlace, To};
use crate::sockets::Stage;
use crate::wire;
use roomcast_core::server::{
    AckRequest, AppRequestId, ClusterCommand, ClusterEvent, Command, Cx, Delivery, Emit, Event, Extent, ReplyTo,
    Selection, Sid, SocketId, Target,
};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    pub(super) fn request(&mut self, ticket: AppRequestId, request: Request, cx: &mut Cx<'_>) {
        let answer = match request {
            Request::Emit { to, skip, event, args, change } => self.emit((&to, &skip), (event, args), change, cx),
            Request::Call { sid, user, event, args, timeout } => {
                match self.call(ticket, (&sid, user.as_ref()), (event, args), timeout, cx) {
                    Ok(()) => return,
                    Err(refusal) => refusal,
                }
            }
            Request::Enter { to, room } => return self.move_sockets(ticket, &to, room, Move::Enter, cx),
            Request::Leave { to, room } => return self.move_sockets(ticket, &to, room, Move::Leave, cx),
            Request::Members { to } => {
                let here = Response::Members(self.members(&to, cx));
                return self.answer_for_all(ticket, &to, here, cx);
            }
            Request::Disconnect { to, extent } => return self.disconnect(ticket, &to, extent, cx),
            Request::Refresh { user } => Response::Done { sockets: self.refresh(&user, cx) },
            Request::RefreshToken { jti } => Response::Done { sockets: self.refresh_token(&jti, cx) },
            Request::ReadChannels { user } => Response::Done { sockets: self.channels_changed(&user, cx) },
            Request::Login { socket } => Response::Login(self.login(socket).map(Box::new)),
            Request::RoomUsers { room } => Response::Users(self.users_in(&room, cx)),
            Request::ActiveUsers => return self.active_users_of_all(ticket, cx),
            Request::ModelsInUse => Response::Models(self.usage.models().cloned().collect()),
            Request::Counts => Response::Counts(Box::new(self.pool())),
            Request::DocumentState { document, user } => {
                return self.visit_document(ticket, (&document, user), VisitTask::Read, cx);
            }
            Request::DocumentUpdate { document, user, update, content, intent } => {
                let task = VisitTask::Write { update, content, intent };
                return self.visit_document(ticket, (&document, user), task, cx);
            }
            Request::Flush { timeout } => return self.flush(ticket, timeout, cx),
        };
        self.answers.push_back((ticket, answer));
    }

    /// The login of a socket, if it has one.
    pub fn login(&self, socket: SocketId) -> Option<LoginInfo> {
        let user = self.user_of(socket)?.clone();
        let sid = self.sockets.get(socket)?.sid.as_str().into();
        Some(LoginInfo { sid, user })
    }

    /// The users with an active login, in order.
    pub fn active_users(&self) -> Vec<ByteString> {
        self.activity.users().cloned().collect()
    }

    /// A user's channels have changed. How many sockets that is about.
    fn channels_changed(&mut self, user: &ByteString, cx: &Cx<'_>) -> usize {
        let sockets = self.sockets.sockets_of(user).len();
        if sockets > 0 {
            self.channel_reads.read_again(user, cx.now);
        }
        sockets
    }

    /// The sockets that a request means, less the skipped ones. `None`: a socket that does not exist, or no room at all.
    pub(super) fn target(&self, to: &To, skip: &[ByteString], cx: &Cx<'_>) -> Option<Target> {
        let namespace = self.settings.scope.clone();
        let mut selection = Selection::of(namespace.clone());
        match to {
            To::All => {}
            To::User(user) if skip.is_empty() => return Some(Target::Room { namespace, room: wire::user_room(user) }),
            To::Room(room) if skip.is_empty() => return Some(Target::Room { namespace, room: room.clone() }),
            To::User(user) => selection.rooms.push(wire::user_room(user)),
            To::Room(room) => selection.rooms.push(room.clone()),
            // No room is none, and not all.
            To::Rooms(rooms) if rooms.is_empty() => return None,
            To::Rooms(rooms) => selection.rooms.clone_from(rooms),
            To::Socket(sid) => match cx.server.socket(&namespace, sid) {
                Some(socket) if skip.is_empty() => return Some(Target::Socket(socket)),
                Some(socket) => selection.sockets.push(socket),
                // Its own room, on any node.
                None if cx.server.node_id().is_some() && Sid::parse(sid).is_some() => selection.rooms.push(sid.clone()),
                None => return None,
            },
        }
        selection.except_rooms.extend_from_slice(skip);
        Some(Target::Select(Box::new(selection)))
    }

    /// The sockets that a request means, each once.
    fn sockets_meant(&self, to: &To, cx: &Cx<'_>) -> BTreeSet<SocketId> {
        let scope = &self.settings.scope;
        let room = |room: &str| cx.server.members(scope, room).chain(cx.server.socket(scope, room)).collect::<Vec<_>>();
        match to {
            To::All => {
                self.sockets.iter().filter(|record| record.stage == Stage::In).map(|record| record.socket).collect()
            }
            To::Rooms(rooms) => rooms.iter().flat_map(|name| room(name)).collect(),
            To::User(user) => room(&wire::user_room(user)).into_iter().collect(),
            To::Room(name) => room(name).into_iter().collect(),
            To::Socket(sid) => cx.server.socket(scope, sid).into_iter().collect(),
        }
    }

    fn members(&self, to: &To, cx: &Cx<'_>) -> Vec<SocketInfo> {
        let sockets = self.sockets_meant(to, cx);
        let member = |socket| {
            let record = self.sockets.get(socket)?;
            let (sid, chats) = (record.sid.as_str().into(), record.chats.keys().cloned().collect());
            Some(SocketInfo { sid, user: self.user_of(socket).cloned(), chats, place: SocketPlace::Here })
        };
        sockets.into_iter().filter_map(member).collect()
    }

    fn move_sockets(&mut self, ticket: AppRequestId, to: &To, room: ByteString, way: Move, cx: &mut Cx<'_>) {
        if room.is_empty() || room.len() > self.settings.limits.id_bytes_max {
            return self.answers.push_back((ticket, Response::Malformed));
        }
        let meant = self.sockets_meant(to, cx);
        self.answer_for_all(ticket, to, Response::Done { sockets: meant.len() }, cx);
        if let Some(target) = self.target(to, &[], cx) {
            match way {
                Move::Enter => cx.command(Command::Join { target, room }),
                Move::Leave => {
                    cx.command(Command::Leave { target, room: room.clone() });
                    for socket in meant {
                        self.document_room_left(socket, &room, cx);
                        if let Some(chat) = self.chat_room_left(socket, &room) {
                            self.chat_left(socket, &chat, cx);
                        }
                    }
                }
            }
        }
    }

    fn disconnect(&mut self, ticket: AppRequestId, to: &To, extent: Extent, cx: &mut Cx<'_>) {
        let sockets = self.sockets_meant(to, cx).len();
        self.answer_for_all(ticket, to, Response::Done { sockets }, cx);
        if let Some(target) = self.target(to, &[], cx) {
            cx.command(Command::Disconnect { target, extent });
        }
    }

    /// Answers with what there is here and on the other nodes, which are asked first, if any of them may have some. They are
    /// asked before they are told to do something, so that they see what is there before it.
    fn answer_for_all(&mut self, ticket: AppRequestId, to: &To, here: Response, cx: &mut Cx<'_>) {
        let target = self.target(to, &[], cx).filter(|target| !matches!(target, Target::Socket(_)));
        match target.filter(|_| cx.server.node_id().is_some()) {
            Some(target) => {
                let fetch = self.elsewhere.open(ticket, here);
                let timeout = self.settings.fetch_timeout;
                cx.command(Command::Cluster(ClusterCommand::FetchSockets { fetch, target, timeout }));
            }
            None => self.answers.push_back((ticket, here)),
        }
    }

    /// Answers with the active users of all nodes.
    fn active_users_of_all(&mut self, ticket: AppRequestId, cx: &mut Cx<'_>) {
        let here = self.active_users();
        if cx.server.nodes().next().is_none() {
            return self.answers.push_back((ticket, Response::Users(here)));
        }
        let emit = self.elsewhere.open_users(ticket, here.into_iter().collect());
        let ack = Some(AckRequest { emit, timeout: self.settings.fetch_timeout });
        let namespace = self.settings.scope.namespace.clone();
        let ask = ClusterCommand::ServerEmit { namespace, name: ACTIVE_USERS, args: Args::empty(), ack };
        cx.command(Command::Cluster(ask));
    }

    fn tell_active_users(&self, reply: Option<Box<ReplyTo>>, cx: &mut Cx<'_>) {
        let users: Vec<&str> = self.activity.users().map(|user| &**user).collect();
        if let Some(reply) = reply {
            cx.command(Command::Cluster(ClusterCommand::ServerReply { reply, args: wire::args(&users) }));
        }
    }

    /// Something happened on other nodes: given back unless it is about a request.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is another's goes on, also an event that is new")]
    pub(super) fn handle_fetched(&mut self, event: ClusterEvent, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            ClusterEvent::ServerReceived { name, reply, .. } if name == ACTIVE_USERS => {
                self.tell_active_users(reply, cx);
                None
            }
            ClusterEvent::ServerReplied { emit, args, .. } if elsewhere::asks_for_users(emit) => {
                self.elsewhere.handle_users(emit, args.parse().unwrap_or_default());
                None
            }
            ClusterEvent::ServerRepliesEnded { emit, .. } if elsewhere::asks_for_users(emit) => {
                self.answers.extend(self.elsewhere.handle_users_ended(emit));
                None
            }
            ClusterEvent::SocketsFetched { fetch, sockets, .. } if elsewhere::is_own(fetch) => {
                self.answers.extend(self.elsewhere.handle_fetched(fetch, sockets));
                None
            }
            event => Some(Event::Cluster(Box::new(event))),
        }
    }

    /// The users of a room, in order. Sockets without a login have none.
    fn users_in(&self, room: &str, cx: &Cx<'_>) -> Vec<ByteString> {
        let members = cx.server.members(&self.settings.scope, room);
        let users: BTreeSet<_> =
            members.filter_map(|socket| self.user_of(socket)).map(|user| user.id.clone()).collect();
        users.into_iter().collect()
    }

    /// Stores everything now, and what arrives meanwhile. Answered when that is done, or after `timeout`.
    fn flush(&mut self, request: AppRequestId, timeout: Duration, cx: &mut Cx<'_>) {
        self.flushes.handle_request(request, cx.now + timeout);
        self.hurry(cx);
        self.end_flushes(cx);
    }

    /// Calls a socket, or says why not. A socket's id is what clients say, so the login must be the user's.
    fn call(
        &mut self,
        request: AppRequestId,
        (sid, user): (&str, Option<&ByteString>),
        (event, args): (ByteString, Args),
        timeout: Duration,
        cx: &mut Cx<'_>,
    ) -> Result<(), Response> {
        let max = self.settings.call_timeout_max;
        if timeout > max {
            return Err(Response::TimeoutTooLong { max });
        }
        self.check_event(&event)?;
        let socket = cx.server.socket(&self.settings.scope, sid).ok_or(Response::Gone)?;
        let owner = self.user_of(socket).ok_or(Response::Gone)?;
        if user.is_some_and(|user| *user != owner.id) {
            return Err(Response::NotOwner);
        }
        // The front end answers only what names itself.
        if args.get(0).and_then(sid_named).is_some_and(|named| named != sid) {
            return Err(Response::Malformed);
        }
        let emit = self.calls.open(request, socket).ok_or(Response::Overloaded)?;
        cx.command(Command::Emit(Emit {
            target: Target::Socket(socket),
            name: event,
            args,
            delivery: Delivery::Reliable,
            ack: Some(AckRequest { emit, timeout }),
        }));
        Ok(())
    }
}

/// What nodes ask each other, in the namespace of the application.
const ACTIVE_USERS: ByteString = ByteString::from_static("roomcast:active-users");

/// Which way sockets move.
#[derive(Clone, Copy, Debug)]
enum Move {
    Enter,
    Leave,
}

/// `data.data.session_id` of an event.
fn sid_named(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct EventEnvelope {
        data: EventData,
    }
    #[derive(Deserialize)]
    struct EventData {
        data: SessionNamed,
    }
    #[derive(Deserialize)]
    struct SessionNamed {
        session_id: String,
    }
    serde_json::from_str::<EventEnvelope>(data).ok().map(|envelope| envelope.data.data.session_id)
}
