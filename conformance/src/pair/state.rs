//! The records of a pair: its requests, WebSockets and clients, and how their requests look.
//!
//! Owns: what is known of each. Must never know: how any of it comes about.

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use roomcast_core::engine_io::PeerHandshake;
use roomcast_core::rng::Rng;
use roomcast_core::server::{App, ConnId, RequestId};
use roomcast_core::websocket::Decoder;

use super::host::Host;

/// A server and its clients.
#[derive(Debug)]
pub struct Pair<A: App> {
    /// The server and its driver.
    pub host: Host<A>,
    pub(super) requests: Vec<RequestStage>,
    pub(super) sockets: Vec<WsClient>,
    pub(super) peers: Vec<PeerState>,
    pub(super) masks: Rng,
}

/// A request of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRequest(pub(super) usize);

/// An answer as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResponse {
    /// The HTTP status of the response.
    pub status: StatusCode,
    /// The body, as text.
    pub body: String,
    /// The header fields.
    pub headers: http::HeaderMap,
}

impl TestResponse {
    /// A header field as text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The status as a number, and the body as text.
    pub fn brief(&self) -> (u16, &str) {
        (self.status.as_u16(), &self.body)
    }

    pub(super) fn of(response: &Response<Bytes>) -> Self {
        Self {
            status: response.status(),
            body: String::from_utf8_lossy(response.body()).into_owned(),
            headers: response.headers().clone(),
        }
    }
}

/// How far a request is.
#[derive(Debug)]
pub(super) enum RequestStage {
    Refused(Response<Bytes>),
    Head(RequestId),
    Running(RequestId),
    Answered(Response<Bytes>),
    Aborted,
}

/// A WebSocket of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ws(pub(super) usize);

/// The client's end of a WebSocket.
#[derive(Debug)]
pub(super) struct WsClient {
    pub(super) conn: ConnId,
    pub(super) decoder: Decoder,
    pub(super) inbox: Vec<String>,
    /// The server's close frame.
    pub(super) close: String,
    pub(super) left: bool,
}

/// A client of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub(super) usize);

/// How a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By WebSocket at once.
    WebSocket,
    /// By long polling, and stays there.
    Polling,
    /// By long polling, then by WebSocket.
    Upgrade,
}

impl Via {
    /// Every way to connect.
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::Polling, Self::Upgrade];
}

/// How a session ended, as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// A poll has returned the Engine.IO packet CLOSE (`1`).
    ClosePacket,
    /// A request was answered with another status than 200.
    Status(u16),
    /// The WebSocket was closed, with this close frame before it.
    Closed(String),
    /// The client went away.
    Left,
}

#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) target: String,
    pub(super) handshake: PeerHandshake,
    pub(super) link: WsLink,
    pub(super) inbox: Vec<String>,
    pub(super) pongs: Pongs,
    pub(super) over: Option<Over>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum WsLink {
    WebSocket(Ws),
    Polling { get: Option<TestRequest> },
}

/// Whether a client answers pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pongs {
    Sent,
    Kept,
}

/// A request's head.
pub(super) fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    match target.parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => panic!("{target}: {error}"),
    }
    for (name, value) in headers {
        match (HeaderName::try_from(*name), HeaderValue::try_from(*value)) {
            (Ok(name), Ok(value)) => request.headers_mut().append(name, value),
            (Err(_), _) | (_, Err(_)) => panic!("not a header field: {name}: {value}"),
        };
    }
    request
}

/// The head of a request for a WebSocket.
pub fn handshake(target: &str, origin: Option<&str>) -> Request<()> {
    let mut request = request(Method::GET, target, &[("host", "localhost")]);
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    if let Some(origin) = origin.and_then(|origin| HeaderValue::try_from(origin).ok()) {
        headers.insert(ORIGIN, origin);
    }
    request
}
