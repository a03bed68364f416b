//! What peers must have done by when: join a namespace, finish an upgrade, finish closing, finish what they began.
//!
//! Owns: deadlines of one constant length per endpoint and kind. Must never know: what follows from a missed one.

use std::time::Duration;

use super::config::{Endpoint, EndpointId, EndpointKind, ServerLimits};
use super::event::{ConnId, SessionId};
use super::timer_kind::TimerKind;
use crate::time::Instant;
use crate::timer::{Fifo, FifoKey};

/// The machine of deadlines.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// By endpoint, then by [`DeadlineKind`].
    endpoints: Vec<[DeadlineQueue; KINDS]>,
}

/// What must be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeadlineKind {
    /// A namespace must be joined.
    Connect,
    /// A WebSocket that probes must have become the transport.
    Upgrade,
    /// A closing transport must be gone.
    Close,
    /// A frame, a message or a packet that has begun must be whole.
    Partial,
}

/// The session, connection or request that must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeadlineSubject {
    Session(SessionId),
    Conn(ConnId),
}

/// An armed deadline.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadlineKey {
    endpoint: EndpointId,
    kind: DeadlineKind,
    key: FifoKey,
}

#[derive(Debug)]
struct DeadlineQueue {
    span: Duration,
    fifo: Fifo<DeadlineSubject>,
}

impl Deadlines {
    /// A machine for these endpoints.
    pub(super) fn new(endpoints: &[Endpoint], limits: &ServerLimits) -> Self {
        let lines = |endpoint: &Endpoint| {
            ALL.map(|kind| DeadlineQueue { span: span(kind, &endpoint.kind, limits), fifo: Fifo::new() })
        };
        Self { endpoints: endpoints.iter().map(lines).collect() }
    }

    /// Arms a deadline; `None` if there is no such endpoint.
    pub(super) fn arm(
        &mut self,
        kind: DeadlineKind,
        endpoint: EndpointId,
        subject: DeadlineSubject,
        now: Instant,
    ) -> Option<DeadlineKey> {
        let line = self.endpoints.get_mut(endpoint.index())?.get_mut(kind as usize)?;
        Some(DeadlineKey { endpoint, kind, key: line.fifo.arm(now + line.span, subject) })
    }

    /// Forgets a deadline, if there is one and it has not passed.
    pub(super) fn cancel(&mut self, key: Option<DeadlineKey>) {
        let Some(DeadlineKey { endpoint, kind, key }) = key else { return };
        let line = self.endpoints.get_mut(endpoint.index()).and_then(|lines| lines.get_mut(kind as usize));
        if let Some(line) = line {
            line.fifo.cancel(key);
        }
    }

    /// The next deadline that has passed.
    pub(super) fn poll_missed(&mut self, now: Instant) -> Option<(DeadlineKind, DeadlineSubject)> {
        let lines = self.endpoints.iter_mut().flatten().zip(ALL.iter().cycle());
        lines.into_iter().find_map(|(line, kind)| Some((*kind, line.fifo.pop_due(now)?)))
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        let lines = self.endpoints.iter().flatten().zip(ALL.iter().cycle());
        let armed = lines.filter_map(|(line, kind)| Some((line.fifo.next_deadline()?, kind.timer())));
        armed.min_by_key(|(at, _)| *at)
    }

    /// How many deadlines are armed.
    pub(super) fn armed(&self) -> usize {
        self.endpoints.iter().flatten().map(|line| line.fifo.len()).sum()
    }
}

impl DeadlineKind {
    const fn timer(self) -> TimerKind {
        match self {
            Self::Connect => TimerKind::Connect,
            Self::Upgrade => TimerKind::Upgrade,
            Self::Close => TimerKind::Close,
            Self::Partial => TimerKind::Partial,
        }
    }
}

const ALL: [DeadlineKind; 4] =
    [DeadlineKind::Connect, DeadlineKind::Upgrade, DeadlineKind::Close, DeadlineKind::Partial];
const KINDS: usize = ALL.len();

fn span(kind: DeadlineKind, endpoint: &EndpointKind, limits: &ServerLimits) -> Duration {
    match (kind, endpoint) {
        (DeadlineKind::Connect, EndpointKind::SocketIo(_, socket)) => socket.connect_timeout,
        (DeadlineKind::Upgrade, EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) => {
            engine.upgrade_timeout
        }
        (DeadlineKind::Close, _) => limits.close_timeout,
        (DeadlineKind::Partial, _) => limits.partial_timeout,
        // Never armed.
        (DeadlineKind::Connect, EndpointKind::EngineIo(_) | EndpointKind::WebSocket(_))
        | (DeadlineKind::Upgrade, EndpointKind::WebSocket(_)) => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;
    use crate::server::config::{EngineIo, SocketIo};

    #[test]
    fn each_kind_has_the_length_of_its_endpoint() {
        let mut deadlines = deadlines();
        let [first, second] = [0, 1].map(EndpointId::new);
        deadlines.arm(DeadlineKind::Connect, first, session(1), at(0));
        deadlines.arm(DeadlineKind::Upgrade, first, session(2), at(0));
        deadlines.arm(DeadlineKind::Upgrade, second, session(3), at(0));
        deadlines.arm(DeadlineKind::Close, second, DeadlineSubject::Conn(ConnId::from_parts(4, 0)), at(0));
        assert_eq!(deadlines.poll_timeout(), Some((at(5), TimerKind::Close)));
        assert_eq!(deadlines.poll_missed(at(4)), None);
        let missed = [5, 10, 20, 30].map(|millis| {
            let missed = deadlines.poll_missed(at(millis));
            assert_eq!(deadlines.poll_missed(at(millis)), None);
            missed.unwrap()
        });
        assert_eq!(
            missed,
            [
                (DeadlineKind::Close, DeadlineSubject::Conn(ConnId::from_parts(4, 0))),
                (DeadlineKind::Upgrade, session(2)),
                (DeadlineKind::Upgrade, session(3)),
                (DeadlineKind::Connect, session(1)),
            ]
        );
        assert_eq!((deadlines.poll_timeout(), deadlines.armed()), (None, 0));
    }

    #[test]
    fn a_cancelled_deadline_is_not_missed() {
        let mut deadlines = deadlines();
        let endpoint = EndpointId::new(0);
        let keys = ALL.map(|kind| deadlines.arm(kind, endpoint, session(1), at(0)));
        assert_eq!(deadlines.armed(), 4);
        keys.into_iter().for_each(|key| deadlines.cancel(key));
        deadlines.cancel(None);
        assert_eq!((deadlines.armed(), deadlines.poll_missed(at(1000))), (0, None));
        assert!(deadlines.arm(DeadlineKind::Close, EndpointId::new(9), session(1), at(0)).is_none());
    }

    fn deadlines() -> Deadlines {
        let millis = Duration::from_millis;
        let mut first = Endpoint::socket_io("/a");
        first.kind = EndpointKind::SocketIo(
            EngineIo { upgrade_timeout: millis(10), ..EngineIo::default() },
            SocketIo { connect_timeout: millis(30), ..SocketIo::default() },
        );
        let mut second = Endpoint::engine_io("/b");
        second.kind = EndpointKind::EngineIo(EngineIo { upgrade_timeout: millis(20), ..EngineIo::default() });
        Deadlines::new(&[first, second], &ServerLimits { close_timeout: millis(5), ..ServerLimits::default() })
    }

    fn session(slot: u32) -> DeadlineSubject {
        DeadlineSubject::Session(SessionId::from_parts(slot, 0))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
