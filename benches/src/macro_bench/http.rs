//! The little HTTP that the load generator speaks.
//!
//! Owns: request texts, the borders of responses. Must never know: what a body means.

use std::io;
use std::net::SocketAddrV4;
use std::ops::Range;

/// The request that opens a WebSocket, with the key of [RFC 6455 §1.3](https://www.rfc-editor.org/rfc/rfc6455#section-1.3).
pub(super) fn upgrade_request(host: SocketAddrV4, target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=={HEAD_END}"
    )
}

/// A request of the polling transport, without a body.
pub(super) fn get_request(host: SocketAddrV4, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*{HEAD_END}")
}

/// A request of the polling transport, with a body.
pub(super) fn post_request(host: SocketAddrV4, target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nContent-Type: text/plain;charset=UTF-8\r\n\
         Content-Length: {length}{HEAD_END}{body}"
    )
}

/// Where the head of the answer to an upgrade ends, `None` if it is not whole yet.
pub(super) fn split_upgraded(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = head_end(bytes)? else { return Ok(None) };
    let head = str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    if !head.starts_with("HTTP/1.1 101 ") || field(head, "sec-websocket-accept") != Some(ACCEPT) {
        return Err(io::Error::other(format!("not an upgrade: {head}")));
    }
    Ok(Some(end))
}

/// Where the body of a response stands, `None` if it is not whole yet. Anything but 200 with a length is an error.
pub(super) fn split_response(bytes: &[u8]) -> io::Result<Option<Range<usize>>> {
    let Some(start) = head_end(bytes)? else { return Ok(None) };
    let head = str::from_utf8(&bytes[..start]).map_err(io::Error::other)?;
    let length = field(head, "content-length").and_then(|length| length.parse::<usize>().ok());
    match length {
        Some(length) if head.starts_with("HTTP/1.1 200 ") && length <= BODY_BYTES_MAX => {
            Ok((bytes.len() >= start + length).then_some(start..start + length))
        }
        _ => Err(io::Error::other(format!("not a 200 of announced length: {}", String::from_utf8_lossy(bytes)))),
    }
}

fn head_end(bytes: &[u8]) -> io::Result<Option<usize>> {
    let end = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END.as_bytes());
    if end.is_none() && bytes.len() > HEAD_BYTES_MAX {
        return Err(io::Error::other("a head without an end"));
    }
    Ok(end.map(|end| end + HEAD_END.len()))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) =
        head.lines().filter_map(|line| line.split_once(':')).find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

/// What answers the key of [`upgrade_request`].
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
pub(super) const HEAD_END: &str = "\r\n\r\n";
const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_with_its_last_byte() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-Length: 2\r\n\r\nok";
        for end in 0..bytes.len() {
            assert_eq!(split_response(&bytes[..end]).unwrap(), None);
        }
        assert_eq!(split_response(bytes).unwrap(), Some(38..40));
        assert_eq!(&bytes[38..], b"ok");
    }

    #[test]
    fn other_answers_are_errors() {
        assert!(split_response(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(split_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(split_upgraded(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(split_upgraded(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n").is_err());
    }
}
