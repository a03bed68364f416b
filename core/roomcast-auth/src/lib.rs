//! JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) in the compact form of
//! [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515): strict, against a [`Policy`] and the caller's clock.
//!
//! ```
//! use roomcast_auth::{AuthError, Claim, Key, Policy, Verifier, sign_hs256};
//! use roomcast_time::WallTime;
//!
//! let policy = Policy { required: vec![Claim::Expiry, Claim::Subject], ..Policy::default() };
//! let verifier = Verifier::new(policy, vec![Key::hmac(b"secret")?])?;
//! let token = sign_hs256(b"secret", r#"{"sub":"ada","exp":2000}"#);
//!
//! let claims = verifier.verify(&token, WallTime::from_unix_millis(1_999_999))?;
//! assert_eq!(claims.subject(), Some("ada"));
//! assert_eq!(verifier.verify(&token, WallTime::from_unix_millis(2_000_000)), Err(AuthError::Expired));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate opens no socket, reads no clock, draws no random number and contains no `unsafe`: the same token at the
//! same time always gets the same verdict. Times are compared as integers, without floats and without leeway unless
//! the policy grants some. Nothing in the payload is read before the signature is right; a name that stands twice in
//! one JSON object refuses the token, and so does any `crit`.
//!
//! # Features
//!
//! HS256, HS384 and HS512 are always there, by `hmac` and `sha2`, compared in constant time. The feature `asymmetric`
//! adds RS*, PS*, ES* and EdDSA by jsonwebtoken (some 50 more packages), which is asked about the signature alone.
//!
//! Of other crates' types, only [`roomcast_time::WallTime`] stands in this API.

#![forbid(unsafe_code)]

pub use algorithm::Algorithm;
pub use claims::{Claim, Claims};
pub use error::AuthError;
pub use key::{Key, SetupError};
pub use policy::{Audience, Dates, Policy};
pub use sign::sign_hs256;
pub use verifier::Verifier;

mod algorithm;
#[cfg(feature = "asymmetric")]
mod asymmetric;
mod claims;
mod error;
mod json;
mod key;
mod policy;
mod secret;
mod sign;
mod verifier;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
