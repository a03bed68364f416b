//! How a request is carried out, wherever it comes from.
//!
//! Owns: the order of what is asked, and the JSON of the responses. Must never know: HTTP, or who asks.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytestring::ByteString;
use http::StatusCode;
use roomcast_openwebui::{self as openwebui, OpenWebUi, Request, SocketInfo, SocketPlace, To};
use roomcast_tokio::core::socket_io::is_reserved_event;
use roomcast_tokio::{AckEnd, AckError, Acks, AppHandle, Args, Broadcast};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::api_error::ApiError;
use super::request::{Operation, Revocation};
use crate::shard_apps::ShardApps;
use crate::sharing::Sharing;
use crate::store::StoreClient;

/// What is needed besides the application.
#[derive(Clone)]
pub struct Means {
    /// Where revocations are kept.
    pub store: StoreClient,
    /// The longest that a call may wait.
    pub call_timeout_max: Duration,
    /// The application, in all shards.
    pub shards: ShardApps,
}

/// A response as JSON, or why there is none.
pub type Done = Result<String, ApiError>;

/// Carries out an operation. What it asks of the application first is asked when the returned future is first polled.
pub fn perform<'a>(
    means: &'a Means,
    operation: Operation,
    app: &'a AppHandle<OpenWebUi>,
) -> Pin<Box<dyn Future<Output = Done> + Send + 'a>> {
    Box::pin(async move {
        match operation {
            Operation::App(request) => ask(means, request, app).await,
            Operation::Session(sid) => session(means, sid, app).await,
            Operation::Usage => usage(means, app).await,
            Operation::CallMany { to, event, args, timeout } => call_many(means, (to, event, args), timeout, app).await,
            Operation::Revoke(revoked) => {
                // Stored before rights are read again, so that they are refused then.
                remember(&revoked, &means.store).await?;
                ask(means, revoked.request(), app).await
            }
            Operation::Unrevoke(revoked) => {
                forget(revoked, &means.store).await?;
                Ok(json!({ "status": "restored" }).to_string())
            }
            Operation::Batch(steps) => Ok(batch(means, steps, app).await),
        }
    })
}

/// A future after its first poll: what it does first has been done.
pub enum Begun<F: Future> {
    Done(F::Output),
    Pending(F),
}

impl<F: Future + Unpin> Begun<F> {
    pub async fn of(mut future: F) -> Self {
        let first = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await;
        match first {
            Poll::Ready(output) => Self::Done(output),
            Poll::Pending => Self::Pending(future),
        }
    }

    pub async fn end(self) -> F::Output {
        match self {
            Self::Done(output) => output,
            Self::Pending(future) => future.await,
        }
    }
}

/// Asks for one after the other; the application takes them in this order. What asks a store first ends before the next
/// one begins.
async fn batch(means: &Means, steps: Vec<Result<Operation, ApiError>>, app: &AppHandle<OpenWebUi>) -> String {
    let mut begun = Vec::with_capacity(steps.len());
    for step in steps {
        begun.push(match step {
            Ok(operation @ Operation::App(_)) => Begun::of(perform(means, operation, app)).await,
            Ok(operation) => Begun::Done(perform(means, operation, app).await),
            Err(error) => Begun::Done(Err(error)),
        });
    }
    let mut text = String::from(r#"{"results":["#);
    for (index, step) in begun.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match step.end().await {
            Ok(done) => text.push_str(&format!(r#"{{"status":200,"body":{done}}}"#)),
            Err(error) => {
                text.push_str(&format!(r#"{{"status":{},"body":{}}}"#, error.status.as_u16(), error.json()));
            }
        }
    }
    text.push_str("]}");
    text
}

async fn ask(means: &Means, request: Request, app: &AppHandle<OpenWebUi>) -> Done {
    let names_session = matches!(
        &request,
        Request::Disconnect { to: To::Socket(_), .. }
            | Request::Enter { to: To::Socket(_), .. }
            | Request::Leave { to: To::Socket(_), .. }
    );
    let call = as_call(means, &request);
    if matches!(request, Request::Refresh { .. } | Request::RefreshToken { .. } | Request::ReadChannels { .. }) {
        return everywhere(means, &request, app).await;
    }
    match (app.ask(request).await, call) {
        (Some(openwebui::Response::Done { sockets: 0 }), _) if names_session => Err(ApiError::gone()),
        (Some(openwebui::Response::Gone), Some((sharing, call))) => call_elsewhere(sharing, call, app).await,
        (Some(openwebui::Response::Members(members)), _) => {
            let members: Vec<_> = with_users(means, members).await?.into_iter().map(|found| found.summary()).collect();
            Ok(json!({ "members": members }).to_string())
        }
        (Some(answer), _) => respond(&answer),
        (None, _) => Err(ApiError::shutting_down()),
    }
}

/// Has every shard do the same among its own sockets.
async fn everywhere(means: &Means, request: &Request, app: &AppHandle<OpenWebUi>) -> Done {
    let answers = means.shards.ask(app, request).await.ok_or_else(ApiError::shutting_down)?;
    let sockets = |answer: &openwebui::Response| {
        if let openwebui::Response::Done { sockets } = answer { *sockets } else { 0 }
    };
    respond(&openwebui::Response::Done { sockets: answers.iter().map(sockets).sum() })
}

/// An event for one session that has to acknowledge it.
struct RemoteCall {
    sid: ByteString,
    user: Option<ByteString>,
    event: ByteString,
    args: Args,
    timeout: Duration,
}

/// A call that may be for a session of another node.
#[expect(clippy::wildcard_enum_match_arm, reason = "only calls are")]
fn as_call<'a>(means: &'a Means, request: &Request) -> Option<(&'a Sharing, RemoteCall)> {
    let sharing = means.store.sharing()?;
    match request {
        Request::Call { sid, user, event, args, timeout } => {
            let (sid, user, event) = (sid.clone(), user.clone(), event.clone());
            Some((sharing, RemoteCall { sid, user, event, args: args.clone(), timeout: *timeout }))
        }
        _ => None,
    }
}

/// The session is none of this node's: it must be one of another, and the user's who was named.
async fn call_elsewhere(sharing: &Sharing, call: RemoteCall, app: &AppHandle<OpenWebUi>) -> Done {
    let RemoteCall { sid, user, event, args, timeout } = call;
    let owner = profiles(sharing, vec![sid.clone()]).await?.pop().flatten().ok_or_else(ApiError::gone)?;
    if user.is_some_and(|user| *user != *owner.id) {
        return respond(&openwebui::Response::NotOwner);
    }
    let acks = app.handle().of("/").to(sid).emit_with_ack(event, args, timeout).await;
    let Acks { answers, remote, end, .. } = acks.map_err(unasked)?;
    match (remote.first().or(answers.first().map(|(_, args)| args)), end) {
        (Some(args), _) => Ok(format!("{{{}}}", acked(args))),
        (None, AckEnd::TimedOut) => respond(&openwebui::Response::TimedOut),
        (None, AckEnd::Gone | AckEnd::Complete) => Err(ApiError::gone()),
    }
}

fn unasked(error: AckError) -> ApiError {
    if error == AckError::ServerEnded { ApiError::shutting_down() } else { ApiError::malformed(error) }
}

/// A socket of any node, and its user, if it is logged in.
struct FoundSocket {
    member: SocketInfo,
    user: Option<StoredProfile>,
}

/// What is told of a user, and all that is known.
#[derive(Deserialize)]
struct StoredProfile {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    #[serde(skip)]
    whole: String,
}

impl StoredProfile {
    /// `None` for what cannot have been stored by Open WebUI or roomcast.
    fn read(whole: &str) -> Option<Self> {
        let profile: Self = serde_json::from_str(whole).ok()?;
        Some(Self { whole: whole.to_owned(), ..profile })
    }
}

impl FoundSocket {
    fn summary(&self) -> serde_json::Value {
        let user = self
            .user
            .as_ref()
            .map(|StoredProfile { id, name, role, .. }| json!({ "id": id, "name": name, "role": role }));
        let mut summary = json!({ "session": &*self.member.sid, "user": user });
        if !self.member.chats.is_empty() {
            summary["chats"] = self.member.chats.iter().map(|chat| &**chat).collect();
        }
        summary
    }
}

/// Sockets with their users, which for those of other nodes stand in the shared state.
async fn with_users(means: &Means, members: Vec<SocketInfo>) -> Result<Vec<FoundSocket>, ApiError> {
    let is_elsewhere = |member: &&SocketInfo| member.place != SocketPlace::Here;
    let sids: Vec<_> = members.iter().filter(is_elsewhere).map(|member| member.sid.clone()).collect();
    let mut elsewhere = match means.store.sharing() {
        Some(sharing) if !sids.is_empty() => profiles(sharing, sids).await?,
        Some(_) | None => Vec::new(),
    }
    .into_iter();
    let with_user = |member: SocketInfo| {
        let user = match (&member.place, &member.user) {
            (SocketPlace::Here, Some(user)) => {
                let (id, name, role) = (user.id.to_string(), user.name.to_string(), user.role.to_string());
                Some(StoredProfile { id, name, role, whole: user.profile.to_string() })
            }
            (SocketPlace::Here, None) => None,
            (SocketPlace::Elsewhere { .. }, _) => elsewhere.next().flatten(),
        };
        FoundSocket { member, user }
    };
    Ok(members.into_iter().map(with_user).collect())
}

async fn profiles(sharing: &Sharing, sids: Vec<ByteString>) -> Result<Vec<Option<StoredProfile>>, ApiError> {
    let stored = sharing.sessions(sids).await.map_err(|_| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Redis does not answer, which knows the users of other nodes")
    })?;
    Ok(stored.into_iter().map(|profile| StoredProfile::read(&profile?)).collect())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "responses to requests that this API does not make")]
fn respond(answer: &openwebui::Response) -> Done {
    match answer {
        openwebui::Response::Emitted => Ok(json!({ "status": "sent" }).to_string()),
        openwebui::Response::Called(args) => Ok(format!("{{{}}}", acked(args))),
        openwebui::Response::Done { sockets } => Ok(json!({ "sockets": sockets }).to_string()),
        openwebui::Response::Gone => Err(ApiError::gone()),
        openwebui::Response::NotOwner => Err(ApiError::new(StatusCode::FORBIDDEN, "the session is another user's")),
        openwebui::Response::TimedOut => {
            Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "the session did not answer in time"))
        }
        openwebui::Response::TimeoutTooLong { max } => Err(too_long(*max)),
        openwebui::Response::Malformed => Err(ApiError::malformed("the event, the data or an id in them cannot be")),
        openwebui::Response::Reserved => Err(reserved()),
        openwebui::Response::Overloaded => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too much is under way")),
        _ => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "a response to another request")),
    }
}

async fn session(means: &Means, sid: ByteString, app: &AppHandle<OpenWebUi>) -> Done {
    let members = match app.ask(Request::Members { to: To::Socket(sid) }).await {
        Some(openwebui::Response::Members(members)) => members,
        Some(_) => return Err(ApiError::gone()),
        None => return Err(ApiError::shutting_down()),
    };
    let found = with_users(means, members).await?.into_iter().next().ok_or_else(ApiError::gone)?;
    let profile = found.user.as_ref().and_then(|user| RawValue::from_string(user.whole.clone()).ok());
    let user = match profile {
        Some(profile) => profile.to_string(),
        None => found.summary()["user"].to_string(),
    };
    let rooms: Vec<String> = match &found.member.place {
        SocketPlace::Here => match app.handle().socket("/", found.member.sid.to_string()).await {
            Some(socket) => socket.rooms().await,
            None => Vec::new(),
        },
        SocketPlace::Elsewhere { rooms } => rooms.iter().map(ToString::to_string).collect(),
    };
    Ok(format!(r#"{{"session":{},"user":{user},"rooms":{}}}"#, json!(&*found.member.sid), json!(rooms)))
}

async fn usage(means: &Means, app: &AppHandle<OpenWebUi>) -> Done {
    let (mut models, mut users) = (BTreeSet::new(), BTreeSet::new());
    for shard in means.shards.all(app) {
        let (used, active) = (shard.ask(Request::ModelsInUse).await, shard.ask(Request::ActiveUsers).await);
        let (Some(openwebui::Response::Models(used)), Some(openwebui::Response::Users(active))) = (used, active) else {
            return Err(ApiError::shutting_down());
        };
        models.extend(used);
        users.extend(active);
    }
    if let Some(sharing) = means.store.sharing() {
        // What is not stored yet is known here.
        models.extend(sharing.models_in_use().await.unwrap_or_default());
    }
    let text = |ids: BTreeSet<ByteString>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    Ok(json!({ "models": text(models), "users": text(users) }).to_string())
}

/// Asks all of them, and gathers what they answer in time.
async fn call_many(
    means: &Means,
    (to, event, args): (To, String, Args),
    timeout: Duration,
    app: &AppHandle<OpenWebUi>,
) -> Done {
    if timeout > means.call_timeout_max {
        return Err(too_long(means.call_timeout_max));
    }
    if event.is_empty() {
        return Err(ApiError::malformed("the event has no name"));
    }
    if is_reserved_event(&event) {
        return Err(reserved());
    }
    let acks = meant(app, to).emit_with_ack(event, args, timeout).await.map_err(unasked)?;
    let answers: Vec<String> = acks
        .answers
        .iter()
        .map(|(sid, args)| format!(r#"{{"session":{},{}}}"#, json!(sid.as_str()), acked(args)))
        // Which of another node's sockets has answered is not said.
        .chain(acks.remote.iter().map(|args| format!(r#"{{"session":null,{}}}"#, acked(args))))
        .collect();
    let end = match acks.end {
        AckEnd::Complete => "complete",
        AckEnd::TimedOut => "timed_out",
        AckEnd::Gone => "gone",
    };
    Ok(format!(r#"{{"answers":[{}],"asked":{},"end":"{end}"}}"#, answers.join(","), acks.asked))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all, and targets that this API does not make")]
fn meant(app: &AppHandle<OpenWebUi>, to: To) -> Broadcast {
    let all = app.handle().of("/");
    match to {
        To::User(user) => all.to(format!("user:{user}")),
        To::Room(room) | To::Socket(room) => all.to(room),
        To::Rooms(rooms) => rooms.into_iter().fold(all, Broadcast::to),
        _ => all,
    }
}

async fn remember(revoked: &Revocation, store: &StoreClient) -> Result<(), ApiError> {
    let remembered = match revoked {
        Revocation::User(user) => store.revoke_user(user).await,
        Revocation::Token { jti, ends_at } => store.revoke_token(jti, *ends_at).await,
    };
    remembered.map_err(|_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer"))
}

async fn forget(revoked: Revocation, store: &StoreClient) -> Result<(), ApiError> {
    let forgotten = match &revoked {
        Revocation::User(user) => store.restore_user(user).await,
        Revocation::Token { jti, ends_at: None } => store.restore_token(jti).await,
        Revocation::Token { ends_at: Some(_), .. } => return Err(ApiError::malformed("`ends_at` is for /api/revoke")),
    };
    forgotten.map_err(|_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer"))
}

fn too_long(max: Duration) -> ApiError {
    ApiError::malformed(format!("`timeout_ms` is at most {}", max.as_millis()))
}

fn reserved() -> ApiError {
    ApiError::malformed("the event's name is reserved by Socket.IO: clients would close their connections")
}

/// The arguments as they came. Bytes among them are placeholders, as in Socket.IO, and stand in a list of their own.
fn acked(args: &Args) -> String {
    let mut text = format!("\"data\":[{}]", args.json());
    if !args.attachments().is_empty() {
        let bytes: Vec<_> = args.attachments().iter().map(|bytes| BASE64_STANDARD.encode(bytes)).collect();
        text.push_str(&format!(",\"attachments\":{}", json!(bytes)));
    }
    text
}
