//! Calls: events with an ack to one socket, for a request of the program.
//!
//! Owns: which request a call answers, and that each is answered once. Must never know: the meaning of a call, or the
//! right to make it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::requests::Response;
use roomcast_core::server::{AckEnd, AppRequestId, EmitId, SocketId};
use roomcast_core::socket_io::Args;

/// The calls without an answer. Their deadlines are the server's: it says when an ack can no longer arrive.
#[derive(Debug)]
pub(crate) struct Calls {
    max: usize,
    last: u64,
    open: BTreeMap<EmitId, Call>,
    by_socket: BTreeSet<(SocketId, EmitId)>,
    responses: VecDeque<(AppRequestId, Response)>,
}

impl Calls {
    pub(crate) fn new(max: usize) -> Self {
        let (open, by_socket) = (BTreeMap::new(), BTreeSet::new());
        Self { max, last: 0, open, by_socket, responses: VecDeque::new() }
    }

    /// Opens a call, to be emitted under this id. `None`: as many are open as may be.
    pub(crate) fn open(&mut self, request: AppRequestId, socket: SocketId) -> Option<EmitId> {
        if self.open.len() >= self.max {
            return None;
        }
        self.last += 1;
        let emit = EmitId(CALL_BIT | self.last);
        self.open.insert(emit, Call { request, socket });
        self.by_socket.insert((socket, emit));
        Some(emit)
    }

    pub(crate) fn handle_acked(&mut self, emit: EmitId, args: Args) {
        self.respond(emit, Response::Called(args));
    }

    /// A call can no longer be acknowledged.
    pub(crate) fn handle_ended(&mut self, emit: EmitId, end: AckEnd) {
        match end {
            AckEnd::TimedOut => self.respond(emit, Response::TimedOut),
            AckEnd::Gone | AckEnd::Complete => self.respond(emit, Response::Gone),
        }
    }

    /// A login ended, though its socket may stay: the next login of the socket does not answer for it.
    pub(crate) fn handle_logout(&mut self, socket: SocketId) {
        while let Some((of, emit)) = self.by_socket.range((socket, EmitId(0))..).next().copied()
            && of == socket
        {
            self.respond(emit, Response::Gone);
        }
    }

    pub(crate) fn poll_response(&mut self) -> Option<(AppRequestId, Response)> {
        self.responses.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    fn respond(&mut self, emit: EmitId, response: Response) {
        let Some(call) = self.open.remove(&emit) else { return };
        self.by_socket.remove(&(call.socket, emit));
        self.responses.push_back((call.request, response));
    }
}

/// Whether an emit is one of the application's calls. The ids of calls have the highest bit set; the ids of the layer
/// above must leave it clear.
pub(crate) const fn is_call(emit: EmitId) -> bool {
    emit.0 & CALL_BIT != 0
}

#[derive(Clone, Copy, Debug)]
struct Call {
    request: AppRequestId,
    socket: SocketId,
}

const CALL_BIT: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn a_call_is_answered_once() {
        let mut calls = Calls::new(9);
        let emit = calls.open(AppRequestId(1), socket(1)).unwrap();
        assert!(is_call(emit) && !is_call(EmitId(1)));
        calls.handle_acked(emit, Args::empty());
        calls.handle_ended(emit, AckEnd::TimedOut);
        calls.handle_logout(socket(1));
        assert!(matches!(calls.poll_response(), Some((AppRequestId(1), Response::Called(_)))));
        assert!(calls.poll_response().is_none() && calls.len() == 0);
    }

    #[test]
    fn a_logout_ends_the_calls_of_that_socket_alone() {
        let mut calls = Calls::new(9);
        for (request, number) in [(1, 1), (2, 2), (3, 1)] {
            calls.open(AppRequestId(request), socket(number)).unwrap();
        }
        calls.handle_logout(socket(1));
        for request in [1, 3] {
            assert!(matches!(calls.poll_response(), Some((id, Response::Gone)) if id == AppRequestId(request)));
        }
        assert!(calls.poll_response().is_none() && calls.len() == 1);
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = Calls::new(1);
        let emit = calls.open(AppRequestId(1), socket(1)).unwrap();
        assert_eq!(calls.open(AppRequestId(2), socket(1)), None);
        calls.handle_ended(emit, AckEnd::Gone);
        assert!(calls.open(AppRequestId(2), socket(1)).is_some());
    }
}
