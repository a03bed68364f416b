//! What the application of another server says, as the input of a handler.
//!
//! Owns: [`ServerSideReceived`] and which arguments handlers take from it. Must never know: how it came.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use roomcast_core::cluster::NodeId;
use roomcast_core::server::ReplyTo;
use roomcast_core::socket_io::{Args, ArgsError};
use serde::de::DeserializeOwned;

use crate::handle::Handle;
use crate::handler::{Ack, Data, EventName, Extract, HandlerInput, Rejection};
use crate::handler_arguments::HandlerArguments;
use crate::mailbox::Shared;
use crate::state::State;

/// The application of another server of the cluster said something, by
/// [`server_side_emit`](crate::Broadcast::server_side_emit) or by `serverSideEmit` of a JavaScript server.
///
/// Handlers take the [`Handle`], the [`NodeId`] of that server, [`EventName`], [`Data`], [`Args`] and
/// [`State`](crate::State).
#[derive(Clone)]
pub struct ServerSideReceived {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: NodeId,
    pub(crate) name: ByteString,
    pub(crate) args: Args,
    pub(crate) reply: Option<Box<ReplyTo>>,
}

impl fmt::Debug for ServerSideReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSideReceived").field("node", &self.node).field("name", &self.name).finish_non_exhaustive()
    }
}

impl HandlerInput for ServerSideReceived {
    type Outcome = Ack;
}

impl Extract<ServerSideReceived> for Handle {
    fn extract(it: &ServerSideReceived) -> Result<Self, Rejection> {
        Ok(Self::new(it.shared.clone()))
    }
}

impl Extract<ServerSideReceived> for NodeId {
    fn extract(it: &ServerSideReceived) -> Result<Self, Rejection> {
        Ok(it.node.clone())
    }
}

impl Extract<ServerSideReceived> for EventName {
    fn extract(it: &ServerSideReceived) -> Result<Self, Rejection> {
        Ok(Self(it.name.clone()))
    }
}

impl Extract<ServerSideReceived> for Args {
    fn extract(it: &ServerSideReceived) -> Result<Self, Rejection> {
        Ok(it.args.clone())
    }
}

impl<T: DeserializeOwned + Send> Extract<ServerSideReceived> for Data<T> {
    fn extract(it: &ServerSideReceived) -> Result<Self, Rejection> {
        it.args.parse_or_why().map(Data).map_err(|why| Rejection::Args { error: ArgsError::Deserialize, why })
    }
}

impl<T: Any + Send + Sync> Extract<ServerSideReceived> for State<T> {
    fn extract(it: &ServerSideReceived) -> Result<Self, Rejection> {
        it.shared.states.get().map(Self).ok_or(Rejection::Missing(type_name::<Self>()))
    }

    fn describe(arguments: &mut HandlerArguments) {
        arguments.needs_state::<T>();
    }
}
