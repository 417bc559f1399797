use serde_json::{Value, json};

use super::{
    Severity::{Error, Warning},
    *,
};

/// A good deployment with one value put at `path` (null takes the field away).
fn with(changes: &[(&str, Value)]) -> ModuleDeployment {
    let mut object = json!({
        "metadata": { "name": "hello" },
        "spec": {
            "baseDeploymentName": "base",
            "replicas": 2,
            "template": { "metadata": {}, "spec": { "module": {
                "name": "hello", "version": "1.0.0", "url": "https://jars.example/hello-1.0.0.jar"
            } } },
            "operationStrategy": { "serviceStrategy": { "enableModuleService": true, "port": 80, "targetPort": 8080 } },
            "schedulingStrategy": { "schedulingPolicy": "scatter" },
        },
    });
    for (path, value) in changes {
        let keys: Vec<&str> = path.split('.').collect();
        let (last, parents) = keys.split_last().unwrap();
        let mut at = object.get_mut("spec").unwrap();
        for key in parents {
            at = at.as_object_mut().unwrap().entry(*key).or_insert(json!({}));
        }
        at.as_object_mut().unwrap().insert((*last).to_owned(), value.clone());
    }
    serde_json::from_value(object).unwrap()
}

const NAME: &str = "template.spec.module.name";
const VERSION: &str = "template.spec.module.version";
const URL: &str = "template.spec.module.url";
const LABELS: &str = "template.metadata.labels";
const POLICY: &str = "operationStrategy.upgradePolicy";
const MAX: &str = "operationStrategy.maxUnavailable";
const PORT: &str = "operationStrategy.serviceStrategy.port";
const TARGET: &str = "operationStrategy.serviceStrategy.targetPort";
const DEADLINE: &str = "progressDeadlineSeconds";

#[test]
fn one_wrong_value_is_one_violation() {
    let long = "m".repeat(254);
    let table: Vec<(&str, Value, &str, Severity, &str)> = vec![
        ("baseDeploymentName", json!(""), "baseDeploymentName", Error, "is empty; name the Deployment"),
        ("template", Value::Null, "template", Error, "is missing; say in"),
        ("template", json!({}), "template.spec.module", Error, "is missing; give name"),
        ("template.spec", json!({}), "template.spec.module", Error, "is missing; give name"),
        (NAME, json!(""), NAME, Error, "is empty; give the biz name"),
        (NAME, json!("a b"), NAME, Error, "\"a b\" has white space"),
        (NAME, json!("a\tb"), NAME, Error, "\"a\\tb\" has white space"),
        (NAME, json!("a\u{a0}b"), NAME, Error, "has white space"),
        (NAME, json!("a\u{0}b"), NAME, Error, "a control character"),
        (NAME, json!("a/b"), NAME, Error, "or a slash; give the biz name alone"),
        (NAME, json!(long), NAME, Error, "longer than 253 characters"),
        (VERSION, json!(""), VERSION, Error, "is empty; give the biz version"),
        (VERSION, json!("1 0"), VERSION, Error, "\"1 0\" has white space"),
        (VERSION, json!("1.0\n"), VERSION, Error, "a control character; give the biz version alone"),
        (URL, json!(""), URL, Error, "is empty; say where"),
        (URL, json!("http://host/a b.jar"), URL, Error, "write %20 for a space"),
        (URL, json!("/m/hello.jar"), URL, Error, "has no scheme; begin it with"),
        (URL, json!("ftp://host/hello.jar"), URL, Error, "a scheme that bases can't fetch"),
        (URL, json!("http:/hello.jar"), URL, Error, "names no host"),
        (URL, json!("https:///hello.jar"), URL, Error, "names no host; write http://host/path"),
        (URL, json!("file:///"), URL, Error, "names no file; write file:///path"),
        (URL, json!("jar:"), URL, Error, "names no file"),
        (LABELS, json!({ "a b": "c" }), LABELS, Error, "\"a b\" is no legal label key"),
        (LABELS, json!({ "/a": "c" }), LABELS, Error, "is no legal label key; rename it"),
        (LABELS, json!({ "a": "1+2" }), LABELS, Error, "\"1+2\" is no legal label value"),
        (LABELS, json!({ "koupleless.io/delete-module": "true" }), LABELS, Error, "the operator's own labels"),
        (LABELS, json!({ "module.koupleless.io/x": "true" }), LABELS, Error, "the operator's own labels"),
        ("template.metadata.annotations", json!({ "": "c" }), "template.metadata.annotations", Error, "annotation key"),
        (
            "template.spec.upgradePolicy",
            json!("uninstall_then_install"),
            "template.spec.upgradePolicy",
            Warning,
            "has no effect; set spec.operationStrategy",
        ),
        ("replicas", json!(-2), "replicas", Error, "-2 is less than -1; write -1 for one on every base"),
        ("scaleReplicas", json!(-1), "scaleReplicas", Error, "-1 is negative"),
        ("minReadySeconds", json!(-1), "minReadySeconds", Error, "-1 is negative; write 0 or more"),
        ("revisionHistoryLimit", json!(-5), "revisionHistoryLimit", Error, "-5 is negative"),
        (DEADLINE, json!(-1), DEADLINE, Error, "-1 is negative"),
        ("confirmBatchNum", json!(-1), "confirmBatchNum", Error, "-1 is negative"),
        ("operationStrategy.batchCount", json!(-3), "operationStrategy.batchCount", Error, "-3 is negative"),
        (
            "operationStrategy.grayTimeBetweenBatchSeconds",
            json!(i32::MIN),
            "operationStrategy.grayTimeBetweenBatchSeconds",
            Error,
            "-2147483648 is negative",
        ),
        ("minReadySeconds", json!(600), DEADLINE, Warning, "its default 600 is not more than minReadySeconds 600"),
        (POLICY, json!("installThenUninstall"), POLICY, Warning, "is unknown and means install_then_uninstall"),
        (MAX, json!(-1), MAX, Error, "-1 is negative; write a number"),
        (MAX, json!(2_147_483_648_i64), MAX, Error, "2147483648 is too large"),
        (MAX, json!("many"), MAX, Error, "\"many\" is neither a number nor a percentage"),
        (MAX, json!(""), MAX, Error, "neither a number nor a percentage"),
        (MAX, json!("%"), MAX, Error, "neither a number nor a percentage"),
        (MAX, json!("-5%"), MAX, Error, "neither a number nor a percentage"),
        (MAX, json!("2.5%"), MAX, Error, "neither a number nor a percentage"),
        (MAX, json!("99999999999"), MAX, Error, "neither a number nor a percentage"),
        (MAX, json!("101%"), MAX, Error, "\"101%\" is more than all"),
        (PORT, Value::Null, PORT, Error, "0 is no port; give the Service's port"),
        (PORT, json!(0), PORT, Error, "or set enableModuleService to false"),
        (PORT, json!(65536), PORT, Error, "65536 is no port"),
        (TARGET, json!(-1), TARGET, Error, "-1 is no port; give the base's port"),
        (TARGET, json!(70000), TARGET, Error, "70000 is no port"),
        (TARGET, json!("8080"), TARGET, Error, "\"8080\" is no port name"),
        (TARGET, json!("Http"), TARGET, Error, "is no port name; use at most 15"),
        (TARGET, json!("a-very-long-port"), TARGET, Error, "is no port name"),
        (TARGET, json!("a--b"), TARGET, Error, "is no port name"),
        (
            "operationStrategy.serviceStrategy.drainSeconds",
            json!(3601),
            "operationStrategy.serviceStrategy.drainSeconds",
            Error,
            "3601 is out of range; write 0 to 3600",
        ),
        (
            "schedulingStrategy.schedulingPolicy",
            json!("Scatter"),
            "schedulingStrategy.schedulingPolicy",
            Warning,
            "\"Scatter\" is unknown and means scatter",
        ),
    ];
    for (path, value, field, severity, fragment) in table {
        let found = validate(&with(&[(path, value.clone())]));
        let case = format!("{path} = {value}: {found:?}");
        assert_eq!(found.len(), 1, "{case}");
        assert_eq!(found[0].field, format!("spec.{field}"), "{case}");
        assert_eq!(found[0].severity, severity, "{case}");
        assert!(found[0].message.contains(fragment), "{case}");
        assert!(found[0].message.contains("; "), "says what to change: {case}");
        assert_eq!(refusal(&found).is_some(), severity == Error, "{case}");
    }
}

#[test]
fn legal_values_are_no_violation() {
    let table: Vec<Vec<(&str, Value)>> = vec![
        vec![],
        vec![("replicas", Value::Null)],
        vec![("replicas", json!(-1))],
        vec![("replicas", json!(-1)), (POLICY, json!("uninstall_then_install"))],
        vec![(POLICY, json!("scaleup_then_scaledown"))],
        vec![(POLICY, json!(""))],
        vec![
            ("template.spec.upgradePolicy", json!("scaleup_then_scaledown")),
            (POLICY, json!("scaleup_then_scaledown")),
        ],
        vec![(NAME, json!("m".repeat(70)))],
        vec![(NAME, json!("Biz_One.模块"))],
        vec![(VERSION, json!("1.0.0+build.7"))],
        vec![(VERSION, json!("v".repeat(300)))],
        vec![(URL, json!("HTTP://host:8080/a?b=c"))],
        vec![(URL, json!("file:///m/hello%20world.jar"))],
        vec![(URL, json!("file:relative.jar"))],
        vec![(URL, json!("jar:file:///m/all.jar!/hello.jar"))],
        vec![(LABELS, json!({ "team": "", "example.com/cost-centre": "a_B.9" }))],
        vec![("operationStrategy.batchCount", json!(i32::MAX))],
        vec![(MAX, json!(0))],
        vec![(MAX, json!("0%"))],
        vec![(MAX, json!("100%"))],
        vec![(MAX, json!("3"))],
        vec![("minReadySeconds", json!(599))],
        vec![("minReadySeconds", json!(900)), (DEADLINE, json!(901))],
        vec![(TARGET, json!(0))],
        vec![(TARGET, Value::Null)],
        vec![(TARGET, json!(""))],
        vec![(TARGET, json!("http-1"))],
        vec![("operationStrategy.serviceStrategy", json!({ "targetPort": 0 }))],
        vec![("operationStrategy.serviceStrategy", json!({ "port": -1, "targetPort": "NO PORT" }))],
        vec![("operationStrategy", Value::Null)],
        vec![("schedulingStrategy", json!({}))],
    ];
    for changes in table {
        assert_eq!(validate(&with(&changes)), [], "{changes:?}");
    }
}

#[test]
fn values_that_contradict_each_other_are_errors() {
    let table = [
        (
            vec![("replicas", json!(-1)), (POLICY, json!("scaleup_then_scaledown"))],
            "spec.operationStrategy.upgradePolicy",
            "with replicas -1 there are none; use another policy",
        ),
        (
            vec![("minReadySeconds", json!(60)), (DEADLINE, json!(60))],
            "spec.progressDeadlineSeconds",
            "60 is not more than minReadySeconds 60; raise it",
        ),
    ];
    for (changes, field, fragment) in table {
        let found = validate(&with(&changes));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].field, found[0].severity), (field, Error), "{found:?}");
        assert!(found[0].message.contains(fragment), "{found:?}");
    }
}

#[test]
fn a_refusal_names_all_errors_and_no_warning() {
    let found = validate(&with(&[(NAME, json!("")), (VERSION, json!("")), (POLICY, json!("odd"))]));
    assert_eq!(
        refusal(&found).unwrap(),
        "spec.template.spec.module.name: is empty; give the biz name as it stands in the jar's manifest. \
         spec.template.spec.module.version: is empty; give the biz version as it stands in the jar's manifest"
    );
    assert_eq!(validate(&ModuleDeployment::default()).iter().filter(|v| v.severity == Error).count(), 2);
}
