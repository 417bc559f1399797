//! The support bundle holds what helps, and nothing that nobody should see.

use std::{collections::BTreeMap, io::Read};

use rig::cluster::{Kind, World, scenario, text};
use serde_json::json;

use super::{done, run};

/// The files of a bundle, by name.
fn unpacked(path: &std::path::Path) -> BTreeMap<String, String> {
    let file = std::fs::File::open(path).expect("the bundle");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.expect("an entry");
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("a text");
        let name =
            entry.path().expect("its name").strip_prefix("support-bundle").expect("its folder").display().to_string();
        (name, content)
    };
    archive.entries().expect("entries").map(read).collect()
}

async fn secrets(world: &World) {
    let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(json!({
        "metadata": { "name": "registry", "labels": { "koupleless.io/x": "y" } }, "stringData": { "password": "pa55-secret" },
    }))
    .expect("a Secret");
    let api: kube::Api<k8s_openapi::api::core::v1::Secret> = kube::Api::namespaced(world.client(), world.namespace());
    api.create(&kube::api::PostParams::default(), &secret).await.expect("it is created");
}

#[test]
fn the_bundle_says_what_is_wrong_and_holds_no_credentials() {
    scenario("support_bundle", |world| async move {
        let mut base = rig::cluster::base_deployment("base", 1);
        base["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "PASSWORD", "value": "pa55-env" }]);
        world.bases_of(base).await;
        secrets(&world).await;
        let url = "https://user:pa55-url@jars.example/hello.jar?token=pa55-query";
        let module = json!({ "name": "hello", "version": "1.0.0", "url": url });
        let spec =
            json!({ "baseDeploymentName": "nowhere", "replicas": 1, "template": { "spec": { "module": module } } });
        let manifest = json!({ "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment", "metadata": { "name": "hello" }, "spec": spec });
        let last = "kubectl.kubernetes.io/last-applied-configuration";
        let metadata = json!({ "name": "hello", "annotations": { last: manifest.to_string() } });
        world.create(Kind::ModuleDeployment, json!({ "metadata": metadata, "spec": spec })).await;
        world.until_condition("hello", "Progressing", "False", "BaseDeploymentNotFound").await;
        let path = world.file("bundle.tar.gz");
        let args = ["support-bundle", "-o", path.to_str().expect("a name"), "--operator-namespace", world.namespace()];

        let said = done(&world, &args).await;

        assert!(said.contains("read summary.txt first"), "{said}");
        let files = unpacked(&path);
        let summary = &files["summary.txt"];
        assert!(summary.contains("Kubernetes v1."), "{summary}");
        let complaint =
            format!("ModuleDeployment {}/hello: Progressing False, BaseDeploymentNotFound: ", world.namespace());
        assert!(summary.contains(&complaint), "{summary}");
        assert!(summary.contains("no pod of the operator was found in"), "{summary}");
        let deployments = &files[&format!("objects/{}/moduledeployments.yaml", world.namespace())];
        assert!(deployments.contains("https://REDACTED@jars.example/hello.jar?token=REDACTED"), "{deployments}");
        assert!(deployments.contains(last), "{deployments}");
        assert!(files["access.txt"].contains("yes list moduledeployments in "), "{}", files["access.txt"]);
        for (name, content) in &files {
            assert!(!content.contains("pa55"), "{name}: {content}");
            assert!(!name.contains("secret"), "{name}");
        }
        let again = run(&world, &args).await;
        assert!(
            String::from_utf8_lossy(&again.stderr).contains("name another file with -o"),
            "what exists isn't overwritten"
        );
        assert!(!text(&world.deployment("hello").await, "/metadata/uid").is_empty());
    });
}
