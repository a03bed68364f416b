//! Rows of Open WebUI 0.12 about accounts and notes.
//!
//! Owns: how such rows become what each user gets. Must never know: a statement, or how many ask at once.

use std::collections::BTreeMap;

use bytestring::ByteString;
use roomcast_openwebui::access::{AccessControl, Grants};
use roomcast_openwebui::query::{Account, ChatUser, Features, Mfa, Note, Permission, StoreError};
use serde_json::{Map, Value};

use super::crowd::is_true;
use super::options::{DatabaseOptions, StoredConfig};

/// What rows say about several accounts.
#[derive(Debug, Default)]
struct Accounts {
    rows: BTreeMap<String, AuthRow>,
    groups: BTreeMap<String, Vec<String>>,
    /// What groups say of features.
    said: BTreeMap<String, Map<String, Value>>,
    default: Map<String, Value>,
    config: BTreeMap<String, Value>,
    /// Name and role of each member of a channel.
    people: BTreeMap<String, (String, String)>,
}

/// A row of `auth`.
#[derive(Debug)]
struct AuthRow {
    is_active: bool,
    session_stamp: Option<ByteString>,
    is_set_up: bool,
}

/// The account of each user, from rows of a kind and two texts:
///
/// | kind | first | second |
/// |---|---|---|
/// | `auth` | user | JSON array: active, session stamp, whether there is a secret, whether it has to be set again |
/// | `in` | user | group of the user |
/// | `group` | group | what it says of features, as JSON |
/// | `default` | | what the configuration says of features, as JSON |
/// | `config` | key | value, as JSON |
pub(super) fn accounts_of(
    users: &[ByteString],
    rows: Vec<Vec<Option<String>>>,
    options: &DatabaseOptions,
) -> Result<Vec<Account>, StoreError> {
    let found = Accounts::read(rows, options)?;
    Ok(users.iter().map(|user| found.of(user, options)).collect())
}

/// Who may take part in the conversation of an encrypted channel, in order of their ids: rows as above, and
///
/// | kind | first | second |
/// |---|---|---|
/// | `user` | user, who is an active member of the channel | JSON array: name, role |
pub(super) fn encryption_users_of(
    rows: Vec<Vec<Option<String>>>,
    options: &DatabaseOptions,
) -> Result<Vec<ChatUser>, StoreError> {
    let found = Accounts::read(rows, options)?;
    // What is no boolean opens nothing.
    let is_on =
        |key, default: Permission| found.config(key).map_or(default == Permission::Granted, |said| said == Some(true));
    if !is_on("channels.enable", options.channels_default)
        || !is_on("channels.encryption.enable", options.encrypted_channels_default)
    {
        return Ok(Vec::new());
    }
    let may = |id: &str, role: &str| match role {
        "admin" => true,
        "user" => {
            let features = found.of(id, options).features;
            features.channels == Permission::Granted && features.encrypted_channels == Permission::Granted
        }
        _ => false,
    };
    let eligible = found.people.iter().filter(|(id, (_, role))| may(id, role));
    Ok(eligible.map(|(id, (name, _))| ChatUser { id: id.as_str().into(), name: name.as_str().into() }).collect())
}

impl Accounts {
    fn read(rows: Vec<Vec<Option<String>>>, options: &DatabaseOptions) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for row in rows {
            let Ok([Some(kind), first, second]) = <[Option<String>; 3]>::try_from(row) else {
                return Err(StoreError::Corrupt);
            };
            // A group or a configuration without a word on features.
            let Some(second) = second else { continue };
            let first = first.unwrap_or_default();
            match kind.as_str() {
                "auth" => drop(found.rows.insert(first, AuthRow::parse(&second)?)),
                "in" => found.groups.entry(first).or_default().push(second),
                "group" => drop(found.said.insert(first, object(&second)?)),
                "user" => {
                    let who = serde_json::from_str(&second).map_err(|_| StoreError::Corrupt)?;
                    found.people.insert(first, who);
                }
                "default" | "config" if options.stored_config == StoredConfig::Ignored => {}
                "default" => found.default = object(&second)?,
                "config" => drop(found.config.insert(first, value(&second)?)),
                _ => return Err(StoreError::Corrupt),
            }
        }
        Ok(found)
    }

    fn of(&self, user: &str, options: &DatabaseOptions) -> Account {
        let row = self.rows.get(user);
        let default = &options.features_default;
        Account {
            is_active: row.is_some_and(|row| row.is_active),
            session_stamp: row.and_then(|row| row.session_stamp.clone()),
            mfa: Mfa {
                // What is no boolean opens nothing.
                is_required: self
                    .config("auth.mfa.enable")
                    .map_or(options.mfa_default.is_required, |said| said != Some(false)),
                oauth_is_exempt: self
                    .config("auth.mfa.allow_oauth_bypass")
                    .map_or(options.mfa_default.oauth_is_exempt, |said| said == Some(true)),
                trusted_header_is_exempt: self
                    .config("auth.mfa.allow_trusted_header_bypass")
                    .map_or(options.mfa_default.trusted_header_is_exempt, |said| said == Some(true)),
                is_set_up: row.is_some_and(|row| row.is_set_up),
            },
            features: Features {
                notes: self.feature(user, "notes", default.notes),
                channels: self.feature(user, "channels", default.channels),
                encrypted_channels: self.feature(user, "encrypted_channels", default.encrypted_channels),
            },
        }
    }

    /// What the configuration says, if anything: a value that is `null` says nothing.
    fn config(&self, key: &str) -> Option<Option<bool>> {
        self.config.get(key).filter(|value| !value.is_null()).map(Value::as_bool)
    }

    /// Of what the groups and the default say the most generous counts; `unsaid` is what silence means.
    fn feature(&self, user: &str, name: &str, unsaid: Permission) -> Permission {
        let says = |said: &Map<String, Value>| said.get(name).is_some_and(is_true);
        let mut groups = self.groups.get(user).into_iter().flatten().filter_map(|group| self.said.get(group));
        if groups.any(says) {
            return Permission::Granted;
        }
        match self.default.get(name) {
            Some(said) if is_true(said) => Permission::Granted,
            Some(_) => Permission::Denied,
            None => unsaid,
        }
    }
}

impl AuthRow {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let [active, stamp, has_secret, has_to_be_reset]: [Value; 4] =
            serde_json::from_str(text).map_err(|_| StoreError::Corrupt)?;
        let session_stamp = match stamp {
            Value::Null => None,
            Value::String(stamp) => Some(stamp.into()),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => return Err(StoreError::Corrupt),
        };
        let is_set_up = is_true(&has_secret) && !is_true(&has_to_be_reset);
        Ok(Self { is_active: is_true(&active), session_stamp, is_set_up })
    }
}

/// A note for a user, from rows of a kind and two texts:
///
/// | kind | first | second |
/// |---|---|---|
/// | `owner` | | user |
/// | `user` | permission | user, or `*` for all of them |
/// | `group` | permission | group |
/// | `in` | | group of the user that asks |
pub(super) fn note_of(rows: Vec<Vec<Option<String>>>) -> Result<Option<Note>, StoreError> {
    let (mut owner, mut groups) = (None, Vec::new());
    let (mut read, mut write) = (Grants::default(), Grants::default());
    for row in rows {
        let Ok([Some(kind), permission, second]) = <[Option<String>; 3]>::try_from(row) else {
            return Err(StoreError::Corrupt);
        };
        let grants = match permission.as_deref() {
            Some("read") => Some(&mut read),
            Some("write") => Some(&mut write),
            Some(_) | None => None,
        };
        match (kind.as_str(), grants, second) {
            ("owner", _, user) => owner = Some(user.unwrap_or_default()),
            ("in", _, Some(group)) => groups.push(ByteString::from(group)),
            ("user", Some(grants), Some(user)) if user == "*" => grants.everyone = true,
            ("user", Some(grants), Some(user)) => grants.user_ids.push(user),
            ("group", Some(grants), Some(group)) => grants.group_ids.push(group),
            ("user" | "group" | "in", _, _) => {}
            _ => return Err(StoreError::Corrupt),
        }
    }
    for grants in [&mut read, &mut write] {
        grants.user_ids.sort_unstable();
        grants.group_ids.sort_unstable();
    }
    groups.sort_unstable();
    let access = AccessControl::Listed { read, write };
    Ok(owner.map(|owner| Note { owner: owner.into(), access, groups }))
}

fn value(text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt)
}

/// What is no object says nothing.
fn object(text: &str) -> Result<Map<String, Value>, StoreError> {
    Ok(if let Value::Object(members) = value(text)? { members } else { Map::new() })
}
