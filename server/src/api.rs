//! The HTTP API for other processes.
//!
//! | route | body | response |
//! |---|---|---|
//! | `/api/emit` | `{to: {user ∣ room ∣ session}, event, data}` | `{"status":"sent"}` |
//! | `/api/call` | `{to: {session, user?}, event, data, timeout_ms?}` | `{"data":[…]}`, the arguments of the ack |
//! | `/api/disconnect` | `{to: {user ∣ room ∣ session}, extent?}` | `{"sockets":1}` |
//! | `/api/refresh` | `{user}` | `{"sockets":1}` |
//! | `/api/revoke` | `{user}` or `{jti, ends_at?}` | `{"sockets":1}` |
//! | `/api/unrevoke` | `{user}` or `{jti}` | `{"status":"restored"}` |
//!
//! Rights are read again right after `refresh` and `revoke`, a moment after the response. `revoke` with `user` covers all
//! tokens that were issued until now: those with `iat` by that, those without by `exp`, which lies at most one lifetime
//! (`JWT_EXPIRES_IN`) ahead. `ends_at`, in seconds since the epoch, is when a token ends by itself. `unrevoke` takes either
//! back; clients then log in again.
//!
//! All are POSTs with `Authorization: Bearer` and the key. A refusal is `{"error":"…"}`: 400 malformed, 401 wrong key,
//! 403 there is no key or the session is another user's, 404 the session is gone, 405 not a POST, 503 overloaded,
//! shutting down, or the store does not answer, 504 the session did not answer in time.
//!
//! Owns: routes, bodies, statuses, and the check of the key. Must never know: how a request is carried out or where it
//! is stored.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Response, StatusCode};
use roomcast_openwebui::{self as openwebui, OpenWebUi, Request, To};
use roomcast_tokio::{AppHandle, Args, Builder, Extent};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;

use crate::metrics::ApiMetrics;
use crate::reply;
use crate::settings::Secret;
use crate::store::StoreClient;

/// State that the routes share.
#[derive(Clone)]
pub struct Api {
    /// The key that callers send. Without one the routes respond that they are off.
    pub key: Option<Arc<Secret>>,
    /// Where revocations are kept.
    pub store: StoreClient,
    /// Time that a session has to answer a call, unless the caller says otherwise.
    pub call_timeout: Duration,
    /// Counters of requests to these routes.
    pub metrics: ApiMetrics,
}

impl Api {
    /// Adds all routes of the API to the builder.
    pub fn routes(&self, mut builder: Builder<OpenWebUi>) -> Builder<OpenWebUi> {
        for route in Route::ALL {
            let api = self.clone();
            builder = builder.app_page(route.path(), move |request, app| answer(route, api.clone(), request, app));
        }
        builder
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Emit,
    Call,
    Disconnect,
    Refresh,
    Revoke,
    Unrevoke,
}

impl Route {
    const ALL: [Self; 6] = [Self::Emit, Self::Call, Self::Disconnect, Self::Refresh, Self::Revoke, Self::Unrevoke];

    const fn path(self) -> &'static str {
        match self {
            Self::Emit => "/api/emit",
            Self::Call => "/api/call",
            Self::Disconnect => "/api/disconnect",
            Self::Refresh => "/api/refresh",
            Self::Revoke => "/api/revoke",
            Self::Unrevoke => "/api/unrevoke",
        }
    }

    fn read(self, body: &[u8], call_timeout: Duration) -> Result<Request, Refusal> {
        Ok(match self {
            Self::Emit => {
                let EmitBody { to, event, data } = parse(body)?;
                Request::Emit { to: to.one()?, event: event.into(), data: data.get().to_owned().into() }
            }
            Self::Call => {
                let CallBody { to, event, data, timeout_ms } = parse(body)?;
                let Recipient { user, room: None, session: Some(session) } = to else {
                    return Err(Refusal::malformed("a call is for one session, perhaps with its user"));
                };
                Request::Call {
                    sid: session.into(),
                    user: user.map(Into::into),
                    event: event.into(),
                    data: data.get().to_owned().into(),
                    timeout: timeout_ms.map_or(call_timeout, Duration::from_millis),
                }
            }
            Self::Disconnect => {
                let DisconnectBody { to, extent } = parse(body)?;
                let extent = match extent {
                    ExtentName::Namespace => Extent::Namespace,
                    ExtentName::Connection => Extent::Connection,
                };
                Request::Disconnect { to: to.one()?, extent }
            }
            Self::Refresh => {
                let RefreshBody { user } = parse(body)?;
                Request::Refresh { user: user.into() }
            }
            // `unrevoke` changes nothing for clients that are connected.
            Self::Revoke | Self::Unrevoke => Revoked::read(body)?.into_request(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmitBody {
    to: Recipient,
    event: String,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallBody {
    to: Recipient,
    event: String,
    data: Box<RawValue>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisconnectBody {
    to: Recipient,
    #[serde(default)]
    extent: ExtentName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeBody {
    user: Option<String>,
    jti: Option<String>,
    ends_at: Option<u64>,
}

/// The subject of a revocation.
enum Revoked {
    User(String),
    Token { jti: String, ends_at: Option<u64> },
}

impl Revoked {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        match parse(body)? {
            RevokeBody { user: Some(user), jti: None, ends_at: None } => Ok(Self::User(user)),
            RevokeBody { user: None, jti: Some(jti), ends_at } => Ok(Self::Token { jti, ends_at }),
            RevokeBody { .. } => Err(Refusal::malformed("it needs one of user and jti; `ends_at` is a token's")),
        }
    }

    fn into_request(self) -> Request {
        match self {
            Self::User(user) => Request::Refresh { user: user.into() },
            Self::Token { jti, .. } => Request::RefreshToken { jti: jti.into() },
        }
    }

    async fn forget(&self, store: &StoreClient) -> Result<(), Refusal> {
        let forgotten = match self {
            Self::User(user) => store.restore_user(user).await,
            Self::Token { jti, ends_at: None } => store.restore_token(jti).await,
            Self::Token { ends_at: Some(_), .. } => return Err(Refusal::malformed("`ends_at` is for /api/revoke")),
        };
        forgotten.map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer"))
    }

    async fn remember(&self, store: &StoreClient) -> Result<(), Refusal> {
        let remembered = match self {
            Self::User(user) => store.revoke_user(user).await,
            Self::Token { jti, ends_at } => store.revoke_token(jti, *ends_at).await,
        };
        remembered.map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipient {
    user: Option<String>,
    room: Option<String>,
    session: Option<String>,
}

impl Recipient {
    fn one(self) -> Result<To, Refusal> {
        match self {
            Self { user: Some(user), room: None, session: None } => Ok(To::User(user.into())),
            Self { user: None, room: Some(room), session: None } => Ok(To::Room(room.into())),
            Self { user: None, room: None, session: Some(session) } => Ok(To::Socket(session.into())),
            Self { .. } => Err(Refusal::malformed("`to` needs one of user, room and session")),
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExtentName {
    /// The presence in the namespace; the front end of 0.6.41 stays away then.
    Namespace,
    /// The transport with it.
    #[default]
    Connection,
}

/// Why a request is not done.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl fmt::Display) -> Self {
        Self { status, why: why.to_string() }
    }

    fn malformed(why: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    fn response(self) -> Response<Bytes> {
        let mut response = reply::json(self.status, &json!({ "error": self.why }));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

async fn answer(route: Route, api: Api, request: http::Request<Bytes>, app: AppHandle<OpenWebUi>) -> Response<Bytes> {
    let done = async {
        check_key(api.key.as_deref(), request.headers())?;
        if request.method() != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only POST"));
        }
        let asked = match route {
            Route::Revoke => {
                let revoked = Revoked::read(request.body())?;
                // Stored before rights are read again, so that they are refused then.
                revoked.remember(&api.store).await?;
                revoked.into_request()
            }
            Route::Unrevoke => {
                Revoked::read(request.body())?.forget(&api.store).await?;
                return Ok(reply::json(StatusCode::OK, &json!({ "status": "restored" })));
            }
            Route::Emit | Route::Call | Route::Disconnect | Route::Refresh => {
                route.read(request.body(), api.call_timeout)?
            }
        };
        let names_session = matches!(&asked, Request::Disconnect { to: To::Socket(_), .. });
        match app.ask(asked).await {
            Some(openwebui::Response::Done { sockets: 0 }) if names_session => Err(gone()),
            Some(answer) => respond(&answer),
            None => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down")),
        }
    };
    let response = done.await.unwrap_or_else(|refusal| {
        tracing::debug!(
            route = route.path(),
            status = refusal.status.as_u16(),
            why = refusal.why,
            "API request refused"
        );
        refusal.response()
    });
    api.metrics.responded(route.path(), response.status());
    response
}

fn check_key(key: Option<&Secret>, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(key) = key else {
        let why = "the HTTP API is off: set ROOMCAST_API_KEY to turn it on";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    };
    let given = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    let (scheme, given) = given.split_at_checked(BEARER.len()).unwrap_or_default();
    // Compared in constant time: the time must not tell how much of a wrong key is right.
    if scheme.eq_ignore_ascii_case(BEARER) && bool::from(given.ct_eq(key.reveal().as_bytes())) {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNAUTHORIZED, "the key is missing or wrong"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "responses to requests that this API does not make")]
fn respond(answer: &openwebui::Response) -> Result<Response<Bytes>, Refusal> {
    match answer {
        openwebui::Response::Emitted => Ok(reply::json(StatusCode::OK, &json!({ "status": "sent" }))),
        openwebui::Response::Called(args) => Ok(called(args)),
        openwebui::Response::Done { sockets } => Ok(reply::json(StatusCode::OK, &json!({ "sockets": sockets }))),
        openwebui::Response::Gone => Err(gone()),
        openwebui::Response::NotOwner => Err(Refusal::new(StatusCode::FORBIDDEN, "the session is another user's")),
        openwebui::Response::TimedOut => {
            Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the session did not answer in time"))
        }
        openwebui::Response::TimeoutTooLong { max } => {
            Err(Refusal::malformed(format!("`timeout_ms` is at most {}", max.as_millis())))
        }
        openwebui::Response::Malformed => Err(Refusal::malformed("the event, the data or an id in them cannot be")),
        openwebui::Response::Overloaded => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too much is under way")),
        _ => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "a response to another request")),
    }
}

fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "the session is gone")
}

/// The arguments as they came. Bytes among them are placeholders, as in Socket.IO, and stand in a list of their own.
fn called(args: &Args) -> Response<Bytes> {
    let mut text = format!("{{\"data\":[{}]", args.json());
    if !args.attachments().is_empty() {
        let bytes: Vec<_> = args.attachments().iter().map(|bytes| BASE64_STANDARD.encode(bytes)).collect();
        text.push_str(&format!(",\"attachments\":{}", json!(bytes)));
    }
    text.push('}');
    reply::body(StatusCode::OK, "application/json", text)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(Refusal::malformed)
}

const BEARER: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_opens() {
        let key = Secret::new("k3y");
        let status = |key: Option<&Secret>, header: Option<&'static str>| {
            let headers = header.map(|value| (AUTHORIZATION, HeaderValue::from_static(value)));
            check_key(key, &HeaderMap::from_iter(headers)).map_err(|refusal| refusal.status.as_u16())
        };
        assert_eq!(status(Some(&key), Some("Bearer k3y")), Ok(()));
        assert_eq!(status(Some(&key), Some("bearer k3y")), Ok(()));
        for wrong in ["Bearer k3", "Bearer k3yy", "Bearer ", "Bearer", "Basic k3y", "k3y", ""] {
            assert_eq!(status(Some(&key), Some(wrong)), Err(401), "{wrong}");
        }
        assert_eq!((status(Some(&key), None), status(None, Some("Bearer "))), (Err(401), Err(403)));
    }

    #[test]
    fn a_body_says_what_is_wrong_with_it() {
        for (route, body) in [
            (Route::Emit, r#"{"to":{"user":"a","room":"b"},"event":"e","data":1}"#),
            (Route::Emit, r#"{"to":{},"event":"e","data":1}"#),
            (Route::Emit, r#"{"to":{"user":"a"},"event":"e"}"#),
            (Route::Emit, r#"{"to":{"user":"a"},"event":"e","data":1,"date":2}"#),
            (Route::Call, r#"{"to":{"room":"a"},"event":"e","data":1}"#),
            (Route::Call, r#"{"to":{"session":"a"},"event":"e","data":1,"timeout_ms":-1}"#),
            (Route::Disconnect, r#"{"to":{"session":"a"},"extent":"planet"}"#),
            (Route::Refresh, "{}"),
            (Route::Refresh, ""),
            (Route::Revoke, "{}"),
            (Route::Revoke, r#"{"user":"a","jti":"b"}"#),
            (Route::Revoke, r#"{"user":"a","ends_at":1}"#),
            (Route::Unrevoke, "{}"),
        ] {
            let refusal = route.read(body.as_bytes(), Duration::ZERO).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{body}");
        }
        let null = Route::Emit.read(br#"{"to":{"room":"r"},"event":"e","data":null}"#, Duration::ZERO).unwrap();
        assert!(matches!(null, Request::Emit { to: To::Room(_), data, .. } if data == "null"));
    }
}
