//! A whole driver of [`Server`] without a runtime: one thread, `std::net` and `poll(2)`.
//!
//! It serves Socket.IO on `HOST:PORT` (127.0.0.1:3000) by long polling and WebSocket: the loop tells the server what came,
//! does what it says, and sleeps. Bytes of HTTP stand in `http1`, the application in `echo`. A driver that faces strangers
//! adds time limits for requests, a limit of connections, and bodies in chunks.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::SystemTime;

use bytes::Bytes;
use http::header;
use roomcast_core::server::*;
use roomcast_core::time::{Instant, WallTime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

#[path = "blocking/echo.rs"]
mod echo;
#[path = "blocking/http1.rs"]
mod http1;

#[expect(clippy::disallowed_methods, reason = "at the edge of the program the clocks are read")]
fn main() -> io::Result<()> {
    let variable = |name, default: &str| std::env::var(name).unwrap_or(default.into());
    let listener = TcpListener::bind(format!("{}:{}", variable("HOST", "127.0.0.1"), variable("PORT", "3000")))?;
    listener.set_nonblocking(true)?;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let clock = std::time::Instant::now();
    let wall = WallTime::default() + SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let (config, now) = (Config::new([Endpoint::socket_io("/socket.io/")]), Instant::default());
    let server = Server::new(config, Start { node: 0, now, wall, seed }).map_err(io::Error::other)?;
    let (mut core, mut peers) = (Core { server, transmit: Transmit::new(), now }, Vec::new());
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let ready = sleep(&core.server, &listener, &peers, Instant::default() + clock.elapsed())?;
        core.now = Instant::default() + clock.elapsed();
        for (peer, flags) in peers.iter_mut().zip(ready) {
            if flags.contains(PollFlags::OUT) {
                peer.attempt(&mut core, Peer::write);
            }
            if !flags.difference(PollFlags::OUT).is_empty() {
                peer.attempt(&mut core, Peer::read);
            }
        }
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true))?;
            peers.push(Peer { stream, stage: Stage::Asks, wants: PollFlags::IN, input: vec![], output: vec![] });
        }
        core.server.handle_timeout(core.now);
        while let Some(output) = core.server.poll_output() {
            handle_output(&mut core, output, &mut peers);
        }
        peers.retain(|peer| peer.stage != Stage::Gone);
    }
}

/// Waits for a socket or the next deadline: what each peer is ready for.
fn sleep(server: &Server, listener: &TcpListener, peers: &[Peer], now: Instant) -> io::Result<Vec<PollFlags>> {
    let mut fds: Vec<_> = peers.iter().map(|peer| PollFd::new(&peer.stream, peer.wants)).collect();
    fds.push(PollFd::new(listener, PollFlags::IN));
    let span = server.poll_timeout().map(|(deadline, _why)| deadline.saturating_since(now));
    let timeout = span.and_then(|span| Timespec::try_from(span).ok());
    rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
    Ok(fds.iter().map(PollFd::revents).collect())
}

struct Core {
    server: Server,
    transmit: Transmit,
    now: Instant,
}

fn handle_output(core: &mut Core, output: Output, peers: &mut [Peer]) {
    use Stage::{Asks, Gone, Streams, Waits};
    match output {
        Output::Event(event) => echo::handle_event(&mut core.server, event, core.now),
        Output::Respond(request, response) => find(peers, Waits(request)).for_each(|peer| {
            peer.stage = Asks;
            http1::put_response(&mut peer.output, &response);
            peer.attempt(core, Peer::handle_requests);
        }),
        Output::Writable(conn) => find(peers, Streams(conn)).for_each(|peer| peer.attempt(core, Peer::write)),
        Output::ReadPaused(conn) => find(peers, Streams(conn)).for_each(|peer| peer.wants.remove(PollFlags::IN)),
        Output::ReadResumed(conn) => find(peers, Streams(conn)).for_each(|peer| peer.wants.insert(PollFlags::IN)),
        Output::Close(conn) => find(peers, Streams(conn)).for_each(|peer| peer.stage = Gone),
        // Not configured: this server is alone.
        Output::Publish(_) | Output::Subscribe(_) | Output::Unsubscribe(_) => {}
    }
}

/// Walks over all peers, as `poll` does.
fn find(peers: &mut [Peer], stage: Stage) -> impl Iterator<Item = &mut Peer> {
    peers.iter_mut().filter(move |peer| peer.stage == stage)
}

struct Peer {
    stream: TcpStream,
    stage: Stage,
    wants: PollFlags,
    /// Requests that are not whole, or whose turn has not come.
    input: Vec<u8>,
    /// Answers that the socket has not taken. Frames go behind them.
    output: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Asks,
    Waits(RequestId),
    Streams(ConnId),
    Gone,
}

impl Peer {
    /// Does something; a peer for which it fails is gone.
    fn attempt(&mut self, core: &mut Core, action: fn(&mut Self, &mut Core) -> io::Result<()>) {
        match action(self, core) {
            Ok(()) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return self.wants.insert(PollFlags::OUT),
            Err(_) => {}
        }
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Streams(conn) => core.server.handle_input(Input::WsEnded { conn }, core.now),
            Stage::Waits(request) => core.server.handle_input(Input::HttpAborted { request }, core.now),
            Stage::Asks | Stage::Gone => {}
        }
    }

    fn read(&mut self, core: &mut Core) -> io::Result<()> {
        let mut scratch = [0; 16 * 1024];
        let len = self.stream.read(&mut scratch)?;
        if len == 0 || self.input.len() > http1::REQUEST_BYTES_MAX {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Stage::Streams(conn) = self.stage {
            core.server.handle_input(Input::WsBytes { conn, bytes: &scratch[..len] }, core.now);
            return Ok(());
        }
        self.input.extend_from_slice(&scratch[..len]);
        self.handle_requests(core)
    }

    /// Requests that are whole, each after the answer of the one before.
    fn handle_requests(&mut self, core: &mut Core) -> io::Result<()> {
        while self.stage == Stage::Asks {
            let Some((request, body)) = http1::take_request(&mut self.input)? else { break };
            // What is not served is the endpoint that there is not.
            let endpoint = core.server.route(request.uri().path()).unwrap_or(EndpointId::new(u16::MAX));
            let response = if request.headers().contains_key(header::UPGRADE) {
                match core.server.handle_upgrade(endpoint, &request, core.now) {
                    Upgrade::Refuse(response) => *response,
                    Upgrade::Accept(conn, response) => {
                        self.stage = Stage::Streams(conn);
                        let frames = std::mem::take(&mut self.input);
                        core.server.handle_input(Input::WsBytes { conn, bytes: &frames }, core.now);
                        response.map(|()| Bytes::new())
                    }
                }
            } else {
                match core.server.handle_http_head(endpoint, request, core.now) {
                    Head::Refuse(response) => *response,
                    Head::Continue(request) => {
                        self.stage = Stage::Waits(request);
                        core.server.handle_http_body(request, body, core.now);
                        break;
                    }
                }
            };
            http1::put_response(&mut self.output, &response);
        }
        self.write(core)
    }

    /// Writes until there is no more or the socket takes no more.
    fn write(&mut self, core: &mut Core) -> io::Result<()> {
        self.wants.remove(PollFlags::OUT);
        while !self.output.is_empty() {
            let written = self.stream.write(&self.output)?;
            self.output.drain(..written);
        }
        let Stage::Streams(conn) = self.stage else { return Ok(()) };
        while core.server.poll_transmit(conn, &mut core.transmit) {
            while !core.transmit.is_empty() {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = core.transmit.slices(&mut slices);
                let written = self.stream.write_vectored(&slices[..count]);
                if written.is_err() {
                    core.server.handle_refused(conn, &mut core.transmit, core.now);
                }
                core.transmit.advance(written?);
            }
            match core.transmit.after() {
                After::Keep => {}
                After::CloseWrite => self.stream.shutdown(Shutdown::Write)?,
                After::Close => return Err(ErrorKind::NotConnected.into()),
            }
        }
        Ok(())
    }
}
