use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{api::vkeys, domain::vnode::lease::Step};

const ME: &str = "me";
const NOW: i64 = 1_000_000;

fn base() -> VBase {
    VBase {
        identity: "id".into(),
        name: "base".into(),
        version: "1".into(),
        ip: "10.0.0.1".into(),
        hostname: "base-0".into(),
        port: 1238,
        tunnel: vkeys::tunnel::DISCOVERY,
        env: "dev".into(),
        ..VBase::default()
    }
}

fn wall() -> Time {
    Time(Timestamp::from_second(1000).unwrap())
}

fn sight(holder: &str) -> Sight {
    let lease = lease::build("v", "dev", holder, &Periods::default(), Timestamp::from_second(1).unwrap());
    Sight::Unknown.seen(Some(&lease), NOW - 1000)
}

fn heard(answered_ago: Option<i64>) -> Heard {
    let metaspace = Metaspace { max: Some(1000), committed: 100 };
    Heard {
        since: NOW - 100_000,
        answered: answered_ago.map(|ago| NOW - ago),
        metaspace,
        inactive: false,
        excused: None,
    }
}

#[derive(Debug)]
struct Case {
    base: Option<VBase>,
    heard: Heard,
    node: Option<Node>,
    sight: Sight,
    renewed_at: Option<i64>,
    reported_at: Option<i64>,
    patched_at: Option<i64>,
}

impl Case {
    fn plan(&self) -> Plan {
        self.plan_at(NOW)
    }

    fn plan_at(&self, now: i64) -> Plan {
        let view = View {
            base: self.base.as_ref(),
            heard: self.heard,
            node: self.node.as_ref(),
            sight: &self.sight,
            renewed_at: self.renewed_at,
            reported_at: self.reported_at,
            patched_at: self.patched_at,
            me: ME,
        };
        plan(&view, &Times::default(), now, &wall())
    }
}

/// A VNode that is held, fresh, and as it should be.
fn settled() -> Case {
    let ready = readiness(Reach::Answers, false);
    Case {
        base: Some(base()),
        heard: heard(Some(1000)),
        node: Some(node::build(&base(), heard(None).metaspace, &ready, &wall())),
        sight: sight(ME),
        renewed_at: Some(NOW - 1000),
        reported_at: Some(NOW - 1000),
        patched_at: None,
    }
}

#[test]
fn reach_follows_the_contracts_times() {
    let times = Times::default();
    for (ago, reach) in [
        (0, Reach::Answers),
        (24_999, Reach::Answers),
        (25_000, Reach::Unreachable),
        (59_999, Reach::Unreachable),
        (60_000, Reach::Dead),
    ] {
        assert_eq!(heard(Some(ago)).reach(&times, NOW), reach, "{ago}");
    }
    let fresh = Heard { since: NOW - 1000, ..Heard::default() };
    assert_eq!(fresh.reach(&times, NOW), Reach::Unknown);
    assert_eq!(fresh.reach(&times, NOW + 59_000), Reach::Dead);
}

#[test]
fn vnodes_that_began_together_renew_and_report_at_times_of_their_own() {
    let times = Times::default();
    let own: Vec<Times> = (0..100).map(|n| times.of(&format!("vnode.{n}.dev"))).collect();
    for of in [|times: &Times| times.lease.renew, |times: &Times| times.report] {
        let paces: std::collections::BTreeSet<i64> = own.iter().map(of).collect();
        assert!(paces.len() > 50, "{paces:?}");
        let most = of(&times) + of(&times) / 10;
        assert!(paces.iter().all(|pace| (of(&times)..=most).contains(pace)), "{paces:?}");
    }
    assert!(own.iter().all(|own| (own.unreachable, own.dead) == (times.unreachable, times.dead)));
}

#[test]
fn a_vnode_begins_with_an_answer_then_the_lease_then_the_node() {
    let new = || Case { node: None, sight: Sight::Absent, renewed_at: None, reported_at: None, ..settled() };
    let unheard = Case { heard: Heard { since: NOW - 1000, ..Heard::default() }, ..new() }.plan();
    assert_eq!((unheard.lease, unheard.node, unheard.acts), (None, NodeStep::Leave, false));
    let first = new().plan();
    assert_eq!((first.lease, &first.node), (Some(Step::Create), &NodeStep::Leave));
    let held = Case { sight: sight(ME), renewed_at: Some(NOW), ..new() }.plan();
    assert!(held.acts && matches!(held.node, NodeStep::Create(_)), "{held:?}");
}

#[test]
fn nothing_is_done_while_nothing_changes() {
    let quiet = settled().plan();
    assert_eq!((quiet.lease, &quiet.node), (Some(Step::Keep(NOW + 9000)), &NodeStep::Leave));
    assert_eq!(quiet.wake_at, NOW + 9000);
    assert!(!quiet.claims(), "it rests");
}

#[test]
fn a_status_is_written_on_a_change_and_now_and_then() {
    let fuller = Heard { metaspace: Metaspace { max: Some(1000), committed: 300 }, ..settled().heard };
    let NodeStep::Report(status) = (Case { heard: fuller, ..settled() }).plan().node else { panic!("a report") };
    assert_eq!(status.allocatable.unwrap()["memory"].0, "700");
    let old = Case { reported_at: Some(NOW - 300_000), ..settled() };
    assert!(matches!(old.plan().node, NodeStep::Report(_)));
    let unheard_of = Case { reported_at: None, ..settled() };
    assert!(matches!(unheard_of.plan().node, NodeStep::Report(_)));
}

#[test]
fn a_silent_base_is_not_ready_then_dead_and_its_lease_is_renewed_until_then() {
    let lost = Case { heard: heard(Some(25_000)), ..settled() }.plan();
    let NodeStep::Report(status) = &lost.node else { panic!("a report: {lost:?}") };
    let ready = &status.conditions.as_ref().unwrap()[0];
    assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("False", Some("BaseUnreachable")));
    assert_eq!(lost.lease, Some(Step::Keep(NOW + 9000)));
    let dead = Case { heard: heard(Some(60_000)), ..settled() }.plan();
    assert_eq!((dead.node, dead.reach), (NodeStep::Delete, Reach::Dead));
}

#[test]
fn a_base_that_is_gone_takes_its_vnode_along_at_once() {
    let gone = Case { base: None, ..settled() }.plan();
    assert_eq!((gone.node, gone.reach), (NodeStep::Delete, Reach::Gone));
    // Its holder may live: what it left is taken over only when the Lease has run out.
    let others = Case { base: None, sight: sight("other"), renewed_at: None, ..settled() }.plan();
    assert_eq!((others.lease, others.node), (Some(Step::HandsOff(NOW + 39_000)), NodeStep::Leave));
    let nothing = Case { base: None, node: None, sight: Sight::Absent, renewed_at: None, ..settled() }.plan();
    assert_eq!((nothing.lease, nothing.node), (None, NodeStep::Leave));
}

#[test]
fn a_lease_is_wanted_where_something_stands_or_is_held() {
    let other = |holder| Case { sight: sight(holder), renewed_at: None, ..settled() };
    let absent = || Case { sight: Sight::Absent, renewed_at: None, ..settled() };
    for silent in [30_000, 70_000] {
        let heard = heard(Some(silent));
        let left = Case { heard, ..other("") }.plan();
        assert_eq!(left.lease, Some(Step::TakeOver), "a Node that was left, {silent}");
        let bare = Case { heard, ..absent() }.plan();
        assert_eq!(bare.lease, Some(Step::Create), "a Node without a Lease, {silent}");
        let held = Case { heard, node: None, ..settled() }.plan();
        assert_eq!(held.lease, Some(Step::Keep(NOW + 9000)), "ours, {silent}");
        let nothing = Case { heard, node: None, ..absent() }.plan();
        assert_eq!(nothing.lease, None, "{silent}");
    }
    let silent = Case { heard: heard(Some(30_000)), node: None, ..other("") }.plan();
    assert_eq!(silent.lease, None, "a VNode begins with an answer");
    let dead = Case { heard: heard(Some(70_000)), node: None, ..other("") }.plan();
    assert_eq!(dead.lease, Some(Step::TakeOver), "a Lease alone is cleared away");
}

#[test]
fn without_the_lease_nothing_is_written() {
    for (sight, renewed_at) in [(sight("other"), None), (sight(ME), Some(NOW - 24_000)), (Sight::Unknown, None)] {
        let heard = heard(Some(30_000));
        let plan = Case { heard, sight, renewed_at, ..settled() }.plan();
        assert_eq!((plan.node, plan.acts), (NodeStep::Leave, false));
    }
}

#[test]
fn silence_while_we_were_deaf_says_nothing() {
    let times = Times::default();
    for (answered, excused, reach) in [
        (Some(70_000), None, Reach::Dead),
        (Some(70_000), Some(0), Reach::Answers),
        (Some(70_000), Some(24_999), Reach::Answers),
        (Some(70_000), Some(25_000), Reach::Unreachable),
        (Some(70_000), Some(60_000), Reach::Dead),
        (Some(1_000), Some(90_000), Reach::Answers),
        // Nothing speaks for one that was never heard.
        (None, Some(0), Reach::Unknown),
    ] {
        let heard = Heard { excused: excused.map(|ago| NOW - ago), ..heard(answered) };
        assert_eq!(heard.reach(&times, NOW), reach, "{answered:?} {excused:?}");
    }
}

#[test]
fn after_a_start_nothing_is_concluded_from_silence() {
    let restarted =
        |since| Case { heard: Heard { since: NOW - since, ..Heard::default() }, reported_at: None, ..settled() };
    assert_eq!(restarted(1000).plan().node, NodeStep::Leave);
    let NodeStep::Report(status) = restarted(25_000).plan().node else { panic!("a report") };
    assert_eq!(status.capacity.unwrap()["memory"].0, "1k", "what was known of its memory stays");
    assert_eq!(restarted(60_000).plan().node, NodeStep::Delete);
}

#[test]
fn a_base_that_takes_no_modules_is_not_ready() {
    let NodeStep::Report(status) =
        (Case { heard: Heard { inactive: true, ..settled().heard }, ..settled() }).plan().node
    else {
        panic!("a report")
    };
    assert_eq!(status.conditions.unwrap()[0].reason.as_deref(), Some("BaseNotActivated"));
}

#[test]
fn labels_come_back_before_the_status_is_written() {
    let mut case = settled();
    case.node.as_mut().unwrap().metadata.labels.as_mut().unwrap().clear();
    assert!(matches!(case.plan().node, NodeStep::Patch(_)));
}

#[test]
fn what_somebody_undoes_comes_back_at_a_pace() {
    let mut undone = Case { patched_at: Some(NOW - 1), ..settled() };
    undone.node.as_mut().unwrap().metadata.labels.as_mut().unwrap().clear();
    let plan = undone.plan();
    assert_eq!((plan.node, plan.wake_at), (NodeStep::Leave, NOW + 9000), "the Lease comes first");
    undone.renewed_at = Some(NOW);
    assert_eq!(undone.plan().wake_at, NOW - 1 + PATCH_PACE);
    let fuller = Heard { metaspace: Metaspace { max: Some(1000), committed: 300 }, ..settled().heard };
    assert!(matches!((Case { heard: fuller, ..undone }).plan().node, NodeStep::Report(_)), "its status is told");

    let told = Case { heard: fuller, reported_at: Some(NOW - 1), ..settled() }.plan();
    assert_eq!((told.node, told.wake_at), (NodeStep::Leave, NOW - 1 + REPORT_PACE));

    let deleted = Case { node: None, reported_at: Some(NOW - 1), ..settled() }.plan();
    assert_eq!((deleted.node, deleted.wake_at), (NodeStep::Leave, NOW - 1 + REPORT_PACE));
}

#[test]
fn it_looks_again_when_time_alone_changes_something() {
    let at = |case: Case| case.plan().wake_at - NOW;
    assert_eq!(at(Case { heard: heard(Some(24_000)), ..settled() }), 1_000, "it becomes unreachable");
    assert_eq!(at(Case { heard: heard(Some(59_000)), ..settled() }), 1_000, "it is dead");
    assert_eq!(at(Case { reported_at: Some(NOW - 299_000), ..settled() }), 1_000, "its status is told anew");
    assert_eq!(at(Case { renewed_at: Some(NOW - 23_000), ..settled() }), 1_000, "its Lease may be another's");
    let theirs =
        Sight::Unknown.seen(Some(&lease::build("v", "dev", "other", &Periods::default(), wall().0)), NOW - 39_000);
    assert_eq!(at(Case { sight: theirs, renewed_at: None, ..settled() }), 1_000, "another's Lease has run out");
}

/// Any VNode; most are held, and are what they should be.
fn any_case() -> impl Strategy<Value = Case> {
    let before = |least: i64, most: i64| prop::option::of((least..most).prop_map(|ago| NOW - ago));
    let answered = prop_oneof![before(0, 20_000), before(0, 70_000)];
    let heard = (0..70_000_i64, answered, before(0, 70_000), prop::bool::weighted(0.2));
    let heard = heard.prop_map(|(since, answered, excused, inactive)| Heard {
        since: NOW - since,
        answered,
        excused,
        inactive,
        ..settled().heard
    });
    let mut bare = settled().node.expect("a Node");
    bare.metadata.labels = None;
    let mut silent = settled().node.expect("a Node");
    silent.status = None;
    let node = prop_oneof![4 => Just(settled().node), 1 => Just(None), 1 => Just(Some(bare)), 1 => Just(Some(silent))];
    let holder = prop_oneof![4 => Just(ME), 1 => Just("other"), 1 => Just("")];
    let seen = (holder, 0..45_000_i64).prop_map(|(holder, ago)| {
        let Sight::Seen { record, .. } = sight(holder) else { unreachable!("it was seen") };
        Sight::Seen { record, since: NOW - ago }
    });
    let sight = prop_oneof![6 => seen, 1 => Just(Sight::Unknown), 1 => Just(Sight::Absent)];
    let reported = prop_oneof![before(0, 2_000), (290_000..300_500_i64).prop_map(|ago| Some(NOW - ago))];
    let renewed = prop_oneof![before(0, 10_000), before(0, 30_000)];
    let written = (renewed, reported, before(0, 12_000));
    (prop::bool::weighted(0.9), heard, node, sight, written).prop_map(|(there, heard, node, sight, written)| {
        let (renewed_at, reported_at, patched_at) = written;
        Case { base: there.then(base), heard, node, sight, renewed_at, reported_at, patched_at }
    })
}

proptest! {
    #![proptest_config(crate::sweep::config(1_000, 1_000))]

    /// Nobody looks at a VNode before `wake_at`: until then no time that goes by may change what is true of it, nor, where
    /// it rests, ask for anything.
    #[test]
    fn what_time_alone_changes_is_woken_for(case in any_case(), part in 0..1_000_i64) {
        let plan = case.plan();
        prop_assert!(plan.wake_at > NOW);
        let rests = !plan.claims() && plan.node == NodeStep::Leave;
        for later in [NOW + (plan.wake_at - NOW) * part / 1_000, plan.wake_at - 1] {
            let then = case.plan_at(later);
            prop_assert_eq!((then.acts, then.reach), (plan.acts, plan.reach), "{} later", later - NOW);
            let asks = then.claims() || then.node != NodeStep::Leave;
            prop_assert!(!rests || !asks, "{} later: {:?}", later - NOW, then);
        }
    }
}
