//! A look at a roomcast that runs, for container runtimes and scripts: an image of it needs no shell and no curl.
//!
//! Owns: the one request, and what counts as well. Must never know: what the pages look at.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// The page that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HealthProbe {
    /// Whether the process serves at all.
    Health,
    /// Whether clients can be sent to it.
    Ready,
}

impl HealthProbe {
    /// Asks the roomcast that listens at `host` and `port`, within 5 s for each step.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or answers something else than 200.
    pub fn ask(self, host: &str, port: u16) -> Result<(), ProbeFailure> {
        let page = match self {
            Self::Health => "/health",
            Self::Ready => "/ready",
        };
        let address = (host, port).to_socket_addrs()?.next();
        let address = address.ok_or(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))?;
        let mut stream = TcpStream::connect_timeout(&reachable(address), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("GET {page} HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        match answer.split(' ').nth(1) {
            Some("200") => Ok(()),
            Some(_) | None => {
                let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                Err(ProbeFailure::Answer(page, body.trim().to_owned()))
            }
        }
    }
}

/// Why a roomcast does not count as well.
#[derive(Debug)]
pub enum ProbeFailure {
    /// No connection, or no answer on it.
    Io(std::io::Error),
    /// The page, and what it said.
    Answer(&'static str, String),
}

impl From<std::io::Error> for ProbeFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the roomcast that is asked cannot be reached: {error}"),
            Self::Answer(page, body) => write!(f, "{page} answers {body:?}"),
        }
    }
}

/// The address at which a listener on all addresses is reached from its own machine.
const fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SocketAddr::V6(_) => address.set_ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        }
    }
    address
}

/// Longer than a look at the store takes (3 s).
const PATIENCE: Duration = Duration::from_secs(5);

const ANSWER_BYTES_MAX: u64 = 4096;
