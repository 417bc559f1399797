//! Which base gets a module, and which one loses it.
//!
//! One function answers for all replica sets of a deployment together; each replica set's reconciler carries out
//! its own part of the answer, so two revisions never take one place. Eligibility governs new placements only: a
//! base that turns unready or full keeps what it has, and takes its successor where no other base does.

use std::collections::{BTreeMap, BTreeSet};

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

/// The working state of one [`plan_placement`].
struct Planner<'a> {
    fleet: &'a Fleet,
    bases: BTreeMap<&'a str, Base>,
    /// Modules of the deployment on each base, ending ones and those just created included.
    occupants: BTreeMap<String, Vec<usize>>,
    result: Placement,
}

impl<'a> Planner<'a> {
    fn new(fleet: &'a Fleet) -> Self {
        let bases = fleet.bases.iter().map(|base| (base.uid.as_str(), base.clone())).collect();
        let mut occupants: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for placed in &fleet.modules {
            occupants.entry(placed.base.clone()).or_default().push(placed.set);
        }
        Self { fleet, bases, occupants, result: Placement::default() }
    }

    /// Whether a base exists and isn't ending.
    fn stays(&self, base: &str) -> bool {
        self.bases.get(base).is_some_and(|base| base.closed != Some(Ineligible::Ending))
    }

    /// Modules that count: not leaving, on a base that exists and isn't ending.
    fn live(&self, set: usize) -> Vec<&'a Placed> {
        let live = |placed: &&Placed| placed.set == set && !placed.leaving && self.stays(&placed.base);
        self.fleet.modules.iter().filter(live).collect()
    }

    fn is_superseded(&self, base: &str) -> bool {
        self.bases.get(base).is_some_and(|base| base.superseded)
    }

    /// How many Modules these are, where one on a superseded base and one on a new base may be the same twice.
    fn count_once(&self, live: &[&Placed]) -> usize {
        let old = live.iter().filter(|placed| self.is_superseded(&placed.base)).count();
        old.max(live.len() - old)
    }

    /// Places what stands on superseded bases a second time, as far as there are free new ones: the old ones go with their
    /// pods.
    fn double(&mut self, set: usize, desired: usize) {
        let live = self.live(set);
        let old = live.iter().filter(|placed| self.is_superseded(&placed.base)).count();
        for _ in 0..old.min(desired.saturating_sub(live.len() - old)) {
            let Some(base) = self.best_free_base().filter(|base| !self.is_superseded(base)) else { return };
            self.place(set, &base, true);
        }
    }

    fn grow(&mut self, set: usize, mut missing: usize, newest: bool) {
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

    /// Modules of `set` that leave a base which could take them again.
    fn returning(&self, set: usize) -> usize {
        let returns = |placed: &&Placed| placed.set == set && placed.leaving && self.takes_again(&placed.base);
        self.fleet.modules.iter().filter(returns).count()
    }

    /// Whether a base could take a Module of this deployment again that leaves it: then its slot is free, full or not.
    fn takes_again(&self, base: &str) -> bool {
        self.bases.get(base).is_some_and(|base| base.closed.is_none() && !base.taken)
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
    /// the old one serves nobody. A successor is no new placement, so neither a cordon, nor a base that isn't ready, nor a
    /// full one stands in its way: what isn't ready may be so because of the version that is to be replaced. But a version that is to prove itself on one base first does so where the old one
    /// serves: a base with a silent agent, or one on which nothing starts, would prove nothing and stop the release.
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

    /// Whether two versions at a time are one too many for the base. Where the old one leaves first it makes room.
    fn is_too_tight_for_two(&self, base: &Base) -> bool {
        base.tight && self.fleet.policy == UpgradePolicy::InstallThenUninstall
    }

    fn best_free_base(&self) -> Option<String> {
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

    fn place(&mut self, set: usize, base: &str, new_slot: bool) {
        self.occupants.entry(base.to_owned()).or_default().push(set);
        if new_slot && let Some(base) = self.bases.get_mut(base) {
            base.slots += 1;
        }
        self.result.create.push((set, base.to_owned()));
    }

    /// Moves Modules that wait where nothing will come of it to bases that are free.
    fn relocate(&mut self, set: usize, newest: bool) {
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

    /// Takes Modules out that were installed before the last order to restart, as many at a time as can be spared.
    fn restart(&mut self, set: usize) {
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
    fn empty_bases(&mut self, set: usize) {
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

    /// Deletes `excess` Modules of `set`: not available, base not ready, paired, then by policy, youngest first.
    fn shrink(&mut self, set: usize, excess: usize, newest: Option<usize>) {
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

    /// Whether `floor` bases serve without this Module.
    fn can_spare(&self, leaving: &Placed, floor: u32) -> bool {
        !leaving.available || self.serving_without(leaving).1 >= floor as usize
    }

    /// How many bases serve now, and how many when this Module and those ordered to leave have left.
    fn serving_without(&self, leaving: &Placed) -> (usize, usize) {
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
