//! The dashboard of `docs/grafana`: every metric that it draws is one that the program has.

mod common;

use std::collections::BTreeSet;

use common::{Program, get};

#[test]
fn the_dashboard_names_metrics_that_exist() {
    let (_program, address) = Program::serve(&[], &[]);
    let metrics = get(address, "/metrics").body;
    // Families with labels are there from their first sample on: these are in the documentation.
    let documented = include_str!("../../docs/operation.md");
    let families: BTreeSet<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana/roomcast.json");
    let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let exprs = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut named = 0;
    for expr in exprs.map(|target| target["expr"].as_str().unwrap()) {
        let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let mut found = 0;
        for name in words.filter(|word| word.starts_with("roomcast_") || word.starts_with("process_")) {
            let suffixes = ["", "_total", "_bucket", "_sum", "_count"];
            let is_there =
                suffixes.iter().any(|suffix| name.strip_suffix(suffix).is_some_and(|it| families.contains(it)));
            let is_documented = documented.contains(name.trim_end_matches("_bucket").trim_end_matches("_total"));
            assert!(is_there || is_documented, "{name} is no metric");
            found += 1;
        }
        assert!(found > 0, "no metric in {expr}");
        named += found;
    }
    assert!(named >= panels.len(), "{named} metrics in {} panels", panels.len());
}
