//! HTTP requests of long polling: which are open, which of them waits as a session's poll, which is its POST.
//!
//! Owns: open requests, the packets of POSTs that are not taken yet, and the form of every answer. Must never know: what
//! packets mean, or how bytes of HTTP are read and written.
//!
//! Engine.IO protocol revision 4, section
//! ["HTTP long-polling"](https://github.com/socketio/engine.io-protocol#http-long-polling); Fetch standard, section 3.2
//! (CORS).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, CONTENT_TYPE,
    HOST, HeaderMap, HeaderValue, ORIGIN, SET_COOKIE, UPGRADE, VARY,
};
use http::{Request, Response, StatusCode};

use super::config::{Endpoint, EndpointId, EndpointKind, ErrorStyle, Origins};
use super::event::{Handshake, Output, RequestId, SessionId};
use super::fault::PeerError;
use super::outbound::Outbound;
use super::poll_body::PollBody;
use crate::engine_io::Payload;
use crate::slab::Slab;

/// The machine of polling requests.
#[derive(Debug)]
pub(super) struct Requests {
    endpoints: Vec<AnswerForm>,
    open: Slab<RequestId, OpenRequest>,
    /// By the slot of the session.
    of_session: Vec<Polling>,
    faults: u64,
}

/// How answers of an endpoint look.
#[derive(Debug)]
struct AnswerForm {
    origins: Origins,
    errors: ErrorStyle,
    post_answer: &'static str,
    /// Headers of every answer with success.
    success: HeaderMap,
}

/// A request that is not answered.
#[derive(Debug)]
struct OpenRequest {
    endpoint: EndpointId,
    kind: RequestKind,
    /// The browser's origin, if one asks.
    origin: Option<HeaderValue>,
    /// What a waiting poll will be answered with. It goes out when the driver asks for it, and grows until then.
    answer: Option<UnpolledAnswer>,
}

/// What a request is for.
#[derive(Clone, Debug)]
pub(super) enum RequestKind {
    /// Opens a session.
    Open(Arc<Handshake>),
    /// Fetches what is queued.
    Poll(SessionId),
    /// Brings packets.
    Post(SessionId),
}

/// The requests of one session.
#[derive(Debug, Default)]
struct Polling {
    poll: Option<RequestId>,
    post: Option<Post>,
    polls_answered: u64,
}

/// The answer of a poll that has not been polled.
#[derive(Debug)]
struct UnpolledAnswer {
    /// Its body is still to come. In the box that goes out, for polls are answered by the thousand at once.
    response: Box<Response<Bytes>>,
    body: PollBody,
}

/// A POST under way.
#[derive(Debug)]
struct Post {
    request: RequestId,
    /// What is left of its body: `None` until the body is there.
    rest: Option<Payload>,
}

/// What came of filling an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// No poll waits.
    Nothing,
    /// The answer is due from now on.
    First,
    /// The answer is due already, and has become longer.
    More,
}

/// What a request was when it was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aborted {
    /// The poll that waited for this session.
    WaitingPoll(SessionId),
    /// One that no session depends on.
    Other,
}

impl Requests {
    /// A machine for these endpoints.
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        let form = |endpoint: &Endpoint| {
            let (errors, post_answer) = match &endpoint.kind {
                EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => {
                    (engine.errors, engine.post_answer)
                }
                EndpointKind::WebSocket(_) => (ErrorStyle::Object, "ok"),
            };
            let mut success = HeaderMap::new();
            success.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
            success.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            allow_origin(&endpoint.origins, None, &mut success);
            AnswerForm { origins: endpoint.origins.clone(), errors, post_answer, success }
        };
        Self { endpoints: endpoints.iter().map(form).collect(), open: Slab::new(), of_session: Vec::new(), faults: 0 }
    }

    /// A request whose body is awaited.
    pub(super) fn open(&mut self, endpoint: EndpointId, kind: RequestKind, origin: Option<HeaderValue>) -> RequestId {
        let request = self.open.insert(OpenRequest { endpoint, kind: kind.clone(), origin, answer: None });
        if let RequestKind::Post(session) = kind {
            // From its head on, so that a second one is seen while the body of the first still comes.
            self.polling_mut(session).post = Some(Post { request, rest: None });
        }
        request
    }

    /// Where a request came in and what it is for.
    pub(super) fn get(&self, request: RequestId) -> Option<(EndpointId, RequestKind)> {
        self.open.get(request).map(|open| (open.endpoint, open.kind.clone()))
    }

    /// Lets a request wait as the session's poll.
    pub(super) fn hold_poll(&mut self, session: SessionId, request: RequestId) {
        self.polling_mut(session).poll = Some(request);
    }

    /// Whether a poll of the session waits.
    pub(super) fn is_polled(&self, session: SessionId) -> bool {
        self.polling(session).is_some_and(|polling| polling.poll.is_some())
    }

    /// Whether a POST of the session is under way.
    pub(super) fn is_posting(&self, session: SessionId) -> bool {
        self.polling(session).is_some_and(|polling| polling.post.is_some())
    }

    /// Whether the POST of the session has a body of which packets are left.
    pub(super) fn has_packets(&self, session: SessionId) -> bool {
        let post = self.polling(session).and_then(|polling| polling.post.as_ref());
        post.and_then(|post| post.rest.as_ref()).is_some_and(|rest| !rest.is_finished())
    }

    /// The body of a session's POST came; `false` if `request` is not its POST or had its body before.
    pub(super) fn handle_body(&mut self, session: SessionId, request: RequestId, packets: Payload) -> bool {
        match &mut self.polling_mut(session).post {
            Some(Post { request: own, rest: rest @ None }) if *own == request => {
                *rest = Some(packets);
                true
            }
            Some(_) | None => false,
        }
    }

    /// What is left of the body of a session's POST.
    pub(super) fn packets(&mut self, session: SessionId) -> Option<&mut Payload> {
        self.of_session.get_mut(session.slot())?.post.as_mut()?.rest.as_mut()
    }

    /// Bytes of a POST that are not taken.
    pub(super) fn pinned_bytes(&self, session: SessionId) -> usize {
        let post = self.polling(session).and_then(|polling| polling.post.as_ref());
        post.and_then(|post| post.rest.as_ref()).map_or(0, Payload::rest_bytes)
    }

    /// The client went away; `None` for a stale handle.
    pub(super) fn handle_aborted(&mut self, request: RequestId) -> Option<Aborted> {
        let open = self.open.remove(request)?;
        match open.kind {
            RequestKind::Open(_) => {}
            RequestKind::Poll(session) => {
                // One that was refused or never got its body is not the one that waits.
                let polling = self.polling_mut(session);
                if polling.poll == Some(request) {
                    polling.poll = None;
                    return Some(Aborted::WaitingPoll(session));
                }
            }
            RequestKind::Post(session) => {
                let polling = self.polling_mut(session);
                if polling.post.as_ref().is_some_and(|post| post.request == request) {
                    polling.post = None;
                }
            }
        }
        Some(Aborted::Other)
    }

    /// The answer of the waiting poll: what it was to be answered with already, and `packet`, of the queue no more.
    pub(super) fn answer_poll_with(&mut self, session: SessionId, packet: &'static [u8]) -> Option<Output> {
        let request = self.of_session.get_mut(session.slot())?.poll.take()?;
        match &mut self.open.get_mut(request)?.answer {
            Some(answer) if !answer.body.is_full() => answer.body.push(packet),
            Some(_) => {}
            None => return self.respond(request, Bytes::from_static(packet)),
        }
        self.send_answer(request)
    }

    /// The answer of the waiting poll: what fits of its queue, and behind all of it `last`, at the end of a session. Whether
    /// all of that fitted.
    pub(super) fn answer_poll(
        &mut self,
        session: SessionId,
        queue: &mut Outbound,
        last: &[u8],
    ) -> Option<(Output, bool)> {
        self.fill(session, queue, 1)?;
        queue.end_poll();
        let request = self.of_session.get_mut(session.slot())?.poll.take()?;
        let answer = self.open.get_mut(request)?.answer.as_mut()?;
        let fits = queue.is_empty() && !answer.body.is_full();
        if fits {
            answer.body.push(last);
        }
        Some((self.send_answer(request)?, fits))
    }

    /// Puts what fits of its queue into the answer of the waiting poll.
    pub(super) fn fill_answer(&mut self, session: SessionId, queue: &mut Outbound) -> Filled {
        self.fill(session, queue, 0).unwrap_or(Filled::Nothing)
    }

    /// The answer of the waiting poll as it stands.
    pub(super) fn pop_answer(&mut self, session: SessionId) -> Option<Output> {
        let poll = &mut self.of_session.get_mut(session.slot())?.poll;
        let request = poll.take_if(|request| self.open.get(*request).is_some_and(|open| open.answer.is_some()))?;
        self.send_answer(request)
    }

    fn fill(&mut self, session: SessionId, queue: &mut Outbound, reserved: usize) -> Option<Filled> {
        let polling = self.of_session.get_mut(session.slot())?;
        let open = self.open.get_mut(polling.poll?)?;
        if let Some(answer) = &mut open.answer {
            queue.take_for_poll(reserved, POLL_BYTES_MAX, &mut answer.body);
            return Some(Filled::More);
        }
        let response = Box::new(success(&self.endpoints, open.endpoint, open.origin.as_ref(), Bytes::new()));
        let mut body = PollBody::default();
        queue.take_for_poll(reserved, POLL_BYTES_MAX, &mut body);
        open.answer = Some(UnpolledAnswer { response, body });
        polling.polls_answered += 1;
        Some(Filled::First)
    }

    /// Sends what a poll is to be answered with.
    fn send_answer(&mut self, request: RequestId) -> Option<Output> {
        let UnpolledAnswer { mut response, body } = self.open.remove(request)?.answer?;
        *response.body_mut() = body.finish();
        Some(Output::Respond(request, response))
    }

    /// The answer of a POST whose packets are all taken; `None` if there is none.
    pub(super) fn finish_post(&mut self, session: SessionId) -> Option<Output> {
        let polling = self.of_session.get_mut(session.slot())?;
        let is_taken = |post: &mut Post| post.rest.as_ref().is_some_and(Payload::is_finished);
        let request = polling.post.take_if(is_taken)?.request;
        let endpoint = self.open.get(request)?.endpoint;
        let body = self.endpoints.get(endpoint.index()).map_or("ok", |form| form.post_answer);
        self.respond(request, Bytes::from_static(body.as_bytes()))
    }

    /// Ends a session: its POST is answered with success if its body is there and `fault` is `None`, and with the fault
    /// otherwise; a poll that still waits, with a fault in any case.
    pub(super) fn close(&mut self, session: SessionId, fault: Option<PeerError>) -> [Option<Output>; 2] {
        let Some(polling) = self.of_session.get_mut(session.slot()) else { return [None, None] };
        let Polling { poll, mut post, .. } = std::mem::take(polling);
        let poll = poll.and_then(|request| match self.open.get(request)?.answer {
            Some(_) => self.send_answer(request),
            None => self.respond_fault(request, PeerError::BadRequest),
        });
        let post = match (post.take(), fault) {
            (Some(Post { request, rest: Some(_) }), None) => {
                let endpoint = self.open.get(request).map(|open| open.endpoint);
                let form = endpoint.and_then(|endpoint| self.endpoints.get(endpoint.index()));
                let body = form.map_or("ok", |form| form.post_answer);
                self.respond(request, Bytes::from_static(body.as_bytes()))
            }
            (Some(post), fault) => self.respond_fault(post.request, fault.unwrap_or(PeerError::BadRequest)),
            (None, _) => None,
        };
        [poll, post]
    }

    /// Begins with a new session in its place.
    pub(super) fn start(&mut self, session: SessionId) {
        *self.polling_mut(session) = Polling::default();
    }

    /// Forgets a POST that was refused.
    pub(super) fn forget_post(&mut self, session: SessionId, request: RequestId) {
        self.polling_mut(session).post.take_if(|post| post.request == request);
    }

    /// How many polls of a session have been answered with what was queued.
    pub(super) fn polls_answered(&self, session: SessionId) -> u64 {
        self.polling(session).map_or(0, |polling| polling.polls_answered)
    }

    /// How many requests were answered with a fault since startup.
    pub(super) fn faults(&self) -> u64 {
        self.faults
    }

    /// How many requests are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Answers a request with success; `None` for a stale handle.
    pub(super) fn respond(&mut self, request: RequestId, body: Bytes) -> Option<Output> {
        self.respond_opening(request, body, None)
    }

    /// The same for a request that opened a session, which may have a cookie.
    pub(super) fn respond_opening(
        &mut self,
        request: RequestId,
        body: Bytes,
        cookie: Option<HeaderValue>,
    ) -> Option<Output> {
        let OpenRequest { endpoint, origin, .. } = self.open.remove(request)?;
        let mut response = success(&self.endpoints, endpoint, origin.as_ref(), body);
        if let Some(cookie) = cookie {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        Some(Output::Respond(request, Box::new(response)))
    }

    /// Answers a request with a fault; `None` for a stale handle.
    pub(super) fn respond_fault(&mut self, request: RequestId, fault: PeerError) -> Option<Output> {
        let OpenRequest { endpoint, origin, .. } = self.open.remove(request)?;
        self.faults += 1;
        Some(Output::Respond(request, Box::new(self.fault_response(endpoint, fault, origin.as_ref()))))
    }

    /// A fault as an answer.
    pub(super) fn fault_response(
        &self,
        endpoint: EndpointId,
        fault: PeerError,
        origin: Option<&HeaderValue>,
    ) -> Response<Bytes> {
        let style = self.endpoints.get(endpoint.index()).map_or(ErrorStyle::Object, |form| form.errors);
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

    /// The answer to OPTIONS, by which a browser asks before it sends something out of the ordinary.
    pub(super) fn preflight(&self, endpoint: EndpointId, request: &Request<()>) -> Response<Bytes> {
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

    /// Whether requests of this origin, if it is a browser's, are accepted.
    pub(super) fn check_origin(&self, endpoint: EndpointId, request: &Request<()>) -> Result<(), PeerError> {
        let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
        let is_accepted = match self.endpoints.get(endpoint.index()).map(|form| &form.origins) {
            Some(Origins::List(list)) => is_listed(list, origin),
            Some(Origins::Same) => is_same(origin, request),
            Some(Origins::Any) | None => true,
        };
        if is_accepted { Ok(()) } else { Err(PeerError::ForbiddenOrigin) }
    }

    /// Headers by which a browser may read an answer.
    fn allow_origin(&self, endpoint: EndpointId, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if let Some(form) = self.endpoints.get(endpoint.index()) {
            allow_origin(&form.origins, origin, headers);
        }
    }

    fn polling(&self, session: SessionId) -> Option<&Polling> {
        self.of_session.get(session.slot())
    }

    fn polling_mut(&mut self, session: SessionId) -> &mut Polling {
        if self.of_session.len() <= session.slot() {
            self.of_session.resize_with(session.slot() + 1, Polling::default);
        }
        &mut self.of_session[session.slot()]
    }
}

/// About how many bytes the answer of a poll takes.
const POLL_BYTES_MAX: usize = 1 << 20;

/// An answer with success.
fn success(
    endpoints: &[AnswerForm],
    endpoint: EndpointId,
    origin: Option<&HeaderValue>,
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    if let Some(form) = endpoints.get(endpoint.index()) {
        *response.headers_mut() = form.success.clone();
        if origin.is_some() {
            allow_origin(&form.origins, origin, response.headers_mut());
        }
    }
    response
}

/// Adds the headers by which a browser of an origin may read an answer.
fn allow_origin(origins: &Origins, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    match origins {
        Origins::Any => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        // A browser asks no leave for its own origin, and another one is refused.
        Origins::Same => {}
        Origins::List(list) => {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
            if let Some(origin) = origin.filter(|origin| is_listed(list, origin)) {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
    }
}

/// Whether an origin is on the host that it asks. Not the scheme: TLS may end at a proxy.
fn is_same(origin: &HeaderValue, request: &Request<()>) -> bool {
    let origin = origin.as_bytes();
    let theirs = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
    // HTTP/2 has it in the URI.
    let in_uri = || request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let ours = request.headers().get(HOST).map(HeaderValue::as_bytes).or_else(in_uri);
    theirs.zip(ours).is_some_and(|(theirs, ours)| theirs.eq_ignore_ascii_case(ours))
}

fn is_listed(list: &[String], origin: &HeaderValue) -> bool {
    list.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine_io::{PACKETS_PER_ANSWER_MAX, decode_payload};
    use crate::id::SlabKey as _;
    use crate::server::encoded::Encoded;
    use crate::server::outbound::{Pushed, SessionFlow};

    #[test]
    fn a_poll_is_answered_with_its_queue_and_the_last_packet_behind_all_of_it() {
        let (mut requests, session) = requests();
        let mut queue = Outbound::default();
        queue.flow = SessionFlow::PollWaits;
        assert!(requests.answer_poll(session, &mut queue, b"1").is_none(), "none waits");
        assert_eq!(requests.fill_answer(session, &mut queue), Filled::Nothing);
        for text in ["4a", "4b"] {
            queue.push(&Encoded::text(text), usize::MAX);
        }
        poll(&mut requests, session);
        assert!(requests.is_polled(session));
        let (output, fits) = requests.answer_poll(session, &mut queue, b"1").unzip();
        assert_eq!(fits, Some(true));
        assert_eq!((body(output), requests.is_polled(session)), ("4a\x1e4b\x1e1".to_owned(), false));
        assert_eq!((requests.polls_answered(session), requests.len()), (1, 0));
        assert_eq!(queue.flow, SessionFlow::NoPoll);
        poll(&mut requests, session);
        assert_eq!(body(requests.answer_poll_with(session, b"6")), "6");
    }

    #[test]
    fn an_answer_grows_until_it_is_polled() {
        let (mut requests, session) = requests();
        let mut queue = Outbound::default();
        queue.flow = SessionFlow::PollWaits;
        poll(&mut requests, session);
        for (text, filled) in [("4a", Filled::First), ("4b", Filled::More)] {
            assert_eq!(queue.push(&Encoded::text(text), usize::MAX), Pushed::Answer);
            assert_eq!(requests.fill_answer(session, &mut queue), filled);
        }
        assert!(requests.is_polled(session), "a second poll would be one too many");
        assert_eq!(body(requests.pop_answer(session)), "4a\x1e4b");
        assert!(requests.pop_answer(session).is_none() && requests.len() == 0);
        // It goes out also where the session ends before it is polled, and with the client its request is gone.
        let request = poll(&mut requests, session);
        queue.push(&Encoded::text("4c"), usize::MAX);
        requests.fill_answer(session, &mut queue);
        assert_eq!(body(requests.answer_poll_with(session, b"1")), "4c\x1e1");
        assert_eq!(requests.handle_aborted(request), None);
        let request = poll(&mut requests, session);
        queue.push(&Encoded::text("4d"), usize::MAX);
        requests.fill_answer(session, &mut queue);
        assert_eq!(requests.handle_aborted(request), Some(Aborted::WaitingPoll(session)));
        assert!(requests.pop_answer(session).is_none());
    }

    #[test]
    fn the_last_packet_waits_for_the_next_poll_where_an_answer_is_full() {
        let (mut requests, session) = requests();
        let mut queue = Outbound::default();
        queue.flow = SessionFlow::PollWaits;
        for end in [Some(false), Some(true)] {
            poll(&mut requests, session);
            for _ in 0..if end == Some(false) { PACKETS_PER_ANSWER_MAX } else { 0 } {
                queue.push(&Encoded::text("4a"), usize::MAX);
            }
            requests.fill_answer(session, &mut queue);
            let (output, fits) = requests.answer_poll(session, &mut queue, b"1").unzip();
            assert_eq!((fits, body(output).ends_with('1')), (end, end == Some(true)));
        }
    }

    #[test]
    fn a_post_is_under_way_from_its_head_until_its_last_packet() {
        let (mut requests, session) = requests();
        let post = requests.open(A, RequestKind::Post(session), None);
        assert!(requests.is_posting(session) && !requests.has_packets(session));
        assert!(requests.finish_post(session).is_none(), "its body is not there");
        assert!(requests.handle_body(session, post, decode_payload("4a\x1e4b".into())));
        assert!(!requests.handle_body(session, post, decode_payload("4c".into())), "a second body");
        for _ in 0..2 {
            assert!(requests.has_packets(session) && requests.finish_post(session).is_none());
            requests.packets(session).unwrap().next().unwrap().unwrap();
        }
        assert_eq!(body(requests.finish_post(session)), "ok");
        assert!(!requests.is_posting(session) && requests.len() == 0);
    }

    #[test]
    fn the_end_of_a_session_answers_both() {
        for (fault, has_body, expected) in [
            (None, true, "ok"),
            (None, false, r#"{"code":3,"message":"Bad request"}"#),
            (Some(PeerError::PayloadTooLarge), true, r#"{"code":3,"message":"Payload too large"}"#),
        ] {
            let (mut requests, session) = requests();
            poll(&mut requests, session);
            let post = requests.open(A, RequestKind::Post(session), None);
            if has_body {
                requests.handle_body(session, post, decode_payload("4a\x1e4b".into()));
            }
            let [poll, post] = requests.close(session, fault);
            assert_eq!((body(poll), body(post)), (r#"{"code":3,"message":"Bad request"}"#.into(), expected.into()));
            assert_eq!((requests.len(), requests.is_posting(session), requests.is_polled(session)), (0, false, false));
        }
    }

    #[test]
    fn only_the_poll_that_waits_ends_its_session_by_being_given_up() {
        let (mut requests, session) = requests();
        let waiting = poll(&mut requests, session);
        let other = requests.open(A, RequestKind::Poll(session), None);
        let post = requests.open(A, RequestKind::Post(session), None);
        assert_eq!(requests.handle_aborted(other), Some(Aborted::Other));
        assert_eq!(requests.handle_aborted(post), Some(Aborted::Other));
        assert!(!requests.is_posting(session));
        assert_eq!(requests.handle_aborted(waiting), Some(Aborted::WaitingPoll(session)));
        assert_eq!(requests.handle_aborted(waiting), None);
    }

    fn requests() -> (Requests, SessionId) {
        let mut requests = Requests::new(&[Endpoint::engine_io("/io")]);
        let session = SessionId::from_parts(2, 0);
        requests.start(session);
        (requests, session)
    }

    fn poll(requests: &mut Requests, session: SessionId) -> RequestId {
        let request = requests.open(A, RequestKind::Poll(session), None);
        requests.hold_poll(session, request);
        request
    }

    fn body(output: Option<Output>) -> String {
        let Some(Output::Respond(_, response)) = output else { panic!("{output:?}") };
        String::from_utf8(response.into_body().to_vec()).unwrap()
    }

    const A: EndpointId = EndpointId::new(0);
}
