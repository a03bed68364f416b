//! The command line.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::idle;
use super::measure::Rounds;
use super::scenario::SCENARIOS;
use super::subject::{Subject, sibling_conformance_server};

/// CPU time of a Socket.IO server per delivery, beside a bare epoll loop.
#[derive(Debug, Parser)]
#[command(name = "macro", args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) job: Option<ChildProgram>,
    #[command(flatten)]
    pub(super) run: RunArguments,
}

/// What else this program is.
#[derive(Debug, Subcommand)]
pub(super) enum ChildProgram {
    /// The bare loop, as the bench itself starts it.
    #[command(hide = true)]
    Bare {
        /// Port on 127.0.0.1, 0 for any.
        #[arg(long, env = "PORT", default_value_t = 0)]
        port: u16,
        /// Text of the frame that it writes.
        #[arg(long)]
        message: String,
    },
    /// The program `roomcast` under the application's load: channels and documents.
    App {
        /// The program; beside this one by default.
        #[arg(long, value_name = "PATH")]
        program: Option<PathBuf>,
        /// Few people: shows that everything works, its figures mean nothing.
        #[arg(long)]
        quick: bool,
    },
    /// Another program, which ends with the bench.
    #[command(hide = true)]
    Tether {
        /// The program under the application's load.
        program: OsString,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// What is measured, and how often.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The conformance server; beside this program by default.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Runtime of the conformance server, may be given several times; tokio if nothing else is to be measured.
    #[arg(long, value_name = "NAME")]
    runtime: Vec<String>,
    /// Another server with the events of the conformance server. Repeatable; arguments are separated by spaces.
    #[arg(long, value_name = "NAME=PROGRAM ARGUMENT …", value_parser = Subject::from_command)]
    server_cmd: Vec<Subject>,
    /// Measures a second bare loop like a server: how far from 1.00 the machine alone takes a ratio.
    #[arg(long)]
    null: bool,
    /// Only these scenarios, separated by commas.
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',', value_parser = scenario_names())]
    only: Vec<String>,
    /// Rounds per scenario.
    #[arg(long, default_value = "11")]
    rounds: NonZeroU16,
    /// How often a round is tried at most, until no other program ran meanwhile.
    #[arg(long, default_value = "3")]
    patience: NonZeroU16,
    /// Few clients and messages: shows that everything works, its figures mean nothing.
    #[arg(long)]
    pub(super) quick: bool,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub(super) json: bool,
}

impl RunArguments {
    /// What runs beside the bare loop.
    pub(super) fn subjects(&self) -> io::Result<Vec<Subject>> {
        let mut runtimes = self.runtime.clone();
        if runtimes.is_empty() && self.server_cmd.is_empty() && !self.null {
            runtimes.push("tokio".to_owned());
        }
        let server = self.server.clone().map_or_else(sibling_conformance_server, Ok)?;
        let mut subjects: Vec<_> = runtimes.iter().map(|runtime| Subject::conformance(&server, runtime)).collect();
        subjects.extend(self.server_cmd.iter().cloned());
        if self.null {
            subjects.push(Subject::bare("bare loop again")?);
        }
        Ok(subjects)
    }

    /// How many rounds a scenario has.
    pub(super) fn rounds(&self) -> Rounds {
        if self.quick {
            return Rounds { wanted: 2, tries_max: 1 };
        }
        Rounds { wanted: self.rounds.get().into(), tries_max: self.patience.get().into() }
    }

    /// Whether a scenario is to run.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn scenario_names() -> Vec<&'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name).chain([idle::NAME]).collect()
}
