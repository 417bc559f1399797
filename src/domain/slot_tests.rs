use super::*;

const NOW: i64 = 100_000;

fn wish(module: &str, version: &str, revision: u64, kind: WishKind) -> Wish {
    Wish {
        module: module.into(),
        owner: "d".into(),
        version: version.into(),
        url: format!("file:///{version}.jar"),
        revision,
        created: i64::try_from(revision).unwrap(),
        policy: UpgradePolicy::InstallThenUninstall,
        own_versions: vec![],
        mates: vec![],
        kind,
    }
}

fn run(module: &str, version: &str, revision: u64) -> Wish {
    wish(module, version, revision, WishKind::Run)
}

fn leave(module: &str, version: &str, revision: u64) -> Wish {
    wish(module, version, revision, WishKind::Leave { drained: true })
}

fn known(versions: &[(&str, BizState)]) -> Observation<'static> {
    let versions = versions.iter().map(|(version, state)| ((*version).to_owned(), *state)).collect();
    // A table of a test lives as long as the test.
    Observation::Known { at: NOW, versions: Box::leak(Box::new(versions)) }
}

fn install(version: &str) -> Step {
    Step::Install { version: version.into(), url: format!("file:///{version}.jar") }
}

fn uninstall(version: &str) -> Step {
    Step::Uninstall { version: version.into() }
}

fn switch(version: &str) -> Step {
    Step::Switch { version: version.into() }
}

use BizState::{Active, Broken, Inactive, Starting};

#[test]
fn the_table_of_steps() {
    let strict = |mut wish: Wish| {
        wish.policy = UpgradePolicy::UninstallThenInstall;
        wish
    };
    let undrained = wish("a", "1", 1, WishKind::Leave { drained: false });
    let cases: Vec<(&str, Vec<Wish>, Observation<'_>, Step)> = vec![
        ("nothing is done on an unknown state", vec![run("a", "1", 1)], Observation::Unknown, Step::Look),
        ("absent is installed", vec![run("a", "1", 1)], known(&[]), install("1")),
        ("active is left alone", vec![run("a", "1", 1)], known(&[("1", Active)]), Step::Idle),
        ("starting is looked at again", vec![run("a", "1", 1)], known(&[("1", Starting)]), Step::WaitUntil(NOW + 1000)),
        ("deactivated is switched", vec![run("a", "1", 1)], known(&[("1", Inactive)]), switch("1")),
        ("broken is removed first", vec![run("a", "1", 1)], known(&[("1", Broken)]), uninstall("1")),
        ("a new version comes beside", vec![run("a", "1", 1), run("b", "2", 2)], known(&[("1", Active)]), install("2")),
        (
            "and is switched to",
            vec![run("a", "1", 1), run("b", "2", 2)],
            known(&[("1", Active), ("2", Inactive)]),
            switch("2"),
        ),
        (
            "the old one may stand by",
            vec![run("a", "1", 1), run("b", "2", 2)],
            known(&[("1", Inactive), ("2", Active)]),
            Step::Idle,
        ),
        (
            "an old one leaves",
            vec![leave("a", "1", 1), run("b", "2", 2)],
            known(&[("1", Inactive), ("2", Active)]),
            uninstall("1"),
        ),
        (
            "a new one that is overtaken leaves when the old one serves again",
            vec![run("a", "1", 1), leave("b", "2", 2)],
            known(&[("1", Inactive), ("2", Active)]),
            switch("1"),
        ),
        ("not before it is drained", vec![undrained.clone()], known(&[("1", Active)]), Step::Idle),
        (
            "strictly one version at a time",
            vec![strict(leave("a", "1", 1)), strict(run("b", "2", 2))],
            known(&[("1", Active)]),
            uninstall("1"),
        ),
        (
            "also while the old one drains",
            vec![strict(undrained), strict(run("b", "2", 2))],
            known(&[("1", Active)]),
            Step::Idle,
        ),
        (
            "and while it isn't leaving yet",
            vec![strict(run("a", "1", 1)), strict(run("b", "2", 2))],
            known(&[("1", Active)]),
            Step::Idle,
        ),
        ("what is absent is uninstalled all the same", vec![leave("a", "1", 1)], known(&[]), uninstall("1")),
        (
            "a version that another Module wants stays",
            vec![leave("a", "1", 1), run("b", "1", 2)],
            known(&[("1", Active)]),
            Step::Idle,
        ),
        ("a foreign version is never touched", vec![run("a", "1", 1)], known(&[("0", Active)]), Step::Idle),
        (
            "no third version comes",
            vec![run("a", "1", 1), run("b", "2", 2), run("c", "3", 3)],
            known(&[("1", Active), ("2", Inactive)]),
            switch("2"),
        ),
        ("nobody wishes, nothing happens", vec![], known(&[("1", Active)]), Step::Idle),
    ];
    for (name, wishes, observation, step) in cases {
        assert_eq!(plan_slot(&wishes, observation, &History::new(), NOW), step, "{name}");
    }
}

#[test]
fn a_leftover_of_the_own_revisions_is_removed() {
    let mut wish = run("a", "2", 2);
    wish.own_versions = vec!["1".into(), "2".into()];
    assert_eq!(plan_slot(&[wish], known(&[("1", Active)]), &History::new(), NOW), uninstall("1"));
}

#[test]
fn nothing_is_done_before_every_module_of_the_slot_has_spoken() {
    // After a start of the operator the old Module speaks first: its successor's biz is no leftover, and the old
    // version isn't switched back to.
    let mut old = run("a", "1", 1);
    old.own_versions = vec!["1".into(), "2".into()];
    old.mates = vec!["b".into()];
    let there = known(&[("1", Inactive), ("2", Active)]);
    assert_eq!(plan_slot(&[old.clone()], there, &History::new(), NOW), Step::Idle);
    assert_eq!(verdict("a", &[old.clone()], there, &History::new()), Some(Verdict::Unknown));
    let both = [old, run("b", "2", 2)];
    assert_eq!(plan_slot(&both, there, &History::new(), NOW), Step::Idle);
    assert_eq!(verdict("a", &both, there, &History::new()), Some(Verdict::Superseded));
}

#[test]
fn failures_wait_and_are_told() {
    let failed = VersionHistory {
        failures: 2,
        retry_at: Some(NOW + 500),
        error: Some("no such file".into()),
        ..VersionHistory::default()
    };
    let history = History::from([("1".to_owned(), failed)]);
    let wishes = [run("a", "1", 1)];
    assert_eq!(plan_slot(&wishes, known(&[]), &history, NOW), Step::WaitUntil(NOW + 500));
    assert_eq!(plan_slot(&wishes, known(&[]), &history, NOW + 500), install("1"));
    assert_eq!(verdict("a", &wishes, known(&[]), &history), Some(Verdict::Failed("no such file".into())));
}

#[test]
fn what_leaves_is_not_held_by_a_switch_that_fails() {
    let failed = VersionHistory { failures: 1, retry_at: Some(NOW + 500), ..VersionHistory::default() };
    let history = History::from([("1".to_owned(), failed)]);
    let wishes = [run("a", "1", 1), leave("b", "2", 2)];
    let there = known(&[("1", Inactive), ("2", Active)]);
    assert_eq!(plan_slot(&wishes, there, &history, NOW), uninstall("2"));
    assert_eq!(plan_slot(&wishes, there, &history, NOW + 500), switch("1"));
}

#[test]
fn in_a_contested_slot_the_oldest_wins_and_the_loser_never_uninstalls() {
    let mut loser = run("b", "2", 9);
    loser.owner = "other".into();
    let mut wishes = vec![run("a", "1", 1), loser];
    assert_eq!(plan_slot(&wishes, known(&[]), &History::new(), NOW), install("1"));
    assert_eq!(verdict("b", &wishes, known(&[]), &History::new()), Some(Verdict::Contested("d".into())));
    wishes[1].kind = WishKind::Leave { drained: true };
    wishes[1].version = "1".into();
    assert_eq!(plan_slot(&wishes, known(&[("1", Active)]), &History::new(), NOW), Step::Idle);
    assert_eq!(verdict("b", &wishes, known(&[("1", Active)]), &History::new()), Some(Verdict::Released));
}

#[test]
fn only_an_answered_uninstall_releases() {
    let wishes = [leave("a", "1", 1)];
    let answered = VersionHistory { uninstall_answered: true, ..VersionHistory::default() };
    let answered = History::from([("1".to_owned(), answered)]);
    assert_eq!(verdict("a", &wishes, known(&[]), &History::new()), Some(Verdict::Waiting));
    assert_eq!(verdict("a", &wishes, known(&[]), &answered), Some(Verdict::Released));
    assert_eq!(verdict("a", &wishes, known(&[("1", Active)]), &answered), Some(Verdict::Waiting));
    assert_eq!(verdict("a", &wishes, Observation::Unknown, &answered), Some(Verdict::Waiting));
}

#[test]
fn verdicts_of_running_modules() {
    let both = [run("a", "1", 1), run("b", "2", 2)];
    let history = History::new();
    let told = |versions: &[(&str, BizState)], module| verdict(module, &both, known(versions), &history);
    assert_eq!(told(&[("1", Inactive), ("2", Active)], "a"), Some(Verdict::Superseded));
    assert_eq!(told(&[("1", Inactive)], "a"), Some(Verdict::Inactive));
    assert_eq!(told(&[("1", Active), ("2", Active)], "b"), Some(Verdict::Active));
    assert_eq!(told(&[("9", Active)], "b"), Some(Verdict::Foreign("9".into())));
    assert_eq!(told(&[], "nobody"), None);
}
