//! JSON Web Tokens from strangers.

use roomcast_auth::{AuthError, Key, Policy, Verifier, sign_hs256};
use roomcast_core::time::WallTime;

/// Invariant tested: no text is taken for a token that was not signed, and of what was signed only an object with an
/// `exp` that lies ahead; its claims are then the very bytes.
///
/// The bytes are a token as they stand, and the payload of one that is signed here.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(key) = Key::hmac(b"secret") else { unreachable!("invariant: the secret has bytes") };
    let Ok(verifier) = Verifier::new(Policy::default(), vec![key]) else {
        unreachable!("invariant: the default policy needs this key only")
    };
    let wall = WallTime::from_unix_millis(1_000_000_000_000);
    assert!(verifier.verify(text, wall).is_err(), "signed with no known key");
    match verifier.verify(&sign_hs256(b"secret", text), wall) {
        Ok(claims) => {
            assert_eq!(claims.as_json(), text);
            assert!(claims.exp().is_some_and(|exp| exp > wall));
            assert!(claims.nbf().is_none_or(|nbf| nbf <= wall) && claims.iat().is_none_or(|iat| iat <= wall));
            assert_eq!(claims.string("sub").as_deref(), claims.subject());
        }
        Err(error) => assert_ne!(error, AuthError::SignatureWrong),
    }
}
