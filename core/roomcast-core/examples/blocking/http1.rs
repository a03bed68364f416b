//! How requests are read and answers are written (RFC 9112), as far as the example needs it.

use std::io;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};

/// Takes the first request off the front, if it is whole.
pub fn take_request(input: &mut Vec<u8>) -> io::Result<Option<(Request<()>, Bytes)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_len) = head.parse(input).map_err(io::Error::other)? else { return Ok(None) };
    let request = Request::builder().method(head.method.unwrap_or("")).uri(head.path.unwrap_or(""));
    let request = head.headers.iter().fold(request, |request, header| request.header(header.name, header.value));
    let request = request.body(()).map_err(io::Error::other)?;
    let body_len = request.headers().get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok());
    let end = head_len.saturating_add(body_len.unwrap_or(0));
    if input.len() < end {
        return Ok(None);
    }
    let body = Bytes::copy_from_slice(&input[head_len..end]);
    input.drain(..end);
    Ok(Some((request, body)))
}

/// Appends an answer.
pub fn put_response(out: &mut Vec<u8>, response: &Response<Bytes>) {
    out.extend_from_slice(format!("HTTP/1.1 {}\r\n", response.status()).as_bytes());
    for (name, value) in response.headers() {
        out.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        out.extend_from_slice(format!("content-length: {}\r\n", response.body().len()).as_bytes());
    }
    out.extend_from_slice(&[b"\r\n", &response.body()[..]].concat());
}

/// More than the largest body that the server announces, and a head.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
