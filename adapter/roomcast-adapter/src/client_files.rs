//! The stock client of socket.io, for pages that load it from the server.
//!
//! Owns: the files and their headers. Must never know: what clients do with them.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use roomcast_core::server::App;

use crate::builder::Builder;
use crate::handle::Handle;

impl<A: App> Builder<A> {
    /// Serves the stock client below an endpoint, as socket.io's option `serveClient` does: `PATH/socket.io.js` and
    /// `PATH/socket.io.min.js`, both minified, and `PATH/socket.io.esm.min.js` for `import`. Browsers ask for them anew each
    /// time and are answered 304. They are the files of npm's `socket.io` 4.8.4, © Guillermo Rauch, MIT License, unchanged
    /// (`client/README.md`). 88 kB of the program; behind the feature `serve-client`.
    ///
    /// ```
    /// use roomcast_adapter::Builder;
    ///
    /// let builder = Builder::new().socket_io("/socket.io", |_| {}).serve_client("/socket.io");
    /// // <script src="/socket.io/socket.io.min.js"></script>
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn serve_client(self, path: &str) -> Self {
        let path = path.trim_end_matches('/');
        let files = [("socket.io.js", SCRIPT), ("socket.io.min.js", SCRIPT), ("socket.io.esm.min.js", MODULE)];
        files.into_iter().fold(self, |builder, (name, file)| {
            builder.page(format!("{path}/{name}"), move |request: Request<Bytes>, _: Handle| {
                std::future::ready(respond(&request, file))
            })
        })
    }
}

fn respond(request: &Request<Bytes>, file: &'static [u8]) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if request.method() != Method::GET && request.method() != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    response.headers_mut().insert(ETAG, HeaderValue::from_static(VERSION));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
    let known = request.headers().get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == VERSION)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    // hyper leaves the body of a response to HEAD out, and keeps its length.
    *response.body_mut() = Bytes::from_static(file);
    response
}

const SCRIPT: &[u8] = include_bytes!("../client/socket.io.min.js");
const MODULE: &[u8] = include_bytes!("../client/socket.io.esm.min.js");

/// As an entity tag (RFC 9110, section 8.8.3).
const VERSION: &str = "\"4.8.4\"";
