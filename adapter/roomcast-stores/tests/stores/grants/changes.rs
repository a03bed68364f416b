//! Accounts, and what is written.

use roomcast_openwebui::query::{
    Account, Features, MessageChange, Mfa, Permission, Question, ReadOutcome, StoreAnswer, StoreError,
};
use roomcast_stores::{DatabaseOptions, Store, StoredConfig, WebUi};

use super::authenticate;
use super::place::{Place, TABLES};
use crate::suite::{change, touch};
use crate::{patient, run};

#[cfg(feature = "sqlite")]
#[test]
fn accounts_and_writes_in_sqlite() {
    run(all(Place::sqlite()));
}

#[cfg(feature = "postgres")]
#[test]
fn accounts_and_writes_in_postgres() {
    run(all(Place::postgres()));
}

async fn all(place: Place) {
    place.execute(TABLES).await;
    place.execute(ROWS).await;
    let store = place.open(patient());
    assert_eq!(store.ready().await, Ok(()));
    accounts(&place, &store).await;
    profiles(&store).await;
    chats_that_are_read(&place, &store).await;
    messages(&place, &store).await;
    what_both_releases_have(&place, &store).await;
    store.close().await;
}

// docs/openwebui-protocol.md, 2.1: what tokens of 0.12 are judged by.
async fn accounts(place: &Place, store: &WebUi) {
    let features =
        Features { notes: Permission::Granted, channels: Permission::Granted, encrypted_channels: Permission::Denied };
    let account = |stamp: Option<&'static str>, is_set_up| Account {
        is_active: true,
        session_stamp: stamp.map(Into::into),
        mfa: Mfa { is_set_up, ..Mfa::default() },
        features,
    };
    for (user, expected) in [
        ("ann", account(Some("stamp"), true)),
        ("bob", account(None, false)),
        ("cy", account(Some("s"), false)),
        ("dan", account(None, false)),
        ("off", Account { is_active: false, ..account(None, false) }),
        ("unset", Account { is_active: false, ..account(None, false) }),
        ("without", Account { is_active: false, ..account(None, false) }),
    ] {
        assert_eq!(authenticate(store, user).await.account, Some(expected), "{user}");
    }

    let mfa = async |store: &WebUi| authenticate(store, "ann").await.account.unwrap().mfa;
    let set = async |key: &str, value: &str| {
        let sql = format!(
            "DELETE FROM config WHERE key = '{key}'; INSERT INTO config (key, value) VALUES ('{key}', '{value}')"
        );
        place.execute(sql).await;
    };
    let (enable, oauth) = ("auth.mfa.enable", "auth.mfa.allow_oauth_bypass");
    let header = "auth.mfa.allow_trusted_header_bypass";
    // What is no boolean opens nothing; `null` says nothing.
    for (value, is_required, is_exempt) in
        [("true", true, true), ("false", false, false), ("null", false, false), ("\"yes\"", true, false)]
    {
        for key in [enable, oauth, header] {
            set(key, value).await;
        }
        let expected =
            Mfa { is_required, oauth_is_exempt: is_exempt, trusted_header_is_exempt: is_exempt, is_set_up: true };
        assert_eq!(mfa(store).await, expected, "{value}");
    }
    set(enable, "true").await;
    set("user.permissions", r#"{"features": {"notes": false, "channels": 0, "encrypted_channels": true}}"#).await;
    let said = authenticate(store, "ann").await.account.unwrap().features;
    assert_eq!(
        (said.notes, said.channels, said.encrypted_channels),
        (Permission::Denied, Permission::Denied, Permission::Granted)
    );

    // The environment alone counts where the stored configuration does not.
    let mfa_default = Mfa { oauth_is_exempt: true, ..Mfa::default() };
    let options = DatabaseOptions { stored_config: StoredConfig::Ignored, mfa_default, ..patient() };
    let ignoring = place.open(options);
    let account = authenticate(&ignoring, "ann").await.account.unwrap();
    assert_eq!((account.features, account.mfa), (features, Mfa { is_set_up: true, ..mfa_default }));
    let Ok(StoreAnswer::Channels(found)) = ignoring.ask(Question::Channels { users: vec!["ann".into()] }).await else {
        panic!("no channels");
    };
    assert_eq!(found[0].permission, Permission::Granted);
    ignoring.close().await;
}

async fn profiles(store: &WebUi) {
    let profile = authenticate(store, "ann").await.profile;
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    let expected = serde_json::json!({
        "id": "ann", "name": "Ann", "email": null, "role": "user", "last_active_at": 1, "updated_at": null,
        "created_at": null, "username": null, "timezone": "UTC", "presence_state": null, "status_emoji": null,
        "status_message": null, "status_expires_at": null, "oauth": null, "info": null, "settings": {"a": [1]},
        "scim": {"external": true},
    });
    assert_eq!(profile, expected);
}

async fn chats_that_are_read(place: &Place, store: &WebUi) {
    let read = async |chat: &'static str, user: &'static str| {
        let answer = store.ask(Question::ReadChat { chat: chat.into(), user: user.into(), at_secs: 200 }).await;
        let Ok(StoreAnswer::ChatRead(outcome)) = answer else { panic!("{chat}: {answer:?}") };
        outcome
    };
    let nothing = ReadOutcome { was_unread: false, folder_unread_counts: "{}".into() };
    assert_eq!(read("low", "bob").await, nothing, "it is another's");
    assert_eq!(read("none", "ann").await, nothing);
    let at = "SELECT CAST(last_read_at AS TEXT) FROM chat WHERE id = 'low'";
    assert_eq!(place.texts(at).await, [None]);

    // Read at 200 itself, it counts no more; of the rest in `low` one is read, one archived, one still being answered.
    let counts = r#"{"around":1,"low":1,"there":1,"top":2}"#;
    assert_eq!(read("low", "ann").await, ReadOutcome { was_unread: true, folder_unread_counts: counts.into() });
    assert_eq!(place.texts(at).await, [Some("200".to_owned())]);
    assert_eq!(read("low", "ann").await, nothing);

    let timers = "SELECT id || ' ' || CAST(meta AS TEXT) || ' ' || coalesce(CAST(timer_at AS TEXT), '-') || ' ' \
                  || CAST(updated_at AS TEXT) FROM chat WHERE id LIKE 't_' ORDER BY id";
    let cancelled = r#"t1 {"parent_chat_id": "low", "status": "cancelled", "cancel_on": ["chat.read"], "n": 1.10,"timer_cancelled_at":200000000000,"timer_cancelled_by":"chat.read"} - 200"#;
    let found: Vec<String> = place.texts(timers).await.into_iter().flatten().collect();
    assert_eq!(found[0], cancelled);
    let untouched = found[1..].iter().all(|timer| timer.ends_with(" 7 9") && !timer.contains("cancelled_at"));
    assert!(untouched && found.len() == 6, "{found:?}");
}

async fn messages(place: &Place, store: &WebUi) {
    let done = async |changes| {
        let answer = store.ask(change("talk", "m", changes)).await;
        assert!(matches!(answer, Ok(StoreAnswer::Done)), "{answer:?}");
    };
    let chat = "SELECT CAST(chat AS TEXT) FROM chat WHERE id = 'talk'";
    let row = "SELECT coalesce(CAST(content AS TEXT), '-') || ' ' || coalesce(CAST(status_history AS TEXT), '-') || ' ' \
               || coalesce(CAST(files AS TEXT), '-') || ' ' || coalesce(CAST(sources AS TEXT), '-') || ' ' \
               || coalesce(CAST(embeds AS TEXT), '-') || ' ' || role FROM chat_message WHERE id = 'talk-m'";
    let updated_at = "SELECT CAST(updated_at AS TEXT) FROM chat WHERE id = 'talk'";
    let one = async |sql| place.texts(sql).await.remove(0);

    // A status and what is attached do not make a chat unread.
    done(vec![MessageChange::AppendStatus("{\"a\":1}".into()), MessageChange::ExtendFiles("[1]".into())]).await;
    assert_eq!(one(updated_at).await.as_deref(), Some("9"));
    assert_eq!(one(row).await.as_deref(), Some(r#""caf\u00e9" [{"a":1}] [1] - - assistant"#));
    done(vec![MessageChange::AppendContent("!".into()), MessageChange::AppendSource("{}".into())]).await;
    assert_ne!(one(updated_at).await.as_deref(), Some("9"));
    assert_eq!(one(row).await.as_deref(), Some(r#""caf\u00e9!" [{"a":1}] [1] [{}] - assistant"#));
    let stored = r#"{"history": {"messages": {"u": {"role": "user", "childrenIds": ["m", "new"]}, "m": {"id": "m", "role": "assistant", "content": "caf\u00e9!","statusHistory":[{"a":1}],"files":[1],"sources":[{}]}}, "currentId": "u"}}"#;
    assert_eq!(one(chat).await.as_deref(), Some(stored));
    assert_eq!(one("SELECT current_message_id FROM chat WHERE id = 'talk'").await, None);

    // A message without a row gets one, and one that is not there at all is made, as the answer to what names it.
    place.execute("DELETE FROM chat_message").await;
    done(vec![MessageChange::ExtendEmbeds("[2]".into())]).await;
    assert_eq!(one(row).await.as_deref(), Some(r#""caf\u00e9!" [{"a":1}] [1] [{}] [2] assistant"#));
    let answer = store.ask(change("talk", "new", vec![MessageChange::ReplaceContent("x".into())])).await;
    assert!(matches!(answer, Ok(StoreAnswer::Done)));
    let made = "SELECT user_id || ' ' || role || ' ' || parent_id || ' ' || CAST(content AS TEXT) || ' ' \
                || CASE WHEN done THEN 'done' ELSE '' END FROM chat_message WHERE id = 'talk-new' AND chat_id = 'talk' \
                AND created_at = updated_at";
    assert_eq!(one(made).await.as_deref(), Some(r#"ann assistant u "x" done"#));
    assert_eq!(one("SELECT current_message_id FROM chat WHERE id = 'talk'").await.as_deref(), Some("new"));
    assert!(one(chat).await.unwrap().contains(r#""currentId": "new""#));

    // All of a question, or nothing.
    let before = (one(chat).await, one(row).await);
    let broken = vec![MessageChange::AppendContent("x".into()), MessageChange::AppendSource("{".into())];
    assert!(matches!(store.ask(change("talk", "m", broken)).await, Err(StoreError::Corrupt)));
    assert_eq!((one(chat).await, one(row).await), before);
    let nothing = store.ask(change("none", "m", vec![MessageChange::ReplaceContent("x".into())])).await;
    assert!(matches!(nothing, Err(StoreError::NotFound)));
}

async fn what_both_releases_have(place: &Place, store: &WebUi) {
    let one = async |sql| place.texts(sql).await.remove(0);
    let read =
        Question::ReadChannel { channel: "pair".into(), user: "ann".into(), at_nanos: 1_700_000_000_123_456_789 };
    let save = Question::SaveNoteData { note: "n".into(), data: "{\"content\":{\"md\":\"x\"}}".into(), at_nanos: 7 };
    for question in [read, save, touch("ann", 77)] {
        assert!(matches!(store.ask(question.clone()).await, Ok(StoreAnswer::Done)), "{question:?}");
    }
    let at = "SELECT CAST(last_read_at AS TEXT) FROM channel_member WHERE user_id = 'ann'";
    assert_eq!(one(at).await.as_deref(), Some("1700000000123456789"));
    assert_eq!(
        one("SELECT CAST(data AS TEXT) FROM note").await.as_deref(),
        Some(r#"{"files": [], "content": {"md":"x"}}"#)
    );
    assert_eq!(one("SELECT CAST(last_active_at AS TEXT) FROM \"user\" WHERE id = 'ann'").await.as_deref(), Some("77"));
    let content = store.ask(Question::NoteContent { note: "n".into() }).await;
    assert!(matches!(content, Ok(StoreAnswer::NoteContent(Some(text))) if text == "{\"md\":\"x\"}"));
}

const ROWS: &str = r#"
    INSERT INTO "user" (id, name, role, last_active_at, profile_image_url, timezone, settings, scim, variables)
        VALUES ('ann', 'Ann', 'user', 1, 'data:', 'UTC', '{"a": [1]}', '{"external": true}', '{"secret": 1}');
    INSERT INTO "user" (id, name, role) VALUES ('bob', 'Bob', 'user'), ('cy', 'Cy', 'user'), ('dan', 'Dan', 'user'),
        ('off', 'Off', 'user'), ('unset', 'Unset', 'user'), ('without', 'Without', 'user');
    INSERT INTO auth (id, active, session_stamp, mfa) VALUES
        ('ann', TRUE, 'stamp', '{"secret": "encrypted", "reset_required": false}'),
        ('bob', TRUE, NULL, 'null'),
        ('cy', TRUE, 's', '{"secret": "encrypted", "reset_required": true}'),
        ('dan', TRUE, NULL, '{"secret": "", "last_step": -1}'),
        ('off', FALSE, NULL, NULL),
        ('unset', NULL, NULL, NULL);
    INSERT INTO folder (id, parent_id, user_id, name, is_expanded, created_at, updated_at) VALUES
        ('top', NULL, 'ann', 'F', FALSE, 1, 1), ('low', 'top', 'ann', 'F', FALSE, 1, 1),
        ('around', 'there', 'ann', 'F', FALSE, 1, 1), ('there', 'around', 'ann', 'F', FALSE, 1, 1),
        ('bobs', NULL, 'bob', 'F', FALSE, 1, 1);
    INSERT INTO chat (id, user_id, folder_id, archived, updated_at, last_read_at) VALUES
        ('low', 'ann', 'low', FALSE, 100, NULL), ('low2', 'ann', 'low', FALSE, 100, 99),
        ('read', 'ann', 'low', FALSE, 100, 100), ('archived', 'ann', 'low', TRUE, 100, NULL),
        ('unfinished', 'ann', 'low', FALSE, 100, NULL), ('top', 'ann', 'top', FALSE, 100, 0),
        ('around', 'ann', 'around', FALSE, 100, NULL), ('free', 'ann', NULL, FALSE, 100, NULL),
        ('bobs', 'bob', 'bobs', FALSE, 100, NULL);
    INSERT INTO chat_message (id, chat_id, role, done) VALUES
        ('unfinished-a', 'unfinished', 'assistant', FALSE), ('low2-a', 'low2', 'assistant', TRUE),
        ('top-a', 'top', 'user', FALSE);
    INSERT INTO chat (id, user_id, timer_at, updated_at, meta) VALUES
        ('t1', 'ann', 7, 9, '{"parent_chat_id": "low", "status": "pending", "cancel_on": ["chat.read"], "n": 1.10}'),
        ('t2', 'ann', 7, 9, '{"parent_chat_id": "low", "status": "pending", "cancel_on": ["chat.user_message"]}'),
        ('t3', 'ann', 7, 9, '{"parent_chat_id": "low", "status": "running", "cancel_on": ["chat.read"]}'),
        ('t4', 'ann', 7, 9, '{"parent_chat_id": "top", "status": "pending", "cancel_on": ["chat.read"]}'),
        ('t5', 'bob', 7, 9, '{"parent_chat_id": "low", "status": "pending", "cancel_on": ["chat.read"]}'),
        ('t6', 'ann', 7, 9, '{"parent_chat_id": "low", "status": "pending"}');
    INSERT INTO chat (id, user_id, updated_at, chat) VALUES ('talk', 'ann', 9, '{"history": {"messages": {"u": {"role": "user", "childrenIds": ["m", "new"]}, "m": {"id": "m", "role": "assistant", "content": "caf\u00e9"}}, "currentId": "u"}}');
    INSERT INTO chat_message (id, chat_id, user_id, role, content, done)
        VALUES ('talk-m', 'talk', 'ann', 'assistant', '"caf\u00e9"', TRUE);
    INSERT INTO channel (id, user_id, type) VALUES ('pair', 'ann', 'dm');
    INSERT INTO channel_member (id, channel_id, user_id, is_active, joined_at) VALUES ('p', 'pair', 'ann', TRUE, 1);
    INSERT INTO note (id, user_id, data) VALUES ('n', 'ann', '{"files": [], "content": null}');
"#;
