//! One connection of the bare loop: constant answers during the handshake, then frames counted and frames owed.

use std::io;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::{SendFlags, send};

use super::borders::Borders;
use crate::macro_bench::frame;
use crate::macro_bench::http::{ACCEPT, HEAD_END};

/// A client connection of the bare loop.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) socket: OwnedFd,
    stage: Stage,
    purpose: RequestLine,
    borders: Borders,
    /// Bytes of whole frames that are due but not yet taken by the socket, and how far into a frame they begin.
    bytes_owed: usize,
    frame_offset: usize,
}

/// What the request line asks this connection to be: `in=N`, `to=N`, `echo` or `http` in the query.
#[derive(Debug, Default, Clone, Copy)]
struct RequestLine {
    member_of: Option<usize>,
    casts_to: Option<usize>,
    echoes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Request,
    /// The first frame is the CONNECT.
    Connect,
    /// The second one joins, for those who are more than a visitor.
    Join,
    Working,
    Http,
    Visiting,
}

/// What the loop does next for this connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoopAction {
    Nothing,
    Join(usize),
    Echo(usize),
    Cast { group: usize, frames: usize },
}

/// Every byte that the bare loop ever writes.
#[derive(Debug)]
pub(super) struct Replies {
    upgraded: Vec<u8>,
    connected: Vec<u8>,
    joined: Vec<u8>,
    posted: Vec<u8>,
    polled: Vec<u8>,
    /// The frame, over and over, so that any number of copies is one write.
    frames: Vec<u8>,
    frame_bytes: usize,
}

impl Replies {
    pub(super) fn new(message: &[u8]) -> Self {
        let open = br#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}{HEAD_END}"
        );
        let frame = frame::unmasked_text(message);
        Self {
            upgraded: [head.as_bytes(), &frame::unmasked_text(open)].concat(),
            connected: frame::unmasked_text(br#"40{"sid":"AAAAAAAAAAAAAAAAAAAB"}"#),
            joined: frame::unmasked_text(br#"430["ok"]"#),
            posted: response(b"ok"),
            polled: response(message),
            frame_bytes: frame.len(),
            frames: frame.repeat(COPIES),
        }
    }
}

impl Peer {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            stage: Stage::Request,
            purpose: RequestLine::default(),
            borders: Borders::default(),
            bytes_owed: 0,
            frame_offset: 0,
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], replies: &Replies) -> io::Result<LoopAction> {
        match self.stage {
            Stage::Request => return self.handle_request(bytes, replies),
            Stage::Http => return self.respond(bytes, replies),
            Stage::Connect | Stage::Join | Stage::Working | Stage::Visiting => {}
        }
        let frames = self.borders.count(bytes);
        match self.stage {
            Stage::Connect if frames > 0 => {
                self.write_all(&replies.connected)?;
                let RequestLine { member_of, casts_to, echoes } = self.purpose;
                let stays = member_of.is_some() || casts_to.is_some() || echoes;
                self.stage = if stays { Stage::Join } else { Stage::Visiting };
                Ok(LoopAction::Nothing)
            }
            Stage::Join if frames > 0 => {
                self.write_all(&replies.joined)?;
                self.stage = Stage::Working;
                Ok(self.purpose.member_of.map_or(LoopAction::Nothing, LoopAction::Join))
            }
            Stage::Working if frames > 0 && self.purpose.echoes => Ok(LoopAction::Echo(frames)),
            Stage::Working if frames > 0 => {
                Ok(self.purpose.casts_to.map_or(LoopAction::Nothing, |group| LoopAction::Cast { group, frames }))
            }
            Stage::Request | Stage::Http | Stage::Connect | Stage::Join | Stage::Working | Stage::Visiting => {
                Ok(LoopAction::Nothing)
            }
        }
    }

    /// Writes what is owed and `frames` more, in one write; what the socket refuses waits until it is writable.
    pub(super) fn write_owed(
        &mut self,
        epoll: &OwnedFd,
        slot: usize,
        frames: usize,
        replies: &Replies,
    ) -> io::Result<()> {
        let waiting = self.bytes_owed > 0 && frames > 0;
        self.bytes_owed += frames * replies.frame_bytes;
        if waiting {
            return Ok(());
        }
        let end = replies.frames.len().min(self.frame_offset + self.bytes_owed);
        let written = match send(&self.socket, &replies.frames[self.frame_offset..end], SendFlags::NOSIGNAL) {
            Ok(written) => written,
            Err(rustix::io::Errno::AGAIN) => 0,
            // The read that follows sees the end.
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => self.bytes_owed,
            Err(errno) => return Err(errno.into()),
        };
        self.bytes_owed -= written;
        self.frame_offset = (self.frame_offset + written) % replies.frame_bytes;
        // A steady state takes every write whole and never comes here.
        if self.bytes_owed > 0 {
            epoll::modify(epoll, &self.socket, EventData::new_u64(slot as u64), EventFlags::IN | EventFlags::OUT)?;
        } else if frames == 0 {
            epoll::modify(epoll, &self.socket, EventData::new_u64(slot as u64), EventFlags::IN)?;
        }
        Ok(())
    }

    pub(super) fn member_of(&self) -> Option<usize> {
        self.purpose.member_of
    }

    /// The load generator writes a request whole; loopback hands it over whole.
    fn handle_request(&mut self, bytes: &[u8], replies: &Replies) -> io::Result<LoopAction> {
        if !bytes.ends_with(HEAD_END.as_bytes()) && !bytes.starts_with(b"POST") {
            return Err(io::Error::other("a request in pieces"));
        }
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = std::str::from_utf8(line).map_err(io::Error::other)?;
        let (_, query) = line.split_once('?').unwrap_or_default();
        let query = query.split(' ').next().unwrap_or_default();
        for part in query.split('&') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("in", group) => self.purpose.member_of = Some(group.parse().map_err(io::Error::other)?),
                ("to", group) => self.purpose.casts_to = Some(group.parse().map_err(io::Error::other)?),
                ("echo", _) => self.purpose.echoes = true,
                ("http", _) => {
                    self.stage = Stage::Http;
                    return self.respond(bytes, replies);
                }
                _ => {}
            }
        }
        self.stage = Stage::Connect;
        self.write_all(&replies.upgraded)?;
        Ok(LoopAction::Nothing)
    }

    /// One request, one fixed response: no header is read.
    fn respond(&mut self, request: &[u8], replies: &Replies) -> io::Result<LoopAction> {
        self.write_all(if request.starts_with(b"POST") { &replies.posted } else { &replies.polled })?;
        Ok(LoopAction::Nothing)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let written = send(&self.socket, bytes, SendFlags::NOSIGNAL)?;
        if written < bytes.len() {
            return Err(io::Error::other("an empty socket buffer took an answer in part"));
        }
        Ok(())
    }
}

fn response(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: {}{HEAD_END}",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// More than the largest number of messages in flight.
const COPIES: usize = 64;
