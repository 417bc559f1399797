//! Where what is missing comes to: free bases, or those of old ones that it takes over.

use std::collections::{BTreeMap, BTreeSet};

use super::{Base, Ineligible, Placed, planner::Planner};
use crate::domain::policy::UpgradePolicy;

impl Planner<'_> {
    pub(super) fn grow(&mut self, set: usize, mut missing: usize, newest: bool) {
        let in_place = newest && self.fleet.policy.in_place();
        let mut surplus = if in_place { self.surplus(set) } else { BTreeMap::new() };
        missing = self.succeed(set, missing, &mut surplus, |base| base.closed.is_none());
        while missing > 0 {
            let Some(base) = self.best_free_base() else { break };
            self.place(set, &base, true);
            missing -= 1;
        }
        // What takes nothing new takes the successor of what it has, but not before what does.
        missing = self.succeed(set, missing, &mut surplus, |base| base.closed.is_some());
        if in_place && self.fleet.policy == UpgradePolicy::InstallThenUninstall {
            // Beside an old one that stays for now: no instance more, but the version comes.
            for (base, _) in self.pairs(set).into_iter().take(missing) {
                self.place(set, &base, false);
                missing -= 1;
            }
        }
        // One that leaves a good base, to be restarted there for instance, makes room for itself.
        let missing = missing.saturating_sub(self.returning(set));
        if missing > 0 {
            self.result.unplaced.insert(set, u32::try_from(missing).unwrap_or(u32::MAX));
            self.explain_refusals();
        }
    }

    /// Brings up to `missing` new ones to bases of old ones that may be taken over, as many of each set as `surplus` says;
    /// how many are still missing.
    fn succeed(
        &mut self,
        set: usize,
        mut missing: usize,
        surplus: &mut BTreeMap<usize, usize>,
        fits: impl Fn(&Base) -> bool,
    ) -> usize {
        if surplus.is_empty() {
            return missing;
        }
        for (base, old) in self.pairs(set) {
            if missing == 0 {
                break;
            }
            if !self.bases.get(base.as_str()).is_some_and(&fits) {
                continue;
            }
            if let Some(old) = old {
                let Some(left) = surplus.get_mut(&old).filter(|left| **left > 0) else { continue };
                *left -= 1;
            }
            self.place(set, &base, false);
            missing -= 1;
        }
        missing
    }

    /// How many Modules of each old set may be taken over: those that were ordered away, or, where the old one leaves
    /// only after the new one has come, as many as old and new are too many together. One that stays keeps its base for
    /// itself: with one version a base at a time both would wait for each other.
    fn surplus(&self, set: usize) -> BTreeMap<usize, usize> {
        let new: BTreeSet<&str> = self.live(set).iter().map(|placed| placed.base.as_str()).collect();
        let old =
            |other: usize| self.live(other).into_iter().filter(|placed| !new.contains(placed.base.as_str())).count();
        let others = (0..self.fleet.sets.len()).filter(|&other| other != set);
        if self.fleet.policy == UpgradePolicy::UninstallThenInstall {
            let paired = |other: usize| self.live(other).len() - old(other);
            let ordered_away = |other: usize| {
                self.live(other).len().saturating_sub(self.fleet.sets[other].desired as usize + paired(other))
            };
            return others.map(|other| (other, ordered_away(other))).collect();
        }
        let Some(total) = self.fleet.total else { return others.map(|other| (other, usize::MAX)).collect() };
        let all: usize = others.clone().map(|other| self.live(other).len()).sum();
        let paired: usize = all - others.clone().map(old).sum::<usize>();
        let mut spare = (all + self.fleet.sets[set].desired as usize).saturating_sub(total as usize + paired);
        let mut share = |other: usize| {
            let share = old(other).min(spare);
            spare -= share;
            (other, share)
        };
        others.map(&mut share).collect()
    }

    /// Bases whose one old Module the newest revision takes over, and its set unless it is leaving: first those where
    /// the old one serves nobody. A successor is no new placement, so neither a cordon, nor a base that isn't ready,
    /// nor a full one stands in its way: what isn't ready may be so because of the version that is to be replaced. But
    /// a version that is to prove itself on one base first does so where the old one serves: a base with a silent
    /// agent, or one on which nothing starts, would prove nothing and stop the release.
    fn pairs(&self, set: usize) -> Vec<(String, Option<usize>)> {
        let mut pairs: Vec<(&Placed, &Base)> = self
            .fleet
            .modules
            .iter()
            .filter(|placed| placed.set != set)
            .filter_map(|placed| Some((placed, self.bases.get(placed.base.as_str())?)))
            .filter(|(_, base)| self.stays(&base.uid) && !base.taken && !self.is_too_tight_for_two(base))
            .filter(|(_, base)| self.occupants.get(&base.uid).is_some_and(|sets| sets.len() == 1))
            .collect();
        let proven = self.live(set).iter().any(|placed| placed.available);
        let tried = !proven && self.fleet.policy == UpgradePolicy::InstallThenUninstall;
        let last = |placed: &Placed| if tried { !placed.available || placed.leaving } else { placed.available };
        pairs.sort_by_key(|(placed, base)| (base.closed, last(placed), !placed.leaving, base.name.clone()));
        pairs.into_iter().map(|(placed, base)| (base.uid.clone(), (!placed.leaving).then_some(placed.set))).collect()
    }

    /// Places what stands on superseded bases a second time, as far as there are free new ones: the old ones go with their
    /// pods.
    pub(super) fn double(&mut self, set: usize, desired: usize) {
        let live = self.live(set);
        let old = live.iter().filter(|placed| self.is_superseded(&placed.base)).count();
        for _ in 0..old.min(desired.saturating_sub(live.len() - old)) {
            let Some(base) = self.best_free_base().filter(|base| !self.is_superseded(base)) else { return };
            self.place(set, &base, true);
        }
    }

    /// Moves Modules that wait where nothing will come of it to bases that are free.
    pub(super) fn relocate(&mut self, set: usize, newest: bool) {
        for placed in self.live(set).into_iter().filter(|placed| !placed.available) {
            let hopeless = placed.stuck || (newest && self.is_shut_out(placed));
            if !hopeless {
                continue;
            }
            if let Some(base) = self.best_free_base() {
                self.place(set, &base, true);
                self.result.delete.push((set, placed.module.clone()));
            } else if !placed.stuck {
                // A stuck one says so itself.
                *self.result.unplaced.entry(set).or_default() += 1;
                self.explain_refusals();
            }
        }
    }

    /// Whether the old Module on the same base stays although the new one waits for its end: others of its set went in
    /// its place, or more of them are wanted again.
    fn is_shut_out(&self, new: &Placed) -> bool {
        let stays = |old: &&Placed| {
            let set = old.set;
            set != new.set
                && old.base == new.base
                && !old.leaving
                && self.live(set).len() <= self.fleet.sets[set].desired as usize
        };
        self.fleet.policy == UpgradePolicy::UninstallThenInstall && self.fleet.modules.iter().any(|old| stays(&old))
    }

    /// Modules of `set` that leave a base which could take them again.
    fn returning(&self, set: usize) -> usize {
        let returns = |placed: &&Placed| placed.set == set && placed.leaving && self.takes_again(&placed.base);
        self.fleet.modules.iter().filter(returns).count()
    }

    /// Whether two versions at a time are one too many for the base. Where the old one leaves first it makes room.
    fn is_too_tight_for_two(&self, base: &Base) -> bool {
        base.tight && self.fleet.policy == UpgradePolicy::InstallThenUninstall
    }

    /// Counts why each base that takes nothing doesn't.
    fn explain_refusals(&mut self) {
        self.result.refusals.clear();
        for base in self.bases.values() {
            let occupied = self.occupants.contains_key(&base.uid) && !self.is_too_tight_for_two(base);
            let reason = if occupied { Some(Ineligible::HasModule) } else { base.refusal() };
            if let Some(reason) = reason {
                *self.result.refusals.entry(reason).or_default() += 1;
            }
        }
    }
}
