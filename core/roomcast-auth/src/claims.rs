//! The claims of a token whose signature is right.
//!
//! Owns: [`Claim`], the names that a policy and an error can use; [`Claims`], the verified payload. Must never know:
//! how they were checked.

use roomcast_time::WallTime;

use crate::json::{Object, text};

/// A claim that a [`Policy`](crate::Policy) can require and an [`AuthError`](crate::AuthError) can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Claim {
    /// `aud`: the services that the token is meant for.
    Audience,
    /// `exp`: the moment from which on the token is not accepted.
    Expiry,
    /// `id`: not registered, but the name under which several issuers put the user.
    Id,
    /// `iat`: the moment at which the token was issued.
    IssuedAt,
    /// `iss`: the issuer of the token.
    Issuer,
    /// `jti`: the id of the token itself.
    JwtId,
    /// `nbf`: the moment before which the token is not accepted.
    NotBefore,
    /// `sub`: the subject of the token, which is the user.
    Subject,
}

impl Claim {
    /// The name of the member in the payload, such as `exp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audience => "aud",
            Self::Expiry => "exp",
            Self::Id => "id",
            Self::IssuedAt => "iat",
            Self::Issuer => "iss",
            Self::JwtId => "jti",
            Self::NotBefore => "nbf",
            Self::Subject => "sub",
        }
    }
}

/// The payload of a token that a [`Verifier`](crate::Verifier) accepted.
///
/// `Debug` prints the expiry only: the identity of a user does not belong into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    pub(crate) json: Box<str>,
    pub(crate) expiry: Option<WallTime>,
    pub(crate) not_before: Option<WallTime>,
    pub(crate) issued_at: Option<WallTime>,
    pub(crate) subject: Option<Box<str>>,
    pub(crate) id: Option<Box<str>>,
    pub(crate) jwt_id: Option<Box<str>>,
    pub(crate) issuer: Option<Box<str>>,
}

impl Claims {
    /// The payload as it was signed: a JSON object.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// `exp`, the moment from which on the token is not accepted. Rounded down to the millisecond; a time beyond the
    /// range of [`WallTime`] is the end of that range.
    pub fn exp(&self) -> Option<WallTime> {
        self.expiry
    }

    /// `nbf`, the first moment of the token, rounded up to the millisecond.
    pub fn nbf(&self) -> Option<WallTime> {
        self.not_before
    }

    /// `iat`, the moment of issue, rounded up to the millisecond.
    pub fn iat(&self) -> Option<WallTime> {
        self.issued_at
    }

    /// `sub`: the subject of the token, which is the user.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `id`, if it is a string.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `jti`, the id of the token itself.
    pub fn jti(&self) -> Option<&str> {
        self.jwt_id.as_deref()
    }

    /// `iss`: the issuer of the token.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Any claim, if it is a string. Parses the payload again at each call.
    pub fn string(&self, name: &str) -> Option<String> {
        self.raw(name).and_then(text)
    }

    /// Any claim as the JSON text that was signed. Parses the payload again at each call.
    pub fn raw(&self, name: &str) -> Option<&str> {
        serde_json::from_str::<Object<'_>>(&self.json).ok()?.find(name)
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").field("expiry", &self.expiry).finish_non_exhaustive()
    }
}
