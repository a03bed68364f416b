//! Why a token was refused.
//!
//! Owns: [`AuthError`] and the stable names of its reasons. Must never know: what the peer is answered.

use crate::claims::Claim;

/// Why a token was refused, in the order of the checks.
///
/// Meant for logs and counters. An answer to the peer should not say which check failed: that helps only someone who
/// guesses tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// The token is longer than the policy's `token_bytes_max`.
    TokenTooLong,
    /// The token is not three parts with two dots between them.
    NotThreeParts,
    /// The header is not base64url of a JSON object.
    HeaderMalformed,
    /// The header has a member twice.
    HeaderNameTwice,
    /// The header is nested more than 16 levels deep.
    HeaderTooDeep,
    /// The header has a `crit`: no extension is understood here, so each must be refused,
    /// [RFC 7515 section 4.1.11](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11).
    CriticalExtension,
    /// The header has no `alg` that is a string.
    AlgorithmMissing,
    /// The policy does not name this `alg`; `none` always ends here.
    AlgorithmRefused,
    /// The signature is not base64url.
    SignatureMalformed,
    /// No key of the verifier made this signature.
    SignatureWrong,
    /// The payload is not base64url of a JSON object.
    PayloadMalformed,
    /// The payload has a member twice, at any depth.
    PayloadNameTwice,
    /// The payload is nested more than 16 levels deep.
    PayloadTooDeep,
    /// A claim that the policy requires is missing.
    ClaimMissing(Claim),
    /// A claim is present and not of its type.
    ClaimMalformed(Claim),
    /// The token is meant for another audience.
    AudienceRefused,
    /// `exp` has passed.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// `iat` is in the future.
    IssuedInFuture,
}

impl AuthError {
    /// A stable name for logs and for the label of a counter, such as `signature_wrong`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenTooLong => "token_too_long",
            Self::NotThreeParts => "not_three_parts",
            Self::HeaderMalformed => "header_malformed",
            Self::HeaderNameTwice => "header_name_twice",
            Self::HeaderTooDeep => "header_too_deep",
            Self::CriticalExtension => "critical_extension",
            Self::AlgorithmMissing => "algorithm_missing",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureWrong => "signature_wrong",
            Self::PayloadMalformed => "payload_malformed",
            Self::PayloadNameTwice => "payload_name_twice",
            Self::PayloadTooDeep => "payload_too_deep",
            Self::ClaimMissing(_) => "claim_missing",
            Self::ClaimMalformed(_) => "claim_malformed",
            Self::AudienceRefused => "audience_refused",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
        }
    }
}

impl std::fmt::Display for AuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "token refused: {}", self.name())?;
        match self {
            Self::ClaimMissing(claim) | Self::ClaimMalformed(claim) => write!(f, " ({})", claim.name()),
            Self::TokenTooLong
            | Self::NotThreeParts
            | Self::HeaderMalformed
            | Self::HeaderNameTwice
            | Self::HeaderTooDeep
            | Self::CriticalExtension
            | Self::AlgorithmMissing
            | Self::AlgorithmRefused
            | Self::SignatureMalformed
            | Self::SignatureWrong
            | Self::PayloadMalformed
            | Self::PayloadNameTwice
            | Self::PayloadTooDeep
            | Self::AudienceRefused
            | Self::Expired
            | Self::NotYetValid
            | Self::IssuedInFuture => Ok(()),
        }
    }
}

impl std::error::Error for AuthError {}
