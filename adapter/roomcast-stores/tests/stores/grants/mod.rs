//! The tables of Open WebUI 0.12, where rules are rows of `access_grant`.

mod changes;
mod encrypted;
mod model;
mod place;
mod release;

use roomcast_openwebui::access::{Access, may};
use roomcast_openwebui::query::{Chat, Question, StoreAnswer, User};
use roomcast_stores::{Store, WebUi};

use self::model::{FILES, NaiveRights, USERS};
use self::place::{Place, TABLES};
use crate::{patient, run};

/// Rows that a generator made, and what a naive reading of the rules makes of them: for each user every channel, note,
/// chat, file and feature.
#[cfg(feature = "sqlite")]
#[test]
fn rights_are_those_of_a_naive_reading_in_sqlite() {
    run(async {
        let place = Place::sqlite();
        place.execute(TABLES).await;
        for seed in 0..40 {
            compare(&place, seed).await;
        }
    });
}

#[cfg(feature = "postgres")]
#[test]
fn rights_are_those_of_a_naive_reading_in_postgres() {
    run(async {
        let place = Place::postgres();
        place.execute(TABLES).await;
        for seed in 40..60 {
            compare(&place, seed).await;
        }
    });
}

async fn compare(place: &Place, seed: u64) {
    let model = NaiveRights::random(seed);
    place.execute(format!("{}{}", place::empty(), model.inserts())).await;
    let store = place.open(patient());
    let channels = channels(&store).await;
    for (at, user) in USERS.iter().enumerate() {
        let who = format!("seed {seed}, {user}");
        assert_eq!(channels[at], (model.channels_of(user), model.feature(user, "channels")), "{who}");
        let account = authenticate(&store, user).await.account.unwrap();
        let features = (account.features.notes, account.features.channels, account.features.encrypted_channels);
        let expected = ["notes", "channels", "encrypted_channels"].map(|name| model.feature(user, name));
        assert_eq!(<[_; 3]>::from(features), expected, "{who}");
        for note in &model.notes {
            let question = Question::Note { note: note.id.as_str().into(), user: (*user).into() };
            let Ok(StoreAnswer::Note(Some(found))) = store.ask(question).await else { panic!("{who}: {note:?}") };
            let asker = account_of(user);
            let rights = [Access::Read, Access::Write].map(|access| may(&asker, &found, access));
            let expected =
                ["read", "write"].map(|right| note.owner == *user || model.grants("note", &note.id, user, right));
            assert_eq!(rights, expected, "{who}: {note:?}");
        }
        for chat in &model.chats {
            let question = Question::Chat { chat: chat.id.as_str().into(), user: (*user).into() };
            let Ok(StoreAnswer::Chat(Some(found))) = store.ask(question).await else { panic!("{who}: {chat:?}") };
            let owner = chat.owner.as_str().into();
            let expected = Chat { owner, share: model.share(chat, user), is_internal: chat.is_internal };
            assert_eq!(found, expected, "{who}: {chat:?}");
        }
        let files = FILES.iter().map(|id| (*id).into()).collect();
        let Ok(StoreAnswer::Files(found)) = store.ask(Question::Files { user: (*user).into(), files }).await else {
            panic!("{who}");
        };
        let expected: Vec<bool> = FILES.iter().map(|file| model.may_read_file(file, user)).collect();
        assert_eq!(found, expected, "{who}");
    }
    store.close().await;
}

/// Of all users in one question.
async fn channels(store: &WebUi) -> Vec<(Vec<String>, roomcast_openwebui::query::Permission)> {
    let users = USERS.iter().map(|id| (*id).into()).collect();
    let answer = store.ask(Question::Channels { users }).await;
    let Ok(StoreAnswer::Channels(found)) = answer else { panic!("{answer:?}") };
    let texts = |ids: Vec<bytestring::ByteString>| {
        let mut texts: Vec<String> = ids.into_iter().map(String::from).collect();
        texts.sort_unstable();
        texts
    };
    found.into_iter().map(|user| (texts(user.channels), user.permission)).collect()
}

async fn authenticate(store: &WebUi, user: &str) -> User {
    let question = Question::Authenticate { user: user.into(), jti: None, issued_at_secs: None, ends_at_secs: None };
    match store.ask(question).await {
        Ok(StoreAnswer::User(Some(user))) => user,
        other => panic!("{other:?}"),
    }
}

fn account_of(id: &str) -> User {
    User { id: id.into(), name: id.into(), role: "user".into(), profile: "{}".into(), account: None }
}
