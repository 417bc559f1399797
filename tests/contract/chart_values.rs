//! The values of the Helm chart: they reach the objects, and those that mean nothing are refused by name.

use std::ffi::OsString;

use module_controller::runtime::flags::Flags;
use serde_json::{Value, json};

use crate::{
    chart::{CHART, NAMESPACE, by_name, template},
    cluster::{Policy, documents, in_namespace, kubectl_with},
};

#[tokio::test]
async fn values_reach_the_operator() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let sets = [
        "image.repository=registry.example.com:5000/module-controller",
        &format!("image.digest={digest}"),
        "flags.logFormat=json",
        "flags.minFreeMetaspace=7",
        "flags.installTimeout=10m",
        "flags.vnodeEnv=prod",
        "extraArgs={--vnode-env=shop}",
        "rbac.users=false",
        "serviceAccount.create=false",
        "serviceAccount.name=own",
        "resources.limits.memory=1Gi",
    ];
    let made = template(CHART, &sets).await;
    assert!(made.ok, "{}", made.err);
    let objects = by_name(documents(&made.out));
    assert!(!objects.keys().any(|name| name.starts_with("ServiceAccount ")));
    assert!(!objects.contains_key("ClusterRole - module-viewer"));
    assert_eq!(
        objects["ClusterRoleBinding - module-deployment-manager-rolebinding"]["subjects"],
        json!([{ "kind": "ServiceAccount", "name": "own", "namespace": NAMESPACE }])
    );
    let manager = &objects[&format!("Deployment {NAMESPACE} module-deployment-controller-manager")];
    let pod = &manager["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "own");
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("registry.example.com:5000/module-controller@{digest}"));
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    let wanted = [
        "--leader-elect",
        "--install-timeout=10m",
        "--log-format=json",
        "--min-free-metaspace=7",
        "--vnode-env=prod",
        "--vnode-env=shop",
    ];
    assert_eq!(container["args"], json!(wanted));
    // And the operator knows them.
    let args = container["args"].as_array().expect("args").iter().map(|arg| arg.as_str().expect("text"));
    let flags = Flags::parse_args(std::iter::once("manager").chain(args).map(OsString::from));
    flags.unwrap_or_else(|error| panic!("{}", error.message));
}

/// A pod that tolerates everything would be bound to a VNode too, and wait there for ever.
#[tokio::test]
async fn pods_keep_off_virtual_nodes() {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let apart = "podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone";
    let chosen =
        "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=x";
    let machines =
        json!([{ "matchExpressions": [{ "key": "type", "operator": "NotIn", "values": ["virtual-kubelet"] }] }]);
    for (affinity, terms) in [(apart, machines), (chosen, json!([{ "matchFields": [{ "key": "x" }] }]))] {
        let sets =
            [format!("affinity.{affinity}"), format!("vnode.affinity.{affinity}"), "vnode.enabled=true".to_owned()];
        let made = template(CHART, &sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(made.ok, "{}", made.err);
        let objects = by_name(documents(&made.out));
        for name in ["module-deployment-controller-manager", "module-vnode-provider"] {
            let found = &objects[&format!("Deployment {NAMESPACE} {name}")]["spec"]["template"]["spec"]["affinity"];
            assert_eq!(found["nodeAffinity"][REQUIRED]["nodeSelectorTerms"], terms, "{name}");
            assert_eq!(!found["podAntiAffinity"].is_null(), affinity == apart, "{name}");
        }
    }
}

/// Prometheus finds both by its own labels; those by which the monitor finds its Services stay.
#[tokio::test]
async fn labels_for_prometheus_are_on_what_it_selects() {
    let sets = [
        "monitoring.enabled=true",
        "monitoring.labels.release=prometheus",
        r"monitoring.labels.app\.kubernetes\.io/name=x",
    ];
    let made = template(CHART, &sets).await;
    assert!(made.ok, "{}", made.err);
    let objects = by_name(documents(&made.out));
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        let labels =
            &objects[&format!("{kind} {NAMESPACE} module-deployment-controller-manager")]["metadata"]["labels"];
        assert_eq!(
            (&labels["release"], &labels["app.kubernetes.io/name"]),
            (&json!("prometheus"), &json!("module-controller"))
        );
    }
}

/// Who may write in a namespace only has no use for a class that belongs to the cluster.
#[tokio::test]
async fn a_second_replica_needs_no_priority_class() {
    let own = "PriorityClass - module-controller";
    let manager = format!("Deployment {NAMESPACE} module-deployment-controller-manager");
    for (sets, class, is_made) in [
        (&["ha.enabled=true"][..], json!("module-controller"), true),
        (&["ha.enabled=true", "ha.priorityClass=false"], Value::Null, false),
        (&["ha.enabled=true", "priorityClassName=high"], json!("high"), false),
        (&["priorityClassName=high"], json!("high"), false),
    ] {
        let made = template(CHART, sets).await;
        assert!(made.ok, "{sets:?}: {}", made.err);
        let objects = by_name(documents(&made.out));
        assert_eq!(objects[&manager]["spec"]["template"]["spec"]["priorityClassName"], class, "{sets:?}");
        assert_eq!(objects.contains_key(own), is_made, "{sets:?}");
    }
}

#[tokio::test]
async fn bases_of_several_kinds_share_a_namespace() {
    in_namespace(Policy::On, |space| async move {
        let mut sets = vec!["networkPolicy.enabled=true".to_owned()];
        for (number, app) in ["shop", "stock"].into_iter().enumerate() {
            sets.push(format!("networkPolicy.bases[{number}].namespace={}", space.name));
            sets.push(format!("networkPolicy.bases[{number}].podLabels.app={app}"));
        }
        let made = template(CHART, &sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(made.ok, "{}", made.err);
        let objects = by_name(documents(&made.out));
        let policies: Vec<&Value> = objects.values().filter(|object| object["kind"] == "NetworkPolicy").collect();
        let mut apps = Vec::new();
        for policy in policies {
            apps.push(policy["spec"]["podSelector"]["matchLabels"]["app"].clone());
            let said = kubectl_with(&["create", "--dry-run=server", "-f", "-"], &policy.to_string()).await;
            assert!(said.ok, "{}", said.err);
        }
        assert_eq!(apps, ["shop", "stock"]);
    })
    .await;
}

/// As in a file where nothing stands after the colon.
#[tokio::test]
async fn lists_maps_and_texts_may_be_left_blank() {
    let blank = [
        "image.tag",
        "image.digest",
        "imagePullSecrets",
        "namespaces",
        "serviceAccount.annotations",
        "flags.logLevel",
        "flags.minFreeMetaspace",
        "extraArgs",
        "resources",
        "podAnnotations",
        "podLabels",
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
        "monitoring.labels",
        "vnode.mqtt.broker",
        "vnode.mqtt.caSecret.name",
        "vnode.mqtt.username",
        "vnode.extraArgs",
        "vnode.resources.limits",
        "vnode.podLabels",
        "vnode.tolerations",
    ];
    let sets: Vec<String> = blank.iter().map(|value| format!("{value}=null")).collect();
    let more = ["ha.enabled=true", "monitoring.enabled=true", "vnode.enabled=true"];
    let sets: Vec<&str> = sets.iter().map(String::as_str).chain(more).collect();
    let made = template(CHART, &sets).await;
    assert!(made.ok, "{}", made.err);
    let objects = by_name(documents(&made.out));
    let pod = |name: &str| objects[&format!("Deployment {NAMESPACE} {name}")]["spec"]["template"]["spec"].clone();
    let (manager, provider) = (pod("module-deployment-controller-manager"), pod("module-vnode-provider"));
    assert_eq!(manager["containers"][0]["args"], json!(["--leader-elect"]));
    assert_eq!(manager["containers"][0]["resources"], Value::Null);
    assert_eq!(manager["priorityClassName"], "module-controller");
    assert_eq!(provider["containers"][0]["resources"], json!({ "requests": { "cpu": "50m", "memory": "64Mi" } }));
}

/// Wrong values, and what the message has to name.
const WRONG: &[(&str, &[&str])] = &[
    ("replicas=3", &["additional properties 'replicas' not allowed"]),
    ("image.tagg=1", &["/image", "additional properties 'tagg' not allowed"]),
    ("image.repository=", &["/image/repository", "minLength"]),
    ("image.repository=module-controller:1.0", &["/image/repository", "does not match pattern"]),
    ("image.pullPolicy=Sometimes", &["/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"]),
    ("ha.replicas=1", &["/ha/replicas", "minimum"]),
    ("ha.enabled=maybe", &["/ha/enabled", "want boolean"]),
    ("namespaces=shop", &["/namespaces", "want array"]),
    ("namespaces={Shop}", &["/namespaces/0", "does not match pattern"]),
    ("flags.healthInterval=10", &["/flags/healthInterval"]),
    ("flags.healthInterval=0s", &["/flags/healthInterval"]),
    ("flags.logLevel=loud", &["/flags/logLevel"]),
    ("flags.apiConcurrency=1001", &["/flags/apiConcurrency", "want 1,000"]),
    ("flags.vnodeEnv=Prod", &["/flags/vnodeEnv"]),
    ("flags.minFreeMetaspace=101", &["/flags/minFreeMetaspace"]),
    ("flags.defaultDelivery=Pigeon", &["/flags/defaultDelivery", "'Arklet', 'VirtualPod'"]),
    ("flags.logformat=json", &["/flags", "additional properties 'logformat' not allowed"]),
    ("extraArgs={enable-vnode}", &["/extraArgs/0", "does not match pattern"]),
    // Each would break the pod, or the rights that go with it.
    ("extraArgs={--leader-elect=false}", &["extraArgs: take --leader-elect out: the chart sets it"]),
    ("extraArgs={--namespace=shop}", &["extraArgs: take --namespace out: the value namespaces sets it"]),
    ("extraArgs={--health-probe-bind-address=0}", &["the probes' port is 8082"]),
    ("extraArgs={--dry-run}", &["extraArgs: take --dry-run out"]),
    ("serviceAccount.name=My Account", &["/serviceAccount/name", "does not match pattern"]),
    ("ha=null", &["missing property 'ha'"]),
    ("ha.enabled=null", &["at '/ha': missing property 'enabled'"]),
    // What the Deployment selects its pods by, and the operator knows them by.
    ("podLabels.control-plane=own", &["/podLabels/control-plane"]),
    (r"podLabels.app\.kubernetes\.io/name=own", &["/podLabels/app.kubernetes.io~1name"]),
    (r"podAnnotations.kubectl\.kubernetes\.io/default-container=own", &["/podAnnotations/kubectl"]),
    ("networkPolicy.arkletPort=0", &["/networkPolicy/arkletPort", "minimum"]),
    ("networkPolicy.bases[0].namespace=shop", &["/networkPolicy/bases/0", "podLabels"]),
    ("networkPolicy.enabled=true,networkPolicy.bases=null", &["without networkPolicy.bases: name the base pods"]),
];

#[tokio::test]
async fn wrong_values_are_refused_by_name() {
    for (set, words) in WRONG {
        let made = template(CHART, &[set]).await;
        assert!(!made.ok, "{set} was taken");
        for word in *words {
            assert!(made.err.contains(word), "{set}: {}", made.err);
        }
    }
}
