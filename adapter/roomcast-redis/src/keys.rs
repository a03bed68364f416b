//! Commands for state that nodes share.
//!
//! Owns: [`RedisKeys`], its thread and its connection. Must never know: what a key holds.

use std::sync::Arc;

use futures_channel::oneshot;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, ProtocolVersion, RedisResult, Value};
use tokio::select;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::config::RedisConfig;
use crate::connect::{ConnectionEnd, Connector, Link, pause};
use crate::fault::RedisFault;
use crate::tls::prepare_tls;
use crate::url::Servers;

/// Sends commands to a Redis and waits for their answers, on the runtime of the caller. While Redis is away each
/// command fails at once, or after [`connect_timeout`](crate::BusLimits::connect_timeout). Cheap to clone; the connection
/// ends when the last clone is dropped.
///
/// A command that fails may have been carried out. None is sent twice.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use roomcast_redis::{RedisConfig, RedisKeys, RedisUrl, redis};
///
/// let keys = RedisKeys::start(RedisConfig::new(RedisUrl::parse("redis://127.0.0.1")?))?;
/// let mut get = redis::cmd("GET");
/// get.arg("dinner");
/// let dinner: Option<String> = keys.ask(get).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisKeys {
    jobs: mpsc::Sender<QueuedCommand>,
}

/// A command, and who waits for its answer.
#[derive(Debug)]
struct QueuedCommand {
    command: Cmd,
    answer: oneshot::Sender<Result<Value, RedisFault>>,
}

impl RedisKeys {
    /// Starts a connection on a thread of its own. A Redis that is away is no error: it is looked for in the background.
    ///
    /// # Errors
    ///
    /// The URL wants TLS and the feature `tls` is not enabled, or there is no thread left.
    pub fn start(config: RedisConfig) -> Result<Self, RedisFault> {
        prepare_tls(config.url.tls)?;
        let (sender, jobs) = mpsc::channel(JOBS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RedisFault::Other(error.to_string()))?;
        std::thread::Builder::new()
            .name("redis keys".into())
            .spawn(move || {
                runtime.block_on(run(config, jobs));
                runtime.shutdown_background();
            })
            .map_err(|error| RedisFault::Other(error.to_string()))?;
        Ok(Self { jobs: sender })
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    ///
    /// Redis refuses it or is away, too many commands wait, or the answer is of another type.
    pub async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, RedisFault> {
        let (answer, waiting) = oneshot::channel();
        self.jobs
            .try_send(QueuedCommand { command, answer })
            .map_err(|_| RedisFault::NotReady("too many commands wait".into()))?;
        let answer = waiting.await.map_err(|_| RedisFault::Unreachable("the connection has ended".into()))??;
        redis::from_redis_value(answer).map_err(|error| RedisFault::Other(error.to_string()))
    }
}

/// A connection of either kind.
#[derive(Clone)]
enum Conn {
    One(Link),
    /// Finds the node of each key, and comes back by itself.
    Cluster(ClusterConnection),
}

impl Conn {
    async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::One(link) => command.query_async(&mut link.conn).await,
            Self::Cluster(conn) => command.query_async(conn).await,
        }
    }
}

async fn run(config: RedisConfig, mut jobs: mpsc::Receiver<QueuedCommand>) {
    let limits = config.limits;
    let mut connector = Connector::new(&config);
    let mut backoff = Backoff::new(limits.backoff_min, limits.backoff_max);
    let mut was_told = false;
    loop {
        match connect(&config, &mut connector).await {
            Ok((conn, ending)) => {
                backoff.reset();
                if std::mem::take(&mut was_told) {
                    tracing::warn!(url = %config.url, "shared state can be reached again");
                }
                if serve(&conn, &ending, &mut connector, &mut jobs, &config).await.is_none() {
                    return;
                }
            }
            Err(fault) => {
                if !std::mem::replace(&mut was_told, true) {
                    tracing::warn!(url = %config.url, %fault, "shared state cannot be reached");
                }
                // No caller waits for a server that is not there.
                select! {
                    () = pause(&mut backoff) => {}
                    ended = refuse(&mut jobs, &fault) => return ended,
                }
            }
        }
    }
}

async fn connect(config: &RedisConfig, connector: &mut Connector) -> Result<(Conn, Arc<ConnectionEnd>), RedisFault> {
    let Servers::Cluster(_) = &config.url.servers else {
        let link = connector.connect(|_| {}).await?;
        let ending = link.ending.clone();
        return Ok((Conn::One(link), ending));
    };
    let limits = config.limits;
    let mut builder = ClusterClientBuilder::new(connector.nodes())
        .connection_timeout(limits.connect_timeout)
        .response_timeout(limits.response_timeout)
        .use_protocol(ProtocolVersion::RESP3)
        .retries(CLUSTER_RETRIES);
    if let Some(username) = &config.url.username {
        builder = builder.username(username.clone());
    }
    if let Some(password) = &config.url.password {
        builder = builder.password(password.clone());
    }
    let client = builder.build()?;
    let conn = timeout(limits.connect_timeout, client.get_async_connection()).await;
    Ok((Conn::Cluster(conn.map_err(|_| RedisFault::TimedOut)??), Arc::default()))
}

/// Answers commands over this connection until it ends; `None` when no sender is left.
async fn serve(
    conn: &Conn,
    ending: &ConnectionEnd,
    connector: &mut Connector,
    jobs: &mut mpsc::Receiver<QueuedCommand>,
    config: &RedisConfig,
) -> Option<()> {
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut check = tokio::time::interval(config.limits.ping_interval);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    check.reset();
    loop {
        let permit = in_flight.clone().acquire_owned().await.ok()?;
        let job = select! {
            () = ending.ended() => return Some(()),
            job = jobs.recv() => job?,
            _ = check.tick() => {
                // A cluster is looked after by the library.
                if let Conn::One(link) = conn && connector.check(&mut link.clone()).await.is_err() {
                    return Some(());
                }
                continue;
            }
        };
        let mut conn = conn.clone();
        tokio::spawn(async move {
            let answer = conn.ask(&job.command).await.map_err(RedisFault::from);
            // Dropped by a caller that waits no longer.
            let _ = job.answer.send(answer);
            drop(permit);
        });
    }
}

/// Refuses all commands, until no sender is left.
async fn refuse(jobs: &mut mpsc::Receiver<QueuedCommand>, fault: &RedisFault) {
    while let Some(job) = jobs.recv().await {
        let _ = job.answer.send(Err(fault.clone()));
    }
}

/// Commands that wait to be sent.
const JOBS_MAX: usize = 4096;
/// Commands without an answer.
const IN_FLIGHT_MAX: usize = 1024;
/// How often the library tries a command again while a cluster moves slots or elects a primary.
const CLUSTER_RETRIES: u32 = 3;
