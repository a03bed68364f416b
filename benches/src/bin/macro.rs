//! The macro bench: CPU of a server process per delivery, beside a bare epoll loop. See `roomcast_benches::macro_bench`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match roomcast_benches::macro_bench::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("macro bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("macro bench: it needs epoll and /proc, which this system has not");
    ExitCode::FAILURE
}
