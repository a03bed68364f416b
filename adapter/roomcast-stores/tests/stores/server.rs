//! A PostgreSQL server for a test: in a folder of its own, on a port of its own, gone with the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use crate::Folder;

/// A running server with the user `room` and a password that a URL has to escape.
pub struct PostgresServer {
    folder: Folder,
    programs: PathBuf,
    port: u16,
    /// A shell with the server below it. It lives as long as its input is open, and so no longer than the test.
    shell: Option<Child>,
}

pub const PASSWORD: &str = "p@ss/w:rd %";

impl PostgresServer {
    pub fn start() -> Self {
        let folder = Folder::new();
        let programs = programs();
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if let Some((user, group)) = unprivileged() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
            chown(&password, Some(user), Some(group)).unwrap();
        }
        let mut server = Self { folder, programs, port: 0, shell: None };
        let made = server
            .command("initdb")
            .args(["--username=room", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.run();
        server
    }

    /// Kills the server and all of its processes, without an orderly shutdown.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.stop();
    }

    /// Sends a signal to it and all of its processes.
    pub fn signal(&self, name: &str) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let pid = file.lines().next().unwrap();
        let kill = |pid: &str| {
            let sent = Command::new("kill").args([&format!("-{name}"), pid]).stderr(Stdio::null()).status();
            sent.unwrap().success()
        };
        let children = children(pid);
        assert!(kill(pid));
        for child in children {
            // It may have ended meanwhile.
            let _ = kill(&child);
        }
    }

    /// Starts it, on the port that it had.
    pub fn run(&mut self) {
        // Another process may take the port in between; after a kill, the server waits for the last of its processes.
        for _ in 0..100 {
            if self.port == 0 {
                self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            }
            match self.try_run() {
                Ok(()) => return,
                Err(log) if log.contains("could not bind") => self.port = 0,
                Err(log) if log.contains("is still in use") || log.contains("lock file") => {}
                Err(log) => panic!("{log}"),
            }
        }
        panic!("the server does not start");
    }

    pub fn url(&self) -> String {
        let password: String = PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("postgresql+psycopg2://room:{password}@127.0.0.1:{}/postgres", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn try_run(&mut self) -> Result<(), String> {
        let mut shell = self
            .command_of("/bin/sh".as_ref())
            .args(["-c", "\"$@\" & server=$!; read -r end; kill -CONT $server; kill -QUIT $server; wait $server", "sh"])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(shell.stderr.take().unwrap());
        self.shell = Some(shell);
        // Reads until the server has ended: a full pipe would block the server when it writes its log.
        let (sender, lines) = mpsc::channel();
        #[expect(clippy::disallowed_methods, reason = "nothing here is replayed")]
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut log = String::new();
        for line in lines {
            if line.contains("database system is ready to accept connections") {
                return Ok(());
            }
            log += &line;
            log += "\n";
            if line.contains("FATAL") && !line.contains("the database system is") {
                break;
            }
        }
        self.stop();
        Err(log)
    }

    fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            shell.wait().unwrap();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&self.programs.join(program))
    }

    /// PostgreSQL refuses to run as root.
    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        if let Some((user, group)) = unprivileged() {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Processes that this one started.
fn children(parent: &str) -> Vec<String> {
    let stats =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    // <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>: pid (name) state parent.
    let is_child =
        |stat: &String| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split_whitespace().nth(1) == Some(parent));
    stats.filter(is_child).filter_map(|stat| stat.split_once(' ').map(|(pid, _)| pid.to_owned())).collect()
}

/// The folder of the server's programs: on the path, or where Debian puts them.
fn programs() -> PathBuf {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut folders = on_path.unwrap_or_default();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    let Some(folder) = found else {
        panic!("PostgreSQL is missing: install Debian's package postgresql, or run ./test.sh as root, which does");
    };
    folder
}

/// User and group to run as, if this is root.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(user("postgres").or_else(|| user("nobody")).unwrap())
}
