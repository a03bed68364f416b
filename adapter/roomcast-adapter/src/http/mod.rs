//! HTTP, by hyper.
//!
//! Owns: requests on their way to the driver and responses on their way back, and the accept loop of a server that
//! stands alone. Must never know: Engine.IO.

mod serve;
pub(crate) mod service;
pub(crate) mod tally;
