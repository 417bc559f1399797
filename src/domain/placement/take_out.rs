//! Modules that are taken out although as many are wanted: to be restarted, or because their base is to be emptied.

use super::{Placed, planner::Planner};

impl Planner<'_> {
    /// Takes Modules out that were installed before the last order to restart, as many at a time as can be spared.
    pub(super) fn restart(&mut self, set: usize) {
        let Some(floor) = self.fleet.restart_floor else { return };
        let mut outdated: Vec<&Placed> = self.live(set).into_iter().filter(|placed| placed.outdated).collect();
        outdated.sort_by_key(|placed| (placed.available, &placed.module));
        for placed in outdated {
            let ordered = self.result.delete.iter().any(|(_, module)| *module == placed.module);
            // It must come back somewhere: a base that takes nothing new keeps what it has.
            let returns = self.takes_again(&placed.base) || self.best_free_base().is_some();
            if !ordered && returns && self.can_spare(placed, floor) {
                self.result.delete.push((set, placed.module.clone()));
            }
        }
    }

    /// Modules leave a base that is to be emptied once enough others serve, or when nobody else can take them.
    pub(super) fn empty_bases(&mut self, set: usize) {
        let emptied = |placed: &&Placed| {
            placed.set == set
                && !placed.leaving
                && self.bases.get(placed.base.as_str()).is_some_and(|base| base.emptied)
        };
        let leaving: Vec<&Placed> = self.fleet.modules.iter().filter(emptied).collect();
        let nobody_comes = !self.is_any_coming() && self.best_free_base().is_none();
        for placed in leaving {
            if nobody_comes || self.can_spare(placed, self.fleet.floor) {
                self.result.delete.push((set, placed.module.clone()));
            }
        }
    }

    /// Whether a base is about to serve that doesn't yet: it gets a Module, or has one that isn't available so far.
    fn is_any_coming(&self) -> bool {
        let serves = |base: &str| {
            self.fleet.modules.iter().any(|placed| placed.base == base && placed.available && !placed.leaving)
        };
        let comes = |placed: &Placed| {
            !placed.leaving && !placed.available && !placed.stuck && self.stays(&placed.base) && !serves(&placed.base)
        };
        self.result.create.iter().any(|(_, base)| !serves(base)) || self.fleet.modules.iter().any(comes)
    }

    /// Whether `floor` bases serve without this Module.
    fn can_spare(&self, leaving: &Placed, floor: u32) -> bool {
        !leaving.available || self.serving_without(leaving).1 >= floor as usize
    }
}
