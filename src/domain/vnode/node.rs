//! The Node that stands for a base.
//!
//! Its shape is a contract (labels of two generations of keys, two taints, five conditions, metaspace as memory), so that
//! manifests written for the Go V2 find their bases here. One deviation, on purpose: `kubernetes.io/hostname` is the
//! VNode's own name and not the base's host name, because two bases may share that and pod anti-affinity counts by it.
//!
//! Must not: decide when the Node is written or deleted; that is [`super::keep`].

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, Taint},
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, Time},
    },
};
use serde_json::{Value, json};

use crate::{
    api::{
        Reason,
        reasons::types,
        vkeys::{self, component, label, older, taint},
    },
    domain::names,
};

/// How many vPods a VNode takes; V2's number.
const PODS: &str = "65535";
/// The memory of a VNode whose metaspace has no limit, or that doesn't tell it: more than any vPod asks for. The scheduler
/// multiplies by 100 in 64 bits, so it can't be the largest number.
const UNLIMITED: u64 = 1 << 50;

/// What is known of a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VBase {
    /// What its VNode is named after; never that of another base.
    pub identity: String,
    /// By which modules choose it; empty where nobody tells.
    pub name: String,
    /// Of the base's own software; empty where nobody tells.
    pub version: String,
    /// The cluster that it counts itself to; may be empty.
    pub cluster: String,
    /// Its address.
    pub ip: String,
    /// Its host name; for a pod, the pod's.
    pub hostname: String,
    /// Where its agent listens.
    pub port: u16,
    /// How it was found, one of [`vkeys::tunnel`].
    pub tunnel: &'static str,
    /// The environment that it belongs to.
    pub env: String,
}

impl VBase {
    /// The name of its Node and Lease.
    pub fn vnode(&self) -> String {
        vkeys::vnode_name(&self.identity, &self.env)
    }
}

/// The part of a JVM's memory that modules fill (bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metaspace {
    /// The limit; `None` where there is none or nobody tells.
    pub max: Option<u64>,
    /// Taken from the system.
    pub committed: u64,
}

/// Why a VNode is Ready or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it is.
    pub ready: bool,
    /// The word.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

/// The labels of a base's Node. A value that is no legal label value stands there in its safe form.
pub fn labels(base: &VBase) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        (label::COMPONENT, component::VNODE),
        (label::STACK, vkeys::STACK_JAVA),
        (label::TUNNEL, base.tunnel),
        (label::ROLE, vkeys::ROLE_AGENT),
        (label::TYPE, vkeys::TYPE_VIRTUAL_KUBELET),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let told = [
        (label::ENV, base.env.clone()),
        (label::BASE_NAME, base.name.clone()),
        (older::BASE_NAME, base.name.clone()),
        (label::BASE_VERSION, base.version.clone()),
        (older::BASE_VERSION, base.version.clone()),
        (label::CLUSTER_NAME, base.cluster.clone()),
        (label::HOST_NAME, base.hostname.clone()),
        (label::TUNNEL_PORT, base.port.to_string()),
        (label::KUBERNETES_HOSTNAME, base.vnode()),
    ];
    let told = told.into_iter().filter(|(_, value)| !value.is_empty());
    labels.extend(told.map(|(key, value)| (key.to_owned(), names::label_safe(&value))));
    labels
}

/// The taints of a base's Node: no pod comes there that isn't meant for it.
pub fn taints(base: &VBase) -> Vec<Taint> {
    let of = |key: &str, value: &str| Taint {
        key: key.to_owned(),
        value: Some(value.to_owned()),
        effect: taint::EFFECT.to_owned(),
        time_added: None,
    };
    vec![of(taint::VIRTUAL_NODE, vkeys::VIRTUAL_NODE_TRUE), of(taint::NODE_ENV, &names::label_safe(&base.env))]
}

/// The resources of a VNode: capacity and allocatable. No cpu, so a vPod that requests any never fits.
fn resources(metaspace: Metaspace) -> (BTreeMap<String, Quantity>, BTreeMap<String, Quantity>) {
    let max = metaspace.max.filter(|max| *max > 0);
    let capacity = max.unwrap_or(UNLIMITED);
    let allocatable = max.map_or(UNLIMITED, |max| max.saturating_sub(metaspace.committed));
    let of = |memory: u64| {
        BTreeMap::from([("memory".to_owned(), quantity(memory)), ("pods".to_owned(), Quantity(PODS.to_owned()))])
    };
    (of(capacity), of(allocatable))
}

/// A number of bytes as the API server writes it back, so that what was written is recognised: 85000000 is `85M`.
fn quantity(bytes: u64) -> Quantity {
    let (mut number, mut suffix) = (bytes, "");
    for next in ["k", "M", "G", "T", "P", "E"] {
        if number == 0 || number % 1000 != 0 {
            break;
        }
        (number, suffix) = (number / 1000, next);
    }
    Quantity(format!("{number}{suffix}"))
}

/// The status of a base's Node. A condition that stood before keeps the time of its last change.
pub fn status(
    base: &VBase,
    metaspace: Metaspace,
    readiness: &Readiness,
    had: Option<&NodeStatus>,
    now: &Time,
) -> NodeStatus {
    let (capacity, allocatable) = resources(metaspace);
    let known = had.and_then(|had| had.conditions.as_deref()).unwrap_or_default();
    let condition = |type_: &str, status: &str, reason: Reason, message: &str| {
        let since = known.iter().find(|known| known.type_ == type_ && known.status == status);
        NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_string()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: since.and_then(|known| known.last_transition_time.clone()).or(Some(now.clone())),
        }
    };
    let ready = if readiness.ready { "True" } else { "False" };
    let address = |type_: &str, address: &str| NodeAddress { type_: type_.to_owned(), address: address.to_owned() };
    NodeStatus {
        addresses: Some(vec![address("InternalIP", &base.ip), address("Hostname", &base.hostname)]),
        capacity: Some(capacity),
        allocatable: Some(allocatable),
        conditions: Some(vec![
            condition(types::READY, ready, readiness.reason, &readiness.message),
            condition(
                types::MEMORY_PRESSURE,
                "False",
                Reason::BaseHasSufficientMemory,
                "the base reports its metaspace as memory",
            ),
            condition(
                types::DISK_PRESSURE,
                "False",
                Reason::BaseHasNoDiskPressure,
                "modules have no disk of their own",
            ),
            condition(
                types::PID_PRESSURE,
                "False",
                Reason::BaseHasSufficientPID,
                "modules have no processes of their own",
            ),
            condition(types::NETWORK_UNAVAILABLE, "False", Reason::RouteCreated, "modules use the base's network"),
        ]),
        ..NodeStatus::default()
    }
}

/// The Node to create for a base that answers.
pub fn build(base: &VBase, metaspace: Metaspace, readiness: &Readiness, now: &Time) -> Node {
    Node {
        metadata: ObjectMeta { name: Some(base.vnode()), labels: Some(labels(base)), ..ObjectMeta::default() },
        spec: Some(NodeSpec { taints: Some(taints(base)), ..NodeSpec::default() }),
        status: Some(status(base, metaspace, readiness, None, now)),
    }
}

/// The patch that gives a Node its labels and taints; `None` where it has them. What others put there stays. Taints are
/// one list for all writers, so a patch of them holds only for the Node as it was seen.
pub fn meta_patch(base: &VBase, node: &Node) -> Option<Value> {
    let had = node.metadata.labels.clone().unwrap_or_default();
    let missing: BTreeMap<String, String> =
        labels(base).into_iter().filter(|(key, value)| had.get(key) != Some(value)).collect();
    let had = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let same = |a: &Taint, b: &Taint| a.key == b.key && a.value == b.value && a.effect == b.effect;
    let wanted = taints(base);
    let untainted = !wanted.iter().all(|taint| had.iter().any(|had| same(had, taint)));
    if missing.is_empty() && !untainted {
        return None;
    }
    let mut patch = json!({ "metadata": { "uid": node.metadata.uid } });
    if !missing.is_empty() {
        patch["metadata"]["labels"] = json!(missing);
    }
    if untainted {
        let others = had.into_iter().filter(|had| !wanted.iter().any(|ours| ours.key == had.key));
        let all: Vec<Taint> = wanted.iter().cloned().chain(others).collect();
        patch["metadata"]["resourceVersion"] = json!(node.metadata.resource_version);
        patch["spec"] = json!({ "taints": all });
    }
    Some(patch)
}

/// Whether a status says something else than another, heartbeats aside.
pub fn differs(had: Option<&NodeStatus>, wanted: &NodeStatus) -> bool {
    let Some(had) = had else { return true };
    let words = |status: &NodeStatus| -> Vec<(String, String, Option<String>, Option<String>)> {
        let conditions = status.conditions.iter().flatten();
        let mut words: Vec<_> = conditions
            .map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone(), one.message.clone()))
            .collect();
        words.sort();
        words
    };
    had.capacity != wanted.capacity
        || had.allocatable != wanted.allocatable
        || had.addresses != wanted.addresses
        || words(had) != words(wanted)
}

/// Whether a Node says that it is Ready.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    pub(in crate::domain::vnode) fn base() -> VBase {
        VBase {
            identity: "id1".into(),
            name: "shop-base".into(),
            version: "1.1.1".into(),
            cluster: "east".into(),
            ip: "10.0.0.7".into(),
            hostname: "base-0".into(),
            port: 1238,
            tunnel: vkeys::tunnel::DISCOVERY,
            env: "dev".into(),
        }
    }

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn ready() -> Readiness {
        Readiness { ready: true, reason: Reason::BaseReady, message: "the base answers".into() }
    }

    const SPACE: Metaspace = Metaspace { max: Some(134_217_728), committed: 48_955_392 };

    /// Each line of the contract's section on virtual nodes.
    #[test]
    fn the_node_is_what_the_contract_says() {
        let node = build(&base(), SPACE, &ready(), &at(100));
        let value = serde_json::to_value(&node).unwrap();
        assert_eq!(value["metadata"]["name"], "vnode.id1.dev");
        assert_eq!(
            value["metadata"]["labels"],
            json!({
                "virtual-kubelet.koupleless.io/component": "vnode",
                "virtual-kubelet.koupleless.io/env": "dev",
                "base.koupleless.io/name": "shop-base", "vnode.koupleless.io/name": "shop-base",
                "base.koupleless.io/version": "1.1.1", "vnode.koupleless.io/version": "1.1.1",
                "base.koupleless.io/stack": "java", "vnode.koupleless.io/tunnel": "pod_discovery",
                "base.koupleless.io/cluster-name": "east", "base.koupleless.io/host-name": "base-0",
                "base.koupleless.io/tunnel-port": "1238",
                "kubernetes.io/hostname": "vnode.id1.dev", "kubernetes.io/role": "agent", "type": "virtual-kubelet",
            })
        );
        assert_eq!(
            value["spec"]["taints"],
            json!([
                { "key": "schedule.koupleless.io/virtual-node", "value": "True", "effect": "NoExecute" },
                { "key": "schedule.koupleless.io/node-env", "value": "dev", "effect": "NoExecute" },
            ])
        );
        let status = &value["status"];
        assert_eq!(
            status["addresses"],
            json!([{ "type": "InternalIP", "address": "10.0.0.7" }, { "type": "Hostname", "address": "base-0" }])
        );
        assert_eq!(status["capacity"], json!({ "memory": "134217728", "pods": "65535" }));
        assert_eq!(status["allocatable"], json!({ "memory": "85262336", "pods": "65535" }));
        let conditions: Vec<(&str, &str)> = status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["type"].as_str().unwrap(), one["status"].as_str().unwrap()))
            .collect();
        let quiet =
            ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"].map(|type_| (type_, "False"));
        assert_eq!(conditions[0], ("Ready", "True"));
        assert_eq!(conditions[1..], quiet);
    }

    #[test]
    fn metaspace_is_memory_and_an_unknown_limit_is_none() {
        for (max, committed, capacity, allocatable) in [
            (Some(100), 40, 100, 60),
            (Some(100), 140, 100, 0),
            (Some(0), 40, UNLIMITED, UNLIMITED),
            (None, 40, UNLIMITED, UNLIMITED),
        ] {
            let (total, free) = resources(Metaspace { max, committed });
            assert_eq!((&total["memory"].0, &free["memory"].0), (&capacity.to_string(), &allocatable.to_string()));
        }
    }

    #[test]
    fn quantities_are_written_as_they_are_read_back() {
        for (bytes, text) in
            [(0, "0"), (1, "1"), (999, "999"), (1000, "1k"), (85_262_336, "85262336"), (85_000_000, "85M")]
        {
            assert_eq!(quantity(bytes).0, text);
        }
    }

    #[test]
    fn what_is_no_label_value_stands_there_in_its_safe_form_and_what_nobody_tells_does_not() {
        let odd = VBase { version: "1.0.0+build 7".into(), name: String::new(), cluster: String::new(), ..base() };
        let labels = labels(&odd);
        assert_eq!(labels[label::BASE_VERSION], names::label_safe("1.0.0+build 7"));
        assert!(!labels.contains_key(label::BASE_NAME) && !labels.contains_key(label::CLUSTER_NAME));
    }

    #[test]
    fn two_bases_of_one_host_name_differ_in_the_host_name_of_their_nodes() {
        let other = VBase { identity: "id2".into(), ..base() };
        assert_ne!(labels(&base())[label::KUBERNETES_HOSTNAME], labels(&other)[label::KUBERNETES_HOSTNAME]);
    }

    #[test]
    fn only_what_differs_is_patched_and_the_labels_and_taints_of_others_stay() {
        let mut node = build(&base(), SPACE, &ready(), &at(100));
        assert_eq!(meta_patch(&base(), &node), None);
        node.metadata.labels.get_or_insert_default().insert("team".into(), "a".into());
        let theirs =
            Taint { key: "node.kubernetes.io/not-ready".into(), effect: "NoExecute".into(), ..Taint::default() };
        node.spec.get_or_insert_default().taints.get_or_insert_default().push(theirs);
        assert_eq!(meta_patch(&base(), &node), None);
        let upgraded = VBase { version: "2".into(), ..base() };
        let patch = meta_patch(&upgraded, &node).unwrap();
        let versions = json!({ "base.koupleless.io/version": "2", "vnode.koupleless.io/version": "2" });
        assert_eq!((&patch["metadata"]["labels"], &patch["spec"]), (&versions, &Value::Null));
        node.spec.get_or_insert_default().taints.get_or_insert_default().remove(0);
        node.metadata.resource_version = Some("7".into());
        let patch = meta_patch(&base(), &node).unwrap();
        let keys: Vec<&str> =
            patch["spec"]["taints"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
        assert_eq!(keys, [taint::VIRTUAL_NODE, taint::NODE_ENV, "node.kubernetes.io/not-ready"]);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn a_heartbeat_alone_is_no_difference_and_a_condition_keeps_the_time_of_its_change() {
        let first = status(&base(), SPACE, &ready(), None, &at(100));
        let again = status(&base(), SPACE, &ready(), Some(&first), &at(400));
        assert!(!differs(Some(&first), &again));
        let changed = |status: &NodeStatus| status.conditions.as_ref().unwrap()[0].last_transition_time.clone();
        assert_eq!(changed(&again), Some(at(100)));
        let lost = Readiness { ready: false, reason: Reason::BaseUnreachable, message: "no answer".into() };
        let lost = status(&base(), SPACE, &lost, Some(&again), &at(500));
        assert!(differs(Some(&again), &lost));
        assert_eq!(changed(&lost), Some(at(500)));
        let fuller = status(&base(), Metaspace { committed: 1, ..SPACE }, &ready(), Some(&first), &at(100));
        assert!(differs(Some(&first), &fuller) && differs(None, &first));
    }
}
