//! What a request says.
//!
//! Owns: routes and the form of their bodies. Must never know: how a request is carried out.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytestring::ByteString;
use roomcast_openwebui::{Request, StoreChange, To};
use roomcast_tokio::{Args, ArgsBuilder, Extent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::api_error::ApiError;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiRoute {
    Emit,
    Call,
    EnterRoom,
    LeaveRoom,
    CloseRoom,
    Disconnect,
    Members,
    Session,
    Usage,
    Batch,
    Refresh,
    Revoke,
    Unrevoke,
}

impl ApiRoute {
    pub const ALL: [Self; 13] = [
        Self::Emit,
        Self::Call,
        Self::EnterRoom,
        Self::LeaveRoom,
        Self::CloseRoom,
        Self::Disconnect,
        Self::Members,
        Self::Session,
        Self::Usage,
        Self::Batch,
        Self::Refresh,
        Self::Revoke,
        Self::Unrevoke,
    ];

    pub const fn path(self) -> &'static str {
        match self {
            Self::Emit => "/api/emit",
            Self::Call => "/api/call",
            Self::EnterRoom => "/api/enter_room",
            Self::LeaveRoom => "/api/leave_room",
            Self::CloseRoom => "/api/close_room",
            Self::Disconnect => "/api/disconnect",
            Self::Members => "/api/members",
            Self::Session => "/api/session",
            Self::Usage => "/api/usage",
            Self::Batch => "/api/batch",
            Self::Refresh => "/api/refresh",
            Self::Revoke => "/api/revoke",
            Self::Unrevoke => "/api/unrevoke",
        }
    }

    /// The route of this name: its path less `/api/`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.path().strip_prefix("/api/") == Some(name))
    }

    /// Reads a body. `call_timeout` is for calls that do not say how long they wait.
    pub fn read(self, body: &[u8], call_timeout: Duration) -> Result<Operation, ApiError> {
        Ok(match self {
            Self::Emit => Operation::App(parse::<EmitBody>(body)?.request()?),
            Self::Call => parse::<CallBody>(body)?.operation(call_timeout)?,
            Self::EnterRoom => {
                let RoomBody { to, room } = parse(body)?;
                Operation::App(Request::Enter { to: to.one()?, room: room.into() })
            }
            Self::LeaveRoom => {
                let RoomBody { to, room } = parse(body)?;
                Operation::App(Request::Leave { to: to.one()?, room: room.into() })
            }
            Self::CloseRoom => {
                let CloseBody { room } = parse(body)?;
                let room = ByteString::from(room);
                Operation::App(Request::Leave { to: To::Room(room.clone()), room })
            }
            Self::Disconnect => {
                let DisconnectBody { to, extent } = parse(body)?;
                let extent = match extent {
                    ExtentName::Namespace => Extent::Namespace,
                    ExtentName::Connection => Extent::Connection,
                };
                Operation::App(Request::Disconnect { to: to.one()?, extent })
            }
            Self::Members => Operation::App(Request::Members { to: parse::<MembersBody>(body)?.to.one()? }),
            Self::Session => Operation::Session(parse::<SessionBody>(body)?.session.into()),
            Self::Usage => {
                let UsageBody {} = parse(body)?;
                Operation::Usage
            }
            Self::Batch => Operation::Batch(parse::<BatchBody>(body)?.operations(call_timeout)?),
            Self::Refresh => Operation::App(Request::Refresh { user: parse::<RefreshBody>(body)?.user.into() }),
            Self::Revoke => Operation::Revoke(Revocation::read(body)?),
            Self::Unrevoke => Operation::Unrevoke(Revocation::read(body)?),
        })
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Operation {
    /// The application does it.
    App(Request),
    /// An event to many sockets, each of which may acknowledge.
    CallMany { to: To, event: String, args: Args, timeout: Duration },
    /// A session with its user, as the application knows them.
    Session(ByteString),
    /// The models in use and the active users.
    Usage,
    /// Tokens are refused from now on.
    Revoke(Revocation),
    /// And are good again.
    Unrevoke(Revocation),
    /// One after the other. What is malformed does not keep the rest from being done.
    Batch(Vec<Result<Operation, ApiError>>),
}

/// The subject of a revocation.
#[derive(Debug)]
pub enum Revocation {
    User(String),
    Token { jti: String, ends_at: Option<u64> },
}

impl Revocation {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        match parse(body)? {
            RevokeBody { user: Some(user), jti: None, ends_at: None } => Ok(Self::User(user)),
            RevokeBody { user: None, jti: Some(jti), ends_at } => Ok(Self::Token { jti, ends_at }),
            RevokeBody { .. } => Err(ApiError::malformed("it needs one of user and jti; `ends_at` is a token's")),
        }
    }

    /// What tells the application.
    pub fn request(&self) -> Request {
        match self {
            Self::User(user) => Request::Refresh { user: user.as_str().into() },
            Self::Token { jti, .. } => Request::RefreshToken { jti: jti.as_str().into() },
        }
    }
}

/// `data` is the one argument; `args` is a list of any number. Bytes in either are placeholders, as in Socket.IO, and
/// stand in `attachments` in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmitBody {
    to: Recipient,
    event: String,
    #[serde(default, deserialize_with = "given")]
    data: Option<Box<RawValue>>,
    args: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    attachments: Vec<String>,
    #[serde(default)]
    skip: Vec<String>,
    /// Whether an `events` also changes the message that it is about.
    #[serde(default)]
    store: bool,
}

impl EmitBody {
    fn request(self) -> Result<Request, ApiError> {
        let args = arguments(self.data, self.args, &self.attachments)?;
        let to = self.to.one()?;
        let change = match (self.store, &to) {
            (false, _) => StoreChange::Nothing,
            (true, To::User(_)) => StoreChange::Message,
            (true, _) => return Err(ApiError::malformed("`store` is for an emit to one user")),
        };
        let skip = self.skip.into_iter().map(Into::into).collect();
        Ok(Request::Emit { to, skip, event: self.event.into(), args, change })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallBody {
    to: Recipient,
    event: String,
    #[serde(default, deserialize_with = "given")]
    data: Option<Box<RawValue>>,
    args: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    attachments: Vec<String>,
    timeout_ms: Option<u64>,
}

impl CallBody {
    fn operation(self, call_timeout: Duration) -> Result<Operation, ApiError> {
        let args = arguments(self.data, self.args, &self.attachments)?;
        let timeout = self.timeout_ms.map_or(call_timeout, Duration::from_millis);
        // Here the user is no target of its own: the session must be that user's.
        if let Recipient { session: Some(sid), user, room: None, rooms: None, all: None } = self.to {
            let (sid, user, event) = (sid.into(), user.map(Into::into), self.event.into());
            return Ok(Operation::App(Request::Call { sid, user, event, args, timeout }));
        }
        Ok(Operation::CallMany { to: self.to.one()?, event: self.event, args, timeout })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoomBody {
    to: Recipient,
    room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseBody {
    room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisconnectBody {
    to: Recipient,
    #[serde(default)]
    extent: ExtentName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersBody {
    to: Recipient,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionBody {
    session: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageBody {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody {
    requests: Vec<Box<RawValue>>,
}

impl BatchBody {
    fn operations(self, call_timeout: Duration) -> Result<Vec<Result<Operation, ApiError>>, ApiError> {
        if self.requests.len() > BATCH_MAX {
            return Err(ApiError::malformed(format!("a batch has at most {BATCH_MAX} requests")));
        }
        let read = |request: Box<RawValue>| {
            let BatchStep { route, body } = parse(request.get().as_bytes())?;
            match ApiRoute::named(&route) {
                Some(ApiRoute::Batch | ApiRoute::Call) => {
                    Err(ApiError::malformed("a batch holds no batch and no call"))
                }
                Some(route) => route.read(body.get().as_bytes(), call_timeout),
                None => Err(ApiError::malformed(format!("there is no route {route:?}"))),
            }
        };
        Ok(self.requests.into_iter().map(read).collect())
    }
}

/// One of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchStep {
    route: String,
    body: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeBody {
    user: Option<String>,
    jti: Option<String>,
    ends_at: Option<u64>,
}

/// Recipient a request means: one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipient {
    user: Option<String>,
    room: Option<String>,
    rooms: Option<Vec<String>>,
    session: Option<String>,
    all: Option<bool>,
}

impl Recipient {
    fn one(self) -> Result<To, ApiError> {
        match self {
            Self { user: Some(user), room: None, rooms: None, session: None, all: None } => Ok(To::User(user.into())),
            Self { user: None, room: Some(room), rooms: None, session: None, all: None } => Ok(To::Room(room.into())),
            Self { user: None, room: None, rooms: Some(rooms), session: None, all: None } if !rooms.is_empty() => {
                Ok(To::Rooms(rooms.into_iter().map(Into::into).collect()))
            }
            Self { user: None, room: None, rooms: None, session: Some(sid), all: None } => Ok(To::Socket(sid.into())),
            Self { user: None, room: None, rooms: None, session: None, all: Some(true) } => Ok(To::All),
            Self { .. } => Err(ApiError::malformed(
                "`to` needs one of user, room, rooms (at least one), session and `\"all\":true`",
            )),
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExtentName {
    /// The presence in the namespace; the front end of 0.6.41 stays away then.
    Namespace,
    /// The transport with it.
    #[default]
    Connection,
}

fn arguments(
    data: Option<Box<RawValue>>,
    args: Option<Vec<Box<RawValue>>>,
    attachments: &[String],
) -> Result<Args, ApiError> {
    let values = match (data, args) {
        (Some(data), None) => vec![data],
        (None, Some(args)) => args,
        (Some(_), Some(_)) | (None, None) => return Err(ApiError::malformed("it needs one of `data` and `args`")),
    };
    let malformed = |what: &dyn std::fmt::Display| ApiError::malformed(format!("the arguments cannot be sent: {what}"));
    if attachments.is_empty() {
        let json = values.iter().map(|value| value.get()).collect::<Vec<_>>().join(",");
        return Args::from_json_values(json).map_err(|error| malformed(&error));
    }
    let mut builder = ArgsBuilder::new();
    for bytes in attachments {
        builder.attach(BASE64_STANDARD.decode(bytes).map_err(|error| malformed(&error))?.into());
    }
    for value in &values {
        builder.push(value).map_err(|error| malformed(&error))?;
    }
    builder.finish().map_err(|error| malformed(&error))
}

/// A value that may be `null`, which is not the same as none.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(ApiError::malformed)
}

/// Requests in one batch.
const BATCH_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_is_wrong_with_it() {
        for (route, body) in [
            (ApiRoute::Emit, r#"{"to":{"user":"a","room":"b"},"event":"e","data":1}"#),
            (ApiRoute::Emit, r#"{"to":{},"event":"e","data":1}"#),
            (ApiRoute::Emit, r#"{"to":{"rooms":[]},"event":"e","data":1}"#),
            (ApiRoute::Emit, r#"{"to":{"all":false},"event":"e","data":1}"#),
            (ApiRoute::Emit, r#"{"to":{"user":"a"},"event":"e"}"#),
            (ApiRoute::Emit, r#"{"to":{"user":"a"},"event":"e","data":1,"args":[1]}"#),
            (ApiRoute::Emit, r#"{"to":{"user":"a"},"event":"e","data":1,"date":2}"#),
            (ApiRoute::Emit, r#"{"to":{"room":"a"},"event":"e","data":1,"store":true}"#),
            (ApiRoute::Emit, r#"{"to":{"room":"a"},"event":"e","data":1,"attachments":["!"]}"#),
            (ApiRoute::Call, r#"{"to":{},"event":"e","data":1}"#),
            (ApiRoute::Call, r#"{"to":{"session":"a"},"event":"e","data":1,"timeout_ms":-1}"#),
            (ApiRoute::EnterRoom, r#"{"to":{"session":"a"}}"#),
            (ApiRoute::CloseRoom, "{}"),
            (ApiRoute::Disconnect, r#"{"to":{"session":"a"},"extent":"planet"}"#),
            (ApiRoute::Session, "{}"),
            (ApiRoute::Usage, "[1]"),
            (ApiRoute::Batch, r#"{"requests":{}}"#),
            (ApiRoute::Refresh, "{}"),
            (ApiRoute::Refresh, ""),
            (ApiRoute::Revoke, "{}"),
            (ApiRoute::Revoke, r#"{"user":"a","jti":"b"}"#),
            (ApiRoute::Revoke, r#"{"user":"a","ends_at":1}"#),
            (ApiRoute::Unrevoke, "{}"),
        ] {
            let error = route.read(body.as_bytes(), Duration::ZERO).unwrap_err();
            assert_eq!(error.status, http::StatusCode::BAD_REQUEST, "{body}");
        }
    }

    #[test]
    fn arguments_are_one_value_or_a_list() {
        let args = |rest: &str| {
            let body = format!(r#"{{"to":{{"all":true}},"event":"e",{rest}}}"#);
            let operation = ApiRoute::Emit.read(body.as_bytes(), Duration::ZERO).unwrap();
            let Operation::App(Request::Emit { to: To::All, args, .. }) = operation else { panic!("{operation:?}") };
            args
        };
        assert_eq!((args(r#""data":null"#).json(), args(r#""data":[1,2]"#).len()), ("null", 1));
        assert_eq!((args(r#""args":[]"#).len(), args(r#""args":[1,{"a":[]}]"#).json()), (0, r#"1,{"a":[]}"#));
        let bytes = args(r#""data":{"_placeholder":true,"num":0},"attachments":["aGk="]"#);
        assert_eq!(bytes.attachments(), [&b"hi"[..]]);
    }

    #[test]
    fn what_is_malformed_in_a_batch_stands_alone() {
        let body =
            r#"{"requests":[{"route":"usage","body":{}},{"route":"nap","body":{}},{"route":"call","body":{}},7]}"#;
        let Operation::Batch(steps) = ApiRoute::Batch.read(body.as_bytes(), Duration::ZERO).unwrap() else { panic!() };
        assert!(matches!(steps.as_slice(), [Ok(Operation::Usage), Err(_), Err(_), Err(_)]), "{steps:?}");
        for route in ApiRoute::ALL {
            assert_eq!(ApiRoute::named(route.path().rsplit('/').next().unwrap()), Some(route));
        }
    }
}
