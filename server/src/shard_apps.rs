//! The applications of all shards of this process.
//!
//! Owns: how a page that is served by one shard reaches those of the others. Must never know: what is asked.

use std::sync::{Arc, Mutex, PoisonError};

use roomcast_openwebui::{OpenWebUi, Request, Response};
use roomcast_tokio::{AppHandle, AppLink};

/// The links of all shards, in their order. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ShardApps(Arc<Mutex<Vec<AppLink<OpenWebUi>>>>);

impl ShardApps {
    /// The next shard, before it starts.
    pub fn add(&self, link: AppLink<OpenWebUi>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }

    /// The applications of all shards, this one first.
    pub fn all(&self, app: &AppHandle<OpenWebUi>) -> Vec<AppHandle<OpenWebUi>> {
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let shards = app.handle().shards();
        let mut all = vec![app.clone()];
        // At the end, when some shards are gone, those that are left cannot be told apart.
        if shards.len() == links.len() {
            let others = shards.into_iter().zip(links).filter(|(shard, _)| !shard.is_same_shard(app.handle()));
            all.extend(others.map(|(shard, link)| link.of(shard)));
        }
        all
    }

    /// Asks all of them the same; `None` if one has ended.
    pub async fn ask(&self, app: &AppHandle<OpenWebUi>, request: &Request) -> Option<Vec<Response>> {
        let mut answers = Vec::new();
        for shard in self.all(app) {
            answers.push(shard.ask(request.clone()).await?);
        }
        Some(answers)
    }
}
