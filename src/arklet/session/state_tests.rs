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
