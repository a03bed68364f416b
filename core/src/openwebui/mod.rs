//! The application protocol of Open WebUI, as a machine on top of the server.
//!
//! Owns: every event name, room name and rule of the application. Must never know: stores beyond their answers, or
//! transports.

pub mod access;
pub mod query;
