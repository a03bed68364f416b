//! Why an emit is not sent.
//!
//! Owns: [`EmitError`], and what is looked at before an emit is handed to the driver. Must never know: the recipients.

use std::fmt;

use roomcast_core::socket_io::{Args, ArgsError, is_reserved_event};

use crate::args::IntoArgs;

/// Why an event cannot be emitted. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// Clients reserve the name for events of their own: `connect`, `connect_error`, `disconnect`, `disconnecting`,
    /// `newListener` and `removeListener`. A JavaScript client closes its connection when it receives one (socket.io-parser
    /// 4.2, `RESERVED_EVENTS`).
    ReservedName,
    /// JavaScript servers keep the name for events of their own (socket.io 4.8, `RESERVED_EVENTS` of a namespace): `connect`,
    /// `connection` and `new_namespace`. For server-side emits alone.
    ReservedByServers,
    /// A server-side emit is for the applications of all servers: rooms cannot be selected, nor an endpoint other than the
    /// first one of Socket.IO, which is what servers share.
    NotOfServers,
    /// The arguments have no JSON form.
    Args(ArgsError),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedName => f.write_str("the event name is reserved by clients"),
            Self::ReservedByServers => f.write_str("the event name is reserved by JavaScript servers"),
            Self::NotOfServers => f.write_str("a server-side emit is for all servers that share the namespace"),
            Self::Args(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EmitError {}

/// The arguments in the form that is sent, if the event can be emitted.
pub(crate) fn emittable<M>(event: &str, args: impl IntoArgs<M>) -> Result<Args, EmitError> {
    if is_reserved_event(event) {
        return Err(EmitError::ReservedName);
    }
    args.into_args().map_err(EmitError::Args)
}

/// The arguments in the form that is sent, if applications of other servers can be told the event.
pub(crate) fn tellable<M>(event: &str, args: impl IntoArgs<M>) -> Result<Args, EmitError> {
    if matches!(event, "connect" | "connection" | "new_namespace") {
        return Err(EmitError::ReservedByServers);
    }
    args.into_args().map_err(EmitError::Args)
}

/// The same for an emit whose result callers rarely look at: the error is logged as well.
pub(crate) fn emittable_or_log<M>(event: &str, args: impl IntoArgs<M>) -> Result<Args, EmitError> {
    emittable(event, args).inspect_err(|error| tracing::error!(event, %error, "an event is not emitted"))
}
