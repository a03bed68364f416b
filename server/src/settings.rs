//! How the program is set up.
//!
//! Owns: flags, environment, defaults. Must never know: what they are for.

use tracing::level_filters::LevelFilter;

/// Real-time rooms over Socket.IO.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "roomcast", version)]
pub struct Settings {
    /// Address to listen on.
    #[arg(long, env = "ROOMCAST_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes any that is free.
    #[arg(long, env = "ROOMCAST_PORT", default_value_t = 8080)]
    pub port: u16,
    /// Path of the Socket.IO endpoint.
    #[arg(long, env = "ROOMCAST_PATH", default_value = "/ws/socket.io", value_parser = path)]
    pub path: String,
    /// What is logged to standard error: off, error, warn, info, debug or trace.
    #[arg(long, env = "ROOMCAST_LOG", default_value = "info")]
    pub log: LevelFilter,
}

fn path(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix('/') {
        Some(rest) if !rest.contains(['?', '#', ' ']) => Ok(text.to_owned()),
        Some(_) => Err("it must not contain '?', '#' or blanks"),
        None => Err("it must start with '/'"),
    }
}
