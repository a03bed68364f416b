//! Editors of 0.12 on one note, whose connections come and go: in the end all have the same, nothing is lost that was
//! written, and the content of the note is in it once.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use roomcast_openwebui::{DocumentSettings, Release};

use super::super::world::World;
use super::newer_editor::{NewerEditor, settle_all};
use super::storing::crash;

proptest! {
    #[test]
    fn offline_edits_reach_the_others_at_once(
        steps in vec(steps(), 1..40),
        saved in select(vec![None, Some("SAVED")]),
        quick in select(vec![60, 16 << 10]),
    ) {
        let mut world = World::with(|settings| {
            (settings.release, settings.documents) = (Release::V0_12, DocumentSettings::of(Release::V0_12));
            settings.documents.machine.quick_update_bytes_max = quick;
        });
        if let Some(saved) = saved {
            world.store.write_content("plan", Some(&format!(r#"{{"md":"{saved}"}}"#)));
        }
        let mut editors: Vec<NewerEditor> =
            (0..EDITORS).map(|n| NewerEditor::open(&mut world, "alice", 1 + 40 * n, saved)).collect();
        let mut written = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            take(&mut world, &mut editors, step, &format!("<{n}>"), &mut written);
        }
        for editor in editors.iter_mut().filter(|editor| !editor.is_connected) {
            editor.connect(&mut world);
        }
        settle_all(&mut world, &mut editors);
        let state = editors[0].doc.state();
        for editor in &mut editors {
            prop_assert_eq!(editor.doc.state(), state.clone());
            prop_assert_eq!((editor.pending(), editor.is_synced), (0, true));
        }
        prop_assert_eq!(world.stack.app.document_counters().documents.updates_held, 0, "nothing was missing");
        let text = text_of(&state);
        for word in &written {
            prop_assert_eq!(text.matches(word.as_str()).count(), 1, "{} in {}", word, text);
        }
        prop_assert!(text.matches("SAVED").count() <= 1, "{}", text);
        // The note has what the editors show, and a crash loses nothing.
        world.pass_ms(10_000);
        let content = editors[0].content();
        let stored = world.store.contents().get("plan").cloned();
        prop_assert!(written.is_empty() || stored == Some(content), "{:?}", stored);
        let mut crashed = crash(&world);
        let mut fresh = super::browser::Browser::look(&mut crashed, "alice");
        fresh.pump(&mut crashed);
        prop_assert_eq!(fresh.doc.state(), state);
    }
}

/// The three probes at which Open WebUI fails by itself.
#[test]
fn what_was_written_offline_is_seen_at_once_and_what_comes_behind_it_too() {
    for others in [OthersMeanwhile::Write, OthersMeanwhile::Wait, OthersMeanwhile::AreAway] {
        let mut world = World::with(|settings| {
            (settings.release, settings.documents) = (Release::V0_12, DocumentSettings::of(Release::V0_12))
        });
        world.store.write_content("plan", Some(r#"{"md":"SAVED"}"#));
        let mut editors = [1, 50].map(|client| NewerEditor::open(&mut world, "alice", client, Some("SAVED")));
        settle_all(&mut world, &mut editors);
        assert!(editors[0].type_text(&mut world, "before"));
        settle_all(&mut world, &mut editors);
        editors[0].disconnect(&mut world);
        assert!(editors[0].type_text(&mut world, "offline"));
        match others {
            OthersMeanwhile::Write => assert!(editors[1].type_text(&mut world, "meanwhile")),
            OthersMeanwhile::Wait => {}
            OthersMeanwhile::AreAway => {
                editors[1].disconnect(&mut world);
                world.pass_ms(60_000);
                editors[1].connect(&mut world);
            }
        }
        editors[0].connect(&mut world);
        // Without a timer's help.
        for _ in 0..3 {
            editors.iter_mut().for_each(|editor| editor.pump(&mut world));
        }
        assert!(text_of(&editors[1].doc.state()).contains("offline"), "{others:?}");
        assert!(editors[0].type_text(&mut world, "after"));
        editors[1].pump(&mut world);
        assert!(text_of(&editors[1].doc.state()).contains("after"));
        settle_all(&mut world, &mut editors);
        let [mut one, mut two] = editors;
        assert_eq!((one.doc.state(), one.pending(), two.pending()), (two.doc.state(), 0, 0));
        assert_eq!(text_of(&one.doc.state()).matches("SAVED").count(), 1);
        assert_eq!(world.store.contents()["plan"], one.content());
    }
}

/// What the other editor does while the first one is away.
#[derive(Clone, Copy, Debug)]
enum OthersMeanwhile {
    Write,
    Wait,
    AreAway,
}

#[derive(Clone, Debug)]
enum EditorStep {
    Type(usize),
    Leave(usize),
    Return(usize),
    Read(usize),
    Pass(u64),
    /// All go for so long that the document leaves memory.
    AllLeave,
}

fn steps() -> impl Strategy<Value = EditorStep> {
    let editor = 0..usize::from(EDITORS);
    prop_oneof![
        5 => editor.clone().prop_map(EditorStep::Type),
        2 => editor.clone().prop_map(EditorStep::Leave),
        2 => editor.clone().prop_map(EditorStep::Return),
        4 => editor.prop_map(EditorStep::Read),
        2 => select(vec![1, 200, 500, 6000]).prop_map(EditorStep::Pass),
        1 => Just(EditorStep::AllLeave),
    ]
}

fn take(world: &mut World, editors: &mut [NewerEditor], step: EditorStep, word: &str, written: &mut Vec<String>) {
    match step {
        EditorStep::Type(n) => {
            if editors[n].type_text(world, word) {
                written.push(word.to_owned());
            }
        }
        EditorStep::Leave(n) if editors[n].is_connected => editors[n].disconnect(world),
        EditorStep::Return(n) if !editors[n].is_connected => editors[n].connect(world),
        EditorStep::Leave(_) | EditorStep::Return(_) => {}
        EditorStep::Read(n) => editors[n].pump(world),
        EditorStep::Pass(millis) => world.pass_ms(millis),
        EditorStep::AllLeave => {
            for editor in editors.iter_mut().filter(|editor| editor.is_connected) {
                editor.disconnect(world);
            }
            world.pass_ms(20_000);
        }
    }
}

/// The ASCII in a state, which has all that was written in it.
fn text_of(state: &[u8]) -> String {
    state.iter().map(|byte| char::from(*byte)).collect()
}

const EDITORS: u8 = 3;
