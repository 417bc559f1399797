//! Every release there can be, in the small: all orders of events over a handful of bases, driven through the real plans.
//!
//! Property tests walk through large worlds at random; this walks through small ones completely. For each strategy and
//! each D a search goes through every state that a few faults and changes of mind can lead to, checks the rules in
//! each, and from each lets a time of calm begin that must end with what was asked for. What is found broken comes with
//! a shortest path, from which a named test can be made.
//!
//! Some things are gone through with all strategies (faults of bases, scale, versions, confirmations, pauses), others
//! (soak and drain, readiness, `delete-pod`, peers, edits of the strategy) with a few that differ in all pairs of
//! fields, and each together with what is always there.
//!
//! `MODEL_DEPTH` is the number of faults and changes of mind, and bounds the fleets that are looked at slowly; the usual
//! run is a shallow one.

#[path = "model_tests/events.rs"]
mod events;
#[path = "model_tests/explore.rs"]
mod explore;
#[path = "model_tests/plans.rs"]
mod plans;
#[path = "model_tests/rules.rs"]
mod rules;
#[path = "model_tests/slots.rs"]
mod slots;
#[path = "model_tests/state.rs"]
mod state;

use std::collections::BTreeMap;
use std::time::Instant;

use self::{
    events::{Config, Extras},
    explore::explore,
    plans::Plans,
    rules::Rule,
    slots::Slots,
    state::Terms,
};
use super::policy::UpgradePolicy::{self, InstallThenUninstall, ScaleUpThenScaleDown, UninstallThenInstall};

/// Every strategy of `policy`.
fn all_strategies(policy: UpgradePolicy) -> Vec<Terms> {
    let mut strategies = Vec::new();
    for batches in 1..=4 {
        for (confirm, gray) in [(false, false), (true, false), (false, true)] {
            for (beta, max_unavailable) in [(false, 0), (true, 0), (false, 2), (true, 2)] {
                strategies.push(Terms { policy, batches, beta, confirm, gray, max_unavailable });
            }
        }
    }
    strategies
}

/// So few strategies of `policy` that any two fields have all their values together in one of them.
fn few_strategies(policy: UpgradePolicy) -> Vec<Terms> {
    let rows = [
        // batches, beta, confirm, gray, max_unavailable
        (1, false, false, false, 0),
        (1, true, false, true, 2),
        (2, true, true, false, 0),
        (2, false, false, false, 2),
        (3, false, true, false, 2),
        (3, true, false, true, 0),
    ];
    let terms = |(batches, beta, confirm, gray, max_unavailable)| Terms {
        policy,
        batches,
        beta,
        confirm,
        gray,
        max_unavailable,
    };
    rows.map(terms).to_vec()
}

fn depth() -> u8 {
    std::env::var("MODEL_DEPTH").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What one search after the other came to.
#[derive(Default)]
struct Sum {
    states: usize,
    transitions: usize,
    /// The shortest course to each rule that is broken, and its length.
    broken: BTreeMap<Rule, (usize, String)>,
}

/// What is gone through: strategies, what there is beside the usual events, and sizes with their number of faults.
struct Scope {
    strategies: Vec<Terms>,
    extras: Extras,
    slow: bool,
    sizes: Vec<(u8, u8)>,
}

impl Scope {
    /// One deployment of each size, with and without a base too many.
    fn configs(&self) -> Vec<Config> {
        let (extras, slow) = (self.extras, self.slow);
        let mut configs = Vec::new();
        for &terms in &self.strategies {
            for (&(desired, budget), spare) in self.sizes.iter().flat_map(|size| [(size, 0), (size, 1)]) {
                // D never becomes so large that the last batches have anything to bring: it is the same with fewer.
                let idle = terms.batches > (desired + budget).max(1) && !extras.edits;
                // Bases of a peer deployment are never too many; and a usual run has no time for more of them.
                let many = spare > 0 && (extras.peer || depth() < 2 && desired > 2 && budget > 0);
                if !idle && !many {
                    configs.push(Config { terms, extras, desired, spare, slow, budget });
                }
            }
        }
        configs
    }

    fn go_through(&self, sum: &mut Sum) {
        let mut plans = Plans::new(self.extras.peer, self.extras.soak);
        let mut slots = Slots::new(self.extras.soak, self.extras.drain);
        let mut terms = None;
        for config in self.configs() {
            if terms.replace(config.terms) != Some(config.terms) {
                plans.forget();
            }
            let found = explore(config, &mut plans, &mut slots);
            sum.states += found.states;
            sum.transitions += found.transitions;
            if let Some((rule, path)) = found.broken {
                let length = path.lines().count();
                let text = format!("{:?}: {}\n{config:?}\n{path}", rule.rule, rule.why);
                let known = sum.broken.entry(rule.rule).or_insert_with(|| (length, text.clone()));
                if known.0 > length {
                    *known = (length, text);
                }
            }
        }
    }
}

/// Goes through everything, and fails with the shortest course to each rule that is broken.
fn check(name: &str, scopes: &[Scope]) {
    let began = Instant::now();
    let mut sum = Sum::default();
    for scope in scopes {
        scope.go_through(&mut sum);
    }
    println!("{name}: {} states, {} transitions in {:?}", sum.states, sum.transitions, began.elapsed());
    let all: Vec<String> = sum.broken.into_values().map(|(_, text)| text).collect();
    assert!(all.is_empty(), "{}", all.join("\n\n"));
}

/// D from `smallest` to `largest`, each with `budget` faults.
fn sizes(smallest: u8, largest: u8, budget: u8) -> Vec<(u8, u8)> {
    (smallest..=largest).map(|desired| (desired, budget)).collect()
}

/// A policy, looked at promptly: all strategies with one fault less than a few in small sizes have.
fn check_prompt(policy: UpgradePolicy) {
    let (depth, all, few) = (depth(), all_strategies(policy), few_strategies(policy));
    let scope = |strategies: &[Terms], sizes| Scope {
        strategies: strategies.to_vec(),
        extras: Extras::default(),
        slow: false,
        sizes,
    };
    let scopes = match depth {
        0 => vec![scope(&all, sizes(0, 6, 0))],
        1 => vec![scope(&all, sizes(0, 6, 0)), scope(&few, sizes(0, 3, 1))],
        _ => vec![
            scope(&all, sizes(0, 4, depth - 1)),
            scope(&few, sizes(5, 6, depth - 1)),
            scope(&few, sizes(0, 2, depth)),
        ],
    };
    check(&format!("{}, prompt", policy.as_str()), &scopes);
}

/// A policy, looked at slowly: all strategies.
fn check_slow(policy: UpgradePolicy) {
    let scope = Scope {
        strategies: all_strategies(policy),
        extras: Extras::default(),
        slow: true,
        sizes: sizes(0, depth(), 1),
    };
    check(&format!("{}, slow", policy.as_str()), &[scope]);
}

/// A few strategies of each policy, with something more.
fn check_extras(name: &str, policies: &[UpgradePolicy], extras: Extras) {
    let depth = depth();
    let strategies: Vec<Terms> = policies.iter().flat_map(|policy| few_strategies(*policy)).collect();
    let broad = Scope { strategies: strategies.clone(), extras, slow: false, sizes: sizes(0, 2 + depth.min(2), 1) };
    let deep = Scope { strategies, extras, slow: false, sizes: sizes(0, depth.saturating_sub(1), depth) };
    check(&format!("{name}, prompt"), &[broad, deep]);
}

const ALL: [UpgradePolicy; 3] = [InstallThenUninstall, UninstallThenInstall, ScaleUpThenScaleDown];
/// The policies that a peer deployment can have.
const IN_PLACE: [UpgradePolicy; 2] = [InstallThenUninstall, UninstallThenInstall];

#[test]
fn prompt_install_then_uninstall() {
    check_prompt(InstallThenUninstall);
}

#[test]
fn prompt_uninstall_then_install() {
    check_prompt(UninstallThenInstall);
}

#[test]
fn prompt_scaleup_then_scaledown() {
    check_prompt(ScaleUpThenScaleDown);
}

#[test]
fn slow_install_then_uninstall() {
    check_slow(InstallThenUninstall);
}

#[test]
fn slow_uninstall_then_install() {
    check_slow(UninstallThenInstall);
}

#[test]
fn slow_scaleup_then_scaledown() {
    check_slow(ScaleUpThenScaleDown);
}

#[test]
fn prompt_with_soak_and_drain() {
    check_extras("soak and drain", &ALL, Extras { soak: true, drain: true, ..Extras::default() });
}

#[test]
fn slow_with_soak_and_drain() {
    let extras = Extras { soak: true, drain: true, ..Extras::default() };
    let strategies = ALL.iter().flat_map(|policy| few_strategies(*policy)).collect();
    check("soak and drain, slow", &[Scope { strategies, extras, slow: true, sizes: sizes(0, 1, 1) }]);
}

#[test]
fn prompt_with_bases_that_turn_unready() {
    check_extras("readiness", &ALL, Extras { readiness: true, ..Extras::default() });
}

#[test]
fn prompt_with_bases_that_are_emptied() {
    check_extras("delete-pod", &ALL, Extras { emptying: true, ..Extras::default() });
}

#[test]
fn prompt_with_edits_of_the_strategy() {
    check_extras("edits", &ALL, Extras { edits: true, ..Extras::default() });
}

#[test]
fn prompt_with_peers() {
    check_extras("peers", &IN_PLACE, Extras { peer: true, readiness: true, emptying: true, ..Extras::default() });
}
