//! Why tokens were refused, counted.
//!
//! Owns: the counters, which fault counts as which, and when a wrong signature is worth a notice. Must never know: whose
//! token it was.

use std::time::Duration;

use roomcast_auth::AuthError;
use roomcast_core::time::Instant;

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// The signature is none of the verifier's keys, or of an algorithm that it does not take.
    BadSignature,
    /// The token has ended, when it was presented or while its login stood.
    Expired,
    /// The token counts only later, or says that it was issued later.
    NotYetValid,
    /// The token cannot be read, or lacks a claim.
    Malformed,
    /// The store has no such user, or its account is not active.
    UnknownUser,
    /// The user's role may not log in: `pending`, or one that is not known.
    Role,
    /// The token, or all tokens of its user, have been revoked.
    Revoked,
    /// The token is of a kind that gives no login. In 0.12, as the next.
    WrongKind,
    /// The login was without the second factor that is asked for, or the user has none.
    SecondFactor,
    /// The store did not answer. The token is tried again.
    Unavailable,
}

impl TokenRefusal {
    /// Its name in metrics and logs, such as `bad_signature`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Malformed => "malformed",
            Self::UnknownUser => "unknown_user",
            Self::Role => "role",
            Self::Revoked => "revoked",
            Self::WrongKind => "wrong_kind",
            Self::SecondFactor => "second_factor",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<AuthError> for TokenRefusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::SignatureWrong | AuthError::AlgorithmRefused => Self::BadSignature,
            AuthError::Expired => Self::Expired,
            AuthError::NotYetValid | AuthError::IssuedInFuture => Self::NotYetValid,
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
            | _ => Self::Malformed,
        }
    }
}

/// Why a verified token gives no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginRefused {
    Unknown,
    Role,
    Revoked,
    Kind,
    SecondFactor,
}

impl From<LoginRefused> for TokenRefusal {
    fn from(refused: LoginRefused) -> Self {
        match refused {
            LoginRefused::Unknown => Self::UnknownUser,
            LoginRefused::Role => Self::Role,
            LoginRefused::Revoked => Self::Revoked,
            LoginRefused::Kind => Self::WrongKind,
            LoginRefused::SecondFactor => Self::SecondFactor,
        }
    }
}

/// The counters, and the signatures that no notice has told of yet.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: TokenRefusals,
    untold: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    pub(crate) const fn counts(&self) -> TokenRefusals {
        self.counts
    }

    /// Counts a refusal. Returns how many wrong signatures there were since the last notice, if it is time for another:
    /// any client can send such tokens, so that notices are limited in rate.
    pub(crate) fn count(&mut self, refusal: TokenRefusal, now: Instant) -> Option<u64> {
        *self.counts.of(refusal) += 1;
        if refusal != TokenRefusal::BadSignature {
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
    /// The store has no such user, or its account is not active.
    pub unknown_user: u64,
    /// The user's role may not log in: `pending`, or one that is not known.
    pub role: u64,
    /// The token, or all tokens of its user, have been revoked.
    pub revoked: u64,
    /// The token is of a kind that gives no login. In 0.12, as the next.
    pub wrong_kind: u64,
    /// The login was without the second factor that is asked for, or the user has none.
    pub second_factor: u64,
    /// The store did not answer. The token is tried again.
    pub unavailable: u64,
}

impl TokenRefusals {
    /// The counters with their names, for the labels of a metric.
    pub fn by_reason(&self) -> [(&'static str, u64); 10] {
        [
            ("bad_signature", self.bad_signature),
            ("expired", self.expired),
            ("not_yet_valid", self.not_yet_valid),
            ("malformed", self.malformed),
            ("unknown_user", self.unknown_user),
            ("role", self.role),
            ("revoked", self.revoked),
            ("wrong_kind", self.wrong_kind),
            ("second_factor", self.second_factor),
            ("unavailable", self.unavailable),
        ]
    }

    const fn of(&mut self, refusal: TokenRefusal) -> &mut u64 {
        match refusal {
            TokenRefusal::BadSignature => &mut self.bad_signature,
            TokenRefusal::Expired => &mut self.expired,
            TokenRefusal::NotYetValid => &mut self.not_yet_valid,
            TokenRefusal::Malformed => &mut self.malformed,
            TokenRefusal::UnknownUser => &mut self.unknown_user,
            TokenRefusal::Role => &mut self.role,
            TokenRefusal::Revoked => &mut self.revoked,
            TokenRefusal::WrongKind => &mut self.wrong_kind,
            TokenRefusal::SecondFactor => &mut self.second_factor,
            TokenRefusal::Unavailable => &mut self.unavailable,
        }
    }
}

/// Time between two notices about wrong signatures.
const NOTICE_SPAN: Duration = Duration::from_secs(60);
