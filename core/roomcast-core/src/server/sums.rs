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
