//! Requests without a pause through everything that an operator does to a module that serves: upgraded in place,
//! upgraded onto a free base, scaled down, switched beside the old one. Not one may fail.
//!
//! The clients are [`crowd`](crate::crowd)'s, whose rules say what a failed request is; for a module without a web
//! context the bases are [watched](crate::watch) instead. Each story prints what it counted. No failure is excused here,
//! and each story shows that the load was there: before, during and after the change, and on both versions.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    crowd::{Book, Crowd},
    stage::{Deployment, Stage, play},
    watch::Watch,
};

/// Longer than a list of endpoints may be old, with room for the way from the label to the list.
pub const DRAIN: i32 = 2;
/// So many answers before and after each change.
pub const SOME: usize = 200;
pub const OLD: &str = "hello from 1.0.0";
pub const NEW: &str = "hello from 2.0.0";

/// One base after the other is drained, emptied and filled again, and then one of the two is given up.
#[test]
fn no_request_is_lost_in_an_upgrade_in_place_and_a_scale_down() {
    play("load, in place", async |stage| {
        let old = Deployment::of("hello", "1.0.0").with_service().drain(DRAIN);
        let new = old.version("2.0.0");
        let crowd = served(stage, &old).await;

        stage.apply(&new).await;
        stage.released(&new).await;
        stage.endpoints_are("hello-service", &addresses(stage)).await;
        crowd.answers(stage, SOME).await;
        let upgraded = crowd.so_far();
        println!("uninstall_then_install: {upgraded}");
        lossless(stage, &upgraded);
        assert_eq!(upgraded.addresses, Some((1, 2)), "one base at a time");

        let one = new.replicas(1);
        stage.apply(&one).await;
        stage.released(&one).await;
        let left = settled(stage, 1).await;
        stage.endpoints_are("hello-service", &left).await;
        crowd.answers(stage, SOME).await;
        let scaled = crowd.stop().await;
        println!("and scaled down to one: {scaled}");
        lossless(stage, &scaled);
        assert_eq!(scaled.addresses, Some((1, 2)), "never without a base");
        stage.delete(&one).await;
    });
}

/// The new version comes up on a third, free base before an old one leaves; the base that this frees is the next.
#[test]
fn no_request_is_lost_in_an_upgrade_onto_a_third_base() {
    play("load, onto a third base", async |stage| {
        stage.add_base().await;
        let old = Deployment::of("hello", "1.0.0").with_service().drain(DRAIN).policy("scaleup_then_scaledown");
        let new = old.version("2.0.0");
        let crowd = served(stage, &old).await;
        let before = serving(stage).await;
        let free = addresses(stage).difference(&before).copied().next().expect("one of three is free");

        stage.apply(&new).await;
        stage.released(&new).await;
        let after = settled(stage, 2).await;
        assert_eq!(before.len(), 2, "{before:?}");
        assert!(after.contains(&free), "{free} was free: {after:?}");
        stage.endpoints_are("hello-service", &after).await;
        crowd.answers(stage, SOME).await;
        let book = crowd.stop().await;
        println!("scaleup_then_scaledown: {book}");
        lossless(stage, &book);
        assert_eq!(book.addresses.map(|(fewest, _)| fewest), Some(2), "up first, and then down");
        stage.delete(&new).await;
    });
}

/// Nobody asks such a module over HTTP; its callers are in the same JVM, and get the version that is active. There always
/// is one.
#[test]
fn a_module_without_a_web_context_always_has_an_active_version() {
    play("load, side by side", async |stage| {
        let old = Deployment::of("quiet", "1.0.0").policy("install_then_uninstall");
        let new = old.version("2.0.0");
        stage.apply(&old).await;
        stage.released(&old).await;
        let watch = Watch::start(stage);
        looks(stage, &watch).await;

        stage.apply(&new).await;
        stage.released(&new).await;
        looks(stage, &watch).await;
        let count = watch.looks();
        let seen = watch.stop();
        println!("install_then_uninstall: {count:?}; {seen:?}");
        for (index, base) in stage.bases.iter().enumerate() {
            let of_it: Vec<_> = seen.iter().filter(|sight| sight.base == index).collect();
            let without = of_it.iter().filter(|sight| !sight.list.iter().any(|biz| biz.ends_with(" ACTIVATED")));
            assert_eq!(without.count(), 0, "{} was without an active version: {seen:?}", base.pod);
            assert_eq!(of_it.first().map(|sight| sight.has("1.0.0", Some("ACTIVATED"))), Some(true), "{seen:?}");
            assert_eq!(of_it.last().map(|sight| &*sight.list), Some(&["quiet 2.0.0 ACTIVATED".to_owned()][..]));
        }
        stage.delete(&new).await;
    });
}

/// Releases it, and begins to ask when its Service has all its bases.
pub async fn served(stage: &Stage, old: &Deployment) -> Crowd {
    stage.apply(old).await;
    stage.released(old).await;
    stage.endpoints_are("hello-service", &serving(stage).await).await;
    asked(stage, "hello-service").await
}

/// Begins to ask, and waits for the first answers.
pub async fn asked(stage: &Stage, service: &str) -> Crowd {
    let crowd = Crowd::start(stage, service, "/hello/", &[OLD, NEW]);
    crowd.answers(stage, SOME).await;
    crowd
}

pub fn addresses(stage: &Stage) -> BTreeSet<IpAddr> {
    stage.bases.iter().map(|base| base.at.ip).collect()
}

/// Waits until so many Modules are left, because one that drains doesn't count for the release; gives their bases.
async fn settled(stage: &Stage, count: usize) -> BTreeSet<IpAddr> {
    let what = format!("{count} Modules are left");
    stage.eventually(&what, async || (stage.modules("hello").await.len() == count).then_some(())).await;
    let left = serving(stage).await;
    assert_eq!(left.len(), count, "a Module for each base that serves: {left:?}");
    left
}

/// The bases on which the module is active, as the bases themselves say.
async fn serving(stage: &Stage) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for base in &stage.bases {
        if base.list().await.iter().any(|biz| biz.starts_with("hello ") && biz.ends_with(" ACTIVATED")) {
            found.insert(base.at.ip);
        }
    }
    found
}

/// Nothing was lost, and there was something to lose.
pub fn lossless(stage: &Stage, book: &Book) {
    assert_eq!(book.failures, Vec::<String>::new(), "of {} requests", book.answered() + book.failures.len());
    assert!(book.count(OLD) >= SOME && book.count(NEW) >= SOME, "{book}");
    for base in &stage.bases {
        assert!(book.answers.keys().any(|(address, _)| *address == base.at.ip), "{} was never asked: {book}", base.pod);
    }
}

/// Waits for some looks at the bases.
async fn looks(stage: &Stage, watch: &Watch) {
    let begin = watch.looks().answered;
    stage.eventually("more looks", async || (watch.looks().answered >= begin + SOME).then_some(())).await;
}
