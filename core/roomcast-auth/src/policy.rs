//! What a token must look like to be accepted.
//!
//! Owns: the settings of a verifier and their strict defaults. Must never know: keys, the checks themselves.

use std::time::Duration;

use crate::algorithm::Algorithm;
use crate::claims::Claim;

/// The conditions under which a [`Verifier`](crate::Verifier) accepts a token.
///
/// The default is HS256, `exp` required, no leeway, any `aud` refused, times as numbers, at most 16,384 bytes.
/// Changes start from there: `Policy { leeway, ..Policy::default() }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The values of the header's `alg` that are accepted. Each needs a [`Key`](crate::Key) of its family.
    pub algorithms: Vec<Algorithm>,
    /// Claims that a token must carry. A time must be a time and a name a string, else the claim is malformed.
    pub required: Vec<Claim>,
    /// How far the issuer's clock may be off, for `exp`, `nbf` and `iat` alike.
    pub leeway: Duration,
    /// What `aud` may say.
    pub audience: Audience,
    /// The JSON types in which `exp`, `nbf` and `iat` are accepted.
    pub dates: Dates,
    /// The greatest length of a token, in bytes. A longer one is refused before it is decoded.
    pub token_bytes_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::Hs256],
            required: vec![Claim::Expiry],
            leeway: Duration::ZERO,
            audience: Audience::Refused,
            dates: Dates::Number,
            token_bytes_max: 16_384,
        }
    }
}

/// What `aud` may say, [RFC 7519 section 4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// A token that names an audience is meant for another service and is refused.
    Refused,
    /// `aud` is required, and it is or contains one of these.
    OneOf(Vec<String>),
}

/// The JSON types in which `exp`, `nbf` and `iat` are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dates {
    /// Numbers of seconds, as [RFC 7519 section 2](https://www.rfc-editor.org/rfc/rfc7519#section-2) defines
    /// `NumericDate`.
    Number,
    /// Numbers, and strings of decimal digits, which PyJWT accepts as well.
    NumberOrDigits,
}
