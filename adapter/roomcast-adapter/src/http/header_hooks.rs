//! Headers that a program adds to the responses of its endpoints.
//!
//! Owns: [`HeaderHooks`]: which responses are the first of a session. Must never know: what the headers say.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode};

use crate::shard_group::sid_of;

/// What adds headers to a response, by the request that it answers.
type HeaderHook = Arc<dyn Fn(&Request<()>, &mut HeaderMap) + Send + Sync>;

/// What adds headers, in the order of registration.
#[derive(Clone, Default)]
pub(crate) struct HeaderHooks {
    initial: Vec<HeaderHook>,
    all: Vec<HeaderHook>,
}

impl HeaderHooks {
    pub(crate) fn add_initial(&mut self, hook: impl Fn(&Request<()>, &mut HeaderMap) + Send + Sync + 'static) {
        self.initial.push(Arc::new(hook));
    }

    pub(crate) fn add(&mut self, hook: impl Fn(&Request<()>, &mut HeaderMap) + Send + Sync + 'static) {
        self.all.push(Arc::new(hook));
    }

    /// The request as the hooks want to see it, if there are hooks.
    pub(super) fn note(&self, request: &Request<()>) -> Option<Request<()>> {
        (!self.initial.is_empty() || !self.all.is_empty()).then(|| request.clone())
    }

    /// Adds headers to a response that is no refusal: the first of a session has those for it as well.
    pub(super) fn apply<B>(&self, request: &Request<()>, response: &mut Response<B>) {
        if !response.status().is_success() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let is_initial = sid_of(request.uri().query()).is_none();
        let initial = if is_initial { &*self.initial } else { &[] };
        for hook in initial.iter().chain(&self.all) {
            hook(request, response.headers_mut());
        }
    }
}

impl std::fmt::Debug for HeaderHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeaderHooks").field("initial", &self.initial.len()).field("all", &self.all.len()).finish()
    }
}
