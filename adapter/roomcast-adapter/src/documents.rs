//! Documents for stock providers of y-websocket: an endpoint, a store and a hook.
//!
//! Owns: [`Builder::documents`] and what is set up there. Must never know: what is in a document.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use roomcast_core::server::EndpointId;
use roomcast_core::server::config::{Origins, PathMatch, WebSocket};
use roomcast_documents::{
    AppQuery, AppReply, DocumentNotice, DocumentStore, DocumentsApp, DocumentsConfig, ReplyAnswer, Rights, Visitor,
};

use crate::builder::Builder;

/// An endpoint of documents in the making.
///
/// The hook decides who may join and who may write; without one, every client may write.
pub struct DocumentRoutes {
    /// Which pages of browsers may connect. All.
    pub origins: Origins,
    /// Limits and intervals.
    pub config: DocumentsConfig,
    /// Heartbeat and sizes. A longest message that is too short for what providers bring back after they were away is
    /// raised to that.
    pub ws: WebSocket,
    authorize: Arc<Authorize>,
}

type Authorize = dyn Fn(Visitor) -> Pin<Box<dyn Future<Output = Rights> + Send>> + Send + Sync;

impl DocumentRoutes {
    /// Decides what a visitor may do: by its token among the [parameters](Visitor::param), a cookie, the document's name.
    /// Asked once for each connection, before anything of the document is sent.
    pub fn authorize<F, Fut>(&mut self, authorize: F)
    where
        F: Fn(Visitor) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Rights> + Send + 'static,
    {
        self.authorize = Arc::new(move |visitor| Box::pin(authorize(visitor)));
    }
}

impl Default for DocumentRoutes {
    fn default() -> Self {
        Self {
            origins: Origins::Any,
            config: DocumentsConfig::default(),
            ws: WebSocket::default(),
            authorize: Arc::new(|_| Box::pin(std::future::ready(Rights::Write("".into())))),
        }
    }
}

impl std::fmt::Debug for DocumentRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentRoutes").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Builder {
    /// Documents at `path/{name}`, as stock providers of y-websocket expect them. Every client may read and write: see
    /// [`documents_with`](Self::documents_with) for more than a trial.
    #[must_use]
    pub fn documents(self, path: impl Into<String>, store: impl DocumentStore) -> Builder<DocumentsApp> {
        self.documents_with(path, store, |_| {})
    }

    /// The same with a hook that decides who may join and write, and with limits of one's own.
    ///
    /// Everything else that the server serves may be registered before or after this, except for pages that ask the
    /// application. A server has one endpoint of documents.
    ///
    /// ```
    /// use roomcast_adapter::{Builder, DocumentStore, Rights, Visitor};
    ///
    /// fn with_documents(store: impl DocumentStore) {
    ///     let builder = Builder::new().documents_with("/yjs", store, |documents| {
    ///         documents.authorize(async |visitor: Visitor| match visitor.param("token").as_deref() {
    ///             Some("secret") => Rights::Write("alice".into()),
    ///             Some(_) => Rights::Denied,
    ///             None => Rights::Read("a guest".into()),
    ///         });
    ///     });
    /// #   let _ = builder;
    /// }
    /// ```
    #[must_use]
    pub fn documents_with(
        self,
        path: impl Into<String>,
        store: impl DocumentStore,
        set_up: impl FnOnce(&mut DocumentRoutes),
    ) -> Builder<DocumentsApp> {
        let path = path.into();
        let mut routes = DocumentRoutes::default();
        set_up(&mut routes);
        let DocumentRoutes { origins, config, mut ws, authorize } = routes;
        ws.message_bytes_max = ws.message_bytes_max.max(config.limits.resync_bytes_max + MESSAGE_HEAD_BYTES_MAX);
        let endpoint = EndpointId::new(u16::try_from(self.config.endpoints.len()).unwrap_or(u16::MAX));
        let mut seed = [0; 32];
        // Where there is no randomness, the server does not start.
        let _told_at_the_start = getrandom::fill(&mut seed);
        let app = DocumentsApp::new(endpoint, path.as_str(), config, seed);
        let store = Arc::new(store);
        let builder = Builder::with_app(app, move |query| answer(query, store.clone(), authorize.clone()));
        let builder = Builder {
            config: self.config,
            kinds: self.kinds,
            pages: self.pages,
            hooks: self.hooks,
            http: self.http,
            node: self.node,
            ..builder
        };
        builder.on_notice(log).web_socket(path, |routes| {
            (routes.path_match, routes.origins, routes.ws) = (PathMatch::Below, origins, ws);
        })
    }
}

async fn answer<S: DocumentStore>(query: AppQuery, store: Arc<S>, authorize: Arc<Authorize>) -> AppReply {
    match query {
        AppQuery::Authorize { id, visitor } => AppReply { id, answer: ReplyAnswer::Rights(authorize(visitor).await) },
        AppQuery::Store { id, question } => AppReply { id, answer: ReplyAnswer::Store(store.ask(question).await) },
    }
}

fn log(notice: DocumentNotice) {
    tracing::warn!(?notice, "a document");
}

/// What y-protocols puts around an update.
const MESSAGE_HEAD_BYTES_MAX: usize = 16;
