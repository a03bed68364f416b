//! A server that runs.
//!
//! Owns: the start of a server: seed, clocks, driver. Must never know: what is served.

use std::sync::Arc;

use roomcast_core::cluster::NodeId;
use roomcast_core::server::{self as core, App, ClusterConfig, Config, ConfigError, Start};

use crate::addresses::Addresses;
use crate::app::{AppHandle, AppSide};
use crate::builder::Builder;
use crate::clock::{Clock, wall_now};
use crate::cluster::NodeSetup;
use crate::driver::Driver;
use crate::endpoints::Endpoints;
use crate::handle::Handle;
use crate::http::service::Service;
use crate::mailbox::{Shared, Sleep};
use crate::registry::{Pages, Routes};
use crate::runtime::Runtime;

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
    pub(crate) runtime: R,
    pub(crate) service: Service,
}

impl<R> Server<R> {
    /// The server as a tower `Service`, to be mounted in a web framework.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// The handle with which the rest of the program reaches its clients.
    pub fn handle(&self) -> Handle {
        self.service.handle().clone()
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
        if let Some(what) = self.twice.into_iter().next() {
            return Err(StartError::RegisteredTwice(what));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| StartError::NoRandomness)?;
        let clock = Clock::start();
        let start = Start { node: self.node, now: clock.now(), wall: wall_now(), seed };
        let addresses = Addresses::new(self.proxies, self.http.conns_per_address_max);
        let endpoints = Endpoints::new(&self.config, self.http);
        let mut config = self.config;
        let joining = self.joining.map(|joining| name(&mut config, &endpoints, joining)).transpose()?;
        let core = core::Server::new(config, start).map_err(StartError::Config)?;
        let sleep = {
            let runtime = runtime.clone();
            Box::new(move |span| Sleep(Box::pin(runtime.sleep(span))))
        };
        let shared = Arc::new(Shared::new(endpoints, addresses, sleep));
        let service = Service::new(Handle::new(shared.clone()), Pages::new(self.pages));
        let stack = core::Stack::new(core, self.app);
        let app = AppSide::new(self.store, self.on_notice, self.app_mail.clone());
        let bus = joining.map(|(joining, node)| joining.connect(&node, shared.clone()));
        let bus = bus.transpose().map_err(StartError::Bus)?;
        let driver = Driver::new(runtime.clone(), shared.clone(), Routes::new(self.kinds), stack, clock, app, bus);
        runtime.spawn_driver(driver);
        Ok((Server { runtime, service }, AppHandle::new(Handle::new(shared), self.app_mail)))
    }
}

/// Gives a node its name.
fn name(config: &mut Config, endpoints: &Endpoints, joining: NodeSetup) -> Result<(NodeSetup, NodeId), StartError> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|_| StartError::NoRandomness)?;
    let node = NodeId::from_random(bits);
    let mut cluster = ClusterConfig::new(endpoints.first_socket_io());
    cluster.node = Some(node.clone());
    cluster.settings = joining.settings.clone();
    config.cluster = Some(cluster);
    Ok((joining, node))
}

/// Why a server cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration makes no sense.
    Config(ConfigError),
    /// Two handlers, pages or namespaces are registered for the same thing: which one. Only the last would be called.
    RegisteredTwice(String),
    /// The operating system gives no random numbers.
    NoRandomness,
    /// The bus of the cluster cannot be used: why.
    Bus(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::RegisteredTwice(what) => write!(f, "{what} is registered twice"),
            Self::Bus(why) => write!(f, "the bus of the cluster cannot be used: {why}"),
            Self::NoRandomness => f.write_str("the operating system gives no random numbers"),
        }
    }
}

impl std::error::Error for StartError {}
