//! What the rest of the program asks of the application.
//!
//! Owns: which part answers a request, and which sockets a request addresses. Must never know: HTTP, or the requester.

use std::collections::BTreeSet;
use std::time::Duration;

use bytestring::ByteString;
use serde::Deserialize;

use super::OpenWebUi;
use crate::documents::Task;
use crate::requests::{LoginInfo, Request, Response, To};
use crate::wire;
use roomcast_core::server::{AckRequest, AppRequestId, Command, Cx, Delivery, Emit, Extent, SocketId, Target};

impl OpenWebUi {
    pub(super) fn request(&mut self, ticket: AppRequestId, request: Request, cx: &mut Cx<'_>) {
        let answer = match request {
            Request::Emit { to, event, data } => self.emit(&to, event, data, cx),
            Request::Call { sid, user, event, data, timeout } => {
                match self.call(ticket, (&sid, user.as_ref()), (event, data), timeout, cx) {
                    Ok(()) => return,
                    Err(refusal) => refusal,
                }
            }
            Request::Disconnect { to, extent } => self.disconnect(&to, extent, cx),
            Request::Refresh { user } => Response::Done { sockets: self.refresh(&user, cx) },
            Request::RefreshToken { jti } => Response::Done { sockets: self.refresh_token(&jti, cx) },
            Request::ReadChannels { user } => Response::Done { sockets: self.channels_changed(&user, cx) },
            Request::Login { socket } => Response::Login(self.login(socket).map(Box::new)),
            Request::RoomUsers { room } => Response::Users(self.users_in(&room, cx)),
            Request::ActiveUsers => Response::Users(self.active_users()),
            Request::ModelsInUse => Response::Models(self.usage.models().cloned().collect()),
            Request::Pool => Response::Pool(Box::new(self.pool())),
            Request::DocumentState { document, user } => {
                return self.visit_document(ticket, (&document, user), Task::Read, cx);
            }
            Request::DocumentUpdate { document, user, update, content, intent } => {
                let task = Task::Write { update, content, intent };
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

    /// The sockets that a request means. `None`: a socket that does not exist.
    pub(super) fn target(&self, to: &To, cx: &Cx<'_>) -> Option<Target> {
        let scope = &self.settings.scope;
        let room = match to {
            To::User(user) => wire::user_room(user),
            To::Room(room) => room.clone(),
            To::Socket(sid) => return cx.server.socket(scope, sid).map(Target::Socket),
        };
        Some(Target::Room { namespace: scope.clone(), room })
    }

    fn disconnect(&mut self, to: &To, extent: Extent, cx: &mut Cx<'_>) -> Response {
        let Some(target) = self.target(to, cx) else { return Response::Done { sockets: 0 } };
        let sockets = match &target {
            Target::Room { namespace, room } => cx.server.members(namespace, room).count(),
            Target::Socket(_) | Target::Select(_) => 1,
        };
        cx.command(Command::Disconnect { target, extent });
        Response::Done { sockets }
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
        (event, data): (ByteString, ByteString),
        timeout: Duration,
        cx: &mut Cx<'_>,
    ) -> Result<(), Response> {
        let max = self.settings.call_timeout_max;
        if timeout > max {
            return Err(Response::TimeoutTooLong { max });
        }
        let args = self.one_argument(&event, &data).ok_or(Response::Malformed)?;
        let socket = cx.server.socket(&self.settings.scope, sid).ok_or(Response::Gone)?;
        let owner = self.user_of(socket).ok_or(Response::Gone)?;
        if user.is_some_and(|user| *user != owner.id) {
            return Err(Response::NotOwner);
        }
        // The front end answers only what names itself.
        if sid_named(&data).is_some_and(|named| named != sid) {
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

/// `data.data.session_id` of an event.
fn sid_named(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Event,
    }
    #[derive(Deserialize)]
    struct Event {
        data: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        session_id: String,
    }
    serde_json::from_str::<Envelope>(data).ok().map(|envelope| envelope.data.data.session_id)
}
