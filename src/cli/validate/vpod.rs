//! Workloads that stand for modules on virtual nodes: what V2 needs of them beside what Kubernetes checks itself.
//!
//! Only warnings: such an object is stored whatever stands here, and then nothing happens.

use super::schema::Mismatch;
use crate::{
    api::vkeys::{self, component, label, older, taint},
    cli::manifest::Node,
};

/// Where the pod is in a kind; `None` for kinds that make no pods.
fn pod_path(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "Pod" => Some(&[]),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => Some(&["spec", "template"]),
        _ => None,
    }
}

/// What is odd about `object` if it means modules; `None` if it is an ordinary workload.
pub fn check(kind: &str, object: &Node) -> Option<Vec<Mismatch>> {
    let path = pod_path(kind)?;
    let pod = object.get(path)?;
    let labelled = [label::COMPONENT, older::COMPONENT].into_iter().any(|key| {
        let value = pod.get(&["metadata", "labels", key]).and_then(Node::text);
        value == Some(component::MODULE)
    });
    let containers = pod.get(&["spec", "containers"]).map(Node::items).unwrap_or_default();
    if !labelled && !containers.iter().any(|container| version(container).is_some() && is_jar(container)) {
        return None;
    }
    let prefix = path.iter().fold(String::new(), |prefix, part| format!("{prefix}{part}."));
    let mut found = Vec::new();
    let mut say = |at, field: String, message: &str| found.push(Mismatch { at, field, message: message.to_owned() });
    for (index, container) in containers.iter().enumerate() {
        let field = format!("{prefix}spec.containers[{index}]");
        if !is_jar(container) {
            say(container.place("image"), format!("{field}.image"), "names no .jar; give the URL of the module's jar");
        }
        if version(container).is_none_or(str::is_empty) {
            say(
                container.place("env"),
                format!("{field}.env"),
                "has no BIZ_VERSION; give the biz version as it stands in the jar's manifest",
            );
        }
    }
    if !labelled {
        let message = "lacks virtual-kubelet.koupleless.io/component: module; without it no virtual node takes the pod for a module";
        say(pod.place("metadata.labels"), format!("{prefix}metadata.labels"), message);
    }
    let tolerations = pod.get(&["spec", "tolerations"]).map(Node::items).unwrap_or_default();
    if !tolerations.iter().any(tolerates_virtual_nodes) {
        let message = "don't tolerate schedule.koupleless.io/virtual-node=True:NoExecute; without that no virtual node takes the pod";
        say(pod.place("spec.tolerations"), format!("{prefix}spec.tolerations"), message);
    }
    Some(found)
}

fn version(container: &Node) -> Option<&str> {
    let env = container.get(&["env"]).map(Node::items).unwrap_or_default();
    let named = |entry: &&Node| entry.get(&["name"]).and_then(Node::text) == Some(vkeys::BIZ_VERSION_ENV);
    env.iter().find(named)?.get(&["value"])?.text()
}

fn is_jar(container: &Node) -> bool {
    container.get(&["image"]).and_then(Node::text).is_some_and(|image| image.contains(vkeys::JAR))
}

fn tolerates_virtual_nodes(toleration: &Node) -> bool {
    let text = |name: &str| toleration.get(&[name]).and_then(Node::text);
    let effect = text("effect").is_none_or(|effect| effect == taint::EFFECT);
    let exists = text("operator") == Some("Exists");
    let value = exists || text("value") == Some(vkeys::VIRTUAL_NODE_TRUE);
    effect && value && text("key").map_or(exists, |key| key == taint::VIRTUAL_NODE)
}
