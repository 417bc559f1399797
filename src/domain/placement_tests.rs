use proptest::prelude::*;

use super::*;

fn base(name: &str, slots: u32) -> Base {
    Base {
        uid: format!("uid-{name}"),
        name: name.to_owned(),
        closed: None,
        slots,
        max_slots: None,
        tight: false,
        superseded: false,
        taken: false,
        emptied: false,
    }
}

fn placed(set: usize, base: &str, available: bool) -> Placed {
    Placed {
        module: format!("m{set}-{base}"),
        set,
        base: format!("uid-{base}"),
        coming: false,
        available,
        leaving: false,
        stuck: false,
        outdated: false,
        created: 0,
    }
}

fn fleet(policy: UpgradePolicy, desired: &[u32], modules: Vec<Placed>, bases: Vec<Base>) -> Fleet {
    let sets = desired.iter().zip(1..).map(|(&desired, revision)| Wanted { desired, revision }).collect();
    Fleet {
        policy,
        scheduling: SchedulingPolicy::Scatter,
        total: None,
        floor: 0,
        restart_floor: Some(0),
        sets,
        modules,
        bases,
    }
}

fn created(placement: &Placement) -> Vec<(usize, &str)> {
    placement.create.iter().map(|(set, base)| (*set, base.trim_start_matches("uid-"))).collect()
}

fn deleted(placement: &Placement) -> Vec<&str> {
    placement.delete.iter().map(|(_, module)| module.as_str()).collect()
}

const BESIDE: UpgradePolicy = UpgradePolicy::InstallThenUninstall;
const STRICT: UpgradePolicy = UpgradePolicy::UninstallThenInstall;
const SURGE: UpgradePolicy = UpgradePolicy::ScaleUpThenScaleDown;

#[test]
fn scatter_takes_the_emptiest_and_stacking_the_fullest_base() {
    let bases = vec![base("a", 3), base("b", 1), base("c", 1), base("d", 2)];
    let mut fleet = fleet(BESIDE, &[3], vec![], bases);
    assert_eq!(created(&plan_placement(&fleet)), [(0, "b"), (0, "c"), (0, "d")]);
    fleet.scheduling = SchedulingPolicy::Stacking;
    assert_eq!(created(&plan_placement(&fleet)), [(0, "a"), (0, "d"), (0, "b")]);
}

#[test]
fn closed_full_taken_and_occupied_bases_are_refused_and_counted() {
    let mut bases = vec![base("a", 0), base("b", 5), base("c", 0), base("d", 0), base("e", 1)];
    bases[0].closed = Some(Ineligible::NotReady);
    bases[1].max_slots = Some(5);
    bases[2].taken = true;
    bases[3].closed = Some(Ineligible::Cordoned);
    let placement = plan_placement(&fleet(BESIDE, &[3], vec![placed(0, "e", true)], bases));
    assert_eq!(placement.create, []);
    assert_eq!(placement.unplaced, BTreeMap::from([(0, 2)]));
    assert_eq!(
        placement.explain(),
        "5 bases: 1 not ready, 1 on a cordoned node, 1 full, 1 with a foreign module of that name, \
         1 with the module already"
    );
    assert_eq!(Placement::default().explain(), "the base Deployment has no pods");
}

#[test]
fn in_place_policies_pair_the_new_module_with_an_old_one() {
    let bases = || vec![base("a", 1), base("b", 1), base("c", 0)];
    let old = || vec![placed(0, "a", true), placed(0, "b", true)];
    for (policy, kept) in [(BESIDE, 2), (STRICT, 1)] {
        let placement = plan_placement(&fleet(policy, &[kept, 1], old(), bases()));
        assert_eq!(created(&placement), [(1, "a")], "{policy:?}");
        assert_eq!(placement.delete, [], "{policy:?}");
    }
    let placement = plan_placement(&fleet(SURGE, &[2, 1], old(), bases()));
    assert_eq!(created(&placement), [(1, "c")]);
}

#[test]
fn only_as_many_old_ones_are_taken_over_as_there_are_too_many() {
    let bases = || vec![base("a", 1), base("b", 0)];
    let old = || vec![placed(0, "a", true)];
    for (policy, kept, total, bases, place) in [
        (STRICT, 0, 1, bases(), Some("a")),
        (STRICT, 1, 2, bases(), Some("b")),
        (STRICT, 1, 2, vec![base("a", 1)], None),
        (BESIDE, 1, 1, bases(), Some("a")),
        (BESIDE, 1, 2, bases(), Some("b")),
        (BESIDE, 1, 2, vec![base("a", 1)], Some("a")),
    ] {
        let fleet = Fleet { total: Some(total), ..fleet(policy, &[kept, 1], old(), bases) };
        let places: Vec<_> = place.map(|place| (1, place)).into_iter().collect();
        assert_eq!(created(&plan_placement(&fleet)), places, "{policy:?} {kept} of {total}");
    }
}

#[test]
fn an_old_one_waits_until_the_creation_of_its_successor_is_confirmed() {
    for (coming, gone) in [(true, vec![]), (false, vec!["m0-a"])] {
        let successor = Placed { coming, ..placed(1, "a", false) };
        let modules = vec![placed(0, "a", true), placed(0, "b", true), successor];
        let fleet = fleet(STRICT, &[1, 1], modules, vec![base("a", 1), base("b", 1)]);
        assert_eq!(deleted(&plan_placement(&fleet)), gone, "coming: {coming}");
    }
}

#[test]
fn of_two_old_revisions_the_one_that_was_ordered_away_is_replaced() {
    let bases = vec![base("a", 1), base("b", 1)];
    let old = vec![placed(1, "a", true), placed(0, "b", true)];
    let fleet = Fleet { total: Some(2), ..fleet(STRICT, &[0, 1, 1], old, bases) };
    assert_eq!(created(&plan_placement(&fleet)), [(2, "b")]);
}

#[test]
fn a_new_module_whose_old_one_stays_after_all_moves_to_a_free_base() {
    let modules = || vec![placed(0, "a", true), placed(1, "a", false)];
    let both = vec![base("a", 1), base("b", 0)];
    let placement = plan_placement(&fleet(STRICT, &[1, 1], modules(), both.clone()));
    assert_eq!((created(&placement), deleted(&placement)), (vec![(1, "b")], vec!["m1-a"]));
    for waits in [
        fleet(STRICT, &[1, 1], modules(), vec![base("a", 1)]),
        fleet(STRICT, &[0, 1], modules(), both.clone()),
        fleet(BESIDE, &[1, 1], modules(), both),
    ] {
        assert_eq!(created(&plan_placement(&waits)), [], "{waits:?}");
    }
}

#[test]
fn a_version_is_tried_beside_one_that_serves_and_what_it_covers_leaves_first() {
    let bases = || ["a", "b", "c"].map(|name| base(name, 1)).to_vec();
    let old = || vec![placed(0, "a", false), placed(0, "b", true), placed(0, "c", true)];
    let of = |desired: &[u32], new: Vec<Placed>| {
        let modules = old().into_iter().chain(new).collect();
        plan_placement(&Fleet { total: Some(3), floor: 3, ..fleet(BESIDE, desired, modules, bases()) })
    };
    // Where an agent is silent, or nothing starts, the new version would prove nothing.
    assert_eq!(created(&of(&[3, 1], vec![])), [(1, "b")]);
    let tried = of(&[2, 3], vec![placed(1, "b", true)]);
    assert_eq!((created(&tried), deleted(&tried)), (vec![(1, "a"), (1, "c")], vec!["m0-b"]));
    let come = of(&[1, 3], vec![placed(1, "a", false), placed(1, "b", true), placed(1, "c", true)]);
    assert_eq!(deleted(&come), ["m0-b", "m0-c"], "what waits for its successor on a silent base stays");
}

#[test]
fn a_new_module_that_waits_behind_one_that_stays_is_told_to_be_without_a_base() {
    let modules = || vec![placed(0, "a", true), placed(1, "a", false)];
    let placement = plan_placement(&fleet(STRICT, &[1, 1], modules(), vec![base("a", 1)]));
    assert_eq!((created(&placement), deleted(&placement)), (vec![], vec![]));
    assert_eq!(placement.unplaced, BTreeMap::from([(1, 1)]));
    assert_eq!(placement.explain(), "1 base: 1 with the module already");
    // Its turn comes by itself where the old one is ordered away.
    let comes = plan_placement(&fleet(STRICT, &[0, 1], modules(), vec![base("a", 1)]));
    assert_eq!(comes.unplaced, BTreeMap::new());
}

#[test]
fn an_old_module_that_serves_nobody_is_replaced_first() {
    let bases = vec![base("a", 1), base("b", 1)];
    let old = vec![placed(0, "a", true), placed(0, "b", false)];
    assert_eq!(created(&plan_placement(&fleet(STRICT, &[1, 1], old, bases))), [(1, "b")]);
}

#[test]
fn a_full_base_still_takes_the_successor_of_what_it_has() {
    let mut full = base("a", 1);
    full.max_slots = Some(1);
    let placement = plan_placement(&fleet(STRICT, &[0, 1], vec![placed(0, "a", true)], vec![full]));
    assert_eq!(created(&placement), [(1, "a")]);
}

#[test]
fn a_closed_base_takes_the_successor_of_what_it_has_where_no_other_takes_it() {
    let closed = |reason| Base { closed: Some(reason), ..base("a", 1) };
    let old = || vec![placed(0, "a", true), placed(0, "b", true)];
    let of = |policy, reason, desired: &[u32], more: Option<Base>| {
        let bases = vec![closed(reason), base("b", 1)].into_iter().chain(more).collect();
        plan_placement(&Fleet { total: Some(2), ..fleet(policy, desired, old(), bases) })
    };
    for reason in [Ineligible::Cordoned, Ineligible::NotReady] {
        for (policy, kept) in [(BESIDE, 2), (STRICT, 0)] {
            let all = of(policy, reason, &[kept, 2], None);
            assert_eq!(created(&all), [(1, "b"), (1, "a")], "{policy:?} {reason:?}");
            assert_eq!(all.unplaced, BTreeMap::new());
            let one = of(policy, reason, &[kept.max(1), 1], None);
            assert_eq!(created(&one), [(1, "b")], "{policy:?} {reason:?}: open ones first");
            let free = of(policy, reason, &[kept, 2], Some(base("c", 0)));
            assert_eq!(created(&free), [(1, "b"), (1, "c")], "{policy:?} {reason:?}: a free one before it");
        }
        assert_eq!(created(&of(SURGE, reason, &[2, 2], None)), [], "{reason:?}");
    }
    assert_eq!(created(&of(BESIDE, Ineligible::Ending, &[2, 2], None)), [(1, "b")]);
}

#[test]
fn a_release_one_base_at_a_time_takes_out_what_it_replaces_also_beside_a_base_that_is_not_ready() {
    let mut bases = vec![base("a", 1), base("b", 1), base("c", 1)];
    bases[0].closed = Some(Ineligible::NotReady);
    let of = |new: Option<Placed>| {
        let old = vec![placed(0, "a", true), placed(0, "b", true), placed(0, "c", true)];
        let modules = old.into_iter().chain(new).collect();
        plan_placement(&Fleet { total: Some(3), floor: 2, ..fleet(STRICT, &[2, 1], modules, bases.clone()) })
    };
    // With another one gone the new one would wait for ever.
    let begins = of(None);
    assert_eq!((created(&begins), deleted(&begins)), (vec![(1, "b")], vec![]));
    assert_eq!(deleted(&of(Some(placed(1, "b", false)))), ["m0-b"]);
    assert_eq!(deleted(&of(Some(placed(1, "a", false)))), ["m0-a"]);
}

#[test]
fn the_paired_old_module_leaves_and_no_other() {
    let bases = || vec![base("a", 1), base("b", 1)];
    let with_new = |available| vec![placed(0, "a", true), placed(0, "b", true), placed(1, "b", available)];
    // Strict: at once. Beside: only once the new one is available.
    assert_eq!(deleted(&plan_placement(&fleet(STRICT, &[1, 1], with_new(false), bases()))), ["m0-b"]);
    assert_eq!(deleted(&plan_placement(&fleet(BESIDE, &[1, 1], with_new(true), bases()))), ["m0-b"]);
    // The order to shrink came before the new Module exists: nothing leaves yet.
    let before = vec![placed(0, "a", true), placed(0, "b", true)];
    let placement = plan_placement(&fleet(STRICT, &[1, 1], before, bases()));
    assert_eq!((created(&placement), deleted(&placement)), (vec![(1, "a")], vec![]));
}

#[test]
fn modules_leave_in_order_of_their_use() {
    let mut bases = vec![base("a", 1), base("b", 1), base("c", 4), base("d", 1)];
    bases[0].closed = Some(Ineligible::NotReady);
    let mut modules = vec![placed(0, "a", true), placed(0, "b", false), placed(0, "c", true), placed(0, "d", true)];
    modules[3].created = 10;
    for (keep, gone) in [(3, vec!["m0-b"]), (2, vec!["m0-b", "m0-a"]), (1, vec!["m0-b", "m0-a", "m0-c"])] {
        let placement = plan_placement(&fleet(BESIDE, &[keep], modules.clone(), bases.clone()));
        assert_eq!(deleted(&placement), gone, "keep {keep}");
    }
}

#[test]
fn an_order_that_was_given_when_more_were_available_waits() {
    let bases = || vec![base("a", 1), base("b", 1), base("c", 1)];
    let two = |third| vec![placed(0, "a", true), placed(0, "b", true), placed(1, "c", third)];
    for (third, gone) in [(true, vec!["m0-a"]), (false, vec![])] {
        let fleet = Fleet { floor: 2, ..fleet(SURGE, &[0, 1], two(third), bases()) };
        assert_eq!(deleted(&plan_placement(&fleet)), gone);
    }
    // What isn't available, and what has an available successor beside it, is no loss.
    let mut modules = two(true);
    modules[1].available = false;
    modules.push(placed(1, "a", true));
    let fleet = Fleet { floor: 2, ..fleet(BESIDE, &[0, 2], modules, bases()) };
    assert_eq!(deleted(&plan_placement(&fleet)), ["m0-a", "m0-b"]);
}

#[test]
fn a_module_on_an_ending_base_is_replaced_elsewhere_at_once() {
    let mut bases = vec![base("a", 1), base("b", 0)];
    bases[0].closed = Some(Ineligible::Ending);
    let placement = plan_placement(&fleet(BESIDE, &[1], vec![placed(0, "a", true)], bases));
    assert_eq!((created(&placement), deleted(&placement)), (vec![(0, "b")], vec![]));
}

#[test]
fn a_module_in_somebody_elses_slot_moves_once_a_base_is_free() {
    let stuck = || vec![Placed { stuck: true, ..placed(0, "a", false) }];
    let mut taken = base("a", 1);
    taken.taken = true;
    let placement = plan_placement(&fleet(BESIDE, &[1], stuck(), vec![taken.clone(), base("b", 0)]));
    assert_eq!((created(&placement), deleted(&placement)), (vec![(0, "b")], vec!["m0-a"]));
    assert_eq!(plan_placement(&fleet(BESIDE, &[1], stuck(), vec![taken])), Placement::default());
}

#[test]
fn a_restart_takes_out_one_after_the_other_and_first_what_serves_nobody() {
    let old = |base: &str, available| Placed { outdated: true, ..placed(0, base, available) };
    let of = |modules: Vec<Placed>| {
        let bases = vec![base("a", 1), base("b", 1), base("c", 1)];
        let fleet = fleet(BESIDE, &[3], modules, bases);
        plan_placement(&Fleet { total: Some(3), floor: 3, restart_floor: Some(2), ..fleet })
    };
    let all = of(vec![old("a", true), old("b", true), old("c", true)]);
    assert_eq!(deleted(&all), ["m0-a"]);
    // The first is on its way out: it makes room for itself, and nobody else goes meanwhile.
    let leaving = Placed { leaving: true, ..old("a", true) };
    assert_eq!(of(vec![leaving, old("b", true), old("c", true)]), Placement::default());
    assert_eq!(of(vec![placed(0, "a", false), old("b", true), old("c", true)]), Placement::default());
    assert_eq!(deleted(&of(vec![placed(0, "a", true), old("b", true), old("c", true)])), ["m0-b"]);
    assert_eq!(deleted(&of(vec![placed(0, "a", true), old("b", true), old("c", false)])), ["m0-c"]);
}

#[test]
fn a_restart_takes_nothing_out_that_could_not_come_back() {
    let old = |base: &str| Placed { outdated: true, ..placed(0, base, true) };
    let cordoned = Base { closed: Some(Ineligible::Cordoned), ..base("a", 1) };
    let of = |bases: Vec<Base>| {
        let fleet = fleet(BESIDE, &[2], vec![old("a"), placed(0, "b", true)], bases);
        plan_placement(&Fleet { total: Some(2), floor: 2, restart_floor: Some(1), ..fleet })
    };
    assert_eq!(of(vec![cordoned.clone(), base("b", 1)]), Placement::default());
    assert_eq!(deleted(&of(vec![cordoned, base("b", 1), base("c", 0)])), ["m0-a"]);
}

#[test]
fn a_restart_takes_nothing_out_while_it_is_held() {
    let old = |base: &str, available| Placed { outdated: true, ..placed(0, base, available) };
    let modules = vec![old("a", false), old("b", true)];
    let fleet = fleet(BESIDE, &[2], modules, vec![base("a", 1), base("b", 1)]);
    let of = |restart_floor| {
        let placement = plan_placement(&Fleet { total: Some(2), floor: 2, restart_floor, ..fleet.clone() });
        deleted(&placement).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((of(Some(1)), of(None)), (vec!["m0-a".to_owned()], vec![]));
}

#[test]
fn a_restart_begins_also_where_bases_are_missing() {
    let old = |base: &str| Placed { outdated: true, ..placed(0, base, true) };
    let fleet = fleet(BESIDE, &[3], vec![old("a"), old("b")], vec![base("a", 1), base("b", 1)]);
    let placement = plan_placement(&Fleet { total: Some(3), floor: 3, restart_floor: Some(1), ..fleet });
    assert_eq!(deleted(&placement), ["m0-a"]);
}

#[test]
fn a_base_that_is_to_be_emptied_in_mid_release_is_not_waited_for_by_what_has_no_place() {
    let emptied = Base { closed: Some(Ineligible::Ending), emptied: true, ..base("a", 1) };
    let modules = vec![placed(0, "a", true), placed(0, "d", true), placed(1, "b", true), placed(1, "d", true)];
    let bases = vec![emptied, base("b", 1), base("d", 1)];
    let fleet = fleet(BESIDE, &[1, 3], modules, bases);
    let placement = plan_placement(&Fleet { total: Some(3), floor: 3, restart_floor: Some(2), ..fleet });
    assert_eq!(placement.unplaced.len(), 1);
    assert!(deleted(&placement).contains(&"m0-a"), "{placement:?}");
}

#[test]
fn a_base_that_is_to_be_emptied_is_replaced_first_where_another_can_take_its_modules() {
    let emptied = |name: &str| Base { closed: Some(Ineligible::Ending), emptied: true, ..base(name, 1) };
    let of = |modules: Vec<Placed>, bases: Vec<Base>| {
        plan_placement(&Fleet {
            total: Some(2),
            floor: 2,
            restart_floor: Some(1),
            ..fleet(BESIDE, &[2], modules, bases)
        })
    };
    let (a, b) = (placed(0, "a", true), placed(0, "b", true));
    let begins = of(vec![a.clone(), b.clone()], vec![emptied("a"), base("b", 1), base("c", 0)]);
    assert_eq!((created(&begins), deleted(&begins)), (vec![(0, "c")], vec![]));
    let coming = vec![a.clone(), b.clone(), placed(0, "c", false)];
    assert_eq!(of(coming, vec![emptied("a"), base("b", 1), base("c", 1)]), Placement::default());
    let come = of(vec![a.clone(), b.clone(), placed(0, "c", true)], vec![emptied("a"), base("b", 1), base("c", 1)]);
    assert_eq!((created(&come), deleted(&come)), (vec![], vec!["m0-a"]));
    let nowhere = of(vec![a, b], vec![emptied("a"), base("b", 1)]);
    assert_eq!((created(&nowhere), deleted(&nowhere)), (vec![], vec!["m0-a"]));
}

#[test]
fn a_base_that_is_to_be_emptied_keeps_what_serves_until_the_new_version_that_comes_elsewhere_does() {
    let emptied = Base { closed: Some(Ineligible::Ending), emptied: true, ..base("a", 1) };
    let of = |available: bool| {
        let modules = vec![placed(0, "a", true), placed(1, "b", available)];
        let fleet = fleet(BESIDE, &[1, 1], modules, vec![emptied.clone(), base("b", 1)]);
        plan_placement(&Fleet { total: Some(1), floor: 1, restart_floor: Some(0), ..fleet })
    };
    // The old revision finds no place any more; that alone is no reason to take the only one that serves.
    assert_eq!((of(false).unplaced.contains_key(&0), deleted(&of(false))), (true, vec![]));
    assert_eq!(deleted(&of(true)), ["m0-a"]);
}

#[test]
fn a_base_that_is_to_be_emptied_holds_no_release_up_where_bases_are_missing() {
    // The old revision has as many as it should on bases that stay, although that one stands beside its successor.
    let emptied = Base { closed: Some(Ineligible::Ending), emptied: true, ..base("a", 1) };
    let modules = vec![placed(0, "a", true), placed(0, "b", false), placed(1, "b", true)];
    let fleet = fleet(BESIDE, &[1, 1], modules, vec![emptied, base("b", 1)]);
    let placement = plan_placement(&Fleet { total: Some(2), floor: 2, restart_floor: Some(1), ..fleet });
    assert_eq!((placement.unplaced.len(), deleted(&placement)), (0, vec!["m0-a"]));
}

#[test]
fn a_base_with_two_versions_takes_no_third() {
    let modules = vec![placed(0, "a", true), placed(1, "a", false)];
    let placement = plan_placement(&fleet(BESIDE, &[1, 1, 1], modules, vec![base("a", 1)]));
    assert_eq!(placement.create, []);
}

proptest! {
    #[test]
    fn no_placement_makes_twins_or_overfills(
        policy in 0usize..3,
        desired in proptest::collection::vec(0u32..8, 1..4),
        bases in proptest::collection::vec((0u32..4, proptest::option::of(0u32..5), 0u8..6), 0..8),
        modules in proptest::collection::vec((0usize..3, 0usize..8, any::<bool>(), any::<bool>()), 0..12),
    ) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut seen = BTreeSet::new();
        let modules: Vec<Placed> = modules.into_iter()
            .filter(|(set, at, ..)| *set < desired.len() && seen.insert((*set, *at)))
            .map(|(set, at, available, leaving)| Placed { leaving, ..placed(set, names[at], available) })
            .collect();
        let bases: Vec<Base> = bases.into_iter().zip(names).map(|((extra, max, closed), name)| {
            let uid = format!("uid-{name}");
            let ours = u32::from(modules.iter().any(|module| module.base == uid));
            let closed = match closed { 0 => Some(Ineligible::NotReady), 1 => Some(Ineligible::Ending), _ => None };
            Base { max_slots: max, closed, ..base(name, extra + ours) }
        }).collect();
        let mut fleet = fleet([BESIDE, STRICT, SURGE][policy], &desired, modules, bases);
        let before: BTreeMap<String, u32> = fleet.bases.iter().map(|b| (b.uid.clone(), b.slots)).collect();
        let placement = plan_placement(&fleet);
        for (set, uid) in &placement.create {
            let at = fleet.bases.iter().find(|base| base.uid == *uid).expect("a base that exists");
            let ours = fleet.modules.iter().filter(|module| module.base == *uid).count();
            let succeeds = ours == 1 && at.closed != Some(Ineligible::Ending);
            prop_assert!((at.closed.is_none() || succeeds) && !at.taken);
            let new_slot = u32::from(ours == 0);
            prop_assert!(new_slot == 0 || at.max_slots.is_none_or(|max| before[uid] + new_slot <= max));
            prop_assert!(ours <= 1, "no third version");
            let module = format!("new-{set}-{uid}");
            fleet.modules.push(Placed { module, base: uid.clone(), ..placed(*set, "new", false) });
        }
        prop_assert!(!has_twins(&fleet));
        for (set, module) in &placement.delete {
            let gone = fleet.modules.iter().find(|placed| placed.module == *module).expect("a Module that exists");
            prop_assert!(gone.set == *set && !gone.leaving);
        }
    }
}

#[test]
fn a_base_without_free_metaspace_gets_nothing_new_and_no_second_version() {
    let tight = |name: &str, slots| Base { tight: true, ..base(name, slots) };
    let placement = plan_placement(&fleet(BESIDE, &[2], vec![], vec![tight("a", 1), base("b", 4)]));
    assert_eq!(created(&placement), [(0, "b")]);
    assert_eq!(placement.explain(), "2 bases: 1 without free metaspace, 1 with the module already");

    // Where the old version leaves first it makes room; two at a time would be one too many.
    let upgrade = |policy, kept| {
        let fleet = fleet(policy, &[kept, 1], vec![placed(0, "a", true)], vec![tight("a", 1)]);
        plan_placement(&Fleet { total: Some(1), ..fleet })
    };
    assert_eq!(created(&upgrade(STRICT, 0)), [(1, "a")]);
    let beside = upgrade(BESIDE, 1);
    assert_eq!((created(&beside), deleted(&beside)), (vec![], vec![]));
    assert_eq!(beside.explain(), "1 base: 1 without free metaspace");
}

#[test]
fn what_stands_on_superseded_bases_is_placed_a_second_time_on_new_ones() {
    let old = |name: &str, slots| Base { superseded: true, ..base(name, slots) };
    let bases = |new: &[&str]| {
        let mut bases = vec![old("a", 1), old("b", 1)];
        bases.extend(new.iter().map(|name| base(name, 0)));
        bases
    };
    let on = |bases: &[&str]| bases.iter().map(|base| placed(0, base, true)).collect::<Vec<_>>();
    for (desired, has, new, places, leaves) in [
        (2, &["a", "b"][..], &["c"][..], vec![(0, "c")], 0),
        (2, &["a", "b"], &["c", "d", "e"], vec![(0, "c"), (0, "d")], 0),
        (2, &["a", "b", "c"], &["c"], vec![], 0),
        (2, &["a", "b", "c", "d"], &["c", "d"], vec![], 0),
        (2, &["b", "c"], &["c", "d"], vec![(0, "d")], 0),
        // Fewer wanted, and none: what is there twice goes as one does that is there once.
        (1, &["a", "b", "c"], &["c"], vec![], 1),
        (0, &["a", "b", "c"], &["c"], vec![], 2),
        // More wanted: an old base is better than none.
        (3, &["c", "d"], &["c", "d"], vec![(0, "a")], 0),
    ] {
        let placement = plan_placement(&fleet(BESIDE, &[desired], on(has), bases(new)));
        assert_eq!(created(&placement), places, "{desired} on {has:?}, new {new:?}");
        assert_eq!(placement.delete.len(), leaves, "{desired} on {has:?}, new {new:?}");
        assert_eq!(placement.unplaced, BTreeMap::new());
    }
}
