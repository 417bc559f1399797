//! The shape of the source, checked: who may use what, and how long a file may be.

use std::{fs, path::PathBuf};

use module_controller::api::Reason;

/// What a pure decision may not touch: clients, clocks, randomness, logs, the environment, the shells.
const FORBIDDEN_IN_DOMAIN: [&str; 14] = [
    "tokio",
    "tracing",
    "reqwest",
    "std::env",
    "std::fs",
    "std::net",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "kube::Client",
    "kube::Api",
    "crate::runtime",
    "crate::controllers",
    "crate::arklet",
];
/// Past this a concept is waiting for its name.
const LONGEST_FILE: usize = 560;

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(under)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no source under {under}");
    found
}

/// The part of a file that isn't tests or comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let until_tests = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    until_tests.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn decisions_are_pure() {
    for (path, text) in sources("src/domain") {
        if path.to_string_lossy().ends_with("_tests.rs") {
            continue;
        }
        for (number, line) in code(&text) {
            for word in FORBIDDEN_IN_DOMAIN {
                assert!(!line.contains(word), "{}:{}: a decision may not use {word}", path.display(), number + 1);
            }
        }
    }
}

/// What the command line tool has no part in: it is a client of the API server like any other.
const FORBIDDEN_IN_CLI: [&str; 7] = [
    "controllers::",
    "vnode::",
    "crate::process",
    "arklet::session",
    "runtime::ops",
    "runtime::cache",
    "runtime::metrics",
];

/// Its folders that decide; the others talk to somebody.
const PURE_IN_CLI: [&str; 8] = ["view", "change", "output", "bundle", "create", "manifest", "migrate", "validate"];

#[test]
fn the_command_line_tool_is_a_client_and_its_decisions_are_pure() {
    for (path, text) in sources("src/cli") {
        if path.ends_with("tests.rs") || path.to_string_lossy().ends_with("_tests.rs") {
            continue;
        }
        let pure = PURE_IN_CLI.iter().any(|part| path.iter().any(|folder| folder == *part));
        // The types of runtime and arklet are read here too; what talks to somebody isn't.
        let impure = FORBIDDEN_IN_DOMAIN.iter().filter(|word| !["crate::runtime", "crate::arklet"].contains(word));
        for (number, line) in code(&text) {
            let at = format!("{}:{}", path.display(), number + 1);
            for word in FORBIDDEN_IN_CLI {
                assert!(!line.contains(word), "{at}: the command line tool may not use {word}");
            }
            for word in impure.clone().filter(|_| pure) {
                assert!(!line.contains(word), "{at}: a decision may not use {word}");
            }
        }
    }
}

#[test]
fn the_agents_wire_knows_no_kubernetes() {
    for file in ["src/arklet/wire.rs", "src/arklet/client.rs", "src/arklet/outcome.rs"] {
        let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).expect("the file");
        for (number, line) in code(&text) {
            assert!(!line.contains("kube") && !line.contains("k8s_openapi"), "{file}:{}", number + 1);
        }
    }
}

#[test]
fn files_stay_readable() {
    for (path, text) in sources("src") {
        let lines = code(&text).count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines of code", path.display());
    }
}

#[test]
fn reasons_are_named_in_one_place() {
    let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    for (path, text) in ["src/domain", "src/controllers", "src/vnode", "src/runtime"].into_iter().flat_map(sources) {
        // The words of a release's progress are V1's own, and one of them is a reason too.
        if path.to_string_lossy().contains("tests") || path.ends_with("release.rs") {
            continue;
        }
        for (number, line) in code(&text) {
            let quoted = line.split('"').skip(1).step_by(2);
            let own: Vec<&str> = quoted.filter(|word| all.contains(word)).collect();
            assert!(own.is_empty(), "{}:{}: write Reason::{}", path.display(), number + 1, own[0]);
        }
    }
    let used: String = sources("src").into_iter().map(|(_, text)| text).collect();
    for reason in all {
        assert!(used.contains(&format!("Reason::{reason}")), "nothing says {reason} any more: take it out");
    }
}
