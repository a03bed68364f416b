//! The page that shows the system at work.
//!
//! | route | what |
//! |---|---|
//! | `/` | the page |
//! | `/page/app.js`, `/page/app.css` | its script and its style sheet |
//! | `/page/setup` | JSON: where the endpoint is and, of a demonstration, who and what is made up, with tokens |
//!
//! The files are built from `server/page` and stand in the program. They hold nothing secret; what is, is in
//! `/page/setup`. A demonstration tells it to those who ask under a loopback name: it listens on a loopback address, and
//! a site elsewhere whose name suddenly points there (DNS rebinding) still asks under its own name. In production the page
//! is off unless the settings turn it on, and `/page/setup` wants the key of the HTTP API.
//!
//! Owns: the routes, the headers, and who may read the setup. Must never know: what the page does with it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use roomcast_openwebui::OpenWebUi;
use roomcast_tokio::{Builder, Handle};
use serde_json::json;

use crate::api::{ApiError, check_bearer};
use crate::demo::Demo;
use crate::reply;
use crate::settings::Secret;

/// Who may use the page.
#[derive(Clone, Debug)]
pub enum PageAccess {
    /// Everyone on this machine, as the made-up users.
    Demonstration(Arc<Demo>),
    /// Those who have the key of the HTTP API.
    Production(Arc<Secret>),
}

impl PageAccess {
    /// Adds the page's routes to the builder. `path` is that of the Socket.IO endpoint.
    pub fn routes(self, mut builder: Builder<OpenWebUi>, path: &str) -> Builder<OpenWebUi> {
        for (route, content_type, bytes) in FILES {
            builder = builder.page(route, move |request: Request<Bytes>, _: Handle| {
                let response = only_get(request.method()).map(|()| reply::body(StatusCode::OK, content_type, bytes));
                std::future::ready(with_headers(response.unwrap_or_else(|refused| refused)))
            });
        }
        let path: Arc<str> = path.into();
        builder.page("/page/setup", move |request: Request<Bytes>, _: Handle| {
            let setup = || self.setup(request.headers(), &path).unwrap_or_else(|error| error.response());
            let response = only_get(request.method()).map(|()| setup());
            std::future::ready(with_headers(response.unwrap_or_else(|refused| refused)))
        })
    }

    fn setup(&self, headers: &HeaderMap, path: &str) -> Result<Response<Bytes>, ApiError> {
        let mut setup = json!({ "version": env!("CARGO_PKG_VERSION"), "path": path });
        match self {
            Self::Demonstration(demo) => {
                if !is_loopback(headers) {
                    let why = "the demonstration answers under a loopback name alone, such as localhost";
                    return Err(ApiError::new(StatusCode::FORBIDDEN, why));
                }
                setup["demonstration"] = demo.setup();
            }
            Self::Production(key) => check_bearer(Some(key), headers)?,
        }
        Ok(reply::json(StatusCode::OK, &setup))
    }
}

#[expect(clippy::result_large_err, reason = "a refused request is rare, and its response is made here either way")]
fn only_get(method: &Method) -> Result<(), Response<Bytes>> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let mut refused = reply::body(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET");
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Err(refused)
}

fn with_headers(mut response: Response<Bytes>) -> Response<Bytes> {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the browser asked by a name or an address that always means its own machine.
fn is_loopback(headers: &HeaderMap) -> bool {
    let authority = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    authority.is_some_and(|authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// Nothing but the page's own files, no code and no styles outside of them, and no HTML made from text but by the editor when
/// something is pasted into it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' \
                              data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                              require-trusted-types-for 'script'; trusted-types ProseMirrorClipboard";

const FILES: [(&str, &str, &[u8]); 3] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../page/dist/index.html")),
    ("/page/app.js", "text/javascript; charset=utf-8", include_bytes!("../page/dist/page/app.js")),
    ("/page/app.css", "text/css; charset=utf-8", include_bytes!("../page/dist/page/app.css")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_machine() {
        let asked = |host: &'static str| is_loopback(&HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]));
        for host in ["127.0.0.1:8080", "127.1.2.3", "localhost:8080", "LOCALHOST", "[::1]:8080", "[::1]"] {
            assert!(asked(host), "{host}");
        }
        for host in ["example.org", "localhost.example.org:8080", "10.0.0.1:8080", "", "a b", "0.0.0.0:8080"] {
            assert!(!asked(host), "{host}");
        }
        assert!(!is_loopback(&HeaderMap::new()));
    }
}
