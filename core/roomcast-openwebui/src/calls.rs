//! The event caller: an event with an ack to one session.
//!
//! Owns: whose session may be called, and that each call is answered once. Must never know: what is called for.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;
use serde::Deserialize;

use super::OpenWebUi;
use super::requests::Response;
use roomcast_core::server::{AckEnd, AckRequest, AppRequestId, Command, Cx, Delivery, Emit, EmitId, SocketId, Target};
use roomcast_core::socket_io::Args;

/// The calls that wait for their answer.
#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u64,
    open: BTreeMap<EmitId, Call>,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[derive(Clone, Copy, Debug)]
struct Call {
    ticket: AppRequestId,
    socket: SocketId,
}

/// Whether an emit is a call of the application's. Its ids have the highest bit, which those of the layer above must
/// not have.
pub(super) const fn is_call(emit: EmitId) -> bool {
    emit.0 & CALL_BIT != 0
}

impl OpenWebUi {
    /// Calls a session, or says why not. A session's id is what clients say, so the session must be the user's.
    pub(super) fn call(
        &mut self,
        ticket: AppRequestId,
        (sid, user): (&str, Option<&ByteString>),
        (event, data): (ByteString, ByteString),
        timeout: Duration,
        cx: &mut Cx<'_>,
    ) -> Result<(), Response> {
        let args = self.one_argument(&event, &data).ok_or(Response::Malformed)?;
        let socket = cx.server.socket(&self.settings.scope, sid).ok_or(Response::Gone)?;
        let owner = self.user_of(socket).ok_or(Response::Gone)?;
        if user.is_some_and(|user| *user != owner.id) {
            return Err(Response::NotOwner);
        }
        // The front end answers only what names itself.
        if session_named(&data).is_some_and(|named| named != sid) {
            return Err(Response::Malformed);
        }
        if self.calls.open.len() >= self.settings.limits.calls_max {
            return Err(Response::Overloaded);
        }
        self.calls.last += 1;
        let emit = EmitId(CALL_BIT | self.calls.last);
        self.calls.open.insert(emit, Call { ticket, socket });
        if let Some(record) = self.sockets.get_mut(socket) {
            record.calls.push(emit);
        }
        let timeout = timeout.min(self.settings.call_timeout_max);
        cx.command(Command::Emit(Emit {
            target: Target::Socket(socket),
            name: event,
            args,
            delivery: Delivery::Reliable,
            ack: Some(AckRequest { emit, timeout }),
        }));
        Ok(())
    }

    /// A call was acknowledged.
    pub(super) fn call_acked(&mut self, emit: EmitId, args: Args) {
        self.answer_call(emit, Response::Called(args));
    }

    /// A call will not be acknowledged any more.
    pub(super) fn call_ended(&mut self, emit: EmitId, end: AckEnd) {
        match end {
            AckEnd::TimedOut => self.answer_call(emit, Response::TimedOut),
            AckEnd::Gone | AckEnd::Complete => self.answer_call(emit, Response::Gone),
        }
    }

    /// A session is gone, though its socket may be there: whoever has it next does not answer for it.
    pub(super) fn end_calls(&mut self, socket: SocketId) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        for emit in std::mem::take(&mut record.calls) {
            self.answer_call(emit, Response::Gone);
        }
    }

    fn answer_call(&mut self, emit: EmitId, answer: Response) {
        let Some(call) = self.calls.open.remove(&emit) else { return };
        if let Some(record) = self.sockets.get_mut(call.socket) {
            record.calls.retain(|other| *other != emit);
        }
        self.answers.push_back((call.ticket, answer));
    }
}

/// `data.data.session_id` of an event.
fn session_named(data: &str) -> Option<String> {
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

const CALL_BIT: u64 = 1 << 63;
