//! The server around another service.
//!
//! Owns: which requests are for which of the two. Must never know: what either answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};

use super::service::Service;

/// The server as a tower `Layer`: requests for its endpoints and pages are its own, all others go to the service inside.
#[derive(Clone, Debug)]
pub struct Layer(Service);

impl Layer {
    /// The server in front of another service, such as a router.
    pub const fn new(service: Service) -> Self {
        Self(service)
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Layered<S>;

    fn layer(&self, inner: S) -> Layered<S> {
        Layered { own: self.0.clone(), inner }
    }
}

/// A service with the server in front of it.
#[derive(Clone, Debug)]
pub struct Layered<S> {
    own: Service,
    inner: S,
}

impl<B, S, I> tower_service::Service<Request<B>> for Layered<S>
where
    B: Body + Send + 'static,
    S: tower_service::Service<Request<B>, Response = Response<I>>,
    S::Future: Send + 'static,
{
    type Response = Response<Either<Full<Bytes>, I>>;
    type Error = S::Error;
    type Future = Layering<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.own.takes(request.uri().path()) {
            let own = self.own.clone();
            return Layering(Box::pin(async move { Ok(own.respond(request).await.map(Either::Left)) }));
        }
        let inner = self.inner.call(request);
        Layering(Box::pin(async move { Ok(inner.await?.map(Either::Right)) }))
    }
}

/// A request that is being answered by one of the two.
pub struct Layering<R, E>(Pin<Box<dyn Future<Output = Result<R, E>> + Send>>);

impl<R, E> Future for Layering<R, E> {
    type Output = Result<R, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<R, E> fmt::Debug for Layering<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layering")
    }
}
