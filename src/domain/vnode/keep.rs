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
        Reach::Dead | Reach::Gone => view.node.is_some() || matches!(view.sight, Sight::Seen { .. }),
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
#[path = "keep_tests.rs"]
mod tests;
