//! What is logged, by component.
//!
//! Owns: Python's names of levels, and which targets are which component. Must never know: where logs go.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Open WebUI's levels as a filter, with roomcast's own on top. A dependency is heard from `WARN` on: at lower levels it
/// may show more than roomcast itself would.
pub(super) fn targets(global: Option<LevelFilter>, socket: Option<LevelFilter>, own: Option<Targets>) -> Targets {
    let own = own.unwrap_or_default();
    let everything = own.default_level();
    let global = everything.or(global).unwrap_or(LevelFilter::INFO);
    let socket = everything.or(socket).unwrap_or(global);
    Targets::new()
        .with_default(global.min(LevelFilter::WARN))
        .with_targets(PROGRAM.map(|target| (target, global)))
        .with_targets(SOCKET.map(|target| (target, socket)))
        .with_targets(own.iter().map(|(target, level)| (target.to_owned(), level)))
}

/// A level by its name in Python.
pub(super) fn python(name: &str) -> Option<LevelFilter> {
    let level = match name.to_ascii_uppercase().as_str() {
        "CRITICAL" | "FATAL" | "ERROR" => LevelFilter::ERROR,
        "WARNING" | "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        // In Python, a logger without a level of its own lets everything pass.
        "NOTSET" => LevelFilter::TRACE,
        _ => return None,
    };
    Some(level)
}

pub(super) const PYTHON_NAMES: [&str; 6] = ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET"];
// The program itself is the library beneath it; `roomcast` covers that too, and what else begins so.
const PROGRAM: [&str; 2] = ["roomcast", "roomcast_stores"];
const SOCKET: [&str; 4] = ["roomcast_server::sessions", "roomcast_core", "roomcast_adapter", "roomcast_tokio"];

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_socket_component_has_a_level_of_its_own() {
        let targets = targets(python("warning"), python("DEBUG"), None);
        assert!(targets.would_enable("roomcast_adapter::driver", &Level::DEBUG));
        assert!(targets.would_enable("roomcast_server::sessions", &Level::DEBUG));
        assert!(!targets.would_enable("roomcast_server::api", &Level::INFO));
        assert!(!targets.would_enable("roomcast_stores::sql", &Level::INFO));
    }

    #[test]
    fn dependencies_stay_quiet_unless_they_are_named() {
        let all = targets(python("NOTSET"), None, None);
        assert!(
            all.would_enable("roomcast_server::api", &Level::TRACE) && !all.would_enable("sqlx::query", &Level::INFO)
        );
        let named = targets(None, None, Some("sqlx=debug".parse().unwrap()));
        assert!(named.would_enable("sqlx::query", &Level::DEBUG) && named.would_enable("roomcast", &Level::INFO));
        let quiet = targets(python("DEBUG"), python("DEBUG"), Some("error".parse().unwrap()));
        assert!(!quiet.would_enable("roomcast_core", &Level::WARN));
    }
}
