//! Which room may use which.
//!
//! Owns: floors of modules inside a crate, floors of crates inside the workspace. Must never know: the floors of this
//! workspace.

use crate::source::SourceFile;
use crate::workspace::WorkspaceMember;

/// Modules of one height, and whether they may use each other.
pub type Floor = (&'static [&'static str], Neighbours);

/// Whether the rooms of one floor may use each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// Rooms of this floor may use each other.
    Meet,
    /// Rooms of this floor may not use each other.
    Strangers,
}

/// Paths of `path`, a file below `src`, into a module at the root of its crate that lies above it or beside it.
///
/// `root_names` are macros and other names that stand at the root of the crate and belong to the ground floor.
pub fn upwards(path: &str, source: &SourceFile, floors: &[Floor], root_names: &[&str]) -> Vec<String> {
    let floor = |room: &str| floors.iter().position(|(rooms, _)| rooms.contains(&room));
    let own = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if own == "lib" {
        return Vec::new();
    }
    let Some(own_floor) = floor(own) else { return vec![format!("{path}: `{own}` has no floor")] };
    let own_depth = path.trim_end_matches("/mod.rs").split('/').count();
    let mut faults = Vec::new();
    for used in source.paths() {
        let Some(other) = used.room_below(own_depth) else { continue };
        let is_allowed = root_names.contains(&other)
            || floor(other).is_some_and(|other_floor| {
                let may_meet = other == own || floors[own_floor].1 == Neighbours::Meet;
                other_floor < own_floor || other_floor == own_floor && may_meet
            });
        if !is_allowed {
            faults.push(format!("{path}:{}: `{own}` uses `{other}`", used.line));
        }
    }
    faults
}

/// Dependencies of a member on one of its own floor or above; members without a floor.
pub fn between_crates(members: &[WorkspaceMember], floors: &[&[&str]]) -> Vec<String> {
    let floor = |name: &str| floors.iter().position(|floor| floor.contains(&name));
    let mut faults = Vec::new();
    for member in members {
        let Some(own) = floor(&member.name) else {
            faults.push(format!("{} has no floor", member.name));
            continue;
        };
        let above = member.dependencies.iter().filter(|other| floor(other).is_none_or(|other| other >= own));
        faults.extend(above.map(|other| format!("{} depends on {other}", member.name)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORS: &[Floor] = &[
        (&["time", "id", "slab"], Neighbours::Meet),
        (&["websocket"], Neighbours::Meet),
        (&["engine_io"], Neighbours::Meet),
        (&["socket_io"], Neighbours::Meet),
        (&["rooms", "cluster"], Neighbours::Strangers),
        (&["server", "client"], Neighbours::Strangers),
    ];

    #[test]
    fn a_door_upwards_is_found() {
        for (path, text, count) in [
            ("socket_io/mod.rs", "use crate::engine_io::Packet;", 0),
            ("engine_io/mod.rs", "use crate::socket_io::Packet;", 1),
            ("engine_io/session.rs", "use crate::{engine_io::a, slab::{Slab}, rooms::{b, c::d}, server};", 3),
            ("engine_io/session.rs", "use super::super::{server::Server, time};", 1),
            ("engine_io/session.rs", "use super::packet; mod tests { use super::super::packet; use super::*; }", 0),
            ("engine_io/session.rs", "mod tests { use super::super::super::rooms; }", 1),
            ("slab.rs", "fn f() { super::server::run() }", 1),
            ("slab.rs", "mod tests { use super::*; } use crate::id::SlabKey;", 0),
            ("slab.rs", "fn f(x: &crate::websocket::Frame) -> crate::time::Instant {}", 1),
            ("rooms.rs", "use crate::socket_io::Namespace; use crate::rooms::Target;", 0),
            ("rooms.rs", "use crate::cluster;", 1),
            ("client/mod.rs", "use crate::server;", 1),
            ("server/mod.rs", "use crate::{rooms, cluster, time};", 0),
            ("server/mod.rs", "use crate::client;", 1),
            ("slab.rs", "crate::slab_key! { pub struct Key; } $crate::id::SlabKey", 0),
            ("slab.rs", "use crate::cellar;", 1),
            ("cellar.rs", "", 1),
            ("lib.rs", "pub use crate::server::Server;", 0),
            (
                "slab.rs",
                "// crate::server\n/* /* crate::client */ crate::rooms */ const A: &str = r#\"crate::http \" \"#;",
                0,
            ),
            ("slab.rs", "const Q: char = '\"'; fn f<'a>(x: &'a str) { crate::server::f() } // '\"", 1),
        ] {
            assert_eq!(upwards(path, &SourceFile::parse(text), FLOORS, &["slab_key"]).len(), count, "{path}: {text}");
        }
    }

    #[test]
    fn a_crate_that_depends_upwards_is_found() {
        let member = |name: &str, dependencies: &[&str]| WorkspaceMember {
            name: name.to_owned(),
            folder: String::new(),
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            manifest: String::new(),
        };
        let floors: &[&[&str]] = &[&["a"], &["b", "c"]];
        let found = |members: &[WorkspaceMember]| between_crates(members, floors);
        assert_eq!(found(&[member("a", &[]), member("b", &["a"]), member("c", &["a"])]), Vec::<String>::new());
        assert_eq!(found(&[member("a", &["b"])]), ["a depends on b"]);
        assert_eq!(found(&[member("b", &["c", "unknown"])]), ["b depends on c", "b depends on unknown"]);
        assert_eq!(found(&[member("d", &[])]), ["d has no floor"]);
    }
}
