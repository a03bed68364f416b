//! Other nodes, and what carries messages between them.
//!
//! Owns: the seam [`ClusterBus`] with its [`ClusterInbox`], and the bus in memory. Must never know: the driver's insides,
//! what a message means.

use std::sync::{Arc, Mutex};

use roomcast_core::cluster::{BusState, ClusterMessage, ClusterSettings, NodeId, RoomChannel};
use roomcast_core::server::ClusterInput;

use crate::mailbox::{Mail, Shared};
use crate::siblings::Siblings;
use crate::sync::lock;

/// Carries messages from this node to the others. The way back is a [`ClusterInbox`]. It is called by the driver and must
/// not wait: what cannot be sent is dropped, and counted by the bus.
pub trait ClusterBus: Send + 'static {
    /// Tells all other nodes. This one may hear its own message; it is ignored.
    fn publish(&mut self, message: ClusterMessage);

    /// Brings the messages of this channel from now on, and confirms with [`ClusterInbox::subscribed`].
    fn subscribe(&mut self, channel: RoomChannel);

    /// Brings them no more.
    fn unsubscribe(&mut self, channel: RoomChannel);
}

/// Where a bus puts what it brings to a node. It keeps no server alive; once that has ended, nothing happens. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct ClusterInbox {
    shared: Arc<Shared>,
    /// Where this is the inbox of an outer bus: the shards of this process, which have a bus of their own.
    siblings: Option<Arc<Siblings>>,
}

impl ClusterInbox {
    /// A node said something. `held` is dropped when the server has dealt with it: a bus may bound by that what it brings.
    pub fn message(&self, message: ClusterMessage, held: Option<Box<dyn Send>>) {
        if self.siblings.as_ref().is_some_and(|siblings| siblings.have(&message.from)) {
            return;
        }
        self.shared.send(Mail::Cluster(Box::new(ClusterInput::Message(Box::new(message))), held), 0);
    }

    /// A subscription is confirmed: one call for each [`ClusterBus::subscribe`], in their order.
    pub fn subscribed(&self, channel: RoomChannel) {
        self.shared.send(Mail::Cluster(Box::new(ClusterInput::Subscribed(channel)), None), 0);
    }

    /// A request of this node has reached this many others
    /// ([`ClusterBody::question`](roomcast_core::cluster::ClusterBody::question)). Only where
    /// [`Strangers::Counted`](roomcast_core::cluster::Strangers::Counted) are.
    pub fn reached(&self, request: u64, nodes: u32) {
        self.shared.send(Mail::Cluster(Box::new(ClusterInput::Reached { request, nodes }), None), 0);
    }

    /// The bus is there, or not. Taken to be there at the start.
    pub fn bus(&self, state: BusState) {
        if let Some(siblings) = &self.siblings {
            // For the core there is one bus, and between shards it is there. What others have missed is made up for once
            // they are there again.
            siblings.set_outer_down(state == BusState::Down);
            match state {
                BusState::Down => return,
                BusState::Up => self.tell_bus(BusState::Down),
            }
        }
        self.tell_bus(state);
    }

    pub(crate) const fn new(shared: Arc<Shared>, siblings: Option<Arc<Siblings>>) -> Self {
        Self { shared, siblings }
    }

    fn tell_bus(&self, state: BusState) {
        self.shared.send(Mail::Cluster(Box::new(ClusterInput::Bus(state)), None), 0);
    }
}

/// How a server becomes a node, before it starts.
pub(crate) struct NodeSetup {
    pub(crate) settings: ClusterSettings,
    connect: ConnectBus,
}

type ConnectBus = Box<dyn FnOnce(&NodeId, ClusterInbox) -> Result<Box<dyn ClusterBus>, String> + Send>;

impl NodeSetup {
    pub(crate) fn new<B: ClusterBus>(
        settings: ClusterSettings,
        connect: impl FnOnce(&NodeId, ClusterInbox) -> Result<B, String> + Send + 'static,
    ) -> Self {
        let connect = |node: &NodeId, inbox| Ok(Box::new(connect(node, inbox)?) as Box<dyn ClusterBus>);
        Self { settings, connect: Box::new(connect) }
    }

    pub(crate) fn connect(self, node: &NodeId, inbox: ClusterInbox) -> Result<Box<dyn ClusterBus>, String> {
        (self.connect)(node, inbox)
    }
}

/// A bus in memory: joins servers of one process, on any threads and runtimes. Cheap to clone.
///
/// ```
/// use roomcast_adapter::core::cluster::ClusterSettings;
/// use roomcast_adapter::{Builder, MemoryBus};
///
/// let bus = MemoryBus::new();
/// let shards = [0, 1].map(|shard| {
///     let bus = bus.clone();
///     Builder::new()
///         .node(shard)
///         .socket_io("/socket.io", |io| io.namespace("/", |_| {}))
///         .cluster(ClusterSettings::default(), move |_node, inbox| Ok(bus.join(inbox)))
/// });
/// # let _ = shards;
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryBus(Arc<Mutex<Inboxes>>);

#[derive(Debug, Default)]
struct Inboxes {
    next: u64,
    inboxes: Vec<(u64, ClusterInbox)>,
}

/// A node's place at a [`MemoryBus`]. Dropped, it leaves.
#[derive(Debug)]
pub struct MemoryLink {
    own: u64,
    bus: MemoryBus,
    inbox: ClusterInbox,
}

impl MemoryBus {
    /// A bus without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node, which receives by `inbox` from now on.
    pub fn join(&self, inbox: ClusterInbox) -> MemoryLink {
        let mut members = lock(&self.0);
        members.next += 1;
        let own = members.next;
        members.inboxes.push((own, inbox.clone()));
        drop(members);
        MemoryLink { own, bus: self.clone(), inbox }
    }
}

impl ClusterBus for MemoryLink {
    fn publish(&mut self, message: ClusterMessage) {
        let members = lock(&self.bus.0);
        for (_, inbox) in members.inboxes.iter().filter(|(node, _)| *node != self.own) {
            inbox.message(message.clone(), None);
        }
    }

    /// Everything comes in any case.
    fn subscribe(&mut self, channel: RoomChannel) {
        self.inbox.subscribed(channel);
    }

    fn unsubscribe(&mut self, _channel: RoomChannel) {}
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        lock(&self.bus.0).inboxes.retain(|(node, _)| *node != self.own);
    }
}
