//! The program `roomcast` under the application's load: sessions in channels, and editors of one document.
//!
//! Owns: which loads there are, and their table. Must never know: how a load is made.
//!
//! There is no bare loop beside it: what is counted is CPU time of the process, user and system, all threads, the store's
//! among them. The store is a SQLite file of roomcast's own, made for the run.

mod channels;
mod documents;
mod world;

use std::io;
use std::path::PathBuf;

use super::process::{self, Cores};
use super::report::micros;
use super::scenario::Scale;
use world::World;

/// One line of the table.
pub(super) struct Line {
    title: String,
    result: String,
    goal: Option<&'static str>,
}

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

impl Line {
    fn new(title: impl Into<String>, result: impl Into<String>) -> Self {
        Self { title: title.into(), result: result.into(), goal: None }
    }

    /// The median of several rounds, and the smallest and largest.
    fn of_rounds(title: impl Into<String>, mut costs_ns: Vec<f64>) -> Self {
        costs_ns.sort_by(f64::total_cmp);
        let at = |index: usize| costs_ns.get(index).copied().map_or_else(|| "?".to_owned(), micros);
        let middle = at(costs_ns.len() / 2);
        Self::new(title, format!("{middle} µs ({}–{})", at(0), at(costs_ns.len().saturating_sub(1))))
    }

    fn with_goal(self, goal: &'static str) -> Self {
        Self { goal: Some(goal), ..self }
    }
}
