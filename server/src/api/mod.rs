//! The HTTP API for other processes.
//!
//! | route | body | response |
//! |---|---|---|
//! | `/api/emit` | `{to, event, data ∣ args, attachments?, skip?, store?}` | `{"status":"sent"}` |
//! | `/api/call` | `{to: {session, user?}, event, data ∣ args, timeout_ms?}` | `{"data":[…]}`, the arguments of the ack |
//! | `/api/call` | the same with another `to` | `{"answers":[{"session","data":[…]}],"asked":2,"end":"complete" ∣ "timed_out"}` |
//! | `/api/enter_room`, `/api/leave_room` | `{to, room}` | `{"sockets":1}` |
//! | `/api/close_room` | `{room}` | `{"sockets":1}` |
//! | `/api/disconnect` | `{to, extent?}` | `{"sockets":1}` |
//! | `/api/members` | `{to}` | `{"members":[{"session","user":{id,name,role} ∣ null}]}` |
//! | `/api/session` | `{session}` | `{"session","user":{…} ∣ null,"rooms":[…]}` |
//! | `/api/usage` | `{}` | `{"models":[…],"users":[…]}`: ids of models in use and of active users, on all nodes |
//! | `/api/batch` | `{requests: [{route: "emit", body}]}` | `{"results":[{"status":200,"body":{…}}]}` |
//! | `/api/refresh` | `{user}` | `{"sockets":1}` |
//! | `/api/revoke` | `{user}` or `{jti, ends_at?}` | `{"sockets":1}` |
//! | `/api/unrevoke` | `{user}` or `{jti}` | `{"status":"restored"}` |
//!
//! `to` is one of `{user}`, `{room}`, `{rooms: […]}`, `{session}` and `{all: true}`. `store` makes an emit of `events` to
//! a user change the message in the store that it is about; Open WebUI's own process has done that already.
//!
//! Rights are read again right after `refresh` and `revoke`, a moment after the response. `revoke` with `user` covers all
//! tokens that were issued until now: those with `iat` by that, those without by `exp`, which lies at most one lifetime
//! (`JWT_EXPIRES_IN`) ahead. `ends_at`, in seconds since the epoch, is when a token ends by itself. `unrevoke` takes either
//! back; clients then log in again.
//!
//! All are POSTs with `Authorization: Bearer` and the key. An error is `{"error":"…"}`: 400 malformed, 401 wrong key,
//! 403 there is no key or the session is another user's, 404 the session is gone, 405 not a POST, 413 the body is too
//! large, 503 overloaded, shutting down, or the store does not answer, 504 the session did not answer in time.
//!
//! Owns: that the routes are pages of the server, and who may ask. Must never know: what a route does.

mod api_error;
mod perform;
mod request;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use roomcast_openwebui::OpenWebUi;
use roomcast_tokio::{AppHandle, Builder};
use subtle::ConstantTimeEq as _;

pub use self::api_error::ApiError;
pub use self::perform::{Begun, Done, Means, perform};
pub use self::request::ApiRoute;
use crate::metrics::ApiMetrics;
use crate::reply;
use crate::settings::Secret;

/// State that the routes share.
#[derive(Clone)]
pub struct Api {
    /// The key that callers send. Without one the routes respond that they are off.
    pub key: Option<Arc<Secret>>,
    /// What operations need.
    pub means: Means,
    /// Time that a session has to answer a call, unless the caller says otherwise.
    pub call_timeout: Duration,
    /// Counters of requests to these routes.
    pub metrics: ApiMetrics,
}

impl Api {
    /// Adds all routes of the API to the builder.
    pub fn routes(&self, mut builder: Builder<OpenWebUi>) -> Builder<OpenWebUi> {
        for route in ApiRoute::ALL {
            let api = self.clone();
            builder = builder.app_page(route.path(), move |request, app| answer(route, api.clone(), request, app));
        }
        builder
    }

    /// Reads a body and does what it says.
    pub async fn carry_out(&self, route: ApiRoute, body: &[u8], app: &AppHandle<OpenWebUi>) -> Done {
        perform(&self.means, route.read(body, self.call_timeout)?, app).await
    }

    /// Whether this is the key.
    pub fn check_key(&self, given: &[u8]) -> Result<(), ApiError> {
        check_key(self.key.as_deref(), given)
    }
}

async fn answer(
    route: ApiRoute,
    api: Api,
    request: http::Request<Bytes>,
    app: AppHandle<OpenWebUi>,
) -> Response<Bytes> {
    let done = async {
        check_bearer(api.key.as_deref(), request.headers())?;
        if request.method() != Method::POST {
            return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "only POST"));
        }
        api.carry_out(route, request.body(), &app).await
    };
    let response = match done.await {
        Ok(done) => reply::body(StatusCode::OK, "application/json", done),
        Err(error) => {
            tracing::debug!(
                route = route.path(),
                status = error.status.as_u16(),
                why = error.why,
                "API request refused"
            );
            error.response()
        }
    };
    api.metrics.responded(route.path(), response.status());
    response
}

/// Whether a request brings the key.
pub fn check_bearer(key: Option<&Secret>, headers: &HeaderMap) -> Result<(), ApiError> {
    check_key(key, bearer(headers))
}

/// What stands behind `Bearer`; empty if that does not.
fn bearer(headers: &HeaderMap) -> &[u8] {
    let given = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    match given.split_at_checked(BEARER.len()) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(BEARER) => key,
        Some(_) | None => b"",
    }
}

fn check_key(key: Option<&Secret>, given: &[u8]) -> Result<(), ApiError> {
    let Some(key) = key else {
        let why = "the HTTP API is off: set ROOMCAST_API_KEY to turn it on";
        return Err(ApiError::new(StatusCode::FORBIDDEN, why));
    };
    // Compared in constant time: the time must not tell how much of a wrong key is right.
    if bool::from(given.ct_eq(key.reveal().as_bytes())) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "the key is missing or wrong"))
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
            check_bearer(key, &HeaderMap::from_iter(headers)).map_err(|error| error.status.as_u16())
        };
        assert_eq!(status(Some(&key), Some("Bearer k3y")), Ok(()));
        assert_eq!(status(Some(&key), Some("bearer k3y")), Ok(()));
        for wrong in ["Bearer k3", "Bearer k3yy", "Bearer ", "Bearer", "Basic k3y", "k3y", ""] {
            assert_eq!(status(Some(&key), Some(wrong)), Err(401), "{wrong}");
        }
        assert_eq!((status(Some(&key), None), status(None, Some("Bearer "))), (Err(401), Err(403)));
    }
}
