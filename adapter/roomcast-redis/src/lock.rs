//! Locks that nodes share.
//!
//! Owns: [`RedisLock`]: taking, renewing and giving back, each only by the owner. Must never know: what is guarded.

use std::time::Duration;

use crate::fault::RedisFault;
use crate::keys::RedisKeys;

/// A lock in Redis: a key with a random token and an end. Only its owner can renew or release it, which Redis checks in
/// one step; the end bounds how long a crashed owner holds it. It is advice, not a proof of exclusion: after a failover,
/// or a pause of the owner that is longer than the lock, two may hold it for a moment.
///
/// Dropping it does not release it: Redis does, when it ends.
#[derive(Debug)]
pub struct RedisLock {
    keys: RedisKeys,
    key: String,
    token: String,
    span: Duration,
}

impl RedisLock {
    /// Takes the lock for `span`; `None` if another has it.
    ///
    /// # Errors
    ///
    /// Redis is away or refuses: whether the lock was taken is unknown, and it ends by itself.
    pub async fn take(keys: &RedisKeys, key: &str, span: Duration) -> Result<Option<Self>, RedisFault> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| RedisFault::Other(error.to_string()))?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut set = redis::cmd("SET");
        set.arg(key).arg(&token).arg("NX").arg("PX").arg(millis(span));
        let taken: Option<String> = keys.ask(set).await?;
        Ok(taken.map(|_| Self { keys: keys.clone(), key: key.to_owned(), token, span }))
    }

    /// Holds it for another `span` from now. `false` if it has ended meanwhile, or is another's.
    ///
    /// # Errors
    ///
    /// Redis is away or refuses: the lock ends by itself.
    pub async fn renew(&self) -> Result<bool, RedisFault> {
        let mut eval = self.eval(RENEW);
        eval.arg(millis(self.span));
        self.keys.ask::<u8>(eval).await.map(|renewed| renewed == 1)
    }

    /// The key. A script that compares its value with the [`token`](Self::token) writes only under the lock.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The token that is the value of the [`key`](Self::key).
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Gives it back. `false` if it had ended, or is another's: what was done under it may have met another owner.
    ///
    /// # Errors
    ///
    /// Redis is away or refuses: the lock ends by itself.
    pub async fn release(self) -> Result<bool, RedisFault> {
        self.keys.ask::<u8>(self.eval(RELEASE)).await.map(|released| released == 1)
    }

    fn eval(&self, script: &str) -> redis::Cmd {
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(1).arg(&self.key).arg(&self.token);
        eval
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}

const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
                     return 0";
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
