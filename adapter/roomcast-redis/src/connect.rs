//! Ways to a Redis that can serve.
//!
//! Owns: which server to ask for the address, logging in, and whether a connection still leads to the right server.
//! Must never know: what is said over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, RedisResult, TlsMode, Value,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::RedisConfig;
use crate::fault::RedisFault;
use crate::url::{Address, Servers, TlsUse};

/// Makes connections, one after the other.
pub(crate) struct Connector {
    config: RedisConfig,
    sentinel: Option<Sentinel>,
    /// Nodes of a cluster: those of the setting first.
    nodes: Vec<Address>,
    /// Which of them is tried next.
    next_node: usize,
}

/// A connection, logged in.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) conn: MultiplexedConnection,
    pub(crate) ending: Arc<ConnectionEnd>,
    address: ConnectionAddr,
}

/// Whether a connection has ended, told by the library without being asked.
#[derive(Default)]
pub(crate) struct ConnectionEnd {
    has_ended: AtomicBool,
    notify: Notify,
}

impl ConnectionEnd {
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    pub(crate) async fn ended(&self) {
        if !self.has_ended() {
            self.notify.notified().await;
        }
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

impl Connector {
    pub(crate) fn new(config: &RedisConfig) -> Self {
        let nodes = match &config.url.servers {
            Servers::Cluster(nodes) => nodes.clone(),
            Servers::One(_) | Servers::Unix(_) | Servers::Sentinel { .. } => Vec::new(),
        };
        Self { config: config.clone(), sentinel: None, nodes, next_node: 0 }
    }

    /// Connects and logs in. What Redis says without being asked goes to `on_push`.
    pub(crate) async fn connect(
        &mut self,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Link, RedisFault> {
        let client = self.client().await?;
        let limits = self.config.limits;
        let ending = Arc::new(ConnectionEnd::default());
        let to_end = ending.clone();
        let push = move |info: PushInfo| -> Result<(), std::convert::Infallible> {
            if info.kind == PushKind::Disconnection {
                to_end.end()
            } else {
                on_push(info)
            }
            Ok(())
        };
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limits.connect_timeout))
            .set_response_timeout(Some(limits.response_timeout))
            .set_push_sender(push);
        let connect = client.get_multiplexed_async_connection_with_config(&settings);
        // The library's own limit is for the socket alone, not for the login.
        let conn = timeout(limits.connect_timeout, connect).await.map_err(|_| RedisFault::TimedOut)??;
        let mut link = Link { conn, ending, address: client.get_connection_info().addr().clone() };
        if let Servers::Cluster(seeds) = &self.config.url.servers {
            let seeds = seeds.clone();
            self.learn_nodes(seeds, &mut link).await;
        }
        Ok(link)
    }

    /// Whether the connection still leads to where it should.
    pub(crate) async fn check(&mut self, link: &mut Link) -> Result<(), RedisFault> {
        redis::cmd("PING").query_async::<Value>(&mut link.conn).await?;
        if !matches!(self.config.url.servers, Servers::Sentinel { .. }) {
            return Ok(());
        }
        if is_replica(link).await {
            return Err(RedisFault::NotReady("the primary has become a replica".into()));
        }
        // Sentinels that do not answer, or do not agree yet, prove nothing against a primary that does.
        if let Ok(client) = self.primary().await
            && *client.get_connection_info().addr() != link.address
        {
            return Err(RedisFault::NotReady("the Sentinels name another primary".into()));
        }
        Ok(())
    }

    /// The nodes of a cluster that are known, as the library wants them.
    pub(crate) fn nodes(&self) -> Vec<redis::ConnectionInfo> {
        let info =
            |node: &Address| Some(self.address(node).into_connection_info().ok()?.set_redis_settings(self.login()));
        self.nodes.iter().filter_map(info).collect()
    }

    async fn client(&mut self) -> Result<Client, RedisFault> {
        let address = match &self.config.url.servers {
            Servers::One(address) => self.address(address),
            Servers::Unix(path) => ConnectionAddr::Unix(path.into()),
            Servers::Sentinel { .. } => return self.primary().await,
            Servers::Cluster(_) => {
                let node = &self.nodes[self.next_node % self.nodes.len()];
                self.next_node = (self.next_node + 1) % self.nodes.len();
                self.address(node)
            }
        };
        Ok(Client::open(address.into_connection_info()?.set_redis_settings(self.login()))?)
    }

    /// The primary that the Sentinels name and that says itself that it is one.
    async fn primary(&mut self) -> Result<Client, RedisFault> {
        let Servers::Sentinel { sentinels, service } = &self.config.url.servers else {
            return Err(RedisFault::Other("no Sentinels are named".into()));
        };
        let sentinel = match &mut self.sentinel {
            Some(sentinel) => sentinel,
            None => {
                let addresses = sentinels.iter().map(|address| self.address(address)).collect();
                self.sentinel.insert(Sentinel::build::<ConnectionAddr>(addresses)?)
            }
        };
        let login = redis_login(&self.config);
        let mut node = SentinelNodeConnectionInfo::default().set_redis_connection_info(login);
        match self.config.url.tls {
            TlsUse::Plain => {}
            TlsUse::Verified => node = node.set_tls_mode(TlsMode::Secure),
            TlsUse::Unverified => node = node.set_tls_mode(TlsMode::Insecure),
        }
        let found = sentinel.async_master_for(service, Some(&node));
        let found: RedisResult<Client> =
            timeout(self.config.limits.connect_timeout, found).await.map_err(|_| RedisFault::TimedOut)?;
        Ok(found?)
    }

    fn login(&self) -> RedisConnectionInfo {
        redis_login(&self.config)
    }

    fn address(&self, address: &Address) -> ConnectionAddr {
        let (host, port) = (address.host.clone(), address.port);
        match self.config.url.tls {
            TlsUse::Plain => ConnectionAddr::Tcp(host, port),
            TlsUse::Verified => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            TlsUse::Unverified => ConnectionAddr::TcpTls { host, port, insecure: true, tls_params: None },
        }
    }

    /// Asks for the other nodes of the cluster, so that the end of those in the setting is not the end.
    async fn learn_nodes(&mut self, seeds: Vec<Address>, link: &mut Link) {
        let Ok(list) = redis::cmd("CLUSTER").arg("NODES").query_async::<String>(&mut link.conn).await else { return };
        self.nodes = seeds;
        let by_name = self.config.url.tls == TlsUse::Verified;
        for node in list.lines().filter_map(|line| node_address(line, by_name)) {
            if !self.nodes.contains(&node) {
                self.nodes.push(node);
            }
        }
    }
}

/// Whether the server says that it is a replica. One that will not say is none.
pub(crate) async fn is_replica(link: &mut Link) -> bool {
    let role = redis::cmd("ROLE").query_async::<Value>(&mut link.conn).await;
    let Ok(Value::Array(fields)) = role else { return false };
    matches!(fields.first(), Some(Value::BulkString(role)) if role.as_slice() == b"slave")
}

fn redis_login(config: &RedisConfig) -> RedisConnectionInfo {
    let db = if matches!(config.url.servers, Servers::Cluster(_)) { 0 } else { config.url.db };
    let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(db);
    if let Some(username) = &config.url.username {
        login = login.set_username(username);
    }
    if let Some(password) = &config.url.password {
        login = login.set_password(password);
    }
    login
}

/// The address in a line of `CLUSTER NODES`, unless that node is gone:
/// `id ip:port@bus-port[,hostname] flags …`, <https://redis.io/docs/latest/commands/cluster-nodes/>.
fn node_address(line: &str, by_name: bool) -> Option<Address> {
    let mut fields = line.split_whitespace().skip(1);
    let (place, flags) = (fields.next()?, fields.next()?);
    if flags.split(',').any(|flag| matches!(flag, "fail" | "noaddr" | "handshake")) {
        return None;
    }
    let (place, rest) = place.split_once('@')?;
    let (ip, port) = place.rsplit_once(':')?;
    let name = rest.split(',').nth(1).filter(|name| by_name && !name.is_empty() && !name.contains('='));
    let host = name.unwrap_or(ip);
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then(|| Address { host: host.to_owned(), port })
}

/// A pause that lies between two tries.
pub(crate) async fn pause(backoff: &mut crate::backoff::Backoff) {
    let mut random = [0; 4];
    // Without randomness all pauses are the longest: it matters little.
    let random = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_ne_bytes(random));
    let span: Duration = backoff.next(random);
    tokio::time::sleep(span).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cluster_nodes_gives_the_address_of_a_node_that_is_there() {
        let node = |line: &str, by_name| node_address(line, by_name).map(|node| node.to_string());
        let line = "07c3 127.0.0.1:30004@31004,node-4 slave e7d1 0 1426238317239 4 connected";
        assert_eq!(node(line, false).as_deref(), Some("127.0.0.1:30004"));
        assert_eq!(node(line, true).as_deref(), Some("node-4:30004"));
        assert_eq!(
            node("67ed ::1:30002@31002 master - 0 1 2 connected 5461-10922", true).as_deref(),
            Some("[::1]:30002")
        );
        assert_eq!(node("67ed 127.0.0.1:30002@31002 master,fail - 0 1 2 disconnected", false), None);
        assert_eq!(node("67ed :0@0 master,noaddr - 0 1 2 disconnected", false), None);
        assert_eq!(node("", false), None);
    }
}
