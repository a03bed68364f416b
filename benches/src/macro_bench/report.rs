//! The results as a Markdown table and as JSON.

use std::fmt::Write as _;
use std::io;

use serde::{Serialize, Serializer};

use super::idle::{self, IdleMemory};
use super::scenario::Goal;
use super::subject::Subject;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    subjects: Vec<String>,
    pub(super) costs: Vec<Costs>,
    pub(super) idle: Vec<IdleMemory>,
}

/// The measured costs of one scenario.
#[derive(Debug, Serialize)]
pub(super) struct Costs {
    pub(super) scenario: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    #[serde(serialize_with = "goal_text")]
    pub(super) goal: Goal,
    pub(super) rounds: usize,
    /// Of these, how many while the machine did something else.
    pub(super) rounds_disturbed: usize,
    pub(super) bare_ns: Spread,
    pub(super) subjects: Vec<SubjectCosts>,
}

/// One subject in one scenario.
#[derive(Debug, Serialize)]
pub(super) struct SubjectCosts {
    pub(super) name: String,
    pub(super) cost_ns: Spread,
    pub(super) ratio: Spread,
}

/// Median and borders of what the rounds gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
        } else {
            at(middle)
        };
        Self { median, min: at(0), max: at(sorted.len().wrapping_sub(1)) }
    }
}

impl Report {
    pub(super) fn new(subjects: &[Subject]) -> Self {
        Self {
            subjects: subjects.iter().map(|subject| subject.name.clone()).collect(),
            costs: Vec::new(),
            idle: Vec::new(),
        }
    }

    pub(super) fn json(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// One row per scenario, one column per subject: the ratio to the bare loop with its borders, and the cost.
    pub(super) fn markdown(&self) -> String {
        let mut rows = vec![vec!["CPU of the server process".to_owned(), "bare loop".to_owned()]];
        rows[0].extend(self.subjects.iter().cloned());
        rows[0].push("to reach".to_owned());
        for costs in &self.costs {
            let mut row =
                vec![format!("{}, per {}", costs.title, costs.unit), format!("{} µs", micros(costs.bare_ns.median))];
            row.extend(costs.subjects.iter().map(|subject| costs.goal.cell(subject)));
            row.push(costs.goal.text());
            rows.push(row);
        }
        if let Some((bare, subjects)) = self.idle.split_last() {
            let mut row = vec![format!("{}, memory", idle::TITLE), bare.cell()];
            row.extend(subjects.iter().map(IdleMemory::cell));
            row.push(format!("{} KiB", idle::GOAL_BYTES / 1024.0));
            rows.push(row);
        }
        let mut out = table(&rows);
        for costs in self.costs.iter().filter(|costs| costs.rounds_disturbed > 0) {
            // Writing into a String cannot fail.
            let _ = writeln!(
                out,
                "\nDo not publish {}: other programs ran during {} of its {} rounds.",
                costs.scenario, costs.rounds_disturbed, costs.rounds
            );
        }
        out
    }
}

impl Goal {
    fn text(self) -> String {
        match self {
            Self::Ratio(ratio) => format!("{ratio:.2}"),
            Self::Micros(micros) => format!("{micros} µs"),
        }
    }

    /// The figure that the goal is about first.
    fn cell(self, costs: &SubjectCosts) -> String {
        let Spread { median, min, max } = costs.ratio;
        let ratio = format!("{median:.2} ({min:.2}–{max:.2})");
        let cost = costs.cost_ns;
        match self {
            Self::Ratio(_) => format!("{ratio}; {} µs", micros(cost.median)),
            Self::Micros(_) => {
                format!("{} µs ({}–{}); {median:.2}", micros(cost.median), micros(cost.min), micros(cost.max))
            }
        }
    }
}

/// Three digits that count.
pub(super) fn micros(nanos: f64) -> String {
    let micros = nanos / 1000.0;
    let decimals = if micros < 1.0 {
        3
    } else if micros < 10.0 {
        2
    } else {
        1
    };
    format!("{micros:.decimals$}")
}

fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "| {} |", row.join(" | "));
        if index == 0 {
            let _ = writeln!(out, "|{}", "---|".repeat(columns));
        }
    }
    out
}

fn goal_text<S: Serializer>(goal: &Goal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&goal.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_and_borders() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
    }

    #[test]
    fn the_table_has_a_column_per_subject() {
        let ratio = Spread { median: 1.1, min: 1.05, max: 1.2 };
        let nanos = |nanos| Spread { median: nanos, min: nanos, max: nanos };
        let report = Report {
            subjects: vec!["x".to_owned()],
            costs: vec![Costs {
                scenario: "fan-out-1",
                title: "one in flight",
                unit: "delivery",
                goal: Goal::Ratio(1.1),
                rounds: 5,
                rounds_disturbed: 0,
                bare_ns: nanos(1400.0),
                subjects: vec![SubjectCosts { name: "x".to_owned(), cost_ns: nanos(1540.0), ratio }],
            }],
            idle: Vec::new(),
        };
        assert_eq!(
            report.markdown(),
            "| CPU of the server process | bare loop | x | to reach |\n|---|---|---|---|\n\
             | one in flight, per delivery | 1.40 µs | 1.10 (1.05–1.20); 1.54 µs | 1.10 |\n"
        );
        assert!(report.json().unwrap().contains("\"goal\": \"1.10\""));
    }
}
