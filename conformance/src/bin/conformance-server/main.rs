//! What protocol suites, real clients and load generators talk to: a program as a user of the library would write it,
//! the same on each runtime.
//!
//! Owns: the start and the end of the process. Must never know: what is served; that is in `handlers`.

mod fleet;
mod handlers;
mod settings;

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use roomcast_tokio::{AdminPanel, Runtime, Server, Tokio, TokioThread, start_shards};

use crate::settings::{On, Settings};

fn main() -> ExitCode {
    let settings = Settings::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let run = handlers::panel(&settings).map_err(Into::into).and_then(|panel| {
        let shown = panel.as_ref();
        match settings.runtime {
            On::Tokio => on_tokio(&settings, shown, || Ok(handlers::builder(Tokio, &settings, shown)?.start(Tokio)?)),
            On::Shards => on_tokio(&settings, shown, || on_shards(&settings, shown)),
            On::Smol => smol::block_on(on_smol(&settings, shown)),
            On::AsyncStd => async_std::task::block_on(on_async_std(&settings, shown)),
        }
    });
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Two threads of tokio beside the one that accepts.
fn on_shards(settings: &Settings, panel: Option<&AdminPanel>) -> Result<Server<TokioThread>, Box<dyn Error>> {
    let timers = TokioThread::start("timers")?;
    // What can fail has succeeded before it is done for each shard.
    handlers::builder(timers.clone(), settings, panel)?;
    let build = |_| handlers::builder(timers.clone(), settings, panel).unwrap_or_default();
    Ok(start_shards(SHARDS, build)?.0)
}

fn on_tokio<R: Runtime<Listener = tokio::net::TcpListener>>(
    settings: &Settings,
    panel: Option<&AdminPanel>,
    start: impl FnOnce() -> Result<Server<R>, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    use tokio::signal::unix::{SignalKind, signal};

    // One thread: a message that crosses threads costs more than it saves.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind((settings.host.as_str(), settings.port)).await?;
        let address = listener.local_addr()?;
        let mut term = signal(SignalKind::terminate())?;
        let server = start()?;
        panel.cloned().into_iter().for_each(|panel| drop(tokio::spawn(panel.watch(server.handle()))));
        let handle = server.handle();
        tokio::spawn(async move {
            term.recv().await;
            handle.shutdown(GRACE).await;
        });
        serve(server, listener, address).await
    })
}

async fn on_smol(settings: &Settings, panel: Option<&AdminPanel>) -> Result<(), Box<dyn Error>> {
    use roomcast_async_std::Smol;

    let listener = smol::net::TcpListener::bind((settings.host.as_str(), settings.port)).await?;
    let address = listener.local_addr()?;
    let server = handlers::builder(Smol, settings, panel)?.start(Smol)?;
    panel.cloned().into_iter().for_each(|panel| Smol.spawn(panel.watch(server.handle())));
    smol::spawn(shut_down_on_signal(server.handle())?).detach();
    serve(server, listener, address).await
}

async fn on_async_std(settings: &Settings, panel: Option<&AdminPanel>) -> Result<(), Box<dyn Error>> {
    use roomcast_async_std::AsyncStd;

    let listener = async_std::net::TcpListener::bind((settings.host.as_str(), settings.port)).await?;
    let address = listener.local_addr()?;
    let server = handlers::builder(AsyncStd, settings, panel)?.start(AsyncStd)?;
    panel.cloned().into_iter().for_each(|panel| AsyncStd.spawn(panel.watch(server.handle())));
    drop(async_std::task::spawn(shut_down_on_signal(server.handle())?));
    serve(server, listener, address).await
}

fn shut_down_on_signal(handle: roomcast_tokio::Handle) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use async_signal::{Signal, Signals};
    use smol::stream::StreamExt as _;

    let mut signals = Signals::new([Signal::Term])?;
    Ok(async move {
        signals.next().await;
        handle.shutdown(GRACE).await;
    })
}

async fn serve<R: Runtime>(
    server: Server<R>,
    listener: R::Listener,
    address: SocketAddr,
) -> Result<(), Box<dyn Error>> {
    // The process that started this one waits for the line, and may close the pipe after it.
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    server.serve(listener).await;
    Ok(())
}

const SHARDS: NonZeroU16 = NonZeroU16::new(2).expect("invariant: two is not zero");
const GRACE: Duration = Duration::from_secs(5);
