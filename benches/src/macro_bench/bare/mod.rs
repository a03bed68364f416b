//! The bare loop: what any server has to do at the least, and nothing else.
//!
//! Owns: one thread, one level-triggered epoll, one scratch buffer. It reads what is there once per wakeup, counts the
//! frames by their borders, and writes the same pre-encoded frame, one write per member and wakeup with as many copies
//! as are due. TCP_NODELAY is on. It answers the handshake with constants, so the load generator treats it like a server.
//! Must never know: what a payload says, a session, a ping, JSON, a hash map.

mod borders;
mod peer;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::net::{SocketFlags, accept_with};
use socket2::{Domain, Socket, Type};

use peer::{LoopAction, Peer, Replies};

/// Listens on a port of `127.0.0.1`, 0 for any, and serves until it is ended.
pub(super) fn serve(port: u16, message: &str) -> io::Result<()> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.set_nonblocking(true)?;
    listener.set_reuse_address(true)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    listener.listen(4096)?;
    let address = listener.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no local address"))?;

    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(token(&listener)), EventFlags::IN)?;
    println!("listening on http://{address}");
    io::stdout().flush()?;

    let state = Loop {
        epoll,
        listener,
        peers: Vec::new(),
        groups: Vec::new(),
        due_groups: Vec::new(),
        replies: Replies::new(message.as_bytes()),
        scratch: vec![0; SCRATCH_BYTES],
    };
    state.run()
}

struct Loop {
    epoll: OwnedFd,
    listener: Socket,
    /// By file descriptor.
    peers: Vec<Option<Peer>>,
    groups: Vec<MemberGroup>,
    /// Groups with frames that are due, each once.
    due_groups: Vec<usize>,
    replies: Replies,
    scratch: Vec<u8>,
}

#[derive(Debug, Default)]
struct MemberGroup {
    members: Vec<usize>,
    frames_due: usize,
}

impl Loop {
    fn run(mut self) -> io::Result<()> {
        let listener = token(&self.listener);
        let mut ready = Vec::with_capacity(READY_MAX);
        loop {
            ready.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), None) {
                Err(rustix::io::Errno::INTR) => continue,
                outcome => outcome?,
            };
            for event in &ready {
                let token = event.data.u64();
                if token == listener {
                    self.accept()?;
                } else {
                    self.handle(token as usize, event.flags)?;
                }
            }
            self.write_due_groups()?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::CONNABORTED) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            };
            rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
            let slot = token(&socket) as usize;
            epoll::add(&self.epoll, &socket, EventData::new_u64(slot as u64), EventFlags::IN)?;
            if self.peers.len() <= slot {
                self.peers.resize_with(slot + 1, || None);
            }
            self.peers[slot] = Some(Peer::new(socket));
        }
    }

    fn handle(&mut self, slot: usize, flags: EventFlags) -> io::Result<()> {
        let Some(peer) = self.peers.get_mut(slot).and_then(Option::as_mut) else { return Ok(()) };
        if flags.contains(EventFlags::OUT) {
            peer.write_owed(&self.epoll, slot, 0, &self.replies)?;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let bytes = match rustix::net::recv(&peer.socket, &mut self.scratch[..], rustix::net::RecvFlags::empty()) {
            Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => {
                self.close(slot);
                return Ok(());
            }
            Ok((bytes, _)) => bytes,
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        match peer.handle_bytes(&self.scratch[..bytes], &self.replies)? {
            LoopAction::Nothing => {}
            LoopAction::Join(group) => {
                self.group(group).members.push(slot);
            }
            LoopAction::Echo(frames) => peer.write_owed(&self.epoll, slot, frames, &self.replies)?,
            LoopAction::Cast { group, frames } => {
                let due = &mut self.group(group).frames_due;
                let first = *due == 0;
                *due += frames;
                if first {
                    self.due_groups.push(group);
                }
            }
        }
        Ok(())
    }

    fn group(&mut self, index: usize) -> &mut MemberGroup {
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, MemberGroup::default);
        }
        &mut self.groups[index]
    }

    fn write_due_groups(&mut self) -> io::Result<()> {
        for group in self.due_groups.drain(..) {
            let MemberGroup { members, frames_due } = &mut self.groups[group];
            for slot in members {
                if let Some(peer) = &mut self.peers[*slot] {
                    peer.write_owed(&self.epoll, *slot, *frames_due, &self.replies)?;
                }
            }
            *frames_due = 0;
        }
        Ok(())
    }

    /// Dropping the socket closes it, which takes it out of the epoll.
    fn close(&mut self, slot: usize) {
        let group = self.peers[slot].take().and_then(|peer| peer.member_of());
        if let Some(group) = group {
            self.group(group).members.retain(|member| *member != slot);
        }
    }
}

fn token(socket: &impl AsFd) -> u64 {
    socket.as_fd().as_raw_fd().cast_unsigned().into()
}

const READY_MAX: usize = 1024;
const SCRATCH_BYTES: usize = 64 * 1024;
