//! How many replicas a peer Deployment has: one for each Ready VNode that its pods can go to.
//!
//! A Deployment labelled `strategy=peer` follows the VNodes of the cluster that its label, its node selector or its
//! required node affinity names. Counted are the VNodes that satisfy all of these, not the cluster alone: a VNode whose base
//! has another name or version would only leave pods Pending.
//!
//! Must not: count what isn't known. Before all VNodes were listed nothing is decided.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec},
};

use crate::api::vkeys::{self, label, older, read_either, taint};

type Labels = BTreeMap<String, String>;

/// A VNode that may be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Whether it is Ready and takes pods.
    pub ready: bool,
}

/// The number of replicas that a Deployment should have; `None` where it isn't ours to say: it isn't a peer Deployment, is
/// told to be left alone, or belongs to another environment.
pub fn replicas(deployment: &Deployment, env: &str, vnodes: &[Candidate]) -> Option<i32> {
    let none = Labels::new();
    let labels = deployment.metadata.labels.as_ref().unwrap_or(&none);
    let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let peer = read_either(labels, label::STRATEGY, older::STRATEGY) == Some(vkeys::STRATEGY_PEER);
    let skipped = read_either(labels, label::REPLICAS_CONTROL, older::REPLICAS_CONTROL) == Some("true");
    let ending = deployment.metadata.deletion_timestamp.is_some();
    if !peer || skipped || ending || !is_of(labels, spec, env) {
        return None;
    }
    let cluster = labels.get(label::CLUSTER_NAME);
    let counts = |vnode: &&Candidate| {
        let named = cluster.is_none_or(|cluster| vnode.labels.get(label::CLUSTER_NAME) == Some(cluster));
        vnode.ready && named && admits(spec, vnode)
    };
    i32::try_from(vnodes.iter().filter(counts).count()).ok()
}

/// Whether a Deployment belongs to an environment: by its label, else by what its pods tolerate. Two providers of different
/// environments in one cluster must not both write its replicas.
fn is_of(labels: &Labels, spec: &PodSpec, env: &str) -> bool {
    if let Some(told) = labels.get(label::ENV) {
        return told == env;
    }
    spec.tolerations.iter().flatten().any(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        key == taint::NODE_ENV && toleration.value.as_deref() == Some(env)
    })
}

/// Whether the scheduler would let these pods onto a VNode, as far as labels say.
fn admits(spec: &PodSpec, vnode: &Candidate) -> bool {
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| vnode.labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches(term, vnode)))
}

/// Terms are alternatives, the requirements of one hold together, and a term without any matches nothing.
fn matches(term: &NodeSelectorTerm, vnode: &Candidate) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let label = |one: &NodeSelectorRequirement| holds(one, vnode.labels.get(&one.key).map(String::as_str));
    let field = |one: &NodeSelectorRequirement| one.key == "metadata.name" && holds(one, Some(&vnode.name));
    let empty = expressions.is_empty() && fields.is_empty();
    !empty && expressions.iter().all(label) && fields.iter().all(field)
}

fn holds(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || found.is_some_and(|found| values.iter().any(|value| value == found));
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = || Some((number(found?)?, number(values.first()?)?));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compare().is_some_and(|(found, bound)| found > bound),
        "Lt" => compare().is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn vnode(name: &str, cluster: &str, version: &str, ready: bool) -> Candidate {
        let labels = [(label::CLUSTER_NAME, cluster), (label::BASE_VERSION, version)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Candidate { name: name.into(), labels, ready }
    }

    fn deployment(labels: Value, spec: Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": { "name": "peer", "labels": labels },
            "spec": { "selector": {}, "template": { "spec": spec } },
        }))
        .unwrap()
    }

    fn affinity(key: &str, operator: &str, values: &[&str]) -> Value {
        let expression = json!({ "key": key, "operator": operator, "values": values });
        let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression] }] });
        json!({ "containers": [],
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": terms } } })
    }

    #[test]
    fn replicas_follow_the_ready_vnodes_that_the_pods_can_go_to() {
        let vnodes = [
            vnode("a", "east", "1", true),
            vnode("b", "east", "2", true),
            vnode("c", "east", "1", false),
            vnode("d", "west", "1", true),
        ];
        let peer =
            || json!({ "virtual-kubelet.koupleless.io/strategy": "peer", "virtual-kubelet.koupleless.io/env": "dev" });
        let with = |key: &str, value: &str| {
            let mut labels = peer();
            labels[key] = json!(value);
            labels
        };
        let none = || json!({ "containers": [] });
        let tolerant = json!({ "containers": [],
            "tolerations": [{ "key": "schedule.koupleless.io/node-env", "operator": "Equal", "value": "dev" }] });
        let older = json!({ "module-controller.koupleless.io/strategy": "peer" });
        for (name, labels, spec, expected) in [
            ("no peer", json!({}), none(), None),
            ("no cluster named", peer(), none(), Some(3)),
            ("a cluster by label", with(label::CLUSTER_NAME, "east"), none(), Some(2)),
            (
                "a cluster by node selector",
                peer(),
                json!({ "containers": [], "nodeSelector": { "base.koupleless.io/cluster-name": "west" } }),
                Some(1),
            ),
            ("a cluster by affinity", peer(), affinity(label::CLUSTER_NAME, "In", &["east"]), Some(2)),
            ("and a version", with(label::CLUSTER_NAME, "east"), affinity(label::BASE_VERSION, "In", &["1"]), Some(1)),
            ("not a version", peer(), affinity(label::BASE_VERSION, "NotIn", &["1"]), Some(1)),
            ("newer than", peer(), affinity(label::BASE_VERSION, "Gt", &["1"]), Some(1)),
            ("nothing fits", with(label::CLUSTER_NAME, "north"), none(), Some(0)),
            ("skipped", with(label::REPLICAS_CONTROL, "true"), none(), None),
            ("not skipped", with(label::REPLICAS_CONTROL, "false"), none(), Some(3)),
            ("another environment", with(label::ENV, "test"), none(), None),
            ("older keys, and the environment by toleration", older.clone(), tolerant, Some(3)),
            ("nothing says which environment", older, none(), None),
        ] {
            assert_eq!(replicas(&deployment(labels, spec), "dev", &vnodes), expected, "{name}");
        }
    }

    #[test]
    fn a_pinned_pod_is_matched_by_the_vnodes_name() {
        let field = json!({ "key": "metadata.name", "operator": "In", "values": ["a"] });
        let term: NodeSelectorTerm = serde_json::from_value(json!({ "matchFields": [field] })).unwrap();
        assert!(matches(&term, &vnode("a", "east", "1", true)) && !matches(&term, &vnode("b", "east", "1", true)));
        assert!(!matches(&NodeSelectorTerm::default(), &vnode("a", "east", "1", true)));
    }
}
