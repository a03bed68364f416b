//! Revocations where Open WebUI keeps them.
//!
//! Owns: their form in Redis. Must never know: how a token is verified.

use std::future::Future;
use std::pin::Pin;

use bytestring::ByteString;
use roomcast_openwebui::query::StoreError;
use roomcast_redis::RedisKeys;
use roomcast_redis::redis::{Cmd, FromRedisValue, cmd};

use super::keys::{Keys, unavailable};
use crate::revocation::{RevocableToken, Revocations};

/// [`Revocations`] that Open WebUI's processes write and read: `{prefix}:auth:token:{jti}:revoked` and
/// `{prefix}:auth:user:{id}:revoked_at`. The bound for tokens without `iat` has no place there and is kept beside them.
#[derive(Clone, Debug)]
pub struct RedisRevocations {
    redis: RedisKeys,
    keys: Keys,
}

impl RedisRevocations {
    /// Those of an installation. `prefix` is Open WebUI's `REDIS_KEY_PREFIX`.
    pub fn new(redis: RedisKeys, prefix: &str) -> Self {
        Self { redis, keys: Keys::new(prefix) }
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.redis.ask(command).await.map_err(|fault| unavailable(&fault))
    }

    async fn text(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut get = cmd("GET");
        get.arg(key);
        self.ask(get).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let mut delete = cmd("DEL");
        delete.arg(key);
        self.ask::<i64>(delete).await.map(drop)
    }

    /// Writes a number unless a greater one is there. `never` is greater than all.
    async fn raise(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let mut eval = cmd("EVAL");
        eval.arg(RAISE).arg(1).arg(key).arg(value);
        self.ask::<i64>(eval).await.map(drop)
    }
}

impl Revocations for RedisRevocations {
    fn is_revoked(&self, token: RevocableToken) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>> {
        Box::pin(async move {
            if let Some(jti) = &token.jti
                && self.text(&self.keys.token_revoked(jti)).await?.is_some()
            {
                return Ok(true);
            }
            let revoked_at = self.text(&self.keys.user_revoked_at(&token.user)).await?;
            let Some(revoked_at) = revoked_at else { return Ok(false) };
            if let Some(issued) = token.issued_at_secs {
                // What cannot be read was written to revoke something.
                return Ok(seconds(&revoked_at).is_none_or(|revoked_at| issued <= revoked_at));
            }
            let revoked_to = self.text(&self.keys.user_revoked_to(&token.user)).await?;
            let bound = revoked_to.as_deref().and_then(seconds);
            Ok(bound.zip(token.ends_at_secs).is_none_or(|(bound, ends)| ends <= bound))
        })
    }

    fn revoke_token(
        &self,
        jti: ByteString,
        ends_at_secs: Option<u64>,
        now_secs: u64,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move {
            let mut set = cmd("SET");
            set.arg(self.keys.token_revoked(&jti)).arg("1");
            if let Some(ends_at_secs) = ends_at_secs {
                set.arg("EX").arg(ends_at_secs.saturating_sub(now_secs).saturating_add(1));
            }
            self.ask::<String>(set).await.map(drop)
        })
    }

    fn revoke_user(
        &self,
        user: ByteString,
        issued_to_secs: u64,
        ends_to_secs: Option<u64>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move {
            // First what narrows the other: between the two, too much is revoked rather than too little.
            let ends_to = ends_to_secs.map_or_else(|| "never".to_owned(), |secs| secs.to_string());
            self.raise(&self.keys.user_revoked_to(&user), &ends_to).await?;
            self.raise(&self.keys.user_revoked_at(&user), &issued_to_secs.to_string()).await
        })
    }

    fn restore_token(&self, jti: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move { self.delete(&self.keys.token_revoked(&jti)).await })
    }

    fn restore_user(&self, user: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move {
            self.delete(&self.keys.user_revoked_at(&user)).await?;
            self.delete(&self.keys.user_revoked_to(&user)).await
        })
    }
}

fn seconds(text: &str) -> Option<u64> {
    // Python may have written a float.
    text.split('.').next().and_then(|whole| whole.trim().parse().ok())
}

const RAISE: &str = r#"
local known = redis.call('GET', KEYS[1])
if known == 'never' then return 0 end
local before, after = tonumber(known or ''), tonumber(ARGV[1])
if after == nil or before == nil or before < after then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"#;
