//! `kubectl module validate` against the API server: what one refuses the other refuses too, and what one takes the other takes.
//!
//! The manifests go through a real `kubectl`, which reads YAML in its own way and asks for a strict check of fields, and to a
//! namespace with the admission policy, as in the default install.

use std::fmt::Write;

use futures::{StreamExt, stream};
use module_controller::{cli::validate::check, domain::validation::Severity};
use serde_json::json;

use crate::{
    cluster::{Policy, Space, in_namespace},
    refused::{FILES, cases},
};

/// Calls of `kubectl` at a time.
const AT_ONCE: usize = 4;

/// A good manifest of a ModuleDeployment; the table replaces parts of it.
const GOOD: &str = concat!(include_str!("../fixtures/hello.yaml"), "  operationStrategy:\n    needConfirm: true\n");

/// What is replaced in the good manifest, and by what. Nobody says here which of them are good: that both agree is enough,
/// and a test below counts that there are some of each.
const TABLE: &[(&str, &str)] = &[
    ("", ""),
    ("replicas: 2", "replicas: 2.0"),
    ("replicas: 2", "replicas: 2.5"),
    ("replicas: 2", "replicas: 010"),
    ("replicas: 2", "replicas: 0x10"),
    ("replicas: 2", "replicas: 1_0"),
    ("replicas: 2", "replicas: 1e1"),
    ("replicas: 2", "replicas: \"2\""),
    ("replicas: 2", "replicas: ~"),
    ("replicas: 2", "replicas:"),
    ("replicas: 2", "replicas: -1"),
    ("replicas: 2", "replicas: yes"),
    ("replicas: 2", "pause: true"),
    ("replicas: 2", "paused: true"),
    ("replicas: 2", "paused: on"),
    ("replicas: 2", "paused: \"on\""),
    ("replicas: 2", "currentGroupConfirmation: true"),
    ("replicas: 2", "delivery: VirtualPod"),
    ("replicas: 2", "delivery: virtualpod"),
    ("replicas: 2", "schedulingStrategy: {schedulingPolicy: Scatter}"),
    ("replicas: 2", "schedulingStrategy: {schedulingPolicy: ~}"),
    ("replicas: 2", "schedulingStrategy: null"),
    ("version: 1.0.0", "version: 1.0"),
    ("version: 1.0.0", "version: 1"),
    ("version: 1.0.0", "version: '1.0'"),
    ("version: 1.0.0", "version: 2026-11-25"),
    ("version: 1.0.0", "version: 12:30"),
    ("version: 1.0.0", "version: on"),
    ("version: 1.0.0", "version: null"),
    ("version: 1.0.0", "version: 1.0.0\n        md5: 12e3"),
    ("version: 1.0.0", "version: 1.0.0\n        typ: x"),
    ("needConfirm: true", "needConfirm: \"true\""),
    ("needConfirm: true", "needConfirm: 1"),
    ("needConfirm: true", "grayTime: 5"),
    ("needConfirm: true", "upgradePolicy: installThenUninstall"),
    ("needConfirm: true", "maxUnavailable: 50%"),
    ("needConfirm: true", "maxUnavailable: 1.0"),
    ("needConfirm: true", "batchCount: [1]"),
    ("https://jars.example/hello-1.0.0.jar", "https://jars.example/%zz.jar"),
    ("https://jars.example/hello-1.0.0.jar", "https://jars.example:port/a.jar"),
    ("https://jars.example/hello-1.0.0.jar", "https://user:pw@jars.example:8443/a.jar?x=%zz#y"),
    ("https://jars.example/hello-1.0.0.jar", "HTTPS://jars.example/a.jar"),
    ("https://jars.example/hello-1.0.0.jar", "jar:https://jars.example/all.jar!/a.jar"),
    ("https://jars.example/hello-1.0.0.jar", "https://[::1]:8080/a.jar"),
    ("name: hello\nspec", "name: Hello\nspec"),
    ("name: hello\nspec", "name: hello.v2\nspec"),
    ("name: hello\nspec", "generateName: hello-\nspec"),
    ("name: hello\nspec", "name: hello\n  nmae: x\nspec"),
    ("name: hello\nspec", "name: hello\n  labels: {tier: 1}\nspec"),
    ("name: hello\nspec", "name: hello\n  labels: {tier: web, a b: c}\nspec"),
    ("name: hello\nspec", "name: hello\n  labels: {tier: \"a b\"}\nspec"),
    ("name: hello\nspec", "name: hello\n  annotations: {Example.COM/X: \"a b\"}\nspec"),
    ("name: hello\nspec", "name: hello\n  annotations: {a: true}\nspec"),
    ("kind: ModuleDeployment", "kind: Moduledeployment"),
    ("v1alpha1", "v1"),
    ("koupleless.io/", "koupleless.alipay.com/"),
    ("kind: ModuleDeployment\n", ""),
    ("spec:\n  base", "stauts: {}\nspec:\n  base"),
    ("baseDeploymentName: base", "baseDeploymentName: &base base\n  minReadySeconds: 5"),
    ("baseDeploymentName: base", "baseDeploymentname: base"),
    ("baseDeploymentName: base", "baseDeploymentName: base\n  baseDeploymentName: other"),
    ("  template:\n    spec:", "  template:\n    metadata: {labels: {koupleless.io/x: y}}\n    spec:"),
    ("  template:\n    spec:", "  template:\n    metadata: {name: x}\n    spec:"),
];

/// What the API server says, by `kubectl`; `None` where it takes the manifest.
async fn refusal(space: &Space, text: &str) -> Option<String> {
    let said = space.kubectl_with(&["create", "--dry-run=server", "-f", "-"], text).await;
    (!said.ok).then_some(said.err)
}

/// Asks both about every manifest, and gives how many both took and both refused.
async fn compared(space: &Space, manifests: Vec<(String, String)>) -> (usize, usize) {
    let asked = stream::iter(manifests).map(|(name, text)| async move { (refusal(space, &text).await, name, text) });
    let answers: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    let (mut taken, mut refused, mut differ) = (0, 0, String::new());
    for (theirs, name, text) in answers {
        let found = check::file("x", &text).findings;
        let ours = found.iter().any(|finding| finding.severity == Severity::Error);
        match (&theirs, ours) {
            (None, false) => taken += 1,
            (Some(_), true) => refused += 1,
            _ => writeln!(differ, "{name}: the API server says {theirs:?}, validate {found:?}").expect("a String"),
        }
    }
    assert!(differ.is_empty(), "{differ}");
    (taken, refused)
}

#[tokio::test]
async fn both_agree_about_every_manifest_of_the_table() {
    in_namespace(Policy::On, |space| async move {
        let manifest = |(from, to): &(&str, &str)| {
            assert!(GOOD.contains(from), "{from}");
            (format!("{from:?} -> {to:?}"), GOOD.replacen(from, to, 1))
        };
        let (taken, refused) = compared(&space, TABLE.iter().map(manifest).collect()).await;
        assert!(taken >= 20 && refused >= 25, "{taken} taken, {refused} refused");
    })
    .await;
}

#[tokio::test]
async fn both_agree_about_every_resource_that_somebody_got_wrong() {
    in_namespace(Policy::On, |space| async move {
        let manifest = |case: crate::refused::Case| {
            let mut object = case.resource();
            object["apiVersion"] = json!("koupleless.io/v1alpha1");
            object["kind"] = json!("ModuleDeployment");
            (case.name, object.to_string())
        };
        let all = FILES.into_iter().flat_map(cases).map(manifest).collect();
        let (taken, refused) = compared(&space, all).await;
        assert!(taken >= 10 && refused >= 40, "{taken} taken, {refused} refused");
    })
    .await;
}
