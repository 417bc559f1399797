//! A whole cluster in memory, lived through at random: users edit, bases come and go, agents fail, the operator is
//! restarted between any two writes, watches lag. After each step the invariants hold, and when the trouble is over
//! what was asked for is reached, and then nothing is written any more.
//!
//! The controllers' shells are done once more here, thin and synchronous, around the same plans.

#[path = "world_tests/bases.rs"]
mod bases;
#[path = "world_tests/end.rs"]
mod end;
#[path = "world_tests/events.rs"]
mod events;
#[path = "world_tests/glue.rs"]
mod glue;
#[path = "world_tests/world.rs"]
mod world;

use proptest::prelude::*;

use self::{
    events::{Begin, Event},
    world::World,
};

fn begin() -> impl Strategy<Value = Begin> {
    let flags = any::<[bool; 3]>();
    let gray = prop_oneof![3 => Just(0), 1 => Just(20)];
    let soft = prop_oneof![2 => Just(0), 1 => 1i32..6];
    (flags, -1i32..6, 0u8..3, 1i32..4, gray, 0i32..3, soft.clone(), soft).prop_map(
        |(flags, replicas, policy, batches, gray, max_unavailable, min_ready, drain)| Begin {
            shared_name: flags[0],
            replicas,
            policy,
            batches,
            beta: flags[1],
            confirm: flags[2],
            gray,
            max_unavailable,
            min_ready,
            drain,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let which = any::<u8>();
    let edits = prop_oneof![
        4 => (which, 1u8..5).prop_map(|(which, version)| Event::Version { which, version }),
        2 => (which, -1i32..6).prop_map(|(which, replicas)| Event::Replicas { which, replicas }),
        2 => (which, 0i32..6).prop_map(|(which, replicas)| Event::Scale { which, replicas }),
        1 => (which, 0u8..3, 1i32..4, 0i32..3).prop_map(|(which, policy, batches, max_unavailable)| {
            Event::Strategy { which, policy, batches, max_unavailable }
        }),
        1 => (which, 0i32..4).prop_map(|(which, batch)| Event::Confirm { which, batch }),
        1 => (which, any::<bool>()).prop_map(|(which, paused)| Event::Pause { which, paused }),
        1 => which.prop_map(|which| Event::Delete { which }),
    ];
    let faults = prop_oneof![
        2 => (proptest::option::of(1u32..3), any::<bool>())
            .prop_map(|(max, activates_new)| Event::BaseComes { max, activates_new }),
        2 => (which, any::<bool>()).prop_map(|(which, at_once)| Event::BaseDies { which, at_once }),
        2 => (which, any::<bool>()).prop_map(|(which, ready)| Event::BaseReady { which, ready }),
        1 => which.prop_map(|which| Event::BaseRestarts { which }),
        3 => (which, 0u8..4).prop_map(|(which, mood)| Event::Agent { which, mood }),
        1 => which.prop_map(|which| Event::Degrades { which }),
        1 => Just(Event::OperatorRestarts),
        2 => (0u8..6).prop_map(|after| Event::OperatorCrashes { after }),
        4 => Just(Event::WatchesCatchUp),
    ];
    prop_oneof![edits, faults]
}

proptest! {
    #![proptest_config(crate::sweep::config(60, 400))]

    #[test]
    fn the_invariants_hold_and_the_desired_state_is_reached(
        seed: u64,
        begins in proptest::collection::vec(begin(), 1..4),
        bases in proptest::collection::vec((proptest::option::of(1u32..3), any::<bool>()), 0..6),
        events in proptest::collection::vec((event(), 0u8..8), 0..25),
    ) {
        let mut world = World::new();
        for (max, activates_new) in bases {
            world.base_comes(max, activates_new);
        }
        for (index, begin) in begins.iter().enumerate() {
            world.begin(index, begin);
        }
        world.find_strict();
        if let Err(why) = world.live(seed, &events) {
            return Err(TestCaseError::fail(format!("{why}\n{}", world.trace())));
        }
    }
}
