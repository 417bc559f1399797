//! The operator's main job on real parts: the real binary, a real API server, and two real bases with real modules.
//!
//! Each test is one story from a user's point of view, played on one [`stage`]: two JVMs and an operator that all tests
//! of this binary share, so they take turns; a story may add a base for its own time. The modules are those of
//! `samples/java`. A story ends with the deletion of what it made, and with empty bases.
//!
//! Scenarios that are played here too, so that what they take for granted of an agent is seen on a real one:
//!
//! | on real bases | with simulated ones (`tests/scenarios`) |
//! |---|---|
//! | `a_module_is_installed_answers_and_leaves_empty_bases` | `lifecycle::an_installed_module_is_shown_everywhere`, `deletion::a_deployment_takes_everything_along` |
//! | `failures::a_module_that_cannot_start_says_why` | `jars::a_failing_install_is_explained_retried_slowly_and_recovers` |
//! | `failures::a_slow_module_becomes_available_and_disturbs_no_other` | `faults::a_hanging_agent_delays_nobody_and_keeps_its_modules` |
//! | `failures::a_jar_that_is_called_otherwise_inside_is_named_and_taken_off` | `jars::a_jar_of_another_identity_is_named_and_undone` |
//! | `load::no_request_is_lost_in_an_upgrade_in_place_and_a_scale_down` | `upgrade::the_next_base_is_taken_only_when_the_last_one_gets_traffic_again`, `scale::kubectl_scale_goes_up_and_down` |
//! | `load::no_request_is_lost_in_an_upgrade_onto_a_third_base` | `manifests::two_of_three_bases_are_upgraded_over_the_free_one` |
//! | `load::a_module_without_a_web_context_always_has_an_active_version` | `upgrade::beside_each_other_the_old_version_serves_until_the_new_one_does` |
//! | `recovery::a_restarted_base_gets_its_module_back` | `faults::a_restarted_container_gets_its_modules_again` |
//! | `upgrade::uninstall_then_install_goes_base_by_base_and_the_service_answers_all_the_while` | `upgrade::in_place_replacement_never_has_two_versions_and_drains_first` |
//! | `upgrade::install_then_uninstall_switches_and_then_takes_the_old_one_off` | `upgrade::beside_each_other_the_old_version_serves_until_the_new_one_does` |
//! | `upgrade::two_versions_of_a_web_module_on_one_base_stop_at_the_first` | `upgrade::a_web_context_clash_stops_at_the_first_base` |
//! | `vpods::a_module_as_a_pod_is_installed_upgraded_and_removed` | `tests/vnode`: `delivery::every_policy_keeps_its_promise` |
//! | `vpods::a_deployment_of_vpods_is_rolled_without_losing_a_request` | `tests/vnode`: `updates` |
//!
//! It needs the rig: `make test-jvm`, or `tests/control-plane/with-cluster -- cargo test --test jvm`.

mod base;
mod client;
mod crowd;
mod operator;
mod pods;
mod stage;
mod watch;

mod failures;
mod load;
mod recovery;
mod upgrade;
mod vpods;

use stage::{Deployment, play};

/// Installed on both bases, answering there and listed in the Service; deleted, nothing is left.
#[test]
fn a_module_is_installed_answers_and_leaves_empty_bases() {
    play("installed", async |stage| {
        let hello = Deployment::of("hello", "1.0.0").with_service();
        stage.apply(&hello).await;
        stage.released(&hello).await;
        for base in &stage.bases {
            assert_eq!(base.get("/hello/").await, Ok("hello from 1.0.0".to_owned()), "{}", base.pod);
            assert_eq!(base.list().await, ["hello 1.0.0 ACTIVATED"], "{}", base.pod);
        }
        let both = stage.bases.iter().map(|base| base.at.ip).collect();
        stage.endpoints_are("hello-service", &both).await;
        stage.delete(&hello).await;
        for base in &stage.bases {
            assert!(base.get("/hello/").await.is_err(), "{} still serves it", base.pod);
        }
        stage.service_is_gone("hello-service").await;
    });
}
