//! Why tokens were refused, counted.
//!
//! Owns: the counters, which fault counts as which, and when a wrong signature is worth a notice. Must never know: whose
//! token it was.

use std::time::Duration;

use roomcast_auth::AuthError;
use roomcast_core::time::Instant;

/// The counters, and the signatures that no notice has told of yet.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    pub(crate) counts: TokenRefusals,
    untold: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    /// Counts what a verifier refused. Returns how many wrong signatures there were since the last notice, if it is time
    /// for another: anybody can send such tokens, so there is at most one in a while.
    pub(crate) fn count(&mut self, error: AuthError, now: Instant) -> Option<u64> {
        self.counts.count(error);
        if error != AuthError::SignatureWrong {
            return None;
        }
        self.untold += 1;
        if self.told_at.is_some_and(|at| now < at + NOTICE_SPAN) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// Tokens refused since startup, by reason. For metrics: a wrong secret shows as `bad_signature`, a clock that is off as
/// `expired` or `not_yet_valid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TokenRefusals {
    /// The signature is none of the verifier's keys, or of an algorithm that it does not take.
    pub bad_signature: u64,
    /// The token has ended, when it was presented or while its login stood.
    pub expired: u64,
    /// The token counts only later, or says that it was issued later.
    pub not_yet_valid: u64,
    /// The token cannot be read, or lacks a claim.
    pub malformed: u64,
    /// The store has no such user.
    pub unknown_user: u64,
    /// The user's role may not log in: `pending`, or one that is not known.
    pub role: u64,
    /// The token, or all tokens of its user, have been revoked.
    pub revoked: u64,
    /// The store did not answer. The token is tried again.
    pub unavailable: u64,
}

impl TokenRefusals {
    /// The counters with their names, for the labels of a metric.
    pub fn by_reason(&self) -> [(&'static str, u64); 8] {
        [
            ("bad_signature", self.bad_signature),
            ("expired", self.expired),
            ("not_yet_valid", self.not_yet_valid),
            ("malformed", self.malformed),
            ("unknown_user", self.unknown_user),
            ("role", self.role),
            ("revoked", self.revoked),
            ("unavailable", self.unavailable),
        ]
    }

    /// Counts what a verifier refused.
    fn count(&mut self, error: AuthError) {
        let counter = match error {
            AuthError::SignatureWrong | AuthError::AlgorithmRefused => &mut self.bad_signature,
            AuthError::Expired => &mut self.expired,
            AuthError::NotYetValid | AuthError::IssuedInFuture => &mut self.not_yet_valid,
            AuthError::TokenTooLong
            | AuthError::NotThreeParts
            | AuthError::HeaderMalformed
            | AuthError::HeaderNameTwice
            | AuthError::HeaderTooDeep
            | AuthError::CriticalExtension
            | AuthError::AlgorithmMissing
            | AuthError::SignatureMalformed
            | AuthError::PayloadMalformed
            | AuthError::PayloadNameTwice
            | AuthError::PayloadTooDeep
            | AuthError::ClaimMissing(_)
            | AuthError::ClaimMalformed(_)
            | AuthError::AudienceRefused
            | _ => &mut self.malformed,
        };
        *counter += 1;
    }
}

/// Time between two notices about wrong signatures.
const NOTICE_SPAN: Duration = Duration::from_secs(60);
