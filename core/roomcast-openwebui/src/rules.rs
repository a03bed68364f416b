//! Access rules of notes and channels: `access_control` in 0.6, rows of `access_grant` in 0.12.
//!
//! Owns: the form of the rules, and which users they admit. Must never know: rows, sockets or stores.

use bytestring::ByteString;
use roomcast_documents::Access;
use serde::Deserialize;

/// Access rules of a note or channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessControl {
    /// SQL NULL or the JSON text `null`: all users may read, only the owner may write.
    #[default]
    Public,
    /// Lists of users and groups; empty ones let in only the owner. To read does not follow from to write.
    Listed {
        /// Users and groups with the right to read.
        read: Grants,
        /// Users and groups with the right to write.
        write: Grants,
    },
}

/// Users and groups that are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// Whether every user is let in: a row of `access_grant` for the user `*`. No column `access_control` says so.
    #[serde(skip)]
    pub everyone: bool,
    /// Ids of users that are let in.
    pub user_ids: Vec<String>,
    /// Ids of groups whose members are let in.
    pub group_ids: Vec<String>,
}

impl AccessControl {
    /// Reads the column's text. What is no such object lets in only the owner: a rule that cannot be read must
    /// not open a door.
    pub fn from_column(text: Option<&str>) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Columns {
            read: Option<Grants>,
            write: Option<Grants>,
        }
        let Some(text) = text else { return Self::Public };
        match serde_json::from_str::<Option<Columns>>(text) {
            Ok(None) => Self::Public,
            Ok(Some(Columns { read, write })) => {
                Self::Listed { read: read.unwrap_or_default(), write: write.unwrap_or_default() }
            }
            Err(_) => Self::Listed { read: Grants::default(), write: Grants::default() },
        }
    }

    /// `has_access` of Open WebUI, strict: owners and admins are let in by [`may`](crate::access::may), before this is asked.
    pub fn grants(&self, user: &str, groups: &[ByteString], access: Access) -> bool {
        match (self, access) {
            (Self::Public, Access::Read) => true,
            (Self::Public, Access::Write) => false,
            (Self::Listed { read: grants, .. }, Access::Read) | (Self::Listed { write: grants, .. }, Access::Write) => {
                grants.everyone
                    || grants.user_ids.iter().any(|id| id == user)
                    || grants.group_ids.iter().any(|id| groups.iter().any(|group| **group == **id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_strictly() {
        for public in [None, Some("null"), Some(" null ")] {
            assert_eq!(AccessControl::from_column(public), AccessControl::Public);
        }
        let everyone = r#"{"read":{"everyone":true},"write":{"everyone":true}}"#;
        for closed in ["{}", "[]", "7", "{", "{\"read\":7}", "{\"read\":null,\"write\":null}", everyone] {
            let access = AccessControl::from_column(Some(closed));
            assert!(!access.grants("u", &["g".into()], Access::Read), "{closed}");
            assert!(!access.grants("u", &["g".into()], Access::Write), "{closed}");
        }
    }

    #[test]
    fn lists_let_in_by_user_and_by_group() {
        let text = r#"{"read":{"user_ids":["u"],"group_ids":["g"]},"write":{"group_ids":["w"]}}"#;
        let access = AccessControl::from_column(Some(text));
        assert!(access.grants("u", &[], Access::Read) && !access.grants("u", &[], Access::Write));
        assert!(access.grants("x", &["g".into()], Access::Read) && !access.grants("x", &["g".into()], Access::Write));
        assert!(access.grants("x", &["w".into()], Access::Write) && !access.grants("x", &["w".into()], Access::Read));
        assert!(AccessControl::Public.grants("x", &[], Access::Read));
        assert!(!AccessControl::Public.grants("x", &[], Access::Write));
    }

    #[test]
    fn a_grant_to_everyone_is_of_its_own_kind_alone() {
        let access =
            AccessControl::Listed { read: Grants::default(), write: Grants { everyone: true, ..Grants::default() } };
        assert!(access.grants("x", &[], Access::Write) && !access.grants("x", &[], Access::Read));
    }
}
