//! A driver of [`Server`] on `io_uring`: one thread, one system call per turn, for any number of sockets.
//!
//! It serves Socket.IO on `HOST:PORT` (127.0.0.1:3000) by long polling and WebSocket. `ring` holds what is unsafe; the
//! application and HTTP are those of the core's example `blocking`, and with `LOAD=1` the application is that of the macro
//! bench, which measures this beside a bare epoll loop: `docs/performance.md` has the figures. Needs Linux 6.1. Like that
//! example it has no time limits for requests, and no limit of connections but the number of slots.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::time::SystemTime;

use bytes::Bytes;
use http::header;
use roomcast_core::server::*;
use roomcast_core::time::{Instant, WallTime};

#[path = "../../../core/roomcast-core/examples/blocking/echo.rs"]
mod echo;
#[path = "../../../core/roomcast-core/examples/blocking/http1.rs"]
mod http1;
mod load;
mod ring;

use ring::{Completion, Ring, Shipment};

#[expect(clippy::disallowed_methods, reason = "at the edge of the program the clocks are read")]
fn main() -> io::Result<()> {
    let variable = |name, default: &str| std::env::var(name).unwrap_or(default.into());
    let address = format!("{}:{}", variable("HOST", "127.0.0.1"), variable("PORT", "3000"));
    let listener = listen(address.parse().map_err(io::Error::other)?)?;
    if std::env::args().any(|argument| argument == "--check") {
        return Ring::new(listener).map(drop);
    }
    println!("listening on http://{}", listener.local_addr()?);
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let clock = std::time::Instant::now();
    let wall = WallTime::default() + SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let (config, now) = (Config::new([Endpoint::socket_io("/socket.io/")]), Instant::default());
    let server = Server::new(config, Start { node: 0, now, wall, seed }).map_err(io::Error::other)?;
    let (conns, requests) = (Vec::new(), HashMap::new());
    let handle_event = if variable("LOAD", "0") == "1" { load::handle_event } else { echo::handle_event };
    let mut driver =
        UringDriver { handle_event, server, ring: Ring::new(listener)?, now, peers: Vec::new(), conns, requests };
    loop {
        let span = driver.server.poll_timeout().map(|(deadline, _why)| deadline.saturating_since(driver.now));
        driver.ring.wait(span)?;
        driver.now = Instant::default() + clock.elapsed();
        while let Some(completion) = driver.ring.completion()? {
            driver.handle_completion(completion)?;
        }
        driver.server.handle_timeout(driver.now);
        while let Some(output) = driver.server.poll_output() {
            driver.handle_output(output)?;
        }
    }
}

/// What the sockets inherit: nothing is held back for more.
fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

struct UringDriver {
    handle_event: fn(&mut Server, Event, Instant),
    server: Server,
    ring: Ring,
    now: Instant,
    /// By slot of the ring.
    peers: Vec<Option<Peer>>,
    /// By connection, its slot.
    conns: Vec<usize>,
    requests: HashMap<RequestId, usize>,
}

struct Peer {
    stage: Stage,
    /// Requests that are not whole, or whose turn has not come.
    input: Vec<u8>,
    /// Answers that are not sent yet. Frames go behind them.
    output: Vec<u8>,
    /// `None` while it is under way.
    shipment: Option<Box<Shipment>>,
    is_receiving: bool,
    wants_input: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Asks,
    Waits(RequestId),
    Streams(ConnId),
    /// Closed as soon as the kernel is done with it.
    Gone,
}

impl UringDriver {
    fn handle_completion(&mut self, completion: Completion) -> io::Result<()> {
        match completion {
            Completion::Accepted { slot } => {
                if self.peers.len() <= slot {
                    self.peers.resize_with(slot + 1, || None);
                }
                self.peers[slot] = Some(Peer {
                    stage: Stage::Asks,
                    input: Vec::new(),
                    output: Vec::new(),
                    shipment: Some(Box::default()),
                    is_receiving: true,
                    wants_input: true,
                });
                self.ring.receive(slot)
            }
            Completion::Received { slot, buffer, goes_on } => {
                let bytes = self.ring.bytes(&buffer);
                let Some(peer) = &mut self.peers[slot] else { return Ok(()) };
                match peer.stage {
                    Stage::Streams(conn) => self.server.handle_input(Input::WsBytes { conn, bytes }, self.now),
                    Stage::Asks | Stage::Waits(_) => peer.input.extend_from_slice(bytes),
                    Stage::Gone => {}
                }
                let is_too_much = peer.input.len() > http1::REQUEST_BYTES_MAX;
                self.ring.give_back(buffer);
                if is_too_much {
                    self.end(slot)?;
                }
                self.handle_requests(slot)?;
                if !goes_on {
                    self.handle_read_end(slot, true)?;
                }
                Ok(())
            }
            Completion::ReadEnded { slot, again } => self.handle_read_end(slot, again),
            Completion::Sent { slot, shipment, written } => self.handle_sent(slot, shipment, written),
        }
    }

    /// The kernel reads no more by itself: `again`, for want of a buffer.
    fn handle_read_end(&mut self, slot: usize, again: bool) -> io::Result<()> {
        let Some(peer) = &mut self.peers[slot] else { return Ok(()) };
        peer.is_receiving = false;
        if again && peer.stage != Stage::Gone {
            peer.is_receiving = peer.wants_input;
            return if peer.wants_input { self.ring.receive(slot) } else { Ok(()) };
        }
        if peer.wants_input || peer.stage == Stage::Gone { self.end(slot) } else { Ok(()) }
    }

    fn handle_sent(&mut self, slot: usize, mut shipment: Box<Shipment>, written: Option<usize>) -> io::Result<()> {
        let Some(peer) = &mut self.peers[slot] else { return Ok(()) };
        let Some(written) = written else {
            peer.shipment = Some(shipment);
            return self.end(slot);
        };
        if shipment.plain.is_empty() {
            shipment.transmit.advance(written);
        } else {
            shipment.plain.drain(..written);
        }
        if !shipment.plain.is_empty() || !shipment.transmit.is_empty() {
            return self.ring.send(slot, shipment);
        }
        let after = shipment.transmit.after();
        peer.shipment = Some(shipment);
        match after {
            After::Keep => self.send(slot),
            After::CloseWrite => self.ring.shut_down(slot, Shutdown::Write),
            After::Close => self.end(slot),
        }
    }

    /// Sends answers, then frames, until there are no more; one operation at a time.
    fn send(&mut self, slot: usize) -> io::Result<()> {
        let Some(peer) = &mut self.peers[slot] else { return Ok(()) };
        let Some(mut shipment) = peer.shipment.take() else { return Ok(()) };
        shipment.transmit.discard();
        std::mem::swap(&mut shipment.plain, &mut peer.output);
        let is_filled = match peer.stage {
            Stage::Gone => false,
            _ if !shipment.plain.is_empty() => true,
            Stage::Streams(conn) => self.server.poll_transmit(conn, &mut shipment.transmit),
            Stage::Asks | Stage::Waits(_) => false,
        };
        if is_filled {
            return self.ring.send(slot, shipment);
        }
        peer.shipment = Some(shipment);
        if peer.stage == Stage::Gone { self.end(slot) } else { Ok(()) }
    }

    /// Tells the server that this peer is gone, and closes it once nothing of it is under way.
    fn end(&mut self, slot: usize) -> io::Result<()> {
        let Some(peer) = &mut self.peers[slot] else { return Ok(()) };
        let (now, is_first) = (self.now, peer.stage != Stage::Gone);
        match std::mem::replace(&mut peer.stage, Stage::Gone) {
            Stage::Streams(conn) => self.server.handle_input(Input::WsEnded { conn }, now),
            Stage::Waits(request) => {
                self.requests.remove(&request);
                self.server.handle_input(Input::HttpAborted { request }, now);
            }
            Stage::Asks | Stage::Gone => {}
        }
        if peer.shipment.is_some() && !peer.is_receiving {
            self.peers[slot] = None;
            return self.ring.close(slot);
        }
        if is_first { self.ring.shut_down(slot, Shutdown::Both) } else { Ok(()) }
    }

    fn handle_output(&mut self, output: Output) -> io::Result<()> {
        match output {
            Output::Event(event) => (self.handle_event)(&mut self.server, event, self.now),
            Output::Respond(request, response) => {
                let Some(slot) = self.requests.remove(&request) else { return Ok(()) };
                let Some(peer) = &mut self.peers[slot] else { return Ok(()) };
                peer.stage = Stage::Asks;
                http1::put_response(&mut peer.output, &response);
                self.handle_requests(slot)?;
                self.send(slot)?;
            }
            Output::Writable(conn) => self.send(self.conns[conn.slot()])?,
            Output::ReadPaused(conn) => {
                let slot = self.conns[conn.slot()];
                if let Some(peer) = &mut self.peers[slot] {
                    peer.wants_input = false;
                    self.ring.stop_receiving(slot)?;
                }
            }
            Output::ReadResumed(conn) => {
                let slot = self.conns[conn.slot()];
                if let Some(peer) = &mut self.peers[slot] {
                    peer.wants_input = true;
                    if !std::mem::replace(&mut peer.is_receiving, true) {
                        self.ring.receive(slot)?;
                    }
                }
            }
            Output::Close(conn) => self.end(self.conns[conn.slot()])?,
            // Not configured: this server is alone.
            Output::Publish(_) | Output::Subscribe(_) | Output::Unsubscribe(_) => {}
        }
        Ok(())
    }

    /// Requests that are whole, each after the answer of the one before.
    fn handle_requests(&mut self, slot: usize) -> io::Result<()> {
        while let Some(peer) = &mut self.peers[slot]
            && peer.stage == Stage::Asks
            && !peer.input.is_empty()
        {
            let (request, body) = match http1::take_request(&mut peer.input) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(_) => return self.end(slot),
            };
            // What is not served is the endpoint that there is not.
            let endpoint = self.server.route(request.uri().path()).unwrap_or(EndpointId::new(u16::MAX));
            let response = if request.headers().contains_key(header::UPGRADE) {
                match self.server.handle_upgrade(endpoint, &request, self.now) {
                    Upgrade::Refuse(response) => *response,
                    Upgrade::Accept(conn, response) => {
                        peer.stage = Stage::Streams(conn);
                        if self.conns.len() <= conn.slot() {
                            self.conns.resize(conn.slot() + 1, 0);
                        }
                        self.conns[conn.slot()] = slot;
                        let bytes = &std::mem::take(&mut peer.input)[..];
                        self.server.handle_input(Input::WsBytes { conn, bytes }, self.now);
                        response.map(|()| Bytes::new())
                    }
                }
            } else {
                match self.server.handle_http_head(endpoint, request, self.now) {
                    Head::Refuse(response) => *response,
                    Head::Continue(request) => {
                        peer.stage = Stage::Waits(request);
                        self.requests.insert(request, slot);
                        self.server.handle_http_body(request, body, self.now);
                        break;
                    }
                }
            };
            http1::put_response(&mut peer.output, &response);
            self.send(slot)?;
        }
        Ok(())
    }
}
