//! The cookie by which a proxy sends the requests of a session to the same server.
//!
//! Owns: its form, [RFC 6265](https://www.rfc-editor.org/rfc/rfc6265) section 4.1. Must never know: sessions.

use http::HeaderValue;

/// A cookie with the session's id, in the response that opens a session by long polling: a proxy that goes by cookies
/// sends the other requests of the session to the same server. It is engine.io's option `cookie`. A response to a WebSocket
/// handshake has none, as with engine.io: that connection stays where it is. The server itself never reads it.
///
/// A request with the id speaks as the session, so browsers should not show it to scripts, nor send it from
/// other sites: the default attributes are engine.io's `httpOnly` and `sameSite: "lax"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCookie {
    /// Its name. `io`.
    pub name: String,
    /// What stands behind its value, with `; ` between attributes. `Path=/; HttpOnly; SameSite=Lax`.
    pub attributes: String,
}

impl Default for SessionCookie {
    fn default() -> Self {
        Self { name: "io".to_owned(), attributes: "Path=/; HttpOnly; SameSite=Lax".to_owned() }
    }
}

impl SessionCookie {
    /// Whether name and attributes can stand in a header.
    pub(super) fn is_valid(&self) -> bool {
        let is_token = |byte: u8| byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(&byte);
        !self.name.is_empty()
            && self.name.bytes().all(is_token)
            && self.attributes.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    }

    /// The value of `Set-Cookie` for a session; `None` if it cannot be one.
    pub(super) fn header(&self, sid: &str) -> Option<HeaderValue> {
        let Self { name, attributes } = self;
        let separator = if attributes.is_empty() { "" } else { "; " };
        HeaderValue::try_from(format!("{name}={sid}{separator}{attributes}")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_attributes_that_cannot_stand_in_a_header_are_seen() {
        let with = |name: &str, attributes: &str| SessionCookie { name: name.into(), attributes: attributes.into() };
        for cookie in [SessionCookie::default(), with("io", ""), with("__Host-io", "Secure; Path=/; SameSite=None")] {
            assert!(cookie.is_valid() && cookie.header("sid").is_some(), "{cookie:?}");
        }
        for (name, attributes) in
            [("", ""), ("i o", ""), ("i=o", ""), ("io;", ""), ("io", "Path=/\r\nx: y"), ("io", "ü")]
        {
            assert!(!with(name, attributes).is_valid(), "{name:?} {attributes:?}");
        }
        assert_eq!(with("io", "").header("abc").unwrap(), "io=abc");
        assert_eq!(SessionCookie::default().header("abc").unwrap(), "io=abc; Path=/; HttpOnly; SameSite=Lax");
    }
}
