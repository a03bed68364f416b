//! Questions about many users, answered by one statement each.
//!
//! Ids travel as one JSON array, so that the statement is the same for any number of them.
//!
//! Owns: how the rows about many users become what each of them gets. Must never know: how many ask at once, or why.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use roomcast_openwebui::query::{Permission, Question, StoreError, Touch, User, UserChannels};

use super::options::StoredConfig;

/// A JSON array of the ids that a database can hold: PostgreSQL refuses texts with NUL.
pub(super) fn ids_of(users: &[ByteString]) -> String {
    let ids: BTreeSet<&str> = users.iter().map(|user| &**user).filter(|id| !id.contains('\0')).collect();
    serde_json::json!(ids).to_string()
}

/// The latest moment for each user, as a JSON array of pairs.
pub(super) fn moments_of(touches: &[Touch]) -> String {
    let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
    for touch in touches.iter().filter(|touch| !touch.user.contains('\0')) {
        let at_secs = latest.entry(&touch.user).or_default();
        // No column holds a larger number.
        *at_secs = touch.at_secs.min(i64::MAX.unsigned_abs()).max(*at_secs);
    }
    serde_json::json!(latest.into_iter().collect::<Vec<_>>()).to_string()
}

/// The latest moment for each channel and user, as a JSON array of triples. `None`: no channel is marked.
pub(super) fn channel_marks_of(marks: &[Question]) -> Option<String> {
    let mut latest: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for mark in marks {
        if let Question::ReadChannel { channel, user, at_nanos } = mark {
            let at = latest.entry((channel, user)).or_default();
            *at = (*at_nanos).min(i64::MAX.unsigned_abs()).max(*at);
        }
    }
    let triples: Vec<_> = latest.into_iter().map(|((channel, user), at)| (channel, user, at)).collect();
    (!triples.is_empty()).then(|| serde_json::json!(triples).to_string())
}

/// The user of each id, from rows of id, name, role and profile.
pub(super) fn users_of(users: &[ByteString], rows: Vec<Vec<Option<String>>>) -> Result<Vec<Option<User>>, StoreError> {
    let mut found = BTreeMap::new();
    for row in rows {
        let Ok([Some(id), Some(name), Some(role), Some(profile)]) = <[Option<String>; 4]>::try_from(row) else {
            return Err(StoreError::Corrupt);
        };
        let user = User { id: id.into(), name: name.into(), role: role.into(), profile: profile.into(), account: None };
        found.insert(user.id.clone(), user);
    }
    Ok(users.iter().map(|id| found.get(id).cloned()).collect())
}

/// What rows say about the channels of several users.
#[derive(Debug, Default)]
struct Memberships {
    public: Vec<ByteString>,
    of_user: BTreeMap<String, Vec<ByteString>>,
    of_group: BTreeMap<String, Vec<ByteString>>,
    groups: BTreeMap<String, Vec<String>>,
    /// Groups that say something about channels, and what.
    said: BTreeMap<String, Permission>,
    default: Option<Permission>,
}

/// The channels of each user, from rows of a kind and two texts:
///
/// | kind | first | second |
/// |---|---|---|
/// | `public` | | channel |
/// | `user` | user | channel that is the user's by membership or as its owner |
/// | `grant` | group | channel that lets the group in |
/// | `in` | user | group of the user |
/// | `group` | group | what it says of channels, as JSON |
/// | `default` | | what the configuration says of channels, as JSON |
///
/// Of what the groups and the default say the most generous counts; `unsaid` is what silence means.
pub(super) fn channels_of(
    users: &[ByteString],
    rows: Vec<Vec<Option<String>>>,
    config: StoredConfig,
    unsaid: Permission,
) -> Result<Vec<UserChannels>, StoreError> {
    let mut found = Memberships::default();
    for row in rows {
        let Ok([Some(kind), first, second]) = <[Option<String>; 3]>::try_from(row) else {
            return Err(StoreError::Corrupt);
        };
        // A group or a configuration without a word on channels, or an owner who is not known.
        let Some(second) = second else { continue };
        let first = first.unwrap_or_default();
        match kind.as_str() {
            "public" => found.public.push(second.into()),
            "user" => found.of_user.entry(first).or_default().push(second.into()),
            "grant" => found.of_group.entry(first).or_default().push(second.into()),
            "in" => found.groups.entry(first).or_default().push(second),
            "group" => drop(found.said.insert(first, permission(&second)?)),
            "default" => match config {
                StoredConfig::Read => found.default = Some(permission(&second)?),
                StoredConfig::Ignored => {}
            },
            _ => return Err(StoreError::Corrupt),
        }
    }
    Ok(users.iter().map(|user| found.of(user, unsaid)).collect())
}

impl Memberships {
    fn of(&self, user: &str, unsaid: Permission) -> UserChannels {
        if user.contains('\0') {
            return UserChannels { channels: Vec::new(), permission: Permission::Denied };
        }
        let groups = self.groups.get(user).map_or(&[][..], Vec::as_slice);
        let by_group = groups.iter().filter_map(|group| self.of_group.get(group)).flatten();
        let own = self.of_user.get(user).into_iter().flatten();
        let channels: BTreeSet<&ByteString> = own.chain(by_group).chain(&self.public).collect();
        let is_granted = groups.iter().any(|group| self.said.get(group) == Some(&Permission::Granted));
        UserChannels {
            channels: channels.into_iter().cloned().collect(),
            permission: if is_granted { Permission::Granted } else { self.default.unwrap_or(unsaid) },
        }
    }
}

fn permission(said: &str) -> Result<Permission, StoreError> {
    let said: serde_json::Value = serde_json::from_str(said).map_err(|_| StoreError::Corrupt)?;
    Ok(if is_true(&said) { Permission::Granted } else { Permission::Denied })
}

/// What Python takes for true.
pub(super) fn is_true(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => false,
        serde_json::Value::Bool(value) => *value,
        serde_json::Value::Number(number) => number.as_f64() != Some(0.0),
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Array(list) => !list.is_empty(),
        serde_json::Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_generous_word_counts() {
        for (said, expected) in [
            (&[][..], Permission::Granted),
            (&[("default", "true")], Permission::Granted),
            (&[("default", "false")], Permission::Denied),
            (&[("default", "null")], Permission::Denied),
            (&[("group", "false")], Permission::Granted),
            (&[("group", "false"), ("default", "false")], Permission::Denied),
            (&[("group", "false"), ("group", "true"), ("default", "false")], Permission::Granted),
            (
                &[("group", "0"), ("group", "\"\""), ("group", "[]"), ("group", "{}"), ("default", "0.0")],
                Permission::Denied,
            ),
            (&[("group", "1"), ("default", "false")], Permission::Granted),
        ] {
            assert_eq!(permission_of(said, Permission::Granted), Ok(expected), "{said:?}");
        }
        for (said, expected) in [
            (&[][..], Permission::Denied),
            (&[("group", "false")], Permission::Denied),
            (&[("group", "true")], Permission::Granted),
            (&[("default", "true")], Permission::Granted),
        ] {
            assert_eq!(permission_of(said, Permission::Denied), Ok(expected), "{said:?}");
        }
        assert_eq!(permission_of(&[("group", "{")], Permission::Granted), Err(StoreError::Corrupt));
    }

    #[test]
    fn each_user_gets_its_own_channels_once() {
        let rows = vec![
            row("public", None, Some("hall")),
            row("user", Some("ann"), Some("pair")),
            row("user", Some("ann"), Some("hall")),
            row("user", None, Some("nobody's")),
            row("grant", Some("g1"), Some("team")),
            row("grant", Some("g2"), Some("team")),
            row("grant", Some("g3"), Some("board")),
            row("in", Some("ann"), Some("g1")),
            row("in", Some("ann"), Some("g2")),
            row("in", Some("bob"), Some("g3")),
            row("group", Some("g3"), Some("true")),
            row("group", Some("g1"), None),
            row("default", None, Some("false")),
        ];
        let users = ["ann", "bob", "eve", "a\0"].map(ByteString::from_static);
        let found = channels_of(&users, rows, StoredConfig::Read, Permission::Granted).unwrap();
        let channels = |at: usize| found[at].channels.iter().map(|id| &**id).collect::<Vec<_>>();
        assert_eq!((channels(0), channels(1)), (vec!["hall", "pair", "team"], vec!["board", "hall"]));
        assert_eq!((channels(2), channels(3)), (vec!["hall"], vec![]));
        let permissions: Vec<_> = found.iter().map(|user| user.permission).collect();
        use Permission::{Denied, Granted};
        assert_eq!(permissions, [Denied, Granted, Denied, Denied]);
        assert_eq!(
            channels_of(&users, vec![row("other", None, Some("x"))], StoredConfig::Read, Granted),
            Err(StoreError::Corrupt)
        );
    }

    #[test]
    fn ids_and_moments_are_named_once_and_without_nul() {
        let ids = ["b", "a\"", "b", "c\0"].map(ByteString::from_static);
        assert_eq!(ids_of(&ids), r#"["a\"","b"]"#);
        let touch = |user: &'static str, at_secs| Touch { user: user.into(), at_secs };
        let touches = [touch("b", 7), touch("a", 1), touch("b", 5), touch("c\0", 9)];
        assert_eq!(moments_of(&touches), r#"[["a",1],["b",7]]"#);
    }

    fn permission_of(said: &[(&str, &str)], unsaid: Permission) -> Result<Permission, StoreError> {
        let mut rows = vec![row("default", None, None)];
        for (at, (kind, text)) in said.iter().enumerate() {
            let group = format!("g{at}");
            rows.push(row("in", Some("u"), Some(&group)));
            rows.push(row(kind, Some(&group), Some(text)));
        }
        Ok(channels_of(&["u".into()], rows, StoredConfig::Read, unsaid)?[0].permission)
    }

    fn row(kind: &str, first: Option<&str>, second: Option<&str>) -> Vec<Option<String>> {
        vec![Some(kind.to_owned()), first.map(str::to_owned), second.map(str::to_owned)]
    }
}
