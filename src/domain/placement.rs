//! Which base gets a module, and which one loses it.
//!
//! One function answers for all replica sets of a deployment together; each replica set's reconciler carries out
//! its own part of the answer, so two revisions never take one place. Eligibility governs new placements only: a
//! base that turns unready or full keeps what it has, and takes its successor where no other base does.

mod grow;
mod planner;
mod shrink;
mod take_out;

use std::collections::{BTreeMap, BTreeSet};

use self::planner::Planner;
use super::policy::{SchedulingPolicy, UpgradePolicy};

/// Why a base can't take a new module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ineligible {
    /// Not Ready, not Running or without an address.
    NotReady,
    /// Being deleted.
    Ending,
    /// Its node is cordoned.
    Cordoned,
    /// As many slots as `max-module-count` allows.
    Full,
    /// Its JVM has less metaspace left than `--min-free-metaspace` asks for.
    Tight,
    /// The slot of this biz name is taken by another deployment, or by a biz that nobody declared.
    Taken,
    /// It has this module already.
    HasModule,
}

impl Ineligible {
    /// How it stands in a sentence such as "3 bases: 1 full, 2 not ready".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "not ready",
            Self::Ending => "being deleted",
            Self::Cordoned => "on a cordoned node",
            Self::Full => "full",
            Self::Tight => "without free metaspace",
            Self::Taken => "with a foreign module of that name",
            Self::HasModule => "with the module already",
        }
    }
}

/// A base pod, as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The pod's UID.
    pub uid: String,
    /// The pod's name: ties are broken by it.
    pub name: String,
    /// Why it can't take anything new, whatever its slots; `None`: it can.
    pub closed: Option<Ineligible>,
    /// Slots in use: distinct biz names, of all deployments.
    pub slots: u32,
    /// `koupleless.io/max-module-count`.
    pub max_slots: Option<u32>,
    /// Whether its JVM has too little metaspace left, where its agent tells it.
    pub tight: bool,
    /// Whether the slot of this deployment's biz name is held by somebody else.
    pub taken: bool,
    /// A rollout of the base Deployment is about to replace the pod: what it has is placed a second time, on others.
    pub superseded: bool,
    /// A user has ordered that its Modules leave: it counts as being deleted, and they go once others serve in their
    /// place.
    pub emptied: bool,
}

impl Base {
    /// Why it can't take a new Module; `None`: it can.
    pub fn refusal(&self) -> Option<Ineligible> {
        match self.closed {
            Some(reason) => Some(reason),
            None if self.taken => Some(Ineligible::Taken),
            None if self.max_slots.is_some_and(|max| self.slots >= max) => Some(Ineligible::Full),
            None if self.tight => Some(Ineligible::Tight),
            None => None,
        }
    }
}

/// A Module of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The Module's name.
    pub module: String,
    /// Index of its replica set in [`Fleet::sets`].
    pub set: usize,
    /// UID of its base pod.
    pub base: String,
    /// The API server hasn't confirmed its creation yet, and may refuse it.
    pub coming: bool,
    /// Its status says Available.
    pub available: bool,
    /// It has a deletionTimestamp, or this process has deleted it.
    pub leaving: bool,
    /// Its slot turned out to be somebody else's: it waits there for nothing.
    pub stuck: bool,
    /// It was installed before the restart that its template asks for.
    pub outdated: bool,
    /// Creation time in seconds since the epoch.
    pub created: i64,
}

/// How many Modules a replica set should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `spec.replicas`.
    pub desired: u32,
    /// The revision label.
    pub revision: u64,
}

/// All that placement looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// How a new revision takes the place of an old one.
    pub policy: UpgradePolicy,
    /// Which bases are preferred.
    pub scheduling: SchedulingPolicy,
    /// D, the instances wanted of all revisions together; `None` for a replica set without a deployment.
    pub total: Option<u32>,
    /// How many bases must stay available, where that many are: D less what may be unavailable.
    pub floor: u32,
    /// The same for restarts, which can't do without taking one out; `None` while `spec.paused` holds them.
    pub restart_floor: Option<u32>,
    /// The deployment's replica sets, in any order.
    pub sets: Vec<Wanted>,
    /// The deployment's Modules.
    pub modules: Vec<Placed>,
    /// The pods of the base Deployment.
    pub bases: Vec<Base>,
}

/// What to create and delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Replica set index and base UID.
    pub create: Vec<(usize, String)>,
    /// Replica set index and Module name.
    pub delete: Vec<(usize, String)>,
    /// Wanted Modules for which there is no base, by replica set index.
    pub unplaced: BTreeMap<usize, u32>,
    /// Why bases refused, where something is unplaced.
    pub refusals: BTreeMap<Ineligible, u32>,
}

impl Placement {
    /// What keeps most bases from taking more; `None`: there are none.
    pub fn refusal(&self) -> Option<Ineligible> {
        self.refusals.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason)
    }

    /// "3 bases: 1 full, 2 not ready", or what else keeps modules waiting.
    pub fn explain(&self) -> String {
        let bases: u32 = self.refusals.values().sum();
        if bases == 0 {
            return "the base Deployment has no pods".to_owned();
        }
        let reasons: Vec<String> =
            self.refusals.iter().map(|(reason, count)| format!("{count} {}", reason.as_str())).collect();
        format!("{bases} {}: {}", if bases == 1 { "base" } else { "bases" }, reasons.join(", "))
    }
}

/// Which Modules to create and delete now.
pub fn plan_placement(fleet: &Fleet) -> Placement {
    let mut plan = Planner::new(fleet);
    let newest = (0..fleet.sets.len()).max_by_key(|&set| fleet.sets[set].revision);
    let mut order: Vec<usize> = (0..fleet.sets.len()).collect();
    // The newest first: what it pairs with decides which old ones may go.
    order.sort_by_key(|&set| std::cmp::Reverse(fleet.sets[set].revision));
    for set in order {
        let live = plan.live(set);
        let desired = fleet.sets[set].desired as usize;
        if live.len() < desired {
            plan.grow(set, desired - live.len(), Some(set) == newest);
        } else if plan.count_once(&live) > desired {
            plan.shrink(set, plan.count_once(&live) - desired, newest);
        } else {
            plan.relocate(set, Some(set) == newest);
            plan.double(set, desired);
        }
        plan.restart(set);
        plan.empty_bases(set);
    }
    plan.result
}

/// In peer mode, how many instances there can be: bases that carry one of the deployment's Modules, by their UIDs, and
/// aren't ending, plus those that could take one.
pub fn peers(bases: &[Base], carrying: &BTreeSet<&str>) -> u32 {
    let counts = |base: &&Base| match base.closed {
        Some(Ineligible::Ending) => false,
        _ => carrying.contains(base.uid.as_str()) || base.refusal().is_none(),
    };
    u32::try_from(bases.iter().filter(counts).count()).unwrap_or(u32::MAX)
}

/// Whether two Modules of one replica set share a base: the invariant S3 that tests check.
pub fn has_twins(fleet: &Fleet) -> bool {
    let mut seen = BTreeSet::new();
    !fleet.modules.iter().filter(|placed| !placed.leaving).all(|placed| seen.insert((placed.set, &placed.base)))
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
