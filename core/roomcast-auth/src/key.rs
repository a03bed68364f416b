//! Keys that signatures are checked with.
//!
//! Owns: which key serves which algorithm, and the errors of a setup. Must never know: claims, how a signature is
//! computed.

use crate::algorithm::Algorithm;
#[cfg(feature = "asymmetric")]
use crate::asymmetric::PublicKey;
use crate::secret::{Secret, is_hmac};

/// A key that signatures are checked with: a shared secret or, with the feature `asymmetric`, a public key.
///
/// `Debug` prints no byte of a secret.
#[derive(Clone, Debug)]
pub struct Key(Material);

#[derive(Clone, Debug)]
enum Material {
    Secret(Secret),
    #[cfg(feature = "asymmetric")]
    Public(PublicKey),
}

impl Key {
    /// Makes a key of the shared secret of HS256, HS384 and HS512.
    ///
    /// # Errors
    ///
    /// [`SetupError::SecretEmpty`] for a secret of no bytes. No other length is refused here, though
    /// [RFC 7518 section 3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2) asks for at least 32 bytes with
    /// HS256, 48 with HS384 and 64 with HS512.
    pub fn hmac(secret: &[u8]) -> Result<Self, SetupError> {
        Secret::new(secret).map(|secret| Self(Material::Secret(secret))).ok_or(SetupError::SecretEmpty)
    }

    /// Makes a key of the public key of RS* and PS*: modulus and exponent, big-endian, without leading zeros.
    ///
    /// # Errors
    ///
    /// [`SetupError::KeyMalformed`] unless the modulus has 2048 to 4096 bits, as
    /// [RFC 7518 section 3.3](https://www.rfc-editor.org/rfc/rfc7518#section-3.3) and the arithmetic behind it allow,
    /// and the exponent 1 to 8 bytes.
    #[cfg(feature = "asymmetric")]
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, SetupError> {
        Self::public(PublicKey::rsa(modulus, exponent))
    }

    /// Makes a key of the public key of ES256 (65 bytes) or ES384 (97 bytes): an uncompressed point,
    /// [SEC 1](https://www.secg.org/sec1-v2.pdf) section 2.3.3.
    ///
    /// # Errors
    ///
    /// [`SetupError::KeyMalformed`] for any other length and for a point that is not on the curve.
    #[cfg(feature = "asymmetric")]
    pub fn ec(point: &[u8]) -> Result<Self, SetupError> {
        Self::public(PublicKey::ec(point))
    }

    /// Makes a key of the public key of EdDSA: an Ed25519 point,
    /// [RFC 8032 section 5.1.5](https://www.rfc-editor.org/rfc/rfc8032#section-5.1.5).
    ///
    /// # Errors
    ///
    /// [`SetupError::KeyMalformed`] for bytes that encode no point of the curve.
    #[cfg(feature = "asymmetric")]
    pub fn ed25519(public: &[u8; 32]) -> Result<Self, SetupError> {
        Self::public(PublicKey::ed25519(public))
    }

    #[cfg(feature = "asymmetric")]
    fn public(key: Option<PublicKey>) -> Result<Self, SetupError> {
        key.map(|key| Self(Material::Public(key))).ok_or(SetupError::KeyMalformed)
    }

    /// A key of another family or curve makes no verifier: a public key is never taken for a shared secret.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        match &self.0 {
            Material::Secret(_) => is_hmac(algorithm),
            #[cfg(feature = "asymmetric")]
            Material::Public(key) => key.fits(algorithm),
        }
    }

    pub(crate) fn has_signed(&self, message: &str, signature: &[u8], algorithm: Algorithm) -> bool {
        match &self.0 {
            Material::Secret(secret) => secret.has_signed(message.as_bytes(), signature, algorithm),
            #[cfg(feature = "asymmetric")]
            Material::Public(key) => key.has_signed(message.as_bytes(), signature, algorithm),
        }
    }
}

/// Why a policy and its keys make no [`Verifier`](crate::Verifier).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The policy allows no algorithm.
    NoAlgorithm,
    /// The policy allows this algorithm, and no key serves it.
    NoKeyFor(Algorithm),
    /// The shared secret has no bytes.
    SecretEmpty,
    /// The bytes are not a public key of the kind asked for.
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
