//! How many instances each revision should have *now*, on the way to the target of a release.
//!
//! This is where guarantee S4 lives: no action of the operator lowers the number of available instances below
//! `min(available now, desired - maxUnavailable)`. The arithmetic looks at what was already *ordered* (the replica
//! sets' own `desired`), not only at what is seen, so that a second look before the first order shows orders
//! nothing more. Which base an instance comes to or leaves is [`crate::domain::placement`]'s work.

use super::policy::{Strategy, UpgradePolicy};

/// One replica set, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetCounts {
    /// Modules ordered so far (`spec.replicas`).
    pub desired: u32,
    /// Modules that are available.
    pub available: u32,
    /// Modules that exist, ending ones included.
    pub existing: u32,
    /// Modules that aren't ending, on a base that is alive.
    pub live: u32,
    /// Of those: active.
    pub ready: u32,
    /// Of those: being installed.
    pub upgrading: u32,
    /// Of an older revision: those of them on a base where the newest revision is available. They serve nobody any more.
    pub covered: u32,
    /// Of an older revision: those of them on a base where the newest revision is active and has yet to become available.
    /// They stand by to be switched back to.
    pub standing_by: u32,
}

impl SetCounts {
    /// Available ones that nobody has ordered away yet.
    fn kept_available(self) -> u32 {
        self.available.min(self.desired)
    }

    /// Ordered and not available.
    fn unavailable(self) -> u32 {
        self.desired - self.kept_available()
    }

    /// Of those: what doesn't even stand by.
    fn useless(self) -> u32 {
        self.unavailable().saturating_sub(self.standing_by)
    }
}

/// The replica sets of one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sets {
    /// The newest revision.
    pub new: SetCounts,
    /// The older ones, oldest first.
    pub old: Vec<SetCounts>,
}

/// The next `spec.replicas` of each set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Of the newest revision.
    pub new: u32,
    /// Of the older ones, in the order given.
    pub old: Vec<u32>,
}

/// The next step towards `target` instances of the newest revision out of `desired` in all.
///
/// Worked example, `uninstall_then_install`, 4 instances, `maxUnavailable` 1: (new 0, old 4) -> (1, 3); while the
/// new one is installed 3 are available and nothing more is ordered; once it is available -> (2, 2), and so on.
pub fn plan_rollout(desired: u32, target: u32, strategy: &Strategy, sets: &Sets) -> Rollout {
    // A rollback may find more of the revision than its first batch would bring: what is there stays.
    let target = target.max(sets.new.desired).min(desired);
    let ordered_old: u32 = sets.old.iter().map(|set| set.desired).sum();
    let new = if superseded_leftovers(strategy.policy, sets) {
        sets.new.desired.min(target)
    } else {
        next_new(desired, target, ordered_old, strategy, sets)
    };
    let old_total = match strategy.policy {
        UpgradePolicy::UninstallThenInstall => (desired - new).max(old_share_of_floor(desired, strategy, sets)),
        UpgradePolicy::InstallThenUninstall | UpgradePolicy::ScaleUpThenScaleDown => {
            desired - sets.new.available.min(new)
        }
    };
    // Old revisions are never given more than the share that the release leaves them, unless they have it already.
    let old_total = old_total.min(ordered_old.max(desired - target));
    // An unfinished revision's instances hold up the newest, so they must not be left with the old ones' share.
    // Nor are they given more: every look would undo the last.
    // What stands by a soak of the newest holds nothing up.
    let held_up: u32 = unfinished(sets).map(|set| set.useless()).sum();
    let hold = held_up > 0 || heir(&sets.old).is_some_and(|heir| is_unfinished(&sets.old, heir));
    let old_total = if hold { old_total.min(ordered_old - held_up) } else { old_total };
    // A superseded instance beside its available successor leaves, also where other bases are missing for the rest.
    let covered: u32 = sets.old.iter().map(|set| set.covered).sum();
    let useful: u32 = sets.old.iter().map(|set| set.live).sum::<u32>().saturating_sub(covered);
    let old_total = if covered > 0 { old_total.min(useful.max(desired - target)) } else { old_total };
    Rollout { new, old: share_out(old_total, &sets.old) }
}

/// What must stay available (the guarantee's floor) less what the new revision gives: the old revisions owe it.
fn old_share_of_floor(desired: u32, strategy: &Strategy, sets: &Sets) -> u32 {
    let old: u32 = sets.old.iter().map(|set| set.kept_available()).sum();
    let floor = (sets.new.kept_available() + old).min(desired.saturating_sub(strategy.max_unavailable(desired)));
    floor.saturating_sub(sets.new.kept_available())
}

/// Whether an unfinished revision between the oldest running one and the newest still has instances that aren't
/// available: they are ordered away before a third version comes. Where the third one comes in their place they have to
/// be gone; else a base on which one hangs is left alone by the placement, and needn't hold up the others.
fn superseded_leftovers(policy: UpgradePolicy, sets: &Sets) -> bool {
    let there = |set: &SetCounts| match policy {
        UpgradePolicy::UninstallThenInstall => set.existing,
        UpgradePolicy::InstallThenUninstall | UpgradePolicy::ScaleUpThenScaleDown => set.live,
    };
    let running = sets.old.iter().filter(|set| there(set) > 0).count();
    running > 1 && unfinished(sets).any(|set| there(set) > set.available || set.unavailable() > 0)
}

/// The revisions between the oldest running one and the newest.
fn unfinished(sets: &Sets) -> impl Iterator<Item = &SetCounts> {
    sets.old.iter().enumerate().filter(|(index, _)| is_unfinished(&sets.old, *index)).map(|(_, set)| set)
}

fn is_unfinished(old: &[SetCounts], index: usize) -> bool {
    old.iter().position(|set| set.existing > 0).is_some_and(|oldest| index > oldest)
}

/// Which of the old revisions gets what they lack: the newest that serves.
fn heir(old: &[SetCounts]) -> Option<usize> {
    old.iter().rposition(|set| set.available > 0).or_else(|| old.len().checked_sub(1))
}

fn next_new(desired: u32, target: u32, ordered_old: u32, strategy: &Strategy, sets: &Sets) -> u32 {
    let ordered = sets.new.desired.min(target);
    if ordered_old == 0 {
        return target;
    }
    match strategy.policy {
        UpgradePolicy::ScaleUpThenScaleDown => target,
        // One base first: a version that can't start, or whose web context clashes, stops there.
        UpgradePolicy::InstallThenUninstall if sets.new.available == 0 => ordered.max(target.min(1)),
        UpgradePolicy::InstallThenUninstall => target,
        UpgradePolicy::UninstallThenInstall => {
            let room = desired - old_share_of_floor(desired, strategy, sets);
            target.min(room).max(ordered)
        }
    }
}

/// Shares `total` out to the old sets: what neither is available nor stands by goes first (from the newest of them back,
/// because that is the unfinished one), then the oldest; growth goes to the newest that has something available.
fn share_out(total: u32, old: &[SetCounts]) -> Vec<u32> {
    let mut shares = first_shares(total, old);
    // What was ordered away and has become available since stays in the place of one that isn't.
    for keeper in 0..old.len() {
        for giver in 0..old.len() {
            let idle = shares[giver].saturating_sub(old[giver].available);
            let part = old[keeper].available.saturating_sub(shares[keeper]).min(idle);
            shares[giver] -= part;
            shares[keeper] += part;
        }
    }
    shares
}

fn first_shares(total: u32, old: &[SetCounts]) -> Vec<u32> {
    let mut shares: Vec<u32> = old.iter().map(|set| set.desired).collect();
    let ordered: u32 = shares.iter().sum();
    if total >= ordered {
        if let Some(heir) = heir(old) {
            shares[heir] += total - ordered;
        }
        return shares;
    }
    let mut cut = ordered - total;
    for (index, set) in old.iter().enumerate().rev() {
        let part = cut.min(set.useless());
        shares[index] -= part;
        cut -= part;
    }
    for share in &mut shares {
        let part = cut.min(*share);
        *share -= part;
        cut -= part;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::{IntOrString, OperationStrategy};
    use crate::domain::policy::Strategy;

    fn strategy(policy: &str, max_unavailable: i64) -> Strategy {
        Strategy::parse(Some(&OperationStrategy {
            upgrade_policy: Some(policy.to_owned()),
            max_unavailable: Some(IntOrString::Int(max_unavailable)),
            ..OperationStrategy::default()
        }))
    }

    fn set(desired: u32, available: u32, existing: u32) -> SetCounts {
        SetCounts { desired, available, existing, live: existing, ..SetCounts::default() }
    }

    fn next(policy: &str, desired: u32, target: u32, new: SetCounts, old: &[SetCounts]) -> (u32, Vec<u32>) {
        let sets = Sets { new, old: old.to_vec() };
        let rollout = plan_rollout(desired, target, &strategy(policy, 1), &sets);
        (rollout.new, rollout.old)
    }

    #[test]
    fn uninstall_then_install_goes_base_by_base() {
        let policy = "uninstall_then_install";
        assert_eq!(next(policy, 4, 4, set(0, 0, 0), &[set(4, 4, 4)]), (1, vec![3]));
        // The order was given and nothing of it is seen yet: nothing more is ordered.
        assert_eq!(next(policy, 4, 4, set(1, 0, 0), &[set(3, 4, 4)]), (1, vec![3]));
        assert_eq!(next(policy, 4, 4, set(1, 0, 1), &[set(3, 3, 3)]), (1, vec![3]));
        assert_eq!(next(policy, 4, 4, set(1, 1, 1), &[set(3, 3, 3)]), (2, vec![2]));
        // An old instance that serves nobody is replaced beside it.
        assert_eq!(next(policy, 4, 4, set(0, 0, 0), &[set(4, 3, 4)]), (1, vec![3]));
        assert_eq!(next(policy, 4, 2, set(2, 2, 2), &[set(2, 2, 2)]), (2, vec![2]));
    }

    #[test]
    fn install_then_uninstall_tries_one_base_and_then_the_batch() {
        let policy = "install_then_uninstall";
        assert_eq!(next(policy, 4, 4, set(0, 0, 0), &[set(4, 4, 4)]), (1, vec![4]));
        assert_eq!(next(policy, 4, 4, set(1, 0, 1), &[set(4, 4, 4)]), (1, vec![4]));
        assert_eq!(next(policy, 4, 4, set(1, 1, 1), &[set(4, 4, 4)]), (4, vec![3]));
        assert_eq!(next(policy, 4, 4, set(4, 3, 4), &[set(3, 3, 3)]), (4, vec![1]));
        assert_eq!(next(policy, 4, 4, set(4, 4, 4), &[set(1, 0, 1)]), (4, vec![0]));
    }

    #[test]
    fn scaleup_then_scaledown_goes_one_to_one() {
        let policy = "scaleup_then_scaledown";
        assert_eq!(next(policy, 3, 3, set(0, 0, 0), &[set(3, 3, 3)]), (3, vec![3]));
        assert_eq!(next(policy, 3, 3, set(3, 2, 3), &[set(3, 3, 3)]), (3, vec![1]));
    }

    #[test]
    fn a_first_release_needs_no_steps_and_a_scale_isnt_batched() {
        assert_eq!(next("uninstall_then_install", 50, 50, set(0, 0, 0), &[]), (50, vec![]));
        assert_eq!(next("install_then_uninstall", 8, 8, set(5, 5, 5), &[]), (8, vec![]));
        assert_eq!(next("install_then_uninstall", 2, 2, set(5, 5, 5), &[set(0, 0, 0)]), (2, vec![0]));
    }

    #[test]
    fn scaling_in_mid_release_gives_the_old_revision_its_share_only() {
        // 4 of 8 are the target, the old revision gets the other 4 ...
        assert_eq!(next("install_then_uninstall", 8, 4, set(2, 2, 2), &[set(3, 3, 3)]), (4, vec![4]));
        // ... and none where everything is to be new.
        assert_eq!(next("uninstall_then_install", 8, 8, set(1, 1, 1), &[set(4, 4, 4)]).1, vec![4]);
        assert_eq!(next("uninstall_then_install", 3, 3, set(2, 2, 2), &[set(3, 3, 3)]), (3, vec![0]));
    }

    #[test]
    fn a_rollback_takes_nothing_from_the_revision_that_it_goes_back_to() {
        assert_eq!(next("install_then_uninstall", 5, 2, set(3, 3, 3), &[set(2, 1, 2)]), (3, vec![2]));
    }

    #[test]
    fn a_superseded_instance_leaves_also_where_bases_are_missing_for_the_rest() {
        // 5 are wanted on 4 bases: all 4 new ones are available, and the last old one stands beside one of them.
        let old = [SetCounts { covered: 1, ..set(1, 0, 1) }];
        assert_eq!(next("install_then_uninstall", 5, 5, set(5, 4, 4), &old), (5, vec![0]));
        // In mid-release the share of the old revision stays.
        let old = [SetCounts { covered: 2, ..set(4, 4, 4) }];
        assert_eq!(next("install_then_uninstall", 4, 2, set(2, 2, 2), &old), (2, vec![2]));
    }

    #[test]
    fn unfinished_revisions_leave_before_a_third_one_comes() {
        let old = [set(3, 3, 3), set(1, 0, 1)];
        assert_eq!(next("install_then_uninstall", 3, 3, set(0, 0, 0), &old), (0, vec![3, 0]));
        let gone = [set(3, 3, 3), set(0, 0, 0)];
        assert_eq!(next("install_then_uninstall", 3, 3, set(0, 0, 0), &gone), (1, vec![3, 0]));
        // One version a base at a time leaves no surplus that would take the unfinished one away by itself.
        let strict = "uninstall_then_install";
        assert_eq!(next(strict, 3, 3, set(0, 0, 0), &[set(2, 2, 2), set(1, 0, 1)]), (0, vec![2, 0]));
        assert_eq!(next(strict, 3, 3, set(0, 0, 0), &[set(2, 2, 2), set(0, 0, 1)]), (0, vec![2, 0]));
        assert_eq!(next(strict, 3, 3, set(0, 0, 0), &[set(2, 2, 2), set(0, 0, 0)]), (1, vec![2, 0]));
    }

    #[test]
    fn one_base_that_hangs_on_an_unfinished_revision_holds_up_no_third_one_elsewhere() {
        let old = [set(3, 3, 3), SetCounts { live: 0, ..set(0, 0, 1) }];
        assert_eq!(next("install_then_uninstall", 3, 3, set(0, 0, 0), &old), (1, vec![3, 0]));
        assert_eq!(next("scaleup_then_scaledown", 3, 3, set(0, 0, 0), &old), (3, vec![3, 0]));
        // One version a base at a time: it stands where the third one is to come.
        let old = [set(2, 2, 2), SetCounts { live: 0, ..set(0, 0, 1) }];
        assert_eq!(next("uninstall_then_install", 3, 3, set(0, 0, 0), &old), (0, vec![2, 0]));
    }

    #[test]
    fn what_stands_by_a_soak_of_the_newest_is_no_leftover() {
        // Of three bases the newest serves on one, and is in its soak on one with the first and one with the second.
        let old = [SetCounts { standing_by: 1, ..set(1, 0, 1) }; 2];
        assert_eq!(next("install_then_uninstall", 3, 3, set(3, 1, 3), &old), (3, vec![1, 1]));
        // Once the first one's base is through, that one goes.
        let old = [SetCounts { covered: 1, ..set(1, 0, 1) }, SetCounts { standing_by: 1, ..set(1, 0, 1) }];
        assert_eq!(next("install_then_uninstall", 3, 3, set(3, 2, 3), &old), (3, vec![0, 1]));
        let waiting = [set(1, 0, 1), set(1, 0, 1)];
        assert_eq!(next("install_then_uninstall", 3, 3, set(3, 1, 3), &waiting), (3, vec![1, 0]));
    }

    #[test]
    fn what_becomes_available_after_it_was_ordered_away_stays_instead_of_what_serves_nobody() {
        // The second revision's one was still soaking when it was ordered away; the first one's is superseded by it.
        let old = [set(2, 1, 2), set(0, 1, 1)];
        assert_eq!(next("install_then_uninstall", 3, 1, set(1, 1, 1), &old), (1, vec![1, 1]));
        let settled = [set(1, 1, 1), set(1, 1, 1)];
        assert_eq!(next("install_then_uninstall", 3, 1, set(1, 1, 1), &settled), (1, vec![1, 1]));
    }

    proptest! {
        /// S4, one step: what stays ordered of the available ones is never fewer than the guarantee allows.
        #[test]
        fn no_step_lowers_availability_below_the_guarantee(
            desired in 0u32..12, target in 0u32..12, max in 0i64..5, policy in 0usize..3,
            new_desired in 0u32..12, new_available in 0u32..12,
            old in proptest::collection::vec((0u32..8, 0u32..8, 0u32..8), 0..3),
        ) {
            let names = ["install_then_uninstall", "uninstall_then_install", "scaleup_then_scaledown"];
            let strategy = strategy(names[policy], max);
            let target = target.min(desired);
            let sets = Sets {
                new: set(new_desired.min(target), new_available.min(new_desired.min(target)), new_desired),
                old: old.iter().map(|&(d, a, e)| set(d, a.min(d), e.max(a.min(d)))).collect(),
            };
            let before = sets.new.kept_available() + sets.old.iter().map(|s| s.kept_available()).sum::<u32>();
            let rollout = plan_rollout(desired, target, &strategy, &sets);
            let after = sets.new.available.min(rollout.new)
                + sets.old.iter().zip(&rollout.old).map(|(s, d)| s.available.min(*d)).sum::<u32>();
            let allowed = strategy.max_unavailable(desired);
            prop_assert!(after >= before.min(desired.saturating_sub(allowed)),
                "available {before} -> {after}, desired {desired}, allowed {allowed}: {sets:?} -> {rollout:?}");
            prop_assert!(rollout.new <= target);
        }

        /// Liveness: with instances that always become available the release ends at the target, old at its share.
        #[test]
        fn the_steps_reach_the_target(
            desired in 0u32..12, target in 0u32..12, max in 0i64..5, policy in 0usize..3, old in 0u32..12,
        ) {
            let names = ["install_then_uninstall", "uninstall_then_install", "scaleup_then_scaledown"];
            let strategy = strategy(names[policy], max);
            let target = target.min(desired);
            let mut sets = Sets { new: set(0, 0, 0), old: vec![set(old, old, old)] };
            for _ in 0..60 {
                let rollout = plan_rollout(desired, target, &strategy, &sets);
                sets.new = set(rollout.new, rollout.new, rollout.new);
                sets.old = rollout.old.iter().map(|&d| set(d, d, d)).collect();
            }
            prop_assert_eq!(sets.new.desired, target);
            prop_assert_eq!(sets.old[0].desired, desired - target);
        }
    }
}
