//! Which path is which endpoint.
//!
//! Owns: the endpoints' paths and the limits on requests to them. Must never know: handlers.

use roomcast_core::server::config::{EndpointKind, PathMatch};
use roomcast_core::server::{Config, EndpointId};

use crate::http_limits::HttpLimits;

pub(crate) struct Endpoints {
    config: Config,
    pub(crate) limits: HttpLimits,
}

impl Endpoints {
    pub(crate) fn new(config: &Config, limits: HttpLimits) -> Self {
        Self { config: config.clone(), limits }
    }

    /// The endpoint that serves a path.
    pub(crate) fn route(&self, path: &str) -> Option<EndpointId> {
        self.config.route(path)
    }

    /// The endpoint that is registered with this path; a slash at its end does not matter.
    pub(crate) fn endpoint(&self, path: &str) -> Option<EndpointId> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        self.position(|endpoint| endpoint.path.trim_end_matches('/') == bare)
    }

    /// The first Socket.IO endpoint; the first of all if there is none.
    pub(crate) fn first_socket_io(&self) -> EndpointId {
        self.position(|endpoint| matches!(endpoint.kind, EndpointKind::SocketIo(..))).unwrap_or(EndpointId::new(0))
    }

    /// The path with which an endpoint is registered.
    pub(crate) fn path(&self, endpoint: EndpointId) -> &str {
        self.config.endpoints.get(endpoint.index()).map_or("", |endpoint| &endpoint.path)
    }

    /// The path of an endpoint for all those below it, where clients with the same path belong together.
    pub(crate) fn path_below(&self, endpoint: EndpointId) -> Option<&str> {
        let endpoint = self.config.endpoints.get(endpoint.index())?;
        match (&endpoint.kind, endpoint.path_match) {
            (EndpointKind::WebSocket(_), PathMatch::Below) => Some(&endpoint.path),
            _ => None,
        }
    }

    /// The paths of all endpoints, in their order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.config.endpoints.iter().map(|endpoint| &*endpoint.path)
    }

    /// Whether there is Socket.IO.
    pub(crate) fn has_socket_io(&self) -> bool {
        self.position(|endpoint| matches!(endpoint.kind, EndpointKind::SocketIo(..))).is_some()
    }

    /// Largest body of a request to an endpoint, in bytes.
    pub(crate) fn body_bytes_max(&self, endpoint: EndpointId) -> usize {
        match self.config.endpoints.get(endpoint.index()).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) => engine.max_payload_bytes,
            Some(EndpointKind::WebSocket(_)) | None => 0,
            // A kind that this adapter does not know takes no bodies.
            Some(_) => 0,
        }
    }

    fn position(&self, wanted: impl Fn(&roomcast_core::server::Endpoint) -> bool) -> Option<EndpointId> {
        let index = self.config.endpoints.iter().position(wanted)?;
        u16::try_from(index).ok().map(EndpointId::new)
    }
}
