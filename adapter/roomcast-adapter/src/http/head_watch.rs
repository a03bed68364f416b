//! A watch on the raw bytes of a connection.
//!
//! Owns: the head of a switch of protocols on its way out, which is held back so that it goes out along with what comes
//! first in the new protocol, in one write; and the count of `Content-Length` lines: hyper ignores such a line next to
//! `Transfer-Encoding` and does not show it, but a request that is framed twice may have been smuggled past a proxy which
//! saw it the other way (RFC 9112 section 6.1) and is to be refused. Must never know: anything else of HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

/// A stream that is watched.
#[derive(Debug)]
pub(crate) struct HeadWatch<S> {
    stream: S,
    lines: Arc<LineCount>,
    /// How much of the pattern the last bytes match.
    matched: usize,
    window: usize,
    /// The head of a 101. There is nothing after it but what the new protocol says.
    held: Vec<u8>,
}

/// How many lines have come.
#[derive(Debug, Default)]
pub(crate) struct LineCount(AtomicU32);

impl LineCount {
    pub(crate) fn seen(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> HeadWatch<S> {
    pub(crate) const fn new(stream: S, lines: Arc<LineCount>) -> Self {
        Self { stream, lines, matched: 0, window: WINDOW_BYTES_MIN, held: Vec::new() }
    }

    /// The stream, and what is still to be written to it.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.held)
    }

    /// Whether an answer was held back.
    fn holds(&mut self, answer: &[u8]) -> bool {
        let is_switch = self.held.is_empty() && answer.starts_with(SWITCHING);
        if is_switch {
            self.held.extend_from_slice(answer);
        }
        is_switch
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

impl<S: Read + Unpin> Read for HeadWatch<S> {
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

impl<S: Write + Unpin> Write for HeadWatch<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.holds(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
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
        // hyper has an answer's head in one piece, with nothing behind it if there is no body.
        if let Some((head, rest)) = bufs.split_first()
            && rest.iter().all(|buf| buf.is_empty())
            && self.holds(head)
        {
            return Poll::Ready(Ok(head.len()));
        }
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

const SWITCHING: &[u8] = b"HTTP/1.1 101 ";
const PATTERN: &[u8] = b"\ncontent-length:";
const WINDOW_BYTES_MIN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_however_they_are_cut() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nX: content-length: \r\n\n\ncontent-LENGTH:4\r\n\r\n";
        for cut in 0..head.len() {
            let lines = Arc::new(LineCount::default());
            let mut watch = HeadWatch::new((), lines.clone());
            watch.scan(&head[..cut]);
            watch.scan(&head[cut..]);
            assert_eq!(lines.seen(), 2, "cut at {cut}");
        }
    }

    #[test]
    fn the_head_of_a_switch_is_held_back_and_nothing_else() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let mut watch = HeadWatch::new(Sink::default(), Arc::default());
        let switch = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        for (answer, held) in
            [(&b"HTTP/1.1 200 OK\r\n\r\n"[..], 0), (b"HTTP/1.1 100 Continue\r\n\r\n", 0), (switch, switch.len())]
        {
            let slices = [io::IoSlice::new(answer), io::IoSlice::new(b"")];
            let written = Pin::new(&mut watch).poll_write_vectored(cx, &slices);
            assert!(matches!(written, Poll::Ready(Ok(bytes)) if bytes == answer.len()), "{written:?}");
            assert_eq!(watch.held.len(), held);
        }
        let (sink, held) = watch.into_parts();
        assert_eq!(sink.0, b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(held, switch);
    }

    #[derive(Default)]
    struct Sink(Vec<u8>);

    impl Write for Sink {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.extend_from_slice(buf);
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
