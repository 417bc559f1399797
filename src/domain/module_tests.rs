use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000;

fn view() -> ModuleView<'static> {
    ModuleView {
        phase: None,
        phase_since: 0,
        was_active: false,
        created: NOW - 10_000,
        deleting: None,
        drop_directly: false,
        base: BaseFate::Alive,
        base_name: "base-1",
        told: None,
        min_ready: 0,
        drain: 0,
        label_on: false,
        label_off_since: None,
        successor_active: false,
    }
}

fn told(verdict: Verdict, since: i64) -> Option<Told> {
    Some(Told { verdict, since, silent_since: None, silence: None })
}

fn silent(verdict: Verdict, since: i64) -> Option<Told> {
    Some(Told { verdict, since, silent_since: Some(since), silence: Some("connection refused".into()) })
}

#[test]
fn phases_follow_the_verdict() {
    let old = NOW - 5_000;
    for (verdict, phase, reason) in [
        (Verdict::Unknown, Phase::Pending, None),
        (Verdict::Waiting, Phase::Prepare, None),
        (Verdict::Installing, Phase::Upgrading, None),
        (Verdict::Inactive, Phase::Upgrading, None),
        (Verdict::Active, Phase::Available, None),
        (Verdict::Failed("x".into()), Phase::Upgrading, Some("InstallFailed")),
        (Verdict::Superseded, Phase::Pending, Some("Superseded")),
        (Verdict::Contested("o".into()), Phase::Pending, Some("Conflict")),
        (Verdict::Foreign("0".into()), Phase::Pending, Some("ForeignModule")),
    ] {
        let plan = plan_module(&ModuleView { told: told(verdict.clone(), old), label_on: true, ..view() }, NOW);
        assert_eq!((plan.phase, plan.write), (phase, true), "{verdict:?}");
        assert_eq!(plan.because.map(|because| because.reason.as_str()), reason, "{verdict:?}");
        assert_eq!((plan.wish, plan.delete, plan.release), (Some(WishKind::Run), false, false), "{verdict:?}");
    }
}

#[test]
fn a_phase_shorter_than_a_second_isnt_written_but_a_failure_is() {
    let fresh = plan_module(&ModuleView { told: told(Verdict::Installing, NOW - 300), ..view() }, NOW);
    assert_eq!((fresh.write, fresh.wake_at), (false, Some(NOW + 700)));
    let failed = plan_module(&ModuleView { told: told(Verdict::Failed("x".into()), NOW), ..view() }, NOW);
    assert!(failed.write);
}

#[test]
fn available_is_kept_while_nothing_else_is_confirmed() {
    let was = ModuleView { phase: Some(Phase::Available), was_active: true, ..view() };
    for since in [NOW - 1_000, NOW - 59_999] {
        let plan = plan_module(&ModuleView { told: silent(Verdict::Unknown, since), ..was.clone() }, NOW);
        assert_eq!((plan.phase, plan.wake_at), (Phase::Available, Some(since + 60_000)), "{since}");
    }
    let lost = plan_module(&ModuleView { told: silent(Verdict::Unknown, NOW - 60_000), ..was.clone() }, NOW);
    assert_eq!((lost.phase, lost.write), (Phase::Pending, true));
    assert_eq!(lost.because.unwrap().reason, "AgentUnreachable");
    let absent = plan_module(&ModuleView { told: told(Verdict::Installing, NOW), ..was }, NOW);
    assert_eq!((absent.phase, absent.write), (Phase::Upgrading, true));
}

#[test]
fn available_promises_traffic() {
    let active = ModuleView { told: told(Verdict::Active, NOW - 5_000), label_on: false, ..view() };
    let plan = plan_module(&active, NOW);
    assert_eq!((plan.phase, plan.wake_at), (Phase::Completing, None), "the label wakes it");
    assert_eq!(plan_module(&ModuleView { label_on: true, ..active.clone() }, NOW).phase, Phase::Available);
    // What is Available already, as after a take-over, doesn't fall for a label that somebody took off.
    let was = ModuleView { phase: Some(Phase::Available), ..active };
    assert_eq!(plan_module(&was, NOW).phase, Phase::Available);
}

#[test]
fn min_ready_seconds_are_waited_for_and_survive_a_restart() {
    let soaking = ModuleView { min_ready: 30_000, label_on: true, told: told(Verdict::Active, NOW - 10_000), ..view() };
    let plan = plan_module(&soaking, NOW);
    assert_eq!((plan.phase, plan.write, plan.wake_at), (Phase::Completing, true, Some(NOW + 20_000)));
    let restarted = ModuleView {
        phase: Some(Phase::Completing),
        phase_since: NOW - 29_000,
        told: told(Verdict::Active, NOW),
        ..soaking.clone()
    };
    assert_eq!(plan_module(&restarted, NOW).wake_at, Some(NOW + 1_000));
    assert_eq!(plan_module(&restarted, NOW + 1_000).phase, Phase::Available);
}

#[test]
fn a_module_whose_base_is_gone_is_deleted_and_owes_no_uninstall() {
    for base in [BaseFate::Unbound, BaseFate::Gone, BaseFate::Ending] {
        let plan = plan_module(&ModuleView { base, ..view() }, NOW);
        assert!(plan.delete && plan.wish.is_none() && !plan.release, "{base:?}");
        let plan = plan_module(&ModuleView { base, deleting: Some(NOW), ..view() }, NOW);
        assert!(plan.release && plan.wish.is_none() && !plan.delete, "{base:?}");
    }
}

#[test]
fn leaving_takes_the_label_off_drains_and_waits_for_the_uninstall() {
    let leaving = ModuleView { deleting: Some(NOW), was_active: true, drain: 5_000, label_on: true, ..view() };
    let drained = |view: &ModuleView<'_>, now| plan_module(view, now).wish == Some(WishKind::Leave { drained: true });
    assert!(!drained(&leaving, NOW + 60_000), "the label is on");
    let off = ModuleView { label_on: false, label_off_since: Some(NOW + 200), ..leaving.clone() };
    assert!(!drained(&off, NOW + 5_199));
    assert_eq!(plan_module(&off, NOW + 5_100).wake_at, Some(NOW + 5_200));
    assert!(drained(&off, NOW + 5_200));
    assert!(!plan_module(&off, NOW + 5_200).release, "not uninstalled yet");
    let gone = ModuleView { told: told(Verdict::Released, NOW), ..off };
    assert!(plan_module(&gone, NOW + 5_200).release);
    // On to a successor in the same slot: the label stays, the drain time is kept all the same.
    let handed_over = ModuleView { successor_active: true, ..leaving.clone() };
    assert!(!drained(&handed_over, NOW + 4_999) && drained(&handed_over, NOW + 5_000));
    // Never active: nothing to drain.
    assert!(drained(&ModuleView { was_active: false, label_on: false, ..leaving }, NOW));
}

#[test]
fn a_refused_uninstall_is_said_at_once() {
    let refused = Verdict::Failed("java.lang.IllegalStateException: busy".into());
    for told in [told(refused.clone(), NOW), silent(refused, NOW - 5_000)] {
        let plan = plan_module(&ModuleView { deleting: Some(NOW - 2_000), told, ..view() }, NOW);
        let because = plan.because.expect("a reason");
        assert_eq!((because.reason.as_str(), plan.release, plan.write), ("UninstallFailed", false, true));
        assert!(because.message.contains("busy"), "{}", because.message);
    }
}

#[test]
fn what_had_traffic_drains_also_where_no_status_tells_of_it() {
    // Active, and in the Service, for less than it takes to be written.
    let leaving = ModuleView { deleting: Some(NOW), drain: 5_000, label_on: true, successor_active: true, ..view() };
    let drained = |view: &ModuleView<'_>, now| plan_module(view, now).wish == Some(WishKind::Leave { drained: true });
    assert!(!drained(&leaving, NOW + 4_999) && drained(&leaving, NOW + 5_000));
    let off = ModuleView { label_on: false, successor_active: false, label_off_since: Some(NOW + 200), ..leaving };
    assert!(!drained(&off, NOW + 5_199) && drained(&off, NOW + 5_200));
    // What went off before the deletion was another Module's.
    assert!(drained(&ModuleView { label_off_since: Some(NOW - 1), ..off }, NOW));
}

#[test]
fn a_silent_agent_blocks_the_deletion_and_says_so() {
    let blocked = ModuleView { deleting: Some(NOW - 20_000), told: silent(Verdict::Unknown, NOW - 90_000), ..view() };
    let plan = plan_module(&blocked, NOW);
    let because = plan.because.expect("a reason");
    assert_eq!((because.reason.as_str(), plan.release, plan.write), ("DeletionBlocked", false, true));
    for part in ["base-1", "delete the pod", "delete-module-directly=true", "connection refused"] {
        assert!(because.message.contains(part), "{part}: {}", because.message);
    }
    let soon = ModuleView { deleting: Some(NOW - 5_000), ..blocked.clone() };
    assert_eq!(plan_module(&soon, NOW).because, None);
    let dropped = ModuleView { drop_directly: true, ..blocked };
    assert!(plan_module(&dropped, NOW).release);
}

#[test]
fn what_runs_is_from_where_it_was_fetched_until_it_is_installed_anew() {
    let spec = crate::api::ModuleSpec {
        module: Some(ModuleInfo { name: "m".into(), version: "1".into(), url: "made".into(), ..ModuleInfo::default() }),
        ..Default::default()
    };
    let module = Module::new("md", spec);
    let known = |version: &str, url: &str| {
        Some(InstalledModule { name: "m".into(), version: version.into(), url: Some(url.into()) })
    };
    for (phase, installed, url) in [
        (None, None, "now"),
        (Some("Upgrading"), None, "now"),
        (Some("Available"), None, "made"),
        (Some("Available"), known("1", "then"), "then"),
        (Some("Completing"), known("1", "then"), "then"),
        (Some("Pending"), known("1", "then"), "then"),
        (Some("Upgrading"), known("1", "then"), "now"),
        (Some("Available"), known("0", "then"), "now"),
    ] {
        let before = ModuleStatus { status: phase.map(str::to_owned), installed, ..ModuleStatus::default() };
        let active = plan_module(&ModuleView { told: told(Verdict::Active, 0), label_on: true, ..view() }, NOW);
        let after = active.status(&module, &before, "now", crate::runtime::clock::timestamp(NOW));
        assert_eq!(after.installed, known("1", url), "{before:?}");
        let lost = plan_module(&ModuleView { told: told(Verdict::Installing, 0), ..view() }, NOW);
        let after = lost.status(&module, &before, "now", crate::runtime::clock::timestamp(NOW));
        assert_eq!(after.installed, before.installed, "what has to be uninstalled stays known");
    }
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Unknown),
        3 => Just(Verdict::Active),
        1 => Just(Verdict::Waiting),
        1 => Just(Verdict::Installing),
        1 => Just(Verdict::Superseded),
        1 => Just(Verdict::Failed("no".into())),
        1 => Just(Verdict::Released),
    ]
}

prop_compose! {
    /// A Module to which nothing happens from now on; it came to be as it is within the last two minutes.
    fn still()(
        phase in prop::option::of(prop::sample::select(&Phase::ALL[..])),
        ago in prop::array::uniform5(0..120_000_i64),
        flags in any::<[bool; 5]>(),
        verdict in prop::option::weighted(0.9, verdicts()),
        silent in prop::option::of(0..120_000_i64),
        seconds in prop::sample::select(vec![0, 3_000, 30_000]),
        off in any::<bool>(),
    ) -> ModuleView<'static> {
        let [phase_since, created, deleting, told, label_off] = ago.map(|ago| NOW - ago);
        let [was_active, leaving, label_on, successor_active, dropped] = flags;
        let silent_since = silent.map(|ago| NOW - ago);
        ModuleView {
            phase,
            phase_since,
            was_active,
            created,
            deleting: leaving.then_some(deleting),
            drop_directly: dropped && leaving,
            told: verdict.map(|verdict| Told { verdict, since: told, silent_since, silence: None }),
            min_ready: seconds,
            drain: seconds,
            label_on,
            label_off_since: (off && !label_on).then_some(label_off),
            successor_active,
            ..view()
        }
    }
}

/// A plan as others see it: without when to look again, and without a phase that isn't written.
fn shown(view: &ModuleView<'_>, now: i64) -> ModulePlan {
    let plan = ModulePlan { wake_at: None, ..plan_module(view, now) };
    if plan.write { plan } else { ModulePlan { phase: Phase::Pending, because: None, ..plan } }
}

proptest! {
    #![proptest_config(crate::sweep::config(2_000, 1_000))]

    /// Nobody wakes a Module because time passes: what time alone changes, the plan asks to be woken for.
    #[test]
    fn what_time_alone_changes_is_woken_for(view in still()) {
        let woken = plan_module(&view, NOW).wake_at.unwrap_or(i64::MAX);
        let before = shown(&view, NOW);
        for later in (500..=130_000).step_by(500).map(|later| NOW + later).take_while(|later| *later < woken) {
            prop_assert_eq!(&shown(&view, later), &before, "{} ms later", later - NOW);
        }
    }
}
