//! An `io_uring` with one operation of each kind per socket, behind functions that cannot be misused.
//!
//! Owns: the ring, the buffers that the kernel reads into, and what is being sent until the kernel is done with it. Must
//! never know: HTTP, WebSocket, the server.

use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use io_uring::types::{BufRingEntry, CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use roomcast_core::server::Transmit;

/// What the kernel has done.
#[derive(Debug)]
pub enum Completion {
    /// A new connection, which has this slot until [`Ring::close`].
    Accepted { slot: usize },
    /// Bytes, to be read with [`Ring::bytes`] and given back with [`Ring::give_back`]. `goes_on`: more will come by itself.
    Received { slot: usize, buffer: BufferId, goes_on: bool },
    /// Nothing more comes by itself: the peer has ended, reading was stopped, or (`again`) all buffers were taken.
    ReadEnded { slot: usize, again: bool },
    /// The kernel is done with what was sent, of which it took so many bytes; `None`: the connection broke.
    Sent { slot: usize, shipment: Box<Shipment>, written: Option<usize> },
}

/// One of the buffers that the kernel reads into, and how many bytes it holds.
#[derive(Debug)]
pub struct BufferId {
    index: u16,
    len: usize,
}

/// What one send takes: the frames of a transmit, or else plain bytes. Stays at its address while the kernel reads it.
#[derive(Debug)]
pub struct Shipment {
    pub transmit: Transmit,
    pub plain: Vec<u8>,
    slices: [libc::iovec; SLICES_MAX],
    message: libc::msghdr,
}

impl Default for Shipment {
    #[expect(
        unsafe_code,
        reason = "a message header has private padding and no constructor; all zeros is an empty one"
    )]
    fn default() -> Self {
        let slices = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; SLICES_MAX];
        // SAFETY: integers and pointers only, for which zeros are valid.
        let message = unsafe { std::mem::zeroed() };
        Self { transmit: Transmit::new(), plain: Vec::new(), slices, message }
    }
}

pub struct Ring {
    ring: IoUring,
    listener: TcpListener,
    buffers: Box<[u8]>,
    /// The kernel takes buffers from the front and this program puts them back behind the tail.
    buffer_ring: Box<[BufferRingPage]>,
    buffers_tail: u16,
    /// By slot, what is being sent.
    under_way: Vec<Option<Box<Shipment>>>,
}

/// The kernel wants the ring of buffers at the border of a page.
#[repr(C, align(4096))]
#[derive(Clone)]
struct BufferRingPage([u8; 4096]);

impl Ring {
    /// Accepts from `listener` as long as there are free slots.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        let ring = IoUring::builder()
            // Completions come when this thread asks for them, not by an interrupt.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(4 * ENTRIES)
            .build(ENTRIES)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::SendZc::CODE) {
            return Err(io::Error::other("this kernel is older than Linux 6.1"));
        }
        ring.submitter().register_files_sparse(SLOTS)?;
        let pages = (usize::from(BUFFERS) * size_of::<BufRingEntry>()).div_ceil(size_of::<BufferRingPage>());
        let mut this = Self {
            ring,
            listener,
            buffers: vec![0; usize::from(BUFFERS) * BUFFER_BYTES].into(),
            buffer_ring: vec![BufferRingPage([0; 4096]); pages].into(),
            buffers_tail: 0,
            under_way: Vec::new(),
        };
        this.register_buffers()?;
        this.accept()?;
        Ok(this)
    }

    #[expect(unsafe_code, reason = "the kernel writes to memory that it is told here")]
    fn register_buffers(&mut self) -> io::Result<()> {
        let address = self.buffer_ring.as_ptr() as u64;
        // SAFETY: both boxes live as long as the ring, in which nothing moves or frees them.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)? };
        for index in 0..BUFFERS {
            self.offer(index);
        }
        Ok(())
    }

    /// Puts a buffer behind the tail, which the kernel then may fill.
    #[expect(unsafe_code, reason = "the ring of buffers is shared with the kernel")]
    fn offer(&mut self, index: u16) {
        let entries = self.buffer_ring.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: the ring has BUFFERS entries, a power of two. The entry behind the tail is not the kernel's, which
        // looks at the tail alone; the tail is written last, with release.
        unsafe {
            let entry = &mut *entries.add(usize::from(self.buffers_tail & (BUFFERS - 1)));
            entry.set_addr(self.buffers[usize::from(index) * BUFFER_BYTES..].as_ptr() as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(index);
            self.buffers_tail = self.buffers_tail.wrapping_add(1);
            let tail = BufRingEntry::tail(entries).cast::<std::sync::atomic::AtomicU16>();
            (*tail).store(self.buffers_tail, std::sync::atomic::Ordering::Release);
        }
    }

    /// Hands over what was asked for and waits until something is done, or for `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let span = timeout.map(Timespec::from);
        let args = span.iter().fold(SubmitArgs::new(), SubmitArgs::timespec);
        match self.ring.submitter().submit_with_args(1, &args) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next thing that is done.
    pub fn completion(&mut self) -> io::Result<Option<Completion>> {
        loop {
            let Some(entry) = self.ring.completion().next() else { return Ok(None) };
            let (slot, result, goes_on) = (slot_of(&entry), entry.result(), cqueue::more(entry.flags()));
            return Ok(Some(match entry.user_data() >> 32 {
                ACCEPT if !goes_on => {
                    self.accept()?;
                    continue;
                }
                ACCEPT => match usize::try_from(result) {
                    Ok(slot) => Completion::Accepted { slot },
                    Err(_) => continue,
                },
                RECEIVE => match cqueue::buffer_select(entry.flags()).zip(usize::try_from(result).ok()) {
                    Some((index, len)) if len > 0 => {
                        Completion::Received { slot, buffer: BufferId { index, len }, goes_on }
                    }
                    _ => Completion::ReadEnded { slot, again: result == -libc::ENOBUFS },
                },
                SEND => {
                    let Some(shipment) = self.under_way[slot].take() else { continue };
                    Completion::Sent { slot, shipment, written: usize::try_from(result).ok() }
                }
                _ => continue,
            }));
        }
    }

    /// What was received.
    pub fn bytes(&self, buffer: &BufferId) -> &[u8] {
        &self.buffers[usize::from(buffer.index) * BUFFER_BYTES..][..buffer.len]
    }

    /// Lets the kernel fill this buffer again.
    pub fn give_back(&mut self, buffer: BufferId) {
        self.offer(buffer.index);
    }

    fn accept(&mut self) -> io::Result<()> {
        let fd = io_uring::types::Fd(self.listener.as_raw_fd());
        self.push(opcode::AcceptMulti::new(fd).allocate_file_index(true).build(), ACCEPT, 0)
    }

    /// Reads all that comes to this slot from now on.
    pub fn receive(&mut self, slot: usize) -> io::Result<()> {
        self.push(opcode::RecvMulti::new(fixed(slot), GROUP).build(), RECEIVE, slot)
    }

    /// Reads no more from this slot: [`Completion::ReadEnded`] follows.
    pub fn stop_receiving(&mut self, slot: usize) -> io::Result<()> {
        let which = CancelBuilder::user_data(user_data(RECEIVE, slot));
        self.push(opcode::AsyncCancel2::new(which).build(), CONTROL, slot)
    }

    /// Sends what `shipment` holds, which comes back with [`Completion::Sent`].
    ///
    /// # Panics
    ///
    /// If something is being sent to this slot.
    pub fn send(&mut self, slot: usize, mut shipment: Box<Shipment>) -> io::Result<()> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let alone = if shipment.plain.is_empty() { shipment.transmit.single() } else { Some(&shipment.plain[..]) };
        let entry = if let Some(bytes) = alone {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            opcode::Send::new(fixed(slot), bytes.as_ptr(), len).flags(flags).build()
        } else {
            shipment.lay_out();
            opcode::SendMsg::new(fixed(slot), &raw const shipment.message).flags(flags as u32).build()
        };
        if self.under_way.len() <= slot {
            self.under_way.resize_with(slot + 1, || None);
        }
        assert!(self.under_way[slot].is_none(), "one send at a time");
        // Its own memory and that of its frames stay where they are: nothing touches it until the kernel is done.
        self.under_way[slot] = Some(shipment);
        self.push(entry, SEND, slot)
    }

    /// Ends the connection or its writing half: reads and sends that are under way come to their end.
    pub fn shut_down(&mut self, slot: usize, how: std::net::Shutdown) -> io::Result<()> {
        let how = match how {
            std::net::Shutdown::Read => libc::SHUT_RD,
            std::net::Shutdown::Write => libc::SHUT_WR,
            std::net::Shutdown::Both => libc::SHUT_RDWR,
        };
        self.push(opcode::Shutdown::new(fixed(slot), how).build(), CONTROL, slot)
    }

    /// Frees the slot. Nothing is under way there any more.
    pub fn close(&mut self, slot: usize) -> io::Result<()> {
        self.push(opcode::Close::new(fixed(slot)).build(), CONTROL, slot)
    }

    #[expect(unsafe_code, reason = "the kernel reads and writes the memory that an entry names")]
    fn push(&mut self, entry: squeue::Entry, kind: u64, slot: usize) -> io::Result<()> {
        let entry = entry.user_data(user_data(kind, slot));
        loop {
            // SAFETY: what entries name belongs to the ring until their completion: its buffers, and `under_way`.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }
}

impl Shipment {
    /// Points the message header at the frames.
    fn lay_out(&mut self) {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.transmit.slices(&mut slices);
        for (slot, slice) in self.slices.iter_mut().zip(&slices[..count]) {
            *slot = libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() };
        }
        self.message.msg_iov = self.slices.as_mut_ptr();
        self.message.msg_iovlen = count;
    }
}

fn fixed(slot: usize) -> Fixed {
    Fixed(slot as u32)
}

fn user_data(kind: u64, slot: usize) -> u64 {
    kind << 32 | slot as u64
}

fn slot_of(entry: &cqueue::Entry) -> usize {
    entry.user_data() as u32 as usize
}

const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const SEND: u64 = 3;
/// Of which the completion says nothing.
const CONTROL: u64 = 4;

const ENTRIES: u32 = 4096;
const SLOTS: u32 = 16 * 1024;
const GROUP: u16 = 0;
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 16 * 1024;
const SLICES_MAX: usize = 16;
