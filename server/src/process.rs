//! The program from its start to its end, as settings say.
//!
//! Owns: the start and the end of the process. Must never know: protocols.

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use roomcast_openwebui::SettingsError;
use roomcast_tokio::{Handle, Runtime, Server, StartError, Tokio, start_shards};
use tokio::net::{TcpListener, TcpSocket};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::additions::Additions;
use crate::bridge::BridgeDesk;
use crate::bus::Bus;
use crate::demo::{self, Demo};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::page::PageAccess;
use crate::settings::{Flags, Mode, PageSetting, Settings};
use crate::shard_apps::ShardApps;
use crate::signals::Signals;
use crate::store::{self, StoreClient};
use crate::{app, memory, sessions};

/// Runs the program until it is told to end, and returns the status to end the process with.
pub fn main(arguments: impl IntoIterator<Item = OsString>, additions: &Additions) -> ExitCode {
    // Ends the process with 2 if a flag, or the variable in its place, cannot be used.
    let flags = Flags::parse_from(arguments);
    match flags.probe() {
        Some(Ok(())) => return ExitCode::SUCCESS,
        Some(Err(failure)) => {
            eprintln!("roomcast: {failure}");
            return ExitCode::FAILURE;
        }
        None => {}
    }
    let settings = match Settings::read(flags, &|name| std::env::var_os(name)) {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("roomcast: {problem}");
            return ExitCode::from(2);
        }
    };
    // Colours are for people, not for files and collectors of logs.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    tracing_subscriber::registry().with(settings.logs.clone()).with(lines).init();
    // One thread serves all clients, unless the settings say otherwise: messages do not cross threads on their way. With
    // several shards, this one only accepts connections.
    let run = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FatalError::Runtime)
        .and_then(|runtime| runtime.block_on(run(&settings, additions)));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("roomcast: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &Settings, additions: &Additions) -> Result<(), FatalError> {
    let listener = listen(&settings.host, settings.port)
        .await
        .map_err(|error| FatalError::Bind(settings.host.clone(), settings.port, error))?;
    let mut signals = Signals::listen().map_err(FatalError::Runtime)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let mut metrics = Metrics::new();
    let instance = random()?;
    let (store, release) = tokio::select! {
        opened = StoreClient::open(settings, metrics.store.clone(), instance) => opened.map_err(FatalError::Store)?,
        // A database may be waited for.
        signal = signals.next() => {
            tracing::info!(signal, "ended before it served anything");
            return Ok(());
        }
    };
    let bus = |_| settings.redis.bus.as_ref().map(|bus| Bus::new(bus, release));
    let buses: Vec<_> = (0..settings.shards.get()).map(bus).collect();
    metrics.bus = buses.iter().flatten().map(|bus| bus.nodes.monitor()).collect();
    let (secret, api_key, demo) = match &settings.mode {
        Mode::Production(secret, _) => (secret.clone(), settings.api_key.clone(), None),
        Mode::Demo(_) => {
            let demo = Demo::new(settings.api_key.clone()).map_err(|_| FatalError::Start(StartError::NoRandomness))?;
            (demo.secret().clone(), Some(demo.api_key().clone()), Some(Arc::new(demo)))
        }
    };
    let page = match (settings.page, &demo, &api_key) {
        (PageSetting::On, Some(demo), _) => Some(PageAccess::Demonstration(demo.clone())),
        (PageSetting::On, None, Some(key)) => Some(PageAccess::Production(Arc::new(key.clone()))),
        (PageSetting::On, None, None) | (PageSetting::Off, ..) => None,
    };
    let health = Health::new(store.clone());
    let (shards, bridge) = (ShardApps::default(), BridgeDesk::default());
    let mut builders = Vec::new();
    for (shard, bus) in (0..).zip(buses) {
        let parts = app::Parts {
            secret: secret.clone(),
            api_key: api_key.clone(),
            store: store.of_shard(shard),
            metrics: metrics.clone(),
            health: health.clone(),
            page: page.clone(),
            seed: random()?,
            instance,
            release,
            bus,
            shards: shards.clone(),
            bridge: bridge.clone(),
        };
        builders.push(app::builder(settings, parts, additions).map_err(FatalError::Application)?);
    }
    let program = RunningProgram { listener, signals, metrics, store, health, demo };
    match <[_; 1]>::try_from(builders) {
        Ok([builder]) => program.serve(settings, builder.start(Tokio).map_err(FatalError::Start)?).await,
        Err(builders) => {
            let mut builders = builders.into_iter();
            #[expect(clippy::expect_used, reason = "one builder was made for each shard above")]
            let next = |_| builders.next().expect("invariant: there is a builder for each shard");
            let (server, _apps) = start_shards(settings.shards, next).map_err(FatalError::Start)?;
            tracing::info!(shards = settings.shards, "several threads serve clients");
            program.serve(settings, server).await
        }
    }
}

/// What there is beside the server.
struct RunningProgram {
    listener: TcpListener,
    signals: Signals,
    metrics: Metrics,
    store: StoreClient,
    health: Health,
    demo: Option<Arc<Demo>>,
}

impl RunningProgram {
    async fn serve<R: Runtime<Listener = TcpListener>>(
        self,
        settings: &Settings,
        server: Server<R>,
    ) -> Result<(), FatalError> {
        let Self { listener, signals, metrics, store, health, demo } = self;
        let address = listener.local_addr().map_err(FatalError::Runtime)?;
        tokio::spawn(end_on_signal(signals, server.handle(), health, settings.drain, settings.grace));
        tokio::spawn(sessions::log(server.handle()));
        tokio::spawn(memory::give_back());
        tokio::spawn(metrics.lag.measure(server.handle()));
        announce(address, settings, demo.as_deref());
        server.serve(listener).await;
        for monitor in &metrics.bus {
            monitor.closed().await;
        }
        // Clients that left may have caused writes that are still under way.
        store.close().await;
        tracing::info!("shutdown complete");
        Ok(())
    }
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], FatalError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|_| FatalError::Start(StartError::NoRandomness))?;
    Ok(bytes)
}

/// Listens on the first address of `host` that can be bound.
async fn listen(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut fault = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of an earlier process in TIME_WAIT are no reason to refuse the port.
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

/// Closes all transports in such a way that clients reconnect, to the process that takes over.
async fn end_on_signal(mut signals: Signals, handle: Handle, health: Health, drain: Duration, grace: Duration) {
    let signal = signals.next().await;
    health.drain();
    tracing::info!(signal, drain_seconds = drain.as_secs(), "shutdown requested");
    // A second signal skips what is left of drain and grace period.
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        _ = signals.next() => return handle.shutdown(Duration::ZERO).await,
    }
    tokio::select! {
        () = handle.shutdown(grace) => {}
        _ = signals.next() => handle.shutdown(Duration::ZERO).await,
    }
}

fn announce(address: SocketAddr, settings: &Settings, demo: Option<&Demo>) {
    let path = settings.path.as_str();
    let text = match (settings.page, demo) {
        // One link for a newcomer; what there is for a terminal is asked for.
        (PageSetting::On, Some(_)) => format!("roomcast listens on http://{address}/\n{}", demo::PAGE_TEXT),
        (PageSetting::Off, Some(demo)) => {
            format!("roomcast listens on http://{address}{path}\n{}", demo.text(address, path))
        }
        (PageSetting::On, None) => {
            format!(
                "roomcast listens on http://{address}{path}\nIts page, for the key of the HTTP API: http://{address}/\n"
            )
        }
        (PageSetting::Off, None) => format!("roomcast listens on http://{address}{path}\n"),
    };
    // A closed standard output does not stop the server.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Why the program ends with 1.
#[derive(Debug)]
enum FatalError {
    Bind(String, u16, std::io::Error),
    Store(store::StoreFailure),
    Application(SettingsError),
    Start(StartError),
    Runtime(std::io::Error),
}

impl fmt::Display for FatalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(host, port, error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                write!(f, "port {port} of {host} is in use; choose another with --port or ROOMCAST_PORT")
            }
            Self::Bind(host, port, error) => write!(f, "cannot listen on {host}:{port}: {error}"),
            Self::Store(failure) => failure.fmt(f),
            Self::Application(error) => write!(f, "WEBUI_SECRET_KEY cannot be used: {error}"),
            Self::Start(error) => write!(f, "cannot start: {error}"),
            Self::Runtime(error) => error.fmt(f),
        }
    }
}

/// Connections that the system queues until they are accepted. When all clients reconnect at once, those beyond it wait
/// a second and more before they try again. The system may have a lower limit of its own (`net.core.somaxconn`).
const BACKLOG: u32 = 16_384;
