//! HS256, HS384 and HS512: [RFC 7518 section 3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2).
//!
//! Owns: the shared secret and the comparison in constant time. Must never know: tokens, other families of keys.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};

use crate::algorithm::Algorithm;

/// A shared secret of at least one byte. `Debug` prints none of it.
#[derive(Clone)]
pub(crate) struct Secret(Box<[u8]>);

impl Secret {
    pub(crate) fn new(secret: &[u8]) -> Option<Self> {
        if secret.is_empty() { None } else { Some(Self(secret.into())) }
    }

    /// `false` for an algorithm of another family.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8], algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Hs256 => is_signature::<Hmac<Sha256>>(&self.0, message, signature),
            Algorithm::Hs384 => is_signature::<Hmac<Sha384>>(&self.0, message, signature),
            Algorithm::Hs512 => is_signature::<Hmac<Sha512>>(&self.0, message, signature),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::EdDsa => false,
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whether a shared secret serves this algorithm.
pub(crate) const fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512)
}

/// The signature of `message` with HS256.
pub(crate) fn sign_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    mac::<Hmac<Sha256>>(secret, message).finalize().into_bytes().into()
}

/// Compares in constant time; a signature of another length is wrong.
fn is_signature<M: Mac + KeyInit>(secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    mac::<M>(secret, message).verify_slice(signature).is_ok()
}

fn mac<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> M {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length, RFC 2104 section 3")]
    let mac = <M as KeyInit>::new_from_slice(secret).expect("invariant: HMAC takes keys of any length");
    mac.chain_update(message)
}

/// jsonwebtoken as the oracle: what one signs, the other takes, for secrets around the block lengths (64 and 128
/// bytes) at which HMAC starts to hash the key.
#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
    use jsonwebtoken::{DecodingKey, EncodingKey};
    use proptest::prelude::*;

    use super::*;

    const ALGORITHMS: [(Algorithm, jsonwebtoken::Algorithm); 3] = [
        (Algorithm::Hs256, jsonwebtoken::Algorithm::HS256),
        (Algorithm::Hs384, jsonwebtoken::Algorithm::HS384),
        (Algorithm::Hs512, jsonwebtoken::Algorithm::HS512),
    ];

    #[test]
    fn secrets_of_every_length_agree_with_jsonwebtoken() {
        for length in (1..=130).chain([255, 256, 1000]) {
            let secret: Vec<u8> = (0..length).map(|at| (at * 7 + 3) as u8).collect();
            for (algorithm, other) in ALGORITHMS {
                let signature = signed_by_jsonwebtoken(&secret, b"header.payload", other);
                let own = Secret::new(&secret).unwrap();
                assert!(own.has_signed(b"header.payload", &signature, algorithm), "{algorithm:?}, {length} bytes");
                assert!(!own.has_signed(b"header.payloae", &signature, algorithm), "{algorithm:?}, {length} bytes");
            }
        }
    }

    /// RFC 4231 section 4.3.
    #[test]
    fn the_second_test_case_of_the_rfc() {
        let signature = sign_sha256(b"Jefe", b"what do ya want for nothing?");
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_signature_of_another_algorithm_or_length_is_wrong() {
        let secret = Secret::new(b"secret").unwrap();
        for (signed_with, other) in ALGORITHMS {
            let signature = signed_by_jsonwebtoken(b"secret", b"m", other);
            for (algorithm, _) in ALGORITHMS {
                assert_eq!(secret.has_signed(b"m", &signature, algorithm), algorithm == signed_with);
            }
            for algorithm in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa] {
                assert!(!secret.has_signed(b"m", &signature, algorithm));
            }
            for length in 0..signature.len() {
                assert!(!secret.has_signed(b"m", &signature[..length], signed_with));
            }
        }
        assert!(Secret::new(b"").is_none());
    }

    proptest! {
        #[test]
        fn both_agree_on_any_message(
            secret in prop::collection::vec(any::<u8>(), 1..200),
            message in prop::collection::vec(any::<u8>(), 0..300),
            flipped in any::<prop::sample::Index>(),
        ) {
            for (algorithm, other) in ALGORITHMS {
                let mut signature = signed_by_jsonwebtoken(&secret, &message, other);
                let own = Secret::new(&secret).unwrap();
                prop_assert!(own.has_signed(&message, &signature, algorithm));
                let at = flipped.index(signature.len() * 8);
                signature[at / 8] ^= 1 << (at % 8);
                prop_assert!(!own.has_signed(&message, &signature, algorithm));
            }
            let verifier =
                (DEFAULT_PROVIDER.verifier_factory)(&ALGORITHMS[0].1, &DecodingKey::from_secret(&secret)).unwrap();
            let signature = sign_sha256(&secret, &message).to_vec();
            prop_assert!(verifier.verify(&message, &signature).is_ok());
        }
    }

    fn signed_by_jsonwebtoken(secret: &[u8], message: &[u8], algorithm: jsonwebtoken::Algorithm) -> Vec<u8> {
        let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, &EncodingKey::from_secret(secret)).unwrap();
        signer.try_sign(message).unwrap()
    }
}
