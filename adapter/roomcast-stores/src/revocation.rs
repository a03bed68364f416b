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
pub struct RevocableToken {
    /// The claim `id`: the user.
    pub user: ByteString,
    /// `jti`. Without it, a token can be revoked only along with all others of its user.
    pub jti: Option<ByteString>,
    /// `iat`, in seconds since the epoch.
    pub issued_at_secs: Option<u64>,
    /// `exp`, in seconds since the epoch. A revocation of the user judges a token without `iat` by when it ends; one
    /// that has neither falls to every revocation of its user.
    pub ends_at_secs: Option<u64>,
}

/// Keeps the revocations of tokens.
pub trait Revocations: Send + Sync + 'static {
    /// Whether this token is revoked.
    ///
    /// # Errors
    ///
    /// Unknown, since the source is unavailable: the token must not be accepted.
    fn is_revoked(&self, token: RevocableToken) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>>;

    /// Revokes one token. It is remembered until the token ends by itself, or forever. Times are seconds since the epoch.
    ///
    /// # Errors
    ///
    /// The revocation was not stored, or it is unknown whether it was.
    fn revoke_token(
        &self,
        jti: ByteString,
        ends_at_secs: Option<u64>,
        now_secs: u64,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;

    /// Revokes all tokens of a user that were issued up to and in second `issued_to_secs` since the epoch.
    ///
    /// Tokens that do not say when they were issued, as those of Open WebUI 0.6.41, are revoked if they end up to and in
    /// second `ends_to_secs`, or never. With the longest lifetime that tokens have, `issued_to_secs` plus that is the
    /// right bound: what ends later was issued later. Without a bound all of them are revoked, also those that are
    /// issued afterwards, until [`restore_user`](Self::restore_user).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is not certain that the revocation is stored.
    fn revoke_user(
        &self,
        user: ByteString,
        issued_to_secs: u64,
        ends_to_secs: Option<u64>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;

    /// Takes back what [`revoke_token`](Self::revoke_token) did.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is not certain that the revocation is gone.
    fn restore_token(&self, jti: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;

    /// Takes back what [`revoke_user`](Self::revoke_user) did. Tokens that were revoked one by one stay revoked.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is not certain that the revocation is gone.
    fn restore_user(&self, user: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;
}

/// What is revoked. As many users as there are, and the tokens that would still be good.
#[derive(Clone, Debug, Default)]
pub(super) struct Revoked {
    ends_at_secs: BTreeMap<ByteString, Option<u64>>,
    users: BTreeMap<ByteString, RevokedUser>,
}

/// Which tokens of a user are revoked.
#[derive(Clone, Copy, Debug)]
struct RevokedUser {
    issued_to_secs: u64,
    /// For tokens that do not say when they were issued. `None`: all of them.
    ends_to_secs: Option<u64>,
}

impl Revoked {
    pub(super) fn add_token(&mut self, jti: ByteString, ends_at_secs: Option<u64>, now_secs: u64) {
        self.ends_at_secs.retain(|_, end| end.is_none_or(|end| end >= now_secs));
        self.ends_at_secs.insert(jti, ends_at_secs);
    }

    pub(super) fn add_user(&mut self, user: ByteString, issued_to_secs: u64, ends_to_secs: Option<u64>) {
        let known = self.users.entry(user).or_insert(RevokedUser { issued_to_secs, ends_to_secs });
        known.issued_to_secs = issued_to_secs.max(known.issued_to_secs);
        known.ends_to_secs = known.ends_to_secs.zip(ends_to_secs).map(|(known, more)| known.max(more));
    }

    pub(super) fn remove_token(&mut self, jti: &str) {
        self.ends_at_secs.remove(jti);
    }

    pub(super) fn remove_user(&mut self, user: &ByteString) {
        self.users.remove(user);
    }

    pub(super) fn has(&self, token: &RevocableToken) -> bool {
        let by_user = self.users.get(&token.user);
        token.jti.as_ref().is_some_and(|jti| self.ends_at_secs.contains_key(jti))
            || by_user.is_some_and(|revoked| match (token.issued_at_secs, token.ends_at_secs, revoked.ends_to_secs) {
                (Some(issued), _, _) => issued <= revoked.issued_to_secs,
                (None, Some(ends), Some(ends_to)) => ends <= ends_to,
                (None, _, _) => true,
            })
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
        revoked.add_user("u".into(), 8, None);
        revoked.add_user("u".into(), 7, None);
        assert!(!revoked.has(&token(Some("b"), Some(9))));
        assert!(revoked.has(&token(Some("b"), Some(8))) && revoked.has(&token(None, None)));
    }

    #[test]
    fn a_token_without_its_time_of_issue_falls_by_its_end() {
        let ending = |ends_at_secs| RevocableToken { ends_at_secs, ..token(Some("a"), None) };
        let mut revoked = Revoked::default();
        revoked.add_user("u".into(), 8, Some(28));
        assert!(revoked.has(&ending(Some(28))) && revoked.has(&ending(None)));
        assert!(!revoked.has(&ending(Some(29))), "issued after the revocation");
        revoked.add_user("u".into(), 9, Some(20));
        assert!(revoked.has(&ending(Some(28))) && !revoked.has(&ending(Some(29))));
        revoked.add_user("u".into(), 9, None);
        assert!(revoked.has(&ending(Some(29))));
        revoked.remove_user(&"u".into());
        assert!(!revoked.has(&ending(None)) && !revoked.has(&token(None, Some(1))));
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
        revoked.remove_token("b");
        assert!(!revoked.has(&token(Some("b"), None)) && revoked.has(&token(Some("c"), None)));
    }

    fn token(jti: Option<&'static str>, issued_at_secs: Option<u64>) -> RevocableToken {
        RevocableToken { user: "u".into(), jti: jti.map(ByteString::from_static), issued_at_secs, ends_at_secs: None }
    }
}
