//! Walks a conversation through random wishes, outcomes, faults and times against a simulated agent, and checks after
//! each step what must hold whatever happens.

#[path = "state_tests/agent.rs"]
mod agent;
#[path = "state_tests/user.rs"]
mod user;
#[path = "state_tests/world.rs"]
mod world;

use proptest::prelude::*;

use self::{
    user::Event,
    world::{Setup, World},
};
use super::{Command, Outcome, State};
use crate::{
    arklet::{
        client::{InstallOutcome, NoAnswer, UninstallOutcome},
        wire::{Biz, BizState},
    },
    domain::{
        policy::UpgradePolicy,
        slot::{Verdict, Wish, WishKind},
    },
};

fn wish(kind: WishKind) -> Wish {
    Wish {
        module: "md".into(),
        owner: "d".into(),
        version: "1".into(),
        url: String::new(),
        revision: 1,
        created: 0,
        policy: UpgradePolicy::default(),
        own_versions: vec!["1".into()],
        mates: vec![],
        kind,
    }
}

fn listed(names: &[&str]) -> Outcome {
    let active = |name: &&str| Biz {
        name: (*name).to_owned(),
        version: "1".into(),
        state: BizState::Activated,
        web_context_path: None,
    };
    Outcome::Looked(Ok(names.iter().map(active).collect()))
}

#[test]
fn what_nobody_asked_for_is_news_when_it_comes_or_goes() {
    let mut state = State::new("pod", 600_000, None);
    state.wish("ours", wish(WishKind::Run));
    let mut looked = |names: &[&str], restarted: bool| {
        if restarted {
            state.restarted();
        }
        state.done(&Command::Look, listed(names), 0);
        state.strangers_changed()
    };
    for (names, restarted, news) in [
        (&["ours"][..], false, false),
        (&["ours", "theirs"], false, true),
        (&["ours", "theirs"], false, false),
        (&["theirs"], false, false),
        (&[], true, true),
        (&["ours"], true, false),
        (&[], true, false),
    ] {
        assert_eq!(looked(names, restarted), news, "{names:?}");
    }
}

#[test]
fn who_took_back_its_wish_is_waited_for_no_more() {
    let mut state = State::new("pod", 600_000, None);
    let other = Wish { module: "other".into(), ..wish(WishKind::Run) };
    state.wish("ours", Wish { mates: vec!["other".into()], ..wish(WishKind::Leave { drained: true }) });
    state.wish("ours", Wish { version: "2".into(), ..other });
    state.withdraw("ours", "other");
    state.done(&Command::Look, listed(&["ours"]), 0);
    assert!(state.next(0).contains(&Command::Uninstall { name: "ours".into(), version: "1".into() }));
}

#[test]
fn what_a_jar_put_there_under_another_name_is_undone_at_a_pace_until_it_is_gone() {
    let mut state = State::new("pod", 600_000, None);
    state.wish("ours", wish(WishKind::Run));
    state.next(0);
    state.done(&Command::Look, listed(&[]), 0);
    let install = Command::Install { name: "ours".into(), version: "1".into(), url: String::new() };
    assert_eq!(state.next(0), std::slice::from_ref(&install));
    let found = vec![("other".to_owned(), "1".to_owned())];
    state.done(&install, Outcome::Installed(InstallOutcome::WrongIdentity { found }), 0);
    state.withdraw("ours", "md");

    let undo = Command::Uninstall { name: "other".into(), version: "1".into() };
    // Looks as often as the conversation wants to; says whether the base was asked to undo it meanwhile.
    let look = |state: &mut State, names: &[&str], now| {
        let mut undone = false;
        loop {
            let asked = state.next(now);
            undone |= asked.contains(&undo);
            if !asked.contains(&Command::Look) {
                return undone;
            }
            state.done(&Command::Look, listed(names), now);
        }
    };
    let mut now = 0;
    for outcome in [
        UninstallOutcome::NoAnswer(NoAnswer::NotSent("refused".into())),
        UninstallOutcome::Conflict,
        UninstallOutcome::Failed("busy".into()),
        UninstallOutcome::Failed("as one without Spring says, which is gone".into()),
    ] {
        assert!(look(&mut state, &["other"], now), "{outcome:?}");
        state.done(&undo, Outcome::Uninstalled(outcome.clone()), now);
        let gone = matches!(&outcome, UninstallOutcome::Failed(why) if why.contains("gone"));
        let shown: &[&str] = if gone { &[] } else { &["other"] };
        assert!(!look(&mut state, shown, now), "not at once again: {outcome:?}");
        assert_eq!(state.is_idle(), gone);
        let later = state.deadline(now);
        assert!(later >= now + 500, "{outcome:?}: {}", later - now);
        now = later;
    }
}

#[test]
fn a_refused_uninstall_is_told_and_tried_again_later() {
    let listed = || listed(&["m"]);
    let mut state = State::new("pod", 600_000, None);
    state.wish("m", wish(WishKind::Leave { drained: true }));
    assert_eq!(state.next(0), [Command::Look]);
    state.done(&Command::Look, listed(), 0);
    let uninstall = Command::Uninstall { name: "m".into(), version: "1".into() };
    let mut now = 0;
    for failures in 1..5 {
        assert_eq!(state.next(now), std::slice::from_ref(&uninstall));
        state.done(&uninstall, Outcome::Uninstalled(UninstallOutcome::Failed("busy".into())), now);
        assert_eq!(state.next(now), [Command::Look], "it may be gone all the same");
        assert_eq!(state.report("m", "md", now).map(|told| told.verdict), Some(Verdict::Waiting));
        state.done(&Command::Look, listed(), now);
        assert_eq!(state.next(now), [], "it isn't, so later again");
        let told = state.report("m", "md", now).map(|told| told.verdict);
        assert_eq!(told, Some(Verdict::Failed("busy".into())));
        let later = state.deadline(now);
        assert!(later - now >= 1_000 << (failures - 1), "{failures}: {}", later - now);
        now = later;
    }
}

fn event() -> impl Strategy<Value = Event> {
    let slot = 0usize..2;
    prop_oneof![
        6 => (slot.clone(), 0usize..5).prop_map(|(slot, owner)| Event::Release { slot, other_owner: owner == 0 }),
        2 => slot.clone().prop_map(|slot| Event::RollBack { slot }),
        2 => (slot.clone(), any::<u8>()).prop_map(|(slot, which)| Event::Leave { slot, which }),
        1 => (slot.clone(), any::<u8>()).prop_map(|(slot, which)| Event::Drop { slot, which }),
        1 => (slot.clone(), any::<u8>()).prop_map(|(slot, which)| Event::AnotherUrl { slot, which }),
        1 => slot.clone().prop_map(|slot| Event::ChangePolicy { slot }),
        1 => (0i64..3_000).prop_map(|noticed_after| Event::Restart { noticed_after }),
        1 => (1i64..30_000).prop_map(|time| Event::Silence { time }),
        1 => (slot, any::<bool>()).prop_map(|(slot, broken)| Event::Degrade { slot, broken }),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    (any::<u64>(), any::<[bool; 5]>(), 0u32..40).prop_map(|(seed, flags, faults)| Setup {
        seed,
        strict: flags[0],
        activates_new: flags[1],
        keeps_broken: flags[2],
        without_spring: flags[3],
        foreign: flags[4] && seed % 4 == 0,
        faults,
    })
}

proptest! {
    #![proptest_config(crate::sweep::config(300, 4_000))]

    #[test]
    fn whatever_happens_the_rules_hold_and_the_wishes_come_true(
        setup in setup(),
        events in proptest::collection::vec((event(), 0i64..12_000), 0..30),
    ) {
        let mut world = World::new(setup);
        if let Err(why) = world.live_through(&events) {
            return Err(TestCaseError::fail(format!("{why}\n{}", world.trace())));
        }
    }
}
