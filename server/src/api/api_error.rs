//! Why a request is not done.
//!
//! Owns: statuses and their sentences. Must never know: how a request is carried out.

use std::fmt;

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

use crate::reply;

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The status of the response.
    pub status: StatusCode,
    /// A sentence for the one who wrote the request.
    pub why: String,
}

impl ApiError {
    pub fn new(status: StatusCode, why: impl fmt::Display) -> Self {
        Self { status, why: why.to_string() }
    }

    pub fn malformed(why: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    pub fn gone() -> Self {
        Self::new(StatusCode::NOT_FOUND, "the session is gone")
    }

    pub fn shutting_down() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down")
    }

    /// The body of the response.
    pub fn json(&self) -> String {
        json!({ "error": self.why }).to_string()
    }

    /// The response with its header fields.
    pub fn response(&self) -> Response<Bytes> {
        let mut response = reply::body(self.status, "application/json", self.json());
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
