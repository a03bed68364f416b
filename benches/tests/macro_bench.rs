//! The macro bench itself, small: both of its sides work, and a fault does not pass for a result.
#![cfg(target_os = "linux")]

use std::io;
use std::process::{Command, Output};

#[test]
fn every_scenario_runs_against_the_bare_loop_alone() {
    let output = macro_bench(&["--quick", "--null", "--json"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = report["costs"].as_array().unwrap().iter().map(|costs| costs["scenario"].clone()).collect();
    assert_eq!(names, ["fan-out-1", "fan-out-32", "ack-echo", "rooms-of-ten", "churn", "polling"]);
    for costs in report["costs"].as_array().unwrap() {
        assert!(costs["subjects"][0]["ratio"]["median"].as_f64().unwrap() > 0.0, "{costs}");
    }
    assert_eq!(report["idle"][0]["connections"], 200);
}

#[test]
fn the_program_bears_the_application_s_load() {
    let output = macro_bench(&["app", "--quick"]).unwrap();
    // Cargo builds it for the tests of the workspace; for those of this package alone: cargo build -p roomcast-server.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = ["ydoc:*", "y-protocols", "memory of a session", "user-join", "heartbeat", "typing"];
    for word in words {
        assert!(table.lines().any(|line| line.contains(word)), "{word} in {table}");
    }
    assert!(table.lines().skip(2).all(|line| line.contains("µs") || line.contains("KiB")), "{table}");
}

#[test]
fn a_server_that_does_not_start_is_an_error() {
    let output =
        macro_bench(&["--quick", "--only", "ack-echo", "--server", "/nonexistent/conformance-server"]).unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("cannot start /nonexistent/conformance-server"), "{complaint}");
}

fn macro_bench(arguments: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_macro")).args(arguments).output()
}
