//! Every release there can be, in the small: all orders of events over a handful of bases, driven through the real plans.
//!
//! Property tests walk through large worlds at random; this walks through small ones completely. For each strategy and
//! each D a search goes through every state that a few faults and changes of mind can lead to, checks the rules in
//! each, and from each lets a time of calm begin that must end with what was asked for. What is found broken comes with
//! a shortest path, from which a named test can be made.
//!
//! `MODEL_DEPTH` is the number of faults and changes of mind, and bounds the fleets that are looked at slowly; the usual
//! run is a shallow one.

#[path = "model_tests/events.rs"]
mod events;
#[path = "model_tests/explore.rs"]
mod explore;
#[path = "model_tests/known.rs"]
mod known;
#[path = "model_tests/plans.rs"]
mod plans;
#[path = "model_tests/rules.rs"]
mod rules;
#[path = "model_tests/state.rs"]
mod state;

use std::collections::BTreeMap;
use std::time::Instant;

use self::{events::Config, explore::explore, plans::Plans, rules::Rule};

/// Every strategy of `policy`; D and the spare bases are still open.
fn strategies(policy: &'static str) -> Vec<Config> {
    let mut strategies = Vec::new();
    for batches in 1..=4 {
        for (confirm, gray) in [(false, false), (true, false), (false, true)] {
            for (beta, max_unavailable) in [(false, 0), (true, 0), (false, 2), (true, 2)] {
                let open = Config {
                    policy,
                    desired: 0,
                    batches,
                    beta,
                    confirm,
                    gray,
                    max_unavailable,
                    spare: 0,
                    slow: false,
                    budget: 0,
                };
                strategies.push(open);
            }
        }
    }
    strategies
}

/// The largest D that is looked at promptly.
const LARGEST: u8 = 6;
/// Beyond this D one fault less is afforded.
const LARGE: u8 = 2;

fn depth() -> u8 {
    std::env::var("MODEL_DEPTH").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The sizes of a deployment that are gone through, each with its number of faults.
fn sizes(slow: bool) -> Vec<(u8, u8)> {
    let depth = depth();
    if slow {
        return (0..=depth).map(|desired| (desired, 1)).collect();
    }
    (0..=LARGEST).map(|desired| (desired, depth - u8::from(desired > LARGE).min(depth))).collect()
}

/// Goes through everything, and fails with the shortest course to each rule that is broken.
fn check(policy: &'static str, slow: bool) {
    let began = Instant::now();
    let (mut states, mut transitions) = (0, 0);
    let mut broken: BTreeMap<Rule, (usize, String)> = BTreeMap::new();
    for strategy in strategies(policy) {
        let mut plans = Plans::new(&strategy);
        for ((desired, budget), spare) in sizes(slow).into_iter().flat_map(|size| [(size, 0), (size, 1)]) {
            let config = Config { desired, spare, slow, budget, ..strategy };
            // D never becomes so large that the last batches have anything to bring: it is the same with fewer.
            if config.batches > (desired + budget).max(1) {
                continue;
            }
            let found = explore(config, &mut plans);
            states += found.states;
            transitions += found.transitions;
            if let Some((rule, path)) = found.broken {
                let length = path.lines().count();
                let text = format!("{:?}: {}\n{config:?}\n{path}", rule.rule, rule.why);
                let known = broken.entry(rule.rule).or_insert_with(|| (length, text.clone()));
                if known.0 > length {
                    *known = (length, text);
                }
            }
        }
    }
    let way = if slow { "slow" } else { "prompt" };
    println!("{policy}, {way}: {states} states, {transitions} transitions in {:?}", began.elapsed());
    let all: Vec<String> = broken.into_values().map(|(_, text)| text).collect();
    assert!(all.is_empty(), "{}", all.join("\n\n"));
}

#[test]
fn prompt_install_then_uninstall() {
    check("install_then_uninstall", false);
}

#[test]
fn prompt_uninstall_then_install() {
    check("uninstall_then_install", false);
}

#[test]
fn prompt_scaleup_then_scaledown() {
    check("scaleup_then_scaledown", false);
}

#[test]
fn slow_install_then_uninstall() {
    check("install_then_uninstall", true);
}

#[test]
fn slow_uninstall_then_install() {
    check("uninstall_then_install", true);
}

#[test]
fn slow_scaleup_then_scaledown() {
    check("scaleup_then_scaledown", true);
}
