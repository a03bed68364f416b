//! Owns: what `type` says in requests, responses and packets of the JavaScript adapter. Must never know: the rest of them.

pub(super) const SOCKETS: u64 = 0;
pub(super) const ALL_ROOMS: u64 = 1;
pub(super) const REMOTE_JOIN: u64 = 2;
pub(super) const REMOTE_LEAVE: u64 = 3;
pub(super) const REMOTE_DISCONNECT: u64 = 4;
pub(super) const REMOTE_FETCH: u64 = 5;
pub(super) const SERVER_SIDE_EMIT: u64 = 6;
pub(super) const BROADCAST: u64 = 7;
pub(super) const BROADCAST_CLIENT_COUNT: u64 = 8;
pub(super) const BROADCAST_ACK: u64 = 9;
/// Of a packet: an event.
pub(super) const EVENT_PACKET: u64 = 2;
