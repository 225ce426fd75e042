//! Tests do not depend on the environment of whoever runs them.

use crate::house::tests;
use crate::support::program;

/// A test that starts a program elsewhere would depend on the environment of whoever runs the tests.
#[test]
fn one_place_of_the_tests_starts_processes() {
    let starts = |text: &str| text.contains("Command::new(") || text.contains("cargo_bin");
    let found: Vec<String> = tests().into_iter().filter(|(_, text)| starts(text)).map(|(name, _)| name).collect();
    // two files name the words
    assert_eq!(found, ["tests/it/hermetic.rs", "tests/it/house.rs", "tests/it/support/clean.rs"]);
}

#[test]
fn programs_of_tests_inherit_nothing_of_the_environment() {
    assert!(std::env::vars().any(|(name, _)| name != "PATH"), "there is nothing to inherit");
    let output = program("env").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().filter(|line| !line.starts_with("PATH=")).collect::<Vec<_>>(), [""; 0]);
}
