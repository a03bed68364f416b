//! A watch on raw request heads.
//!
//! Owns: the count of `Content-Length` lines. hyper ignores such a line next to `Transfer-Encoding` and does not show it,
//! but a request that is framed twice may have been smuggled past a proxy which saw it the other way (RFC 9112 section
//! 6.1) and is to be refused. Must never know: anything else of HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

/// A stream that is watched.
#[derive(Debug)]
pub(crate) struct Tallied<S> {
    stream: S,
    lines: Arc<Lines>,
    /// How much of the pattern the last bytes match.
    matched: usize,
    window: usize,
}

/// How many lines have come.
#[derive(Debug, Default)]
pub(crate) struct Lines(AtomicU32);

impl Lines {
    pub(crate) fn seen(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Tallied<S> {
    pub(crate) const fn new(stream: S, lines: Arc<Lines>) -> Self {
        Self { stream, lines, matched: 0, window: WINDOW_BYTES_MIN }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn scan(&mut self, bytes: &[u8]) {
        let mut rest = bytes.iter();
        while let Some(&byte) = if self.matched == 0 { rest.find(|&&byte| byte == b'\n') } else { rest.next() } {
            if PATTERN.get(self.matched).is_some_and(|wanted| byte.eq_ignore_ascii_case(wanted)) {
                self.matched += 1;
            } else {
                self.matched = usize::from(byte == b'\n');
            }
            if self.matched == PATTERN.len() {
                self.matched = 0;
                self.lines.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl<S: Read + Unpin> Read for Tallied<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let window = this.window;
        let read = read_with(buf, window, |slice| {
            let mut own = ReadBuf::new(slice);
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, own.unfilled()))?;
            let filled = own.filled().len();
            this.scan(own.filled());
            Poll::Ready(Ok(filled))
        });
        let filled = std::task::ready!(read)?;
        // Zeroing what is not read costs more than it saves: heads are small, bodies need not be.
        self.window = if filled == window { window.saturating_mul(2) } else { WINDOW_BYTES_MIN };
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Tallied<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

/// Reads at most `window` bytes into hyper's buffer by a function that fills a slice from the front and says how far.
pub fn read_with(
    mut buf: ReadBufCursor<'_>,
    window: usize,
    fill: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let window = window.min(buf.remaining());
    let filled = std::task::ready!(fill(buf.initialize_unfilled_to(window)))?;
    if filled > window {
        return Poll::Ready(Err(io::Error::other("a stream read more than there was room for")));
    }
    // SAFETY: `initialize_unfilled_to` has initialised the first `window` bytes, and `filled` is not above that.
    #[expect(unsafe_code, reason = "hyper has no safe way to keep what was read into an initialised slice")]
    unsafe {
        buf.advance(filled);
    }
    Poll::Ready(Ok(filled))
}

const PATTERN: &[u8] = b"\ncontent-length:";
const WINDOW_BYTES_MIN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_however_they_are_cut() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nX: content-length: \r\n\n\ncontent-LENGTH:4\r\n\r\n";
        for cut in 0..head.len() {
            let lines = Arc::new(Lines::default());
            let mut tallied = Tallied::new((), lines.clone());
            tallied.scan(&head[..cut]);
            tallied.scan(&head[cut..]);
            assert_eq!(lines.seen(), 2, "cut at {cut}");
        }
    }
}
