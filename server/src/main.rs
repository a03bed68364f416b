//! The program `roomcast`: Open WebUI's real-time layer, ready to run.
//!
//! Owns: the start and the end of the process. Must never know: protocols.
//!
//! | file | what |
//! |---|---|
//! | `settings` | flags, environment, defaults |
//! | `demo` | the made-up secret and what the demonstration prints |
//! | `store` | opens the store and counts the questions under way |
//! | `bus` | Redis, if other nodes or Open WebUI itself are to be heard |
//! | `sharing` | sessions and models in use, as others find them in Redis |
//! | `app` | endpoints, application and pages, put together |
//! | `api`, `health`, `metrics` | the pages |
//! | `bridge` | the connections of the backend's own processes |
//! | `memory` | what a burst took, given back |
//! | `sessions` | how many clients came and left, for the log |
//! | `signals` | SIGTERM, SIGINT and SIGHUP |

mod api;
mod app;
mod bridge;
mod bus;
mod demo;
mod health;
mod memory;
mod metrics;
mod reply;
mod sessions;
mod settings;
mod sharing;
mod signals;
mod store;

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use roomcast_openwebui::SettingsError;
use roomcast_tokio::{Handle, StartError, Tokio};
use tokio::net::{TcpListener, TcpSocket};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::bus::Bus;
use crate::demo::Demo;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::settings::{Flags, Mode, Settings};
use crate::signals::Signals;
use crate::store::StoreClient;

fn main() -> ExitCode {
    // Ends the process with 2 if a flag, or the variable in its place, cannot be used.
    let flags = Flags::parse();
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
    // One thread serves all clients: messages do not cross threads on their way.
    let run = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FatalError::Runtime)
        .and_then(|runtime| runtime.block_on(run(&settings)));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("roomcast: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &Settings) -> Result<(), FatalError> {
    let listener = listen(&settings.host, settings.port)
        .await
        .map_err(|error| FatalError::Bind(settings.host.clone(), settings.port, error))?;
    let address = listener.local_addr().map_err(FatalError::Runtime)?;
    let mut signals = Signals::listen().map_err(FatalError::Runtime)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let mut metrics = Metrics::new();
    let (mut seed, mut instance) = ([0; 32], [0; 16]);
    getrandom::fill(&mut seed).map_err(|_| FatalError::Start(StartError::NoRandomness))?;
    getrandom::fill(&mut instance).map_err(|_| FatalError::Start(StartError::NoRandomness))?;
    let (store, release) = tokio::select! {
        opened = StoreClient::open(settings, metrics.store.clone(), instance) => opened.map_err(FatalError::Store)?,
        // A database may be waited for.
        signal = signals.next() => {
            tracing::info!(signal, "ended before it served anything");
            return Ok(());
        }
    };
    let bus = settings.redis.bus.as_ref().map(|bus| Bus::new(bus, release));
    let monitor = bus.as_ref().map(|bus| bus.nodes.monitor());
    metrics.bus.clone_from(&monitor);
    let (secret, api_key, demo) = match &settings.mode {
        Mode::Production(secret, _) => (secret.clone(), settings.api_key.clone(), None),
        Mode::Demo(_) => {
            let demo = Demo::new(settings.api_key.clone()).map_err(|_| FatalError::Start(StartError::NoRandomness))?;
            (demo.secret().clone(), Some(demo.api_key().clone()), Some(demo))
        }
    };
    let health = Health::new(store.clone());
    let lag = metrics.lag.clone();
    let parts = app::Parts {
        secret,
        api_key,
        store: store.clone(),
        metrics,
        health: health.clone(),
        seed,
        instance,
        release,
        bus,
    };
    let server =
        app::builder(settings, parts).map_err(FatalError::Application)?.start(Tokio).map_err(FatalError::Start)?;
    tokio::spawn(end_on_signal(signals, server.handle(), health, settings.drain, settings.grace));
    tokio::spawn(sessions::log(server.handle()));
    tokio::spawn(memory::give_back());
    tokio::spawn(lag.measure(server.handle()));
    announce(address, &settings.path, demo.as_ref());
    server.serve(listener).await;
    if let Some(monitor) = monitor {
        monitor.closed().await;
    }
    // Clients that left may have caused writes that are still under way.
    store.close().await;
    tracing::info!("shutdown complete");
    Ok(())
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

fn announce(address: SocketAddr, path: &str, demo: Option<&Demo>) {
    let mut text = format!("roomcast listens on http://{address}{path}\n");
    if let Some(demo) = demo {
        text.push_str(&demo.text(address, path));
    }
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
