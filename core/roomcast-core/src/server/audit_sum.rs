//! The live state of several servers together.
//!
//! Owns: the sum. Must never know: what is counted.

use std::ops::AddAssign;

use super::Audit;

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
    }
}
