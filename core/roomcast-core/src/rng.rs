//! All the randomness there is: a ChaCha stream from the caller's seed, and hash maps keyed from it.
//!
//! Owns: [`Rng`] and [`KeyedHash`]. Must never know: where the seed comes from.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use siphasher::sip::SipHasher13;

/// A cryptographic generator: session ids are bearer secrets.
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// The same seed gives the same stream.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Fills `bytes` with random bits.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A number below `bound`, or 0 if `bound` is 0. The bias is below 2^-32 for every 32-bit bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// A key for one hash map.
    pub fn keyed_hash(&mut self) -> KeyedHash {
        KeyedHash { key: (self.next_u64(), self.next_u64()) }
    }

    /// An independent generator, seeded from this one.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        Self::from_seed(seed)
    }
}

impl std::fmt::Debug for Rng {
    /// Its state would tell coming session ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

/// SipHash-1-3 with a key from the seed, for maps whose keys peers choose: peers cannot provoke collisions, and a run
/// with the same seed is reproducible.
#[derive(Clone, Debug)]
pub struct KeyedHash {
    key: (u64, u64),
}

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

/// A map keyed by what peers choose. Never iterated: see `clippy.toml`.
pub type KeyedMap<K, V> = HashMap<K, V, KeyedHash>;

/// A set of what peers choose. Never iterated: see `clippy.toml`.
pub type KeyedSet<K> = HashSet<K, KeyedHash>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_everything() {
        let draw = |seed: u8| {
            let mut rng = Rng::from_seed([seed; 32]);
            (rng.next_u64(), rng.below(10), rng.fork().next_u64(), rng.keyed_hash().hash_one("room"))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = Rng::from_seed([7; 32]);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(rng.below(5)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
    }
}
