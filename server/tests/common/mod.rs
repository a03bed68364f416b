//! The program as a process, and clients that talk to it by blocking reads with a time limit.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of this, and what fails there fails the test"
)]

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// A folder of a test's own, removed when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}-data", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program, in a folder of its own and with no variables but those that a test sets. Killed when this is dropped.
pub struct Program {
    pub child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
    folder: PathBuf,
}

impl Program {
    /// Without waiting for anything.
    pub fn spawn(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn_by(&[], flags, variables)
    }

    fn spawn_by(by: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = env!("CARGO_BIN_EXE_roomcast");
        let words = [by, &[program]].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .envs(variables.iter().copied())
            .args(flags)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr, folder }
    }

    /// On a free port, once it listens.
    pub fn serve(flags: &[&str], variables: &[(&str, &str)]) -> (Self, SocketAddr) {
        Self::spawn(&[&["--port", "0"], flags].concat(), variables).listening()
    }

    /// The same, started by a command that becomes it, like `nohup`.
    pub fn serve_by(by: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> (Self, SocketAddr) {
        Self::spawn_by(by, &[&["--port", "0"], flags].concat(), variables).listening()
    }

    fn listening(mut self) -> (Self, SocketAddr) {
        let program = &mut self;
        let line = program.stdout.until("roomcast listens on http://");
        let address = line.split('/').nth(2).unwrap().parse().unwrap();
        (self, address)
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// How it ended, and all that it has said on standard error since it was last looked at.
    pub fn end(&mut self) -> (ExitStatus, String) {
        // Its end closes the pipes: what is read here has a time limit, and the wait after it needs none.
        let said = self.stderr.rest();
        self.stdout.rest();
        (self.child.wait().unwrap(), said)
    }

    pub fn has_file(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What the program says, line by line.
pub struct Lines {
    lines: Receiver<String>,
    pub seen: String,
}

impl Lines {
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let (say, lines) = channel();
        let read = move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().spawn(read).unwrap();
        Self { lines, seen: String::new() }
    }

    /// The next line with this in it.
    pub fn until(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("no {part:?} after {:?}", self.seen) };
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(part) {
                return line;
            }
        }
    }

    /// What comes until the end.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.extend([line.as_str(), "\n"]),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it does not end; it said {rest:?}"),
            }
        }
        self.seen.push_str(&rest);
        rest
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A request on a connection of its own.
pub fn http(address: SocketAddr, request: &str, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
    let mut stream = connect(address);
    let mut text = format!("{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    HttpAnswer { status, head: head.to_owned(), body: body.to_owned() }
}

pub fn get(address: SocketAddr, path: &str) -> HttpAnswer {
    http(address, &format!("GET {path}"), &[], "")
}

/// A POST to the HTTP API.
pub fn api(address: SocketAddr, path: &str, key: &str, body: &str) -> HttpAnswer {
    http(address, &format!("POST {path}"), &[("authorization", &format!("Bearer {key}"))], body)
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A Socket.IO client by long polling.
pub struct Client {
    address: SocketAddr,
    target: String,
    pub sid: String,
    packets: VecDeque<String>,
}

impl Client {
    /// Connects to the root namespace, without a user.
    pub fn connect(address: SocketAddr) -> Self {
        let open = get(address, POLLING);
        assert_eq!(open.status, 200, "{open:?}");
        let engine_sid = string_field(&open.body, "sid");
        let target = format!("{POLLING}&sid={engine_sid}");
        let mut client = Self { address, target, sid: String::new(), packets: VecDeque::new() };
        client.send("40");
        client.sid = string_field(&client.next(), "sid");
        client
    }

    /// Connects to the root namespace and authenticates with `user-join`.
    pub fn join(address: SocketAddr, token: &str) -> Self {
        let mut client = Self::connect(address);
        client.send(&format!(r#"420["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        assert!(client.next().starts_with("430[{"));
        client
    }

    pub fn send(&self, packets: &str) {
        let answer = http(self.address, &format!("POST {}", self.target), &[], packets);
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK"), "{answer:?}");
    }

    /// The next packet that is no ping.
    pub fn next(&mut self) -> String {
        loop {
            match self.packets.pop_front() {
                Some(ping) if ping == "2" => self.send("3"),
                Some(packet) => return packet,
                None => {
                    let answer = get(self.address, &self.target);
                    assert_eq!(answer.status, 200, "{answer:?}");
                    self.packets.extend(answer.body.split('\x1e').map(str::to_owned));
                }
            }
        }
    }
}

/// The string of this name, from JSON in which it needs no escapes.
pub fn string_field(json: &str, name: &str) -> String {
    let start = format!("\"{name}\":\"");
    let from = json.find(&start).unwrap_or_else(|| panic!("no {name} in {json}")) + start.len();
    json[from..].split('"').next().unwrap().to_owned()
}

pub const POLLING: &str = "/ws/socket.io/?EIO=4&transport=polling";
/// No test waits for this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);
