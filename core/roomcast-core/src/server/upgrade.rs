//! Requests that ask for a WebSocket.
//!
//! Owns: whether such a request is accepted, and what a new stream begins as. Must never know: what goes over it.
//!
//! RFC 6455 section 4.2; Engine.IO protocol revision 4, section "WebSocket".

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_EXTENSIONS};
use http::{Request, Response};

use super::config::{EndpointId, EndpointKind};
use super::encoded::Encoded;
use super::event::{Handshake, Reason, SessionId, Upgrade};
use super::fault::PeerError;
use super::http::UrlQuery;
use super::outbound::SessionFlow;
use super::streams::StreamRole;
use super::{Server, outbound_of};
use crate::engine_io::session::{Action, SessionEvent, State};
use crate::time::Instant;
use crate::websocket::{self, CloseCode, DeflateAgreement};

impl Server {
    /// A request that asks for a WebSocket.
    pub fn handle_upgrade(&mut self, endpoint: EndpointId, request: &Request<()>, now: Instant) -> Upgrade {
        self.now = now;
        let origin = request.headers().get(ORIGIN);
        let refused = match self.admit_upgrade(endpoint, request) {
            Ok(existing) => match websocket::handshake::accept(request) {
                Ok(mut response) => {
                    let deflate = self.streams.agree(endpoint, request.headers());
                    if let Some(agreement) = deflate {
                        response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, agreement.header());
                    }
                    let accepted = self.accept_upgrade(endpoint, request, existing, (response, deflate), now);
                    self.finish(now);
                    return accepted;
                }
                Err(error) => {
                    self.counters.peer_faults += 1;
                    let mut response = self.requests.fault_response(endpoint, PeerError::BadHandshake, origin);
                    *response.status_mut() = error.status();
                    for (name, value) in error.headers() {
                        let name = HeaderName::from_static(name);
                        response.headers_mut().insert(name, HeaderValue::from_static(value));
                    }
                    response
                }
            },
            Err(fault) => {
                self.counters.peer_faults += 1;
                self.requests.fault_response(endpoint, fault, origin)
            }
        };
        Upgrade::Refuse(Box::new(refused))
    }

    fn admit_upgrade(&self, endpoint: EndpointId, request: &Request<()>) -> Result<Option<SessionId>, PeerError> {
        let settings = self.endpoint(endpoint).ok_or(PeerError::BadRequest)?;
        self.requests.check_origin(endpoint, request)?;
        let existing = match &settings.kind {
            EndpointKind::WebSocket(_) => None,
            EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => {
                let query = UrlQuery::of(request);
                query.check()?;
                match (query.transport, engine.transports) {
                    (Some("websocket"), offered) if offered.has_web_socket() => {}
                    (Some("polling"), offered) if offered.has_polling() => return Err(PeerError::BadRequest),
                    (Some(_) | None, _) => return Err(PeerError::UnknownTransport),
                }
                let existing = self.session_of_query(endpoint, &query)?;
                if existing.is_some() && !engine.transports.can_upgrade() {
                    return Err(PeerError::BadRequest);
                }
                existing
            }
        };
        if existing.is_none() && !self.takes_sessions() {
            return Err(PeerError::Unavailable);
        }
        Ok(existing)
    }

    fn accept_upgrade(
        &mut self,
        endpoint: EndpointId,
        request: &Request<()>,
        existing: Option<SessionId>,
        (response, deflate): (Response<()>, Option<DeflateAgreement>),
        now: Instant,
    ) -> Upgrade {
        let conn = match existing {
            Some(session) => {
                let conn = self.streams.open(endpoint, session, StreamRole::Probe, deflate);
                let action = self.advance(session, SessionEvent::WsArrived, Reason::TransportClose, now);
                if action == Action::AttachProbe {
                    self.attach_probe(session, conn, now);
                } else {
                    // The session has its WebSocket, or is ending: this one is not part of it.
                    self.close_conn(conn, Some(CloseCode::POLICY), now);
                }
                conn
            }
            None => {
                let handshake = Arc::new(Handshake::with(request, &self.config.limits.handshake_headers));
                let session = self.open_session(endpoint, State::WebSocket, handshake, now);
                let conn = self.streams.open(endpoint, session, StreamRole::Own, deflate);
                if let (Some(record), Some(queue)) =
                    (self.sessions.get_mut(session), self.queues.get_mut(outbound_of(session)))
                {
                    record.conn = Some(conn);
                    queue.attach(conn, SessionFlow::Open);
                }
                let open = self.open_packet(session);
                if !open.is_empty() {
                    let packet = Encoded::packet(open.len(), |out| out.extend_from_slice(&open), &[]);
                    self.send(session, &packet);
                }
                self.announce_session(session);
                conn
            }
        };
        Upgrade::Accept(conn, response)
    }
}
