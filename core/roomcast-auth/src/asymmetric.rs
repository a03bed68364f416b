//! Public keys, by jsonwebtoken: the feature `asymmetric`.
//!
//! Owns: the one way into jsonwebtoken. Must never know: shared secrets, claims.
//!
//! jsonwebtoken checks the signature and nothing else: its claim checks read the system clock and allow 60 s. It is
//! called through `rust_crypto::DEFAULT_PROVIDER` and not through `jsonwebtoken::crypto::verify`, which asks a
//! global that panics as soon as another crate of the program turns on `aws_lc_rs`.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::rust_crypto;

use crate::algorithm::Algorithm;

/// A key of RS*, PS*, ES* or EdDSA.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey(DecodingKey);

impl PublicKey {
    /// 2048 to 4096 bits; see [`Key::rsa`](crate::Key::rsa).
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let is_sound = (256..=512).contains(&modulus.len()) && modulus[0] != 0 && (1..=8).contains(&exponent.len());
        is_sound.then(|| Self(DecodingKey::from_rsa_raw_components(modulus, exponent)))
    }

    /// The length of the point names the curve.
    pub(crate) fn ec(point: &[u8]) -> Option<Self> {
        let algorithm = match point.len() {
            65 => Algorithm::Es256,
            97 => Algorithm::Es384,
            _ => return None,
        };
        Some(Self(DecodingKey::from_ec_der(point))).filter(|key| key.fits(algorithm))
    }

    pub(crate) fn ed25519(public: &[u8; 32]) -> Option<Self> {
        Some(Self(DecodingKey::from_ed_der(public))).filter(|key| key.fits(Algorithm::EdDsa))
    }

    /// Whether the key is of the family and curve of this algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        for_signature(algorithm)
            .is_some_and(|algorithm| (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.0).is_ok())
    }

    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8], algorithm: Algorithm) -> bool {
        let Some(algorithm) = for_signature(algorithm) else { return false };
        (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.0)
            .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

/// `None` for HMAC: a public key never serves as a shared secret.
const fn for_signature(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => None,
        Algorithm::Rs256 => Some(jsonwebtoken::Algorithm::RS256),
        Algorithm::Rs384 => Some(jsonwebtoken::Algorithm::RS384),
        Algorithm::Rs512 => Some(jsonwebtoken::Algorithm::RS512),
        Algorithm::Ps256 => Some(jsonwebtoken::Algorithm::PS256),
        Algorithm::Ps384 => Some(jsonwebtoken::Algorithm::PS384),
        Algorithm::Ps512 => Some(jsonwebtoken::Algorithm::PS512),
        Algorithm::Es256 => Some(jsonwebtoken::Algorithm::ES256),
        Algorithm::Es384 => Some(jsonwebtoken::Algorithm::ES384),
        Algorithm::EdDsa => Some(jsonwebtoken::Algorithm::EdDSA),
    }
}
