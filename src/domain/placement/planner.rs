//! What [`super::plan_placement`] has decided so far, and what every part of it asks.
//!
//! Must not: say how many Modules come or leave; that is for the parts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Base, Fleet, Ineligible, Placed, Placement};
use crate::domain::policy::SchedulingPolicy;

/// The working state of one [`plan_placement`].
pub(super) struct Planner<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) bases: BTreeMap<&'a str, Base>,
    /// Modules of the deployment on each base, ending ones and those just created included.
    pub(super) occupants: BTreeMap<String, Vec<usize>>,
    pub(super) result: Placement,
}

impl<'a> Planner<'a> {
    pub(super) fn new(fleet: &'a Fleet) -> Self {
        let bases = fleet.bases.iter().map(|base| (base.uid.as_str(), base.clone())).collect();
        let mut occupants: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for placed in &fleet.modules {
            occupants.entry(placed.base.clone()).or_default().push(placed.set);
        }
        Self { fleet, bases, occupants, result: Placement::default() }
    }

    /// Whether a base exists and isn't ending.
    pub(super) fn stays(&self, base: &str) -> bool {
        self.bases.get(base).is_some_and(|base| base.closed != Some(Ineligible::Ending))
    }

    /// Modules that count: not leaving, on a base that exists and isn't ending.
    pub(super) fn live(&self, set: usize) -> Vec<&'a Placed> {
        let live = |placed: &&Placed| placed.set == set && !placed.leaving && self.stays(&placed.base);
        self.fleet.modules.iter().filter(live).collect()
    }

    pub(super) fn is_superseded(&self, base: &str) -> bool {
        self.bases.get(base).is_some_and(|base| base.superseded)
    }

    /// How many Modules these are, where one on a superseded base and one on a new base may be the same twice.
    pub(super) fn count_once(&self, live: &[&Placed]) -> usize {
        let old = live.iter().filter(|placed| self.is_superseded(&placed.base)).count();
        old.max(live.len() - old)
    }

    /// Whether a base could take a Module of this deployment again that leaves it: then its slot is free, full or not.
    pub(super) fn takes_again(&self, base: &str) -> bool {
        self.bases.get(base).is_some_and(|base| base.closed.is_none() && !base.taken)
    }

    pub(super) fn best_free_base(&self) -> Option<String> {
        let free =
            self.bases.values().filter(|base| base.refusal().is_none() && !self.occupants.contains_key(&base.uid));
        let best = match self.fleet.scheduling {
            SchedulingPolicy::Scatter => free.min_by_key(|base| (base.superseded, base.slots, &base.name)),
            SchedulingPolicy::Stacking => {
                free.min_by_key(|base| (base.superseded, std::cmp::Reverse(base.slots), &base.name))
            }
        };
        best.map(|base| base.uid.clone())
    }

    pub(super) fn place(&mut self, set: usize, base: &str, new_slot: bool) {
        self.occupants.entry(base.to_owned()).or_default().push(set);
        if new_slot && let Some(base) = self.bases.get_mut(base) {
            base.slots += 1;
        }
        self.result.create.push((set, base.to_owned()));
    }

    /// How many bases serve now, and how many when this Module and those ordered to leave have left.
    pub(super) fn serving_without(&self, leaving: &Placed) -> (usize, usize) {
        let going = |placed: &Placed| {
            placed.module == leaving.module || self.result.delete.iter().any(|(_, module)| *module == placed.module)
        };
        let serves = |placed: &&Placed| placed.available && !placed.leaving && self.stays(&placed.base);
        let serving = || self.fleet.modules.iter().filter(serves);
        let now: BTreeSet<&str> = serving().map(|placed| placed.base.as_str()).collect();
        let then: BTreeSet<&str> =
            serving().filter(|placed| !going(placed)).map(|placed| placed.base.as_str()).collect();
        (now.len(), then.len())
    }
}
