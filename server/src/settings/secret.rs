//! Secrets: the key that signs tokens, and the key of the HTTP API.
//!
//! Owns: that a secret is never printed, and which texts are too weak to be one. Must never know: what a secret opens.

use std::fmt;

/// A text that `Debug` does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text without judging it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for signing and comparing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Says what is wrong with a text as the key that signs tokens.
pub(super) fn signing_key_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is empty; set it or leave it out".to_owned());
    }
    if text == PUBLISHED {
        return Some("is the default that Open WebUI publishes in its source; choose a secret".to_owned());
    }
    (text.len() < SIGNING_KEY_BYTES_MIN).then(|| format!("is shorter than {SIGNING_KEY_BYTES_MIN} bytes: {GENERATE}"))
}

/// Says what is wrong with a text as the key of the HTTP API.
pub(super) fn api_key_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is empty; set it or leave it out".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("must consist of printable ASCII characters without blanks, to fit an HTTP header".to_owned());
    }
    (text.len() < API_KEY_BYTES_MIN).then(|| format!("is shorter than {API_KEY_BYTES_MIN} bytes: {GENERATE}"))
}

/// What Open WebUI 0.6.41 signs with when no secret is set.
const PUBLISHED: &str = "t0p-s3cr3t";
/// Open WebUI generates 16 characters. Anything this short can be guessed from a single token.
const SIGNING_KEY_BYTES_MIN: usize = 8;
const API_KEY_BYTES_MIN: usize = 16;
const GENERATE: &str = "choose a random one, for example with `openssl rand -base64 32`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_published_and_unsendable_keys_are_refused() {
        for (text, fault) in [("", "empty"), ("a", "shorter"), ("1234567", "shorter"), ("t0p-s3cr3t", "publishes")] {
            assert!(signing_key_fault(text).unwrap().contains(fault), "{text}");
        }
        assert_eq!(signing_key_fault("12345678"), None);
        for (text, fault) in [
            ("", "empty"),
            ("a", "shorter"),
            ("123456789012345", "shorter"),
            ("a key with blanks in it", "ASCII"),
            ("schlüssel-der-schnittstelle", "ASCII"),
        ] {
            assert!(api_key_fault(text).unwrap().contains(fault), "{text}");
        }
        assert_eq!(api_key_fault("1234567890123456"), None);
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret");
    }
}
