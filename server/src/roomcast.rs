//! The program, as a program of one's own starts it.
//!
//! Owns: the order of what is said before it runs. Must never know: what handlers and routes do.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use roomcast_tokio::Namespace;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::additions::Additions;
use crate::process;
use crate::realtime::Realtime;

/// The program `roomcast`, and what is added to it.
#[derive(Debug, Default)]
pub struct Roomcast {
    additions: Additions,
    arguments: Option<Vec<OsString>>,
}

impl Roomcast {
    /// The program as it is, with the arguments of this process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds handlers to the namespace `/` of Open WebUI's endpoint; `set_up` is called once for each shard. They are given
    /// what Open WebUI's protocol does not know, in the order of a socket's events: one that comes behind `user-join`
    /// finds the login. What has no handler goes to Open WebUI's backend, as ever. A handler that is registered twice, and
    /// `on_any` and `admit`, which the program has itself, end the program at the start with a message that names them.
    pub fn handlers(mut self, set_up: impl Fn(&mut Namespace) + 'static) -> Self {
        self.additions.add_handlers(set_up);
        self
    }

    /// Adds a route to the HTTP API, such as `/api/feature`: a POST with the key of the API, whose JSON body is read as a
    /// `T`, and whose response is what `route` returns, as JSON. A body that is no `T` is answered 400, and a wrong key 401,
    /// as on the other routes. Requests are counted in `roomcast_api_requests_total` by this path. A path that is taken ends
    /// the program at the start.
    pub fn route<T, R, F, Fut>(mut self, path: &'static str, route: F) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Fn(Realtime, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        self.additions.add_route(path, route);
        self
    }

    /// Takes these arguments in place of those of the process, the program's name before them. The environment is read in
    /// any case.
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments = Some(arguments.into_iter().map(Into::into).collect());
        self
    }

    /// Runs the program until a signal ends it, and returns the status for the process to end with: 0 after a signal, 1 if
    /// it cannot start, 2 for a setting that cannot be used. It prints where it listens and logs to standard error, for
    /// which it sets the subscriber of `tracing`. What clap answers by itself (`--help`, a flag that does not exist) ends
    /// the process.
    pub fn main(self) -> ExitCode {
        let arguments = self.arguments.unwrap_or_else(|| std::env::args_os().collect());
        process::main(arguments, &self.additions)
    }
}
