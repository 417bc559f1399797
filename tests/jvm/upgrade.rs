//! New versions, on bases that serve all the while.

use crate::{
    client::ServiceClient,
    stage::{Deployment, phase_of, play, version_of},
    watch::{Sight, Watch},
};

/// A web module with one context path: drained, uninstalled and installed on one base after the other. A client of the
/// Service never notices.
#[test]
fn uninstall_then_install_goes_base_by_base_and_the_service_answers_all_the_while() {
    play("uninstall_then_install", async |stage| {
        let old = Deployment::of("hello", "1.0.0").with_service();
        let new = old.version("2.0.0");
        stage.apply(&old).await;
        stage.released(&old).await;
        let both = stage.bases.iter().map(|base| base.at.ip).collect();
        stage.endpoints_are("hello-service", &both).await;

        let (client, watch) = (ServiceClient::start(stage, "hello-service", "/hello/").await, Watch::start(stage));
        stage.apply(&new).await;
        stage.released(&new).await;
        stage.endpoints_are("hello-service", &both).await;
        let (tally, seen) = (client.stop().await, watch.stop());

        println!("during the upgrade: {:?}, {} failed", tally.answers, tally.failures.len());
        assert_eq!(tally.failures, Vec::<String>::new());
        assert!(tally.answers.contains_key("hello from 1.0.0") && tally.answers.contains_key("hello from 2.0.0"));
        for base in &stage.bases {
            assert_eq!(base.get("/hello/").await, Ok("hello from 2.0.0".to_owned()), "{}", base.pod);
        }
        for sight in &seen {
            assert!(sight.list.len() <= 1, "two versions on one base: {seen:?}");
        }
        assert_eq!(without_active(&seen), 1, "one base at a time: {seen:?}");
        stage.delete(&new).await;
    });
}

/// A module without a web context: the new version stands beside the old one, is switched to, and only then the old one
/// leaves.
#[test]
fn install_then_uninstall_switches_and_then_takes_the_old_one_off() {
    play("install_then_uninstall", async |stage| {
        let old = Deployment::of("quiet", "1.0.0").policy("install_then_uninstall");
        let new = old.version("2.0.0");
        stage.apply(&old).await;
        stage.released(&old).await;

        let watch = Watch::start(stage);
        stage.apply(&new).await;
        stage.released(&new).await;
        for base in &stage.bases {
            assert_eq!(base.list().await, ["quiet 2.0.0 ACTIVATED"], "{}", base.pod);
        }
        let seen = watch.stop();
        for sight in &seen {
            let kept = sight.has("1.0.0", None) || sight.has("2.0.0", Some("ACTIVATED"));
            assert!(kept, "the old one was gone before the new one was active: {seen:?}");
        }
        stage.delete(&new).await;
    });
}

/// The same policy for a web module with a fixed context path is impossible. It stops at the first base, the old version
/// goes on serving on both, and the status says what to do.
#[test]
fn two_versions_of_a_web_module_on_one_base_stop_at_the_first() {
    play("context clash", async |stage| {
        let old = Deployment::of("hello", "1.0.0").with_service().policy("install_then_uninstall");
        let new = old.version("2.0.0");
        stage.apply(&old).await;
        stage.released(&old).await;

        let (client, watch) = (ServiceClient::start(stage, "hello-service", "/hello/").await, Watch::start(stage));
        stage.apply(&new).await;
        let message = stage.message_with(&new, "uninstall_then_install").await;
        println!("the Module says: {message}");
        assert!(message.contains("/hello"), "{message}");
        // Until it has been tried once more, it stays at one base.
        let begin = client.tally().answered();
        stage
            .eventually("a hundred more answers", async || (client.tally().answered() > begin + 100).then_some(()))
            .await;
        let modules = stage.modules("hello").await;
        let (new_ones, old_ones): (Vec<_>, Vec<_>) = modules.iter().partition(|found| version_of(found) == "2.0.0");
        assert_eq!(new_ones.len(), 1, "it stops at the first base");
        assert_eq!(old_ones.iter().map(|found| phase_of(found)).collect::<Vec<_>>(), ["Available", "Available"]);

        // Taken back, nothing is left of the attempt.
        stage.apply(&old).await;
        stage.released(&old).await;
        let (tally, seen) = (client.stop().await, watch.stop());
        assert_eq!(tally.failures, Vec::<String>::new());
        assert_eq!(tally.answers.keys().collect::<Vec<_>>(), ["hello from 1.0.0"]);
        assert!(seen.iter().all(|sight| sight.has("1.0.0", Some("ACTIVATED"))), "{seen:?}");
        for base in &stage.bases {
            assert_eq!(base.list().await, ["hello 1.0.0 ACTIVATED"], "{}", base.pod);
        }
        stage.delete(&old).await;
    });
}

/// How many of the bases were without an active biz at the same time, at worst.
fn without_active(seen: &[Sight]) -> usize {
    let mut active = [true; 2];
    let mut worst = 0;
    for sight in seen {
        active[sight.base] = sight.list.iter().any(|biz| biz.ends_with(" ACTIVATED"));
        worst = worst.max(active.iter().filter(|active| !**active).count());
    }
    worst
}
