//! People, channels and a note in a store, and the program over it.
//!
//! Owns: the rows, the tokens and the folder of a run. Must never know: what the people do.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use roomcast_auth::sign_hs256;
use roomcast_stores::{
    ChannelKind, ChannelRow, ChannelState, DatabaseOptions, Embedded, GroupRow, MemberRow, NoteRow, Rows, UserRow,
};

use crate::macro_bench::process::{self, Cores, Process};

/// Everything that is there before the program starts.
pub(super) struct World {
    pub(super) users: usize,
    program: PathBuf,
    cores: Cores,
    folder: PathBuf,
    port: String,
}

/// How many belong into a channel.
pub(super) const CHANNEL_MEMBERS: usize = 10;
/// The id of the note that all users may write to.
pub(super) const NOTE: &str = "shared";

impl World {
    /// Fills a new store.
    pub(super) fn make(program: PathBuf, cores: Cores, users: usize) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("roomcast-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let port = process::free_port()?.to_string();
        let world = Self { users, program, cores, folder, port };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let file = world.folder.join("roomcast.db");
            let store = Embedded::open(&file, DatabaseOptions::default()).await.map_err(io::Error::other)?;
            store.seed(&rows(users)).await.map_err(|error| io::Error::other(format!("{error:?}")))?;
            roomcast_stores::Store::close(&store).await;
            Ok::<_, io::Error>(())
        })?;
        Ok(world)
    }

    /// Starts the program, at the same address each time.
    pub(super) fn start(&self) -> io::Result<Process> {
        let folder = self.folder.to_string_lossy();
        let variables = [
            ("WEBUI_SECRET_KEY", SECRET),
            ("ROOMCAST_STORE", "own"),
            ("DATA_DIR", &*folder),
            ("ROOMCAST_PORT", &*self.port),
            ("WEBSOCKET_SERVER_PING_INTERVAL", "3600"),
            ("GLOBAL_LOG_LEVEL", "WARNING"),
        ];
        let process = Process::start_program(&self.program, &variables, &self.cores)?;
        if process.address.ip() != &Ipv4Addr::LOCALHOST {
            return Err(io::Error::other("the program listens elsewhere"));
        }
        Ok(process)
    }

    pub(super) fn token(user: usize) -> String {
        sign_hs256(SECRET.as_bytes(), &format!(r#"{{"id":"{}","jti":"{user}"}}"#, user_id(user)))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(fault) = fs::remove_dir_all(&self.folder) {
            eprintln!("macro bench: cannot remove {}: {fault}", self.folder.display());
        }
    }
}

pub(super) fn user_id(user: usize) -> String {
    format!("user-{user:05}")
}

pub(super) fn channel_of(user: usize) -> String {
    format!("channel-{:05}", user / CHANNEL_MEMBERS)
}

/// The path of the endpoint of Socket.IO.
pub(super) const SOCKET_IO: &str = "/ws/socket.io/?EIO=4&transport=websocket";

fn rows(users: usize) -> Rows {
    let all = "all";
    let members = |channel: usize| {
        (channel * CHANNEL_MEMBERS..((channel + 1) * CHANNEL_MEMBERS).min(users))
            .map(|user| MemberRow { user: user_id(user).into(), is_active: true, last_read_at_nanos: None })
            .collect()
    };
    let rules = format!(r#"{{"read":{{"group_ids":["{all}"]}},"write":{{"group_ids":["{all}"]}}}}"#);
    Rows {
        users: (0..users)
            .map(|user| UserRow {
                id: user_id(user).into(),
                name: format!("User {user}").into(),
                email: format!("{user}@localhost").into(),
                role: "user".into(),
                last_active_at_secs: 0,
            })
            .collect(),
        groups: vec![GroupRow {
            id: all.into(),
            members: (0..users).map(|user| user_id(user).into()).collect(),
            channels: None,
        }],
        channels: (0..users.div_ceil(CHANNEL_MEMBERS))
            .map(|channel| ChannelRow {
                id: channel_of(channel * CHANNEL_MEMBERS).into(),
                name: format!("Channel {channel}").into(),
                owner: user_id(channel * CHANNEL_MEMBERS).into(),
                kind: ChannelKind::Group,
                access: None,
                state: ChannelState::Open,
                members: members(channel),
            })
            .collect(),
        notes: vec![NoteRow {
            id: NOTE.into(),
            owner: user_id(0).into(),
            title: "Shared".into(),
            access: Some(rules.into()),
            data: None,
            updated_at_nanos: None,
        }],
        chats: Vec::new(),
        channels_default: None,
    }
}

/// Of this bench alone.
const SECRET: &str = "the secret of a bench";

/// The address without its process, for clients that come back.
pub(super) fn address(process: &Process) -> SocketAddrV4 {
    process.address
}
