//! What browsers received then, beside what they receive now.
//!
//! The original runs the events of one browser side by side (2.0), and what it relays of documents comes in any order;
//! so does its typing, which is told less often here. Each of those is compared by itself. Everything else must come in
//! the same order.
//!
//! What differs must be in `deviations.txt`, and each of its entries must be met.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::conversation::is_number;
use crate::pattern::split;
use crate::recorded::{ReplayOutcome, ThenAndNow};

/// Fails on what no entry of the file explains, and on entries that explain nothing.
pub fn check(outcomes: &[ReplayOutcome], deviations: &Path) {
    if let Err(problem) = judge(outcomes, &fs::read_to_string(deviations).unwrap()) {
        panic!("{problem}");
    }
}

fn judge(outcomes: &[ReplayOutcome], deviations: &str) -> Result<(), String> {
    let known = known(deviations)?;
    let mut met = BTreeSet::new();
    let mut unknown = Vec::new();
    for outcome in outcomes {
        for received in &outcome.received {
            for difference in differences(received, outcome) {
                if is_between_sockets(&difference, received) {
                    continue;
                }
                match why(&difference, received, outcome) {
                    Some(name) if known.contains(name) => drop(met.insert(name)),
                    name => unknown.push(format!("{}: {name:?} {difference:?}", received.place)),
                }
            }
            if !is_as_sent(received, outcome) {
                unknown.push(format!("{}: updates are not in the order in which they were sent", received.place));
            }
        }
    }
    let shown: Vec<String> = unknown.iter().map(|text| text.chars().take(SHOWN_CHARS).collect()).collect();
    if !shown.is_empty() {
        return Err(format!("{} frames differ:\n{}", shown.len(), shown.join("\n")));
    }
    let unused: Vec<_> = known.iter().filter(|name| !met.contains(name.as_str())).collect();
    if !unused.is_empty() {
        return Err(format!("entries that nothing follows from any more: {unused:?}"));
    }
    Ok(())
}

/// Whether the updates of each sender have come in order, which the original does not care for.
fn is_as_sent(received: &ThenAndNow, outcome: &ReplayOutcome) -> bool {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let updates =
        received.now.iter().filter_map(|frame| event(frame)).filter(|(name, _)| name == "ydoc:document:update");
    updates.map(|(_, data)| data).all(|data| {
        let Some(place) = outcome.sent.get(&outcome.key(&data)) else { return true };
        last.insert(text(&data, "socket_id"), *place).is_none_or(|before| before <= *place)
    })
}

/// What is in one list and not in the other.
#[derive(Debug)]
struct Difference {
    side: DifferenceKind,
    lane: String,
    frame: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DifferenceKind {
    Missing,
    Extra,
    /// It names who has sent it, and not who that says to be.
    Author,
}

fn differences(received: &ThenAndNow, outcome: &ReplayOutcome) -> Vec<Difference> {
    let (mut then, mut now) = (lanes(&received.then), lanes(&received.now));
    let mut found = Vec::new();
    let names: BTreeSet<String> = then.keys().chain(now.keys()).cloned().collect();
    for lane in names {
        let (then, mut now) = (then.remove(&lane).unwrap_or_default(), now.remove(&lane).unwrap_or_default());
        let mut add = |side, frame: &str| found.push(Difference { side, lane: lane.clone(), frame: frame.to_owned() });
        if lane == IN_ORDER {
            for (side, frame) in unequal(&then, &now) {
                add(side, frame);
            }
            continue;
        }
        for frame in then {
            let by_user = authored(frame, &outcome.users);
            match now.iter().position(|other| *other == by_user) {
                Some(place) => {
                    now.remove(place);
                    if by_user != frame {
                        add(DifferenceKind::Author, frame);
                    }
                }
                None => add(DifferenceKind::Missing, frame),
            }
        }
        now.iter().for_each(|frame| add(DifferenceKind::Extra, frame));
    }
    found
}

/// An awareness update with the user whose connection it names in place of the user.
fn authored(frame: &str, users: &[String]) -> String {
    let Some((name, data)) = event(frame).filter(|(name, _)| name == "ydoc:awareness:update") else {
        return frame.to_owned();
    };
    let number = data["user_id"].as_str().and_then(|id| id.strip_prefix("sid "));
    let Some(user) = number.and_then(|number| users.get(number.parse::<usize>().ok()?)) else {
        return frame.to_owned();
    };
    let mut data = data;
    data["user_id"] = Value::String(user.clone());
    format!("42{}", serde_json::json!([name, data]))
}

/// What belongs together and keeps its order.
fn lanes(frames: &[String]) -> BTreeMap<String, Vec<&str>> {
    let mut lanes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for frame in frames {
        let lane = match event(frame) {
            Some((name, data)) if name.starts_with("ydoc:") => format!("{name} {}", data["document_id"]),
            Some((name, data)) if name == "events:channel" && data["data"]["type"] == "typing" => {
                format!("typing {} {}", data["channel_id"], data["user"]["id"])
            }
            Some(_) | None => IN_ORDER.to_owned(),
        };
        lanes.entry(lane).or_default().push(frame);
    }
    lanes
}

/// The frames that have to go or come to make one list of the other.
fn unequal<'f>(then: &[&'f str], now: &[&'f str]) -> Vec<(DifferenceKind, &'f str)> {
    // Lengths of the longest common ends.
    let mut common = vec![vec![0_u32; now.len() + 1]; then.len() + 1];
    for at in (0..then.len()).rev() {
        for to in (0..now.len()).rev() {
            common[at][to] = if then[at] == now[to] {
                common[at + 1][to + 1] + 1
            } else {
                common[at + 1][to].max(common[at][to + 1])
            };
        }
    }
    let (mut at, mut to, mut found) = (0, 0, Vec::new());
    while at < then.len() || to < now.len() {
        if at < then.len() && to < now.len() && then[at] == now[to] {
            (at, to) = (at + 1, to + 1);
        } else if at < then.len() && (to == now.len() || common[at + 1][to] >= common[at][to + 1]) {
            found.push((DifferenceKind::Missing, then[at]));
            at += 1;
        } else {
            found.push((DifferenceKind::Extra, now[to]));
            to += 1;
        }
    }
    found
}

/// Two leave at once: which of them hears of the other is the order between sockets.
fn is_between_sockets(difference: &Difference, received: &ThenAndNow) -> bool {
    difference.side == DifferenceKind::Missing
        && event(&difference.frame)
            .is_some_and(|(name, data)| name == "ydoc:user:left" && received.left.contains(&text(&data, "document_id")))
}

/// The name of the deviation that a difference is.
fn why(difference: &Difference, received: &ThenAndNow, outcome: &ReplayOutcome) -> Option<&'static str> {
    use DifferenceKind::{Extra, Missing};
    let Difference { side, frame, lane } = difference;
    if *side == DifferenceKind::Author {
        return Some("author");
    }
    let Some((name, data)) = event(frame) else {
        let is_open = |frame: &String| frame.starts_with("0{");
        let as_here = frame.replace("\"maxPayload\":1000000", "\"maxPayload\":16777216");
        let is_size =
            frame.starts_with("0{") && received.now.iter().filter(|frame| is_open(frame)).all(|now| *now == as_here);
        return is_size.then_some("largest-message");
    };
    match (name.as_str(), side) {
        ("events:channel", Missing) if lane.starts_with("typing") => {
            // Told once, and in the end as it was told in the end.
            let last = |frames: &[String]| {
                lanes(frames).get(lane).and_then(|frames| frames.last().map(|frame| (*frame).to_owned()))
            };
            (last(&received.then) == last(&received.now)).then_some("typing-twice-a-second")
        }
        // The last of it, half a second later, when others have come.
        ("events:channel", Extra) if lane.starts_with("typing") => {
            let told = outcome.received.iter().any(|received| received.then.contains(frame));
            told.then_some("typing-twice-a-second")
        }
        ("ydoc:document:update", Missing) if outcome.echoes.contains(&outcome.key(&data)) => Some("echo"),
        ("ydoc:document:update", Missing) if outcome.unheard.contains(&outcome.key(&data)) => Some("reader"),
        ("ydoc:document:update", Missing) if outcome.early.contains(&outcome.key(&data)) => Some("early"),
        ("ydoc:awareness:update", Missing) if outcome.outside.contains(&awareness_key(&data)) => Some("outside"),
        ("ydoc:user:left", Missing) if outcome.outside.contains(&left_key(&data)) => Some("outside"),
        ("error", Extra) if data["message"] == "Failed to update document" => Some("reader-told"),
        ("error", Missing) if data["message"] == "Failed to join document" => Some("held-join"),
        ("ydoc:document:state", Extra) if is_empty(&data) && sessions(&data) > 1 => Some("resync"),
        ("ydoc:document:state", Missing) if is_empty(&data) && sessions(&data) == 1 => Some("kept"),
        // What was refused then is let in now, and hears what the others do.
        (name, Extra) if name.starts_with("ydoc:") && was_refused(received) => Some("held-join"),
        // The browser has loaded the note into the document that was empty then, and is not now.
        ("ydoc:document:state", Missing | Extra) if !is_empty(&data) && was_emptied(outcome, &data) => Some("kept"),
        ("ydoc:user:joined", Extra)
            if outcome.refused.contains(&(text(&data, "document_id"), text(&data, "user_id"))) =>
        {
            Some("held-join")
        }
        ("ydoc:user:left", Extra) => Some("left"),
        ("ydoc:awareness:update", Extra) if withdraws(&data) => Some("cursor"),
        _ => None,
    }
}

/// Whether an awareness update empties the states that it names: `{"<client id>":{}}`.
fn withdraws(data: &Value) -> bool {
    let bytes = data["update"].as_array().into_iter().flatten();
    let bytes: Option<Vec<u8>> = bytes.map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
    let states = bytes.and_then(|bytes| serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes).ok());
    states.is_some_and(|states| {
        !states.is_empty() && states.values().all(|state| state.as_object().is_some_and(serde_json::Map::is_empty))
    })
}

/// Whether a state is that of a document without anything.
fn is_empty(data: &Value) -> bool {
    data["state"] == serde_json::json!([0])
}

fn sessions(data: &Value) -> usize {
    data["sessions"].as_array().map_or(0, Vec::len)
}

fn text(data: &Value, name: &str) -> String {
    data[name].as_str().unwrap_or_default().to_owned()
}

/// Whether the recording has a refused join here.
fn was_refused(received: &ThenAndNow) -> bool {
    received.then.iter().any(|frame| frame.contains("Failed to join document"))
}

/// Whether the document was empty in the recording for a user who now finds content in it.
fn was_emptied(outcome: &ReplayOutcome, state: &Value) -> bool {
    let alone = |frames: &[String], of_empty: bool| {
        frames.iter().filter_map(|frame| event(frame)).any(|(name, data)| {
            name == "ydoc:document:state"
                && data["document_id"] == state["document_id"]
                && is_empty(&data) == of_empty
                && sessions(&data) == 1
        })
    };
    outcome.received.iter().any(|received| alone(&received.then, true) && alone(&received.now, false))
}

fn left_key(data: &Value) -> String {
    serde_json::json!([data["document_id"], data["user_id"]]).to_string()
}

fn awareness_key(data: &Value) -> String {
    serde_json::json!([data["document_id"], data["update"]]).to_string()
}

fn event(frame: &str) -> Option<(String, Value)> {
    let (head, body) = split(frame);
    if !head.starts_with("42") && !head.starts_with("45") {
        return None;
    }
    let Ok(Value::Array(event)) = serde_json::from_str(body) else { return None };
    let mut event = event.into_iter();
    let Some(Value::String(name)) = event.next() else { return None };
    Some((name, event.next().unwrap_or_default()))
}

/// The names of the entries: `NUMBER NAME: why`.
fn known(text: &str) -> Result<BTreeSet<String>, String> {
    let mut known = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let entry = line.split_once(": ").and_then(|(entry, _)| entry.split_once(' '));
        let Some((_, name)) = entry.filter(|(number, _)| is_number(number)) else {
            return Err(format!("not an item of 2.5 or 2.7, a name and a reason: {line}"));
        };
        if !known.insert(name.to_owned()) {
            return Err(format!("twice: {line}"));
        }
    }
    Ok(known)
}

const IN_ORDER: &str = "in order";
const SHOWN_CHARS: usize = 400;

#[test]
fn what_differs_needs_an_entry_and_an_entry_needs_what_differs() {
    let size = "2.5.20 largest-message: why";
    let open = |bytes: u32| format!(r#"0{{"maxPayload":{bytes}}}"#);
    let outcome = |then: &[&str], now: &[&str]| {
        let own = |frames: &[&str]| frames.iter().map(|frame| (*frame).to_owned()).collect();
        let received = ThenAndNow { then: own(then), now: own(now), ..ThenAndNow::default() };
        [ReplayOutcome { received: vec![received], ..ReplayOutcome::default() }]
    };
    let bigger = outcome(&[&open(1_000_000), "40"], &[&open(16_777_216), "40"]);
    assert_eq!(judge(&bigger, size), Ok(()));
    assert!(judge(&bigger, "").unwrap_err().starts_with("2 frames differ"));
    assert!(judge(&outcome(&["40"], &["40"]), size).unwrap_err().contains("largest-message"));
    for (then, now) in [(vec!["40", "41"], vec!["41", "40"]), (vec!["40"], vec![]), (vec![], vec!["40"])] {
        assert!(judge(&outcome(&then, &now), "").is_err(), "{then:?} {now:?}");
    }
    for entry in ["2.5.23 x: y", "2.7.13 x: y", "2.6.1 x: y", "x", "2.5.1 x: y\n2.5.2 x: y"] {
        assert!(judge(&[], entry).is_err(), "{entry}");
    }
}
