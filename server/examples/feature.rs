//! Events of your own beside Open WebUI's, in the program `roomcast` with its settings, API and metrics.
//!
//! ```sh
//! ROOMCAST_API_KEY=key-of-the-example cargo run -p roomcast-server --example feature -- --page off
//! curl -H 'Authorization: Bearer key-of-the-example' -d '["dark-mode",{"state":"on"}]' http://127.0.0.1:8080/api/feature
//! curl -H 'Authorization: Bearer key-of-the-example' -d '["ada","dinner is ready"]' http://127.0.0.1:8080/api/notify
//! ```

use roomcast_server::{Realtime, Roomcast};
use roomcast_tokio::{Data, Namespace, Socket};
use serde_json::{Value, json};

#[derive(serde::Deserialize)]
struct About {
    feature_id: String,
}

fn handlers(ns: &mut Namespace) {
    ns.on("feature:subscribe", async |realtime: Realtime, socket: Socket, Data((about,)): Data<(About,)>| {
        if realtime.login(&socket).await.is_none() {
            return json!({ "error": "Not authenticated" });
        }
        socket.join(format!("feature:{}", about.feature_id));
        json!({ "status": "subscribed", "feature_id": about.feature_id })
    });
    ns.on("feature:unsubscribe", async |socket: Socket, Data((about,)): Data<(About,)>| {
        socket.leave(format!("feature:{}", about.feature_id));
        json!({ "status": "unsubscribed", "feature_id": about.feature_id })
    });
}

async fn notify_feature(realtime: Realtime, (feature_id, data): (String, Value)) {
    let update = json!({ "feature_id": feature_id, "data": data });
    realtime.handle().of("/").to(format!("feature:{feature_id}")).emit("feature:updated", (update,)).await;
}

async fn notify_user(realtime: Realtime, (user, content): (String, String)) -> bool {
    let notification = json!({ "data": { "type": "notification", "data": { "type": "info", "content": content } } });
    realtime.notify_user(&user, "events", notification).await.is_ok()
}

/// The program, and what is added to it.
pub fn roomcast() -> Roomcast {
    Roomcast::new().handlers(handlers).route("/api/feature", notify_feature).route("/api/notify", notify_user)
}

fn main() -> std::process::ExitCode {
    roomcast().main()
}
