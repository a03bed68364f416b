//! Which release's tables a database has.

use roomcast_openwebui::Release;
use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};
use roomcast_stores::{DatabaseOptions, OpenError, Store, WebUi};

use super::place::{Place, TABLES};
use crate::{patient, run, tables};

#[cfg(feature = "sqlite")]
#[test]
fn the_tables_tell_the_release_in_sqlite() {
    run(all(Place::sqlite()));
}

#[cfg(feature = "postgres")]
#[test]
fn the_tables_tell_the_release_in_postgres() {
    run(all(Place::postgres()));
}

async fn all(place: Place) {
    let of = |release| DatabaseOptions { release: Some(release), ..patient() };
    let other = |found, wanted| Err(OpenError::OtherRelease { found, wanted });
    place.execute("SELECT 1").await;
    let running = place.open(patient());
    assert_eq!(running.examine().await, Err(OpenError::NoTables));

    place.execute(tables::TABLES).await;
    place.execute(tables::inserts(&crate::world::world())).await;
    assert_eq!(running.examine().await, Ok(Release::V0_6));
    assert_eq!(place.open(of(Release::V0_6)).examine().await, Ok(Release::V0_6));
    assert_eq!(place.open(of(Release::V0_12)).examine().await, other("0.6", "0.12"));
    assert!(asks(&running).await.is_ok());

    // An upgrade beneath a running program: nothing is answered any more by another release's rules.
    let names = ["user", "channel", "channel_member", "note", "chat", "group", "group_member", "config"];
    let dropped: String = names.iter().map(|name| format!("DROP TABLE \"{name}\";\n")).collect();
    place.execute(dropped).await;
    place.execute(TABLES).await;
    let _ = asks(&running).await;
    assert_eq!(asks(&running).await.unwrap_err(), StoreError::Unavailable);
    assert_eq!(running.ready().await, Err(StoreError::Unavailable));
    assert_eq!(running.examine().await, other("0.12", "0.6"));
    let said = running.examine().await.unwrap_err();
    assert!(!said.is_transient() && said.to_string().contains("started again"), "{said}");
    assert_eq!(place.open(patient()).examine().await, Ok(Release::V0_12));
    assert_eq!(place.open(of(Release::V0_12)).examine().await, Ok(Release::V0_12));
    assert_eq!(place.open(of(Release::V0_6)).examine().await, other("0.12", "0.6"));

    // Between the two, as 0.8 to 0.11 are.
    place.execute("ALTER TABLE auth DROP COLUMN session_stamp").await;
    let missing = OpenError::Missing { table: "auth", column: "session_stamp" };
    assert_eq!(place.open(patient()).examine().await, Err(missing.clone()));
    assert!(missing.to_string().contains("0.6.41 to 0.7.x and 0.12.4"), "{missing}");
}

async fn asks(store: &WebUi) -> Result<StoreAnswer, StoreError> {
    store.ask(Question::Channels { users: vec!["ann".into()] }).await
}
