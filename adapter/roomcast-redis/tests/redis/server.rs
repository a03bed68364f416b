//! Redis servers for tests: in folders of their own, on ports of their own, gone with the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

/// A server, or a Sentinel.
pub struct RedisServer {
    folder: PathBuf,
    program: ServerProgram,
    port: u16,
    args: Vec<String>,
    running: Option<Running>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ServerProgram {
    Redis,
    Sentinel,
}

struct Running {
    /// A shell with the server below it. It lives as long as its input is open, and so no longer than the test.
    shell: Child,
    pid: String,
}

impl RedisServer {
    /// A server with these options beside its defaults: nothing on the disk, loopback alone.
    pub fn start(args: &[&str]) -> Self {
        let mut server = Self::new(ServerProgram::Redis, args);
        server.run();
        server
    }

    /// A Sentinel with this configuration beside its port.
    pub fn sentinel(config: &str) -> Self {
        let mut sentinel = Self::new(ServerProgram::Sentinel, &[]);
        sentinel.port = free_port();
        let text = format!("port {}\nbind 127.0.0.1\n{config}", sentinel.port);
        fs::write(sentinel.folder.join("sentinel.conf"), text).unwrap();
        sentinel.run();
        sentinel
    }

    fn new(program: ServerProgram, args: &[&str]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("roomcast-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { folder, program, port: 0, args, running: None }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of the test's own.
    pub fn admin(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// `kill -9`: without a farewell.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.stop();
    }

    pub fn signal(&self, name: &str) {
        let pid = &self.running.as_ref().unwrap().pid;
        assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
    }

    /// Starts it, on the port that it had.
    pub fn run(&mut self) {
        // Another process may take the port in between.
        let mut log = String::new();
        for _ in 0..20 {
            if self.port == 0 {
                self.port = free_port();
            }
            match self.try_run() {
                Ok(()) => return,
                Err(text) => log = text,
            }
            if self.program == ServerProgram::Redis && log.contains("Address already in use") {
                self.port = 0;
            }
        }
        panic!("the server does not start: {log}");
    }

    fn try_run(&mut self) -> Result<(), String> {
        let mut shell = Command::new("/bin/sh");
        let script = "\"$@\" & server=$!; echo \"pid $server\"; read -r end; kill -CONT $server; kill -KILL $server; wait $server";
        shell.current_dir(&self.folder).args(["-c", script, "sh"]);
        match self.program {
            ServerProgram::Redis => {
                shell.args([path_of("redis-server").as_os_str(), "--port".as_ref()]).arg(self.port.to_string());
                shell.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
                shell.args(&self.args);
            }
            ServerProgram::Sentinel => {
                shell.arg(path_of("redis-sentinel")).arg(self.folder.join("sentinel.conf"));
            }
        }
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(shell.stdout.take().unwrap());
        // Reads until the server has ended: a full pipe would block the server when it writes its log.
        let (sender, lines) = mpsc::channel();
        #[expect(clippy::disallowed_methods, reason = "nothing here is replayed")]
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        // The server writes beside the shell, which may be the later one.
        let mut early = Vec::new();
        let pid = loop {
            let line = lines.recv().unwrap();
            match line.strip_prefix("pid ") {
                Some(pid) => break pid.to_owned(),
                None => early.push(line),
            }
        };
        self.running = Some(Running { shell, pid });
        let mut log = String::new();
        for line in early.into_iter().chain(lines) {
            if line.contains("Ready to accept connections") || line.contains("+monitor") {
                return Ok(());
            }
            log += &line;
            log += "\n";
            if line.contains("Failed listening") || line.contains("FATAL") {
                break;
            }
        }
        self.stop();
        Err(log)
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.shell.stdin.take());
            running.shell.wait().unwrap();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that was free just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of Redis: on the path, or where Debian puts it.
pub fn path_of(program: &str) -> PathBuf {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let found = on_path.unwrap_or_default().into_iter().map(|folder| folder.join(program)).find(|path| path.exists());
    let Some(path) = found else {
        panic!(
            "{program} is missing: install Debian's packages redis-server and redis-sentinel, or run ./test.sh as root"
        );
    };
    path
}
