//! Engine.IO v4.
pub mod session;
