//! The turn of each connection.
//!
//! Owns: when a stream is read and written. Must never know: what is in the bytes.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use roomcast_core::server::{App, ConnId, Input};
use roomcast_core::time::Instant;

use super::Driver;
use super::conns::{Reading, Stream, StreamFate, Writing, unwrap};
use super::slice::{self, TimeSlice};
use crate::runtime::Runtime;

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    /// A stream's waker was called, or it is to be looked at for the first time, or read on. How many bytes were read.
    pub(super) fn conn_ready(&mut self, slot: u32, now: Instant) -> usize {
        let Some(Some(conn)) = usize::try_from(slot).ok().and_then(|slot| self.conns.slots.get_mut(slot)) else {
            return 0;
        };
        conn.waker.unlist();
        let id = conn.id;
        let waker = Waker::from(conn.waker.clone());
        let cx = &mut Context::from_waker(&waker);
        if let Stream::Upgrading(upgrade, home) = &mut conn.stream {
            let home = *home;
            let Poll::Ready(upgraded) = Pin::new(upgrade).poll(cx) else { return 0 };
            let Some((stream, head, early)) = upgraded.ok().and_then(|stream| unwrap(&self.runtime, stream, home))
            else {
                self.conn_gone(id, StreamFate::Ended, now);
                return 0;
            };
            (conn.stream, conn.head) = (stream, head);
            if !conn.head.is_empty() && conn.writing == Writing::Idle {
                conn.writing = Writing::Listed;
                self.conns.writable.push_back(id);
            }
            if !early.is_empty() {
                self.stack.server.handle_input(Input::WsBytes { conn: id, bytes: &early }, now);
            }
        }
        if conn.writing == Writing::Blocked {
            conn.writing = Writing::Listed;
            self.conns.writable.push_back(id);
        }
        if conn.reading == Reading::Paused {
            return 0;
        }
        let mut bytes_read = 0;
        let fate = conn.read(cx, &mut self.conns.scratch, |bytes| {
            bytes_read += bytes.len();
            self.stack.server.handle_input(Input::WsBytes { conn: id, bytes }, now);
        });
        match fate {
            StreamFate::Stays => {}
            StreamFate::GoesOn => self.ready.extend(self.conns.list(id)),
            StreamFate::Ended => self.conn_gone(id, fate, now),
        }
        bytes_read
    }

    /// Writes what the core has for those streams that take it; `false` if there was nothing to do.
    pub(super) fn write(&mut self, slice: &mut TimeSlice, now: Instant) -> bool {
        if self.conns.writable.is_empty() {
            return false;
        }
        if self.conns.pass == 0 {
            (self.conns.pass, self.pass_of) = (self.conns.writable.len(), self.taken);
        }
        while !slice.is_over() && self.write_next(slice, now) {}
        true
    }

    /// Goes on with what an earlier turn had no time for, so that writing makes progress under any load.
    pub(super) fn write_on(&mut self, slice: &mut TimeSlice, now: Instant) {
        for _ in 0..self.conns.pass.min(WRITES_FIRST) {
            self.write_next(slice, now);
        }
    }

    fn write_next(&mut self, slice: &mut TimeSlice, now: Instant) -> bool {
        let Some(id) = self.conns.writable.pop_front() else { return false };
        if let Some(conn) = self.conns.conn(id).filter(|conn| conn.writing == Writing::Listed) {
            if matches!(conn.stream, Stream::Upgrading(..)) {
                conn.writing = Writing::Blocked;
            } else {
                conn.writing = Writing::Idle;
                let waker = Waker::from(conn.waker.clone());
                let cx = &mut Context::from_waker(&waker);
                let (fate, bytes) = conn.write(cx, &mut self.stack, &mut self.transmit, now);
                slice.spend(slice::STEP + bytes / 4);
                match fate {
                    StreamFate::Stays => {}
                    StreamFate::GoesOn => {
                        conn.writing = Writing::Listed;
                        self.conns.writable.push_back(id);
                    }
                    StreamFate::Ended => self.conn_gone(id, fate, now),
                }
            }
        }
        if self.conns.pass > 0 {
            self.conns.pass -= 1;
            if self.conns.pass == 0 {
                self.shared.finish_turn(self.pass_of);
            }
        }
        true
    }

    fn conn_gone(&mut self, id: ConnId, fate: StreamFate, now: Instant) {
        if fate == StreamFate::Ended {
            tracing::debug!(conn = id.as_u64(), "WebSocket ended");
            self.conns.remove(id);
            self.stack.server.handle_input(Input::WsEnded { conn: id }, now);
        }
    }
}

/// Streams that are written at the start of a turn if an earlier one had no time for them.
const WRITES_FIRST: usize = 16;
