//! The program `roomcast`: Open WebUI's real-time layer, ready to run.
//!
//! Owns: nothing but the name; all of it is the library. Must never know: protocols.

use std::process::ExitCode;

use roomcast_server::Roomcast;

fn main() -> ExitCode {
    Roomcast::new().main()
}
