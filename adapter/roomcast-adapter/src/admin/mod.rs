//! The server side of the stock dashboard `@socket.io/admin-ui`.
//!
//! Owns: [`AdminPanel`]: the namespace of the dashboard, and what it may ask for. Must never know: how sockets are looked
//! at, or how passwords are checked.
//!
//! | file | what |
//! |---|---|
//! | `login` | who may see it |
//! | `sightings` | what there is at one moment, and what is different from the moment before |
//! | `watch` | what the dashboard is told, and when |

mod login;
mod sightings;
mod watch;

use std::sync::Arc;

use roomcast_core::server::{Extent, Scope};
use roomcast_core::socket_io::Args;

pub use self::login::{AdminLogin, BadPasswordHash};
use self::login::{Credentials, LoginDesk};
use crate::broadcast::Broadcast;
use crate::builder::{Namespace, SocketIoRoutes};
use crate::handler::{Data, Refusal};
use crate::socket::Socket;

/// The server side of the dashboard of socket.io, `@socket.io/admin-ui` 0.5: a page of any host, or of
/// [admin.socket.io](https://admin.socket.io), that shows the sockets and rooms of this process and may send, move and
/// disconnect sockets.
///
/// It looks at the server twice a second while a dashboard is connected, and costs nothing otherwise: events of clients
/// do not pass by it. For the same reason the dashboard's list of events shows connections and rooms, not
/// `event_received` and `event_sent`; what comes and goes between two looks is not seen; bytes are not counted; and
/// `socket.data` is empty. It shows sockets that handlers know, of this process.
///
/// The page sends credentials with long polling: its origin has to be in [`Origins::List`](crate::Origins::List), or the
/// page is set to WebSocket alone ("Advanced options").
///
/// ```
/// use roomcast_adapter::{AdminLogin, AdminPanel, Builder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // What `npx bcryptjs` or `htpasswd -nbB` makes of the password.
/// let login = AdminLogin::basic("ada", "$2b$10$heqvAkYMez.Va6Et2uXInOnkCT6/uQj1brkrbyG3LpopDklcq7ZOS")?;
/// let panel = AdminPanel::new(login);
/// let builder = Builder::new().socket_io("/socket.io", |io| panel.register(io));
/// // let server = builder.start(Tokio)?;
/// // tokio::spawn(panel.watch(server.handle()));
/// # let _ = builder;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AdminPanel {
    namespace: String,
    server_id: String,
    detail: AdminDetail,
    rights: AdminRights,
    login: Arc<LoginDesk>,
}

/// How much the dashboard shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminDetail {
    /// Figures, namespaces, and each socket with its rooms: the package's mode `development`.
    Sockets,
    /// Figures and namespaces alone: its mode `production`.
    Figures,
}

/// What the dashboard may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminRights {
    /// Send events, and make sockets join, leave and disconnect.
    Act,
    /// Look: the package's option `readonly`.
    Look,
}

impl AdminPanel {
    /// The namespace `/admin` for those who can log in, with all that there is to see and do.
    pub fn new(login: AdminLogin) -> Self {
        Self {
            namespace: "/admin".to_owned(),
            server_id: format!("roomcast#{}", std::process::id()),
            detail: AdminDetail::Sockets,
            rights: AdminRights::Act,
            login: Arc::new(LoginDesk::new(login)),
        }
    }

    /// Shows more or less.
    #[must_use]
    pub fn detail(mut self, detail: AdminDetail) -> Self {
        self.detail = detail;
        self
    }

    /// Lets dashboards act, or look alone.
    #[must_use]
    pub fn rights(mut self, rights: AdminRights) -> Self {
        self.rights = rights;
        self
    }

    /// The name of this server in the dashboard, instead of one with the number of its process.
    #[must_use]
    pub fn server_id(mut self, server_id: impl Into<String>) -> Self {
        self.server_id = server_id.into();
        self
    }

    /// Adds the namespace to an endpoint, which has to be the first with Socket.IO.
    pub fn register(&self, io: &mut SocketIoRoutes) {
        io.namespace(self.namespace.as_str(), |ns| {
            let login = self.login.clone();
            ns.admit(move |socket: Socket, Data(given): Data<Credentials>| {
                let login = login.clone();
                async move {
                    match login.check(given).await {
                        Some(session) => {
                            socket.extend(session);
                            Ok(())
                        }
                        None => Err(Refusal::new("invalid credentials")),
                    }
                }
            });
            let features = self.features();
            ns.on_connect(move |socket: Socket| {
                let config = serde_json::json!({ "supportedFeatures": features });
                async move {
                    if let Some(id) = socket.extension::<login::AdminSession>().and_then(|session| session.made.clone())
                    {
                        let _gone = socket.emit("session", (id,)).await;
                    }
                    let _gone = socket.emit("config", (config,)).await;
                }
            });
            if self.rights == AdminRights::Act {
                act(ns);
            }
        });
    }

    fn features(&self) -> Vec<&'static str> {
        let mut features = match self.rights {
            AdminRights::Act => vec!["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"],
            AdminRights::Look => Vec::new(),
        };
        features.push("AGGREGATED_EVENTS");
        match self.detail {
            AdminDetail::Sockets => features.push("ALL_EVENTS"),
            AdminDetail::Figures => {}
        }
        features
    }
}

/// Registers what a dashboard may do. Without a filter, which is a room or a sid, all sockets of a namespace are meant.
fn act(ns: &mut Namespace) {
    ns.on("emit", async |socket: Socket, args: Args| {
        let text = |index| serde_json::from_str::<Option<String>>(args.get(index)?).ok().flatten();
        if let (Some(nsp), Some(event)) = (text(0), text(2)) {
            // A name that cannot be sent is logged.
            let _refused = meant(&socket, nsp, text(1)).emit(event, args.slice_from(3)).await;
        }
    });
    ns.on("join", async |socket: Socket, Data((nsp, room, filter)): Data<(String, String, Option<String>)>| {
        meant(&socket, nsp, filter).join(room);
    });
    ns.on("leave", async |socket: Socket, Data((nsp, room, filter)): Data<(String, String, Option<String>)>| {
        meant(&socket, nsp, filter).leave(room);
    });
    ns.on("_disconnect", async |socket: Socket, Data((nsp, close, filter)): Data<(String, bool, Option<String>)>| {
        let extent = if close { Extent::Connection } else { Extent::Namespace };
        meant(&socket, nsp, filter).disconnect(extent);
    });
}

fn meant(admin: &Socket, namespace: String, filter: Option<String>) -> Broadcast {
    let scope = Scope { endpoint: admin.scope().endpoint, namespace: namespace.into() };
    let all = Broadcast::new(admin.shared().clone(), scope);
    match filter.filter(|filter| !filter.is_empty()) {
        Some(filter) => all.to(filter),
        None => all,
    }
}
