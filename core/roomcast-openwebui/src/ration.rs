//! How many dear events a socket may send.
//!
//! Owns: a budget for each socket, which refills with time. Must never know: which events are dear.

use super::by_socket::BySocket;
use roomcast_core::server::SocketId;
use roomcast_core::time::Instant;

/// The budgets of all sockets. A full one lets a burst through; then it lets through as many as it refills.
#[derive(Debug)]
pub(crate) struct Rations {
    burst: u32,
    per_second: u32,
    /// When each budget, as it was spent, would be full again.
    full_at: BySocket<Instant>,
}

impl Rations {
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst.max(1), per_second: per_second.max(1), full_at: BySocket::default() }
    }

    /// A socket arrived, with a full budget.
    pub(crate) fn open(&mut self, socket: SocketId, now: Instant) {
        self.full_at.insert(socket, now);
    }

    /// A socket is gone.
    pub(crate) fn close(&mut self, socket: SocketId) {
        self.full_at.remove(socket);
    }

    /// Takes one event's worth, if it is there.
    pub(crate) fn take(&mut self, socket: SocketId, now: Instant) -> bool {
        let each = NANOS_PER_SECOND / u64::from(self.per_second);
        let Some(full_at) = self.full_at.get_mut(socket) else { return true };
        let owed = full_at.as_nanos().saturating_sub(now.as_nanos());
        if owed + each > each * u64::from(self.burst) {
            return false;
        }
        *full_at = Instant::from_nanos(now.as_nanos() + owed + each);
        true
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn a_burst_passes_and_then_as_many_as_the_budget_refills() {
        let mut rations = Rations::new(5, 2);
        rations.open(socket(1), at(0));
        assert_eq!(taken(&mut rations, 0), 5);
        assert_eq!(taken(&mut rations, 499), 0);
        assert_eq!(taken(&mut rations, 500), 1);
        assert_eq!(taken(&mut rations, 2000), 3);
        assert_eq!(taken(&mut rations, 60_000), 5);
    }

    #[test]
    fn each_socket_has_a_budget_of_its_own() {
        let mut rations = Rations::new(1, 1);
        rations.open(socket(1), at(0));
        rations.open(socket(2), at(0));
        assert_eq!((taken(&mut rations, 0), rations.take(socket(2), at(0))), (1, true));
        rations.close(socket(1));
        rations.open(socket(1), at(0));
        assert_eq!(taken(&mut rations, 0), 1);
    }

    fn taken(rations: &mut Rations, millis: u64) -> usize {
        (0..100).filter(|_| rations.take(socket(1), at(millis))).count()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }
}
