//! Faults of peers, and what the peer is told.
//!
//! Owns: [`PeerError`] and the one table from faults to HTTP status, Engine.IO error body and WebSocket close code.
//! Must never know: a connection.

use bytes::Bytes;
use http::StatusCode;

use super::config::ErrorStyle;
use crate::websocket::CloseCode;

/// A fault of a peer. It ends that one request or connection, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerError {
    /// `transport` is absent, unknown or not offered.
    UnknownTransport,
    /// `sid` names no session of this endpoint.
    UnknownSession,
    /// Not a method that opens or uses a session.
    BadMethod,
    /// A request that makes no sense: a second poll, a poll after the upgrade, a body of no packets.
    BadRequest,
    /// The browser's origin is not allowed.
    ForbiddenOrigin,
    /// `EIO` is absent or not 4.
    UnsupportedVersion,
    /// The body or message is larger than announced in `maxPayload`.
    PayloadTooLarge,
    /// The server is full or ending.
    Unavailable,
    /// Nothing but a WebSocket is spoken there.
    UpgradeRequired,
    /// The WebSocket handshake is wrong.
    BadHandshake,
    /// A WebSocket frame is against RFC 6455; the close code says how.
    BadFrame(CloseCode),
    /// Not a packet of Engine.IO, or not one that a client may send now.
    BadEnginePacket,
    /// Not a packet of Socket.IO, or not one that may come now.
    BadSocketPacket,
    /// The peer was not admitted yet, and unadmitted peers together pinned more memory than allowed.
    OverLimit,
    /// What it had begun was not whole in time.
    Unfinished,
}

/// What a fault looks like on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultResponse {
    /// Status of the HTTP answer.
    pub status: StatusCode,
    /// `code` of the Engine.IO error body.
    pub code: u8,
    /// `message` of the Engine.IO error body.
    pub message: &'static str,
    /// Code of the WebSocket close frame.
    pub close: CloseCode,
}

impl PeerError {
    /// The table: Engine.IO protocol, "Error codes" of the reference implementation; RFC 6455 section 7.4.1.
    pub const fn verdict(self) -> FaultResponse {
        let (status, code, message, close) = match self {
            Self::UnknownTransport => (StatusCode::BAD_REQUEST, 0, "Transport unknown", CloseCode::POLICY),
            Self::UnknownSession => (StatusCode::BAD_REQUEST, 1, "Session ID unknown", CloseCode::POLICY),
            Self::BadMethod => (StatusCode::BAD_REQUEST, 2, "Bad handshake method", CloseCode::POLICY),
            Self::BadRequest => (StatusCode::BAD_REQUEST, 3, "Bad request", CloseCode::POLICY),
            Self::ForbiddenOrigin => (StatusCode::FORBIDDEN, 4, "Forbidden", CloseCode::POLICY),
            Self::UnsupportedVersion => (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version", CloseCode::POLICY),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 3, "Payload too large", CloseCode::TOO_BIG),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 3, "Service unavailable", CloseCode::GOING_AWAY),
            Self::UpgradeRequired => (StatusCode::UPGRADE_REQUIRED, 3, "Upgrade required", CloseCode::POLICY),
            Self::BadHandshake => (StatusCode::BAD_REQUEST, 3, "Bad request", CloseCode::PROTOCOL),
            Self::BadFrame(close) => (StatusCode::BAD_REQUEST, 3, "Bad request", close),
            Self::BadEnginePacket | Self::BadSocketPacket => {
                (StatusCode::BAD_REQUEST, 3, "Bad request", CloseCode::PROTOCOL)
            }
            Self::OverLimit => (StatusCode::BAD_REQUEST, 3, "Bad request", CloseCode::POLICY),
            Self::Unfinished => (StatusCode::REQUEST_TIMEOUT, 3, "Request timeout", CloseCode::POLICY),
        };
        FaultResponse { status, code, message, close }
    }

    /// The body of a refusal: `{"code":1,"message":"Session ID unknown"}` or `"Invalid session"`.
    pub fn body(self, style: ErrorStyle) -> Bytes {
        let verdict = self.verdict();
        match style {
            ErrorStyle::Object => {
                Bytes::from(format!(r#"{{"code":{},"message":"{}"}}"#, verdict.code, verdict.message))
            }
            ErrorStyle::Text => Bytes::from(format!(r#""{}""#, self.text())),
        }
    }

    /// As python-engineio 4 words it, without what the client said: it adds the sid or the origin.
    const fn text(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Invalid transport",
            Self::UnknownSession => "Invalid session",
            Self::ForbiddenOrigin => "The origin is not an accepted origin.",
            Self::UnsupportedVersion => {
                "The client is using an unsupported version of the Socket.IO or Engine.IO protocols"
            }
            Self::BadMethod
            | Self::BadRequest
            | Self::PayloadTooLarge
            | Self::Unavailable
            | Self::UpgradeRequired
            | Self::BadHandshake
            | Self::BadFrame(_)
            | Self::BadEnginePacket
            | Self::BadSocketPacket
            | Self::OverLimit
            | Self::Unfinished => "Bad Request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_worded_in_both_styles() {
        let body = |fault: PeerError, style| String::from_utf8(fault.body(style).to_vec()).unwrap();
        let (object, text) = (ErrorStyle::Object, ErrorStyle::Text);
        assert_eq!(body(PeerError::UnknownTransport, object), r#"{"code":0,"message":"Transport unknown"}"#);
        assert_eq!(body(PeerError::UnknownTransport, text), r#""Invalid transport""#);
        assert_eq!(body(PeerError::UnknownSession, text), r#""Invalid session""#);
        assert_eq!(body(PeerError::OverLimit, object), r#"{"code":3,"message":"Bad request"}"#);
        assert_eq!(body(PeerError::OverLimit, text), r#""Bad Request""#);
    }

    #[test]
    fn a_fault_closes_with_the_code_of_its_kind() {
        let close = |fault: PeerError| fault.verdict().close;
        assert_eq!(close(PeerError::BadFrame(CloseCode::TOO_BIG)), CloseCode::TOO_BIG);
        assert_eq!(close(PeerError::BadSocketPacket), CloseCode::PROTOCOL);
        assert_eq!(close(PeerError::Unfinished), CloseCode::POLICY);
        assert_eq!(close(PeerError::Unavailable), CloseCode::GOING_AWAY);
        assert_eq!(PeerError::Unfinished.verdict().status, StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn an_origin_and_a_version_are_refused_in_words_of_their_own() {
        let text = |fault: PeerError| String::from_utf8(fault.body(ErrorStyle::Text).to_vec()).unwrap();
        assert_eq!(text(PeerError::ForbiddenOrigin), r#""The origin is not an accepted origin.""#);
        assert!(text(PeerError::UnsupportedVersion).contains("unsupported version"));
    }
}
