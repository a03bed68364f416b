//! What is kept of a verified token.
//!
//! Owns: the claims that matter after verification. Must never know: signatures, or the socket that presented the
//! token.

use bytestring::ByteString;

use super::query::Question;
use roomcast_auth::Claims;
use roomcast_core::time::WallTime;

/// The claims of a verified token.
#[derive(Clone, Debug)]
pub(crate) struct TokenClaims {
    pub(crate) user: ByteString,
    pub(crate) jti: Option<ByteString>,
    pub(crate) issued_at_secs: Option<u64>,
    pub(crate) expires: Option<WallTime>,
}

impl TokenClaims {
    /// `None` for claims that are too long, or name no user.
    pub(crate) fn of(claims: &Claims, id_bytes_max: usize) -> Option<Self> {
        let user = claims.id().filter(|id| !id.is_empty() && id.len() <= id_bytes_max)?;
        if claims.jti().is_some_and(|jti| jti.len() > id_bytes_max) {
            return None;
        }
        Some(Self {
            user: user.into(),
            jti: claims.jti().map(ByteString::from),
            issued_at_secs: claims.iat().map(WallTime::as_unix_secs),
            expires: claims.exp(),
        })
    }

    pub(crate) fn has_ended(&self, wall: WallTime) -> bool {
        self.expires.is_some_and(|expires| expires <= wall)
    }

    /// The question for the token's user.
    pub(crate) fn question(&self) -> Question {
        Question::Authenticate {
            user: self.user.clone(),
            jti: self.jti.clone(),
            issued_at_secs: self.issued_at_secs,
            ends_at_secs: self.expires.map(WallTime::as_unix_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use roomcast_auth::sign_hs256;
    use roomcast_core::server::EndpointId;

    #[test]
    fn ids_are_of_a_bounded_length() {
        for (claims, is_taken) in [
            (r#"{"id":"1234","jti":"1234"}"#, true),
            (r#"{"id":"1234"}"#, true),
            (r#"{"id":"12345"}"#, false),
            (r#"{"id":"1234","jti":"12345"}"#, false),
            (r#"{"id":""}"#, false),
        ] {
            assert_eq!(token(claims).is_some(), is_taken, "{claims}");
        }
    }

    #[test]
    fn a_store_is_asked_with_all_that_a_revocation_goes_by() {
        let token = token(r#"{"id":"u","jti":"j","iat":1799999990,"exp":1800000010}"#).unwrap();
        let (user, jti) = ("u".into(), Some("j".into()));
        let (issued_at_secs, ends_at_secs) = (Some(1_799_999_990), Some(1_800_000_010));
        assert_eq!(token.question(), Question::Authenticate { user, jti, issued_at_secs, ends_at_secs });
        let at = |secs: u64| WallTime::from_unix_millis(secs * 1000);
        assert_eq!((token.has_ended(at(1_800_000_009)), token.has_ended(at(1_800_000_010))), (false, true));
    }

    fn token(claims: &str) -> Option<TokenClaims> {
        let secret = b"a secret for this test";
        let settings = Settings::new(EndpointId::new(0), secret).unwrap();
        let wall = WallTime::from_unix_millis(1_800_000_000_000);
        TokenClaims::of(&settings.verifier.verify(&sign_hs256(secret, claims), wall).unwrap(), 4)
    }
}
