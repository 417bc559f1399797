use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// `severity line:column field message`, one a line.
fn said(text: &str) -> Vec<String> {
    let report = file("x.yaml", text);
    let line = |f: &Finding| format!("{:?} {}:{} {}: {}", f.severity, f.at.line, f.at.column, f.field, f.message);
    report.findings.iter().map(line).collect()
}

fn assert_said(text: &str, expected: &[&str]) {
    let said = said(text);
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{expected:?} isn't in {said:?}");
    }
}

const GOOD: &str = include_str!("../../../../tests/fixtures/hello.yaml");

#[test]
fn a_good_manifest_and_our_samples_have_nothing_wrong() {
    assert_said(GOOD, &[]);
    for file in ["config/samples/moduledeployment.yaml", "config/samples/vpods.yaml", "samples/moduledeployment.yaml"] {
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let report = super::file(file, &text);
        assert_eq!(report.findings, [], "{file}");
        assert!(report.checked > 0, "{file}");
    }
}

#[test]
fn what_v1_called_otherwise_is_told_with_the_right_name() {
    let text = GOOD.to_owned()
        + "  pause: true\n  currentGroupConfirmation: 1\n  operationStrategy:\n    grayTime: 5\n    upgradePolicy: uninstallThenInstall\n  schedulingStrategy:\n    schedulingPolicy: Scatter\n";
    assert_said(
        &text,
        &[
            "Error 14:3 spec.pause: is the name from before December 2023; write paused",
            "Error 15:3 spec.currentGroupConfirmation: is the name from before December 2023; write confirmBatchNum",
            "Error 17:5 spec.operationStrategy.grayTime: is unknown; write grayTimeBetweenBatchSeconds",
            "Warning 18:5 spec.operationStrategy.upgradePolicy: \"uninstallThenInstall\" is unknown and means install_then_uninstall; write uninstall_then_install",
            "Error 20:23 spec.schedulingStrategy.schedulingPolicy: \"Scatter\" is none of scatter, stacking; write scatter",
        ],
    );
    for group in OLD_GROUPS {
        assert_said(&GOOD.replace("koupleless.io", group), &[&format!("Error 1:1 apiVersion: {group} is V1's group")]);
    }
}

#[test]
fn wrong_types_and_values_are_told_at_their_place() {
    let text = GOOD.replace("replicas: 2", "replicas: \"2\"").replace("1.0.0\n        url", "1.0\n        url");
    assert_said(
        &text,
        &[
            "Error 7:13 spec.replicas: is the text \"2\"; write a whole number",
            "Error 12:18 spec.template.spec.module.version: is the number 1.0; put it in quotes: \"1.0\"",
        ],
    );
    let text = GOOD.replace("replicas: 2", "replicas: -2") + "  minReadySeconds: 60\n  progressDeadlineSeconds: 60\n";
    assert_said(
        &text,
        &[
            "Error 7:13 spec.replicas: -2 is less than -1; write -1 or more",
            "Error 15:3 spec.progressDeadlineSeconds: 60 is not more than",
        ],
    );
    let text = GOOD.replace("        url: https://jars.example/hello-1.0.0.jar\n", "");
    assert_said(&text, &["Error 11:9 spec.template.spec.module.url: is missing"]);
    let text = GOOD.replace("  name: hello\nspec", "  name: Hello\n  labels: {a b: c, tier: 1}\n  nmae: x\nspec");
    assert_said(
        &text,
        &[
            "4:3 metadata.name: \"Hello\" is no name",
            "5:3 metadata.labels: \"a b\" is no legal label key",
            "5:26 metadata.labels.tier: is the number 1",
            "6:3 metadata.nmae: is unknown; did you mean name?",
        ],
    );
}

#[test]
fn fields_that_are_misspelt_misplaced_or_doubled_are_told() {
    let text = GOOD.replace("baseDeploymentName", "baseDeploymentname") + "  batchCount: 2\n  replicas: 3\n";
    assert_said(
        &text,
        &[
            "6:3 spec.baseDeploymentname: is unknown; did you mean baseDeploymentName?",
            "6:3 spec.baseDeploymentName: is missing",
            "14:3 spec.batchCount: is unknown here; did you mean spec.operationStrategy.batchCount?",
            "15:3 : field \"replicas\" stands twice",
        ],
    );
}

#[test]
fn lists_documents_and_other_kinds_are_told_apart() {
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", GOOD.trim_end().replace('\n', "\n  "));
    let text = format!(
        "{list}\n---\nkind: Service\napiVersion: v1\n---\n{}---\nreplicas: 2\n",
        GOOD.replace("replicas: 2", "replicas: 1.5")
    );
    let report = file("x.yaml", &text);
    assert_eq!((report.checked, report.skipped), (3, 1));
    assert_said(&text, &["27:13 spec.replicas: is the number 1.5; write a whole number", "35:1 kind: is missing"]);
    assert_said(
        &GOOD.replace("ModuleDeployment", "Moduledeployment"),
        &["2:1 kind: Moduledeployment is no kind of koupleless.io; write ModuleDeployment"],
    );
    assert_said(&GOOD.replace("v1alpha1", "v1"), &["1:1 apiVersion: v1 isn't served"]);
}

#[test]
fn module_pods_are_looked_at_and_other_workloads_are_not() {
    let vpods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: m}\nspec:\n  template:\n    metadata:\n      labels: {virtual-kubelet.koupleless.io/component: module}\n    spec:\n      containers:\n      - name: m\n        image: nginx\n";
    assert_said(
        vpods,
        &[
            "Warning 8:5 spec.template.spec.tolerations: don't tolerate",
            "Warning 10:9 spec.template.spec.containers[0].env: has no BIZ_VERSION",
            "Warning 11:9 spec.template.spec.containers[0].image: names no .jar",
        ],
    );
    assert_eq!(file("x", &vpods.replace("component: module", "component: other")).skipped, 1);
}

/// A ModuleDeployment with anything in its fields that their types allow, good or bad.
fn any_deployment() -> impl Strategy<Value = Value> {
    let number = || prop_oneof![-3i64..4, Just(600), Just(70_000), Just(i64::from(i32::MAX)), Just(3_000_000_000)];
    let text = || {
        prop_oneof![
            Just(String::new()),
            "[a-zA-Z0-9_./: %+-]{0,12}",
            Just("https://host/a.jar".to_owned()),
            Just("m".repeat(254))
        ]
    };
    let policy =
        prop_oneof![text(), Just("scaleup_then_scaledown".to_owned()), Just("uninstall_then_install".to_owned())];
    let either = prop_oneof![
        number().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(json!("50%")),
        Just(json!("101%"))
    ];
    let module = (text(), text(), text(), any::<bool>());
    let service = (any::<bool>(), number(), either.clone(), number());
    let labels = prop::collection::btree_map("[a-z./ ]{1,12}", "[a-z+]{0,5}", 0..2);
    ((text(), module, labels), (number(), number(), number(), number(), number()), (policy, either, service, text())).prop_map(
        |((base, (name, version, url, has_module), labels), (replicas, ready, deadline, batches, confirm), (policy, most, service, inner))| {
            let (enabled, port, target, drain) = service;
            let mut object = json!({
                "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment", "metadata": { "name": "any" },
                "spec": {
                    "baseDeploymentName": base, "replicas": replicas, "minReadySeconds": ready, "confirmBatchNum": confirm,
                    "progressDeadlineSeconds": deadline,
                    "template": { "metadata": { "labels": labels }, "spec": { "upgradePolicy": inner } },
                    "operationStrategy": {
                        "batchCount": batches, "upgradePolicy": policy, "maxUnavailable": most,
                        "serviceStrategy": { "enableModuleService": enabled, "port": port, "targetPort": target, "drainSeconds": drain },
                    },
                },
            });
            if has_module {
                object["spec"]["template"]["spec"]["module"] = json!({ "name": name, "version": version, "url": url });
            }
            object
        },
    )
}

proptest! {
    /// The operator's validation is the reference: an error there is an error here, in whatever way the manifest is written.
    #[test]
    fn whatever_the_operator_refuses_is_refused_here(object in any_deployment()) {
        let typed: Result<ModuleDeployment, _> = serde_json::from_value(object.clone());
        let refused = typed.map_or(true, |typed| validate(&typed).iter().any(|v| v.severity == Severity::Error));
        for text in [object.to_string(), serde_yaml_ng::to_string(&object).unwrap()] {
            let errors = file("x", &text).findings.iter().filter(|f| f.severity == Severity::Error).count();
            prop_assert!(!refused || errors > 0, "{}", text);
        }
    }
}
