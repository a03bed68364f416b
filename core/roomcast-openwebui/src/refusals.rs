//! Why tokens were refused, counted.
//!
//! Owns: the counters and which fault counts as which. Must never know: whose token it was.

use roomcast_auth::AuthError;

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
    pub(crate) fn count(&mut self, error: AuthError) {
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
