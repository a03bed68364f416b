//! What clients may ask of the whole fleet, and what its applications say to each other.
//!
//! Owns: the events `fetch` and `server-emit`, and the answers to other applications. Must never know: the bus.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;
use roomcast_core::server::{
    AckEnd, AckId, AckRequest, App, ClusterCommand, ClusterEvent, Command, Cx, Emit, EmitId, EndpointId, Event,
    FetchId, FetchedSocket, Reach, ReplyTo, Scope, Selection, SocketId, Target,
};
use roomcast_core::socket_io::{Args, Delivery};
use roomcast_core::time::Instant;

/// Clients that wait for an answer of the fleet.
#[derive(Debug, Default)]
pub struct Fleet {
    next: u64,
    fetches: BTreeMap<FetchId, (SocketId, AckId)>,
    emits: BTreeMap<EmitId, FleetEmit>,
}

#[derive(Debug)]
struct FleetEmit {
    socket: SocketId,
    ack: AckId,
    replies: Vec<Args>,
}

impl Fleet {
    /// `fetch(room)`: the sockets of the room, with their rooms, and how many nodes have not answered.
    fn fetch(&mut self, client: (SocketId, AckId), room: ByteString, cx: &mut Cx<'_>) {
        self.next += 1;
        let fetch = FetchId(self.next);
        self.fetches.insert(fetch, client);
        let target = Target::Room { namespace: scope(), room };
        cx.command(Command::Cluster(ClusterCommand::FetchSockets { fetch, target, timeout: TIMEOUT }));
    }

    fn fetched(&mut self, fetch: FetchId, sockets: &[FetchedSocket], nodes_missing: u32, cx: &mut Cx<'_>) {
        let Some((socket, ack)) = self.fetches.remove(&fetch) else { return };
        let list: Vec<(&str, Vec<&str>)> =
            sockets.iter().map(|socket| (&*socket.sid, socket.rooms.iter().map(|room| &**room).collect())).collect();
        let args = Args::from_serialize(&(list, nodes_missing)).unwrap_or_default();
        cx.command(Command::Ack { socket, ack, args });
    }

    /// `server-emit(…)`: an event `ask` for the other applications; what they reply, and whether all did.
    fn server_emit(&mut self, (socket, ack): (SocketId, AckId), args: Args, cx: &mut Cx<'_>) {
        self.next += 1;
        let emit = EmitId(self.next);
        self.emits.insert(emit, FleetEmit { socket, ack, replies: Vec::new() });
        let ack = Some(AckRequest { emit, timeout: TIMEOUT });
        let (namespace, name) = ("/".into(), "ask".into());
        cx.command(Command::Cluster(ClusterCommand::ServerEmit { namespace, name, args, ack }));
    }

    fn replied(&mut self, emit: EmitId, end: AckEnd, cx: &mut Cx<'_>) {
        let Some(FleetEmit { socket, ack, replies }) = self.emits.remove(&emit) else { return };
        let args = listed(&replies, end == AckEnd::Complete);
        cx.command(Command::Ack { socket, ack, args });
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the handlers get the others")]
    fn cluster_event(&mut self, event: ClusterEvent, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            ClusterEvent::SocketsFetched { fetch, sockets, nodes_missing } => {
                self.fetched(fetch, &sockets, nodes_missing, cx);
            }
            ClusterEvent::ServerReplied { emit, args, .. } => {
                if let Some(asking) = self.emits.get_mut(&emit) {
                    asking.replies.push(args);
                }
            }
            ClusterEvent::ServerRepliesEnded { emit, end, .. } => self.replied(emit, end, cx),
            ClusterEvent::ServerReceived { args, reply: Some(reply), .. } => answer(reply, cx, args),
            ClusterEvent::ServerReceived { args, reply: None, .. } => {
                // The clients of this node are told.
                let here = Selection { reach: Reach::Local, ..Selection::of(scope()) };
                let target = Target::Select(Box::new(here));
                let (name, delivery) = ("server-event".into(), Delivery::Reliable);
                cx.command(Command::Emit(Emit { target, name, args, delivery, ack: None }));
            }
            event => return Some(Event::Cluster(Box::new(event))),
        }
        None
    }
}

/// The lists of several answers, and something behind them. One of the answers may have bytes.
pub fn listed(answers: &[Args], last: impl std::fmt::Display) -> Args {
    let lists: Vec<String> = answers.iter().map(|args| format!("[{}]", args.json())).collect();
    let attachments = answers.iter().flat_map(Args::attachments).cloned().collect();
    Args::from_received(format!("[{}],{last}", lists.join(",")).into(), attachments).unwrap_or_default()
}

fn answer(reply: Box<ReplyTo>, cx: &mut Cx<'_>, heard: Args) {
    let text = format!("{{\"roomcast\":[{}]}}", heard.json());
    let args = Args::from_received(text.into(), heard.attachments().to_vec()).unwrap_or_default();
    cx.command(Command::Cluster(ClusterCommand::ServerReply { reply, args }));
}

fn scope() -> Scope {
    Scope { endpoint: EndpointId::new(0), namespace: "/".into() }
}

impl App for Fleet {
    roomcast_testkit::without_stores!();

    #[expect(clippy::wildcard_enum_match_arm, reason = "the handlers get the others")]
    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            Event::Received { session, socket, name, args, ack: Some(ack) } if name == "fetch" => {
                let room = args.parse::<(String,)>().map_or_else(|_| ByteString::new(), |(room,)| room.into());
                self.fetch((socket, ack), room, cx);
                cx.command(Command::Handled { session });
                None
            }
            Event::Received { session, socket, name, args, ack: Some(ack) } if name == "server-emit" => {
                self.server_emit((socket, ack), args, cx);
                cx.command(Command::Handled { session });
                None
            }
            Event::Cluster(event) => self.cluster_event(*event, cx),
            event => Some(event),
        }
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Longer than the clients of the tests wait: an answer that comes must not be due to it.
const TIMEOUT: Duration = Duration::from_secs(60);
