//! The way to and from the backend's own processes: clients of the namespace `/bridge`.
//!
//! A process of Open WebUI has one Socket.IO connection to `/api/bridge` (WebSocket alone, no browsers), joins `/bridge` with
//! `{"key": …}`, and then says:
//!
//! | event | arguments | ack |
//! |---|---|---|
//! | `hello` | id of the client, drawn at its start | `{"instance","version","taken","call_timeout_max_ms"}`: which process this is, and the number of the last batch of this client that it has taken |
//! | `batch` | number, body of `/api/batch` as bytes | `{"refused":[[index,status,why]]}`. A number not above the last one was taken before: nothing happens |
//! | `listen` | list of `[event, user ∣ null]` | `[]` |
//! | `unlisten` | list of events | `[]` |
//! | `request` | id, name of a route, its body as bytes | none; the answer is the event `reply` |
//!
//! | event to the client | arguments | ack |
//! |---|---|---|
//! | `reply` | id, status, body | |
//! | `event` | sid, event, its arguments | becomes the ack of that event |
//!
//! Batches and requests of one client are begun in order; a request that waits holds up none behind it. An event that no
//! part of this program handles goes to one client that listens for it, the one that has done so for the longest time. If
//! it was said whose event it is, the socket must be logged in as that user.
//!
//! Owns: what clients of the bridge say and are told. Must never know: how a request is carried out.

mod last_numbers;
mod listeners;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use roomcast_openwebui::{OpenWebUi, Request, Response, Settings as Rules};
use roomcast_tokio::{
    AppHandle, AppLink, Args, Attachment, Builder, Data, EngineIo, EventName, Handle, Namespace, Origins, Socket,
    Transports,
};
use serde::Deserialize;
use serde_json::json;

use self::last_numbers::LastNumbers;
use self::listeners::Listeners;
use crate::api::{Api, ApiError, ApiRoute, Begun, perform};

/// Where the backend's processes connect.
pub const PATH: &str = "/api/bridge";

/// What the handlers of both sides share.
#[derive(Clone)]
pub struct Bridge {
    api: Api,
    link: AppLink<OpenWebUi>,
    /// Tells this process from the one before it.
    instance: Arc<str>,
    desk: BridgeDesk,
}

/// What the bridges of all shards share.
#[derive(Clone, Default)]
pub struct BridgeDesk {
    listeners: Arc<Mutex<Listeners>>,
    taken: Arc<Mutex<LastNumbers>>,
}

impl Bridge {
    /// No client of this shard is there yet. `instance`: 16 random bytes.
    pub fn new(api: Api, link: AppLink<OpenWebUi>, instance: [u8; 16], desk: BridgeDesk) -> Self {
        let instance = instance.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        Self { api, link, instance, desk }
    }

    /// Adds the endpoint.
    pub fn routes(&self, builder: Builder<OpenWebUi>) -> Builder<OpenWebUi> {
        builder.socket_io(PATH, |io| {
            // No page of a browser.
            io.origins = Origins::List(Vec::new());
            io.connect_timeout = Duration::from_secs(10);
            let engine = Rules::engine();
            io.engine = EngineIo {
                transports: Transports::WebSocket,
                ping_interval: Duration::from_secs(10),
                ping_timeout: Duration::from_secs(20),
                // The largest message to a client, in a batch.
                max_payload_bytes: engine.max_payload_bytes + ENVELOPE_BYTES_MAX,
                ..engine
            };
            io.namespace("/bridge", |ns| self.namespace(ns));
        })
    }

    fn namespace(&self, ns: &mut Namespace) {
        let bridge = self.clone();
        ns.admit(move |Data(auth): Data<Auth>| std::future::ready(bridge.admit(&auth)));
        let bridge = self.clone();
        ns.on("hello", move |socket: Socket, Data((client,)): Data<(String,)>| {
            std::future::ready(bridge.hello(&socket, client))
        });
        let bridge = self.clone();
        ns.on("batch", move |socket: Socket, args: Args| {
            let bridge = bridge.clone();
            async move { bridge.batch(&socket, &args).await }
        });
        let bridge = self.clone();
        ns.on("request", move |socket: Socket, args: Args| {
            let bridge = bridge.clone();
            async move { bridge.request(socket, args).await }
        });
        let bridge = self.clone();
        ns.on("listen", move |socket: Socket, Data((events,)): Data<(Vec<Listening>,)>| {
            let mut listeners = lock(&bridge.desk.listeners);
            for Listening(event, user) in events {
                listeners.add(event, user, &socket);
            }
            std::future::ready(())
        });
        let bridge = self.clone();
        ns.on("unlisten", move |socket: Socket, Data((events,)): Data<(Vec<String>,)>| {
            let mut listeners = lock(&bridge.desk.listeners);
            for event in events {
                listeners.remove(&event, &socket);
            }
            std::future::ready(())
        });
        let bridge = self.clone();
        ns.on_disconnect(move |socket: Socket| {
            lock(&bridge.desk.listeners).forget(&socket);
            tracing::info!(sid = socket.sid().as_str(), "a backend process left the bridge");
            std::future::ready(())
        });
    }

    fn admit(&self, auth: &Auth) -> Result<(), roomcast_tokio::Refusal> {
        let result = self.api.check_key(auth.key.as_bytes());
        let status = result.as_ref().map_or_else(|error| error.status, |()| StatusCode::OK);
        self.api.metrics.responded("/api/bridge", status);
        result.map_err(|error| roomcast_tokio::Refusal::new(&error.why))
    }

    fn hello(&self, socket: &Socket, client: String) -> serde_json::Value {
        tracing::info!(sid = socket.sid().as_str(), "a backend process is connected by the bridge");
        let taken = lock(&self.desk.taken).last(&client);
        socket.extend(BridgeClient(client));
        json!({
            "instance": &*self.instance,
            "version": env!("CARGO_PKG_VERSION"),
            "taken": taken,
            "call_timeout_max_ms": self.api.means.call_timeout_max.as_millis(),
        })
    }

    async fn batch(&self, socket: &Socket, args: &Args) -> serde_json::Value {
        let Ok((number, bytes)) = args.parse::<(u64, Attachment)>() else { return malformed() };
        let (Some(client), Some(body)) = (socket.extension::<BridgeClient>(), args.attachment(bytes)) else {
            return malformed();
        };
        // Marked before it is carried out: a client that asks meanwhile must not send it again.
        if !lock(&self.desk.taken).take(&client.0, number) {
            return json!({ "refused": [] });
        }
        let refused = match self.carry_out(ApiRoute::Batch, body, &self.app(socket)).await {
            Ok(results) => refused_of(&results),
            Err(error) => json!([[0, error.status.as_u16(), error.why]]),
        };
        json!({ "refused": refused })
    }

    async fn carry_out(&self, route: ApiRoute, body: &Bytes, app: &AppHandle<OpenWebUi>) -> Result<String, ApiError> {
        self.api.carry_out(route, body, app).await
    }

    async fn request(&self, socket: Socket, args: Args) {
        let Ok((id, route, bytes)) = args.parse::<(u64, &str, Attachment)>() else { return };
        let operation = match (ApiRoute::named(route), args.attachment(bytes)) {
            (Some(route), Some(body)) => route.read(body, self.api.call_timeout),
            (None, _) | (_, None) => Err(ApiError::malformed("there is no such route, or no body")),
        };
        let (means, app) = (self.api.means.clone(), self.app(&socket));
        let task = Box::pin(async move {
            let (status, body) = match operation {
                Ok(operation) => match perform(&means, operation, &app).await {
                    Ok(done) => (StatusCode::OK, done),
                    Err(error) => (error.status, error.json()),
                },
                Err(error) => (error.status, error.json()),
            };
            let reply = format!("{id},{},{body}", status.as_u16());
            if let Ok(reply) = Args::from_json_values(reply) {
                socket.emit("reply", reply).await;
            }
        });
        // Begun in turn; what has to wait does so beside the events behind it.
        if let Begun::Pending(task) = Begun::of(task).await {
            tokio::spawn(task);
        }
    }

    /// An event of a browser that neither the application nor another handler knows.
    pub async fn forward(&self, socket: Socket, EventName(event): EventName, args: Args) -> Option<Args> {
        let (listener, user) = lock(&self.desk.listeners).of(&event)?;
        if let Some(user) = user {
            let login = self.app(&socket).ask(Request::Login { socket: socket.id() }).await?;
            let Response::Login(Some(login)) = login else { return None };
            if login.user.id != user {
                return None;
            }
        }
        let mut json = serde_json::to_string(&(socket.sid().as_str(), &*event)).ok()?;
        // `["sid","event"]` without its brackets, and the arguments behind it.
        json.pop();
        json.remove(0);
        if !args.is_empty() {
            json.push(',');
            json.push_str(args.json());
        }
        let forwarded = Args::from_checked(json.into(), args.attachments().to_vec());
        listener.emit_with_ack("event", forwarded, FORWARD_TIMEOUT).await.ok()
    }

    fn app(&self, socket: &Socket) -> AppHandle<OpenWebUi> {
        let handle: Handle = socket.handle();
        self.link.of(handle)
    }
}

/// The auth payload of a client.
#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    key: String,
}

/// An event to listen for, and whose it is.
#[derive(Deserialize)]
struct Listening(String, Option<String>);

/// The id that a client has drawn, for as long as it is connected.
struct BridgeClient(String);

/// Number, status and reason of each that was refused.
fn refused_of(results: &str) -> serde_json::Value {
    #[derive(Deserialize)]
    struct Results {
        results: Vec<BatchOutcome>,
    }
    #[derive(Deserialize)]
    struct BatchOutcome {
        status: u16,
        body: ErrorBody,
    }
    #[derive(Deserialize)]
    struct ErrorBody {
        #[serde(default)]
        error: Option<String>,
    }
    let outcomes = serde_json::from_str::<Results>(results).map(|results| results.results).unwrap_or_default();
    let refused = outcomes.into_iter().enumerate().filter(|(_, outcome)| outcome.status != 200);
    refused.map(|(index, outcome)| json!([index, outcome.status, outcome.body.error])).collect()
}

fn malformed() -> serde_json::Value {
    json!({ "refused": [[0, 400, "it needs a number and bytes, after `hello`"]] })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a batch holds beside its largest message.
const ENVELOPE_BYTES_MAX: usize = 1 << 20;
/// Time that the listener has to acknowledge an event. A browser's next ones wait meanwhile.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(60);
