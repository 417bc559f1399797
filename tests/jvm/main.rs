//! The operator's main job on real parts: the real binary, a real API server, and two real bases with real modules.
//!
//! Each test is one story from a user's point of view, played on one [`stage`]: two JVMs and an operator that all tests
//! of this binary share, so they take turns; a story may add a base for its own time. The modules are those of
//! `samples/java`. A story ends with the deletion of what it made, and with empty bases.
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
