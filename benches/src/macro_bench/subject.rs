//! What is measured: servers, and the bare loop beside them.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// One program under test.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) kind: ProcessKind,
    pub(super) order: Order,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
}

/// Which of both a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessKind {
    /// Speaks Socket.IO: answers with what it was sent.
    Server,
    /// Speaks nothing: answers with one frame that it was given.
    Bare,
}

/// Whether events of one socket must come out in the order in which they went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Kept,
    /// Some servers run each event as a task of its own.
    Any,
}

impl Subject {
    /// The bare loop: this very program, so that both are measured from outside in the same way.
    pub(super) fn bare(name: &str) -> io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            kind: ProcessKind::Bare,
            order: Order::Kept,
            program: env::current_exe()?,
            arguments: vec!["bare".to_owned()],
        })
    }

    /// The conformance server on one of its runtimes.
    pub(super) fn conformance(program: &Path, runtime: &str) -> Self {
        Self {
            name: format!("roomcast ({runtime})"),
            kind: ProcessKind::Server,
            order: Order::Kept,
            program: program.to_owned(),
            arguments: vec!["--runtime".to_owned(), runtime.to_owned()],
        }
    }

    /// Any other server, from `NAME=PROGRAM ARGUMENT …`; arguments are separated by spaces, there is no quoting.
    pub(super) fn from_command(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("it has the form NAME=PROGRAM ARGUMENT …")?;
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or("the command is empty")?;
        Ok(Self {
            name: name.trim().to_owned(),
            kind: ProcessKind::Server,
            order: Order::Any,
            program: program.into(),
            arguments: words.collect(),
        })
    }
}

/// Where cargo puts the conformance server: beside this program.
pub(super) fn sibling_conformance_server() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("conformance-server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_name_and_words() {
        let subject = Subject::from_command("socket.io=node  /tmp/server.js --x=1").unwrap();
        assert_eq!((subject.name.as_str(), subject.program.to_str()), ("socket.io", Some("node")));
        assert_eq!(subject.arguments, ["/tmp/server.js", "--x=1"]);
        assert!(Subject::from_command("node server.js").is_err());
        assert!(Subject::from_command("node=").is_err());
    }
}
