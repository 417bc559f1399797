//! `--dry-run` on V1's cluster: it tells what the take-over then does, and leaves no trace.

use std::collections::BTreeMap;

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, World, text},
};
use serde_json::Value;

use crate::{cluster::settled, dump::Dump, process::run, v1::story};

/// The resource version of everything in the namespace that the operator could write.
async fn versions(world: &World) -> BTreeMap<String, String> {
    let kinds = [
        Kind::ModuleDeployment,
        Kind::ModuleReplicaSet,
        Kind::Module,
        Kind::Pod,
        Kind::Service,
        Kind::Deployment,
        Kind::Event,
    ];
    let mut versions = BTreeMap::new();
    for kind in kinds {
        for object in world.list(kind).await {
            let key = format!("{kind:?} {}", text(&object, "/metadata/name"));
            versions.insert(key, text(&object, "/metadata/resourceVersion").to_owned());
        }
    }
    versions
}

/// The foretold commands, as `Install name:version` with their number. On which base what is new comes depends on the order
/// in which deployments come to it.
fn foretold(report: &Value) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for row in report["calls"].as_array().expect("calls") {
        let verb = match text(row, "/verb") {
            "installBiz" => "Install",
            "uninstallBiz" => "Uninstall",
            other => panic!("nothing else is needed: {other}"),
        };
        let biz = text(row, "/change").split(' ').next().unwrap_or_default();
        *calls.entry(format!("{verb} {biz}")).or_insert(0) += 1;
    }
    calls
}

#[test]
fn a_dry_run_foretells_the_take_over_and_writes_nothing() {
    story("a_dry_run", |world| async move {
        world.sim().jar("file:///jars/broken-9.9.9.jar", Behaviour::fails("java.lang.Error: no such bean"));
        let dump = Dump::load(&world).await;
        // The controllers of the cluster itself have caught up with what was made.
        world.no_writes_for(std::time::Duration::from_secs(2)).await;
        let before = versions(&world).await;

        let said = run(&world, &["--dry-run", "-o", "json"]).await;
        let log = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(0), "{log}");
        let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let table = run(&world, &["--dry-run"]).await;
        let table = String::from_utf8_lossy(&table.stdout).into_owned();

        assert_eq!(versions(&world).await, before, "nothing is written");
        assert_eq!(dump.calls(&world), BTreeMap::new(), "nobody is told anything");
        assert!(!world.kubectl(&["get", "leases", "-o", "name"]).await.contains("2245841c"), "no lease is taken");

        let found = report["findings"].as_array().expect("findings");
        let finds =
            |words: &[&str]| found.iter().any(|one| words.iter().all(|w| one.as_str().unwrap_or_default().contains(w)));
        for words in [
            &["everywhere", "applied with replicas -1", "overwritten by V1 with 5"][..],
            &["doubled", "old revisions run on", "1.0.0 on runtime-"],
            &["misspelt", "installThenUninstall"],
        ] {
            assert!(finds(words), "{words:?}: {found:#?}");
        }
        for words in ["VERB", "uninstallBiz", "doubled:1.0.0", "old revision 1 of doubled", "Nothing was written."] {
            assert!(table.contains(words), "{words}:\n{table}");
        }
        println!("{table}");

        world.start_operator().await;
        settled(&world).await;
        let mut real: BTreeMap<String, usize> = BTreeMap::new();
        for ((_, what), count) in dump.calls(&world) {
            *real.entry(what).or_insert(0) += count;
        }
        // Fails in reality, and is tried again.
        real.insert("Install broken:9.9.9".to_owned(), 1);
        assert_eq!(foretold(&report), real);
    });
}

#[test]
fn a_dry_run_that_cannot_read_the_cluster_says_so() {
    story("a_blind_dry_run", |world| async move {
        let said = run(&world, &["--dry-run", "--kubeconfig=no/such/file"]).await;
        assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(2), &b""[..]));
        assert!(String::from_utf8_lossy(&said.stderr).contains("cannot use the kubeconfig no/such/file"));
    });
}
