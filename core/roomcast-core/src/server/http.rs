//! The heads of HTTP requests: which of them open a session, poll one or post to one.
//!
//! Owns: what a request means and which are refused. Must never know: the form of an answer, or what packets mean.
//!
//! Engine.IO protocol revision 4, section "HTTP long-polling".

use std::sync::Arc;

use http::header::{HeaderValue, ORIGIN};
use http::{Method, Request};

use super::config::{EndpointId, EndpointKind};
use super::event::{Handshake, Reason, RequestId, SessionId, Sid};
use super::fault::PeerError;
use super::requests::RequestKind;
use super::state::SessionKind;
use super::{Head, NewPeers, Server};
use crate::engine_io::session::{Action, SessionEvent};
use crate::time::Instant;

impl Server {
    /// The head of a request that does not ask for a WebSocket.
    pub fn handle_http_head(&mut self, endpoint: EndpointId, request: Request<()>, now: Instant) -> Head {
        self.now = now;
        let origin = request.headers().get(ORIGIN).cloned();
        let admitted = self.admit(endpoint, &request, origin.clone(), now);
        self.finish(now);
        match admitted {
            Ok(request) => Head::Continue(request),
            Err(EarlyResponse::Fault(fault)) => {
                self.counters.peer_faults += 1;
                Head::Refuse(Box::new(self.requests.fault_response(endpoint, fault, origin.as_ref())))
            }
            Err(EarlyResponse::Preflight) => Head::Refuse(Box::new(self.requests.preflight(endpoint, &request))),
        }
    }

    fn admit(
        &mut self,
        endpoint: EndpointId,
        request: &Request<()>,
        origin: Option<HeaderValue>,
        now: Instant,
    ) -> Result<RequestId, EarlyResponse> {
        let settings = self.endpoint(endpoint).ok_or(PeerError::BadRequest)?;
        let engine = match &settings.kind {
            EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => engine,
            EndpointKind::WebSocket(_) => return Err(PeerError::UpgradeRequired.into()),
        };
        if request.method() == Method::OPTIONS {
            return Err(EarlyResponse::Preflight);
        }
        self.requests.check_origin(endpoint, request)?;
        let query = UrlQuery::of(request);
        query.check()?;
        match (query.transport, engine.transports) {
            (Some("polling"), offered) if offered.has_polling() => {}
            // A handshake without its headers, as a proxy that knows no WebSocket makes of it.
            (Some("websocket"), offered) if offered.has_web_socket() => return Err(PeerError::BadRequest.into()),
            (Some(_) | None, _) => return Err(PeerError::UnknownTransport.into()),
        }
        let Some(sid) = query.sid else {
            if request.method() != Method::GET {
                return Err(PeerError::BadMethod.into());
            }
            if !self.takes_sessions() {
                return Err(PeerError::Unavailable.into());
            }
            let kind = RequestKind::Open(Arc::new(Handshake::with(request, &self.config.limits.handshake_headers)));
            return Ok(self.requests.open(endpoint, kind, origin));
        };
        let session = self.session_by_sid(endpoint, sid)?;
        if request.method() == Method::GET {
            let kind = RequestKind::Poll(session);
            return Ok(self.requests.open(endpoint, kind, origin));
        }
        if request.method() != Method::POST {
            return Err(PeerError::BadMethod.into());
        }
        self.begin_post(endpoint, session, origin, now)
    }

    /// A POST is under way from its head on, so that a second one is seen while the body of the first still comes.
    fn begin_post(
        &mut self,
        endpoint: EndpointId,
        session: SessionId,
        origin: Option<HeaderValue>,
        now: Instant,
    ) -> Result<RequestId, EarlyResponse> {
        let event = if self.requests.is_posting(session) { SessionEvent::PostTwice } else { SessionEvent::Post };
        if self.advance(session, event, Reason::TransportError, now) != Action::TakePost {
            return Err(PeerError::BadRequest.into());
        }
        Ok(self.requests.open(endpoint, RequestKind::Post(session), origin))
    }

    fn session_by_sid(&self, endpoint: EndpointId, sid: &str) -> Result<SessionId, PeerError> {
        let session = Sid::parse(sid).and_then(|sid| self.session_sids.get(&sid)).copied();
        let session = session.ok_or(PeerError::UnknownSession)?;
        let record = self.sessions.get(session).ok_or(PeerError::UnknownSession)?;
        if record.endpoint != endpoint || record.kind == SessionKind::WebSocket {
            return Err(PeerError::UnknownSession);
        }
        Ok(session)
    }

    /// The session that a query names, if it names one.
    pub(super) fn session_of_query(
        &self,
        endpoint: EndpointId,
        query: &UrlQuery<'_>,
    ) -> Result<Option<SessionId>, PeerError> {
        query.sid.map(|sid| self.session_by_sid(endpoint, sid)).transpose()
    }

    /// Whether there is room for one more.
    pub(super) fn takes_sessions(&self) -> bool {
        self.running == NewPeers::Yes && self.sessions.len() < self.config.limits.sessions_max
    }
}

/// Why a request's head is answered at once.
enum EarlyResponse {
    Fault(PeerError),
    Preflight,
}

impl From<PeerError> for EarlyResponse {
    fn from(fault: PeerError) -> Self {
        Self::Fault(fault)
    }
}

/// What the query says. Of a name that comes twice, the first counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UrlQuery<'a> {
    version: Option<&'a str>,
    pub(super) transport: Option<&'a str>,
    pub(super) sid: Option<&'a str>,
}

impl<'a> UrlQuery<'a> {
    pub(super) fn of<T>(request: &'a Request<T>) -> Self {
        let mut query = Self::default();
        for pair in request.uri().query().unwrap_or("").split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "EIO" => &mut query.version,
                "transport" => &mut query.transport,
                "sid" => &mut query.sid,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        query
    }

    /// The transport must be known before the version is looked at, as with engine.io.
    pub(super) fn check(&self) -> Result<(), PeerError> {
        match self.transport {
            Some("polling" | "websocket") => {}
            Some(_) | None => return Err(PeerError::UnknownTransport),
        }
        if self.version != Some("4") {
            return Err(PeerError::UnsupportedVersion);
        }
        Ok(())
    }
}
