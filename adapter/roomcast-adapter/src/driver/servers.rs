//! What this server and others say to each other's applications.
//!
//! Owns: the questions under way and the handlers of events of other servers. Must never know: how servers reach each other.

use std::sync::Arc;

use roomcast_core::cluster::NodeId;
use roomcast_core::server::{AckEnd, AckRequest, App, ClusterCommand, Command, EmitId};
use roomcast_core::socket_io::Args;
use roomcast_core::time::Instant;

use super::Driver;
use super::jobs::{AskedServers, HandlerOwner, question_key};
use crate::handler_queue::HandlerJob;
use crate::mailbox::ServersQuestion;
use crate::runtime::Runtime;
use crate::server_replies::ServerReplies;
use crate::server_side::ServerSideReceived;

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    pub(super) fn ask_servers(&mut self, question: ServersQuestion, now: Instant) {
        let ServersQuestion { namespace, name, args, timeout, replies } = question;
        let key = self.questions.insert(AskedServers { answer: replies, replies: Vec::new() });
        let ack = Some(AckRequest { emit: EmitId(key.as_u64()), timeout });
        self.command(Command::Cluster(ClusterCommand::ServerEmit { namespace, name, args, ack }), now);
    }

    pub(super) fn server_replied(&mut self, emit: EmitId, node: NodeId, args: Args) {
        if let Some(asked) = self.questions.get_mut(question_key(emit)) {
            asked.replies.push((node, args));
        }
    }

    pub(super) fn servers_asked(&mut self, emit: EmitId, asked: u32, end: AckEnd) {
        if let Some(AskedServers { answer, replies }) = self.questions.remove(question_key(emit)) {
            // Dropped by a task that waits no longer.
            let _ = answer.send(ServerReplies { replies, asked, end });
        }
    }

    /// Another server tells the application something.
    pub(super) fn server_said(&mut self, namespace: &str, input: ServerSideReceived) {
        let endpoint = self.shared.endpoints.first_socket_io();
        let rule = self.routes.rule(endpoint, namespace);
        let routes = self.routes.namespace(endpoint, rule);
        let Some(call) = routes.and_then(|routes| routes.server_side.get(&*input.name)) else {
            return tracing::debug!(namespace, event = &*input.name, node = %input.node, "no handler for another server");
        };
        // Nothing else bounds what other servers say.
        if Arc::strong_count(&self.server_side) > SERVER_SIDE_HANDLERS_MAX {
            return tracing::warn!(event = &*input.name, node = %input.node, "too many handlers of other servers are at work");
        }
        let span = tracing::debug_span!("server", namespace, event = &*input.name, node = %input.node);
        let (at_work, job) = (self.server_side.clone(), call.job(input));
        let job = HandlerJob::new(async move {
            let _at_work = at_work;
            job.await;
        });
        self.run(HandlerOwner::Server(Arc::default()), job.in_span(span));
    }
}

/// Handlers of events of other servers that are at work at once.
const SERVER_SIDE_HANDLERS_MAX: usize = 4096;
