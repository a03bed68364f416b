//! Responses of the program's own pages.
//!
//! Owns: their form. Must never know: which page responds.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

/// Builds a response with a JSON body.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<Bytes> {
    body(status, "application/json", value.to_string())
}

/// Builds a response that caches do not store.
pub fn body(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
