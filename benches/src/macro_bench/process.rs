//! The processes under test: started, pinned, read from outside, ended.
//!
//! Owns: the child, its CPU clock and its memory figures. Must never know: what is sent to it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::subject::{Order, ProcessKind, Subject};

/// A server that listens, or the bare loop. Ends with this value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    cpu_clock: libc::clockid_t,
    pub(super) address: SocketAddrV4,
    pub(super) kind: ProcessKind,
    pub(super) order: Order,
    pub(super) name: String,
}

impl Process {
    /// Starts a subject and waits for its line `listening on http://HOST:PORT`.
    ///
    /// `message` is the text of the one frame which a bare loop writes; a server does not see it.
    pub(super) fn start(subject: &Subject, message: &str, cores: &Cores) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["tether", "--"]).arg(&subject.program).args(&subject.arguments);
        if subject.kind == ProcessKind::Bare {
            command.args(["--message", message]);
        }
        command
            .env("HOST", "127.0.0.1")
            .env("PORT", free_port()?.to_string())
            .env("LOAD", "1")
            .env("PING_INTERVAL", PING_INTERVAL_MS);
        let mut process = Self::launch(&mut command, subject.name.clone(), cores)?;
        (process.kind, process.order) = (subject.kind, subject.order);
        Ok(process)
    }

    /// Starts the program `roomcast` as its users do, with nothing in its environment but this.
    pub(super) fn start_program(program: &Path, variables: &[(&str, &str)], cores: &Cores) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["tether", "--"]).arg(program);
        command.env_clear().envs(variables.iter().copied());
        Self::launch(&mut command, "roomcast".to_owned(), cores)
    }

    fn launch(command: &mut Command, name: String, cores: &Cores) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = cores.spawn_on_server_core(command)?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("a child without its pipe"))?;
        let mut process = Self {
            cpu_clock: cpu_clock(&child)?,
            child,
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            kind: ProcessKind::Server,
            order: Order::Kept,
            name,
        };
        process.address = listening_address(stdout).map_err(|fault| with_name(&process.name, &fault))?;
        Ok(process)
    }

    /// CPU time that the process has used, user and system, all threads, those that ended included.
    pub(super) fn cpu(&self) -> io::Result<Duration> {
        read_clock(self.cpu_clock).map_err(|fault| with_name(&self.name, &fault))
    }

    /// Resident memory in bytes: `VmRSS`, and `Pss`, which counts shared pages by share.
    pub(super) fn memory(&self) -> io::Result<MemoryUse> {
        let directory = format!("/proc/{}", self.child.id());
        Ok(MemoryUse {
            rss_bytes: field_kib(&fs::read_to_string(format!("{directory}/status"))?, "VmRSS:")? * 1024,
            pss_bytes: field_kib(&fs::read_to_string(format!("{directory}/smaps_rollup"))?, "Pss:")? * 1024,
        })
    }

    fn terminate(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIME_MAX;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(fault) = self.terminate() {
            eprintln!("macro bench: cannot end {}: {fault}", self.name);
        }
    }
}

/// Memory of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryUse {
    pub(super) rss_bytes: u64,
    pub(super) pss_bytes: u64,
}

/// Which core the processes under test run on, and which the load generator.
#[derive(Debug)]
pub(super) struct Cores {
    server: CpuSet,
    generator: CpuSet,
}

impl Cores {
    /// Moves this thread to the second core that it may use and keeps the first for the processes under test. With one
    /// core they share it.
    pub(super) fn split() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = usable.next().ok_or_else(|| io::Error::other("no core to run on"))?;
        let generator = usable.next().unwrap_or(server);
        let cores = Self { server: only(server), generator: only(generator) };
        sched_setaffinity(None, &cores.generator)?;
        Ok(cores)
    }

    /// A child inherits the affinity of the thread that starts it, and its threads inherit it from there, before the
    /// first of them counts the cores.
    fn spawn_on_server_core(&self, command: &mut Command) -> io::Result<Child> {
        sched_setaffinity(None, &self.server)?;
        let child = command.spawn();
        sched_setaffinity(None, &self.generator)?;
        child
    }
}

/// Becomes `program`, in the same process, which ends when the one that started it ends, however that happens.
pub(super) fn become_tethered(program: &OsString, arguments: &[OsString]) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let fault = Command::new(program).args(arguments).exec();
    Err(io::Error::new(fault.kind(), format!("cannot start {}: {fault}", program.display())))
}

/// Lets this process and its children open as many sockets as the system grants.
pub(super) fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Reads the child's output to its end on a thread of its own, so that a chatty server never blocks on a full pipe.
fn listening_address(stdout: ChildStdout) -> io::Result<SocketAddrV4> {
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let said = ["listening on http://", "roomcast listens on http://"];
            let url = said.iter().find_map(|said| line.trim().strip_prefix(said));
            let authority = url.and_then(|url| url.split('/').next());
            if let Some(address) = authority.and_then(|authority| authority.parse().ok()) {
                // The receiver is gone once it has its answer.
                let _ = found.send(address);
            }
        }
    });
    address
        .recv_timeout(START_TIME_MAX)
        .map_err(|_| io::Error::other("it ended or stayed silent: no line `listening on http://127.0.0.1:PORT`"))
}

fn field_kib(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name} in /proc")))
}

fn with_name(name: &str, fault: &io::Error) -> io::Error {
    io::Error::new(fault.kind(), format!("{name}: {fault}"))
}

/// The scheduler's own clock of a process: nanoseconds, where `utime` and `stime` of `/proc/PID/stat` come in ticks of
/// 10 ms, and of the whole process, where `/proc/PID/schedstat` is of its first thread alone.
#[expect(unsafe_code, reason = "no safe binding names the CPU clock of another process")]
fn cpu_clock(child: &Child) -> io::Result<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: `clock` is valid for a write for the duration of the call, the only access that it makes.
    let code = unsafe { libc::clock_getcpuclockid(child.id().cast_signed(), &raw mut clock) };
    if code == 0 { Ok(clock) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[expect(unsafe_code, reason = "no safe binding reads the CPU clock of another process")]
fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for a write for the duration of the call, the only access that it makes.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32))
}

/// Longer than any scenario: heartbeats are no part of what is compared.
const PING_INTERVAL_MS: &str = "600000";
const START_TIME_MAX: Duration = Duration::from_secs(20);
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_proc_is_in_kib() {
        let status = "VmPeak:\t  10 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(field_kib(status, "VmRSS:").unwrap(), 2048);
        assert!(field_kib(status, "Pss:").is_err());
    }
}
