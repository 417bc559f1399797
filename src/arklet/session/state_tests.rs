//! Walks a conversation through random wishes, outcomes, faults and times against a simulated agent, and checks after
//! each step what must hold whatever happens.

#[path = "state_tests/agent.rs"]
mod agent;
#[path = "state_tests/user.rs"]
mod user;
#[path = "state_tests/world.rs"]
mod world;

use proptest::{prelude::*, test_runner::RngSeed};

use self::{
    user::Event,
    world::{Setup, World},
};

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
    #![proptest_config(ProptestConfig { cases: cases(300), max_shrink_iters: 4_000, failure_persistence: None, rng_seed: rng_seed(), ..ProptestConfig::default() })]

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

/// `PROPTEST_CASES` raises the number.
/// The usual run walks the same worlds each time, so that a red build is about the change and not about luck. A sweep,
/// that is a number of cases by `PROPTEST_CASES`, walks new ones; `PROPTEST_RNG_SEED` repeats it.
fn rng_seed() -> RngSeed {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok());
    match given {
        Some(seed) => RngSeed::Fixed(seed),
        None if std::env::var_os("PROPTEST_CASES").is_some() => RngSeed::Random,
        None => RngSeed::Fixed(1),
    }
}

fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(usual)
}
