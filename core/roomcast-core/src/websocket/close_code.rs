//! The status codes of close frames.
//!
//! Owns: which codes may stand in a close frame ([RFC 6455 §7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4)). Must
//! never know: which fault has which code.

use std::fmt;

/// A status code that may stand in a close frame. The codes that only describe an ending without one (1005, 1006, 1015)
/// cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// A protocol error.
    pub const PROTOCOL: Self = Self(1002);
    /// A type of data that the endpoint does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Data that does not fit the type of its message: text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// A violation of the endpoint's own rules.
    pub const POLICY: Self = Self(1008);
    /// A message that is too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// The client wanted an extension which the server did not accept. A server does not send it.
    pub const EXTENSION_MISSING: Self = Self(1010);
    /// The server met a condition that it did not expect.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts ([IANA registry](https://www.iana.org/assignments/websocket/websocket.xml#close-code-number)).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The server is overloaded (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got an invalid answer from behind it (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// `code`, if it may stand in a close frame: 1000–1003 and 1007–1014, which are registered, 3000–3999, which
    /// libraries register, and 4000–4999, which applications use as they like.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_may_be_sent() {
        // The lists of Autobahn 7.7 and 7.9 and their borders.
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(CloseCode::new(code).map(CloseCode::as_u16), Some(code));
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(CloseCode::new(code), None, "{code}");
        }
    }
}
