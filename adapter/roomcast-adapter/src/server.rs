//! A server that runs.
//!
//! Owns: the start of a server and of its shards: seed, clocks, drivers. Must never know: what is served.

use std::sync::Arc;

use roomcast_core::cluster::{ClusterSettings, NodeId, Strangers, Subscriptions};
use roomcast_core::server::{self as core, App, ClusterConfig, ConfigError, Start};

use crate::addresses::Addresses;
use crate::app::{AppHandle, AppSide};
use crate::builder::Builder;
use crate::clock::{Clock, wall_now};
use crate::cluster::{ClusterBus, ClusterInbox};
use crate::driver::Driver;
use crate::endpoints::Endpoints;
use crate::handle::Handle;
use crate::http::service::Service;
use crate::mailbox::{Shared, Sleep};
use crate::registry::{Pages, Routes};
use crate::runtime::Runtime;
use crate::shard_group::ShardGroup;
use crate::shard_hub::{OuterLink, ShardHub};
use crate::siblings::Siblings;

/// A running server. It ends with [`shutdown`](Handle::shutdown), or when this, its services and its handles are dropped.
///
/// ```
/// use roomcast_adapter::{Builder, Runtime, StartError};
///
/// async fn run<R: Runtime>(runtime: R, listener: R::Listener) -> Result<(), StartError> {
///     let server = Builder::new().socket_io("/socket.io", |io| io.namespace("/", |_| {})).start(runtime)?;
///     // For the rest of the program.
///     let handle = server.handle();
///     # drop(handle);
///     // Or `server.service()`, mounted in a web framework.
///     server.serve(listener).await;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Server<R> {
    pub(crate) first: ServerShard<R>,
    /// The others, where there are several.
    pub(crate) more: Vec<ServerShard<R>>,
}

/// One shard of a server, and the runtime that it lives on.
#[derive(Debug)]
pub(crate) struct ServerShard<R> {
    pub(crate) runtime: R,
    pub(crate) service: Service,
}

impl<R> Server<R> {
    /// The server as a tower `Service`, to be mounted in a web framework.
    pub fn service(&self) -> Service {
        self.first.service.clone()
    }

    /// The handle with which the rest of the program reaches its clients.
    pub fn handle(&self) -> Handle {
        self.first.service.handle().clone()
    }

    /// The shard whose turn it is to get a connection.
    pub(crate) fn next_shard(&self) -> &ServerShard<R> {
        let turn = self.first.service.handle().shared().group.turn();
        turn.checked_sub(1).and_then(|place| self.more.get(place)).unwrap_or(&self.first)
    }
}

impl<R: Runtime> Server<R> {
    /// Starts one server in several shards, one on each of these runtimes, so that it serves on as many threads. `build`
    /// makes the builder of each shard, by its place; all have the same endpoints.
    ///
    /// To clients and handlers it is one server: what is emitted, joined, asked for acks and disconnected by room reaches
    /// the sockets of all shards, from any handle, and [`shutdown`](Handle::shutdown) ends all. Connections are spread in
    /// turn. A request with a session id is answered by its session's shard on any connection. Bare
    /// WebSockets of an endpoint for all [paths below](roomcast_core::server::config::PathMatch::Below) its own are served
    /// by one shard for each path.
    ///
    /// What is particular to shards: rooms of the first Socket.IO endpoint alone are those of all shards. Limits are each
    /// shard's own, except for those on addresses. A [`View`](crate::View) is of one shard, see [`Handle::shards`]. Bare
    /// endpoints have no rooms, so that their clients know those of their own shard alone. Of what different shards emit to
    /// one room, the order may differ from one member to another.
    ///
    /// On tokio, `roomcast_tokio::start_shards` makes the threads.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`], and if the endpoints of the builders differ or there are no shards, or too many to number.
    pub fn start_shards<A: App + Send + 'static>(
        runtimes: impl IntoIterator<Item = R>,
        mut build: impl FnMut(u16) -> Builder<A>,
    ) -> Result<(Self, Vec<AppHandle<A>>), StartError> {
        let built: Vec<_> = (0..=u16::MAX).zip(runtimes).map(|(place, runtime)| (runtime, build(place))).collect();
        let mut places = ShardPlaces::new(&built)?;
        let prepared: Result<Vec<_>, _> =
            built.into_iter().map(|(runtime, builder)| builder.prepare(runtime, &mut places)).collect();
        let prepared = prepared?;
        places.group.join_up(prepared.iter().map(|shard| shard.service.handle().shared()));
        let mut apps = Vec::new();
        let mut shards = prepared.into_iter().map(|Prepared { runtime, driver, service, app }| {
            runtime.spawn_driver(driver);
            apps.push(app);
            ServerShard { runtime, service }
        });
        let first = shards.next().ok_or(StartError::ShardCount)?;
        let more = shards.collect();
        Ok((Self { first, more }, apps))
    }
}

impl<A: App + Send + 'static> Builder<A> {
    /// Starts the server: its driver runs in the background of this runtime from now on. Connections come by
    /// [`Server::serve`] or by way of [`Server::service`].
    ///
    /// # Errors
    ///
    /// The configuration makes no sense, something is registered twice, or the operating system gives no random numbers.
    pub fn start<R: Runtime>(self, runtime: R) -> Result<Server<R>, StartError> {
        Ok(self.start_with_app(runtime)?.0)
    }

    /// As [`start`](Self::start), with a handle of the application.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with_app<R: Runtime>(self, runtime: R) -> Result<(Server<R>, AppHandle<A>), StartError> {
        let mut places = ShardPlaces::of_one(self.node);
        let Prepared { runtime, driver, service, app } = self.prepare(runtime, &mut places)?;
        places.group.join_up([service.handle().shared()].into_iter());
        runtime.spawn_driver(driver);
        Ok((Server { first: ServerShard { runtime, service }, more: Vec::new() }, app))
    }

    fn prepare<R: Runtime>(self, runtime: R, places: &mut ShardPlaces) -> Result<Prepared<R, A>, StartError> {
        if let Some(what) = self.twice.into_iter().next() {
            return Err(StartError::RegisteredTwice(what));
        }
        if let Some(missing) = self.needed.iter().find(|needed| !self.states.has(needed.id)) {
            return Err(StartError::StateMissing(missing.name));
        }
        let endpoints = Endpoints::new(&self.config, self.http);
        let place = places.take(&endpoints, || Addresses::new(self.proxies, self.http.conns_per_address_max))?;
        let clock = Clock::start();
        let start = Start { node: place.node, now: clock.now(), wall: wall_now(), seed: random()? };
        let mut config = self.config;
        let name = match (&place.hub, &self.joining) {
            (Some((_, name)), _) => Some(name.clone()),
            (None, Some(_)) => Some(NodeId::from_random(random()?)),
            (None, None) => None,
        };
        if let Some(name) = &name {
            let mut cluster = ClusterConfig::new(endpoints.first_socket_io());
            cluster.node = Some(name.clone());
            cluster.settings = self.joining.as_ref().map_or_else(of_shards, |joining| joining.settings.clone());
            config.cluster = Some(cluster);
        }
        let core = core::Server::new(config, start).map_err(StartError::Config)?;
        let sleep = {
            let runtime = runtime.clone();
            Box::new(move |span| Sleep(Box::pin(runtime.sleep(span))))
        };
        let shared = Arc::new(Shared::new(endpoints, place.addresses, places.group.clone(), self.states, sleep));
        let service = Service::new(Handle::new(shared.clone()), Pages::new(self.pages), self.hooks);
        let stack = core::Stack::new(core, self.app);
        let app = AppSide::new(self.store, self.on_notice, self.app_mail.clone());
        let siblings = place.hub.is_some().then(|| Arc::new(Siblings::new(places.names.clone())));
        let outer = self.joining.zip(name).map(|(joining, name)| {
            joining.connect(&name, ClusterInbox::new(shared.clone(), siblings.clone())).map_err(StartError::Bus)
        });
        let outer = outer.transpose()?;
        let bus = match place.hub {
            Some((hub, _)) => {
                let outer = outer.zip(siblings).map(|(bus, siblings)| OuterLink { bus, siblings });
                let link = hub.join(place.index, ClusterInbox::new(shared.clone(), None), outer);
                Some(Box::new(link) as Box<dyn ClusterBus>)
            }
            None => outer,
        };
        let driver = Driver::new(runtime.clone(), shared.clone(), Routes::new(self.kinds), stack, clock, app, bus);
        Ok(Prepared { runtime, driver, service, app: AppHandle::new(Handle::new(shared), self.app_mail) })
    }
}

/// A shard that does not run yet.
struct Prepared<R: Runtime, A: App> {
    runtime: R,
    driver: Driver<R, A>,
    service: Service,
    app: AppHandle<A>,
}

/// What the shards of a server have in common, while they are made one after the other.
struct ShardPlaces {
    group: Arc<ShardGroup<Shared>>,
    first_node: u16,
    taken: u16,
    hub: Option<Arc<ShardHub>>,
    /// Those of the shards on the hub.
    names: Vec<NodeId>,
    addresses: Option<Arc<Addresses>>,
    paths: Vec<String>,
}

/// What one shard gets of it.
struct ShardPlace {
    index: usize,
    node: u16,
    addresses: Arc<Addresses>,
    hub: Option<(Arc<ShardHub>, NodeId)>,
}

impl ShardPlaces {
    fn of_one(node: u16) -> Self {
        Self {
            group: ShardGroup::new(node),
            first_node: node,
            taken: 0,
            hub: None,
            names: Vec::new(),
            addresses: None,
            paths: Vec::new(),
        }
    }

    fn new<R, A: App>(built: &[(R, Builder<A>)]) -> Result<Self, StartError> {
        let (_, first) = built.first().ok_or(StartError::ShardCount)?;
        let mut places = Self::of_one(first.node);
        if built.len() > 1 && Endpoints::new(&first.config, first.http).has_socket_io() {
            let names: Result<Vec<_>, _> = built.iter().map(|_| random().map(NodeId::from_random)).collect();
            places.names = names?;
            let settings = first.joining.as_ref().map_or_else(of_shards, |joining| joining.settings.clone());
            places.hub = Some(ShardHub::new(&places.names, settings.subscriptions, random()?));
        }
        Ok(places)
    }

    fn take(&mut self, endpoints: &Endpoints, addresses: impl FnOnce() -> Addresses) -> Result<ShardPlace, StartError> {
        let index = usize::from(self.taken);
        let node = self.first_node.checked_add(self.taken).ok_or(StartError::ShardCount)?;
        if self.taken == 0 {
            self.paths = endpoints.paths().map(str::to_owned).collect();
        } else if !endpoints.paths().eq(self.paths.iter().map(String::as_str)) {
            return Err(StartError::ShardsDiffer);
        }
        self.taken = self.taken.saturating_add(1);
        let addresses = self.addresses.get_or_insert_with(|| Arc::new(addresses())).clone();
        let hub = self.hub.clone().zip(self.names.get(index).cloned());
        Ok(ShardPlace { index, node, addresses, hub })
    }
}

/// How shards without other processes take part in each other: all of them are known.
fn of_shards() -> ClusterSettings {
    let mut settings = ClusterSettings::default();
    (settings.subscriptions, settings.strangers) = (Subscriptions::Filtered, Strangers::Ignore);
    settings
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], StartError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|_| StartError::NoRandomness)?;
    Ok(bytes)
}

/// Why a server cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration makes no sense.
    Config(ConfigError),
    /// Two handlers, pages or namespaces are registered for the same thing: which one. Only the last would be called.
    RegisteredTwice(String),
    /// A handler takes a state of this type, which the builder was not given.
    StateMissing(&'static str),
    /// The operating system gives no random numbers.
    NoRandomness,
    /// The bus of the cluster cannot be used: why.
    Bus(String),
    /// There are no shards, or more than node numbers.
    ShardCount,
    /// The shards of one server have different endpoints.
    ShardsDiffer,
    /// There is no thread for a shard: why.
    Thread(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::RegisteredTwice(what) => write!(f, "{what} is registered twice"),
            Self::StateMissing(name) => {
                write!(f, "a handler takes State<{name}>, and the builder was given none (Builder::state)")
            }
            Self::Bus(why) => write!(f, "the bus of the cluster cannot be used: {why}"),
            Self::Thread(why) => write!(f, "there is no thread for a shard: {why}"),
            Self::ShardCount => f.write_str("there are no shards, or too many"),
            Self::ShardsDiffer => f.write_str("the shards of a server must have the same endpoints"),
            Self::NoRandomness => f.write_str("the operating system gives no random numbers"),
        }
    }
}

impl std::error::Error for StartError {}
