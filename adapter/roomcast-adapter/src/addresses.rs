//! Connections per client address.
//!
//! Owns: which address a request is from, behind proxies too, and how many connections each address has. Must never know:
//! what a connection is used for.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::sync::lock;

/// Proxies that are believed when they say which address a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies {
    /// The networks from which they connect. A single address is a network too: `IpNet::from(address)`.
    pub networks: Vec<IpNet>,
    /// The header in which each adds the address from which it got the request, as the last of a list separated by
    /// commas. `x-forwarded-for`.
    pub header: HeaderName,
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self { networks: Vec::new(), header: HeaderName::from_static("x-forwarded-for") }
    }
}

/// The connections of all addresses.
pub(crate) struct Addresses {
    proxies: TrustedProxies,
    conns_max: usize,
    conns: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A connection that counts.
pub(crate) struct AddressGuard {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

/// The address has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Addresses {
    pub(crate) fn new(proxies: TrustedProxies, conns_max: usize) -> Self {
        Self { proxies, conns_max, conns: Mutex::default() }
    }

    /// Counts a connection from an address.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<AddressGuard, TooMany> {
        let address = network(address);
        let mut conns = lock(&self.conns);
        let count = conns.entry(address).or_default();
        if *count >= self.conns_max {
            return Err(TooMany);
        }
        *count += 1;
        drop(conns);
        Ok(AddressGuard { addresses: self.clone(), address })
    }

    pub(crate) const fn has_limit(&self) -> bool {
        self.conns_max != usize::MAX
    }

    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        // An IPv4 peer of a socket that listens on IPv6 has an address of that form.
        self.proxies
            .networks
            .iter()
            .any(|network| network.contains(&address.to_canonical()) || network.contains(&address))
    }

    /// The client behind a peer: of the addresses that proxies have added, the last that is no proxy itself. What stands
    /// before that one was written by the client and proves nothing.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let lines: Vec<_> =
            headers.get_all(&self.proxies.header).iter().filter_map(|line| line.to_str().ok()).collect();
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            if !self.is_proxy(client) {
                break;
            }
            let Some(address) = parse(hop) else { break };
            client = address;
        }
        client
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut conns = lock(&self.addresses.conns);
        if let Some(count) = conns.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                conns.remove(&self.address);
            }
        }
    }
}

/// An address, perhaps with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let with_port = || hop.parse().map(|address: std::net::SocketAddr| address.ip()).ok();
    hop.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// What one client has: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_connections_as_it_may() {
        let addresses = Arc::new(Addresses::new(TrustedProxies::default(), 2));
        let admit = |text: &str| addresses.admit(text.parse().unwrap());
        let one = admit("192.0.2.1").unwrap();
        let _mapped = admit("::ffff:192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_err());
        let _other = admit("192.0.2.2").unwrap();
        drop(one);
        let _again = admit("192.0.2.1").unwrap();
        let _v6 = (admit("2001:db8::1").unwrap(), admit("2001:db8::ffff:1").unwrap());
        assert!(admit("2001:db8::2").is_err(), "a client has a whole /64");
        assert!(admit("2001:db8:0:1::2").is_ok());
        drop((_mapped, _other, _again, _v6));
        assert!(lock(&addresses.conns).is_empty());
    }

    #[test]
    fn a_proxy_is_believed_and_a_client_is_not() {
        let networks = ["10.0.0.0/30", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec();
        let addresses = Addresses::new(TrustedProxies { networks, ..TrustedProxies::default() }, 1);
        for (peer, lines, client) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("fd12::1", &["203.0.113.9, fd34::1"], "203.0.113.9"),
            ("10.0.0.4", &["203.0.113.9"], "10.0.0.4"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let found = addresses.client(peer.parse().unwrap(), &headers);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }
}
