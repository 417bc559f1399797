//! Which Modules leave where there are too many, and which of them stay for now.

use super::{Ineligible, Placed, planner::Planner};
use crate::domain::policy::{SchedulingPolicy, UpgradePolicy};

impl Planner<'_> {
    /// Deletes `excess` Modules of `set`: not available, base not ready, paired, then by policy, youngest first.
    pub(super) fn shrink(&mut self, set: usize, excess: usize, newest: Option<usize>) {
        let replaced = newest.filter(|&newest| newest != set && self.fleet.policy.in_place());
        let mut candidates: Vec<(Rank, &Placed)> =
            self.live(set).into_iter().map(|placed| (self.rank(placed, replaced), placed)).collect();
        candidates.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.module.cmp(&b.1.module)));
        // With one version a base at a time the order to shrink comes together with the order to install: old ones
        // that will be paired, but aren't yet, are held.
        let mut held = match (self.fleet.policy, replaced) {
            (UpgradePolicy::UninstallThenInstall, Some(newest)) => self.not_yet_there(newest),
            _ => 0,
        };
        let mut left = excess;
        for (rank, placed) in candidates {
            if left == 0 {
                break;
            }
            if rank.class == Class::PairedTooEarly {
                continue;
            }
            left -= 1;
            if matches!(rank.class, Class::Plain | Class::BaseNotReady) && held > 0 {
                held -= 1;
                continue;
            }
            if self.may_go(placed) {
                self.result.delete.push((set, placed.module.clone()));
            }
        }
    }

    /// Whether the base that loses this Module can be spared, or loses nothing. The order to shrink was given for what
    /// was available then; less may be now.
    fn may_go(&self, leaving: &Placed) -> bool {
        let (now, then) = self.serving_without(leaving);
        !leaving.available || then >= now.min(self.fleet.floor as usize)
    }

    /// Modules that the newest set wants, that don't exist yet and that have a place.
    fn not_yet_there(&self, newest: usize) -> usize {
        let unplaced = self.result.unplaced.get(&newest).copied().unwrap_or(0) as usize;
        let there = self.live(newest).iter().filter(|placed| !placed.coming).count();
        (self.fleet.sets[newest].desired as usize).saturating_sub(there + unplaced)
    }

    fn rank(&self, placed: &Placed, replaced_by: Option<usize>) -> Rank {
        let base = self.bases.get(placed.base.as_str());
        let ready = base.is_some_and(|base| base.closed != Some(Ineligible::NotReady));
        let pairing = self.pairing(placed, replaced_by);
        let strict = self.fleet.policy == UpgradePolicy::UninstallThenInstall;
        let class = match (pairing, placed.available, ready) {
            (Class::Paired, _, _) if !strict => Class::Covered,
            (Class::Paired, false, _) | (_, false, false) => Class::NeitherNor,
            (_, false, true) => Class::NotAvailable,
            (Class::Paired, true, _) => Class::Paired,
            (Class::PairedTooEarly, true, _) if strict => Class::PairedTooEarly,
            // Counted as available, so the guarantee counts on it while others can leave.
            (_, true, false) => Class::BaseNotReady,
            (_, true, true) => pairing,
        };
        let slots = i64::from(base.map_or(0, |base| base.slots));
        let crowding = match self.fleet.scheduling {
            SchedulingPolicy::Scatter => -slots,
            SchedulingPolicy::Stacking => slots,
        };
        Rank { class, crowding, youngest: -placed.created }
    }

    fn pairing(&self, placed: &Placed, replaced_by: Option<usize>) -> Class {
        let Some(newest) = replaced_by else { return Class::Plain };
        let sibling =
            self.fleet.modules.iter().find(|other| other.set == newest && other.base == placed.base && !other.leaving);
        let comes = sibling.is_some_and(|sibling| sibling.coming)
            || self.result.create.iter().any(|(set, base)| *set == newest && *base == placed.base);
        match (self.fleet.policy, sibling) {
            // Created in this very step, or by another reconciler: once it exists, the old one may go.
            (UpgradePolicy::UninstallThenInstall, _) if comes => Class::PairedTooEarly,
            (UpgradePolicy::UninstallThenInstall, Some(_)) => Class::Paired,
            (UpgradePolicy::InstallThenUninstall, Some(sibling)) if sibling.available => Class::Paired,
            (UpgradePolicy::InstallThenUninstall, Some(_)) => Class::PairedTooEarly,
            (UpgradePolicy::InstallThenUninstall, None) if comes => Class::PairedTooEarly,
            _ => Class::Plain,
        }
    }
}

/// The order in which Modules leave, first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Its successor on the same base is available beside it: it serves nobody any more.
    Covered,
    /// Not available, and on a base that isn't ready or has the successor already.
    NeitherNor,
    NotAvailable,
    /// Its successor waits on the same base for its end.
    Paired,
    BaseNotReady,
    Plain,
    /// Its successor on the same base isn't there yet: it stays for now.
    PairedTooEarly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: Class,
    crowding: i64,
    youngest: i64,
}
