//! The program `roomcast`: Open WebUI's real-time layer, ready to run.
//!
//! Owns: the start and the end of the process. Must never know: protocols.
//!
//! | file | what |
//! |---|---|
//! | `settings` | flags, environment, defaults |
//! | `demo` | what is made up where nothing is set |
//! | `store` | which store is opened |
//! | `app` | endpoint, application and pages, put together |
//! | `api`, `health`, `metrics` | the pages |
//! | `sessions` | who comes and goes, as the log tells it |

mod api;
mod app;
mod demo;
mod health;
mod metrics;
mod reply;
mod sessions;
mod settings;
mod store;

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use roomcast_openwebui::SettingsError;
use roomcast_tokio::{Handle, StartError, Tokio};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::demo::Demo;
use crate::health::Health;
use crate::metrics::StoreMetrics;
use crate::settings::{Flags, Mode, Settings};
use crate::store::Asked;

fn main() -> ExitCode {
    // Ends the process with 2 if a flag, or a variable in its place, makes no sense.
    let flags = Flags::parse();
    let settings = match Settings::read(flags, &|name| std::env::var_os(name)) {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("roomcast: {problem}");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::registry()
        .with(settings.logs.clone())
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .init();
    // One thread serves everybody: messages do not cross threads on their way.
    let run = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(run(&settings)));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("roomcast: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &Settings) -> Result<(), Failure> {
    let listener = listen(&settings.host, settings.port)
        .await
        .map_err(|error| Failure::Bind(settings.host.clone(), settings.port, error))?;
    let address = listener.local_addr().map_err(Failure::Runtime)?;
    let signals = Signals::listen().map_err(Failure::Runtime)?;
    if let Some(variable) = settings.redis {
        tracing::warn!(
            variable,
            "this roomcast uses no Redis: it serves alone, and of revoked tokens knows those of /api/revoke"
        );
    }
    let metrics = StoreMetrics::new();
    let store = Asked::open(&settings.mode, metrics.clone()).await.map_err(Failure::Store)?;
    let (secret, api_key, demo) = match &settings.mode {
        Mode::Earnest(secret, _) => (secret.clone(), settings.api_key.clone(), None),
        Mode::Demo(_) => {
            let demo = Demo::new(settings.api_key.clone()).map_err(|_| Failure::Start(StartError::NoRandomness))?;
            (demo.secret().clone(), Some(demo.api_key().clone()), Some(demo))
        }
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Failure::Start(StartError::NoRandomness))?;
    let health = Health::new(store.clone());
    let parts = app::Parts { secret, api_key, store: store.clone(), metrics, health: health.clone(), seed };
    let server = app::builder(settings, parts).map_err(Failure::Rules)?.start(Tokio).map_err(Failure::Start)?;
    tokio::spawn(end_on_signal(signals, server.handle(), health, settings.drain, settings.grace));
    tokio::spawn(sessions::tell(server.handle()));
    announce(address, &settings.path, demo.as_ref());
    server.serve(listener).await;
    // Whoever has gone may have left something to be written.
    store.close().await;
    tracing::info!("ended");
    Ok(())
}

/// The first address of a host that can be had.
async fn listen(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut fault = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of a process before this one, which the system still holds back, are no reason to wait.
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

/// Closes all transports in such a way that clients come back, to the process that takes over.
async fn end_on_signal(mut signals: Signals, handle: Handle, health: Health, drain: Duration, grace: Duration) {
    signals.next().await;
    health.drain();
    tracing::info!("ending");
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        // Whoever asks twice does not want to wait.
        () = signals.next() => return handle.shutdown(Duration::ZERO).await,
    }
    tokio::select! {
        () = handle.shutdown(grace) => {}
        () = signals.next() => handle.shutdown(Duration::ZERO).await,
    }
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

fn announce(address: SocketAddr, path: &str, demo: Option<&Demo>) {
    let mut text = format!("roomcast listens on http://{address}{path}\n");
    if let Some(demo) = demo {
        text.push_str(&demo.text(address, path));
    }
    // If nobody reads it, the server runs all the same.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Why the program ends with 1.
#[derive(Debug)]
enum Failure {
    Bind(String, u16, std::io::Error),
    Store(store::Failure),
    Rules(SettingsError),
    Start(StartError),
    Runtime(std::io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(host, port, error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                write!(f, "port {port} of {host} is in use; choose another with --port or ROOMCAST_PORT")
            }
            Self::Bind(host, port, error) => write!(f, "cannot listen on {host}:{port}: {error}"),
            Self::Store(failure) => failure.fmt(f),
            Self::Rules(error) => write!(f, "WEBUI_SECRET_KEY cannot be used: {error}"),
            Self::Start(error) => write!(f, "cannot start: {error}"),
            Self::Runtime(error) => error.fmt(f),
        }
    }
}

/// Connections that the system holds until they are accepted: when all clients come back at once, one more waits a second
/// and longer before it tries again. The system may have a lower limit of its own (`net.core.somaxconn`).
const BACKLOG: u32 = 16_384;
