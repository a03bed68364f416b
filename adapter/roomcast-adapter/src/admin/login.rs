//! Who may see the dashboard.
//!
//! Owns: the name, the hash of the password, and the sessions of those who have logged in. Must never know: sockets.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_channel::oneshot;
use serde::Deserialize;

use crate::sync::lock;

/// Who may see the dashboard.
#[derive(Clone)]
pub enum AdminLogin {
    /// A name, and a password that has this bcrypt hash. Made by [`basic`](Self::basic).
    #[non_exhaustive]
    Basic {
        /// What the dashboard has to give as `username`, in the same case.
        username: String,
        /// The hash, in the form `$2b$10$…`.
        password_hash: String,
    },
    /// Anyone who reaches the endpoint: the package's `auth: false`.
    Anyone,
}

impl AdminLogin {
    /// A name and the bcrypt hash of a password, as the package's `auth: { type: "basic" }` has them.
    ///
    /// # Errors
    ///
    /// The text is no bcrypt hash.
    pub fn basic(username: impl Into<String>, password_hash: impl Into<String>) -> Result<Self, BadPasswordHash> {
        let password_hash = password_hash.into();
        password_hash.parse::<bcrypt::HashParts>().map_err(|_| BadPasswordHash)?;
        Ok(Self::Basic { username: username.into(), password_hash })
    }
}

impl fmt::Debug for AdminLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Anyone => "Anyone",
        })
    }
}

/// The text that is to be the hash of a password is no bcrypt hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPasswordHash;

impl fmt::Display for BadPasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the password must be given as a bcrypt hash, such as $2b$10$…")
    }
}

impl std::error::Error for BadPasswordHash {}

/// What a dashboard says of itself when it connects.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Credentials {
    session_id: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// A dashboard that is let in. With `made`, the dashboard is told a session by which it comes back without the password.
pub(super) struct AdminSession {
    pub(super) made: Option<String>,
}

/// Lets dashboards in.
#[derive(Debug)]
pub(super) struct LoginDesk {
    login: AdminLogin,
    /// The latest last.
    sessions: Mutex<VecDeque<String>>,
    is_checking: AtomicBool,
}

impl LoginDesk {
    pub(super) fn new(login: AdminLogin) -> Self {
        Self { login, sessions: Mutex::default(), is_checking: AtomicBool::new(false) }
    }

    /// Who this is; `None` for one that is not let in. A password takes a thread of its own for about 0.1 s, and one at
    /// a time is checked: the others are refused, and dashboards try again.
    pub(super) async fn check(&self, given: Credentials) -> Option<AdminSession> {
        let AdminLogin::Basic { username, password_hash } = &self.login else {
            return Some(AdminSession { made: None });
        };
        if given.session_id.is_some_and(|id| lock(&self.sessions).contains(&id)) {
            return Some(AdminSession { made: None });
        }
        let password = given.password.filter(|_| given.username.as_ref() == Some(username))?;
        if self.is_checking.swap(true, Ordering::AcqRel) {
            return None;
        }
        // Also if the client goes away meanwhile.
        let turn = CheckTurn(&self.is_checking);
        if !is_right(password, password_hash.clone()).await {
            return None;
        }
        drop(turn);
        let mut bytes = [0; SESSION_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = lock(&self.sessions);
        if sessions.len() == SESSIONS_MAX {
            sessions.pop_front();
        }
        sessions.push_back(id.clone());
        Some(AdminSession { made: Some(id) })
    }
}

/// The one check that is under way.
struct CheckTurn<'a>(&'a AtomicBool);

impl Drop for CheckTurn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Whether a password has this hash; on a thread of its own, as it takes long.
async fn is_right(password: String, hash: String) -> bool {
    let (told, verdict) = oneshot::channel();
    let check = move || {
        // Dropped by a client that waits no longer.
        let _ = told.send(bcrypt::verify(password, &hash).unwrap_or(false));
    };
    let thread = std::thread::Builder::new().name("roomcast-admin".to_owned()).spawn(check);
    thread.is_ok() && verdict.await.unwrap_or(false)
}

const SESSION_BYTES: usize = 16;
const SESSIONS_MAX: usize = 1000;
