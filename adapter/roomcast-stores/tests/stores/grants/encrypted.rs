//! Who may take part in the conversation of an encrypted channel.

use roomcast_openwebui::query::{ChatUser, Permission, Question, StoreAnswer};
use roomcast_stores::{DatabaseOptions, Store, StoredConfig, WebUi};

use super::place::{Place, TABLES};
use crate::{patient, run};

#[cfg(feature = "sqlite")]
#[test]
fn members_of_encrypted_channels_in_sqlite() {
    run(all(Place::sqlite()));
}

#[cfg(feature = "postgres")]
#[test]
fn members_of_encrypted_channels_in_postgres() {
    run(all(Place::postgres()));
}

async fn all(place: Place) {
    place.execute(TABLES).await;
    place.execute(ROWS).await;
    let store = place.open(patient());
    let set = async |key: &str, value: &str| {
        let delete = format!("DELETE FROM config WHERE key = '{key}'; ");
        place.execute(format!("{delete}INSERT INTO config (key, value) VALUES ('{key}', '{value}')")).await;
    };
    assert_eq!(who(&store, "dm").await, [""; 0], "there are none by default");
    for (channels, encrypted, found) in
        [("true", "true", 2), ("false", "true", 0), ("true", "false", 0), ("true", "1", 0), ("true", "null", 0)]
    {
        set("channels.enable", channels).await;
        set("channels.encryption.enable", encrypted).await;
        assert_eq!(who(&store, "dm").await.len(), found, "{channels} {encrypted}");
    }
    set("channels.encryption.enable", "true").await;
    // An admin needs no group; of the others, those that one of their groups, or one above it, lets in; and those only who
    // are in it and are no guests of a role that is none.
    assert_eq!(who(&store, "dm").await, ["ann Ann", "bob Bob"]);
    assert_eq!(who(&store, "private").await, ["ann Ann", "bob Bob"]);
    for closed in ["open", "standard", "gone", "old", "no-such", "no\0such"] {
        assert_eq!(who(&store, closed).await, [""; 0], "{closed}");
    }
    // Those that the configuration lets in need no group.
    set("user.permissions", r#"{"features":{"channels":true,"encrypted_channels":true}}"#).await;
    assert_eq!(who(&store, "dm").await, ["ann Ann", "bob Bob", "cy Cy"]);
    set("user.permissions", r#"{"features":{"channels":false,"encrypted_channels":true}}"#).await;
    assert_eq!(who(&store, "dm").await, ["ann Ann"], "nor encrypted ones without channels");
    store.close().await;

    // Without the stored configuration the environment counts.
    let options = DatabaseOptions { stored_config: StoredConfig::Ignored, ..patient() };
    for (granted, found) in [(Permission::Granted, 2), (Permission::Denied, 0)] {
        let store = place.open(DatabaseOptions {
            channels_default: granted,
            encrypted_channels_default: granted,
            ..options.clone()
        });
        assert_eq!(who(&store, "dm").await.len(), found);
        store.close().await;
    }
}

async fn who(store: &WebUi, channel: &str) -> Vec<String> {
    let users = ["bob", "ann", "cy", "away", "pending", "stranger", "no-such", "n\0"].map(Into::into).to_vec();
    let answer = store.ask(Question::EncryptionUsers { channel: channel.into(), users }).await;
    let Ok(StoreAnswer::EncryptionUsers(found)) = answer else { panic!("{channel}: {answer:?}") };
    found.into_iter().map(|ChatUser { id, name }| format!("{id} {name}")).collect()
}

const ROWS: &str = r#"
INSERT INTO "user" (id, name, email, role) VALUES ('ann', 'Ann', 'a', 'admin'), ('bob', 'Bob', 'b', 'user'),
    ('cy', 'Cy', 'c', 'user'), ('away', 'Away', 'd', 'admin'), ('pending', 'P', 'e', 'pending'),
    ('stranger', 'S', 'f', 'admin');
INSERT INTO "group" (id, permissions, parent_group_id) VALUES
    ('above', '{"features":{"encrypted_channels":true}}', NULL), ('below', NULL, 'above');
INSERT INTO group_member (id, group_id, user_id) VALUES ('1', 'below', 'bob');
INSERT INTO channel (id, user_id, type, is_private, archived_at, deleted_at) VALUES ('dm', 'ann', 'dm', NULL, NULL, NULL),
    ('private', 'ann', 'group', TRUE, NULL, NULL), ('open', 'ann', 'group', FALSE, NULL, NULL),
    ('standard', 'ann', NULL, TRUE, NULL, NULL), ('gone', 'ann', 'dm', NULL, NULL, 1), ('old', 'ann', 'dm', NULL, 1, NULL);
INSERT INTO channel_member (id, channel_id, user_id, is_active, joined_at) SELECT c.id || u.id, c.id, u.id,
    u.id <> 'away', 1 FROM channel c, "user" u WHERE u.id <> 'stranger';
"#;
