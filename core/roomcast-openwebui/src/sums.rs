//! The numbers of several shards together.
//!
//! Owns: the sums. Must never know: what is counted.

use std::ops::AddAssign;

use crate::refusals::TokenRefusals;
use crate::requests::LiveCounts;

impl AddAssign for LiveCounts {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a field more does not go unseen.
        let Self {
            sockets,
            logins,
            users,
            active_users,
            models,
            queries,
            held_events,
            writes,
            change_bytes,
            calls,
            documents,
            document_totals,
            writes_lost,
            queries_overdue,
            token_refusals,
        } = other;
        self.sockets += sockets;
        self.logins += logins;
        self.users += users;
        self.active_users += active_users;
        self.models += models;
        self.queries += queries;
        self.held_events += held_events;
        self.writes += writes;
        self.change_bytes += change_bytes;
        self.calls += calls;
        self.documents += documents;
        self.document_totals += document_totals;
        self.writes_lost += writes_lost;
        self.queries_overdue += queries_overdue;
        self.token_refusals += token_refusals;
    }
}

impl AddAssign for TokenRefusals {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a field more does not go unseen.
        let Self {
            bad_signature,
            expired,
            not_yet_valid,
            malformed,
            unknown_user,
            role,
            revoked,
            unavailable,
            wrong_kind,
            second_factor,
        } = other;
        self.bad_signature += bad_signature;
        self.expired += expired;
        self.not_yet_valid += not_yet_valid;
        self.malformed += malformed;
        self.unknown_user += unknown_user;
        self.role += role;
        self.revoked += revoked;
        self.unavailable += unavailable;
        self.wrong_kind += wrong_kind;
        self.second_factor += second_factor;
    }
}
