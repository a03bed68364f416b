//! What a program of one's own adds to the program.
//!
//! Owns: handlers and routes until each shard is built. Must never know: settings, or what Open WebUI's events are.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use roomcast_openwebui::OpenWebUi;
use roomcast_tokio::{AppHandle, Builder, Namespace};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Api, ApiError, check_bearer};
use crate::realtime::Realtime;
use crate::reply;

/// What is added to each shard.
#[derive(Default)]
pub struct Additions {
    handlers: Vec<SetUpHandlers>,
    routes: Vec<AddRoute>,
}

/// Registers handlers.
type SetUpHandlers = Box<dyn Fn(&mut Namespace)>;

/// Adds a page to a shard.
type AddRoute = Box<dyn Fn(Builder<OpenWebUi>, &Api) -> Builder<OpenWebUi>>;

impl Additions {
    /// Has `set_up` register handlers in each shard.
    pub fn add_handlers(&mut self, set_up: impl Fn(&mut Namespace) + 'static) {
        self.handlers.push(Box::new(set_up));
    }

    /// Adds a route to the HTTP API of each shard.
    pub fn add_route<T, R, F, Fut>(&mut self, path: &'static str, route: F)
    where
        T: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Fn(Realtime, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        let route = Arc::new(route);
        self.routes.push(Box::new(move |builder, api| {
            let (api, route) = (api.clone(), route.clone());
            builder.app_page(path, move |request, app| {
                let (api, route) = (api.clone(), route.clone());
                async move {
                    let response = match answer(&api, &*route, &request, app).await {
                        Ok(json) => reply::body(StatusCode::OK, "application/json", json),
                        Err(error) => error.response(),
                    };
                    api.metrics.responded(path, response.status());
                    response
                }
            })
        }));
    }

    /// Registers the handlers of one shard.
    pub fn register(&self, ns: &mut Namespace) {
        for set_up in &self.handlers {
            set_up(ns);
        }
    }

    /// Puts the routes into one shard; `api` says who may use them.
    pub fn serve(&self, builder: Builder<OpenWebUi>, api: &Api) -> Builder<OpenWebUi> {
        self.routes.iter().fold(builder, |builder, add| add(builder, api))
    }
}

impl fmt::Debug for Additions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Additions").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}

async fn answer<T, R, F, Fut>(
    api: &Api,
    route: &F,
    request: &http::Request<Bytes>,
    app: AppHandle<OpenWebUi>,
) -> Result<String, ApiError>
where
    T: DeserializeOwned,
    R: Serialize,
    F: Fn(Realtime, T) -> Fut,
    Fut: Future<Output = R>,
{
    check_bearer(api.key.as_deref(), request.headers())?;
    if request.method() != Method::POST {
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "only POST"));
    }
    let body = serde_json::from_slice(request.body()).map_err(ApiError::malformed)?;
    let answer = route(Realtime::of(app), body).await;
    serde_json::to_string(&answer).map_err(|error| {
        tracing::error!(%error, route = request.uri().path(), "the response of an added route is no JSON");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the response is no JSON")
    })
}
