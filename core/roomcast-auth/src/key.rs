//! Algorithms and keys.
//!
//! Owns: the names of the algorithms, and the one way into jsonwebtoken. Must never know: claims.

use jsonwebtoken::crypto::rust_crypto;
use jsonwebtoken::{DecodingKey, EncodingKey};

/// The `alg` of a header, [RFC 7518 section 3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1). `none` is not
/// among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// As the header writes it.
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

    const fn for_signature(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A key that signatures are checked with: a shared secret or a public key.
#[derive(Clone, Debug)]
pub struct Key(DecodingKey);

impl Key {
    /// The shared secret of HS256, HS384 and HS512.
    pub fn hmac(secret: &[u8]) -> Result<Self, SetupError> {
        if secret.is_empty() {
            return Err(SetupError::SecretEmpty);
        }
        Ok(Self(DecodingKey::from_secret(secret)))
    }

    /// The public key of RS* and PS*: modulus and exponent, big-endian. 2048 to 4096 bits, as
    /// [RFC 7518 section 3.3](https://www.rfc-editor.org/rfc/rfc7518#section-3.3) and the arithmetic behind it allow.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, SetupError> {
        if !(256..=512).contains(&modulus.len()) || modulus[0] == 0 || !(1..=8).contains(&exponent.len()) {
            return Err(SetupError::KeyMalformed);
        }
        Ok(Self(DecodingKey::from_rsa_raw_components(modulus, exponent)))
    }

    /// The public key of ES256 (65 bytes) or ES384 (97 bytes): an uncompressed point, SEC 1 section 2.3.3.
    pub fn ec(point: &[u8]) -> Result<Self, SetupError> {
        let algorithm = match point.len() {
            65 => Algorithm::Es256,
            97 => Algorithm::Es384,
            _ => return Err(SetupError::KeyMalformed),
        };
        Self(DecodingKey::from_ec_der(point)).tried(algorithm)
    }

    /// The public key of EdDSA.
    pub fn ed25519(public: &[u8; 32]) -> Result<Self, SetupError> {
        Self(DecodingKey::from_ed_der(public)).tried(Algorithm::EdDsa)
    }

    fn tried(self, algorithm: Algorithm) -> Result<Self, SetupError> {
        if self.fits(algorithm) { Ok(self) } else { Err(SetupError::KeyMalformed) }
    }

    /// A key of another family or curve makes no verifier: a public key is never taken for a shared secret.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm.for_signature(), &self.0).is_ok()
    }

    pub(super) fn has_signed(&self, message: &str, signature: &Vec<u8>, algorithm: Algorithm) -> bool {
        // HMACs are compared in constant time in there.
        (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm.for_signature(), &self.0)
            .is_ok_and(|verifier| verifier.verify(message.as_bytes(), signature).is_ok())
    }
}

/// Why a policy and its keys make no [`Verifier`](super::Verifier).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The policy allows no algorithm.
    NoAlgorithm,
    /// No key is for this algorithm.
    NoKeyFor(Algorithm),
    /// A shared secret of no bytes.
    SecretEmpty,
    /// Not a public key of this kind.
    KeyMalformed,
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAlgorithm => f.write_str("the token policy allows no algorithm"),
            Self::NoKeyFor(algorithm) => write!(f, "no key for {}", algorithm.name()),
            Self::SecretEmpty => f.write_str("the token secret is empty"),
            Self::KeyMalformed => f.write_str("not a public key of this kind"),
        }
    }
}

impl std::error::Error for SetupError {}

/// The signature of `message` with HS256.
pub(super) fn hs256(secret: &[u8], message: &str) -> Vec<u8> {
    let key = EncodingKey::from_secret(secret);
    let signer = (rust_crypto::DEFAULT_PROVIDER.signer_factory)(&jsonwebtoken::Algorithm::HS256, &key).ok();
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length, RFC 2104 section 3")]
    signer.and_then(|signer| signer.try_sign(message.as_bytes()).ok()).expect("invariant: HMAC cannot fail")
}
