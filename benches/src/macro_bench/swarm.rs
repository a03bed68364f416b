//! The load generator: many client connections on one epoll, in one thread.
//!
//! Owns: connections, whole frames and responses out of their bytes, the answers that a transport owes (pong). Must never
//! know: which scenario it serves, or what a payload should be.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use socket2::{Domain, Socket, Type};

use super::{frame, http};

/// Connections to one process.
pub(super) struct Swarm {
    epoll: OwnedFd,
    address: SocketAddrV4,
    conns: Vec<Option<Conn>>,
    vacant: Vec<usize>,
    opened: usize,
    ready: Vec<Event>,
    scratch: Vec<u8>,
    reply: NextSend,
    deadline: Instant,
}

/// What was received on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inflow<'a> {
    /// A text message, or the body of a response.
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// The server closed a connection that was leaving.
    Left,
}

/// What the connection that something came from sends next.
#[derive(Debug, Default)]
pub(super) struct NextSend {
    /// Whole frames or a whole request.
    pub(super) bytes: Vec<u8>,
    /// Whether it closes its side after that.
    pub(super) leaves: bool,
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    wire: ConnStage,
    /// The beginning of something that is not whole yet.
    carry: Vec<u8>,
    unsent: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnStage {
    UpgradeHead,
    Frames,
    Responses,
    Leaving,
}

impl Swarm {
    pub(super) fn new(address: SocketAddrV4) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            address,
            conns: Vec::new(),
            vacant: Vec::new(),
            opened: 0,
            ready: Vec::with_capacity(READY_MAX),
            scratch: vec![0; SCRATCH_BYTES],
            reply: NextSend::default(),
            deadline: Instant::now() + ROUND_TIME_MAX,
        })
    }

    /// Begins a round: it must end within a minute.
    pub(super) fn begin_round(&mut self) {
        self.deadline = Instant::now() + ROUND_TIME_MAX;
    }

    /// Opens a WebSocket; its first text is the server's open packet.
    pub(super) fn open_websocket(&mut self, target: &str) -> io::Result<usize> {
        let request = http::upgrade_request(self.address, target);
        let index = self.connect(ConnStage::UpgradeHead)?;
        self.send(index, request.as_bytes())?;
        Ok(index)
    }

    /// Opens a keep-alive connection for requests.
    pub(super) fn open_http(&mut self) -> io::Result<usize> {
        self.connect(ConnStage::Responses)
    }

    /// Sends whole frames or a whole request. What the socket refuses follows when it is writable.
    pub(super) fn send(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        let conn = self.conns.get_mut(index).and_then(Option::as_mut);
        let conn = conn.ok_or_else(|| io::Error::other("a connection that has left cannot send"))?;
        conn.send(&self.epoll, index, bytes)
    }

    /// Waits for the sockets and hands over everything that they hold. Silence for a while is an error: what was
    /// expected is lost.
    pub(super) fn turn<F>(&mut self, mut on: F) -> io::Result<()>
    where
        F: FnMut(usize, Inflow<'_>, &mut NextSend) -> io::Result<()>,
    {
        if Instant::now() > self.deadline {
            return Err(io::Error::new(ErrorKind::TimedOut, "a round that does not end"));
        }
        self.ready.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&SILENCE_MAX)) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(0) => return Err(io::Error::new(ErrorKind::TimedOut, "messages are missing: nothing more comes")),
            outcome => outcome?,
        };
        for position in 0..self.ready.len() {
            let event = self.ready[position];
            let index = event.data.u64() as usize;
            self.handle(index, event.flags, &mut on).map_err(|fault| {
                io::Error::new(fault.kind(), format!("connection {index} of {}: {fault}", self.opened))
            })?;
        }
        Ok(())
    }

    /// Discards what was received so far.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        loop {
            self.ready.clear();
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&now))? == 0 {
                return Ok(());
            }
            for position in 0..self.ready.len() {
                let event = self.ready[position];
                self.handle(event.data.u64() as usize, event.flags, &mut |_, _, _| Ok(()))?;
            }
        }
    }

    /// Several source addresses, so that ports of closed connections which the system still holds back never run short.
    fn connect(&mut self, wire: ConnStage) -> io::Result<usize> {
        let source = Ipv4Addr::new(127, 0, 0, 1 + (self.opened % SOURCES) as u8);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect_timeout(&SocketAddr::from(self.address).into(), CONNECT_TIME_MAX)?;
        socket.set_nonblocking(true)?;
        let index = self.vacant.pop().unwrap_or(self.conns.len());
        let stream = TcpStream::from(socket);
        epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        let conn = Some(Conn { stream, wire, carry: Vec::new(), unsent: Vec::new() });
        match self.conns.get_mut(index) {
            Some(place) => *place = conn,
            None => self.conns.push(conn),
        }
        self.opened += 1;
        Ok(index)
    }

    fn handle<F>(&mut self, index: usize, flags: EventFlags, on: &mut F) -> io::Result<()>
    where
        F: FnMut(usize, Inflow<'_>, &mut NextSend) -> io::Result<()>,
    {
        let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
        if flags.contains(EventFlags::OUT) {
            conn.send(&self.epoll, index, &[])?;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let bytes = match conn.stream.read(&mut self.scratch) {
            Ok(0) if conn.wire == ConnStage::Leaving => return self.left(index, on),
            Ok(0) => return Err(io::Error::other("closed by the server")),
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(fault) if fault.kind() == ErrorKind::ConnectionReset && conn.wire == ConnStage::Leaving => {
                return self.left(index, on);
            }
            Err(fault) => return Err(fault),
        };
        self.reply.bytes.clear();
        self.reply.leaves = false;
        if conn.carry.is_empty() {
            let used = conn.wire.take_whole(index, &self.scratch[..bytes], &mut self.reply, on)?;
            conn.carry.extend(&self.scratch[used..bytes]);
        } else {
            conn.carry.extend(&self.scratch[..bytes]);
            let used = conn.wire.take_whole(index, &conn.carry, &mut self.reply, on)?;
            conn.carry.drain(..used);
        }
        if !self.reply.bytes.is_empty() {
            conn.send(&self.epoll, index, &self.reply.bytes)?;
        }
        if self.reply.leaves {
            conn.wire = ConnStage::Leaving;
            conn.stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Dropping the stream closes it, which takes it out of the epoll.
    fn left<F>(&mut self, index: usize, on: &mut F) -> io::Result<()>
    where
        F: FnMut(usize, Inflow<'_>, &mut NextSend) -> io::Result<()>,
    {
        self.conns[index] = None;
        self.vacant.push(index);
        on(index, Inflow::Left, &mut self.reply)
    }
}

impl Conn {
    fn send(&mut self, epoll: &OwnedFd, index: usize, bytes: &[u8]) -> io::Result<()> {
        let waited = !self.unsent.is_empty();
        self.unsent.extend(bytes);
        let written = match self.stream.write(&self.unsent) {
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => 0,
            outcome => outcome?,
        };
        self.unsent.drain(..written);
        let waits = !self.unsent.is_empty();
        if waits != waited {
            let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.stream, EventData::new_u64(index as u64), flags)?;
        }
        Ok(())
    }
}

impl ConnStage {
    /// Hands over what is whole in `bytes` and says how many of them that was.
    fn take_whole<F>(&mut self, index: usize, bytes: &[u8], reply: &mut NextSend, on: &mut F) -> io::Result<usize>
    where
        F: FnMut(usize, Inflow<'_>, &mut NextSend) -> io::Result<()>,
    {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            match self {
                Self::UpgradeHead => {
                    let Some(end) = http::split_upgraded(rest)? else { break };
                    *self = Self::Frames;
                    used += end;
                }
                Self::Frames => {
                    let Some(frame) = frame::split(rest)? else { break };
                    let payload = &rest[frame.payload.clone()];
                    match (frame.opcode, payload) {
                        (frame::TEXT, b"2") => frame::push_masked(&mut reply.bytes, frame::TEXT, b"3"),
                        (frame::TEXT, GREETING) => {}
                        (frame::TEXT, _) => on(index, Inflow::Text(payload), reply)?,
                        (frame::BINARY, _) => on(index, Inflow::Binary(payload), reply)?,
                        (frame::PING, _) => frame::push_masked(&mut reply.bytes, frame::PONG, payload),
                        _ => return Err(io::Error::other(format!("a frame with opcode {}", frame.opcode))),
                    }
                    used += frame.payload.end;
                }
                Self::Responses => {
                    let Some(body) = http::split_response(rest)? else { break };
                    used += body.end;
                    on(index, Inflow::Text(&rest[body]), reply)?;
                }
                Self::Leaving => used = bytes.len(),
            }
        }
        Ok(used)
    }
}

const READY_MAX: usize = 4096;
const SCRATCH_BYTES: usize = 256 * 1024;
const SOURCES: usize = 32;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const ROUND_TIME_MAX: Duration = Duration::from_secs(60);
const SILENCE_MAX: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What the conformance server sends to every client that connects, and other servers may leave out.
const GREETING: &[u8] = br#"42["auth",{}]"#;
