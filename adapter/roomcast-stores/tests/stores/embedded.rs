//! roomcast's own file.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use roomcast_openwebui::query::{Question, StoreAnswer, StoreError};
use roomcast_stores::{Embedded, OpenError, Revocations, Rows, Seeded, Store};

use crate::sqlite::{InspectedFile, connect, execute, value};
use crate::suite::{Cell, StoreUnderTest, suite, touch};
use crate::tables::{TABLES, inserts};
use crate::world::world;
use crate::{Folder, hasty, patient, run};

#[test]
fn it_answers_like_the_others() {
    run(async {
        let folder = Folder::new();
        let path = folder.path().join("roomcast.db");
        let embedded = Arc::new(Embedded::open(&path, patient()).await.unwrap());
        assert_eq!(embedded.seed(&world()).await, Ok(Seeded::Filled));
        let place = StoreUnderTest {
            store: embedded.clone(),
            revocations: embedded,
            peek: Box::new(InspectedFile(path)),
            of_several_groups: &["two-groups"],
            read_mark: Some("1700000001"),
        };
        suite(&place).await;
    });
}

#[test]
fn it_is_still_there_after_a_restart() {
    run(async {
        let folder = Folder::new();
        let path = folder.path().join("roomcast.db");
        let store = Embedded::open(&path, patient()).await.unwrap();
        assert_eq!(store.seed(&Rows::demo()).await, Ok(Seeded::Filled));
        assert_eq!(store.seed(&Rows::demo()).await, Ok(Seeded::NotEmpty));
        store.ask(touch("ada", 7)).await.unwrap();
        store.revoke_token("t".into(), None, 1).await.unwrap();
        store.revoke_user("ben".into(), 5, None).await.unwrap();
        // A program that is killed closes nothing. Its lock goes with it.
        drop(store);

        let store = Embedded::open(&path, patient()).await.unwrap();
        assert_eq!(store.seed(&world()).await, Ok(Seeded::NotEmpty));
        assert_eq!(value(&path, Cell::LastActiveAt("ada")).await.as_deref(), Some("7"));
        let authenticate = |user: &'static str, jti: &'static str| {
            store.ask(Question::Authenticate {
                user: user.into(),
                jti: Some(jti.into()),
                issued_at_secs: Some(5),
                ends_at_secs: None,
            })
        };
        assert!(matches!(authenticate("ada", "t").await, Ok(StoreAnswer::Revoked)));
        assert!(matches!(authenticate("ben", "u").await, Ok(StoreAnswer::Revoked)));
        assert!(matches!(authenticate("cleo", "u").await, Ok(StoreAnswer::User(Some(_)))));
        let answer = store.ask(Question::Channels { users: vec!["cleo".into()] }).await;
        let Ok(StoreAnswer::Channels(found)) = answer else { panic!("{answer:?}") };
        assert_eq!(found[0].channels, ["lobby"]);
    });
}

/// As with a full disk: everything can be read, and nothing written.
#[test]
fn a_file_that_cannot_be_written_to_is_not_ready() {
    run(async {
        let folder = Folder::new();
        let path = folder.path().join("roomcast.db");
        let store = Embedded::open(&path, hasty()).await.unwrap();
        assert_eq!(store.ready().await, Ok(()));
        let mut other = connect(&path).await;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        assert!(matches!(
            store.ask(Question::Chat { chat: "c".into(), user: "ann".into() }).await,
            Ok(StoreAnswer::Chat(None))
        ));
        assert_eq!(store.ready().await, Err(StoreError::Unavailable));
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        assert_eq!(store.ready().await, Ok(()));
    });
}

/// A disk that is really full, with a journal that has been written back before: statements go on succeeding for a while.
#[test]
fn a_full_disk_is_not_ready() {
    const DISK: &str = "ROOMCAST_STORES_FULL_DISK";
    let Some(disk) = std::env::var_os(DISK) else {
        let folder = Folder::new();
        // The same test again, on a disk of its own.
        let script = format!(r#"mount -t tmpfs -o size=8m none "${DISK}" && exec "$0" "$@""#);
        let (sh, program) = (["-Urm", "sh", "-c", script.as_str()], std::env::current_exe().unwrap());
        let mut again = std::process::Command::new("unshare");
        again.args(sh).arg(program).args(["--exact", "embedded::a_full_disk_is_not_ready", "--nocapture"]);
        match again.env(DISK, folder.path()).output() {
            Ok(output) if output.status.success() => {
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(said.contains("1 passed"), "{said}");
            }
            Ok(output) if output.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Ok(_) | Err(_) => {
                let line = "not run: a_full_disk_is_not_ready: unshare and mount are not permitted";
                let _past_the_harness = writeln!(std::io::stderr(), "{line}");
            }
        }
        return;
    };
    run(async {
        let disk = Path::new(&disk);
        let path = disk.join("roomcast.db");
        let store = Embedded::open(&path, patient()).await.unwrap();
        assert_eq!(store.ready().await, Ok(()));
        let append = |first_sequence, bytes| {
            let updates = vec![vec![7; bytes].into()];
            store.ask(Question::AppendUpdates { document: "note:a".into(), first_sequence, updates })
        };
        append(1, 400_000).await.unwrap();
        let mut other = connect(&path).await;
        sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut other).await.unwrap();
        drop(other);
        let filler = std::fs::File::create(disk.join("filler")).unwrap();
        while (&filler).write_all(&[1; 4096]).is_ok() {}
        // What fits into the journal is written all the same.
        assert!(append(2, 1000).await.is_ok());
        for _ in 0..3 {
            assert_eq!(store.ready().await, Err(StoreError::Unavailable));
        }
        assert_eq!(append(3, 900_000).await.unwrap_err(), StoreError::Unavailable);
        assert!(matches!(
            store.ask(Question::Chat { chat: "c".into(), user: "ann".into() }).await,
            Ok(StoreAnswer::Chat(None))
        ));
        drop(filler);
        std::fs::remove_file(disk.join("filler")).unwrap();
        assert_eq!(store.ready().await, Ok(()));
        assert!(append(3, 900_000).await.is_ok());
        assert_eq!(std::fs::metadata(disk.join("roomcast.db-lock")).unwrap().len(), 0);
    });
}

#[test]
fn several_may_make_it_at_once() {
    run(async {
        let folder = Folder::new();
        let path = folder.path().join("roomcast.db");
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move {
                    let store = Embedded::open(&path, patient()).await.unwrap();
                    let seeded = store.seed(&Rows::demo()).await.unwrap();
                    store.close().await;
                    seeded
                })
            })
            .collect();
        let mut filled = 0;
        for task in tasks {
            filled += usize::from(task.await.unwrap() == Seeded::Filled);
        }
        assert_eq!(filled, 1);
    });
}

#[test]
fn files_of_others_are_left_alone() {
    run(async {
        let folder = Folder::new();
        let path = folder.path().join("webui.db");
        std::fs::write(&path, "").unwrap();
        execute(&path, format!("{TABLES}{}", inserts(&world()))).await;
        assert_eq!(refused(&path).await, OpenError::NotOurs);

        let path = folder.path().join("text.db");
        std::fs::write(&path, "no database").unwrap();
        assert!(matches!(refused(&path).await, OpenError::Unreadable(_)));

        let path = folder.path().join("later.db");
        Embedded::open(&path, patient()).await.unwrap().close().await;
        execute(&path, "PRAGMA user_version = 1000").await;
        assert_eq!(refused(&path).await, OpenError::Later { version: 1000 });

        let path = folder.path().join("no such folder/roomcast.db");
        let error = Embedded::open(&path, patient()).await.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Unreachable(_)), "{error:?}");

        let path = folder.path().join("empty.db");
        std::fs::write(&path, "").unwrap();
        Embedded::open(&path, patient()).await.unwrap().close().await;
    });
}

/// Why it cannot be opened; it must be the same afterwards, byte for byte.
async fn refused(path: &Path) -> OpenError {
    let before = std::fs::read(path).unwrap();
    let error = Embedded::open(path, patient()).await.map(drop).unwrap_err();
    assert_eq!(std::fs::read(path).unwrap(), before);
    error
}
