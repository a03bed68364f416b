//! The opening handshake ([RFC 6455 §4](https://www.rfc-editor.org/rfc/rfc6455#section-4)).
//!
//! Owns: what a request and a response must say before frames may flow, checked header by header on both sides. Must never
//! know: how HTTP is parsed or written, and which paths or origins are welcome.
//!
//! No subprotocol is negotiated and extensions that a client offers are left unanswered, which declines them.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use sha1::{Digest as _, Sha1};

/// Checks a client's request ([§4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)) and makes the response that
/// accepts it (§4.2.2). Bytes after the request's head belong to the [`Decoder`](super::Decoder).
///
/// # Errors
///
/// What is missing or wrong in the request. [`HandshakeError::status`] and [`HandshakeError::headers`] make the response
/// that refuses it.
pub fn accept<T>(request: &Request<T>) -> Result<Response<()>, HandshakeError> {
    if request.method() != Method::GET {
        return Err(HandshakeError::MethodNotGet);
    }
    check_http_version(request.version())?;
    let headers = request.headers();
    check_host(headers)?;
    check_no_body(headers)?;
    if !list_contains(headers, UPGRADE, b"websocket") {
        return Err(HandshakeError::UpgradeMissing);
    }
    if !list_contains(headers, CONNECTION, b"upgrade") {
        return Err(HandshakeError::ConnectionMissing);
    }
    // Before the key, since a client of another version may not know the key.
    check_websocket_version(headers)?;
    let accept = accept_value(checked_key(headers)?);

    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The client's side of one opening handshake.
#[derive(Clone, Copy)]
pub struct ClientHandshake {
    key: [u8; 16],
}

impl ClientHandshake {
    /// A handshake with a key of 16 random bytes, drawn afresh for each connection.
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The request to send ([§4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1)): `authority` becomes its Host
    /// without any user information, so leave the scheme's own port out of it.
    ///
    /// The caller may add headers (Origin, Cookie, …), but neither a subprotocol nor an extension:
    /// [`ClientHandshake::verify`] would refuse the answer.
    pub fn request(&self, authority: &Authority, target: &PathAndQuery) -> Request<()> {
        let host = match authority.as_str().rsplit_once('@') {
            Some((_, host)) => host,
            None => authority.as_str(),
        };
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from(target.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, ascii_value(host));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_KEY, self.key_value());
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        request
    }

    /// Checks the server's response (§4.1). Bytes after its head belong to the [`Decoder`](super::Decoder).
    ///
    /// # Errors
    ///
    /// What is missing or wrong in the response; the connection is to be closed.
    pub fn verify<T>(&self, response: &Response<T>) -> Result<(), HandshakeError> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HandshakeError::StatusNotSwitching);
        }
        check_http_version(response.version())?;
        let headers = response.headers();
        let upgrade = single(headers, UPGRADE, HandshakeError::UpgradeMissing, HandshakeError::UpgradeMissing)?;
        if !upgrade.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket") {
            return Err(HandshakeError::UpgradeMissing);
        }
        if !list_contains(headers, CONNECTION, b"upgrade") {
            return Err(HandshakeError::ConnectionMissing);
        }
        let accept =
            single(headers, SEC_WEBSOCKET_ACCEPT, HandshakeError::AcceptMissing, HandshakeError::AcceptRepeated)?;
        if accept.as_bytes().trim_ascii() != accept_value(self.key_value().as_bytes()).as_bytes() {
            return Err(HandshakeError::AcceptWrong);
        }
        if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
            return Err(HandshakeError::ExtensionUnasked);
        }
        if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            return Err(HandshakeError::SubprotocolUnasked);
        }
        Ok(())
    }

    fn key_value(&self) -> HeaderValue {
        ascii_value(&STANDARD.encode(self.key))
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake").finish_non_exhaustive()
    }
}

/// Why a handshake fails. A server answers with [`HandshakeError::response`]; a client gives the connection up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request's method is not GET.
    MethodNotGet,
    /// Not HTTP/1.1. The RFC says "or higher", but HTTP/2 and HTTP/3 have no 101 and open a WebSocket by CONNECT
    /// ([RFC 9113 §8.6](https://www.rfc-editor.org/rfc/rfc9113#section-8.6),
    /// [RFC 8441](https://www.rfc-editor.org/rfc/rfc8441)).
    HttpVersion,
    /// The request has no `Host`.
    HostMissing,
    /// The request has more than one `Host`.
    HostRepeated,
    /// A Host that is not `host[:port]`.
    HostInvalid,
    /// The request announces a body. It would be mistaken for frames, or the frames for it.
    BodyPresent,
    /// Upgrade does not name websocket (in a response: names anything else).
    UpgradeMissing,
    /// Connection does not contain upgrade.
    ConnectionMissing,
    /// Sec-WebSocket-Version is not 13, or missing.
    VersionUnsupported,
    /// Two Sec-WebSocket-Version.
    VersionRepeated,
    /// No Sec-WebSocket-Key.
    KeyMissing,
    /// Two Sec-WebSocket-Key.
    KeyRepeated,
    /// A Sec-WebSocket-Key that is not 16 bytes in base64.
    KeyInvalid,
    /// The response's status is not 101.
    StatusNotSwitching,
    /// No Sec-WebSocket-Accept.
    AcceptMissing,
    /// Two Sec-WebSocket-Accept.
    AcceptRepeated,
    /// The Sec-WebSocket-Accept of another key.
    AcceptWrong,
    /// The response accepts an extension that was not offered.
    ExtensionUnasked,
    /// The response chooses a subprotocol that was not offered.
    SubprotocolUnasked,
}

impl HandshakeError {
    /// The answer to a request with this fault. A fault of a response is the gateway's (502), should there be one.
    pub fn status(self) -> StatusCode {
        match self {
            Self::MethodNotGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::VersionUnsupported => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::BodyPresent
            | Self::UpgradeMissing
            | Self::ConnectionMissing
            | Self::VersionRepeated
            | Self::KeyMissing
            | Self::KeyRepeated
            | Self::KeyInvalid => StatusCode::BAD_REQUEST,
            Self::StatusNotSwitching
            | Self::AcceptMissing
            | Self::AcceptRepeated
            | Self::AcceptWrong
            | Self::ExtensionUnasked
            | Self::SubprotocolUnasked => StatusCode::BAD_GATEWAY,
        }
    }

    /// The headers which that answer must carry, in lower case: what would have been accepted
    /// ([RFC 6455 §4.4](https://www.rfc-editor.org/rfc/rfc6455#section-4.4),
    /// [RFC 9110 §15.5.6](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6) and §15.5.22).
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::MethodNotGet => &[("allow", "GET")],
            Self::VersionUnsupported => {
                &[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", VERSION)]
            }
            Self::HttpVersion
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::BodyPresent
            | Self::UpgradeMissing
            | Self::ConnectionMissing
            | Self::VersionRepeated
            | Self::KeyMissing
            | Self::KeyRepeated
            | Self::KeyInvalid
            | Self::StatusNotSwitching
            | Self::AcceptMissing
            | Self::AcceptRepeated
            | Self::AcceptWrong
            | Self::ExtensionUnasked
            | Self::SubprotocolUnasked => &[],
        }
    }

    /// The fault in words, which is also the body of the answer.
    pub fn message(self) -> &'static str {
        match self {
            Self::MethodNotGet => "method is not GET",
            Self::HttpVersion => "not HTTP/1.1",
            Self::HostMissing => "no Host",
            Self::HostRepeated => "more than one Host",
            Self::HostInvalid => "invalid Host",
            Self::BodyPresent => "request with a body",
            Self::UpgradeMissing => "Upgrade is not websocket",
            Self::ConnectionMissing => "Connection is not upgrade",
            Self::VersionUnsupported => "Sec-WebSocket-Version is not 13",
            Self::VersionRepeated => "more than one Sec-WebSocket-Version",
            Self::KeyMissing => "no Sec-WebSocket-Key",
            Self::KeyRepeated => "more than one Sec-WebSocket-Key",
            Self::KeyInvalid => "invalid Sec-WebSocket-Key",
            Self::StatusNotSwitching => "status is not 101",
            Self::AcceptMissing => "no Sec-WebSocket-Accept",
            Self::AcceptRepeated => "more than one Sec-WebSocket-Accept",
            Self::AcceptWrong => "wrong Sec-WebSocket-Accept",
            Self::ExtensionUnasked => "extension that was not offered",
            Self::SubprotocolUnasked => "subprotocol that was not offered",
        }
    }

    /// Status, headers and body in one.
    pub fn response(self) -> Response<&'static str> {
        let mut response = Response::new(self.message());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        for (name, value) in self.headers() {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for HandshakeError {}

fn check_http_version(version: Version) -> Result<(), HandshakeError> {
    if version == Version::HTTP_11 { Ok(()) } else { Err(HandshakeError::HttpVersion) }
}

/// [RFC 9112 §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2): one Host, of the form `host[:port]`.
fn check_host(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let host = single(headers, HOST, HandshakeError::HostMissing, HandshakeError::HostRepeated)?;
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| HandshakeError::HostInvalid)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(HandshakeError::HostInvalid);
    }
    Ok(())
}

fn check_no_body(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let announced = headers.get_all(CONTENT_LENGTH).iter().any(|len| len.as_bytes() != b"0");
    if announced || headers.contains_key(TRANSFER_ENCODING) { Err(HandshakeError::BodyPresent) } else { Ok(()) }
}

fn check_websocket_version(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let unsupported = HandshakeError::VersionUnsupported;
    let version = single(headers, SEC_WEBSOCKET_VERSION, unsupported, HandshakeError::VersionRepeated)?;
    if version.as_bytes().trim_ascii() == VERSION.as_bytes() { Ok(()) } else { Err(unsupported) }
}

/// The key as it stands in the request, once it is known to be 16 bytes in base64.
fn checked_key(headers: &HeaderMap) -> Result<&[u8], HandshakeError> {
    let key = single(headers, SEC_WEBSOCKET_KEY, HandshakeError::KeyMissing, HandshakeError::KeyRepeated)?;
    let key = key.as_bytes().trim_ascii();
    let mut decoded = [0; KEY_CHARACTERS];
    if key.len() == KEY_CHARACTERS && KEY_ENCODING.decode_slice(key, &mut decoded) == Ok(KEY_BYTES) {
        Ok(key)
    } else {
        Err(HandshakeError::KeyInvalid)
    }
}

/// The only value of a header that must not be repeated.
fn single(
    headers: &HeaderMap,
    name: HeaderName,
    missing: HandshakeError,
    repeated: HandshakeError,
) -> Result<&HeaderValue, HandshakeError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(missing),
        (Some(_), Some(_)) => Err(repeated),
    }
}

/// Whether a header that holds a list, which may be spread over several lines, has `token` in it
/// ([RFC 9110 §5.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1)).
fn list_contains(headers: &HeaderMap, name: HeaderName, token: &[u8]) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(token))
}

/// What a server answers to `key` ([RFC 6455 §4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2), item 5.4).
fn accept_value(key: &[u8]) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    ascii_value(&STANDARD.encode(digest))
}

#[expect(clippy::expect_used, reason = "base64 and URI authorities are visible ASCII")]
fn ascii_value(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("invariant: visible ASCII is a header value")
}

const VERSION: &str = "13";
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;
const KEY_CHARACTERS: usize = 24;
/// The bits of the last character that stand for no byte may be anything: the RFC asks for a value that decodes to 16
/// bytes, and hand-made keys of real clients have them set.
const KEY_ENCODING: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_example_of_the_rfc() {
        let response = accept(&request(&[])).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[UPGRADE], "websocket");
        assert_eq!(response.headers()[CONNECTION], "Upgrade");
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers().len(), 3);
    }

    #[test]
    fn accepts_other_spellings() {
        for changes in [
            &[("upgrade", &["WebSocket"][..])][..],
            &[("upgrade", &["h2c, websocket"])],
            &[("upgrade", &["h2c", "WEBSOCKET"])],
            &[("connection", &["keep-alive, Upgrade"])],
            &[("connection", &["keep-alive", "UPGRADE"])],
            &[("connection", &[" \tupgrade , keep-alive"])],
            &[("host", &["[::1]:8080"])],
            &[("host", &["under_score.example"])],
            &[("content-length", &["0"])],
            &[("sec-websocket-version", &[" 13 "])],
            &[("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZR=="])],
            &[("sec-websocket-extensions", &["permessage-deflate; client_max_window_bits"])],
            &[("sec-websocket-protocol", &["chat, superchat"])],
        ] {
            let response = accept(&request(changes)).unwrap();
            assert!(!response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS), "{changes:?}");
            assert!(!response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL), "{changes:?}");
        }
    }

    #[test]
    fn refuses_each_header_wrong_missing_or_repeated() {
        use HandshakeError::*;
        for (name, values, error) in [
            ("host", &[][..], HostMissing),
            ("host", &["a.example", "a.example"], HostRepeated),
            ("host", &[""], HostInvalid),
            ("host", &["user@a.example"], HostInvalid),
            ("host", &["a.example, b.example"], HostInvalid),
            ("host", &["a.example/path"], HostInvalid),
            ("upgrade", &[], UpgradeMissing),
            ("upgrade", &["h2c"], UpgradeMissing),
            ("upgrade", &["websockets"], UpgradeMissing),
            ("upgrade", &["web socket"], UpgradeMissing),
            ("connection", &[], ConnectionMissing),
            ("connection", &["keep-alive"], ConnectionMissing),
            ("connection", &["upgraded"], ConnectionMissing),
            ("sec-websocket-key", &[], KeyMissing),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="], KeyRepeated),
            ("sec-websocket-key", &[""], KeyInvalid),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], KeyInvalid),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZ==="], KeyInvalid),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25j"], KeyInvalid),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQAA"], KeyInvalid),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQA="], KeyInvalid),
            ("sec-websocket-key", &["dGhl_HNhbXBsZSBub25jZQ=="], KeyInvalid),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==dGhl"], KeyInvalid),
            ("sec-websocket-version", &[], VersionUnsupported),
            ("sec-websocket-version", &["8"], VersionUnsupported),
            ("sec-websocket-version", &["013"], VersionUnsupported),
            ("sec-websocket-version", &["13, 8"], VersionUnsupported),
            ("sec-websocket-version", &["13", "13"], VersionRepeated),
            ("content-length", &["5"], BodyPresent),
            ("content-length", &["0", "5"], BodyPresent),
            ("transfer-encoding", &["chunked"], BodyPresent),
        ] {
            assert_eq!(accept(&request(&[(name, values)])).unwrap_err(), error, "{name}: {values:?}");
        }
        let mut post = request(&[]);
        *post.method_mut() = Method::POST;
        assert_eq!(accept(&post).unwrap_err(), MethodNotGet);
        for version in [Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
            let mut other = request(&[]);
            *other.version_mut() = version;
            assert_eq!(accept(&other).unwrap_err(), HttpVersion);
        }
    }

    #[test]
    fn refusals_say_what_would_be_accepted() {
        let response = HandshakeError::VersionUnsupported.response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()[SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(response.headers()[UPGRADE], "websocket");
        assert_eq!(response.headers()[CONNECTION], "Upgrade");
        let response = HandshakeError::MethodNotGet.response();
        assert_eq!(
            (response.status(), &response.headers()["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &"GET".parse().unwrap())
        );
        let response = HandshakeError::KeyInvalid.response();
        assert_eq!((response.status(), *response.body()), (StatusCode::BAD_REQUEST, "invalid Sec-WebSocket-Key"));
    }

    #[test]
    fn client_asks_for_what_the_server_accepts() {
        let client = ClientHandshake::new(*b"the sample nonce");
        let authority = Authority::from_static("user:secret@a.example:8080");
        let request = client.request(&authority, &PathAndQuery::from_static("/socket.io/?EIO=4"));
        assert_eq!(request.uri(), "/socket.io/?EIO=4");
        assert_eq!(request.headers()[HOST], "a.example:8080");
        assert_eq!(request.headers()[SEC_WEBSOCKET_KEY], "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(client.verify(&accept(&request).unwrap()), Ok(()));
    }

    #[test]
    fn client_refuses_each_header_wrong_missing_or_repeated() {
        use HandshakeError::*;
        let client = ClientHandshake::new(*b"the sample nonce");
        for (name, values, error) in [
            ("upgrade", &[][..], UpgradeMissing),
            ("upgrade", &["h2c"], UpgradeMissing),
            ("upgrade", &["websocket, h2c"], UpgradeMissing),
            ("upgrade", &["websocket", "websocket"], UpgradeMissing),
            ("connection", &[], ConnectionMissing),
            ("connection", &["close"], ConnectionMissing),
            ("sec-websocket-accept", &[], AcceptMissing),
            ("sec-websocket-accept", &["s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "x"], AcceptRepeated),
            ("sec-websocket-accept", &["S3pPLMBiTxaQ9kYGzzhZRbK+xOo="], AcceptWrong),
            ("sec-websocket-accept", &[""], AcceptWrong),
            ("sec-websocket-extensions", &["permessage-deflate"], ExtensionUnasked),
            ("sec-websocket-protocol", &["chat"], SubprotocolUnasked),
        ] {
            let mut response = accept(&request(&[])).unwrap();
            set(response.headers_mut(), name, values);
            assert_eq!(client.verify(&response), Err(error), "{name}: {values:?}");
        }
        for (name, values) in [
            ("upgrade", "WebSocket"),
            ("connection", "x, upgrade"),
            ("sec-websocket-accept", " s3pPLMBiTxaQ9kYGzzhZRbK+xOo= "),
        ] {
            let mut response = accept(&request(&[])).unwrap();
            set(response.headers_mut(), name, &[values]);
            assert_eq!(client.verify(&response), Ok(()), "{name}: {values:?}");
        }
        for status in [200, 302, 401, 426] {
            let mut response = accept(&request(&[])).unwrap();
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert_eq!(client.verify(&response), Err(StatusNotSwitching));
        }
        let mut response = accept(&request(&[])).unwrap();
        *response.version_mut() = Version::HTTP_10;
        assert_eq!(client.verify(&response), Err(HttpVersion));
    }

    /// The request of [RFC 6455 §1.2](https://www.rfc-editor.org/rfc/rfc6455#section-1.2) with some headers changed.
    fn request(changes: &[(&'static str, &[&str])]) -> Request<()> {
        let mut request = Request::new(());
        let headers = request.headers_mut();
        for (name, value) in [
            ("host", "server.example.com"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("origin", "http://example.com"),
            ("sec-websocket-version", "13"),
        ] {
            set(headers, name, &[value]);
        }
        for (name, values) in changes {
            set(headers, name, values);
        }
        request
    }

    fn set(headers: &mut HeaderMap, name: &'static str, values: &[&str]) {
        headers.remove(name);
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
    }
}
