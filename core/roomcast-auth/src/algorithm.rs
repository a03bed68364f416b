//! The signature algorithms and their names.
//!
//! Owns: [`Algorithm`]. Must never know: keys, tokens.

/// A signature algorithm, the `alg` of a token's header:
/// [RFC 7518 section 3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1). `none` is not one of them.
///
/// All names exist in every build, so that a policy can be written down and compared anywhere. Only the three HMAC
/// algorithms are checked without the feature `asymmetric`; without it [`Verifier::new`](crate::Verifier::new)
/// answers [`SetupError::NoKeyFor`](crate::SetupError::NoKeyFor) for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519, [RFC 8037](https://www.rfc-editor.org/rfc/rfc8037).
    EdDsa,
}

impl Algorithm {
    /// The value that a token's header carries in `alg`, such as `HS256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}
