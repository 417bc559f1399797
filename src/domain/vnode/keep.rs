//! What to do about one VNode now.
//!
//! The Lease comes first: without it nothing is written. A Node is made once its base answers, reported when something
//! about it changed or nobody heard of it for a while, NotReady when the base stops answering, and deleted with its Lease
//! when the base is dead or its pod is gone. Must not: read a clock or touch vPods.

use k8s_openapi::{
    api::core::v1::{Node, NodeStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde_json::Value;

use super::{
    lease::{self, Periods, Sight},
    node::{self, Metaspace, Readiness, VBase},
};
use crate::{api::Reason, domain::spread};

/// The periods of a VNode (milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Of its Lease.
    pub lease: Periods,
    /// A base that hasn't answered for so long makes its VNode NotReady.
    pub unreachable: i64,
    /// A base that hasn't answered for so long loses its VNode.
    pub dead: i64,
    /// A status that says nothing new is written again after so long.
    pub report: i64,
}

impl Default for Times {
    /// 25 s and 60 s: the contract's. A status every 5 min, as kubelets report.
    fn default() -> Self {
        Self { lease: Periods::default(), unreachable: 25_000, dead: 60_000, report: 300_000 }
    }
}

impl Times {
    /// The periods of one VNode of many: what is written regularly comes later by up to a tenth, so that VNodes which began at
    /// one moment don't all write at one moment for ever.
    #[must_use]
    pub fn of(&self, vnode: &str) -> Self {
        let lease = Periods { renew: spread::later(self.lease.renew, vnode), ..self.lease };
        Self { lease, report: spread::later(self.report, vnode), ..*self }
    }
}

/// How far a base can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not asked for long enough to know.
    Unknown,
    /// It answers.
    Answers,
    /// It hasn't answered for a while.
    Unreachable,
    /// It hasn't answered for so long that it counts as gone.
    Dead,
    /// Its pod is gone, or about to be.
    Gone,
}

/// What is known of a base's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Since when this process has asked for it.
    pub since: i64,
    /// When it last answered.
    pub answered: Option<i64>,
    /// What it last said of its memory.
    pub metaspace: Metaspace,
    /// Whether it says of itself that it doesn't take modules (a heartbeat with another state than `ACTIVATED`).
    pub inactive: bool,
    /// Silence until then says nothing about it: we were deaf.
    pub excused: Option<i64>,
}

impl Heard {
    /// How far the base can be reached at `now`. One that never answered this process gets the same time from the moment
    /// at which it was first asked: after a start of the provider nothing is concluded from silence.
    pub fn reach(&self, times: &Times, now: i64) -> Reach {
        let silent = now - self.silent_since();
        if silent >= times.dead {
            Reach::Dead
        } else if silent >= times.unreachable {
            Reach::Unreachable
        } else if self.answered.is_some() {
            Reach::Answers
        } else {
            Reach::Unknown
        }
    }

    fn silent_since(&self) -> i64 {
        self.answered.unwrap_or(self.since).max(self.excused.unwrap_or(i64::MIN))
    }

    /// When [`Heard::reach`] next says something else if nothing is heard.
    fn changes(&self, times: &Times, now: i64) -> Option<i64> {
        let since = self.silent_since();
        [since + times.unreachable, since + times.dead].into_iter().find(|at| *at > now)
    }
}

/// All that is looked at.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The base; `None` where only a Node or Lease of that name is left.
    pub base: Option<&'a VBase>,
    /// Its answers.
    pub heard: Heard,
    /// The Node, if there is one.
    pub node: Option<&'a Node>,
    /// Its Lease.
    pub sight: &'a Sight,
    /// When this process's last successful write of the Lease was sent.
    pub renewed_at: Option<i64>,
    /// When this process last wrote the Node's status.
    pub reported_at: Option<i64>,
    /// When this process last wrote its labels and taints.
    pub patched_at: Option<i64>,
    /// This process's name in Leases.
    pub me: &'a str,
}

/// Labels and taints that somebody, or an admission webhook, takes off again come back so often at most (milliseconds).
const PATCH_PACE: i64 = 10_000;
/// And a status that is told so often at most: a webhook may change it on its way in.
const REPORT_PACE: i64 = 1_000;

/// What to do with the Node.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeStep {
    /// Nothing.
    Leave,
    /// Create it.
    Create(Box<Node>),
    /// Patch its labels and taints.
    Patch(Value),
    /// Patch its status.
    Report(Box<NodeStatus>),
    /// Delete it, then the Lease.
    Delete,
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do about the Lease, before anything else; `None` where it isn't wanted.
    pub lease: Option<lease::Step>,
    /// What to do about the Node, once the Lease is held.
    pub node: NodeStep,
    /// Whether this process may act on the VNode and its vPods now.
    pub acts: bool,
    /// How far the base can be reached.
    pub reach: Reach,
    /// When to look again without news.
    pub wake_at: i64,
}

impl Plan {
    /// Whether its step is about the Lease, which is looked at and written whoever holds it.
    pub fn claims(&self) -> bool {
        use lease::Step::{Create, Look, Renew, TakeOver};
        matches!(self.lease, Some(Look | Create | Renew | TakeOver))
    }
}

/// What to do about a VNode at `now`; `wall` is the same moment as objects tell it.
pub fn plan(view: &View<'_>, times: &Times, now: i64, wall: &Time) -> Plan {
    let reach = if view.base.is_some() { view.heard.reach(times, now) } else { Reach::Gone };
    let acts = lease::is_held(view.sight, view.renewed_at, view.me, &times.lease, now);
    let wanted = match reach {
        // A VNode begins with an answer. What another process left is taken care of from the start.
        Reach::Unknown | Reach::Unreachable => view.node.is_some() || acts,
        Reach::Answers => true,
        Reach::Dead | Reach::Gone => view.node.is_some() || acts || matches!(view.sight, Sight::Seen { .. }),
    };
    let step = wanted.then(|| lease::plan(view.sight, view.renewed_at, view.me, &times.lease, now));
    let (node, paced) = if acts { node_step(view, reach, times, now, wall) } else { (NodeStep::Leave, None) };
    let lease_at = match step {
        Some(lease::Step::Keep(at) | lease::Step::HandsOff(at)) => Some(at),
        _ => None,
    };
    let ends = (acts).then(|| view.renewed_at.map(|sent| sent + times.lease.deadline)).flatten();
    let report = view.reported_at.filter(|_| acts).map(|at| at + times.report);
    let wakes = [lease_at, view.heard.changes(times, now), ends, report, paced];
    let wake_at = wakes.into_iter().flatten().filter(|at| *at > now).min().unwrap_or(now + times.lease.renew);
    Plan { lease: step, node, acts, reach, wake_at }
}

/// The next step about the Node, and when one that is due may be taken.
fn node_step(view: &View<'_>, reach: Reach, times: &Times, now: i64, wall: &Time) -> (NodeStep, Option<i64>) {
    let (Some(base), false) = (view.base, matches!(reach, Reach::Dead | Reach::Gone)) else {
        return (NodeStep::Delete, None);
    };
    let due = |last: Option<i64>, pace: i64| last.map(|at| at + pace).filter(|at| now < *at);
    let readiness = readiness(reach, view.heard.inactive);
    let Some(found) = view.node else {
        return match (reach, due(view.reported_at, REPORT_PACE)) {
            (Reach::Answers, None) => {
                (NodeStep::Create(Box::new(node::build(base, view.heard.metaspace, &readiness, wall))), None)
            }
            (_, due) => (NodeStep::Leave, due),
        };
    };
    if reach == Reach::Unknown || found.metadata.deletion_timestamp.is_some() {
        return (NodeStep::Leave, None);
    }
    let patch = node::meta_patch(base, found);
    let patch_due = patch.as_ref().and_then(|_| due(view.patched_at, PATCH_PACE));
    if let (Some(patch), None) = (patch, patch_due) {
        return (NodeStep::Patch(patch), None);
    }
    let had = found.status.as_ref();
    let mut wanted = node::status(base, view.heard.metaspace, &readiness, had, wall);
    if view.heard.answered.is_none() {
        // Nothing was heard of its memory: what another process wrote stays.
        wanted.capacity = had.and_then(|had| had.capacity.clone());
        wanted.allocatable = had.and_then(|had| had.allocatable.clone());
    }
    let stale = view.reported_at.is_none_or(|at| now >= at + times.report);
    if !stale && !node::differs(had, &wanted) {
        return (NodeStep::Leave, patch_due);
    }
    match due(view.reported_at, REPORT_PACE) {
        None => (NodeStep::Report(Box::new(wanted)), None),
        due => (NodeStep::Leave, due.into_iter().chain(patch_due).min()),
    }
}

fn readiness(reach: Reach, inactive: bool) -> Readiness {
    let (ready, reason, message) = match (reach, inactive) {
        (Reach::Answers, false) => (true, Reason::BaseReady, "the base's agent answers"),
        (Reach::Answers, true) => (false, Reason::BaseNotActivated, "the base says that it isn't activated"),
        _ => (false, Reason::BaseUnreachable, "the base's agent doesn't answer"),
    };
    Readiness { ready, reason, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

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
            plan(&view, &Times::default(), NOW, &wall())
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
}
