//! The program `roomcast` under the application's load: sessions in channels, and editors of one document.
//!
//! Owns: which loads there are, and their table. Must never know: how a load is made.
//!
//! There is no bare loop beside it: what is counted is CPU time of the process, user and system, all threads, the store's
//! among them. The store is a SQLite file of roomcast's own, made for the run.

mod channels;
mod documents;
mod line;
mod world;

use std::io;
use std::path::PathBuf;

use super::process::{self, Cores};
use super::scenario::Scale;
use world::World;

/// Runs every load and prints the table.
pub(super) fn run(program: Option<PathBuf>, scale: Scale) -> io::Result<()> {
    let program = program.map_or_else(|| Ok(std::env::current_exe()?.with_file_name("roomcast")), io::Result::Ok)?;
    process::raise_descriptor_limit()?;
    let cores = Cores::split()?;
    let users = match scale {
        Scale::Full => 10_000,
        Scale::Quick => 100,
    };
    let world = World::make(program, cores, users)?;
    eprintln!("documents …");
    let mut lines = documents::measure(&world, scale)?;
    eprintln!("channels …");
    lines.extend(channels::measure(&world, scale)?);
    println!("| the program under load | CPU of its process | to reach |\n|---|---|---|");
    for line in lines {
        println!("| {} | {} | {} |", line.title, line.result, line.goal.unwrap_or("–"));
    }
    Ok(())
}
