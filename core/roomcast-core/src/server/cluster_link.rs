//! What a server keeps on account of its cluster.
//!
//! Owns: the machines of the cluster and of held answers, whose acks are collected for other nodes, and sockets that are
//! being fetched. Must never know: how any of it is used.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::acks::RelayId;
use super::cluster_event::{FetchId, FetchedSocket};
use super::config::EndpointId;
use super::held_answers::HeldAnswers;
use crate::cluster::{Cluster, NodeId, RequestToken};
use crate::time::Instant;

/// A server's part in a cluster.
#[derive(Debug)]
pub(super) struct ClusterLink {
    pub(super) endpoint: EndpointId,
    pub(super) cluster: Cluster,
    pub(super) held: HeldAnswers,
    /// Emits of other nodes whose acks are collected here. Each ends with its pending emit.
    relays: BTreeMap<RelayId, AckRelay>,
    fetches: BTreeMap<u64, Fetching>,
    /// The number of the next relay or fetch.
    next: u64,
}

/// The requester of acks.
#[derive(Clone, Debug)]
pub(super) struct AckRelay {
    pub(super) to: NodeId,
    pub(super) token: RequestToken,
    pub(super) namespace: ByteString,
}

/// Sockets that are being fetched.
#[derive(Debug)]
pub(super) struct Fetching {
    pub(super) fetch: FetchId,
    pub(super) sockets: Vec<FetchedSocket>,
}

impl ClusterLink {
    pub(super) fn new(endpoint: EndpointId, cluster: Cluster) -> Self {
        let (relays, fetches) = (BTreeMap::new(), BTreeMap::new());
        Self { endpoint, cluster, held: HeldAnswers::default(), relays, fetches, next: 0 }
    }

    pub(super) fn open_relay(&mut self, relay: AckRelay) -> RelayId {
        let id = RelayId(self.number());
        self.relays.insert(id, relay);
        id
    }

    pub(super) fn relay(&self, id: RelayId) -> Option<&AckRelay> {
        self.relays.get(&id)
    }

    pub(super) fn close_relay(&mut self, id: RelayId) {
        self.relays.remove(&id);
    }

    pub(super) fn open_fetch(&mut self, fetching: Fetching) -> u64 {
        let number = self.number();
        self.fetches.insert(number, fetching);
        number
    }

    pub(super) fn fetch_mut(&mut self, number: u64) -> Option<&mut Fetching> {
        self.fetches.get_mut(&number)
    }

    pub(super) fn close_fetch(&mut self, number: u64) -> Option<Fetching> {
        self.fetches.remove(&number)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.cluster.poll_timeout(), self.held.poll_timeout()].into_iter().flatten().min()
    }

    /// What is not done with.
    pub(super) fn live(&self) -> usize {
        self.cluster.live() + self.held.len() + self.relays.len() + self.fetches.len()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
