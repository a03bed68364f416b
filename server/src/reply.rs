//! HTTP answers of the program's own pages.
//!
//! Owns: their form. Must never know: which page answers.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

/// JSON.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<Bytes> {
    body(status, "application/json", value.to_string())
}

/// A text of some type. Nothing of it is to be kept by whoever passes it on.
pub fn body(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
