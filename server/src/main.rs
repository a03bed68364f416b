//! The program `roomcast`: a real-time server, ready to run.
//!
//! Owns: the start and the end of the process. Must never know: protocols.

mod app;
mod settings;

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use roomcast_tokio::{Handle, StartError, Tokio};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::settings::Settings;

fn main() -> ExitCode {
    // Ends the process with 2 if an argument or a variable of the environment makes no sense.
    let settings = Settings::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(settings.log).init();
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
    let listener = TcpListener::bind((settings.host.as_str(), settings.port))
        .await
        .map_err(|error| Failure::Bind(settings.host.clone(), settings.port, error))?;
    let address = listener.local_addr().map_err(Failure::Runtime)?;
    let signals = Signals::listen().map_err(Failure::Runtime)?;
    let server = app::builder(settings).start(Tokio).map_err(Failure::Start)?;
    tokio::spawn(end_on_signal(signals, server.handle()));
    announce(address, &settings.path);
    server.serve(listener).await;
    tracing::info!("ended");
    Ok(())
}

/// Closes all transports in such a way that clients come back, to the process that takes over.
async fn end_on_signal(mut signals: Signals, handle: Handle) {
    signals.next().await;
    tracing::info!("ending");
    tokio::select! {
        () = handle.shutdown(GRACE) => {}
        // Whoever asks twice does not want to wait.
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

fn announce(address: SocketAddr, path: &str) {
    // If nobody reads it, the server runs all the same.
    let _ = writeln!(std::io::stdout(), "roomcast listens on http://{address}{path}");
}

/// Why the program ends with 1.
#[derive(Debug)]
enum Failure {
    Bind(String, u16, std::io::Error),
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
            Self::Start(error) => write!(f, "cannot start: {error}"),
            Self::Runtime(error) => error.fmt(f),
        }
    }
}

/// Time that clients have to take what is queued for them.
const GRACE: Duration = Duration::from_secs(10);
