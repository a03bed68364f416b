//! One HTTP request.
//!
//! Owns: [`Service`]: routing by path, the limits on a body, and the way to the driver and back. Must never know:
//! Engine.IO.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures_channel::oneshot;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use roomcast_core::server::config::ErrorStyle;
use roomcast_core::server::{ClientAddress, EndpointId, PeerError, RequestId};

use crate::addresses::{AddressGuard, TooMany};
use crate::handle::Handle;
use crate::http::header_hooks::HeaderHooks;
use crate::mailbox::{HttpRequest, HttpTicket, Mail, RequestBody, Shared, StreamHome, UpgradeRequest};
use crate::registry::Pages;
use crate::shard_group::{name_below, sid_of};

/// The server as a service: a tower `Service` for HTTP requests, to be mounted in a web framework or served by hyper
/// (with upgrades). Cheap to clone.
///
/// Requests find their endpoint by the whole path; what is no endpoint's and no page's is answered 404.
#[derive(Clone, Debug)]
pub struct Service {
    handle: Handle,
    pages: Pages,
    hooks: Arc<HeaderHooks>,
    mounted: Option<EndpointId>,
}

impl Service {
    pub(crate) fn new(handle: Handle, pages: Pages, hooks: HeaderHooks) -> Self {
        Self { handle, pages, hooks: Arc::new(hooks), mounted: None }
    }

    /// The endpoint with this path alone, for a router that cuts the path off before it calls the service: every
    /// request for `/` is for this endpoint. `None` if there is no such endpoint.
    pub fn endpoint(&self, path: &str) -> Option<Self> {
        Some(Self { mounted: Some(self.handle.endpoint(path)?), ..self.clone() })
    }

    /// Whether a path is one of the endpoints' or the pages'.
    pub(super) fn takes(&self, path: &str) -> bool {
        match self.mounted {
            Some(_) => path.is_empty() || path == "/",
            None => self.handle.shared().endpoints.route(path).is_some() || self.pages.at(path).is_some(),
        }
    }

    /// The server's handle.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Answers a request. For WebSockets it needs the [`OnUpgrade`] that hyper puts into the extensions.
    pub async fn respond<B: Body>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let (mut parts, body) = request.into_parts();
        if parts.version == Version::HTTP_11 && parts.headers.get_all(header::HOST).iter().count() != 1 {
            // RFC 9112 section 3.2.
            return last(plain(StatusCode::BAD_REQUEST, "exactly one Host, please"));
        }
        let shared = self.handle.shared();
        let by_serve = parts.extensions.get::<CameBy>().is_some();
        let Ok(guard) = admit(shared, &mut parts) else {
            tracing::debug!(path = parts.uri.path(), "a request too many from this address");
            return plain(StatusCode::TOO_MANY_REQUESTS, "too many connections");
        };
        let path = parts.uri.path();
        let endpoint = match self.mounted {
            Some(endpoint) => (path.is_empty() || path == "/").then_some(endpoint),
            None => shared.endpoints.route(path),
        };
        let Some(endpoint) = endpoint else {
            return self.page(parts, body).await;
        };
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let elsewhere = elsewhere(shared, endpoint, &parts.uri, by_serve);
        let shared = elsewhere.as_ref().unwrap_or(shared);
        let request = Request::from_parts(parts, ());
        let noted = self.hooks.note(&request);
        let mut response = if asks_for_web_socket(request.headers()) {
            let Some(stream) = upgrade else { return fault(PeerError::BadHandshake) };
            let (response, responded) = oneshot::channel();
            let is_here = by_serve && Arc::ptr_eq(shared, self.handle.shared());
            let home = if is_here { StreamHome::Here } else { StreamHome::Elsewhere };
            let asked = UpgradeRequest { endpoint, request, stream, home, guard, response };
            shared.send(Mail::Upgrade(Box::new(asked)), 0);
            finish(responded.await.ok())
        } else {
            ask(shared, endpoint, request, body).await.unwrap_or_else(BodyError::response)
        };
        if let Some(request) = noted {
            self.hooks.apply(&request, &mut response);
        }
        response
    }

    async fn page<B: Body>(&self, parts: http::request::Parts, body: B) -> Response<Full<Bytes>> {
        let shared = self.handle.shared();
        let page = if self.mounted.is_some() { None } else { self.pages.at(parts.uri.path()) };
        let Some(page) = page else { return plain(StatusCode::NOT_FOUND, "not found") };
        let bytes_max = shared.endpoints.limits.page_body_bytes_max;
        let mut gathered = Gathered::new(shared, bytes_max);
        let is_too_large = gathered.announced_too_much(&parts.headers);
        let gathering =
            if is_too_large { Err(BodyError::TooLarge) } else { in_time(shared, gathered.all(pin!(body))).await };
        match gathering {
            Ok(()) => {}
            Err(BodyError::TooLarge) => {
                return plain(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {bytes_max} bytes"));
            }
            Err(error) => return error.response(),
        }
        page.respond(Request::from_parts(parts, gathered.take()), self.handle.clone()).await.map(Full::new)
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: Body + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        Responding::new(self.clone(), request)
    }
}

impl<B> hyper::service::Service<Request<B>> for Service
where
    B: Body + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Responding;

    fn call(&self, request: Request<B>) -> Responding {
        Responding::new(self.clone(), request)
    }
}

/// A request that is being answered. Dropped, it is aborted.
pub struct Responding(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>);

impl Responding {
    fn new<B: Body + Send + 'static>(service: Service, request: Request<B>) -> Self {
        Self(Box::pin(async move { service.respond(request).await }))
    }
}

impl Future for Responding {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl std::fmt::Debug for Responding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Responding")
    }
}

/// The connection that a request came by.
#[derive(Clone)]
pub(super) struct CameBy {
    pub(super) peer: IpAddr,
    /// `None` for a proxy's.
    pub(super) guard: Option<Arc<AddressGuard>>,
}

/// The shard that a request is for, if there are several: its session's, that of others with the same path, and for a
/// new session the one whose turn it is, unless that has been decided with its connection.
fn elsewhere(shared: &Shared, endpoint: EndpointId, uri: &http::Uri, by_serve: bool) -> Option<Arc<Shared>> {
    let group = &shared.group;
    let met_at = shared.endpoints.path_below(endpoint).map(|path| name_below(uri.path(), path));
    match (sid_of(uri.query()), met_at) {
        (_, Some(name)) => group.of_name(&name),
        (Some(sid), None) => group.of_sid(sid),
        (None, None) if by_serve => None,
        (None, None) => group.next(),
    }
}

/// Counts a request whose connection does not count: it came through a proxy, or by way of a web framework.
fn admit(shared: &Shared, parts: &mut http::request::Parts) -> Result<Option<Arc<AddressGuard>>, TooMany> {
    let via = parts.extensions.remove::<CameBy>();
    let known = parts.extensions.get::<ClientAddress>().map(|known| known.0);
    let (peer, guard) = match via {
        Some(via) => (Some(via.peer), via.guard),
        None => (known, None),
    };
    // Who opens a session is kept with it.
    if let Some(peer) = peer.filter(|_| sid_of(parts.uri.query()).is_none()) {
        parts.extensions.insert(ClientAddress(shared.addresses.client(peer, &parts.headers)));
    }
    match (guard, peer) {
        (None, Some(peer)) if shared.addresses.has_limit() => {
            let client = shared.addresses.client(peer, &parts.headers);
            Ok(Some(Arc::new(shared.addresses.admit(client)?)))
        }
        (guard, _) => Ok(guard),
    }
}

/// Brings a request to the driver: in one piece if its body is there already, else the head first, so that what is
/// refused by its head is not waited for.
async fn ask<B: Body>(
    shared: &Arc<Shared>,
    endpoint: EndpointId,
    request: Request<()>,
    body: B,
) -> Result<Response<Full<Bytes>>, BodyError> {
    let limit = shared.endpoints.body_bytes_max(endpoint);
    let mut gathered = Gathered::new(shared, limit);
    if gathered.announced_too_much(request.headers()) {
        return Err(BodyError::TooLarge);
    }
    let mut body = pin!(body);
    // Polling the body makes hyper send `100 Continue`: then the head decides first.
    let look = *request.method() != Method::GET && !request.headers().contains_key(header::EXPECT);
    let complete = body.is_end_stream() || (look && gathered.what_is_there(body.as_mut()).await?);
    let (response, mut responded) = oneshot::channel();
    let (accept, mut accepted) = oneshot::channel();
    let body_sent = if complete { RequestBody::Complete(gathered.take()) } else { RequestBody::Pending(accept) };
    let ticket = shared.next_http_ticket();
    let mut abort = Abort { shared, ticket, is_armed: true };
    shared.send(Mail::Http(Box::new(HttpRequest { ticket, endpoint, request, body: body_sent, response })), 0);
    let next = poll_fn(|cx| {
        if let Poll::Ready(response) = Pin::new(&mut responded).poll(cx) {
            return Poll::Ready(HeadVerdict::Response(response.ok()));
        }
        match Pin::new(&mut accepted).poll(cx) {
            Poll::Ready(Ok(id)) => Poll::Ready(HeadVerdict::Body(id)),
            // Never asked for: the response will come.
            Poll::Ready(Err(oneshot::Canceled)) | Poll::Pending => Poll::Pending,
        }
    });
    let response = match next.await {
        HeadVerdict::Response(response) => response,
        HeadVerdict::Body(id) => {
            in_time(shared, gathered.all(body)).await?;
            shared.send(Mail::Body(id, gathered.take()), 0);
            responded.await.ok()
        }
    };
    abort.is_armed = false;
    Ok(finish(response))
}

/// The driver's answer to the head of a request.
enum HeadVerdict {
    /// The driver wants the body of the request, under this id.
    Body(RequestId),
    /// That is all; `None` if there is no driver any more.
    Response(Option<Box<Response<Bytes>>>),
}

/// Tells the driver if the request is dropped before its response.
struct Abort<'a> {
    shared: &'a Shared,
    ticket: HttpTicket,
    is_armed: bool,
}

impl Drop for Abort<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.shared.send(Mail::Aborted(self.ticket), 0);
        }
    }
}

fn finish(response: Option<Box<Response<Bytes>>>) -> Response<Full<Bytes>> {
    response.map_or_else(|| fault(PeerError::Unavailable), |response| response.map(Full::new))
}

/// The bytes of a body.
struct Gathered<'a> {
    shared: &'a Shared,
    limit: usize,
    /// Most bodies come in one piece, which need not be copied.
    first: Bytes,
    more: BytesMut,
    /// Bytes that count as those of a partial body.
    counted: usize,
}

impl<'a> Gathered<'a> {
    fn new(shared: &'a Shared, limit: usize) -> Self {
        Self { shared, limit, first: Bytes::new(), more: BytesMut::new(), counted: 0 }
    }

    fn announced_too_much(&self, headers: &HeaderMap) -> bool {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        announced.is_some_and(|bytes: u64| usize::try_from(bytes).map_or(true, |bytes| bytes > self.limit))
    }

    /// Takes what can be had without waiting; whether that is all. hyper reads on only after it has been asked, so the
    /// first answer says nothing.
    async fn what_is_there<B: Body>(&mut self, mut body: Pin<&mut B>) -> Result<bool, BodyError> {
        let mut asked = false;
        poll_fn(|cx| match self.poll_all(body.as_mut(), cx) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
            Poll::Pending if std::mem::replace(&mut asked, true) => Poll::Ready(Ok(false)),
            Poll::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }

    async fn all<B: Body>(&mut self, mut body: Pin<&mut B>) -> Result<(), BodyError> {
        poll_fn(|cx| self.poll_all(body.as_mut(), cx)).await
    }

    fn poll_all<B: Body>(&mut self, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while !body.is_end_stream() {
            match std::task::ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    if data.remaining() > self.limit - self.len() {
                        return Poll::Ready(Err(BodyError::TooLarge));
                    }
                    let data = data.copy_to_bytes(data.remaining());
                    let before = self.shared.partial_body_bytes.fetch_add(data.len(), Ordering::Relaxed);
                    self.counted += data.len();
                    if before + data.len() > self.shared.endpoints.limits.partial_bodies_bytes_max {
                        return Poll::Ready(Err(BodyError::NoRoom));
                    }
                    if self.first.is_empty() {
                        self.first = data;
                    } else {
                        self.more.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) => return Poll::Ready(Err(BodyError::Broken)),
                None => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    /// What has been gathered, in one piece.
    fn take(&mut self) -> Bytes {
        self.uncount();
        let (first, more) = (std::mem::take(&mut self.first), std::mem::take(&mut self.more));
        if more.is_empty() {
            return first;
        }
        let mut all = BytesMut::with_capacity(first.len() + more.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&more);
        all.freeze()
    }

    fn uncount(&mut self) {
        self.shared.partial_body_bytes.fetch_sub(std::mem::take(&mut self.counted), Ordering::Relaxed);
    }
}

impl Drop for Gathered<'_> {
    fn drop(&mut self) {
        self.uncount();
    }
}

/// Why a body is not read.
#[derive(Clone, Copy, Debug)]
enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
    /// All bodies together take too much.
    NoRoom,
}

impl BodyError {
    fn response(self) -> Response<Full<Bytes>> {
        match self {
            Self::TooLarge => fault(PeerError::PayloadTooLarge),
            Self::NoRoom => fault(PeerError::Unavailable),
            Self::TooSlow => plain(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            Self::Broken => plain(StatusCode::BAD_REQUEST, "the body broke off"),
        }
    }
}

async fn in_time(shared: &Shared, work: impl Future<Output = Result<(), BodyError>>) -> Result<(), BodyError> {
    let mut work = pin!(work);
    let mut timer = None;
    poll_fn(|cx| {
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        let timer = timer.get_or_insert_with(|| (shared.sleep)(shared.endpoints.limits.body_timeout));
        Pin::new(timer).poll(cx).map(|()| Err(BodyError::TooSlow))
    })
    .await
}

/// Whether the client wants to speak WebSocket; the core says whether it may.
fn asks_for_web_socket(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|token| token.trim().eq_ignore_ascii_case("websocket")))
    })
}

/// After a request that is not to be trusted, nothing that follows on its connection is.
pub(super) fn last(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

fn fault(error: PeerError) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(error.body(ErrorStyle::Object)));
    *response.status_mut() = error.verdict().status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    response
}
