//! WebSocket streams: what was read and not taken, the priority queue, and how a stream closes.
//!
//! Owns: each stream from its handshake to its end. Must never know: Engine.IO, or what a message means.
//!
//! RFC 6455 sections [5.5](https://www.rfc-editor.org/rfc/rfc6455#section-5.5) and
//! [7](https://www.rfc-editor.org/rfc/rfc6455#section-7).

use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::config::{Compression, EndpointId};
use super::deadlines::DeadlineKey;
use super::encoded::{Encoded, Slice};
use super::event::{ConnId, SessionId};
use super::outbound::{Outbound, PriorityQueue};
use super::transmit::{After, Transmit};
use crate::slab::Slab;
use crate::websocket::{self, CloseCode, Decoder, DeflateAgreement, Deflater, FrameLimits, Role, WsError, WsMessage};

/// The machine of WebSocket streams.
#[derive(Debug)]
pub(super) struct Streams {
    slab: Slab<ConnId, Stream>,
    /// By the number of the endpoint.
    compression: Vec<Option<Compression>>,
    deflater: Deflater,
}

/// A WebSocket's byte stream.
#[derive(Debug)]
struct Stream {
    endpoint: EndpointId,
    session: SessionId,
    role: StreamRole,
    /// Bytes of the window for compressed messages that its peer has; none if they were not agreed on.
    window_bytes: u32,
    decoder: Decoder,
    /// What was read and not decoded. Empty as long as messages are taken as they come.
    rest: Bytes,
    /// The fault that ends the stream, once what came before it is handled.
    failed: Option<WsError>,
    /// What goes out before the session's queue: a rest, control frames, and all that an ended session left.
    priority: PriorityQueue,
    announced: bool,
    blocked: bool,
    /// Whether the driver was told to stop reading.
    read_paused: bool,
    /// Whether our half has been shut, or is about to be.
    half_closed: bool,
    /// Whether the peer has ended it while a packet was being checked, which is taken first.
    has_ended: bool,
    /// Grows whenever the socket takes bytes.
    progress: u64,
    close_deadline: Option<DeadlineKey>,
    /// Until when the message under way must be whole.
    partial_deadline: Option<DeadlineKey>,
}

/// What a WebSocket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamRole {
    /// It is its session's transport.
    Own,
    /// It probes for its session.
    Probe,
    /// Our close frame is in its queue: what comes is discarded until the peer's close frame.
    Closing,
    /// It broke the rules of RFC 6455. Our close frame is in its queue, behind which our half is shut; what comes is
    /// discarded until the peer ends the stream.
    Failed,
    /// Both close frames are there, ours perhaps still queued: nothing more is read.
    Closed,
}

/// What a stream has to say next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A message, and what the stream was for when it came.
    Message(StreamRole, WsMessage),
    /// Nothing more without more bytes.
    Nothing,
    /// It broke the rules behind the messages before.
    Failed(WsError),
}

/// What a change asks of the one that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Announce {
    /// Tell the driver that the stream is writable.
    Yes,
    /// It knows, or its socket takes nothing.
    No,
}

impl Streams {
    /// `compression`: by the number of the endpoint.
    pub(super) fn new(compression: Vec<Option<Compression>>) -> Self {
        Self { slab: Slab::new(), compression, deflater: Deflater::default() }
    }

    /// What is agreed on with the client of a request.
    pub(super) fn agree(&self, endpoint: EndpointId, request: &HeaderMap) -> Option<DeflateAgreement> {
        self.compression.get(endpoint.index()).copied().flatten().and_then(|_| DeflateAgreement::choose(request))
    }

    /// A new stream.
    pub(super) fn open(
        &mut self,
        endpoint: EndpointId,
        session: SessionId,
        role: StreamRole,
        deflate: Option<DeflateAgreement>,
    ) -> ConnId {
        self.slab.insert(Stream {
            endpoint,
            session,
            role,
            window_bytes: deflate.map_or(0, |agreement| agreement.window_bytes() as u32),
            decoder: if deflate.is_some() { Decoder::inflating(Role::Server) } else { Decoder::new(Role::Server) },
            rest: Bytes::new(),
            failed: None,
            priority: PriorityQueue::default(),
            announced: false,
            blocked: false,
            read_paused: false,
            half_closed: false,
            has_ended: false,
            progress: 0,
            close_deadline: None,
            partial_deadline: None,
        })
    }

    /// Ends a stream. Its deadlines; `None` for a stale handle.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<[Option<DeadlineKey>; 2]> {
        self.slab.remove(conn).map(|stream| [stream.close_deadline, stream.partial_deadline])
    }

    /// The next message. `input` is what was read just now, and is taken up to the end of that message; bytes of earlier
    /// reads come first.
    pub(super) fn decode(&mut self, conn: ConnId, limits: &FrameLimits, input: &mut &[u8]) -> Decoded {
        let Some(stream) = self.slab.get_mut(conn) else { return Decoded::Nothing };
        match stream.role {
            StreamRole::Own | StreamRole::Probe | StreamRole::Closing => {}
            // Nothing more is of interest; the peer's end of the stream is.
            StreamRole::Closed | StreamRole::Failed => return Decoded::Nothing,
        }
        if let Some(error) = stream.failed {
            return Decoded::Failed(error);
        }
        let decoded = if stream.rest.is_empty() {
            stream.decoder.decode(limits, input)
        } else {
            debug_assert!(input.is_empty(), "what is read behind a rest is kept behind it");
            let mut rest = &*stream.rest;
            let decoded = stream.decoder.decode(limits, &mut rest);
            let taken = stream.rest.len() - rest.len();
            stream.rest.advance(taken);
            decoded
        };
        if stream.rest.is_empty() && stream.rest.as_ptr() != Bytes::new().as_ptr() {
            stream.rest = Bytes::new();
        }
        match decoded {
            Ok(Some(message)) => Decoded::Message(stream.role, message),
            Ok(None) => Decoded::Nothing,
            Err(error) => {
                stream.failed = Some(error);
                stream.rest = Bytes::new();
                Decoded::Failed(error)
            }
        }
    }

    /// Keeps bytes that are not to be decoded yet.
    pub(super) fn keep(&mut self, conn: ConnId, input: &[u8]) {
        let Some(stream) = self.slab.get_mut(conn) else { return };
        stream.rest = match (stream.rest.is_empty(), input.is_empty()) {
            (_, true) => return,
            (true, false) => Bytes::copy_from_slice(input),
            (false, false) => [&*stream.rest, input].concat().into(),
        };
    }

    /// The peer has ended a stream, which is to be dealt with later.
    pub(super) fn end_later(&mut self, conn: ConnId) {
        if let Some(stream) = self.slab.get_mut(conn) {
            stream.has_ended = true;
        }
    }

    /// Whether the peer has ended a stream that is still here.
    pub(super) fn has_ended(&self, conn: ConnId) -> bool {
        self.slab.get(conn).is_some_and(|stream| stream.has_ended)
    }

    /// Whether bytes are kept, or a fault is, that wait to be handled.
    pub(super) fn has_rest(&self, conn: ConnId) -> bool {
        self.slab.get(conn).is_some_and(|stream| match stream.role {
            StreamRole::Own | StreamRole::Probe | StreamRole::Closing => {
                !stream.rest.is_empty() || stream.failed.is_some() || stream.decoder.is_inflating()
            }
            StreamRole::Closed | StreamRole::Failed => false,
        })
    }

    /// Notes whether the driver is to read the stream; `true` if that is news to it.
    pub(super) fn set_read_paused(&mut self, conn: ConnId, paused: bool) -> bool {
        self.slab.get_mut(conn).is_some_and(|stream| std::mem::replace(&mut stream.read_paused, paused) != paused)
    }

    /// Queues a frame before the session's queue.
    pub(super) fn push_priority(&mut self, conn: ConnId, packet: Arc<Encoded>) -> Announce {
        let Some(stream) = self.slab.get_mut(conn) else { return Announce::No };
        stream.priority.push_back(Slice::whole(packet));
        stream.announce()
    }

    /// Makes a probing stream its session's transport. Whether its socket takes bytes.
    pub(super) fn take_over(&mut self, conn: ConnId) -> Option<bool> {
        let stream = self.slab.get_mut(conn)?;
        stream.role = StreamRole::Own;
        Some(!stream.blocked)
    }

    /// Begins to close, unless that has begun: the close frame goes behind what is queued.
    pub(super) fn close(&mut self, conn: ConnId, code: Option<CloseCode>) -> Option<Announce> {
        let stream = self.slab.get_mut(conn)?;
        match stream.role {
            StreamRole::Own | StreamRole::Probe => {}
            StreamRole::Closing | StreamRole::Closed | StreamRole::Failed => return None,
        }
        stream.role = StreamRole::Closing;
        Some(stream.push_close(code))
    }

    /// The peer closes. `None`: the close handshake is done and nothing is left to be sent.
    pub(super) fn closed_by_peer(&mut self, conn: ConnId, code: Option<CloseCode>) -> Option<Announce> {
        let stream = self.slab.get_mut(conn)?;
        match stream.role {
            StreamRole::Closing if stream.priority.is_empty() && !stream.blocked => None,
            StreamRole::Closing => {
                stream.role = StreamRole::Closed;
                Some(stream.announce())
            }
            // Section 5.5.1: a close frame is answered with one, which echoes the code.
            StreamRole::Own | StreamRole::Probe => {
                stream.role = StreamRole::Closed;
                Some(stream.push_close(code))
            }
            StreamRole::Closed | StreamRole::Failed => Some(Announce::No),
        }
    }

    /// RFC 6455 section 7.1.7: a stream that broke the rules is failed. The close frame tells why, then our half is
    /// shut, and what still comes is discarded: closing at once could reset the connection under the close frame.
    /// The session's queue must have been [moved](Self::move_queue_to_conn) before.
    pub(super) fn fail(&mut self, conn: ConnId, error: WsError) -> Announce {
        let Some(stream) = self.slab.get_mut(conn) else { return Announce::No };
        let role = std::mem::replace(&mut stream.role, StreamRole::Failed);
        stream.failed = None;
        match role {
            StreamRole::Own | StreamRole::Probe => stream.push_close(Some(error.close_code())),
            // Our close frame is on its way already.
            StreamRole::Closing | StreamRole::Closed | StreamRole::Failed => stream.announce(),
        }
    }

    /// Makes what an ended session left to be sent the stream's own.
    pub(super) fn move_queue_to_conn(&mut self, conn: ConnId, queue: &mut Outbound) {
        let Some(stream) = self.slab.get_mut(conn) else { return };
        while let Some(slice) = queue.pop() {
            stream.priority.push_back(slice);
        }
    }

    /// Notes until when a closing stream must be gone.
    pub(super) fn set_close_deadline(&mut self, conn: ConnId, deadline: Option<DeadlineKey>) {
        if let Some(stream) = self.slab.get_mut(conn) {
            stream.close_deadline = deadline;
        }
    }

    /// Whether a message is under way on an open stream.
    pub(super) fn is_partial(&self, conn: ConnId) -> bool {
        self.is_own(conn).is_some() && self.slab.get(conn).is_some_and(|stream| !stream.decoder.is_idle())
    }

    /// Until when the message under way must be whole, to be changed.
    pub(super) fn partial_deadline(&mut self, conn: ConnId) -> Option<&mut Option<DeadlineKey>> {
        self.slab.get_mut(conn).map(|stream| &mut stream.partial_deadline)
    }

    /// Bytes that were read and are no message yet.
    pub(super) fn pinned_bytes(&self, conn: ConnId) -> usize {
        self.slab.get(conn).map_or(0, |stream| stream.decoder.buffered_bytes() + stream.rest.len())
    }

    /// Fills a transmit from the priority queue and, behind it, from the session's queue in `queue`, which is asked for
    /// only then. The session, if its queue is watched.
    #[inline]
    pub(super) fn pop_transmit<'a>(
        &mut self,
        conn: ConnId,
        transmit: &mut Transmit,
        queue: impl FnOnce(SessionId) -> Option<&'a mut Outbound>,
    ) -> Option<SessionId> {
        let Self { slab, compression, deflater } = self;
        let stream = slab.get_mut(conn)?;
        stream.blocked = false;
        while !transmit.is_full()
            && let Some(slice) = stream.priority.pop_front()
        {
            transmit.push(slice);
        }
        let mut watched = None;
        if stream.priority.is_empty() {
            stream.announced = false;
            match stream.role {
                StreamRole::Own => {
                    if !transmit.is_full()
                        && let Some(queue) = queue(stream.session)
                    {
                        let compression = compression.get(stream.endpoint.index()).copied().flatten();
                        match compression.filter(|_| stream.window_bytes > 0) {
                            None => queue.pop_transmit(transmit, Slice::rest),
                            Some(compression) => {
                                let window = stream.window_bytes as usize;
                                queue.pop_transmit(transmit, |packet, parts_taken| {
                                    Slice::deflated(packet, parts_taken, compression, window, deflater)
                                });
                            }
                        }
                        watched = queue.watched.then_some(stream.session);
                    }
                }
                StreamRole::Closed => transmit.then(After::Close),
                StreamRole::Failed if !stream.half_closed => {
                    stream.half_closed = true;
                    transmit.then(After::CloseWrite);
                }
                StreamRole::Probe | StreamRole::Closing | StreamRole::Failed => {}
            }
        }
        stream.progress += u64::from(!transmit.is_empty());
        watched
    }

    /// Takes back the rest of a transmit that the socket did not accept. Returns whether the stream is its session's
    /// own transport; `None` for a stale handle.
    pub(super) fn handle_refused(&mut self, conn: ConnId, rest: &mut Transmit) -> Option<bool> {
        let role = self.take_back(conn, rest)?;
        self.slab.get_mut(conn)?.blocked = true;
        Some(role == StreamRole::Own)
    }

    /// The rest of a transmit goes first with the next one. `None`: no such stream.
    pub(super) fn take_back(&mut self, conn: ConnId, rest: &mut Transmit) -> Option<StreamRole> {
        let stream = self.slab.get_mut(conn)?;
        if !rest.was_advanced() {
            stream.progress = stream.progress.saturating_sub(1);
        }
        while let Some(slice) = rest.take_back() {
            stream.priority.push_front(slice);
        }
        Some(stream.role)
    }

    pub(super) fn contains(&self, conn: ConnId) -> bool {
        self.slab.contains(conn)
    }

    /// Where a stream came in.
    pub(super) fn endpoint(&self, conn: ConnId) -> Option<EndpointId> {
        self.slab.get(conn).map(|stream| stream.endpoint)
    }

    /// Whose stream it is.
    pub(super) fn session(&self, conn: ConnId) -> Option<SessionId> {
        self.slab.get(conn).map(|stream| stream.session)
    }

    /// Whether an open stream is its session's own; `None` if it closes.
    pub(super) fn is_own(&self, conn: ConnId) -> Option<bool> {
        match self.slab.get(conn)?.role {
            StreamRole::Own => Some(true),
            StreamRole::Probe => Some(false),
            StreamRole::Closing | StreamRole::Failed | StreamRole::Closed => None,
        }
    }

    /// Whether a close frame is on its way.
    pub(super) fn is_closing(&self, conn: ConnId) -> bool {
        self.is_own(conn).is_none()
    }

    /// Grows whenever the socket takes bytes.
    pub(super) fn progress(&self, conn: ConnId) -> u64 {
        self.slab.get(conn).map_or(0, |stream| stream.progress)
    }

    /// Bytes in the priority queue of a stream.
    pub(super) fn priority_bytes(&self, conn: ConnId) -> usize {
        self.slab.get(conn).map_or(0, |stream| stream.priority.bytes())
    }

    /// How many streams there are.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Bytes in all priority queues.
    pub(super) fn total_bytes(&self) -> usize {
        self.slab.iter().map(|(_, stream)| stream.priority.bytes()).sum()
    }
}

impl Stream {
    fn push_close(&mut self, code: Option<CloseCode>) -> Announce {
        let mut frame = Vec::new();
        websocket::encode_close(&mut frame, code.map(|code| (code, "")), None);
        self.priority.push_back(Slice::whole(Encoded::frames(frame)));
        self.announce()
    }

    fn announce(&mut self) -> Announce {
        if self.blocked || std::mem::replace(&mut self.announced, true) { Announce::No } else { Announce::Yes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;

    #[test]
    fn a_peer_that_closes_too_is_waited_for_until_our_frame_is_taken() {
        for is_blocked in [false, true] {
            let (mut streams, conn) = stream(StreamRole::Own);
            assert_eq!(streams.close(conn, None), Some(Announce::Yes));
            let mut transmit = Transmit::new();
            streams.pop_transmit(conn, &mut transmit, |_| None);
            assert_eq!((transmit.len(), streams.priority_bytes(conn)), (2, 0));
            transmit.advance(if is_blocked { 1 } else { 2 });
            if is_blocked {
                assert_eq!(streams.handle_refused(conn, &mut transmit), Some(false));
                assert_eq!((streams.priority_bytes(conn), streams.total_bytes()), (1, 1));
                assert_eq!(streams.closed_by_peer(conn, None), Some(Announce::No), "what is left of it goes out first");
                streams.pop_transmit(conn, &mut transmit, |_| None);
                assert_eq!((transmit.len(), transmit.after()), (1, After::Close));
            } else {
                assert_eq!(streams.closed_by_peer(conn, None), None, "both frames are through");
            }
        }
        // Not even its beginning has been taken.
        let (mut streams, conn) = stream(StreamRole::Own);
        assert_eq!(streams.close(conn, None), Some(Announce::Yes));
        assert_eq!(streams.close(conn, None), None, "once");
        assert_eq!(streams.closed_by_peer(conn, None), Some(Announce::No), "the driver knows that there is something");
        assert_eq!(streams.closed_by_peer(conn, None), Some(Announce::No));
    }

    #[test]
    fn a_stream_that_failed_shuts_our_half_once() {
        let (mut streams, conn) = stream(StreamRole::Own);
        assert_eq!(streams.fail(conn, WsError::MaskMissing), Announce::Yes);
        let mut transmit = Transmit::new();
        streams.pop_transmit(conn, &mut transmit, |_| None);
        assert_eq!((transmit.len(), transmit.after(), streams.is_own(conn)), (4, After::CloseWrite, None));
        transmit.discard();
        streams.pop_transmit(conn, &mut transmit, |_| None);
        assert_eq!((transmit.len(), transmit.after()), (0, After::Keep));
        assert_eq!(streams.decode(conn, &LIMITS, &mut &MESSAGE[..]), Decoded::Nothing, "what comes is discarded");
        assert!(!streams.has_rest(conn));
    }

    #[test]
    fn what_is_kept_comes_before_what_is_read_and_its_memory_is_given_back() {
        let (mut streams, conn) = stream(StreamRole::Own);
        streams.keep(conn, b"");
        assert!(!streams.has_rest(conn));
        streams.keep(conn, &MESSAGE[..3]);
        streams.keep(conn, &[&MESSAGE[3..], &MESSAGE[..2]].concat());
        assert!(streams.has_rest(conn));
        assert_eq!(streams.pinned_bytes(conn), MESSAGE.len() + 2);
        let message = WsMessage::Text("hi".into());
        assert_eq!(streams.decode(conn, &LIMITS, &mut &[][..]), Decoded::Message(StreamRole::Own, message));
        assert_eq!(streams.decode(conn, &LIMITS, &mut &[][..]), Decoded::Nothing);
        assert!(!streams.has_rest(conn) && streams.is_partial(conn));
        let rest = &streams.slab.get(conn).unwrap().rest;
        assert_eq!(rest.as_ptr(), Bytes::new().as_ptr(), "an empty end of a long read holds all of it");
    }

    #[test]
    fn a_fault_behind_messages_waits_for_its_turn() {
        let (mut streams, conn) = stream(StreamRole::Probe);
        assert!(matches!(streams.decode(conn, &LIMITS, &mut &b"\x81\x00"[..]), Decoded::Failed(_)));
        assert!(streams.has_rest(conn), "it is to be told");
        assert!(
            matches!(streams.decode(conn, &LIMITS, &mut &MESSAGE[..]), Decoded::Failed(_)),
            "and nothing behind it"
        );
    }

    #[test]
    fn progress_is_what_a_socket_has_taken() {
        let (mut streams, conn) = stream(StreamRole::Own);
        let mut transmit = Transmit::new();
        streams.pop_transmit(conn, &mut transmit, |_| None);
        assert_eq!(streams.progress(conn), 0, "nothing was there");
        for (taken, progress) in [(0, 0), (1, 1), (0, 1)] {
            let _ = streams.push_priority(conn, Encoded::text("4abc"));
            streams.pop_transmit(conn, &mut transmit, |_| None);
            transmit.advance(taken);
            assert_eq!(streams.handle_refused(conn, &mut transmit), Some(true));
            assert_eq!(streams.progress(conn), progress, "{taken} bytes");
            transmit.discard();
        }
    }

    fn stream(role: StreamRole) -> (Streams, ConnId) {
        let mut streams = Streams::new(vec![None]);
        let conn = streams.open(EndpointId::new(0), SessionId::from_parts(0, 0), role, None);
        (streams, conn)
    }

    const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 100, fragments_max: 4 };
    /// "hi", masked with zeros.
    const MESSAGE: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
}
