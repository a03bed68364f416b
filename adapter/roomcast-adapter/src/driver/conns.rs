//! The streams of all WebSockets.
//!
//! Owns: their reading and writing. A stream costs its own state and a waker: what is read goes through one buffer for
//! all, and what is written comes straight from the core. Must never know: what is in the bytes.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::upgrade::{OnUpgrade, Upgraded};
use roomcast_core::server::{After, App, ConnId, Transmit};
use roomcast_core::time::Instant;

use super::memory::{shrink_queue, shrink_slots};
use crate::addresses::AddressGuard;
use crate::http::head_watch::HeadWatch;
use crate::mailbox::{ConnWaker, Shared, StreamHome};
use crate::runtime::Runtime;

/// All streams, by the slot of their handle.
pub(super) struct Conns<R: Runtime> {
    shared: Arc<Shared>,
    pub(super) slots: Vec<Option<Conn<R>>>,
    len: usize,
    pub(super) writable: VecDeque<ConnId>,
    /// How many of these are still to be written before senders that wait for the end of a turn go on.
    pub(super) pass: usize,
    pub(super) scratch: Box<[u8]>,
}

pub(super) struct Conn<R: Runtime> {
    pub(super) id: ConnId,
    pub(super) stream: Stream<R>,
    pub(super) waker: Arc<ConnWaker>,
    /// What HTTP has left to be written first.
    pub(super) head: Vec<u8>,
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    _guard: Option<Arc<AddressGuard>>,
}

pub(super) enum Stream<R: Runtime> {
    /// The 101 is on its way.
    Upgrading(OnUpgrade, StreamHome),
    Plain(R::Stream),
    /// Any other transport of HTTP: TLS, a pipe.
    Other(Box<Upgraded>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Open,
    /// The core wants no more for now.
    Paused,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Idle,
    /// In the list of those that have something to send.
    Listed,
    /// The stream takes no more; its waker will tell.
    Blocked,
}

/// What became of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamFate {
    Stays,
    /// It has not been asked for all that it has, or given all that it would take: others come first.
    GoesOn,
    Ended,
}

impl<R: Runtime> Conns<R> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            slots: Vec::new(),
            len: 0,
            writable: VecDeque::new(),
            pass: 0,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        }
    }

    /// A stream that will be there when the upgrade is done.
    pub(super) fn insert(
        &mut self,
        id: ConnId,
        (upgrade, home): (OnUpgrade, StreamHome),
        guard: Option<Arc<AddressGuard>>,
    ) {
        let slot = id.slot();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let index = u32::try_from(slot).unwrap_or(u32::MAX);
        let conn = Conn {
            id,
            stream: Stream::Upgrading(upgrade, home),
            waker: Arc::new(ConnWaker::new(self.shared.clone(), index)),
            head: Vec::new(),
            reading: Reading::Open,
            writing: Writing::Idle,
            _guard: guard,
        };
        if let Some(place) = self.slots.get_mut(slot) {
            self.len += usize::from(place.is_none());
            *place = Some(conn);
        }
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        if self.conn(id).is_some()
            && let Some(place) = self.slots.get_mut(id.slot())
        {
            *place = None;
            self.len -= 1;
        }
    }

    /// Cuts all of them off.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.len = 0;
    }

    pub(super) fn set_writable(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if conn.writing == Writing::Idle {
            conn.writing = Writing::Listed;
            self.writable.push_back(id);
        }
    }

    pub(super) fn pause(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            conn.reading = Reading::Paused;
        }
    }

    /// Its slot if it is to be put into the list of those to be read.
    pub(super) fn resume(&mut self, id: ConnId) -> Option<u32> {
        let conn = self.conn(id)?;
        let was = std::mem::replace(&mut conn.reading, Reading::Open);
        if was == Reading::Paused { self.list(id) } else { None }
    }

    /// Its slot if it is to be put into the list of those that are looked at: it is not there yet.
    pub(super) fn list(&mut self, id: ConnId) -> Option<u32> {
        let conn = self.conn(id)?;
        conn.waker.list().then(|| u32::try_from(id.slot()).unwrap_or(u32::MAX))
    }

    /// Gives back memory that a burst took.
    pub(super) fn shrink(&mut self) {
        shrink_slots(&mut self.slots);
        shrink_queue(&mut self.writable);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn conn(&mut self, id: ConnId) -> Option<&mut Conn<R>> {
        self.slots.get_mut(id.slot())?.as_mut().filter(|conn| conn.id == id)
    }
}

impl<R: Runtime> Conn<R> {
    /// Reads until there is no more, or until others should get a turn.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], mut sink: impl FnMut(&[u8])) -> StreamFate {
        let mut left = READ_BYTES_PER_CONN;
        for _ in 0..READS_PER_CONN {
            let mut buf = ReadBuf::new(scratch);
            let read = match &mut self.stream {
                Stream::Upgrading(..) => return StreamFate::Stays,
                Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf.unfilled()),
                Stream::Other(stream) => Pin::new(&mut **stream).poll_read(cx, buf.unfilled()),
            };
            match read {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return StreamFate::Ended,
                Poll::Ready(Ok(())) => sink(buf.filled()),
                Poll::Ready(Err(_)) => return StreamFate::Ended,
                Poll::Pending => return StreamFate::Stays,
            }
            left = left.saturating_sub(buf.filled().len());
            if left == 0 {
                break;
            }
        }
        // The waker is not armed.
        StreamFate::GoesOn
    }

    /// Writes until the core has no more, the stream takes no more, or others should get a turn; and how many bytes.
    pub(super) fn write<A: App>(
        &mut self,
        cx: &mut Context<'_>,
        stack: &mut roomcast_core::server::Stack<A>,
        transmit: &mut Transmit,
        now: Instant,
    ) -> (StreamFate, usize) {
        let mut bytes = 0;
        while bytes < WRITE_BYTES_PER_CONN {
            let is_filled = stack.poll_transmit(self.id, transmit);
            if !is_filled && self.head.is_empty() {
                return (self.flushed(cx), bytes);
            }
            while !transmit.is_empty() || !self.head.is_empty() {
                if bytes >= WRITE_BYTES_PER_CONN {
                    // A long frame, of which the next turn writes more.
                    if is_filled {
                        stack.server.handle_postponed(self.id, transmit, now);
                    }
                    return (StreamFate::GoesOn, bytes);
                }
                match self.write_some(cx, transmit) {
                    Poll::Ready(Ok(written @ 1..)) => bytes += written,
                    Poll::Ready(Ok(0) | Err(_)) => {
                        transmit.discard();
                        return (StreamFate::Ended, bytes);
                    }
                    Poll::Pending => {
                        if is_filled {
                            stack.server.handle_refused(self.id, transmit, now);
                        }
                        self.writing = Writing::Blocked;
                        return (StreamFate::Stays, bytes);
                    }
                }
            }
            match if is_filled { transmit.after() } else { After::Keep } {
                After::Keep => {}
                // What TLS still has to say is said if it can be at once; nothing waits for it.
                After::CloseWrite => {
                    let _ = self.close_write(cx);
                }
                After::Close => {
                    let _ = self.close_write(cx);
                    return (StreamFate::Ended, bytes);
                }
            }
        }
        (StreamFate::GoesOn, bytes)
    }

    fn flushed(&mut self, cx: &mut Context<'_>) -> StreamFate {
        match self.flush(cx) {
            Poll::Ready(Ok(())) => StreamFate::Stays,
            Poll::Ready(Err(_)) => StreamFate::Ended,
            Poll::Pending => {
                self.writing = Writing::Blocked;
                StreamFate::Stays
            }
        }
    }

    fn write_some(&mut self, cx: &mut Context<'_>, transmit: &mut Transmit) -> Poll<std::io::Result<usize>> {
        let written = if !self.head.is_empty() {
            return self.write_head(cx, transmit);
        } else if let Some(bytes) = transmit.single() {
            match &mut self.stream {
                Stream::Upgrading(..) => Poll::Pending,
                Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
                Stream::Other(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            }
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = transmit.slices(&mut slices);
            let slices = &slices[..count.min(SLICES)];
            match &mut self.stream {
                Stream::Upgrading(..) => Poll::Pending,
                Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
                Stream::Other(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
            }
        };
        if let Poll::Ready(Ok(bytes)) = written {
            transmit.advance(bytes);
        }
        written
    }

    /// What HTTP has left, and what follows it, in one write.
    fn write_head(&mut self, cx: &mut Context<'_>, transmit: &mut Transmit) -> Poll<std::io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES + 1];
        let [first, rest @ ..] = &mut slices;
        *first = IoSlice::new(&self.head);
        let count = 1 + transmit.slices(rest);
        let slices = &slices[..count];
        let written = match &mut self.stream {
            Stream::Upgrading(..) => Poll::Pending,
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Other(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        };
        if let Poll::Ready(Ok(bytes)) = written {
            let of_head = bytes.min(self.head.len());
            transmit.advance(bytes - of_head);
            if of_head == self.head.len() {
                self.head = Vec::new();
            } else {
                self.head.drain(..of_head);
            }
        }
        written
    }

    fn close_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.stream {
            Stream::Upgrading(..) => Poll::Ready(Ok(())),
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Other(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.stream {
            Stream::Upgrading(..) | Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Other(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }
}

/// The plain stream, with what is still to be written to it and what had already been read from it. `None` if this
/// driver's event loop cannot take it over.
pub(super) fn unwrap<R: Runtime>(
    runtime: &R,
    upgraded: Upgraded,
    home: StreamHome,
) -> Option<(Stream<R>, Vec<u8>, Bytes)> {
    let plain = |stream| match home {
        StreamHome::Here => Some(Stream::Plain(stream)),
        StreamHome::Elsewhere => runtime.adopt(stream).ok().map(Stream::Plain),
    };
    let upgraded = match upgraded.downcast::<HeadWatch<R::Stream>>() {
        Ok(parts) => {
            let (stream, head) = parts.io.into_parts();
            return Some((plain(stream)?, head, parts.read_buf));
        }
        Err(upgraded) => upgraded,
    };
    Some(match runtime.downcast(upgraded) {
        Ok((stream, early)) => (plain(stream)?, Vec::new(), early),
        // It hands out by itself what had been read.
        Err(upgraded) => (Stream::Other(Box::new(upgraded)), Vec::new(), Bytes::new()),
    })
}

/// A system call for this many bytes costs little beside what is done with them.
const SCRATCH_BYTES: usize = READ_BYTES_PER_CONN;
/// Bytes, and reads, of one stream before others get a turn: a thousand tiny events.
const READ_BYTES_PER_CONN: usize = 16 << 10;
const READS_PER_CONN: usize = 4;
/// Bytes to one stream before others get a turn.
const WRITE_BYTES_PER_CONN: usize = 256 << 10;
/// Pieces of one write.
const SLICES: usize = 16;
