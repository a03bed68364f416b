//! Long polling's requests: their heads, bodies and answers, and CORS.
//!
//! Owns: what a request means and the form of every answer. Must never know: how bytes of HTTP are read or written.
//!
//! Engine.IO protocol revision 4, section "HTTP long-polling"; Fetch standard, section 3.2 (CORS).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, CONTENT_TYPE,
    HeaderMap, HeaderValue, ORIGIN, UPGRADE, VARY,
};
use http::{Method, Request, Response, StatusCode};

use super::config::{EndpointId, EndpointKind, ErrorStyle, Origins, Transports};
use super::encoded::Encoded;
use super::event::{Handshake, Output, Reason, RequestId, SessionId, Sid};
use super::fault::PeerError;
use super::outbound::Flow;
use super::state::{self, RequestKind, SessionKind};
use super::{Head, Server};
use crate::engine_io::session::{Action, SessionEvent, State};
use crate::engine_io::{self, PayloadWriter, decode_payload};
use crate::slab::Slab;
use crate::time::Instant;

impl Server {
    /// The head of a request that does not ask for a WebSocket.
    pub fn handle_http_head(&mut self, endpoint: EndpointId, request: Request<()>, now: Instant) -> Head {
        let origin = request.headers().get(ORIGIN).cloned();
        match self.admit(endpoint, &request, origin.clone(), now) {
            Ok(request) => Head::Continue(request),
            Err(EarlyResponse::Fault(fault)) => {
                self.counters.peer_faults += 1;
                Head::Refuse(Box::new(self.fault_response(endpoint, fault, origin.as_ref())))
            }
            Err(EarlyResponse::Preflight) => Head::Refuse(Box::new(self.preflight(endpoint, &request))),
        }
    }

    /// Its body. The answer is an [`Output::Respond`], perhaps much later.
    pub fn handle_http_body(&mut self, request: RequestId, body: Bytes, now: Instant) {
        let Some(entry) = self.requests.get(request) else { return self.stale() };
        match &entry.kind {
            RequestKind::Open(handshake) => {
                let handshake = Arc::clone(handshake);
                self.open_by_polling(request, entry.endpoint, handshake, now);
            }
            RequestKind::Poll(session) => self.handle_poll(request, *session, now),
            RequestKind::Post(session) => self.handle_post(request, *session, body, now),
            // A second body of one request is the caller's mistake.
            RequestKind::TakenPost(_) => self.stale(),
        }
    }

    /// The client went away before the answer.
    pub(super) fn handle_http_aborted(&mut self, request: RequestId, now: Instant) {
        let Some(entry) = self.requests.remove(request) else { return self.stale() };
        match entry.kind {
            RequestKind::Open(_) => {}
            RequestKind::Poll(session) => {
                // One that was refused or never got its body is not the one that waits.
                if self.sessions.get(session).is_some_and(|record| record.poll == Some(request)) {
                    self.advance(session, SessionEvent::PollAborted, Reason::TransportError, now);
                }
            }
            RequestKind::Post(session) | RequestKind::TakenPost(session) => {
                if let Some(record) = self.sessions.get_mut(session)
                    && record.post == Some(request)
                {
                    record.post = None;
                }
            }
        }
    }

    /// Answers a request of any kind.
    pub(super) fn respond(&mut self, request: RequestId, status: StatusCode, body: Bytes) {
        let Some(entry) = self.requests.remove(request) else { return self.stale() };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.allow_origin(entry.endpoint, entry.origin.as_ref(), response.headers_mut());
        self.outputs.push_back(Output::Respond(request, Box::new(response)));
    }

    /// Answers a request with a fault.
    pub(super) fn respond_fault(&mut self, request: RequestId, fault: PeerError) {
        let Some(entry) = self.requests.remove(request) else { return self.stale() };
        self.counters.peer_faults += 1;
        let response = self.fault_response(entry.endpoint, fault, entry.origin.as_ref());
        self.outputs.push_back(Output::Respond(request, Box::new(response)));
    }

    /// The waiting poll, answered with what is queued and, at the end of a session, the `1` behind it. Whether
    /// everything fitted.
    pub(super) fn answer_poll(&mut self, session: SessionId, last: Option<&[u8]>) -> bool {
        let Some(record) = self.sessions.get_mut(session) else { return true };
        let Some(request) = record.poll.take() else { return true };
        record.polls_answered += 1;
        let Some(out) = self.outbounds.get_mut(session.slot()) else { return true };
        let mut body = PayloadWriter::new();
        out.pop_polling(usize::from(last.is_some()), POLL_BYTES_MAX, &mut body);
        out.announced = false;
        if out.flow == Flow::PollWaits {
            out.fall_behind(Flow::NoPoll);
        }
        let complete = out.is_empty();
        if let (true, Some(last)) = (complete, last) {
            body.push(last);
        }
        self.relieve(session);
        self.respond(request, StatusCode::OK, body.finish());
        complete
    }

    /// The waiting poll, answered with this one packet and nothing of the queue.
    pub(super) fn answer_poll_with(&mut self, session: SessionId, packet: &'static [u8]) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        let Some(request) = record.poll.take() else { return };
        self.respond(request, StatusCode::OK, Bytes::from_static(packet));
    }

    /// Headers by which a browser may read an answer.
    pub(super) fn allow_origin(&self, endpoint: EndpointId, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match self.endpoint(endpoint).map(|endpoint| &endpoint.origins) {
            Some(Origins::Any) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Some(Origins::List(list)) => {
                headers.insert(VARY, HeaderValue::from_static("Origin"));
                if let Some(origin) = origin.filter(|origin| is_listed(list, origin)) {
                    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
            None => {}
        }
    }

    /// Whether requests of this origin may come in.
    pub(super) fn check_origin(&self, endpoint: EndpointId, origin: Option<&HeaderValue>) -> Result<(), PeerError> {
        match (self.endpoint(endpoint).map(|endpoint| &endpoint.origins), origin) {
            (Some(Origins::List(list)), Some(origin)) if !is_listed(list, origin) => Err(PeerError::ForbiddenOrigin),
            (Some(Origins::List(_) | Origins::Any) | None, Some(_) | None) => Ok(()),
        }
    }

    /// A fault as an answer.
    pub(super) fn fault_response(
        &self,
        endpoint: EndpointId,
        fault: PeerError,
        origin: Option<&HeaderValue>,
    ) -> Response<Bytes> {
        let style = match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) => engine.errors,
            Some(EndpointKind::WebSocket(_)) | None => ErrorStyle::Object,
        };
        let content_type = match style {
            ErrorStyle::Object => "application/json",
            ErrorStyle::Text => "text/plain",
        };
        let mut response = Response::new(fault.body(style));
        *response.status_mut() = fault.verdict().status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if fault.verdict().status == StatusCode::UPGRADE_REQUIRED {
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        self.allow_origin(endpoint, origin, response.headers_mut());
        response
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
        self.check_origin(endpoint, origin.as_ref())?;
        let query = Query::of(request);
        query.check()?;
        match (query.transport, engine.transports) {
            (Some("polling"), Transports::Both | Transports::Polling) => {}
            // A handshake without its headers, as a proxy that knows no WebSocket makes of it.
            (Some("websocket"), Transports::Both | Transports::WebSocket) => return Err(PeerError::BadRequest.into()),
            (Some(_) | None, Transports::Both | Transports::Polling | Transports::WebSocket) => {
                return Err(PeerError::UnknownTransport.into());
            }
        }
        let Some(sid) = query.sid else {
            if request.method() != Method::GET {
                return Err(PeerError::BadMethod.into());
            }
            if !self.takes_sessions() {
                return Err(PeerError::Unavailable.into());
            }
            let kind = RequestKind::Open(Arc::new(Handshake::of(request)));
            return Ok(self.requests.insert(state::Request { endpoint, kind, origin }));
        };
        let session = self.session_by_sid(endpoint, sid)?;
        if request.method() == Method::GET {
            let kind = RequestKind::Poll(session);
            return Ok(self.requests.insert(state::Request { endpoint, kind, origin }));
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
        let busy = self.sessions.get(session).is_some_and(|record| record.post.is_some());
        let event = if busy { SessionEvent::PostTwice } else { SessionEvent::Post };
        if self.advance(session, event, Reason::TransportError, now) != Action::TakePost {
            return Err(PeerError::BadRequest.into());
        }
        let kind = RequestKind::Post(session);
        let request = self.requests.insert(state::Request { endpoint, kind, origin });
        if let Some(record) = self.sessions.get_mut(session) {
            record.post = Some(request);
        }
        Ok(request)
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
        query: &Query<'_>,
    ) -> Result<Option<SessionId>, PeerError> {
        query.sid.map(|sid| self.session_by_sid(endpoint, sid)).transpose()
    }

    fn open_by_polling(&mut self, request: RequestId, endpoint: EndpointId, handshake: Arc<Handshake>, now: Instant) {
        // Asked at the head too; others may have come since, or the server's end.
        if !self.takes_sessions() {
            return self.respond_fault(request, PeerError::Unavailable);
        }
        let session = self.open_session(endpoint, State::Polling, handshake, now);
        let open = self.open_packet(session);
        self.respond(request, StatusCode::OK, open);
        self.announce_session(session);
    }

    /// `0` and the handshake's JSON (Engine.IO protocol, "Handshake").
    pub(super) fn open_packet(&self, session: SessionId) -> Bytes {
        let Some(record) = self.sessions.get(session) else { return Bytes::new() };
        let Some(endpoint) = self.endpoint(record.endpoint) else { return Bytes::new() };
        let (EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) = &endpoint.kind else {
            return Bytes::new();
        };
        let can_upgrade = record.state == State::Polling && engine.transports == Transports::Both;
        let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let handshake = engine_io::Handshake {
            sid: record.sid.as_str(),
            upgrades: if can_upgrade { &["websocket"] } else { &[] },
            ping_interval_ms: millis(engine.ping_interval),
            ping_timeout_ms: millis(engine.ping_timeout),
            max_payload_bytes: engine.max_payload_bytes,
        };
        Bytes::from(format!("0{}", handshake.encode()))
    }

    fn handle_poll(&mut self, request: RequestId, session: SessionId, now: Instant) {
        let Some(record) = self.sessions.get(session) else {
            return self.respond_fault(request, PeerError::UnknownSession);
        };
        let event = if record.poll.is_some() { SessionEvent::PollTwice } else { SessionEvent::Poll };
        match self.advance(session, event, Reason::TransportError, now) {
            Action::HoldPoll => {
                if let Some(record) = self.sessions.get_mut(session) {
                    record.poll = Some(request);
                }
                if let Some(out) = self.outbounds.get_mut(session.slot()) {
                    out.flow = Flow::PollWaits;
                }
                self.announce(session);
            }
            Action::AnswerNoop => self.respond(request, StatusCode::OK, Bytes::from_static(b"6")),
            Action::DeliverClose => self.deliver_close(request, session, now),
            Action::Ignore
            | Action::TakePost
            | Action::RefuseRequest
            | Action::EndByOverlap
            | Action::AttachProbe
            | Action::CloseNewcomer
            | Action::AnswerProbe
            | Action::DropProbe
            | Action::Switch
            | Action::EndByPeer
            | Action::SendClose
            | Action::End => self.respond_fault(request, PeerError::BadRequest),
        }
    }

    fn handle_post(&mut self, request: RequestId, session: SessionId, body: Bytes, now: Instant) {
        let Some(endpoint) = self.requests.get(request).map(|entry| entry.endpoint) else { return };
        if body.len() > self.body_bytes_max(endpoint) {
            self.end_post(session, request);
            return self.respond_fault(request, PeerError::PayloadTooLarge);
        }
        if self.sessions.get(session).is_none_or(|record| record.post != Some(request)) {
            return self.respond_fault(request, PeerError::UnknownSession);
        }
        if let Some(entry) = self.requests.get_mut(request) {
            entry.kind = RequestKind::TakenPost(session);
        }
        for packet in decode_payload(body) {
            let taken = match packet {
                Ok(packet) => self.handle_packet(session, packet, now),
                Err(_) => Err(PeerError::BadEnginePacket),
            };
            if let Err(fault) = taken {
                self.fault(session, fault, now);
                // The session's end has answered the request, unless it was over before.
                if self.requests.contains(request) {
                    self.respond_fault(request, fault);
                }
                return;
            }
            if !self.requests.contains(request) {
                return;
            }
        }
        self.pause_if_behind(session);
        if self.sessions.get(session).is_some_and(|record| record.paused) {
            return;
        }
        self.finish_post(session);
    }

    /// Answers the POST under way, if its packets are taken.
    pub(super) fn finish_post(&mut self, session: SessionId) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        let (endpoint, post) = (record.endpoint, record.post);
        let Some(request) = post.filter(|post| is_taken(&self.requests, *post)) else { return };
        record.post = None;
        let answer = match self.endpoint(endpoint).map(|endpoint| &endpoint.kind) {
            Some(EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine)) => engine.post_answer,
            Some(EndpointKind::WebSocket(_)) | None => "ok",
        };
        self.respond(request, StatusCode::OK, Bytes::from_static(answer.as_bytes()));
    }

    fn end_post(&mut self, session: SessionId, request: RequestId) {
        if let Some(record) = self.sessions.get_mut(session)
            && record.post == Some(request)
        {
            record.post = None;
        }
    }

    fn deliver_close(&mut self, request: RequestId, session: SessionId, now: Instant) {
        if let Some(record) = self.sessions.get_mut(session) {
            record.poll = Some(request);
        }
        if self.answer_poll(session, Some(b"1")) {
            self.free_session(session, None, now);
        } else if let Some(record) = self.sessions.get_mut(session) {
            // More is queued than one answer takes: the next poll gets the rest.
            record.state = State::Closing;
        }
    }

    /// OPTIONS: what a browser asks before it sends something out of the ordinary.
    fn preflight(&self, endpoint: EndpointId, request: &Request<()>) -> Response<Bytes> {
        let origin = request.headers().get(ORIGIN);
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.allow_origin(endpoint, origin, headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        let wanted = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS);
        let wanted = wanted.cloned().unwrap_or(HeaderValue::from_static("Content-Type"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        response
    }

    /// A session with a waiting poll has something: the answer.
    pub(super) fn poll_due(&mut self, session: SessionId) -> Option<Output> {
        self.sessions.get(session)?.poll?;
        self.answer_poll(session, None);
        self.outputs.pop_front()
    }

    /// A packet for a session, whatever its transport.
    pub(super) fn send_encoded(&mut self, session: SessionId, packet: &Arc<Encoded>) {
        let hard = self.config.limits.queue_bytes_max;
        let Some(out) = self.outbounds.get_mut(session.slot()) else { return };
        let pushed = out.push(packet, hard);
        self.pushed(session, pushed);
    }
}

/// About how many bytes the answer of a poll takes.
const POLL_BYTES_MAX: usize = 1 << 20;

fn is_taken(requests: &Slab<RequestId, state::Request>, request: RequestId) -> bool {
    requests.get(request).is_some_and(|entry| match entry.kind {
        RequestKind::TakenPost(_) => true,
        RequestKind::Open(_) | RequestKind::Poll(_) | RequestKind::Post(_) => false,
    })
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
pub(super) struct Query<'a> {
    version: Option<&'a str>,
    pub(super) transport: Option<&'a str>,
    pub(super) sid: Option<&'a str>,
}

impl<'a> Query<'a> {
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

fn is_listed(list: &[String], origin: &HeaderValue) -> bool {
    list.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
}
