//! Tokens that no longer count although they are genuine.
//!
//! Owns: the seam [`Revocations`], and what is revoked as plain data. Must never know: how a token is verified.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use bytestring::ByteString;
use roomcast_openwebui::query::StoreError;

/// What of a token a revocation can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// `id`.
    pub user: ByteString,
    /// `jti`. Without it, a token can be revoked only along with all others of its user.
    pub jti: Option<ByteString>,
    /// `iat`, in seconds since the epoch. A token without it falls to any revocation of its user.
    pub issued_at_secs: Option<u64>,
}

/// Who knows which tokens are revoked.
pub trait Revocations: Send + Sync + 'static {
    /// Whether this token is revoked.
    ///
    /// # Errors
    ///
    /// Nobody can say: the token must not be taken for a good one.
    fn is_revoked(&self, token: Token) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>>;

    /// Revokes one token. It is remembered until the token ends by itself, or forever. Times are seconds since the epoch.
    ///
    /// # Errors
    ///
    /// It is not remembered, or nobody knows whether it is.
    fn revoke_token(
        &self,
        jti: ByteString,
        ends_at_secs: Option<u64>,
        now_secs: u64,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;

    /// Revokes all tokens of a user that were issued up to and in this second since the epoch.
    ///
    /// # Errors
    ///
    /// It is not remembered, or nobody knows whether it is.
    fn revoke_user(
        &self,
        user: ByteString,
        issued_to_secs: u64,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;
}

/// What is revoked. As many users as there are, and the tokens that would still be good.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    ends_at_secs: BTreeMap<ByteString, Option<u64>>,
    issued_to_secs: BTreeMap<ByteString, u64>,
}

impl Revoked {
    pub(super) fn add_token(&mut self, jti: ByteString, ends_at_secs: Option<u64>, now_secs: u64) {
        self.ends_at_secs.retain(|_, end| end.is_none_or(|end| end >= now_secs));
        self.ends_at_secs.insert(jti, ends_at_secs);
    }

    pub(super) fn add_user(&mut self, user: ByteString, issued_to_secs: u64) {
        let known = self.issued_to_secs.entry(user).or_default();
        *known = issued_to_secs.max(*known);
    }

    pub(super) fn has(&self, token: &Token) -> bool {
        let by_user = self.issued_to_secs.get(&token.user);
        token.jti.as_ref().is_some_and(|jti| self.ends_at_secs.contains_key(jti))
            || by_user.is_some_and(|up_to| token.issued_at_secs.is_none_or(|issued| issued <= *up_to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_falls_by_its_id_and_by_its_time() {
        let mut revoked = Revoked::default();
        assert!(!revoked.has(&token(Some("a"), Some(9))));
        revoked.add_token("a".into(), None, 1);
        assert!(revoked.has(&token(Some("a"), Some(9))));
        assert!(!revoked.has(&token(Some("b"), Some(9))) && !revoked.has(&token(None, None)));
        revoked.add_user("u".into(), 8);
        revoked.add_user("u".into(), 7);
        assert!(!revoked.has(&token(Some("b"), Some(9))));
        assert!(revoked.has(&token(Some("b"), Some(8))) && revoked.has(&token(None, None)));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut revoked = Revoked::default();
        revoked.add_token("a".into(), Some(10), 1);
        revoked.add_token("b".into(), None, 10);
        assert_eq!(revoked.ends_at_secs.len(), 2);
        revoked.add_token("c".into(), Some(20), 11);
        assert_eq!(revoked.ends_at_secs.len(), 2);
        assert!(!revoked.has(&token(Some("a"), None)) && revoked.has(&token(Some("b"), None)));
    }

    fn token(jti: Option<&'static str>, issued_at_secs: Option<u64>) -> Token {
        Token { user: "u".into(), jti: jti.map(ByteString::from_static), issued_at_secs }
    }
}
