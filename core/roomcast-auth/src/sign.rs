//! Tokens made here.
//!
//! Owns: the compact form of a signed token. Must never know: policies, the rules about claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::sign_sha256;

/// Signs a token with HS256: for demonstrations and tests, where the program is its own issuer.
///
/// `claims_json` becomes the payload as it stands; that it is a JSON object is not checked. An empty secret signs too,
/// though no [`Key`](crate::Key) verifies with it.
///
/// ```
/// let token = roomcast_auth::sign_hs256(b"secret", r#"{"sub":"ada","exp":2000}"#);
/// assert!(token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."));
/// ```
pub fn sign_hs256(secret: &[u8], claims_json: &str) -> String {
    sign_hs256_with(secret, r#"{"alg":"HS256","typ":"JWT"}"#, claims_json)
}

pub(crate) fn sign_hs256_with(secret: &[u8], header_json: &str, claims_json: &str) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header_json);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims_json, &mut token);
    let signature = sign_sha256(secret, token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}
