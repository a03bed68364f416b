//! A line of the table of loads.
//!
//! Owns: how a result is written. Must never know: how it was measured.

use crate::macro_bench::report::micros;

/// One line of the table.
pub(super) struct TableLine {
    pub(super) title: String,
    pub(super) result: String,
    pub(super) goal: Option<&'static str>,
}

impl TableLine {
    pub(super) fn new(title: impl Into<String>, result: impl Into<String>) -> Self {
        Self { title: title.into(), result: result.into(), goal: None }
    }

    /// The median of several rounds, and the smallest and largest.
    pub(super) fn of_rounds(title: impl Into<String>, mut costs_ns: Vec<f64>) -> Self {
        costs_ns.sort_by(f64::total_cmp);
        let at = |index: usize| costs_ns.get(index).copied().map_or_else(|| "?".to_owned(), micros);
        let middle = at(costs_ns.len() / 2);
        Self::new(title, format!("{middle} µs ({}–{})", at(0), at(costs_ns.len().saturating_sub(1))))
    }

    pub(super) fn with_goal(self, goal: &'static str) -> Self {
        Self { goal: Some(goal), ..self }
    }
}
