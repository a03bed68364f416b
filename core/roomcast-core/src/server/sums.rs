//! The numbers of several servers together.
//!
//! Owns: the sums. Must never know: what is counted.

use std::ops::AddAssign;

use super::{Audit, Counters};

impl AddAssign for Audit {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a field more does not go unseen.
        let Self {
            sessions,
            conns,
            requests,
            sockets,
            namespaces,
            rooms,
            session_sids,
            socket_sids,
            acks,
            timers,
            queued_bytes,
            unadmitted_bytes,
            outputs,
            unread,
            cluster,
            recovery,
            recovery_bytes,
        } = other;
        self.sessions += sessions;
        self.conns += conns;
        self.requests += requests;
        self.sockets += sockets;
        self.namespaces += namespaces;
        self.rooms += rooms;
        self.session_sids += session_sids;
        self.socket_sids += socket_sids;
        self.acks += acks;
        self.timers += timers;
        self.queued_bytes += queued_bytes;
        self.unadmitted_bytes += unadmitted_bytes;
        self.outputs += outputs;
        self.unread += unread;
        self.cluster += cluster;
        self.recovery += recovery;
        self.recovery_bytes += recovery_bytes;
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a field more does not go unseen.
        let Self {
            sessions_opened,
            sockets_connected,
            packets_received,
            packets_queued,
            volatile_dropped,
            upgrades,
            too_slow,
            pings_unanswered,
            peer_faults,
            reserved_refused,
            stale_handles,
            sockets_recovered,
            recoveries_failed,
            packets_replayed,
        } = other;
        self.sessions_opened += sessions_opened;
        self.sockets_connected += sockets_connected;
        self.packets_received += packets_received;
        self.packets_queued += packets_queued;
        self.volatile_dropped += volatile_dropped;
        self.upgrades += upgrades;
        self.too_slow += too_slow;
        self.pings_unanswered += pings_unanswered;
        self.peer_faults += peer_faults;
        self.reserved_refused += reserved_refused;
        self.stale_handles += stale_handles;
        self.sockets_recovered += sockets_recovered;
        self.recoveries_failed += recoveries_failed;
        self.packets_replayed += packets_replayed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_several_servers_is_added_to_its_own() {
        let (mut audits, mut counts) = (audit(1), counters(1));
        audits += audit(10);
        counts += counters(10);
        assert_eq!((audits, counts), (audit(11), counters(11)));
    }

    /// A different number in each place.
    fn audit(by: usize) -> Audit {
        Audit {
            sessions: by,
            conns: 2 * by,
            requests: 3 * by,
            sockets: 4 * by,
            namespaces: 5 * by,
            rooms: 6 * by,
            session_sids: 7 * by,
            socket_sids: 8 * by,
            acks: 9 * by,
            timers: 10 * by,
            queued_bytes: 11 * by,
            unadmitted_bytes: 12 * by,
            outputs: 13 * by,
            unread: 14 * by,
            cluster: 15 * by,
            recovery: 16 * by,
            recovery_bytes: 17 * by,
        }
    }

    fn counters(by: u64) -> Counters {
        Counters {
            sessions_opened: by,
            sockets_connected: 2 * by,
            packets_received: 3 * by,
            packets_queued: 4 * by,
            volatile_dropped: 5 * by,
            upgrades: 6 * by,
            too_slow: 7 * by,
            pings_unanswered: 8 * by,
            peer_faults: 9 * by,
            reserved_refused: 10 * by,
            stale_handles: 11 * by,
            sockets_recovered: 12 * by,
            recoveries_failed: 13 * by,
            packets_replayed: 14 * by,
        }
    }
}
