//! A relay between two editors: it checks and merges their updates, brings new members up to date, and tells who is
//! where. The editors are documents of yrs; browsers with yjs speak the same bytes.
//!
//! `cargo run -p roomcast-yjs --example relay`

use std::error::Error;
use std::time::Duration;

use roomcast_time::Instant;
use roomcast_yjs::{Awareness, AwarenessLimits, Document, Heard, ProtocolMessage, Source, StateVector, Verdict};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, Text, Transact, Update};

fn main() -> Result<(), Box<dyn Error>> {
    let mut relay = Document::default();
    let (alice, bob) = (Doc::with_client_id(1), Doc::with_client_id(2));

    // Both edit before they know of each other. What is applied goes on to the others in its own bytes.
    for (editor, words) in [(&alice, "Hello"), (&bob, "world")] {
        let update = write(editor, words);
        assert_eq!(relay.apply(&update, Source::Live), Verdict::Applied);
        assert_eq!(relay.apply(&update, Source::Live), Verdict::NothingNew, "an echo goes nowhere");
    }

    // Alice connects: she says what she knows, and gets the difference. One encoding of it serves everyone who joins
    // without knowing anything: `relay.state()`.
    let known = alice.transact().state_vector().encode_v1();
    let step1 = ProtocolMessage::SyncStep1(&known).encode();
    let ProtocolMessage::SyncStep1(known) = ProtocolMessage::decode(&step1)? else {
        return Err("another message".into());
    };
    let difference = relay.difference(&StateVector::decode(known)?);
    read(&alice, &difference)?;
    read(&bob, &relay.state())?;
    println!("alice reads {:?}, bob reads {:?}", text(&alice), text(&bob));
    assert_eq!(text(&alice), text(&bob));

    // Bob's edit overtakes the one on which it builds: it waits until that has come.
    let (first, second) = (write(&bob, ", "), write(&bob, "and all"));
    assert!(matches!(relay.apply(&second, Source::Live), Verdict::Missing(_)));
    assert_eq!(relay.apply(&first, Source::Live), Verdict::Applied);
    assert_eq!(relay.apply(&second, Source::Live), Verdict::Applied);

    // Who is where: client 1 is Alice's, on the session with the key 7. It goes when she does not renew it.
    let (now, mut present) = (Instant::default(), Awareness::new(AwarenessLimits::default()));
    let cursor = [&[1, 1, 1, 12][..], br#"{"cursor":3}"#].concat();
    assert_eq!(present.handle_update(7, &"alice", &cursor, now)?, Heard::All);
    assert_eq!(present.handle_update(8, &"bob", &cursor, now)?, Heard::Nothing, "an echo of hers");
    assert_eq!(present.state(), Some(cursor));
    let gone = present.handle_timeout(now + Duration::from_secs(30));
    assert_eq!(gone, Some([&[1, 1, 1, 4][..], b"null"].concat()));
    Ok(())
}

/// An editor writes at the end, and tells what is new in its document.
fn write(editor: &Doc, words: &str) -> Vec<u8> {
    let text = editor.get_or_insert_text("text");
    let before = editor.transact().state_vector();
    text.push(&mut editor.transact_mut(), words);
    editor.transact().encode_diff_v1(&before)
}

fn read(editor: &Doc, update: &[u8]) -> Result<(), Box<dyn Error>> {
    Ok(editor.transact_mut().apply_update(Update::decode_v1(update)?)?)
}

fn text(editor: &Doc) -> String {
    editor.get_or_insert_text("text").get_string(&editor.transact())
}
