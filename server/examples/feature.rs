//! Events of your own next to Open WebUI's, and an HTTP route that tells those who asked for them.
//!
//! The application [`OpenWebUi`] keeps the events that it knows for itself and gives back all others, in order: an event
//! that comes behind a built-in one of the same socket waits until that is done, so a subscription right behind
//! `user-join` finds the login. They go to the handlers that are registered for their namespace, as in a server without an
//! application. So an extension is four things, all below:
//!
//! 1. **Events from clients** are handlers. What a handler returns is the ack: `{status, feature_id}` when it is done,
//!    `{"error":"Not authenticated"}` for a socket without a login.
//! 2. **The user who asks** is what the application knows of the socket, by [`Request::Login`]. Nothing that a client says
//!    of itself is believed. Handlers exist before the server does; they reach the application by the [`AppLink`] that the
//!    builder gives.
//! 3. **Rooms** with a prefix of their own. When a token ends or is revoked the socket loses its login and leaves all
//!    rooms, those of extensions too; there is nothing to clean up.
//! 4. **Events to clients** from elsewhere in the program: to a room by the [`Handle`](roomcast_tokio::Handle), to a user
//!    by [`Request::Emit`], which reaches all logins of that user. Other processes do the same by `POST /api/emit` of the
//!    program `roomcast`.
//!
//! ```sh
//! WEBUI_SECRET_KEY=secret cargo run -p roomcast-server --example feature
//! curl -X POST -d '{"state":"on"}' http://127.0.0.1:3000/features/dark-mode
//! ```

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use roomcast_openwebui::query::Reply;
use roomcast_openwebui::{LoginInfo, OpenWebUi, Request, Response, Settings, StoreChange, To};
use roomcast_stores::{Memory, Rows, Store};
use roomcast_tokio::core::server::EndpointId;
use roomcast_tokio::{AppHandle, AppLink, Args, Builder, Data, Socket, Tokio};

/// What a client says to subscribe and to unsubscribe.
#[derive(serde::Deserialize)]
struct About {
    feature_id: String,
}

/// The ack that it receives.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum SubscribeAck {
    Done { status: &'static str, feature_id: String },
    Refused { error: &'static str },
}

/// Open WebUI's protocol, and the events of this example.
///
/// # Errors
///
/// The secret is too short, or the operating system gives no random bytes.
pub fn builder(secret: &[u8], store: Arc<dyn Store>) -> Result<Builder<OpenWebUi>, Box<dyn Error>> {
    let settings = Settings::new(EndpointId::new(0), secret)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let builder = Builder::with_app(OpenWebUi::new(settings, seed), move |query| {
        let store = store.clone();
        async move { Reply { id: query.id, result: store.ask(query.question).await } }
    });
    let app = builder.app_link();
    Ok(builder.socket_io("/ws/socket.io", |io| {
        io.engine = Settings::engine();
        io.namespace("/", |ns| {
            let link = app.clone();
            ns.on("feature:subscribe", move |socket: Socket, Data((about,)): Data<(About,)>| {
                let link = link.clone();
                async move { subscribe(&link, &socket, about).await }
            });
            ns.on("feature:unsubscribe", async |socket: Socket, Data((about,)): Data<(About,)>| {
                socket.leave(room(&about.feature_id));
                SubscribeAck::Done { status: "unsubscribed", feature_id: about.feature_id }
            });
        });
    }))
}

async fn subscribe(app: &AppLink<OpenWebUi>, socket: &Socket, about: About) -> SubscribeAck {
    if session(app, socket).await.is_none() {
        return SubscribeAck::Refused { error: "Not authenticated" };
    }
    if about.feature_id.is_empty() || about.feature_id.len() > FEATURE_ID_BYTES_MAX {
        return SubscribeAck::Refused { error: "No such feature" };
    }
    socket.join(room(&about.feature_id));
    SubscribeAck::Done { status: "subscribed", feature_id: about.feature_id }
}

/// Whose socket it is, as of now: tokens end and are revoked.
async fn session(app: &AppLink<OpenWebUi>, socket: &Socket) -> Option<LoginInfo> {
    let answer = app.of(socket.handle()).ask(Request::Login { socket: socket.id() }).await?;
    if let Response::Login(login) = answer { login.map(|login| *login) } else { None }
}

/// From elsewhere in the program: an HTTP route.
pub fn routes(app: AppHandle<OpenWebUi>) -> Router {
    Router::new()
        .route("/features/{feature_id}", post(update_feature))
        .route("/users/{user}/notifications", post(notify))
        .with_state(app)
}

/// Tells all who subscribed to it. Before this is used in production, check who calls.
async fn update_feature(State(app): State<AppHandle<OpenWebUi>>, Path(feature_id): Path<String>, body: Bytes) {
    let data = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    let update = serde_json::json!({ "feature_id": feature_id, "data": data });
    app.handle().of("/").to(room(&feature_id)).emit("feature:updated", (update,)).await;
}

async fn notify(State(app): State<AppHandle<OpenWebUi>>, Path(user): Path<String>, text: String) -> String {
    let content = serde_json::json!({ "type": "notification", "data": { "type": "info", "content": text } });
    format!("{:?}\n", notify_user(&app, &user, &serde_json::json!({ "data": content })).await)
}

/// An event to all sessions of a user, on all devices.
async fn notify_user(app: &AppHandle<OpenWebUi>, user: &str, event: &serde_json::Value) -> Option<Response> {
    let args = Args::from_serialize(event).ok()?;
    let (to, event, skip) = (To::User(user.into()), "events".into(), Vec::new());
    app.ask(Request::Emit { to, skip, event, args, change: StoreChange::Nothing }).await
}

/// Prefixes keep rooms apart: `user:`, `channel:`, `note:`, `chat:` and `doc_` are taken.
fn room(feature_id: &str) -> String {
    format!("feature:{feature_id}")
}

const FEATURE_ID_BYTES_MAX: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = std::env::var("WEBUI_SECRET_KEY").map_err(|_| "set WEBUI_SECRET_KEY")?;
    // Here Ada, Ben and Cleo; in production, `WebUi` over Open WebUI's own tables.
    let store = Arc::new(Memory::new(Rows::demo()));
    let (server, app) = builder(secret.as_bytes(), store)?.start_with_app(Tokio)?;
    let pages = routes(app).fallback_service(server.service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, pages).await?;
    Ok(())
}
