//! Back to V1: this operator stops, V1's CRDs take the place of ours, and every object is what V1 reads. The Go V1 itself
//! isn't run here; what it reads is its contract.

use std::{collections::BTreeSet, time::Duration};

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, SOON, World, text},
};
use serde_json::{Value, json};

use crate::{cluster::settled, dump::Dump, v1::story_alone, v1_kinds};

/// The only fields that V1's CRDs drop from a cluster that was taken over, as docs/migration.md lists them.
const LOST: [&str; 8] = [
    "ModuleDeployment.spec.scaleReplicas",
    "ModuleDeployment.status.selector",
    "ModuleDeployment.status.releaseStatus.completedRevision",
    "ModuleDeployment.status.releaseStatus.lastProgressTime",
    "Module.status.installed",
    "Module.status.message",
    "Module.status.observedGeneration",
    "Module.status.reason",
];
const KINDS: [Kind; 3] = [Kind::ModuleDeployment, Kind::ModuleReplicaSet, Kind::Module];

/// The paths of `had` that `left` lacks, down to the first that is missing.
fn missing(had: &Value, left: &Value, path: &str, found: &mut BTreeSet<String>) {
    match (had, left) {
        (had, Value::Null) if !had.is_null() => _ = found.insert(path.to_owned()),
        (Value::Object(fields), _) => {
            for (name, value) in fields {
                missing(value, &left[name], &format!("{path}.{name}"), found);
            }
        }
        (had, left) => assert_eq!(had, left, "{path}"),
    }
}

/// What V1 goes by, on one object.
fn is_read_by_v1(kind: Kind, object: &Value, pods: &BTreeSet<String>) {
    let name = text(object, "/metadata/name");
    let finalizers = object["metadata"]["finalizers"].to_string();
    let label = |key: &str| {
        object["metadata"]["labels"][format!("koupleless.io/{key}")].as_str().unwrap_or_default().to_owned()
    };
    let (deployment, revision) = (label("module-deployment"), label("module-replicaset-revision"));
    match kind {
        Kind::ModuleDeployment => {
            assert!(
                finalizers.contains("module-replicaset-existed") && finalizers.contains("module-existed"),
                "{name}"
            );
            let progress = text(object, "/status/releaseStatus/progress");
            let known = [
                "Init",
                "WaitingForConfirmation",
                "Executing",
                "Paused",
                "Completed",
                "Aborted",
                "Terminating",
                "Terminated",
            ];
            assert!(known.contains(&progress), "{name}: {progress}");
        }
        Kind::ModuleReplicaSet => {
            assert_eq!(name, format!("{deployment}-replicas-{revision}"));
            assert!(finalizers.contains("koupleless.io/module-existed"), "{name}");
            assert_eq!(object["spec"]["selector"], json!({ "matchLabels": { "app": "runtime" } }), "{name}");
        }
        _ => {
            assert!(name.starts_with(&format!("{deployment}-replicas-{revision}-{}-", label("module-name"))), "{name}");
            assert_eq!(label("module-replicaset"), format!("{deployment}-replicas-{revision}"));
            assert_eq!(label("module-version"), text(object, "/spec/module/version"));
            assert!(pods.contains(&label("base-instance-name")) && !label("base-instance-ip").is_empty(), "{name}");
            assert_eq!(text(object, "/metadata/ownerReferences/0/kind"), "Pod", "{name}");
            assert!(finalizers.contains("koupleless.io/allocate-pod"), "{name}");
            let phase = text(object, "/status/status");
            let known = ["Pending", "Prepare", "Upgrading", "Completing", "Available", "Terminating"];
            assert!(known.contains(&phase), "{name}: {phase}");
        }
    }
}

async fn stored(world: &World) -> Vec<(Kind, Value)> {
    let mut all = Vec::new();
    for kind in KINDS {
        all.extend(world.list(kind).await.into_iter().map(|object| (kind, object)));
    }
    all.sort_by_key(|(kind, object)| (format!("{kind:?}"), text(object, "/metadata/name").to_owned()));
    all
}

/// Puts our kinds back at its end, whatever happens.
pub struct OurKinds;

impl Drop for OurKinds {
    fn drop(&mut self) {
        let root = env!("CARGO_MANIFEST_DIR");
        let args = ["apply", "--server-side", "--force-conflicts", "-k", "crds"];
        let back = std::process::Command::new("kubectl").args(args).current_dir(root).output().expect("kubectl");
        assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    }
}

#[test]
fn the_way_back_loses_what_v1_never_knew_and_nothing_else() {
    story_alone("the_way_back", |world| async move {
        world.sim().jar("file:///jars/broken-9.9.9.jar", Behaviour::fails("java.lang.Error: no such bean"));
        let dump = Dump::load(&world).await;
        world.start_operator().await;
        settled(&world).await;
        world.no_writes_for(Duration::from_secs(2)).await;
        world.stop_operator().await;
        let ours = stored(&world).await;
        let asked = dump.calls(&world);

        let kinds = OurKinds;
        world.apply_anywhere(&v1_kinds::manifests()).await;
        let look = || async {
            let now = world.deployment("everywhere").await;
            if now["spec"]["scaleReplicas"].is_null() { Ok(()) } else { Err(now["spec"].to_string()) }
        };
        world.eventually(SOON, "V1's kinds", look).await;
        let theirs = stored(&world).await;
        let pods: BTreeSet<String> = dump.all().into_iter().map(|pod| pod.name).collect();
        let mut lost = BTreeSet::new();
        assert_eq!(ours.len(), theirs.len());
        for ((kind, had), (_, left)) in ours.iter().zip(&theirs) {
            is_read_by_v1(*kind, left, &pods);
            assert_eq!(had["metadata"], left["metadata"], "labels, finalizers, owners, annotations stay");
            missing(had, left, &format!("{kind:?}"), &mut lost);
        }
        let documented: BTreeSet<String> = LOST.map(str::to_owned).into();
        assert_eq!(lost, documented);
        for field in LOST {
            let field = field.split_once('.').expect("a kind").1;
            assert!(crate::dump::read("docs/migration.md").contains(&format!("`{field}`")), "{field} is documented");
        }
        drop(kinds);

        // And here again: what V1 didn't touch is as it was.
        world.start_operator().await;
        settled(&world).await;
        let mut now = dump.calls(&world);
        now.retain(|(_, what), _| !what.contains("broken:"));
        assert!(now.iter().all(|(key, count)| asked.get(key) == Some(count)), "nothing is installed again: {now:#?}");
    });
}
