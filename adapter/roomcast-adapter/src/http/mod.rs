//! HTTP, by hyper.
//!
//! Owns: requests on their way to the driver and responses on their way back, and the accept loop of a server that
//! stands alone. Must never know: Engine.IO.

pub(crate) mod head_watch;
pub(crate) mod header_hooks;
pub(crate) mod layer;
mod serve;
pub(crate) mod service;
