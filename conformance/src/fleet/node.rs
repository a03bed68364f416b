//! What a node of the fleet does to the world, kept until the world takes it, and its clients as the model knows them.
//!
//! Owns: the answers of its application, and what goes over its streams. Must never know: the bus, or the model.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::Response;
use roomcast_core::cluster::{ClusterMessage, RoomChannel};
use roomcast_core::server::{AckEnd, Command, ConnId, Event, Input, RequestId, SocketId, Stack, Target, Transmit};
use roomcast_core::socket_io::Args;
use roomcast_core::time::Instant;
use roomcast_core::websocket::{Fin, Opcode, encode_frame};
use roomcast_testkit::Hooks;

/// What a node does to the world.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) published: Vec<ClusterMessage>,
    pub(super) subscriptions: Vec<(RoomChannel, bool)>,
    pub(super) received: BTreeMap<ConnId, Vec<u8>>,
    pub(super) connected: Vec<SocketId>,
    pub(super) ended: Vec<(u64, u32, u32, AckEnd)>,
}

impl Hooks<()> for Node {
    fn event(&mut self, event: Event, stack: &mut Stack<()>, now: Instant) {
        match event {
            Event::Connected(connect) => self.connected.push(connect.socket),
            Event::Received { session, socket, args, ack, .. } => {
                let room = args.parse::<String>().unwrap_or_default().into();
                let mut command = |command| stack.server.handle_input(Input::Command(command), now);
                command(Command::Join { target: Target::Socket(socket), room });
                if let Some(ack) = ack {
                    command(Command::Ack { socket, ack, args: Args::empty() });
                }
                command(Command::Handled { session });
            }
            Event::AcksEnded { emit, asked, answered, end } => self.ended.push((emit.0, asked, answered, end)),
            Event::Opened { .. }
            | Event::Message { .. }
            | Event::Closed { .. }
            | Event::Connecting(_)
            | Event::Acked { .. }
            | Event::Disconnected { .. }
            | Event::Relieved { .. }
            | Event::Cluster(_)
            | _ => {}
        }
    }

    fn respond(&mut self, _request: RequestId, _response: Response<Bytes>) {}

    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize {
        let mut slices = [std::io::IoSlice::new(&[]); 16];
        let count = transmit.slices(&mut slices);
        let received = self.received.entry(conn).or_default();
        let before = received.len();
        slices[..count].iter().for_each(|slice| received.extend_from_slice(slice));
        received.len() - before
    }

    fn close(&mut self, _conn: ConnId) {}

    fn publish(&mut self, message: ClusterMessage) {
        self.published.push(message);
    }

    fn subscribe(&mut self, channel: RoomChannel) {
        self.subscriptions.push((channel, true));
    }

    fn unsubscribe(&mut self, channel: RoomChannel) {
        self.subscriptions.push((channel, false));
    }
}

/// A connected client, as the model knows it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) node: usize,
    pub(super) conn: ConnId,
    pub(super) socket: SocketId,
    /// Rooms that it has asked to join.
    pub(super) rooms: BTreeSet<String>,
    /// Those of them whose join was acknowledged.
    pub(super) live: BTreeSet<String>,
    /// Joins without an acknowledgement, by its number.
    pub(super) asked: BTreeMap<u64, String>,
    pub(super) got: BTreeSet<u64>,
}

/// A text frame of a client.
pub(super) fn frame(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_frame(&mut bytes, Fin::Final, Opcode::Text, text.as_bytes(), Some([1, 2, 3, 4]));
    bytes
}

/// Text frames of less than 126 bytes; a close frame ends them.
pub(super) fn packets(mut bytes: &[u8]) -> Vec<String> {
    let mut packets = Vec::new();
    while let [0x81, len @ 0..126, rest @ ..] = bytes
        && let Some((text, rest)) = rest.split_at_checked(usize::from(*len))
    {
        packets.push(String::from_utf8_lossy(text).into_owned());
        bytes = rest;
    }
    packets
}
